//! The rate limiter of a scope: requests that share one limit, and with it their pauses and their retry budget.
//!
//! A request calls [`RateLimiter::acquire`] and must leave as soon as it returns. Requests wait in order of arrival,
//! and only the first of the queue uses the ledger, so a thousand waiting requests cost one database query at a time.
//!
//! A scope without limits never touches the ledger: it only observes the pauses of a 429, in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::ringcx::error::ApiError;
use crate::ringcx::ledger::{Grant, LONGEST_PAUSE_MS, Ledger};
use crate::ringcx::limits::Limits;
use crate::ringcx::pace::Spacing;

/// Retries are limited to a share of the successes: 1 for 2, with 200 to start with and at most 2,000 saved up. In an
/// outage, retries would otherwise multiply the traffic by six and record thousands of summaries as FAILED.
const BUDGET_START: i64 = 2 * 200;
const BUDGET_MAX: i64 = 2 * 2_000;
const BUDGET_RETRY: i64 = 2;
const BUDGET_SUCCESS: i64 = 1;
/// Requests in a row that were given up, after which a service that has never answered is considered down.
const GIVE_UPS_AT_FIRST: u32 = 5;
/// The same for a service that has answered: a run that fills old gaps requests exactly the summaries that failed.
const GIVE_UPS_LATER: u32 = 25;
/// Pauses shorter than this are not logged.
const LOGGED_PAUSE_MS: i64 = 5_000;
/// A wait is divided into sleeps no longer than this, so that a corrected clock or a lifted pause is noticed.
const LONGEST_SLEEP_MS: i64 = 10_000;

/// What all limiters of one client share.
pub(super) struct LimiterContext {
    pub clock: Arc<dyn Clock>,
    pub ledger: Arc<Ledger>,
    /// Cancelled when the run is to stop.
    pub stop: CancellationToken,
    /// For jitter.
    pub random: Random,
}

impl LimiterContext {
    /// Sleeps for `ms` milliseconds.
    ///
    /// # Errors
    /// [`ApiError::Stopped`] as soon as the run is to stop.
    pub(crate) async fn sleep_ms(&self, ms: i64) -> Result<(), ApiError> {
        let duration = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(ApiError::Stopped),
            () = self.clock.sleep(duration) => Ok(()),
        }
    }
}

/// The settings of a limiter.
pub(super) struct LimiterSettings {
    /// The name of the limit in the ledger: kind of request, host, and account or hash of the credential.
    pub scope: String,
    pub limits: Limits,
    pub spacing: Spacing,
    /// Failed attempts after which a request is given up; 401 and 429 are counted separately.
    pub max_attempts: u32,
    /// The longest first backoff in milliseconds; each further one is up to twice as long.
    pub backoff_ms: i64,
}

/// Lets the requests of one scope leave within its limits.
pub(super) struct RateLimiter {
    pub context: Arc<LimiterContext>,
    pub max_attempts: u32,
    pub backoff_ms: i64,
    scope: Arc<str>,
    limits: Arc<Limits>,
    spacing: Spacing,
    /// The request that holds it leaves next. Tokio's mutex is fair: requests leave in order of arrival.
    next_request: tokio::sync::Mutex<()>,
    paused_until_ms: AtomicI64,
    rate_bits: AtomicU64,
    requests: AtomicU64,
    too_many: AtomicU64,
    retries: AtomicU64,
    /// In halves of a retry.
    retry_budget: AtomicI64,
    give_ups: AtomicU32,
    ever_succeeded: AtomicBool,
}

/// The counters of a limiter, or of several.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct LimiterUsage {
    /// Number of limiters that are counted together; the limits hold for each of them.
    pub limiters: u64,
    /// Requests sent, whatever their result.
    pub requests: u64,
    /// Requests answered with 429.
    pub too_many: u64,
    /// Requests repeated after a transient failure.
    pub retries: u64,
    /// The share of the limit in use: 1, except for a while after a 429.
    pub pace: f64,
    /// UTC milliseconds; `None` unless a pause is in force.
    pub paused_until: Option<i64>,
}

impl LimiterUsage {
    /// Adds up both, with the slower pace and the longer pause of the two.
    pub fn and(self, other: LimiterUsage) -> LimiterUsage {
        let pace = match (self.limiters, other.limiters) {
            (0, _) => other.pace,
            (_, 0) => self.pace,
            _ => self.pace.min(other.pace),
        };
        LimiterUsage {
            limiters: self.limiters + other.limiters,
            requests: self.requests + other.requests,
            too_many: self.too_many + other.too_many,
            retries: self.retries + other.retries,
            pace,
            paused_until: self.paused_until.max(other.paused_until),
        }
    }
}

impl RateLimiter {
    /// Creates a limiter with its counters at zero; what the ledger knows of the scope counts all the same.
    pub fn new(context: Arc<LimiterContext>, settings: LimiterSettings) -> Self {
        RateLimiter {
            context,
            max_attempts: settings.max_attempts.max(1),
            backoff_ms: settings.backoff_ms,
            scope: settings.scope.into(),
            limits: Arc::new(settings.limits),
            spacing: settings.spacing,
            next_request: tokio::sync::Mutex::new(()),
            paused_until_ms: AtomicI64::new(0),
            rate_bits: AtomicU64::new(1f64.to_bits()),
            requests: AtomicU64::new(0),
            too_many: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            retry_budget: AtomicI64::new(BUDGET_START),
            give_ups: AtomicU32::new(0),
            ever_succeeded: AtomicBool::new(false),
        }
    }

    /// Waits until a request may leave, and returns the time then, in UTC milliseconds. The request must leave at once.
    ///
    /// `prepare` is awaited after every wait and before the grant is taken: a token that was valid before a wait of a
    /// quarter of an hour may have expired.
    ///
    /// # Errors
    /// [`ApiError::Stopped`], [`ApiError::Ledger`], and the errors of `prepare`.
    pub(crate) async fn acquire<F: Future<Output = Result<(), ApiError>>>(
        &self,
        prepare: impl Fn() -> F,
    ) -> Result<i64, ApiError> {
        let context = &*self.context;
        if context.stop.is_cancelled() {
            return Err(ApiError::Stopped);
        }
        if self.limits.are_off() {
            if self.wait_out_pause().await? {
                prepare().await?;
            }
        } else {
            let _next_request = tokio::select! {
                biased;
                () = context.stop.cancelled() => return Err(ApiError::Stopped),
                guard = self.next_request.lock() => guard,
            };
            self.wait_for_grant(prepare).await?;
        }
        self.requests.fetch_add(1, Relaxed);
        Ok(context.clock.now_ms())
    }

    async fn wait_for_grant<F: Future<Output = Result<(), ApiError>>>(
        &self,
        prepare: impl Fn() -> F,
    ) -> Result<(), ApiError> {
        loop {
            prepare().await?;
            let (limits, spacing) = (self.limits.clone(), self.spacing);
            let grant = self
                .with_ledger(move |ledger, scope| ledger.try_grant(scope, &limits, spacing))
                .await?;
            match grant {
                Grant::Granted { rate } => {
                    self.rate_bits.store(rate.to_bits(), Relaxed);
                    return Ok(());
                }
                Grant::Wait { until_us, rate } => {
                    self.rate_bits.store(rate.to_bits(), Relaxed);
                    let wait_us = until_us - self.context.clock.now_ms() * 1_000;
                    self.sleep_a_while((wait_us + 999).div_euclid(1_000))
                        .await?;
                }
            }
        }
    }

    /// Waits out the pause of a scope without limits, which is in memory only. Returns whether there was a pause.
    async fn wait_out_pause(&self) -> Result<bool, ApiError> {
        let mut waited = false;
        loop {
            let until_ms = self.paused_until_ms.load(Relaxed);
            if until_ms == 0 {
                return Ok(waited);
            }
            let wait_ms = until_ms - self.context.clock.now_ms();
            if !(1..=LONGEST_PAUSE_MS).contains(&wait_ms) {
                let _ = self
                    .paused_until_ms
                    .compare_exchange(until_ms, 0, Relaxed, Relaxed);
                return Ok(waited);
            }
            self.sleep_a_while(wait_ms).await?;
            waited = true;
        }
    }

    async fn sleep_a_while(&self, ms: i64) -> Result<(), ApiError> {
        self.context.sleep_ms(ms.clamp(0, LONGEST_SLEEP_MS)).await
    }

    /// Pauses the whole scope, in all processes, after a 429 to a request that left at `sent_ms` (UTC milliseconds).
    ///
    /// # Errors
    /// [`ApiError::Ledger`].
    pub(crate) async fn pause(&self, sent_ms: i64, pause_ms: i64) -> Result<(), ApiError> {
        let until_ms = self.context.clock.now_ms() + pause_ms.clamp(0, LONGEST_PAUSE_MS);
        self.too_many.fetch_add(1, Relaxed);
        self.paused_until_ms.fetch_max(until_ms, Relaxed);
        if !self.limits.are_off() {
            let limits = self.limits.clone();
            let rate = self
                .with_ledger(move |ledger, scope| ledger.pause(scope, &limits, sent_ms, until_ms))
                .await?;
            self.rate_bits.store(rate.to_bits(), Relaxed);
        }
        if pause_ms >= LOGGED_PAUSE_MS {
            tracing::info!(
                scope = &*self.scope,
                pause_ms,
                "the API asks for fewer requests; pausing"
            );
        }
        Ok(())
    }

    /// Returns the first and the longest pause, in milliseconds, after a 429 without `Retry-After`: the distance
    /// between two requests, and the longest window.
    pub(crate) fn default_pauses_ms(&self) -> (i64, i64) {
        let windows = self.limits.0.iter().map(|limit| {
            let window_ms = i64::try_from(limit.window.as_millis()).unwrap_or(i64::MAX);
            (window_ms / i64::from(limit.requests.max(1)), window_ms)
        });
        let first = windows.clone().map(|(distance_ms, _)| distance_ms).min();
        let longest = windows.map(|(_, window_ms)| window_ms).max();
        (
            first.unwrap_or(1_000).max(1),
            longest.unwrap_or(60_000).clamp(1, LONGEST_PAUSE_MS),
        )
    }

    /// Records that a request was answered.
    pub(crate) fn record_success(&self) {
        // Loads before stores: the usual case must not make the cores compete for a cache line.
        if self.give_ups.load(Relaxed) != 0 {
            self.give_ups.store(0, Relaxed);
        }
        if !self.ever_succeeded.load(Relaxed) {
            self.ever_succeeded.store(true, Relaxed);
        }
        if self.retry_budget.load(Relaxed) < BUDGET_MAX {
            self.retry_budget.fetch_add(BUDGET_SUCCESS, Relaxed);
        }
    }

    /// Takes a retry out of the budget; returns false when the budget is used up.
    pub(crate) fn take_retry(&self) -> bool {
        if self.retry_budget.fetch_sub(BUDGET_RETRY, Relaxed) < BUDGET_RETRY {
            self.retry_budget.fetch_add(BUDGET_RETRY, Relaxed);
            return false;
        }
        self.retries.fetch_add(1, Relaxed);
        true
    }

    /// Records that a request was given up; returns whether so many were in a row that the service must be down.
    /// `answered` says that the service sent an HTTP status.
    pub(crate) fn record_give_up(&self, answered: bool) -> bool {
        let in_a_row = self.give_ups.fetch_add(1, Relaxed) + 1;
        let most = match answered || self.ever_succeeded.load(Relaxed) {
            true => GIVE_UPS_LATER,
            false => GIVE_UPS_AT_FIRST,
        };
        in_a_row >= most
    }

    /// Returns the counters so far.
    pub fn usage(&self) -> LimiterUsage {
        let now_ms = self.context.clock.now_ms();
        LimiterUsage {
            limiters: 1,
            requests: self.requests.load(Relaxed),
            too_many: self.too_many.load(Relaxed),
            retries: self.retries.load(Relaxed),
            pace: f64::from_bits(self.rate_bits.load(Relaxed)),
            paused_until: Some(self.paused_until_ms.load(Relaxed)).filter(|&until| until > now_ms),
        }
    }

    /// Runs `work` on a thread where waiting for the disk or for another process blocks no other task.
    async fn with_ledger<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger, &str) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (ledger, scope) = (self.context.ledger.clone(), self.scope.clone());
        let done = tokio::task::spawn_blocking(move || work(&ledger, &scope)).await;
        // The task fails only when it panicked or the runtime shuts down.
        done.unwrap_or(Err(ApiError::Stopped))
    }
}

/// A source of jitter: SplitMix64 (Steele, Lea and Flood, 2014), which needs no lock.
pub(super) struct Random(AtomicU64);

impl Random {
    /// Starts the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Random(AtomicU64::new(seed))
    }

    /// Returns a number in `0..=max`; 0 for a negative `max`.
    pub(crate) fn up_to(&self, max: i64) -> i64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut mixed = self.0.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let span = u64::try_from(max).unwrap_or(0).saturating_add(1);
        i64::try_from(mixed % span).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ringcx::testing::ManualClock;

    fn limiter(limits: &str) -> (RateLimiter, Arc<ManualClock>) {
        let clock = ManualClock::new();
        let ledger = Arc::new(Ledger::in_memory(clock.clone()).unwrap());
        let random = Random::new(7);
        let context = LimiterContext {
            clock: clock.clone(),
            ledger,
            stop: CancellationToken::new(),
            random,
        };
        let settings = LimiterSettings {
            scope: "test".into(),
            limits: limits.parse().unwrap(),
            spacing: Spacing::Burst,
            max_attempts: 6,
            backoff_ms: 500,
        };
        (RateLimiter::new(Arc::new(context), settings), clock)
    }

    #[test]
    fn random_numbers_are_those_published_and_stay_in_range() {
        // The first output for seed 0 of the reference implementation: 16294208416658607535.
        let (reference, max) = (16_294_208_416_658_607_535_u64, 999_u64);
        assert_eq!(
            Random::new(0).up_to(999),
            i64::try_from(reference % (max + 1)).unwrap()
        );
        let random = Random::new(1);
        let drawn: std::collections::BTreeSet<_> = (0..200).map(|_| random.up_to(3)).collect();
        assert_eq!(drawn, [0, 1, 2, 3].into());
        assert_eq!((random.up_to(0), random.up_to(-1)), (0, 0));
    }

    #[test]
    fn two_successes_earn_one_retry() {
        let (limiter, _) = limiter("off");
        let spent = (0..1_000).filter(|_| limiter.take_retry()).count();
        assert_eq!(spent, 200);
        limiter.record_success();
        assert!(!limiter.take_retry());
        limiter.record_success();
        assert!(limiter.take_retry());
        (0..10_000).for_each(|_| limiter.record_success());
        assert_eq!((0..5_000).filter(|_| limiter.take_retry()).count(), 2_000);
    }

    #[test]
    fn a_row_of_give_ups_is_an_outage() {
        let (limiter, _) = limiter("off");
        let until_outage =
            |limiter: &RateLimiter| (1..).find(|_| limiter.record_give_up(false)).unwrap();
        assert_eq!(until_outage(&limiter), GIVE_UPS_AT_FIRST);
        limiter.record_success();
        assert_eq!(until_outage(&limiter), GIVE_UPS_LATER);
    }

    #[tokio::test]
    async fn requests_wait_for_limits_and_pauses() {
        for limits in ["2/60s", "off"] {
            let (limiter, clock) = limiter(limits);
            limiter.acquire(|| async { Ok(()) }).await.unwrap();
            limiter.pause(clock.now_ms(), 25_000).await.unwrap();
            assert_eq!(
                limiter.usage().paused_until,
                Some(ManualClock::START_MS + 25_000)
            );
            limiter.acquire(|| async { Ok(()) }).await.unwrap();
            assert_eq!(clock.elapsed_ms(), 25_000, "{limits}");
            assert_eq!(limiter.usage().paused_until, None);
        }
    }

    #[tokio::test]
    async fn waiting_ends_when_the_run_stops() {
        for limits in ["1/60s", "off"] {
            let (limiter, clock) = limiter(limits);
            let limiter = Arc::new(limiter);
            limiter.acquire(|| async { Ok(()) }).await.unwrap();
            limiter.pause(clock.now_ms(), 25_000).await.unwrap();
            clock.freeze();
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let limiter = limiter.clone();
                    tokio::spawn(async move { limiter.acquire(|| async { Ok(()) }).await })
                })
                .collect();
            clock.sleep_begun().await;
            limiter.context.stop.cancel();
            for task in waiting {
                assert_eq!(task.await.unwrap(), Err(ApiError::Stopped));
            }
        }
    }
}
