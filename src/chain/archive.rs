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
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

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
    /// The keys whose signatures count. Where the list is empty, signatures are verified, but any key counts.
    pub allowed: AllowedSigners,
    /// Cancelled when the command is to stop.
    pub stop: CancellationToken,
}

impl Archive {
    /// Reads `archive.json`.
    ///
    /// # Errors
    /// `Exit::Usage` where there is no archive, and those of [`record`].
    pub async fn open(
        store: Arc<dyn Store>,
        allowed: AllowedSigners,
        stop: CancellationToken,
    ) -> Result<Archive> {
        let Some(record) = record(&*store).await? else {
            return Err(none_at(&store.root()));
        };
        Archive::of(store, record, allowed, stop)
    }

    /// Returns the archive whose `archive.json` was read already.
    ///
    /// # Errors
    /// `Exit::Unexpected` where the record has no form in JSON, which does not happen.
    pub fn of(
        store: Arc<dyn Store>,
        record: ArchiveRecord,
        allowed: AllowedSigners,
        stop: CancellationToken,
    ) -> Result<Archive> {
        let sha256 = record
            .sha256()
            .map_err(|error| Failure::unexpected("cannot write archive.json").because(error))?;
        Ok(Archive {
            store,
            record,
            sha256,
            allowed,
            stop,
        })
    }

    /// Returns the sub-accounts that are `wanted`, or with an empty list all that have manifests, in order.
    ///
    /// # Errors
    /// `Exit::Usage` for a wanted sub-account that has no manifests.
    pub async fn sub_accounts(&self, wanted: &[String]) -> Result<Vec<String>> {
        let all = self.stored_sub_accounts().await?;
        if let Some(unknown) = wanted.iter().find(|wanted| !all.contains(*wanted)) {
            let known = if all.is_empty() {
                "none".to_owned()
            } else {
                Vec::from_iter(all).join(", ")
            };
            let message = format!("{} has no sub-account {unknown}", self.store.root());
            return Err(Failure::usage(message).remedy(format!("It has: {known}.")));
        }
        let mut chosen = Vec::from_iter(all);
        chosen.retain(|id| wanted.is_empty() || wanted.contains(id));
        Ok(chosen)
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
            allowed: &self.allowed,
        }
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

/// Which records count: those of one archive, signed by keys that are allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trust<'a> {
    pub archive_id: &'a str,
    /// SHA-256 of `archive.json`.
    pub archive_sha256: Digest,
    /// Where the list is empty, signatures are verified, but any key counts.
    pub allowed: &'a AllowedSigners,
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
