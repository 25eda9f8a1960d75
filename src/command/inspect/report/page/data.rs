//! The days for the script: half a million of them must fit into a few megabytes.
//!
//! ```json
//! {"accounts":[{"id":"99999999","zone":"UTC","first":"2026-11-16","states":"c8e2g","counts":"…","warnings":{}}]}
//! ```
//!
//! `states` has a letter for each date from `first` on, `.` for one that the zone skipped, each followed by how often
//! it repeats when it does. `counts` has for every date that is neither `m` nor `.`, in order, these numbers:
//!
//! ```text
//! 2 x segments, plus 1 when extras follow
//! empty and not found of the agent's, of the AI's                         unless there are no segments
//! extras: a sum of 1: revisions (otherwise 1)
//!                  2, 4: failed, binary, skipped, no id of the agent's; of the AI's (otherwise 0)
//!                  8: segments outside the day, vanished segments (otherwise 0), and then each of these in order
//! ```
//!
//! A number is written in characters that stand for themselves in JSON and in HTML: see [`number`].

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Serialize;

use crate::audit::calendar::{Calendar, CalendarDay};
use crate::command::inspect::report::chain::ReportedChain;
use crate::format::record::coverage::DayState;
use crate::format::row::tally::Statuses;

/// A date that the zone skipped.
const SKIPPED: char = '.';

/// One sub-account's days.
#[derive(Debug, Clone, Serialize)]
pub struct PackedDays {
    id: String,
    zone: String,
    first: Date,
    states: String,
    counts: String,
    /// Names of the warnings that nobody has acknowledged, by date.
    warnings: BTreeMap<Date, Vec<String>>,
}

/// The data as JSON that nothing in it can lead out of a `<script>`.
pub fn json(chains: &[ReportedChain]) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        accounts: Vec<&'a PackedDays>,
    }
    let accounts = chains
        .iter()
        .filter_map(|chain| chain.packed.as_ref())
        .collect();
    // Texts, lists and maps with texts for keys only: this cannot fail.
    serde_json::to_string(&Data { accounts })
        .unwrap_or_default()
        .replace('<', "\\u003c")
}

impl PackedDays {
    /// `None` without any day.
    pub fn of(calendar: &Calendar) -> Option<PackedDays> {
        let first = calendar.days.first()?.date;
        let (mut states, mut counts) = (Vec::with_capacity(calendar.days.len()), String::new());
        let mut next = first;
        for day in &calendar.days {
            while next < day.date {
                states.push(SKIPPED);
                next = next.saturating_add(1.day());
            }
            states.push(day.state.letter());
            if day.state != DayState::Missing {
                record(day, &mut counts);
            }
            next = next.saturating_add(1.day());
        }
        let warned = calendar.days.iter().filter(|day| !day.warnings.is_empty());
        Some(PackedDays {
            id: calendar.sub_account.clone(),
            zone: calendar.zone.clone(),
            first,
            states: runs(&states),
            counts,
            warnings: warned
                .map(|day| {
                    (
                        day.date,
                        day.warnings.iter().map(|one| one.name()).collect(),
                    )
                })
                .collect(),
        })
    }
}

/// `ccceg` as `c3eg`.
fn runs(letters: &[char]) -> String {
    let mut text = String::new();
    for run in letters.chunk_by(|one, other| one == other) {
        text.extend(run.first());
        if run.len() > 1 {
            text.push_str(&run.len().to_string());
        }
    }
    text
}

fn record(day: &CalendarDay, into: &mut String) {
    let tally = &day.counts;
    let rare = |of: &Statuses| [of.failed, of.binary, of.skipped, of.no_id];
    let (agent, auto) = (rare(&tally.agent), rare(&tally.auto));
    let elsewhere = [tally.out_of_day, tally.vanished];
    let extras = [
        (1, day.revisions != 1, &[u64::from(day.revisions)][..]),
        (2, agent != [0; 4], &agent),
        (4, auto != [0; 4], &auto),
        (8, elsewhere != [0; 2], &elsewhere),
    ];
    let told = || extras.iter().filter(|(_, told, _)| *told);
    let flags: u64 = told().map(|(flag, ..)| flag).sum();
    number(
        tally.segments.saturating_mul(2) | u64::from(flags > 0),
        into,
    );
    if tally.segments > 0 {
        let common = [
            tally.agent.empty,
            tally.agent.not_found,
            tally.auto.empty,
            tally.auto.not_found,
        ];
        common.iter().for_each(|&value| number(value, into));
    }
    if flags > 0 {
        number(flags, into);
        told()
            .flat_map(|(_, _, values)| *values)
            .for_each(|&value| number(value, into));
    }
}

/// Digits to the base of 90, the highest first: the characters from `#` to `~` but for `<` and `\`. The first one says
/// how many there are, so that what is common is short.
///
/// ```text
/// 0 to 49   the number itself
/// 50 to 79  one more digit: 50 and up
/// 80 to 88  two more: 2,750 and up
/// 89        eight more
/// ```
fn number(value: u64, into: &mut String) {
    const BASE: u64 = 90;
    let mut digits = |value: u64, count: u32| {
        for place in (0..count).rev() {
            into.push(digit(value / BASE.pow(place) % BASE));
        }
    };
    match value {
        0..50 => digits(value, 1),
        50..2_750 => digits(50 * BASE + value - 50, 2),
        2_750..75_650 => digits(80 * BASE * BASE + value - 2_750, 3),
        _ => digits(89 * BASE.pow(8) + value.min(BASE.pow(8) - 1), 9),
    }
}

fn digit(value: u64) -> char {
    let plain = b'#' + u8::try_from(value).unwrap_or(0);
    let beyond_less_than = plain + u8::from(plain >= b'<');
    char::from(beyond_less_than + u8::from(beyond_less_than >= b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: u64) -> String {
        let mut text = String::new();
        number(value, &mut text);
        text
    }

    /// As the script reads it.
    fn read(text: &str) -> u64 {
        let mut digits = text.bytes().map(|byte| {
            let byte = byte - u8::from(byte > b'\\');
            u64::from(byte - u8::from(byte > b'<') - b'#')
        });
        let mut more =
            |count: u32| (0..count).fold(0, |value, _| value * 90 + digits.next().unwrap());
        match more(1) {
            first @ 0..50 => first,
            first @ 50..80 => 50 + (first - 50) * 90 + more(1),
            first @ 80..89 => 2_750 + (first - 80) * 8_100 + more(2),
            _ => more(8),
        }
    }

    #[test]
    fn numbers_are_read_as_they_were_written_and_take_no_more_than_they_need() {
        for (value, length) in [
            (0, 1),
            (49, 1),
            (50, 2),
            (2_749, 2),
            (2_750, 3),
            (75_649, 3),
            (75_650, 9),
        ] {
            assert_eq!(
                (read(&written(value)), written(value).len()),
                (value, length)
            );
        }
        for value in (0..80_000).chain([1 << 40]) {
            let text = written(value);
            assert_eq!(read(&text), value);
            assert!(
                text.bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"<\\\"".contains(&byte)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_repeats_is_counted() {
        assert_eq!(runs(&['c', 'c', 'c', 'e', 'm', 'm']), "c3em2");
        assert_eq!(runs(&[]), "");
    }
}
