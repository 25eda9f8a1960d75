//! Anchors: heads of chains that are stored outside of the archive.
//!
//! That the end of a chain was cut off cannot be seen inside the archive: a shorter chain is a valid one. An anchor in a
//! second location, which other credentials protect, shows it.

use serde::{Deserialize, Serialize};

use crate::format::hash::{Digest, strict};
use crate::format::place::key;
use crate::format::record::envelope::RecordBody;
use crate::format::record::head::HeadRef;
use crate::format::record::position::TreeHead;
use crate::format::time::Instant;

/// One head of one chain. It is canonical JSON and follows from the manifest alone, so that every host that anchors the
/// same head writes the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Id of the archive.
    pub archive_id: String,
    /// Name of the chain's folder: `sub_account=99999999`, or `roster`.
    pub chain: String,
    /// Number of the manifest in the chain.
    pub sequence: u64,
    /// The manifest's key in the archive.
    pub key: String,
    /// SHA-256 of the manifest's whole object.
    pub sha256: Digest,
    /// The tree over all records of the chain up to this one.
    pub tree: TreeHead,
    /// When the manifest was written, as it says itself.
    pub committed_at: Instant,
}

impl Anchor {
    /// Returns the anchor of a record; `sha256` is the hash of its whole object.
    pub fn of(record: &impl RecordBody, sha256: Digest) -> Anchor {
        let place = record.place();
        Anchor {
            archive_id: place.archive_id.to_owned(),
            chain: key::chain_name(place.chain),
            sequence: place.sequence,
            key: place.key.to_owned(),
            sha256,
            tree: place.position.tree_with(sha256),
            committed_at: record.run().finished_at,
        }
    }

    /// Returns the anchor's own key, relative to the root of the anchors.
    pub fn place(&self) -> String {
        key::anchor(&self.archive_id, &self.chain, self.sequence)
    }

    /// Returns the head that this anchor retains, as `--expect-head` takes it.
    pub fn head(&self) -> HeadRef {
        HeadRef {
            chain: key::parse_sub_account(&self.chain)
                .unwrap_or(&self.chain)
                .to_owned(),
            sequence: self.sequence,
            sha256: self.sha256,
        }
    }

    /// Returns the bytes of the object: canonical JSON.
    ///
    /// # Errors
    /// Where a value has no form in JSON, which does not happen.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json_canonicalizer::to_vec(self)
    }

    /// Reads the object with the key `place`. Returns `None` where it is not an anchor of that key in canonical form, or
    /// names a record under another key than the one that follows from its chain and number.
    pub fn from_bytes(place: &str, bytes: &[u8]) -> Option<Anchor> {
        let anchor: Anchor = strict::from_slice(bytes).ok()?;
        let is_own = anchor.place() == place && anchor.key == anchor.record_key();
        (is_own && anchor.to_bytes().ok()?.as_slice() == bytes).then_some(anchor)
    }

    /// Returns the key that the anchored record has in its archive.
    fn record_key(&self) -> String {
        key::manifest(&self.head().chain, self.sequence)
    }

    /// Returns whether both are anchors of the same manifest, which its place and its hash identify, with the same tree.
    pub(crate) fn same_head(&self, other: &Anchor) -> bool {
        self.place() == other.place() && self.sha256 == other.sha256 && self.tree == other.tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor() -> Anchor {
        Anchor {
            archive_id: "0123abcd".into(),
            chain: key::chain_name("99999999"),
            sequence: 42,
            key: key::manifest("99999999", 42),
            sha256: Digest::of(b"manifest"),
            tree: TreeHead {
                size: 42,
                root: Digest::of(b"root"),
            },
            committed_at: Instant::from_millis(1_763_700_000_000),
        }
    }

    #[test]
    fn an_anchor_reads_back_from_its_own_key_only() {
        let anchor = anchor();
        let place = "anchors/v1/0123abcd/sub_account=99999999/0000000042.json";
        assert_eq!(anchor.place(), place);
        let bytes = anchor.to_bytes().unwrap();
        assert_eq!(Anchor::from_bytes(place, &bytes), Some(anchor.clone()));
        assert_eq!(
            anchor.head().to_string(),
            format!("99999999:42:{}", anchor.sha256)
        );
        for elsewhere in [
            "anchors/v1/0123abcd/sub_account=99999999/0000000043.json",
            "anchors/v1/0123abcd/sub_account=9/0000000042.json",
            "anchors/v1/another/sub_account=99999999/0000000042.json",
        ] {
            assert_eq!(Anchor::from_bytes(elsewhere, &bytes), None, "{elsewhere}");
        }
        let spaced = [&bytes[..], b"\n"].concat();
        assert_eq!(Anchor::from_bytes(place, &spaced), None);
        assert_eq!(Anchor::from_bytes(place, b"{}"), None);
    }

    #[test]
    fn a_chain_of_another_kind_is_named_in_its_head() {
        let roster = Anchor {
            chain: "roster".into(),
            key: "roster/v1/0000000042.json".into(),
            ..anchor()
        };
        assert_eq!(roster.place(), "anchors/v1/0123abcd/roster/0000000042.json");
        assert!(roster.head().to_string().starts_with("roster:42:"));
        assert!(!roster.same_head(&anchor()));
        assert!(anchor().same_head(&Anchor {
            committed_at: Instant::from_millis(0),
            ..anchor()
        }));
    }
}
