//! The way to a token, and what can be asked about accounts.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::simulator::answer::Answer;
use crate::simulator::request::{basic, bearer, field, has_content_type};
use crate::simulator::server::{ServerState, SimulatedCall};
use crate::simulator::time::millis;
use crate::simulator::tokens::{Login, Pair, Refusal};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const FORM: &str = "application/x-www-form-urlencoded";
/// The account above all sub-accounts, as RingCX counts it.
const MAIN_ACCOUNT: &str = "15300001";

/// `POST /restapi/oauth/token`
pub(super) fn jwt_grant(state: &ServerState, call: &SimulatedCall) -> Result<Answer, Answer> {
    let form = form(state, call)?;
    let credentials = state.options.credentials.iter().zip(0..);
    let (user, password) = basic(&call.headers).unwrap_or_default();
    let mut clients = credentials
        .filter(|(one, _)| one.client_id == user && one.client_secret == password)
        .peekable();
    if clients.peek().is_none() {
        return Err(oauth_error(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "Client authentication failed",
        ));
    }
    if field(form, "grant_type").as_deref() != Some(JWT_BEARER) {
        return Err(oauth_error(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "Unsupported grant type",
        ));
    }
    let assertion = field(form, "assertion").unwrap_or_default();
    let Some((_, login)) = clients.find(|(one, _)| one.jwt == assertion) else {
        return Err(oauth_error(
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            "Token not found",
        ));
    };
    let now_ms = state.time.now_ms();
    let answer = json!({
        "access_token": state.tokens.issue_rc(login, now_ms), "token_type": "bearer",
        "expires_in": millis(state.options.rc_token_life) / 1_000,
        "refresh_token": state.tokens.issue_rc(login, now_ms), "refresh_token_expires_in": 604_800,
        "scope": "ReadAccounts", "owner_id": "62000000004", "endpoint_id": "sim-endpoint",
    });
    Ok(Answer::json(StatusCode::OK, &answer))
}

/// `GET /restapi/v1.0/account/~`
pub(super) fn rc_account(state: &ServerState, call: &SimulatedCall) -> Result<Answer, Answer> {
    state.tokens.check_rc(bearer(&call.headers), state.time.now_ms()).map_err(|_| {
        let error = json!({ "errorCode": "OAU-213", "message": "Token not found" });
        let value = json!({ "errorCode": "TokenInvalid", "message": "Token not found", "errors": [error] });
        Answer::json(StatusCode::UNAUTHORIZED, &value)
    })?;
    // A number, unlike RingCX's ids, which are texts.
    let id = &state.options.rc_account_id;
    let id = id.parse::<u64>().map_or_else(|_| json!(id), |id| json!(id));
    Ok(Answer::json(
        StatusCode::OK,
        &json!({ "id": id, "mainNumber": "+16505550100", "status": "Confirmed" }),
    ))
}

/// `POST /api/auth/login/rc/accesstoken?includeRefresh=true`
pub(super) fn exchange(state: &ServerState, call: &SimulatedCall) -> Result<Answer, Answer> {
    let form = form(state, call)?;
    let now_ms = state.time.now_ms();
    let rc_token = field(form, "rcAccessToken");
    let login = state
        .tokens
        .check_rc(rc_token.as_deref(), now_ms)
        .map_err(|_| unauthorized(state, call))?;
    if field(form, "rcTokenType").as_deref() != Some("Bearer") {
        let message = "rcTokenType must be Bearer";
        return Err(state.error(StatusCode::BAD_REQUEST, "bad.request", message, call));
    }
    state.admit(&state.token_quota, login, call)?;
    let refreshable =
        field(call.uri.query().unwrap_or(""), "includeRefresh").as_deref() == Some("true");
    Ok(pair_answer(
        state,
        state.tokens.issue_pair(login, now_ms),
        refreshable,
    ))
}

/// `POST /api/auth/token/refresh`
pub(super) fn refresh(state: &ServerState, call: &SimulatedCall) -> Result<Answer, Answer> {
    let token = field(form(state, call)?, "refresh_token").unwrap_or_default();
    let pair = state
        .tokens
        .rotate(&token, state.time.now_ms())
        .map_err(|_| unauthorized(state, call))?;
    Ok(pair_answer(state, pair, true))
}

/// `GET /voice/api/v1/admin/accounts`
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

/// The login behind the Bearer token, or the refusal.
pub(super) fn authorized(state: &ServerState, call: &SimulatedCall) -> Result<Login, Answer> {
    token_login(state, bearer(&call.headers))
}

/// The login behind a RingCX token, or the refusal.
pub(super) fn token_login(state: &ServerState, token: Option<&str>) -> Result<Login, Answer> {
    state
        .tokens
        .check(token, state.time.now_ms())
        .map_err(|refusal| {
            let text = match refusal {
                Refusal::Missing => "Unauthorized",
                Refusal::Unknown => "Jwt verification fails",
                // Both spellings have been seen.
                Refusal::Expired if token.is_some_and(|token| token.len() % 2 == 0) => {
                    "Jwt is expired"
                }
                Refusal::Expired => "JWT is expired.",
            };
            Answer::text(StatusCode::UNAUTHORIZED, text)
        })
}

fn pair_answer(state: &ServerState, pair: Pair, refreshable: bool) -> Answer {
    let agents = state.world.sub_accounts.iter().zip(1_400_000..).map(|(sub, agent)| {
        json!({ "accountId": sub.id, "accountName": "Simulated centre", "agentId": agent, "agentType": "AGENT" })
    });
    Answer::json(
        StatusCode::OK,
        &json!({
            "accessToken": pair.access, "refreshToken": refreshable.then_some(pair.refresh),
            "tokenType": "Bearer", "mainAccountId": MAIN_ACCOUNT, "adminId": 2_100_001, "platformId": "sim",
            "agentDetails": agents.collect::<Vec<Value>>(),
        }),
    )
}

fn form<'a>(state: &ServerState, call: &'a SimulatedCall) -> Result<&'a str, Answer> {
    let text = std::str::from_utf8(&call.body)
        .ok()
        .filter(|_| has_content_type(&call.headers, FORM));
    text.ok_or_else(|| {
        state.error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media.type",
            "The body must be a form",
            call,
        )
    })
}

fn oauth_error(status: StatusCode, error: &str, description: &str) -> Answer {
    let errors = json!([{ "errorCode": "OAU-000", "message": description }]);
    Answer::json(
        status,
        &json!({ "error": error, "error_description": description, "errors": errors }),
    )
}

fn unauthorized(state: &ServerState, call: &SimulatedCall) -> Answer {
    state.error(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "The token is not valid",
        call,
    )
}
