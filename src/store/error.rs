//! Store errors, by what the operator or the commit protocol does next.

use crate::outcome::{Exit, Failure};

/// What went wrong with one object, and where.
#[derive(Debug, thiserror::Error)]
#[error("{what} {object}")]
pub struct StoreError {
    pub kind: StoreErrorKind,
    /// What was attempted, e.g. `cannot store`.
    pub what: &'static str,
    /// The object's full address.
    pub object: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Time-out, reset, 5xx or 409: done or not done, nobody knows; send the identical request again.
    Unknown,
    /// The store refuses for lack of permission.
    Denied,
    /// The store refuses the bytes: their checksum is not the announced one.
    Checksum,
    /// The store cannot do what the settings ask (no such bucket, no Object Lock, read-only folder).
    Unusable,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let (exit, remedy) = match error.kind {
            StoreErrorKind::Unknown => {
                (Exit::Later, "The store did not answer clearly; run the same command again later.")
            }
            StoreErrorKind::Denied => {
                (Exit::Denied, "Grant the writer this permission, or correct the credentials.")
            }
            StoreErrorKind::Checksum => (
                Exit::Integrity,
                "The bytes changed on the way or on this host's disk; check both, then run again.",
            ),
            StoreErrorKind::Unusable => (Exit::Usage, "Correct the archive's location or its settings."),
        };
        Failure::new(exit, error.to_string()).remedy(remedy).because_all(error.source)
    }
}
