//! Discovery: which segments ended in a window, streamed.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::simulator::answer::{Answer, JSON};
use crate::simulator::login::authorized;
use crate::simulator::metadata::ApiVersion;
use crate::simulator::request::has_content_type;
use crate::simulator::server::{ServerState, SimulatedCall};
use crate::simulator::time::{MINUTE_MS, SECOND_MS};
use crate::simulator::world::{
    MOVED_BY_MS, Placement, Position, Positions, REPEATED_AFTER_MS, SimulatedSegment,
    SimulatedSubAccount, World,
};

const LONGEST_WINDOW_S: i64 = 10_800;
const YOUNGEST_MS: i64 = 5 * MINUTE_MS;
/// Bytes that are made at once.
const PIECE: usize = 32 * 1024;

/// `POST .../accounts/{rcAccountId}/sub-accounts/{subAccountId}/interaction-metadata`
pub(super) fn discover(
    state: &Arc<ServerState>,
    call: &SimulatedCall,
    rc_account: &str,
    sub_account: &str,
) -> Result<Answer, Answer> {
    authorized(state, call)?;
    let world = &state.world;
    let place = world
        .sub_accounts
        .iter()
        .position(|sub| sub.id == sub_account && !sub.denied);
    let Some(place) = place.filter(|_| rc_account == state.options.rc_account_id) else {
        return Err(state.access_denied(call));
    };
    state.admit(&state.discovery_quota, place as u64, call)?;
    if !has_content_type(&call.headers, JSON) {
        let message = "The body must be application/json";
        return Err(state.error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media.type",
            message,
            call,
        ));
    }
    let bad = |message: &str| state.error(StatusCode::BAD_REQUEST, "bad.request", message, call);
    let (from_ms, to_ms) = window(&call.body).map_err(|message| bad(&message))?;
    let now_ms = state.time.now_ms();
    if to_ms > now_ms - YOUNGEST_MS {
        return Err(bad("The look-up window must end at least 5 minutes ago"));
    }
    if world.faults.empty {
        return Ok(Answer::new(StatusCode::OK, JSON, "[]"));
    }
    let sub = world.sub_accounts[place].clone();
    Ok(Answer::stream(
        JSON,
        Array::new(Showings::new(world.clone(), sub, from_ms, to_ms, now_ms)),
    ))
}

/// The look-up window of a request, in UTC milliseconds.
fn window(body: &[u8]) -> Result<(i64, i64), String> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "The body is not JSON")?;
    let begin = body["segmentEndTime"]
        .as_str()
        .ok_or("segmentEndTime is missing")?;
    let begin = local_time(begin).ok_or("segmentEndTime must be YYYY-MM-DD HH:mm:ss")?;
    let seconds = body["timeInterval"]
        .as_i64()
        .ok_or("timeInterval must be a whole number")?;
    if !(1..=LONGEST_WINDOW_S).contains(&seconds) {
        return Err(format!("timeInterval must be from 1 to {LONGEST_WINDOW_S}"));
    }
    let zone = body["timeZone"].as_str().ok_or("timeZone is missing")?;
    let zone = TimeZone::get(zone).map_err(|_| "timeZone is not known")?;
    // An hour that comes twice is taken as its first coming, and one that is left out as the hour after.
    let begin = zone
        .to_timestamp(begin)
        .map_err(|_| "segmentEndTime is out of range")?;
    let begin_ms = begin.as_millisecond();
    Ok((begin_ms, begin_ms + seconds * SECOND_MS))
}

/// `YYYY-MM-DD HH:mm:ss` and nothing else, although the parser knows more forms.
fn local_time(text: &str) -> Option<DateTime> {
    let form = text
        .bytes()
        .zip(b"dddd-dd-dd dd:dd:dd")
        .all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            other => byte == *other,
        });
    if !form || text.len() != 19 {
        return None;
    }
    text.parse().ok()
}

/// The segments that discovery shows for a window, one after the other, duplicates included.
pub(super) struct Showings {
    world: Arc<World>,
    sub: SimulatedSubAccount,
    now_ms: i64,
    passes: Vec<(Pass, Positions)>,
}

#[derive(Clone, Copy)]
enum Pass {
    /// Segments that belong elsewhere.
    Moved,
    Own,
    /// Segments that an earlier window has shown already.
    Again,
    /// Segments that this window has shown already.
    Twice,
}

impl Showings {
    pub(super) fn new(
        world: Arc<World>,
        sub: SimulatedSubAccount,
        from_ms: i64,
        to_ms: i64,
        now_ms: i64,
    ) -> Self {
        let ending = |earlier_ms| world.ending_in(&sub, from_ms - earlier_ms, to_ms - earlier_ms);
        let mut passes = vec![(Pass::Own, ending(0))];
        // Last first. Without such faults their passes would cost as much as the real one.
        if world.faults.duplicates > 0.0 {
            passes.insert(0, (Pass::Again, ending(REPEATED_AFTER_MS)));
            passes.insert(0, (Pass::Twice, ending(0)));
        }
        if world.faults.out_of_window > 0.0 {
            passes.push((Pass::Moved, ending(MOVED_BY_MS)));
        }
        Showings {
            world,
            sub,
            now_ms,
            passes,
        }
    }

    fn look(&self, pass: Pass, at: Position) -> Option<(SimulatedSegment, ApiVersion)> {
        let world = &self.world;
        let segment = world.segment(&self.sub, at);
        let repeated = match (pass, world.place(&segment)) {
            (Pass::Moved, Placement::Moved) => false,
            (Pass::Own, Placement::Once | Placement::Twice { .. } | Placement::Again { .. }) => {
                false
            }
            (Pass::Again, Placement::Again { differs }) => differs,
            (Pass::Twice, Placement::Twice { differs }) => differs,
            _ => return None,
        };
        let version = ApiVersion {
            repeated,
            edited: world.is_edited(&segment, self.now_ms),
        };
        world
            .shown(&segment, self.now_ms)
            .then_some((segment, version))
    }
}

impl Iterator for Showings {
    type Item = (SimulatedSegment, ApiVersion);

    fn next(&mut self) -> Option<(SimulatedSegment, ApiVersion)> {
        while let Some((pass, positions)) = self.passes.last_mut() {
            let (pass, next) = (*pass, positions.next());
            match next {
                None => drop(self.passes.pop()),
                Some(at) => {
                    if let Some(showing) = self.look(pass, at) {
                        return Some(showing);
                    }
                }
            }
        }
        None
    }
}

/// A JSON array of showings in pieces.
struct Array {
    showings: Showings,
    began: bool,
    ended: bool,
}

impl Array {
    fn new(showings: Showings) -> Self {
        Array {
            showings,
            began: false,
            ended: false,
        }
    }
}

impl Iterator for Array {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut piece = Vec::with_capacity(PIECE + 2_048);
        while piece.len() < PIECE && !self.ended {
            match self.showings.next() {
                Some((segment, version)) => {
                    piece.push(if self.began { b',' } else { b'[' });
                    self.began = true;
                    self.showings.world.write_object(
                        &mut piece,
                        &self.showings.sub,
                        &segment,
                        version,
                    );
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

    fn shown(world: &Arc<World>, window_ms: i64) -> Vec<(SimulatedSegment, ApiVersion)> {
        let (from, to) = (20_777 * DAY_MS, 20_778 * DAY_MS);
        let windows = (from..to).step_by(window_ms as usize);
        let sub = world.sub_accounts[0].clone();
        windows
            .flat_map(|at| {
                Showings::new(
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
        let indexes: Vec<_> = shown.iter().map(|(segment, _)| segment.index).collect();
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
                .entry((segment.day, segment.index))
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
            let pieces = Array::new(Showings::new(
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
        Array::new(Showings::new(world, sub, 0, HOUR_MS, DAY_MS))
            .collect::<Vec<_>>()
            .concat()
    }
}
