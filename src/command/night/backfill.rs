//! `cxvault backfill`: a range of days, as one pipeline.

use jiff::civil::Date;

use crate::cli::audit::Subset;
use crate::cli::operate::{BackfillArgs, Order};
use crate::command::Context;
use crate::command::night::days;
use crate::command::night::notify::watched;
use crate::command::night::plan;
use crate::command::night::plan::PlannedCommand;
use crate::command::night::shard::Shard;
use crate::command::night::sub_accounts::{
    DayTask, NightContext, Outcome, SubAccountJob, for_sub_accounts,
};
use crate::command::night::summary;
use crate::command::night::summary::DayReport;
use crate::command::wiring::Urgency;
use crate::config::Settings;
use crate::format::record::coverage::DayState;
use crate::format::record::manifest::Why;
use crate::format::time::day::DayError;
use crate::format::time::range::Days;
use crate::outcome::{Exit, Failure, Result};

pub async fn run(args: &BackfillArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    if args.dry_run {
        let wanted = PlannedCommand::Backfill(args.days()?, args.order);
        return plan::show(
            &wanted,
            shard(args.shard, context)?,
            None,
            settings,
            context,
        )
        .await;
    }
    let range = Days {
        from: Some(args.from),
        to: Some(args.to),
    };
    let say = |outcome: &Outcome| summary::finish_backfill(range, outcome, &context.output);
    watched(
        "backfill",
        settings,
        context,
        archive_range(args, settings, context),
        say,
    )
    .await
}

async fn archive_range(
    args: &BackfillArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Outcome> {
    let range = args.days()?;
    let shard = shard(args.shard, context)?;
    if let Some(Shard { index, of }) = shard {
        tracing::info!(
            shard = format!("{}/{of}", index + 1),
            "this process archives its share only"
        );
    }
    for_sub_accounts(
        "backfill",
        settings,
        context,
        Urgency::Spare,
        shard,
        async |worker: &NightContext<'_>, target: &SubAccountJob<'_>| {
            sub_account(worker, target, range, args.order).await
        },
    )
    .await
}

/// `--shard`, or what the engine says that runs several of us.
pub fn shard(given: Option<Subset>, context: &Context) -> Result<Option<Shard>> {
    if let Some(shard) = given {
        return Ok(Some(Shard {
            index: shard.n as usize - 1,
            of: shard.of as usize,
        }));
    }
    let number = |name: &str| -> Result<Option<usize>> {
        let Some(text) = context
            .environment
            .get(name)
            .filter(|text| !text.is_empty())
        else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| {
            Failure::new(Exit::Usage, format!("{name} is not a number"))
                .remedy("Say --shard N/T instead.")
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
            Failure::new(Exit::Usage, message).remedy(format!(
                "Set {of} to the number of completions, or say --shard N/T."
            ))
        })?;
        return Ok(Some(Shard {
            index: at,
            of: shards,
        }));
    }
    Ok(None)
}

/// The range's days of one sub-account that are not sealed.
async fn sub_account(
    worker: &NightContext<'_>,
    target: &SubAccountJob<'_>,
    range: Days,
    order: Order,
) -> Vec<DayReport> {
    // Whoever names days wants them tried, also where somebody has acknowledged their gaps.
    let task = DayTask::Archive {
        why: Why::Backfill,
        insist: true,
    };
    match open_days(worker, target, range, order).await {
        Ok(open) => days::in_order(worker, target, open, &task).await,
        Err(failure) => vec![DayReport::failed(&target.sub_account, None, &failure)],
    }
}

/// The range's days that are not sealed, or that a run has left unfinished.
pub async fn open_days(
    worker: &NightContext<'_>,
    target: &SubAccountJob<'_>,
    range: Days,
    order: Order,
) -> Result<Vec<Date>> {
    let (from, last) = days::ended(worker, target, range)?;
    let coverage = worker.coverage(target).await?;
    let unfinished = |date: Date| worker.archive.state.has_journal(&target.sub_account, date);
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
