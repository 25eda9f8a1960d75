//! Which endpoint a path belongs to, and the endpoint's answer.
//!
//! One port serves the three hosts of the real API, whose paths do not collide. A path that no endpoint
//! serves is answered 404 and counted as `unknown`, so that a test notices a misspelt address.

use std::sync::Arc;

use hyper::Method;

use crate::simulator::answer::Answer;
use crate::simulator::state::{DialogPath, ServerState, SimulatedCall};
use crate::simulator::stats::Endpoint;
use crate::simulator::{discovery, login, summaries, transcripts};

/// The longest path of an endpoint has 14 parts; more are cut off and match nothing.
const MOST_PARTS: usize = 16;

/// The parameters in the path of a request, still percent-encoded.
pub(super) enum RequestTarget<'a> {
    /// The path has no parameters.
    None,
    /// The path of a discovery request.
    SubAccount {
        rc_account: &'a str,
        sub_account: &'a str,
    },
    /// The path of a summary request.
    Segment {
        sub_account: &'a str,
        segment: &'a str,
        /// `agent` or `auto`, unless the path is wrong.
        kind: &'a str,
    },
    /// The path of a transcript or a recording.
    Dialog(DialogPath<'a>),
}

/// Finds the endpoint of a request by its method and path, without allocating: summaries are requested
/// ten thousand times a second in benchmarks.
pub(super) fn route(call: &SimulatedCall) -> (Endpoint, RequestTarget<'_>) {
    let mut parts = [""; MOST_PARTS];
    let mut count = 0;
    for (part, slot) in call.uri.path().split('/').skip(1).zip(&mut parts) {
        *slot = part;
        count += 1;
    }
    // Every other method counts as GET: no endpoint has both.
    let post = call.method == Method::POST;
    match &parts[..count] {
        ["restapi", "oauth", "token"] if post => fixed(Endpoint::JwtGrant),
        ["restapi", "v1.0", "account", "~"] if !post => fixed(Endpoint::RcAccount),
        ["api", "auth", "login", "rc", "accesstoken"] if post => fixed(Endpoint::Exchange),
        ["api", "auth", "token", "refresh"] if post => fixed(Endpoint::Refresh),
        ["voice", "api", "v1", "admin", "accounts"] if !post => fixed(Endpoint::SubAccounts),
        [
            "voice",
            "api",
            "v1",
            "summary",
            "accounts",
            sub_account,
            "segments",
            segment,
            kind,
        ] if !post => {
            let target = RequestTarget::Segment {
                sub_account,
                segment,
                kind,
            };
            (Endpoint::Summaries, target)
        }
        [
            "voice",
            "api",
            "cx",
            "integration",
            "v1",
            "accounts",
            rc_account,
            "sub-accounts",
            sub_account,
            rest @ ..,
        ] => route_integration(rc_account, sub_account, rest, post),
        _ => fixed(Endpoint::Unknown),
    }
}

/// Returns an endpoint whose path has no parameters.
fn fixed(endpoint: Endpoint) -> (Endpoint, RequestTarget<'static>) {
    (endpoint, RequestTarget::None)
}

/// Routes the paths below `/voice/api/cx/integration/v1/accounts/{rcAccountId}/sub-accounts/{subAccountId}`.
fn route_integration<'a>(
    rc_account: &'a str,
    sub_account: &'a str,
    rest: &[&'a str],
    post: bool,
) -> (Endpoint, RequestTarget<'a>) {
    let (endpoint, dialog, segment) = match rest {
        ["interaction-metadata"] if post => {
            let target = RequestTarget::SubAccount {
                rc_account,
                sub_account,
            };
            return (Endpoint::Discovery, target);
        }
        ["transcripts", "dialogs", dialog, "segments", segment] if !post => {
            (Endpoint::Transcripts, dialog, segment)
        }
        ["recordings", "dialogs", dialog, "segments", segment] if !post => {
            (Endpoint::Recordings, dialog, segment)
        }
        _ => return (Endpoint::Unknown, RequestTarget::None),
    };
    let path = DialogPath {
        rc_account,
        sub_account,
        dialog,
        segment,
    };
    (endpoint, RequestTarget::Dialog(path))
}

/// Returns the endpoint of a request, its answer without faults of the network, and a hash that identifies
/// the summary in the answer, if there is one.
pub(super) fn dispatch(
    state: &Arc<ServerState>,
    call: &SimulatedCall,
) -> (Endpoint, Answer, Option<u64>) {
    let (endpoint, target) = route(call);
    let mut summary = None;
    // Endpoints return a refusal as an error, so that they can use `?`; to the client both are answers.
    let answer = match (endpoint, target) {
        (Endpoint::JwtGrant, _) => login::jwt_grant(state, call),
        (Endpoint::RcAccount, _) => login::rc_account(state, call),
        (Endpoint::Exchange, _) => login::exchange(state, call),
        (Endpoint::Refresh, _) => login::refresh(state, call),
        (Endpoint::SubAccounts, _) => login::sub_accounts(state, call),
        (Endpoint::Discovery, _) if state.network.discovery_fails() => {
            Ok(state.internal_error("Something went wrong", call))
        }
        (
            _,
            RequestTarget::SubAccount {
                rc_account,
                sub_account,
            },
        ) => discovery::discover(state, call, rc_account, sub_account),
        (
            _,
            RequestTarget::Segment {
                sub_account,
                segment,
                kind,
            },
        ) => summaries::summary(state, call, sub_account, segment, kind).map(|(answer, hash)| {
            summary = Some(hash);
            answer
        }),
        (Endpoint::Transcripts, RequestTarget::Dialog(path)) => {
            transcripts::transcript(state, call, path)
        }
        (_, RequestTarget::Dialog(path)) => transcripts::recording(state, call, path),
        (_, RequestTarget::None) => Err(state.not_found("There is nothing at this path", call)),
    };
    (endpoint, answer.unwrap_or_else(|refusal| refusal), summary)
}
