//! What tests ask the simulator about itself, under `/__sim/`.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::simulator::answer::Answer;
use crate::simulator::metadata::ApiVersion;
use crate::simulator::request::field;
use crate::simulator::server::{ServerState, SimulatedCall};
use crate::simulator::texts::{SimulatedKind, SimulatedSummary};
use crate::simulator::time::{duration, timestamp};
use crate::simulator::world::{
    MOVED_BY_MS, Placement, Positions, REPEATED_AFTER_MS, SimulatedSegment, SimulatedSubAccount,
    World,
};

/// Longer bodies are given by their hash alone.
const LONGEST_BODY: usize = 1024 * 1024;

/// - `GET /__sim/stats`: counts since the start or the last reset
/// - `POST /__sim/reset-stats`
/// - `POST /__sim/advance?by=2d`: lets simulated time jump ahead
/// - `GET /__sim/truth?sub=..&from=..&to=..`: see [`Truth`]
pub(super) fn answer(state: &Arc<ServerState>, call: &SimulatedCall) -> Answer {
    match (&call.method, call.uri.path()) {
        (&Method::GET, "/__sim/stats") => stats(state),
        (&Method::POST, "/__sim/reset-stats") => {
            state.stats.reset();
            quotas(state)
                .iter()
                .for_each(|(_, quota)| quota.reset_counts());
            stats(state)
        }
        (&Method::POST, "/__sim/advance") => {
            match query(call, "by").and_then(|by| duration(&by).ok()) {
                Some(by) => {
                    state.time.advance(by);
                    stats(state)
                }
                None => Answer::text(StatusCode::BAD_REQUEST, "by= must be a duration such as 2d"),
            }
        }
        (&Method::GET, "/__sim/truth") => truth(state, call).unwrap_or_else(|| {
            let text = "sub= must be a sub-account, from= and to= RFC 3339 times";
            Answer::text(StatusCode::BAD_REQUEST, text)
        }),
        _ => Answer::text(
            StatusCode::NOT_FOUND,
            "There is stats, reset-stats, advance and truth",
        ),
    }
}

fn stats(state: &ServerState) -> Answer {
    let mut report = state.stats.report();
    report["faults"]["token_expiry"] = json!(state.tokens.expired_early());
    report.insert(
        "now".into(),
        json!(timestamp(state.time.now_ms()).to_string()),
    );
    report.insert("now_ms".into(), json!(state.time.now_ms()));
    for (name, quota) in quotas(state) {
        report.entry("limits").or_insert_with(|| json!({}))[name] = quota.report();
    }
    Answer::json(StatusCode::OK, &Value::Object(report))
}

fn quotas(state: &ServerState) -> [(&'static str, &super::quota::Quota); 5] {
    [
        ("discovery", &state.discovery_quota),
        ("summaries", &state.summary_quota),
        ("exchange", &state.token_quota),
        ("transcripts", &state.transcript_quota),
        ("recordings", &state.recording_quota),
    ]
}

fn query(call: &SimulatedCall, name: &str) -> Option<String> {
    // A time's `+` is meant as such more often than as a blank.
    field(&call.uri.query()?.replace('+', "%2B"), name)
}

fn truth(state: &Arc<ServerState>, call: &SimulatedCall) -> Option<Answer> {
    let time = |name| {
        Some(
            query(call, name)?
                .parse::<Timestamp>()
                .ok()?
                .as_millisecond(),
        )
    };
    let (from_ms, to_ms) = (time("from")?, time("to")?);
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

/// What an archive of `from..to` must hold, as JSON lines: one for each segment that discovery shows when it is
/// asked, at the simulated now, for windows of 3 h that tile that time, in order.
///
/// - `segment`: the object as shown last; `shown`: how often it is shown
/// - `end_ms`: the segment's end; `in_range`: whether that lies in `from..to`
/// - `agent`, `auto`: `status`, `content_type`, `bytes`, `sha256` and `body_base64` (of at most 1 MiB), the latter
///   four null unless the answer is a 200. A segment without id has the status `NO_ID`, a summary that answers 500
///   for ever `FAILED`.
struct Truth {
    world: Arc<World>,
    sub: SimulatedSubAccount,
    from_ms: i64,
    to_ms: i64,
    now_ms: i64,
    positions: Positions,
}

impl Truth {
    /// How often a segment is shown, and whether the last time as a repeat that differs.
    fn shown(&self, segment: &SimulatedSegment) -> Option<(u32, bool)> {
        let within = |ms: i64| (self.from_ms..self.to_ms).contains(&ms);
        let own = within(segment.end_ms);
        let shown = match self.world.place(segment) {
            Placement::Once => own.then_some((1, false)),
            Placement::Twice { differs } => own.then_some((2, differs)),
            Placement::Moved => within(segment.end_ms + MOVED_BY_MS).then_some((1, false)),
            Placement::Again { differs } => match (own, within(segment.end_ms + REPEATED_AFTER_MS))
            {
                (false, false) => None,
                (own, again) => Some((u32::from(own) + u32::from(again), again && differs)),
            },
        };
        shown.filter(|_| self.world.shown(segment, self.now_ms) && !self.world.faults.empty)
    }

    fn line(&self, segment: &SimulatedSegment, shown: u32, repeated: bool) -> Vec<u8> {
        let version = ApiVersion {
            repeated,
            edited: self.world.is_edited(segment, self.now_ms),
        };
        let mut line = b"{\"segment\":".to_vec();
        self.world
            .write_object(&mut line, &self.sub, segment, version);
        let (agent, auto) = (
            self.summary(segment, SimulatedKind::Agent),
            self.summary(segment, SimulatedKind::Auto),
        );
        let in_range = (self.from_ms..self.to_ms).contains(&segment.end_ms);
        let end_ms = segment.end_ms;
        let rest = format!(
            ",\"in_range\":{in_range},\"shown\":{shown},\"end_ms\":{end_ms},\"agent\":{agent},\"auto\":{auto}}}\n"
        );
        line.extend_from_slice(rest.as_bytes());
        line
    }

    fn summary(&self, segment: &SimulatedSegment, kind: SimulatedKind) -> Value {
        if self.world.has_no_id(segment) {
            return json!({ "status": "NO_ID", "body_base64": null, "bytes": null, "sha256": null, "content_type": null });
        }
        let summary = self.world.summary(segment, kind, self.now_ms);
        let SimulatedSummary {
            http_status,
            ref body,
            content_type,
        } = summary;
        let answered = http_status == 200;
        let short = answered && body.len() <= LONGEST_BODY;
        let sha256: String = Sha256::digest(body)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        json!({
            "status": summary.status(), "body_base64": short.then(|| BASE64_STANDARD.encode(body)),
            "bytes": answered.then_some(body.len()), "sha256": answered.then_some(sha256),
            "content_type": answered.then_some(content_type),
        })
    }
}

impl Iterator for Truth {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            let at = self.positions.next()?;
            let segment = self.world.segment(&self.sub, at);
            if let Some((shown, repeated)) = self.shown(&segment) {
                return Some(self.line(&segment, shown, repeated).into());
            }
        }
    }
}
