//! Observations: which summaries are still to be requested, and what the requests returned.

use rusqlite::{Row as SqlRow, params};

use crate::format::hash::Digest;
use crate::format::row::{Observation, Row, Segment, Status, SummaryKind};
use crate::journal::Result;
use crate::journal::day_journal::{Journal, summary_number};
use crate::journal::known::open_bit;

/// A segment with summaries that are still to be requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingSegment {
    /// The segment's number in this journal.
    pub seq: i64,
    /// The id to request; `None` when discovery returned none.
    pub segment_id: Option<String>,
    pub channel_class: Option<String>,
    pub segment_type: Option<String>,
    /// The kinds of summaries without an answer.
    pub missing: Vec<SummaryKind>,
}

impl Journal {
    /// Returns the segments after number `after` that have a summary without an answer, in order of discovery.
    ///
    /// Failed and skipped summaries of an earlier run have no answer: both can have another result now.
    pub(crate) fn pending(&self, after: i64, limit: u32) -> Result<Vec<PendingSegment>> {
        let sql = "
            SELECT s.seq, s.key, a.status, b.status, o.has_id, o.channel_class, o.segment_type, k.open
            FROM segment s JOIN object o ON o.id = s.object LEFT JOIN known k ON k.key = s.key
            LEFT JOIN observation a ON a.summary = 2 * s.seq LEFT JOIN observation b ON b.summary = 2 * s.seq + 1
            WHERE s.seq > ? AND (a.status IS NULL OR a.status IN ('FAILED', 'SKIPPED')
                              OR b.status IS NULL OR b.status IN ('FAILED', 'SKIPPED'))
              -- Committed summaries are not requested again unless they are open. Nor are those of an adopted part:
              -- what is wanted beyond that part belongs to the next revision.
              AND (k.key IS NULL OR (NOT k.adopted AND k.open <> 0))
              -- The answer for a segment that discovery has just not returned would be 404.
              AND (NOT s.vanished OR NOT EXISTS (SELECT 1 FROM meta WHERE name = 'recheck'))
            ORDER BY s.seq LIMIT ?";
        self.database.all(sql, params![after, limit], |row| {
            let open: Option<u8> = row.get(7)?;
            let mut missing = Vec::with_capacity(2);
            for (kind, column) in [(SummaryKind::Agent, 2), (SummaryKind::Auto, 3)] {
                let status: Option<String> = row.get(column)?;
                let unanswered = matches!(status.as_deref(), None | Some("FAILED" | "SKIPPED"));
                if unanswered && open.is_none_or(|open| open & open_bit(kind) != 0) {
                    missing.push(kind);
                }
            }
            Ok(PendingSegment {
                seq: row.get(0)?,
                segment_id: row.get::<_, bool>(4)?.then(|| row.get(1)).transpose()?,
                channel_class: row.get(5)?,
                segment_type: row.get(6)?,
                missing,
            })
        })
    }

    /// Stores an observation; it replaces an earlier one of the same summary.
    pub(crate) fn record_observation(
        &self,
        seq: i64,
        kind: SummaryKind,
        observation: &Observation,
    ) -> Result<()> {
        // Not INSERT OR REPLACE: SQLite then copies every page before it writes it, to be able to undo the statement.
        if !self.insert_observation(seq, kind, observation)? {
            let delete = "DELETE FROM observation WHERE summary = ?";
            self.database.execute(delete, [summary_number(seq, kind)])?;
            self.insert_observation(seq, kind, observation)?;
        }
        Ok(())
    }

    /// Returns false where the summary already has an observation.
    fn insert_observation(
        &self,
        seq: i64,
        kind: SummaryKind,
        observation: &Observation,
    ) -> Result<bool> {
        let sql = "INSERT INTO observation VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING";
        let body = observation.summary.as_deref();
        let facts = params![
            summary_number(seq, kind),
            observation.status.name(),
            body.or(observation.binary.as_deref()).map(str::as_bytes),
            observation
                .sha256
                .as_ref()
                .map(|digest| digest.0.as_slice()),
            observation.http_status,
            observation.content_type,
            observation.fetched_at,
            observation.server_date,
            observation.attempts,
            observation.error,
            observation.observed_by
        ];
        Ok(self.database.execute(sql, facts)? == 1)
    }

    /// Makes every known segment that lacks a wanted summary pending, with the answers that it has. Returns their
    /// number.
    pub(crate) fn reopen_gaps(&mut self, wanted: impl Fn(&Segment) -> bool) -> Result<u64> {
        let mut count = 0;
        self.for_each_known_row(|_, row| {
            let has_gap =
                SummaryKind::BOTH
                    .into_iter()
                    .any(|kind| match row.observation(kind).status {
                        Status::Failed => true,
                        Status::Skipped => wanted(&row.segment),
                        _ => false,
                    });
            if has_gap {
                self.insert_known_segment(row)?;
                count += 1;
            }
            Ok(())
        })?;
        Ok(count)
    }

    /// Inserts the segment of a known row into this journal, with the answers that it has.
    fn insert_known_segment(&self, row: &Row) -> Result<()> {
        let seq = self.insert_segment(row, row.vanished)?;
        for kind in SummaryKind::BOTH {
            let sql = "SELECT status FROM observation WHERE summary = ?";
            let status: Option<String> =
                self.database
                    .optional(sql, [summary_number(seq, kind)], |row| row.get(0))?;
            let answered = status
                .and_then(|status| status.parse().ok())
                .is_some_and(Status::is_answer);
            if !answered {
                self.record_observation(seq, kind, row.observation(kind))?;
            }
        }
        Ok(())
    }
}

/// Reads the eleven columns of an observation from column `first` on. A summary without an observation is a gap with
/// the error `not_asked`.
pub(super) fn read_observation(row: &SqlRow, first: usize) -> rusqlite::Result<Observation> {
    let Some(status) = row.get::<_, Option<String>>(first)? else {
        return Ok(Observation {
            error: Some("not_asked".to_owned()),
            ..Observation::bare(Status::Failed, "")
        });
    };
    let status: Status = status.parse().unwrap_or(Status::Failed);
    let body: Option<Vec<u8>> = row.get(first + 1)?;
    // The body was text when it was stored. Where it is not any more, the check of the encoded part fails.
    let text = body.map(|body| match String::from_utf8(body) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    });
    let (summary, binary) = match status {
        Status::Binary => (None, text),
        _ => (text, None),
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
