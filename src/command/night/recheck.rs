//! `cxvault recheck`: looks again at archived days, and commits what has changed.

use jiff::ToSpan;
use jiff::civil::Date;

use crate::chain::days::Chain;
use crate::cli::operate::{Order, RecheckArgs};
use crate::command::Context;
use crate::command::night::days;
use crate::command::night::notify::watched;
use crate::command::night::plan;
use crate::command::night::plan::PlannedCommand;
use crate::command::night::sub_accounts::{
    DayTask, NightContext, Outcome, SubAccountJob, for_sub_accounts,
};
use crate::command::night::summary;
use crate::command::night::summary::DayReport;
use crate::command::wiring::Urgency;
use crate::config::Settings;
use crate::day::context::RecheckRequest;
use crate::format::record::coverage::DayState;
use crate::format::record::manifest::{DayRecord, Discovery};
use crate::format::time::range::Days;
use crate::outcome::{Exit, Result};

pub async fn run(args: &RecheckArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    if args.dry_run {
        let wanted = PlannedCommand::Recheck(args.days()?, args.order, task(args));
        return plan::show(&wanted, None, None, settings, context).await;
    }
    let range = Days {
        from: Some(args.from),
        to: Some(args.to),
    };
    let say = |outcome: &Outcome| summary::finish_recheck(range, outcome, &context.output);
    watched(
        "recheck",
        settings,
        context,
        look_again(args, settings, context),
        say,
    )
    .await
}

fn task(args: &RecheckArgs) -> DayTask {
    DayTask::Recheck(RecheckRequest {
        scope: args.only.clone(),
        accept_vanished: args.accept_vanished,
    })
}

async fn look_again(args: &RecheckArgs, settings: &Settings, context: &Context) -> Result<Outcome> {
    let (range, task) = (args.days()?, task(args));
    for_sub_accounts(
        "recheck",
        settings,
        context,
        Urgency::Spare,
        None,
        async |worker: &NightContext<'_>, target: &SubAccountJob<'_>| {
            sub_account(worker, target, range, args.order, &task).await
        },
    )
    .await
}

async fn sub_account(
    worker: &NightContext<'_>,
    target: &SubAccountJob<'_>,
    range: Days,
    order: Order,
    task: &DayTask,
) -> Vec<DayReport> {
    match archived_days(worker, target, range, order).await {
        Ok(archived) => days::in_order(worker, target, archived, task).await,
        Err(failure) => vec![DayReport::failed(&target.sub_account, None, &failure)],
    }
}

/// The range's days that can be looked at again.
pub async fn archived_days(
    worker: &NightContext<'_>,
    target: &SubAccountJob<'_>,
    range: Days,
    order: Order,
) -> Result<Vec<Date>> {
    let (from, last) = days::ended(worker, target, range)?;
    let coverage = worker.coverage(target).await?;
    let is_archived = |date: &Date| {
        !matches!(
            coverage.state(*date),
            DayState::Missing | DayState::Disposed
        )
    };
    let mut archived: Vec<Date> = range.within(from, last).filter(is_archived).collect();
    let sub_account = &target.sub_account;
    let count = |state| {
        range
            .within(from, last)
            .filter(|date| coverage.state(*date) == state)
            .count()
    };
    let (missing, disposed) = (count(DayState::Missing), count(DayState::Disposed));
    if missing > 0 {
        tracing::warn!(
            sub_account,
            missing,
            "days of this range are not archived: see cxvault backfill"
        );
    }
    if disposed > 0 {
        tracing::warn!(
            sub_account,
            disposed,
            "days of this range were disposed of, and are left alone"
        );
    }
    if order == Order::Newest {
        archived.reverse();
    }
    Ok(archived)
}

const DAY_MS: i64 = 24 * 3_600_000;

/// Days that the setting `recheck_after` wants looked at again, newest first: those that have reached an age since
/// discovery was last asked for them.
pub async fn due(
    worker: &NightContext<'_>,
    target: &SubAccountJob<'_>,
    yesterday: Date,
) -> Result<Vec<Date>> {
    let ages = &worker.settings.recheck_after;
    let Some(oldest) = ages.iter().map(|age| age.0).max() else {
        return Ok(Vec::new());
    };
    let reach = i64::from(oldest) + i64::from(worker.settings.catch_up.0);
    let now_ms = worker.archive.clock.now_ms();
    let mut chain = Chain::open(worker.archive, &target.sub_account).await?;
    let coverage = chain.coverage();
    let mut due = Vec::new();
    let from = yesterday.checked_sub(reach.days()).unwrap_or(yesterday);
    for date in yesterday.series(-1.day()).take_while(|date| *date >= from) {
        if matches!(coverage.state(date), DayState::Missing | DayState::Disposed) {
            continue;
        }
        let revisions = chain.revisions(worker.archive, date).await?;
        let records = || revisions.iter().map(|(_, record)| record);
        let (Some(asked_ms), Some(first)) =
            (records().filter_map(asked_at).max(), records().next())
        else {
            continue;
        };
        let reached = |days: u32| first.window.end_ms + i64::from(days) * DAY_MS;
        if ages
            .iter()
            .map(|age| reached(age.0))
            .any(|at| asked_ms < at && at <= now_ms)
        {
            due.push(date);
        }
    }
    Ok(due)
}

/// When discovery was asked for a record; `None` where it rests on an earlier one's windows.
fn asked_at(record: &DayRecord) -> Option<i64> {
    match &record.discovery {
        Discovery::Windows { windows, .. } => windows
            .iter()
            .map(|window| window.server_date.unwrap_or(window.answered_at))
            .max(),
        Discovery::Manifest(_) => None,
    }
}
