//! Observations: what requesting one summary returned.
//!
//! Sources: RingCX "AI Summaries" API (paths and statuses of the answers), `schemas/FORMAT.md`, "Rows: one a segment".

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::format::hash::Digest;
use crate::format::named_enum;

named_enum! {
    /// The two summaries of a segment, in the order of their columns. The names are parts of the API's paths and of the names
    /// of columns.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum SummaryKind in BOTH {
        /// The summary that the agent wrote.
        Agent = "agent",
        /// The summary that the AI wrote.
        Auto = "auto",
    }
}

named_enum! {
    /// How requesting one summary ended. The names are the values of the columns `<kind>_status`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    pub enum Status in ALL {
        /// 200 with a body that is UTF-8.
        Present = "PRESENT",
        /// 200 without a body: there is no summary, or not yet.
        Empty = "EMPTY",
        /// 404: the segment was not found, or its summary is not available.
        NotFound = "NOT_FOUND",
        /// 200 with a body that is not UTF-8.
        Binary = "BINARY",
        /// No answer after all retries.
        Failed = "FAILED",
        /// Not requested, because of a configured filter.
        Skipped = "SKIPPED",
        /// Not requested, because the segment has no id.
        NoId = "NO_ID",
    }
}

impl Status {
    /// Returns whether the source answered. An answer can be replaced only by a later answer.
    pub fn is_answer(self) -> bool {
        matches!(
            self,
            Status::Present | Status::Empty | Status::NotFound | Status::Binary
        )
    }
}

/// A text is not a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a summary status")]
pub struct NotAStatus;

impl FromStr for Status {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, NotAStatus> {
        Status::ALL
            .into_iter()
            .find(|status| status.name() == text)
            .ok_or(NotAStatus)
    }
}

impl Observation {
    /// Returns an observation that holds only its status and the id of the run that made it.
    pub fn bare(status: Status, observed_by: &str) -> Observation {
        Observation {
            status,
            summary: None,
            binary: None,
            sha256: None,
            http_status: None,
            content_type: None,
            fetched_at: None,
            server_date: None,
            attempts: 0,
            error: None,
            observed_by: observed_by.to_owned(),
        }
    }
}

impl<T: AsRef<str>> Observation<T> {
    /// Returns whether the values that are there are those of such a status. The value of the hash is not checked: see
    /// [`Observation::hash_holds`].
    pub(crate) fn fits_status(&self) -> bool {
        let text = self.summary.as_ref().map(AsRef::as_ref);
        let answered = self.fetched_at.is_some() && self.attempts > 0 && self.error.is_none();
        let bodiless = text.is_none() && self.binary.is_none() && self.sha256.is_none();
        let has_body = answered && self.sha256.is_some() && self.http_status == Some(200);
        match self.status {
            Status::Present => {
                has_body && text.is_some_and(|text| !text.is_empty()) && self.binary.is_none()
            }
            Status::Empty => has_body && text == Some("") && self.binary.is_none(),
            Status::Binary => has_body && text.is_none() && self.binary.is_some(),
            Status::NotFound => answered && bodiless && self.http_status == Some(404),
            Status::Failed => bodiless && self.error.is_some(),
            Status::Skipped | Status::NoId => {
                bodiless && self.fetched_at.is_none() && self.attempts == 0
            }
        }
    }

    /// Returns whether the hash is that of the body, and is there exactly where an answer had a body.
    pub(crate) fn hash_holds(&self) -> bool {
        let body = match (&self.summary, &self.binary) {
            (Some(text), None) => Some(Digest::of(text.as_ref().as_bytes())),
            (None, Some(text)) => STANDARD
                .decode(text.as_ref())
                .ok()
                .map(|bytes| Digest::of(&bytes)),
            (None, None) => None,
            (Some(_), Some(_)) => return false,
        };
        let answered = matches!(
            self.status,
            Status::Present | Status::Empty | Status::Binary
        );
        body == self.sha256 && answered == body.is_some()
    }
}

/// What requesting one summary returned: the columns `<kind>_*`.
///
/// Times are UTC milliseconds since the epoch. `T` owns the texts, or borrows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation<T = String> {
    /// How the request ended.
    pub status: Status,
    /// The body, verbatim: for PRESENT, and the empty string for EMPTY.
    pub summary: Option<T>,
    /// The body in base64: for BINARY.
    pub binary: Option<T>,
    /// SHA-256 of the body's bytes: for every 200.
    pub sha256: Option<Digest>,
    /// HTTP status of the last answer; `None` where there was none.
    pub http_status: Option<u16>,
    /// The answer's `Content-Type` header.
    pub content_type: Option<T>,
    /// When the last byte had arrived, by the host's clock.
    pub fetched_at: Option<i64>,
    /// The answer's `Date` header.
    pub server_date: Option<i64>,
    /// Number of requests that were sent, retries included; 0 where none was.
    pub attempts: u32,
    /// Class of the failure, such as `http_500`, and nothing of the answer: bodies of errors can quote people.
    pub error: Option<T>,
    /// Id of the run that made the observation.
    pub observed_by: T,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(
        status: Status,
        summary: Option<&str>,
        binary: Option<&str>,
        body: Option<&[u8]>,
    ) -> Observation {
        let (summary, binary) = (summary.map(str::to_owned), binary.map(str::to_owned));
        Observation {
            summary,
            binary,
            sha256: body.map(Digest::of),
            ..Observation::bare(status, "")
        }
    }

    #[test]
    fn hashes_are_of_the_body_and_only_where_there_was_one() {
        assert!(observed(Status::Present, Some("a"), None, Some(b"a")).hash_holds());
        assert!(observed(Status::Empty, Some(""), None, Some(b"")).hash_holds());
        assert!(observed(Status::Binary, None, Some("/w=="), Some(b"\xff")).hash_holds());
        assert!(observed(Status::NotFound, None, None, None).hash_holds());
        assert!(!observed(Status::Present, Some("b"), None, Some(b"a")).hash_holds());
        assert!(!observed(Status::Present, Some("b"), None, None).hash_holds());
        assert!(!observed(Status::Present, None, None, None).hash_holds());
        assert!(!observed(Status::NotFound, Some("a"), None, Some(b"a")).hash_holds());
        assert!(!observed(Status::Binary, None, Some("not base64!"), Some(b"")).hash_holds());
    }
}
