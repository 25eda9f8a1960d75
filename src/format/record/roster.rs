//! The roster: a chain beside those of the sub-accounts, about all of them together.
//!
//! Each run adds one record, which says of every sub-account whether the API lists it, how the work on it ended, and
//! where its chain ends. So the head of the roster covers the whole archive. A second kind of record makes a copy the
//! archive that is continued. `schemas/FORMAT.md`, section "Roster", specifies both.

use serde::{Deserialize, Deserializer, Serialize};

use crate::format::hash::{Digest, Tree, merkle};
use crate::format::place::key;
use crate::format::record::carried::{Kinded, LaterKind, present, read};
use crate::format::record::continuity::Continuity;
use crate::format::record::envelope::{RecordBody, RecordPlace, Signed};
use crate::format::record::error::{ManifestError, agree, known_version, require};
use crate::format::record::head::Head;
pub(crate) use crate::format::record::inventory::UNLISTED;
use crate::format::record::inventory::check_ids;
pub use crate::format::record::inventory::{
    AccountListing, Ended, Inventory, Rewritten, SubAccountEntry, Unlisted,
};
use crate::format::record::link::Link;
use crate::format::record::lock::ObjectLock;
use crate::format::record::notes::{LONGEST_NAME, LONGEST_REASON, fits};
use crate::format::record::position::{ChainPosition, SinceEntry};
use crate::format::record::run::Run;

/// A roster record and its signature: the whole object that is stored.
pub type RosterEnvelope = Signed<RosterRecord>;

/// One record of the roster's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterRecord {
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
    /// Since when the chain is signed, and what it passes over: `signed_from` and `passed_over`.
    #[serde(flatten)]
    pub continuity: Continuity,
    /// Which process wrote the record.
    pub run: Run,
    /// Location of the archive when this was written, as [`place`] spells it.
    pub place: String,
    /// The lock under which this object was stored.
    pub object_lock: Option<ObjectLock>,
    /// Root of the tree over `sub_accounts`, as [`RosterEntry::heads_root`] computes it.
    pub heads_root: Digest,
    /// The newest record of the chain of signers when this was written, so that its removal is noticed; absent where there
    /// is none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub signers: Option<Link>,
    /// The newest takeover before this record, so that a writer finds it from the head; absent where there is none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub takeover: Option<Link>,
    /// What is recorded; the member `kind` distinguishes.
    #[serde(flatten)]
    pub entry: RosterEntry,
}

/// What a roster record records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RosterEntry {
    /// How a run left the sub-accounts.
    Roster(Box<Inventory>),
    /// A copy is continued from here on.
    Takeover(Box<Takeover>),
    /// A kind that a later program has added. It names no heads that this program could read; whatever it says is carried
    /// unread.
    #[serde(untagged)]
    Later(LaterKind),
}

impl<'de> Deserialize<'de> for RosterEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RosterEntry, D::Error> {
        let Kinded { kind, value } = Kinded::deserialize(from)?;
        let entry = match kind.as_str() {
            "roster" => RosterEntry::Roster(read(value)?),
            "takeover" => RosterEntry::Takeover(read(value)?),
            _ => RosterEntry::Later(LaterKind { kind }),
        };
        Ok(entry)
    }
}

/// From this record on, a copy is the archive that is continued, by the operator's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// Location of the archive before, where it is known. The record's `place` is the location from now on.
    pub from: Option<String>,
    /// SHA-256 of this location's `copy.json`; null where there is none.
    pub copy: Option<Digest>,
    /// Heads of the chains. Objects that they name up to here were stored at the other location.
    pub sub_accounts: Vec<ChainHead>,
    /// Why the copy is continued.
    pub reason: String,
    /// Name of the person responsible, where one was given. The host is in `run`.
    pub by: Option<String>,
}

/// The head of one sub-account's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// Id of the sub-account.
    pub id: String,
    /// The head.
    pub head: Head,
}

/// Returns a store's root as a record may hold it: control characters become `?`.
pub fn place(root: &str) -> String {
    root.replace(char::is_control, "?")
}

impl RosterRecord {
    /// Returns the inventory of a run; `None` for a takeover.
    pub fn inventory(&self) -> Option<&Inventory> {
        match &self.entry {
            RosterEntry::Roster(inventory) => Some(inventory),
            RosterEntry::Takeover(_) | RosterEntry::Later(_) => None,
        }
    }

    /// Returns the takeover; `None` for the inventory of a run.
    pub fn as_takeover(&self) -> Option<&Takeover> {
        match &self.entry {
            RosterEntry::Roster(_) | RosterEntry::Later(_) => None,
            RosterEntry::Takeover(takeover) => Some(takeover),
        }
    }

    /// Returns the `takeover` of the record after this one; `sha256` is the hash of this whole object.
    pub fn takeover_for_next(&self, sha256: Digest) -> Option<Link> {
        match &self.entry {
            RosterEntry::Roster(_) | RosterEntry::Later(_) => self.takeover.clone(),
            RosterEntry::Takeover(_) => Some(Link {
                key: self.key.clone(),
                sha256,
            }),
        }
    }

    /// Returns the heads that the record vouches for, with the ids of their sub-accounts.
    pub fn heads(&self) -> impl Iterator<Item = (&str, &Head)> {
        let entries = self.inventory().map_or(&[][..], |run| &run.sub_accounts);
        let taken = self
            .as_takeover()
            .map_or(&[][..], |over| &over.sub_accounts);
        let known = entries
            .iter()
            .filter_map(|entry| Some((entry.id.as_str(), entry.head.as_ref()?)));
        known.chain(taken.iter().map(|chain| (chain.id.as_str(), &chain.head)))
    }
}

impl RecordBody for RosterRecord {
    fn place(&self) -> RecordPlace<'_> {
        RecordPlace {
            archive_id: &self.archive_id,
            archive_sha256: self.archive_sha256,
            chain: key::ROSTER,
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
        SinceEntry {
            sequence: self.sequence,
            date: None,
            kind: self.entry.kind().to_owned(),
            revision: None,
            sha256,
        }
    }

    fn later_values(&self) -> Vec<&'static str> {
        match self.entry {
            RosterEntry::Later(_) => vec!["kind"],
            RosterEntry::Roster(_) | RosterEntry::Takeover(_) => Vec::new(),
        }
    }

    /// Checks what types cannot express (`schemas/roster.v1.schema.json` says the same).
    fn check_shape(&self) -> Result<(), ManifestError> {
        known_version(self.format_version)?;
        require(self.sequence > 0, "sequence")?;
        require(!self.place.is_empty(), "place")?;
        require(
            self.heads()
                .all(|(_, head)| head.sequence > 0 && head.tree.size > 0),
            "head",
        )?;
        self.position.check_shape()?;
        self.continuity.check_shape()?;
        match &self.entry {
            RosterEntry::Roster(inventory) => inventory.check_shape(),
            RosterEntry::Takeover(takeover) => takeover.check_shape(),
            RosterEntry::Later(_) => Ok(()),
        }
    }

    fn check_agrees(&self) -> Result<(), ManifestError> {
        let previous = self.previous.as_ref();
        self.position
            .check_agrees(key::ROSTER, self.sequence, previous)?;
        self.continuity
            .check_agrees(key::ROSTER, self.sequence, previous)?;
        // What a later kind names is not known.
        let is_later = matches!(self.entry, RosterEntry::Later(_));
        let agrees = is_later || self.entry.heads_root()? == self.heads_root;
        agree(agrees, "heads and heads_root")
    }
}

/// One head as a leaf of the tree over a roster record's heads.
#[derive(Serialize)]
struct HeadLeaf<'a> {
    head: Option<&'a Head>,
    id: &'a str,
}

impl RosterEntry {
    /// Returns the name of the kind, as the member `kind` has it.
    pub(crate) fn kind(&self) -> &str {
        match self {
            RosterEntry::Roster(_) => "roster",
            RosterEntry::Takeover(_) => "takeover",
            RosterEntry::Later(later) => &later.kind,
        }
    }

    /// Returns the root (RFC 6962) over the canonical JSON `{"head":…,"id":…}` of each sub-account, in their order, so that
    /// the head of one sub-account can be proven without naming the others.
    ///
    /// # Errors
    /// [`ManifestError::Unreadable`] where a value has no form in JSON, which does not happen.
    pub fn heads_root(&self) -> Result<Digest, ManifestError> {
        let leaves: Vec<HeadLeaf<'_>> = match self {
            RosterEntry::Roster(inventory) => inventory.sub_accounts.iter().map(of_entry).collect(),
            RosterEntry::Takeover(takeover) => takeover.sub_accounts.iter().map(of_chain).collect(),
            RosterEntry::Later(_) => Vec::new(),
        };
        let mut tree = Tree::new();
        for leaf in leaves {
            tree.push(merkle::leaf_hash(&serde_json_canonicalizer::to_vec(&leaf)?));
        }
        Ok(tree.root())
    }
}

/// Returns the leaf of a sub-account in an inventory; its head is null where it has no chain yet.
fn of_entry(entry: &SubAccountEntry) -> HeadLeaf<'_> {
    HeadLeaf {
        head: entry.head.as_ref(),
        id: &entry.id,
    }
}

/// Returns the leaf of a chain that was taken over.
fn of_chain(chain: &ChainHead) -> HeadLeaf<'_> {
    HeadLeaf {
        head: Some(&chain.head),
        id: &chain.id,
    }
}

impl Takeover {
    fn check_shape(&self) -> Result<(), ManifestError> {
        let place = self.from.as_ref();
        let by = self.by.as_ref();
        check_ids(self.sub_accounts.iter().map(|chain| chain.id.as_str()))?;
        require(place.is_none_or(|from| !from.is_empty()), "place before")?;
        require(fits(&self.reason, LONGEST_REASON), "reason")?;
        require(by.is_none_or(|by| fits(by, LONGEST_NAME)), "name")
    }
}
