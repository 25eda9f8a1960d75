//! The chain of signers: which keys count from now on.
//!
//! `archive.json` lists the keys that count from the first record on. A change is a record of a chain of its own, which is
//! empty in most archives: so a reader learns all changes by one listing, reads them from the first to the last, and an
//! owner of a removed key cannot hide the removal behind later records. `schemas/FORMAT.md`, section "Signers", specifies
//! it.

use serde::{Deserialize, Deserializer, Serialize};

use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::carried::{Kinded, LaterKind, read};
use crate::format::record::continuity::Continuity;
use crate::format::record::envelope::{RecordBody, RecordPlace};
use crate::format::record::error::{ManifestError, known_version, require};
use crate::format::record::key_list::KeyList;
use crate::format::record::link::Link;
use crate::format::record::notes::{LONGEST_NAME, LONGEST_REASON, fits};
use crate::format::record::position::{ChainPosition, SinceEntry};
use crate::format::record::roster::ChainHead;
use crate::format::record::run::Run;

/// One record of the chain of signers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignersRecord {
    /// Version of the format; 1.
    pub format_version: u32,
    /// Id of the archive.
    pub archive_id: String,
    /// SHA-256 of the archive's `archive.json`.
    pub archive_sha256: Digest,
    /// This object's own key.
    pub key: String,
    /// Number in the chain, from 1.
    pub sequence: u64,
    /// The record before this one in the chain; null only for the first.
    pub previous: Option<Link>,
    /// Where the record stands among those of its chain: `index`, `peaks` and `since`.
    #[serde(flatten)]
    pub position: ChainPosition,
    /// Since when the chain is signed, and what it passes over.
    #[serde(flatten)]
    pub continuity: Continuity,
    /// Which process wrote the record.
    pub run: Run,
    /// What is recorded; the member `kind` distinguishes.
    #[serde(flatten)]
    pub entry: SignersEntry,
}

/// What a record of the chain of signers records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SignersEntry {
    /// The keys that count from here on.
    Signers(Box<KeyChange>),
    /// A kind that a later program has added. It leaves the keys as they were.
    #[serde(untagged)]
    Later(LaterKind),
}

impl<'de> Deserialize<'de> for SignersEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<SignersEntry, D::Error> {
        let Kinded { kind, value } = Kinded::deserialize(from)?;
        let entry = match kind.as_str() {
            "signers" => SignersEntry::Signers(read(value)?),
            _ => SignersEntry::Later(LaterKind { kind }),
        };
        Ok(entry)
    }
}

/// The keys that count from a record on, and where they begin to count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The keys that count from here on; at least one.
    pub keys: KeyList,
    /// Whether signing begins here: the archive had no signers, and this record vouches for what is there so far.
    pub begin: bool,
    /// The heads of all other chains, the roster's included, in the order of their names. Records up to these heads are
    /// judged by the keys before; a chain that is not named has none yet.
    pub chains: Vec<ChainHead>,
    /// Why the keys change.
    pub reason: String,
    /// Name of the person responsible, where one was given. The host is in `run`.
    pub by: Option<String>,
}

impl SignersRecord {
    /// Returns the change of keys; `None` for a kind that a later program has added.
    pub fn change(&self) -> Option<&KeyChange> {
        match &self.entry {
            SignersEntry::Signers(change) => Some(change),
            SignersEntry::Later(_) => None,
        }
    }
}

impl RecordBody for SignersRecord {
    fn place(&self) -> RecordPlace<'_> {
        RecordPlace {
            archive_id: &self.archive_id,
            archive_sha256: self.archive_sha256,
            chain: key::SIGNERS,
            key: &self.key,
            sequence: self.sequence,
            previous: self.previous.as_ref(),
            position: &self.position,
            continuity: &self.continuity,
        }
    }

    fn run(&self) -> &Run {
        &self.run
    }

    fn entry(&self, sha256: Digest) -> SinceEntry {
        let kind = match &self.entry {
            SignersEntry::Signers(_) => "signers",
            SignersEntry::Later(later) => &later.kind,
        };
        SinceEntry {
            sequence: self.sequence,
            date: None,
            kind: kind.to_owned(),
            revision: None,
            sha256,
        }
    }

    fn later_values(&self) -> Vec<&'static str> {
        match self.entry {
            SignersEntry::Signers(_) => Vec::new(),
            SignersEntry::Later(_) => vec!["kind"],
        }
    }

    fn begins_with(&self) -> Option<&KeyList> {
        let change = self.change().filter(|change| change.begin);
        change.map(|change| &change.keys)
    }

    /// Checks what types cannot express (`schemas/signers.v1.schema.json` says the same).
    fn check_shape(&self) -> Result<(), ManifestError> {
        known_version(self.format_version)?;
        require(self.sequence > 0, "sequence")?;
        self.position.check_shape()?;
        self.continuity.check_shape()?;
        let Some(change) = self.change() else {
            return Ok(());
        };
        require(!change.keys.is_empty(), "keys")?;
        let names = change.chains.iter().map(|chain| chain.id.as_str());
        let known = |name: &str| key::is_sub_account(name) || name == key::ROSTER;
        require(names.clone().all(known), "chains")?;
        require(names.is_sorted_by(|name, next| name < next), "chains")?;
        let heads = change.chains.iter().map(|chain| &chain.head);
        let mut heads = heads.map(|head| head.sequence > 0 && head.tree.size > 0);
        require(heads.all(|holds| holds), "head")?;
        require(fits(&change.reason, LONGEST_REASON), "reason")?;
        require(
            change.by.as_ref().is_none_or(|by| fits(by, LONGEST_NAME)),
            "name",
        )
    }
}
