//! The settings of a store in S3, which the store and its connection share.

use std::time::Duration;

use secrecy::SecretString;

/// Time-out of an answer, without the transfer of the body.
pub(super) const ANSWER: Duration = Duration::from_secs(60);

/// How S3 is reached. Without credentials and without a profile, the credentials are those of the default chain of AWS:
/// environment, profile, web identity, container, instance.
#[derive(Debug, Clone, Default)]
pub struct S3Options {
    /// URL of an S3-compatible service; Amazon S3 without it.
    pub endpoint: Option<String>,
    /// Region of the bucket; the AWS environment or the profile decides without it.
    pub region: Option<String>,
    /// Whether URLs are `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// KMS key that encrypts the objects; the default of the bucket without it.
    pub kms_key_id: Option<String>,
    /// Whether plain HTTP to another host is allowed.
    pub allow_http: bool,
    /// Access key id and secret, in place of a profile and of the default chain.
    pub credentials: Option<(String, SecretString)>,
    /// Profile of the AWS configuration files, in place of the default chain. In that chain the credentials of the environment
    /// would come first, which are for another store.
    pub profile: Option<String>,
}

/// The settings of a store in S3.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// Name of the bucket.
    pub bucket: String,
    /// Prefix of all keys, without slashes at its ends; empty for the whole bucket.
    pub prefix: String,
    /// How S3 is reached.
    pub options: S3Options,
}
