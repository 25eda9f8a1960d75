//! An audit record and its signature: one object, in RFC 8785's form, at a numbered place of a chain. What the record is
//! about is its own affair: a sub-account's days, or the roster of all sub-accounts.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::format::record::manifest::{Link, Run};
use crate::format::row::schema::FORMAT_VERSION;
use crate::format::signature;
use crate::format::signature::{AllowedSigners, PublicKey, SigningKey};

/// The whole object that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed<B> {
    pub manifest: B,
    pub signature: Option<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// `sshsig`: OpenSSH's signature format.
    pub format: String,
    pub namespace: String,
    /// `ssh-ed25519 AAAA…`
    pub public_key: String,
    /// The armoured signature over the canonical bytes of `manifest`.
    pub value: String,
}

/// What is recorded, and where in which chain.
pub trait RecordBody: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    fn place(&self) -> RecordPlace<'_>;

    /// Who committed it, when, with what.
    fn run(&self) -> &Run;

    /// What types cannot say, and no other record or object is needed for; the JSON schema says the same. Keys and
    /// links are for whoever knows the place.
    fn check_shape(&self) -> Result<(), ManifestError>;
}

/// What a record says of its own place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace<'a> {
    pub archive_id: &'a str,
    /// A sub-account, or [`crate::format::place::key::ROSTER`].
    pub chain: &'a str,
    pub key: &'a str,
    pub sequence: u64,
    /// The object before it; none only for the first.
    pub previous: Option<&'a Link>,
}

/// Why an object is not a manifest of this chain.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("it is not a manifest of format version 1: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("it is of format version {0}, and this program knows version {FORMAT_VERSION}")]
    Version(u64),
    #[error("its bytes are not in canonical form (RFC 8785), or a member is missing")]
    NotCanonical,
    #[error("its {0} is none that format version 1 knows")]
    Shape(&'static str),
    #[error(
        "it holds text that a manifest may not hold (control characters, or a number beyond 2^53)"
    )]
    Unprintable,
    #[error("its signature does not hold: {0}")]
    Signature(String),
    #[error("it is signed by a key that is not among the allowed signers: {0}")]
    Signer(String),
    #[error("it is not signed, but a signing key is configured")]
    Unsigned,
}

/// One rule of a record's shape.
pub fn must(holds: bool, what: &'static str) -> Result<(), ManifestError> {
    if holds {
        Ok(())
    } else {
        Err(ManifestError::Shape(what))
    }
}

/// The bytes that are signed: what `jq -jcS .manifest` prints.
pub fn canonical(body: &impl Serialize) -> Result<Vec<u8>, ManifestError> {
    let value = serde_json::to_value(body)?;
    if !printable(&value) {
        return Err(ManifestError::Unprintable);
    }
    Ok(serde_json_canonicalizer::to_vec(&value)?)
}

/// # Errors
/// [`ManifestError::Version`] for another one.
pub fn known_version(version: u32) -> Result<(), ManifestError> {
    if version == FORMAT_VERSION {
        Ok(())
    } else {
        Err(ManifestError::Version(version.into()))
    }
}

/// The version that a record of another one names, whatever else it holds.
fn other_version(bytes: &[u8]) -> Option<u64> {
    let record: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let version = record.get("manifest")?.get("format_version")?.as_u64()?;
    (version != u64::from(FORMAT_VERSION)).then_some(version)
}

impl<B: RecordBody> Signed<B> {
    pub fn seal(body: B, signer: Option<&SigningKey>) -> Result<Signed<B>, ManifestError> {
        let message = canonical(&body)?;
        let signature = signer.map(|signer| Signature {
            format: "sshsig".to_owned(),
            namespace: signature::MANIFEST.to_owned(),
            public_key: signer.public_key().to_openssh_line(),
            value: signer.sign(signature::MANIFEST, &message),
        });
        Ok(Signed {
            manifest: body,
            signature,
        })
    }

    /// The object's bytes: canonical JSON without a final newline.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        Ok(serde_json_canonicalizer::to_vec(self)?)
    }

    /// Reads an object strictly: other bytes than [`Signed::to_bytes`] would make are refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Signed<B>, ManifestError> {
        let read = serde_json::from_slice(bytes);
        let envelope: Signed<B> = read
            .map_err(|error| other_version(bytes).map_or(error.into(), ManifestError::Version))?;
        // Also where a member is missing that may be null: what is signed would not be what lies there.
        if envelope.to_bytes()? != bytes {
            return Err(ManifestError::NotCanonical);
        }
        canonical(&envelope.manifest)?;
        envelope.manifest.check_shape()?;
        Ok(envelope)
    }

    /// The key that signed; `None` when nobody did.
    pub fn signer(&self) -> Result<Option<PublicKey>, ManifestError> {
        let Some(signed) = &self.signature else {
            return Ok(None);
        };
        let message = canonical(&self.manifest)?;
        let key = signature::verify(&signed.value, signature::MANIFEST, &message)
            .map_err(|error| ManifestError::Signature(error.to_string()))?;
        if signed.format != "sshsig" || signed.namespace != signature::MANIFEST {
            return Err(ManifestError::Signature(
                "format or namespace names another".to_owned(),
            ));
        }
        if key.to_openssh_line() != signed.public_key {
            return Err(ManifestError::Signature(
                "public_key names another key".to_owned(),
            ));
        }
        Ok(Some(key))
    }

    /// Requires a signature by one of `allowed`.
    pub fn require_signer(&self, allowed: &AllowedSigners) -> Result<(), ManifestError> {
        let key = self.signer()?.ok_or(ManifestError::Unsigned)?;
        if allowed.contains(&key, signature::MANIFEST) {
            return Ok(());
        }
        Err(ManifestError::Signer(key.fingerprint()))
    }
}

/// So that `jq -jcS` prints the same bytes: no control character, no U+007F, no number but integers below 2^53.
fn printable(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    let text = |text: &str| text.chars().all(|c| !c.is_control());
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(number) => number
            .as_i64()
            .is_some_and(|number| number.unsigned_abs() < 1 << 53),
        Value::String(string) => text(string),
        Value::Array(items) => items.iter().all(printable),
        Value::Object(members) => members
            .iter()
            .all(|(name, value)| name.is_ascii() && text(name) && printable(value)),
    }
}
