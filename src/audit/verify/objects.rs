//! The objects of one sub-account against its chain: each object is listed, a leftover or foreign, and each listed file
//! exists once, with its bytes and its lock.
//!
//! # What is checked
//!
//! - **Nothing is missing**: each file that a manifest lists exists, with the length that the manifest names. A file of a day
//!   that was disposed of may be gone; one finding reports what is left of such a day.
//! - **Nothing was exchanged**: the checksum of the store, where it keeps one, is the manifest's SHA-256. From level `full` on
//!   the bytes are read and hashed, because a checksum of the store is only what the store says of itself.
//! - **Nothing was deleted or overwritten** in a versioned bucket: each key has one version, no delete marker, and the version
//!   id that its manifest names.
//! - **Nothing was added**: each object in the folders of days is listed by a manifest, is a part that an interrupted run left,
//!   or is reported as foreign.
//! - **Locks and holds**: each object has at least the lock and the legal hold that the whole chain requires of it.
//!
//! # What is not checked
//!
//! Who may change the bucket: policies, permissions and lifecycle rules are outside of the archive, and `cxvault doctor` reads
//! them. A folder has neither versions nor locks, so that there only presence, length and bytes are checked.
//!
//! # Copies
//!
//! Version ids and locks belong to a place. Where no file has the version id of its manifest, the sub-account is a copy, and one
//! notice replaces the findings about versions and locks. One exchanged object is no copy: the other files still have theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use jiff::civil::Date;

use crate::audit::blocking;
use crate::audit::verify::days::{CommittedDay, RevisionCheck};
use crate::audit::verify::finding::{Finding, FindingCode, Findings};
use crate::audit::verify::verifier::{Level, Verifier};
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{File, Lock};
use crate::format::signature;
use crate::format::time::day::rfc3339;
use crate::outcome::Result;
use crate::store::file::open_regular;
use crate::store::{Hashed, ObjectVersion, Stat};

/// What the store lists below one prefix: keys with sizes in bytes.
pub type Listed = BTreeMap<String, u64>;

/// Returns findings about deleted objects and objects with several versions. `may_be_gone` returns whether an object may
/// have been deleted because its day was disposed of.
pub(crate) fn check_versions(
    versions: &[ObjectVersion],
    may_be_gone: impl Fn(&str) -> bool,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for versions in versions.chunk_by(|version, next| version.key == next.key) {
        let key = versions.first().map_or("", |version| version.key.as_str());
        let mut of_key = Findings::new(key);
        let markers = versions.iter().filter(|version| version.is_delete_marker);
        let markers = markers.count();
        let contents = versions.len() - markers;
        if markers > 0 && !may_be_gone(key) {
            let expected = "no delete marker";
            of_key.add(FindingCode::DeleteMarker, expected, "a delete marker");
        }
        if contents > 1 {
            let found = contents.to_string();
            of_key.add(FindingCode::OtherVersions, "one version", found);
        }
        found.append(&mut of_key.found);
    }
    found
}

/// Returns the day in whose folder an object is.
pub(crate) fn date_of(sub_account: &str, object: &str) -> Option<Date> {
    let folder = object
        .strip_prefix(&key::day_root(sub_account))?
        .split_once('/')?
        .0;
    folder.strip_prefix("dt=")?.parse().ok()
}

/// Returns the date and the revision of a part's key; `None` for any other key.
pub(crate) fn part_of(sub_account: &str, object: &str) -> Option<(Date, u32)> {
    let date = date_of(sub_account, object)?;
    let (revision, part) = key::parse_part(object)?;
    (key::part(sub_account, date, revision, part) == object).then_some((date, revision))
}

/// Findings that apply only if the objects are the committed ones and not a copy of them.
#[derive(Default)]
pub(crate) struct PlacementCounts {
    found: Vec<Finding>,
    /// Number of files with the version id that their manifest names.
    same: u64,
    /// Number of files with another version id.
    other: u64,
}

impl Verifier<'_> {
    /// Reports all objects that no manifest lists. `signed` says whether the chain has signatures.
    pub async fn unlisted(
        &self,
        sub_account: &str,
        listed: &Listed,
        days: &BTreeMap<Date, CommittedDay>,
        signed: bool,
    ) -> Result<()> {
        let committed: BTreeSet<&str> = days
            .values()
            .flat_map(CommittedDay::files)
            .map(|file| file.key.as_str())
            .collect();
        let named: BTreeSet<&str> = days
            .values()
            .flat_map(|day| &day.revisions)
            .flat_map(|revision| &revision.record.leftovers)
            .map(|leftover| leftover.key.as_str())
            .collect();
        for object in listed.keys().map(String::as_str) {
            if committed.contains(object) {
                continue;
            }
            let part = part_of(sub_account, object);
            let is_chosen = part.is_some_and(|(date, _)| self.options.days.contains(date));
            let is_leftover = if named.contains(object) {
                true
            } else if part.is_none() {
                self.report_foreign(object);
                continue;
            } else if !is_chosen {
                continue;
            } else {
                self.options.level == Level::Quick || self.is_a_part(object, signed).await?
            };
            let (code, expected, found) = match is_leftover {
                true => (
                    FindingCode::Leftover,
                    "a listed part",
                    "a part that no manifest lists",
                ),
                false => (
                    FindingCode::ForeignObject,
                    "nothing",
                    "a file that is no part of this archive",
                ),
            };
            self.add(code, object, expected, found);
        }
        Ok(())
    }

    /// Returns whether an unlisted file is a part that an interrupted run of this archive may have left.
    async fn is_a_part(&self, object: &str, signed: bool) -> Result<bool> {
        let scratch = self.scratch([object].into_iter())?;
        let Some(path) = self.local(scratch.as_ref(), object).await? else {
            return Ok(false);
        };
        let (object, archive_id, allowed) = (
            object.to_owned(),
            self.archive_id.clone(),
            self.options.allowed.clone(),
        );
        blocking(move || {
            let opened = open_regular(&path).ok();
            let part = opened.and_then(|file| crate::format::part::PartReader::open(file).ok());
            Ok(part.is_some_and(|part| {
                let is_signed_well = part.signer().is_ok_and(|signer| match signer {
                    Some(signer) => allowed.accepts(&signer, signature::PART),
                    None => !signed,
                });
                part.statement().key == object
                    && part.statement().archive_id == archive_id
                    && is_signed_well
            }))
        })
        .await
    }

    /// Reports what is left of a day that was disposed of, in one finding.
    pub fn expired(
        &self,
        sub_account: &str,
        date: Date,
        day: &CommittedDay,
        listed: &Listed,
        versions: &[ObjectVersion],
    ) {
        let Some((disposal, at)) = &day.disposed else {
            return;
        };
        let all = day.files().count();
        let gone: BTreeSet<&str> = day
            .files()
            .map(|file| file.key.as_str())
            .filter(|key| !listed.contains_key(*key))
            .collect();
        let hidden: BTreeSet<&str> = versions
            .iter()
            .filter(|version| !version.is_delete_marker && gone.contains(version.key.as_str()))
            .map(|version| version.key.as_str())
            .collect();
        let hidden = match hidden.len() {
            0 => String::new(),
            n => {
                format!(" ({n} hidden by a delete marker, with the version under it still stored)")
            }
        };
        let expected = format!("none of {all} files, by {} of {}", disposal.key, at);
        let found = format!("{} gone{hidden}, {} there", gone.len(), all - gone.len());
        if all > 0 {
            self.add(
                FindingCode::Expired,
                format!("{sub_account} {date}"),
                expected,
                found,
            );
        }
    }

    /// Checks what the store says of one committed file: that it exists, its size, checksum, version, lock and hold. Returns
    /// whether it exists.
    pub async fn file(
        &self,
        file: &File,
        revision: &RevisionCheck,
        listed: &Listed,
        placed: &mut PlacementCounts,
    ) -> Result<bool> {
        let Some(&bytes) = listed.get(&file.key) else {
            if !revision.may_be_gone {
                let expected = format!("{} bytes", file.bytes);
                self.add(
                    FindingCode::FileMissing,
                    file.key.as_str(),
                    expected,
                    "nothing",
                );
            }
            return Ok(false);
        };
        if bytes != file.bytes {
            let found = format!("{bytes} bytes");
            self.add(
                FindingCode::FileSize,
                file.key.as_str(),
                format!("{} bytes", file.bytes),
                found,
            );
        }
        if self.remote
            && let Some(stat) = self.store.stat(&file.key).await?
        {
            if let Some(sha256) = stat.sha256.filter(|sha256| *sha256 != file.sha256) {
                self.differs(FindingCode::StoreChecksum, file, sha256);
            }
            if !revision.elsewhere {
                self.version(file, &stat, placed);
            }
            let (lock, held) = (revision.lock, revision.held);
            placed
                .found
                .extend(check_obligations(&file.key, lock, held, &stat));
        }
        Ok(true)
    }

    /// Reads and hashes a file in the store.
    pub async fn hash(&self, file: &File, revision: &RevisionCheck) -> Result<()> {
        let Some(hashed) = self.store.hash(&file.key).await? else {
            // It was listed before: a lifecycle rule may have deleted it since.
            if !revision.may_be_gone {
                self.add(
                    FindingCode::FileMissing,
                    file.key.as_str(),
                    "a file",
                    "nothing",
                );
            }
            return Ok(());
        };
        self.hashed(file, hashed);
        Ok(())
    }

    /// Compares the hash of a file with that of its manifest.
    pub fn hashed(&self, file: &File, hashed: Hashed) {
        let read = &self.meter.bytes_done;
        read.fetch_add(hashed.bytes, Ordering::Relaxed);
        // A file of another size has other bytes, which is a finding already.
        if hashed.sha256 != file.sha256 && hashed.bytes == file.bytes {
            self.differs(FindingCode::FileHash, file, hashed.sha256);
        }
    }

    /// Reports another hash than that of the manifest.
    fn differs(&self, code: FindingCode, file: &File, found: Digest) {
        self.add(code, file.key.as_str(), file.sha256.hex(), found.hex());
    }

    /// Compares a file's version id with that of the manifest. The findings are kept back until it is known whether the whole
    /// sub-account is a copy; see [`PlacementCounts::into_findings`].
    fn version(&self, file: &File, stat: &Stat, placed: &mut PlacementCounts) {
        let (Some(expected), found) = (&file.version_id, &stat.version_id) else {
            return;
        };
        if Some(expected) == found.as_ref() {
            placed.same += 1;
            return;
        }
        placed.other += 1;
        let found = found.clone().unwrap_or_else(|| "none".to_owned());
        placed.found.push(Finding::new(
            FindingCode::VersionDiffers,
            file.key.as_str(),
            expected.as_str(),
            found,
        ));
    }

    /// Checks the lock and the hold of a manifest, which are those of its revision's files.
    pub(crate) async fn manifest_kept(
        &self,
        revision: &RevisionCheck,
        placed: &mut PlacementCounts,
    ) -> Result<()> {
        if !self.remote || (revision.lock.is_none() && !revision.held) {
            return Ok(());
        }
        if let Some(stat) = self.store.stat(&revision.manifest_key).await? {
            let (lock, held) = (revision.lock, revision.held);
            placed
                .found
                .extend(check_obligations(&revision.manifest_key, lock, held, &stat));
        }
        Ok(())
    }
}

/// Returns findings about an object that lacks the lock or the legal hold that the chain requires. A longer or stronger
/// lock is no fault.
pub(crate) fn check_obligations(
    object: &str,
    lock: Option<Lock>,
    held: bool,
    stat: &Stat,
) -> Vec<Finding> {
    let mut found = Findings::new(object);
    if held && !stat.legal_hold {
        found.add(FindingCode::HoldMissing, "a legal hold", "none");
    }
    match (lock, stat.lock) {
        (Some(expected), None) => {
            found.add(FindingCode::LockMissing, lock_text(expected), "none");
        }
        (Some(expected), Some(lock)) if !lock.covers(expected) => {
            found.add(
                FindingCode::LockWeaker,
                lock_text(expected),
                lock_text(lock),
            );
        }
        _ => {}
    }
    found.found
}

/// Returns a lock for a finding.
fn lock_text(lock: Lock) -> String {
    format!("{:?} until {}", lock.mode, rfc3339(lock.until_ms)).to_lowercase()
}

impl PlacementCounts {
    /// Adds the counts and findings of another day.
    pub(crate) fn merge(mut self, other: PlacementCounts) -> PlacementCounts {
        self.found.extend(other.found);
        self.same += other.same;
        self.other += other.other;
        self
    }

    /// Returns the findings. If no file has the version id that its manifest names, the sub-account is a copy, and one
    /// notice stands for all: version ids and locks belong to a place. A single exchanged object makes no copy.
    pub(crate) fn into_findings(self, sub_account: &str) -> Vec<Finding> {
        if self.same == 0 && self.other > 0 {
            let found = format!("none of {} version ids", self.other);
            return vec![Finding::new(
                FindingCode::RelocatedCopy,
                format!("sub_account={sub_account}"),
                "the same version ids",
                found,
            )];
        }
        self.found
    }
}
