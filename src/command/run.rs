//! `cxvault run`: one day of every sub-account, and the days that earlier nights have missed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;

use super::Context;
use super::report::{self, DayReport};
use super::wiring::{self, AccountClient, LazyLedger};
use crate::archive::coverage::DayState;
use crate::archive::day::{DayError, Window, Zone};
use crate::archive::key;
use crate::archive::manifest::Why;
use crate::cli::RunArgs;
use crate::config::Settings;
use crate::outcome::{Exit, Failure, Result};
use crate::render::Progress;
use crate::ringcx::RingCx;
use crate::stage::archive::Archive;
use crate::stage::chain::Chain;
use crate::stage::day::{ApiSource, DayJob, Filters, Meter, run_day};

/// Sub-accounts at work at once: their discovery limits are their own, and while one waits another fetches.
const SUB_ACCOUNTS_AT_ONCE: usize = 8;

const OLDEST_YEARS: i64 = 15;

/// What one call archived, and how it ended.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub exit: Exit,
    pub days: Vec<DayReport>,
}

pub async fn run(args: &RunArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let outcome = archive_days(args.date, settings, context).await?;
    report::finish(&outcome, &context.output);
    Ok(outcome.exit)
}

/// Archives `date`, or yesterday and what is missing before it, for every sub-account.
pub async fn archive_days(date: Option<Date>, settings: &Settings, context: &Context) -> Result<Outcome> {
    let archive = wiring::open_archive(settings, context).await?;
    archive.check_create_only().await?;
    report::begin(&archive, &context.output);
    let ledger = LazyLedger::new(settings, archive.clock.clone());
    let progress = Progress::new(&context.output, archive.clock.clone());
    let accounts: Vec<AccountClient> = settings
        .accounts
        .iter()
        .map(|account| AccountClient::new(settings, account, archive.clock.clone(), &ledger, context))
        .collect();
    let mut targets = Vec::new();
    let mut days = Vec::new();
    for account in &accounts {
        match sub_accounts(account).await {
            Ok(found) => targets.extend(found.into_iter().map(|sub_account| (account, sub_account))),
            Err(failure) => days.push(DayReport::failed(&account.account.name, date, &failure)),
        }
    }
    let worker = Worker { archive: &archive, settings, context, progress: &progress };
    let work = |(account, sub_account)| worker.sub_account(account, sub_account, date);
    let mut done = stream::iter(targets).map(work).buffer_unordered(SUB_ACCOUNTS_AT_ONCE);
    while let Some(reports) = done.next().await {
        days.extend(reports);
    }
    days.sort_by(|a, b| (&a.sub_account, &a.date).cmp(&(&b.sub_account, &b.date)));
    let exit = Exit::worst(days.iter().map(|day| day.exit));
    Ok(Outcome { exit, days })
}

/// The configured sub-accounts, or all that the API lists.
async fn sub_accounts(account: &AccountClient<'_>) -> Result<Vec<String>> {
    if !account.account.sub_accounts.is_empty() {
        return Ok(account.account.sub_accounts.clone());
    }
    let listed = account.api().await?.sub_accounts().await?;
    if listed.is_empty() {
        let message = format!("RingCX lists no sub-account for account `{}`", account.account.name);
        return Err(Failure::new(Exit::Denied, message).remedy(
            "Check the user's access in RingCX Admin, or name the sub-accounts in CXVAULT_SUB_ACCOUNTS.",
        ));
    }
    match listed.iter().find(|sub_account| !key::is_sub_account(&sub_account.account_id)) {
        None => Ok(listed.into_iter().map(|sub_account| sub_account.account_id).collect()),
        Some(_) => {
            Err(Failure::new(Exit::Unexpected, "RingCX lists a sub-account whose id cannot be part of a key")
                .remedy("Name the sub-accounts to archive in CXVAULT_SUB_ACCOUNTS."))
        }
    }
}

struct Worker<'a> {
    archive: &'a Archive,
    settings: &'a Settings,
    context: &'a Context,
    progress: &'a Progress,
}

impl Worker<'_> {
    /// The days of one sub-account, one after the other.
    async fn sub_account(
        &self,
        account: &AccountClient<'_>,
        sub_account: String,
        date: Option<Date>,
    ) -> Vec<DayReport> {
        if let Some(failure) = date.and_then(|date| self.mistyped(date)) {
            return vec![DayReport::failed(&sub_account, date, &failure)];
        }
        let zone = match Zone::named(account.account.zone_of(&sub_account)) {
            Ok(zone) => zone,
            Err(error) => return vec![DayReport::failed(&sub_account, date, &usage(error))],
        };
        let yesterday = match date.map_or_else(|| self.yesterday(&zone), Ok) {
            Ok(yesterday) => yesterday,
            Err(failure) => return vec![DayReport::failed(&sub_account, date, &failure)],
        };
        let mut reports = vec![self.day(account, &sub_account, &zone, yesterday).await];
        // Just after midnight yesterday is still settling; that is no reason to leave older days for another night.
        let settling =
            zone.day(yesterday).is_ok_and(|day| self.settles_until(day) > self.archive.clock.now_ms());
        if date.is_some() || (reports[0].ends_sub_account() && !settling) {
            return reports;
        }
        match self.missed(&sub_account, &zone, yesterday).await {
            Err(failure) => reports.push(DayReport::failed(&sub_account, None, &failure)),
            Ok(missed) => {
                for date in missed {
                    reports.push(self.day(account, &sub_account, &zone, date).await);
                    if reports.last().is_some_and(DayReport::ends_sub_account) {
                        break;
                    }
                }
            }
        }
        reports
    }

    /// A chain keeps its first day for ever, and a year mistyped would make it that of another century.
    fn mistyped(&self, date: Date) -> Option<Failure> {
        let now = jiff::Timestamp::from_millisecond(self.archive.clock.now_ms()).ok()?;
        let today = now.to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
        let oldest = today.checked_sub(OLDEST_YEARS.years()).ok()?;
        (date < oldest).then(|| {
            Failure::new(Exit::Usage, format!("{date} is more than {OLDEST_YEARS} years ago"))
                .remedy("Check the year; RingCX keeps interactions for a much shorter time.")
        })
    }

    fn settles_until(&self, day: Window) -> i64 {
        day.end_ms + self.archive.policy.settle_ms
    }

    fn yesterday(&self, zone: &Zone) -> Result<Date> {
        let today = zone.date_at(self.archive.clock.now_ms()).map_err(usage)?;
        today
            .yesterday()
            .map_err(|error| Failure::new(Exit::Usage, "this host's clock is out of range").because(error))
    }

    /// Days within `catch_up` that the chain should have: missing ones after its first day, and those with gaps.
    async fn missed(&self, sub_account: &str, zone: &Zone, yesterday: Date) -> Result<Vec<Date>> {
        let coverage = Chain::open(self.archive, sub_account).await?.coverage();
        let Some(first) = coverage.first_day else { return Ok(Vec::new()) };
        let reach = i64::from(self.settings.catch_up.0).days();
        let from = yesterday.checked_sub(reach).unwrap_or(first).max(first);
        // Newest first, since today's questions are about recent days. Missing days before those with gaps: the source
        // forgets what nobody asked for, while a gap may never close, and must not keep others from their turn.
        let days = yesterday.series(-1.day()).skip(1).take_while(|date| *date >= from);
        let open = |date: &Date| matches!(coverage.state(*date), DayState::Missing | DayState::Gaps);
        let exists = |date: &Date| !matches!(zone.day(*date), Err(DayError::SkippedDate { .. }));
        let mut days: Vec<Date> = days.filter(open).filter(exists).collect();
        days.sort_by_key(|date| coverage.state(*date) != DayState::Missing);
        Ok(days)
    }

    async fn day(
        &self,
        account: &AccountClient<'_>,
        sub_account: &str,
        zone: &Zone,
        date: Date,
    ) -> DayReport {
        let report = match self.try_day(account, sub_account, zone, date).await {
            Ok(outcome) => DayReport::of(sub_account, &outcome),
            Err(failure) => DayReport::failed(sub_account, Some(date), &failure),
        };
        self.context.output.event(&report.event());
        // Where the table at the end is printed, it says the same.
        if self.context.output.quiet || self.context.output.json {
            report.log();
        }
        report
    }

    async fn try_day(
        &self,
        account: &AccountClient<'_>,
        sub_account: &str,
        zone: &Zone,
        date: Date,
    ) -> Result<crate::stage::day::DayOutcome> {
        let job = DayJob {
            sub_account: sub_account.to_owned(),
            date,
            window: zone.day(date).map_err(usage)?,
            zone: zone.clone(),
            filters: Filters {
                channel_classes: account.account.channel_classes.clone(),
                segment_types: account.account.segment_types.clone(),
            },
            why: Why::Nightly,
        };
        let meter = Meter::default();
        let source = Watched { account, client: std::sync::OnceLock::new() };
        let shown = self.show(&job, &meter, &source);
        let worked = run_day(self.archive, &job, &source, &meter);
        tokio::select! {
            outcome = worked => outcome,
            () = shown => Err(Failure::new(Exit::Unexpected, "the progress display ended the run")),
        }
    }

    /// Shows the meter until the day is done; never returns.
    async fn show(&self, job: &DayJob, meter: &Meter, source: &Watched<'_>) {
        let shown = self.progress.day(format!("{} {}", job.sub_account, job.date));
        let begun_ms = self.archive.clock.now_ms();
        loop {
            self.archive.clock.sleep(Duration::from_millis(250)).await;
            let reading = meter.read();
            if reading.windows == 0 && reading.segments == 0 {
                continue;
            }
            shown.set_discovery(reading.windows_done, reading.windows);
            shown.set_summaries(reading.looked, 2 * reading.segments);
            if let Some(api) = source.client.get() {
                let elapsed_ms = self.archive.clock.now_ms() - begun_ms;
                let quota = report::quota_percent(&api.usage(), &self.settings.summary_limits, elapsed_ms);
                shown.set_note(report::usage_note(&api.usage(), quota, reading.failed));
            }
        }
    }
}

/// Lets the progress display see the client, once there is one.
struct Watched<'a> {
    account: &'a AccountClient<'a>,
    client: std::sync::OnceLock<Arc<RingCx>>,
}

impl ApiSource for Watched<'_> {
    async fn api(&self) -> Result<Arc<RingCx>> {
        let client = self.account.api().await?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

fn usage(error: DayError) -> Failure {
    Failure::new(Exit::Usage, error.to_string()).remedy("Name another date or zone.")
}
