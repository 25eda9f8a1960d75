//! A receipt: proves one segment's row to somebody who has nothing else. No input or output.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::format::hash::digest::Digest;
use crate::format::hash::merkle;
use crate::format::part::EncodedRow;
use crate::format::place::key;
use crate::format::record::envelope::RecordBody;
use crate::format::record::head::{Head, HeadRef};
use crate::format::record::manifest::Envelope;
use crate::format::row::leaf_of;
use crate::format::row::observation::SummaryKind;
use crate::format::signature;
use crate::format::signature::AllowedSigners;

/// The version of the receipt's form.
pub const RECEIPT_VERSION: u32 = 1;

/// One row, and everything between it and a head of its chain. It holds no other segment: manifests name none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub receipt_version: u32,
    pub sub_account: String,
    pub date: Date,
    /// The revision whose row this is.
    pub revision: u32,
    /// The row's columns that are not null, as a Merkle leaf has them (FORMAT.md): instants are UTC milliseconds.
    pub row: Map<String, Value>,
    /// The part that holds the row.
    pub file: String,
    /// The row's number in it, from 0.
    pub leaf_index: u64,
    /// RFC 6962 audit path, nearest sibling first.
    pub path: Vec<Digest>,
    /// The manifest that committed the part, and each one after it, up to the head.
    pub chain: Vec<Envelope>,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256` of the last of them.
    pub head: String,
    /// Sequence numbers of later manifests of the same day: they may hold a newer row of the segment.
    pub later_manifests_of_day: Vec<u64>,
}

/// What a receipt that holds proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proven {
    pub segment: String,
    pub sub_account: String,
    pub date: Date,
    pub revision: u32,
    /// When the manifest was committed: UTC milliseconds by the writer's clock.
    pub committed_at: i64,
    pub archive_id: String,
    pub head: String,
    /// Sequence numbers that the chain runs through.
    pub manifests: (u64, u64),
    /// Fingerprints of the keys that signed; empty when nobody did.
    pub signed_by: Vec<String>,
    pub later_manifests_of_day: Vec<u64>,
}

/// Why a receipt does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    #[error("it has version {0}, and this program checks version {RECEIPT_VERSION}")]
    Version(u32),
    #[error(
        "its row is not in the file that its manifest names: another row, another place, or another path"
    )]
    NotInFile,
    #[error("its row has a summary whose SHA-256 is not the recorded one")]
    SummaryHash,
    #[error("its manifest is not of the sub-account, day and revision that it names")]
    OtherDay,
    #[error("its chain is broken at {0}")]
    Broken(String),
    #[error("a signature does not hold: {0}")]
    Signature(String),
    #[error("a manifest is not signed, but one before it is: {0}")]
    Unsigned(String),
    #[error("its head is not the last manifest of its chain")]
    Head,
    #[error("it names other later manifests of the day than its chain has")]
    LaterManifests,
    #[error("its chain does not hold the expected head {0}")]
    NotExpected(HeadRef),
}

impl Receipt {
    /// The text of the file.
    pub fn to_text(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Checks everything. `allowed` names whose signatures count, and then all must be signed; none named means that
    /// signatures are checked, but not whose they are. `heads` are heads that the chain must hold.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn check(
        &self,
        allowed: &AllowedSigners,
        heads: &[HeadRef],
    ) -> Result<Proven, ReceiptError> {
        if self.receipt_version != RECEIPT_VERSION {
            return Err(ReceiptError::Version(self.receipt_version));
        }
        let hashes = self.check_chain()?;
        let signed_by = self.check_signatures(allowed)?;
        let first = self.chain.first().ok_or(ReceiptError::Head)?;
        self.check_row(first)?;
        let (newest, sha256) = hashes.last().copied().ok_or(ReceiptError::Head)?;
        let head = Head {
            sequence: newest,
            sha256,
        }
        .of_chain(&self.sub_account);
        if self.head != head.to_string() {
            return Err(ReceiptError::Head);
        }
        let later = self.chain.iter().skip(1).map(|envelope| &envelope.manifest);
        let later =
            later.filter(|manifest| manifest.day().is_some_and(|day| day.date == self.date));
        if later
            .map(|manifest| manifest.sequence)
            .ne(self.later_manifests_of_day.iter().copied())
        {
            return Err(ReceiptError::LaterManifests);
        }
        let unknown = heads.iter().find(|head| {
            head.chain != self.sub_account || !hashes.contains(&(head.sequence, head.sha256))
        });
        if let Some(head) = unknown {
            return Err(ReceiptError::NotExpected(head.clone()));
        }
        let text = |name: &str| {
            self.row
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Ok(Proven {
            segment: text("segment_id").unwrap_or_else(|| "(a segment without an id)".to_owned()),
            sub_account: self.sub_account.clone(),
            date: self.date,
            revision: self.revision,
            committed_at: first.manifest.run.finished_at,
            archive_id: first.manifest.archive_id.clone(),
            head: self.head.clone(),
            manifests: (first.manifest.sequence, newest),
            signed_by,
            later_manifests_of_day: self.later_manifests_of_day.clone(),
        })
    }

    /// Each manifest names its own place, and the one before it by its hash. Returns numbers and hashes.
    fn check_chain(&self) -> Result<Vec<(u64, Digest)>, ReceiptError> {
        let mut hashes: Vec<(u64, Digest)> = Vec::new();
        for envelope in &self.chain {
            let manifest = &envelope.manifest;
            let broken =
                || ReceiptError::Broken(key::manifest(&self.sub_account, manifest.sequence));
            let bytes = envelope.to_bytes().map_err(|_| broken())?;
            manifest.canonical().map_err(|_| broken())?;
            manifest.check_shape().map_err(|_| broken())?;
            let own = manifest.sub_account == self.sub_account
                && manifest.key == key::manifest(&self.sub_account, manifest.sequence)
                && self
                    .chain
                    .first()
                    .is_some_and(|first| first.manifest.archive_id == manifest.archive_id);
            let follows = hashes.last().is_none_or(|(sequence, sha256)| {
                manifest.sequence == sequence + 1
                    && manifest.previous.as_ref().is_some_and(|link| {
                        link.sha256 == *sha256
                            && link.key == key::manifest(&self.sub_account, *sequence)
                    })
            });
            if !own || !follows {
                return Err(broken());
            }
            hashes.push((manifest.sequence, Digest::of(&bytes)));
        }
        Ok(hashes)
    }

    fn check_signatures(&self, allowed: &AllowedSigners) -> Result<Vec<String>, ReceiptError> {
        let mut signers = Vec::new();
        for envelope in &self.chain {
            let place = || envelope.manifest.key.clone();
            let wrong = |error: String| ReceiptError::Signature(format!("{}: {error}", place()));
            match envelope
                .signer()
                .map_err(|error| wrong(error.to_string()))?
            {
                None if !signers.is_empty() || !allowed.is_empty() => {
                    return Err(ReceiptError::Unsigned(place()));
                }
                None => {}
                Some(signer)
                    if !allowed.is_empty() && !allowed.contains(&signer, signature::MANIFEST) =>
                {
                    return Err(wrong(format!(
                        "{} is not an allowed signer",
                        signer.fingerprint()
                    )));
                }
                Some(signer) => {
                    let fingerprint = signer.fingerprint();
                    if !signers.contains(&fingerprint) {
                        signers.push(fingerprint);
                    }
                }
            }
        }
        Ok(signers)
    }

    /// The row is a leaf of a part that the manifest lists, and its summaries have their hashes.
    fn check_row(&self, first: &Envelope) -> Result<(), ReceiptError> {
        let day = first.manifest.day().ok_or(ReceiptError::OtherDay)?;
        if day.date != self.date || day.revision != self.revision {
            return Err(ReceiptError::OtherDay);
        }
        let leaf = leaf_of(&self.row).ok_or(ReceiptError::NotInFile)?;
        let mut listed = day.files.iter().filter(|file| file.key == self.file);
        let (Some(file), None) = (listed.next(), listed.next()) else {
            return Err(ReceiptError::NotInFile);
        };
        let root = merkle::root_by_path(
            merkle::leaf_hash(&leaf),
            self.leaf_index,
            file.rows,
            &self.path,
        );
        if root != Some(file.merkle_root) {
            return Err(ReceiptError::NotInFile);
        }
        let hold = SummaryKind::BOTH
            .iter()
            .all(|&kind| self.summary_hash_holds(kind));
        if hold {
            Ok(())
        } else {
            Err(ReceiptError::SummaryHash)
        }
    }

    fn summary_hash_holds(&self, kind: SummaryKind) -> bool {
        use base64::Engine as _;
        let text = |what: &str| {
            self.row
                .get(&format!("{}_{what}", kind.name()))
                .and_then(Value::as_str)
        };
        let body = match (text("summary"), text("binary")) {
            (Some(summary), _) => Some(summary.as_bytes().to_vec()),
            (None, Some(binary)) => base64::engine::general_purpose::STANDARD
                .decode(binary)
                .ok(),
            (None, None) => None,
        };
        body.map(|body| Digest::of(&body).hex()).as_deref() == text("sha256")
    }
}

/// A row's columns as a receipt has them.
pub fn row_of(encoded: &EncodedRow) -> Map<String, Value> {
    // The leaf is an object by construction.
    serde_json::from_slice(&encoded.leaf_bytes()).unwrap_or_default()
}
