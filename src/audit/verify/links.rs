//! Whether the records of one chain follow one another: places, links, the list of the records before each, and
//! signatures, independent of their contents.
//!
//! Nothing is read here: the objects come in, in order.
//!
//! # What is not checked
//!
//! Whether the chain is complete at its end, and what the records contain. An attacker with write access but without the signing
//! key can remove the newest records, or rewrite an unsigned chain as a whole; neither changes a link.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::audit::verify::finding::{Finding, FindingCode, Findings};
use crate::audit::verify::keys::{KeyHistory, Standing};
use crate::format::hash::{Digest, Tree, merkle};
use crate::format::place::key;
use crate::format::record::envelope::signer_of;
use crate::format::record::error::LARGEST_RECORD;
use crate::format::record::{
    ChainPosition, ForeignObject, KeyList, Link, ManifestError, RecordBody, RecordPlace, Signed,
    SinceEntry, TreeHead,
};
use crate::format::signature::PublicKey;

/// An object of a chain, read and with its signature checked. This is the expensive part, and can be done in any order.
pub(crate) struct ReadRecord<B> {
    /// SHA-256 of the object.
    pub sha256: Digest,
    /// Length of the object.
    bytes: u64,
    read: Result<ReadableRecord<B>, UnreadableRecord>,
}

/// An object that cannot be read as a record. It may be one of a later program.
struct UnreadableRecord {
    error: ManifestError,
    object: Vec<u8>,
}

struct ReadableRecord<B> {
    envelope: Signed<B>,
    /// The key that signed; `None` without a signature.
    signer: Result<Option<PublicKey>, ManifestError>,
}

impl<B: RecordBody> ReadRecord<B> {
    /// Reads an object.
    pub fn read(bytes: &[u8]) -> ReadRecord<B> {
        let read = match Signed::from_bytes(bytes) {
            Ok(envelope) => {
                let signer = envelope.signer();
                Ok(ReadableRecord { envelope, signer })
            }
            Err(error) => Err(UnreadableRecord {
                error,
                object: bytes.to_vec(),
            }),
        };
        ReadRecord {
            sha256: Digest::of(bytes),
            bytes: bytes.len() as u64,
            read,
        }
    }
}

/// What the records of a chain must be, beyond their links.
pub(crate) trait RecordCheck {
    /// What the records contain.
    type Record: RecordBody + Send + 'static;

    /// Returns the check of the links.
    fn links(&mut self) -> &mut LinkCheck;

    /// Takes the next record and returns what is wrong with it.
    fn next(&mut self, sequence: u64, object: ReadRecord<Self::Record>) -> Vec<Finding>;
}

/// Which archive the records must be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ArchiveIdentity<'a> {
    /// Id of the archive.
    pub id: &'a str,
    /// SHA-256 of `archive.json`; `None` where that cannot be read, which is a finding of its own.
    pub sha256: Option<Digest>,
}

/// The records of a chain so far, listed as the next record must list them.
///
/// It is computed from the records that were read, and not by the code with which a writer computes a position.
#[derive(Debug, Default)]
struct RecordList {
    tree: Tree,
    /// The records from the last multiple of 64 on.
    recent: Vec<SinceEntry>,
}

impl RecordList {
    /// Adds a record.
    fn push(&mut self, entry: SinceEntry) {
        if self.tree.leaves().is_multiple_of(64) {
            self.recent.clear();
        }
        self.tree.push(merkle::leaf_hash(&entry.sha256.0));
        self.recent.push(entry);
    }

    /// Takes over what a record says of those before it, after some of these could not be read.
    fn adopt(&mut self, position: &ChainPosition) {
        self.tree = Tree::from_peaks(position.index, position.peaks.clone());
        self.recent.clone_from(&position.since);
    }

    /// Returns the member of a position that differs from this list, with the expected and the stated value.
    fn difference(&self, position: &ChainPosition) -> Option<PositionDifference> {
        let (index, stated) = (self.tree.leaves(), position.index);
        if index != stated {
            return Some(PositionDifference::new("index", index, stated));
        }
        if self.tree.peaks() != position.peaks {
            let peaks = |peaks: &[Digest]| peaks.iter().map(Digest::hex).collect::<Vec<_>>();
            let (expected, stated) = (peaks(self.tree.peaks()), peaks(&position.peaks));
            let (expected, stated) = (expected.join(" "), stated.join(" "));
            return Some(PositionDifference::new("peaks", expected, stated));
        }
        let pairs = self.recent.iter().zip(&position.since);
        let (own, stated) = pairs.into_iter().find(|(own, stated)| own != stated)?;
        Some(PositionDifference::new(
            "since",
            entry_text(own),
            entry_text(stated),
        ))
    }
}

/// One member of a record's position that differs from the chain before it.
struct PositionDifference {
    expected: String,
    stated: String,
}

impl PositionDifference {
    fn new(
        member: &str,
        expected: impl std::fmt::Display,
        stated: impl std::fmt::Display,
    ) -> PositionDifference {
        PositionDifference {
            expected: format!("{member} {expected}"),
            stated: stated.to_string(),
        }
    }
}

/// The members of a chain's records that this program does not know, or whose values it does not know.
#[derive(Debug, Default)]
pub(crate) struct UnreadMembers {
    /// Number of records that have some.
    pub records: u64,
    /// Number of the first of them.
    first: u64,
    /// The paths of the members.
    paths: BTreeSet<String>,
}

/// The most paths that a finding names. Their names are those of the archive, and there may be many.
const NAMED_PATHS: usize = 20;

impl UnreadMembers {
    fn add(&mut self, sequence: u64, paths: Vec<String>) {
        if paths.is_empty() {
            return;
        }
        if self.records == 0 {
            self.first = sequence;
        }
        self.records += 1;
        let room = (NAMED_PATHS + 1).saturating_sub(self.paths.len());
        self.paths.extend(paths.into_iter().take(room));
    }

    /// Returns the notice about the chain `name`; `None` where everything was understood.
    pub(crate) fn finding(&self, name: &str) -> Option<Finding> {
        if self.records == 0 {
            return None;
        }
        let named: Vec<&str> = self
            .paths
            .iter()
            .take(NAMED_PATHS)
            .map(String::as_str)
            .collect();
        let more = if self.paths.len() > NAMED_PATHS {
            ", …"
        } else {
            ""
        };
        let found = format!(
            "{} records, the first at {}, with {}{more}",
            self.records,
            key::manifest(name, self.first),
            named.join(", ")
        );
        let chain = key::chain(name);
        let expected = "members that this program knows";
        Some(Finding::new(
            FindingCode::CarriedUnread,
            chain,
            expected,
            found,
        ))
    }
}

/// Takes the records of one chain in order.
pub(crate) struct LinkCheck {
    /// The chain's name: a sub-account's id, or [`key::ROSTER`].
    pub name: String,
    archive_id: String,
    /// The hash of `archive.json` that the records must name. After a difference it is the one that the record names, so
    /// that an exchanged `archive.json` is reported once for each chain.
    archive_sha256: Option<Digest>,
    /// The keys that count, as far as they are known.
    pub keys: Arc<KeyHistory>,
    /// Numbers after the newest record at which there is no record: what is there, and what would be wrong with it.
    pending: BTreeMap<u64, NoRecord>,
    /// The records before the next one; `None` after one that was missing or unreadable.
    list: Option<RecordList>,
    /// Number and hash of the newest record.
    pub head: Option<(u64, Digest)>,
    /// Number of records.
    pub records: u64,
    /// Number of records with a signature.
    pub signed: u64,
    /// What this program carries without understanding it.
    pub unread: UnreadMembers,
    /// The number from which on the chain is signed, by its newest record; `None` while it is not.
    signed_from: Option<u64>,
    /// Whether a record was missing or unreadable. Then rules about all earlier records cannot be checked any more.
    pub broken: bool,
}

impl LinkCheck {
    /// Returns a check that has seen no record.
    pub fn new(archive: ArchiveIdentity<'_>, name: &str, keys: Arc<KeyHistory>) -> Self {
        LinkCheck {
            name: name.to_owned(),
            archive_id: archive.id.to_owned(),
            archive_sha256: archive.sha256,
            keys,
            pending: BTreeMap::new(),
            list: Some(RecordList::default()),
            head: None,
            records: 0,
            signed: 0,
            unread: UnreadMembers::default(),
            signed_from: None,
            broken: false,
        }
    }

    /// Notes that there is no object at a number. Where the archive is signed, a later record says whether a record is
    /// missing.
    pub fn absent(&mut self, sequence: u64) -> Option<Finding> {
        if self.keys.needs_no_signature(&self.name, sequence) {
            return Some(self.missing(sequence));
        }
        let key = key::manifest(&self.name, sequence);
        let missing = Finding::new(FindingCode::ManifestMissing, key, "a manifest", "nothing");
        let absent = NoRecord {
            object: None,
            findings: vec![missing],
        };
        self.pending.insert(sequence, absent);
        None
    }

    /// Notes that an object is larger than any record.
    pub fn too_large(&mut self, sequence: u64, bytes: u64) -> Option<Finding> {
        let reason = "an object larger than any manifest";
        if self.keys.needs_no_signature(&self.name, sequence) {
            return Some(self.unreadable(sequence, reason));
        }
        let key = key::manifest(&self.name, sequence);
        let (code, expected) = (
            FindingCode::ManifestUnreadable,
            "a manifest of format version 1",
        );
        let finding = Finding::new(code, key.as_str(), expected, reason);
        let object = ForeignObject {
            key,
            bytes,
            sha256: None,
        };
        let too_large = NoRecord {
            object: Some(object),
            findings: vec![finding],
        };
        self.pending.insert(sequence, too_large);
        None
    }

    /// Notes that the next record does not exist.
    pub fn missing(&mut self, sequence: u64) -> Finding {
        self.broken = true;
        self.head = None;
        self.list = None;
        let key = key::manifest(&self.name, sequence);
        Finding::new(FindingCode::ManifestMissing, key, "a manifest", "nothing")
    }

    /// Notes that the next object is no record.
    pub fn unreadable(&mut self, sequence: u64, reason: &str) -> Finding {
        self.broken = true;
        self.head = None;
        self.list = None;
        self.records += 1;
        let key = key::manifest(&self.name, sequence);
        Finding::new(
            FindingCode::ManifestUnreadable,
            key,
            "a manifest of format version 1",
            reason,
        )
    }

    /// Takes the next record. Returns it if it can be read.
    pub fn next<B: RecordBody>(
        &mut self,
        found: &mut Findings<'_>,
        sequence: u64,
        object: ReadRecord<B>,
    ) -> Option<Signed<B>> {
        if let Some(foreign) = self.foreign(sequence, &object) {
            self.pending.insert(sequence, foreign);
            return None;
        }
        let ReadRecord { sha256, read, .. } = object;
        if let Ok(readable) = &read {
            let place = readable.envelope.manifest.place();
            self.settle(found, place);
        }
        let before = self.head.replace((sequence, sha256));
        self.records += 1;
        match read {
            Err(UnreadableRecord { error, .. }) => {
                self.broken = true;
                self.list = None;
                found.add(
                    FindingCode::ManifestUnreadable,
                    "a manifest of format version 1",
                    error.to_string(),
                );
                None
            }
            Ok(ReadableRecord { envelope, signer }) => {
                self.unread.add(sequence, envelope.unread());
                let place = envelope.manifest.place();
                self.check_place(found, place, sequence);
                self.check_archive(found, place);
                self.check_link(found, place, before);
                self.check_position(found, &envelope.manifest, sha256);
                let begins_with = envelope.manifest.begins_with();
                self.check_signature(found, sequence, begins_with, signer);
                self.check_signed_from(found, &envelope, sequence);
                Some(envelope)
            }
        }
    }

    /// Checks that a record states the archive, the chain, the key and the number at which it is stored. A record that was
    /// copied from another place has a valid signature but states another place.
    fn check_place(&self, found: &mut Findings<'_>, place: RecordPlace<'_>, sequence: u64) {
        for (what, expected, stated) in [
            ("archive id", self.archive_id.as_str(), place.archive_id),
            ("sub-account", &self.name, place.chain),
            ("key", &key::manifest(&self.name, sequence), place.key),
            (
                "sequence",
                &sequence.to_string(),
                &place.sequence.to_string(),
            ),
        ] {
            found.add_unless_equal(FindingCode::ManifestMisplaced, what, expected, stated);
        }
    }

    /// Checks that a record names the archive's own `archive.json` by its hash: an exchanged one has the same id.
    fn check_archive(&mut self, found: &mut Findings<'_>, place: RecordPlace<'_>) {
        let stated = place.archive_sha256;
        if let Some(expected) = self.archive_sha256.filter(|expected| *expected != stated) {
            let expected = format!("archive_sha256: {expected}");
            found.add(FindingCode::ArchiveRecord, expected, stated.hex());
            self.archive_sha256 = Some(stated);
        }
    }

    /// Checks that a record lists the records before it as they are, and adds it to the list.
    fn check_position<B: RecordBody>(
        &mut self,
        found: &mut Findings<'_>,
        record: &B,
        sha256: Digest,
    ) {
        if let Err(error) = record.check_agrees() {
            let expected = "members that agree with each other";
            found.add(FindingCode::PositionWrong, expected, error.to_string());
        }
        let position = record.place().position;
        let list = self.list.get_or_insert_with(|| {
            let mut list = RecordList::default();
            list.adopt(position);
            list
        });
        if let Some(difference) = list.difference(position) {
            let PositionDifference { expected, stated } = difference;
            found.add(FindingCode::PositionWrong, expected, stated);
            // Later records are compared with what this one says, so that one fault is reported once.
            list.adopt(position);
        }
        list.push(record.entry(sha256));
    }

    /// Returns the tree over all records up to the newest one; `None` where that could not be read.
    pub(crate) fn tree_head(&self) -> Option<TreeHead> {
        let list = self.list.as_ref()?;
        Some(TreeHead::of(&list.tree))
    }

    /// Checks that a record names the record before it by key and SHA-256, and that the first record names none.
    fn check_link(
        &self,
        found: &mut Findings<'_>,
        place: RecordPlace<'_>,
        before: Option<(u64, Digest)>,
    ) {
        let named = place
            .previous
            .map_or_else(|| "nothing".to_owned(), link_text);
        let expected = match before {
            Some((sequence, sha256)) => link_text(&Link {
                key: key::manifest(&self.name, sequence),
                sha256,
            }),
            // The record before it is missing, which is a finding of its own.
            None if self.broken => return,
            None => "nothing".to_owned(),
        };
        if named != expected {
            // Either the record before this one or the link was changed; which of the two cannot be told.
            found.add(
                FindingCode::ChainBroken,
                format!("previous: {expected}"),
                named,
            );
        }
    }

    /// Checks a record's signature. A chain may begin without signatures, but after the first signature every record must
    /// have one: otherwise an attacker without the key could append records.
    fn check_signature(
        &mut self,
        found: &mut Findings<'_>,
        sequence: u64,
        begins_with: Option<&KeyList>,
        signer: Result<Option<PublicKey>, ManifestError>,
    ) {
        match signer {
            Err(error) => found.add(
                FindingCode::SignatureInvalid,
                "a signature that matches",
                error.to_string(),
            ),
            Ok(None) if self.signed > 0 => {
                found.add(FindingCode::ManifestUnsigned, "a signature", "none")
            }
            Ok(None) => {}
            Ok(Some(signer)) => {
                self.signed += 1;
                let keys = &self.keys;
                let is_needed = !keys.needs_no_signature(&self.name, sequence);
                let standing = keys.standing(&self.name, sequence, &signer, begins_with);
                let expected = match standing {
                    Standing::Distrusted => Some("an allowed signer"),
                    Standing::Unlisted => Some("a key that the archive lists or has listed"),
                    Standing::Record | Standing::Foreign => None,
                };
                if let Some(expected) = expected.filter(|_| is_needed) {
                    let code = FindingCode::SignerNotAllowed;
                    found.add(code, expected, signer.fingerprint());
                }
            }
        }
    }
}

/// A number of a chain at which there is no record.
struct NoRecord {
    /// What is there; `None` where nothing is.
    object: Option<ForeignObject>,
    /// What would be wrong, if a record belonged there.
    findings: Vec<Finding>,
}

/// The most objects beyond a chain's head that are reported one by one.
const NAMED_OBJECTS: usize = 100;

impl LinkCheck {
    /// Returns what an object is whose signature does not make it a record; `None` for a record. Whether a record belongs
    /// there is known when a later record, or a head from a second source, says so.
    fn foreign<B: RecordBody>(&self, sequence: u64, object: &ReadRecord<B>) -> Option<NoRecord> {
        let keys = &self.keys;
        if keys.needs_no_signature(&self.name, sequence) {
            return None;
        }
        let key = key::manifest(&self.name, sequence);
        let mut found = Findings::new(&key);
        let counts = match &object.read {
            Ok(ReadableRecord { envelope, signer }) => {
                let record = &envelope.manifest;
                self.check_place(&mut found, record.place(), sequence);
                match signer {
                    Err(error) => {
                        let expected = "a signature that matches";
                        found.add(FindingCode::SignatureInvalid, expected, error.to_string());
                        false
                    }
                    Ok(None) => {
                        found.add(FindingCode::ManifestUnsigned, "a signature", "none");
                        false
                    }
                    Ok(Some(signer)) => {
                        let begins = record.begins_with();
                        let standing = keys.standing(&self.name, sequence, signer, begins);
                        if standing == Standing::Foreign {
                            let (expected, key) = ("a key that counts", signer.fingerprint());
                            found.add(FindingCode::SignerNotAllowed, expected, key);
                        }
                        standing != Standing::Foreign && found.found.is_empty()
                    }
                }
            }
            Err(UnreadableRecord { error, object }) => {
                let expected = "a manifest of format version 1";
                found.add(FindingCode::ManifestUnreadable, expected, error.to_string());
                // A record of a later program counts, although this one cannot read it.
                let signer = signer_of(object, &key, &self.archive_id);
                signer.is_some_and(|signer| {
                    keys.standing(&self.name, sequence, &signer, None) != Standing::Foreign
                })
            }
        };
        let findings = found.found;
        (!counts).then(|| NoRecord {
            object: Some(ForeignObject {
                key,
                bytes: object.bytes,
                sha256: (object.bytes <= LARGEST_RECORD).then_some(object.sha256),
            }),
            findings,
        })
    }

    /// Decides, with a record that counts, about the numbers before it: up to the record that it names as the one before it
    /// they belong to records, the others to objects that it passes over.
    fn settle(&mut self, found: &mut Findings<'_>, place: RecordPlace<'_>) {
        let previous = place
            .previous
            .and_then(|link| key::parse_manifest(&link.key));
        let mut foreign = Vec::new();
        for (number, none) in std::mem::take(&mut self.pending) {
            if previous.is_some_and(|previous| number <= previous) {
                self.broken = true;
                self.head = None;
                self.list = None;
                self.records += u64::from(none.object.is_some());
                found.found.extend(none.findings);
            } else {
                // An object that was passed over may have been removed since.
                foreign.extend(none.object);
            }
        }
        let Some(passed_over) = &place.continuity.passed_over else {
            return;
        };
        for object in &foreign {
            let key = object.key.as_str();
            let stated = passed_over.named(key);
            if stated.is_some_and(|stated| stated != object) {
                let (code, other) = (FindingCode::ForeignRecord, foreign_text(object));
                let expected = stated.map(foreign_text).unwrap_or_default();
                found.found.push(Finding::new(code, key, expected, other));
            }
        }
        if !foreign.is_empty() {
            let counted = format!("{} objects that are no records", foreign.len());
            found.add(FindingCode::PassedOver, "records only", counted);
        }
    }

    /// Decides about the numbers beyond the newest record. Up to `known_to`, the newest number that a second source names,
    /// records belong there, and everywhere in an archive that has not begun otherwise.
    pub(crate) fn finish(&mut self, known_to: u64, has_begun: bool) -> Vec<Finding> {
        let pending = std::mem::take(&mut self.pending);
        let is_record = |number: u64| number <= known_to;
        let mut findings = Vec::new();
        let (mut named, mut unnamed) = (0, 0_u64);
        for (number, none) in pending {
            let Some(object) = none.object else {
                // A missing record is reported by the comparison with the head that is known.
                continue;
            };
            let is_first = self.records == 0 && !has_begun;
            if is_record(number) || is_first {
                self.broken = true;
                self.records += 1;
                findings.extend(none.findings);
                continue;
            }
            if named == NAMED_OBJECTS {
                unnamed += 1;
                continue;
            }
            named += 1;
            let why: Vec<&str> = none
                .findings
                .iter()
                .map(|finding| finding.code.name())
                .collect();
            let other = format!("{} ({})", foreign_text(&object), why.join(", "));
            let expected = "nothing, or a record that counts";
            findings.push(Finding::new(
                FindingCode::ForeignRecord,
                object.key,
                expected,
                other,
            ));
        }
        if unnamed > 0 {
            let (chain, other) = (key::chain(&self.name), format!("{unnamed} more objects"));
            findings.push(Finding::new(
                FindingCode::ForeignRecord,
                chain,
                "nothing",
                other,
            ));
        }
        findings
    }

    /// Checks since which record a chain says that it is signed.
    fn check_signed_from<B: RecordBody>(
        &mut self,
        found: &mut Findings<'_>,
        envelope: &Signed<B>,
        sequence: u64,
    ) {
        let stated = envelope.manifest.place().continuity.signed_from;
        let expected = match (&envelope.signature, self.signed_from) {
            // That its signature is missing is a finding of its own.
            (None, _) if self.signed > 0 => stated,
            (None, _) => None,
            // What came before the first record that could be read is not known.
            (Some(_), None) if self.broken => stated,
            (Some(_), None) => Some(sequence),
            (Some(_), from) => from,
        };
        if stated != expected {
            let text = |number: Option<u64>| number.map_or("none".to_owned(), |n| n.to_string());
            let expected = format!("signed_from {}", text(expected));
            found.add(FindingCode::PositionWrong, expected, text(stated));
        }
        self.signed_from = stated;
    }
}

/// Returns an object for a finding.
fn foreign_text(object: &ForeignObject) -> String {
    let hash = object
        .sha256
        .map_or("not read".to_owned(), |hash| hash.hex());
    format!("an object of {} bytes, {hash}", object.bytes)
}

/// Returns a link for a finding.
fn link_text(link: &Link) -> String {
    format!("{} {}", link.key, link.sha256)
}

/// Returns an entry of a record's list for a finding.
fn entry_text(entry: &SinceEntry) -> String {
    let text = serde_json::to_string(entry);
    text.unwrap_or_else(|_| entry.sequence.to_string())
}

/// Returns the key that a link names, for a finding.
pub(crate) fn key_or_nothing(link: &Option<Link>) -> String {
    link.as_ref()
        .map_or_else(|| "nothing".to_owned(), |link| link.key.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::verify::finding::FindingCode as Code;
    use crate::audit::verify::testing::{ARCHIVE_ID, SUB_ACCOUNT, objects};
    use crate::format::record::manifest::{Envelope, Manifest};
    use crate::format::signature::AllowedSigners;

    fn identity(id: &str) -> ArchiveIdentity<'_> {
        ArchiveIdentity { id, sha256: None }
    }

    /// Passes objects with their numbers to a check, and returns the codes with the numbers of the records.
    fn codes(
        archive_id: &str,
        name: &str,
        numbered: impl IntoIterator<Item = (u64, Vec<u8>)>,
    ) -> Vec<(u64, Code)> {
        let mut check = LinkCheck::new(identity(archive_id), name, Arc::default());
        let mut codes = Vec::new();
        for (number, bytes) in numbered {
            let mut found = Findings::new("key");
            check.next::<Manifest>(&mut found, number, ReadRecord::read(&bytes));
            codes.extend(found.found.iter().map(|finding| (number, finding.code)));
        }
        codes
    }

    /// Changes an envelope and writes it again, so that its signature may not match any more.
    fn changed(bytes: &[u8], change: impl FnOnce(&mut Envelope)) -> Vec<u8> {
        let mut envelope = Envelope::from_bytes(bytes).unwrap();
        change(&mut envelope);
        envelope.to_bytes().unwrap()
    }

    #[test]
    fn each_fault_of_a_link_has_its_code() {
        let chain = objects();
        let unsigned = changed(&chain[1], |envelope| envelope.signature = None);
        let other_host = changed(&chain[1], |envelope| {
            envelope.manifest.run.host = "other".into();
        });
        let misplaced = Code::ManifestMisplaced;
        type Numbered = Vec<(u64, Vec<u8>)>;
        let first_two =
            |second: &Vec<u8>| -> Numbered { vec![(1, chain[0].clone()), (2, second.clone())] };
        type Case<'a> = (&'a str, &'a str, Numbered, Vec<(u64, Code)>);
        let cases: [Case<'_>; 7] = [
            (
                ARCHIVE_ID,
                SUB_ACCOUNT,
                (1..).zip(chain.clone()).collect(),
                vec![],
            ),
            (
                "other",
                SUB_ACCOUNT,
                vec![(1, chain[0].clone())],
                vec![(1, misplaced)],
            ),
            // The sub-account and the key.
            (
                ARCHIVE_ID,
                "1",
                vec![(1, chain[0].clone())],
                vec![(1, misplaced); 2],
            ),
            // The third record under the number of the second: its key, its number and its link.
            (
                ARCHIVE_ID,
                SUB_ACCOUNT,
                first_two(&chain[2]),
                vec![
                    (2, misplaced),
                    (2, misplaced),
                    (2, Code::ChainBroken),
                    (2, Code::PositionWrong),
                ],
            ),
            (
                ARCHIVE_ID,
                SUB_ACCOUNT,
                first_two(&unsigned),
                vec![(2, Code::ManifestUnsigned)],
            ),
            (
                ARCHIVE_ID,
                SUB_ACCOUNT,
                first_two(&other_host),
                vec![(2, Code::SignatureInvalid)],
            ),
            (
                ARCHIVE_ID,
                SUB_ACCOUNT,
                first_two(&b"{}".to_vec()),
                vec![(2, Code::ManifestUnreadable)],
            ),
        ];
        for (archive_id, name, numbered, expected) in cases {
            assert_eq!(codes(archive_id, name, numbered), expected);
        }
    }

    #[test]
    fn after_a_missing_record_the_next_link_is_not_compared() {
        let chain = objects();
        let mut check = LinkCheck::new(identity(ARCHIVE_ID), SUB_ACCOUNT, Arc::default());
        assert_eq!(check.missing(1).code, Code::ManifestMissing);
        let mut found = Findings::new("key");
        check.next::<Manifest>(&mut found, 2, ReadRecord::read(&chain[1]));
        assert_eq!(found.found, []);
        assert!(check.broken && check.records == 1 && check.signed == 1);
    }

    #[test]
    fn a_key_that_is_not_trusted_is_reported() {
        let key = crate::format::signature::SigningKey::generate().unwrap();
        let line = key.public_key().to_openssh_line();
        let allowed = AllowedSigners::parse(&format!("cxvault {line}")).unwrap();
        let keys = Arc::new(KeyHistory::new(KeyList::default(), allowed));
        let mut check = LinkCheck::new(identity(ARCHIVE_ID), SUB_ACCOUNT, keys);
        let mut found = Findings::new("key");
        check.next::<Manifest>(&mut found, 1, ReadRecord::read(&objects()[0]));
        assert_eq!(found.found[0].code, Code::SignerNotAllowed);
    }
}
