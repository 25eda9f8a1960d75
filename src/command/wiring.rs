//! From settings to the parts that work: the store and the archive. The clients are in
//! [`account_client`](crate::command::account_client).
//!
//! Commands open an archive in one of three ways: to archive days ([`open_archive`], which creates a missing one), to
//! append a record ([`open_existing`]), or to plan ([`open_for_plan`]). Readers open the store alone ([`open_store`]).

use std::sync::Arc;

use aws_lc_rs::rand;

use crate::chain::{Anchoring, Archive, Mode, Policy, RunFacts, Signers, Writer, archive, writer};
use crate::clock::{Clock, SystemClock};
use crate::command::Context;
use crate::command::archive::anchor;
use crate::command::s3_options::{copy_options, s3_options};
use crate::config::Settings;
use crate::format::place::location::Location;
use crate::format::record::{ArchiveRecord, KeyList};
use crate::format::row::FORMAT_VERSION;
use crate::format::signature::SigningKey;
use crate::format::time::Instant;
use crate::journal::StateDir;
use crate::outcome::{Failure, Result};
use crate::store;
use crate::store::{RetryingStore, S3Options, Store};

/// Opens the archive's store. Requests that fail for a passing reason are retried.
///
/// # Errors
/// Where the location or its credentials cannot be used.
pub(crate) async fn open_store(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    context: &Context,
) -> Result<Arc<dyn Store>> {
    let options = s3_options(settings, &settings.s3)?;
    open_location(&settings.archive, options, clock, context).await
}

/// Opens the place that `cxvault copy` writes to, in the same way.
///
/// # Errors
/// As [`open_store`]; `Exit::Usage` for a profile and an access key at once.
pub(crate) async fn open_copy(
    to: &Location,
    settings: &Settings,
    clock: Arc<dyn Clock>,
    context: &Context,
) -> Result<Arc<dyn Store>> {
    open_location(to, copy_options(settings)?, clock, context).await
}

async fn open_location(
    location: &Location,
    options: S3Options,
    clock: Arc<dyn Clock>,
    context: &Context,
) -> Result<Arc<dyn Store>> {
    let store = store::open(location, options).await?;
    let stop = context.cancel.clone();
    Ok(Arc::new(RetryingStore::new(store, clock, stop)))
}

/// Opens the archive for archiving days, and creates it where there is none.
///
/// A crash while it is created leaves `archive.json` or nothing.
///
/// # Errors
/// Where the keys, the store or `archive.json` cannot be used; or where an archive would be created for accounts without
/// credentials.
pub(crate) async fn open_archive(settings: &Settings, context: &Context) -> Result<Writer> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let signers = signers(settings)?;
    let store = open_store(settings, clock.clone(), context).await?;
    let started_at = clock.now_ms();
    if archive::record(&*store).await?.is_none() {
        // Without credentials nothing can be archived: then no archive should be created either.
        settings
            .accounts
            .iter()
            .try_for_each(|account| account.credentials().map(drop))?;
    }
    let new_id = random_id()?;
    let own = signers.key.as_ref().map(SigningKey::public_key);
    let lock = settings.object_lock;
    let record = writer::open_or_create(&*store, &new_id, started_at, lock, own).await?;
    let archive = reading(settings, context, store, record).await?;
    for_writing(settings, context, archive, signers, clock).await
}

/// Opens an archive for a record command; with [`Mode::DryRun`] nothing of it is written, nor are anchors used.
///
/// # Errors
/// `Exit::Usage` where there is no archive: a record command creates none.
pub(crate) async fn open_existing(
    settings: &Settings,
    mode: Mode,
    context: &Context,
) -> Result<Writer> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let signers = signers(settings)?;
    let store = open_store(settings, clock.clone(), context).await?;
    let record = archive::record(&*store)
        .await?
        .ok_or_else(|| archive::none_at(&store.root()))?;
    let archive = reading(settings, context, store, record).await?;
    match mode {
        Mode::Act => for_writing(settings, context, archive, signers, clock).await,
        Mode::DryRun => {
            let writer = assemble(settings, archive, signers, clock)?;
            writer.check_may_write()?;
            Ok(writer)
        }
    }
}

/// Opens an archive to change the keys that count, with a key that need not count yet: whether it may is for the change to
/// decide.
///
/// # Errors
/// As [`open_existing`].
pub(crate) async fn open_to_change_keys(
    settings: &Settings,
    mode: Mode,
    context: &Context,
) -> Result<Writer> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let signers = signers(settings)?;
    let store = open_store(settings, clock.clone(), context).await?;
    let record = archive::record(&*store)
        .await?
        .ok_or_else(|| archive::none_at(&store.root()))?;
    let archive = reading(settings, context, store, record).await?;
    let writer = assemble(settings, archive, signers, clock.clone())?;
    Ok(match mode {
        Mode::Act => Writer {
            anchoring: anchor::anchoring(settings, clock, context).await,
            ..writer
        },
        Mode::DryRun => writer,
    })
}

/// Opens the archive for a plan; where there is none yet, none is created, and the plan is that of an empty one.
///
/// # Errors
/// Where the keys, the store or `archive.json` cannot be used.
pub(crate) async fn open_for_plan(settings: &Settings, context: &Context) -> Result<Writer> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let signers = signers(settings)?;
    let store = open_store(settings, clock.clone(), context).await?;
    let record = archive::record(&*store).await?.unwrap_or(ArchiveRecord {
        archive_id: "not-founded-yet".to_owned(),
        created_at: Instant::from_millis(clock.now_ms()),
        format_version: FORMAT_VERSION,
        signers: KeyList::of(signers.key.as_ref().map(SigningKey::public_key)),
    });
    let archive = reading(settings, context, store, record).await?;
    let writer = assemble(settings, archive, signers, clock)?;
    writer.check_may_write()?;
    Ok(writer)
}

/// Returns the signing key, and the keys whose signatures count.
fn signers(settings: &Settings) -> Result<Signers> {
    Ok(Signers {
        key: settings.signing_key()?,
        allowed: settings.allowed_signers()?,
    })
}

/// Returns the reading side of the archive.
async fn reading(
    settings: &Settings,
    context: &Context,
    store: Arc<dyn Store>,
    record: ArchiveRecord,
) -> Result<Archive> {
    let mut allowed = settings.trusted_signers()?;
    if !allowed.is_empty() {
        allowed = settings.allowed_signers()?;
    }
    Archive::of(store, record, allowed, context.cancel.clone()).await
}

/// Returns the archive with its anchors, ready for commits.
async fn for_writing(
    settings: &Settings,
    context: &Context,
    archive: Archive,
    signers: Signers,
    clock: Arc<dyn Clock>,
) -> Result<Writer> {
    for (name, meant) in settings.doubtful_fields() {
        tracing::warn!(
            name,
            "omit_fields: RingCX documents no such field; was `{meant}` meant?"
        );
    }
    let writer = assemble(settings, archive, signers, clock.clone())?;
    // Before any other request: what a writer without a key that counts adds would be foreign to every reader.
    writer.check_may_write()?;
    let writer = Writer {
        anchoring: anchor::anchoring(settings, clock, context).await,
        ..writer
    };
    tracing::info!(
        archive = writer.store.root(),
        archive_id = writer.id(),
        run = writer.run.id,
        format = FORMAT_VERSION,
        "archive opened"
    );
    Ok(writer)
}

/// Returns the archive with the policy of the settings and the facts of this run.
fn assemble(
    settings: &Settings,
    archive: Archive,
    signers: Signers,
    clock: Arc<dyn Clock>,
) -> Result<Writer> {
    let started_at = Instant::from_millis(clock.now_ms());
    let policy = Policy {
        settle_ms: millis(settings.settle.0),
        part_rows: settings.part_rows,
        part_bytes: settings.part_bytes.0,
        lock: settings.object_lock,
        source_retention_days: settings.source_retention.map(|days| days.0),
        acknowledge: settings.known_warnings.clone(),
        omitted_fields: settings.omit_fields.clone(),
        concurrency: settings.concurrency as usize,
        // Under a rate limit a lost answer costs more than waiting for the disk; without one it is the other way round.
        answers_under_way: match settings.summary_limits.are_off() {
            true => 4,
            false => 1,
        },
    };
    let settings_sha256 = settings
        .digest()
        .parse()
        .map_err(|error| Failure::unexpected("the settings have no digest").because(error))?;
    let run = RunFacts {
        id: format!("{}-{}", compact_time(started_at), &random_id()?[..8]),
        started_at,
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        settings_sha256,
    };
    Ok(Writer {
        state: StateDir::open(&settings.state_dir, archive.id()),
        archive,
        clock,
        signers: Arc::new(signers),
        policy,
        run,
        // Without anchors, which `for_writing` adds: a plan or a dry run commits nothing.
        anchoring: Anchoring::default(),
    })
}

/// Returns a duration in milliseconds.
fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the time as `20261120T031500Z`, so that run ids sort by time.
fn compact_time(instant: Instant) -> String {
    jiff::Timestamp::from_millisecond(instant.as_millis())
        .map(|time| time.strftime("%Y%m%dT%H%M%SZ").to_string())
        .unwrap_or_default()
}

/// Returns 32 random hexadecimal digits.
fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes)
        .map_err(|_| Failure::unexpected("this host provides no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
