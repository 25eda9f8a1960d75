//! The objects of one sub-account, held against what its chain says: each is listed, a leftover, or foreign, and each
//! listed one is there, once, with its bytes and its lock.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::audit::blocking;
use crate::audit::scratch::Scratch;
use crate::audit::verify::chain::{CommittedDay, RevisionCheck};
use crate::audit::verify::finding::{Finding, FindingCode};
use crate::audit::verify::{Level, Verifier};
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::lock::Lock;
use crate::format::record::manifest::File;
use crate::format::signature;
use crate::format::signature::PublicKey;
use crate::format::time::day::rfc3339;
use crate::outcome::Result;
use crate::store::{Hashed, ObjectVersion, Stat};

/// What the store lists under one prefix: keys with their lengths.
pub type Listed = BTreeMap<String, u64>;

/// Deleted and repeated versions, where the store keeps versions; `may_be_gone` says which keys were disposed of.
pub fn versions_hold(
    versions: &[ObjectVersion],
    may_be_gone: impl Fn(&str) -> bool,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for of_key in versions.chunk_by(|one, other| one.key == other.key) {
        let Some(first) = of_key.first() else {
            continue;
        };
        if of_key.iter().any(|version| version.is_delete_marker) && !may_be_gone(&first.key) {
            found.push(Finding::new(
                FindingCode::DeleteMarker,
                first.key.as_str(),
                "no delete marker",
                "one",
            ));
        }
        let contents = of_key
            .iter()
            .filter(|version| !version.is_delete_marker)
            .count();
        if contents > 1 {
            found.push(Finding::new(
                FindingCode::OtherVersions,
                first.key.as_str(),
                "one version",
                contents.to_string(),
            ));
        }
    }
    found
}

/// The day in whose folder an object lies.
pub fn date_of(sub_account: &str, object: &str) -> Option<Date> {
    let folder = object
        .strip_prefix(&key::day_root(sub_account))?
        .split_once('/')?
        .0;
    folder.strip_prefix("dt=")?.parse().ok()
}

/// Date and revision of a key, where it is exactly that of a part.
pub fn part_of(sub_account: &str, object: &str) -> Option<(Date, u32)> {
    let date = date_of(sub_account, object)?;
    let (revision, part) = key::parse_part(object)?;
    (key::part(sub_account, date, revision, part) == object).then_some((date, revision))
}

/// What is wrong only if the objects are the very ones that were committed, and not a copy of them.
#[derive(Default)]
pub struct PlacementCounts {
    pub found: Vec<Finding>,
    /// Files whose version id is the manifest's, and others.
    pub same: u64,
    pub other: u64,
}

impl Verifier<'_> {
    /// Everything that lies there and no manifest lists.
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
            .flat_map(|revision| {
                revision
                    .record
                    .leftovers
                    .iter()
                    .map(|leftover| leftover.key.as_str())
            })
            .collect();
        for object in listed
            .keys()
            .filter(|object| !committed.contains(object.as_str()))
        {
            let leftover = || {
                Finding::new(
                    FindingCode::Leftover,
                    object.as_str(),
                    "a listed part",
                    "one that no manifest lists",
                )
            };
            if named.contains(object.as_str()) {
                self.report(leftover());
                continue;
            }
            let ours = part_of(sub_account, object)
                .is_some_and(|(date, _)| self.options.days.contains(date));
            match part_of(sub_account, object) {
                None => self.report(Finding::new(
                    FindingCode::ForeignObject,
                    object.as_str(),
                    "nothing",
                    "an object",
                )),
                Some(_) if !ours => {}
                Some(_)
                    if self.options.level == Level::Quick
                        || self.is_a_part(object, signed).await? =>
                {
                    self.report(leftover())
                }
                Some(_) => {
                    let found = "a file that is no part of this archive";
                    self.report(Finding::new(
                        FindingCode::ForeignObject,
                        object.as_str(),
                        "nothing",
                        found,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether an unlisted file is what an interrupted run of this archive would leave there.
    async fn is_a_part(&self, object: &str, signed: bool) -> Result<bool> {
        let scratch = if self.remote {
            Some(Scratch::new()?)
        } else {
            None
        };
        let Some(path) = self.local(scratch.as_ref(), object).await? else {
            return Ok(false);
        };
        let (object, archive_id, allowed) = (
            object.to_owned(),
            self.archive_id.clone(),
            self.options.allowed.clone(),
        );
        blocking(move || {
            let opened = std::fs::File::open(&path).ok();
            let part = opened.and_then(|file| crate::format::part::PartReader::open(file).ok());
            Ok(part.is_some_and(|part| {
                let trusted = |signer: &PublicKey| {
                    allowed.is_empty() || allowed.contains(signer, signature::PART)
                };
                let signature = part
                    .signer()
                    .is_ok_and(|signer| signer.as_ref().map_or(!signed, trusted));
                part.statement().key == object
                    && part.statement().archive_id == archive_id
                    && signature
            }))
        })
        .await
    }

    /// What is left of a day that was disposed of; told once, however many files it had.
    pub fn expired(
        &self,
        sub_account: &str,
        date: Date,
        day: &CommittedDay,
        there: (&Listed, &[ObjectVersion]),
    ) {
        let (listed, versions) = there;
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
            hidden => {
                format!(" ({hidden} hidden by a delete marker, the version under it still there)")
            }
        };
        let expected = format!(
            "none of {all} files, by {} of {}",
            disposal.key,
            rfc3339(*at)
        );
        let found = format!("{} gone{hidden}, {} there", gone.len(), all - gone.len());
        if all > 0 {
            self.report(Finding::new(
                FindingCode::Expired,
                format!("{sub_account} {date}"),
                expected,
                found,
            ));
        }
    }

    /// One committed file: there, with its length, its bytes and its lock.
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
                self.report(Finding::new(
                    FindingCode::FileMissing,
                    file.key.as_str(),
                    expected,
                    "nothing",
                ));
            }
            return Ok(false);
        };
        if bytes != file.bytes {
            let found = format!("{bytes} bytes");
            self.report(Finding::new(
                FindingCode::FileSize,
                file.key.as_str(),
                format!("{} bytes", file.bytes),
                found,
            ));
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
            kept(
                &file.key,
                revision.lock,
                revision.held,
                &stat,
                &mut placed.found,
            );
        }
        Ok(true)
    }

    /// Hashes a file where it lies.
    pub async fn hash(&self, file: &File, revision: &RevisionCheck) -> Result<()> {
        let Some(hashed) = self.store.hash(&file.key).await? else {
            // It was listed a moment ago: a lifecycle rule may be at work.
            if !revision.may_be_gone {
                self.report(Finding::new(
                    FindingCode::FileMissing,
                    file.key.as_str(),
                    "a file",
                    "nothing",
                ));
            }
            return Ok(());
        };
        self.hashed(file, hashed);
        Ok(())
    }

    pub fn hashed(&self, file: &File, hashed: Hashed) {
        self.meter.read(hashed.bytes);
        // Of another length the bytes are others: that has been said.
        if hashed.sha256 != file.sha256 && hashed.bytes == file.bytes {
            self.differs(FindingCode::FileHash, file, hashed.sha256);
        }
    }

    fn differs(&self, code: FindingCode, file: &File, found: Digest) {
        self.report(Finding::new(
            code,
            file.key.as_str(),
            file.sha256.hex(),
            found.hex(),
        ));
    }

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

    /// The lock and the hold of a manifest are put with it, and are those of its revision's parts.
    pub async fn manifest_kept(
        &self,
        revision: &RevisionCheck,
        placed: &mut PlacementCounts,
    ) -> Result<()> {
        if !self.remote || (revision.lock.is_none() && !revision.held) {
            return Ok(());
        }
        if let Some(stat) = self.store.stat(&revision.manifest_key).await? {
            kept(
                &revision.manifest_key,
                revision.lock,
                revision.held,
                &stat,
                &mut placed.found,
            );
        }
        Ok(())
    }
}

/// Whether an object has the lock and the legal hold that the chain says, at least.
pub fn kept(object: &str, lock: Option<Lock>, held: bool, stat: &Stat, found: &mut Vec<Finding>) {
    if held && !stat.legal_hold {
        found.push(Finding::new(
            FindingCode::HoldMissing,
            object,
            "a legal hold",
            "none",
        ));
    }
    let Some(expected) = lock else { return };
    let text =
        |lock: Lock| format!("{:?} until {}", lock.mode, rfc3339(lock.until_ms)).to_lowercase();
    match stat.lock {
        None => found.push(Finding::new(
            FindingCode::LockMissing,
            object,
            text(expected),
            "none",
        )),
        Some(lock) if lock.stronger(expected) != lock => {
            found.push(Finding::new(
                FindingCode::LockWeaker,
                object,
                text(expected),
                text(lock),
            ));
        }
        Some(_) => {}
    }
}

impl PlacementCounts {
    /// Where no file has the version id that its manifest names, all of it is a copy: version ids and locks are bound
    /// to a place. One exchanged object does not make the others copies.
    pub fn settle(self, sub_account: &str, report: impl Fn(Finding)) {
        if self.same == 0 && self.other > 0 {
            let found = format!("none of {} version ids", self.other);
            return report(Finding::new(
                FindingCode::RelocatedCopy,
                format!("sub_account={sub_account}"),
                "the same",
                found,
            ));
        }
        self.found.into_iter().for_each(report);
    }
}
