//! From the journal's notes to the rows of the next revision, in the order in which a part holds them.

use rusqlite::Row as SqlRow;

use crate::format::hash::digest::Digest;
use crate::format::row::Row;
use crate::format::row::change;
use crate::format::row::observation::{Observation, Status, SummaryKind};
use crate::format::row::recheck::Changes;
use crate::format::row::schema::Cell;
use crate::format::row::segment::Segment;
use crate::format::row::tally::{
    Failures, Groups, Tally, count_failure, count_group, uncount_group,
};
use crate::journal::database::Journal;
use crate::journal::{JournalError, Result};

/// What a revision's rows, and the day after them, add up to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RevisionTotals {
    /// Over the rows that the revision adds, adopted parts not included.
    pub rows: Tally,
    pub failures: Failures,
    /// Over the current row of each segment of the day.
    pub day: Tally,
    pub groups: Groups,
    /// What these rows change in what was committed before.
    pub changes: Changes,
}

impl Journal {
    /// Hands over each row that `revision` must hold beyond what is committed or adopted, sorted by segment end
    /// (none first), then key; and adds up. Memory does not grow with the day.
    pub fn changes<E>(
        &self,
        revision: u32,
        mut each: impl FnMut(Row) -> std::result::Result<(), E>,
    ) -> std::result::Result<RevisionTotals, E>
    where
        E: From<JournalError>,
    {
        // Made when it is needed: kept up with every window, it would cost more, while everybody waits.
        let order = "CREATE INDEX IF NOT EXISTS segment_order ON segment (end_ms, key)";
        self.connection.execute_batch(order).map_err(self.wrap())?;
        let mut totals = self.known_totals()?;
        let any_known = totals.day.segments > 0;
        let sql = "
            SELECT s.key, o.raw, s.others, s.end_ms, s.discovered_at, s.discovered_by,
                a.status, a.body, a.sha256, a.http_status, a.content_type, a.fetched_at, a.server_date, a.attempts,
                a.error, a.observed_by, a.committed,
                b.status, b.body, b.sha256, b.http_status, b.content_type, b.fetched_at, b.server_date, b.attempts,
                b.error, b.observed_by, b.committed, s.vanished
            FROM segment s JOIN object o ON o.id = s.object LEFT JOIN observation a ON a.summary = 2 * s.seq
            LEFT JOIN observation b ON b.summary = 2 * s.seq + 1 ORDER BY s.end_ms, s.key";
        let mut select = self.connection.prepare_cached(sql).map_err(self.wrap())?;
        let mut rows = select.query([]).map_err(self.wrap())?;
        while let Some(found) = rows.next().map_err(self.wrap())? {
            let mut seen = self.seen_row(found).map_err(self.wrap())?;
            let key: String = found.get(0).map_err(self.wrap())?;
            let known = if any_known {
                self.known_row(&key)?
            } else {
                None
            };
            if let Some((known, adopted)) = &known {
                if *adopted {
                    // It stands in an adopted part, which is never altered: what we know beyond it comes next.
                    continue;
                }
                for (kind, committed) in [(SummaryKind::Agent, 16), (SummaryKind::Auto, 27)] {
                    // Committed already; or nobody looked, since an adopted part held it, or a committed row does.
                    if found
                        .get::<_, Option<bool>>(committed)
                        .map_err(self.wrap())?
                        .unwrap_or(true)
                    {
                        *seen.observation_mut(kind) = known.observation(kind).clone();
                    }
                }
            }
            let known = known.map(|(row, _)| row);
            if any_known && known.is_none() && self.is_settled(&seen)? {
                continue;
            }
            if let Some(row) = change::change(known.as_ref(), seen, revision) {
                totals.count(known, &row);
                each(row)?;
            }
        }
        Ok(totals)
    }

    /// Segments that only adopted parts have: discovery gave them to another host, or another attempt.
    pub fn count_adopted_only(&self) -> Result<u64> {
        let sql =
            "SELECT count(*) FROM known WHERE adopted AND key NOT IN (SELECT key FROM segment)";
        self.connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map(|count| count as u64)
            .map_err(self.wrap())
    }

    fn known_totals(&self) -> Result<RevisionTotals> {
        let mut totals = RevisionTotals::default();
        let mut select = self
            .connection
            .prepare_cached("SELECT row FROM known")
            .map_err(self.wrap())?;
        let mut rows = select.query([]).map_err(self.wrap())?;
        while let Some(found) = rows.next().map_err(self.wrap())? {
            let text: String = found.get(0).map_err(self.wrap())?;
            let row = self.row_from_json(&text)?;
            totals.day.add(&row);
            count_group(&mut totals.groups, &row);
        }
        Ok(totals)
    }

    fn seen_row(&self, found: &SqlRow) -> rusqlite::Result<Row> {
        let end: Option<i64> = found.get(3)?;
        let window = self.identity().window;
        Ok(Row {
            segment: Segment::read(found.get(1)?),
            other_answers: found.get(2)?,
            out_of_day: !end.is_some_and(|end| window.contains(end)),
            agent: observation(found, 6)?,
            auto: observation(found, 17)?,
            revision: 0,
            discovered_at: found.get(4)?,
            discovered_by: found.get(5)?,
            vanished: found.get(28)?,
        })
    }

    pub(super) fn row_from_json(&self, text: &str) -> Result<Row> {
        let corrupt = || {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            let source =
                rusqlite::Error::SqliteFailure(code, Some("a known row is unreadable".to_owned()));
            JournalError::Database {
                path: self.path.clone(),
                source,
            }
        };
        let values: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|_| corrupt())?;
        let cells = values.into_iter().map(|value| match value {
            serde_json::Value::String(text) => Cell::Text(text),
            serde_json::Value::Bool(value) => Cell::Bool(value),
            serde_json::Value::Number(number) => number.as_i64().map_or(Cell::Null, Cell::Int),
            _ => Cell::Null,
        });
        Row::from_cells(cells).map_err(|_| corrupt())
    }
}

impl RevisionTotals {
    fn count(&mut self, known: Option<Row>, row: &Row) {
        self.rows.add(row);
        self.changes.count(known.as_ref(), row);
        for kind in SummaryKind::BOTH {
            count_failure(&mut self.failures, row.observation(kind));
        }
        let now = known.map(|mut earlier| {
            self.day.remove(&earlier);
            uncount_group(&mut self.groups, &earlier);
            change::absorb(&mut earlier, row.clone());
            earlier
        });
        let now = now.as_ref().unwrap_or(row);
        self.day.add(now);
        count_group(&mut self.groups, now);
    }
}

/// A row's cells as a JSON array, for the journal only.
pub(super) fn row_to_json(row: Row) -> String {
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

/// Reads the eleven columns of one observation, beginning at `first`.
fn observation(row: &SqlRow, first: usize) -> rusqlite::Result<Observation> {
    let Some(status) = row.get::<_, Option<String>>(first)? else {
        // A summary that nobody asked for is a gap, never silently something else.
        let error = Some("not_asked".to_owned());
        return Ok(Observation {
            error,
            ..Observation::bare(Status::Failed, "")
        });
    };
    let status: Status = status.parse().unwrap_or(Status::Failed);
    let body: Option<Vec<u8>> = row.get(first + 1)?;
    let text = body.map(text_of);
    let (summary, binary) = if status == Status::Binary {
        (None, text)
    } else {
        (text, None)
    };
    Ok(Observation {
        status,
        summary,
        binary,
        sha256: row.get::<_, Option<[u8; 32]>>(first + 2)?.map(Digest),
        http_status: row.get(first + 3)?,
        content_type: row.get(first + 4)?,
        fetched_at: row.get(first + 5)?,
        server_date: row.get(first + 6)?,
        attempts: row.get(first + 7)?,
        error: row.get(first + 8)?,
        observed_by: row.get(first + 9)?,
    })
}

/// The journal holds what was text when it was noted; where it is not any more, the part's check says so.
fn text_of(body: Vec<u8>) -> String {
    String::from_utf8(body)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
