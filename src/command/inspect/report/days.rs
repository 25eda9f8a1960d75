//! The days of one sub-account as the script of the page reads them.
//!
//! The calendars and charts are drawn by the script from this data, which is JSON in columns: one list for each
//! number, with one entry for each date. A list of objects, one a day, would repeat each name for each day; half a
//! million days (200 sub-accounts, seven years) must fit into a page that a browser opens at once. The page holds the
//! JSON in compressed form.
//!
//! ```json
//! {"id":"99999999","zone":"UTC","first":"2026-11-16","states":"cemgc","segments":[31,0,0,40,38],
//!  "revisions":[1,1,0,1,2],"agent":{"empty":[2,0,0,1,1],"failed":[0,0,0,3,0]},"auto":{},"warnings":{}}
//! ```

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Serialize;

use crate::audit::calendar::{Calendar, CalendarDay};
use crate::format::record::Warning;
use crate::format::row::Statuses;

/// The letter of a date that the time zone skipped, as Samoa skipped 30 December 2011.
const SKIPPED: char = '.';

/// One number for each date from the first one on; an empty list stands for zeros only.
type Column = Vec<u64>;

/// The days of one sub-account, column by column.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct DayColumns {
    id: String,
    zone: String,
    /// The date of the first entry of each column.
    first: Date,
    /// One letter for each date: that of its [`crate::format::record::coverage::DayState`], or `.` if the time zone
    /// skipped the date.
    states: String,
    segments: Column,
    revisions: Column,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    out_of_day: Column,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vanished: Column,
    agent: StatusColumns,
    auto: StatusColumns,
    /// Names of the warnings that are not acknowledged, by date.
    warnings: BTreeMap<Date, Vec<String>>,
}

/// How many summaries of one kind ended in each status. The number of those that are present is what remains of the
/// segments.
#[derive(Debug, Clone, Default, Serialize)]
struct StatusColumns {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    empty: Column,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_found: Column,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Column,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    binary: Column,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Column,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    no_id: Column,
}

impl DayColumns {
    /// Returns the columns of a calendar's days, or `None` if it has none.
    pub fn of(calendar: &Calendar) -> Option<DayColumns> {
        let (first, last) = (calendar.days.first()?.date, calendar.days.last()?.date);
        let mut calendar_days = calendar.days.iter().peekable();
        // Days without an entry of their own are dates that the zone skipped.
        let days: Vec<Option<&CalendarDay>> = first
            .series(1.day())
            .take_while(|date| *date <= last)
            .map(|date| calendar_days.next_if(|day| day.date == date))
            .collect();
        Some(DayColumns {
            id: calendar.sub_account.clone(),
            zone: calendar.zone.clone(),
            first,
            states: days
                .iter()
                .map(|day| day.map_or(SKIPPED, |day| day.state.letter()))
                .collect(),
            segments: column(&days, |day| day.counts.segments),
            revisions: column(&days, |day| u64::from(day.revisions)),
            out_of_day: column(&days, |day| day.counts.out_of_day),
            vanished: column(&days, |day| day.counts.vanished),
            agent: StatusColumns::of(&days, |day| &day.counts.agent),
            auto: StatusColumns::of(&days, |day| &day.counts.auto),
            warnings: calendar
                .days
                .iter()
                .filter(|day| !day.warnings.is_empty())
                .map(|day| (day.date, day.warnings.iter().map(Warning::name).collect()))
                .collect(),
        })
    }
}

impl StatusColumns {
    fn of(days: &[Option<&CalendarDay>], statuses: fn(&CalendarDay) -> &Statuses) -> StatusColumns {
        StatusColumns {
            empty: column(days, |day| statuses(day).empty),
            not_found: column(days, |day| statuses(day).not_found),
            failed: column(days, |day| statuses(day).failed),
            binary: column(days, |day| statuses(day).binary),
            skipped: column(days, |day| statuses(day).skipped),
            no_id: column(days, |day| statuses(day).no_id),
        }
    }
}

/// Returns a number of each day, or nothing where all of them are 0.
fn column(days: &[Option<&CalendarDay>], number: impl Fn(&CalendarDay) -> u64) -> Column {
    let column: Column = days.iter().map(|day| day.map_or(0, &number)).collect();
    match column.iter().all(|number| *number == 0) {
        true => Column::new(),
        false => column,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;
    use crate::format::record::coverage::DayState;
    use crate::format::row::tally::Tally;
    use crate::format::time::Instant;

    fn day(date: Date, state: DayState, segments: u64, not_found: u64) -> CalendarDay {
        let auto = Statuses {
            not_found,
            ..Statuses::default()
        };
        CalendarDay {
            date,
            state,
            revisions: u32::from(state != DayState::Missing),
            counts: Tally {
                segments,
                auto,
                ..Tally::default()
            },
            files: 0,
            bytes: 0,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn columns_have_an_entry_for_each_date_also_for_one_that_the_zone_skipped() {
        let calendar = Calendar {
            sub_account: "apia".into(),
            zone: "Pacific/Apia".into(),
            head: String::new(),
            committed_at: Instant::from_millis(0),
            archived: None,
            days: vec![
                day(date(2011, 12, 29), DayState::Complete, 7, 2),
                day(date(2011, 12, 31), DayState::Missing, 0, 0),
            ],
            groups: BTreeMap::new(),
            locks: None,
        };
        let expected = json!({
            "id": "apia", "zone": "Pacific/Apia", "first": "2011-12-29", "states": "c.m", "segments": [7, 0, 0],
            "revisions": [1, 0, 0], "agent": {}, "auto": {"not_found": [2, 0, 0]}, "warnings": {},
        });
        assert_eq!(json!(DayColumns::of(&calendar)), expected);
        let without_days = Calendar {
            days: Vec::new(),
            ..calendar
        };
        assert!(DayColumns::of(&without_days).is_none());
    }
}
