//! Which archive this is: the first object of each.

use serde::{Deserialize, Serialize};

use crate::format::row::schema::FORMAT_VERSION;
use crate::format::time::wire::instant;

/// `archive.json`: which archive this is. Canonical JSON, created once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveRecord {
    pub archive_id: String,
    #[serde(with = "instant")]
    pub created_at: i64,
    pub format_version: u32,
}

/// Why bytes are not the record of an archive that this program can read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveRecordError {
    #[error("it is of format version {0}, and this program knows version {FORMAT_VERSION}")]
    Version(u64),
    #[error("it is not an archive's record: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("its bytes are not in canonical form (RFC 8785)")]
    NotCanonical,
}

impl ArchiveRecord {
    /// # Errors
    /// Where a text cannot be written as JSON, which does not happen.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json_canonicalizer::to_vec(self)
    }

    /// Looks at the version first: whatever else another one may say there, an archive of it is not damaged.
    ///
    /// # Errors
    /// [`ArchiveRecordError`].
    pub fn read(bytes: &[u8]) -> Result<ArchiveRecord, ArchiveRecordError> {
        let value: serde_json::Value = serde_json::from_slice(bytes)?;
        let version = value
            .get("format_version")
            .and_then(serde_json::Value::as_u64);
        if let Some(other) = version.filter(|version| *version != u64::from(FORMAT_VERSION)) {
            return Err(ArchiveRecordError::Version(other));
        }
        let record: ArchiveRecord = serde_json::from_value(value)?;
        if record.to_bytes()? != bytes {
            Err(ArchiveRecordError::NotCanonical)
        } else {
            Ok(record)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_of_another_version_is_not_damaged_but_of_another_version() {
        let ours =
            br#"{"archive_id":"0","created_at":"2026-11-20T00:00:00.000Z","format_version":1}"#;
        assert_eq!(ArchiveRecord::read(ours).unwrap().format_version, 1);
        for later in [
            &br#"{"format_version":2}"#[..],
            br#"{"archive":{"id":[1]},"format_version":2}"#,
        ] {
            assert!(matches!(
                ArchiveRecord::read(later),
                Err(ArchiveRecordError::Version(2))
            ));
        }
        for damaged in [
            "",
            "[]",
            "{}",
            r#"{"format_version":1}"#,
            r#"{"format_version":"2"}"#,
        ] {
            let read = ArchiveRecord::read(damaged.as_bytes());
            assert!(
                matches!(read, Err(ArchiveRecordError::Unreadable(_))),
                "{damaged}"
            );
        }
        let ours = std::str::from_utf8(ours).unwrap();
        for other in [
            ours.replace(',', ", "),
            ours.replacen('{', "{\"archive_id\":\"1\",", 1),
        ] {
            let read = ArchiveRecord::read(other.as_bytes());
            assert!(
                matches!(read, Err(ArchiveRecordError::NotCanonical)),
                "{other}"
            );
        }
    }
}
