//! The receivers of telemetry: metrics file, Pushgateway, webhook, heartbeat and OpenTelemetry collector.
//!
//! The URLs of webhook and heartbeat are secrets, since they are all that a sender needs. The address of a Pushgateway is not,
//! and so can be in the settings file. None of these settings is a part of the digest in manifests: where a run is reported does
//! not change what it archives.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use crate::config::environment::Environment;
use crate::config::keys::Key;
use crate::config::layers::{AccountScope, Layers};
use crate::config::name::{BaseUrl, PathText, http_url, is_exposed};
use crate::config::{keys, secret};
use crate::outcome::{Failure, Result};
use crate::telemetry::{OtlpCollector, Receivers};

/// Takes the settings of all receivers.
pub(super) fn take(layers: &mut Layers<'_>) -> Result<Receivers> {
    let metrics_file = layers.take::<PathText>(&keys::METRICS_FILE, AccountScope::Program)?;
    let pushgateway = layers.take::<BaseUrl>(&keys::PUSHGATEWAY_URL, AccountScope::Program)?;
    Ok(Receivers {
        metrics_file: metrics_file.map(|path| PathBuf::from(path.0)),
        pushgateway: pushgateway.map(|url| url.0),
        webhook: secret_url(layers, &keys::WEBHOOK_URL_FILE)?,
        heartbeat: secret_url(layers, &keys::HEARTBEAT_URL_FILE)?,
        otlp: collector(layers.env),
    })
}

/// Reads the variables of the OpenTelemetry specification
/// (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).
///
/// They are often set for a whole host or cluster. So values that this program does not support are a warning and not an
/// error: they must not prevent a night from being archived.
fn collector(env: &Environment) -> Option<Result<OtlpCollector, &'static str>> {
    let endpoint = env
        .get("OTEL_EXPORTER_OTLP_ENDPOINT")?
        .trim_end_matches('/');
    if env
        .get("OTEL_SDK_DISABLED")
        .is_some_and(|text| text.eq_ignore_ascii_case("true"))
    {
        return None;
    }
    if http_url(endpoint).is_none() {
        return Some(Err("it is not a URL"));
    }
    if env
        .get("OTEL_EXPORTER_OTLP_PROTOCOL")
        .is_some_and(|protocol| protocol == "grpc")
    {
        return Some(Err(
            "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but cxvault supports http/json only (usually port 4318)",
        ));
    }
    let headers = pairs(env.get("OTEL_EXPORTER_OTLP_HEADERS"));
    if !headers.iter().all(is_header) {
        return Some(Err(
            "OTEL_EXPORTER_OTLP_HEADERS is not name=value,name=value",
        ));
    }
    if is_exposed(endpoint) && !headers.is_empty() {
        return Some(Err("its headers would be sent over plain HTTP"));
    }
    let mut resource = pairs(env.get("OTEL_RESOURCE_ATTRIBUTES"));
    resource.extend(
        env.get("OTEL_SERVICE_NAME")
            .map(|name| ("service.name".to_owned(), name.to_owned())),
    );
    Some(Ok(OtlpCollector {
        endpoint: endpoint.to_owned(),
        headers: headers
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
        resource,
    }))
}

/// Returns whether HTTP can carry this name and value as a header.
fn is_header(header: &(String, String)) -> bool {
    let (name, value) = header;
    name.chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && value.chars().all(|c| c == ' ' || c.is_ascii_graphic())
}

/// Reads `key=value,key=value` with percent-encoded values, as the specification writes headers and attributes. What has
/// no `=` is left out.
fn pairs(text: Option<&str>) -> Vec<(String, String)> {
    text.unwrap_or_default()
        .split(',')
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let value = percent_encoding::percent_decode_str(value.trim())
                .decode_utf8_lossy()
                .into_owned();
            (!key.trim().is_empty()).then(|| (key.trim().to_owned(), value))
        })
        .collect()
}

/// Takes a URL that is a secret itself: everyone with the URL of a webhook may write to it.
///
/// # Errors
/// `Exit::Usage` if it cannot be read or is not a URL of HTTP; the message does not repeat it.
pub(super) fn secret_url(
    layers: &mut Layers<'_>,
    key: &'static Key,
) -> Result<Option<SecretString>> {
    let Some((url, origin)) = secret::take(layers, key, AccountScope::Program)? else {
        return Ok(None);
    };
    if http_url(url.expose_secret()).is_some() {
        return Ok(Some(url));
    }
    Err(Failure::usage(format!(
        "{origin}: `{}` is not a URL that begins with https://",
        key.name
    ))
    .remedy("Write the whole URL there, and nothing else."))
}

/// Refuses a receiver that is reached with plain HTTP on another host.
pub(super) fn refuse_exposed(receivers: &Receivers) -> Result<()> {
    let webhook = receivers.webhook.as_ref().map(|url| url.expose_secret());
    let heartbeat = receivers.heartbeat.as_ref().map(|url| url.expose_secret());
    for (key, url) in [
        (&keys::PUSHGATEWAY_URL, receivers.pushgateway.as_deref()),
        (&keys::WEBHOOK_URL_FILE, webhook),
        (&keys::HEARTBEAT_URL_FILE, heartbeat),
    ] {
        if url.is_some_and(is_exposed) {
            return Err(super::plain_http(key.inline_name()));
        }
    }
    Ok(())
}
