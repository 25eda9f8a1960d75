//! What every command that archives does alike: opens the archive, finds the sub-accounts, and archives single days.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;

use crate::chain::anchor;
use crate::chain::anchor::Unanchored;
use crate::chain::append::Mode;
use crate::chain::days::Chain;
use crate::chain::roster::Roster;
use crate::chain::writer::Writer;
use crate::command::Context;
use crate::command::night::inventory;
use crate::command::night::shard::{DayShare, Shard};
use crate::command::night::summary;
use crate::command::night::summary::DayReport;
use crate::command::wiring;
use crate::command::wiring::{AccountClient, LazyLedger, Urgency};
use crate::config::Settings;
use crate::day::context::{ApiSource, DayJob, RecheckRequest};
use crate::day::day_outcome::DayOutcome;
use crate::day::filters::Filters;
use crate::day::pipeline::PipelineSlot;
use crate::day::progress::DayMeter;
use crate::day::run::run_day;
use crate::day::shared_chain::SharedChain;
use crate::format::place::key;
use crate::format::record::coverage::Coverage;
use crate::format::record::manifest::Why;
use crate::format::record::roster::AccountListing;
use crate::format::time::day::{DayError, Zone};
use crate::outcome::{Exit, Failure, Result};
use crate::render::Progress;
use crate::ringcx::{RingCx, Usage};
use crate::telemetry::ended::ChainState;

/// Sub-accounts at work at once: their discovery limits are their own, and while one waits another fetches.
pub const SUB_ACCOUNTS_AT_ONCE: usize = 8;
/// Only the store is read.
const LOOKED_AT_ONCE: usize = 64;

const OLDEST_YEARS: i64 = 15;

/// What one call archived, and how it ended.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub exit: Exit,
    pub days: Vec<DayReport>,
    /// `roster:SEQUENCE:SHA256`, where a roster was committed.
    pub roster: Option<String>,
    /// Heads that should be kept elsewhere, and are not.
    pub unanchored: Vec<Unanchored>,
    #[serde(skip)]
    pub measured: Measured,
}

/// What a run's metrics tell beside its days.
#[derive(Debug, Default)]
pub struct Measured {
    /// Of all accounts' clients together.
    pub usage: Usage,
    /// The sub-accounts that were worked on, and how their chains stand at the end: `None` where a chain could not be
    /// read, or where nobody wants to know.
    pub chains: BTreeMap<String, Option<ChainState>>,
}

/// One sub-account, and which of its days are this process's.
pub struct SubAccountJob<'a> {
    pub account: &'a AccountClient<'a>,
    pub sub_account: String,
    pub zone: Zone,
    pub share: DayShare,
}

/// What is to be done with a day.
#[derive(Debug, Clone)]
pub enum DayTask {
    Archive {
        why: Why,
        /// Ask again for summaries whose absence somebody has acknowledged.
        insist: bool,
    },
    Recheck(RecheckRequest),
}

impl DayTask {
    fn why(&self) -> Why {
        match self {
            DayTask::Archive { why, .. } => *why,
            DayTask::Recheck(_) => Why::Recheck,
        }
    }

    fn again(&self) -> Option<&RecheckRequest> {
        match self {
            DayTask::Archive { .. } => None,
            DayTask::Recheck(again) => Some(again),
        }
    }
}

/// What the days of all sub-accounts have in common.
pub struct NightContext<'a> {
    pub archive: &'a Writer,
    pub settings: &'a Settings,
    pub context: &'a Context,
    pub progress: &'a Progress,
}

/// Does `work` for every sub-account that is configured or listed, several at a time; of `shard`'s share, where there
/// is one. What fails for one of them does not stop the others. At the end all of it goes into the roster, as done by
/// `command`.
pub async fn for_sub_accounts<W>(
    command: &'static str,
    settings: &Settings,
    context: &Context,
    urgency: Urgency,
    shard: Option<Shard>,
    work: W,
) -> Result<Outcome>
where
    W: AsyncFn(&NightContext<'_>, &SubAccountJob<'_>) -> Vec<DayReport>,
{
    let archive = wiring::open_archive(settings, context).await?;
    archive.check_create_only().await?;
    let mut roster = Roster::open_to_write(&archive, Mode::Act).await?;
    summary::begin(&archive, &context.output);
    let ledger = LazyLedger::new(settings, archive.clock.clone(), urgency);
    let progress = Progress::new(&context.output, archive.clock.clone());
    let accounts: Vec<AccountClient> = settings
        .accounts
        .iter()
        .map(|account| {
            AccountClient::new(settings, account, archive.clock.clone(), &ledger, context)
        })
        .collect();
    let JobList {
        targets,
        failed: mut days,
        seen,
    } = call(&accounts, shard).await;
    let worker = NightContext {
        archive: &archive,
        settings,
        context,
        progress: &progress,
    };
    let mut done = stream::iter(&targets)
        .map(|target| work(&worker, target))
        .buffer_unordered(SUB_ACCOUNTS_AT_ONCE);
    while let Some(reports) = done.next().await {
        days.extend(reports);
    }
    drop(done);
    let seen = AccountListing {
        acknowledge: settings.known_warnings.clone(),
        narrowed: !context.sub_accounts.is_empty(),
        ..seen
    };
    // Before the roster is continued: where a head contradicts the one that is kept, nothing more is written.
    let heads = anchor::heads(&archive, targets.iter().map(|target| &*target.sub_account)).await;
    let mut unanchored = anchor::settle(&archive, heads).await;
    let troubles = Exit::worst(unanchored.iter().map(|one| one.exit));
    let committed = inventory::leave(
        &archive,
        &mut roster,
        command,
        seen,
        &targets,
        &mut days,
        troubles,
    )
    .await;
    if committed.is_some() {
        // The new head vouches for the one before it.
        unanchored.retain(|one| one.chain() != key::ROSTER);
        let head = anchor::roster_head(&archive).await;
        unanchored.extend(anchor::settle(&archive, head.into_iter().collect()).await);
    }
    // Where the table at the end is printed, it says the same.
    if context.output.quiet || context.output.json {
        unanchored.iter().for_each(Unanchored::log);
    }
    days.sort_by(|a, b| (&a.sub_account, &a.date).cmp(&(&b.sub_account, &b.date)));
    let exits = days
        .iter()
        .map(|day| day.exit)
        .chain(unanchored.iter().map(|one| one.exit));
    let exit = Exit::worst(exits);
    let usage = accounts
        .iter()
        .filter_map(AccountClient::usage)
        .fold(Usage::default(), Usage::and);
    let chains = worker.chains(&targets).await;
    Ok(Outcome {
        exit,
        days,
        roster: committed,
        unanchored,
        measured: Measured { usage, chains },
    })
}

/// Like [`for_sub_accounts`], for a look that changes nothing: no archive is founded, and only the list of sub-accounts is
/// asked for, where the settings have none. Also returns reports of those that cannot be worked on.
pub async fn look_at_sub_accounts<T, W>(
    settings: &Settings,
    context: &Context,
    shard: Option<Shard>,
    look: W,
) -> Result<(Vec<T>, Vec<DayReport>)>
where
    W: AsyncFn(&NightContext<'_>, &SubAccountJob<'_>) -> T,
{
    let archive = wiring::look_at_archive(settings, context).await?;
    let ledger = LazyLedger::new(settings, archive.clock.clone(), Urgency::Spare);
    let progress = Progress::new(&context.output, archive.clock.clone());
    let accounts: Vec<AccountClient> = settings
        .accounts
        .iter()
        .map(|account| {
            AccountClient::new(settings, account, archive.clock.clone(), &ledger, context)
        })
        .collect();
    let JobList {
        targets, failed, ..
    } = call(&accounts, shard).await;
    let worker = NightContext {
        archive: &archive,
        settings,
        context,
        progress: &progress,
    };
    let looks = stream::iter(&targets)
        .map(|target| look(&worker, target))
        .buffer_unordered(LOOKED_AT_ONCE);
    Ok((looks.collect().await, failed))
}

/// The sub-accounts of all accounts.
struct JobList<'a> {
    /// This process's, in the same order in every process.
    targets: Vec<SubAccountJob<'a>>,
    /// Reports of those that cannot be worked on.
    failed: Vec<DayReport>,
    /// All of them, other processes' too: who is named, and who is listed.
    seen: AccountListing,
}

async fn call<'a>(accounts: &'a [AccountClient<'a>], shard: Option<Shard>) -> JobList<'a> {
    let (mut found, mut failed, mut seen) = (Vec::new(), Vec::new(), AccountListing::default());
    for account in accounts {
        let named = !account.account.sub_accounts.is_empty();
        match sub_accounts(account).await {
            Ok(ids) => {
                let known = if named {
                    &mut seen.named
                } else {
                    &mut seen.listed
                };
                known.extend(ids.iter().cloned());
                found.extend(ids.into_iter().map(|sub_account| (account, sub_account)));
            }
            Err(failure) => failed.push(DayReport::failed(&account.account.name, None, &failure)),
        }
    }
    // Only lists can fail: who is named is there.
    seen.whole = !seen.listed.is_empty() && failed.is_empty();
    found.sort_by(|(_, a), (_, b)| a.cmp(b));
    let of = found.len();
    let mut targets = Vec::new();
    for (index, (account, sub_account)) in found.into_iter().enumerate() {
        let share = shard.map_or(Some(DayShare::WHOLE), |shard| shard.share(index, of));
        match (share, Zone::named(account.account.zone_of(&sub_account))) {
            (None, _) => {}
            (Some(share), Ok(zone)) => targets.push(SubAccountJob {
                account,
                sub_account,
                zone,
                share,
            }),
            (Some(_), Err(error)) => {
                failed.push(DayReport::failed(&sub_account, None, &usage(error)))
            }
        }
    }
    JobList {
        targets,
        failed,
        seen,
    }
}

/// The configured sub-accounts, or all that the API lists.
async fn sub_accounts(account: &AccountClient<'_>) -> Result<Vec<String>> {
    if !account.account.sub_accounts.is_empty() {
        return Ok(account.account.sub_accounts.clone());
    }
    let listed = account.api().await?.sub_accounts().await?;
    if listed.is_empty() {
        let message = format!(
            "RingCX lists no sub-account for account `{}`",
            account.account.name
        );
        return Err(Failure::new(Exit::Denied, message).remedy(
            "Check the user's access in RingCX Admin, or name the sub-accounts in CXVAULT_SUB_ACCOUNTS.",
        ));
    }
    match listed
        .iter()
        .find(|sub_account| !key::is_sub_account(&sub_account.account_id))
    {
        None => Ok(listed
            .into_iter()
            .map(|sub_account| sub_account.account_id)
            .collect()),
        Some(_) => Err(Failure::new(
            Exit::Unexpected,
            "RingCX lists a sub-account whose id cannot be part of a key",
        )
        .remedy("Name the sub-accounts to archive in CXVAULT_SUB_ACCOUNTS.")),
    }
}

impl NightContext<'_> {
    /// How the chains stand. The store is asked only when somebody wants to know.
    async fn chains(&self, targets: &[SubAccountJob<'_>]) -> BTreeMap<String, Option<ChainState>> {
        let wanted = self.settings.telemetry.want_metrics();
        let state = async |target: &SubAccountJob<'_>| {
            let state = if wanted {
                self.chain_state(target).await
            } else {
                None
            };
            (target.sub_account.clone(), state)
        };
        stream::iter(targets)
            .map(state)
            .buffer_unordered(SUB_ACCOUNTS_AT_ONCE)
            .collect()
            .await
    }

    async fn chain_state(&self, target: &SubAccountJob<'_>) -> Option<ChainState> {
        // Why a chain cannot be read, its days have told already.
        let chain = Chain::open(self.archive, &target.sub_account).await.ok()?;
        let coverage = chain.coverage();
        let yesterday = self.yesterday(&target.zone).ok()?;
        let mut days = coverage
            .first_day
            .into_iter()
            .flat_map(|first| first.series(1.day()));
        let oldest = days
            .by_ref()
            .take_while(|date| *date <= yesterday)
            .filter(|date| !coverage.state(*date).is_sealed())
            // A date that a zone has left out is no day.
            .find_map(|date| target.zone.day(date).ok());
        Some(ChainState {
            sequence: chain.head.as_ref().map_or(0, |head| head.sequence),
            oldest_unsealed_ms: oldest.map(|day| day.end_ms),
        })
    }

    /// What the sub-account's chain covers.
    pub async fn coverage(&self, target: &SubAccountJob<'_>) -> Result<Coverage> {
        Ok(Chain::open(self.archive, &target.sub_account)
            .await?
            .coverage())
    }

    /// The last day that has ended in the sub-account's zone, by this host's clock.
    pub fn yesterday(&self, zone: &Zone) -> Result<Date> {
        let today = zone.date_at(self.archive.clock.now_ms()).map_err(usage)?;
        today.yesterday().map_err(|error| {
            Failure::new(Exit::Usage, "this host's clock is out of range").because(error)
        })
    }

    /// A chain keeps its first day for ever, and a year mistyped would make it that of another century.
    pub fn mistyped(&self, date: Date) -> Option<Failure> {
        let now = jiff::Timestamp::from_millisecond(self.archive.clock.now_ms()).ok()?;
        let today = now.to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
        let oldest = today.checked_sub(OLDEST_YEARS.years()).ok()?;
        (date < oldest).then(|| {
            Failure::new(
                Exit::Usage,
                format!("{date} is more than {OLDEST_YEARS} years ago"),
            )
            .remedy("Check the year; RingCX keeps interactions for a much shorter time.")
        })
    }

    /// Archives one day, and reports it at once.
    pub async fn day(
        &self,
        target: &SubAccountJob<'_>,
        date: Date,
        task: &DayTask,
        place: PipelineSlot<'_>,
    ) -> DayReport {
        let began_ms = self.archive.clock.now_ms();
        let mut report = match self.try_day(target, date, task, place).await {
            Ok(outcome) => DayReport::of(&target.sub_account, &outcome),
            Err(failure) => DayReport::failed(&target.sub_account, Some(date), &failure),
        };
        report.worked_ms = Some((began_ms, self.archive.clock.now_ms()));
        self.context.output.event(&report.event());
        // Where the table at the end is printed, it says the same.
        if self.context.output.quiet || self.context.output.json {
            report.log();
        }
        report
    }

    async fn try_day(
        &self,
        target: &SubAccountJob<'_>,
        date: Date,
        task: &DayTask,
        place: PipelineSlot<'_>,
    ) -> Result<DayOutcome> {
        let account = target.account.account;
        let job = DayJob {
            sub_account: target.sub_account.clone(),
            date,
            window: target.zone.day(date).map_err(usage)?,
            zone: target.zone.clone(),
            filters: Filters {
                channel_classes: account.channel_classes.clone(),
                segment_types: account.segment_types.clone(),
            },
            why: task.why(),
            recheck: task.again().cloned(),
            insist: matches!(task, DayTask::Archive { insist: true, .. }),
        };
        let meter = DayMeter::default();
        let source = ObservedClient {
            account: target.account,
            client: OnceLock::new(),
        };
        let chain = SharedChain::new(target.sub_account.clone());
        let shown = self.show(&job, &meter, &source);
        let worked = run_day(self.archive, &chain, &job, &source, &meter, place);
        tokio::select! {
            outcome = worked => outcome,
            () = shown => Err(Failure::new(Exit::Unexpected, "the progress display ended the run")),
        }
    }

    /// Shows the meter until the day is done; never returns.
    async fn show(&self, job: &DayJob, meter: &DayMeter, source: &ObservedClient<'_>) {
        let shown = self
            .progress
            .day(format!("{} {}", job.sub_account, job.date));
        let begun_ms = self.archive.clock.now_ms();
        loop {
            self.archive.clock.sleep(Duration::from_millis(250)).await;
            let reading = meter.read();
            if reading.windows == 0 && reading.segments == 0 {
                continue;
            }
            shown.set_discovery(reading.windows_done, reading.windows);
            shown.set_summaries(reading.summaries, 2 * reading.segments);
            if let Some(api) = source.client.get() {
                let elapsed_ms = self.archive.clock.now_ms() - begun_ms;
                let quota =
                    summary::quota_percent(&api.usage(), &self.settings.summary_limits, elapsed_ms);
                shown.set_note(summary::usage_note(&api.usage(), quota, reading.failed));
            }
        }
    }
}

/// Lets the progress display see the client, once there is one.
struct ObservedClient<'a> {
    account: &'a AccountClient<'a>,
    client: OnceLock<Arc<RingCx>>,
}

impl ApiSource for ObservedClient<'_> {
    async fn api(&self) -> Result<Arc<RingCx>> {
        let client = self.account.api().await?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

pub fn usage(error: DayError) -> Failure {
    Failure::new(Exit::Usage, error.to_string()).remedy("Name another date or zone.")
}
