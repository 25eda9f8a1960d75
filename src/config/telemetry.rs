//! Who is told how a run ended.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use crate::config::environment::Environment;
use crate::config::keys;
use crate::config::keys::Key;
use crate::config::layers::{AccountScope, Layers};
use crate::config::name::{BaseUrl, PathText, http_url, is_exposed};
use crate::config::secret;
use crate::outcome::{Exit, Failure, Result};
use crate::telemetry::{OtlpCollector, Receivers};

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

/// What the variables of OpenTelemetry say. Whoever set them for a whole machine or cluster must not keep a night from
/// being archived: what we cannot serve is a warning.
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
            "OTEL_EXPORTER_OTLP_PROTOCOL says grpc, and cxvault speaks http/json (usually port 4318)",
        ));
    }
    let headers = pairs(env.get("OTEL_EXPORTER_OTLP_HEADERS"));
    let writable = |(name, value): &(String, String)| {
        let token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        name.chars().all(token) && value.chars().all(|c| c == ' ' || c.is_ascii_graphic())
    };
    if !headers.iter().all(writable) {
        return Some(Err(
            "OTEL_EXPORTER_OTLP_HEADERS is not name=value,name=value",
        ));
    }
    if is_exposed(endpoint) && !headers.is_empty() {
        return Some(Err("its headers would travel over plain HTTP"));
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

/// `key=value,key=value`, values percent-encoded.
fn pairs(text: Option<&str>) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let value = percent_encoding::percent_decode_str(value.trim())
            .decode_utf8_lossy()
            .into_owned();
        (!key.trim().is_empty()).then(|| (key.trim().to_owned(), value))
    };
    text.unwrap_or_default()
        .split(',')
        .filter_map(pair)
        .collect()
}

/// Such a URL needs no password beside it: whoever knows it may write there.
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
    Err(Failure::new(
        Exit::Usage,
        format!(
            "{origin}: `{}` is not a URL that begins with https://",
            key.name
        ),
    )
    .remedy("Put the whole URL there, and nothing else."))
}

/// None of them may be plain HTTP to another machine.
pub(super) fn refuse_exposed(receivers: &Receivers) -> Result<()> {
    let secret = |url: &Option<SecretString>| {
        url.as_ref()
            .is_some_and(|url| is_exposed(url.expose_secret()))
    };
    let pushed = receivers.pushgateway.as_deref().is_some_and(is_exposed);
    let all = [
        (&keys::PUSHGATEWAY_URL, pushed),
        (&keys::WEBHOOK_URL_FILE, secret(&receivers.webhook)),
        (&keys::HEARTBEAT_URL_FILE, secret(&receivers.heartbeat)),
    ];
    match all.into_iter().find(|(_, exposed)| *exposed) {
        Some((key, _)) => Err(super::plain_http(key.inline_name())),
        None => Ok(()),
    }
}
