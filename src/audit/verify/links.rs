//! Whether the records of one chain follow one another: places, links and signatures, independent of their contents.
//!
//! Nothing is read here: the objects come in, in order.

use crate::audit::verify::finding::{Finding, FindingCode, Findings};
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::envelope::{RecordBody, RecordPlace, Signed};
use crate::format::record::error::ManifestError;
use crate::format::record::manifest::Link;
use crate::format::signature;
use crate::format::signature::{AllowedSigners, PublicKey};

/// An object of a chain, read and with its signature checked. This is the expensive part, and can be done in any order.
pub struct ReadRecord<B> {
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
pub trait RecordCheck<'a> {
    /// What the records contain.
    type Record: RecordBody + Send + 'static;

    /// Returns the check of the links.
    fn links(&mut self) -> &mut LinkCheck<'a>;

    /// Takes the next record and returns what is wrong with it.
    fn next(&mut self, sequence: u64, object: ReadRecord<Self::Record>) -> Vec<Finding>;
}

/// Takes the records of one chain in order.
pub struct LinkCheck<'a> {
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
                if !self.allowed.is_empty() && !self.allowed.contains(&signer, signature::MANIFEST)
                {
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

fn link_text(link: &Link) -> String {
    format!("{} {}", link.key, link.sha256)
}

/// Returns the key that a link names, for a finding.
pub fn key_or_nothing(link: &Option<Link>) -> String {
    link.as_ref()
        .map_or_else(|| "nothing".to_owned(), |link| link.key.clone())
}
