//! The audit record of one commit, in RFC 8785's form, hashed into a chain and signed.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::format::hash::digest::Digest;
use crate::format::part::PartSummary;
use crate::format::place::key;
use crate::format::record::coverage::{Coverage, DayState};
use crate::format::record::envelope;
pub use crate::format::record::envelope::{ManifestError, Signature};
use crate::format::record::envelope::{RecordBody, RecordPlace, Signed, known_version, must};
use crate::format::record::lock::{Lock, LockMode};
use crate::format::record::notes;
use crate::format::record::notes::{
    Acknowledgement, Disposal, Extension, Hold, LONGEST_NAME, LONGEST_REASON,
};
use crate::format::record::warning::Warning;
use crate::format::row::omit::Omission;
use crate::format::row::recheck::{Changes, RecheckScope};
use crate::format::row::schema;
use crate::format::row::tally::{Failures, Groups, Tally};
use crate::format::signature::SigningKey;
use crate::format::time::day::Window;
use crate::format::time::wire::{instant, interval, optional_instant};

/// A manifest and its signature: the whole object that is stored.
pub type Envelope = Signed<Manifest>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format_version: u32,
    pub archive_id: String,
    /// This object's own key.
    pub key: String,
    pub sub_account: String,
    pub sequence: u64,
    /// The object before this one in the chain; null only for the first.
    pub previous: Option<Link>,
    pub run: Run,
    /// What the chain covers, this record included.
    pub coverage: Coverage,
    /// The newest hold or retention record before this one, so that a writer finds all that are in force without
    /// reading years of days; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<Link>,
    /// What is recorded, told apart by `kind`.
    #[serde(flatten)]
    pub record: Record,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    pub key: String,
    /// SHA-256 of the whole object.
    pub sha256: Digest,
}

/// Who committed this, when, with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub id: String,
    pub tool_version: String,
    pub libraries: String,
    pub tz_database: String,
    pub host: String,
    /// SHA-256 over the settings in force, secrets left out.
    pub settings_sha256: Digest,
    #[serde(with = "instant")]
    pub started_at: i64,
    #[serde(with = "instant")]
    pub finished_at: i64,
    /// The API's clock minus this host's; null when the API was not asked.
    pub clock_skew_ms: Option<i64>,
}

/// What kind of audit record a manifest is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    Day(Box<DayRecord>),
    Acknowledgement(Box<Acknowledgement>),
    Hold(Box<Hold>),
    Retention(Box<Extension>),
    Disposal(Box<Disposal>),
}

/// Why a day was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    Nightly,
    Backfill,
    GapFill,
    Recheck,
}

/// Why a day is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Incomplete {
    SummariesFailed,
    /// An adopted part was written under a filter that left out what is wanted now.
    WantedSummariesSkipped,
    /// The source may have forgotten some of it.
    BeyondSourceRetention,
}

impl Incomplete {
    /// As manifests have it.
    pub fn name(self) -> &'static str {
        match self {
            Incomplete::SummariesFailed => "summaries-failed",
            Incomplete::WantedSummariesSkipped => "wanted-summaries-skipped",
            Incomplete::BeyondSourceRetention => "beyond-source-retention",
        }
    }
}

/// One revision of one archive day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayRecord {
    pub date: Date,
    pub zone: String,
    #[serde(with = "interval")]
    pub window: Window,
    pub revision: u32,
    pub why: Why,
    pub discovery: Discovery,
    /// Over this revision's rows.
    pub rows: Tally,
    /// Over the current row of each segment of the day, this revision included.
    pub day: Tally,
    pub agent_groups: Groups,
    pub failures: Failures,
    pub complete: bool,
    pub incomplete_because: Vec<Incomplete>,
    pub warnings: Vec<Warning>,
    pub files: Vec<File>,
    pub leftovers: Vec<Leftover>,
    pub object_lock: Option<ObjectLock>,
    /// The source's data retention in days, if the settings tell.
    pub source_retention_days: Option<u32>,
    /// Of a revision that looked again at a committed day.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recheck: Option<Recheck>,
    /// Fields that none of this revision's rows holds, because the settings left them out; of adopted files those say
    /// so themselves.
    #[serde(skip_serializing_if = "Omission::is_empty", default)]
    pub omitted_fields: Omission,
}

/// What a recheck asked for again, and what it found; its windows are the record's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recheck {
    pub statuses: RecheckScope,
    /// Summaries that were asked for, those of new segments included.
    pub looked_at: u64,
    /// Adopted parts not included.
    pub changes: Changes,
}

/// Where the segments of a revision come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Discovery {
    /// The windows that this run asked; they tile the day.
    Windows {
        windows: Vec<WindowRecord>,
        /// Objects in all answers together.
        objects: u64,
        /// Objects that repeat a segment.
        duplicates: u64,
        /// Segments that only an adopted part has.
        adopted_only: u64,
    },
    /// Nothing was asked: the windows of an earlier manifest hold.
    Manifest(Link),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowRecord {
    #[serde(with = "instant")]
    pub start: i64,
    #[serde(with = "instant")]
    pub end: i64,
    pub objects: u64,
    pub bytes: u64,
    pub sha256: Digest,
    #[serde(with = "optional_instant")]
    pub server_date: Option<i64>,
    #[serde(with = "instant")]
    pub answered_at: i64,
    pub attempts: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub key: String,
    pub bytes: u64,
    pub rows: u64,
    pub sha256: Digest,
    pub merkle_root: Digest,
    pub schema_sha256: Digest,
    #[serde(with = "optional_instant")]
    pub min_segment_end: Option<i64>,
    #[serde(with = "optional_instant")]
    pub max_segment_end: Option<i64>,
    pub version_id: Option<String>,
    /// PartSummary by an earlier attempt or another host, and taken over with all its rows.
    pub adopted: bool,
    /// Of an adopted file whose rows lack other fields than the record says: those that they lack, perhaps none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub omitted_fields: Option<Omission>,
}

impl File {
    /// A part of ours under `key`, of that length and SHA-256, and with the version id that the store gave it.
    pub fn of(
        key: &str,
        bytes: u64,
        sha256: Digest,
        written: &PartSummary,
        version_id: Option<String>,
    ) -> File {
        File {
            key: key.to_owned(),
            bytes,
            rows: written.rows,
            sha256,
            merkle_root: written.merkle_root,
            schema_sha256: schema::fingerprint(),
            min_segment_end: written.segment_ends.map(|(min, _)| min),
            max_segment_end: written.segment_ends.map(|(_, max)| max),
            version_id,
            adopted: false,
            omitted_fields: None,
        }
    }
}

/// An object under the day's folder that no manifest lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leftover {
    pub key: String,
    pub sha256: Digest,
    /// A code: `not-committed`, or why it could not be trusted.
    pub why: String,
}

/// Object Lock as read back from the store after the objects were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectLock {
    pub mode: LockMode,
    #[serde(with = "instant")]
    pub retain_until: i64,
}

impl ObjectLock {
    pub fn lock(&self) -> Lock {
        Lock {
            mode: self.mode,
            until_ms: self.retain_until,
        }
    }
}

impl From<Lock> for ObjectLock {
    fn from(lock: Lock) -> Self {
        ObjectLock {
            mode: lock.mode,
            retain_until: lock.until_ms,
        }
    }
}

impl Manifest {
    /// The bytes that are signed: what `jq -jcS .manifest` prints.
    pub fn canonical(&self) -> Result<Vec<u8>, ManifestError> {
        envelope::canonical(self)
    }

    pub fn seal(self, signer: Option<&SigningKey>) -> Result<Envelope, ManifestError> {
        Signed::seal(self, signer)
    }

    pub fn day(&self) -> Option<&DayRecord> {
        match &self.record {
            Record::Day(day) => Some(day),
            Record::Acknowledgement(_) | Record::Hold(_) => None,
            Record::Retention(_) | Record::Disposal(_) => None,
        }
    }

    /// What the manifest after this one, whose whole object has `sha256`, names as its orders.
    pub fn orders_for_next(&self, sha256: Digest) -> Option<Link> {
        match &self.record {
            Record::Hold(_) | Record::Retention(_) => Some(Link {
                key: self.key.clone(),
                sha256,
            }),
            // A disposal orders nothing of objects to come: none come, which the coverage says.
            Record::Day(_) | Record::Acknowledgement(_) | Record::Disposal(_) => {
                self.orders.clone()
            }
        }
    }
}

impl RecordBody for Manifest {
    fn place(&self) -> RecordPlace<'_> {
        let Manifest {
            archive_id,
            key,
            sub_account,
            sequence,
            previous,
            ..
        } = self;
        RecordPlace {
            archive_id,
            chain: sub_account,
            key,
            sequence: *sequence,
            previous: previous.as_ref(),
        }
    }

    fn run(&self) -> &Run {
        &self.run
    }

    /// What types cannot say, and no other manifest or object is needed for (`schemas/manifest.v1.schema.json` says
    /// the same). Keys and links are for whoever knows the place.
    fn check_shape(&self) -> Result<(), ManifestError> {
        known_version(self.format_version)?;
        must(key::is_sub_account(&self.sub_account), "sub_account")?;
        must(self.sequence > 0, "sequence")?;
        must(self.coverage.is_well_formed(), "coverage")?;
        self.record.check_shape()
    }
}

impl Record {
    fn check_shape(&self) -> Result<(), ManifestError> {
        let (case, reason, by) = match self {
            Record::Day(day) => return day.check_shape(),
            Record::Acknowledgement(note) => (None, Some(&note.reason), &note.by),
            Record::Hold(hold) => (Some(&hold.case), Some(&hold.reason), &hold.by),
            Record::Retention(extension) => (None, extension.reason.as_ref(), &extension.by),
            Record::Disposal(disposal) => (None, Some(&disposal.reason), &disposal.by),
        };
        must(
            case.is_none_or(|case| notes::fits(case, LONGEST_NAME)),
            "case",
        )?;
        must(
            reason.is_none_or(|reason| notes::fits(reason, LONGEST_REASON)),
            "reason",
        )?;
        must(
            by.as_ref().is_none_or(|by| notes::fits(by, LONGEST_NAME)),
            "name",
        )
    }

    /// Notes in a chain's coverage what this record makes of its days.
    pub fn mark(&self, coverage: &mut Coverage) {
        match self {
            Record::Day(day) => coverage.set(day.date, day.state_after(coverage.state(day.date))),
            Record::Acknowledgement(note) => {
                note.days
                    .iter()
                    .for_each(|day| coverage.set(day.date, DayState::Acknowledged));
            }
            Record::Disposal(disposal) => {
                disposal
                    .days
                    .iter()
                    .for_each(|day| coverage.set(day.date, DayState::Disposed));
            }
            Record::Hold(_) | Record::Retention(_) => {}
        }
    }
}

impl DayRecord {
    fn check_shape(&self) -> Result<(), ManifestError> {
        must(self.revision > 0, "revision")?;
        if let Discovery::Windows { windows, .. } = &self.discovery {
            must(
                windows.iter().all(|window| window.attempts > 0),
                "count of attempts",
            )?;
        }
        let own = self
            .files
            .iter()
            .filter_map(|file| file.omitted_fields.as_ref());
        must(
            own.chain([&self.omitted_fields]).all(Omission::is_allowed),
            "omitted_fields",
        )?;
        must(
            self.files
                .iter()
                .all(|file| file.adopted || file.omitted_fields.is_none()),
            "omitted_fields",
        )?;
        must(
            self.files.iter().all(|file| file.rows > 0),
            "file without rows",
        )
    }

    /// The fields that no row of `file` holds.
    pub fn omitted_in<'a>(&'a self, file: &'a File) -> &'a Omission {
        file.omitted_fields.as_ref().unwrap_or(&self.omitted_fields)
    }

    /// The fields that any row of this revision may lack.
    pub fn omitted_anywhere(&self) -> Omission {
        let own = self
            .files
            .iter()
            .filter_map(|file| file.omitted_fields.as_ref());
        own.fold(self.omitted_fields.clone(), |all, own| all.and(own))
    }

    /// The state of its day once this revision is committed, which was in state `before`.
    ///
    /// Acknowledged gaps stay acknowledged where the revision adds none, or looking again at such a day would wake
    /// everybody anew. A gap that is new stands in the revision's own rows, since failing again is no change.
    pub fn state_after(&self, before: DayState) -> DayState {
        let skipped = self
            .incomplete_because
            .contains(&Incomplete::WantedSummariesSkipped);
        let adds_gaps = self.rows.failed() > 0 || skipped;
        match (self.complete, self.day.segments) {
            // Nothing should come then, and nothing that does undoes it.
            _ if before == DayState::Disposed => DayState::Disposed,
            (false, _) if before == DayState::Acknowledged && !adds_gaps => DayState::Acknowledged,
            (false, _) => DayState::Gaps,
            (true, 0) => DayState::Empty,
            (true, _) => DayState::Complete,
        }
    }
}
