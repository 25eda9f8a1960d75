//! Store errors, by what the operator or the commit protocol does next.

use std::borrow::Cow;

use crate::outcome::{Exit, Failure};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong with one object, and where.
#[derive(Debug, thiserror::Error)]
#[error("{what} {object}")]
pub struct StoreError {
    pub kind: StoreErrorKind,
    /// What was attempted, e.g. `cannot store`.
    pub what: &'static str,
    /// The object's full address.
    pub object: String,
    /// A sentence that fits better than the kind's own.
    pub remedy: Option<Cow<'static, str>>,
    #[source]
    pub source: Option<Source>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Time-out, reset, 5xx or 409: done or not done, nobody knows; send the identical request again.
    Unknown,
    /// The store refuses for lack of permission, or the credentials are no good.
    Denied,
    /// The store refuses the bytes: their checksum is not the announced one.
    Checksum,
    /// The disk or a quota is full. Nothing was stored.
    Full,
    /// The store cannot do what the settings ask (no such bucket, no Object Lock, read-only folder).
    Unusable,
    /// The store holds what this program never writes, or lacks what it wrote.
    Contradiction,
}

impl StoreError {
    pub fn new(kind: StoreErrorKind, what: &'static str, object: impl Into<String>) -> Self {
        StoreError {
            kind,
            what,
            object: object.into(),
            remedy: None,
            source: None,
        }
    }

    pub fn because(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl StoreErrorKind {
    fn outcome(self) -> (Exit, &'static str) {
        match self {
            StoreErrorKind::Unknown => (
                Exit::Later,
                "The store did not answer clearly; run the same command again later.",
            ),
            StoreErrorKind::Denied => (
                Exit::Denied,
                "Grant this user the permission, or correct the credentials.",
            ),
            StoreErrorKind::Checksum => (
                Exit::Integrity,
                "The bytes changed on the way or on this host's disk; check both, then run again.",
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
                "Somebody else changed the archive: run `cxvault verify` and find out who, before anything else.",
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
