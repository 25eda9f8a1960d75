//! Doubles for the tests of this module: a clock that waits for nobody, and servers that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::clock::Clock;

/// A clock that only sleeping moves: each sleep ends at once, later by its length.
pub struct ManualClock {
    now_ms: AtomicI64,
    frozen: AtomicBool,
    asleep: Notify,
}

impl ManualClock {
    /// 2026-11-20T12:00:00Z
    pub const START_MS: i64 = 1_795_176_000_000;

    pub fn new() -> Arc<Self> {
        let now_ms = AtomicI64::new(Self::START_MS);
        Arc::new(ManualClock { now_ms, frozen: AtomicBool::new(false), asleep: Notify::new() })
    }

    pub fn set(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    /// From now on no sleep ends.
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
    }

    /// Returns when somebody has gone to sleep on the frozen clock.
    pub async fn somebody_sleeps(&self) {
        self.asleep.notified().await;
    }

    pub fn elapsed_ms(&self) -> i64 {
        self.now_ms() - Self::START_MS
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    async fn sleep(&self, duration: Duration) {
        if self.frozen.load(Ordering::SeqCst) {
            self.asleep.notify_one();
            std::future::pending::<()>().await;
        }
        let until = self.now_ms() + i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap();
        self.now_ms.fetch_max(until, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}
