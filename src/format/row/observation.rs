//! What one request for one summary gave.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::format::hash::digest::Digest;

/// The two summaries of a segment: what the agent wrote, and what the AI wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SummaryKind {
    Agent,
    Auto,
}

impl SummaryKind {
    pub const BOTH: [SummaryKind; 2] = [SummaryKind::Agent, SummaryKind::Auto];

    /// As the API's path and the archive's column names have it.
    pub fn name(self) -> &'static str {
        match self {
            SummaryKind::Agent => "agent",
            SummaryKind::Auto => "auto",
        }
    }
}

impl fmt::Display for SummaryKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// How a look at one summary ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// 200 with a body that is UTF-8.
    Present,
    /// 200 without a body: not populated (yet).
    Empty,
    /// 404: segment not found, or summary not available.
    NotFound,
    /// 200 with a body that is not UTF-8.
    Binary,
    /// Retries used up; no answer.
    Failed,
    /// Left out by a configured filter; not asked.
    Skipped,
    /// The segment has no id to ask with.
    NoId,
}

impl Status {
    pub const ALL: [Status; 7] = [
        Status::Present,
        Status::Empty,
        Status::NotFound,
        Status::Binary,
        Status::Failed,
        Status::Skipped,
        Status::NoId,
    ];

    /// As the archive's columns have it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Present => "PRESENT",
            Status::Empty => "EMPTY",
            Status::NotFound => "NOT_FOUND",
            Status::Binary => "BINARY",
            Status::Failed => "FAILED",
            Status::Skipped => "SKIPPED",
            Status::NoId => "NO_ID",
        }
    }

    /// Whether the source answered; only an answer can be replaced by nothing but a later answer.
    pub fn is_answer(self) -> bool {
        matches!(
            self,
            Status::Present | Status::Empty | Status::NotFound | Status::Binary
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A text is none of the statuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a summary status")]
pub struct NotAStatus;

impl FromStr for Status {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, NotAStatus> {
        let found = Status::ALL.into_iter().find(|status| status.name() == text);
        found.ok_or(NotAStatus)
    }
}

impl Observation {
    /// One that holds no more than its status and who came to it.
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
    /// Whether what is there is what such a status comes with; says nothing about the hash's value.
    pub fn fits_status(&self) -> bool {
        let text = self.summary.as_ref().map(AsRef::as_ref);
        let asked = self.fetched_at.is_some() && self.attempts > 0 && self.error.is_none();
        let bodiless = text.is_none() && self.binary.is_none() && self.sha256.is_none();
        let body = |ok: bool| ok && asked && self.sha256.is_some() && self.http_status == Some(200);
        match self.status {
            Status::Present => {
                body(text.is_some_and(|text| !text.is_empty()) && self.binary.is_none())
            }
            Status::Empty => body(text == Some("") && self.binary.is_none()),
            Status::Binary => body(text.is_none() && self.binary.is_some()),
            Status::NotFound => asked && bodiless && self.http_status == Some(404),
            Status::Failed => bodiless && self.error.is_some(),
            Status::Skipped | Status::NoId => {
                bodiless && self.fetched_at.is_none() && self.attempts == 0
            }
        }
    }

    /// Whether the hash is the body's, and stands where a body was answered and nowhere else.
    pub fn hash_holds(&self) -> bool {
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

/// What one request for one summary gave, as the archive's columns `<kind>_*` keep it.
/// Times are UTC milliseconds since the epoch. `T` holds the texts, or borrows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation<T = String> {
    pub status: Status,
    /// The body, verbatim: for PRESENT, and the empty string for EMPTY.
    pub summary: Option<T>,
    /// The body in base64: for BINARY.
    pub binary: Option<T>,
    /// Of the body's bytes: for every 200.
    pub sha256: Option<Digest>,
    pub http_status: Option<u16>,
    pub content_type: Option<T>,
    /// When the last byte arrived, by this host's clock.
    pub fetched_at: Option<i64>,
    /// The answer's `Date` header.
    pub server_date: Option<i64>,
    /// Requests sent for it, retries included; 0 when it was not asked.
    pub attempts: u32,
    /// Class of a failure and HTTP status only: error bodies can quote people.
    pub error: Option<T>,
    /// Id of the run that looked.
    pub observed_by: T,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(
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
        assert!(look(Status::Present, Some("a"), None, Some(b"a")).hash_holds());
        assert!(look(Status::Empty, Some(""), None, Some(b"")).hash_holds());
        assert!(look(Status::Binary, None, Some("/w=="), Some(b"\xff")).hash_holds());
        assert!(look(Status::NotFound, None, None, None).hash_holds());
        assert!(!look(Status::Present, Some("b"), None, Some(b"a")).hash_holds());
        assert!(!look(Status::Present, Some("b"), None, None).hash_holds());
        assert!(!look(Status::Present, None, None, None).hash_holds());
        assert!(!look(Status::NotFound, Some("a"), None, Some(b"a")).hash_holds());
        assert!(!look(Status::Binary, None, Some("not base64!"), Some(b"")).hash_holds());
    }
}
