//! An HTTP proxy in front of MinIO that fails, drops and holds the requests that a test names.
//!
//! The Host header goes on as it came, since it is signed.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// The fate of a request.
pub enum Act {
    /// Answered with this status, and not forwarded.
    Answer(u16),
    /// Answered with 200 and this document, and not forwarded.
    AnswerWith(&'static str),
    /// Forwarded, but answered with this status.
    StoreThenAnswer(u16),
    /// The connection ends, and the request is not forwarded.
    Drop,
    /// Forwarded, but the connection ends without an answer.
    StoreThenDrop,
    /// Waits for the test before it is forwarded.
    HoldBefore(Arrival),
    /// Forwarded, and its answer waits for the test.
    HoldAfter(Arrival),
}

/// Reports to the test that a request is held; dropping the report ends the connection.
pub struct Arrival(mpsc::Sender<Held>);

/// A held request.
pub struct Held {
    /// The key below the bucket.
    pub key: String,
    go: oneshot::Sender<()>,
}

impl Held {
    pub fn release(self) {
        // The process may be dead; its request continues nevertheless.
        let _ = self.go.send(());
    }

    /// Drops the connection; a request held before it was forwarded never is.
    pub fn discard(self) {}
}

/// Where held requests arrive.
pub struct Holds(mpsc::Receiver<Held>);

impl Holds {
    /// Returns the next held request; fails when none arrives.
    pub fn next(&self) -> Held {
        self.0
            .recv_timeout(Duration::from_secs(120))
            .expect("a request that is held")
    }

    /// Returns whether a request is held now.
    pub fn try_next(&self) -> Option<Held> {
        self.0.try_recv().ok()
    }
}

/// Creates a fate that holds requests, and the place where they arrive.
pub fn holds() -> (impl Fn() -> Arrival, Holds) {
    let (arrivals, holds) = mpsc::channel();
    (move || Arrival(arrivals.clone()), Holds(holds))
}

struct Rule {
    method: Method,
    pattern: String,
    skip: u32,
    times: u32,
    act: Arc<Act>,
}

struct State {
    to: SocketAddr,
    bucket: String,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<(Method, String)>>,
    client: reqwest::Client,
}

pub struct Proxy {
    pub url: String,
    state: Arc<State>,
    _runtime: Runtime,
}

impl Proxy {
    /// Starts a proxy to a server's bucket; it ends when the value is dropped.
    pub fn start(to: SocketAddr, bucket: &str) -> Proxy {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let client = reqwest::Client::builder()
            .no_gzip()
            .no_proxy()
            .build()
            .unwrap();
        let state = Arc::new(State {
            to,
            bucket: format!("/{bucket}/"),
            rules: Mutex::default(),
            seen: Mutex::default(),
            client,
        });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(accept(listener, state.clone()));
        Proxy {
            url,
            state,
            _runtime: runtime,
        }
    }

    /// Sets the fate of the next request of `method` whose key, or query after a `?`, contains `pattern`,
    /// after `skip` others.
    pub fn once(&self, method: Method, pattern: &str, skip: u32, act: Act) {
        self.times(method, pattern, skip, 1, act);
    }

    pub fn times(&self, method: Method, pattern: &str, skip: u32, times: u32, act: Act) {
        let rule = Rule {
            method,
            pattern: pattern.to_owned(),
            skip,
            times,
            act: Arc::new(act),
        };
        self.state.rules.lock().unwrap().push(rule);
    }

    pub fn forget_rules(&self) {
        self.state.rules.lock().unwrap().clear();
    }

    /// Returns the keys of all requests of a method so far, below the bucket.
    pub fn requests(&self, method: Method) -> Vec<String> {
        let seen = self.state.seen.lock().unwrap();
        seen.iter()
            .filter(|(of, _)| *of == method)
            .map(|(_, key)| key.clone())
            .collect()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let state = state.clone();
        let serve = service_fn(move |request| {
            // In a separate task: a request that was sent continues when its client is dead.
            let answer = tokio::spawn(answer(state.clone(), request));
            async move {
                answer
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::ConnectionReset.into()))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    // A request without its whole body is ignored.
    let body = axum::body::to_bytes(Body::new(body), 1 << 30)
        .await
        .map_err(io::Error::other)?;
    let path = parts
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let key = state.key(&path);
    state
        .seen
        .lock()
        .unwrap()
        .push((parts.method.clone(), key.clone()));
    let forward = || {
        state.forward(
            parts.method.clone(),
            &path,
            parts.headers.clone(),
            body.clone(),
        )
    };
    let gone = || Err(io::ErrorKind::ConnectionReset.into());
    let hold = |arrival: &Arrival| {
        let (go, gone) = oneshot::channel();
        let _ = arrival.0.send(Held {
            key: key.clone(),
            go,
        });
        gone
    };
    let query = parts.uri.query().unwrap_or_default();
    match state.act(&parts.method, &key, query).as_deref() {
        None => forward().await,
        Some(Act::Answer(status)) => Ok(refusal(*status)),
        Some(Act::AnswerWith(document)) => Ok(Response::new(Body::from(*document))),
        Some(Act::Drop) => gone(),
        Some(Act::StoreThenAnswer(status)) => forward().await.map(|_| refusal(*status)),
        Some(Act::StoreThenDrop) => {
            forward().await?;
            gone()
        }
        Some(Act::HoldBefore(arrival)) => match hold(arrival).await {
            Ok(()) => forward().await,
            Err(_) => gone(),
        },
        Some(Act::HoldAfter(arrival)) => {
            let answer = forward().await;
            match hold(arrival).await {
                Ok(()) => answer,
                Err(_) => gone(),
            }
        }
    }
}

fn refusal(status: u16) -> Response<Body> {
    let body = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>on demand</Message></Error>";
    Response::builder()
        .status(status)
        .body(Body::from(body))
        .unwrap()
}

impl State {
    fn key(&self, path: &str) -> String {
        let path = path
            .split('?')
            .next()
            .unwrap_or_default()
            .replace("%3D", "=");
        path.strip_prefix(&self.bucket).unwrap_or(&path).to_owned()
    }

    fn act(&self, method: &Method, key: &str, query: &str) -> Option<Arc<Act>> {
        let mut rules = self.rules.lock().unwrap();
        for at in 0..rules.len() {
            let rule = &mut rules[at];
            let matches = match rule.pattern.strip_prefix('?') {
                Some(pattern) => query.contains(pattern),
                None => key.contains(&rule.pattern),
            };
            if rule.method != *method || !matches {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.times -= 1;
            let act = rule.act.clone();
            if rule.times == 0 {
                rules.remove(at);
            }
            return Some(act);
        }
        None
    }

    async fn forward(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> io::Result<Response<Body>> {
        for name in [
            "connection",
            "expect",
            "transfer-encoding",
            "content-length",
        ] {
            headers.remove(name);
        }
        let url = format!("http://{}{path}", self.to);
        let sent = self
            .client
            .request(method, url)
            .headers(headers)
            .body(body)
            .send()
            .await;
        let answered = sent.map_err(io::Error::other)?;
        let mut response = Response::builder().status(answered.status());
        for (name, value) in answered.headers() {
            if !["connection", "transfer-encoding"].contains(&name.as_str()) {
                response = response.header(name, value);
            }
        }
        let body = answered.bytes().await.map_err(io::Error::other)?;
        Ok(response.body(Body::from(body)).unwrap())
    }
}
