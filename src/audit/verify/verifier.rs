//! What every part of a verification uses: the store, the options, and the totals.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::audit::anchors::Anchors;
use crate::audit::scratch::Scratch;
use crate::audit::verify::finding::{Finding, FindingCode, Severity};
use crate::audit::verify::keys::KeyHistory;
use crate::audit::verify::links::ArchiveIdentity;
use crate::audit::verify::roster::Rostered;
use crate::format::hash::Digest;
use crate::format::named_enum;
use crate::format::place::key;
use crate::format::record::{HeadRef, KeyList};
use crate::format::signature::AllowedSigners;
use crate::format::time::{Days, Instant};
use crate::outcome::{Exit, Failure, Result};
use crate::store::Store;

named_enum! {
    /// How much is read. Each level includes the one before it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum Level in ALL {
        /// The chains, and what the store reports of each object.
        Quick = "quick",
        /// Every file's bytes as well, against the SHA-256 of its manifest.
        Full = "full",
        /// Every row as well.
        Deep = "deep",
    }
}

/// What is to be verified.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The days whose files are checked. The chains are always checked as a whole.
    pub days: Days,
    /// The sub-accounts; an empty list means all.
    pub sub_accounts: Vec<String>,
    /// How much is read.
    pub level: Level,
    /// With `(n, t)` only the files of the nth of `t` shares of the days are checked; n is from 1 to t.
    pub subset: Option<(u32, u32)>,
    /// Heads that the reader has from a second source (`--expect-head`).
    pub heads: Vec<HeadRef>,
    /// The second place with heads of all chains (`--anchor`).
    pub anchors: Option<Anchors>,
    /// Whose signatures are trusted; without any, signatures are checked but every key is accepted.
    pub allowed: AllowedSigners,
}

/// What was verified, and the number of findings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyTotals {
    /// Sub-accounts.
    pub sub_accounts: u64,
    /// Records of sub-accounts.
    pub manifests: u64,
    /// Records of sub-accounts with a signature.
    pub signed_manifests: u64,
    /// Records of the roster.
    pub rosters: u64,
    /// Records with members, or with values of open lists, that this program does not know: of these only the hashes and
    /// the signatures were checked.
    pub records_unread: u64,
    /// Days with segments, on which every summary has an answer.
    pub days_complete: u64,
    /// Days without segments.
    pub days_empty: u64,
    /// Days with gaps.
    pub days_incomplete: u64,
    /// Days with gaps that are acknowledged.
    pub days_acknowledged: u64,
    /// Days that were never archived.
    pub days_missing: u64,
    /// Days that were disposed of after their retention.
    pub days_disposed: u64,
    /// Committed files that were checked.
    pub files: u64,
    /// Bytes that were read and hashed.
    pub bytes: u64,
    /// Rows that were checked.
    pub rows: u64,
    /// Findings of severity `violation`.
    pub violations: u64,
    /// Findings of severity `gap`.
    pub gaps: u64,
    /// Findings of severity `notice`.
    pub notices: u64,
    /// The head of each chain, `SUB_ACCOUNT:SEQUENCE:SHA256`, the roster's last. They should be stored in a second place
    /// and passed to the next verification.
    pub heads: Vec<String>,
    /// Whether the store was asked for checksums, versions, locks and holds, as S3 keeps them and a folder does not.
    #[serde(skip)]
    pub store_asked: bool,
}

impl VerifyTotals {
    /// Returns the exit code: 4 for a violation, 2 if there was nothing to verify, 3 for gaps, otherwise 0.
    ///
    /// # Examples
    /// ```
    /// use cxvault::audit::verify::VerifyTotals;
    /// use cxvault::outcome::Exit;
    ///
    /// let mut totals = VerifyTotals { manifests: 3, gaps: 1, ..VerifyTotals::default() };
    /// assert_eq!(totals.exit(), Exit::Gaps);
    /// totals.violations = 1;
    /// assert_eq!(totals.exit(), Exit::Integrity);
    /// assert_eq!(VerifyTotals::default().exit(), Exit::Usage);
    /// ```
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

/// How far a verification is, for a progress bar.
#[derive(Debug, Default)]
pub struct VerifyProgress {
    /// Number of sub-accounts.
    pub sub_accounts: AtomicU64,
    /// Number of sub-accounts that are verified.
    pub sub_accounts_done: AtomicU64,
    /// Bytes of the files of the sub-accounts whose chains were read so far.
    pub bytes: AtomicU64,
    /// Bytes of files that were read.
    pub bytes_done: AtomicU64,
}

/// A verification in progress.
pub(super) struct Verifier<'a> {
    pub store: Arc<dyn Store>,
    pub options: &'a VerifyOptions,
    pub meter: &'a VerifyProgress,
    stop: CancellationToken,
    found: &'a (dyn Fn(Finding) + Send + Sync),
    /// The archive's id; empty until `archive.json` is read, and if nothing names it.
    pub archive_id: String,
    /// SHA-256 of `archive.json`; `None` until it is read, and if it cannot be.
    pub archive_sha256: Option<Digest>,
    /// When the archive was created according to `archive.json`; `None` until it is read, and if it cannot be.
    pub created_at: Option<Instant>,
    /// The keys that `archive.json` lists, until the chain of signers is read.
    pub listed_signers: KeyList,
    /// The keys that count.
    pub keys: Arc<KeyHistory>,
    /// The head of the chain of signers, `signers:SEQUENCE:SHA256`; `None` where the keys never changed.
    pub signers_head: Option<String>,
    /// What the roster says of the other chains.
    pub rostered: Rostered,
    /// Whether the store keeps checksums, versions and locks of its own, as S3 does and a folder does not.
    pub remote: bool,
    totals: Mutex<VerifyTotals>,
}

impl<'a> Verifier<'a> {
    /// Returns a verification that has read nothing yet.
    pub fn new(
        store: Arc<dyn Store>,
        options: &'a VerifyOptions,
        stop: CancellationToken,
        meter: &'a VerifyProgress,
        found: &'a (dyn Fn(Finding) + Send + Sync),
    ) -> Self {
        Verifier {
            remote: store.local(key::ARCHIVE).is_none(),
            store,
            options,
            meter,
            stop,
            found,
            archive_id: String::new(),
            archive_sha256: None,
            created_at: None,
            listed_signers: KeyList::default(),
            keys: Arc::default(),
            signers_head: None,
            rostered: Rostered::default(),
            totals: Mutex::default(),
        }
    }

    /// Returns which archive the records must be of.
    pub(crate) fn identity(&self) -> ArchiveIdentity<'_> {
        ArchiveIdentity {
            id: &self.archive_id,
            sha256: self.archive_sha256,
        }
    }

    /// Ends the verification.
    pub(crate) fn into_totals(self) -> VerifyTotals {
        let mut totals = self
            .totals
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        totals.store_asked = self.remote;
        totals.heads.extend(self.signers_head);
        totals.heads.extend(self.rostered.head);
        totals.bytes = self.meter.bytes_done.load(Ordering::Relaxed);
        totals
    }

    /// Counts a finding and passes it on.
    pub fn report(&self, finding: Finding) {
        self.count(|totals| match finding.severity {
            Severity::Violation => totals.violations += 1,
            Severity::Gap => totals.gaps += 1,
            Severity::Notice => totals.notices += 1,
        });
        (self.found)(finding);
    }

    /// Counts a finding about `object`, and passes it on.
    pub(crate) fn add(
        &self,
        code: FindingCode,
        object: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.report(Finding::new(code, object, expected, found));
    }

    /// Counts findings and passes them on.
    pub(crate) fn report_all(&self, findings: impl IntoIterator<Item = Finding>) {
        findings
            .into_iter()
            .for_each(|finding| self.report(finding));
    }

    /// Reports an object at a place where cxvault puts none.
    pub(crate) fn report_foreign(&self, object: &str) {
        self.add(FindingCode::ForeignObject, object, "nothing", "an object");
    }

    /// Changes the totals.
    pub fn count(&self, change: impl FnOnce(&mut VerifyTotals)) {
        change(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Fails if the verification was interrupted.
    pub(crate) fn check_stop(&self) -> Result<()> {
        match self.stop.is_cancelled() {
            true => Err(Failure::interrupted()),
            false => Ok(()),
        }
    }

    /// Returns how many days are checked at the same time. Requests to a remote store wait for answers, work on files
    /// for the processor. At the deepest level each day has a row group in memory.
    pub(crate) fn days_at_once(&self) -> usize {
        match (self.remote, self.options.level) {
            (true, Level::Quick | Level::Full) => 16,
            (false, Level::Quick | Level::Full) => cores() + 1,
            (_, Level::Deep) => cores(),
        }
    }

    /// Returns a folder for copies of objects; `None` where all of them are read in place.
    pub fn scratch<'o>(
        &self,
        mut objects: impl Iterator<Item = &'o str>,
    ) -> Result<Option<Scratch>> {
        objects
            .any(|object| self.store.in_place(object).is_none())
            .then(Scratch::new)
            .transpose()
    }

    /// Returns an object as a local file: the object itself, or a copy in `scratch`. Returns `None` if it does not exist.
    pub async fn local(&self, scratch: Option<&Scratch>, object: &str) -> Result<Option<PathBuf>> {
        if let Some(path) = self.store.in_place(object) {
            return Ok(Some(path));
        }
        let Some(scratch) = scratch else {
            return Ok(None);
        };
        let path = scratch.path(object);
        Ok(self.store.download(object, &path).await?.then_some(path))
    }
}

/// Returns the number of processors that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}
