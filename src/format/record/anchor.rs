//! A chain's head as it is kept outside of the archive: what shows that a chain's end was cut off, which nothing inside
//! can.

use serde::{Deserialize, Serialize};

use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::envelope::{RecordBody, RecordPlace};
use crate::format::record::head::HeadRef;
use crate::format::time::wire::instant;

/// One head of one chain. Canonical JSON, and made of the manifest alone: whoever anchors the same head, on whichever
/// host, writes the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    pub archive_id: String,
    /// The chain's folder, as manifests have it: `sub_account=99999999`; or `roster`.
    pub chain: String,
    pub sequence: u64,
    /// The manifest's key in the archive.
    pub key: String,
    /// SHA-256 of the manifest's whole object.
    pub sha256: Digest,
    /// When the manifest says that it was finished.
    #[serde(with = "instant")]
    pub committed_at: i64,
}

impl Anchor {
    /// That of a record whose whole object has `sha256`.
    pub fn of(record: &impl RecordBody, sha256: Digest) -> Anchor {
        let RecordPlace {
            archive_id,
            chain,
            key,
            sequence,
            ..
        } = record.place();
        Anchor {
            archive_id: archive_id.to_owned(),
            chain: key::chain_name(chain),
            sequence,
            key: key.to_owned(),
            sha256,
            committed_at: record.run().finished_at,
        }
    }

    /// Its own key, relative to the anchors' root.
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

    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json_canonicalizer::to_vec(self)
    }

    /// Reads the object at `place`; `None` where it is no record of a head of that very place, in canonical form.
    pub fn from_bytes(place: &str, bytes: &[u8]) -> Option<Anchor> {
        let anchor: Anchor = serde_json::from_slice(bytes).ok()?;
        (anchor.place() == place && anchor.to_bytes().ok()?.as_slice() == bytes).then_some(anchor)
    }

    /// Whether both are of the same manifest. Its place and its bytes say which; its time says nothing beyond.
    pub fn same_head(&self, other: &Anchor) -> bool {
        self.place() == other.place() && self.sha256 == other.sha256
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
            committed_at: 1_763_700_000_000,
        }
    }

    #[test]
    fn it_reads_back_from_its_own_place_only() {
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
            committed_at: 0,
            ..anchor()
        }));
    }
}
