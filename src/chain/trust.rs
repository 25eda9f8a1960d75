//! Which records count: the one rule by which every reader and writer of a chain judges a signature.
//!
//! An archive is *signed* if `archive.json` lists keys, or if a record of the chain of signers has begun signing. In a
//! signed archive a record counts if its signature is by a key that counts for its chain and its number; every other object
//! is foreign, whatever it contains. `audit::verify` has the same rule a second time, on purpose.
//!
//! - The keys of `archive.json` count from the first record of each chain on. A record of the chain of signers replaces
//!   them for the records after the heads that it names.
//! - Where the reader has allowed signers of their own, a record must be signed by one of those as well. A key that the
//!   archive has removed does not count beyond its removal even then: the owner of a stolen key must not be believed by a
//!   reader whose file still lists the key because of older records.
//!   An allowed signer that the archive has never listed contradicts the list: the list was exchanged or cut off.
//! - A record that begins signing vouches for the records up to the heads that it names: they lead to these heads by their
//!   hashes, and need no signature.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{Head, KeyList, Link, SignersRecord};
use crate::format::signature;
use crate::format::signature::{AllowedSigners, PublicKey};

/// The keys of an archive, with all their changes, and the keys of the reader.
#[derive(Debug, Clone, Default)]
pub(crate) struct SigningRules {
    /// The keys of `archive.json`.
    first: KeyList,
    /// The records of the chain of signers, oldest first.
    changes: Vec<SignersChange>,
    /// The reader's own allowed signers; empty where the reader has none.
    allowed: AllowedSigners,
}

/// The rules of signing, and the objects of which they were read.
#[derive(Debug, Clone, Default)]
pub(super) struct LearnedRules {
    pub rules: Arc<SigningRules>,
    /// The numbers and lengths of the objects in the folder of the chain of signers.
    pub listed: BTreeMap<u64, u64>,
}

/// What one record of the chain of signers changes.
#[derive(Debug, Clone)]
struct SignersChange {
    link: Link,
    sequence: u64,
    keys: KeyList,
    begin: bool,
    /// The heads up to which the keys before apply, by the names of the chains.
    heads: BTreeMap<String, Head>,
}

/// An object at a record's place, as far as it matters for the rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JudgedObject<'a> {
    /// Name of the chain.
    pub chain: &'a str,
    /// Number of the object.
    pub sequence: u64,
    /// SHA-256 of the object.
    pub sha256: Digest,
    /// The key whose valid signature the object carries.
    pub signer: Option<PublicKey>,
    /// The keys with which the object, a record of the chain of signers, begins signing.
    pub begins_with: Option<&'a KeyList>,
}

/// Whether an object is a record of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It counts.
    Counts,
    /// It is a foreign object, for this reason.
    Foreign(String),
    /// It claims to be a record, and contradicts what is known; for this reason nothing can be relied on.
    Refused(String),
}

impl SigningRules {
    /// Returns the rules of an archive whose keys have not changed.
    pub fn new(first: KeyList, allowed: AllowedSigners) -> SigningRules {
        SigningRules {
            first,
            changes: Vec::new(),
            allowed,
        }
    }

    /// Adds a record of the chain of signers, which counts after those that were added before.
    pub fn push(&mut self, record: &SignersRecord, link: Link) {
        let Some(change) = record.change() else {
            return;
        };
        let heads = change.chains.iter();
        self.changes.push(SignersChange {
            link,
            sequence: record.sequence,
            keys: change.keys.clone(),
            begin: change.begin,
            heads: heads
                .map(|chain| (chain.id.clone(), chain.head.clone()))
                .collect(),
        });
    }

    /// Returns the keys that count for the next record of every chain; empty in an archive that is not signed.
    pub fn current(&self) -> &KeyList {
        self.changes
            .last()
            .map_or(&self.first, |change| &change.keys)
    }

    /// Returns whether the archive is signed.
    pub fn is_signed(&self) -> bool {
        !self.current().is_empty()
    }

    /// Returns whether a record without a signature can be believed: nobody has said whose signatures count.
    pub fn accepts_unsigned(&self) -> bool {
        !self.is_signed() && self.allowed.is_empty()
    }

    /// Returns whether a record of the chain of signers with this key and hash was read.
    pub fn knows(&self, link: &Link) -> bool {
        self.changes.iter().any(|change| change.link == *link)
    }

    /// Returns the link to the newest record of the chain of signers.
    pub fn newest(&self) -> Option<&Link> {
        self.changes.last().map(|change| &change.link)
    }

    /// Returns the newest head of a chain that a record of the chain of signers names: no reader believes a shorter chain.
    pub fn named_head(&self, chain: &str) -> Option<&Head> {
        let named = self
            .changes
            .iter()
            .filter_map(|change| change.heads.get(chain));
        named.max_by_key(|head| head.sequence)
    }

    /// Returns the change that applies to a record, if one does.
    fn change_for(&self, chain: &str, sequence: u64) -> Option<&SignersChange> {
        self.changes.iter().rev().find(|change| {
            let before = match chain {
                key::SIGNERS => change.sequence,
                chain => change.heads.get(chain).map_or(0, |head| head.sequence),
            };
            before < sequence
        })
    }

    /// Returns whether a key counts, or has counted once.
    fn ever_lists(&self, key: &PublicKey) -> bool {
        self.first.contains(key) || self.changes.iter().any(|change| change.keys.contains(key))
    }

    /// Judges an object. Its form, its place and its links are for others to check.
    pub fn judge(&self, object: JudgedObject<'_>) -> Judgement {
        let JudgedObject {
            chain,
            sequence,
            sha256,
            signer,
            ..
        } = object;
        for change in &self.changes {
            let Some(head) = change.heads.get(chain) else {
                continue;
            };
            if head.sequence == sequence && head.sha256 != sha256 {
                let key = &change.link.key;
                return Judgement::Refused(format!(
                    "{key} names another record with this number as the head of the chain"
                ));
            }
            if change.begin && sequence <= head.sequence {
                return Judgement::Counts;
            }
        }
        let change = self.change_for(chain, sequence);
        let begins = self.first.is_empty() && change.is_none();
        let keys = match (change, object.begins_with) {
            (Some(change), _) => &change.keys,
            (None, Some(keys)) if begins && chain == key::SIGNERS => keys,
            (None, _) => &self.first,
        };
        let Some(signer) = signer else {
            // A record of the chain of signers is signed in every archive: it is how signing begins.
            return match keys.is_empty() && self.allowed.is_empty() && chain != key::SIGNERS {
                true => Judgement::Counts,
                false => Judgement::Foreign("it is not signed".to_owned()),
            };
        };
        let name = signer.fingerprint();
        let is_listed = keys.contains(&signer) || (keys.is_empty() && chain != key::SIGNERS);
        let allowed = &self.allowed;
        match is_listed {
            false
                if allowed.contains(&signer, signature::MANIFEST) && !self.ever_lists(&signer) =>
            {
                Judgement::Refused(format!(
                    "{name} is among the allowed signers, and the archive has never listed it: archive.json was exchanged, \
                     or records of {} are missing",
                    key::SIGNERS_FOLDER
                ))
            }
            false => Judgement::Foreign(format!("it is signed by {name}, which does not count")),
            true if allowed.accepts(&signer, signature::MANIFEST) => Judgement::Counts,
            true => Judgement::Refused(format!("{name} is not among the allowed signers")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::position::TreeHead;
    use crate::format::signature::SigningKey;

    const SUB: &str = "99999999";

    fn digest(number: u64) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    fn head(sequence: u64) -> Head {
        let sha256 = digest(sequence);
        Head {
            sequence,
            sha256,
            tree: TreeHead {
                size: sequence,
                root: sha256,
            },
        }
    }

    /// The change with number `sequence`, after the records up to `until` of the sub-account's chain.
    fn change(sequence: u64, keys: &[PublicKey], begin: bool, until: u64) -> SignersChange {
        SignersChange {
            link: Link {
                key: key::manifest(key::SIGNERS, sequence),
                sha256: digest(sequence),
            },
            sequence,
            keys: KeyList::of(keys.iter().copied()),
            begin,
            heads: [(SUB.to_owned(), head(until))].into(),
        }
    }

    fn rules(
        first: &[PublicKey],
        changes: Vec<SignersChange>,
        allowed: &[PublicKey],
    ) -> SigningRules {
        let mut signers = AllowedSigners::default();
        allowed.iter().for_each(|key| signers.allow(*key));
        SigningRules {
            first: KeyList::of(first.iter().copied()),
            changes,
            allowed: signers,
        }
    }

    /// Judges the record `sequence` of a chain: `c`ounts, `f`oreign or `r`efused.
    fn judge(rules: &SigningRules, chain: &str, sequence: u64, signer: Option<PublicKey>) -> char {
        let object = JudgedObject {
            chain,
            sequence,
            sha256: digest(sequence),
            signer,
            begins_with: None,
        };
        match rules.judge(object) {
            Judgement::Counts => 'c',
            Judgement::Foreign(_) => 'f',
            Judgement::Refused(_) => 'r',
        }
    }

    #[test]
    fn a_key_counts_where_it_is_listed() {
        let [old, new, stranger] = [(); 3].map(|()| SigningKey::generate().unwrap().public_key());
        let (old, new, stranger) = (Some(old), Some(new), Some(stranger));
        let [one, two, three] = [old, new, stranger].map(Option::unwrap);
        let plain = rules(&[one], vec![], &[]);
        let moved = rules(&[one], vec![change(1, &[two], false, 5)], &[]);
        let added = rules(&[one], vec![change(1, &[one, two], false, 5)], &[]);
        let begun = rules(&[], vec![change(1, &[two], true, 5)], &[]);
        let unsigned = rules(&[], vec![], &[]);
        let strict = rules(&[], vec![], &[one]);
        let allowed = rules(&[one], vec![change(1, &[two], false, 5)], &[one, two]);
        let foreign = rules(&[three], vec![], &[one, three]);
        let half = rules(&[one], vec![change(1, &[two], false, 5)], &[two]);
        // Each record of the sub-account: its number, then the judgement without a signature, and by each of the keys.
        let cases: [(&str, &SigningRules, u64, &str); 18] = [
            ("listed", &plain, 1, "fcff"),
            ("before the change", &moved, 5, "fcff"),
            ("after the change", &moved, 6, "ffcf"),
            ("before the addition", &added, 5, "fcff"),
            ("after the addition", &added, 6, "fccf"),
            ("vouched for", &begun, 4, "cccc"),
            ("the head that is vouched for", &begun, 5, "cccc"),
            ("after the beginning", &begun, 6, "ffcf"),
            ("unsigned", &unsigned, 1, "cccc"),
            ("unsigned, and signers expected", &strict, 1, "fcrr"),
            ("allowed, before the removal", &allowed, 5, "fcff"),
            ("allowed, and removed", &allowed, 6, "ffcf"),
            ("not allowed any more", &half, 5, "frff"),
            ("allowed", &half, 6, "ffcf"),
            ("allowed, and never listed", &foreign, 1, "frfc"),
            ("a new chain after the change", &moved, 0, "ffff"),
            ("far behind the change", &moved, 600, "ffcf"),
            ("far behind the beginning", &begun, 600, "ffcf"),
        ];
        for (name, rules, sequence, expected) in cases {
            if sequence == 0 {
                let other = |signer| judge(rules, "1", 1, signer);
                assert_eq!([other(old), other(new)], ['f', 'c'], "{name}");
                continue;
            }
            let judged = [None, old, new, stranger].map(|key| judge(rules, SUB, sequence, key));
            assert_eq!(judged.iter().collect::<String>(), expected, "{name}");
        }
        // The chain of signers itself: the key after the change, and not the one before it, signs the next change.
        assert_eq!(judge(&moved, key::SIGNERS, 1, old), 'c');
        assert_eq!(judge(&moved, key::SIGNERS, 2, old), 'f');
        assert_eq!(judge(&moved, key::SIGNERS, 2, new), 'c');
        assert_eq!(judge(&unsigned, key::SIGNERS, 1, None), 'f');
        assert_eq!(judge(&unsigned, key::SIGNERS, 1, old), 'f');
    }

    #[test]
    fn only_the_first_record_begins_and_only_with_its_own_key() {
        let [own, other] = [(); 2].map(|()| SigningKey::generate().unwrap().public_key());
        let list = KeyList::of([own]);
        let begins = |rules: &SigningRules, sequence, signer| {
            rules.judge(JudgedObject {
                chain: key::SIGNERS,
                sequence,
                sha256: digest(sequence),
                signer: Some(signer),
                begins_with: Some(&list),
            }) == Judgement::Counts
        };
        let unsigned = rules(&[], vec![], &[]);
        assert!(begins(&unsigned, 1, own) && begins(&unsigned, 2, own));
        assert!(!begins(&unsigned, 1, other));
        assert!(!begins(&rules(&[other], vec![], &[]), 1, own));
        let begun = rules(&[], vec![change(1, &[other], true, 0)], &[]);
        assert!(!begins(&begun, 2, own));
        assert!(!begins(&rules(&[], vec![], &[other]), 1, own));
    }

    #[test]
    fn a_head_that_a_change_names_is_no_other_record() {
        let key = SigningKey::generate().unwrap().public_key();
        let rules = rules(&[key], vec![change(1, &[key], false, 5)], &[]);
        let judged = rules.judge(JudgedObject {
            chain: SUB,
            sequence: 5,
            sha256: digest(6),
            signer: Some(key),
            begins_with: None,
        });
        assert!(matches!(judged, Judgement::Refused(_)));
        assert_eq!(rules.named_head(SUB), Some(&head(5)));
        assert_eq!(rules.named_head("1"), None);
    }
}
