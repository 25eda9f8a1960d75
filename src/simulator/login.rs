//! The endpoints that lead to a RingCX token, and the lists of accounts.
//!
//! The flow is the documented one: JWT grant, exchange, refresh. A refresh token can be spent once.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::simulator::answer::Answer;
use crate::simulator::request::{basic, bearer, field, has_content_type};
use crate::simulator::state::{ServerState, SimulatedCall};
use crate::simulator::time::millis;
use crate::simulator::tokens::{Login, Refusal, TokenPair};

/// The grant type of RFC 7523.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const FORM: &str = "application/x-www-form-urlencoded";
/// The RingCX account above all sub-accounts.
const MAIN_ACCOUNT: &str = "15300001";

/// `POST /restapi/oauth/token`
///
/// # Errors
/// 401 for an unknown client, 400 for another grant type or an unknown JWT, as OAuth (RFC 6749, 5.2) has it.
pub(super) fn jwt_grant(state: &ServerState, call: &SimulatedCall) -> Result<Answer, Answer> {
    let form = form(state, call)?;
    let (user, password) = basic(&call.headers).unwrap_or_default();
    let mut logins = (0..)
        .zip(&state.options.credentials)
        .filter(|(_, known)| known.client_id == user && known.client_secret == password)
        .peekable();
    if logins.peek().is_none() {
        let (error, text) = ("invalid_client", "Client authentication failed");
        return Err(oauth_error(StatusCode::UNAUTHORIZED, error, text));
    }
    if field(form, "grant_type").as_deref() != Some(JWT_BEARER) {
        let (error, text) = ("unsupported_grant_type", "Unsupported grant type");
        return Err(oauth_error(StatusCode::BAD_REQUEST, error, text));
    }
    let assertion = field(form, "assertion").unwrap_or_default();
    let (login, _) = logins
        .find(|(_, known)| known.jwt == assertion)
        .ok_or_else(|| oauth_error(StatusCode::BAD_REQUEST, "invalid_grant", "Token not found"))?;
    let now_ms = state.time.now_ms();
    let answer = json!({
        "access_token": state.tokens.issue_rc(login, now_ms), "token_type": "bearer",
        "expires_in": millis(state.options.rc_token_life) / 1_000,
        "refresh_token": state.tokens.issue_rc(login, now_ms), "refresh_token_expires_in": 604_800,
        "scope": "ReadAccounts", "owner_id": "62000000004", "endpoint_id": "sim-endpoint",
    });
    Ok(Answer::json(StatusCode::OK, &answer))
}

/// `GET /restapi/v1.0/account/~`, with the RingCentral token as Bearer.
///
/// # Errors
/// 401 in the form of RingCentral's platform.
pub(super) fn rc_account(state: &ServerState, call: &SimulatedCall) -> Result<Answer, Answer> {
    state.tokens.check_rc(bearer(&call.headers), state.time.now_ms()).map_err(|_| {
        let error = json!({ "errorCode": "OAU-213", "message": "Token not found" });
        let value = json!({ "errorCode": "TokenInvalid", "message": "Token not found", "errors": [error] });
        Answer::json(StatusCode::UNAUTHORIZED, &value)
    })?;
    // A number, unlike RingCX's ids, which are strings.
    let id = &state.options.rc_account_id;
    let id = id.parse::<u64>().map_or_else(|_| json!(id), |id| json!(id));
    let answer = json!({ "id": id, "mainNumber": "+16505550100", "status": "Confirmed" });
    Ok(Answer::json(StatusCode::OK, &answer))
}

/// `POST /api/auth/login/rc/accesstoken?includeRefresh=true`
///
/// # Errors
/// The refusal: 400, 401, 415 or 429.
pub(super) fn exchange(state: &ServerState, call: &SimulatedCall) -> Result<Answer, Answer> {
    let form = form(state, call)?;
    let now_ms = state.time.now_ms();
    let login = state
        .tokens
        .check_rc(field(form, "rcAccessToken").as_deref(), now_ms)
        .map_err(|_| unauthorized(state, call))?;
    if field(form, "rcTokenType").as_deref() != Some("Bearer") {
        let message = "rcTokenType must be Bearer";
        return Err(state.error(StatusCode::BAD_REQUEST, "bad.request", message, call));
    }
    state.admit(&state.token_quota, login, call)?;
    let include_refresh = call
        .uri
        .query()
        .and_then(|query| field(query, "includeRefresh"))
        .is_some_and(|value| value == "true");
    let pair = state.tokens.issue_pair(login, now_ms);
    Ok(pair_answer(state, pair, include_refresh))
}

/// `POST /api/auth/token/refresh`
///
/// # Errors
/// 401 for a refresh token that is unknown or spent, 415 for a body that is no form.
pub(super) fn refresh(state: &ServerState, call: &SimulatedCall) -> Result<Answer, Answer> {
    let token = field(form(state, call)?, "refresh_token").unwrap_or_default();
    let pair = state
        .tokens
        .rotate(&token, state.time.now_ms())
        .map_err(|_| unauthorized(state, call))?;
    Ok(pair_answer(state, pair, true))
}

/// `GET /voice/api/v1/admin/accounts`
///
/// # Errors
/// 401.
pub(super) fn sub_accounts(state: &ServerState, call: &SimulatedCall) -> Result<Answer, Answer> {
    authorized(state, call)?;
    let accounts = state.world.sub_accounts.iter().zip(1..).map(|(sub, n)| {
        json!({
            "accountId": sub.id, "accountName": format!("Simulated centre {n}"), "mainAccountId": MAIN_ACCOUNT,
            "status": "ACTIVE",
        })
    });
    Ok(Answer::json(StatusCode::OK, &accounts.collect()))
}

/// Returns the login behind the Bearer token of a request.
///
/// # Errors
/// See [`token_login`].
pub(super) fn authorized(state: &ServerState, call: &SimulatedCall) -> Result<Login, Answer> {
    token_login(state, bearer(&call.headers))
}

/// Returns the login behind a RingCX token.
///
/// # Errors
/// 401 with the plain texts that RingCX sends.
pub(super) fn token_login(state: &ServerState, token: Option<&str>) -> Result<Login, Answer> {
    let checked = state.tokens.check(token, state.time.now_ms());
    checked.map_err(|refusal| {
        let text = match refusal {
            Refusal::Missing => "Unauthorized",
            Refusal::Unknown => "Jwt verification fails",
            // The documentation has both spellings.
            Refusal::Expired if token.is_some_and(|token| token.len() % 2 == 0) => "Jwt is expired",
            Refusal::Expired => "JWT is expired.",
        };
        Answer::text(StatusCode::UNAUTHORIZED, text)
    })
}

fn pair_answer(state: &ServerState, pair: TokenPair, include_refresh: bool) -> Answer {
    let agents = state.world.sub_accounts.iter().zip(1_400_000..).map(|(sub, agent)| {
        json!({ "accountId": sub.id, "accountName": "Simulated centre", "agentId": agent, "agentType": "AGENT" })
    });
    let answer = json!({
        "accessToken": pair.access, "refreshToken": include_refresh.then_some(pair.refresh),
        "tokenType": "Bearer", "mainAccountId": MAIN_ACCOUNT, "adminId": 2_100_001, "platformId": "sim",
        "agentDetails": agents.collect::<Vec<Value>>(),
    });
    Answer::json(StatusCode::OK, &answer)
}

/// Returns the body of a form request, or the 415.
fn form<'a>(state: &ServerState, call: &'a SimulatedCall) -> Result<&'a str, Answer> {
    std::str::from_utf8(&call.body)
        .ok()
        .filter(|_| has_content_type(&call.headers, FORM))
        .ok_or_else(|| {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            state.error(status, "media.type", "The body must be a form", call)
        })
}

fn oauth_error(status: StatusCode, error: &str, description: &str) -> Answer {
    let errors = json!([{ "errorCode": "OAU-000", "message": description }]);
    let answer = json!({ "error": error, "error_description": description, "errors": errors });
    Answer::json(status, &answer)
}

fn unauthorized(state: &ServerState, call: &SimulatedCall) -> Answer {
    let message = "The token is not valid";
    state.error(StatusCode::UNAUTHORIZED, "unauthorized", message, call)
}
