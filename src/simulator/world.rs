//! The simulated contact centre: which segments end when, and which of them discovery shows.
//!
//! SimulatedSegment number i of a UTC day of a sub-account is computed from (seed, sub-account, day, i) alone, and its end
//! never precedes that of segment i - 1. So a window is a range of numbers, found by bisection: a day of a million
//! segments takes no memory, and asking twice gives the same answer.

use crate::simulator::dice::{Dice, hash, hash_text, hits, mix, unit, unmix};
use crate::simulator::options::{Faults, SimulatorOptions};
use crate::simulator::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, millis};

/// A repeated segment turns up again this much later: with windows of 3 h, in the neighbouring one.
pub(super) const REPEATED_AFTER_MS: i64 = 3 * HOUR_MS;
/// A displaced segment turns up only this much later.
pub(super) const MOVED_BY_MS: i64 = 7 * HOUR_MS;

/// Relative traffic of the UTC hours: a centre in the Americas, never quite asleep.
const TRAFFIC: [f64; 24] = [
    2.0, 1.0, 0.6, 0.4, 0.3, 0.3, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.5, 4.0, 5.0, 5.5, 5.5, 5.0, 5.0,
    5.0, 4.5, 4.0, 3.5, 3.0,
];

/// What a hash decides, so that no two decisions share their dice.
#[derive(Clone, Copy)]
pub(super) enum SegmentText {
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
    Line,
    Token,
    Transcript,
}

#[derive(Debug, Clone)]
pub(super) struct SimulatedSubAccount {
    pub(super) id: String,
    pub(super) denied: bool,
    hash: u64,
}

pub(super) struct World {
    pub(super) sub_accounts: Vec<SimulatedSubAccount>,
    pub(super) faults: Faults,
    pub(super) present: f64,
    pub(super) not_found: f64,
    per_day: u64,
    day_zero: i64,
    agent_groups: u64,
    retention_ms: i64,
}

/// One participant's part of an interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SimulatedSegment {
    pub(super) day: i64,
    pub(super) index: u64,
    /// Hash of everything that tells it from others.
    pub(super) key: u64,
    /// Hash of its dialog; two segments in a row may share one.
    pub(super) dialog: u64,
    pub(super) dialog_start_ms: i64,
    pub(super) dialog_end_ms: i64,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) voice: bool,
    pub(super) agent_group: u64,
}

/// Where discovery shows a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// In the window its end belongs to.
    Once,
    /// Twice in that window.
    Twice { differs: bool },
    /// There, and again [`REPEATED_AFTER_MS`] later.
    Again { differs: bool },
    /// Only [`MOVED_BY_MS`] later.
    Moved,
}

/// The number of a segment: its UTC day since the epoch, and which one of that day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) day: i64,
    pub(super) index: u64,
}

impl World {
    pub(super) fn new(options: &SimulatorOptions) -> Self {
        let faults = options.faults.clone().effective();
        let sub_account = |id: &String| SimulatedSubAccount {
            id: id.clone(),
            denied: faults.deny.contains(id),
            hash: hash(&[options.seed, hash_text(id)]),
        };
        World {
            sub_accounts: options.sub_accounts.iter().map(sub_account).collect(),
            present: options.present,
            not_found: options.not_found,
            // Numbers above 40 bits would not fit into a segment id.
            per_day: options.segments_per_day.min((1 << 40) - 1),
            day_zero: options.day_zero,
            agent_groups: u64::from(options.agent_groups.max(1)),
            retention_ms: options.retention.map_or(i64::MAX / 4, millis),
            faults,
        }
    }

    pub(super) fn sub_account(&self, id: &str) -> Option<&SimulatedSubAccount> {
        self.sub_accounts.iter().find(|one| one.id == id)
    }

    pub(super) fn segment(&self, sub: &SimulatedSubAccount, at: Position) -> SimulatedSegment {
        let key = self.roll(sub, SegmentText::Key, at);
        let first = Position {
            index: at.index & !1,
            ..at
        };
        let first_key = self.roll(sub, SegmentText::Key, first);
        // Every fourth pair is one dialog that was handed on from one participant to the next.
        let handed_on = first_key & 3 == 0 && first.index + 1 < self.per_day;
        let dialog = hash(&[
            if handed_on { first_key } else { key },
            SegmentText::Dialog as u64,
        ]);
        let voice = dialog % 100 < 70;
        let end_ms = self.end_ms(sub, at);
        let (dialog_start_ms, dialog_end_ms) = match (handed_on, first == at) {
            (true, true) => (
                end_ms - length_ms(key, voice),
                self.end_ms(
                    sub,
                    Position {
                        index: at.index + 1,
                        ..at
                    },
                ),
            ),
            (true, false) => (
                self.end_ms(sub, first) - length_ms(first_key, voice),
                end_ms,
            ),
            (false, _) => (end_ms - length_ms(key, voice), end_ms),
        };
        let start_ms = (end_ms - length_ms(key, voice)).max(dialog_start_ms);
        let agent_group = 4101 + hash(&[key, SegmentText::Shape as u64, 1]) % self.agent_groups;
        let Position { day, index } = at;
        SimulatedSegment {
            day,
            index,
            key,
            dialog,
            dialog_start_ms,
            dialog_end_ms,
            start_ms,
            end_ms,
            voice,
            agent_group,
        }
    }

    /// Returns the hash that decides one aspect of the segment at a position.
    fn roll(&self, sub: &SimulatedSubAccount, about: SegmentText, at: Position) -> u64 {
        let day = (at.day - self.day_zero) as u64;
        hash(&[sub.hash, about as u64, day, at.index])
    }

    /// UTC milliseconds; never before that of the position before.
    fn end_ms(&self, sub: &SimulatedSubAccount, at: Position) -> i64 {
        let jitter = unit(self.roll(sub, SegmentText::End, at));
        let share = (at.index as f64 + jitter) / self.per_day as f64;
        let of_day = (time_of_day(share) * DAY_MS as f64) as i64;
        at.day * DAY_MS + of_day.clamp(0, DAY_MS - 1)
    }

    /// The first position whose segment does not end before `ms`.
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

    /// The positions whose segments end in `from_ms..to_ms`.
    pub(super) fn ending_in(
        &self,
        sub: &SimulatedSubAccount,
        from_ms: i64,
        to_ms: i64,
    ) -> Positions {
        if self.per_day == 0 || to_ms <= from_ms {
            let nowhere = Position { day: 0, index: 0 };
            return Positions {
                next: nowhere,
                end: nowhere,
                per_day: self.per_day,
            };
        }
        let (next, end) = (self.first_from(sub, from_ms), self.first_from(sub, to_ms));
        Positions {
            next,
            end,
            per_day: self.per_day,
        }
    }

    /// Whether discovery knows the segment at `now_ms`: not for some minutes after it was to be shown, not after it
    /// vanished or the retention is over.
    pub(super) fn shown(&self, segment: &SimulatedSegment, now_ms: i64) -> bool {
        let delay_ms =
            (hash(&[segment.key, SegmentText::Delay as u64]) % 14 * MINUTE_MS as u64) as i64;
        let moved_ms = if self.place(segment) == Placement::Moved {
            MOVED_BY_MS
        } else {
            0
        };
        let age_ms = now_ms - segment.end_ms;
        let gone = self.is(SegmentText::Vanish, segment, self.faults.vanish)
            && age_ms >= millis(self.faults.vanish_after);
        age_ms >= delay_ms + moved_ms && !gone && self.retained(segment, now_ms)
    }

    pub(super) fn retained(&self, segment: &SimulatedSegment, now_ms: i64) -> bool {
        now_ms - segment.end_ms <= self.retention_ms
    }

    pub(super) fn place(&self, segment: &SimulatedSegment) -> Placement {
        if self.is(SegmentText::Moved, segment, self.faults.out_of_window) {
            return Placement::Moved;
        }
        // Without an id, differing copies would be two segments: nobody could tell them from each other.
        if self.has_no_id(segment)
            || !self.is(SegmentText::Duplicate, segment, self.faults.duplicates)
        {
            return Placement::Once;
        }
        let coin = hash(&[segment.key, SegmentText::Duplicate as u64, 1]);
        let differs = coin & 2 != 0;
        if coin & 1 == 0 {
            Placement::Twice { differs }
        } else {
            Placement::Again { differs }
        }
    }

    pub(super) fn has_no_id(&self, segment: &SimulatedSegment) -> bool {
        self.is(SegmentText::NoId, segment, self.faults.no_id)
    }

    pub(super) fn has_no_end(&self, segment: &SimulatedSegment) -> bool {
        self.is(SegmentText::NoEnd, segment, self.faults.no_end)
    }

    /// Whether discovery's object has been corrected by `now_ms`.
    pub(super) fn is_edited(&self, segment: &SimulatedSegment, now_ms: i64) -> bool {
        self.is(SegmentText::Edit, segment, self.faults.edits)
            && now_ms - segment.end_ms >= millis(self.faults.edit_after)
    }

    fn is(&self, about: SegmentText, segment: &SimulatedSegment, percent: f64) -> bool {
        percent > 0.0 && hits(hash(&[segment.key, about as u64]), percent)
    }

    /// Dice that belong to one aspect of one segment.
    pub(super) fn dice(&self, about: SegmentText, segment: &SimulatedSegment) -> Dice {
        Dice::new(&[segment.key, about as u64, 2])
    }

    /// The id, in the shapes that RingCX uses. It holds the position, scrambled, and a check.
    pub(super) fn id(&self, sub: &SimulatedSubAccount, segment: &SimulatedSegment) -> String {
        let place = self.scramble(sub, segment);
        let check = hash(&[segment.key, SegmentText::Check as u64]);
        match segment.voice {
            true => format!(
                "p-v-{place:016x}{check:016x}-{}-{:013x}",
                segment.start_ms,
                check >> 12 ^ place >> 12
            ),
            false => {
                let second = segment.start_ms.div_euclid(SECOND_MS) as u32;
                format!("{}-{second:08x}{place:016x}", self.dialog_id(segment))
            }
        }
    }

    pub(super) fn dialog_id(&self, segment: &SimulatedSegment) -> String {
        match segment.voice {
            true => format!("{:016x}{:016x}", segment.dialog, mix(segment.dialog)),
            false => {
                let second = segment.dialog_start_ms.div_euclid(SECOND_MS) as u32;
                format!("d-{second:08x}{:016x}", segment.dialog)
            }
        }
    }

    /// The segment that an id names, or `None` when it names none.
    pub(super) fn find(&self, sub: &SimulatedSubAccount, id: &str) -> Option<SimulatedSegment> {
        let place = match id.strip_prefix("p-v-") {
            Some(rest) => rest.get(..16)?,
            None => id.strip_prefix("d-")?.get(24 + 1 + 8..)?,
        };
        let packed = unmix(u64::from_str_radix(place, 16).ok()?) ^ mix(sub.hash);
        let at = Position {
            day: (packed >> 40) as i64,
            index: packed & ((1 << 40) - 1),
        };
        if at.index >= self.per_day {
            return None;
        }
        let segment = self.segment(sub, at);
        // Whatever was altered in the id, the genuine one differs from it.
        (self.id(sub, &segment) == id && !self.has_no_id(&segment)).then_some(segment)
    }

    fn scramble(&self, sub: &SimulatedSubAccount, segment: &SimulatedSegment) -> u64 {
        mix(((segment.day as u64 & 0xff_ffff) << 40 | segment.index) ^ mix(sub.hash))
    }
}

/// Positions in a row.
#[derive(Debug, Clone)]
pub(super) struct Positions {
    next: Position,
    end: Position,
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

/// The share of a day that has passed when the given share of its segments has ended.
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

fn length_ms(key: u64, voice: bool) -> i64 {
    let longest_s = if voice { 1_500 } else { 4 * 3_600 };
    // Squared, because most talks are short.
    let share = unit(hash(&[key, SegmentText::Shape as u64]));
    20 * SECOND_MS + (share * share * f64::from(longest_s) * 1_000.0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn ids_lead_back_to_their_segment_and_altered_ones_nowhere() {
        let world = world(Faults::default());
        let [sub, other] = &world.sub_accounts[..] else {
            panic!()
        };
        let (mut voice, mut digital) = (0, 0);
        for index in 0..400 {
            let segment = world.segment(sub, Position { day: 20_777, index });
            let id = world.id(sub, &segment);
            assert_eq!(world.find(sub, &id), Some(segment), "{id}");
            assert_eq!(world.find(other, &id), None, "{id}");
            for place in 4..id.len() {
                let mut altered = id.clone().into_bytes();
                altered[place] = if altered[place] == b'7' { b'8' } else { b'7' };
                assert_eq!(
                    world.find(sub, std::str::from_utf8(&altered).unwrap()),
                    None,
                    "{id} at {place}"
                );
            }
            if segment.voice {
                voice += 1
            } else {
                digital += 1
            }
            assert_eq!(id.len(), if segment.voice { 64 } else { 51 }, "{id}");
        }
        assert!(voice > 200 && digital > 60, "{voice} {digital}");
        for id in [
            "",
            "p-v-",
            "d-",
            "d-é",
            "p-v-zzzzzzzzzzzzzzzz",
            "p-v-é23456789abcdeff-1",
        ] {
            assert_eq!(world.find(sub, id), None);
        }
    }

    #[test]
    fn a_segment_is_shown_some_minutes_after_its_end_until_it_vanishes() {
        let world = world(Faults {
            vanish: 100.0,
            ..Faults::default()
        });
        let sub = &world.sub_accounts[0];
        let segment = world.segment(
            sub,
            Position {
                day: 20_777,
                index: 100,
            },
        );
        assert!(!world.shown(&segment, segment.end_ms - 1));
        assert!(world.shown(&segment, segment.end_ms + 15 * MINUTE_MS));
        assert!(!world.shown(&segment, segment.end_ms + 3 * DAY_MS));
    }
}
