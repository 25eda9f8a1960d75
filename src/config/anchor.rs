//! The anchor: the place where the head of each chain is stored a second time, out of reach of the archive's writer.

use secrecy::{ExposeSecret as _, SecretString};

use crate::config::layers::Layers;
use crate::config::name::is_exposed;
use crate::config::value::LockPolicy;
use crate::config::{BaseUrl, S3Access, keys, optional, s3, telemetry};
use crate::format::place::location::Location;
use crate::format::record::Retention;
use crate::outcome::{Failure, Result};

/// The settings of the anchor. The documentation of each field is its line in [`keys`].
#[derive(Debug, Clone, Default)]
pub(crate) struct AnchorSettings {
    /// Where the heads are stored.
    pub location: Option<Location>,
    /// How the anchor's S3 is reached.
    pub s3: S3Access,
    /// Object Lock of every anchor; `None` is off.
    pub object_lock: Option<Retention>,
    /// URL that receives each head. The URL itself is the secret.
    pub webhook: Option<SecretString>,
}

impl AnchorSettings {
    /// Returns whether the anchor is in S3.
    pub fn is_s3(&self) -> bool {
        self.location.as_ref().is_some_and(Location::is_s3)
    }
}

/// Takes the settings of the anchor.
pub(super) fn take(layers: &mut Layers<'_>) -> Result<AnchorSettings> {
    let anchor = AnchorSettings {
        location: optional(layers, &keys::ANCHOR)?,
        s3: s3::take(layers, &s3::ANCHOR)?,
        object_lock: layers
            .take_or_default::<LockPolicy>(&keys::ANCHOR_OBJECT_LOCK)?
            .0,
        webhook: telemetry::secret_url(layers, &keys::ANCHOR_WEBHOOK_URL_FILE)?,
    };
    // With half of a pair, the archive's own credentials would write the anchor, and no message would say so.
    anchor.s3.credentials()?;
    Ok(anchor)
}

/// Refuses an anchor that cannot protect the archive, or that would be reached in clear text.
pub(super) fn refuse_contradictions(
    anchor: &AnchorSettings,
    archive: &Location,
    allow_http: bool,
) -> Result<()> {
    let webhook = anchor.webhook.as_ref().map(|url| url.expose_secret());
    let exposed = [
        (
            "anchor_s3_endpoint",
            anchor.s3.endpoint.as_ref().is_some_and(BaseUrl::is_exposed),
        ),
        ("anchor_webhook_url", webhook.is_some_and(is_exposed)),
    ];
    if let Some((name, _)) = exposed
        .into_iter()
        .find(|(_, exposed)| *exposed && !allow_http)
    {
        return Err(super::plain_http(name));
    }
    let Some(location) = &anchor.location else {
        return Ok(());
    };
    if archive.contains(location) {
        let message = format!("the anchor {location} is inside of the archive {archive}");
        return Err(Failure::usage(message).remedy(
            "Set CXVAULT_ANCHOR to a location outside of the archive, with credentials of its own: a user who can \
             truncate a chain must not have access to its anchor.",
        ));
    }
    if anchor.object_lock.is_some() && !anchor.is_s3() {
        let message = format!(
            "anchor_object_lock is set, but the anchor {location} is a folder, which has no Object Lock"
        );
        return Err(Failure::usage(message).remedy(
            "Set CXVAULT_ANCHOR_OBJECT_LOCK=off, or use an anchor in S3: s3://bucket/prefix.",
        ));
    }
    Ok(())
}
