//! One request to a receiver, with bounded patience.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};

use crate::clock::Clock;
use crate::outcome::with_causes;

/// One attempt may take this long, connecting included.
const ATTEMPT: Duration = Duration::from_secs(10);

/// How often a receiver is tried. What none of them hears is lost: the next run has news of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    attempts: u32,
}

impl Patience {
    pub const USUAL: Patience = Patience { attempts: 3 };
    pub const HURRIED: Patience = Patience { attempts: 1 };
}

/// What is sent, and to whom. Its address is treated as a secret, since it often is the only one.
#[derive(Debug, Clone)]
pub struct Message {
    /// The setting that names the receiver, for the log.
    pub setting: &'static str,
    method: Method,
    url: SecretString,
    content_type: &'static str,
    headers: Vec<(String, SecretString)>,
    body: Vec<u8>,
}

impl Message {
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

    /// A POST of JSON.
    pub fn post(setting: &'static str, url: SecretString, body: Vec<u8>) -> Message {
        Message {
            setting,
            method: Method::POST,
            url,
            content_type: "application/json",
            headers: Vec::new(),
            body,
        }
    }

    pub fn of_type(mut self, content_type: &'static str) -> Message {
        self.content_type = content_type;
        self
    }

    pub fn with_headers(mut self, headers: Vec<(String, SecretString)>) -> Message {
        self.headers = headers;
        self
    }

    pub fn put(mut self) -> Message {
        self.method = Method::PUT;
        self
    }
}

/// Sends it until an answer is good, or says why none was: without the address.
pub async fn send(message: &Message, clock: &dyn Clock, patience: Patience) -> Result<(), String> {
    let client = client(message)?;
    let mut attempt = 1;
    loop {
        let (why, passing) = match once(&client, message).await {
            Ok(status) if status.is_success() => return Ok(()),
            Ok(status) => (format!("answered {}", status.as_u16()), may_pass(status)),
            Err(error) => (with_causes(&error.without_url()), true),
        };
        if attempt >= patience.attempts || !passing {
            return Err(why);
        }
        clock.sleep(Duration::from_secs(1 << attempt)).await;
        attempt += 1;
    }
}

fn client(message: &Message) -> Result<Client, String> {
    let mut builder = Client::builder()
        .user_agent(concat!("cxvault/", env!("CARGO_PKG_VERSION")))
        // A redirect would carry the message to whatever host an answer names.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .timeout(ATTEMPT);
    if message.url.expose_secret().starts_with("http://") {
        // A proxy of the environment could read it, and cannot reach our loopback.
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|error| with_causes(&error.without_url()))
}

async fn once(client: &Client, message: &Message) -> Result<StatusCode, reqwest::Error> {
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

/// Whether the same request may be answered differently soon.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}
