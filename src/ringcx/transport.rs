//! One HTTP exchange: the client, the server's clock, and what an answer's status means.
//!
//! Nothing here waits or repeats; see [`super::retry`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, RequestBuilder};

use crate::clock::Clock;
use crate::outcome::with_causes;
use crate::ringcx::attempt::{AttemptError, TransientError};
use crate::ringcx::base_url::BaseUrl;
use crate::ringcx::error::{ApiError, ErrorCode, class_of};
use crate::ringcx::reply::Reply;

/// The value of [`Transport::skew_ms`] before the first answer.
const NO_DATE: i64 = i64::MIN;

/// The HTTP client, the three hosts, and the server's clock as the answers show it.
pub(super) struct Transport {
    pub client: Client,
    pub platform: BaseUrl,
    pub ringcx: BaseUrl,
    pub summaries: BaseUrl,
    pub clock: Arc<dyn Clock>,
    /// The longest time for a body that is read as a whole; a streamed body is only limited between two reads.
    body_timeout: Duration,
    /// The server's clock minus this host's, in milliseconds; [`NO_DATE`] before the first answer.
    skew_ms: AtomicI64,
    last_date: Mutex<LastDate>,
}

/// The newest `Date` header and its time in UTC milliseconds: hundreds of answers of one second have the same.
#[derive(Default)]
struct LastDate {
    text: Vec<u8>,
    ms: i64,
}

impl Transport {
    /// Builds the HTTP client; `bases` are platform, RingCX and summaries.
    ///
    /// # Errors
    /// [`ApiError::Usage`] when the machine's certificates or proxy settings are unusable.
    pub fn new(
        bases: [BaseUrl; 3],
        clock: Arc<dyn Clock>,
        connect_timeout: Duration,
        request_timeout: Duration,
    ) -> Result<Self, ApiError> {
        let mut builder = Client::builder()
            // RingCX compresses recordings for browsers, so the agent must not look like one.
            .user_agent(concat!("cxvault/", env!("CARGO_PKG_VERSION")))
            // A redirect would send the token to any host that an answer names.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // Retries count against the limits, so there is one place for them.
            .retry(reqwest::retry::never())
            .connect_timeout(connect_timeout)
            .read_timeout(request_timeout)
            // Load balancers close idle connections after about a minute; a request at that moment is a reset.
            .pool_idle_timeout(Duration::from_secs(30));
        if bases.iter().any(|base| !base.secure) {
            // A proxy of the environment would read plain HTTP, and cannot reach this host's loopback.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| ApiError::Usage {
            message: format!(
                "the HTTP client cannot start: {}",
                with_causes(&error.without_url())
            ),
            remedy: "Check this machine's certificate store and proxy settings.".into(),
        })?;
        let [platform, ringcx, summaries] = bases;
        Ok(Transport {
            client,
            platform,
            ringcx,
            summaries,
            clock,
            body_timeout: request_timeout.saturating_mul(4),
            skew_ms: AtomicI64::new(NO_DATE),
            last_date: Mutex::default(),
        })
    }

    /// Returns the server's clock minus this host's in milliseconds, too low by up to a second and the time that the
    /// answer travelled; `None` before the first answer.
    pub(crate) fn skew_ms(&self) -> Option<i64> {
        Some(self.skew_ms.load(Ordering::Relaxed)).filter(|&skew| skew != NO_DATE)
    }

    /// Sends a request. Returns its answer when the status is 200, or 404 with `or_404`.
    ///
    /// # Errors
    /// Every other status, classified, and every failure of the connection.
    pub async fn send(&self, request: RequestBuilder, or_404: bool) -> Result<Reply, AttemptError> {
        let response = request.send().await.map_err(AttemptError::not_sent)?;
        let server_date = self.server_date(response.headers());
        let reply = Reply::new(response, server_date, self.body_timeout);
        match reply.http_status {
            200 => Ok(reply),
            404 if or_404 => Ok(reply),
            _ => Err(self.refusal(reply).await),
        }
    }

    /// Returns an answer's `Date` in UTC milliseconds, and updates the skew where it is a new second: the later
    /// answers of the same second would only measure it less exactly.
    fn server_date(&self, headers: &HeaderMap) -> Option<i64> {
        let text = headers.get(DATE)?.as_bytes();
        let mut last = self
            .last_date
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.text != text {
            *last = LastDate {
                text: text.to_vec(),
                ms: date_ms(headers, &DATE)?,
            };
            self.skew_ms
                .store(last.ms - self.clock.now_ms(), Ordering::Relaxed);
        }
        Some(last.ms)
    }

    async fn refusal(&self, mut reply: Reply) -> AttemptError {
        let http_status = reply.http_status;
        let server_now_ms = reply
            .server_date
            .unwrap_or_else(|| self.clock.now_ms() + self.skew_ms().unwrap_or(0));
        let retry_after_ms = retry_after_ms(reply.headers(), server_now_ms);
        // Read for every status: that leaves the connection usable.
        let error_code = ErrorCode::of_body(&reply.error_body().await);
        match http_status {
            401 => AttemptError::Unauthorized { error_code },
            403 => AttemptError::Forbidden { error_code },
            429 => AttemptError::TooMany { retry_after_ms },
            // With 501 and 505, although those promise never to change: gateways send them for a while.
            408 | 425 | 500..=599 | 200..=399 => AttemptError::Transient(TransientError {
                class: class_of(http_status),
                http_status: Some(http_status),
                retry_after_ms,
                detail: None,
            }),
            _ => AttemptError::Rejected {
                http_status,
                error_code,
            },
        }
    }
}

/// Returns an HTTP date (RFC 9110, 5.6.7: the form that senders must use) in UTC milliseconds.
fn date_ms(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(date.as_millisecond())
}

/// Returns `Retry-After` in either form (RFC 9110, 10.2.3) as milliseconds from the answer on.
///
/// A date is in the server's time, so it is compared with the server's clock: this host's may be minutes off.
fn retry_after_ms(headers: &HeaderMap, server_now_ms: i64) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().unwrap_or(i64::MAX);
        return Some(seconds.saturating_mul(1_000));
    }
    Some((date_ms(headers, &RETRY_AFTER)? - server_now_ms).max(0))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_has_two_forms() {
        let after = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            // Sun, 06 Nov 1994 08:49:37 GMT, as in RFC 9110.
            retry_after_ms(&headers, 784_111_777_000)
        };
        assert_eq!(after("7"), Some(7_000));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10_000));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        assert_eq!(after("99999999999999999999999"), Some(i64::MAX));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-5"), None);
    }
}
