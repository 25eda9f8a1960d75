//! The one owner of the wall clock and of sleeping. `.clippy.toml` bans both elsewhere.
//!
//! Time comes into every other module from outside, so that tests decide what time it is, and how long a wait takes.

use std::time::Duration;

use async_trait::async_trait;

/// Time as the program sees it. The tests have clocks of their own.
///
/// # Examples
///
/// ```
/// use cxvault::clock::{Clock, SystemClock};
///
/// let year_2024_ms = 1_704_067_200_000;
/// assert!(SystemClock.now_ms() > year_2024_ms);
/// ```
#[async_trait]
pub trait Clock: Send + Sync {
    /// Returns the current time: UTC milliseconds since the epoch.
    fn now_ms(&self) -> i64;

    /// Returns after `duration` has passed.
    async fn sleep(&self, duration: Duration);
}

/// The host's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
#[allow(clippy::disallowed_methods)] // The only place where these methods are allowed.
impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
