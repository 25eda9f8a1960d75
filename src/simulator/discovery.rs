//! Discovery: which segments ended in a window, streamed while they are computed.
//!
//! A window is answered in passes, since a fault can make a segment appear where it does not belong:
//! displaced segments, then the window's own, then repeats of the window before, then repeats of this window.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::simulator::answer::{Answer, JSON};
use crate::simulator::login::authorized;
use crate::simulator::metadata::ObjectState;
use crate::simulator::request::has_content_type;
use crate::simulator::state::{ServerState, SimulatedCall};
use crate::simulator::time::{MINUTE_MS, SECOND_MS};
use crate::simulator::world::{
    MOVED_BY_MS, Placement, Position, Positions, REPEATED_AFTER_MS, SimulatedSegment,
    SimulatedSubAccount, World,
};

/// The documented maximum of `timeInterval`, in seconds.
const LONGEST_WINDOW_S: i64 = 10_800;
/// Data must be at least 5 minutes old (RingCX documentation).
const YOUNGEST_MS: i64 = 5 * MINUTE_MS;
/// Bytes of the answer that are computed at a time.
const PIECE: usize = 32 * 1024;

/// `POST .../accounts/{rcAccountId}/sub-accounts/{subAccountId}/interaction-metadata`
///
/// The quota counts for each sub-account, whatever credential is used, and before the body is checked: a request that
/// is answered 400 has used it.
///
/// # Errors
/// The refusal: 400, 401, 403, 415 or 429.
pub(super) fn discover(
    state: &Arc<ServerState>,
    call: &SimulatedCall,
    rc_account: &str,
    sub_account: &str,
) -> Result<Answer, Answer> {
    authorized(state, call)?;
    let world = &state.world;
    let index = world
        .sub_accounts
        .iter()
        .position(|sub| sub.id == sub_account && !sub.denied)
        .filter(|_| rc_account == state.options.rc_account_id)
        .ok_or_else(|| state.access_denied(call))?;
    state.admit(&state.discovery_quota, index as u64, call)?;
    if !has_content_type(&call.headers, JSON) {
        let (status, message) = (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body must be application/json",
        );
        return Err(state.error(status, "media.type", message, call));
    }
    let now_ms = state.time.now_ms();
    let (from_ms, to_ms) = window(&call.body)
        .and_then(|window| match window.1 > now_ms - YOUNGEST_MS {
            true => Err("The look-up window must end at least 5 minutes ago".into()),
            false => Ok(window),
        })
        .map_err(|message| state.error(StatusCode::BAD_REQUEST, "bad.request", &message, call))?;
    if world.faults.empty {
        return Ok(Answer::new(StatusCode::OK, JSON, "[]"));
    }
    let sub = world.sub_accounts[index].clone();
    let segments = ShownSegments::new(world.clone(), sub, from_ms, to_ms, now_ms);
    Ok(Answer::stream(JSON, JsonArray::new(segments)))
}

/// Returns the requested window as half-open UTC milliseconds, or the message of the 400.
fn window(body: &[u8]) -> Result<(i64, i64), String> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "The body is not JSON")?;
    let start = body["segmentEndTime"]
        .as_str()
        .ok_or("segmentEndTime is missing")?;
    let start = local_time(start).ok_or("segmentEndTime must be YYYY-MM-DD HH:mm:ss")?;
    let seconds = body["timeInterval"]
        .as_i64()
        .ok_or("timeInterval must be a whole number")?;
    if !(1..=LONGEST_WINDOW_S).contains(&seconds) {
        return Err(format!("timeInterval must be from 1 to {LONGEST_WINDOW_S}"));
    }
    let zone = body["timeZone"].as_str().ok_or("timeZone is missing")?;
    let zone = TimeZone::get(zone).map_err(|_| "timeZone is not known")?;
    // A local time that exists twice is the earlier instant; one that a clock change skips is an hour later.
    let start = zone
        .to_timestamp(start)
        .map_err(|_| "segmentEndTime is out of range")?;
    let start_ms = start.as_millisecond();
    Ok((start_ms, start_ms + seconds * SECOND_MS))
}

/// Parses `YYYY-MM-DD HH:mm:ss` and nothing else, although jiff's parser accepts more forms.
fn local_time(text: &str) -> Option<DateTime> {
    const FORM: &[u8; 19] = b"dddd-dd-dd dd:dd:dd";
    let matches = text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            separator => byte == *separator,
        });
    text.parse().ok().filter(|_| matches)
}

/// The segments that discovery shows for a window, in order, duplicates included.
///
/// Each pass is a range of positions that moves lazily, so a window of a million segments takes no memory.
pub(super) struct ShownSegments {
    world: Arc<World>,
    sub: SimulatedSubAccount,
    now_ms: i64,
    /// The last pass comes first.
    passes: Vec<(Pass, Positions)>,
}

/// Why a segment is shown in a window.
#[derive(Clone, Copy)]
enum Pass {
    /// It belongs to a window 7 h earlier, and is shown only here.
    Moved,
    /// It belongs here.
    Own,
    /// An earlier window has shown it already.
    Again,
    /// This window has shown it already.
    Twice,
}

impl ShownSegments {
    /// Prepares the window `from_ms..to_ms` as of `now_ms`, all in UTC milliseconds. A pass looks at the segments that
    /// ended as much earlier as its fault delays them.
    pub(super) fn new(
        world: Arc<World>,
        sub: SimulatedSubAccount,
        from_ms: i64,
        to_ms: i64,
        now_ms: i64,
    ) -> Self {
        let (duplicates, moved) = (
            world.faults.duplicates > 0.0,
            world.faults.out_of_window > 0.0,
        );
        // Without their faults the extra passes would cost as much as the real one and find nothing.
        let passes = [
            (duplicates, Pass::Twice, 0),
            (duplicates, Pass::Again, REPEATED_AFTER_MS),
            (true, Pass::Own, 0),
            (moved, Pass::Moved, MOVED_BY_MS),
        ]
        .into_iter()
        .filter(|(needed, ..)| *needed)
        .map(|(_, pass, earlier_ms)| {
            let positions = world.ending_in(&sub, from_ms - earlier_ms, to_ms - earlier_ms);
            (pass, positions)
        })
        .collect();
        ShownSegments {
            world,
            sub,
            now_ms,
            passes,
        }
    }

    /// Returns the segment at `position` if `pass` shows it.
    fn visit(&self, pass: Pass, position: Position) -> Option<(SimulatedSegment, ObjectState)> {
        let world = &self.world;
        let segment = world.segment(&self.sub, position);
        let repeated = match (pass, world.placement(&segment)) {
            (Pass::Moved, Placement::Moved) => false,
            (Pass::Own, Placement::Once | Placement::Twice { .. } | Placement::Again { .. }) => {
                false
            }
            (Pass::Again, Placement::Again { differs }) => differs,
            (Pass::Twice, Placement::Twice { differs }) => differs,
            _ => return None,
        };
        let edited = world.is_edited(&segment, self.now_ms);
        world
            .is_shown(&segment, self.now_ms)
            .then_some((segment, ObjectState { repeated, edited }))
    }
}

impl Iterator for ShownSegments {
    type Item = (SimulatedSegment, ObjectState);

    fn next(&mut self) -> Option<(SimulatedSegment, ObjectState)> {
        while let Some((pass, positions)) = self.passes.last_mut() {
            let (pass, next) = (*pass, positions.next());
            match next {
                None => drop(self.passes.pop()),
                Some(position) => {
                    if let Some(shown) = self.visit(pass, position) {
                        return Some(shown);
                    }
                }
            }
        }
        None
    }
}

/// A JSON array of the shown segments, in pieces of about [`PIECE`] bytes.
struct JsonArray {
    /// The elements that remain.
    segments: ShownSegments,
    /// Whether `[` has been written.
    began: bool,
    /// Whether `]` has been written.
    ended: bool,
}

impl JsonArray {
    fn new(segments: ShownSegments) -> Self {
        JsonArray {
            segments,
            began: false,
            ended: false,
        }
    }
}

impl Iterator for JsonArray {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut piece = Vec::with_capacity(PIECE + 2_048);
        while piece.len() < PIECE && !self.ended {
            match self.segments.next() {
                Some((segment, version)) => {
                    piece.push(if self.began { b',' } else { b'[' });
                    self.began = true;
                    let ShownSegments { world, sub, .. } = &self.segments;
                    world.write_object(&mut piece, sub, &segment, version);
                }
                None => {
                    piece.extend_from_slice(if self.began { b"]" } else { b"[]" });
                    self.ended = true;
                }
            }
        }
        Some(piece.into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::simulator::options::{Faults, SimulatorOptions};
    use crate::simulator::time::{DAY_MS, HOUR_MS};

    fn body(begin: &str, seconds: i64, zone: &str) -> Vec<u8> {
        serde_json::json!({ "segmentEndTime": begin, "timeInterval": seconds, "timeZone": zone })
            .to_string()
            .into()
    }

    #[test]
    fn a_window_begins_at_the_local_time_given() {
        let window = |begin, seconds, zone| window(&body(begin, seconds, zone));
        let utc = window("2026-11-20 00:00:00", 10_800, "UTC").unwrap();
        assert_eq!(utc, (1_795_132_800_000, 1_795_143_600_000));
        assert_eq!(
            window("2026-11-19 19:00:00", 10_800, "US/Eastern").unwrap(),
            utc
        );
        for (begin, seconds, zone) in [
            ("2026-11-20T00:00:00", 60, "UTC"),
            ("2026-11-20 00:00", 60, "UTC"),
            ("2026-13-20 00:00:00", 60, "UTC"),
            ("2026-11-20 00:00:00.5", 60, "UTC"),
            ("2026-11-20 00:00:00", 0, "UTC"),
            ("2026-11-20 00:00:00", 10_801, "UTC"),
            ("2026-11-20 00:00:00", 60, "Mars/Olympus"),
        ] {
            assert!(
                window(begin, seconds, zone).is_err(),
                "{begin} {seconds} {zone}"
            );
        }
    }

    fn shown(world: &Arc<World>, window_ms: i64) -> Vec<(SimulatedSegment, ObjectState)> {
        let (from, to) = (20_777 * DAY_MS, 20_778 * DAY_MS);
        let windows = (from..to).step_by(window_ms as usize);
        let sub = world.sub_accounts[0].clone();
        windows
            .flat_map(|at| {
                ShownSegments::new(
                    world.clone(),
                    sub.clone(),
                    at,
                    (at + window_ms).min(to),
                    to + DAY_MS,
                )
            })
            .collect()
    }

    fn world(faults: Faults) -> Arc<World> {
        Arc::new(World::new(&SimulatorOptions {
            faults,
            ..SimulatorOptions::default()
        }))
    }

    #[test]
    fn without_faults_each_segment_of_the_day_is_shown_once() {
        let shown = shown(&world(Faults::default()), 3 * HOUR_MS);
        let indexes: Vec<_> = shown
            .iter()
            .map(|(segment, _)| segment.position.index)
            .collect();
        assert_eq!(indexes, (0..400).collect::<Vec<_>>());
    }

    #[test]
    fn duplicates_come_in_the_same_and_in_later_windows_and_some_differ() {
        let shown = shown(
            &world(Faults {
                duplicates: 50.0,
                ..Faults::default()
            }),
            3 * HOUR_MS,
        );
        let mut versions: HashMap<(i64, u64), Vec<bool>> = HashMap::new();
        for (segment, version) in shown {
            versions
                .entry((segment.position.day, segment.position.index))
                .or_default()
                .push(version.repeated);
        }
        let yesterday = versions.keys().filter(|(day, _)| *day == 20_776).count();
        assert!(yesterday > 0, "a repeat crosses midnight");
        assert_eq!(versions.len() - yesterday, 400);
        let twice: Vec<_> = versions.values().filter(|seen| seen.len() == 2).collect();
        assert!(twice.len() > 100 && versions.values().all(|seen| seen.len() <= 2));
        assert!(twice.contains(&&vec![false, true]) && twice.contains(&&vec![false, false]));
    }

    #[test]
    fn displaced_segments_are_shown_in_a_window_that_is_not_theirs() {
        let shown = shown(
            &world(Faults {
                out_of_window: 100.0,
                ..Faults::default()
            }),
            3 * HOUR_MS,
        );
        assert!(
            shown
                .iter()
                .any(|(segment, _)| segment.end_ms < 20_777 * DAY_MS)
        );
        assert!(
            shown
                .iter()
                .all(|(segment, _)| segment.end_ms < 20_778 * DAY_MS - MOVED_BY_MS)
        );
    }

    #[test]
    fn an_answer_in_pieces_is_one_array() {
        let world = Arc::new(World::new(&SimulatorOptions {
            segments_per_day: 5_000,
            ..SimulatorOptions::default()
        }));
        let read = |from_ms: i64| {
            let sub = world.sub_accounts[0].clone();
            let pieces = JsonArray::new(ShownSegments::new(
                world.clone(),
                sub,
                from_ms,
                from_ms + 3 * HOUR_MS,
                from_ms * 2,
            ));
            let pieces: Vec<Bytes> = pieces.collect();
            assert!(pieces.iter().all(|piece| piece.len() < PIECE + 4_096));
            (
                pieces.len(),
                serde_json::from_slice::<Vec<Value>>(&pieces.concat())
                    .unwrap()
                    .len(),
            )
        };
        let (pieces, rows) = read(20_777 * DAY_MS + 15 * HOUR_MS);
        assert!(pieces > 10 && rows > 500, "{pieces} {rows}");
        assert_eq!(
            serde_json::from_slice::<Vec<Value>>(&empty())
                .unwrap()
                .len(),
            0
        );
    }

    fn empty() -> Vec<u8> {
        let world = Arc::new(World::new(&SimulatorOptions {
            segments_per_day: 0,
            ..SimulatorOptions::default()
        }));
        let sub = world.sub_accounts[0].clone();
        JsonArray::new(ShownSegments::new(world, sub, 0, HOUR_MS, DAY_MS))
            .collect::<Vec<_>>()
            .concat()
    }
}
