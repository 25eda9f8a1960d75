//! Verification: nothing is missing, nothing was changed, or what exactly was.
//!
//! ```text
//! archive.json, and what lies where nothing should lie
//!   the roster: what it says of all chains       roster
//!   a chain:    every manifest in order          links, chain, record, acts   (pure)
//!   its end:    heads that are known elsewhere   heads
//!   its days:   the calendar against the chain   calendar
//!   its objects: the store against the chain     objects
//!   its rows:   the files against the manifests  rows            (pure but for the files)
//! ```
//!
//! It believes neither the store nor the manifests: it reads the chain first, then enumerates the store and the
//! calendar itself. It writes nothing, and holds no more than one chain and a few row groups in memory.

mod acts;
mod calendar;
mod chain;
pub mod finding;
mod heads;
mod links;
mod objects;
mod record;
mod roster;
mod rows;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::audit::anchors::{AnchoredHeads, Anchors};
use crate::audit::blocking;
use crate::audit::scratch::Scratch;
use crate::audit::verify::chain::{ChainCheck, CommittedDay};
use crate::audit::verify::finding::{Finding, FindingCode, Severity};
use crate::audit::verify::heads::Seen;
use crate::audit::verify::objects::{Listed, PlacementCounts, date_of, versions_hold};
use crate::audit::verify::roster::Rostered;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::archive::{ArchiveRecord, ArchiveRecordError};
use crate::format::record::copy::CopyRecord;
use crate::format::record::envelope::{RecordBody, Signed};
use crate::format::record::head::{Head, HeadRef};
use crate::format::record::manifest::{File, Manifest};
use crate::format::record::roster::RosterRecord;
use crate::format::signature::AllowedSigners;
use crate::format::time::range::Days;
use crate::outcome::{Exit, Failure, Result};
use crate::store::Store;
use crate::store::file::hash_file;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Chains and what the store says of objects.
    Quick,
    /// And every file's bytes.
    Full,
    /// And every row.
    Deep,
}

impl Level {
    /// Every level, the least thorough first.
    pub const ALL: [Level; 3] = [Level::Quick, Level::Full, Level::Deep];

    /// Returns the name, as flags and events spell it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Quick => "quick",
            Level::Full => "full",
            Level::Deep => "deep",
        }
    }
}

/// What is to be verified.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    pub days: Days,
    /// None named means all.
    pub sub_accounts: Vec<String>,
    pub level: Level,
    /// Only days of the n-th of t shares; n from 1 to t.
    pub subset: Option<(u32, u32)>,
    pub heads: Vec<HeadRef>,
    /// Where heads of all chains were kept.
    pub anchors: Option<Anchors>,
    pub allowed: AllowedSigners,
}

/// What was verified, and how it came out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyTotals {
    pub sub_accounts: u64,
    pub manifests: u64,
    pub signed_manifests: u64,
    /// Records of the roster's chain.
    pub rosters: u64,
    pub days_complete: u64,
    pub days_empty: u64,
    pub days_incomplete: u64,
    pub days_acknowledged: u64,
    pub days_missing: u64,
    pub days_disposed: u64,
    /// Committed files that were looked at.
    pub files: u64,
    /// Bytes read and hashed.
    pub bytes: u64,
    pub rows: u64,
    pub violations: u64,
    pub gaps: u64,
    pub notices: u64,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256` of each chain, the roster's last: to be kept elsewhere, and expected next time.
    pub heads: Vec<String>,
}

impl VerifyTotals {
    /// 4 violated; 3 only gaps; 2 nothing was there to verify; 0 all held.
    pub fn exit(&self) -> Exit {
        match self {
            VerifyTotals {
                violations: 1.., ..
            } => Exit::Integrity,
            VerifyTotals { manifests: 0, .. } => Exit::Usage,
            VerifyTotals { gaps: 1.., .. } => Exit::Gaps,
            _ => Exit::Done,
        }
    }
}

/// How far a verification is, for whoever shows progress.
#[derive(Debug, Default)]
pub struct VerifyProgress {
    pub sub_accounts: AtomicU64,
    pub sub_accounts_done: AtomicU64,
    /// Of the sub-accounts whose chains were read so far.
    pub bytes: AtomicU64,
    pub bytes_done: AtomicU64,
}

impl VerifyProgress {
    fn read(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Verifies; each finding goes to `found` as soon as it is known.
///
/// # Errors
/// When the store cannot be read: then nobody knows whether the archive holds. Findings are no errors.
pub async fn verify(
    store: Arc<dyn Store>,
    options: &VerifyOptions,
    stop: CancellationToken,
    meter: &VerifyProgress,
    found: &(dyn Fn(Finding) + Send + Sync),
) -> Result<VerifyTotals> {
    let mut verifier = Verifier {
        remote: store.local(key::ARCHIVE).is_none(),
        store,
        options,
        stop,
        meter,
        found,
        archive_id: String::new(),
        created_at: i64::MIN,
        rostered: Rostered::default(),
        totals: Mutex::default(),
    };
    verifier.archive().await?;
    verifier.roster().await?;
    let sub_accounts = verifier.sub_accounts().await?;
    meter
        .sub_accounts
        .store(sub_accounts.len() as u64, Ordering::Relaxed);
    for sub_account in &sub_accounts {
        verifier.sub_account(sub_account).await?;
        meter.sub_accounts_done.fetch_add(1, Ordering::Relaxed);
    }
    let mut totals = verifier
        .totals
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    totals.heads.extend(verifier.rostered.head);
    Ok(VerifyTotals {
        bytes: meter.bytes_done.load(Ordering::Relaxed),
        ..totals
    })
}

struct Verifier<'a> {
    store: Arc<dyn Store>,
    options: &'a VerifyOptions,
    stop: CancellationToken,
    meter: &'a VerifyProgress,
    found: &'a (dyn Fn(Finding) + Send + Sync),
    archive_id: String,
    /// By `archive.json`.
    created_at: i64,
    rostered: Rostered,
    /// The store keeps checksums, versions and locks of its own.
    remote: bool,
    totals: Mutex<VerifyTotals>,
}

impl Verifier<'_> {
    fn report(&self, finding: Finding) {
        self.count(|totals| match finding.severity {
            Severity::Violation => totals.violations += 1,
            Severity::Gap => totals.gaps += 1,
            Severity::Notice => totals.notices += 1,
        });
        (self.found)(finding);
    }

    fn count(&self, change: impl FnOnce(&mut VerifyTotals)) {
        change(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn check_stop(&self) -> Result<()> {
        if self.stop.is_cancelled() {
            Err(Failure::interrupted())
        } else {
            Ok(())
        }
    }

    /// `archive.json`, and objects where nothing should lie.
    async fn archive(&mut self) -> Result<()> {
        let top = self.store.children("").await?;
        let manifests = self.store.children(key::MANIFESTS).await?;
        let bytes = self.store.get(key::ARCHIVE).await?;
        let rosters = self.store.children(key::ROSTERS).await?;
        if bytes.is_none() && manifests.folders.is_empty() && rosters.objects.is_empty() {
            // Not an archive: whatever lies here is none of ours, and nothing can be said of it.
            return Ok(());
        }
        let read = bytes.as_deref().map(ArchiveRecord::read);
        let is = match &read {
            None => "nothing".to_owned(),
            Some(Err(ArchiveRecordError::Version(version))) => {
                format!("one of format version {version}")
            }
            Some(_) => "another object".to_owned(),
        };
        let record = read.and_then(Result::ok);
        if record.is_none() {
            self.report(Finding::new(
                FindingCode::ArchiveRecord,
                key::ARCHIVE,
                "the record of an archive",
                is,
            ));
        }
        if self.remote {
            // A copy without its mark would be taken for the archive itself, and written to.
            for object in [key::ARCHIVE, key::COPY] {
                let versions = self.store.versions(object).await?;
                versions_hold(&versions, |_| false)
                    .into_iter()
                    .for_each(|finding| self.report(finding));
            }
        }
        self.created_at = record.as_ref().map_or(i64::MIN, |record| record.created_at);
        self.archive_id = match record {
            Some(record) => record.archive_id,
            None => self.claimed_id(&manifests.folders).await?,
        };
        for object in top.objects.iter().filter(|object| *object != key::ARCHIVE) {
            if object != key::COPY || !self.is_mark().await? {
                self.foreign(object);
            }
        }
        let known = [
            "manifests",
            "roster",
            "segments",
            key::DOCTOR.trim_end_matches('/'),
        ];
        for folder in top
            .folders
            .iter()
            .filter(|name| !known.contains(&name.as_str()))
        {
            self.foreign_folder(&format!("{folder}/")).await?;
        }
        for parent in ["manifests/", "roster/", "segments/"] {
            let versions = self.store.children(parent).await?;
            versions
                .objects
                .iter()
                .for_each(|object| self.foreign(object));
            for folder in versions.folders.iter().filter(|folder| *folder != "v1") {
                self.foreign_folder(&format!("{parent}{folder}/")).await?;
            }
        }
        // What lies among the rosters is told as their chain is read.
        for root in [key::MANIFESTS, key::SEGMENTS] {
            let below = self.store.children(root).await?;
            below.objects.iter().for_each(|object| self.foreign(object));
            for folder in below
                .folders
                .iter()
                .filter(|folder| key::parse_sub_account(folder).is_none())
            {
                self.foreign_folder(&format!("{root}{folder}/")).await?;
            }
        }
        Ok(())
    }

    /// Whether `copy.json` is what a copy of this archive bears.
    async fn is_mark(&self) -> Result<bool> {
        let bytes = self.store.get(key::COPY).await?;
        let record = bytes.and_then(|bytes| CopyRecord::from_bytes(&bytes));
        Ok(record.is_some_and(|record| record.archive_id == self.archive_id))
    }

    /// Without `archive.json` the first manifest says which archive this claims to be, or where there is none either, the
    /// first roster.
    async fn claimed_id(&self, folders: &[String]) -> Result<String> {
        let Some(first) = folders
            .iter()
            .find_map(|folder| key::parse_sub_account(folder))
        else {
            return self.claim::<RosterRecord>(key::ROSTER).await;
        };
        self.claim::<Manifest>(first).await
    }

    async fn claim<B: RecordBody>(&self, chain: &str) -> Result<String> {
        let bytes = self.store.get(&key::manifest(chain, 1)).await?;
        let envelope = bytes.and_then(|bytes| Signed::<B>::from_bytes(&bytes).ok());
        Ok(envelope
            .map(|envelope| envelope.manifest.place().archive_id.to_owned())
            .unwrap_or_default())
    }

    fn foreign(&self, object: &str) {
        self.report(Finding::new(
            FindingCode::ForeignObject,
            object,
            "nothing",
            "an object",
        ));
    }

    /// A folder that is none of ours; it may hold millions of objects, and is named once.
    async fn foreign_folder(&self, prefix: &str) -> Result<()> {
        let objects = self.store.list(prefix, None).await?.len();
        if objects > 0 {
            let found = format!("{objects} objects");
            self.report(Finding::new(
                FindingCode::ForeignObject,
                prefix,
                "nothing",
                found,
            ));
        }
        Ok(())
    }

    /// Those that have manifests or data; also one that only an expected head, an anchor or the roster names.
    async fn sub_accounts(&self) -> Result<Vec<String>> {
        let mut all = BTreeSet::new();
        for root in [key::MANIFESTS, key::SEGMENTS] {
            let folders = self.store.children(root).await?.folders;
            all.extend(
                folders
                    .iter()
                    .filter_map(|folder| key::parse_sub_account(folder))
                    .map(str::to_owned),
            );
        }
        let kept = self
            .options
            .heads
            .iter()
            .map(|head| &head.chain)
            .filter(|name| *name != key::ROSTER);
        all.extend(kept.chain(self.rostered.heads.keys()).cloned());
        if let Some(anchors) = &self.options.anchors {
            let chains = anchors.chains(&self.archive_id).await?;
            all.extend(
                chains
                    .iter()
                    .filter_map(|chain| key::parse_sub_account(chain))
                    .map(str::to_owned),
            );
        }
        let wanted = &self.options.sub_accounts;
        // One that was asked for and is not there is something to say, not nothing.
        all.extend(wanted.iter().cloned());
        Ok(all
            .into_iter()
            .filter(|one| wanted.is_empty() || wanted.contains(one))
            .collect())
    }

    async fn sub_account(&self, sub_account: &str) -> Result<()> {
        let mut check = ChainCheck::new(&self.archive_id, sub_account, &self.options.allowed);
        let anchored = self.anchored(sub_account).await?;
        let seen = self
            .read_chain(&mut check, &self.known_numbers(sub_account, &anchored))
            .await?;
        self.check_from_outside(&check, &anchored, &seen);
        calendar::days(self, sub_account, &check);
        calendar::holds(self, sub_account, &check);
        let signed = check.links.signed;
        let days = check.into_days(self.rostered.taken.get(sub_account).copied().unwrap_or(0));
        let root = key::day_root(sub_account);
        let entries = self.store.list(&root, None).await?;
        let listed: Listed = entries
            .into_iter()
            .map(|entry| (entry.key, entry.bytes))
            .collect();
        let versions = if self.remote {
            self.store.versions(&root).await?
        } else {
            Vec::new()
        };
        let is_disposed = |date: Date| {
            days.get(&date)
                .is_some_and(|day: &CommittedDay| day.disposed.is_some())
        };
        let may_be_gone = |object: &str| date_of(sub_account, object).is_some_and(is_disposed);
        versions_hold(&versions, may_be_gone)
            .into_iter()
            .for_each(|finding| self.report(finding));
        self.unlisted(sub_account, &listed, &days, signed > 0)
            .await?;
        let chosen =
            |date: &Date| self.options.days.contains(*date) && self.in_subset(sub_account, *date);
        for (date, day) in days.iter().filter(|(date, _)| chosen(date)) {
            self.expired(sub_account, *date, day, (&listed, &versions));
        }
        let days: Vec<CommittedDay> = days
            .into_iter()
            .filter(|(date, _)| chosen(date))
            .map(|(_, day)| day)
            .collect();
        let there = days
            .iter()
            .flat_map(CommittedDay::files)
            .filter(|file| listed.contains_key(&file.key));
        let bytes: u64 = there.map(|file| file.bytes).sum();
        self.meter.bytes.fetch_add(bytes, Ordering::Relaxed);
        let listed = &listed;
        let work = stream::iter(days).map(|day| async move { self.day(day, listed).await });
        let placed: Vec<PlacementCounts> =
            work.buffer_unordered(self.at_once()).try_collect().await?;
        let placed = placed
            .into_iter()
            .fold(PlacementCounts::default(), |mut all, one| {
                all.found.extend(one.found);
                PlacementCounts {
                    same: all.same + one.same,
                    other: all.other + one.other,
                    ..all
                }
            });
        placed.settle(sub_account, |finding| self.report(finding));
        self.count(|totals| totals.sub_accounts += 1);
        Ok(())
    }

    /// What cannot be told from inside a chain: where it ends, when it began, and whose it is.
    fn check_from_outside(&self, check: &ChainCheck<'_>, anchored: &AnchoredHeads, seen: &Seen) {
        let links = &check.links;
        let known = self.kept_heads(links, seen) | self.anchored_heads(links, anchored, seen);
        self.vouched_heads(links, seen);
        if links.records == 0 {
            return;
        }
        // Of a chain that the roster vouches for, the roster's own end is the question.
        if !known && !self.rostered.heads.contains_key(&links.name) {
            self.unknown_end(links);
        }
        let founded = self.created_at.saturating_sub(record::CLOCK_SLACK_MS);
        if check.first_commit.is_some_and(|oldest| oldest < founded) {
            let found = "a manifest that was committed before the archive was made";
            self.report(Finding::new(
                FindingCode::ArchiveRecord,
                key::ARCHIVE,
                "manifests younger than it",
                found,
            ));
        }
        self.signed(links);
        self.count(|totals| {
            totals.manifests += links.records;
            totals.signed_manifests += links.signed;
            totals.heads.extend(links.head.map(|(sequence, sha256)| {
                Head { sequence, sha256 }.of_chain(&links.name).to_string()
            }));
        });
    }

    /// Shares are of days, so that whatever belongs together is looked at together.
    fn in_subset(&self, sub_account: &str, date: Date) -> bool {
        let Some((n, of)) = self.options.subset else {
            return true;
        };
        let Digest(hash) = Digest::of(format!("{sub_account}/{date}").as_bytes());
        let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        number % of.max(1) + 1 == n
    }

    /// Days at once: requests to a remote store wait for each other's answers, work on files for the processor. Each
    /// day whose rows are checked holds a row group in memory.
    fn at_once(&self) -> usize {
        match (self.remote, self.options.level) {
            (true, Level::Quick | Level::Full) => 16,
            (false, Level::Quick | Level::Full) => cores() + 1,
            (_, Level::Deep) => cores(),
        }
    }

    /// The objects of one day, and at the deepest level its rows.
    async fn day(&self, day: CommittedDay, listed: &Listed) -> Result<PlacementCounts> {
        let mut placed = PlacementCounts::default();
        let scratch = if self.remote {
            Some(Scratch::new()?)
        } else {
            None
        };
        let mut parts = rows::Parts::new();
        for revision in &day.revisions {
            self.manifest_kept(revision, &mut placed).await?;
            for file in &revision.record.files {
                self.check_stop()?;
                let there = self.file(file, revision, listed, &mut placed).await?;
                self.count(|totals| totals.files += u64::from(there || !revision.may_be_gone));
                if !there {
                    continue;
                }
                if self.options.level == Level::Deep
                    && let Some(path) = self.local(scratch.as_ref(), &file.key).await?
                {
                    parts.insert(file.key.clone(), path);
                }
                match (self.options.level, parts.get(&file.key)) {
                    (Level::Quick, _) => {}
                    // Not fetched twice.
                    (Level::Deep, Some(path)) if self.remote => self.hash_copy(file, path).await?,
                    _ => self.hash(file, revision).await?,
                }
            }
        }
        if self.options.level == Level::Deep {
            self.rows(day, parts).await?;
        }
        Ok(placed)
    }

    async fn rows(&self, day: CommittedDay, parts: rows::Parts) -> Result<()> {
        let expected = rows::Expected {
            archive_id: self.archive_id.clone(),
            allowed: self.options.allowed.clone(),
        };
        let (findings, rows) = blocking(move || {
            let mut findings = Vec::new();
            let rows = rows::check_day(&expected, &day, &parts, &mut |finding| {
                findings.push(finding)
            });
            Ok((findings, rows))
        })
        .await?;
        findings
            .into_iter()
            .for_each(|finding| self.report(finding));
        self.count(|totals| totals.rows += rows);
        Ok(())
    }

    async fn hash_copy(&self, file: &File, path: &Path) -> Result<()> {
        let hashed = hash_file(path).await?;
        if let Some(hashed) = hashed {
            self.hashed(file, hashed);
        }
        Ok(())
    }

    /// The object as a local file: where it lies, or a copy in `scratch`, which a remote store needs.
    async fn local(&self, scratch: Option<&Scratch>, object: &str) -> Result<Option<PathBuf>> {
        if let Some(path) = self.store.local(object) {
            return Ok(Some(path));
        }
        let Some(scratch) = scratch else {
            return Ok(None);
        };
        let path = scratch.path(object);
        Ok(self.store.download(object, &path).await?.then_some(path))
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}
