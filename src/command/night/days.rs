//! Visits the days of one sub-account, in the order of the worklist.
//!
//! A night visits one day after another, the most important one first: each may be the last one that the quota suffices
//! for. A range is visited as a pipeline, so that neither of the two rate limits waits for the other. Both end early where
//! the remaining days would fail in the same way, for example after a violation of the chain or a revoked credential.
//!
//! A crash leaves each day under way in its own journal; all of them are continued by the next run.

use std::cell::Cell;

use futures_util::{StreamExt, stream};
use jiff::civil::Date;

use crate::command::night::day_report::DayReport;
use crate::command::night::job::{NightContext, SubAccountJob};
use crate::command::night::one_day::archive_day;
use crate::command::night::worklist::{DayTask, WorkItem, Worklist, due_rechecks, missed_days};
use crate::day::pipeline::Pipeline;
use crate::format::record::Why;
use crate::outcome::{Exit, Result};

/// Days of a sub-account under way at once: one that fetches, one that waits for its turn with its windows answered, and
/// one that requests them. More days would only be held in memory.
const DAYS_AT_ONCE: usize = 3;
/// After so many days in a row that the API or the store did not serve, the others are left for another run.
const FAILURES_IN_A_ROW: u32 = 3;

/// Visits the days of one sub-account, and reports each. A failure before the first day is a report without a date.
pub async fn archive_days(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    worklist: &Worklist,
) -> Vec<DayReport> {
    if let Worklist::Nightly(date) = worklist {
        return archive_night(context, job, *date).await;
    }
    match worklist.items(context, job).await {
        Ok(items) => archive_pipelined(context, job, items).await,
        Err(failure) => vec![DayReport::failed(&job.sub_account, None, &failure)],
    }
}

/// Visits the day of the night first, then the missed days, then the rechecks that are due; one day after another, since
/// each of them may be the last one that the quota suffices for.
async fn archive_night(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    date: Option<Date>,
) -> Vec<DayReport> {
    let newest = match newest_day(context, job, date) {
        Ok(newest) => newest,
        Err(failure) => return vec![DayReport::failed(&job.sub_account, date, &failure)],
    };
    let pipeline = Pipeline::default();
    // A day that the operator names is tried even where its gaps are acknowledged.
    let task = DayTask::Archive {
        why: Why::Nightly,
        insist: date.is_some(),
    };
    let report = archive_day(context, job, newest, &task, pipeline.slot()).await;
    // Just after midnight yesterday is still settling; that is no reason to leave older days for another night.
    let settle_ms = context.archive.policy.settle_ms;
    let now_ms = context.archive.clock.now_ms();
    // By this host's clock: the day itself is judged by the clock of RingCX.
    let is_settling = job
        .window(newest)
        .is_ok_and(|day| day.end_ms + settle_ms > now_ms);
    let ends = report.ends_sub_account() && !is_settling;
    let mut reports = vec![report];
    if date.is_some() || ends {
        return reports;
    }
    // Rechecks come last: what is archived already can wait for another night, should the quota not suffice.
    for is_recheck in [false, true] {
        // Computed only now: the visits before may have changed what is due.
        let due = match is_recheck {
            false => missed_days(context, job, newest).await,
            true => due_rechecks(context, job, newest).await,
        };
        let items = due.unwrap_or_else(|failure| {
            reports.push(DayReport::failed(&job.sub_account, None, &failure));
            Vec::new()
        });
        for WorkItem { date, task } in items {
            let report = archive_day(context, job, date, &task, pipeline.slot()).await;
            let ends = report.ends_sub_account();
            reports.push(report);
            if ends {
                return reports;
            }
        }
    }
    reports
}

/// Returns the day that the night begins with.
///
/// # Errors
/// [`Exit::Usage`] for a date that looks mistyped, or a clock that is out of range.
fn newest_day(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    date: Option<Date>,
) -> Result<Date> {
    match date {
        Some(date) => context.check_year(date).map(|()| date),
        None => context.yesterday(job),
    }
}

/// Visits the days in their order, several at once: discovery of the next days goes on while summaries of this one are
/// fetched. A day that fails does not stop the others, unless they would fail in the same way.
async fn archive_pipelined(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    items: Vec<WorkItem>,
) -> Vec<DayReport> {
    let days_progress = context.progress.days(&job.sub_account, items.len() as u64);
    let pipeline = Pipeline::default();
    let has_ended = Cell::new(false);
    let mut visits = stream::iter(items)
        .map(|WorkItem { date, task }| {
            // The stream takes the days one after another, as earlier days end: so do they take their slots.
            let slot = (!has_ended.get()).then(|| pipeline.slot());
            async move { Some(archive_day(context, job, date, &task, slot?).await) }
        })
        .buffer_unordered(DAYS_AT_ONCE);
    let (mut reports, mut failures_in_a_row, mut segments) = (Vec::new(), 0, 0);
    while let Some(report) = visits.next().await {
        // A day that was not visited, since an earlier one has ended the range.
        let Some(report) = report else { continue };
        // Days end out of order, but failures of the API or the store come together.
        failures_in_a_row = match report.exit {
            Exit::Later => failures_in_a_row + 1,
            _ => 0,
        };
        if report.ends_range() || failures_in_a_row >= FAILURES_IN_A_ROW {
            has_ended.set(true);
        }
        segments += report.segments();
        days_progress.done(segments);
        reports.push(report);
    }
    reports
}
