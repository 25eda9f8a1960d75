//! The roster: the chain about all sub-accounts. Each record names the sub-accounts and the head of each of their chains.
//!
//! Nothing is read here: records come in, in order. The heads that they name are compared with the other chains later, when
//! these are read ([`crate::audit::verify::heads`]).
//!
//! # What is checked
//!
//! No record leaves out a sub-account that an earlier one has; no head goes back; two records that name the same number of a
//! chain name the same hash; and each record names the newest takeover before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::audit::verify::finding::{Finding, FindingCode, Findings};
use crate::audit::verify::keys::{KeyHistory, VouchedHead};
use crate::audit::verify::links::{
    ArchiveIdentity, LinkCheck, ReadRecord, RecordCheck, key_or_nothing,
};
use crate::audit::verify::record::check_run_times;
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{Inventory, Link, Lock, RosterRecord, SubAccountEntry, roster};

/// What all records of the roster say of the other chains.
#[derive(Debug, Default)]
pub(crate) struct Rostered {
    /// The heads by sub-account and number.
    pub heads: BTreeMap<String, BTreeMap<u64, VouchedHead>>,
    /// The number of each chain's head when the archive was last taken over, by sub-account.
    pub taken: BTreeMap<String, u64>,
    /// The head of the roster itself, `roster:SEQUENCE:SHA256`.
    pub head: Option<String>,
}

/// The newest takeover: the archive continues at another place.
pub(super) struct LastTakeover {
    /// Key of the record.
    pub record: String,
    /// The place that was left.
    pub from: String,
    /// The place where the archive continues.
    pub to: String,
}

/// Takes the records of the roster in order.
pub(super) struct RosterCheck {
    pub links: LinkCheck,
    pub rostered: Rostered,
    /// The newest list of sub-accounts.
    pub newest: Option<Inventory>,
    /// The newest takeover.
    pub moved: Option<LastTakeover>,
    /// Key and lock of the records that were written at this place.
    pub locks: Vec<(String, Lock)>,
    /// Number of the newest change of the keys that a record names; 0 where none does.
    newest_change: u64,
    /// The link to the newest takeover that the next record must have.
    takeover: Option<Link>,
    /// The place that is verified, as records name it.
    place: String,
}

impl RecordCheck for RosterCheck {
    type Record = RosterRecord;

    fn links(&mut self) -> &mut LinkCheck {
        &mut self.links
    }

    fn next(&mut self, sequence: u64, object: ReadRecord<RosterRecord>) -> Vec<Finding> {
        let key = key::manifest(key::ROSTER, sequence);
        let mut found = Findings::new(&key);
        let sha256 = object.sha256;
        if let Some(envelope) = self.links.next(&mut found, sequence, object) {
            self.check_takeover(&mut found, &envelope.manifest, sha256);
            self.check_signers(&mut found, &envelope.manifest);
            self.take(&mut found, envelope.manifest);
        }
        found.found
    }
}

impl RosterCheck {
    /// Returns a check that has seen no record. `root` is the archive's address.
    pub fn new(archive: ArchiveIdentity<'_>, root: &str, keys: Arc<KeyHistory>) -> Self {
        RosterCheck {
            links: LinkCheck::new(archive, key::ROSTER, keys),
            rostered: Rostered::default(),
            newest: None,
            newest_change: 0,
            takeover: None,
            moved: None,
            locks: Vec::new(),
            place: roster::place(root),
        }
    }

    /// Checks the link to the chain of signers: each record names a change that is there, and none before that of an earlier
    /// record. Otherwise the chain of signers was cut off.
    fn check_signers(&mut self, found: &mut Findings<'_>, record: &RosterRecord) {
        let Some(link) = &record.signers else {
            if self.newest_change > 0 && !self.links.broken {
                found.add(
                    FindingCode::SignersWrong,
                    "the newest change of the keys",
                    "none",
                );
            }
            return;
        };
        match self.links.keys.number_of(link) {
            Some(number) if number >= self.newest_change => self.newest_change = number,
            Some(number) => {
                let expected = format!("change {} of the keys at least", self.newest_change);
                found.add(FindingCode::SignersWrong, expected, number.to_string());
            }
            None => {
                let expected = format!("{} {} in the chain of signers", link.key, link.sha256);
                found.add(FindingCode::SignersWrong, expected, "no such record");
            }
        }
    }

    /// Checks the link to the newest takeover: a writer decides by this link alone whether it may write at its place.
    fn check_takeover(&mut self, found: &mut Findings<'_>, record: &RosterRecord, sha256: Digest) {
        if !self.links.broken && self.takeover != record.takeover {
            let expected = format!(
                "the newest takeover before it: {}",
                key_or_nothing(&self.takeover)
            );
            let link = key_or_nothing(&record.takeover);
            found.add(FindingCode::RosterWrong, expected, link);
        }
        self.takeover = record.takeover_for_next(sha256);
        if let Some(takeover) = record.as_takeover() {
            let from = takeover
                .from
                .clone()
                .unwrap_or_else(|| "another place".to_owned());
            self.moved = Some(LastTakeover {
                record: record.key.clone(),
                from,
                to: record.place.clone(),
            });
            let taken = takeover
                .sub_accounts
                .iter()
                .map(|taken| (taken.id.clone(), taken.head.sequence));
            self.rostered.taken = taken.collect();
        }
    }

    /// Checks what a record says of the other chains, and keeps it.
    fn take(&mut self, found: &mut Findings<'_>, record: RosterRecord) {
        check_run_times(found, &record.run);
        for (id, head) in record.heads() {
            let vouched = VouchedHead {
                sha256: head.sha256,
                tree: head.tree.clone(),
                by: record.key.clone(),
            };
            let heads = self.rostered.heads.entry(id.to_owned()).or_default();
            let first = heads.entry(head.sequence).or_insert(vouched);
            if first.sha256 != head.sha256 || first.tree != head.tree {
                found.add(
                    FindingCode::RosterWrong,
                    format!("{id} {} {}", first.sha256, first.tree.root),
                    format!("{} {}", head.sha256, head.tree.root),
                );
            }
        }
        if let Some(lock) = record
            .object_lock
            .as_ref()
            .filter(|_| record.place == self.place)
        {
            self.locks.push((record.key.clone(), lock.lock()));
        }
        if let Some(inventory) = record.inventory() {
            // If records between the two are missing, nothing is known of what they said.
            if let Some(before) = self.newest.as_ref().filter(|_| !self.links.broken) {
                check_follows(found, inventory, before);
            }
            self.newest = Some(inventory.clone());
        }
    }
}

/// Checks that no sub-account is left out, that no head goes back, and that an expected sub-account that RingCX does not
/// list is recorded as unlisted.
fn check_follows(found: &mut Findings<'_>, inventory: &Inventory, before: &Inventory) {
    for earlier in &before.sub_accounts {
        let id = &earlier.id;
        let Some(member) = inventory.entry(id) else {
            found.add(
                FindingCode::RosterWrong,
                format!("sub-account {id}"),
                "nothing",
            );
            continue;
        };
        if head_number(member) < head_number(earlier) {
            let expected = format!("{id} at {} at least", head_number(earlier));
            found.add(
                FindingCode::RosterWrong,
                expected,
                head_number(member).to_string(),
            );
        }
        let recorded = member.unlisted.is_some() || !earlier.is_expected();
        if member.listed == Some(false) && !recorded {
            found.add(
                FindingCode::RosterWrong,
                format!("{id} recorded as unlisted, since RingCX does not list it"),
                "not recorded as unlisted",
            );
        }
    }
}

/// Returns the number of a sub-account's head; 0 if its chain has no record.
fn head_number(entry: &SubAccountEntry) -> u64 {
    entry.head.as_ref().map_or(0, |head| head.sequence)
}
