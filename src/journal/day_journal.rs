//! [`Journal`]: the notes of one archive day.

use std::path::Path;

use jiff::civil::Date;

use crate::format::row::{Omission, RecheckScope, SummaryKind};
use crate::format::time::Window;
use crate::journal::database::Database;
use crate::journal::{JournalError, Result};

/// The version of the tables: a journal of another version must be finished by the program that created it.
const VERSION: &str = "1";

/// The archive day that a journal belongs to; opening it for another day is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayIdentity {
    pub archive_id: String,
    pub sub_account: String,
    pub date: Date,
    /// Name of the time zone, such as `Europe/Berlin`.
    pub zone: String,
    /// The day as instants.
    pub window: Window,
}

/// How far the observation of a day is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalProgress {
    /// Windows with a complete answer.
    pub windows: u64,
    pub segments: u64,
    /// Summaries that have an answer, or need none.
    pub answered: u64,
}

/// One archive day's notes. All methods block; [`super::JournalHandle`] keeps them off the async threads.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cxvault::format::time::day::Window;
/// use cxvault::journal::{DayIdentity, DiscoveredSegment, Journal};
///
/// let folder = tempfile::tempdir()?;
/// let window = Window { start_ms: 0, end_ms: 86_400_000 };
/// let identity = DayIdentity {
///     archive_id: "demo".into(),
///     sub_account: "21630001".into(),
///     date: "1970-01-01".parse()?,
///     zone: "UTC".into(),
///     window,
/// };
/// let journal = Journal::open(&folder.path().join("journal.sqlite"), identity)?;
/// let objects = [DiscoveredSegment::read(r#"{"segmentId":"p-v-1"}"#)];
/// journal.stage_objects(window, &objects)?;
/// // The window's answer is not complete, so there is no segment yet.
/// assert_eq!(journal.progress()?.segments, 0);
/// # Ok(())
/// # }
/// ```
pub struct Journal {
    pub(super) database: Database,
    identity: DayIdentity,
    /// The committed summaries that are requested again; `None` where only gaps are filled.
    pub(super) recheck: Option<RecheckScope>,
    /// The fields that are left out of every object.
    pub(super) omission: Omission,
}

/// Returns the number of a summary in the table `observation`.
pub(super) fn summary_number(seq: i64, kind: SummaryKind) -> i64 {
    2 * seq + i64::from(kind == SummaryKind::Auto)
}

impl Journal {
    /// Opens a day's journal, or creates it.
    ///
    /// # Errors
    /// [`JournalError::OtherSettings`] for the journal of another day, zone, archive or version;
    /// [`JournalError::Folder`] and [`JournalError::Database`].
    pub fn open(path: &Path, identity: DayIdentity) -> Result<Journal> {
        let mut journal = Journal {
            database: Database::open(path)?,
            identity,
            recheck: None,
            omission: Omission::default(),
        };
        journal.check_identity()?;
        journal.recheck = journal.stored_recheck()?;
        journal.omission = journal.stored_omission()?;
        Ok(journal)
    }

    /// Returns the day that this journal belongs to.
    pub fn identity(&self) -> &DayIdentity {
        &self.identity
    }

    /// Compares the identity with the stored one; stores it in a new journal.
    fn check_identity(&self) -> Result<()> {
        let day = &self.identity;
        let window = format!("{}/{}", day.window.start_ms, day.window.end_ms);
        let facts = [
            ("version of journal", VERSION.to_owned()),
            ("archive", day.archive_id.clone()),
            ("sub-account", day.sub_account.clone()),
            ("date", day.date.to_string()),
            ("zone", day.zone.clone()),
            ("window", window),
        ];
        for (what, is) in facts {
            match self.meta(what)? {
                None => self.set_meta(what, &is)?,
                Some(was) if was == is => {}
                Some(was) => {
                    return Err(JournalError::OtherSettings {
                        path: self.database.path().to_owned(),
                        what,
                        was,
                        is,
                    });
                }
            }
        }
        Ok(())
    }

    /// Returns the note called `name`.
    pub(crate) fn meta(&self, name: &str) -> Result<Option<String>> {
        let sql = "SELECT value FROM meta WHERE name = ?";
        self.database.optional(sql, [name], |row| row.get(0))
    }

    /// Stores a note, replacing an earlier one of that name.
    pub(crate) fn set_meta(&self, name: &str, value: &str) -> Result<()> {
        let sql = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.database.execute(sql, [name, value]).map(drop)
    }

    /// Counts what the journal has.
    pub fn progress(&self) -> Result<JournalProgress> {
        let answered = "SELECT count(*) FROM observation WHERE status NOT IN ('FAILED', 'SKIPPED')";
        Ok(JournalProgress {
            windows: self.database.count("SELECT count(*) FROM window", [])?,
            segments: self.database.count("SELECT count(*) FROM segment", [])?,
            answered: self.database.count(answered, [])?,
        })
    }

    /// Runs `work`; where it fails, none of its writes remain.
    ///
    /// # Errors
    /// Those of `work`, and [`JournalError::Database`].
    pub(crate) fn in_savepoint<T, E: From<JournalError>>(
        &self,
        work: impl FnOnce(&Journal) -> Result<T, E>,
    ) -> Result<T, E> {
        self.database.in_savepoint(|| work(self))
    }
}
