//! Reads chains in order, and holds them against heads that are known from elsewhere: those that the reader has kept,
//! those that were anchored, and those that the roster vouches for.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::audit::anchors::{AT_ONCE, AnchoredHeads};
use crate::audit::blocking;
use crate::audit::verify::finding::{Finding, FindingCode};
use crate::audit::verify::links::{LinkCheck, ReadRecord};
use crate::audit::verify::objects::versions_hold;
use crate::audit::verify::{Verifier, cores};
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::anchor::Anchor;
use crate::format::record::envelope::RecordBody;
use crate::outcome::{Failure, Result};
use crate::store::StoreErrorKind;

/// Hashes of a chain's objects at the numbers that somebody wants to know.
pub type Seen = BTreeMap<u64, Digest>;

/// What the records of a chain must be.
pub trait RecordCheck<'a> {
    type Record: RecordBody;

    fn links(&mut self) -> &mut LinkCheck<'a>;

    /// The next record; returns what is wrong with it.
    fn next(&mut self, sequence: u64, object: ReadRecord<Self::Record>) -> Vec<Finding>;
}

impl Verifier<'_> {
    /// Reads a chain in order, many objects at once. Returns the hashes at the numbers in `wanted`.
    pub async fn read_chain<'a, C: RecordCheck<'a>>(
        &self,
        check: &mut C,
        wanted: &BTreeSet<u64>,
    ) -> Result<Seen> {
        let numbers = self.numbers(&check.links().name).await?;
        let mut seen = Seen::new();
        let read = |(sequence, key): (u64, String)| async move {
            let bytes = match self.store.get(&key).await {
                // Larger than any manifest is: somebody else's, and no reason to see no further.
                Err(error) if error.kind == StoreErrorKind::Contradiction => {
                    return Ok((sequence, Err(())));
                }
                read => read?,
            };
            let object = match bytes {
                Some(bytes) => Some(blocking(move || Ok(ReadRecord::read(&bytes))).await?),
                None => None,
            };
            Ok::<_, Failure>((sequence, Ok(object)))
        };
        let at_once = if self.remote { AT_ONCE } else { cores() };
        let mut reads = stream::iter(numbers).map(read).buffered(at_once);
        let mut expected = 1;
        while let Some((sequence, object)) = reads.try_next().await? {
            self.check_stop()?;
            // A cut-out stretch may be long: it is said once, at its beginning.
            if sequence > expected {
                self.report(check.links().missing(expected));
            }
            match object {
                Err(()) => {
                    self.report(
                        check
                            .links()
                            .unreadable(sequence, "an object larger than any manifest"),
                    );
                }
                Ok(Some(object)) => {
                    if wanted.contains(&sequence) {
                        seen.insert(sequence, object.sha256);
                    }
                    check
                        .next(sequence, object)
                        .into_iter()
                        .for_each(|finding| self.report(finding));
                }
                Ok(None) => self.report(check.links().missing(sequence)),
            }
            expected = sequence + 1;
        }
        Ok(seen)
    }

    /// The chain's objects by their numbers; whatever else lies among them is told.
    async fn numbers(&self, name: &str) -> Result<BTreeMap<u64, String>> {
        let root = key::chain(name);
        let listed = self.store.list(&root, None).await?;
        if self.remote {
            let versions = self.store.versions(&root).await?;
            versions_hold(&versions, |_| false)
                .into_iter()
                .for_each(|finding| self.report(finding));
        }
        let mut numbers = BTreeMap::new();
        for entry in listed {
            match key::parse_manifest(&entry.key)
                .filter(|n| *n > 0 && key::manifest(name, *n) == entry.key)
            {
                Some(sequence) => drop(numbers.insert(sequence, entry.key)),
                None => self.foreign(&entry.key),
            }
        }
        Ok(numbers)
    }

    /// The numbers at which somebody knows what must lie there.
    pub fn known_numbers(&self, name: &str, anchored: &AnchoredHeads) -> BTreeSet<u64> {
        let kept = self.options.heads.iter().filter(|head| head.chain == name);
        let vouched = self
            .rostered
            .heads
            .get(name)
            .into_iter()
            .flat_map(|heads| heads.keys().copied());
        let anchored = anchored.by_number.keys().copied();
        kept.map(|head| head.sequence)
            .chain(vouched)
            .chain(anchored)
            .collect()
    }

    /// What is anchored of a chain; what is wrong with the anchors themselves is said here.
    pub async fn anchored(&self, name: &str) -> Result<AnchoredHeads> {
        let Some(anchors) = &self.options.anchors else {
            return Ok(AnchoredHeads::default());
        };
        let anchored = anchors.of(&self.archive_id, &key::chain_name(name)).await?;
        for finding in versions_hold(&anchored.versions, |_| false) {
            self.report(Finding {
                object: anchors.address(&finding.object),
                ..finding
            });
        }
        for place in &anchored.wrong {
            let place = anchors.address(place);
            self.report(Finding::new(
                FindingCode::AnchorWrong,
                place,
                "a head of this chain",
                "another object",
            ));
        }
        Ok(anchored)
    }

    /// Heads that the reader has kept; whether there is one for this chain.
    pub fn kept_heads(&self, links: &LinkCheck<'_>, seen: &Seen) -> bool {
        let newest = links.head.map_or(0, |(sequence, _)| sequence);
        let mut known = false;
        for head in self
            .options
            .heads
            .iter()
            .filter(|head| head.chain == links.name)
        {
            known = true;
            let key = key::manifest(&links.name, head.sequence);
            match seen.get(&head.sequence) {
                Some(sha256) if *sha256 == head.sha256 => {}
                Some(sha256) => {
                    self.report(Finding::new(
                        FindingCode::HeadDiffers,
                        key,
                        head.sha256.hex(),
                        sha256.hex(),
                    ));
                }
                None if head.sequence > newest => {
                    let found = format!("a chain that ends at {newest}");
                    self.report(Finding::new(
                        FindingCode::HeadMissing,
                        key,
                        head.sha256.hex(),
                        found,
                    ));
                }
                // A hole in the chain, which has been said.
                None => {}
            }
        }
        known
    }

    /// Heads that were anchored; whether there is one for this chain. Where hundreds of anchors say the same, one of them
    /// says it: the last that is missing, the first that differs.
    pub fn anchored_heads(
        &self,
        links: &LinkCheck<'_>,
        anchored: &AnchoredHeads,
        seen: &Seen,
    ) -> bool {
        let Some(anchors) = &self.options.anchors else {
            return false;
        };
        let newest = links.head.map_or(0, |(sequence, _)| sequence);
        let all = || anchored.by_number.values();
        let text = |anchor: &Anchor| {
            format!(
                "{}, as anchored at {}",
                anchor.sha256,
                anchors.address(&anchor.place())
            )
        };
        let missing = || {
            all().filter(move |anchor| {
                anchor.sequence > newest && !seen.contains_key(&anchor.sequence)
            })
        };
        if let Some(last) = missing().next_back() {
            let found = format!(
                "a chain that ends at {newest}; {} anchors lie beyond",
                missing().count()
            );
            self.report(Finding::new(
                FindingCode::HeadMissing,
                last.key.as_str(),
                text(last),
                found,
            ));
        }
        let differing = || {
            all()
                .filter_map(move |anchor| Some((anchor, seen.get(&anchor.sequence)?)))
                .filter(|(anchor, found)| anchor.sha256 != **found)
        };
        if let Some((first, found)) = differing().next() {
            let found = format!(
                "{found}; {} anchors differ from the chain",
                differing().count()
            );
            self.report(Finding::new(
                FindingCode::HeadDiffers,
                first.key.as_str(),
                text(first),
                found,
            ));
        }
        !anchored.by_number.is_empty()
    }

    /// Heads that the roster vouches for. Of all that was cut off only the last is told, of what was rewritten the first.
    pub fn vouched_heads(&self, links: &LinkCheck<'_>, seen: &Seen) {
        let Some(vouched) = self.rostered.heads.get(&links.name) else {
            return;
        };
        let newest = links.head.map_or(0, |(sequence, _)| sequence);
        let tell = |sequence: u64, found: String| {
            let Some(head) = vouched.get(&sequence) else {
                return;
            };
            let expected = format!(
                "{}, by {}",
                head.sha256,
                key::manifest(key::ROSTER, head.by)
            );
            let key = key::manifest(&links.name, sequence);
            self.report(Finding::new(FindingCode::RosterHead, key, expected, found));
        };
        let other = |(sequence, head): (&u64, &super::roster::VouchedChain)| {
            seen.get(sequence)
                .filter(|sha256| **sha256 != head.sha256)
                .map(|sha256| (*sequence, *sha256))
        };
        if let Some((sequence, sha256)) = vouched.iter().find_map(other) {
            tell(sequence, sha256.hex());
        }
        if let Some((&last, _)) = vouched.last_key_value().filter(|(last, _)| **last > newest) {
            tell(last, format!("a chain that ends at {newest}"));
        }
    }

    /// Whether a chain is signed, and by whom.
    pub fn signed(&self, links: &LinkCheck<'_>) {
        let chain = key::chain(&links.name);
        if links.signed == 0 && !self.options.allowed.is_empty() {
            let first = key::manifest(&links.name, 1);
            let expected = "a chain that an allowed signer has signed";
            self.report(Finding::new(
                FindingCode::ManifestUnsigned,
                first,
                expected,
                "no signature",
            ));
        } else if links.signed == 0 {
            self.report(Finding::new(
                FindingCode::ChainUnsigned,
                chain,
                "signatures",
                "none",
            ));
        } else if self.options.allowed.is_empty() {
            self.report(Finding::new(
                FindingCode::NoAllowedSigners,
                chain,
                "allowed signers",
                "none",
            ));
        }
    }

    /// Nothing from elsewhere tells where this chain ends.
    pub fn unknown_end(&self, links: &LinkCheck<'_>) {
        let chain = key::chain(&links.name);
        let expected = "a head that was kept elsewhere";
        let found = match &self.options.anchors {
            Some(anchors) => format!("none, and none is anchored at {}", anchors.root()),
            None => "none".to_owned(),
        };
        self.report(Finding::new(
            FindingCode::NoExpectedHead,
            chain,
            expected,
            found,
        ));
    }
}
