//! What a test can request from the simulator about itself, under `/__sim/`.
//!
//! `truth` is computed from the seed with the same functions that answer the API, but in one pass over the segments,
//! not window by window. So a test that compares an archive with it finds segments that discovery or the client lost
//! or repeated; mistakes in a summary's text would be in both, and are the subject of the tests of `texts`.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::simulator::answer::Answer;
use crate::simulator::metadata::ObjectState;
use crate::simulator::quota::Quota;
use crate::simulator::request::field;
use crate::simulator::state::{ServerState, SimulatedCall};
use crate::simulator::texts::SimulatedKind;
use crate::simulator::time::{duration, timestamp};
use crate::simulator::world::{
    MOVED_BY_MS, Placement, Positions, REPEATED_AFTER_MS, SimulatedSegment, SimulatedSubAccount,
    World,
};

/// In bytes. A longer body is represented by its hash alone, so that lines stay readable.
const LONGEST_BODY: usize = 1024 * 1024;

/// Answers a request under `/__sim/`:
/// - `GET /__sim/stats`: counts since the start or the last reset
/// - `POST /__sim/reset-stats`: sets the counts to zero and returns them
/// - `POST /__sim/advance?by=2d`: lets simulated time jump ahead
/// - `GET /__sim/truth?sub=..&from=..&to=..`: see [`Truth`]
pub(super) fn answer(state: &Arc<ServerState>, call: &SimulatedCall) -> Answer {
    match (&call.method, call.uri.path()) {
        (&Method::GET, "/__sim/stats") => stats(state),
        (&Method::POST, "/__sim/reset-stats") => {
            state.stats.reset();
            for (_, quota) in quotas(state) {
                quota.reset_counts();
            }
            stats(state)
        }
        (&Method::POST, "/__sim/advance") => {
            match query(call, "by").and_then(|by| duration(&by).ok()) {
                Some(by) => {
                    state.time.advance(by);
                    stats(state)
                }
                None => bad_request("by= must be a duration such as 2d"),
            }
        }
        (&Method::GET, "/__sim/truth") => truth(state, call).unwrap_or_else(|| {
            bad_request("sub= must be a sub-account, from= and to= RFC 3339 times")
        }),
        _ => {
            let text = "There is stats, reset-stats, advance and truth";
            Answer::text(StatusCode::NOT_FOUND, text)
        }
    }
}

fn bad_request(text: &'static str) -> Answer {
    Answer::text(StatusCode::BAD_REQUEST, text)
}

/// Returns the counts of [`Stats::report`](crate::simulator::stats::Stats::report), the tokens that expired early, the
/// simulated time, and the quotas.
fn stats(state: &ServerState) -> Answer {
    let mut report = state.stats.report();
    let now_ms = state.time.now_ms();
    report["faults"]["token_expiry"] = json!(state.tokens.expired_early());
    report["now"] = json!(timestamp(now_ms).to_string());
    report["now_ms"] = json!(now_ms);
    for (name, quota) in quotas(state) {
        report["limits"][name] = quota.report();
    }
    Answer::json(StatusCode::OK, &report)
}

/// Returns the quotas with the names that the statistics give them.
fn quotas(state: &ServerState) -> [(&'static str, &Quota); 5] {
    [
        ("discovery", &state.discovery_quota),
        ("summaries", &state.summary_quota),
        ("exchange", &state.token_quota),
        ("transcripts", &state.transcript_quota),
        ("recordings", &state.recording_quota),
    ]
}

fn query(call: &SimulatedCall, name: &str) -> Option<String> {
    // In a time with an offset the `+` is meant literally, not as a blank.
    field(&call.uri.query()?.replace('+', "%2B"), name)
}

/// Returns an RFC 3339 time in the query as UTC milliseconds.
fn query_time_ms(call: &SimulatedCall, name: &str) -> Option<i64> {
    let time: Timestamp = query(call, name)?.parse().ok()?;
    Some(time.as_millisecond())
}

/// Returns the lines of [`Truth`], or `None` where a parameter is missing or invalid.
fn truth(state: &Arc<ServerState>, call: &SimulatedCall) -> Option<Answer> {
    let (from_ms, to_ms) = (query_time_ms(call, "from")?, query_time_ms(call, "to")?);
    let world = state.world.clone();
    let sub = world.sub_account(&query(call, "sub")?)?.clone();
    // A displaced segment can have ended long before the window that shows it.
    let positions = world.ending_in(&sub, from_ms - MOVED_BY_MS, to_ms);
    let truth = Truth {
        world,
        sub,
        from_ms,
        to_ms,
        now_ms: state.time.now_ms(),
        positions,
    };
    Some(Answer::stream("application/x-ndjson", truth))
}

/// What an archive of `from..to` must hold, as JSON lines: one line for each segment that discovery shows at the
/// simulated present when it is asked, in order, for windows of 3 h that tile that time.
///
/// - `segment`: the object as shown last; `shown`: how often it is shown
/// - `end_ms`: the segment's end; `in_range`: whether that lies in `from..to`
/// - `agent`, `auto`: `status`, `content_type`, `bytes`, `sha256` and `body_base64` (of at most 1 MiB), the latter
///   four null unless the answer is a 200. A segment without id has the status `NO_ID`, a summary that always
///   answers 500 has `FAILED`.
struct Truth {
    world: Arc<World>,
    sub: SimulatedSubAccount,
    /// Start of the time in UTC milliseconds.
    from_ms: i64,
    /// End of the time, exclusive.
    to_ms: i64,
    /// The simulated present when the request arrived.
    now_ms: i64,
    /// The segments that may be shown, of which [`Truth::shown`] selects.
    positions: Positions,
}

impl Truth {
    fn in_range(&self, ms: i64) -> bool {
        (self.from_ms..self.to_ms).contains(&ms)
    }

    /// Returns how often a segment is shown, and whether the last time is a repeat that differs from the first.
    fn shown(&self, segment: &SimulatedSegment) -> Option<(u32, bool)> {
        let own = self.in_range(segment.end_ms);
        let shown = match self.world.placement(segment) {
            Placement::Once => own.then_some((1, false)),
            Placement::Twice { differs } => own.then_some((2, differs)),
            Placement::Moved => self
                .in_range(segment.end_ms + MOVED_BY_MS)
                .then_some((1, false)),
            Placement::Again { differs } => {
                let again = self.in_range(segment.end_ms + REPEATED_AFTER_MS);
                (own || again).then_some((u32::from(own) + u32::from(again), again && differs))
            }
        };
        shown.filter(|_| self.world.is_shown(segment, self.now_ms) && !self.world.faults.empty)
    }

    /// Writes the line of a segment.
    fn line(&self, segment: &SimulatedSegment, shown: u32, repeated: bool) -> Vec<u8> {
        let edited = self.world.is_edited(segment, self.now_ms);
        let version = ObjectState { repeated, edited };
        let mut line = b"{\"segment\":".to_vec();
        self.world
            .write_object(&mut line, &self.sub, segment, version);
        let agent = self.summary(segment, SimulatedKind::Agent);
        let auto = self.summary(segment, SimulatedKind::Auto);
        let (in_range, end_ms) = (self.in_range(segment.end_ms), segment.end_ms);
        let rest = format!(
            ",\"in_range\":{in_range},\"shown\":{shown},\"end_ms\":{end_ms},\"agent\":{agent},\"auto\":{auto}}}\n"
        );
        line.extend_from_slice(rest.as_bytes());
        line
    }

    /// Describes a summary as of the simulated present: what an archive must record for it.
    fn summary(&self, segment: &SimulatedSegment, kind: SimulatedKind) -> Value {
        if self.world.has_no_id(segment) {
            return json!({ "status": "NO_ID", "body_base64": null, "bytes": null, "sha256": null, "content_type": null });
        }
        let summary = self.world.summary(segment, kind, self.now_ms);
        let body = &summary.body;
        let answered = summary.http_status == 200;
        let short = answered && body.len() <= LONGEST_BODY;
        let sha256: String = Sha256::digest(body)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        json!({
            "status": summary.status(), "body_base64": short.then(|| BASE64_STANDARD.encode(body)),
            "bytes": answered.then_some(body.len()), "sha256": answered.then_some(sha256),
            "content_type": answered.then_some(summary.content_type),
        })
    }
}

impl Iterator for Truth {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            let position = self.positions.next()?;
            let segment = self.world.segment(&self.sub, position);
            if let Some((shown, repeated)) = self.shown(&segment) {
                return Some(self.line(&segment, shown, repeated).into());
            }
        }
    }
}
