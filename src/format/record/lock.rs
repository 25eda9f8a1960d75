//! Object Lock: how long an object may not be deleted or overwritten.

use std::fmt;

use jiff::ToSpan;
use serde::{Deserialize, Serialize};

/// S3's two Object Lock modes: GOVERNANCE can be lifted by a privileged user, COMPLIANCE by nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LockMode {
    Governance,
    Compliance,
}

/// The retention of one object version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub mode: LockMode,
    /// UTC milliseconds since the epoch; whole seconds, since S3 keeps no finer time.
    pub until_ms: i64,
}

impl Lock {
    /// The weakest lock that keeps both promises: the stronger mode until the later time.
    pub fn stronger(self, other: Lock) -> Lock {
        let governed = self.mode == LockMode::Governance && other.mode == LockMode::Governance;
        let mode = if governed {
            LockMode::Governance
        } else {
            LockMode::Compliance
        };
        Lock {
            mode,
            until_ms: self.until_ms.max(other.until_ms),
        }
    }

    /// What both locks promise: the weaker mode until the earlier time.
    pub fn weaker(self, other: Lock) -> Lock {
        let compliant = self.mode == LockMode::Compliance && other.mode == LockMode::Compliance;
        let mode = if compliant {
            LockMode::Compliance
        } else {
            LockMode::Governance
        };
        Lock {
            mode,
            until_ms: self.until_ms.min(other.until_ms),
        }
    }
}

/// How long S3 must keep every object: a mode and a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub mode: LockMode,
    pub period: Period,
}

/// Calendar years (2026-11-20 to 2033-11-20 are `7y`), or days of 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    Days(u16),
    Years(u16),
}

impl Retention {
    /// The lock of an object that is stored at `now_ms` (UTC milliseconds), in whole seconds as S3 keeps them;
    /// `None` beyond the calendar's end.
    pub fn lock_from(&self, now_ms: i64) -> Option<Lock> {
        let until = jiff::Timestamp::from_millisecond(now_ms).and_then(|now| {
            let now = now.to_zoned_datetime(jiff::tz::TimeZone::UTC);
            now.checked_add(match self.period {
                Period::Days(days) => i64::from(days).days(),
                Period::Years(years) => i64::from(years).years(),
            })
        });
        // Rounded up: the promise is "at least".
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
