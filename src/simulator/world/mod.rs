//! The simulated contact centre: which segments end when, and which of them discovery shows.
//!
//! Segment number `i` of a UTC day of a sub-account is computed from (seed, sub-account, day, `i`) alone, and it never
//! ends before segment `i - 1`. So a window is a range of numbers, found by bisection: a day of a million segments
//! takes no memory, and the same request always has the same answer.
//!
//! ```text
//! id          the ids of segments and dialogs, and the way back from an id to its segment
//! visibility  when and in which windows discovery shows a segment
//! ```

use crate::simulator::dice::{Dice, hash, hash_text, unit};
use crate::simulator::options::{Faults, SimulatorOptions};
use crate::simulator::time::{DAY_MS, SECOND_MS, millis};

mod id;
mod visibility;

pub(super) use visibility::{MOVED_BY_MS, Placement, REPEATED_AFTER_MS};

/// Relative traffic of the UTC hours: a centre in the Americas that is never quite idle.
const TRAFFIC: [f64; 24] = [
    2.0, 1.0, 0.6, 0.4, 0.3, 0.3, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.5, 4.0, 5.0, 5.5, 5.5, 5.0, 5.0,
    5.0, 4.5, 4.0, 3.5, 3.0,
];

/// What a hash decides. Its number is part of the hashed data, so that no two decisions are correlated.
///
/// Never renumber these: every segment, summary and fault of a seed depends on the numbers.
#[derive(Clone, Copy)]
pub(super) enum Decision {
    Key = 1,
    End,
    Shape,
    Dialog,
    Check,
    Moved,
    Duplicate,
    NoId,
    NoEnd,
    Edit,
    Vanish,
    Delay,
    Metadata,
    Summary,
    Late,
    Strange,
    Large,
    Broken,
    NetworkFault,
    Token,
    Transcript,
}

/// A sub-account of the simulated RingCentral account.
#[derive(Debug, Clone)]
pub(super) struct SimulatedSubAccount {
    pub(super) id: String,
    /// Whether requests for it are answered 403.
    pub(super) denied: bool,
    hash: u64,
}

/// All segments of all sub-accounts, past and future.
pub(super) struct World {
    pub(super) sub_accounts: Vec<SimulatedSubAccount>,
    pub(super) faults: Faults,
    /// Percentage of the summaries that have a text.
    pub(super) present: f64,
    /// Percentage of the summaries that answer 404.
    pub(super) not_found: f64,
    /// Segments that end on each UTC day of a sub-account.
    per_day: u64,
    /// The UTC day since the epoch whose hashes are those of day 0.
    day_zero: i64,
    agent_groups: u64,
    retention_ms: i64,
}

/// One participant's part of an interaction. Times are UTC milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SimulatedSegment {
    pub(super) position: Position,
    /// Hash of everything that distinguishes it from other segments.
    pub(super) key: u64,
    /// Hash of its dialog; two neighbouring segments may share one.
    pub(super) dialog: u64,
    pub(super) dialog_start_ms: i64,
    pub(super) dialog_end_ms: i64,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    /// Whether it is a call; otherwise it is digital.
    pub(super) voice: bool,
    pub(super) agent_group: u64,
}

/// The number of a segment: its UTC day since the epoch, and its index in that day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) day: i64,
    pub(super) index: u64,
}

impl Position {
    fn with_index(self, index: u64) -> Position {
        Position { index, ..self }
    }
}

impl World {
    /// Creates the world that `options` describe.
    pub(super) fn new(options: &SimulatorOptions) -> Self {
        let faults = options.faults.clone().effective();
        let sub_accounts = options.sub_accounts.iter().map(|id| SimulatedSubAccount {
            id: id.clone(),
            denied: faults.deny.contains(id),
            hash: hash(&[options.seed, hash_text(id)]),
        });
        World {
            sub_accounts: sub_accounts.collect(),
            present: options.present,
            not_found: options.not_found,
            // A segment id has room for 40 bits.
            per_day: options.segments_per_day.min((1 << 40) - 1),
            day_zero: options.day_zero,
            agent_groups: u64::from(options.agent_groups.max(1)),
            retention_ms: options.retention.map_or(i64::MAX / 4, millis),
            faults,
        }
    }

    /// Returns the sub-account with this id.
    pub(super) fn sub_account(&self, id: &str) -> Option<&SimulatedSubAccount> {
        self.sub_accounts.iter().find(|sub| sub.id == id)
    }

    /// Computes the segment at a position.
    pub(super) fn segment(
        &self,
        sub: &SimulatedSubAccount,
        position: Position,
    ) -> SimulatedSegment {
        let key = self.roll(sub, Decision::Key, position);
        let first = position.with_index(position.index & !1);
        let first_key = self.roll(sub, Decision::Key, first);
        // Every fourth pair of segments is one dialog, handed from one participant to the next.
        let handed_on = first_key & 3 == 0 && first.index + 1 < self.per_day;
        let dialog_key = if handed_on { first_key } else { key };
        let dialog = hash(&[dialog_key, Decision::Dialog as u64]);
        let voice = dialog % 100 < 70;
        let end_ms = self.end_ms(sub, position);
        let (dialog_start_ms, dialog_end_ms) = match (handed_on, first == position) {
            (true, true) => {
                let second = position.with_index(position.index + 1);
                (end_ms - length_ms(key, voice), self.end_ms(sub, second))
            }
            (true, false) => {
                let first_end_ms = self.end_ms(sub, first);
                (first_end_ms - length_ms(first_key, voice), end_ms)
            }
            (false, _) => (end_ms - length_ms(key, voice), end_ms),
        };
        SimulatedSegment {
            position,
            key,
            dialog,
            dialog_start_ms,
            dialog_end_ms,
            start_ms: (end_ms - length_ms(key, voice)).max(dialog_start_ms),
            end_ms,
            voice,
            agent_group: 4101 + hash(&[key, Decision::Shape as u64, 1]) % self.agent_groups,
        }
    }

    /// Returns the hash that decides one aspect of the segment at a position.
    fn roll(&self, sub: &SimulatedSubAccount, decision: Decision, position: Position) -> u64 {
        let day = (position.day - self.day_zero) as u64;
        hash(&[sub.hash, decision as u64, day, position.index])
    }

    /// Returns the end of a segment in UTC milliseconds, which is never before that of the previous position.
    fn end_ms(&self, sub: &SimulatedSubAccount, position: Position) -> i64 {
        let Position { day, index } = position;
        let jitter = unit(self.roll(sub, Decision::End, position));
        let share = (index as f64 + jitter) / self.per_day as f64;
        let of_day_ms = (time_of_day(share) * DAY_MS as f64) as i64;
        day * DAY_MS + of_day_ms.clamp(0, DAY_MS - 1)
    }

    /// Returns the first position whose segment does not end before `ms`.
    fn first_from(&self, sub: &SimulatedSubAccount, ms: i64) -> Position {
        let day = ms.div_euclid(DAY_MS);
        let (mut low, mut high) = (0, self.per_day);
        while low < high {
            let index = low + (high - low) / 2;
            match self.end_ms(sub, Position { day, index }) < ms {
                true => low = index + 1,
                false => high = index,
            }
        }
        Position { day, index: low }
    }

    /// Returns the positions whose segments end in `from_ms..to_ms`.
    pub(super) fn ending_in(
        &self,
        sub: &SimulatedSubAccount,
        from_ms: i64,
        to_ms: i64,
    ) -> Positions {
        let (next, end) = if self.per_day == 0 || to_ms <= from_ms {
            let nowhere = Position { day: 0, index: 0 };
            (nowhere, nowhere)
        } else {
            (self.first_from(sub, from_ms), self.first_from(sub, to_ms))
        };
        Positions {
            next,
            end,
            per_day: self.per_day,
        }
    }

    /// Returns the numbers that belong to one aspect of one segment.
    pub(super) fn dice(&self, decision: Decision, segment: &SimulatedSegment) -> Dice {
        Dice::new(&[segment.key, decision as u64, 2])
    }
}

/// Consecutive positions, across days.
#[derive(Debug, Clone)]
pub(super) struct Positions {
    next: Position,
    /// Exclusive.
    end: Position,
    /// After as many positions, the next day begins.
    per_day: u64,
}

impl Iterator for Positions {
    type Item = Position;

    fn next(&mut self) -> Option<Position> {
        if self.next.index >= self.per_day {
            self.next = Position {
                day: self.next.day + 1,
                index: 0,
            };
        }
        let here = self.next;
        (here < self.end).then(|| {
            self.next.index += 1;
            here
        })
    }
}

/// Returns the share of a day that has passed when the given share of its segments has ended.
fn time_of_day(share: f64) -> f64 {
    let mut left = share * TRAFFIC.iter().sum::<f64>();
    for (hour, traffic) in TRAFFIC.iter().enumerate() {
        if left < *traffic {
            return (hour as f64 + left / traffic) / 24.0;
        }
        left -= traffic;
    }
    1.0
}

/// Returns the length of a segment: 20 s to 25 minutes for a call, to 4 hours for digital.
fn length_ms(key: u64, voice: bool) -> i64 {
    let longest_s = if voice { 1_500 } else { 4 * 3_600 };
    // Squared, because most conversations are short.
    let share = unit(hash(&[key, Decision::Shape as u64]));
    20 * SECOND_MS + (share * share * f64::from(longest_s) * 1_000.0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::time::HOUR_MS;

    fn world(faults: Faults) -> World {
        let sub_accounts = vec!["99999999".into(), "88888888".into()];
        World::new(&SimulatorOptions {
            sub_accounts,
            faults,
            ..SimulatorOptions::default()
        })
    }

    const NOON: i64 = 1_795_176_000_000; // 2026-11-20T12:00:00Z

    #[test]
    fn the_same_seed_gives_the_same_segments_and_another_seed_others() {
        let at = Position {
            day: 20_777,
            index: 7,
        };
        let ids = |seed| {
            let world = World::new(&SimulatorOptions {
                seed,
                ..SimulatorOptions::default()
            });
            let sub = world.sub_accounts[0].clone();
            world.id(&sub, &world.segment(&sub, at))
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
    }

    #[test]
    fn days_that_are_equally_far_from_day_zero_have_the_same_segments() {
        let keys = |day_zero, day| -> Vec<u64> {
            let world = World::new(&SimulatorOptions {
                day_zero,
                ..SimulatorOptions::default()
            });
            let sub = &world.sub_accounts[0];
            (0..400)
                .map(|index| world.segment(sub, Position { day, index }).key)
                .collect()
        };
        assert_eq!(keys(20_777, 20_775), keys(20_900, 20_898));
        assert_ne!(keys(20_777, 20_775), keys(20_777, 20_774));
    }

    #[test]
    fn windows_of_any_length_tile_the_day_without_loss() {
        let world = world(Faults::default());
        let sub = &world.sub_accounts[0];
        let day = NOON.div_euclid(DAY_MS);
        for window_ms in [3 * HOUR_MS, 1_000_003, DAY_MS] {
            let mut found = Vec::new();
            let mut from = (day - 1) * DAY_MS;
            while from < (day + 2) * DAY_MS {
                found.extend(world.ending_in(sub, from, from + window_ms));
                from += window_ms;
            }
            found.retain(|at| at.day == day);
            let all: Vec<_> = (0..400).map(|index| Position { day, index }).collect();
            assert_eq!(found, all, "{window_ms}");
        }
    }

    #[test]
    fn ends_are_in_order_and_inside_their_day() {
        let world = World::new(&SimulatorOptions {
            segments_per_day: 20_000,
            ..SimulatorOptions::default()
        });
        let sub = &world.sub_accounts[0];
        let segments = (0..20_000).map(|index| world.segment(sub, Position { day: 20_777, index }));
        let ends: Vec<i64> = segments
            .inspect(|segment| {
                assert!(
                    segment.dialog_start_ms <= segment.start_ms
                        && segment.start_ms <= segment.end_ms
                );
            })
            .map(|segment| segment.end_ms)
            .collect();
        assert!(ends.is_sorted());
        assert!(ends[0] >= 20_777 * DAY_MS && ends[19_999] < 20_778 * DAY_MS);
    }
}
