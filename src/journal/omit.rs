//! Fields that the settings leave out: a journal never holds them, even if it was created under other settings.

use rusqlite::params;

use crate::format::row::{Omission, Row, Segment};
use crate::journal::Result;
use crate::journal::day_journal::Journal;

/// The note with the names of the omitted fields; absent where nothing is omitted.
const OMITTED: &str = "omitted fields";
/// The note that the file may still hold bytes of fields that are omitted now.
const TRACES: &str = "traces of omitted fields";

/// Objects that are read at a time.
const BATCH: u32 = 256;

impl Journal {
    /// Returns the fields that are left out of everything that this journal holds.
    pub(crate) fn omission(&self) -> &Omission {
        &self.omission
    }

    /// Returns the omission that this journal has stored.
    pub(super) fn stored_omission(&self) -> Result<Omission> {
        let Some(text) = self.meta(OMITTED)? else {
            return Ok(Omission::default());
        };
        serde_json::from_str(&text).map_err(|_| self.database.corrupt("its omission"))
    }

    /// Omits these fields from now on, and removes them from what the journal holds. Fields that are omitted already
    /// stay so: their values were never stored, and only new requests could return them.
    pub(crate) fn omit_fields(&mut self, fields: &Omission) -> Result<()> {
        let all = self.omission.and(fields);
        if all == self.omission {
            return Ok(());
        }
        let names: Vec<&str> = all.names().collect();
        let names = serde_json::to_string(&names).unwrap_or_default();
        self.in_savepoint(|journal| {
            // They are read again from the store when they are needed.
            journal.clear_known_rows()?;
            journal.cut_objects(&all)?;
            journal.cut_other_answers(&all)?;
            // Also where nothing had to be cut: deleted rows remain in free pages.
            journal.set_meta(TRACES, "yes")?;
            journal.set_meta(OMITTED, &names)
        })?;
        self.omission = all;
        Ok(())
    }

    /// Overwrites what the file may still hold of omitted fields. Must run outside of any transaction.
    ///
    /// A crash before the end leaves the note, and the next run repeats it.
    pub(crate) fn purge_omitted_bytes(&mut self) -> Result<()> {
        if self.meta(TRACES)?.is_none() {
            return Ok(());
        }
        // The database is written again without free pages, and the log is truncated.
        self.database
            .batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
        let sql = "DELETE FROM meta WHERE name = ?";
        self.database.execute(sql, [TRACES]).map(drop)
    }

    fn cut_objects(&self, fields: &Omission) -> Result<()> {
        let mut after = 0;
        loop {
            let sql = "SELECT id, has_id, raw FROM object WHERE id > ? ORDER BY id LIMIT ?";
            let batch: Vec<(i64, bool, String)> =
                self.database
                    .all(sql, params![after, BATCH], |row| row.try_into())?;
            let Some((last, ..)) = batch.last() else {
                return Ok(());
            };
            after = *last;
            for (object, has_id, raw) in batch {
                if !fields.is_in(&raw) {
                    continue;
                }
                let raw = fields.cut(raw);
                let sql = "UPDATE object SET raw = ? WHERE id = ?";
                self.database.execute(sql, params![raw, object])?;
                if !has_id {
                    self.change_key(object, &Segment::read(raw).key())?;
                }
            }
        }
    }

    /// Gives an object without an id the key that it has without the omitted fields. Where another object differed in
    /// those fields only, both become one segment, as if the window had been answered so.
    fn change_key(&self, object: i64, key: &str) -> Result<()> {
        let sql = "UPDATE object SET key = ? WHERE id = ?";
        self.database.execute(sql, params![key, object])?;
        // An object of no window belongs to a committed row, whose key cannot change.
        let sql = "UPDATE OR IGNORE segment SET key = ?1 WHERE object = ?2
                   AND EXISTS (SELECT 1 FROM object WHERE id = ?2 AND window_ms IS NOT NULL)";
        if self.database.execute(sql, params![key, object])? > 0 {
            return Ok(());
        }
        let sql = "DELETE FROM observation WHERE summary / 2 IN (SELECT seq FROM segment WHERE object = ?)";
        self.database.execute(sql, [object])?;
        let sql = "DELETE FROM segment WHERE object = ?";
        if self.database.execute(sql, [object])? > 0 {
            let sql = "UPDATE window SET duplicates = duplicates + 1
                       WHERE start_ms = (SELECT window_ms FROM object WHERE id = ?)";
            self.database.execute(sql, [object])?;
        }
        Ok(())
    }

    fn cut_other_answers(&self, fields: &Omission) -> Result<()> {
        let sql = "SELECT seq, others FROM segment WHERE others IS NOT NULL";
        let found: Vec<(i64, String)> = self.database.all(sql, [], |row| row.try_into())?;
        for (seq, others) in found {
            if fields.is_in_any(&others) {
                let sql = "UPDATE segment SET others = ? WHERE seq = ?";
                let facts = params![fields.cut_each(others), seq];
                self.database.execute(sql, facts)?;
            }
        }
        Ok(())
    }

    /// Records that a committed row of a segment without an id can have no later row: its key is the hash of a text that
    /// is not written again. What discovery returns of the segment now, under the key of `row` as it is stored, is
    /// not new.
    pub(super) fn settle(&self, row: &Row) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO settled VALUES (?)";
        self.database.execute(sql, [row.segment.key()]).map(drop)
    }

    /// Returns whether [`Journal::settle`] was called for this segment.
    pub(super) fn is_settled(&self, row: &Row) -> Result<bool> {
        if row.segment.metadata.segment_id.is_some() || self.omission.is_empty() {
            return Ok(false);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM settled WHERE key = ?)";
        self.database
            .one(sql, [row.segment.key()], |row| row.get(0))
    }
}
