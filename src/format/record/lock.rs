//! Object Lock: how long an object version may be neither deleted nor overwritten.
//!
//! Source: AWS, "Locking objects with Object Lock" (Amazon S3 User Guide).

use std::fmt;

use jiff::ToSpan;
use serde::{Deserialize, Serialize};

use crate::format::time::Instant;

/// The two Object Lock modes of S3, the weaker one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LockMode {
    /// A user with the permission `s3:BypassGovernanceRetention` can lift the lock.
    Governance,
    /// No user can lift the lock, the account's root user included.
    Compliance,
}

/// The retention of one object version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Mode of the lock.
    pub mode: LockMode,
    /// End of the lock: UTC milliseconds since the epoch, in whole seconds, since S3 stores no finer time.
    pub until_ms: i64,
}

impl Lock {
    /// Returns the weakest lock that keeps the promises of both: the stronger mode until the later time.
    pub fn stronger(self, other: Lock) -> Lock {
        Lock {
            mode: self.mode.max(other.mode),
            until_ms: self.until_ms.max(other.until_ms),
        }
    }

    /// Returns the weakest lock that keeps the promises of all of them; `None` where there is no lock.
    ///
    /// # Examples
    /// ```
    /// use cxvault::format::record::lock::{Lock, LockMode};
    ///
    /// let long = Lock { mode: LockMode::Governance, until_ms: 9_000 };
    /// let strict = Lock { mode: LockMode::Compliance, until_ms: 5_000 };
    /// let both = Lock::strongest([Some(long), None, Some(strict)]).unwrap();
    /// assert_eq!(both, Lock { mode: LockMode::Compliance, until_ms: 9_000 });
    /// assert!(both.covers(long) && both.covers(strict) && !long.covers(strict));
    /// ```
    pub fn strongest(locks: impl IntoIterator<Item = Option<Lock>>) -> Option<Lock> {
        locks.into_iter().flatten().reduce(Lock::stronger)
    }

    /// Returns whether this lock keeps every promise of the lock `required`.
    pub fn covers(self, required: Lock) -> bool {
        self.stronger(required) == self
    }

    /// Returns what both locks promise: the weaker mode until the earlier time.
    pub fn weaker(self, other: Lock) -> Lock {
        Lock {
            mode: self.mode.min(other.mode),
            until_ms: self.until_ms.min(other.until_ms),
        }
    }
}

/// Object Lock as a record names it: read back from the store after the objects were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLock {
    /// Mode of the lock.
    pub mode: LockMode,
    /// End of the lock.
    pub retain_until: Instant,
}

impl ObjectLock {
    /// Returns the lock itself.
    pub fn lock(&self) -> Lock {
        Lock {
            mode: self.mode,
            until_ms: self.retain_until.as_millis(),
        }
    }
}

impl From<Lock> for ObjectLock {
    fn from(lock: Lock) -> Self {
        ObjectLock {
            mode: lock.mode,
            retain_until: Instant::from_millis(lock.until_ms),
        }
    }
}

/// How long S3 must retain every object: a mode and a period. Its text, such as `compliance:7y`, is that of the
/// settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Mode of the locks.
    pub mode: LockMode,
    /// Length of the locks.
    pub(crate) period: Period,
}

/// Length of a retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Period {
    /// Days of 24 hours.
    Days(u16),
    /// Calendar years: 2026-11-20 to 2033-11-20 are seven.
    Years(u16),
}

impl Retention {
    /// Returns the lock of an object that is stored at `now_ms` (UTC milliseconds), in whole seconds as S3 stores them.
    /// Returns `None` beyond the end of the calendar.
    pub(crate) fn lock_from(&self, now_ms: i64) -> Option<Lock> {
        let now = jiff::Timestamp::from_millisecond(now_ms).ok()?;
        let until = now
            .to_zoned_datetime(jiff::tz::TimeZone::UTC)
            .checked_add(match self.period {
                Period::Days(days) => i64::from(days).days(),
                Period::Years(years) => i64::from(years).years(),
            });
        // Rounded up, since the promise is "at least".
        let until_ms = (until.ok()?.timestamp().as_millisecond() + 999).div_euclid(1000) * 1000;
        Some(Lock {
            mode: self.mode,
            until_ms,
        })
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            LockMode::Governance => "governance",
            LockMode::Compliance => "compliance",
        };
        match self.period {
            Period::Days(days) => write!(out, "{mode}:{days}d"),
            Period::Years(years) => write!(out, "{mode}:{years}y"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LockMode::{Compliance, Governance};
    use super::*;
    use crate::format::time::day::rfc3339;

    #[test]
    fn two_locks_are_joined_by_mode_and_time_separately() {
        let lock = |mode, until_ms| Lock { mode, until_ms };
        let cases = [
            (
                lock(Governance, 5),
                lock(Governance, 9),
                lock(Governance, 9),
                lock(Governance, 5),
            ),
            (
                lock(Compliance, 5),
                lock(Governance, 9),
                lock(Compliance, 9),
                lock(Governance, 5),
            ),
            (
                lock(Compliance, 9),
                lock(Compliance, 5),
                lock(Compliance, 9),
                lock(Compliance, 5),
            ),
        ];
        for (first, second, stronger, weaker) in cases {
            assert_eq!(first.stronger(second), stronger);
            assert_eq!(second.stronger(first), stronger);
            assert_eq!(first.weaker(second), weaker);
            assert_eq!(second.weaker(first), weaker);
        }
    }

    #[test]
    fn a_retention_ends_on_a_whole_second_and_never_early() {
        let cases = [
            (
                Period::Days(1),
                "2026-11-20T00:00:00.001Z",
                "2026-11-21T00:00:01.000Z",
            ),
            (
                Period::Years(7),
                "2026-11-20T00:00:00.000Z",
                "2033-11-20T00:00:00.000Z",
            ),
            (
                Period::Years(1),
                "2028-02-29T12:00:00.000Z",
                "2029-02-28T12:00:00.000Z",
            ),
        ];
        for (period, now, until) in cases {
            let retention = Retention {
                mode: Governance,
                period,
            };
            let lock = retention
                .lock_from(Instant::parse(now).unwrap().as_millis())
                .unwrap();
            assert_eq!(rfc3339(lock.until_ms), until, "{retention}");
        }
        let endless = Retention {
            mode: Compliance,
            period: Period::Years(9_000),
        };
        assert_eq!(endless.lock_from(0), None);
        assert_eq!(endless.to_string(), "compliance:9000y");
    }
}
