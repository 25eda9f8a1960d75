//! The one owner of the wall clock and of sleeping; `.clippy.toml` bans both elsewhere.

use std::time::Duration;

use async_trait::async_trait;

/// Time as the program sees it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// UTC milliseconds since the epoch.
    fn now_ms(&self) -> i64;

    async fn sleep(&self, duration: Duration);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
#[allow(clippy::disallowed_methods)] // the one place that may
impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
