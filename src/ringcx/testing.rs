//! Doubles for the tests of this module: a clock on which waiting takes no time, and servers that misbehave.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::clock::Clock;

/// A clock that only sleeping advances: each sleep ends at once, and advances it by its length.
pub(crate) struct ManualClock {
    now_ms: AtomicI64,
    frozen: AtomicBool,
    asleep: Notify,
}

impl ManualClock {
    /// 2026-11-20T12:00:00Z
    pub(crate) const START_MS: i64 = 1_795_176_000_000;

    pub fn new() -> Arc<Self> {
        let now_ms = AtomicI64::new(Self::START_MS);
        Arc::new(ManualClock {
            now_ms,
            frozen: AtomicBool::new(false),
            asleep: Notify::new(),
        })
    }

    pub fn set(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    /// From now on no sleep ends.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
    }

    /// Returns when a task has begun to sleep on the frozen clock.
    pub(crate) async fn sleep_begun(&self) {
        self.asleep.notified().await;
    }

    pub(crate) fn elapsed_ms(&self) -> i64 {
        self.now_ms() - Self::START_MS
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    async fn sleep(&self, duration: Duration) {
        if self.frozen.load(Ordering::SeqCst) {
            self.asleep.notify_one();
            std::future::pending::<()>().await;
        }
        let until = self.now_ms() + i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap();
        self.now_ms.fetch_max(until, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// A request as it arrived.
#[derive(Clone)]
pub(crate) struct Seen {
    /// Request line and headers, byte for byte.
    pub head: String,
    pub body: String,
    /// How many requests for this path came before.
    pub nth: usize,
    /// By the clock of the test.
    pub at_ms: i64,
}

impl Seen {
    /// Without the query.
    pub fn path(&self) -> &str {
        let target = self.head.split(' ').nth(1).unwrap();
        target.split('?').next().unwrap()
    }

    /// A header's value; `name` as it was sent, case included.
    pub fn header(&self, name: &str) -> Option<&str> {
        let field = |line: &'_ str| line.split_once(": ").is_some_and(|(key, _)| key == name);
        let line = self.head.lines().find(|line| field(line))?;
        line.split_once(": ").map(|(_, value)| value)
    }

    /// The RingCX token that it carries as a cookie.
    pub fn token(&self) -> &str {
        self.header("cookie")
            .and_then(|cookie| cookie.strip_prefix("access_token="))
            .unwrap_or_default()
    }
}

/// What the server does with a request.
pub(crate) enum Reply {
    /// Sends these bytes and waits for the next request.
    Send(Vec<u8>),
    /// Sends these bytes and closes.
    Close(Vec<u8>),
    /// Sends nothing but a TCP reset.
    Reset,
    /// Sends these bytes, and then a single byte every few milliseconds, without end.
    Drip(Vec<u8>),
    /// Never sends anything.
    Silence,
}

impl Reply {
    /// A whole answer. `headers` are lines, each with its line end.
    pub fn new(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!(
            "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        Reply::Send([head.as_bytes(), body].concat())
    }

    pub fn ok(body: impl AsRef<[u8]>) -> Self {
        Reply::new(200, "", body)
    }

    /// One chunk, then, unless the answer breaks off, the end of the body.
    pub(crate) fn chunked(body: &[u8], whole: bool) -> Self {
        let head = format!(
            "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            body.len()
        );
        let end: &[u8] = if whole { b"\r\n0\r\n\r\n" } else { b"\r\n" };
        Reply::Close([head.as_bytes(), body, end].concat())
    }
}

type Handler = dyn Fn(&Seen) -> Option<Reply> + Send + Sync;

/// A loopback server that replies as its handler says, and records the requests.
pub(crate) struct Server {
    url: String,
    clock: Arc<ManualClock>,
    seen: Mutex<Vec<Seen>>,
    handler: Box<Handler>,
}

impl Server {
    /// Where `handler` has no reply, a login gives `rc-N`, `cx-N` (exchanged) and `cy-N` (refreshed), and anything
    /// else is 404.
    pub async fn start(
        clock: Arc<ManualClock>,
        handler: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Server {
            url,
            clock,
            seen: Mutex::default(),
            handler: Box::new(handler),
        });
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        server
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The requests so far whose path contains `part`, in order of arrival.
    pub fn seen(&self, part: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter()
            .filter(|seen| seen.path().contains(part))
            .cloned()
            .collect()
    }

    pub fn count(&self, part: &str) -> usize {
        self.seen(part).len()
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        while let Some(seen) = self.request(&mut stream, &mut bytes).await {
            let reply = (self.handler)(&seen).or_else(|| login(&seen));
            match reply.unwrap_or_else(|| Reply::new(404, "", "no such page")) {
                Reply::Send(bytes) if stream.write_all(&bytes).await.is_ok() => {}
                Reply::Send(_) => return,
                Reply::Close(bytes) => return drop(stream.write_all(&bytes).await),
                Reply::Reset => return stream.set_zero_linger().unwrap(),
                Reply::Drip(bytes) => return drip(&mut stream, &bytes).await,
                Reply::Silence => std::future::pending().await,
            }
        }
    }

    /// Reads one request; what was read behind it stays in `bytes`.
    async fn request(&self, stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Seen> {
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            (stream.read_buf(bytes).await.ok()? > 0).then_some(())?;
        };
        let head = String::from_utf8(bytes.drain(..end).collect()).unwrap();
        let mut seen = Seen {
            head,
            body: String::new(),
            nth: 0,
            at_ms: self.clock.now_ms(),
        };
        let length = seen
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while bytes.len() < length {
            (stream.read_buf(bytes).await.ok()? > 0).then_some(())?;
        }
        seen.body = String::from_utf8(bytes.drain(..length).collect()).unwrap();
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.nth = all
            .iter()
            .filter(|earlier| earlier.path() == seen.path())
            .count();
        all.push(seen.clone());
        Some(seen)
    }
}

async fn drip(stream: &mut TcpStream, bytes: &[u8]) {
    let mut drops = tokio::time::interval(Duration::from_millis(5));
    let mut sent = stream.write_all(bytes).await;
    while sent.is_ok() {
        drops.tick().await;
        sent = stream.write_all(b"x").await;
    }
}

fn login(seen: &Seen) -> Option<Reply> {
    let n = seen.nth;
    let pair =
        |kind: &str| format!(r#"{{"accessToken":"{kind}-{n}","refreshToken":"again-{kind}-{n}"}}"#);
    Some(Reply::ok(match seen.path() {
        OAUTH => format!(r#"{{"access_token":"rc-{n}","expires_in":3600,"scope":"ReadAccounts"}}"#),
        EXCHANGE => pair("cx"),
        REFRESH => pair("cy"),
        _ => return None,
    }))
}

pub(crate) const OAUTH: &str = "/restapi/oauth/token";
pub(crate) const EXCHANGE: &str = "/api/auth/login/rc/accesstoken";
pub(crate) const REFRESH: &str = "/api/auth/token/refresh";
