//! Known rows: what committed revisions and adopted parts hold of the day.
//!
//! They are read from the store at the start of a run and serve as the measure of what is new. A part is adopted when
//! another attempt has written it for the revision that this run is going to commit.

use rusqlite::params;

use crate::format::row::{Cell, Row, SummaryKind, change};
use crate::journal::Result;
use crate::journal::day_journal::{Journal, summary_number};

/// Known rows that are read at a time.
const BATCH: u32 = 256;

/// Returns the bit of a kind in the column `known.open`.
pub(super) fn open_bit(kind: SummaryKind) -> u8 {
    match kind {
        SummaryKind::Agent => 1,
        SummaryKind::Auto => 2,
    }
}

impl Journal {
    /// Adds a row that is committed, or that an adopted part holds.
    pub(crate) fn add_known_row(&self, row: Row, adopted: bool) -> Result<()> {
        let key = row.segment.key();
        let row = row.without(&self.omission);
        if !adopted && *row.segment.known_by() != *key {
            self.settle(&row)?;
        }
        self.reconcile_own_notes(&key, &row)?;
        let current = match self.known_row(&key)? {
            Some((mut earlier, _)) => {
                change::absorb(&mut earlier, row);
                earlier
            }
            None => row,
        };
        let open = SummaryKind::BOTH
            .into_iter()
            .filter(|kind| self.may_request(current.observation(*kind).status))
            .fold(0, |bits, kind| bits | open_bit(kind));
        let sql = "INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?)";
        let facts = params![key, row_to_json(current), adopted, open];
        self.database.execute(sql, facts).map(drop)
    }

    /// Marks this journal's observations that `row` holds already, and takes its metadata where another host has
    /// discovered the segment later.
    fn reconcile_own_notes(&self, key: &str, row: &Row) -> Result<()> {
        let sql = "SELECT seq, discovered_at FROM segment WHERE key = ?";
        let own: Option<(i64, i64)> = self.database.optional(sql, [key], |row| row.try_into())?;
        let Some((seq, discovered_at)) = own else {
            return Ok(());
        };
        for kind in SummaryKind::BOTH {
            let sql = "UPDATE observation SET committed = 1
                       WHERE summary = ? AND status = ? AND observed_by = ? AND fetched_at IS ?";
            let observation = row.observation(kind);
            let same = params![
                summary_number(seq, kind),
                observation.status.name(),
                observation.observed_by,
                observation.fetched_at
            ];
            self.database.execute(sql, same)?;
        }
        if discovered_at < row.discovered_at {
            self.replace_segment(seq, row)?;
        }
        Ok(())
    }

    /// Returns the current known row of a segment, and whether an adopted part of this revision holds it.
    pub(crate) fn known_row(&self, key: &str) -> Result<Option<(Row, bool)>> {
        let sql = "SELECT row, adopted FROM known WHERE key = ?";
        let found: Option<(String, bool)> =
            self.database.optional(sql, [key], |row| row.try_into())?;
        found
            .map(|(row, adopted)| Ok((self.row_from_json(&row)?, adopted)))
            .transpose()
    }

    /// Removes the known rows, which are about to be read again from the store.
    ///
    /// The marks of committed observations are removed as well: a part that was adopted may never be committed, and an
    /// observation that only that part held would otherwise be lost.
    pub(crate) fn clear_known_rows(&self) -> Result<()> {
        self.database.batch(
            "DELETE FROM known; DELETE FROM settled; UPDATE observation SET committed = 0 WHERE committed = 1;",
        )
    }

    /// Calls `each` with every known row and its key, in the order of the keys. `each` may write to other tables: no statement
    /// is open meanwhile, and only a batch of rows is in memory.
    pub(super) fn for_each_known_row(
        &self,
        mut each: impl FnMut(&str, &Row) -> Result<()>,
    ) -> Result<()> {
        let sql = "SELECT key, row FROM known WHERE key > ? ORDER BY key LIMIT ?";
        let mut after = String::new();
        loop {
            let batch: Vec<(String, String)> =
                self.database
                    .all(sql, params![after, BATCH], |row| row.try_into())?;
            for (key, row) in &batch {
                each(key, &self.row_from_json(row)?)?;
            }
            match batch.into_iter().next_back() {
                Some((last, _)) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// Returns the number of segments that only adopted parts hold: another host or another attempt discovered them.
    pub(crate) fn count_adopted_only(&self) -> Result<u64> {
        let sql =
            "SELECT count(*) FROM known WHERE adopted AND key NOT IN (SELECT key FROM segment)";
        self.database.count(sql, [])
    }

    /// Reads a row as [`row_to_json`] wrote it.
    pub(super) fn row_from_json(&self, text: &str) -> Result<Row> {
        let values: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
        let cells = values.into_iter().map(|value| match value {
            serde_json::Value::String(text) => Cell::Text(text),
            serde_json::Value::Bool(value) => Cell::Bool(value),
            serde_json::Value::Number(number) => number.as_i64().map_or(Cell::Null, Cell::Int),
            _ => Cell::Null,
        });
        // Without cells, an unreadable text is an incomplete row.
        Row::from_cells(cells).map_err(|_| self.database.corrupt("a known row"))
    }
}

/// Writes a row's cells as a JSON array; only the journal uses this form.
fn row_to_json(row: Row) -> String {
    let mut json = vec![b'['];
    for cell in row.into_cells() {
        if json.len() > 1 {
            json.push(b',');
        }
        cell.value().write_json(&mut json);
    }
    json.push(b']');
    String::from_utf8_lossy(&json).into_owned()
}
