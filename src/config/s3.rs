//! How S3 is reached: one set of settings, which the archive (`s3_*`), its anchor (`anchor_*`) and a copy (`copy_*`) each
//! have under a prefix of their own. Nothing of the archive's own set holds for the anchor.
//!
//! The archive uses the default credential chain of AWS, which also serves a set that names no credentials. For a copy that is
//! enough. An anchor should protect against a person who can write to the archive, which it can only with credentials of its own:
//! [`S3Access::has_own_credentials`] tells the two cases apart.

use secrecy::SecretString;

use crate::config::keys::Key;
use crate::config::layers::{AccountScope, Layers};
use crate::config::name::{BaseUrl, Text};
use crate::config::value::Switch;
use crate::config::{keys, optional, secret};
use crate::outcome::{Failure, Result};

/// How the S3 of one place is reached. `Debug` shows no secret.
#[derive(Debug, Clone, Default)]
pub(crate) struct S3Access {
    /// URL of an S3-compatible service; Amazon S3 without it.
    pub endpoint: Option<BaseUrl>,
    /// Region of the bucket; the AWS environment decides without it.
    pub region: Option<String>,
    /// Whether the bucket is a part of the path instead of the host name.
    pub path_style: bool,
    /// KMS key that encrypts the objects; the bucket's default without it.
    pub kms_key_id: Option<String>,
    /// Profile of the AWS configuration files whose credentials are used.
    pub profile: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<SecretString>,
    /// Names of the settings with the id and with the secret, for messages.
    key_names: Option<(&'static Key, &'static Key)>,
}

/// The settings of one place. A place that lacks one cannot have its value.
#[derive(Clone, Copy)]
pub(super) struct S3Keys {
    endpoint: &'static Key,
    region: &'static Key,
    path_style: &'static Key,
    kms_key_id: Option<&'static Key>,
    profile: Option<&'static Key>,
    /// Id, and file with the secret.
    access_key: Option<(&'static Key, &'static Key)>,
}

/// The settings `s3_*`.
pub(super) const ARCHIVE: S3Keys = S3Keys {
    endpoint: &keys::S3_ENDPOINT,
    region: &keys::S3_REGION,
    path_style: &keys::S3_PATH_STYLE,
    kms_key_id: Some(&keys::S3_KMS_KEY_ID),
    profile: None,
    access_key: None,
};

/// The settings `anchor_*`.
pub(super) const ANCHOR: S3Keys = S3Keys {
    endpoint: &keys::ANCHOR_S3_ENDPOINT,
    region: &keys::ANCHOR_S3_REGION,
    path_style: &keys::ANCHOR_S3_PATH_STYLE,
    kms_key_id: None,
    profile: Some(&keys::ANCHOR_S3_PROFILE),
    access_key: Some((
        &keys::ANCHOR_ACCESS_KEY_ID,
        &keys::ANCHOR_SECRET_ACCESS_KEY_FILE,
    )),
};

/// The settings `copy_*`.
pub(super) const COPY: S3Keys = S3Keys {
    endpoint: &keys::COPY_ENDPOINT,
    region: &keys::COPY_REGION,
    path_style: &keys::COPY_PATH_STYLE,
    kms_key_id: Some(&keys::COPY_KMS_KEY_ID),
    profile: Some(&keys::COPY_PROFILE),
    access_key: Some((
        &keys::COPY_ACCESS_KEY_ID,
        &keys::COPY_SECRET_ACCESS_KEY_FILE,
    )),
};

/// Takes the settings of one place.
pub(super) fn take(layers: &mut Layers<'_>, keys: &S3Keys) -> Result<S3Access> {
    let mut access = S3Access {
        endpoint: optional(layers, keys.endpoint)?,
        region: optional::<Text>(layers, keys.region)?.map(|text| text.0),
        path_style: layers.take_or_default::<Switch>(keys.path_style)?.0,
        kms_key_id: optional_text(layers, keys.kms_key_id)?,
        profile: optional_text(layers, keys.profile)?,
        key_names: keys.access_key,
        ..S3Access::default()
    };
    if let Some((id, secret)) = keys.access_key {
        access.access_key_id = optional_text(layers, Some(id))?;
        access.secret_access_key =
            secret::take(layers, secret, AccountScope::Program)?.map(|(secret, _)| secret);
    }
    Ok(access)
}

fn optional_text(layers: &mut Layers<'_>, key: Option<&'static Key>) -> Result<Option<String>> {
    match key {
        Some(key) => Ok(optional::<Text>(layers, key)?.map(|text| text.0)),
        None => Ok(None),
    }
}

impl S3Access {
    /// Returns the access key id and its secret, where both are set.
    ///
    /// # Errors
    /// `Exit::Usage` where only half of the pair is set: otherwise the credentials of the environment would be used
    /// unnoticed.
    pub fn credentials(&self) -> Result<Option<(String, SecretString)>> {
        let (is_set, is_missing) = match (&self.access_key_id, &self.secret_access_key) {
            (None, None) => return Ok(None),
            (Some(id), Some(secret)) => return Ok(Some((id.clone(), secret.clone()))),
            (Some(_), None) => (0, 1),
            (None, Some(_)) => (1, 0),
        };
        let names = self
            .key_names
            .map_or([""; 2], |(id, secret)| [id.name, secret.inline_name()]);
        let variables = self
            .key_names
            .map_or([""; 2], |(id, secret)| [id.env, secret.inline_env()]);
        Err(Failure::usage(format!(
            "{} is set, but {} is not",
            names[is_set], names[is_missing]
        ))
        .remedy(format!(
            "Set both {} and {} (or the file with the secret), or neither.",
            variables[0], variables[1]
        )))
    }

    /// Returns whether this place is reached with credentials of its own.
    pub(crate) fn has_own_credentials(&self) -> bool {
        self.access_key_id.is_some() || self.profile.is_some()
    }
}
