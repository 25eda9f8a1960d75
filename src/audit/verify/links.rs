//! Whether the records of one chain follow one another: places, links and signatures, independent of their contents.
//!
//! Nothing is read here: the objects come in, in order.
//!
//! # What is not checked
//!
//! Whether the chain is complete at its end, and what the records contain. An attacker with write access but without the signing
//! key can remove the newest records, or rewrite an unsigned chain as a whole; neither changes a link.

use crate::audit::verify::finding::{Finding, FindingCode, Findings};
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{Link, ManifestError, RecordBody, RecordPlace, Signed};
use crate::format::signature;
use crate::format::signature::{AllowedSigners, PublicKey};

/// An object of a chain, read and with its signature checked. This is the expensive part, and can be done in any order.
pub(crate) struct ReadRecord<B> {
    /// SHA-256 of the object.
    pub sha256: Digest,
    read: Result<ReadableRecord<B>, ManifestError>,
}

struct ReadableRecord<B> {
    envelope: Signed<B>,
    /// The key that signed; `None` without a signature.
    signer: Result<Option<PublicKey>, ManifestError>,
}

impl<B: RecordBody> ReadRecord<B> {
    /// Reads an object.
    pub fn read(bytes: &[u8]) -> ReadRecord<B> {
        let read = Signed::from_bytes(bytes).map(|envelope| {
            let signer = envelope.signer();
            ReadableRecord { envelope, signer }
        });
        ReadRecord {
            sha256: Digest::of(bytes),
            read,
        }
    }
}

/// What the records of a chain must be, beyond their links.
pub(crate) trait RecordCheck<'a> {
    /// What the records contain.
    type Record: RecordBody + Send + 'static;

    /// Returns the check of the links.
    fn links(&mut self) -> &mut LinkCheck<'a>;

    /// Takes the next record and returns what is wrong with it.
    fn next(&mut self, sequence: u64, object: ReadRecord<Self::Record>) -> Vec<Finding>;
}

/// Takes the records of one chain in order.
pub(crate) struct LinkCheck<'a> {
    /// The chain's name: a sub-account's id, or [`key::ROSTER`].
    pub name: String,
    archive_id: String,
    allowed: &'a AllowedSigners,
    /// Number and hash of the newest record.
    pub head: Option<(u64, Digest)>,
    /// Number of records.
    pub records: u64,
    /// Number of records with a signature.
    pub signed: u64,
    /// Whether a record was missing or unreadable. Then rules about all earlier records cannot be checked any more.
    pub broken: bool,
}

impl<'a> LinkCheck<'a> {
    /// Returns a check that has seen no record.
    pub fn new(archive_id: &str, name: &str, allowed: &'a AllowedSigners) -> Self {
        LinkCheck {
            name: name.to_owned(),
            archive_id: archive_id.to_owned(),
            allowed,
            head: None,
            records: 0,
            signed: 0,
            broken: false,
        }
    }

    /// Notes that the next record does not exist.
    pub fn missing(&mut self, sequence: u64) -> Finding {
        self.broken = true;
        self.head = None;
        let key = key::manifest(&self.name, sequence);
        Finding::new(FindingCode::ManifestMissing, key, "a manifest", "nothing")
    }

    /// Notes that the next object is no record.
    pub fn unreadable(&mut self, sequence: u64, reason: &str) -> Finding {
        self.broken = true;
        self.head = None;
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
        let ReadRecord { sha256, read } = object;
        let before = self.head.replace((sequence, sha256));
        self.records += 1;
        match read {
            Err(error) => {
                self.broken = true;
                found.add(
                    FindingCode::ManifestUnreadable,
                    "a manifest of format version 1",
                    error.to_string(),
                );
                None
            }
            Ok(ReadableRecord { envelope, signer }) => {
                let place = envelope.manifest.place();
                self.check_place(found, place, sequence);
                self.check_link(found, place, before);
                self.check_signature(found, signer);
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
                if !self.allowed.accepts(&signer, signature::MANIFEST) {
                    found.add(
                        FindingCode::SignerNotAllowed,
                        "an allowed signer",
                        signer.fingerprint(),
                    );
                }
            }
        }
    }
}

/// Returns a link for a finding.
fn link_text(link: &Link) -> String {
    format!("{} {}", link.key, link.sha256)
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

    /// Passes objects with their numbers to a check, and returns the codes with the numbers of the records.
    fn codes(
        archive_id: &str,
        name: &str,
        numbered: impl IntoIterator<Item = (u64, Vec<u8>)>,
    ) -> Vec<(u64, Code)> {
        let allowed = AllowedSigners::default();
        let mut check = LinkCheck::new(archive_id, name, &allowed);
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
                vec![(2, misplaced), (2, misplaced), (2, Code::ChainBroken)],
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
        let (chain, allowed) = (objects(), AllowedSigners::default());
        let mut check = LinkCheck::new(ARCHIVE_ID, SUB_ACCOUNT, &allowed);
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
        let mut check = LinkCheck::new(ARCHIVE_ID, SUB_ACCOUNT, &allowed);
        let mut found = Findings::new("key");
        check.next::<Manifest>(&mut found, 1, ReadRecord::read(&objects()[0]));
        assert_eq!(found.found[0].code, Code::SignerNotAllowed);
    }
}
