//! The records of one sub-account's chain: canonical JSON, hashed into the chain, and signed where a key is configured.
//!
//! A chain begins with number 1 and has no gaps. Each manifest names the one before it by its SHA-256, and states what
//! the chain covers, so that the newest one answers which days are archived. A revision of a day exists if and only if
//! a manifest of the chain says so: writing the manifest is the commit. A crash before it leaves parts that no manifest
//! lists; the next run adopts or replaces them.

use serde::{Deserialize, Deserializer, Serialize};

use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::carried::{Kinded, LaterKind, present, read};
use crate::format::record::continuity::Continuity;
use crate::format::record::coverage::{Coverage, DayState};
pub use crate::format::record::day::{
    DayRecord, Discovery, File, Incomplete, Leftover, Recheck, Why, WindowRecord,
};
pub use crate::format::record::envelope::Signature;
use crate::format::record::envelope::{RecordBody, RecordPlace, Signed};
pub use crate::format::record::error::ManifestError;
use crate::format::record::error::{known_version, require};
pub use crate::format::record::link::Link;
pub use crate::format::record::lock::ObjectLock;
use crate::format::record::notes::{
    Acknowledgement, Disposal, Extension, Hold, LONGEST_NAME, LONGEST_REASON, MOST_DAYS, fits,
};
use crate::format::record::position::{ChainPosition, SinceEntry};
pub use crate::format::record::run::Run;
use crate::format::signature::SigningKey;

/// A manifest and its signature: the whole object that is stored.
pub type Envelope = Signed<Manifest>;

/// One record of a sub-account's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format; 1.
    pub format_version: u32,
    /// Id of the archive.
    pub archive_id: String,
    /// SHA-256 of the archive's `archive.json`.
    pub archive_sha256: Digest,
    /// This object's own key.
    pub key: String,
    /// Id of the sub-account.
    pub sub_account: String,
    /// Number in the chain, from 1.
    pub sequence: u64,
    /// The record before this one in the chain; null only for the first.
    pub previous: Option<Link>,
    /// Where the record stands among those of its chain: `index`, `peaks` and `since`.
    #[serde(flatten)]
    pub position: ChainPosition,
    /// Since when the chain is signed, and what it passes over: `signed_from` and `passed_over`.
    #[serde(flatten)]
    pub continuity: Continuity,
    /// Which process wrote the record.
    pub run: Run,
    /// What the chain covers, this record included.
    pub coverage: Coverage,
    /// The newest hold or retention record before this one; absent where there is none. A writer finds by it all that
    /// are in force without reading years of days.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub orders: Option<Link>,
    /// What is recorded; the member `kind` distinguishes.
    #[serde(flatten)]
    pub record: Record,
}

/// What a manifest records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// A revision of a day was committed.
    Day(Box<DayRecord>),
    /// The operator acknowledged gaps that will remain.
    Acknowledgement(Box<Acknowledgement>),
    /// A case holds a range of days, or releases it.
    Hold(Box<Hold>),
    /// Days are retained longer than their manifests say.
    Retention(Box<Extension>),
    /// Days were disposed of after their retention.
    Disposal(Box<Disposal>),
    /// A kind that a later program has added. It commits no files and leaves the coverage as it was; whatever else it says
    /// is carried unread.
    #[serde(untagged)]
    Later(LaterKind),
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Record, D::Error> {
        let Kinded { kind, value } = Kinded::deserialize(from)?;
        let record = match kind.as_str() {
            "day" => Record::Day(read(value)?),
            "acknowledgement" => Record::Acknowledgement(read(value)?),
            "hold" => Record::Hold(read(value)?),
            "retention" => Record::Retention(read(value)?),
            "disposal" => Record::Disposal(read(value)?),
            _ => Record::Later(LaterKind { kind }),
        };
        Ok(record)
    }
}

impl Manifest {
    /// Returns the object to be stored, signed where there is a key.
    ///
    /// # Errors
    /// As [`Signed::seal`].
    pub fn seal(self, signer: Option<&SigningKey>) -> Result<Envelope, ManifestError> {
        Signed::seal(self, signer)
    }

    /// Returns the revision that this manifest commits; `None` for the other kinds of records.
    pub fn day(&self) -> Option<&DayRecord> {
        match &self.record {
            Record::Day(day) => Some(day),
            _ => None,
        }
    }

    /// Returns the `orders` of the manifest after this one; `sha256` is the hash of this whole object.
    pub fn orders_for_next(&self, sha256: Digest) -> Option<Link> {
        match &self.record {
            Record::Hold(_) | Record::Retention(_) => Some(Link {
                key: self.key.clone(),
                sha256,
            }),
            // A disposal requires nothing of later objects: the coverage says that none follow.
            Record::Day(_)
            | Record::Acknowledgement(_)
            | Record::Disposal(_)
            | Record::Later(_) => self.orders.clone(),
        }
    }
}

impl RecordBody for Manifest {
    fn place(&self) -> RecordPlace<'_> {
        RecordPlace {
            archive_id: &self.archive_id,
            archive_sha256: self.archive_sha256,
            chain: &self.sub_account,
            key: &self.key,
            sequence: self.sequence,
            previous: self.previous.as_ref(),
            position: &self.position,
            continuity: &self.continuity,
        }
    }

    fn run(&self) -> &Run {
        &self.run
    }

    fn entry(&self, sha256: Digest) -> SinceEntry {
        let day = self.day();
        SinceEntry {
            sequence: self.sequence,
            date: day.map(|day| day.date),
            kind: self.record.kind().to_owned(),
            revision: day.map(|day| day.revision),
            sha256,
        }
    }

    fn later_values(&self) -> Vec<&'static str> {
        match &self.record {
            Record::Day(day) => day.later_values(),
            Record::Acknowledgement(note) => note.later_values(),
            Record::Later(_) => vec!["kind"],
            Record::Hold(_) | Record::Retention(_) | Record::Disposal(_) => Vec::new(),
        }
    }

    fn misplaced_file(&self) -> Option<&str> {
        let file = self.day()?.misplaced_file(&self.sub_account)?;
        Some(&file.key)
    }

    /// Checks what types cannot express (`schemas/manifest.v1.schema.json` says the same).
    fn check_shape(&self) -> Result<(), ManifestError> {
        known_version(self.format_version)?;
        require(key::is_sub_account(&self.sub_account), "sub_account")?;
        require(self.sequence > 0, "sequence")?;
        require(self.coverage.is_well_formed(), "coverage")?;
        self.position.check_shape()?;
        self.continuity.check_shape()?;
        self.record.check_shape()
    }
}

impl Record {
    /// Returns the name of the kind, as the member `kind` has it.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Record::Day(_) => "day",
            Record::Acknowledgement(_) => "acknowledgement",
            Record::Hold(_) => "hold",
            Record::Retention(_) => "retention",
            Record::Disposal(_) => "disposal",
            Record::Later(later) => &later.kind,
        }
    }

    fn check_shape(&self) -> Result<(), ManifestError> {
        let days = match self {
            Record::Acknowledgement(note) => note.days.len(),
            Record::Retention(extension) => extension.days.len(),
            Record::Disposal(disposal) => disposal.days.len(),
            Record::Day(_) | Record::Hold(_) | Record::Later(_) => 0,
        };
        require(days <= MOST_DAYS, "days")?;
        let (case, reason, by) = match self {
            Record::Day(day) => return day.check_shape(),
            Record::Acknowledgement(note) => (None, Some(&note.reason), &note.by),
            Record::Hold(hold) => (Some(&hold.case), Some(&hold.reason), &hold.by),
            Record::Retention(extension) => (None, extension.reason.as_ref(), &extension.by),
            Record::Disposal(disposal) => (None, Some(&disposal.reason), &disposal.by),
            Record::Later(_) => return Ok(()),
        };
        let texts = [
            (case, LONGEST_NAME, "case"),
            (reason, LONGEST_REASON, "reason"),
            (by.as_ref(), LONGEST_NAME, "name"),
        ];
        texts.into_iter().try_for_each(|(text, longest, what)| {
            require(text.is_none_or(|text| fits(text, longest)), what)
        })
    }

    /// Marks in a chain's coverage what this record makes of its days.
    pub fn mark(&self, coverage: &mut Coverage) {
        match self {
            Record::Day(day) => coverage.set(day.date, day.state_after(coverage.state(day.date))),
            Record::Acknowledgement(note) => {
                for day in &note.days {
                    coverage.set(day.date, DayState::Acknowledged);
                }
            }
            Record::Disposal(disposal) => {
                for day in &disposal.days {
                    coverage.set(day.date, DayState::Disposed);
                }
            }
            Record::Hold(_) | Record::Retention(_) | Record::Later(_) => {}
        }
    }
}
