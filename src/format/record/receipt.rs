//! Receipts: a file that proves one segment's row without the archive.
//!
//! A receipt holds the row, its path in the Merkle tree of its part, the manifest that committed the part, and every
//! later manifest up to a head of the chain. Checking it needs nothing else, except a copy of that head from a second
//! source.

use jiff::civil::Date;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::format::hash::{Digest, merkle, strict};
use crate::format::place::key;
use crate::format::record::envelope::RecordBody;
use crate::format::record::head::HeadRef;
use crate::format::record::manifest::{Envelope, Manifest};
use crate::format::record::position::ChainPosition;
use crate::format::row::{SummaryKind, leaf_of};
use crate::format::signature;
use crate::format::signature::AllowedSigners;
use crate::format::time::Instant;

/// The version of a receipt's form.
pub const RECEIPT_VERSION: u32 = 1;

/// One row, and everything between it and a head of its chain. It discloses no other segment: manifests name none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Version of the form: [`RECEIPT_VERSION`].
    pub receipt_version: u32,
    /// Id of the sub-account.
    pub sub_account: String,
    /// The archive day.
    pub date: Date,
    /// Number of the revision that holds the row.
    pub revision: u32,
    /// The row's columns that are not null, as in its Merkle leaf: instants are UTC milliseconds.
    pub row: Map<String, Value>,
    /// Key of the part that holds the row.
    pub file: String,
    /// Number of the row in the part, from 0.
    pub leaf_index: u64,
    /// RFC 6962 audit path, nearest sibling first.
    pub path: Vec<Digest>,
    /// The manifest that committed the part, and all later ones up to the head.
    pub chain: Vec<Envelope>,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256` of the last manifest.
    pub head: String,
    /// Numbers of later manifests of the same day: they may hold a newer row of the segment.
    pub later_manifests_of_day: Vec<u64>,
}

/// Serialises an instant as a number: scripts read this member of an event so, and its form is part of the interface.
fn as_millis<S: Serializer>(instant: &Instant, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_i64(instant.as_millis())
}

/// What a receipt that holds proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proven {
    /// Id of the segment.
    pub segment: String,
    /// Id of the sub-account.
    pub sub_account: String,
    /// The archive day.
    pub date: Date,
    /// Number of the revision that holds the row.
    pub revision: u32,
    /// When the manifest was committed, by the writer's clock. The event `receipt-holds` has it in UTC milliseconds.
    #[serde(serialize_with = "as_millis")]
    pub committed_at: Instant,
    /// Id of the archive.
    pub archive_id: String,
    /// The head to which the chain leads.
    pub head: String,
    /// Numbers of the first and the last manifest of the chain.
    pub manifests: (u64, u64),
    /// Fingerprints of the keys that signed; empty where no manifest is signed.
    pub signed_by: Vec<String>,
    /// Numbers of later manifests of the same day.
    pub later_manifests_of_day: Vec<u64>,
}

/// Why a receipt does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The receipt is of another version.
    #[error("it has version {0}, and this program checks version {RECEIPT_VERSION}")]
    Version(u32),
    /// The row is not a leaf of the part.
    #[error(
        "its row is not in the file that its manifest names: another row, another place, or another path"
    )]
    NotInFile,
    /// A summary differs from its hash.
    #[error("its row has a summary whose SHA-256 is not the recorded one")]
    SummaryHash,
    /// The first manifest is about something else.
    #[error("its manifest is not of the sub-account, day and revision that it names")]
    OtherDay,
    /// A manifest is damaged or does not follow the one before: its key.
    #[error("its chain is broken at {0}")]
    Broken(String),
    /// A signature does not match, or its key does not count: the manifest's key and the reason.
    #[error("a signature does not hold: {0}")]
    Signature(String),
    /// A manifest has no signature where one is required: its key.
    #[error("a manifest is not signed, but one before it is: {0}")]
    Unsigned(String),
    /// The head is not that of the last manifest.
    #[error("its head is not the last manifest of its chain")]
    Head,
    /// The list of later manifests differs from the chain.
    #[error("it names other later manifests of the day than its chain has")]
    LaterManifests,
    /// A head that the auditor expects is not in the chain.
    #[error("its chain does not hold the expected head {0}")]
    NotExpected(HeadRef),
}

impl Receipt {
    /// Reads a receipt. Its spelling does not matter, except that no object may name a member twice: such a receipt would
    /// show one text and prove another.
    ///
    /// # Errors
    /// Where the bytes are not the JSON of a receipt.
    pub fn read(bytes: &[u8]) -> serde_json::Result<Receipt> {
        strict::from_slice(bytes)
    }

    /// Returns the text of the file.
    ///
    /// # Errors
    /// Where a value has no form in JSON, which does not happen.
    pub fn to_text(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Checks everything that the receipt says.
    ///
    /// `allowed` names the keys whose signatures count; then every manifest must be signed by one of them. Where it is
    /// empty, signatures are checked, but any key counts. `heads` are heads that the chain must hold.
    ///
    /// # Errors
    /// The first statement that does not hold.
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
        let head = HeadRef {
            chain: self.sub_account.clone(),
            sequence: newest,
            sha256,
        };
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
        let segment = self.row.get("segment_id").and_then(Value::as_str);
        Ok(Proven {
            segment: segment.unwrap_or("(a segment without an id)").to_owned(),
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

    /// Checks that each manifest names its own place, and the one before it by its hash. Returns numbers and hashes.
    fn check_chain(&self) -> Result<Vec<(u64, Digest)>, ReceiptError> {
        let mut hashes: Vec<(u64, Digest)> = Vec::new();
        let mut expected: Option<ChainPosition> = None;
        for envelope in &self.chain {
            let manifest = &envelope.manifest;
            let bytes = envelope
                .to_bytes()
                .map_err(|_| self.broken_at(manifest.sequence))?;
            let sha256 = Digest::of(&bytes);
            let is_valid = envelope.canonical().is_ok()
                && manifest.check_shape().is_ok()
                && manifest.check_agrees().is_ok()
                && manifest.misplaced_file().is_none();
            let follows = expected
                .as_ref()
                .is_none_or(|position| *position == manifest.position);
            if !is_valid || !follows || !self.is_of_archive(manifest) {
                return Err(self.broken_at(manifest.sequence));
            }
            // The position of the next one names this one as its last entry, which `check_agrees` compares with `previous`.
            expected = Some(manifest.next_position(sha256));
            hashes.push((manifest.sequence, sha256));
        }
        Ok(hashes)
    }

    /// Returns whether a manifest states its own place in the receipt's chain, and the archive of the first one.
    fn is_of_archive(&self, manifest: &Manifest) -> bool {
        let first = self.chain.first().map(|first| &first.manifest);
        manifest.sub_account == self.sub_account
            && manifest.key == key::manifest(&self.sub_account, manifest.sequence)
            && first.is_some_and(|first| {
                first.archive_id == manifest.archive_id
                    && first.archive_sha256 == manifest.archive_sha256
            })
    }

    /// Returns the error for a manifest that is damaged or does not follow the one before.
    fn broken_at(&self, sequence: u64) -> ReceiptError {
        ReceiptError::Broken(key::manifest(&self.sub_account, sequence))
    }

    /// Checks the signatures, and returns the fingerprints of their keys.
    fn check_signatures(&self, allowed: &AllowedSigners) -> Result<Vec<String>, ReceiptError> {
        let mut signers = Vec::new();
        for envelope in &self.chain {
            let key = &envelope.manifest.key;
            let signer = envelope
                .signer()
                .map_err(|error| ReceiptError::Signature(format!("{key}: {error}")))?;
            let Some(signer) = signer else {
                if signers.is_empty() && allowed.is_empty() {
                    continue;
                }
                return Err(ReceiptError::Unsigned(key.clone()));
            };
            let fingerprint = signer.fingerprint();
            if !allowed.accepts(&signer, signature::MANIFEST) {
                let reason = format!("{key}: {fingerprint} is not an allowed signer");
                return Err(ReceiptError::Signature(reason));
            }
            if !signers.contains(&fingerprint) {
                signers.push(fingerprint);
            }
        }
        Ok(signers)
    }

    /// Checks that the row is a leaf of a part that the manifest lists, and that its summaries have their hashes.
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
        match SummaryKind::BOTH.map(|kind| self.summary_hash_holds(kind)) {
            [true, true] => Ok(()),
            _ => Err(ReceiptError::SummaryHash),
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
