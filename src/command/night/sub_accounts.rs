//! The loop over sub-accounts that every command of this group runs.
//!
//! The order of its steps matters:
//!
//! 1. The archive is opened, and the store proves that it never overwrites an object.
//! 2. The roster's chain is read. It vouches for the heads of all sub-accounts, so that a chain which was cut off is
//!    noticed before anything is appended to it, also by a host that has lost its state folder.
//! 3. The sub-accounts are named by the settings, or listed by RingCX.
//! 4. Their days are visited, several sub-accounts at a time.
//! 5. The heads of their chains are anchored, where the settings name a second place for them.
//! 6. The inventory of all sub-accounts is committed to the roster, and the roster's head is anchored.
//!
//! What fails for one sub-account does not stop the others: each has a chain of its own, and nothing that the steps after a
//! crash leave out needs a repair. The next run anchors the same heads, and its inventory says as much.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use jiff::ToSpan;

use crate::chain::{Mode, Roster, Unanchored, Writer, anchor};
use crate::command::account_client::{AccountClient, LazyLedger, Urgency};
use crate::command::night::day_report::{CommandOutcome, DayReport};
use crate::command::night::days::archive_days;
use crate::command::night::inventory::record_inventory;
use crate::command::night::job::{NightContext, SubAccountJob, day_failure};
use crate::command::night::shard::{DayShare, Shard};
use crate::command::night::summary;
use crate::command::night::worklist::NightCommand;
use crate::command::{Context, wiring};
use crate::config::Settings;
use crate::day::context::ApiSource as _;
use crate::day::shared_chain::SharedChain;
use crate::format::place::key;
use crate::format::record::{AccountListing, Anchor, HeadRef};
use crate::format::time::Zone;
use crate::outcome::{Exit, Failure, Result};
use crate::render::Progress;
use crate::ringcx::Usage;
use crate::telemetry::ended::ChainState;

/// Sub-accounts at work at once: each has a discovery limit of its own, and while one waits another fetches.
pub(crate) const SUB_ACCOUNTS_AT_ONCE: usize = 8;
/// Sub-accounts read at once for a plan, which only reads the store.
const READ_AT_ONCE: usize = 64;

/// Archives the days of the command's worklist for every sub-account that is configured or listed, several at a time.
///
/// # Errors
/// Where nothing could begin: the archive cannot be opened, or is a copy that was not taken over.
pub(crate) async fn archive_sub_accounts(
    command: &NightCommand,
    settings: &Settings,
    context: &Context,
) -> Result<CommandOutcome> {
    let archive = wiring::open_archive(settings, context).await?;
    // A store that overwrites objects would let two hosts destroy each other's manifests.
    archive.check_create_only().await?;
    // Opened before any day: it also refuses a copy of an archive that was not taken over.
    let mut roster = Roster::open_to_write(&archive, Mode::Act).await?;
    summary::begin(&archive, &context.output);
    let ledger = LazyLedger::new(settings, archive.clock.clone(), command.urgency());
    let clients = account_clients(settings, &archive, &ledger, context);
    let JobList {
        jobs,
        failed: mut days,
        mut listing,
    } = list_jobs(&clients, command.shard).await;
    listing.acknowledge = settings.known_warnings.clone();
    listing.narrowed = !context.sub_accounts.is_empty();
    let night = NightContext {
        archive: &archive,
        settings,
        output: &context.output,
        progress: &Progress::new(&context.output, archive.clock.clone()),
    };
    let mut visits = stream::iter(&jobs)
        .map(|job| archive_days(&night, job, &command.worklist))
        .buffer_unordered(SUB_ACCOUNTS_AT_ONCE);
    while let Some(reports) = visits.next().await {
        days.extend(reports);
    }
    // Releases the borrows of the jobs.
    drop(visits);
    let (committed, unanchored) =
        anchor_and_record(&night, &mut roster, command.name, listing, &jobs, &mut days).await;
    // Elsewhere the table at the end lists them.
    if context.output.quiet || context.output.json {
        unanchored.iter().for_each(Unanchored::log);
    }
    // The visits end in any order; reports and events are sorted for people and tests.
    days.sort_by(|a, b| (&a.sub_account, &a.date).cmp(&(&b.sub_account, &b.date)));
    let anchor_exits = unanchored.iter().map(|anchor| anchor.exit);
    let exits = days.iter().map(|day| day.exit).chain(anchor_exits);
    let foreign = archive.foreign.keys();
    Ok(CommandOutcome {
        exit: Exit::worst(exits.chain(foreign_exit(&archive))),
        foreign,
        days,
        roster: committed,
        unanchored,
        usage: clients
            .iter()
            .filter_map(AccountClient::usage)
            .fold(Usage::default(), Usage::and),
        chains: chain_states(&night, &jobs).await,
    })
}

/// Returns the exit code for objects at records' numbers that are no records: the run is complete, and the operator must know
/// that another principal creates objects.
fn foreign_exit(archive: &Writer) -> Option<Exit> {
    (!archive.foreign.keys().is_empty()).then_some(Exit::Gaps)
}

/// Anchors the heads of the chains, records the inventory, and anchors the head of that record. Returns that head, and the
/// heads that could not be anchored.
async fn anchor_and_record(
    context: &NightContext<'_>,
    roster: &mut Roster,
    command: &str,
    listing: AccountListing,
    jobs: &[SubAccountJob<'_>],
    days: &mut Vec<DayReport>,
) -> (Option<HeadRef>, Vec<Unanchored>) {
    let archive = context.archive;
    // First the anchors: where a head contradicts its anchor, nothing more is written.
    let heads = chain_heads(context, jobs).await;
    let mut unanchored = anchor::settle(archive, heads).await;
    let exit = Exit::worst(unanchored.iter().map(|anchor| anchor.exit));
    let committed = record_inventory(archive, roster, command, listing, jobs, days, exit).await;
    if committed.is_some() {
        // The new head vouches for the roster's head before it.
        unanchored.retain(|anchor| anchor.chain() != key::ROSTER);
        let heads = anchor::archive_heads(archive).await;
        unanchored.extend(anchor::settle(archive, heads).await);
    }
    (committed, unanchored)
}

/// Returns the present heads of the chains, and of the roster, where heads are anchored at all. A chain that cannot be read
/// is left out: the reports of its days say why.
async fn chain_heads(context: &NightContext<'_>, jobs: &[SubAccountJob<'_>]) -> Vec<Anchor> {
    let archive = context.archive;
    if archive.anchoring.is_off() || archive.stop.is_cancelled() {
        return Vec::new();
    }
    let mut heads: Vec<Anchor> = stream::iter(jobs)
        .map(async |job| anchor::head_of(&job.chain(context).await.ok()?))
        .buffered(SUB_ACCOUNTS_AT_ONCE)
        .filter_map(async |head| head)
        .collect()
        .await;
    heads.extend(anchor::archive_heads(archive).await);
    heads
}

/// Runs `read` for every sub-account, without writing anything: no archive is created, and RingCX is asked for the list of
/// sub-accounts only, where the settings name none. Also returns reports of those that cannot be read.
pub(crate) async fn read_sub_accounts<T>(
    command: &NightCommand,
    settings: &Settings,
    context: &Context,
    read: impl AsyncFn(&NightContext<'_>, &SubAccountJob<'_>) -> T,
) -> Result<(Vec<T>, Vec<DayReport>)> {
    let archive = wiring::open_for_plan(settings, context).await?;
    let ledger = LazyLedger::new(settings, archive.clock.clone(), Urgency::Spare);
    let clients = account_clients(settings, &archive, &ledger, context);
    let list = list_jobs(&clients, command.shard).await;
    let night = NightContext {
        archive: &archive,
        settings,
        output: &context.output,
        progress: &Progress::new(&context.output, archive.clock.clone()),
    };
    let reads = stream::iter(&list.jobs)
        .map(|job| read(&night, job))
        .buffer_unordered(READ_AT_ONCE);
    Ok((reads.collect().await, list.failed))
}

/// Returns the clients of all configured accounts. Each is made when its first request is due.
fn account_clients<'a>(
    settings: &'a Settings,
    archive: &Writer,
    ledger: &'a LazyLedger<'a>,
    context: &Context,
) -> Vec<AccountClient<'a>> {
    settings
        .accounts
        .iter()
        .map(|account| {
            AccountClient::new(settings, account, archive.clock.clone(), ledger, context)
        })
        .collect()
}

/// The sub-accounts of all accounts.
struct JobList<'a> {
    /// Those of this process, in the same order in every process.
    jobs: Vec<SubAccountJob<'a>>,
    /// Reports of those that cannot be worked on.
    failed: Vec<DayReport>,
    /// All sub-accounts that are named or listed, those of other processes too.
    listing: AccountListing,
}

/// Lists the sub-accounts of all accounts, and selects those of this process.
///
/// They are sorted before they are divided: every process of a shard has to see them in the same order.
async fn list_jobs<'a>(clients: &'a [AccountClient<'a>], shard: Option<Shard>) -> JobList<'a> {
    let mut list = JobList {
        jobs: Vec::new(),
        failed: Vec::new(),
        listing: AccountListing::default(),
    };
    let mut found = Vec::new();
    for client in clients {
        match list_sub_accounts(client).await {
            Ok(ids) => {
                let known = match client.account.sub_accounts.is_empty() {
                    true => &mut list.listing.listed,
                    false => &mut list.listing.named,
                };
                known.extend(ids.iter().cloned());
                found.extend(ids.into_iter().map(|sub_account| (client, sub_account)));
            }
            Err(failure) => {
                let name = &client.account.name;
                list.failed.push(DayReport::failed(name, None, &failure));
            }
        }
    }
    // Only requests for lists can have failed so far.
    list.listing.complete = !list.listing.listed.is_empty() && list.failed.is_empty();
    found.sort_by(|a, b| a.1.cmp(&b.1));
    let count = found.len();
    for (position, (client, sub_account)) in found.into_iter().enumerate() {
        let share = match shard {
            Some(shard) => shard.share(position, count),
            None => Some(DayShare::WHOLE),
        };
        let Some(share) = share else { continue };
        match Zone::named(client.account.zone_of(&sub_account)) {
            Ok(zone) => list.jobs.push(SubAccountJob {
                client,
                chain: SharedChain::new(sub_account.as_str()),
                sub_account,
                zone,
                share,
            }),
            Err(error) => {
                let failure = day_failure(error);
                list.failed
                    .push(DayReport::failed(&sub_account, None, &failure));
            }
        }
    }
    list
}

/// Returns the configured sub-accounts of an account, or all that the API lists.
async fn list_sub_accounts(client: &AccountClient<'_>) -> Result<Vec<String>> {
    let account = client.account;
    if !account.sub_accounts.is_empty() {
        return Ok(account.sub_accounts.clone());
    }
    let listed = client.api().await?.sub_accounts().await?;
    let ids: Vec<String> = listed.into_iter().map(|listed| listed.account_id).collect();
    if ids.is_empty() {
        let message = format!("RingCX lists no sub-account for account `{}`", account.name);
        return Err(Failure::denied(message).remedy(
            "Check the user's access in RingCX Admin, or name the sub-accounts in CXVAULT_SUB_ACCOUNTS.",
        ));
    }
    if !ids.iter().all(|id| key::is_sub_account(id)) {
        let message = "RingCX lists a sub-account whose id cannot be part of a key";
        return Err(Failure::unexpected(message)
            .remedy("Name the sub-accounts to archive in CXVAULT_SUB_ACCOUNTS."));
    }
    Ok(ids)
}

/// Returns the state of each chain at the end. The store is read only where metrics are configured.
async fn chain_states(
    context: &NightContext<'_>,
    jobs: &[SubAccountJob<'_>],
) -> BTreeMap<String, Option<ChainState>> {
    let has_metrics = context.settings.telemetry.want_metrics();
    stream::iter(jobs)
        .map(async |job| {
            let state = match has_metrics {
                true => chain_state(context, job).await,
                false => None,
            };
            (job.sub_account.clone(), state)
        })
        .buffer_unordered(SUB_ACCOUNTS_AT_ONCE)
        .collect()
        .await
}

/// Returns the number of the head, and the oldest day that is not sealed; `None` where the chain cannot be read.
async fn chain_state(context: &NightContext<'_>, job: &SubAccountJob<'_>) -> Option<ChainState> {
    // Why a chain cannot be read, the reports of its days say.
    let chain = job.chain(context).await.ok()?;
    let coverage = chain.coverage();
    let yesterday = context.yesterday(job).ok()?;
    let oldest_unsealed = coverage
        .first_day
        .into_iter()
        .flat_map(|first| first.series(1.day()))
        .take_while(|date| *date <= yesterday)
        .filter(|date| !coverage.state(*date).is_sealed())
        // A date that the zone has skipped is no day.
        .find_map(|date| job.zone.day(date).ok());
    Some(ChainState {
        sequence: chain.head.as_ref().map_or(0, |head| head.sequence),
        oldest_unsealed_ms: oldest_unsealed.map(|day| day.end_ms),
    })
}
