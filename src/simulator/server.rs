//! Connections, and the faults between an answer and the client.
//!
//! Each request goes through the same steps: read it, draw a fault of the network, let the endpoint answer,
//! apply the fault, count how the request ended. Requests under `/__sim/` are answered by [`super::inspect`];
//! they suffer no faults and are not counted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::simulator::answer::ResponseBody;
use crate::simulator::dice::{hash, hash_text};
use crate::simulator::network::NetworkFault;
use crate::simulator::options::SimulatorOptions;
use crate::simulator::state::{ServerState, SimulatedCall};
use crate::simulator::stats::Ending;
use crate::simulator::time::pause;
use crate::simulator::{inspect, request, routes};

/// Serves the simulated API on `listener` until `stop` is cancelled; requests in progress are dropped then.
///
/// # Errors
/// None at present: an error on one connection ends that connection only.
pub async fn serve(
    listener: TcpListener,
    options: SimulatorOptions,
    stop: CancellationToken,
) -> io::Result<()> {
    // One state for the whole run: tokens, quotas and counts are lost when the server stops.
    let state = Arc::new(ServerState::new(options));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, state.clone()));
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

/// Serves the requests of a connection one after the other, until the client closes it or a fault drops it.
async fn serve_connection(stream: TcpStream, state: Arc<ServerState>) {
    // Answers are small and complete: Nagle's algorithm would only delay them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(state.clone(), request));
    let served = http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Answers one request. An error drops the connection without an answer.
///
/// The fault is drawn before the answer is computed: a 429 of the network must use neither quota nor token, while an
/// answer that is dropped or cut short has used both, as behind a real gateway.
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
    let fault = state.network.fault(call_key(&call), state.time.now_ms());
    if let Some(latency) = state.network.latency() {
        pause(latency).await;
    }
    let (endpoint, mut answer, summary) = match &fault {
        // Refused before the endpoint: the request uses neither quota nor token.
        Some(NetworkFault::TooMany { retry_after }) => {
            let refusal = state.too_many_requests(&call);
            let endpoint = routes::route(&call).0;
            (endpoint, refusal.retry_after(retry_after.clone()), None)
        }
        _ => routes::dispatch(&state, &call),
    };
    if fault == Some(NetworkFault::ServerError) {
        answer = state.internal_error("Something went wrong", &call);
    }
    let status = answer.status.as_u16();
    let ending = match fault {
        Some(NetworkFault::Dropped) => Ending::Dropped,
        Some(NetworkFault::CutShort) => Ending::CutShort(status),
        _ => Ending::Answered(status),
    };
    let fault_name = fault.as_ref().map(NetworkFault::name);
    state.stats.ended(endpoint, ending, fault_name);
    match (ending, summary) {
        (Ending::Dropped, _) => return Err(io::Error::other("dropped on purpose")),
        (Ending::Answered(200 | 404), Some(summary)) => state.stats.summary_answered(summary),
        _ => {}
    }
    tracing::debug!(endpoint = endpoint.name(), status, ?ending, "answered");
    Ok(answer.into_response(state.time.date(), matches!(ending, Ending::CutShort(_))))
}

/// Returns a number that is the same whenever this request is repeated: the network's faults depend on it.
fn call_key(call: &SimulatedCall) -> u64 {
    let body: Vec<u64> = call
        .body
        .chunks(8)
        .map(|chunk| {
            chunk
                .iter()
                .fold(0, |word, &byte| word << 8 | u64::from(byte))
        })
        .collect();
    hash(&[
        hash_text(call.uri.path()),
        hash_text(call.method.as_str()),
        hash(&body),
    ])
}

/// A simulator in the background. It ends when this value is stopped or dropped.
///
/// Dropping it does not wait: use [`RunningServer::stop`] where the port is needed again.
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

/// Starts a simulator in the background; port 0 takes a free port.
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
