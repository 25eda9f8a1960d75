//! Why an object is not a record of its chain.

use crate::format::row::FORMAT_VERSION;

/// The largest record in bytes. Readers of version 1 refuse a larger object, so a writer never stores one.
pub const LARGEST_RECORD: u64 = 8 << 20;

/// Why an object is not a record that this program can read and believe.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are no JSON, or not that of a record.
    #[error("it is not a manifest of format version 1: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The record is of another version of the format. It is not damaged.
    #[error("it is of format version {0}, and this program knows version {FORMAT_VERSION}")]
    Version(u64),
    /// The object is larger than a record can be; its length in bytes.
    #[error("it has {0} bytes, and a record has at most {LARGEST_RECORD}")]
    TooLarge(u64),
    /// The bytes differ from those that this program would write for the record.
    #[error("its bytes are not in canonical form (RFC 8785), or a member is missing")]
    NotCanonical,
    /// A member holds a value that version 1 does not define; names the member.
    #[error("its {0} is none that format version 1 knows")]
    Shape(&'static str),
    /// A text or a number that `jq` and other programs would print in another form.
    #[error(
        "it holds text that a manifest may not hold (control characters, or a number beyond 2^53)"
    )]
    Unprintable,
    /// The record says that its readers must know a member, and this program does not; names the member.
    #[error(
        "its member {0} is one that a reader must know, and this program does not: use a later one"
    )]
    Critical(String),
    /// Two members that follow from each other contradict each other; names them.
    #[error("its {0} contradict each other")]
    Contradiction(&'static str),
    /// The signature does not match the record.
    #[error("its signature does not hold: {0}")]
    Signature(String),
    /// The signature holds, and its key does not count. Names the key's fingerprint.
    #[error("it is signed by a key that is not among the allowed signers: {0}")]
    Signer(String),
    /// The record has no signature where one is required.
    #[error("it is not signed, but a signing key is configured")]
    Unsigned,
}

/// Checks one rule of a record's shape.
///
/// # Errors
/// [`ManifestError::Shape`] with `what`, the name of the member, where the rule does not hold.
pub(super) fn require(holds: bool, what: &'static str) -> Result<(), ManifestError> {
    if holds {
        Ok(())
    } else {
        Err(ManifestError::Shape(what))
    }
}

/// Checks that members of a record agree with each other.
///
/// # Errors
/// [`ManifestError::Contradiction`] with `what`, the names of the members, where they do not.
pub(super) fn agree(agrees: bool, what: &'static str) -> Result<(), ManifestError> {
    if agrees {
        Ok(())
    } else {
        Err(ManifestError::Contradiction(what))
    }
}

/// Checks that a record is of the version that this program knows.
///
/// # Errors
/// [`ManifestError::Version`] for any other version.
pub(super) fn known_version(version: u32) -> Result<(), ManifestError> {
    if version == FORMAT_VERSION {
        Ok(())
    } else {
        Err(ManifestError::Version(version.into()))
    }
}
