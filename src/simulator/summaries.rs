//! The two summary endpoints.

use hyper::StatusCode;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderMap};

use crate::simulator::answer::Answer;
use crate::simulator::dice::hash;
use crate::simulator::login::token_login;
use crate::simulator::request::{cookie_token, decode};
use crate::simulator::server::{ServerState, SimulatedCall};
use crate::simulator::texts::{SimulatedKind, SimulatedSummary};

/// `GET .../summary/accounts/{subAccountId}/segments/{segmentId}/{kind}`: the answer, and a hash of the summary
/// that was asked for when its segment exists.
pub(super) fn summary(
    state: &ServerState,
    call: &SimulatedCall,
    sub_account: &str,
    segment: &str,
    kind: &str,
) -> Result<(Answer, Option<u64>), Answer> {
    if call.headers.contains_key(AUTHORIZATION) {
        state.stats.authorization_on_summaries();
        let text = "Send the token as the cookie access_token, never as Authorization";
        return Err(Answer::text(StatusCode::UNAUTHORIZED, text));
    }
    let login = token_login(state, cookie_token(&call.headers))?;
    state.admit(&state.summary_quota, login, call)?;
    if !accepts_json(&call.headers) {
        return Err(Answer::text(
            StatusCode::NOT_ACCEPTABLE,
            "Send Accept: application/json",
        ));
    }
    let sub = state
        .world
        .sub_account(sub_account)
        .filter(|sub| !sub.denied);
    let Some(sub) = sub else {
        return Err(state.access_denied(call));
    };
    let now_ms = state.time.now_ms();
    let segment = decode(segment, false).and_then(|id| state.world.find(sub, &id));
    let segment =
        segment.filter(|segment| segment.end_ms <= now_ms && state.world.retained(segment, now_ms));
    let (Some(segment), Some(kind)) = (segment, SimulatedKind::named(kind)) else {
        let message = "The segment was not found";
        return Err(state.error(StatusCode::NOT_FOUND, "not.found", message, call));
    };
    let summary = state.world.summary(&segment, kind, now_ms);
    let known = hash(&[segment.key, kind as u64]);
    Ok((answer(state, call, summary), Some(known)))
}

fn answer(state: &ServerState, call: &SimulatedCall, summary: SimulatedSummary) -> Answer {
    match summary.http_status {
        200 => Answer::new(StatusCode::OK, summary.content_type, summary.body),
        404 => state.error(
            StatusCode::NOT_FOUND,
            "not.found",
            "The summary is not available",
            call,
        ),
        _ => {
            let message = "The summary service could not complete the request";
            state.error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal.error",
                message,
                call,
            )
        }
    }
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let mut accepted = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("application/json") || value.contains("*/*"))
}
