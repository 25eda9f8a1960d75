//! The record of one revision of one archive day: where its rows come from, how many there are, and in which files.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::format::hash::Digest;
use crate::format::named_enum;
use crate::format::part::PartSummary;
use crate::format::place::key;
use crate::format::record::carried::{not_empty, present};
use crate::format::record::coverage::DayState;
use crate::format::record::error::{ManifestError, require};
use crate::format::record::link::Link;
use crate::format::record::lock::ObjectLock;
use crate::format::record::open::OpenValue;
use crate::format::record::warning::Warning;
use crate::format::row::tally::{MOST_GROUPS, OtherGroups};
use crate::format::row::{Changes, Failures, Groups, Omission, RecheckScope, Tally, schema};
use crate::format::time::window::interval;
use crate::format::time::{Instant, Window};

/// The most parts that a record names.
pub(crate) const MOST_FILES: usize = 10_000;

/// The most discovery windows that a record names.
pub(crate) const MOST_WINDOWS: usize = 1_000;

/// Why a day was committed. The list is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The nightly run archived the day.
    Nightly,
    /// A backfill archived the day.
    Backfill,
    /// A later run requested answers that were missing.
    GapFill,
    /// A recheck requested answers that were there.
    Recheck,
}

named_enum! {
    /// Why a day is not complete. The list is open.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum Incomplete in ALL {
        /// Some summaries have no answer.
        SummariesFailed = "summaries-failed",
        /// An adopted part was written under a filter that left out what is wanted now.
        WantedSummariesSkipped = "wanted-summaries-skipped",
        /// The day is older than the source's data retention: the source may have deleted some of it.
        BeyondSourceRetention = "beyond-source-retention",
    }
}

/// One revision of one archive day. Revision 1 holds every segment of the day; a later one holds the rows that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRecord {
    /// The archive day.
    pub date: Date,
    /// IANA name of the time zone that the day is a date of.
    pub zone: String,
    /// The instants of the day.
    #[serde(with = "interval")]
    pub window: Window,
    /// Number of the revision, from 1, without gaps.
    pub revision: u32,
    /// Why the day was committed.
    pub why: OpenValue<Why>,
    /// Where the segments come from.
    pub discovery: Discovery,
    /// Counts over this revision's rows.
    pub rows: Tally,
    /// Counts over the current row of each segment of the day, this revision included.
    pub day: Tally,
    /// Counts by agent group over the current rows: at most [`MOST_GROUPS`] groups, those with the most segments.
    pub agent_groups: Groups,
    /// The other agent groups together; absent where there are none.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "present"
    )]
    pub other_agent_groups: Option<OtherGroups>,
    /// Failed requests of the current rows, by class.
    pub failures: Failures,
    /// Whether every wanted summary has an answer.
    pub complete: bool,
    /// Why the day is not complete; empty where it is.
    pub incomplete_because: Vec<OpenValue<Incomplete>>,
    /// What makes the day suspicious.
    pub warnings: Vec<Warning>,
    /// The parts that this revision commits.
    pub files: Vec<File>,
    /// Objects under the day's folder that no manifest lists.
    pub leftovers: Vec<Leftover>,
    /// The weakest lock of the files; null where the store retains no locks.
    pub object_lock: Option<ObjectLock>,
    /// The source's data retention in days, where the settings state it.
    pub source_retention_days: Option<u32>,
    /// What a recheck requested and found; absent in other revisions.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "present"
    )]
    pub recheck: Option<Recheck>,
    /// Fields that none of this revision's rows holds, because the settings leave them out. A file with
    /// [`File::omitted_fields`] has its own list.
    #[serde(
        skip_serializing_if = "Omission::is_empty",
        default,
        deserialize_with = "not_empty"
    )]
    pub omitted_fields: Omission,
}

/// What a recheck requested again, and what it found. Its windows are those of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recheck {
    /// The statuses whose summaries were requested again.
    pub statuses: RecheckScope,
    /// Summaries that were requested, those of new segments included.
    pub looked_at: u64,
    /// What changed. Rows of adopted parts are not counted.
    pub changes: Changes,
}

/// Where the segments of a revision come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Discovery {
    /// This run requested windows that tile the day.
    Windows {
        /// The windows, in order.
        windows: Vec<WindowRecord>,
        /// Objects in all answers together.
        objects: u64,
        /// Objects that repeat a segment.
        duplicates: u64,
        /// Segments that only an adopted part has.
        adopted_only: u64,
    },
    /// This run requested no window: those of an earlier manifest apply.
    Manifest(Link),
}

/// One window of a discovery, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRecord {
    /// First instant of the window.
    pub start: Instant,
    /// First instant after the window.
    pub end: Instant,
    /// Objects in the answer.
    pub objects: u64,
    /// Length of the answer's body in bytes.
    pub bytes: u64,
    /// SHA-256 of the answer's body.
    pub sha256: Digest,
    /// The answer's `Date` header; null where it had none.
    pub server_date: Option<Instant>,
    /// When the last byte of the answer had arrived, by the host's clock.
    pub answered_at: Instant,
    /// Requests that were sent, retries included; at least 1.
    pub attempts: u32,
}

impl WindowRecord {
    /// Returns the window itself.
    pub(crate) fn window(&self) -> Window {
        Window {
            start_ms: self.start.as_millis(),
            end_ms: self.end.as_millis(),
        }
    }
}

/// A part that a revision commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The part's key.
    pub key: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Number of rows; at least 1.
    pub rows: u64,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// RFC 6962 root over the rows' leaves.
    pub merkle_root: Digest,
    /// Fingerprint of the columns.
    pub schema_sha256: Digest,
    /// Smallest segment end of the rows; null where no row has one.
    pub min_segment_end: Option<Instant>,
    /// Largest segment end of the rows; null where no row has one.
    pub max_segment_end: Option<Instant>,
    /// Version id that the store returned; null where it retains no versions.
    pub version_id: Option<String>,
    /// Whether an earlier attempt or another host wrote the part, and this revision took it over with all its rows.
    pub adopted: bool,
    /// For an adopted part whose rows lack other fields than the record states: the fields that they lack, perhaps
    /// none.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "present"
    )]
    pub omitted_fields: Option<Omission>,
}

impl File {
    /// Returns the entry of a part that this run wrote under `key`, with the file's length in bytes, its SHA-256 and
    /// the version id that the store returned.
    pub fn of(
        key: &str,
        bytes: u64,
        sha256: Digest,
        written: &PartSummary,
        version_id: Option<String>,
    ) -> File {
        let ends = written
            .segment_ends
            .map(|(min, max)| [min, max].map(Instant::from_millis));
        File {
            key: key.to_owned(),
            bytes,
            rows: written.rows,
            sha256,
            merkle_root: written.merkle_root,
            schema_sha256: schema::fingerprint(),
            min_segment_end: ends.map(|[min, _]| min),
            max_segment_end: ends.map(|[_, max]| max),
            version_id,
            adopted: false,
            omitted_fields: None,
        }
    }
}

/// An object under the day's folder that no manifest lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// The object's key.
    pub key: String,
    /// SHA-256 of the whole object.
    pub sha256: Digest,
    /// A code: `not-committed`, or why the object could not be trusted.
    pub why: String,
}

impl OpenValue<Incomplete> {
    /// Returns the name of the reason, as the record has it.
    pub fn name(&self) -> &str {
        match self {
            OpenValue::Known(reason) => reason.name(),
            OpenValue::Later(name) => name,
        }
    }
}

impl DayRecord {
    /// Returns the members with a value that a later program has added to an open list.
    pub(super) fn later_values(&self) -> Vec<&'static str> {
        let because = self.incomplete_because.iter().any(OpenValue::is_later);
        let warnings = self.warnings.iter().any(|warning| warning.code.is_later());
        let members = [
            ("incomplete_because", because),
            ("warnings.code", warnings),
            ("why", self.why.is_later()),
        ];
        let later = members.into_iter().filter(|(_, is_later)| *is_later);
        later.map(|(member, _)| member).collect()
    }

    /// Checks what types cannot express: numbers above zero, and fields that may be left out.
    pub(super) fn check_shape(&self) -> Result<(), ManifestError> {
        let (files, windows) = (
            &self.files,
            match &self.discovery {
                Discovery::Windows { windows, .. } => windows.as_slice(),
                Discovery::Manifest(_) => &[],
            },
        );
        let attempted = windows.iter().all(|window| window.attempts > 0);
        let omittable = self.omissions().all(Omission::is_allowed);
        let own_omissions_adopted = files
            .iter()
            .all(|file| file.adopted || file.omitted_fields.is_none());
        let others = self.other_agent_groups.as_ref();
        require(self.revision > 0, "revision")?;
        require(self.agent_groups.len() <= MOST_GROUPS, "agent_groups")?;
        require(
            others.is_none_or(|others| others.groups > 0),
            "other_agent_groups",
        )?;
        require(windows.len() <= MOST_WINDOWS, "windows")?;
        require(files.len() <= MOST_FILES, "files")?;
        require(attempted, "count of attempts")?;
        require(omittable && own_omissions_adopted, "omitted_fields")?;
        require(files.iter().all(|file| file.rows > 0), "file without rows")
    }

    fn omissions(&self) -> impl Iterator<Item = &Omission> {
        let own = self
            .files
            .iter()
            .filter_map(|file| file.omitted_fields.as_ref());
        own.chain([&self.omitted_fields])
    }

    /// Returns the fields that no row of `file` holds.
    pub(crate) fn omitted_in<'a>(&'a self, file: &'a File) -> &'a Omission {
        file.omitted_fields.as_ref().unwrap_or(&self.omitted_fields)
    }

    /// Returns the fields that any row of this revision may lack.
    pub(crate) fn omitted_anywhere(&self) -> Omission {
        self.omissions()
            .fold(Omission::default(), |all, own| all.and(own))
    }

    /// Returns a file whose key is not the one that this sub-account, the day, the revision and its number give it.
    ///
    /// A reader recomputes each key, and never joins one from a record to a folder as it stands: it could be absolute, or
    /// climb out of the folder.
    pub(crate) fn misplaced_file(&self, sub_account: &str) -> Option<&File> {
        self.files.iter().find(|file| {
            key::parse_part(&file.key).is_none_or(|(revision, part)| {
                revision != self.revision
                    || file.key != key::part(sub_account, self.date, revision, part)
            })
        })
    }

    /// Returns the state of the day once this revision is committed; `before` is its state until then.
    ///
    /// Acknowledged gaps stay acknowledged where the revision adds none: otherwise each recheck of such a day would
    /// raise the alarm again. A new gap is in the revision's own rows, since a summary that fails again is no change.
    pub(crate) fn state_after(&self, before: DayState) -> DayState {
        let skipped = self
            .incomplete_because
            .iter()
            .any(|reason| *reason == Incomplete::WantedSummariesSkipped);
        let adds_gaps = self.rows.failed() > 0 || skipped;
        match (self.complete, self.day.segments) {
            // No revision should follow a disposal, and none undoes it.
            _ if before == DayState::Disposed => DayState::Disposed,
            (false, _) if before == DayState::Acknowledged && !adds_gaps => DayState::Acknowledged,
            (false, _) => DayState::Gaps,
            (true, 0) => DayState::Empty,
            (true, _) => DayState::Complete,
        }
    }
}
