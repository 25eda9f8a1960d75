//! Who is told how a run ended.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use crate::config::keys::{self, Key, Syntax};
use crate::config::layers::{Layers, Place};
use crate::config::name::{BaseUrl, PathText, is_exposed, is_url};
use crate::config::secret;
use crate::outcome::{Exit, Failure, Result};
use crate::telemetry::Receivers;

pub(super) fn take(layers: &mut Layers<'_>) -> Result<Receivers> {
    let metrics_file = layers.take::<PathText>(&keys::METRICS_FILE, Place::Program)?;
    let pushgateway = layers.take::<BaseUrl>(&keys::PUSHGATEWAY_URL, Place::Program)?;
    Ok(Receivers {
        metrics_file: metrics_file.map(|path| PathBuf::from(path.0)),
        pushgateway: pushgateway.map(|url| url.0),
        webhook: secret_url(layers, &keys::WEBHOOK_URL_FILE)?,
        heartbeat: secret_url(layers, &keys::HEARTBEAT_URL_FILE)?,
    })
}

/// Such a URL needs no password beside it: whoever knows it may write there.
fn secret_url(layers: &mut Layers<'_>, key: &'static Key) -> Result<Option<SecretString>> {
    let Some((url, origin)) = secret::take(layers, key, Place::Program)? else { return Ok(None) };
    if is_url(url.expose_secret()) {
        return Ok(Some(url));
    }
    Err(Failure::new(Exit::Usage, format!("{origin}: `{}` is not a URL that begins with https://", key.name))
        .remedy("Put the whole URL there, and nothing else."))
}

/// None of them may be plain HTTP to another machine.
pub(super) fn refuse_exposed(receivers: &Receivers) -> Result<()> {
    let secret = |url: &Option<SecretString>| url.as_ref().is_some_and(|url| is_exposed(url.expose_secret()));
    let pushed = receivers.pushgateway.as_deref().is_some_and(is_exposed);
    let all = [
        (&keys::PUSHGATEWAY_URL, pushed),
        (&keys::WEBHOOK_URL_FILE, secret(&receivers.webhook)),
        (&keys::HEARTBEAT_URL_FILE, secret(&receivers.heartbeat)),
    ];
    match all.into_iter().find(|(_, exposed)| *exposed) {
        Some((key, _)) => Err(super::plain_http(name(key))),
        None => Ok(()),
    }
}

/// What the address itself is called, where the key is about a file with it.
fn name(key: &'static Key) -> &'static str {
    match key.syntax {
        Syntax::SecretFile { inline, .. } => inline,
        _ => key.name,
    }
}
