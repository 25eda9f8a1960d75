//! How a request to the API can end, by what the operator does next.
//!
//! Errors carry no token, no body and no address: the API's error bodies can quote people, and addresses hold ids of
//! accounts and segments. Only a sanitised error code of a body is kept.

use std::fmt;
use std::path::PathBuf;

use crate::outcome::{Exit, Failure};

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The retries of this request are used up; other requests may well succeed.
    #[error("the RingCX API gave no usable answer: {class}{} after {attempts} requests", status(*.http_status))]
    GaveUp {
        /// A stable name, which archives record: `http_500`, `timeout`, `connection`, `short_body`, `bad_encoding`,
        /// `bad_answer`, `too_large`, `redirect`, `unaskable_id`, ...
        class: &'static str,
        http_status: Option<u16>,
        /// Requests sent, including those answered with 401 and 429.
        attempts: u32,
    },
    /// The service as a whole does not answer, or asks for a longer pause than a run waits for.
    #[error("the RingCX API is unavailable for {what}: {why}")]
    Unavailable { what: String, why: String },
    /// Credentials or permissions are insufficient; no retry helps.
    #[error("{message}")]
    Denied { message: String, remedy: String },
    /// The API rejects the request itself.
    #[error("the RingCX API refuses the request for {what}: HTTP {http_status}{}", code(.error_code))]
    Rejected {
        what: String,
        http_status: u16,
        error_code: Option<ErrorCode>,
    },
    /// The run was stopped.
    #[error("interrupted")]
    Stopped,
    /// The settings cannot work.
    #[error("{message}")]
    Usage { message: String, remedy: String },
    /// The file with the granted requests cannot be used.
    #[error("the request ledger {} cannot be used: {why}", path.display())]
    Ledger { path: PathBuf, why: String },
}

fn status(http_status: Option<u16>) -> String {
    http_status
        .map(|status| format!(" (HTTP {status})"))
        .unwrap_or_default()
}

fn code(error_code: &Option<ErrorCode>) -> String {
    error_code
        .as_ref()
        .map(|code| format!(" ({code})"))
        .unwrap_or_default()
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        let message = error.to_string();
        let (exit, remedy) = match error {
            ApiError::GaveUp { .. } => {
                (Exit::Later, "Run the same command again later; it continues from here.".into())
            }
            ApiError::Unavailable { .. } => (
                Exit::Later,
                "Check the connection and RingCentral's status page, then run the same command again; \
                 it continues from here."
                    .into(),
            ),
            ApiError::Denied { remedy, .. } => (Exit::Denied, remedy),
            ApiError::Rejected { http_status: 404 | 405 | 410, .. } => (
                Exit::Usage,
                "Check CXVAULT_RC_ACCOUNT_ID, CXVAULT_SUB_ACCOUNTS and the three API addresses \
                 (CXVAULT_PLATFORM_URL, CXVAULT_RINGCX_URL, CXVAULT_SUMMARIES_URL)."
                    .into(),
            ),
            ApiError::Rejected { .. } => {
                (Exit::Unexpected, "The API may have changed: report this message.".into())
            }
            ApiError::Stopped => {
                (Exit::Later, "Run the same command again; it continues from where it stopped.".into())
            }
            ApiError::Usage { remedy, .. } => (Exit::Usage, remedy),
            ApiError::Ledger { path, .. } => (
                Exit::Usage,
                format!(
                    "Make {} readable and writable, with space on its disk; if it is damaged, delete it and \
                     wait for the longest of the request limits before the next run.",
                    path.display()
                ),
            ),
        };
        Failure::new(exit, message).remedy(remedy)
    }
}

/// The `errorCode` of an error answer: at most 64 characters of `A-Z a-z 0-9 . _ -`, so that it cannot quote people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode(String);

impl ErrorCode {
    /// Returns the code in an error body: `errorCode` of RingCX, or `error` of the OAuth endpoints.
    pub(crate) fn of_body(body: &[u8]) -> Option<Self> {
        let body: serde_json::Value = serde_json::from_slice(body).ok()?;
        let text = ["errorCode", "error"]
            .into_iter()
            .find_map(|name| body.get(name)?.as_str())?;
        let code: String = text
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            .take(64)
            .collect();
        (!code.is_empty()).then_some(ErrorCode(code))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Builds the error for a sub-account that the user has no access to; `what` was requested.
pub(super) fn access_denied(what: &str, error_code: Option<ErrorCode>) -> ApiError {
    ApiError::Denied {
        message: format!("RingCX denies access to the {what}{}", code(&error_code)),
        remedy:
            "Give the API user access to this sub-account (if it exists) and the WEM permission in RingCX \
                 Admin, or take the sub-account out of CXVAULT_SUB_ACCOUNTS."
                .into(),
    }
}

/// Returns the stable class of an HTTP status that is not an answer; archives record it.
pub(super) fn class_of(http_status: u16) -> &'static str {
    match http_status {
        400 => "http_400",
        401 => "http_401",
        403 => "http_403",
        404 => "http_404",
        408 => "http_408",
        410 => "http_410",
        414 => "http_414",
        429 => "http_429",
        431 => "http_431",
        500 => "http_500",
        501 => "http_501",
        502 => "http_502",
        503 => "http_503",
        504 => "http_504",
        200..=299 => "http_2xx",
        300..=399 => "redirect",
        402 | 405..=407 | 409 | 411..=413 | 415..=428 | 430 | 432..=499 => "http_4xx",
        _ => "http_5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_are_taken_and_cleaned() {
        let code = |body: &str| ErrorCode::of_body(body.as_bytes()).map(|code| code.to_string());
        assert_eq!(
            code(r#"{"errorCode":"access.denied.exception","details":"of Ann"}"#).unwrap(),
            "access.denied.exception"
        );
        assert_eq!(
            code(r#"{"error":"invalid_grant"}"#).unwrap(),
            "invalid_grant"
        );
        assert_eq!(code(r#"{"errorCode":"+1 (555) <x>\n"}"#).unwrap(), "1555x");
        assert_eq!(
            code(&format!(r#"{{"errorCode":"{}"}}"#, "a".repeat(500)))
                .unwrap()
                .len(),
            64
        );
        for none in [
            r#"{"errorCode":null}"#,
            r#"{"errorCode":7}"#,
            "Jwt is expired",
            "",
        ] {
            assert_eq!(code(none), None, "{none}");
        }
    }

    #[test]
    fn each_kind_has_its_exit_code_and_a_remedy() {
        let what = || "discovery".to_owned();
        let rejected = |http_status| ApiError::Rejected {
            what: what(),
            http_status,
            error_code: None,
        };
        let cases = [
            (
                ApiError::GaveUp {
                    class: "timeout",
                    http_status: None,
                    attempts: 6,
                },
                Exit::Later,
            ),
            (
                ApiError::Unavailable {
                    what: what(),
                    why: "timeout".into(),
                },
                Exit::Later,
            ),
            (
                ApiError::Denied {
                    message: what(),
                    remedy: "Grant it.".into(),
                },
                Exit::Denied,
            ),
            (rejected(400), Exit::Unexpected),
            (rejected(404), Exit::Usage),
            (ApiError::Stopped, Exit::Later),
            (
                ApiError::Usage {
                    message: what(),
                    remedy: "Set it.".into(),
                },
                Exit::Usage,
            ),
            (
                ApiError::Ledger {
                    path: "/x".into(),
                    why: "full".into(),
                },
                Exit::Usage,
            ),
        ];
        for (error, exit) in cases {
            let failure = Failure::from(error);
            assert_eq!(failure.exit, exit, "{failure}");
            assert!(failure.remedy.is_some_and(|remedy| remedy.ends_with('.')));
        }
    }
}
