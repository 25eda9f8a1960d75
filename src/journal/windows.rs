//! Discovery in the journal: objects as they stream in, and how a complete answer makes segments of them.

use rusqlite::{Connection, OptionalExtension, params};

use crate::format::row::Row;
use crate::format::row::segment::{Segment, canonical_json};
use crate::format::time::day::Window;
use crate::journal::Result;
use crate::journal::database::{AnsweredWindow, Journal, MergeCounts};

/// One object of a window's answer, with what the journal must know of it without reading it again.
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
    /// Reads an object's text. Not the journal's thread's work: everybody waits for that one.
    pub fn read(raw: &str) -> DiscoveredSegment {
        DiscoveredSegment::of(&Segment::borrow(raw))
    }

    fn of<T: AsRef<str>>(segment: &Segment<T>) -> DiscoveredSegment {
        let Segment { raw, metadata } = segment;
        let own = |text: &Option<T>| text.as_ref().map(|text| text.as_ref().to_owned());
        DiscoveredSegment {
            key: segment.key(),
            end_ms: metadata.segment_end_time,
            has_id: metadata.segment_id.is_some(),
            channel_class: own(&metadata.channel_class),
            segment_type: own(&metadata.segment_type),
            raw: raw.as_ref().to_owned(),
        }
    }
}

const INSERT_OBJECT: &str = "INSERT INTO object (window_ms, key, end_ms, has_id, channel_class, segment_type, raw) VALUES (?, ?, ?, ?, ?, ?, ?)";

/// Keeps an object's text; returns its number.
fn insert_object(
    connection: &Connection,
    window_ms: Option<i64>,
    found: &DiscoveredSegment,
) -> rusqlite::Result<i64> {
    let DiscoveredSegment {
        key,
        end_ms,
        has_id,
        channel_class,
        segment_type,
        raw,
    } = found;
    let facts = params![
        window_ms,
        key,
        end_ms,
        has_id,
        channel_class,
        segment_type,
        raw
    ];
    connection.prepare_cached(INSERT_OBJECT)?.insert(facts)
}

impl Journal {
    /// Forgets what a window gave so far: its answer begins anew.
    pub fn discard_window(&self, window: Window) -> Result<()> {
        let sql = "DELETE FROM object WHERE window_ms = ?";
        self.connection
            .execute(sql, [window.start_ms])
            .map(drop)
            .map_err(self.wrap())
    }

    /// Notes objects of a window whose answer is still coming in; worth nothing until it is complete.
    pub fn stage_objects(&self, window: Window, objects: &[DiscoveredSegment]) -> Result<()> {
        for found in objects {
            insert_object(&self.connection, Some(window.start_ms), found).map_err(self.wrap())?;
        }
        Ok(())
    }

    /// Makes a window's objects segments of the day, all of them or none: its answer is complete.
    pub fn finish_window(&mut self, answer: &AnsweredWindow, run_id: &str) -> Result<MergeCounts> {
        let wrap = self.wrap();
        let savepoint = self.connection.savepoint().map_err(&wrap)?;
        let discovered_at = answer.server_date.unwrap_or(answer.answered_at);
        let merged = merge(&savepoint, answer.window, discovered_at, run_id).map_err(&wrap)?;
        let sql = "INSERT INTO window VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let AnsweredWindow {
            window,
            rows,
            bytes,
            sha256,
            server_date,
            answered_at,
            attempts,
            ..
        } = answer;
        let facts = params![
            window.start_ms,
            window.end_ms,
            *rows as i64,
            *bytes as i64,
            sha256.hex(),
            server_date,
            answered_at,
            attempts,
            merged.duplicates as i64
        ];
        savepoint.execute(sql, facts).map_err(&wrap)?;
        savepoint.commit().map_err(&wrap)?;
        Ok(merged)
    }

    /// Takes a segment's metadata from `row`, another host's later answer.
    pub(super) fn replace_segment(&self, seq: i64, row: &Row) -> rusqlite::Result<()> {
        let sql =
            "UPDATE segment SET end_ms = ?, object = ?, others = ?, discovered_at = ?, discovered_by = ?, vanished = ?
                   WHERE seq = ?";
        let found = DiscoveredSegment::of(&row.segment);
        let object = insert_object(&self.connection, None, &found)?;
        let Row {
            other_answers,
            discovered_at,
            discovered_by,
            vanished,
            ..
        } = row;
        let facts = params![
            found.end_ms,
            object,
            other_answers,
            discovered_at,
            discovered_by,
            vanished,
            seq
        ];
        self.connection
            .prepare_cached(sql)?
            .execute(facts)
            .map(drop)
    }

    /// Enters a row's segment, if it is not there; returns its number.
    pub(super) fn insert_segment(&self, row: &Row, vanished: bool) -> rusqlite::Result<i64> {
        let found = DiscoveredSegment::of(&row.segment);
        let find = "SELECT seq FROM segment WHERE key = ?";
        let known = self
            .connection
            .prepare_cached(find)?
            .query_row([&found.key], |row| row.get(0))
            .optional()?;
        if let Some(seq) = known {
            return Ok(seq);
        }
        let object = insert_object(&self.connection, None, &found)?;
        let sql = "INSERT INTO segment (key, end_ms, object, others, discovered_at, discovered_by, vanished)
                   VALUES (?, ?, ?, ?, ?, ?, ?)";
        let Row {
            other_answers,
            discovered_at,
            discovered_by,
            ..
        } = row;
        let facts = params![
            found.key,
            found.end_ms,
            object,
            other_answers,
            discovered_at,
            discovered_by,
            vanished
        ];
        self.connection.prepare_cached(sql)?.insert(facts)
    }
}

/// Joins a window's objects to the segments, in the order in which they came.
fn merge(
    connection: &Connection,
    window: Window,
    discovered_at: i64,
    run_id: &str,
) -> rusqlite::Result<MergeCounts> {
    // Everybody waits meanwhile, so it is one statement; texts stay where they are.
    let mut insert = connection.prepare_cached(
        "INSERT INTO segment (key, end_ms, object, discovered_at, discovered_by)
         SELECT key, end_ms, id, ?2, ?3 FROM object WHERE window_ms = ?1 ORDER BY id ON CONFLICT (key) DO NOTHING",
    )?;
    let new = insert.execute(params![window.start_ms, discovered_at, run_id])? as u64;
    let mut staged =
        connection.prepare_cached("SELECT count(*) FROM object WHERE window_ms = ?")?;
    if new == staged.query_row([window.start_ms], |row| row.get::<_, i64>(0))? as u64 {
        return Ok(MergeCounts { new, duplicates: 0 });
    }
    let mut repeated = connection.prepare_cached(
        "SELECT o.id, o.key, o.end_ms FROM object o JOIN segment s ON s.key = o.key
         WHERE o.window_ms = ? AND s.object <> o.id ORDER BY o.id",
    )?;
    let found = repeated.query_map([window.start_ms], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let found: Vec<(i64, String, Option<i64>)> = found.collect::<Result<_, _>>()?;
    for (object, key, end) in &found {
        merge_duplicate(connection, key, *object, *end, (discovered_at, run_id))?;
    }
    Ok(MergeCounts {
        new,
        duplicates: found.len() as u64,
    })
}

/// Of differing answers the later one is the row; the other stays beside it, verbatim.
fn merge_duplicate(
    connection: &Connection,
    key: &str,
    object: i64,
    end: Option<i64>,
    (discovered_at, run_id): (i64, &str),
) -> rusqlite::Result<()> {
    let mut find = connection.prepare_cached(
        "SELECT s.seq, s.others, before.raw, now.raw FROM segment s JOIN object before ON before.id = s.object
         JOIN object now ON now.id = ?2 WHERE s.key = ?1",
    )?;
    let (seq, others, before, now): (i64, Option<String>, String, String) = find
        .query_row(params![key, object], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    if canonical_json(&before) == canonical_json(&now) {
        return Ok(());
    }
    let others = with_other(others, &before);
    let mut replace = connection.prepare_cached(
        "UPDATE segment SET end_ms = ?, object = ?, others = ?, discovered_at = ?, discovered_by = ? WHERE seq = ?",
    )?;
    replace
        .execute(params![end, object, others, discovered_at, run_id, seq])
        .map(drop)
}

fn with_other(others: Option<String>, another: &str) -> String {
    match others {
        Some(others) => format!("{},{another}]", others.strip_suffix(']').unwrap_or(&others)),
        None => format!("[{another}]"),
    }
}
