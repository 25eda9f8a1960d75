//! Looking again at a committed day: what is asked for although it is committed, and which segments have vanished.

use rusqlite::OptionalExtension;

use crate::format::row::Row;
use crate::format::row::observation::Status;
use crate::format::row::recheck::RecheckScope;
use crate::journal::database::Journal;
use crate::journal::{JournalError, Result};

/// The note that a journal is a recheck's. `pending` knows it by this name.
const RECHECK: &str = "recheck";

/// What a recheck's discovery no longer gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VanishedCounts {
    /// Segments that are marked now, and were not before.
    pub newly: u64,
    /// Committed segments that discovery gave before.
    pub compared: u64,
}

impl Journal {
    /// Makes this journal a recheck's, unless it holds something else that is to be finished first. One that is already
    /// goes on with what it has, and with the new scope. Returns what is asked for again.
    pub fn start_recheck(&mut self, wanted: Option<&RecheckScope>) -> Result<Option<RecheckScope>> {
        if let Some(wanted) = wanted
            && (self.recheck.is_some() || self.is_fresh()?)
        {
            self.set_meta(RECHECK, &wanted.to_string())?;
            self.recheck = Some(wanted.clone());
        }
        Ok(self.recheck.clone())
    }

    pub(super) fn begun_recheck(&self) -> Result<Option<RecheckScope>> {
        let corrupt = || {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            let source =
                rusqlite::Error::SqliteFailure(code, Some("its recheck is unreadable".to_owned()));
            JournalError::Database {
                path: self.path.clone(),
                source,
            }
        };
        self.meta(RECHECK)?
            .map(|text| text.parse().map_err(|_| corrupt()))
            .transpose()
    }

    fn is_fresh(&self) -> Result<bool> {
        let sql = "SELECT 1 FROM object UNION ALL SELECT 1 FROM window LIMIT 1";
        let found = self
            .connection
            .query_row(sql, [], |_| Ok(()))
            .optional()
            .map_err(self.wrap())?;
        Ok(found.is_none())
    }

    /// Whether a committed summary of this status may be asked for.
    pub(super) fn may_ask(&self, status: Status) -> bool {
        match &self.recheck {
            None => matches!(status, Status::Failed | Status::Skipped),
            Some(scope) => scope.covers(status),
        }
    }

    /// Enters every committed segment that no window gave as a vanished one. All windows are answered.
    pub fn mark_vanished(&mut self) -> Result<VanishedCounts> {
        let sql = "SELECT min(coalesce(server_date, answered_at)) FROM window";
        let asked: Option<i64> = self
            .connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(self.wrap())?;
        let Some(asked) = asked else {
            return Ok(VanishedCounts::default());
        };
        let (mut vanished, mut after) = (VanishedCounts::default(), String::new());
        loop {
            let batch = self.known_rows_after(&after, 256)?;
            let Some((last, _)) = batch.last() else {
                return Ok(vanished);
            };
            after.clone_from(last);
            for (key, row) in &batch {
                // What another host has been given since we asked has not vanished; and of what cannot be written again as
                // it was, it could not be said.
                if row.vanished || row.discovered_at >= asked || *row.segment.known_by() != **key {
                    continue;
                }
                vanished.compared += 1;
                vanished.newly += u64::from(self.is_vanished(key, row)?);
            }
        }
    }

    /// Whether discovery did not give the segment; enters it then.
    fn is_vanished(&self, key: &str, row: &Row) -> Result<bool> {
        let sql = "SELECT vanished FROM segment WHERE key = ?";
        let found: Option<bool> = self
            .connection
            .query_row(sql, [key], |row| row.get(0))
            .optional()
            .map_err(self.wrap())?;
        if found.is_none() {
            self.insert_segment(row, true).map_err(self.wrap())?;
        }
        Ok(found.unwrap_or(true))
    }

    /// How many summaries this journal has asked for.
    pub fn count_requested(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM observation WHERE status NOT IN ('SKIPPED', 'NO_ID')";
        self.connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map(|n| n as u64)
            .map_err(self.wrap())
    }

    /// Forgets what this recheck was given: it cannot be believed, and the next one asks anew.
    pub fn discard_recheck(&mut self) -> Result<()> {
        let sql =
            "DELETE FROM observation; DELETE FROM segment; DELETE FROM object; DELETE FROM window;
                   DELETE FROM meta WHERE name = 'recheck';";
        self.connection.execute_batch(sql).map_err(self.wrap())?;
        self.recheck = None;
        Ok(())
    }
}
