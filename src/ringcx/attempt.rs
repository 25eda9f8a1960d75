//! How one attempt of a request failed, by what the retry loop does about it.

use std::io::ErrorKind;

use crate::outcome::{causes, with_causes};
use crate::ringcx::error::{ApiError, ErrorCode};

/// The failure of one attempt. [`super::retry`] decides whether another attempt follows.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// Probably passes: the request is repeated after a backoff.
    Transient(TransientError),
    /// 429, with the pause that the server asks for, in milliseconds.
    TooMany { retry_after_ms: Option<i64> },
    /// 401: the token is renewed.
    Unauthorized { error_code: Option<ErrorCode> },
    /// 403: no retry helps.
    Forbidden { error_code: Option<ErrorCode> },
    /// Another status, which says that the same request will not be answered differently.
    Rejected {
        http_status: u16,
        error_code: Option<ErrorCode>,
    },
    /// Repeating this request cannot help, but the failure says nothing about other requests.
    Permanent {
        class: &'static str,
        http_status: Option<u16>,
    },
    /// The retry loop ends with this error.
    End(ApiError),
}

/// A failure that may not happen again.
#[derive(Debug)]
pub(super) struct TransientError {
    /// See [`ApiError::GaveUp`].
    pub class: &'static str,
    pub http_status: Option<u16>,
    pub retry_after_ms: Option<i64>,
    /// The causes from the HTTP client, without addresses: for the operator, when retries do not help.
    pub detail: Option<String>,
}

impl AttemptError {
    /// Builds a transient failure without a pause and without causes.
    pub(crate) fn transient(class: &'static str, http_status: Option<u16>) -> Self {
        AttemptError::Transient(TransientError {
            class,
            http_status,
            retry_after_ms: None,
            detail: None,
        })
    }

    /// Builds the failure of an answer that is larger than its limit.
    pub fn too_large(http_status: u16) -> Self {
        AttemptError::Permanent {
            class: "too_large",
            http_status: Some(http_status),
        }
    }

    /// Classifies an error before the answer's status arrived.
    pub(crate) fn not_sent(error: reqwest::Error) -> Self {
        if error.is_builder() {
            return AttemptError::Permanent {
                class: "unaskable_id",
                http_status: None,
            };
        }
        let class = match error.is_timeout() {
            true => "timeout",
            false => "connection",
        };
        AttemptError::from_client(class, None, error)
    }

    /// Classifies an error while the body was read.
    pub(crate) fn broken_off(error: reqwest::Error, http_status: u16) -> Self {
        let class = match io_kind(&error) {
            _ if error.is_timeout() => "timeout",
            Some(
                ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe,
            ) => "connection",
            Some(ErrorKind::InvalidData | ErrorKind::InvalidInput) => "bad_encoding",
            _ => "short_body",
        };
        AttemptError::from_client(class, Some(http_status), error)
    }

    fn from_client(class: &'static str, http_status: Option<u16>, error: reqwest::Error) -> Self {
        AttemptError::Transient(TransientError {
            class,
            http_status,
            retry_after_ms: None,
            // Without the address, which holds ids of accounts and segments.
            detail: Some(with_causes(&error.without_url())),
        })
    }
}

impl From<ApiError> for AttemptError {
    fn from(error: ApiError) -> Self {
        AttemptError::End(error)
    }
}

/// Returns the kind of the innermost input/output error.
fn io_kind(error: &reqwest::Error) -> Option<ErrorKind> {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind)
        .last()
}
