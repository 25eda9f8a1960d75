//! The facts of a run for OpenTelemetry: its metrics, and a trace with a span for the run and a span for each day.
//!
//! The form is OTLP 1 over HTTP in JSON (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): ids are
//! hexadecimal, and 64-bit numbers are texts.

use serde_json::{Value, json};

use crate::format::hash::Digest;
use crate::outcome::Exit;
use crate::telemetry::ended::{DaySpan, RunEnd};
use crate::telemetry::metrics;
use crate::telemetry::metrics::Sample;

/// SPAN_KIND_INTERNAL of the specification.
const INTERNAL: u8 = 1;
/// STATUS_CODE_OK of the specification.
const STATUS_OK: u8 = 1;
/// STATUS_CODE_ERROR of the specification.
const STATUS_ERROR: u8 = 2;

/// Names and values of attributes of the resource, beside those that the program sets itself.
pub(crate) type Resource = [(String, String)];

fn attribute(key: &str, value: Value) -> Value {
    json!({ "key": key, "value": value })
}

fn text(key: &str, value: &str) -> Value {
    attribute(key, json!({ "stringValue": value }))
}

fn number(key: &str, value: u64) -> Value {
    attribute(key, json!({ "intValue": value.to_string() }))
}

/// Returns an instant in UTC milliseconds as nanoseconds.
fn nanoseconds(instant_ms: i64) -> String {
    (i128::from(instant_ms) * 1_000_000).to_string()
}

/// Returns the resource of each signal. Attributes in `more` take precedence over those of the program.
fn resource(ended: &RunEnd, more: &Resource) -> Value {
    let own = [
        ("service.name", "cxvault"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("host.name", ended.host.as_str()),
    ];
    let mut all: std::collections::BTreeMap<&str, &str> = own.into();
    all.extend(
        more.iter()
            .map(|(key, value)| (key.as_str(), value.as_str())),
    );
    let attributes: Vec<Value> = all
        .into_iter()
        .map(|(key, value)| text(key, value))
        .collect();
    json!({ "attributes": attributes })
}

/// Returns the instrumentation scope: this program.
fn scope() -> Value {
    json!({ "name": "cxvault", "version": env!("CARGO_PKG_VERSION") })
}

/// Returns the body of a request to `/v1/metrics`: the gauges of the metrics file, with the same names.
pub fn metrics(ended: &RunEnd, more: &Resource) -> Vec<u8> {
    let at = nanoseconds(ended.ended_ms);
    let families: Vec<Value> = metrics::families(ended)
        .iter()
        .map(|family| {
            let points = family.samples.iter().map(|sample| point(sample, &at));
            let points: Vec<Value> = points.collect();
            json!({ "name": family.name, "description": family.help, "gauge": { "dataPoints": points } })
        })
        .collect();
    let body = json!({ "resourceMetrics": [{
        "resource": resource(ended, more),
        "scopeMetrics": [{ "scope": scope(), "metrics": families }],
    }] });
    body.to_string().into_bytes()
}

/// Returns a value of a metric, at an instant in nanoseconds.
fn point(sample: &Sample, at: &str) -> Value {
    let labels = sample.labels.iter();
    let attributes: Vec<Value> = labels.map(|(key, value)| text(key, value)).collect();
    json!({ "attributes": attributes, "timeUnixNano": at, "asDouble": sample.value })
}

/// Returns the body of a request to `/v1/traces`.
pub fn traces(ended: &RunEnd, more: &Resource) -> Vec<u8> {
    // No two runs of one command on one host begin and end in the same milliseconds.
    let identity = format!(
        "{} {} {} {}",
        ended.host, ended.command, ended.started_ms, ended.ended_ms
    );
    let trace = &Digest::of(identity.as_bytes()).hex()[..32];
    let root = span_id(&identity, 0);
    let mut spans = vec![run_span(ended, trace, &root)];
    for (n, day) in (1..).zip(&ended.days) {
        spans.push(day_span(day, trace, &span_id(&identity, n), &root));
    }
    let body = json!({ "resourceSpans": [{
        "resource": resource(ended, more),
        "scopeSpans": [{ "scope": scope(), "spans": spans }],
    }] });
    body.to_string().into_bytes()
}

/// Returns the id of span number `n` of a trace, 8 bytes in hexadecimal. It follows from the identity of the run, so that no
/// source of random numbers is needed.
fn span_id(identity: &str, n: usize) -> String {
    Digest::of(format!("{identity} {n}").as_bytes()).hex()[..16].to_owned()
}

/// Returns the span of the run, the root of the trace.
fn run_span(ended: &RunEnd, trace: &str, id: &str) -> Value {
    let mut attributes = vec![number("cxvault.exit_code", u64::from(ended.exit.code()))];
    attributes.extend(
        ended
            .archive
            .iter()
            .map(|archive| text("cxvault.archive", archive)),
    );
    json!({
        "traceId": trace,
        "spanId": id,
        "name": format!("cxvault {}", ended.command),
        "kind": INTERNAL,
        "startTimeUnixNano": nanoseconds(ended.started_ms),
        "endTimeUnixNano": nanoseconds(ended.ended_ms),
        "attributes": attributes,
        "status": status(ended.exit, ended.message.as_deref()),
    })
}

/// Returns the span of a day, a child of the span of the run.
fn day_span(day: &DaySpan, trace: &str, id: &str, parent: &str) -> Value {
    let mut attributes = vec![
        text("cxvault.sub_account", &day.sub_account),
        text("cxvault.outcome", day.outcome),
        number("cxvault.segments", day.segments),
        number("cxvault.summaries_failed", day.failed),
    ];
    attributes.extend(day.date.iter().map(|date| text("cxvault.date", date)));
    json!({
        "traceId": trace,
        "spanId": id,
        "parentSpanId": parent,
        "name": "day",
        "kind": INTERNAL,
        "startTimeUnixNano": nanoseconds(day.started_ms),
        "endTimeUnixNano": nanoseconds(day.ended_ms),
        "attributes": attributes,
        "status": status(day.exit, day.message.as_deref()),
    })
}

/// Returns the status of a span. Gaps are not an error: the day is committed.
fn status(exit: Exit, message: Option<&str>) -> Value {
    match exit {
        Exit::Done | Exit::Gaps | Exit::Locked => json!({ "code": STATUS_OK }),
        _ => json!({ "code": STATUS_ERROR, "message": message.unwrap_or_default() }),
    }
}
