//! The retry loop: the only place where a request is sent again.
//!
//! What follows an attempt that failed:
//!
//! | failure | reaction | ends with |
//! |---|---|---|
//! | 401 | the token is renewed, at most 3 times | `Denied` |
//! | 403 | none | `Denied` |
//! | 429 | the whole scope pauses in all processes, and its pace is cut; at most 12 times | `Unavailable` |
//! | 408, 425, 5xx, 3xx, connection, time-out, unusable body | backoff with full jitter | `GaveUp`, or `Unavailable` in an outage |
//! | another 4xx | none | `Rejected`, or `GaveUp` for one summary |
//!
//! 401 and 429 do not count as failed attempts.

use std::future::Future;
use std::time::Duration;

use crate::ringcx::attempt::{AttemptError, TransientError};
use crate::ringcx::error::{ApiError, ErrorCode, access_denied, class_of};
use crate::ringcx::ledger::LONGEST_PAUSE_MS;
use crate::ringcx::limiter::RateLimiter;

/// Renewed tokens that a request may see refused: a refreshed token, an exchanged one, and one of a new JWT grant.
const MAX_REFUSALS: u32 = 3;
/// Pauses that a request waits out. They double up to the longest window, so they add up to over an hour for
/// discovery, and to some minutes for summaries.
const MAX_PAUSES: u32 = 12;
const LONGEST_BACKOFF_MS: i64 = 30_000;
/// After the run was stopped, requests already sent may still be answered: they have used their quota.
const GRACE: Duration = Duration::from_secs(2);

/// When a token is to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    /// As soon as four fifths of its life are over: no other request waits for this one.
    Early,
    /// Only if it has expired: other requests wait behind this one.
    IfExpired,
}

/// A request that is sent until it is answered.
pub(super) trait Request: Send {
    /// What a successful attempt returns.
    type Answer: Send;

    /// Does everything that can take long before sending, such as renewing a token. It runs before the limiter grants
    /// the request, since a granted request must leave at once: otherwise the server sees another spacing.
    fn prepare(&self, renewal: Renewal) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Sends the request once and reads the answer.
    fn attempt(&mut self) -> impl Future<Output = Result<Self::Answer, AttemptError>> + Send;

    /// Reacts to a 401: an error ends the loop, otherwise the next attempt has another token.
    fn on_unauthorized(&mut self, error_code: Option<ErrorCode>) -> Result<(), ApiError>;

    /// Returns the error for a 403, or for renewed tokens that were refused again and again.
    fn forbidden(&self, error_code: Option<ErrorCode>) -> ApiError {
        access_denied(&self.what(), error_code)
    }

    /// Names what is requested, for messages.
    fn what(&self) -> String;

    /// Returns whether a rejection of this request says nothing about other requests of its kind.
    fn rejection_is_local(&self) -> bool {
        false
    }
}

/// The attempts of a request so far.
#[derive(Default)]
struct AttemptCounts {
    sent: u32,
    failures: u32,
    refusals: u32,
    pauses: u32,
}

impl AttemptCounts {
    fn gave_up(&self, class: &'static str, http_status: Option<u16>) -> ApiError {
        ApiError::GaveUp {
            class,
            http_status,
            attempts: self.sent,
        }
    }
}

/// Sends `request` until it is answered or no retry can help. Returns the answer and the number of requests sent.
///
/// # Errors
/// Any [`ApiError`]; see the table of the module.
pub(super) async fn run<R: Request>(
    limiter: &RateLimiter,
    request: &mut R,
) -> Result<(R::Answer, u32), ApiError> {
    let mut counts = AttemptCounts::default();
    loop {
        let waiting: &R = request;
        waiting.prepare(Renewal::Early).await?;
        let sent_ms = limiter
            .acquire(|| waiting.prepare(Renewal::IfExpired))
            .await?;
        counts.sent += 1;
        match unless_stopped(limiter, request.attempt()).await {
            Ok(answer) => {
                limiter.record_success();
                return Ok((answer, counts.sent));
            }
            Err(error) => after_failure(limiter, request, error, sent_ms, &mut counts).await?,
        }
    }
}

/// Awaits `attempt`, but no longer than [`GRACE`] after the run was stopped.
async fn unless_stopped<T>(
    limiter: &RateLimiter,
    attempt: impl Future<Output = Result<T, AttemptError>>,
) -> Result<T, AttemptError> {
    let context = &*limiter.context;
    let stopped = async {
        context.stop.cancelled().await;
        context.clock.sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        result = attempt => result,
        () = stopped => Err(AttemptError::End(ApiError::Stopped)),
    }
}

/// Waits as long as `error` demands; returns an error when it ends the request.
async fn after_failure<R: Request>(
    limiter: &RateLimiter,
    request: &mut R,
    error: AttemptError,
    sent_ms: i64,
    counts: &mut AttemptCounts,
) -> Result<(), ApiError> {
    match error {
        AttemptError::End(error) => Err(error),
        AttemptError::Forbidden { error_code } => Err(request.forbidden(error_code)),
        AttemptError::Unauthorized { error_code } => {
            counts.refusals += 1;
            if counts.refusals > MAX_REFUSALS {
                Err(request.forbidden(error_code))
            } else {
                request.on_unauthorized(error_code)
            }
        }
        AttemptError::TooMany { retry_after_ms } => {
            counts.pauses += 1;
            pause(limiter, request, retry_after_ms, sent_ms, counts.pauses).await
        }
        AttemptError::Rejected {
            http_status,
            error_code,
        } => {
            let local = request.rejection_is_local() && !limiter.record_give_up(true);
            Err(match local {
                true => counts.gave_up(class_of(http_status), Some(http_status)),
                false => ApiError::Rejected {
                    what: request.what(),
                    http_status,
                    error_code,
                },
            })
        }
        // It says something about this answer and nothing about the service.
        AttemptError::Permanent { class, http_status } => Err(counts.gave_up(class, http_status)),
        AttemptError::Transient(error) => {
            counts.failures += 1;
            back_off(limiter, request, error, counts).await
        }
    }
}

/// Pauses the scope after a 429; returns an error when the request has waited out enough pauses.
async fn pause<R: Request>(
    limiter: &RateLimiter,
    request: &R,
    retry_after_ms: Option<i64>,
    sent_ms: i64,
    pauses: u32,
) -> Result<(), ApiError> {
    let (first_ms, longest_ms) = limiter.default_pauses_ms();
    let pause_ms = retry_after_ms.unwrap_or_else(|| {
        // At least half of it: a pause that jitter reduced to nothing would only cause the next 429.
        let half_ms = doubled(first_ms, pauses - 1, longest_ms) / 2;
        half_ms + limiter.context.random.up_to(half_ms)
    });
    // The scope also pauses where this request gives up: the next request would have the same answer.
    limiter.pause(sent_ms, pause_ms.max(1)).await?;
    if pause_ms <= LONGEST_PAUSE_MS && pauses <= MAX_PAUSES {
        return Ok(());
    }
    let why = match retry_after_ms {
        Some(ms) => format!(
            "too many requests; the server asks for a pause of {} minutes",
            ms / 60_000 + 1
        ),
        None => {
            "too many requests after every pause; does another program use the same limit?".into()
        }
    };
    Err(ApiError::Unavailable {
        what: request.what(),
        why,
    })
}

/// Waits before the next attempt, or gives the request up.
async fn back_off<R: Request>(
    limiter: &RateLimiter,
    request: &R,
    error: TransientError,
    counts: &AttemptCounts,
) -> Result<(), ApiError> {
    let (class, http_status) = (error.class, error.http_status);
    if counts.failures >= limiter.max_attempts {
        if limiter.record_give_up(http_status.is_some()) {
            return Err(unavailable(request, "request after request fails", &error));
        }
        return Err(counts.gave_up(class, http_status));
    }
    if !limiter.take_retry() {
        let why = "too large a share of the requests fails";
        return Err(unavailable(request, why, &error));
    }
    // Full jitter: the workers that failed together should not return together.
    let backoff_ms = doubled(limiter.backoff_ms, counts.failures - 1, LONGEST_BACKOFF_MS);
    let retry_after_ms = error.retry_after_ms.unwrap_or(0).min(LONGEST_BACKOFF_MS);
    let wait_ms = limiter.context.random.up_to(backoff_ms).max(retry_after_ms);
    tracing::debug!(
        class,
        http_status,
        failures = counts.failures,
        wait_ms,
        "trying again"
    );
    limiter.context.sleep_ms(wait_ms.max(1)).await
}

fn unavailable<R: Request>(request: &R, why: &str, error: &TransientError) -> ApiError {
    let detail = error.detail.as_deref();
    let detail = detail
        .map(|detail| format!(" ({detail})"))
        .unwrap_or_default();
    ApiError::Unavailable {
        what: request.what(),
        why: format!("{why}, last {}{detail}", error.class),
    }
}

/// Returns `first_ms` doubled so many times, at most `longest_ms`.
fn doubled(first_ms: i64, times: u32, longest_ms: i64) -> i64 {
    first_ms
        .saturating_mul(1_i64 << times.min(30))
        .min(longest_ms)
}
