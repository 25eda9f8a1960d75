//! How a run ended, told to whoever watches: metrics for Prometheus, a message when something is wrong, a heartbeat when
//! nothing is. And each new head, to whoever keeps it.
//!
//! ```text
//! ended                 what there is to tell; made once, at the end
//! metrics  prometheus   PURE: the same facts as gauges, and these as text
//! otlp                  PURE: as metrics and a trace for OpenTelemetry
//! webhook               PURE: as a message for people and programs
//! head                  a chain's new head, told as soon as it is there
//! file  send            a file that is replaced whole; requests with bounded patience
//! ```
//!
//! Watching must never be what breaks a night: nothing in here changes how a run ends, and every failure is a warning in
//! the log.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use crate::clock::Clock;

pub mod ended;
mod file;
pub mod head;
pub mod metrics;
pub mod otlp;
pub mod prometheus;
mod send;
pub mod webhook;

pub use ended::{DaySpan, LimitUse, ProblemDay, RunEnd, SubAccountEnd};

use send::{Message, Patience, send};

/// Who wants to know. What is not set costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Receivers {
    pub metrics_file: Option<PathBuf>,
    /// A push gateway's root, or the whole path of a group there: `https://host/metrics/job/cxvault/instance/night`.
    pub pushgateway: Option<String>,
    /// Gets a message when a run fails or leaves gaps. The URL itself is the secret.
    pub webhook: Option<SecretString>,
    /// Is asked for when a run was good. The URL itself is the secret.
    pub heartbeat: Option<SecretString>,
    /// An OpenTelemetry collector, or why the one that is named cannot be served.
    pub otlp: Option<Result<OtlpCollector, &'static str>>,
}

/// An OpenTelemetry collector that takes OTLP over HTTP, as the variables `OTEL_…` of its specification name it.
#[derive(Debug, Clone)]
pub struct OtlpCollector {
    /// Without `/v1/…`.
    pub endpoint: String,
    pub headers: Vec<(String, SecretString)>,
    pub resource: Vec<(String, String)>,
}

impl Receivers {
    /// Whether somebody wants numbers, for some of which the store must be asked.
    pub fn want_metrics(&self) -> bool {
        self.metrics_file.is_some() || self.pushgateway.is_some() || self.otlp.is_some()
    }
}

/// Tells everybody who wants to know. With `hurry`, as after SIGTERM, each receiver is tried once only: whoever asked the
/// process to end will not wait long.
pub async fn tell(receivers: &Receivers, mut ended: RunEnd, clock: &Arc<dyn Clock>, hurry: bool) {
    let mut messages = Vec::new();
    if receivers.want_metrics() {
        let earlier = || {
            receivers
                .metrics_file
                .as_deref()
                .and_then(file::last_success_ms)
        };
        ended.last_success_ms = ended.success_ms().or_else(earlier);
        let text = prometheus::text(&metrics::families(&ended));
        messages.extend(
            receivers
                .pushgateway
                .as_ref()
                .map(|url| push(url, &ended, &text)),
        );
        if let Some(path) = &receivers.metrics_file
            && let Err(error) = file::replace(path, &text)
        {
            tracing::warn!(file = %path.display(), %error, "cannot write the metrics (CXVAULT_METRICS_FILE)");
        }
    }
    match &receivers.otlp {
        Some(Ok(collector)) => messages.extend(exported(collector, &ended)),
        Some(Err(why)) => {
            tracing::warn!(
                why,
                "no traces and metrics are sent to OTEL_EXPORTER_OTLP_ENDPOINT"
            )
        }
        None => {}
    }
    if let Some(url) = receivers.webhook.as_ref().filter(|_| ended.is_trouble()) {
        messages.push(Message::post(
            "CXVAULT_WEBHOOK_URL",
            url.clone(),
            webhook::body(&ended),
        ));
    }
    if let Some(url) = receivers.heartbeat.as_ref().filter(|_| ended.is_alive()) {
        messages.push(Message::get("CXVAULT_HEARTBEAT_URL", url.clone()));
    }
    let patience = if hurry {
        Patience::HURRIED
    } else {
        Patience::USUAL
    };
    futures_util::future::join_all(
        messages
            .iter()
            .map(|message| message_sent(message, clock, patience)),
    )
    .await;
}

async fn message_sent(message: &Message, clock: &Arc<dyn Clock>, patience: Patience) {
    if let Err(why) = send(message, &**clock, patience).await {
        tracing::warn!(setting = message.setting, why, "not told how the run ended");
    }
}

fn exported(collector: &OtlpCollector, ended: &RunEnd) -> [Message; 2] {
    let OtlpCollector {
        endpoint,
        headers,
        resource,
    } = collector;
    let message = |signal: &str, body: Vec<u8>| {
        let url = format!("{endpoint}/v1/{signal}");
        Message::post("OTEL_EXPORTER_OTLP_ENDPOINT", url.into(), body).with_headers(headers.clone())
    };
    [
        message("traces", otlp::traces(ended, resource)),
        message("metrics", otlp::metrics(ended, resource)),
    ]
}

/// One group holds what one host says of its last run.
fn push(url: &str, ended: &RunEnd, text: &str) -> Message {
    let url = match url.contains("/metrics/job/") {
        true => url.to_owned(),
        false => format!(
            "{url}/metrics/job/cxvault/instance/{}",
            instance(&ended.host)
        ),
    };
    // PUT replaces the group; so a sub-account that is no longer archived is gone from it. But where nobody here knows
    // when a run last succeeded, the gateway may, and POST leaves it that number.
    let message = Message::post(
        "CXVAULT_PUSHGATEWAY_URL",
        url.into(),
        text.as_bytes().to_vec(),
    );
    let message = message.of_type("text/plain; version=0.0.4; charset=utf-8");
    if ended.last_success_ms.is_some() {
        message.put()
    } else {
        message
    }
}

/// A host's name as one part of a path.
fn instance(host: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-._~".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = host.chars().map(plain).collect();
    if name.is_empty() {
        "unknown".to_owned()
    } else {
        name
    }
}
