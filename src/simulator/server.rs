//! Connections, routing, and the faults between an answer and the client.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::simulator::answer::{Answer, ResponseBody};
use crate::simulator::dice::{hash, hash_text};
use crate::simulator::line::{Line, NetworkFault};
use crate::simulator::options::SimulatorOptions;
use crate::simulator::quota::Quota;
use crate::simulator::stats::{Ending, Endpoint, Stats, TRACKED_BELOW};
use crate::simulator::time::{SimulatedTime, pause};
use crate::simulator::tokens::SimulatedTokens;
use crate::simulator::world::World;
use crate::simulator::{discovery, inspect, login, request, summaries, transcripts};

/// Everything that requests share.
pub(super) struct ServerState {
    pub(super) options: SimulatorOptions,
    pub(super) time: SimulatedTime,
    pub(super) world: Arc<World>,
    pub(super) tokens: SimulatedTokens,
    pub(super) stats: Stats,
    pub(super) line: Line,
    pub(super) discovery_quota: Quota,
    pub(super) summary_quota: Quota,
    pub(super) token_quota: Quota,
    pub(super) transcript_quota: Quota,
    pub(super) recording_quota: Quota,
}

impl ServerState {
    pub(super) fn new(options: SimulatorOptions) -> Self {
        let world = World::new(&options);
        let tracks = options
            .track
            .unwrap_or(options.segments_per_day < TRACKED_BELOW);
        ServerState {
            time: SimulatedTime::new(options.now, options.time_scale),
            tokens: SimulatedTokens::new(&options, world.faults.fault_token_expiry),
            stats: Stats::new(tracks),
            line: Line::new(options.seed, &world.faults),
            discovery_quota: Quota::new(options.discovery_limits.clone()),
            summary_quota: Quota::new(options.summary_limits.clone()),
            token_quota: Quota::new(options.token_limits.clone()),
            transcript_quota: Quota::new(options.transcript_limits.clone()),
            recording_quota: Quota::new(options.transcript_limits.clone()),
            world: Arc::new(world),
            options,
        }
    }

    /// Counts a request against a limit, or refuses it with 429.
    pub(super) fn admit(
        &self,
        quota: &Quota,
        key: u64,
        call: &SimulatedCall,
    ) -> Result<(), Answer> {
        quota.admit(key, &self.time).map_err(|wait_us| {
            let seconds = (wait_us + 999_999) / 1_000_000;
            let retry_after = self
                .options
                .limits_say_retry_after
                .then(|| seconds.to_string());
            self.too_many(call).retry_after(retry_after)
        })
    }

    pub(super) fn error(
        &self,
        status: StatusCode,
        code: &str,
        message: &str,
        call: &SimulatedCall,
    ) -> Answer {
        Answer::error(status, code, message, call.uri.path(), self.time.now_ms())
    }

    /// The one refusal that no retry overcomes.
    pub(super) fn access_denied(&self, call: &SimulatedCall) -> Answer {
        let message = "You do not have permission to access this resource";
        self.error(
            StatusCode::FORBIDDEN,
            "access.denied.exception",
            message,
            call,
        )
    }

    fn too_many(&self, call: &SimulatedCall) -> Answer {
        self.error(
            StatusCode::TOO_MANY_REQUESTS,
            "too.many.requests",
            "Request rate limit exceeded",
            call,
        )
    }

    fn server_error(&self, call: &SimulatedCall) -> Answer {
        self.error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal.error",
            "Something went wrong",
            call,
        )
    }
}

/// A request with its body.
pub(super) struct SimulatedCall {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Serves until `stop` is cancelled; requests that are under way then are dropped.
///
/// # Errors
/// None at present; a connection that fails is that client's concern.
pub async fn serve(
    listener: TcpListener,
    options: SimulatorOptions,
    stop: CancellationToken,
) -> io::Result<()> {
    let state = Arc::new(ServerState::new(options));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, state.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Most likely out of file descriptors: trying again at once would only burn time.
                    pause(Duration::from_millis(20)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
    Ok(())
}

async fn converse(stream: TcpStream, state: Arc<ServerState>) {
    // Answers are small and wait for nothing: Nagle's algorithm would only delay them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(state.clone(), request));
    let mut server = http1::Builder::new();
    let served = server
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Answers one request; an error drops the connection without an answer.
async fn answer(
    state: Arc<ServerState>,
    request: Request<Incoming>,
) -> io::Result<Response<ResponseBody>> {
    let (parts, body) = request.into_parts();
    let body = match parts.method {
        Method::GET => Bytes::new(),
        _ => request::read(body)
            .await
            .ok_or_else(|| io::Error::other("the request broke off"))?,
    };
    let call = SimulatedCall {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body,
    };
    if call.uri.path().starts_with("/__sim/") {
        return Ok(inspect::answer(&state, &call).into_response(state.time.date(), false));
    }
    let key = hash(&[
        hash_text(call.uri.path()),
        hash_text(call.method.as_str()),
        hash(&words(&call.body)),
    ]);
    let fault = state.line.fault(key, state.time.now_ms());
    if let Some(latency) = state.line.latency() {
        pause(latency).await;
    }
    let (endpoint, answer, summary) = match fault {
        // Refused at the door: neither limits nor tokens see it.
        Some(NetworkFault::TooMany { ref retry_after }) => (
            route(&call).0,
            state.too_many(&call).retry_after(retry_after.clone()),
            None,
        ),
        _ => dispatch(&state, &call),
    };
    let answer = match fault {
        Some(NetworkFault::ServerError) => state.server_error(&call),
        _ => answer,
    };
    let status = answer.status.as_u16();
    let ending = match fault {
        Some(NetworkFault::Dropped) => Ending::Dropped,
        Some(NetworkFault::CutShort) => Ending::CutShort(status),
        _ => Ending::Answered(status),
    };
    state
        .stats
        .ended(endpoint, ending, fault.as_ref().map(NetworkFault::name));
    match (ending, summary) {
        (Ending::Dropped, _) => return Err(io::Error::other("dropped on purpose")),
        (Ending::Answered(200 | 404), Some(summary)) => state.stats.summary_answered(summary),
        _ => {}
    }
    tracing::debug!(endpoint = endpoint.name(), status, ?ending, "answered");
    Ok(answer.into_response(state.time.date(), matches!(ending, Ending::CutShort(_))))
}

fn words(body: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(0, |word, &byte| word << 8 | u64::from(byte))
    };
    body.chunks(8).map(word).collect()
}

/// What is left of a path once its endpoint is known.
enum RequestTarget<'a> {
    None,
    SubAccount {
        rc_account: &'a str,
        sub_account: &'a str,
    },
    Segment {
        sub_account: &'a str,
        segment: &'a str,
        kind: &'a str,
    },
    Dialog {
        rc_account: &'a str,
        sub_account: &'a str,
        dialog: &'a str,
        segment: &'a str,
    },
}

fn route(call: &SimulatedCall) -> (Endpoint, RequestTarget<'_>) {
    let mut parts = [""; 16];
    let mut count = 0;
    for (part, place) in call.uri.path().split('/').skip(1).zip(&mut parts) {
        *place = part;
        count += 1;
    }
    let post = call.method == Method::POST;
    match &parts[..count] {
        ["restapi", "oauth", "token"] if post => (Endpoint::JwtGrant, RequestTarget::None),
        ["restapi", "v1.0", "account", "~"] if !post => (Endpoint::RcAccount, RequestTarget::None),
        ["api", "auth", "login", "rc", "accesstoken"] if post => {
            (Endpoint::Exchange, RequestTarget::None)
        }
        ["api", "auth", "token", "refresh"] if post => (Endpoint::Refresh, RequestTarget::None),
        ["voice", "api", "v1", "admin", "accounts"] if !post => {
            (Endpoint::SubAccounts, RequestTarget::None)
        }
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
        ] if !post => (
            Endpoint::Summaries,
            RequestTarget::Segment {
                sub_account,
                segment,
                kind,
            },
        ),
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
        ] => match rest {
            ["interaction-metadata"] if post => (
                Endpoint::Discovery,
                RequestTarget::SubAccount {
                    rc_account,
                    sub_account,
                },
            ),
            [
                kind @ ("transcripts" | "recordings"),
                "dialogs",
                dialog,
                "segments",
                segment,
            ] if !post => {
                let endpoint = if *kind == "transcripts" {
                    Endpoint::Transcripts
                } else {
                    Endpoint::Recordings
                };
                (
                    endpoint,
                    RequestTarget::Dialog {
                        rc_account,
                        sub_account,
                        dialog,
                        segment,
                    },
                )
            }
            _ => (Endpoint::Unknown, RequestTarget::None),
        },
        _ => (Endpoint::Unknown, RequestTarget::None),
    }
}

/// The answer of the API itself, and the summary that it holds, as a hash.
fn dispatch(state: &Arc<ServerState>, call: &SimulatedCall) -> (Endpoint, Answer, Option<u64>) {
    let (endpoint, target) = route(call);
    let mut summary = None;
    let answer = match (endpoint, target) {
        (Endpoint::JwtGrant, _) => login::jwt_grant(state, call),
        (Endpoint::RcAccount, _) => login::rc_account(state, call),
        (Endpoint::Exchange, _) => login::exchange(state, call),
        (Endpoint::Refresh, _) => login::refresh(state, call),
        (Endpoint::SubAccounts, _) => login::sub_accounts(state, call),
        (
            Endpoint::Discovery,
            RequestTarget::SubAccount {
                rc_account,
                sub_account,
            },
        ) => match state.line.discovery_fails() {
            true => Ok(state.server_error(call)),
            false => discovery::discover(state, call, rc_account, sub_account),
        },
        (
            Endpoint::Summaries,
            RequestTarget::Segment {
                sub_account,
                segment,
                kind,
            },
        ) => summaries::summary(state, call, sub_account, segment, kind).map(|(answer, found)| {
            summary = found;
            answer
        }),
        (
            Endpoint::Transcripts,
            RequestTarget::Dialog {
                rc_account,
                sub_account,
                dialog,
                segment,
            },
        ) => transcripts::transcript(state, call, [rc_account, sub_account, dialog, segment]),
        (
            Endpoint::Recordings,
            RequestTarget::Dialog {
                rc_account,
                sub_account,
                dialog,
                segment,
            },
        ) => transcripts::recording(state, call, [rc_account, sub_account, dialog, segment]),
        _ => Err(state.error(
            StatusCode::NOT_FOUND,
            "not.found",
            "There is nothing at this path",
            call,
        )),
    };
    let answer = answer.unwrap_or_else(|refusal| refusal);
    (endpoint, answer, summary)
}

/// A simulator in the background. It ends when this is stopped or dropped.
pub struct RunningServer {
    /// Base address of all three hosts, such as `http://127.0.0.1:8700`.
    pub url: String,
    stop: CancellationToken,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl RunningServer {
    /// Ends the simulator and waits until its port is free again.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            let _ = server.await;
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts a simulator in the background; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn start(options: SimulatorOptions, listen: SocketAddr) -> io::Result<RunningServer> {
    let listener = TcpListener::bind(listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let stop = CancellationToken::new();
    let server = Some(tokio::spawn(serve(listener, options, stop.clone())));
    Ok(RunningServer { url, stop, server })
}
