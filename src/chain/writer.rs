//! The archive as a writer opens it, and how an archive is created.
//!
//! An archive exists from the moment at which `archive.json` is stored. A crash before that leaves nothing; a crash after it
//! leaves an empty archive, which the next run continues. A location that has records and no `archive.json` is not a new
//! archive: that object was deleted.

use std::ops::Deref;
use std::sync::Arc;

use crate::chain::anchoring::Anchoring;
use crate::chain::archive;
use crate::chain::archive::Archive;
use crate::clock::Clock;
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{ArchiveRecord, KeyList, Lock, Retention};
use crate::format::row::{FORMAT_VERSION, Omission};
use crate::format::signature::{AllowedSigners, PublicKey, SigningKey};
use crate::format::time::Instant;
use crate::journal::StateDir;
use crate::outcome::{Failure, Result};
use crate::store::{NewObject, PutOutcome, Store};

/// The key that signs new records, and the keys whose signatures count at the head of a chain.
#[derive(Debug, Default)]
pub struct Signers {
    /// The private key; `None` where records are not signed.
    pub key: Option<SigningKey>,
    /// The allowed signers of the settings, and the public key of `key`.
    pub allowed: AllowedSigners,
}

/// The settings that decide how days are archived.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Time in milliseconds between the end of a day and its first run.
    pub settle_ms: i64,
    /// Most rows in one part.
    pub part_rows: u64,
    /// Size in bytes at which a part is closed.
    pub part_bytes: u64,
    /// The lock that new objects get.
    pub lock: Option<Retention>,
    /// Number of days for which RingCX keeps summaries, where it is known.
    pub source_retention_days: Option<u32>,
    /// Names of the warnings that are known and raise no alarm, as
    /// [`Warning::name`](crate::format::record::warning::Warning::name) returns them.
    pub acknowledge: Vec<String>,
    /// Members that are removed from discovery's objects before anything of them is stored.
    pub omitted_fields: Omission,
    /// Number of summaries that are fetched concurrently.
    pub concurrency: usize,
    /// Number of answers of each concurrent fetcher that may wait for the disk. A crash loses them, besides the requests
    /// in flight.
    pub answers_under_way: usize,
}

/// The run of this process, as records name it.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Id of the run, unique in the archive.
    pub id: String,
    /// Start of the run, by this host's clock.
    pub started_at: Instant,
    /// Name of this host.
    pub host: String,
    /// SHA-256 over the settings in force, without secrets.
    pub settings_sha256: Digest,
}

/// One archive, opened for writing.
///
/// A writer can do everything that a reader can: it dereferences to its reading handle, so that every function that takes
/// an [`Archive`] takes a `&Writer`.
pub struct Writer {
    /// The reading handle.
    pub archive: Archive,
    /// The folder in which this host remembers heads and journals.
    pub state: StateDir,
    pub clock: Arc<dyn Clock>,
    pub signers: Arc<Signers>,
    pub policy: Policy,
    pub run: RunFacts,
    /// The second place where heads are stored.
    pub anchoring: Anchoring,
}

impl Deref for Writer {
    type Target = Archive;

    fn deref(&self) -> &Archive {
        &self.archive
    }
}

/// Reads the archive's record, or creates the archive with the id `new_id` and a lock on its record. A new archive is signed
/// if there is a `signer`.
///
/// # Errors
/// Those of [`archive::record`]; `Exit::Integrity` where `archive.json` was deleted; `Exit::Later` where the store does
/// not show what was just stored.
pub async fn open_or_create(
    store: &dyn Store,
    new_id: &str,
    now_ms: i64,
    lock: Option<Retention>,
    signer: Option<PublicKey>,
) -> Result<ArchiveRecord> {
    if let Some(record) = archive::record(store).await? {
        return Ok(record);
    }
    refuse_to_create_again(store).await?;
    let record = ArchiveRecord {
        archive_id: new_id.to_owned(),
        created_at: Instant::from_millis(now_ms),
        format_version: FORMAT_VERSION,
        signers: KeyList::of(signer),
    };
    let bytes = record
        .to_bytes()
        .map_err(|error| Failure::unexpected("cannot write archive.json").because(error))?;
    // Two first runs may race: the first creates the archive, and both read its record below.
    let object = NewObject::from_bytes(
        key::ARCHIVE,
        bytes.into(),
        lock.and_then(|lock| lock.lock_from(now_ms)),
    );
    if let PutOutcome::Created { .. } = store.put_new(&object).await? {
        // Without this line a mistyped location would look like an archive that has lost everything.
        tracing::info!(
            location = store.root(),
            "created a new archive, because none existed at this location"
        );
    }
    match archive::record(store).await? {
        Some(record) => Ok(record),
        None => {
            Err(Failure::later(format!("{} does not show what was just stored", store.root()))
                .remedy(
                    "The store is not consistent; run again later, or choose one that reads its own writes.",
                ))
        }
    }
}

/// Refuses an archive whose record was deleted: under another id none of its chains could be continued.
async fn refuse_to_create_again(store: &dyn Store) -> Result<()> {
    let deleted = store
        .versions(key::ARCHIVE)
        .await?
        .iter()
        .any(|version| version.is_delete_marker);
    let lost = deleted || !store.list(key::MANIFESTS, None).await?.is_empty();
    // Another host may have created the archive since the record was read.
    if lost && archive::record(store).await?.is_none() {
        return Err(archive::record_deleted(store));
    }
    Ok(())
}

impl Writer {
    /// Returns the lock that the settings require of an object that is stored now.
    ///
    /// # Errors
    /// `Exit::Usage` where the retention ends beyond the calendar.
    pub(crate) fn fresh_lock(&self) -> Result<Option<Lock>> {
        let Some(policy) = self.policy.lock else {
            return Ok(None);
        };
        let lock = policy.lock_from(self.clock.now_ms());
        lock.map(Some)
            .ok_or_else(|| Failure::usage(format!("object_lock {policy} ends beyond the calendar")))
    }

    /// Proves that the store honours create-only: a PUT of `archive.json` again must answer "exists".
    ///
    /// A store that ignores the condition would let two hosts overwrite each other's manifests.
    ///
    /// # Errors
    /// `Exit::Usage` where the store overwrites; `Exit::Integrity` where `archive.json` was deleted.
    pub async fn check_create_only(&self) -> Result<()> {
        let Some(bytes) = self.store.get(key::ARCHIVE).await? else {
            // A PUT would now create the object with a new content.
            return Err(archive::record_deleted(&*self.store));
        };
        // With the lock of any other object: a policy of the bucket may refuse a PUT without one before it looks for the object.
        let again = NewObject::from_bytes(key::ARCHIVE, bytes, self.fresh_lock()?);
        match self.store.put_new(&again).await? {
            PutOutcome::Exists => Ok(()),
            PutOutcome::Created { .. } => Err(archive::overwrites(&self.store.root())),
        }
    }
}
