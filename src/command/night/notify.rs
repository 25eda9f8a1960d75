//! A command whose end is told to whoever watches.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::chain::anchor::Unanchored;
use crate::cli::Command;
use crate::clock::{Clock, SystemClock};
use crate::command::Context;
use crate::command::night::sub_accounts::{Measured, Outcome};
use crate::command::night::summary;
use crate::command::night::summary::DayReport;
use crate::config::{Environment, Flags, Settings};
use crate::format::row::tally::Tally;
use crate::outcome::{Exit, Failure, Result};
use crate::ringcx::{LimiterUsage, Limits};
use crate::telemetry::{DaySpan, LimitUse, ProblemDay, Receivers, RunEnd, SubAccountEnd, tell};

/// Does `work`, lets it be said how it ended, and tells the receivers of the settings: also when it fails, panics, or is
/// asked to stop.
pub async fn watched(
    command: &'static str,
    settings: &Settings,
    context: &Context,
    work: impl Future<Output = Result<Outcome>>,
    say: impl FnOnce(&Outcome),
) -> Result<Exit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let started_ms = clock.now_ms();
    let result = AssertUnwindSafe(work).catch_unwind().await;
    let result = result.unwrap_or_else(|_| Err(Failure::unforeseen()));
    // Who looks on should not have to wait until others know.
    if let Ok(outcome) = &result {
        say(outcome);
    }
    let begun = RunEnd {
        archive: Some(settings.archive.to_string()),
        ..begun(command, started_ms, clock.now_ms())
    };
    let ended = match &result {
        Ok(outcome) => of_outcome(begun, outcome, settings),
        Err(failure) => of_failure(begun, failure),
    };
    tell(
        &settings.telemetry,
        ended,
        &clock,
        context.cancel.is_cancelled(),
    )
    .await;
    result.map(|outcome| outcome.exit)
}

/// Tells of a run that wrong settings have kept from beginning, as far as these can be read at all.
pub fn never_begun(command: &Command, failure: &Failure, flags: &Flags, environment: &Environment) {
    let command = match command {
        Command::Run(_) => "run",
        Command::Backfill(_) => "backfill",
        Command::Recheck(_) => "recheck",
        _ => return,
    };
    let receivers: Receivers = Settings::load_telemetry(flags, environment);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let now_ms = clock.now_ms();
    let ended = of_failure(begun(command, now_ms, now_ms), failure);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    // Where not even this can be had, the failure itself is still printed.
    if let Ok(runtime) = runtime {
        runtime.block_on(tell(&receivers, ended, &clock, false));
    }
}

fn begun(command: &'static str, started_ms: i64, ended_ms: i64) -> RunEnd {
    RunEnd {
        command,
        exit: Exit::Done,
        message: None,
        remedy: None,
        archive: None,
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        started_ms,
        ended_ms,
        last_success_ms: None,
        sub_accounts: BTreeMap::new(),
        limits: ["summaries", "discovery", "token"]
            .map(|limit| LimitUse {
                limit,
                ..LimitUse::default()
            })
            .to_vec(),
        days: Vec::new(),
        troubles: Vec::new(),
        heads: Vec::new(),
        committed: false,
    }
}

fn of_failure(begun: RunEnd, failure: &Failure) -> RunEnd {
    let told = DayReport::failed("", None, failure);
    RunEnd {
        exit: failure.exit,
        message: told.message,
        remedy: told.remedy,
        ..begun
    }
}

fn of_outcome(begun: RunEnd, outcome: &Outcome, settings: &Settings) -> RunEnd {
    let Outcome {
        exit,
        days,
        unanchored,
        measured,
        ..
    } = outcome;
    let troubles = days
        .iter()
        .filter(|day| day.exit != Exit::Done)
        .map(trouble);
    let committed = |day: &DayReport| {
        day.archived
            .as_ref()
            .is_some_and(|archived| archived.committed)
    };
    RunEnd {
        exit: *exit,
        limits: limits(measured, settings, begun.ended_ms - begun.started_ms),
        sub_accounts: sub_accounts(days, measured),
        days: days
            .iter()
            .map(|day| span(day, (begun.started_ms, begun.ended_ms)))
            .collect(),
        troubles: troubles
            .chain(unanchored.iter().map(not_anchored))
            .collect(),
        heads: summary::heads(outcome).map(str::to_owned).collect(),
        committed: days.iter().any(committed),
        ..begun
    }
}

fn limits(measured: &Measured, settings: &Settings, elapsed_ms: i64) -> Vec<LimitUse> {
    let usage = &measured.usage;
    let of = |limit, limiter: &LimiterUsage, limits: &Limits| LimitUse {
        limit,
        requests: limiter.requests,
        throttled: limiter.too_many,
        retries: limiter.retries,
        used: limits.used(limiter.requests, limiter.limiters, elapsed_ms),
    };
    vec![
        of("summaries", &usage.summaries, &settings.summary_limits),
        of("discovery", &usage.discovery, &settings.discovery_limits),
        of("token", &usage.tokens, &settings.token_limits),
    ]
}

fn sub_accounts(days: &[DayReport], measured: &Measured) -> BTreeMap<String, SubAccountEnd> {
    let new = |(id, chain): (&String, &Option<_>)| {
        (
            id.clone(),
            SubAccountEnd {
                chain: *chain,
                ..SubAccountEnd::default()
            },
        )
    };
    let mut all: BTreeMap<String, SubAccountEnd> = measured.chains.iter().map(new).collect();
    for day in days {
        // What is told of an account as a whole has no sub-account's place.
        let Some(one) = all.get_mut(&day.sub_account) else {
            continue;
        };
        let Some(archived) = &day.archived else {
            one.days.failed += u64::from(day.date.is_some());
            continue;
        };
        match (archived.complete, archived.counts.segments) {
            (true, 0) => one.days.empty += 1,
            (true, _) => one.days.complete += 1,
            (false, _) => one.days.incomplete += 1,
        }
        one.counts.merge(&archived.counts);
        one.bytes += if archived.committed {
            archived.bytes
        } else {
            0
        };
        for warning in archived
            .warnings
            .iter()
            .filter(|warning| !warning.acknowledged)
        {
            *one.warnings.entry(warning.code).or_default() += 1;
        }
    }
    all
}

/// What never began as a day of its own took the run's time.
fn span(day: &DayReport, run: (i64, i64)) -> DaySpan {
    let counts = day.archived.as_ref().map(|archived| &archived.counts);
    let (started_ms, ended_ms) = day.worked_ms.unwrap_or(run);
    DaySpan {
        sub_account: day.sub_account.clone(),
        date: day.date.map(|date| date.to_string()),
        outcome: day.outcome,
        exit: day.exit,
        started_ms,
        ended_ms,
        segments: counts.map_or(0, |counts| counts.segments),
        failed: counts.map_or(0, Tally::failed),
        message: day.message.clone(),
    }
}

fn not_anchored(one: &Unanchored) -> ProblemDay {
    ProblemDay {
        sub_account: one.chain().to_owned(),
        date: None,
        outcome: "not anchored",
        exit: one.exit,
        failed: 0,
        warnings: Vec::new(),
        message: Some(one.message.clone()),
        remedy: one.remedy.clone(),
    }
}

fn trouble(day: &DayReport) -> ProblemDay {
    let archived = day.archived.as_ref();
    let warnings = archived.iter().flat_map(|archived| &archived.warnings);
    ProblemDay {
        sub_account: day.sub_account.clone(),
        date: day.date.map(|date| date.to_string()),
        outcome: day.outcome,
        exit: day.exit,
        failed: archived.map_or(0, |archived| archived.counts.failed()),
        warnings: warnings
            .filter(|warning| !warning.acknowledged)
            .map(|warning| warning.name())
            .collect(),
        message: day.message.clone(),
        remedy: day.remedy.clone(),
    }
}
