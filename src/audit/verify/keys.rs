//! Which signatures count: the rule that every reader applies (FORMAT.md, "Signers"), written a second time. A verifier that
//! shared the code of the writer would share its mistakes.

use std::collections::BTreeMap;

use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{KeyChange, KeyList, Link, SignersRecord, TreeHead};
use crate::format::signature;
use crate::format::signature::{AllowedSigners, PublicKey};

/// The hash that a record of another chain names for a number of a chain: of the roster, or of the chain of signers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VouchedHead {
    pub sha256: Digest,
    /// The tree over all records of the chain up to that number.
    pub tree: TreeHead,
    /// Key of the first record that names it, of the roster or of the chain of signers.
    pub by: String,
}

/// The keys that count, from the creation of the archive to its newest record.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyHistory {
    /// The keys that `archive.json` lists.
    first: KeyList,
    /// The changes of the keys, in their order.
    pub(super) steps: Vec<KeyStep>,
    /// The keys that the person who verifies trusts; empty where they named none.
    trusted: AllowedSigners,
}

/// One change of the keys.
#[derive(Debug, Clone)]
pub(super) struct KeyStep {
    /// The record.
    pub link: Link,
    /// Its number.
    pub sequence: u64,
    /// What it says.
    pub change: KeyChange,
}

/// What a signature makes of an object at a record's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The object is a record, if all else holds.
    Record,
    /// The object is a record, by a key that the person who verifies does not trust.
    Distrusted,
    /// The object is a record, by a key that the person who verifies trusts, and the archive has never listed.
    Unlisted,
    /// The object is none.
    Foreign,
}

impl KeyHistory {
    /// Returns the history of an archive whose keys never changed.
    pub fn new(first: KeyList, trusted: AllowedSigners) -> KeyHistory {
        KeyHistory {
            first,
            steps: Vec::new(),
            trusted,
        }
    }

    /// Returns the same history, with one more change.
    pub(super) fn with(
        &self,
        record: &SignersRecord,
        change: &KeyChange,
        sha256: Digest,
    ) -> KeyHistory {
        let mut longer = self.clone();
        longer.steps.push(KeyStep {
            link: Link {
                key: record.key.clone(),
                sha256,
            },
            sequence: record.sequence,
            change: change.clone(),
        });
        longer
    }

    /// Returns the keys that count for a record.
    fn keys_at(&self, chain: &str, sequence: u64) -> &KeyList {
        let mut keys = &self.first;
        for step in &self.steps {
            let is_before = match chain {
                key::SIGNERS => sequence <= step.sequence,
                _ => sequence <= step.head_of(chain),
            };
            if !is_before {
                keys = &step.change.keys;
            }
        }
        keys
    }

    /// Returns whether an object is a record without any signature: in an archive that is not signed, and where a record that
    /// began signing vouches for it.
    pub fn needs_no_signature(&self, chain: &str, sequence: u64) -> bool {
        if chain == key::SIGNERS {
            return false;
        }
        let is_vouched = |step: &KeyStep| step.change.begin && sequence <= step.head_of(chain);
        let is_unsigned = self.trusted.is_empty() && self.keys_at(chain, sequence).is_empty();
        is_unsigned || self.steps.iter().any(is_vouched)
    }

    /// Returns whether a key counts, or has counted once.
    fn ever_listed(&self, key: &PublicKey) -> bool {
        let mut changes = self.steps.iter().map(|step| &step.change.keys);
        self.first.contains(key) || changes.any(|keys| keys.contains(key))
    }

    /// Returns what a signature by `signer` makes of an object that needs one. `begins_with` are the keys with which the
    /// object begins signing, if it does.
    pub fn standing(
        &self,
        chain: &str,
        sequence: u64,
        signer: &PublicKey,
        begins_with: Option<&KeyList>,
    ) -> Standing {
        let listed = self.keys_at(chain, sequence);
        let is_first_change = chain == key::SIGNERS && self.steps.is_empty();
        let counts = match begins_with.filter(|_| is_first_change && listed.is_empty()) {
            Some(own) => own.contains(signer),
            None if listed.is_empty() => chain != key::SIGNERS,
            None => listed.contains(signer),
        };
        let is_trusted = self.trusted.contains(signer, signature::MANIFEST);
        match counts {
            // The archive's list lacks a key that is trusted: the list was exchanged, or a change of the keys is missing.
            false if is_trusted && !self.ever_listed(signer) => Standing::Unlisted,
            false => Standing::Foreign,
            true if self.trusted.accepts(signer, signature::MANIFEST) => Standing::Record,
            true => Standing::Distrusted,
        }
    }

    /// Returns the heads of a chain that the chain of signers names, by their numbers.
    pub fn heads_of(&self, chain: &str) -> BTreeMap<u64, VouchedHead> {
        let heads = self.steps.iter().filter_map(|step| {
            let named = step.change.chains.iter().find(|named| named.id == chain)?;
            let vouched = VouchedHead {
                sha256: named.head.sha256,
                tree: named.head.tree.clone(),
                by: step.link.key.clone(),
            };
            Some((named.head.sequence, vouched))
        });
        heads.collect()
    }

    /// Returns the names of the chains that the chain of signers names.
    pub fn chains(&self) -> impl Iterator<Item = &str> {
        let named = self.steps.iter().flat_map(|step| &step.change.chains);
        named.map(|named| named.id.as_str())
    }

    /// Returns the number of the change that a roster record names; `None` where there is none like it.
    pub fn number_of(&self, link: &Link) -> Option<u64> {
        let step = self.steps.iter().find(|step| step.link == *link)?;
        Some(step.sequence)
    }
}

impl KeyStep {
    /// Returns the number of the head that the change names for a chain; 0 where it names none.
    fn head_of(&self, chain: &str) -> u64 {
        let named = self.change.chains.iter().find(|named| named.id == chain);
        named.map_or(0, |named| named.head.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::position::TreeHead;
    use crate::format::record::{ChainHead, Head};
    use crate::format::signature::SigningKey;

    fn step(sequence: u64, keys: &[PublicKey], begin: bool, until: u64) -> KeyStep {
        let sha256 = Digest::of(b"a head");
        let tree = TreeHead {
            size: until,
            root: sha256,
        };
        let head = Head {
            sequence: until,
            sha256,
            tree,
        };
        KeyStep {
            link: Link {
                key: key::manifest(key::SIGNERS, sequence),
                sha256,
            },
            sequence,
            change: KeyChange {
                keys: KeyList::of(keys.iter().copied()),
                begin,
                chains: vec![ChainHead {
                    id: "9".to_owned(),
                    head,
                }],
                reason: "a test".to_owned(),
                by: None,
            },
        }
    }

    #[test]
    fn each_record_is_judged_by_the_keys_of_its_time() {
        let [one, two, three] = [(); 3].map(|()| SigningKey::generate().unwrap().public_key());
        let history = |first: &[PublicKey], steps: Vec<KeyStep>, trusted: &[PublicKey]| {
            let mut list = AllowedSigners::default();
            trusted.iter().for_each(|key| list.allow(*key));
            KeyHistory {
                first: KeyList::of(first.iter().copied()),
                steps,
                trusted: list,
            }
        };
        let moved = || vec![step(1, &[two], false, 5), step(2, &[two, three], false, 7)];
        // Without a signature: `n`eeds none, or `f`oreign; then by each key: `r`ecord, `d`istrusted or `f`oreign.
        let cases = [
            ("unsigned", history(&[], vec![], &[]), 1, "nrrr"),
            ("signed", history(&[one], vec![], &[]), 1, "frff"),
            ("changed", history(&[one], moved(), &[]), 5, "frff"),
            ("changed", history(&[one], moved(), &[]), 6, "ffrf"),
            ("changed", history(&[one], moved(), &[]), 8, "ffrr"),
            (
                "begun",
                history(&[], vec![step(1, &[two], true, 5)], &[]),
                5,
                "nfff",
            ),
            (
                "begun",
                history(&[], vec![step(1, &[two], true, 5)], &[]),
                6,
                "ffrf",
            ),
            ("trusted", history(&[one], moved(), &[one, two]), 8, "ffrd"),
            ("trusted", history(&[], vec![], &[one]), 1, "frdd"),
            ("unlisted", history(&[two], vec![], &[one, two]), 1, "furf"),
        ];
        for (name, history, sequence, expected) in cases {
            let mut judged = match history.needs_no_signature("9", sequence) {
                true => "n",
                false => "f",
            }
            .to_owned();
            for key in [one, two, three] {
                judged.push(match history.standing("9", sequence, &key, None) {
                    // Where no signature is needed, none is asked for, and only the links matter.
                    _ if name == "begun" && sequence == 5 => 'f',
                    Standing::Record => 'r',
                    Standing::Distrusted => 'd',
                    Standing::Unlisted => 'u',
                    Standing::Foreign => 'f',
                });
            }
            assert_eq!(judged, expected, "{name} {sequence}");
        }
    }
}
