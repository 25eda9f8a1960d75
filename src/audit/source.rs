//! An archive as a reader opens it: with nothing but read access.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::format::place::key;
use crate::format::record::archive::{ArchiveRecord, ArchiveRecordError};
use crate::format::row::schema::FORMAT_VERSION;
use crate::format::signature::AllowedSigners;
use crate::outcome::{Exit, Failure, Result};
use crate::store::Store;

/// One archive, opened for reading.
#[derive(Clone)]
pub struct ArchiveReader {
    pub store: Arc<dyn Store>,
    pub record: ArchiveRecord,
    /// Whose signatures count; none named means that signatures are checked, but not whose they are.
    pub allowed: AllowedSigners,
    pub stop: CancellationToken,
}

impl ArchiveReader {
    /// # Errors
    /// [`Exit::Usage`] where there is no archive, or one of another format; whatever the store says otherwise.
    pub async fn open(
        store: Arc<dyn Store>,
        allowed: AllowedSigners,
        stop: CancellationToken,
    ) -> Result<ArchiveReader> {
        let root = store.root();
        let Some(bytes) = store.get(key::ARCHIVE).await? else {
            return Err(Failure::new(
                Exit::Usage,
                format!("there is no archive at {root}: it has no archive.json"),
            )
            .remedy("Name the archive's root with --archive (s3://bucket/prefix, or a folder)."));
        };
        let record = ArchiveRecord::read(&bytes).map_err(|error| match error {
            ArchiveRecordError::Version(version) => {
                let remedy = format!(
                    "This program reads version {FORMAT_VERSION}; use the one that made the archive."
                );
                Failure::new(Exit::Usage, format!("{root} has format version {version}")).remedy(remedy)
            }
            error => super::violated(format!("{root}/{} is damaged", key::ARCHIVE)).because(error),
        })?;
        Ok(ArchiveReader {
            store,
            record,
            allowed,
            stop,
        })
    }

    /// The archive's sub-accounts in order: those that are `wanted`, or all that have manifests.
    ///
    /// # Errors
    /// [`Exit::Usage`] for a wanted one that has none.
    pub async fn sub_accounts(&self, wanted: &[String]) -> Result<Vec<String>> {
        let folders = self.store.children(key::MANIFESTS).await?.folders;
        let all: BTreeSet<String> = folders
            .iter()
            .filter_map(|name| key::parse_sub_account(name))
            .map(str::to_owned)
            .collect();
        if let Some(unknown) = wanted.iter().find(|one| !all.contains(*one)) {
            let known = if all.is_empty() {
                "none".to_owned()
            } else {
                Vec::from_iter(all).join(", ")
            };
            return Err(Failure::new(
                Exit::Usage,
                format!("{} has no sub-account {unknown}", self.store.root()),
            )
            .remedy(format!("It has: {known}.")));
        }
        Ok(all
            .into_iter()
            .filter(|one| wanted.is_empty() || wanted.contains(one))
            .collect())
    }

    pub fn check_stop(&self) -> Result<()> {
        if self.stop.is_cancelled() {
            Err(super::interrupted())
        } else {
            Ok(())
        }
    }
}
