//! What the settings leave out: a journal never holds it, also where it was begun under other settings.

use rusqlite::params;

use crate::format::row::Row;
use crate::format::row::omit::Omission;
use crate::format::row::segment::Segment;
use crate::journal::database::Journal;
use crate::journal::{JournalError, Result};

/// The note of what is left out; absent where nothing is.
const OMITTED: &str = "omitted fields";
/// The note that former bytes of what is left out now may still lie in the file.
const TRACES: &str = "traces of omitted fields";

/// Objects that are cut at once.
const BATCH: u32 = 256;

impl Journal {
    /// What is left out of everything that this journal holds.
    pub fn omission(&self) -> &Omission {
        &self.omission
    }

    pub(super) fn begun_omission(&self) -> Result<Omission> {
        let corrupt = || {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            let source =
                rusqlite::Error::SqliteFailure(code, Some("its omission is unreadable".to_owned()));
            JournalError::Database {
                path: self.path.clone(),
                source,
            }
        };
        let noted = self.meta(OMITTED)?;
        noted.map_or(Ok(Omission::default()), |text| {
            serde_json::from_str(&text).map_err(|_| corrupt())
        })
    }

    /// Leaves out these fields from now on, and takes them out of what was noted before. What is left out already stays
    /// so: it was never noted, and nobody can have it back without asking anew.
    pub fn omit_fields(&mut self, fields: &Omission) -> Result<()> {
        let all = self.omission.and(fields);
        if all == self.omission {
            return Ok(());
        }
        let names: Vec<&str> = all.names().collect();
        let names = serde_json::to_string(&names).unwrap_or_default();
        self.in_savepoint(|journal| {
            // Loaded afresh from the store whenever it is needed.
            journal.clear_known_rows()?;
            journal.cut_objects(&all)?;
            journal.cut_other_answers(&all)?;
            // Also where nothing had to be cut: what was deleted before lies in free pages.
            journal.set_meta(TRACES, "yes")?;
            journal.set_meta(OMITTED, &names)
        })??;
        self.omission = all;
        Ok(())
    }

    /// Overwrites what the file still holds of what is left out now. Outside of any transaction.
    pub fn purge_omitted_bytes(&mut self) -> Result<()> {
        if self.meta(TRACES)?.is_none() {
            return Ok(());
        }
        // All of it is written anew, and nothing stays in the log: neither in free pages nor beside them is anything left.
        let sql = "VACUUM; PRAGMA wal_checkpoint(TRUNCATE);";
        self.connection.execute_batch(sql).map_err(self.wrap())?;
        // Killed before this it is done once more.
        let sql = "DELETE FROM meta WHERE name = ?";
        self.connection
            .execute(sql, [TRACES])
            .map(drop)
            .map_err(self.wrap())
    }

    fn cut_objects(&self, fields: &Omission) -> Result<()> {
        let sql = "SELECT id, has_id, raw FROM object WHERE id > ? ORDER BY id LIMIT ?";
        let mut select = self.connection.prepare(sql).map_err(self.wrap())?;
        let sql = "UPDATE object SET raw = ? WHERE id = ?";
        let mut update = self.connection.prepare(sql).map_err(self.wrap())?;
        let mut after = 0;
        loop {
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            let batch = select
                .query_map(params![after, BATCH], read)
                .map_err(self.wrap())?;
            let batch: Vec<(i64, bool, String)> =
                batch.collect::<Result<_, _>>().map_err(self.wrap())?;
            let Some((last, ..)) = batch.last() else {
                return Ok(());
            };
            after = *last;
            for (object, has_id, raw) in batch {
                if !fields.is_in(&raw) {
                    continue;
                }
                let raw = fields.cut(raw);
                update.execute(params![raw, object]).map_err(self.wrap())?;
                if !has_id {
                    self.rename(object, &Segment::read(raw).key())
                        .map_err(self.wrap())?;
                }
            }
        }
    }

    /// Gives an object without an id the key that it has now. Where another one is the same but for what is left out,
    /// they are one segment, as if the window had been answered so.
    fn rename(&self, object: i64, key: &str) -> rusqlite::Result<()> {
        self.connection.execute(
            "UPDATE object SET key = ? WHERE id = ?",
            params![key, object],
        )?;
        // One that no window gave is a committed row's, whose key cannot change.
        let sql = "UPDATE OR IGNORE segment SET key = ?1 WHERE object = ?2
                   AND EXISTS (SELECT 1 FROM object WHERE id = ?2 AND window_ms IS NOT NULL)";
        if self.connection.execute(sql, params![key, object])? > 0 {
            return Ok(());
        }
        let sql = "DELETE FROM observation WHERE summary / 2 IN (SELECT seq FROM segment WHERE object = ?)";
        self.connection.execute(sql, [object])?;
        if self
            .connection
            .execute("DELETE FROM segment WHERE object = ?", [object])?
            > 0
        {
            let sql = "UPDATE window SET duplicates = duplicates + 1
                       WHERE start_ms = (SELECT window_ms FROM object WHERE id = ?)";
            self.connection.execute(sql, [object])?;
        }
        Ok(())
    }

    fn cut_other_answers(&self, fields: &Omission) -> Result<()> {
        let sql = "SELECT seq, others FROM segment WHERE others IS NOT NULL";
        let mut select = self.connection.prepare(sql).map_err(self.wrap())?;
        let found = select
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(self.wrap())?;
        let found: Vec<(i64, String)> = found.collect::<Result<_, _>>().map_err(self.wrap())?;
        for (seq, others) in found
            .into_iter()
            .filter(|(_, others)| fields.is_in_any(others))
        {
            let sql = "UPDATE segment SET others = ? WHERE seq = ?";
            let facts = params![fields.cut_each(others), seq];
            self.connection.execute(sql, facts).map_err(self.wrap())?;
        }
        Ok(())
    }

    /// Notes that a committed row of a segment without an id can have no later one: its key is the hash of a text that
    /// is not written again. What discovery gives of it now, under the key of `row` as it is kept, is no news.
    pub(super) fn settle(&self, row: &Row) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO settled VALUES (?)";
        self.connection
            .execute(sql, [row.segment.key()])
            .map(drop)
            .map_err(self.wrap())
    }

    pub(super) fn is_settled(&self, row: &Row) -> Result<bool> {
        if row.segment.metadata.segment_id.is_some() || self.omission.is_empty() {
            return Ok(false);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM settled WHERE key = ?)";
        self.connection
            .query_row(sql, [row.segment.key()], |row| row.get(0))
            .map_err(self.wrap())
    }
}
