//! An HTTP server that records its requests: a push gateway, a webhook, a heartbeat, a collector.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

#[derive(Default)]
struct Book {
    received: Vec<Received>,
    /// Statuses of the next answers; 200 after them.
    answers: VecDeque<u16>,
    /// The status of every answer, when it is set.
    always: Option<u16>,
}

/// The server; it ends when the value is dropped.
pub struct Receiver {
    pub url: String,
    book: Arc<Mutex<Book>>,
    _runtime: Runtime,
}

impl Receiver {
    pub fn start() -> Receiver {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let book = Arc::<Mutex<Book>>::default();
        let app = axum::Router::new()
            .fallback(write_down)
            .with_state(book.clone());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Receiver {
            url,
            book,
            _runtime: runtime,
        }
    }

    /// Sets the statuses of the next answers.
    pub fn answer(&self, statuses: &[u16]) {
        self.book.lock().unwrap().answers.extend(statuses);
    }

    /// Sets the status of every answer.
    pub fn answer_always(&self, status: u16) {
        self.book.lock().unwrap().always = Some(status);
    }

    /// Returns the requests since the last call.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.book.lock().unwrap().received)
    }

    /// Returns the only request since the last call.
    #[track_caller]
    pub fn take_one(&self) -> Received {
        let mut all = self.take();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

async fn write_down(
    State(book): State<Arc<Mutex<Book>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let mut book = book.lock().unwrap();
    let body = String::from_utf8(body.to_vec()).expect("it is sent texts only");
    let (method, path) = (method.to_string(), uri.to_string());
    book.received.push(Received {
        method,
        path,
        headers,
        body,
    });
    let status = book
        .always
        .or_else(|| book.answers.pop_front())
        .unwrap_or(200);
    StatusCode::from_u16(status).unwrap()
}
