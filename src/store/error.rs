//! The errors of stores, by what the operator or the commit protocol does next.
//!
//! Every failure of a folder, of S3 or of the network becomes one of six kinds. The kind decides whether the request is sent
//! again, which exit code the command has, and which remedy the message gives if the failure has no better one.

use std::borrow::Cow;

use crate::outcome::{Exit, Failure};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failed operation on one object.
#[derive(Debug, thiserror::Error)]
#[error("{what} {object}")]
pub struct StoreError {
    /// What can be done next.
    pub kind: StoreErrorKind,
    /// The failed operation, such as `cannot store`.
    pub what: &'static str,
    /// Full address of the object.
    pub object: String,
    /// What to do, if it is more precise than the sentence of the kind.
    pub remedy: Option<Cow<'static, str>>,
    /// The cause.
    #[source]
    pub source: Option<Source>,
}

/// What can be done after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// A time-out, a reset, 5xx or 409: it is unknown whether the operation was done. The identical request may be sent
    /// again.
    Unknown,
    /// Permissions are missing, or the credentials are invalid.
    Denied,
    /// The bytes do not have the announced checksum. Nothing was stored.
    Checksum,
    /// The disk or a quota is full. Nothing was stored.
    Full,
    /// The store cannot do what the settings ask (no such bucket, no Object Lock, read-only folder).
    Unusable,
    /// The store has what this program never writes, or lacks what it has written.
    Contradiction,
}

impl StoreError {
    /// Returns an error without a cause and without a remedy of its own.
    pub fn new(kind: StoreErrorKind, what: &'static str, object: impl Into<String>) -> Self {
        StoreError {
            kind,
            what,
            object: object.into(),
            remedy: None,
            source: None,
        }
    }

    /// Sets the cause.
    pub fn because(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets what to do.
    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl StoreErrorKind {
    /// Returns the exit code of this kind, and what to do in general.
    fn outcome(self) -> (Exit, &'static str) {
        match self {
            StoreErrorKind::Unknown => (
                Exit::Later,
                "It is unknown whether the store did it. Run the same command again later.",
            ),
            StoreErrorKind::Denied => (
                Exit::Denied,
                "Grant the missing permission, or correct the credentials.",
            ),
            StoreErrorKind::Checksum => (
                Exit::Integrity,
                "The bytes were changed in transit or on the disk of this host. Check both, then run the command again.",
            ),
            StoreErrorKind::Full => (
                Exit::Later,
                "Free some space or raise the quota, then run the same command again.",
            ),
            StoreErrorKind::Unusable => (
                Exit::Usage,
                "Correct the archive's location or its settings.",
            ),
            StoreErrorKind::Contradiction => (
                Exit::Integrity,
                "Another program has changed the archive. Run `cxvault verify` and find the cause before anything else.",
            ),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let (exit, remedy) = error.kind.outcome();
        let remedy = error.remedy.clone().unwrap_or(Cow::Borrowed(remedy));
        Failure::new(exit, error.to_string())
            .remedy(remedy)
            .because_all(error.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_object_its_cause_and_the_closest_remedy() {
        let full = StoreError::new(StoreErrorKind::Full, "cannot store", "/archive/a.json")
            .because(std::io::Error::from(std::io::ErrorKind::StorageFull));
        let failure = Failure::from(full);
        assert_eq!(failure.exit, Exit::Later);
        let text = failure.to_string();
        assert!(text.starts_with("cannot store /archive/a.json: "), "{text}");
        assert!(text.contains("Free some space"), "{text}");

        let own =
            StoreError::new(StoreErrorKind::Unusable, "cannot use", "s3://b").remedy("Say please.");
        assert_eq!(
            Failure::from(own).to_string(),
            "cannot use s3://b\n  Say please."
        );
    }
}
