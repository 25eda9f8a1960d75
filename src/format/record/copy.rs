//! `copy.json`: the object that makes an archive a copy of another.
//!
//! A chain must not continue in two locations, and version ids and locks belong to one location. So every writer looks
//! for this object before it writes, and refuses a copy.

use serde::{Deserialize, Serialize};

use crate::format::hash::strict;
use crate::format::record::head::Head;
use crate::format::record::roster::ChainHead;
use crate::format::row::FORMAT_VERSION;
use crate::format::time::Instant;

/// Of which archive this is a copy, and where its chains ended when copying began. It is canonical JSON, created before
/// every other object of the copy, and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyRecord {
    /// Id of the archive that was copied.
    pub archive_id: String,
    /// When copying began.
    pub copied_at: Instant,
    /// Location of the archive that was copied, as text.
    pub from: String,
    /// Version of the format; 1.
    pub format_version: u32,
    /// Head of the roster; null where there was none, or it was not to be copied.
    pub roster: Option<Head>,
    /// Heads of the chains that were to be copied, in the order of the sub-accounts' ids.
    pub sub_accounts: Vec<ChainHead>,
    /// Version of this program.
    pub tool_version: String,
}

impl CopyRecord {
    /// Returns the bytes of the object: canonical JSON.
    ///
    /// # Errors
    /// Where a value has no form in JSON, which does not happen.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json_canonicalizer::to_vec(self)
    }

    /// Reads the object. Returns `None` where the bytes are not such a record in canonical form.
    pub fn from_bytes(bytes: &[u8]) -> Option<CopyRecord> {
        let record: CopyRecord = strict::from_slice(bytes).ok()?;
        (record.format_version == FORMAT_VERSION && record.to_bytes().ok()? == bytes)
            .then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::hash::digest::Digest;
    use crate::format::record::position::TreeHead;

    #[test]
    fn only_the_canonical_form_is_read() {
        let head = Head {
            sequence: 3,
            sha256: Digest::of(b"a head"),
            tree: TreeHead {
                size: 3,
                root: Digest::of(b"a root"),
            },
        };
        let record = CopyRecord {
            archive_id: "0815".to_owned(),
            copied_at: Instant::from_millis(1_795_000_000_000),
            from: "s3://bucket/prefix".to_owned(),
            format_version: FORMAT_VERSION,
            roster: None,
            sub_accounts: vec![ChainHead {
                id: "9".to_owned(),
                head,
            }],
            tool_version: "0.1.0".to_owned(),
        };
        let bytes = record.to_bytes().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(
            text.starts_with(r#"{"archive_id":"0815","copied_at":"2026-"#),
            "{text}"
        );
        assert!(text.contains(r#""roster":null"#), "{text}");
        assert_eq!(CopyRecord::from_bytes(&bytes), Some(record));
        let later = text.replace(r#""format_version":1"#, r#""format_version":2"#);
        for other in [
            later,
            text.replace(",", ", "),
            text.replace("0815", r"08\u00315"),
            "{}".to_owned(),
        ] {
            assert_eq!(CopyRecord::from_bytes(other.as_bytes()), None, "{other}");
        }
    }
}
