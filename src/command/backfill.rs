//! `cxvault backfill`: a range of days, as one pipeline.

use std::cell::Cell;

use futures_util::{StreamExt, stream};
use jiff::civil::Date;

use super::Context;
use super::report::{self, DayReport};
use super::shard::Shard;
use super::wiring::Urgency;
use super::work::{Target, Worker, for_sub_accounts};
use crate::archive::coverage::DayState;
use crate::archive::day::DayError;
use crate::archive::manifest::Why;
use crate::archive::range::Days;
use crate::cli::operate::{BackfillArgs, Order};
use crate::config::Settings;
use crate::outcome::{Exit, Failure, Result};
use crate::stage::pipeline::Pipeline;

/// Days of a sub-account under way at once: one that fetches, one that waits for its turn with its windows answered, and
/// one that asks for them. More would only be held in memory.
const DAYS_AT_ONCE: usize = 3;
/// Days in a row that the API or the store would not serve: the others will fare no better now.
const FAILURES_IN_A_ROW: u32 = 3;

pub async fn run(args: &BackfillArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let range = args.days()?;
    let shard = shard(args, context)?;
    if let Some(Shard { index, of }) = shard {
        tracing::info!(shard = format!("{}/{of}", index + 1), "this process archives its share only");
    }
    let outcome = for_sub_accounts(
        settings,
        context,
        Urgency::Spare,
        shard,
        async |worker: &Worker<'_>, target: &Target<'_>| sub_account(worker, target, range, args.order).await,
    )
    .await?;
    report::finish_backfill(range, &outcome, &context.output);
    Ok(outcome.exit)
}

/// `--shard`, or what the engine says that runs several of us.
fn shard(args: &BackfillArgs, context: &Context) -> Result<Option<Shard>> {
    if let Some(shard) = args.shard {
        return Ok(Some(Shard { index: shard.n as usize - 1, of: shard.of as usize }));
    }
    let number = |name: &str| -> Result<Option<usize>> {
        let Some(text) = context.environment.get(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| {
            Failure::new(Exit::Usage, format!("{name} is not a number")).remedy("Say --shard N/T instead.")
        })?;
        Ok(Some(number))
    };
    for (index, of) in [
        ("JOB_COMPLETION_INDEX", "CXVAULT_SHARDS"),
        ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    ] {
        let Some(at) = number(index)? else { continue };
        let shards = number(of)?.filter(|&shards| at < shards).ok_or_else(|| {
            let message = format!("{index} is {at}, but {of} does not say of how many");
            Failure::new(Exit::Usage, message)
                .remedy(format!("Set {of} to the number of completions, or say --shard N/T."))
        })?;
        return Ok(Some(Shard { index: at, of: shards }));
    }
    Ok(None)
}

/// The range's days of one sub-account that are not sealed.
async fn sub_account(worker: &Worker<'_>, target: &Target<'_>, range: Days, order: Order) -> Vec<DayReport> {
    let open = match open_days(worker, target, range, order).await {
        Ok(open) => open,
        Err(failure) => return vec![DayReport::failed(&target.sub_account, None, &failure)],
    };
    let shown = worker.progress.days(&target.sub_account, open.len() as u64);
    let pipeline = Pipeline::default();
    let ended = Cell::new(false);
    let work = |date: Date| {
        // The stream asks for days one after the other, as their predecessors end.
        let place = (!ended.get()).then(|| pipeline.place());
        async move { Some(worker.day(target, (date, true), Why::Backfill, place?).await) }
    };
    let mut done = stream::iter(open).map(work).buffer_unordered(DAYS_AT_ONCE);
    let (mut reports, mut in_a_row, mut segments) = (Vec::new(), 0, 0);
    while let Some(report) = done.next().await {
        let Some(report) = report else { continue };
        in_a_row = if report.exit == Exit::Later { in_a_row + 1 } else { 0 };
        ended.set(ended.get() || ends(&report) || in_a_row >= FAILURES_IN_A_ROW);
        segments += report.archived.as_ref().map_or(0, |archived| archived.counts.segments);
        shown.done(segments);
        reports.push(report);
    }
    reports
}

/// Other days of the same sub-account would end likewise, or must not be touched.
fn ends(report: &DayReport) -> bool {
    report.archived.is_none() && !matches!(report.exit, Exit::Locked | Exit::Later)
}

async fn open_days(worker: &Worker<'_>, target: &Target<'_>, range: Days, order: Order) -> Result<Vec<Date>> {
    let yesterday = worker.yesterday(&target.zone)?;
    let (Some(from), Some(to)) = (range.from, range.to) else { return Ok(Vec::new()) };
    if let Some(failure) = worker.mistyped(from) {
        return Err(failure);
    }
    let last = to.yesterday().unwrap_or(to);
    if last > yesterday {
        let zone = target.zone.name();
        let message =
            format!("{last} is not over yet in {zone}: {range} reaches past yesterday, {yesterday}");
        let today = yesterday.tomorrow().unwrap_or(yesterday);
        return Err(Failure::new(Exit::Usage, message)
            .remedy(format!("--to is the day AFTER the last one: --to {today} at most.")));
    }
    let coverage = worker.coverage(target).await?;
    let unfinished = |date: Date| {
        worker.archive.state.day(&target.sub_account, date).is_ok_and(|folder| folder.has_journal())
    };
    let exists = |date: Date| !matches!(target.zone.day(date), Err(DayError::SkippedDate { .. }));
    let wanted = |date: &Date| {
        let state = coverage.state(*date);
        // Acknowledged gaps are not what the night spends its quota on; a backfill is asked for.
        let open = !state.is_sealed() || state == DayState::Acknowledged || unfinished(*date);
        target.share.takes(*date) && open && exists(*date)
    };
    let mut days: Vec<Date> = range.within(from, last).filter(wanted).collect();
    if order == Order::Newest {
        days.reverse();
    }
    Ok(days)
}
