//! The calendar of one sub-account: every date of the range is complete, empty, incomplete, missing or disposed of.
//!
//! Nothing is read here: the chain has been read, and the dates come from the calendar itself, so that a day that no
//! record mentions is found as well.
//!
//! # What is checked
//!
//! Each date of the range is archived, or is reported as missing; consecutive missing dates are one finding. Days with gaps are
//! findings of their own, acknowledged ones are notices. Dates that the chain's time zone has skipped do not exist.
//!
//! # What is not checked
//!
//! Days before the chain's first one, unless the range names them: the archive does not say when the sub-account was opened.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::audit::verify::chain::ChainCheck;
use crate::audit::verify::days::CommittedDay;
use crate::audit::verify::finding::{Finding, FindingCode};
use crate::audit::verify::verifier::VerifyTotals;
use crate::format::record::DayState;
use crate::format::time::{Days, Zone};

/// The days of a range by state, and the findings about them.
#[derive(Debug, Default)]
pub(crate) struct CalendarCheck {
    counts: BTreeMap<char, u64>,
    pub findings: Vec<Finding>,
}

impl CalendarCheck {
    /// Returns the number of days in a state.
    pub fn count(&self, state: DayState) -> u64 {
        self.counts.get(&state.letter()).copied().unwrap_or(0)
    }

    /// Adds the days to the totals of a verification.
    pub(crate) fn add_to(&self, totals: &mut VerifyTotals) {
        totals.days_complete += self.count(DayState::Complete);
        totals.days_empty += self.count(DayState::Empty);
        totals.days_incomplete += self.count(DayState::Gaps);
        totals.days_acknowledged += self.count(DayState::Acknowledged);
        totals.days_missing += self.count(DayState::Missing);
        totals.days_disposed += self.count(DayState::Disposed);
    }

    /// Adds one finding for a run of missing days.
    fn add_missing(&mut self, sub_account: &str, missing: Option<(Date, Date)>) {
        let Some((from, to)) = missing else { return };
        let (object, found) = if from == to {
            (format!("{sub_account} {from}"), "nothing".to_owned())
        } else {
            let days = to.since(from).map_or(0, |span| span.get_days()) + 1;
            (
                format!("{sub_account} {from} to {to}"),
                format!("nothing on {days} days"),
            )
        };
        self.findings.push(Finding::new(
            FindingCode::DayMissing,
            object,
            "an archived day",
            found,
        ));
    }
}

/// Checks the days of a range. Without bounds the range is from the chain's first to its last archived day; a bound is
/// kept even where nothing is archived, so that the days up to it are missing.
pub fn days(range: &Days, sub_account: &str, check: &ChainCheck) -> CalendarCheck {
    let mut calendar = CalendarCheck::default();
    let first = range.from.or(check.coverage.first_day);
    let last = range
        .to
        .and_then(|to| to.yesterday().ok())
        .or(check.coverage.last_day());
    let (Some(first), Some(last)) = (first, last) else {
        return calendar;
    };
    let first_archived = check.days.values().next().and_then(CommittedDay::newest);
    let zone = first_archived.and_then(|day| Zone::named(&day.zone).ok());
    let mut missing: Option<(Date, Date)> = None;
    for date in range.within(first, last) {
        let state = check.coverage.state(date);
        // A time zone may have skipped the date; then nothing can be archived.
        let exists = zone.as_ref().is_none_or(|zone| zone.day(date).is_ok());
        if state == DayState::Missing && !exists {
            continue;
        }
        *calendar.counts.entry(state.letter()).or_default() += 1;
        if state == DayState::Missing {
            missing = Some(missing.map_or((date, date), |(from, _)| (from, date)));
            continue;
        }
        calendar.add_missing(sub_account, missing.take());
        calendar
            .findings
            .extend(incomplete(check, sub_account, date, state));
    }
    calendar.add_missing(sub_account, missing);
    calendar
}

/// Returns the finding about a day with gaps, acknowledged or not; `None` for any other day.
fn incomplete(
    check: &ChainCheck,
    sub_account: &str,
    date: Date,
    state: DayState,
) -> Option<Finding> {
    let code = match state {
        DayState::Gaps => FindingCode::DayIncomplete,
        DayState::Acknowledged => FindingCode::DayAcknowledged,
        _ => return None,
    };
    let newest = check.days.get(&date).and_then(|day| day.newest());
    let found = newest.map_or_else(String::new, |record| {
        let reasons: Vec<&str> = record
            .incomplete_because
            .iter()
            .map(|reason| reason.name())
            .collect();
        format!(
            "{} summaries failed; {}",
            record.day.failed(),
            reasons.join(", ")
        )
    });
    let object = format!("{sub_account} {date}");
    Some(Finding::new(code, object, "a complete day", found))
}

/// Returns a finding for each case with an open legal hold that the store does not enforce, because a reader could not
/// tell it from one that is enforced. `remote` says whether the store has Object Lock: a folder enforces no hold, whatever
/// the record says, since it may be a copy.
pub(crate) fn unenforced_holds(
    check: &ChainCheck,
    sub_account: &str,
    remote: bool,
) -> Vec<Finding> {
    let unenforced = if remote { Some(false) } else { None };
    let mut findings = Vec::new();
    for case in check.obligations.cases() {
        let open = check.obligations.open_ranges(case, unenforced);
        if !open.is_empty() {
            let ranges: Vec<String> = open.iter().map(ToString::to_string).collect();
            findings.push(Finding::new(
                FindingCode::HoldNotEnforced,
                format!("sub_account={sub_account}"),
                "a store that enforces holds",
                format!("case {case} on {}", ranges.join(", ")),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::date;

    use super::*;
    use crate::audit::verify::testing::identity;
    use crate::format::record::coverage::Coverage;

    #[test]
    fn each_day_of_the_range_is_counted_and_consecutive_missing_days_are_one_finding() {
        let mut check = ChainCheck::new(identity(), "1", Arc::default());
        check.coverage = Coverage {
            first_day: Some(date(2026, 11, 1)),
            days: "cemmgad".into(),
        };
        let cases: [(Days, [u64; 6], &[&str]); 3] = [
            // Without bounds: the days of the chain, in the order of `DayState::ALL`.
            (
                Days::default(),
                [1, 1, 1, 1, 2, 1],
                &["1 2026-11-03 to 2026-11-04", "1 2026-11-05", "1 2026-11-06"],
            ),
            // A bound before the first and after the last archived day adds missing days.
            (
                Days {
                    from: Some(date(2026, 10, 31)),
                    to: Some(date(2026, 11, 2)),
                },
                [1, 0, 0, 0, 1, 0],
                &["1 2026-10-31"],
            ),
            (
                Days {
                    from: Some(date(2026, 11, 7)),
                    to: Some(date(2026, 11, 10)),
                },
                [0, 0, 0, 0, 2, 1],
                &["1 2026-11-08 to 2026-11-09"],
            ),
        ];
        for (range, counts, objects) in cases {
            let calendar = days(&range, "1", &check);
            assert_eq!(DayState::ALL.map(|state| calendar.count(state)), counts);
            let found: Vec<&str> = calendar
                .findings
                .iter()
                .map(|finding| finding.object.as_str())
                .collect();
            assert_eq!(found, objects, "{range}");
        }
    }

    #[test]
    fn a_chain_without_days_has_no_missing_day() {
        let check = ChainCheck::new(identity(), "1", Arc::default());
        assert!(days(&Days::default(), "1", &check).findings.is_empty());
    }
}
