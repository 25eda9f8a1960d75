//! The simulator behind a memory, so that its making of a day is no part of what is measured.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};

use super::Simulator;

/// A discovery answer that the simulator has given once comes from memory; all else is asked of it.
pub struct Recorded {
    pub url: String,
}

type Answer = (StatusCode, HeaderMap, Bytes);

struct Memory {
    simulator: String,
    client: reqwest::Client,
    windows: Mutex<HashMap<(String, Bytes), Answer>>,
}

impl Recorded {
    /// On the simulator's own runtime.
    pub fn start(simulator: &Simulator) -> Recorded {
        let memory = Arc::new(Memory {
            simulator: simulator.running.url.clone(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            windows: Mutex::default(),
        });
        let listener = simulator
            .runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(memory);
        simulator
            .runtime
            .spawn(async move { axum::serve(listener, router).await.unwrap() });
        Recorded { url }
    }
}

async fn answer(
    State(memory): State<Arc<Memory>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let key = (uri.to_string(), body.clone());
    let known = memory.windows.lock().unwrap().get(&key).cloned();
    let (status, headers, content) = match known {
        Some(known) => known,
        None => {
            let fresh = memory.ask(method, &uri, headers, body).await;
            if uri.path().ends_with("/interaction-metadata") && fresh.0 == StatusCode::OK {
                memory.windows.lock().unwrap().insert(key, fresh.clone());
            }
            fresh
        }
    };
    let mut response = Response::new(Body::from(content));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}

impl Memory {
    async fn ask(&self, method: Method, uri: &Uri, mut headers: HeaderMap, body: Bytes) -> Answer {
        headers.remove(HOST);
        let request = self
            .client
            .request(method, format!("{}{uri}", self.simulator));
        let response = request.headers(headers).body(body).send().await.unwrap();
        let (status, mut headers) = (response.status(), response.headers().clone());
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        (status, headers, response.bytes().await.unwrap())
    }
}
