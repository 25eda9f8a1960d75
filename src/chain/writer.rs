//! Which archive this is, and what every stage needs of it.

use std::ops::Deref;
use std::sync::Arc;

use crate::chain::anchoring::Anchoring;
use crate::chain::archive;
use crate::chain::archive::{Archive, violated};
use crate::clock::Clock;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::archive::ArchiveRecord;
use crate::format::record::lock::{Lock, Retention};
use crate::format::row::omit::Omission;
use crate::format::row::schema::FORMAT_VERSION;
use crate::format::signature::{AllowedSigners, SigningKey};
use crate::journal::StateDir;
use crate::outcome::{Exit, Failure, Result};
use crate::store::{NewObject, PutOutcome, Store};

/// Who signs, and whose signatures count.
#[derive(Debug, Default)]
pub struct Signers {
    pub key: Option<SigningKey>,
    /// Holds our own public key as well.
    pub allowed: AllowedSigners,
}

/// What the settings say about how days are made.
#[derive(Debug, Clone)]
pub struct Policy {
    pub settle_ms: i64,
    pub part_rows: u64,
    pub part_bytes: u64,
    pub lock: Option<Retention>,
    pub source_retention_days: Option<u32>,
    /// Warnings that somebody has acknowledged, as [`crate::format::record::warning::Warning::name`] names them.
    pub acknowledge: Vec<String>,
    /// What is left out of discovery's objects before anything of them is kept.
    pub omitted_fields: Omission,
    pub concurrency: usize,
    /// Answers of each of the concurrent fetchers that may be on their way to the disk. A crash costs them, beside the
    /// requests in flight.
    pub answers_under_way: usize,
}

/// This run, as manifests tell it.
#[derive(Debug, Clone)]
pub struct RunFacts {
    pub id: String,
    pub started_at: i64,
    pub host: String,
    pub settings_sha256: Digest,
}

/// One archive, opened for writing.
///
/// A writer can do whatever a reader can: it dereferences to its reading handle.
pub struct Writer {
    pub archive: Archive,
    pub state: StateDir,
    pub clock: Arc<dyn Clock>,
    pub signers: Arc<Signers>,
    pub policy: Policy,
    pub run: RunFacts,
    /// Where heads are kept a second time.
    pub anchoring: Anchoring,
}

impl Deref for Writer {
    type Target = Archive;

    fn deref(&self) -> &Archive {
        &self.archive
    }
}

/// Reads the archive's record, or creates the archive with the id `new_id`.
pub async fn open_or_create(
    store: &dyn Store,
    new_id: &str,
    now_ms: i64,
    lock: Option<Retention>,
) -> Result<ArchiveRecord> {
    if let Some(record) = archive::record(store).await? {
        return Ok(record);
    }
    refuse_to_create_again(store).await?;
    let record = ArchiveRecord {
        archive_id: new_id.to_owned(),
        created_at: now_ms,
        format_version: FORMAT_VERSION,
    };
    let bytes = record.to_bytes().map_err(|error| {
        Failure::new(Exit::Unexpected, "cannot write archive.json").because(error)
    })?;
    // Two first runs may race: the first one founds the archive, the other reads what it founded.
    let object = NewObject::from_bytes(
        key::ARCHIVE,
        bytes.into(),
        lock.and_then(|lock| lock.lock_from(now_ms)),
    );
    if let PutOutcome::Created { .. } = store.put_new(&object).await? {
        // A mistyped location would otherwise look like an archive that has forgotten everything.
        tracing::info!(
            location = store.root(),
            "there was no archive; a new one is founded"
        );
    }
    match archive::record(store).await? {
        Some(record) => Ok(record),
        None => {
            Err(Failure::new(Exit::Later, format!("{} does not show what was just stored", store.root()))
                .remedy(
                    "The store is not consistent; run again later, or choose one that reads its own writes.",
                ))
        }
    }
}

/// An archive whose record was deleted is not a new one: under another id nothing of it could be continued.
async fn refuse_to_create_again(store: &dyn Store) -> Result<()> {
    let deleted = store
        .versions(key::ARCHIVE)
        .await?
        .iter()
        .any(|version| version.is_delete_marker);
    let lost = deleted || !store.list(key::MANIFESTS, None).await?.is_empty();
    // Between the first look and these another host may have founded it.
    if lost && archive::record(store).await?.is_none() {
        return Err(violated(format!(
            "{}/{} was deleted",
            store.root(),
            key::ARCHIVE
        )));
    }
    Ok(())
}

impl Writer {
    /// The lock that the settings ask for an object that is put now.
    pub fn fresh_lock(&self) -> Result<Option<Lock>> {
        let Some(policy) = self.policy.lock else {
            return Ok(None);
        };
        let beyond = || {
            Failure::new(
                Exit::Usage,
                format!("object_lock {policy} ends beyond the calendar"),
            )
        };
        policy
            .lock_from(self.clock.now_ms())
            .map(Some)
            .ok_or_else(beyond)
    }

    /// Proves that the store honours create-only: a PUT of `archive.json` again must answer "exists".
    ///
    /// A store that ignores the condition would let two hosts overwrite each other's manifests.
    pub async fn check_create_only(&self) -> Result<()> {
        let Some(bytes) = self.store.get(key::ARCHIVE).await? else {
            // Putting anything now would give the name to other bytes.
            return Err(violated(format!(
                "{}/{} was deleted",
                self.store.root(),
                key::ARCHIVE
            )));
        };
        match self
            .store
            .put_new(&NewObject::from_bytes(key::ARCHIVE, bytes, None))
            .await?
        {
            PutOutcome::Exists => Ok(()),
            PutOutcome::Created { .. } => {
                let message = format!(
                    "{} overwrites objects although told not to",
                    self.store.root()
                );
                let remedy = "Use a store that honours If-None-Match on PUT (AWS S3, MinIO), or a local folder.";
                Err(Failure::new(Exit::Usage, message).remedy(remedy))
            }
        }
    }
}
