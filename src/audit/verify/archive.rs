//! `archive.json`, and objects at places where cxvault puts none.
//!
//! The folders of an archive are listed level by level: a foreign folder may have millions of objects and is reported
//! once. Objects within a chain's own folders are checked where the chain is.
//!
//! # What is checked
//!
//! `archive.json` is the record of an archive, and in a versioned bucket it was never overwritten or deleted. Where it is missing or damaged, the archive's id is
//! taken from the first manifest, so that the chains can still be checked; the finding about the record remains.
//!
//! Objects that `cxvault doctor` leaves, and `copy.json` where it marks a copy of this archive, are permitted. What lies beside
//! the archive's own folders is a notice: a file manager's `.DS_Store`, a disk's `lost+found`. No command reads it.

use crate::audit::verify::finding::FindingCode;
use crate::audit::verify::objects::check_versions;
use crate::audit::verify::verifier::Verifier;
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{
    ArchiveRecord, ArchiveRecordError, CopyRecord, Manifest, RecordBody, RosterRecord, Signed,
};
use crate::outcome::Result;
use crate::store::{Children, StoreErrorKind};

impl Verifier<'_> {
    /// Reads `archive.json` and looks for foreign objects. Does nothing where there is no sign of an archive.
    pub async fn archive(&mut self) -> Result<()> {
        let top = self.store.children("").await?;
        let manifests = self.store.children(key::MANIFESTS).await?;
        let rosters = self.store.children(key::ROSTERS).await?;
        let bytes = self.store.get(key::ARCHIVE).await?;
        if bytes.is_none() && manifests.folders.is_empty() && rosters.objects.is_empty() {
            return Ok(());
        }
        let record = self.archive_record(bytes.as_deref());
        if self.remote {
            // A copy whose `copy.json` was deleted would be taken for the archive itself, and written to.
            for object in [key::ARCHIVE, key::COPY] {
                let versions = self.store.versions(object).await?;
                self.report_all(check_versions(&versions, |_| false));
            }
        }
        let readable = record.as_ref().and(bytes.as_deref());
        self.archive_sha256 = readable.map(Digest::of);
        self.created_at = record.as_ref().map(|record| record.created_at);
        if let Some(record) = &record {
            self.listed_signers.clone_from(&record.signers);
        }
        self.archive_id = match record {
            Some(record) => record.archive_id,
            None => self.claimed_id(&manifests.folders).await?,
        };
        self.foreign_objects(&top).await
    }

    /// Returns the record in `archive.json`, or reports what is there instead.
    fn archive_record(&self, bytes: Option<&[u8]>) -> Option<ArchiveRecord> {
        let found = match bytes.map(ArchiveRecord::read) {
            Some(Ok(record)) => return Some(record),
            None => "nothing".to_owned(),
            Some(Err(ArchiveRecordError::Version(version))) => {
                format!("a record of format version {version}")
            }
            Some(Err(_)) => "another object".to_owned(),
        };
        self.add(
            FindingCode::ArchiveRecord,
            key::ARCHIVE,
            "the record of an archive",
            found,
        );
        None
    }

    /// Reports objects outside the folders of chains. `top` is the highest level of the archive.
    async fn foreign_objects(&self, top: &Children) -> Result<()> {
        for object in top.objects.iter().filter(|object| *object != key::ARCHIVE) {
            if object != key::COPY {
                self.add(FindingCode::BesideArchive, object, "nothing", "an object");
            } else if !self.is_copy_record().await? {
                self.report_foreign(object);
            }
        }
        let doctor = key::DOCTOR.trim_end_matches('/');
        let known = ["manifests", "roster", "segments", "signers", doctor];
        for folder in &top.folders {
            if !known.contains(&folder.as_str()) {
                let code = FindingCode::BesideArchive;
                self.report_folder(code, &format!("{folder}/")).await?;
            }
        }
        for parent in ["manifests/", "roster/", "segments/", "signers/"] {
            self.foreign_below(parent, |folder| folder == "v1").await?;
        }
        // Foreign objects in the roster's folder are reported when its chain is read.
        for root in [key::MANIFESTS, key::SEGMENTS] {
            self.foreign_below(root, |folder| key::parse_sub_account(folder).is_some())
                .await?;
        }
        Ok(())
    }

    /// Reports all objects directly below `parent`, and all folders that are not `known`.
    async fn foreign_below(&self, parent: &str, known: fn(&str) -> bool) -> Result<()> {
        let below = self.store.children(parent).await?;
        for object in &below.objects {
            self.report_foreign(object);
        }
        for folder in below.folders.iter().filter(|folder| !known(folder)) {
            self.report_folder(FindingCode::ForeignObject, &format!("{parent}{folder}/"))
                .await?;
        }
        Ok(())
    }

    /// Returns whether `copy.json` is the record that marks a copy of this archive.
    async fn is_copy_record(&self) -> Result<bool> {
        let bytes = self.store.get(key::COPY).await?;
        let record = bytes.and_then(|bytes| CopyRecord::from_bytes(&bytes));
        Ok(record.is_some_and(|record| record.archive_id == self.archive_id))
    }

    /// Returns the archive id that the first manifest names, or the first record of the roster if there is no manifest;
    /// so the chains can be checked without `archive.json`.
    async fn claimed_id(&self, folders: &[String]) -> Result<String> {
        let mut names = folders.iter().map(|folder| key::parse_sub_account(folder));
        match names.find_map(|name| name) {
            Some(sub_account) => self.id_in_first_record::<Manifest>(sub_account).await,
            None => self.id_in_first_record::<RosterRecord>(key::ROSTER).await,
        }
    }

    /// Returns the archive id in the first record of a chain; an empty text if it cannot be read.
    async fn id_in_first_record<B: RecordBody>(&self, chain: &str) -> Result<String> {
        let bytes = self.store.get(&key::manifest(chain, 1)).await?;
        let envelope = bytes.and_then(|bytes| Signed::<B>::from_bytes(&bytes).ok());
        Ok(envelope
            .map(|envelope| envelope.manifest.place().archive_id.to_owned())
            .unwrap_or_default())
    }

    /// Reports a folder that is not the archive's once, with the number of its objects. One that this user may not list, such
    /// as `lost+found`, hides nothing of the archive.
    async fn report_folder(&self, code: FindingCode, prefix: &str) -> Result<()> {
        let found = match self.store.list(prefix, None).await {
            Ok(listed) if listed.is_empty() => return Ok(()),
            Ok(listed) => format!("{} objects", listed.len()),
            Err(error) if error.kind == StoreErrorKind::Denied => {
                "a folder that this user may not list".to_owned()
            }
            Err(error) => return Err(error.into()),
        };
        self.add(code, prefix, "nothing", found);
        Ok(())
    }
}
