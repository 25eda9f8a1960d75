//! The calendar of one sub-account: every date of the range is complete, empty, incomplete, missing or disposed of.

use jiff::civil::Date;

use crate::audit::verify::Verifier;
use crate::audit::verify::chain::ChainCheck;
use crate::audit::verify::finding::{Finding, FindingCode};
use crate::format::record::coverage::DayState;
use crate::format::time::day::Zone;

/// Counts the days, and tells of those that lack something. Without bounds the range is the chain's own; a date that
/// was asked for is a day, whatever the chain says.
pub fn days(verifier: &Verifier<'_>, sub_account: &str, check: &ChainCheck<'_>) {
    let range = verifier.options.days;
    let yesterday = |date: Date| date.yesterday().ok();
    let first = range.from.or(check.coverage.first_day);
    let last = range.to.and_then(yesterday).or(check.coverage.last_day());
    let (Some(first), Some(last)) = (first, last) else {
        return;
    };
    let zone = check
        .days
        .values()
        .next()
        .and_then(|day| day.newest())
        .and_then(|day| Zone::named(&day.zone).ok());
    let mut missing: Option<(Date, Date)> = None;
    for date in range.within(first, last) {
        let state = check.coverage.state(date);
        if state == DayState::Missing {
            // Some zones have skipped a date; nothing can be archived of it.
            if zone.as_ref().is_some_and(|zone| zone.day(date).is_err()) {
                continue;
            }
            verifier.count(|totals| totals.days_missing += 1);
            missing = Some(missing.map_or((date, date), |(from, _)| (from, date)));
            continue;
        }
        tell_missing(verifier, sub_account, missing.take());
        verifier.count(|totals| {
            *match state {
                DayState::Complete => &mut totals.days_complete,
                DayState::Disposed => &mut totals.days_disposed,
                DayState::Empty => &mut totals.days_empty,
                DayState::Gaps => &mut totals.days_incomplete,
                DayState::Acknowledged | DayState::Missing => &mut totals.days_acknowledged,
            } += 1;
        });
        tell(verifier, sub_account, date, state, check);
    }
    tell_missing(verifier, sub_account, missing);
}

fn tell(
    verifier: &Verifier<'_>,
    sub_account: &str,
    date: Date,
    state: DayState,
    check: &ChainCheck<'_>,
) {
    let code = match state {
        DayState::Gaps => FindingCode::DayIncomplete,
        DayState::Acknowledged => FindingCode::DayAcknowledged,
        _ => return,
    };
    let record = check.days.get(&date).and_then(|day| day.newest());
    let found = record.map_or_else(String::new, |record| {
        let because: Vec<&str> = record
            .incomplete_because
            .iter()
            .map(|reason| reason.name())
            .collect();
        format!(
            "{} summaries failed; {}",
            record.day.failed(),
            because.join(", ")
        )
    });
    verifier.report(Finding::new(
        code,
        format!("{sub_account} {date}"),
        "a complete day",
        found,
    ));
}

/// A stretch of missing days is told once.
fn tell_missing(verifier: &Verifier<'_>, sub_account: &str, missing: Option<(Date, Date)>) {
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
    verifier.report(Finding::new(
        FindingCode::DayMissing,
        object,
        "an archived day",
        found,
    ));
}

/// Open holds that nothing enforces: they look like those that something does.
pub fn holds(verifier: &Verifier<'_>, sub_account: &str, check: &ChainCheck<'_>) {
    // On a store without Object Lock none is enforced, whatever its record says: this may be a copy.
    let unenforced = if verifier.remote { Some(false) } else { None };
    for case in check.orders.cases() {
        let open = check.orders.open_ranges(case, unenforced);
        if !open.is_empty() {
            let ranges: Vec<String> = open.iter().map(ToString::to_string).collect();
            let found = format!("case {case} on {}", ranges.join(", "));
            let object = format!("sub_account={sub_account}");
            verifier.report(Finding::new(
                FindingCode::HoldNotEnforced,
                object,
                "a store that enforces holds",
                found,
            ));
        }
    }
}
