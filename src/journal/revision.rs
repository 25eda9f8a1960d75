//! The rows of the next revision, in the order in which a part holds them.

use rusqlite::Row as SqlRow;

use crate::format::row::tally::{count_failure, count_group, uncount_group};
use crate::format::row::{Changes, Failures, Groups, Row, Segment, SummaryKind, Tally, change};
use crate::journal::day_journal::Journal;
use crate::journal::observations::read_observation;
use crate::journal::{JournalError, Result};

/// The totals of a revision's rows, and of the day after them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RevisionTotals {
    /// Over the rows that the revision adds, without adopted parts.
    pub rows: Tally,
    /// The failures among those rows.
    pub failures: Failures,
    /// Over the current row of each segment of the day.
    pub day: Tally,
    /// The day's segments by agent group.
    pub groups: Groups,
    /// What the rows change in what was committed before.
    pub changes: Changes,
}

/// One row for each segment. The columns of an observation are those that [`read_observation`] expects, then whether
/// it is committed.
const SEGMENTS: &str = "
    SELECT s.key, o.raw, s.others, s.end_ms, s.discovered_at, s.discovered_by,
        a.status, a.body, a.sha256, a.http_status, a.content_type, a.fetched_at, a.server_date, a.attempts,
        a.error, a.observed_by, a.committed,
        b.status, b.body, b.sha256, b.http_status, b.content_type, b.fetched_at, b.server_date, b.attempts,
        b.error, b.observed_by, b.committed, s.vanished
    FROM segment s JOIN object o ON o.id = s.object LEFT JOIN observation a ON a.summary = 2 * s.seq
    LEFT JOIN observation b ON b.summary = 2 * s.seq + 1 ORDER BY s.end_ms, s.key";
/// The columns `a.committed` and `b.committed` of [`SEGMENTS`].
const COMMITTED: [(SummaryKind, usize); 2] = [(SummaryKind::Agent, 16), (SummaryKind::Auto, 27)];

impl Journal {
    /// Passes to `each` every row that `revision` must hold beyond what is committed or adopted, sorted by segment end
    /// (no end first), then key. Returns the totals. Memory does not grow with the day.
    ///
    /// # Errors
    /// [`JournalError::Database`], and the errors of `each`.
    pub(crate) fn changes<E: From<JournalError>>(
        &self,
        revision: u32,
        mut each: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<RevisionTotals, E> {
        // Created only now: maintaining it with every window would cost more, while the fetchers wait.
        let order = "CREATE INDEX IF NOT EXISTS segment_order ON segment (end_ms, key)";
        self.database.batch(order)?;
        let mut totals = self.known_totals()?;
        let any_known = totals.day.segments > 0;
        self.database.for_each(SEGMENTS, |found| {
            let mut row = self.database.check(self.read_row(found))?;
            let key: String = self.database.check(found.get(0))?;
            let known = if any_known {
                self.known_row(&key)?
            } else {
                None
            };
            if let Some((known, adopted)) = &known {
                if *adopted {
                    // An adopted part is never altered: what is known beyond it belongs to the next revision.
                    return Ok(());
                }
                for (kind, column) in COMMITTED {
                    // Committed already; or not requested, because an adopted part or a committed row held it.
                    let committed: Option<bool> = self.database.check(found.get(column))?;
                    if committed.unwrap_or(true) {
                        *row.observation_mut(kind) = known.observation(kind).clone();
                    }
                }
            }
            let known = known.map(|(row, _)| row);
            if any_known && known.is_none() && self.is_settled(&row)? {
                return Ok(());
            }
            match change::change(known.as_ref(), row, revision) {
                Some(row) => {
                    totals.count(known, &row);
                    each(row)
                }
                None => Ok(()),
            }
        })?;
        Ok(totals)
    }

    /// Returns the totals of the day as it is known before the revision.
    fn known_totals(&self) -> Result<RevisionTotals> {
        let mut totals = RevisionTotals::default();
        self.database.for_each("SELECT row FROM known", |found| {
            let text: String = self.database.check(found.get(0))?;
            let row = self.row_from_json(&text)?;
            totals.day.add(&row);
            count_group(&mut totals.groups, &row);
            Ok::<_, JournalError>(())
        })?;
        Ok(totals)
    }

    fn read_row(&self, found: &SqlRow) -> rusqlite::Result<Row> {
        let end: Option<i64> = found.get(3)?;
        let window = self.identity().window;
        Ok(Row {
            segment: Segment::read(found.get(1)?),
            other_answers: found.get(2)?,
            out_of_day: !end.is_some_and(|end| window.contains(end)),
            agent: read_observation(found, 6)?,
            auto: read_observation(found, 17)?,
            revision: 0,
            discovered_at: found.get(4)?,
            discovered_by: found.get(5)?,
            vanished: found.get(28)?,
        })
    }
}

impl RevisionTotals {
    /// Counts a new row of a segment whose row was `known` before.
    fn count(&mut self, known: Option<Row>, row: &Row) {
        self.rows.add(row);
        self.changes.count(known.as_ref(), row);
        for kind in SummaryKind::BOTH {
            count_failure(&mut self.failures, row.observation(kind));
        }
        let current = known.map(|mut earlier| {
            self.day.remove(&earlier);
            uncount_group(&mut self.groups, &earlier);
            change::absorb(&mut earlier, row.clone());
            earlier
        });
        let current = current.as_ref().unwrap_or(row);
        self.day.add(current);
        count_group(&mut self.groups, current);
    }
}
