//! An archive as a reader opens it: with read access only.
//!
//! # Examples
//! ```no_run
//! # use std::sync::Arc;
//! # use cxvault::chain::{archive::Archive, timeline::Timeline};
//! # use cxvault::format::{signature::AllowedSigners, time::range::Days};
//! # use cxvault::store::Store;
//! # async fn example(store: Arc<dyn Store>) -> cxvault::outcome::Result<()> {
//! let archive = Archive::open(store, AllowedSigners::default(), Default::default()).await?;
//! for sub_account in archive.sub_accounts(&[]).await? {
//!     let timeline = Timeline::read(&archive, &sub_account, &Days::default()).await?;
//!     println!("{}", timeline.head_ref());
//! }
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;

use crate::chain::foreign_log::ForeignLog;
use crate::chain::trust::{LearnedRules, SigningRules};
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{ArchiveRecord, ArchiveRecordError};
use crate::format::row::FORMAT_VERSION;
use crate::format::signature::AllowedSigners;
use crate::outcome::{Failure, Result};
use crate::store::Store;

/// One archive, opened for reading.
#[derive(Clone)]
pub struct Archive {
    /// The store that holds the archive's objects.
    pub store: Arc<dyn Store>,
    /// What `archive.json` says.
    pub record: ArchiveRecord,
    /// SHA-256 of `archive.json`, which every record names.
    pub sha256: Digest,
    /// The reader's own allowed signers. Where there are none, the archive's list of signers decides alone.
    pub allowed: AllowedSigners,
    /// Cancelled when the command is to stop.
    pub stop: CancellationToken,
    /// Objects beyond the heads of chains that are no records.
    pub(crate) foreign: Arc<ForeignLog>,
    /// Which signatures count, as far as the chain of signers was read.
    learned: Arc<RwLock<LearnedRules>>,
}

impl Archive {
    /// Returns the archive whose `archive.json` was read already, before the chain of signers is read.
    ///
    /// # Errors
    /// `Exit::Unexpected` where the record has no form in JSON, which does not happen.
    pub(super) fn unlearned(
        store: Arc<dyn Store>,
        record: ArchiveRecord,
        allowed: AllowedSigners,
        stop: CancellationToken,
    ) -> Result<Archive> {
        let sha256 = record
            .sha256()
            .map_err(|error| Failure::unexpected("cannot write archive.json").because(error))?;
        let rules = SigningRules::new(record.signers.clone(), allowed.clone());
        let learned = LearnedRules {
            rules: rules.into(),
            ..LearnedRules::default()
        };
        Ok(Archive {
            store,
            record,
            sha256,
            allowed,
            stop,
            foreign: Arc::default(),
            learned: Arc::new(RwLock::new(learned)),
        })
    }

    /// Returns the failure for an archive in which no object at a record's place counts: either all signatures were removed,
    /// or whoever can create objects was here before the first record.
    pub(crate) fn nothing_counts(&self, folder: &str) -> Failure {
        let keys = self.foreign.keys();
        let first = keys.iter().find(|key| key.starts_with(folder));
        let first = first.map_or(folder, String::as_str);
        let root = self.store.root();
        Failure::integrity(format!(
            "no record of {root} counts: {first} and every other one lacks a signature that counts"
        ))
        .remedy(
            "Run `cxvault verify` with the allowed signers. If the archive was just created and nothing was archived yet, \
             use another place; otherwise its records were replaced: do not write to it, and do not rely on it.",
        )
    }

    /// Returns all sub-accounts that have manifests.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn stored_sub_accounts(&self) -> Result<BTreeSet<String>> {
        let folders = self.store.children(key::MANIFESTS).await?.folders;
        let ids = folders
            .iter()
            .filter_map(|folder| key::parse_sub_account(folder));
        Ok(ids.map(str::to_owned).collect())
    }

    /// Returns the archive's id, which every record and file of it names.
    pub fn id(&self) -> &str {
        &self.record.archive_id
    }

    /// Returns which records of a chain count.
    pub(crate) fn trust(&self) -> Trust<'_> {
        Trust {
            archive_id: self.id(),
            archive_sha256: self.sha256,
            rules: self.rules(),
        }
    }

    /// Returns which signatures count.
    pub(crate) fn rules(&self) -> Arc<SigningRules> {
        self.learned().rules
    }

    pub(super) fn learned(&self) -> LearnedRules {
        let learned = self.learned.read();
        learned.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn learn(&self, learned: LearnedRules) {
        let mut known = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        *known = learned;
    }

    /// Ends a command that is to stop, at a point where that leaves nothing half done.
    ///
    /// # Errors
    /// `Exit::Later` where the command is to stop.
    pub(crate) fn check_stop(&self) -> Result<()> {
        if self.stop.is_cancelled() {
            Err(Failure::interrupted())
        } else {
            Ok(())
        }
    }
}

/// Which records count: those of one archive, with signatures that count.
#[derive(Debug, Clone)]
pub(crate) struct Trust<'a> {
    pub archive_id: &'a str,
    /// SHA-256 of `archive.json`.
    pub archive_sha256: Digest,
    /// Which signatures count.
    pub rules: Arc<SigningRules>,
}

/// Returns the failure for a location that holds no archive.
pub(crate) fn none_at(root: &str) -> Failure {
    let message = format!("there is no archive at {root}: it has no archive.json");
    Failure::usage(message)
        .remedy("Name the archive's root with --archive (s3://bucket/prefix, or a folder).")
}

/// Reads `archive.json`; `None` where there is no archive yet.
///
/// # Errors
/// `Exit::Usage` where it is of another format version; `Exit::Integrity` where it is damaged.
pub async fn record(store: &dyn Store) -> Result<Option<ArchiveRecord>> {
    let Some(bytes) = store.get(key::ARCHIVE).await? else {
        return Ok(None);
    };
    let root = store.root();
    let record = ArchiveRecord::read(&bytes).map_err(|error| match error {
        ArchiveRecordError::Version(version) => Failure::usage(format!(
            "{root} has format version {version}"
        ))
        .remedy(format!(
            "This program knows version {FORMAT_VERSION}; use the program that made the archive."
        )),
        error => violated(format!("{root}/{} is damaged", key::ARCHIVE)).because(error),
    })?;
    Ok(Some(record))
}

/// Returns the failure for a store that replaces an object although only its creation was requested. Two writers would
/// overwrite each other's records there.
pub(crate) fn overwrites(root: &str) -> Failure {
    let message = format!("{root} overwrites objects in spite of If-None-Match");
    Failure::usage(message)
        .remedy("Use a store that honours If-None-Match on PUT (AWS S3, MinIO), or a local folder.")
}

/// Returns the failure for an archive whose `archive.json` is gone although its chains are there.
pub(super) fn record_deleted(store: &dyn Store) -> Failure {
    violated(format!("{}/{} was deleted", store.root(), key::ARCHIVE))
}

/// Returns the failure for an archive that contradicts itself, its anchors, or what this host remembers: neither a
/// reader nor a writer can go on before that is explained.
pub fn violated(message: impl Into<String>) -> Failure {
    Failure::integrity(message).remedy(
        "Run `cxvault verify` for all findings. Do not write to this archive, or rely on it, before they are explained.",
    )
}
