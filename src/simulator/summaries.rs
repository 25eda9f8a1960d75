//! The two summary endpoints, as strict as the vendor's article "RingCX Summaries API".
//!
//! The token is accepted in the cookie `access_token` only; a request with an `Authorization` header is
//! refused and counted, since the real endpoints do not accept it.

use hyper::StatusCode;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderMap};

use crate::simulator::answer::Answer;
use crate::simulator::dice::hash;
use crate::simulator::login::token_login;
use crate::simulator::request::{cookie_token, decode};
use crate::simulator::state::{ServerState, SimulatedCall};
use crate::simulator::texts::SimulatedKind;

/// `GET .../summary/accounts/{subAccountId}/segments/{segmentId}/{kind}`
///
/// Returns the answer and a hash that identifies the summary. The parameters are percent-encoded.
///
/// # Errors
/// The refusal: 401, 403, 404, 406 or 429.
pub(super) fn summary(
    state: &ServerState,
    call: &SimulatedCall,
    sub_account: &str,
    segment: &str,
    kind: &str,
) -> Result<(Answer, u64), Answer> {
    if call.headers.contains_key(AUTHORIZATION) {
        state.stats.authorization_on_summaries();
        let text = "Send the token as the cookie access_token, never as Authorization";
        return Err(Answer::text(StatusCode::UNAUTHORIZED, text));
    }
    let login = token_login(state, cookie_token(&call.headers))?;
    state.admit(&state.summary_quota, login, call)?;
    if !accepts_json(&call.headers) {
        let text = "Send Accept: application/json";
        return Err(Answer::text(StatusCode::NOT_ACCEPTABLE, text));
    }
    let world = &state.world;
    let sub = world
        .sub_account(sub_account)
        .filter(|sub| !sub.denied)
        .ok_or_else(|| state.access_denied(call))?;
    let now_ms = state.time.now_ms();
    let segment = decode(segment, false)
        .and_then(|id| world.find(sub, &id))
        .filter(|segment| world.is_available(segment, now_ms));
    let (Some(segment), Some(kind)) = (segment, SimulatedKind::from_name(kind)) else {
        return Err(state.not_found("The segment was not found", call));
    };
    let summary = world.summary(&segment, kind, now_ms);
    let answer = match summary.http_status {
        200 => Answer::new(StatusCode::OK, summary.content_type, summary.body),
        404 => state.not_found("The summary is not available", call),
        _ => state.internal_error("The summary service could not complete the request", call),
    };
    Ok((answer, hash(&[segment.key, kind as u64])))
}

fn accepts_json(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("application/json") || value.contains("*/*"))
}
