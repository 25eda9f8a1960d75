//! Runs a command, and notifies the receivers of the settings of its end.
//!
//! Receivers are metrics files and gateways, a webhook for problems, a heartbeat for success, and an OpenTelemetry
//! collector ([`crate::telemetry`]). They get one [`RunEnd`], however the command ends: with an outcome, with a failure, by
//! a panic, or because its settings are wrong. Only a killed process sends nothing, which the missing heartbeat shows.
//!
//! A run's end holds no secret, no text of a summary and no segment's id, so that it can leave the site.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::chain::Unanchored;
use crate::cli::Command;
use crate::clock::{Clock, SystemClock};
use crate::command::Context;
use crate::command::night::day_report::{CommandOutcome, DayReport};
use crate::command::night::sub_accounts::archive_sub_accounts;
use crate::command::night::summary;
use crate::command::night::worklist::NightCommand;
use crate::config::{Environment, Flags, Settings};
use crate::format::record::HeadRef;
use crate::format::row::Tally;
use crate::outcome::{Exit, Failure, Result};
use crate::ringcx::{LimiterUsage, Limits};
use crate::telemetry::{DaySpan, LimitUse, ProblemDay, RunEnd, SubAccountEnd, send_reports};

/// Runs the command, prints its end with `print`, and notifies the receivers: also when it fails, panics, or is stopped.
///
/// `command` is an error where its arguments are wrong, which is an end to notify of as well: a backfill that an engine
/// starts without the number of its shard would otherwise fail unseen.
///
/// # Errors
/// The failure of the command as a whole. A receiver that cannot be notified is logged, and changes no exit code.
pub(crate) async fn run_and_notify(
    name: &'static str,
    command: Result<NightCommand>,
    settings: &Settings,
    context: &Context,
    print: impl FnOnce(&CommandOutcome),
) -> Result<Exit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let started_ms = clock.now_ms();
    let archiving = async { archive_sub_accounts(&command?, settings, context).await };
    // A panic is a failure like any other here: a program that dies without a message is the worst of ends.
    let result = AssertUnwindSafe(archiving).catch_unwind().await;
    let result = result.unwrap_or_else(|_| Err(Failure::unforeseen()));
    // Printed first: the operator need not wait for the receivers.
    if let Ok(outcome) = &result {
        print(outcome);
    }
    let end = RunEnd {
        archive: Some(settings.archive.to_string()),
        ..empty_end(name, started_ms, clock.now_ms())
    };
    let end = match &result {
        Ok(outcome) => end_of_outcome(end, outcome, settings),
        Err(failure) => end_of_failure(end, failure),
    };
    // After a signal each receiver gets one attempt: the process is expected to end soon.
    let is_stopping = context.cancel.is_cancelled();
    send_reports(&settings.telemetry, end, &clock, is_stopping).await;
    result.map(|outcome| outcome.exit)
}

/// Notifies the receivers of a command that wrong settings have prevented, as far as these settings can be read.
pub fn notify_not_started(
    command: &Command,
    failure: &Failure,
    flags: &Flags,
    environment: &Environment,
) {
    let command = match command {
        Command::Run(_) => "run",
        Command::Backfill(_) => "backfill",
        Command::Recheck(_) => "recheck",
        _ => return,
    };
    let receivers = Settings::load_telemetry(flags, environment);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let now_ms = clock.now_ms();
    let end = end_of_failure(empty_end(command, now_ms, now_ms), failure);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    // Without a runtime the failure is still printed.
    if let Ok(runtime) = runtime {
        runtime.block_on(send_reports(&receivers, end, &clock, false));
    }
}

/// Returns the end of a command that did nothing, to be filled in. Every limit is named, so that its metrics exist from
/// the first run on.
fn empty_end(command: &'static str, started_ms: i64, ended_ms: i64) -> RunEnd {
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

/// Returns the end of a command that failed as a whole.
fn end_of_failure(end: RunEnd, failure: &Failure) -> RunEnd {
    RunEnd {
        exit: failure.exit,
        message: Some(failure.reason()),
        remedy: failure.remedy.clone(),
        ..end
    }
}

/// Returns the end of a command that has visited its sub-accounts, whatever came of them.
fn end_of_outcome(end: RunEnd, outcome: &CommandOutcome, settings: &Settings) -> RunEnd {
    let days = &outcome.days;
    let (usage, elapsed_ms) = (&outcome.usage, end.ended_ms - end.started_ms);
    let run_ms = (end.started_ms, end.ended_ms);
    RunEnd {
        exit: outcome.exit,
        limits: [
            ("summaries", &usage.summaries, &settings.summary_limits),
            ("discovery", &usage.discovery, &settings.discovery_limits),
            ("token", &usage.tokens, &settings.token_limits),
        ]
        .map(|(name, usage, limits)| limit_use(name, usage, limits, elapsed_ms))
        .to_vec(),
        sub_accounts: sub_account_ends(outcome),
        days: days.iter().map(|day| day_span(day, run_ms)).collect(),
        troubles: days
            .iter()
            .filter(|day| day.exit != Exit::Done)
            .map(problem_day)
            .chain(outcome.unanchored.iter().map(problem_head))
            .collect(),
        heads: summary::heads(outcome).map(HeadRef::to_string).collect(),
        committed: days
            .iter()
            .filter_map(|day| day.archived.as_ref())
            .any(|archived| archived.committed),
        ..end
    }
}

/// Returns how much of one rate limit was used, over `elapsed_ms` milliseconds.
fn limit_use(
    limit: &'static str,
    usage: &LimiterUsage,
    limits: &Limits,
    elapsed_ms: i64,
) -> LimitUse {
    LimitUse {
        limit,
        requests: usage.requests,
        throttled: usage.too_many,
        retries: usage.retries,
        used: limits.used(usage.requests, usage.limiters, elapsed_ms),
    }
}

/// Sums up the days of each sub-account of this process. A sub-account without a day is named too.
fn sub_account_ends(outcome: &CommandOutcome) -> BTreeMap<String, SubAccountEnd> {
    let mut ends: BTreeMap<String, SubAccountEnd> = BTreeMap::new();
    for (id, chain) in &outcome.chains {
        ends.entry(id.clone()).or_default().chain = *chain;
    }
    for day in &outcome.days {
        // Reports of accounts and of the roster belong to no sub-account.
        let Some(end) = ends.get_mut(&day.sub_account) else {
            continue;
        };
        let Some(archived) = &day.archived else {
            end.days.failed += u64::from(day.date.is_some());
            continue;
        };
        match (archived.complete, archived.counts.segments) {
            (true, 0) => end.days.empty += 1,
            (true, _) => end.days.complete += 1,
            (false, _) => end.days.incomplete += 1,
        }
        end.counts.merge(&archived.counts);
        if archived.committed {
            end.bytes += archived.bytes;
        }
        for warning in day.open_warnings() {
            if let Some(code) = warning.code.known() {
                *end.warnings.entry(*code).or_default() += 1;
            }
        }
    }
    ends
}

/// Returns the span of a day. A report that never began as a day took the time of the whole run.
fn day_span(day: &DayReport, run_ms: (i64, i64)) -> DaySpan {
    let counts = day.archived.as_ref().map(|archived| &archived.counts);
    let (started_ms, ended_ms) = day.worked_ms.unwrap_or(run_ms);
    DaySpan {
        sub_account: day.sub_account.clone(),
        date: day.date.map(|date| date.to_string()),
        outcome: day.outcome,
        exit: day.exit,
        started_ms,
        ended_ms,
        segments: day.segments(),
        failed: counts.map_or(0, Tally::failed),
        message: day.message.clone(),
    }
}

/// Returns a head that could not be anchored, in the form of a day with a problem.
fn problem_head(unanchored: &Unanchored) -> ProblemDay {
    ProblemDay {
        sub_account: unanchored.chain().to_owned(),
        date: None,
        outcome: "not anchored",
        exit: unanchored.exit,
        failed: 0,
        warnings: Vec::new(),
        message: Some(unanchored.message.clone()),
        remedy: unanchored.remedy.clone(),
    }
}

/// Returns a day that the operator has to look at, with the warnings that are not acknowledged.
fn problem_day(day: &DayReport) -> ProblemDay {
    let counts = day.archived.as_ref().map(|archived| &archived.counts);
    ProblemDay {
        sub_account: day.sub_account.clone(),
        date: day.date.map(|date| date.to_string()),
        outcome: day.outcome,
        exit: day.exit,
        failed: counts.map_or(0, Tally::failed),
        warnings: day.open_warnings().map(|warning| warning.name()).collect(),
        message: day.message.clone(),
        remedy: day.remedy.clone(),
    }
}
