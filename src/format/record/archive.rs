//! `archive.json`: the first object of an archive, which identifies it.

use serde::{Deserialize, Serialize};

use crate::format::hash::Digest;
use crate::format::record::key_list::KeyList;
use crate::format::row::FORMAT_VERSION;
use crate::format::time::Instant;

/// Which archive this is: canonical JSON, created once and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveRecord {
    /// Id of the archive: 32 hexadecimal digits, drawn at random. Every record repeats it.
    pub archive_id: String,
    /// When the archive was created.
    pub created_at: Instant,
    /// Version of the format; 1.
    pub format_version: u32,
    /// The keys that count from the first record on; empty for an archive that is not signed.
    pub signers: KeyList,
}

/// Why bytes are not the record of an archive that this program can read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveRecordError {
    /// The archive is of another version. It is not damaged.
    #[error("it is of format version {0}, and this program knows version {FORMAT_VERSION}")]
    Version(u64),
    /// The bytes are no JSON, or not that of this record.
    #[error("it is not an archive's record: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The bytes differ from those that this program would write.
    #[error("its bytes are not in canonical form (RFC 8785)")]
    NotCanonical,
}

impl ArchiveRecord {
    /// Returns the bytes of the object: canonical JSON.
    ///
    /// # Errors
    /// Where a value has no form in JSON, which does not happen.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json_canonicalizer::to_vec(self)
    }

    /// Returns the SHA-256 of the object, which every record names. The bytes follow from the record, since no other
    /// spelling of it is read.
    ///
    /// # Errors
    /// As [`ArchiveRecord::to_bytes`].
    pub fn sha256(&self) -> serde_json::Result<Digest> {
        Ok(Digest::of(&self.to_bytes()?))
    }

    /// Reads the object. The version is examined first: an archive of another version is not damaged, even if its
    /// record has other members.
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
        if record.to_bytes()? == bytes {
            Ok(record)
        } else {
            Err(ArchiveRecordError::NotCanonical)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_of_another_version_is_not_reported_as_damaged() {
        let ours =
            br#"{"archive_id":"0","created_at":"2026-11-20T00:00:00.000Z","format_version":1,"signers":[]}"#;
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
            r#"{"archive_id":"0","created_at":"2026-11-20T00:00:00.000Z","format_version":1}"#,
            r#"{"archive_id":"0","created_at":"2026-11-20T00:00:00.000Z","format_version":1,"signers":["x"]}"#,
            r#"{"archive_id":"0","created_at":"2026-11-20T00:00:00.000Z","format_version":1,"more":1,"signers":[]}"#,
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
