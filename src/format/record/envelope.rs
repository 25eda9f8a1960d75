//! A record and its signature: one object, in RFC 8785's form, at a numbered place of a chain.
//!
//! What a record is about is defined elsewhere: [`Manifest`](crate::format::record::manifest::Manifest) for the days of
//! a sub-account, [`RosterRecord`](crate::format::record::roster::RosterRecord) for all sub-accounts together.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::format::hash::Digest;
use crate::format::record::error::ManifestError;
use crate::format::record::head::Head;
use crate::format::record::link::Link;
use crate::format::record::position::{ChainPosition, SinceEntry};
use crate::format::record::run::Run;
use crate::format::row::FORMAT_VERSION;
use crate::format::signature;
use crate::format::signature::{AllowedSigners, PublicKey, SigningKey};

/// The whole object that is stored: a record, and its signature where a key is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed<B> {
    /// The record.
    pub manifest: B,
    /// The signature over the record's canonical bytes; null where no key is configured.
    pub signature: Option<Signature>,
}

/// A signature as a record holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// `sshsig`: OpenSSH's signature format.
    pub format: String,
    /// The namespace of manifests, [`signature::MANIFEST`].
    pub namespace: String,
    /// `ssh-ed25519 AAAA…`, without a comment.
    pub public_key: String,
    /// The armoured signature over the canonical bytes of `manifest`.
    pub value: String,
}

/// What a chain's records have in common.
pub trait RecordBody: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Returns what the record says of its own place.
    fn place(&self) -> RecordPlace<'_>;

    /// Returns which process wrote the record.
    fn run(&self) -> &Run;

    /// Returns how later records list this one; `sha256` is the hash of its whole object.
    fn entry(&self, sha256: Digest) -> SinceEntry;

    /// Returns the position of the record after this one; `sha256` is the hash of this whole object.
    fn next_position(&self, sha256: Digest) -> ChainPosition {
        self.place().position.after(self.entry(sha256))
    }

    /// Returns the record as the head of its chain; `sha256` is the hash of its whole object.
    fn head(&self, sha256: Digest) -> Head {
        let place = self.place();
        Head {
            sequence: place.sequence,
            sha256,
            tree: place.position.tree_with(sha256),
        }
    }

    /// Checks what types cannot express and what needs no other object; the JSON schema says the same. Keys and links
    /// are checked by the readers, which know the record's place.
    ///
    /// # Errors
    /// [`ManifestError::Shape`] with the name of the member, or [`ManifestError::Version`].
    fn check_shape(&self) -> Result<(), ManifestError>;

    /// Checks members that follow from others of the same record, which no JSON schema can: the position, and what the
    /// kind of chain adds. It is separate from [`RecordBody::check_shape`] so that `verify` can report which members
    /// contradict each other, and go on.
    ///
    /// # Errors
    /// [`ManifestError::Contradiction`] with the names of the members.
    fn check_agrees(&self) -> Result<(), ManifestError> {
        let place = self.place();
        place
            .position
            .check_agrees(place.chain, place.sequence, place.previous)
    }
}

/// What a record says of its own place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace<'a> {
    /// Id of the archive.
    pub archive_id: &'a str,
    /// SHA-256 of the archive's `archive.json`.
    pub archive_sha256: Digest,
    /// A sub-account's id, or [`crate::format::place::key::ROSTER`].
    pub chain: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// Number in the chain, from 1.
    pub sequence: u64,
    /// The record before it; `None` only for the first.
    pub previous: Option<&'a Link>,
    /// Where it stands among the records of its chain.
    pub position: &'a ChainPosition,
}

/// Returns the bytes that are signed: what `jq -jcS .manifest` prints.
///
/// # Errors
/// [`ManifestError::Unprintable`] for a text or a number that `jq` would print in another form.
pub fn canonical(body: &impl Serialize) -> Result<Vec<u8>, ManifestError> {
    let value = serde_json::to_value(body)?;
    if !is_printable(&value) {
        return Err(ManifestError::Unprintable);
    }
    Ok(serde_json_canonicalizer::to_vec(&value)?)
}

/// Returns whether `jq -jcS` prints the same bytes: no control character, no name outside of ASCII, and no number but
/// integers below 2^53.
fn is_printable(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(number) => number
            .as_i64()
            .is_some_and(|number| number.unsigned_abs() < 1 << 53),
        Value::String(text) => !text.contains(char::is_control),
        Value::Array(items) => items.iter().all(is_printable),
        Value::Object(members) => members.iter().all(|(name, value)| {
            name.is_ascii() && !name.contains(char::is_control) && is_printable(value)
        }),
    }
}

/// Returns the version that a record names, if it is not the version of this program.
fn other_version(bytes: &[u8]) -> Option<u64> {
    let record: Value = serde_json::from_slice(bytes).ok()?;
    let version = record.get("manifest")?.get("format_version")?.as_u64()?;
    (version != u64::from(FORMAT_VERSION)).then_some(version)
}

impl<B: RecordBody> Signed<B> {
    /// Signs a record where there is a key.
    ///
    /// # Errors
    /// As [`canonical`].
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

    /// Returns the object's bytes: canonical JSON without a final newline.
    ///
    /// # Errors
    /// [`ManifestError::Unreadable`] where a value has no form in JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        Ok(serde_json_canonicalizer::to_vec(self)?)
    }

    /// Reads an object strictly: bytes that [`Signed::to_bytes`] would not write for it are refused.
    ///
    /// # Errors
    /// The first rule that the bytes break. The signature is not checked here: see [`Signed::signer`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Signed<B>, ManifestError> {
        let envelope: Signed<B> = serde_json::from_slice(bytes)
            .map_err(|error| other_version(bytes).map_or(error.into(), ManifestError::Version))?;
        // This also refuses an object that leaves out a member that may be null: the signed bytes would not be the
        // stored ones.
        if envelope.to_bytes()? != bytes {
            return Err(ManifestError::NotCanonical);
        }
        canonical(&envelope.manifest)?;
        envelope.manifest.check_shape()?;
        Ok(envelope)
    }

    /// Checks the signature and returns the key that made it; `None` where the record is not signed.
    ///
    /// # Errors
    /// [`ManifestError::Signature`] where the signature does not match the record, or the members beside it name
    /// another format, namespace or key.
    pub fn signer(&self) -> Result<Option<PublicKey>, ManifestError> {
        let Some(signed) = &self.signature else {
            return Ok(None);
        };
        let message = canonical(&self.manifest)?;
        let key = signature::verify(&signed.value, signature::MANIFEST, &message)
            .map_err(|error| ManifestError::Signature(error.to_string()))?;
        if signed.format != "sshsig" || signed.namespace != signature::MANIFEST {
            let reason = "format or namespace names another";
            return Err(ManifestError::Signature(reason.to_owned()));
        }
        if key.to_openssh_line() != signed.public_key {
            let reason = "public_key names another key";
            return Err(ManifestError::Signature(reason.to_owned()));
        }
        Ok(Some(key))
    }

    /// Checks that one of `allowed` has signed the record.
    ///
    /// # Errors
    /// [`ManifestError::Unsigned`], [`ManifestError::Signer`], or as [`Signed::signer`].
    pub fn require_signer(&self, allowed: &AllowedSigners) -> Result<(), ManifestError> {
        let key = self.signer()?.ok_or(ManifestError::Unsigned)?;
        if allowed.contains(&key, signature::MANIFEST) {
            Ok(())
        } else {
            Err(ManifestError::Signer(key.fingerprint()))
        }
    }
}
