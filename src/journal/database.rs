//! The journal's tables, and what is noted in them.

use std::path::{Path, PathBuf};

use jiff::civil::Date;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use crate::format::hash::digest::Digest;
use crate::format::row::Row;
use crate::format::row::change;
use crate::format::row::observation::{Observation, Status, SummaryKind};
use crate::format::row::omit::Omission;
use crate::format::row::recheck::RecheckScope;
use crate::format::row::segment::Segment;
use crate::format::time::day::Window;
use crate::journal::state::private_file;
use crate::journal::{JournalError, Result};

const TABLES: &str = "
    -- Rows are of half a kilobyte: smaller pages are more work for the same bytes.
    PRAGMA page_size = 16384;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    -- 512 MiB of log: most days never need to be copied into the database, for they are done before.
    PRAGMA wal_autocheckpoint = 32000;
    -- The segments of one window and their observations: they are read back in another order.
    PRAGMA cache_size = -32768;
    PRAGMA temp_store = FILE;
    PRAGMA busy_timeout = 10000;
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    -- Windows that were answered in full, and by whom.
    CREATE TABLE IF NOT EXISTS window (
        start_ms INTEGER PRIMARY KEY, end_ms INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL, server_date INTEGER, answered_at INTEGER NOT NULL, attempts INTEGER NOT NULL,
        duplicates INTEGER NOT NULL);
    -- What discovery gave, each text once; worth nothing until its window is answered in full.
    CREATE TABLE IF NOT EXISTS object (
        id INTEGER PRIMARY KEY, window_ms INTEGER, key TEXT NOT NULL, end_ms INTEGER, has_id INTEGER NOT NULL,
        channel_class TEXT, segment_type TEXT, raw TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS object_window ON object (window_ms);
    CREATE TABLE IF NOT EXISTS segment (
        seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, end_ms INTEGER, object INTEGER NOT NULL, others TEXT,
        discovered_at INTEGER NOT NULL, discovered_by TEXT NOT NULL, vanished INTEGER NOT NULL DEFAULT 0);
    -- In the order in which they came, so that a transaction writes few pages; summary = 2 * seq + kind.
    CREATE TABLE IF NOT EXISTS observation (
        id INTEGER PRIMARY KEY, summary INTEGER NOT NULL UNIQUE, status TEXT NOT NULL, body BLOB, sha256 BLOB, http_status INTEGER,
        content_type TEXT, fetched_at INTEGER, server_date INTEGER, attempts INTEGER NOT NULL, error TEXT,
        observed_by TEXT NOT NULL, committed INTEGER NOT NULL DEFAULT 0);
    -- Rows that a committed revision or an adopted part holds: the current one of each segment; open has a bit for
    -- each kind that may be asked for all the same.
    CREATE TABLE IF NOT EXISTS known (
        key TEXT PRIMARY KEY, row TEXT NOT NULL, adopted INTEGER NOT NULL, open INTEGER NOT NULL) WITHOUT ROWID;
    -- Keys under which discovery gives segments whose committed rows cannot have later ones.
    CREATE TABLE IF NOT EXISTS settled (key TEXT PRIMARY KEY) WITHOUT ROWID;
";

/// Of the tables above: a journal of other ones is finished by the program that began it.
const VERSION: &str = "1";

/// Which archive day a journal belongs to; it is refused for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayIdentity {
    pub archive_id: String,
    pub sub_account: String,
    pub date: Date,
    pub zone: String,
    pub window: Window,
}

/// An answered window, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredWindow {
    pub window: Window,
    pub rows: u64,
    pub bytes: u64,
    pub sha256: Digest,
    pub server_date: Option<i64>,
    pub answered_at: i64,
    pub attempts: u32,
    pub duplicates: u64,
}

/// How a window's objects joined the segments known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeCounts {
    pub new: u64,
    pub duplicates: u64,
}

/// A segment with summaries still to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingSegment {
    pub seq: i64,
    /// What the API knows it by; `None` when it gave none.
    pub segment_id: Option<String>,
    pub channel_class: Option<String>,
    pub segment_type: Option<String>,
    pub missing: Vec<SummaryKind>,
}

/// How far the day is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalProgress {
    pub windows: u64,
    pub segments: u64,
    /// Summaries that have an answer, or need none.
    pub answered: u64,
}

/// One archive day's notes. Every method blocks; [`super::JournalHandle`] keeps them off the async threads.
pub struct Journal {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) identity: DayIdentity,
    /// What is asked for again although it is committed; `None` where only gaps are filled.
    pub(super) recheck: Option<RecheckScope>,
    /// What is left out of every object.
    pub(super) omission: Omission,
}

/// The bit of a kind in `known.open`.
fn open_bit(kind: SummaryKind) -> u8 {
    match kind {
        SummaryKind::Agent => 1,
        SummaryKind::Auto => 2,
    }
}

pub(super) fn summary_number(seq: i64, kind: SummaryKind) -> i64 {
    2 * seq + i64::from(kind == SummaryKind::Auto)
}

impl Journal {
    /// Opens a day's journal, or begins it.
    pub fn open(path: &Path, identity: DayIdentity) -> Result<Journal> {
        // SQLite gives its side files the mode of the main one.
        private_file(path)?;
        let wrap = |source| JournalError::Database {
            path: path.to_owned(),
            source,
        };
        let connection = Connection::open(path).map_err(wrap)?;
        connection.set_prepared_statement_cache_capacity(64);
        // At its end a journal mostly goes; where it does not, the next process finds the log beside it.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(wrap)?;
        connection.execute_batch(TABLES).map_err(wrap)?;
        let omission = Omission::default();
        let mut journal = Journal {
            connection,
            path: path.to_owned(),
            identity,
            recheck: None,
            omission,
        };
        journal.check_identity()?;
        journal.recheck = journal.begun_recheck()?;
        journal.omission = journal.begun_omission()?;
        Ok(journal)
    }

    pub(super) fn wrap(&self) -> impl Fn(rusqlite::Error) -> JournalError + use<> {
        let path = self.path.clone();
        move |source| JournalError::Database {
            path: path.clone(),
            source,
        }
    }

    pub fn identity(&self) -> &DayIdentity {
        &self.identity
    }

    fn check_identity(&self) -> Result<()> {
        let DayIdentity {
            archive_id,
            sub_account,
            date,
            zone,
            window,
        } = &self.identity;
        let facts = [
            ("version of journal", VERSION.to_owned()),
            ("archive", archive_id.clone()),
            ("sub-account", sub_account.clone()),
            ("date", date.to_string()),
            ("zone", zone.clone()),
            ("window", format!("{}/{}", window.start_ms, window.end_ms)),
        ];
        for (what, is) in facts {
            match self.meta(what)? {
                None => self.set_meta(what, &is)?,
                Some(was) if was == is => {}
                Some(was) => {
                    return Err(JournalError::OtherSettings {
                        path: self.path.clone(),
                        what,
                        was,
                        is,
                    });
                }
            }
        }
        Ok(())
    }

    pub fn meta(&self, name: &str) -> Result<Option<String>> {
        let sql = "SELECT value FROM meta WHERE name = ?";
        self.connection
            .query_row(sql, [name], |row| row.get(0))
            .optional()
            .map_err(self.wrap())
    }

    pub fn set_meta(&self, name: &str, value: &str) -> Result<()> {
        let sql = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.connection
            .execute(sql, [name, value])
            .map(drop)
            .map_err(self.wrap())
    }

    /// The answered windows, in order.
    pub fn windows(&self) -> Result<Vec<AnsweredWindow>> {
        let read = |row: &SqlRow| {
            Ok(AnsweredWindow {
                window: Window {
                    start_ms: row.get(0)?,
                    end_ms: row.get(1)?,
                },
                rows: row.get::<_, i64>(2)? as u64,
                bytes: row.get::<_, i64>(3)? as u64,
                sha256: digest_column(row, 4)?.unwrap_or(Digest([0; 32])),
                server_date: row.get(5)?,
                answered_at: row.get(6)?,
                attempts: row.get(7)?,
                duplicates: row.get::<_, i64>(8)? as u64,
            })
        };
        let mut select = self
            .connection
            .prepare("SELECT * FROM window ORDER BY start_ms")
            .map_err(self.wrap())?;
        let rows = select.query_map([], read).map_err(self.wrap())?;
        rows.collect::<Result<_, _>>().map_err(self.wrap())
    }

    /// Segments after `after` that have a summary without an answer, in the order of their discovery.
    ///
    /// A failure or a filter's verdict of an earlier run counts as none: both may come out otherwise now.
    pub fn pending(&self, after: i64, limit: u32) -> Result<Vec<PendingSegment>> {
        let sql = "
            SELECT s.seq, s.key, a.status, b.status, o.has_id, o.channel_class, o.segment_type, k.open
            FROM segment s JOIN object o ON o.id = s.object LEFT JOIN known k ON k.key = s.key
            LEFT JOIN observation a ON a.summary = 2 * s.seq LEFT JOIN observation b ON b.summary = 2 * s.seq + 1
            WHERE s.seq > ? AND (a.status IS NULL OR a.status IN ('FAILED', 'SKIPPED')
                              OR b.status IS NULL OR b.status IN ('FAILED', 'SKIPPED'))
              -- What is committed is not asked again, and what an adopted part holds is observed: whatever we
              -- want beyond that part is the next revision's work.
              AND (k.key IS NULL OR (NOT k.adopted AND k.open <> 0))
              -- What discovery has just missed would only be answered that it is not there.
              AND (NOT s.vanished OR NOT EXISTS (SELECT 1 FROM meta WHERE name = 'recheck'))
            ORDER BY s.seq LIMIT ?";
        let mut select = self.connection.prepare_cached(sql).map_err(self.wrap())?;
        let read = |row: &SqlRow| {
            let known: Option<u8> = row.get(7)?;
            let open = |kind: SummaryKind, column: usize| -> rusqlite::Result<bool> {
                let status: Option<String> = row.get(column)?;
                let unanswered = matches!(status.as_deref(), None | Some("FAILED" | "SKIPPED"));
                Ok(unanswered && known.is_none_or(|open| open & open_bit(kind) != 0))
            };
            let kinds = [
                (SummaryKind::Agent, open(SummaryKind::Agent, 2)?),
                (SummaryKind::Auto, open(SummaryKind::Auto, 3)?),
            ];
            Ok(PendingSegment {
                seq: row.get(0)?,
                segment_id: row.get::<_, bool>(4)?.then(|| row.get(1)).transpose()?,
                channel_class: row.get(5)?,
                segment_type: row.get(6)?,
                missing: kinds
                    .into_iter()
                    .filter(|(_, open)| *open)
                    .map(|(kind, _)| kind)
                    .collect(),
            })
        };
        let rows = select
            .query_map(params![after, limit], read)
            .map_err(self.wrap())?;
        rows.collect::<Result<_, _>>().map_err(self.wrap())
    }

    /// Notes one observation; a later one of the same summary replaces it.
    pub fn record_observation(
        &self,
        seq: i64,
        kind: SummaryKind,
        look: &Observation,
    ) -> Result<()> {
        // Not INSERT OR REPLACE, before which SQLite copies every page that it touches, to be able to undo it alone.
        if !self
            .insert_observation(seq, kind, look)
            .map_err(self.wrap())?
        {
            let delete = "DELETE FROM observation WHERE summary = ?";
            self.connection
                .execute(delete, [summary_number(seq, kind)])
                .map_err(self.wrap())?;
            self.insert_observation(seq, kind, look)
                .map_err(self.wrap())?;
        }
        Ok(())
    }

    /// Whether there was none yet.
    fn insert_observation(
        &self,
        seq: i64,
        kind: SummaryKind,
        look: &Observation,
    ) -> rusqlite::Result<bool> {
        let sql = "INSERT INTO observation VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING";
        let mut insert = self.connection.prepare_cached(sql)?;
        let body = look
            .summary
            .as_deref()
            .map(str::as_bytes)
            .or(look.binary.as_deref().map(str::as_bytes));
        let facts = params![
            summary_number(seq, kind),
            look.status.name(),
            body,
            look.sha256.as_ref().map(|Digest(sha256)| sha256.as_slice()),
            look.http_status,
            look.content_type,
            look.fetched_at,
            look.server_date,
            look.attempts,
            look.error,
            look.observed_by
        ];
        Ok(insert.execute(facts)? == 1)
    }

    pub fn progress(&self) -> Result<JournalProgress> {
        let sql = "SELECT (SELECT count(*) FROM window), (SELECT count(*) FROM segment),
                   (SELECT count(*) FROM observation WHERE status NOT IN ('FAILED', 'SKIPPED'))";
        let read = |row: &SqlRow| {
            let count = |column| row.get::<_, i64>(column).map(|count| count as u64);
            Ok(JournalProgress {
                windows: count(0)?,
                segments: count(1)?,
                answered: count(2)?,
            })
        };
        self.connection
            .query_row(sql, [], read)
            .map_err(self.wrap())
    }

    /// Loads a row that is committed, or that an adopted part holds: evidence, and the measure of what is new.
    pub fn add_known_row(&self, row: Row, adopted: bool) -> Result<()> {
        let key = row.segment.key();
        let row = row.without(&self.omission);
        if !adopted && *row.segment.known_by() != *key {
            self.settle(&row)?;
        }
        self.reconcile_own_notes(&key, &row)?;
        let now = match self.known_row(&key)? {
            Some((mut earlier, _)) => {
                change::absorb(&mut earlier, row);
                earlier
            }
            None => row,
        };
        let sql = "INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?)";
        let mut insert = self.connection.prepare_cached(sql).map_err(self.wrap())?;
        let open = SummaryKind::BOTH
            .into_iter()
            .filter(|kind| self.may_ask(now.observation(*kind).status));
        let open = open.fold(0, |bits, kind| bits | open_bit(kind));
        insert
            .execute(params![key, super::encode::row_to_json(now), adopted, open])
            .map(drop)
            .map_err(self.wrap())
    }

    /// Marks looks of ours that `row` holds already, and takes its metadata where another host asked later.
    fn reconcile_own_notes(&self, key: &str, row: &Row) -> Result<()> {
        let mut find = self
            .connection
            .prepare_cached("SELECT seq, discovered_at FROM segment WHERE key = ?")
            .map_err(self.wrap())?;
        let ours = find
            .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(self.wrap())?;
        let Some((seq, asked_at)): Option<(i64, i64)> = ours else {
            return Ok(());
        };
        let mut mark = self
            .connection
            .prepare_cached(
                "UPDATE observation SET committed = 1
                 WHERE summary = ? AND status = ? AND observed_by = ? AND fetched_at IS ?",
            )
            .map_err(self.wrap())?;
        for kind in SummaryKind::BOTH {
            let look = row.observation(kind);
            let same = params![
                summary_number(seq, kind),
                look.status.name(),
                look.observed_by,
                look.fetched_at
            ];
            mark.execute(same).map_err(self.wrap())?;
        }
        if asked_at < row.discovered_at {
            self.replace_segment(seq, row).map_err(self.wrap())?;
        }
        Ok(())
    }

    /// The current committed or adopted row of a segment, and whether an adopted part of this revision holds it.
    pub fn known_row(&self, key: &str) -> Result<Option<(Row, bool)>> {
        let mut select = self
            .connection
            .prepare_cached("SELECT row, adopted FROM known WHERE key = ?")
            .map_err(self.wrap())?;
        let found: Option<(String, bool)> = select
            .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(self.wrap())?;
        found
            .map(|(row, adopted)| Ok((self.row_from_json(&row)?, adopted)))
            .transpose()
    }

    /// Does `work`; where it fails, nothing of what it wrote stays.
    pub fn in_savepoint<T, E>(
        &self,
        work: impl FnOnce(&Journal) -> Result<T, E>,
    ) -> Result<Result<T, E>> {
        let sql = |sql| self.connection.execute_batch(sql).map_err(self.wrap());
        sql("SAVEPOINT attempt")?;
        let done = work(self);
        sql(if done.is_ok() {
            "RELEASE attempt"
        } else {
            "ROLLBACK TO attempt; RELEASE attempt"
        })?;
        Ok(done)
    }

    /// Forgets the committed and adopted rows: they are about to be loaded afresh from the store.
    ///
    /// With them which of our looks they hold: a part that was adopted may never be committed, and a look that only
    /// it held would otherwise be taken for committed, and be lost.
    pub fn clear_known_rows(&self) -> Result<()> {
        let sql = "DELETE FROM known; DELETE FROM settled; UPDATE observation SET committed = 0 WHERE committed = 1;";
        self.connection.execute_batch(sql).map_err(self.wrap())
    }

    /// Takes every known segment that lacks a wanted answer as one to look at again, with what it has.
    /// Returns how many.
    pub fn reopen_gaps(&mut self, wanted: impl Fn(&Segment) -> bool) -> Result<u64> {
        let mut count = 0;
        let mut after = String::new();
        loop {
            let batch = self.known_rows_after(&after, 256)?;
            let Some((last, _)) = batch.last() else {
                return Ok(count);
            };
            after.clone_from(last);
            for (_, row) in &batch {
                let is_gap = |kind: &SummaryKind| match row.observation(*kind).status {
                    Status::Failed => true,
                    Status::Skipped => wanted(&row.segment),
                    _ => false,
                };
                if SummaryKind::BOTH.iter().any(is_gap) {
                    self.adopt_segment(row)?;
                    count += 1;
                }
            }
        }
    }

    pub(super) fn known_rows_after(&self, after: &str, limit: u32) -> Result<Vec<(String, Row)>> {
        let sql = "SELECT key, row FROM known WHERE key > ? ORDER BY key LIMIT ?";
        let mut select = self.connection.prepare_cached(sql).map_err(self.wrap())?;
        let read = |row: &SqlRow| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let rows = select
            .query_map(params![after, limit], read)
            .map_err(self.wrap())?;
        let rows: Vec<(String, String)> = rows.collect::<Result<_, _>>().map_err(self.wrap())?;
        rows.into_iter()
            .map(|(key, row)| Ok((key, self.row_from_json(&row)?)))
            .collect()
    }

    /// Enters a known row among the segments of this run, with the answers that it has.
    fn adopt_segment(&self, row: &Row) -> Result<()> {
        let seq = self
            .insert_segment(row, row.vanished)
            .map_err(self.wrap())?;
        for kind in SummaryKind::BOTH {
            let sql = "SELECT status FROM observation WHERE summary = ?";
            let id = summary_number(seq, kind);
            let ours: Option<String> = self
                .connection
                .query_row(sql, [id], |row| row.get(0))
                .optional()
                .map_err(self.wrap())?;
            let answered = ours
                .and_then(|status| status.parse().ok())
                .is_some_and(Status::is_answer);
            if !answered {
                self.record_observation(seq, kind, row.observation(kind))?;
            }
        }
        Ok(())
    }
}

fn digest_column(row: &SqlRow, column: usize) -> rusqlite::Result<Option<Digest>> {
    let text: Option<String> = row.get(column)?;
    let invalid = |error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    };
    text.map(|text| text.parse().map_err(invalid)).transpose()
}
