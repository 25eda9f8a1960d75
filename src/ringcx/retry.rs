//! The one place where requests are sent again.

use std::future::Future;
use std::time::Duration;

use crate::ringcx::error::{ApiError, ErrorCode, class_of};
use crate::ringcx::ledger::LONGEST_PAUSE_MS;
use crate::ringcx::limiter::RateLimiter;
use crate::ringcx::transport::{AttemptError, TransientError};

/// Fresh tokens that a request may see refused. By then a refreshed, an exchanged and a wholly new one were.
const MAX_REFUSALS: u32 = 3;
/// Pauses that a request sits out. They double up to the longest window, so this is over an hour of patience
/// for discovery, and some minutes for summaries.
const MAX_PAUSES: u32 = 12;
const LONGEST_BACKOFF_MS: i64 = 30_000;
/// After the order to stop, a request in flight may still be answered: its answer was paid for.
const GRACE: Duration = Duration::from_secs(2);

/// How much preparation is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Time for what will soon be necessary: nobody waits for this request.
    Early,
    /// The others wait: only what the request cannot do without.
    Now,
}

/// One request, as often as it takes.
pub(super) trait Request: Send {
    type Answer: Send;

    /// Whatever can take long before sending, such as a new token. It comes before the turn in the lane, since a
    /// request that has its turn must leave at once, or the server sees another spacing than ours.
    fn prepare(&self, need: Need) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Sends it once and reads the answer.
    fn attempt(&mut self) -> impl Future<Output = Result<Self::Answer, AttemptError>> + Send;

    /// The token was refused (401). An error ends the loop; otherwise the next attempt has another token.
    fn refused(&mut self, error_code: Option<ErrorCode>) -> Result<(), ApiError>;

    /// Access was refused (403), or fresh tokens were refused again and again.
    fn denied(&self, error_code: Option<ErrorCode>) -> ApiError;

    /// What was asked for, for messages.
    fn what(&self) -> String;

    /// Whether the API's calling one such request wrong says nothing about others.
    fn rejection_is_of_this_one(&self) -> bool {
        false
    }
}

/// What a request has been through.
#[derive(Default)]
struct AttemptCounts {
    sent: u32,
    failures: u32,
    refusals: u32,
    pauses: u32,
}

/// Sends `request` until it is answered or there is nothing left to hope for. Returns the answer and how many
/// requests were sent.
pub(super) async fn run<R: Request>(
    lane: &RateLimiter,
    request: &mut R,
) -> Result<(R::Answer, u32), ApiError> {
    let mut tally = AttemptCounts::default();
    loop {
        let waiting: &R = request;
        waiting.prepare(Need::Early).await?;
        let sent_ms = lane.turn(|| waiting.prepare(Need::Now)).await?;
        tally.sent += 1;
        match unless_stopped(lane, request.attempt()).await {
            Ok(answer) => {
                lane.succeeded();
                return Ok((answer, tally.sent));
            }
            Err(trouble) => after(lane, request, trouble, sent_ms, &mut tally).await?,
        }
    }
}

async fn unless_stopped<T>(
    lane: &RateLimiter,
    attempt: impl Future<Output = Result<T, AttemptError>>,
) -> Result<T, AttemptError> {
    let shared = &*lane.shared;
    let stopped = async {
        shared.stop.cancelled().await;
        shared.clock.sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        result = attempt => result,
        () = stopped => Err(AttemptError::End(ApiError::Stopped)),
    }
}

/// Waits as long as `trouble` demands; an error when it ends the request.
async fn after<R: Request>(
    lane: &RateLimiter,
    request: &mut R,
    trouble: AttemptError,
    sent_ms: i64,
    tally: &mut AttemptCounts,
) -> Result<(), ApiError> {
    match trouble {
        AttemptError::End(error) => Err(error),
        AttemptError::Forbidden { error_code } => Err(request.denied(error_code)),
        AttemptError::Unauthorized { error_code } => {
            tally.refusals += 1;
            if tally.refusals > MAX_REFUSALS {
                Err(request.denied(error_code))
            } else {
                request.refused(error_code)
            }
        }
        AttemptError::TooMany { retry_after_ms } => {
            tally.pauses += 1;
            pause(lane, request, retry_after_ms, sent_ms, tally.pauses).await
        }
        AttemptError::Rejected {
            http_status,
            error_code,
        } if !request.rejection_is_of_this_one() => Err(ApiError::Rejected {
            what: request.what(),
            http_status,
            error_code,
        }),
        AttemptError::Rejected {
            http_status,
            error_code,
        } => {
            let outage = lane.gave_up(true);
            if outage {
                return Err(ApiError::Rejected {
                    what: request.what(),
                    http_status,
                    error_code,
                });
            }
            let (class, http_status) = (class_of(http_status), Some(http_status));
            Err(ApiError::GaveUp {
                class,
                http_status,
                attempts: tally.sent,
            })
        }
        // Says something about this answer and nothing about the service.
        AttemptError::Hopeless { class, http_status } => Err(ApiError::GaveUp {
            class,
            http_status,
            attempts: tally.sent,
        }),
        AttemptError::Transient(passing) => {
            tally.failures += 1;
            back_off(lane, request, passing, tally).await
        }
    }
}

async fn pause<R: Request>(
    lane: &RateLimiter,
    request: &R,
    retry_after_ms: Option<i64>,
    sent_ms: i64,
    pauses: u32,
) -> Result<(), ApiError> {
    let (first, longest) = lane.pauses_ms();
    let pause_ms = retry_after_ms.unwrap_or_else(|| {
        // At least half of it: a pause that jitter made vanish would only fetch the next 429.
        let half = doubled(first, pauses - 1, longest) / 2;
        half + lane.shared.random.up_to(half)
    });
    // Everybody pauses also where this request gives up: the next one would fare no better.
    lane.pause(sent_ms, pause_ms.max(1)).await?;
    if pause_ms > LONGEST_PAUSE_MS || pauses > MAX_PAUSES {
        let why = match retry_after_ms {
            Some(ms) => format!(
                "too many requests; it asks to come back in {} minutes",
                ms / 60_000 + 1
            ),
            None => {
                "too many requests, again and again; does something else use the same limit?".into()
            }
        };
        return Err(ApiError::Unavailable {
            what: request.what(),
            why,
        });
    }
    Ok(())
}

/// Waits before the next attempt, or gives the request up.
async fn back_off<R: Request>(
    lane: &RateLimiter,
    request: &R,
    passing: TransientError,
    tally: &AttemptCounts,
) -> Result<(), ApiError> {
    let TransientError {
        class,
        http_status,
        retry_after_ms,
        detail,
    } = passing;
    let unavailable = |why: &str| {
        let detail = detail
            .as_deref()
            .map(|detail| format!(" ({detail})"))
            .unwrap_or_default();
        ApiError::Unavailable {
            what: request.what(),
            why: format!("{why}, last {class}{detail}"),
        }
    };
    if tally.failures >= lane.max_attempts {
        if lane.gave_up(http_status.is_some()) {
            return Err(unavailable("request after request fails"));
        }
        return Err(ApiError::GaveUp {
            class,
            http_status,
            attempts: tally.sent,
        });
    }
    if !lane.may_retry() {
        return Err(unavailable("too large a share of the requests fails"));
    }
    // Full jitter: the workers that failed together should not come back together.
    let backoff = doubled(lane.backoff_ms, tally.failures - 1, LONGEST_BACKOFF_MS);
    let wait = lane
        .shared
        .random
        .up_to(backoff)
        .max(retry_after_ms.unwrap_or(0).min(LONGEST_BACKOFF_MS));
    tracing::debug!(
        class,
        http_status,
        failures = tally.failures,
        wait_ms = wait,
        "trying again"
    );
    lane.shared.sleep_ms(wait.max(1)).await
}

fn doubled(first: i64, times: u32, longest: i64) -> i64 {
    first.saturating_mul(1_i64 << times.min(30)).min(longest)
}
