//! One object of a chain: whether it is the record that belongs at its place.
//!
//! [`examine`] answers for one object by itself: its format version, that its bytes are canonical, its key, chain, number
//! and archive, and that its signature counts. Every record that the program reads passes it. Whether records follow each
//! other is the question of [`crate::chain::read`].

use crate::chain::archive::{Archive, Trust, violated};
use crate::chain::trust::{JudgedObject, Judgement};
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::envelope::signer_of;
use crate::format::record::{
    ChainPosition, DayRecord, HeadRef, Link, Manifest, RecordBody, Signed,
};
use crate::format::signature::PublicKey;
use crate::journal::Head;
use crate::outcome::Result;

/// Records of one chain that are fetched concurrently.
pub const AT_ONCE: usize = 32;

/// A record that was read and has passed [`examine`].
#[derive(Debug, Clone)]
pub struct StoredRecord<B = Manifest> {
    /// Number of the record in its chain, from 1.
    pub sequence: u64,
    /// Key of the object.
    pub key: String,
    /// Length of the object in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole object.
    pub sha256: Digest,
    /// The key whose signature the record carries; `None` for an unsigned record.
    pub signer: Option<PublicKey>,
    /// The record and its signature.
    pub envelope: Signed<B>,
}

impl StoredRecord {
    /// Returns what the record commits of a day; `None` for a record without rows.
    pub(crate) fn day(&self) -> Option<&DayRecord> {
        self.envelope.manifest.day()
    }
}

impl<B> StoredRecord<B> {
    /// Returns the link by which other records name this one.
    pub fn link(&self) -> Link {
        Link {
            key: self.key.clone(),
            sha256: self.sha256,
        }
    }
}

impl<B: RecordBody> StoredRecord<B> {
    /// Returns the record as the head of its chain.
    pub fn head(&self) -> Head {
        self.envelope.manifest.head(self.sha256)
    }

    /// Returns the position of the record after this one.
    pub(crate) fn next_position(&self) -> ChainPosition {
        self.envelope.manifest.next_position(self.sha256)
    }

    /// Returns the record as a head of its chain: `CHAIN:SEQUENCE:SHA256`.
    pub fn head_ref(&self) -> HeadRef {
        self.head().of_chain(self.envelope.manifest.place().chain)
    }
}

/// What an object at a record's place is.
#[derive(Debug)]
pub(crate) enum Examined<B> {
    /// A record that counts.
    Record(Box<StoredRecord<B>>),
    /// An object that is none, for this reason. In an archive that is not signed there are no such objects.
    Foreign(String),
}

/// Verifies that `bytes` are the record with number `sequence` of `chain`, by themselves.
///
/// # Errors
/// `Exit::Integrity` for a foreign object, and those of [`examine`].
pub(crate) fn verify<B: RecordBody>(
    trust: &Trust<'_>,
    chain: &str,
    sequence: u64,
    bytes: &[u8],
) -> Result<StoredRecord<B>> {
    match examine(trust, chain, sequence, bytes)? {
        Examined::Record(record) => Ok(*record),
        Examined::Foreign(why) => Err(violated(why)),
    }
}

/// Examines whether `bytes` are the record with number `sequence` of `chain`.
///
/// # Errors
/// `Exit::Integrity` for a record that counts and cannot be used: of another format version, not canonical, or
/// contradicting itself or a head that is known. In an archive that is not signed every object counts.
pub(crate) fn examine<B: RecordBody>(
    trust: &Trust<'_>,
    chain: &str,
    sequence: u64,
    bytes: &[u8],
) -> Result<Examined<B>> {
    let key = key::manifest(chain, sequence);
    let record = check_form::<B>(trust, chain, sequence, bytes);
    let (signer, begins_with) = match &record {
        Ok(record) => (record.signer, record.envelope.manifest.begins_with()),
        // A record that only a later program can read counts as well: it must not be taken for a foreign object.
        Err(_) => (signer_of(bytes, &key, trust.archive_id), None),
    };
    let judgement = trust.rules.judge(JudgedObject {
        chain,
        sequence,
        sha256: Digest::of(bytes),
        signer,
        begins_with,
    });
    match (judgement, record) {
        (Judgement::Counts, record) => Ok(Examined::Record(Box::new(record?))),
        (Judgement::Refused(why), _) => Err(violated(format!("{key} cannot be trusted: {why}"))),
        (Judgement::Foreign(why), Ok(_)) => {
            Ok(Examined::Foreign(format!("{key} cannot be trusted: {why}")))
        }
        (Judgement::Foreign(_), Err(failure)) => Ok(Examined::Foreign(failure.message)),
    }
}

/// Checks an object's form, its place and that its signature is valid, whoever signed it.
fn check_form<B: RecordBody>(
    trust: &Trust<'_>,
    chain: &str,
    sequence: u64,
    bytes: &[u8],
) -> Result<StoredRecord<B>> {
    let key = key::manifest(chain, sequence);
    let envelope = Signed::<B>::from_bytes(bytes)
        .map_err(|error| violated(format!("{key} is damaged: {error}")))?;
    let place = envelope.manifest.place();
    let own = place.key == key && place.sequence == sequence && place.chain == chain;
    if !own || place.archive_id != trust.archive_id {
        return Err(violated(format!(
            "{key} is the manifest of another place or archive"
        )));
    }
    if place.archive_sha256 != trust.archive_sha256 {
        return Err(violated(format!(
            "{key} names another archive.json: that object was exchanged, or the record is of another archive with the \
             same id"
        )));
    }
    // No key of a record is used as it stands: it may name another day's file, or climb out of a folder.
    if let Some(file) = envelope.manifest.misplaced_file() {
        return Err(violated(format!(
            "{key} lists a file under a key that is not its own: {}",
            file.escape_default()
        )));
    }
    envelope
        .manifest
        .check_agrees()
        .map_err(|error| violated(format!("{key} contradicts itself: {error}")))?;
    envelope
        .check_signed_from()
        .map_err(|error| violated(format!("{key} contradicts itself: {error}")))?;
    let signer = envelope
        .signer()
        .map_err(|error| violated(format!("{key} cannot be trusted: {error}")))?;
    Ok(StoredRecord {
        sequence,
        key,
        bytes: bytes.len() as u64,
        sha256: Digest::of(bytes),
        signer,
        envelope,
    })
}

/// Fetches and verifies one record.
///
/// # Errors
/// Those of [`verify`], and `Exit::Integrity` where there is no such object.
pub(crate) async fn fetch<B: RecordBody>(
    archive: &Archive,
    chain: &str,
    sequence: u64,
) -> Result<StoredRecord<B>> {
    let key = key::manifest(chain, sequence);
    let bytes = archive.store.get(&key).await?;
    let bytes = bytes.ok_or_else(|| violated(format!("{key} is missing")))?;
    verify(&archive.trust(), chain, sequence, &bytes)
}

/// Fetches the record that `link` names, which another record of the chain holds.
///
/// # Errors
/// Those of [`fetch`], and `Exit::Integrity` where the record is not the one that is named.
pub(crate) async fn fetch_linked<B: RecordBody>(
    archive: &Archive,
    chain: &str,
    link: &Link,
) -> Result<StoredRecord<B>> {
    let named = key::parse_manifest(&link.key)
        .filter(|sequence| key::manifest(chain, *sequence) == link.key)
        .ok_or_else(|| violated(format!("{} is no record of its chain", link.key)))?;
    let record = fetch(archive, chain, named).await?;
    if record.sha256 != link.sha256 {
        let key = &link.key;
        return Err(violated(format!("{key} is not the record that is named")));
    }
    Ok(record)
}
