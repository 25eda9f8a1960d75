//! A range of days of one sub-account as one pipeline: discovery of the next ones runs while this one's summaries are
//! fetched.

use std::cell::Cell;

use futures_util::{StreamExt, stream};
use jiff::civil::Date;

use crate::command::night::sub_accounts::{DayTask, NightContext, SubAccountJob};
use crate::command::night::summary::DayReport;
use crate::day::pipeline::Pipeline;
use crate::format::time::range::Days;
use crate::outcome::{Exit, Failure, Result};

/// Days of a sub-account under way at once: one that fetches, one that waits for its turn with its windows answered, and
/// one that asks for them. More would only be held in memory.
const DAYS_AT_ONCE: usize = 3;
/// Days in a row that the API or the store would not serve: the others will fare no better now.
const FAILURES_IN_A_ROW: u32 = 3;

/// Does `task` for each of `days`, in their order. A day that fails does not stop the others, unless they would end
/// likewise.
pub async fn in_order(
    worker: &NightContext<'_>,
    target: &SubAccountJob<'_>,
    days: Vec<Date>,
    task: &DayTask,
) -> Vec<DayReport> {
    let shown = worker.progress.days(&target.sub_account, days.len() as u64);
    let pipeline = Pipeline::default();
    let ended = Cell::new(false);
    let work = |date: Date| {
        // The stream asks for days one after the other, as their predecessors end.
        let place = (!ended.get()).then(|| pipeline.slot());
        async move { Some(worker.day(target, date, task, place?).await) }
    };
    let mut done = stream::iter(days).map(work).buffer_unordered(DAYS_AT_ONCE);
    let (mut reports, mut in_a_row, mut segments) = (Vec::new(), 0, 0);
    while let Some(report) = done.next().await {
        let Some(report) = report else { continue };
        in_a_row = if report.exit == Exit::Later {
            in_a_row + 1
        } else {
            0
        };
        ended.set(ended.get() || ends(&report) || in_a_row >= FAILURES_IN_A_ROW);
        segments += report
            .archived
            .as_ref()
            .map_or(0, |archived| archived.counts.segments);
        shown.done(segments);
        reports.push(report);
    }
    reports
}

/// Other days of the same sub-account would end likewise, or must not be touched.
fn ends(report: &DayReport) -> bool {
    report.archived.is_none() && !matches!(report.exit, Exit::Locked | Exit::Later)
}

/// The first and the last day of `range`, which must be over.
pub fn ended(
    worker: &NightContext<'_>,
    target: &SubAccountJob<'_>,
    range: Days,
) -> Result<(Date, Date)> {
    let yesterday = worker.yesterday(&target.zone)?;
    let from = range.from.unwrap_or(yesterday);
    if let Some(failure) = worker.mistyped(from) {
        return Err(failure);
    }
    let last = range
        .to
        .and_then(|to| to.yesterday().ok())
        .unwrap_or(yesterday);
    if last <= yesterday {
        return Ok((from, last));
    }
    let zone = target.zone.name();
    let message =
        format!("{last} is not over yet in {zone}: {range} reaches past yesterday, {yesterday}");
    let today = yesterday.tomorrow().unwrap_or(yesterday);
    Err(Failure::new(Exit::Usage, message).remedy(format!(
        "--to is the day AFTER the last one: --to {today} at most."
    )))
}
