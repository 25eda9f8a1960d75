//! The options of the S3 client, from the settings of one place.
//!
//! An archive, its copy and its anchors each have a set of S3 settings with the same names after a prefix
//! ([`S3Access`](crate::config::S3Access)). One function turns any of them into options.

use crate::config::{S3Access, Settings};
use crate::outcome::{Failure, Result};
use crate::store::S3Options;

/// Returns the store's options for the S3 of one place: the archive, its copy, or its anchors.
pub(crate) fn s3_options(settings: &Settings, access: &S3Access) -> Result<S3Options> {
    Ok(S3Options {
        endpoint: access.endpoint.as_ref().map(ToString::to_string),
        region: access.region.clone(),
        path_style: access.path_style,
        kms_key_id: access.kms_key_id.clone(),
        allow_http: settings.allow_http,
        profile: access.profile.clone(),
        credentials: access.credentials()?,
    })
}

/// Returns how the S3 of a copy is reached: as the archive's, apart from what is set for the copy. With an endpoint of its
/// own the copy has nothing in common with the archive's service.
pub(crate) fn copy_options(settings: &Settings) -> Result<S3Options> {
    let options = s3_options(settings, &settings.copy)?;
    if options.profile.is_some() && options.credentials.is_some() {
        // Which credentials write must not depend on an order of precedence.
        return Err(Failure::usage("a profile and an access key are both set for the copy").remedy(
            "Unset CXVAULT_COPY_PROFILE (--to-profile), or CXVAULT_COPY_ACCESS_KEY_ID and its secret.",
        ));
    }
    if options.endpoint.is_some() {
        return Ok(options);
    }
    // The copy is at the archive's service. Its credentials and its KMS key stay its own.
    let archive = s3_options(settings, &settings.s3)?;
    Ok(S3Options {
        endpoint: archive.endpoint,
        region: options.region.or(archive.region),
        path_style: options.path_style || archive.path_style,
        ..options
    })
}
