//! Rechecks of a committed day: which summaries are requested again, and which segments have vanished.

use crate::format::row::{RecheckScope, Row, Status};
use crate::journal::Result;
use crate::journal::day_journal::Journal;

/// The note that makes a journal that of a recheck; its value is the scope. `pending` reads it by this name.
const RECHECK: &str = "recheck";

/// The committed segments that a recheck's discovery has not returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct VanishedCounts {
    /// Segments that are marked as vanished now, and were not before.
    pub newly: u64,
    /// Committed segments that discovery returned before.
    pub compared: u64,
}

impl Journal {
    /// Makes this journal that of a recheck, unless it has something else that is to be finished first. The journal of
    /// a recheck continues with what it has, and with the new scope. Returns what is requested again.
    pub(crate) fn start_recheck(
        &mut self,
        wanted: Option<&RecheckScope>,
    ) -> Result<Option<RecheckScope>> {
        if let Some(wanted) = wanted
            && (self.recheck.is_some() || self.is_empty()?)
        {
            self.set_meta(RECHECK, &wanted.to_string())?;
            self.recheck = Some(wanted.clone());
        }
        Ok(self.recheck.clone())
    }

    /// Returns the scope of the recheck that this journal belongs to.
    pub(super) fn stored_recheck(&self) -> Result<Option<RecheckScope>> {
        self.meta(RECHECK)?
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| self.database.corrupt("its recheck"))
    }

    fn is_empty(&self) -> Result<bool> {
        let sql = "SELECT 1 FROM object UNION ALL SELECT 1 FROM window LIMIT 1";
        let found = self.database.optional(sql, [], |_| Ok(()))?;
        Ok(found.is_none())
    }

    /// Returns whether a committed summary of this status may be requested.
    pub(super) fn may_request(&self, status: Status) -> bool {
        match &self.recheck {
            None => matches!(status, Status::Failed | Status::Skipped),
            Some(scope) => scope.covers(status),
        }
    }

    /// Inserts every committed segment that no window returned as a vanished segment. All windows must have an answer.
    pub(crate) fn mark_vanished(&mut self) -> Result<VanishedCounts> {
        let sql = "SELECT min(coalesce(server_date, answered_at)) FROM window";
        let asked: Option<i64> = self.database.one(sql, [], |row| row.get(0))?;
        let mut vanished = VanishedCounts::default();
        let Some(asked) = asked else {
            return Ok(vanished);
        };
        self.for_each_known_row(|key, row| {
            // A segment that another host discovered after this discovery has not vanished. And a segment whose
            // committed row cannot be written again under its key cannot be marked.
            if !row.vanished && row.discovered_at < asked && row.segment.known_by() == key {
                vanished.compared += 1;
                vanished.newly += u64::from(self.mark_if_vanished(key, row)?);
            }
            Ok(())
        })?;
        Ok(vanished)
    }

    /// Inserts the segment as vanished unless discovery returned it; returns whether it has vanished.
    fn mark_if_vanished(&self, key: &str, row: &Row) -> Result<bool> {
        let sql = "SELECT vanished FROM segment WHERE key = ?";
        let found = self.database.optional(sql, [key], |row| row.get(0))?;
        if found.is_none() {
            self.insert_segment(row, true)?;
        }
        Ok(found.unwrap_or(true))
    }

    /// Returns how many summaries this journal has requested.
    pub(crate) fn count_requested(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM observation WHERE status NOT IN ('SKIPPED', 'NO_ID')";
        self.database.count(sql, [])
    }

    /// Removes what this recheck has observed, which is not plausible: the next recheck starts again.
    pub(crate) fn discard_recheck(&mut self) -> Result<()> {
        self.database.batch(
            "DELETE FROM observation; DELETE FROM segment; DELETE FROM object; DELETE FROM window;
             DELETE FROM meta WHERE name = 'recheck';",
        )?;
        self.recheck = None;
        Ok(())
    }
}
