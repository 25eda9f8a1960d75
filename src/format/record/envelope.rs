//! A record and its signature: one object, in RFC 8785's form, at a numbered place of a chain.
//!
//! What a record is about is defined elsewhere: [`Manifest`](crate::format::record::manifest::Manifest) for the days of
//! a sub-account, [`RosterRecord`](crate::format::record::roster::RosterRecord) for all sub-accounts together.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::format::hash::Digest;
use crate::format::record::carried::Carried;
use crate::format::record::continuity::Continuity;
use crate::format::record::error::{LARGEST_RECORD, ManifestError, agree};
use crate::format::record::head::Head;
use crate::format::record::key_list::KeyList;
use crate::format::record::link::Link;
use crate::format::record::position::{ChainPosition, SinceEntry};
use crate::format::record::run::Run;
use crate::format::row::FORMAT_VERSION;
use crate::format::signature;
use crate::format::signature::{AllowedSigners, PublicKey, SigningKey};

/// The whole object that is stored: a record, and its signature where a key is configured.
///
/// The object has these two members and no other, also in records of later programs: a further one would not be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<B> {
    /// The record, as far as this program understands it.
    pub manifest: B,
    /// What the record holds beyond that.
    pub carried: Carried,
    /// The signature over the record's canonical bytes; null where no key is configured.
    pub signature: Option<Signature>,
}

/// The form of the object in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredForm {
    manifest: Value,
    signature: Option<Signature>,
}

impl<B: RecordBody> Serialize for Signed<B> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let form = StoredForm {
            manifest: self.value().map_err(serde::ser::Error::custom)?,
            signature: self.signature.clone(),
        };
        form.serialize(to)
    }
}

impl<'de, B: RecordBody> Deserialize<'de> for Signed<B> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Signed::of(StoredForm::deserialize(from)?).map_err(serde::de::Error::custom)
    }
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

    /// Returns the paths of members with a value that a later program has added to an open list, `kind` included.
    fn later_values(&self) -> Vec<&'static str>;

    /// Returns the keys with which this record begins signing in an archive that was not signed; `None` for every other
    /// record.
    fn begins_with(&self) -> Option<&KeyList> {
        None
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
            .check_agrees(place.chain, place.sequence, place.previous)?;
        place
            .continuity
            .check_agrees(place.chain, place.sequence, place.previous)
    }

    /// Returns the key of a file that the record lists under another key than its own place and content give it; `None`
    /// where there is none.
    fn misplaced_file(&self) -> Option<&str> {
        None
    }
}

/// What a record says of its own place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace<'a> {
    /// Id of the archive.
    pub archive_id: &'a str,
    /// SHA-256 of the archive's `archive.json`.
    pub archive_sha256: Digest,
    /// A sub-account's id, or the name of a chain about the whole archive.
    pub chain: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// Number in the chain, from 1.
    pub sequence: u64,
    /// The record before it; `None` only for the first.
    pub previous: Option<&'a Link>,
    /// Where it stands among the records of its chain.
    pub position: &'a ChainPosition,
    /// Since when its chain is signed, and what it passes over.
    pub continuity: &'a Continuity,
}

/// Returns the bytes that are signed: what `jq -jcS .manifest` prints.
fn canonical(record: &Value) -> Result<Vec<u8>, ManifestError> {
    if !is_printable(record) {
        return Err(ManifestError::Unprintable);
    }
    Ok(serde_json_canonicalizer::to_vec(record)?)
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

/// Returns the key that has signed an object as the record at `key` of the archive with this id, whatever else the object
/// says; `None` where none has.
///
/// A record of a later program may be one that this program cannot read. It is a record nevertheless if its signature
/// counts, and must not be taken for a foreign object.
pub(crate) fn signer_of(bytes: &[u8], key: &str, archive_id: &str) -> Option<PublicKey> {
    let form: StoredForm = serde_json::from_slice(bytes).ok()?;
    let text = |member: &str| form.manifest.get(member).and_then(Value::as_str);
    if text("key") != Some(key) || text("archive_id") != Some(archive_id) {
        return None;
    }
    let message = serde_json_canonicalizer::to_vec(&form.manifest).ok()?;
    signature::verify(&form.signature?.value, signature::MANIFEST, &message).ok()
}

impl<B: RecordBody> Signed<B> {
    /// Signs a record where there is a key.
    ///
    /// # Errors
    /// [`ManifestError::Unprintable`] for a text or a number that a record may not hold.
    pub fn seal(body: B, signer: Option<&SigningKey>) -> Result<Signed<B>, ManifestError> {
        let message = canonical(&serde_json::to_value(&body)?)?;
        let signature = signer.map(|signer| Signature {
            format: "sshsig".to_owned(),
            namespace: signature::MANIFEST.to_owned(),
            public_key: signer.public_key().to_openssh_line(),
            value: signer.sign(signature::MANIFEST, &message),
        });
        Ok(Signed {
            manifest: body,
            carried: Carried::default(),
            signature,
        })
    }

    /// Returns the record as it is stored, with what this program does not understand of it.
    fn value(&self) -> Result<Value, ManifestError> {
        let understood = serde_json::to_value(&self.manifest)?;
        Ok(self.carried.add_to(understood))
    }

    /// Returns the bytes that are signed: what `jq -jcS .manifest` prints.
    ///
    /// # Errors
    /// [`ManifestError::Unprintable`] for a text or a number that a record may not hold.
    pub fn canonical(&self) -> Result<Vec<u8>, ManifestError> {
        canonical(&self.value()?)
    }

    /// Returns the paths of the members that this program carries without understanding them, sorted, each once: members
    /// that it does not know, and those with a value that a later program has added to an open list.
    pub fn unread(&self) -> Vec<String> {
        let mut paths = self.carried.paths();
        let later = self.manifest.later_values();
        paths.extend(later.into_iter().map(str::to_owned));
        paths.sort_unstable();
        paths
    }

    /// Reads a record from its form in JSON: what types understand of it, and the rest.
    fn of(form: StoredForm) -> Result<Signed<B>, ManifestError> {
        let StoredForm {
            manifest: stored,
            signature,
        } = form;
        let manifest = B::deserialize(&stored)?;
        let understood = serde_json::to_value(&manifest)?;
        let carried = Carried::between(&stored, &understood)?.ok_or(ManifestError::NotCanonical)?;
        let envelope = Signed {
            manifest,
            carried,
            signature,
        };
        envelope.carried.check_critical(&envelope.unread())?;
        Ok(envelope)
    }

    /// Returns the object's bytes: canonical JSON without a final newline.
    ///
    /// # Errors
    /// [`ManifestError::Unreadable`] where a value has no form in JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        Ok(serde_json_canonicalizer::to_vec(self)?)
    }

    /// Reads an object. What is known of it must be as this program would write it, and all of it in canonical form; members
    /// that are not known are carried, unless the record says that a reader must know them.
    ///
    /// # Errors
    /// The first rule that the bytes break. The signature is not checked here: see [`Signed::signer`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Signed<B>, ManifestError> {
        if bytes.len() as u64 > LARGEST_RECORD {
            return Err(ManifestError::TooLarge(bytes.len() as u64));
        }
        let form: StoredForm = serde_json::from_slice(bytes)
            .map_err(|error| other_version(bytes).map_or(error.into(), ManifestError::Version))?;
        let stored = form.manifest.get("format_version").and_then(Value::as_u64);
        let version = stored.filter(|version| *version != u64::from(FORMAT_VERSION));
        let canonical_form = serde_json_canonicalizer::to_vec(&form)?;
        let printable = is_printable(&form.manifest);
        let envelope: Signed<B> =
            Signed::of(form).map_err(|error| version.map_or(error, ManifestError::Version))?;
        if canonical_form != bytes {
            return Err(ManifestError::NotCanonical);
        }
        if !printable {
            return Err(ManifestError::Unprintable);
        }
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
        let message = self.canonical()?;
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

    /// Checks that the record says since when its chain is signed exactly where it is signed itself.
    ///
    /// # Errors
    /// [`ManifestError::Contradiction`].
    pub fn check_signed_from(&self) -> Result<(), ManifestError> {
        let stated = self.manifest.place().continuity.signed_from.is_some();
        agree(
            stated == self.signature.is_some(),
            "signature and signed_from",
        )
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
