//! What was kept elsewhere of a chain, against the chain as it is; and what cannot be told without it.

use std::collections::{BTreeMap, BTreeSet};

use super::Verifier;
use super::chain::ChainCheck;
use super::objects::versions_hold;
use super::record;
use crate::archive::anchor::Anchor;
use crate::archive::digest::Digest;
use crate::archive::finding::{Code, Finding};
use crate::archive::key;
use crate::audit::anchors::Kept;
use crate::outcome::Result;

/// Heads that a chain must hold.
#[derive(Debug, Default)]
pub struct Expected {
    given: Vec<(u64, Digest)>,
    anchored: Kept,
}

impl Expected {
    /// The numbers whose manifests must be compared.
    pub fn numbers(&self) -> BTreeSet<u64> {
        let given = self.given.iter().map(|(sequence, _)| *sequence);
        given.chain(self.anchored.by_number.keys().copied()).collect()
    }

    fn is_empty(&self) -> bool {
        self.given.is_empty() && self.anchored.by_number.is_empty()
    }
}

impl Verifier<'_> {
    /// What was given, and what is anchored; what is wrong with anchors themselves is said here.
    pub(super) async fn expected(&self, sub_account: &str) -> Result<Expected> {
        let given = self.options.heads.iter().filter(|head| head.sub_account == sub_account);
        let given = given.map(|head| (head.sequence, head.sha256)).collect();
        let Some(anchors) = &self.options.anchors else {
            return Ok(Expected { given, ..Expected::default() });
        };
        let anchored = anchors.of(&self.archive_id, &key::chain_name(sub_account)).await?;
        for finding in versions_hold(&anchored.versions) {
            self.report(Finding { object: anchors.address(&finding.object), ..finding });
        }
        for place in &anchored.wrong {
            let place = anchors.address(place);
            self.report(Finding::new(Code::AnchorWrong, place, "a head of this chain", "another object"));
        }
        Ok(Expected { given, anchored })
    }

    /// Expected heads, and what cannot be told without them. `seen` are the manifests' hashes at the expected numbers.
    pub(super) fn heads(
        &self,
        sub_account: &str,
        expected: &Expected,
        check: &ChainCheck<'_>,
        seen: &BTreeMap<u64, Digest>,
    ) {
        let newest = check.head.map_or(0, |(sequence, _)| sequence);
        for (sequence, sha256) in &expected.given {
            let key = key::manifest(sub_account, *sequence);
            match seen.get(sequence) {
                Some(found) if found == sha256 => {}
                Some(found) => self.report(Finding::new(Code::HeadDiffers, key, sha256.hex(), found.hex())),
                None if *sequence > newest => {
                    let found = format!("a chain that ends at {newest}");
                    self.report(Finding::new(Code::HeadMissing, key, sha256.hex(), found));
                }
                // A hole in the chain, which has been said.
                None => {}
            }
        }
        self.anchored(&expected.anchored, newest, seen);
        if check.manifests > 0 {
            self.untold(sub_account, expected, check);
        }
    }

    /// Where hundreds of anchors say the same, one of them says it: the last that is missing, the first that differs.
    fn anchored(&self, anchored: &Kept, newest: u64, seen: &BTreeMap<u64, Digest>) {
        let Some(anchors) = &self.options.anchors else { return };
        let all = || anchored.by_number.values();
        let text = |anchor: &Anchor| {
            format!("{}, as anchored at {}", anchor.sha256, anchors.address(&anchor.place()))
        };
        let missing =
            || all().filter(move |anchor| anchor.sequence > newest && !seen.contains_key(&anchor.sequence));
        if let Some(last) = missing().next_back() {
            let found = format!("a chain that ends at {newest}; {} anchors lie beyond", missing().count());
            self.report(Finding::new(Code::HeadMissing, last.key.as_str(), text(last), found));
        }
        let differing = || {
            all()
                .filter_map(move |anchor| Some((anchor, seen.get(&anchor.sequence)?)))
                .filter(|(anchor, found)| anchor.sha256 != **found)
        };
        if let Some((first, found)) = differing().next() {
            let found = format!("{found}; {} anchors differ from the chain", differing().count());
            self.report(Finding::new(Code::HeadDiffers, first.key.as_str(), text(first), found));
        }
    }

    fn untold(&self, sub_account: &str, expected: &Expected, check: &ChainCheck<'_>) {
        let chain = key::chain(sub_account);
        if expected.is_empty() {
            let found = match &self.options.anchors {
                Some(anchors) => format!("none, and none is anchored at {}", anchors.root()),
                None => "none".to_owned(),
            };
            let kept = "a head that was kept elsewhere";
            self.report(Finding::new(Code::NoExpectedHead, chain.as_str(), kept, found));
        }
        if check
            .first_commit
            .is_some_and(|oldest| oldest < self.created_at.saturating_sub(record::CLOCK_SLACK_MS))
        {
            let found = "a manifest that was committed before the archive was made";
            self.report(Finding::new(Code::ArchiveRecord, key::ARCHIVE, "manifests younger than it", found));
        }
        if check.signed == 0 && !self.options.allowed.is_empty() {
            let first = key::manifest(sub_account, 1);
            self.report(Finding::new(
                Code::ManifestUnsigned,
                first,
                "a chain that an allowed signer has signed",
                "no signature",
            ));
        } else if check.signed == 0 {
            self.report(Finding::new(Code::ChainUnsigned, chain, "signatures", "none"));
        } else if self.options.allowed.is_empty() {
            self.report(Finding::new(Code::NoAllowedSigners, chain, "allowed signers", "none"));
        }
        self.count(|totals| {
            totals.manifests += check.manifests;
            totals.signed_manifests += check.signed;
            totals.heads.extend(check.head.map(|(n, sha256)| format!("{sub_account}:{n}:{sha256}")));
        });
    }
}
