//! A lane: requests that share one limit, and with it their pauses, their patience and their counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::ringcx::error::ApiError;
use crate::ringcx::ledger::{LONGEST_PAUSE_MS, Ledger, Turn};
use crate::ringcx::limits::Limits;
use crate::ringcx::pace::Spacing;

/// Retries are a share of what succeeds: one for two successes, with some to start on. Without that bound an
/// outage would be answered with six times the usual traffic, and thousands of FAILED rows would be the result.
const BUDGET_START: i64 = 2 * 200;
const BUDGET_MAX: i64 = 2 * 2_000;
const BUDGET_RETRY: i64 = 2;
const BUDGET_SUCCESS: i64 = 1;
/// Requests in a row, each with all its retries used up, that make an outage: of a service that has never
/// answered anything, and of one that has. A service that answers with errors may mean the few summaries that a run
/// over old gaps asks for.
const GIVE_UPS_AT_FIRST: u32 = 5;
const GIVE_UPS_LATER: u32 = 25;
/// Shorter pauses than this are no news.
const WORTH_SAYING_MS: i64 = 5_000;
/// A wait is cut into pieces no longer than this, so that a changed clock or a lifted pause is noticed.
const LONGEST_NAP_MS: i64 = 10_000;

/// What every lane of one client has in common.
pub(super) struct LimiterContext {
    pub clock: Arc<dyn Clock>,
    pub ledger: Arc<Ledger>,
    pub stop: CancellationToken,
    pub random: Random,
}

impl LimiterContext {
    /// Sleeps, but not past the order to stop.
    pub async fn sleep_ms(&self, ms: i64) -> Result<(), ApiError> {
        let duration = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(ApiError::Stopped),
            () = self.clock.sleep(duration) => Ok(()),
        }
    }
}

/// How a lane is set up.
pub(super) struct LimiterSettings {
    /// Names the limit in the ledger: kind of request, host, account or hash of the credential.
    pub scope: String,
    pub limits: Limits,
    pub spacing: Spacing,
    /// Requests for one answer before giving up; 401 and 429 are counted apart.
    pub max_attempts: u32,
    /// The first wait before a retry is at most this long; each further one at most twice as long.
    pub backoff_ms: i64,
}

pub(super) struct RateLimiter {
    pub shared: Arc<LimiterContext>,
    pub max_attempts: u32,
    pub backoff_ms: i64,
    scope: Arc<str>,
    limits: Arc<Limits>,
    spacing: Spacing,
    /// Who holds it is the next to leave. In order of arrival, and only one looks into the ledger.
    turnstile: tokio::sync::Mutex<()>,
    paused_until_ms: AtomicI64,
    rate_bits: AtomicU64,
    requests: AtomicU64,
    too_many: AtomicU64,
    retries: AtomicU64,
    /// In halves of a retry.
    budget: AtomicI64,
    give_ups: AtomicU32,
    ever_succeeded: AtomicBool,
}

/// A lane's counters, for progress.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LimiterUsage {
    /// Lanes that are counted together, each with the whole limit to itself.
    pub limiters: u64,
    /// Requests sent, whatever came of them.
    pub requests: u64,
    /// Answered with 429.
    pub too_many: u64,
    /// Sent again after a passing failure.
    pub retries: u64,
    /// The share of the limit in use: 1 but for a while after a 429.
    pub pace: f64,
    /// UTC milliseconds; `None` when nothing asked for a pause.
    pub paused_until: Option<i64>,
}

impl LimiterUsage {
    /// Both together, with the slower pace and the longer pause of them.
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
    pub fn new(shared: Arc<LimiterContext>, settings: LimiterSettings) -> Self {
        RateLimiter {
            shared,
            max_attempts: settings.max_attempts.max(1),
            backoff_ms: settings.backoff_ms,
            scope: settings.scope.into(),
            limits: Arc::new(settings.limits),
            spacing: settings.spacing,
            turnstile: tokio::sync::Mutex::new(()),
            paused_until_ms: AtomicI64::new(0),
            rate_bits: AtomicU64::new(1f64.to_bits()),
            requests: AtomicU64::new(0),
            too_many: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            budget: AtomicI64::new(BUDGET_START),
            give_ups: AtomicU32::new(0),
            ever_succeeded: AtomicBool::new(false),
        }
    }

    /// Waits until a request may leave; then it must leave at once. Returns the time, in UTC milliseconds.
    /// `ready` is awaited after every wait and before the turn is taken: what was prepared before a quarter of
    /// an hour's wait may have expired meanwhile.
    pub async fn turn<F: Future<Output = Result<(), ApiError>>>(
        &self,
        ready: impl Fn() -> F,
    ) -> Result<i64, ApiError> {
        let shared = &*self.shared;
        if shared.stop.is_cancelled() {
            return Err(ApiError::Stopped);
        }
        if self.limits.are_off() {
            if self.sit_out_pause().await? {
                ready().await?;
            }
        } else {
            let _next = tokio::select! {
                biased;
                () = shared.stop.cancelled() => return Err(ApiError::Stopped),
                next = self.turnstile.lock() => next,
            };
            self.wait_for_turn(ready).await?;
        }
        self.requests.fetch_add(1, Relaxed);
        Ok(shared.clock.now_ms())
    }

    async fn wait_for_turn<F: Future<Output = Result<(), ApiError>>>(
        &self,
        ready: impl Fn() -> F,
    ) -> Result<(), ApiError> {
        loop {
            ready().await?;
            let (limits, spacing) = (self.limits.clone(), self.spacing);
            let turn = self
                .ledger(move |ledger, scope| ledger.take(scope, &limits, spacing))
                .await?;
            match turn {
                Turn::Go { rate } => {
                    self.rate_bits.store(rate.to_bits(), Relaxed);
                    return Ok(());
                }
                Turn::Wait { until_us, rate } => {
                    self.rate_bits.store(rate.to_bits(), Relaxed);
                    let wait_us = until_us - self.shared.clock.now_ms() * 1_000;
                    self.nap((wait_us + 999).div_euclid(1_000)).await?;
                }
            }
        }
    }

    /// A lane without limits keeps its pauses in memory: it touches no ledger. Returns whether there was one.
    async fn sit_out_pause(&self) -> Result<bool, ApiError> {
        let mut waited = false;
        loop {
            let until = self.paused_until_ms.load(Relaxed);
            if until == 0 {
                return Ok(waited);
            }
            let wait = until - self.shared.clock.now_ms();
            if !(1..=LONGEST_PAUSE_MS).contains(&wait) {
                let _ = self
                    .paused_until_ms
                    .compare_exchange(until, 0, Relaxed, Relaxed);
                return Ok(waited);
            }
            self.nap(wait).await?;
            waited = true;
        }
    }

    async fn nap(&self, ms: i64) -> Result<(), ApiError> {
        self.shared.sleep_ms(ms.clamp(0, LONGEST_NAP_MS)).await
    }

    /// The server said 429 to a request that left at `sent_ms`: everybody in the scope pauses.
    pub async fn pause(&self, sent_ms: i64, pause_ms: i64) -> Result<(), ApiError> {
        let now = self.shared.clock.now_ms();
        let until_ms = now + pause_ms.clamp(0, LONGEST_PAUSE_MS);
        self.too_many.fetch_add(1, Relaxed);
        self.paused_until_ms.fetch_max(until_ms, Relaxed);
        if !self.limits.are_off() {
            let limits = self.limits.clone();
            let rate = self
                .ledger(move |ledger, scope| ledger.pause(scope, &limits, sent_ms, until_ms))
                .await?;
            self.rate_bits.store(rate.to_bits(), Relaxed);
        }
        if pause_ms >= WORTH_SAYING_MS {
            tracing::info!(
                scope = &*self.scope,
                pause_ms,
                "the API asks for fewer requests; pausing"
            );
        }
        Ok(())
    }

    /// The first pause after a 429 that names none, and the longest: a distance between requests, and a window.
    pub fn pauses_ms(&self) -> (i64, i64) {
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let first = self
            .limits
            .0
            .iter()
            .map(|limit| ms(limit.window) / i64::from(limit.requests.max(1)))
            .min();
        let longest = self.limits.0.iter().map(|limit| ms(limit.window)).max();
        (
            first.unwrap_or(1_000).max(1),
            longest.unwrap_or(60_000).clamp(1, LONGEST_PAUSE_MS),
        )
    }

    /// A request was answered.
    pub fn succeeded(&self) {
        // Loads before stores: the common case must not make the cores fight for a cache line.
        if self.give_ups.load(Relaxed) != 0 {
            self.give_ups.store(0, Relaxed);
        }
        if !self.ever_succeeded.load(Relaxed) {
            self.ever_succeeded.store(true, Relaxed);
        }
        if self.budget.load(Relaxed) < BUDGET_MAX {
            self.budget.fetch_add(BUDGET_SUCCESS, Relaxed);
        }
    }

    /// Takes a retry out of the budget; `false` when there is none left.
    pub fn may_retry(&self) -> bool {
        if self.budget.fetch_sub(BUDGET_RETRY, Relaxed) < BUDGET_RETRY {
            self.budget.fetch_add(BUDGET_RETRY, Relaxed);
            return false;
        }
        self.retries.fetch_add(1, Relaxed);
        true
    }

    /// A request was given up; `true` when so many were in a row that the service must be down.
    /// `answered` says that the service did speak HTTP to it.
    pub fn gave_up(&self, answered: bool) -> bool {
        let in_a_row = self.give_ups.fetch_add(1, Relaxed) + 1;
        let lives = answered || self.ever_succeeded.load(Relaxed);
        in_a_row
            >= if lives {
                GIVE_UPS_LATER
            } else {
                GIVE_UPS_AT_FIRST
            }
    }

    pub fn usage(&self) -> LimiterUsage {
        let now = self.shared.clock.now_ms();
        LimiterUsage {
            limiters: 1,
            requests: self.requests.load(Relaxed),
            too_many: self.too_many.load(Relaxed),
            retries: self.retries.load(Relaxed),
            pace: f64::from_bits(self.rate_bits.load(Relaxed)),
            paused_until: Some(self.paused_until_ms.load(Relaxed)).filter(|&until| until > now),
        }
    }

    /// Runs `work` where waiting for the disk or for another process holds up no other task.
    async fn ledger<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger, &str) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (ledger, scope) = (self.shared.ledger.clone(), self.scope.clone());
        let done = tokio::task::spawn_blocking(move || work(&ledger, &scope)).await;
        // The task fails only when it panicked or the runtime shuts down.
        done.unwrap_or(Err(ApiError::Stopped))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for jitter, without a crate.
pub(super) struct Random(AtomicU64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(AtomicU64::new(seed))
    }

    /// A number from 0 to `max`, both included.
    pub fn up_to(&self, max: i64) -> i64 {
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

    fn lane(limits: &str) -> (RateLimiter, Arc<ManualClock>) {
        let clock = ManualClock::new();
        let ledger = Arc::new(Ledger::in_memory(clock.clone()).unwrap());
        let random = Random::new(7);
        let shared = LimiterContext {
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
        (RateLimiter::new(Arc::new(shared), settings), clock)
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
        let (lane, _) = lane("off");
        let spent = (0..1_000).filter(|_| lane.may_retry()).count();
        assert_eq!(spent, 200);
        lane.succeeded();
        assert!(!lane.may_retry());
        lane.succeeded();
        assert!(lane.may_retry());
        (0..10_000).for_each(|_| lane.succeeded());
        assert_eq!((0..5_000).filter(|_| lane.may_retry()).count(), 2_000);
    }

    #[test]
    fn a_row_of_give_ups_is_an_outage() {
        let (lane, _) = lane("off");
        let until_outage = |lane: &RateLimiter| (1..).find(|_| lane.gave_up(false)).unwrap();
        assert_eq!(until_outage(&lane), GIVE_UPS_AT_FIRST);
        lane.succeeded();
        assert_eq!(until_outage(&lane), GIVE_UPS_LATER);
    }

    #[tokio::test]
    async fn turns_wait_for_limits_and_pauses() {
        for limits in ["2/60s", "off"] {
            let (lane, clock) = lane(limits);
            lane.turn(|| async { Ok(()) }).await.unwrap();
            lane.pause(clock.now_ms(), 25_000).await.unwrap();
            assert_eq!(
                lane.usage().paused_until,
                Some(ManualClock::START_MS + 25_000)
            );
            lane.turn(|| async { Ok(()) }).await.unwrap();
            assert_eq!(clock.elapsed_ms(), 25_000, "{limits}");
            assert_eq!(lane.usage().paused_until, None);
        }
    }

    #[tokio::test]
    async fn waiting_ends_when_the_run_stops() {
        for limits in ["1/60s", "off"] {
            let (lane, clock) = lane(limits);
            let lane = Arc::new(lane);
            lane.turn(|| async { Ok(()) }).await.unwrap();
            lane.pause(clock.now_ms(), 25_000).await.unwrap();
            clock.freeze();
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let lane = lane.clone();
                    tokio::spawn(async move { lane.turn(|| async { Ok(()) }).await })
                })
                .collect();
            clock.somebody_sleeps().await;
            lane.shared.stop.cancel();
            for one in waiting {
                assert_eq!(one.await.unwrap(), Err(ApiError::Stopped));
            }
        }
    }
}
