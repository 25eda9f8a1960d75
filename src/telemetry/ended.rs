//! What there is to tell of a run that has ended.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::format::record::warning::WarningCode;
use crate::format::row::tally::Tally;
use crate::outcome::Exit;

/// A run, as its end leaves it. Holds no secret, no text of a summary, and no segment's id.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// `run`, `backfill` or `recheck`.
    pub command: &'static str,
    pub exit: Exit,
    /// Of what ended the run as a whole; single days are `troubles`.
    pub message: Option<String>,
    pub remedy: Option<String>,
    /// Where the archive is.
    pub archive: Option<String>,
    pub host: String,
    /// UTC milliseconds.
    pub started_ms: i64,
    pub ended_ms: i64,
    /// When a run last succeeded, this one included, as far as anybody here knows.
    pub last_success_ms: Option<i64>,
    pub sub_accounts: BTreeMap<String, SubAccountEnd>,
    pub limits: Vec<LimitUse>,
    /// Everything that was worked on, as it began and ended.
    pub days: Vec<DaySpan>,
    /// DayCounts, or whole sub-accounts, that did not end well.
    pub troubles: Vec<ProblemDay>,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256` of each chain that was seen.
    pub heads: Vec<String>,
    /// Whether anything was committed.
    pub committed: bool,
}

impl RunEnd {
    /// When this run succeeded, if it did: whatever is committed with gaps is committed.
    pub fn success_ms(&self) -> Option<i64> {
        matches!(self.exit, Exit::Done | Exit::Gaps).then_some(self.ended_ms)
    }

    /// Whether somebody should look. Another process at the same work is no trouble.
    pub fn is_trouble(&self) -> bool {
        !matches!(self.exit, Exit::Done | Exit::Locked)
    }

    /// Whether the archive goes on. Gaps alone are no sign of it: a run that finds the same old gaps, and can commit
    /// nothing, must not keep a dead man's switch from firing.
    pub fn is_alive(&self) -> bool {
        self.exit == Exit::Done || (self.exit == Exit::Gaps && self.committed)
    }
}

/// What a run did for one sub-account, and how its chain stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SubAccountEnd {
    pub days: DayCounts,
    /// Over all days that are archived.
    pub counts: Tally,
    /// Of the Parquet files that were committed.
    pub bytes: u64,
    /// Those that nobody has acknowledged.
    pub warnings: BTreeMap<WarningCode, u64>,
    /// `None` where the chain could not be read.
    pub chain: Option<ChainState>,
}

/// DayCounts by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayCounts {
    pub complete: u64,
    /// With gaps.
    pub incomplete: u64,
    /// Complete, and without a segment.
    pub empty: u64,
    /// Not committed.
    pub failed: u64,
}

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainState {
    /// 0 for a chain that has not begun.
    pub sequence: u64,
    /// The end of the oldest day that is missing or has gaps, in UTC milliseconds.
    pub oldest_unsealed_ms: Option<i64>,
}

/// Requests that count against one limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LimitUse {
    /// `summaries`, `discovery` or `token`.
    pub limit: &'static str,
    pub requests: u64,
    /// Answered with 429.
    pub throttled: u64,
    pub retries: u64,
    /// 0 to 1; `None` without a limit.
    pub used: Option<f64>,
}

/// A day that was worked on, or a sub-account that could not be.
#[derive(Debug, Clone)]
pub struct DaySpan {
    pub sub_account: String,
    pub date: Option<String>,
    pub outcome: &'static str,
    pub exit: Exit,
    /// UTC milliseconds.
    pub started_ms: i64,
    pub ended_ms: i64,
    pub segments: u64,
    /// Summaries without an answer.
    pub failed: u64,
    pub message: Option<String>,
}

/// A day that somebody should look at.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemDay {
    /// Or the account's name, where its sub-accounts could not be listed.
    pub sub_account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    pub outcome: &'static str,
    pub exit: Exit,
    /// Summaries without an answer.
    pub failed: u64,
    pub warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}
