//! Where heads are kept a second time.

use secrecy::{ExposeSecret as _, SecretString};

use crate::config::keys;
use crate::config::layers::{AccountScope, Layers};
use crate::config::name::{BaseUrl, Location, Text};
use crate::config::secret;
use crate::config::telemetry;
use crate::config::value::{LockPolicy, Switch};
use crate::format::record::lock::Retention;
use crate::outcome::{Exit, Failure, Result};

/// The second place, how it is reached, and who else is told. The documentation of each field is its line in
/// [`keys`].
#[derive(Debug, Clone, Default)]
pub struct AnchorSettings {
    /// `s3://bucket/prefix` without a slash at its end, or a folder.
    pub location: Option<String>,
    pub endpoint: Option<BaseUrl>,
    pub region: Option<String>,
    pub path_style: bool,
    /// A profile of the AWS configuration, where there is no key.
    pub profile: Option<String>,
    /// Access key id and secret.
    pub credentials: Option<(String, SecretString)>,
    /// `None` is off.
    pub object_lock: Option<Retention>,
    /// The URL itself is the secret.
    pub webhook: Option<SecretString>,
}

impl AnchorSettings {
    pub fn is_s3(&self) -> bool {
        self.location
            .as_deref()
            .is_some_and(|location| location.starts_with("s3://"))
    }

    /// Whether the second place is written with credentials of its own.
    pub fn has_own_credentials(&self) -> bool {
        self.credentials.is_some() || self.profile.is_some()
    }
}

pub(super) fn take(layers: &mut Layers<'_>) -> Result<AnchorSettings> {
    let location = layers.take::<Location>(&keys::ANCHOR, AccountScope::Program)?;
    let endpoint = layers.take::<BaseUrl>(&keys::ANCHOR_S3_ENDPOINT, AccountScope::Program)?;
    let region = layers.take::<Text>(&keys::ANCHOR_S3_REGION, AccountScope::Program)?;
    let path_style = layers.take_or_default::<Switch>(&keys::ANCHOR_S3_PATH_STYLE)?;
    let profile = layers.take::<Text>(&keys::ANCHOR_S3_PROFILE, AccountScope::Program)?;
    let id = layers.take::<Text>(&keys::ANCHOR_ACCESS_KEY_ID, AccountScope::Program)?;
    let secret = secret::take(
        layers,
        &keys::ANCHOR_SECRET_ACCESS_KEY_FILE,
        AccountScope::Program,
    )?;
    let object_lock = layers.take_or_default::<LockPolicy>(&keys::ANCHOR_OBJECT_LOCK)?;
    Ok(AnchorSettings {
        location: location.map(|location| location.0),
        endpoint,
        region: region.map(|text| text.0),
        path_style: path_style.0,
        profile: profile.map(|text| text.0),
        credentials: pair(id.map(|text| text.0), secret.map(|(secret, _)| secret))?,
        object_lock: object_lock.0,
        webhook: telemetry::secret_url(layers, &keys::ANCHOR_WEBHOOK_URL_FILE)?,
    })
}

/// Half a pair would silently let the archive's own credentials write the anchor.
fn pair(
    id: Option<String>,
    secret: Option<SecretString>,
) -> Result<Option<(String, SecretString)>> {
    let half = |has: &str, lacks: &str| {
        let message = format!("{has} is set, but {lacks} is not");
        Err(Failure::new(Exit::Usage, message).remedy("Set both of the pair, or neither."))
    };
    match (id, secret) {
        (None, None) => Ok(None),
        (Some(id), Some(secret)) => Ok(Some((id, secret))),
        (Some(_), None) => half(
            "anchor_access_key_id",
            "CXVAULT_ANCHOR_SECRET_ACCESS_KEY (or its file)",
        ),
        (None, Some(_)) => half(
            "the anchor's secret access key",
            "CXVAULT_ANCHOR_ACCESS_KEY_ID",
        ),
    }
}

pub(super) fn refuse_contradictions(
    anchor: &AnchorSettings,
    archive: &str,
    allow_http: bool,
) -> Result<()> {
    let webhook = anchor.webhook.as_ref().map(|url| url.expose_secret());
    let exposed = [
        (
            "anchor_s3_endpoint",
            anchor.endpoint.as_ref().is_some_and(BaseUrl::is_exposed),
        ),
        (
            "anchor_webhook_url",
            webhook.is_some_and(super::name::is_exposed),
        ),
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
    if location == archive
        || location
            .strip_prefix(archive)
            .is_some_and(|rest| rest.starts_with('/'))
    {
        let message = format!("the anchor {location} lies in the archive {archive}");
        return Err(Failure::new(Exit::Usage, message).remedy(
            "Set CXVAULT_ANCHOR to a place of its own, best with credentials that the archive's writer lacks: what \
             can cut off a chain must not reach its anchor.",
        ));
    }
    if anchor.object_lock.is_some() && !anchor.is_s3() {
        let message = format!(
            "anchor_object_lock is set, but the anchor {location} is a folder, which cannot lock"
        );
        return Err(Failure::new(Exit::Usage, message)
            .remedy("Set CXVAULT_ANCHOR_OBJECT_LOCK=off, or keep anchors in s3://bucket/prefix."));
    }
    Ok(())
}
