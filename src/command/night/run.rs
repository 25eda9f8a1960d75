//! `cxvault run`: one day of every sub-account, and the days that earlier nights have missed.

use jiff::ToSpan;
use jiff::civil::Date;

use crate::cli::RunArgs;
use crate::command::Context;
use crate::command::night::notify::watched;
use crate::command::night::plan;
use crate::command::night::plan::PlannedCommand;
use crate::command::night::recheck;
use crate::command::night::sub_accounts::{
    DayTask, NightContext, Outcome, SubAccountJob, for_sub_accounts,
};
use crate::command::night::summary;
use crate::command::night::summary::DayReport;
use crate::command::wiring::Urgency;
use crate::config::Settings;
use crate::day::context::RecheckRequest;
use crate::day::pipeline::Pipeline;
use crate::format::record::coverage::DayState;
use crate::format::record::manifest::Why;
use crate::format::row::recheck::RecheckScope;
use crate::format::time::day::{DayError, Window};
use crate::outcome::{Exit, Result};

pub async fn run(args: &RunArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    if args.dry_run {
        return plan::show(
            &PlannedCommand::Night(args.date),
            None,
            None,
            settings,
            context,
        )
        .await;
    }
    let work = archive_days(args.date, settings, context);
    watched("run", settings, context, work, |outcome| {
        summary::finish(outcome, &context.output)
    })
    .await
}

/// Archives `date`, or yesterday and what is missing before it, for every sub-account.
pub async fn archive_days(
    date: Option<Date>,
    settings: &Settings,
    context: &Context,
) -> Result<Outcome> {
    for_sub_accounts(
        "run",
        settings,
        context,
        Urgency::First,
        None,
        async |worker: &NightContext<'_>, target: &SubAccountJob<'_>| {
            night(worker, target, date).await
        },
    )
    .await
}

pub const NIGHTLY: DayTask = DayTask::Archive {
    why: Why::Nightly,
    insist: false,
};

/// The days of one sub-account, one after the other.
async fn night(
    worker: &NightContext<'_>,
    target: &SubAccountJob<'_>,
    date: Option<Date>,
) -> Vec<DayReport> {
    let failed = |failure| vec![DayReport::failed(&target.sub_account, date, &failure)];
    if let Some(failure) = date.and_then(|date| worker.mistyped(date)) {
        return failed(failure);
    }
    let yesterday = match date.map_or_else(|| worker.yesterday(&target.zone), Ok) {
        Ok(yesterday) => yesterday,
        Err(failure) => return failed(failure),
    };
    let pipeline = Pipeline::default();
    // Whoever names a day wants it tried, also where somebody has acknowledged its gaps.
    let named = DayTask::Archive {
        why: Why::Nightly,
        insist: date.is_some(),
    };
    let mut reports = vec![worker.day(target, yesterday, &named, pipeline.slot()).await];
    // Just after midnight yesterday is still settling; that is no reason to leave older days for another night.
    let settles_until = |day: Window| day.end_ms + worker.archive.policy.settle_ms;
    let now_ms = worker.archive.clock.now_ms();
    let settling = target
        .zone
        .day(yesterday)
        .is_ok_and(|day| settles_until(day) > now_ms);
    if date.is_some() || (reports[0].ends_sub_account() && !settling) {
        return reports;
    }
    // Rechecks last: what is archived already can wait for another night, should the quota not suffice.
    for task in [NIGHTLY, look_again()] {
        let days = match &task {
            DayTask::Archive { .. } => missed(worker, target, yesterday).await,
            DayTask::Recheck(_) => recheck::due(worker, target, yesterday).await,
        };
        match days {
            Err(failure) => reports.push(DayReport::failed(&target.sub_account, None, &failure)),
            Ok(days) => {
                for date in days {
                    let report = worker.day(target, date, &task, pipeline.slot()).await;
                    let ends = report.ends_sub_account();
                    reports.push(report);
                    if ends {
                        return reports;
                    }
                }
            }
        }
    }
    reports
}

fn look_again() -> DayTask {
    DayTask::Recheck(RecheckRequest {
        scope: RecheckScope::default(),
        accept_vanished: false,
    })
}

/// The days that [`night`] would work on, if all goes well.
pub async fn wanted(
    worker: &NightContext<'_>,
    target: &SubAccountJob<'_>,
    date: Option<Date>,
) -> Result<Vec<(Date, DayTask)>> {
    let newest = date.map_or_else(|| worker.yesterday(&target.zone), Ok)?;
    let sealed = worker.coverage(target).await?.state(newest).is_sealed();
    let open = !sealed
        || worker
            .archive
            .state
            .has_journal(&target.sub_account, newest);
    let mut wanted: Vec<(Date, DayTask)> = open.then_some((newest, NIGHTLY)).into_iter().collect();
    if date.is_none() {
        let missed = missed(worker, target, newest).await?;
        wanted.extend(missed.into_iter().map(|date| (date, NIGHTLY)));
        let due = recheck::due(worker, target, newest).await?;
        wanted.extend(due.into_iter().map(|date| (date, look_again())));
    }
    Ok(wanted)
}

/// Days within `catch_up` that want another visit: missing ones after the chain's first, those with gaps, and those that
/// a run or recheck which ended too early left unfinished.
async fn missed(
    worker: &NightContext<'_>,
    target: &SubAccountJob<'_>,
    yesterday: Date,
) -> Result<Vec<Date>> {
    let coverage = worker.coverage(target).await?;
    let Some(first) = coverage.first_day else {
        return Ok(Vec::new());
    };
    let reach = i64::from(worker.settings.catch_up.0).days();
    let from = yesterday.checked_sub(reach).unwrap_or(first).max(first);
    // Newest first, since today's questions are about recent days. Missing days before those with gaps: the source
    // forgets what nobody asked for, while a gap may never close, and must not keep others from their turn.
    let days = yesterday
        .series(-1.day())
        .skip(1)
        .take_while(|date| *date >= from);
    let unfinished = |date: Date| {
        worker
            .archive
            .state
            .is_unfinished(&target.sub_account, date)
    };
    let open = |date: &Date| {
        matches!(coverage.state(*date), DayState::Missing | DayState::Gaps) || unfinished(*date)
    };
    let exists = |date: &Date| !matches!(target.zone.day(*date), Err(DayError::SkippedDate { .. }));
    let mut days: Vec<Date> = days.filter(open).filter(exists).collect();
    days.sort_by_key(|date| coverage.state(*date) != DayState::Missing);
    Ok(days)
}
