//! Whether the records of one chain follow one another: places, links and signatures, whatever they are about. No input or
//! output: the objects come in, in order.

use crate::audit::verify::finding::{Finding, FindingCode};
use crate::audit::verify::record::Findings;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::envelope::{RecordBody, RecordPlace, Signed};
use crate::format::record::error::ManifestError;
use crate::format::record::manifest::Link;
use crate::format::signature;
use crate::format::signature::{AllowedSigners, PublicKey};

/// A record's object as far as it can be judged by itself: that is the dear part of the work, and needs no order.
pub struct ReadRecord<B> {
    pub sha256: Digest,
    read: Result<ReadableRecord<B>, ManifestError>,
}

struct ReadableRecord<B> {
    envelope: Signed<B>,
    /// `None` when nobody signed.
    signer: Result<Option<PublicKey>, ManifestError>,
}

impl<B: RecordBody> ReadRecord<B> {
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

/// Takes the records of one chain in order.
pub struct LinkCheck<'a> {
    /// A sub-account, or [`key::ROSTER`].
    pub name: String,
    archive_id: String,
    allowed: &'a AllowedSigners,
    /// The newest number and its object's hash.
    pub head: Option<(u64, Digest)>,
    pub records: u64,
    pub signed: u64,
    /// A record was missing or unreadable: what follows from all of them cannot be told.
    pub broken: bool,
}

impl<'a> LinkCheck<'a> {
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

    /// The next number is not there.
    pub fn missing(&mut self, sequence: u64) -> Finding {
        self.broken = true;
        self.head = None;
        let key = key::manifest(&self.name, sequence);
        Finding::new(FindingCode::ManifestMissing, key, "a manifest", "nothing")
    }

    /// The next record is there, and cannot be one.
    pub fn unreadable(&mut self, sequence: u64, why: &str) -> Finding {
        self.broken = true;
        self.head = None;
        self.records += 1;
        let key = key::manifest(&self.name, sequence);
        Finding::new(
            FindingCode::ManifestUnreadable,
            key,
            "a manifest of format version 1",
            why,
        )
    }

    /// The next record, which is returned where it can be read.
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
                self.place(found, place, sequence);
                self.link(found, place, before);
                self.signature(found, signer);
                Some(envelope)
            }
        }
    }

    fn place(&self, found: &mut Findings<'_>, place: RecordPlace<'_>, sequence: u64) {
        let mut same = |what, expected: &str, is: &str| {
            found.same(FindingCode::ManifestMisplaced, what, expected, is)
        };
        same("archive id", &self.archive_id, place.archive_id);
        same("sub-account", &self.name, place.chain);
        same("key", &key::manifest(&self.name, sequence), place.key);
        same(
            "sequence",
            &sequence.to_string(),
            &place.sequence.to_string(),
        );
    }

    fn link(
        &self,
        found: &mut Findings<'_>,
        place: RecordPlace<'_>,
        before: Option<(u64, Digest)>,
    ) {
        let text = |link: &Link| format!("{} {}", link.key, link.sha256);
        let named = place.previous.map_or_else(|| "nothing".to_owned(), text);
        let expected = match before {
            Some((sequence, sha256)) => text(&Link {
                key: key::manifest(&self.name, sequence),
                sha256,
            }),
            // The one before it is missing, which has been said.
            None if self.broken => return,
            None => "nothing".to_owned(),
        };
        if named != expected {
            // The one that is named is not the one that is there: which of both was changed, nobody can tell.
            found.add(
                FindingCode::ChainBroken,
                format!("previous: {expected}"),
                named,
            );
        }
    }

    fn signature(
        &mut self,
        found: &mut Findings<'_>,
        signer: Result<Option<PublicKey>, ManifestError>,
    ) {
        match signer {
            Err(error) => found.add(
                FindingCode::SignatureInvalid,
                "a signature that fits",
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
