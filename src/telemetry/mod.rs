//! Reports of a run that has ended: metrics for Prometheus, a message if something is wrong, a heartbeat if all is well.
//! Also the notice of each new head.
//!
//! ```text
//! ended                 the facts of a run; made once, at its end
//! metrics  prometheus   PURE: these facts as gauges, and the gauges as text
//! otlp                  PURE: the same as metrics and a trace of OpenTelemetry
//! webhook               PURE: the same as a message for people and programs
//! head                  the notice of a new head, sent as soon as the head is stored
//! file  send            the metrics file; requests to receivers, with few attempts
//! ```
//!
//! Monitoring must not break a night: nothing in here changes the result of a run, and every failure is a warning in the
//! log. No report has a secret, the text of a summary, or the id of a segment. The address of a receiver is often its only
//! secret, so that no message has one.

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

pub use ended::{DaySpan, ProblemDay};
pub use ended::{LimitUse, RunEnd, SubAccountEnd};

use send::{Message, send};

/// The receivers of reports. A receiver that is not set gets nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receivers {
    /// File that receives the metrics in the text format of Prometheus.
    pub metrics_file: Option<PathBuf>,
    /// URL of a Pushgateway, or of a group in it: `https://host/metrics/job/cxvault/instance/night`.
    pub pushgateway: Option<String>,
    /// URL that receives a message if a run fails or leaves gaps. The URL itself is the secret.
    pub webhook: Option<SecretString>,
    /// URL that is requested after a successful run. The URL itself is the secret.
    pub heartbeat: Option<SecretString>,
    /// An OpenTelemetry collector, or why the collector of the environment is not supported.
    pub otlp: Option<Result<OtlpCollector, &'static str>>,
}

/// An OpenTelemetry collector that accepts OTLP over HTTP, as the variables `OTEL_…` of the specification name it.
#[derive(Debug, Clone)]
pub(crate) struct OtlpCollector {
    /// Base URL, without `/v1/…`.
    pub endpoint: String,
    /// Names and values of headers that each request carries.
    pub headers: Vec<(String, SecretString)>,
    /// Names and values of attributes of the resource.
    pub resource: Vec<(String, String)>,
}

impl Receivers {
    /// Returns whether a receiver needs metrics. Some of them cost requests to the store.
    pub(crate) fn want_metrics(&self) -> bool {
        self.metrics_file.is_some() || self.pushgateway.is_some() || self.otlp.is_some()
    }
}

/// Sends the reports to all receivers, and waits until each has answered or has failed.
///
/// With `hurry`, as after SIGTERM, each receiver gets one attempt only, since the process will be killed soon.
pub(crate) async fn send_reports(
    receivers: &Receivers,
    mut ended: RunEnd,
    clock: &Arc<dyn Clock>,
    hurry: bool,
) {
    let mut messages = Vec::new();
    if receivers.want_metrics() {
        ended.last_success_ms = ended.success_ms().or_else(|| {
            let earlier = receivers.metrics_file.as_deref()?;
            file::last_success_ms(earlier)
        });
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
        messages.push(webhook::message(url, &ended));
    }
    if let Some(url) = receivers.heartbeat.as_ref().filter(|_| ended.is_alive()) {
        messages.push(Message::get("CXVAULT_HEARTBEAT_URL", url.clone()));
    }
    let sending = messages.iter().map(|message| async {
        if let Err(why) = send(message, &**clock, hurry).await {
            tracing::warn!(
                setting = message.setting,
                why,
                "cannot report the end of the run"
            );
        }
    });
    futures_util::future::join_all(sending).await;
}

/// Returns the requests to an OpenTelemetry collector: the trace and the metrics.
fn exported(collector: &OtlpCollector, ended: &RunEnd) -> [Message; 2] {
    let resource = &collector.resource;
    [
        ("traces", otlp::traces(ended, resource)),
        ("metrics", otlp::metrics(ended, resource)),
    ]
    .map(|(signal, body)| {
        let url = format!("{}/v1/{signal}", collector.endpoint);
        Message::post("OTEL_EXPORTER_OTLP_ENDPOINT", url.into(), body)
            .with_headers(collector.headers.clone())
    })
}

/// Returns the request to a Pushgateway. Unless the URL names a group, there is one group for each host.
fn push(url: &str, ended: &RunEnd, text: &str) -> Message {
    let url = match url.contains("/metrics/job/") {
        true => url.to_owned(),
        false => format!(
            "{url}/metrics/job/cxvault/instance/{}",
            instance(&ended.host)
        ),
    };
    // PUT replaces the whole group, so that it loses a sub-account that is no longer archived. POST leaves the time of the
    // last success as it is, which the gateway may know although this host does not.
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

/// Returns the name of a host as one part of a path.
fn instance(host: &str) -> String {
    let name = host.replace(
        |c: char| !c.is_ascii_alphanumeric() && !"-._~".contains(c),
        "_",
    );
    if name.is_empty() {
        "unknown".to_owned()
    } else {
        name
    }
}
