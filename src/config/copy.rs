//! The way to a copy: what differs from the way to the archive.

use secrecy::SecretString;

use crate::config::keys;
use crate::config::layers::{AccountScope, Layers};
use crate::config::name::{BaseUrl, Text};
use crate::config::value::Switch;
use crate::config::{optional, secret};
use crate::outcome::{Exit, Failure, Result};

/// How the S3 of a copy is reached. Debug shows no secret.
#[derive(Debug, Clone, Default)]
pub struct CopySettings {
    pub endpoint: Option<BaseUrl>,
    pub region: Option<String>,
    pub path_style: bool,
    pub kms_key_id: Option<String>,
    pub profile: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<SecretString>,
}

impl CopySettings {
    /// Access key id and secret, where both are set.
    ///
    /// # Errors
    /// [`Exit::Usage`] for half of them, or for a profile beside them: who writes must not be a matter of precedence.
    pub fn credentials(&self) -> Result<Option<(String, SecretString)>> {
        let failed =
            |message: &str, remedy: &str| Err(Failure::new(Exit::Usage, message).remedy(remedy));
        match (&self.access_key_id, &self.secret_access_key, &self.profile) {
            (None, None, _) => Ok(None),
            (Some(_), Some(_), Some(_)) => failed(
                "a profile and an access key are both set for the copy",
                "Unset CXVAULT_COPY_PROFILE (--to-profile), or CXVAULT_COPY_ACCESS_KEY_ID and its secret.",
            ),
            (Some(id), Some(secret), None) => Ok(Some((id.clone(), secret.clone()))),
            (Some(_), None, _) => failed(
                "the copy's access key lacks its secret",
                "Set CXVAULT_COPY_SECRET_ACCESS_KEY_FILE, or CXVAULT_COPY_SECRET_ACCESS_KEY.",
            ),
            (None, Some(_), _) => failed(
                "the copy's secret access key lacks its id",
                "Set CXVAULT_COPY_ACCESS_KEY_ID to the id that belongs to it.",
            ),
        }
    }
}

pub(super) fn take(layers: &mut Layers<'_>) -> Result<CopySettings> {
    let text = |text: Option<Text>| text.map(|text| text.0);
    Ok(CopySettings {
        endpoint: optional(layers, &keys::COPY_ENDPOINT)?,
        region: text(optional(layers, &keys::COPY_REGION)?),
        path_style: layers.take_or_default::<Switch>(&keys::COPY_PATH_STYLE)?.0,
        kms_key_id: text(optional(layers, &keys::COPY_KMS_KEY_ID)?),
        profile: text(optional(layers, &keys::COPY_PROFILE)?),
        access_key_id: text(optional(layers, &keys::COPY_ACCESS_KEY_ID)?),
        secret_access_key: secret::take(
            layers,
            &keys::COPY_SECRET_ACCESS_KEY_FILE,
            AccountScope::Program,
        )?
        .map(|(secret, _)| secret),
    })
}
