//! The end of a chain: heads that are known from a second source.
//!
//! Inside a chain nothing can be changed unnoticed, but a chain whose newest records were removed looks like a shorter
//! chain. Three sources can show that: heads that the reader passes (`--expect-head`), heads in a second place (`--anchor`),
//! and the heads of the other chains that the roster names. docs/decisions/0003 explains why there are three.
//!
//! # What is checked
//!
//! - A head that is known must be a record of the chain: the same number with the same SHA-256. Another hash at that number
//!   means that history was rewritten; a number beyond the end means that the end was cut off.
//! - Where no second source names the chain, that is reported as a notice: the chain may have been longer.
//! - A chain without any signature, and a verification without trusted signers, are notices as well. Where signers are
//!   trusted, an unsigned chain is a violation.
//!
//! # What is not checked
//!
//! A head that is older than the newest record proves the chain only up to that record. Records after it are protected by
//! their signatures and links, but not against being removed.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::anchors::AnchoredHeads;
use crate::audit::verify::finding::{Finding, FindingCode};
use crate::audit::verify::keys::VouchedHead;
use crate::audit::verify::links::LinkCheck;
use crate::audit::verify::objects::check_versions;
use crate::audit::verify::verifier::Verifier;
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{Anchor, HeadRef, TreeHead};
use crate::outcome::Result;

/// A chain's records by their numbers, as far as heads are known.
pub(crate) type Hashes = BTreeMap<u64, RecordHash>;

/// What is compared with a known head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordHash {
    /// SHA-256 of the record's object.
    pub sha256: Digest,
    /// The tree over the records up to this one; `None` where one of them could not be read.
    pub tree: Option<TreeHead>,
}

impl RecordHash {
    /// Returns what differs from a head with this hash and this tree, for a finding.
    fn difference(&self, sha256: Digest, tree: &TreeHead) -> Option<String> {
        if self.sha256 != sha256 {
            return Some(self.sha256.hex());
        }
        let other = self.tree.as_ref().filter(|own| *own != tree)?;
        Some(format!("a tree of {} records, {}", other.size, other.root))
    }
}

/// What second sources say of one chain.
#[derive(Debug, Default)]
pub(crate) struct KnownHeads {
    /// The heads of this chain that the reader has passed.
    expected: Vec<HeadRef>,
    /// The anchors of this chain by number.
    anchored: BTreeMap<u64, Anchor>,
    /// Where the anchors are, if a place was given.
    anchor_root: Option<String>,
    /// The heads of this chain that the roster names, by number.
    vouched: BTreeMap<u64, VouchedHead>,
}

impl KnownHeads {
    /// Returns the numbers of the records whose hashes [`KnownHeads::check`] needs.
    pub fn numbers(&self) -> BTreeSet<u64> {
        let expected = self.expected.iter().map(|head| head.sequence);
        expected
            .chain(self.anchored.keys().copied())
            .chain(self.vouched.keys().copied())
            .collect()
    }

    /// Returns whether the reader or the second place names a head of this chain.
    pub(crate) fn is_known(&self) -> bool {
        !self.expected.is_empty() || !self.anchored.is_empty()
    }

    /// Compares a chain with all known heads. `hashes` are those of its records at [`KnownHeads::numbers`].
    pub fn check(&self, links: &LinkCheck, hashes: &Hashes) -> Vec<Finding> {
        let newest = links.head.map_or(0, |(sequence, _)| sequence);
        let mut findings = self.check_expected(&links.name, newest, hashes);
        findings.extend(self.check_anchored(newest, hashes));
        findings.extend(self.check_vouched(&links.name, newest, hashes));
        findings
    }

    /// Compares the heads that the reader has passed. Each is reported by itself: there are few of them, and the reader has
    /// chosen each.
    fn check_expected(&self, name: &str, newest: u64, hashes: &Hashes) -> Vec<Finding> {
        let mut findings = Vec::new();
        for head in &self.expected {
            let (code, found) = match hashes.get(&head.sequence) {
                Some(record) if record.sha256 == head.sha256 => continue,
                Some(record) => (FindingCode::HeadDiffers, record.sha256.hex()),
                None if head.sequence > newest => (FindingCode::HeadMissing, ends_at(newest)),
                // A record is missing within the chain, which is a finding of its own.
                None => continue,
            };
            let key = key::manifest(name, head.sequence);
            findings.push(Finding::new(code, key, head.sha256.hex(), found));
        }
        findings
    }

    /// There may be hundreds of anchors with the same fault, so one finding stands for all of them: that of the last
    /// missing record, and that of the first record that differs.
    fn check_anchored(&self, newest: u64, hashes: &Hashes) -> Vec<Finding> {
        let missing: Vec<&Anchor> = self
            .anchored
            .values()
            .filter(|anchor| anchor.sequence > newest && !hashes.contains_key(&anchor.sequence))
            .collect();
        let differing: Vec<(&Anchor, String)> = self
            .anchored
            .values()
            .filter_map(|anchor| {
                let record = hashes.get(&anchor.sequence)?;
                Some((anchor, record.difference(anchor.sha256, &anchor.tree)?))
            })
            .collect();
        let last_missing = missing.last().map(|last| {
            let found = format!("{}; {} anchors lie beyond", ends_at(newest), missing.len());
            self.anchor_finding(FindingCode::HeadMissing, last, found)
        });
        let first_differing = differing.first().map(|(first, other)| {
            let found = format!("{other}; {} anchors differ from the chain", differing.len());
            self.anchor_finding(FindingCode::HeadDiffers, first, found)
        });
        last_missing.into_iter().chain(first_differing).collect()
    }

    /// Returns a finding about an anchor, with the address at which it is stored.
    fn anchor_finding(&self, code: FindingCode, anchor: &Anchor, found: String) -> Finding {
        let root = self.anchor_root.as_deref().unwrap_or_default();
        let expected = format!(
            "{}, as anchored at {root}/{}",
            anchor.sha256,
            anchor.place()
        );
        Finding::new(code, anchor.key.as_str(), expected, found)
    }

    /// Reports the first head of the roster that differs from the chain, and the last one beyond the chain's end.
    fn check_vouched(&self, name: &str, newest: u64, hashes: &Hashes) -> Vec<Finding> {
        let first_differing = self.vouched.iter().find_map(|(sequence, head)| {
            let record = hashes.get(sequence)?;
            let other = record.difference(head.sha256, &head.tree)?;
            Some(vouched_finding(name, *sequence, head, other))
        });
        let last_missing = self
            .vouched
            .last_key_value()
            .filter(|(sequence, _)| **sequence > newest)
            .map(|(sequence, head)| vouched_finding(name, *sequence, head, ends_at(newest)));
        first_differing.into_iter().chain(last_missing).collect()
    }

    /// Returns the notice that no second source says where this chain ends.
    pub(crate) fn unknown_end(&self, links: &LinkCheck) -> Finding {
        let found = match &self.anchor_root {
            Some(root) => format!("none, and none is anchored at {root}"),
            None => "none".to_owned(),
        };
        Finding::new(
            FindingCode::NoExpectedHead,
            key::chain(&links.name),
            "a head from a second source",
            found,
        )
    }
}

/// Returns what is found where a chain is too short.
fn ends_at(newest: u64) -> String {
    format!("a chain that ends at {newest}")
}

/// Returns a finding about a head that the roster names.
fn vouched_finding(name: &str, sequence: u64, head: &VouchedHead, found: String) -> Finding {
    Finding::new(
        FindingCode::RosterHead,
        key::manifest(name, sequence),
        format!("{}, by {}", head.sha256, head.by),
        found,
    )
}

impl Verifier<'_> {
    /// Reports that the second place names no head of this archive: then the place is mistyped, or this is another
    /// archive, perhaps with the same keys. Without this finding the verdict would claim what the anchors do not vouch for.
    pub(crate) async fn anchored(&self) -> Result<()> {
        let Some(anchors) = &self.options.anchors else {
            return Ok(());
        };
        if self.archive_id.is_empty() || !anchors.chains(&self.archive_id).await?.is_empty() {
            return Ok(());
        }
        let others = anchors.archives().await?;
        let found = match others.len() {
            0 => "no anchor of any archive".to_owned(),
            n => format!("anchors of {n} other archives only, such as {}", others[0]),
        };
        let expected = format!("a head of the archive {}", self.archive_id);
        self.add(FindingCode::AnchorMissing, anchors.root(), expected, found);
        Ok(())
    }

    /// Returns what second sources say of a chain, and reports what is wrong with its anchors.
    pub(crate) async fn known_heads(&self, name: &str) -> Result<KnownHeads> {
        let expected = self.options.heads.iter().filter(|head| head.chain == name);
        let mut known = KnownHeads {
            expected: expected.cloned().collect(),
            vouched: self.vouched(name),
            ..KnownHeads::default()
        };
        let Some(anchors) = &self.options.anchors else {
            return Ok(known);
        };
        let chain = key::chain_name(name);
        let AnchoredHeads {
            by_number,
            wrong,
            versions,
        } = anchors.of(&self.archive_id, &chain).await?;
        for finding in check_versions(&versions, |_| false) {
            self.report(Finding {
                object: anchors.address(&finding.object),
                ..finding
            });
        }
        self.report_all(wrong.iter().map(|place| {
            Finding::new(
                FindingCode::AnchorWrong,
                anchors.address(place),
                "a head of this chain",
                "another object",
            )
        }));
        known.anchored = by_number;
        known.anchor_root = Some(anchors.root());
        Ok(known)
    }

    /// Returns the heads of a chain that the roster and the chain of signers name.
    fn vouched(&self, name: &str) -> BTreeMap<u64, VouchedHead> {
        let mut vouched = self.keys.heads_of(name);
        if let Some(rostered) = self.rostered.heads.get(name) {
            vouched.extend(rostered.clone());
        }
        vouched
    }

    /// Reports and counts what this program carries without understanding it.
    pub(crate) fn check_unread(&self, links: &LinkCheck) {
        self.report_all(links.unread.finding(&links.name));
        self.count(|totals| totals.records_unread += links.unread.records);
    }

    /// Reports a chain without signatures, or one whose signers cannot be checked because none is trusted.
    pub(crate) fn check_signed(&self, links: &LinkCheck) {
        let chain = key::chain(&links.name);
        let (code, object, expected, found) = match (links.signed, self.options.allowed.is_empty())
        {
            (0, false) => (
                FindingCode::ManifestUnsigned,
                key::manifest(&links.name, 1),
                "a chain that a trusted signer has signed",
                "no signature",
            ),
            (0, true) => (FindingCode::ChainUnsigned, chain, "signatures", "none"),
            (_, true) => (
                FindingCode::NoAllowedSigners,
                chain,
                "allowed signers",
                "none",
            ),
            (_, false) => return,
        };
        self.add(code, object, expected, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::verify::links::ArchiveIdentity;

    fn digest(number: u64) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    fn tree(size: u64) -> TreeHead {
        TreeHead {
            size,
            root: digest(100 + size),
        }
    }

    fn expected(sequence: u64, sha256: Digest) -> HeadRef {
        HeadRef {
            chain: "1".into(),
            sequence,
            sha256,
        }
    }

    /// Compares a chain of three records with what `known` says.
    fn findings(known: &KnownHeads) -> Vec<(FindingCode, String, String)> {
        let identity = ArchiveIdentity {
            id: "id",
            sha256: None,
        };
        let mut links = LinkCheck::new(identity, "1", Default::default());
        links.head = Some((3, digest(3)));
        let hashes = known
            .numbers()
            .into_iter()
            .filter(|number| *number <= 3)
            .map(|number| {
                let (sha256, tree) = (digest(number), Some(tree(number)));
                (number, RecordHash { sha256, tree })
            })
            .collect();
        known
            .check(&links, &hashes)
            .into_iter()
            .map(|finding| (finding.code, finding.object, finding.found))
            .collect()
    }

    #[test]
    fn an_expected_head_is_a_record_of_the_chain() {
        let (differs, missing) = (FindingCode::HeadDiffers, FindingCode::HeadMissing);
        for (head, finding) in [
            (expected(2, digest(2)), None),
            (expected(3, digest(3)), None),
            (expected(2, digest(9)), Some((differs, 2, digest(2).hex()))),
            (
                expected(4, digest(4)),
                Some((missing, 4, "a chain that ends at 3".to_owned())),
            ),
        ] {
            let known = KnownHeads {
                expected: vec![head],
                ..KnownHeads::default()
            };
            assert!(known.is_known());
            let expected: Vec<_> = finding
                .map(|(code, number, found)| (code, key::manifest("1", number), found))
                .into_iter()
                .collect();
            assert_eq!(findings(&known), expected);
        }
    }

    #[test]
    fn of_the_rosters_heads_the_first_that_differs_and_the_last_that_is_missing_are_reported() {
        let head = |number, sha256| {
            let tree = tree(number);
            (
                number,
                VouchedHead {
                    sha256,
                    tree,
                    by: "roster/v1/0000000007.json".to_owned(),
                },
            )
        };
        let known = KnownHeads {
            vouched: [
                head(1, digest(1)),
                head(2, digest(8)),
                head(3, digest(9)),
                head(4, digest(4)),
                head(5, digest(5)),
            ]
            .into(),
            ..KnownHeads::default()
        };
        assert!(!known.is_known(), "the end of the roster is not known");
        let code = FindingCode::RosterHead;
        assert_eq!(
            findings(&known),
            [
                (code, key::manifest("1", 2), digest(2).hex()),
                (
                    code,
                    key::manifest("1", 5),
                    "a chain that ends at 3".to_owned()
                ),
            ]
        );
    }
}
