//! Requests to receivers: at most three attempts of ten seconds, since no run may wait long for its reports. A report that no
//! attempt delivers is lost; the next run sends its own.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};

use crate::clock::Clock;
use crate::outcome::with_causes;

/// Time-out of one attempt, connecting included.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Attempts of one request; a process that was asked to end makes only one.
const ATTEMPTS: u32 = 3;

/// A request and its receiver. The address is treated as a secret, since it often is the only one.
#[derive(Debug, Clone)]
pub struct Message {
    /// Name of the setting with the receiver, for the log.
    pub setting: &'static str,
    method: Method,
    url: SecretString,
    content_type: &'static str,
    headers: Vec<(String, SecretString)>,
    body: Vec<u8>,
}

impl Message {
    /// A GET without a body.
    pub fn get(setting: &'static str, url: SecretString) -> Message {
        Message {
            setting,
            method: Method::GET,
            url,
            content_type: "",
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A POST of a body in JSON.
    pub(crate) fn post(setting: &'static str, url: SecretString, body: Vec<u8>) -> Message {
        Message {
            method: Method::POST,
            content_type: "application/json",
            body,
            ..Message::get(setting, url)
        }
    }

    /// Sets the type of the body.
    pub(crate) fn of_type(mut self, content_type: &'static str) -> Message {
        self.content_type = content_type;
        self
    }

    /// Sets headers beside the type of the body.
    pub(crate) fn with_headers(mut self, headers: Vec<(String, SecretString)>) -> Message {
        self.headers = headers;
        self
    }

    /// Makes it a PUT.
    pub fn put(mut self) -> Message {
        self.method = Method::PUT;
        self
    }
}

/// Sends a request until it succeeds. With `hurry` there is one attempt only.
///
/// # Errors
/// Why the last attempt failed, without the address.
pub async fn send(message: &Message, clock: &dyn Clock, hurry: bool) -> Result<(), String> {
    let attempts = if hurry { 1 } else { ATTEMPTS };
    let client = client(message)?;
    let mut attempt = 1;
    loop {
        let (why, may_pass) = match send_once(&client, message).await {
            Ok(status) if status.is_success() => return Ok(()),
            Ok(status) => (
                format!("answered {}", status.as_u16()),
                is_transient(status),
            ),
            Err(error) => (with_causes(&error.without_url()), true),
        };
        if attempt >= attempts || !may_pass {
            return Err(why);
        }
        clock.sleep(Duration::from_secs(1 << attempt)).await;
        attempt += 1;
    }
}

/// Makes a client for this request.
fn client(message: &Message) -> Result<Client, String> {
    let mut builder = Client::builder()
        .user_agent(concat!("cxvault/", env!("CARGO_PKG_VERSION")))
        // A redirect would send the report to any host that an answer names.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .timeout(ATTEMPT);
    if message.url.expose_secret().starts_with("http://") {
        // A proxy of the environment could read it, and cannot reach the loopback address of this host.
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|error| with_causes(&error.without_url()))
}

/// Sends a request once and returns the status of the answer.
async fn send_once(client: &Client, message: &Message) -> Result<StatusCode, reqwest::Error> {
    let mut request = client.request(message.method.clone(), message.url.expose_secret());
    if !message.content_type.is_empty() {
        request = request
            .header(CONTENT_TYPE, message.content_type)
            .body(message.body.clone());
    }
    for (name, value) in &message.headers {
        request = request.header(name, value.expose_secret());
    }
    Ok(request.send().await?.status())
}

/// Returns whether the same request may soon be answered differently.
fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}
