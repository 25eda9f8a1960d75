//! Discovery in the journal: objects as they arrive, and how a complete answer turns them into segments.

use rusqlite::{Row as SqlRow, params};

use crate::format::hash::Digest;
use crate::format::row::segment::canonical_json;
use crate::format::row::{Row, Segment};
use crate::format::time::Window;
use crate::journal::Result;
use crate::journal::database::Database;
use crate::journal::day_journal::Journal;

/// A window with a complete answer. Times are UTC milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnsweredWindow {
    pub window: Window,
    /// Objects in the answer, including duplicates.
    pub rows: u64,
    /// Length of the body after content decoding.
    pub bytes: u64,
    /// SHA-256 of that body.
    pub sha256: Digest,
    /// The answer's `Date`.
    pub server_date: Option<i64>,
    /// When the last byte arrived, by this host's clock.
    pub answered_at: i64,
    /// Requests sent for it.
    pub attempts: u32,
    /// Objects whose segment was known already.
    pub duplicates: u64,
}

/// How a window's objects joined the segments known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MergeCounts {
    /// New segments.
    pub new: u64,
    /// Objects of segments that were known already.
    pub duplicates: u64,
}

/// An object of a window's answer, with what the journal needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveredSegment {
    key: String,
    end_ms: Option<i64>,
    has_id: bool,
    channel_class: Option<String>,
    segment_type: Option<String>,
    raw: String,
}

impl DiscoveredSegment {
    /// Reads an object's text. The caller does this before it hands the objects to the journal's thread, for which all
    /// workers wait.
    pub fn read(raw: &str) -> DiscoveredSegment {
        DiscoveredSegment::from_segment(&Segment::borrow(raw))
    }

    fn from_segment<T: AsRef<str>>(segment: &Segment<T>) -> DiscoveredSegment {
        let Segment { raw, metadata } = segment;
        DiscoveredSegment {
            key: segment.key(),
            end_ms: metadata.segment_end_time,
            has_id: metadata.segment_id.is_some(),
            channel_class: to_owned(&metadata.channel_class),
            segment_type: to_owned(&metadata.segment_type),
            raw: raw.as_ref().to_owned(),
        }
    }
}

fn to_owned<T: AsRef<str>>(text: &Option<T>) -> Option<String> {
    text.as_ref().map(|text| text.as_ref().to_owned())
}

impl Journal {
    /// Returns the windows with a complete answer, in order.
    pub(crate) fn windows(&self) -> Result<Vec<AnsweredWindow>> {
        let sql = "SELECT * FROM window ORDER BY start_ms";
        self.database.all(sql, [], |row| {
            Ok(AnsweredWindow {
                window: Window {
                    start_ms: row.get(0)?,
                    end_ms: row.get(1)?,
                },
                rows: row.get::<_, i64>(2)? as u64,
                bytes: row.get::<_, i64>(3)? as u64,
                sha256: digest(row, 4)?,
                server_date: row.get(5)?,
                answered_at: row.get(6)?,
                attempts: row.get(7)?,
                duplicates: row.get::<_, i64>(8)? as u64,
            })
        })
    }

    /// Discards the objects of a window whose answer starts again.
    pub(crate) fn discard_window(&self, window: Window) -> Result<()> {
        let sql = "DELETE FROM object WHERE window_ms = ?";
        self.database.execute(sql, [window.start_ms]).map(drop)
    }

    /// Stores objects of a window whose answer is still arriving. They have no effect until it is complete.
    pub fn stage_objects(&self, window: Window, objects: &[DiscoveredSegment]) -> Result<()> {
        objects.iter().try_for_each(|object| {
            insert_object(&self.database, Some(window.start_ms), object).map(drop)
        })
    }

    /// Turns the objects of a window with a complete answer into segments of the day: all of them or none.
    pub(crate) fn finish_window(
        &mut self,
        answer: &AnsweredWindow,
        run_id: &str,
    ) -> Result<MergeCounts> {
        self.database.in_savepoint(|| {
            let discovery = DiscoveryStamp {
                discovered_at: answer.server_date.unwrap_or(answer.answered_at),
                run_id,
            };
            let merged = merge(&self.database, answer.window, discovery)?;
            let sql = "INSERT INTO window VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
            let facts = params![
                answer.window.start_ms,
                answer.window.end_ms,
                answer.rows as i64,
                answer.bytes as i64,
                answer.sha256.hex(),
                answer.server_date,
                answer.answered_at,
                answer.attempts,
                merged.duplicates as i64
            ];
            self.database.execute(sql, facts)?;
            Ok(merged)
        })
    }

    /// Replaces a segment's metadata by that of `row`, which another host discovered later.
    pub(super) fn replace_segment(&self, seq: i64, row: &Row) -> Result<()> {
        let sql =
            "UPDATE segment SET end_ms = ?, object = ?, others = ?, discovered_at = ?, discovered_by = ?, vanished = ?
                   WHERE seq = ?";
        let found = DiscoveredSegment::from_segment(&row.segment);
        let object = insert_object(&self.database, None, &found)?;
        let facts = params![
            found.end_ms,
            object,
            row.other_answers,
            row.discovered_at,
            row.discovered_by,
            row.vanished,
            seq
        ];
        self.database.execute(sql, facts).map(drop)
    }

    /// Inserts a row's segment unless it exists; returns its number.
    pub(super) fn insert_segment(&self, row: &Row, vanished: bool) -> Result<i64> {
        let found = DiscoveredSegment::from_segment(&row.segment);
        let sql = "SELECT seq FROM segment WHERE key = ?";
        let existing = self
            .database
            .optional(sql, [&found.key], |row| row.get(0))?;
        if let Some(seq) = existing {
            return Ok(seq);
        }
        let object = insert_object(&self.database, None, &found)?;
        let sql = "INSERT INTO segment (key, end_ms, object, others, discovered_at, discovered_by, vanished)
                   VALUES (?, ?, ?, ?, ?, ?, ?)";
        let facts = params![
            found.key,
            found.end_ms,
            object,
            row.other_answers,
            row.discovered_at,
            row.discovered_by,
            vanished
        ];
        self.database.insert(sql, facts)
    }
}

/// Inserts an object; returns its number. It belongs to no window where a known row holds it.
fn insert_object(
    database: &Database,
    window_ms: Option<i64>,
    object: &DiscoveredSegment,
) -> Result<i64> {
    let sql = "INSERT INTO object (window_ms, key, end_ms, has_id, channel_class, segment_type, raw) \
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let facts = params![
        window_ms,
        object.key,
        object.end_ms,
        object.has_id,
        object.channel_class,
        object.segment_type,
        object.raw
    ];
    database.insert(sql, facts)
}

/// When, and by which run, a window was discovered.
#[derive(Clone, Copy)]
struct DiscoveryStamp<'a> {
    discovered_at: i64,
    run_id: &'a str,
}

/// Joins a window's objects to the segments, in order of arrival.
fn merge(
    database: &Database,
    window: Window,
    discovery: DiscoveryStamp<'_>,
) -> Result<MergeCounts> {
    // One statement, since all workers wait meanwhile. Texts stay in the table `object`.
    let sql = "INSERT INTO segment (key, end_ms, object, discovered_at, discovered_by)
         SELECT key, end_ms, id, ?2, ?3 FROM object WHERE window_ms = ?1 ORDER BY id ON CONFLICT (key) DO NOTHING";
    let facts = params![window.start_ms, discovery.discovered_at, discovery.run_id];
    let new = database.execute(sql, facts)? as u64;
    let sql = "SELECT count(*) FROM object WHERE window_ms = ?";
    if new == database.count(sql, [window.start_ms])? {
        return Ok(MergeCounts { new, duplicates: 0 });
    }
    let sql = "SELECT o.id FROM object o JOIN segment s ON s.key = o.key
         WHERE o.window_ms = ? AND s.object <> o.id ORDER BY o.id";
    let repeated: Vec<i64> = database.all(sql, [window.start_ms], |row| row.get(0))?;
    for object in &repeated {
        merge_duplicate(database, *object, discovery)?;
    }
    Ok(MergeCounts {
        new,
        duplicates: repeated.len() as u64,
    })
}

/// Joins a repeated object to its segment. Of answers that differ, the later becomes the row, and the earlier is
/// retained beside it, verbatim.
fn merge_duplicate(database: &Database, object: i64, discovery: DiscoveryStamp<'_>) -> Result<()> {
    let sql = "SELECT s.seq, s.others, before.raw, now.raw, now.end_ms
         FROM object now JOIN segment s ON s.key = now.key JOIN object before ON before.id = s.object WHERE now.id = ?";
    let (seq, others, before, now, end_ms): (i64, Option<String>, String, String, Option<i64>) =
        database.one(sql, [object], |row| row.try_into())?;
    if canonical_json(&before) == canonical_json(&now) {
        return Ok(());
    }
    let others = match others {
        Some(others) => format!("{},{before}]", others.strip_suffix(']').unwrap_or(&others)),
        None => format!("[{before}]"),
    };
    let sql = "UPDATE segment SET end_ms = ?, object = ?, others = ?, discovered_at = ?, discovered_by = ? WHERE seq = ?";
    let facts = params![
        end_ms,
        object,
        others,
        discovery.discovered_at,
        discovery.run_id,
        seq
    ];
    database.execute(sql, facts).map(drop)
}

fn digest(row: &SqlRow, column: usize) -> rusqlite::Result<Digest> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}
