//! The facts of a run that has ended, from which all reports are made.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::format::record::WarningCode;
use crate::format::row::Tally;
use crate::outcome::Exit;

/// A run that has ended. It has no secret, no text of a summary, and no id of a segment.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// `run`, `backfill` or `recheck`.
    pub command: &'static str,
    /// Exit code of the process.
    pub exit: Exit,
    /// The failure that ended the run as a whole; failures of single days are in `troubles`.
    pub message: Option<String>,
    /// What the operator can do about that failure.
    pub remedy: Option<String>,
    /// Location of the archive.
    pub archive: Option<String>,
    /// Name of this host.
    pub host: String,
    /// Begin of the run, in UTC milliseconds.
    pub started_ms: i64,
    /// End of the run, in UTC milliseconds.
    pub ended_ms: i64,
    /// End of the last run that succeeded, this run included, in UTC milliseconds; `None` if this host does not know it.
    pub last_success_ms: Option<i64>,
    /// What was done, by sub-account.
    pub sub_accounts: BTreeMap<String, SubAccountEnd>,
    /// Requests, by the limit they count against.
    pub limits: Vec<LimitUse>,
    /// Every day that was worked on, with its begin and end.
    pub days: Vec<DaySpan>,
    /// Days, or whole sub-accounts, with a failure, gaps or warnings.
    pub troubles: Vec<ProblemDay>,
    /// `CHAIN:SEQUENCE:SHA256` of each chain that was read.
    pub heads: Vec<String>,
    /// Whether anything was committed.
    pub committed: bool,
}

impl RunEnd {
    /// Returns the end of this run if it succeeded. A run that committed days with gaps did.
    pub(crate) fn success_ms(&self) -> Option<i64> {
        matches!(self.exit, Exit::Done | Exit::Gaps).then_some(self.ended_ms)
    }

    /// Returns whether an operator should look at this run. Another process that does the same work is no problem.
    pub(crate) fn is_trouble(&self) -> bool {
        !matches!(self.exit, Exit::Done | Exit::Locked)
    }

    /// Returns whether the archive makes progress, so that a heartbeat is sent. Gaps alone do not show it: a run that only
    /// meets the gaps of earlier days and commits nothing must not keep a dead man's switch from firing.
    pub(crate) fn is_alive(&self) -> bool {
        self.exit == Exit::Done || (self.exit == Exit::Gaps && self.committed)
    }
}

/// What a run did for one sub-account, and the state of its chain.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SubAccountEnd {
    /// Days, by their outcome.
    pub days: DayCounts,
    /// Segments and summaries of these days.
    pub counts: Tally,
    /// Size of the Parquet files that were committed, in bytes.
    pub bytes: u64,
    /// Number of warnings that are neither known nor acknowledged, by their code.
    pub warnings: BTreeMap<WarningCode, u64>,
    /// State of the chain; `None` if it could not be read.
    pub chain: Option<ChainState>,
}

/// Numbers of days by their outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayCounts {
    /// Complete days with segments.
    pub complete: u64,
    /// Committed days with gaps.
    pub incomplete: u64,
    /// Complete days without a segment.
    pub empty: u64,
    /// Days that were not committed.
    pub failed: u64,
}

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainState {
    /// Sequence number of the newest manifest; 0 for a chain without manifests.
    pub sequence: u64,
    /// End of the oldest day that is missing or has gaps, in UTC milliseconds.
    pub oldest_unsealed_ms: Option<i64>,
}

/// Requests that count against one rate limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LimitUse {
    /// `summaries`, `discovery` or `token`.
    pub limit: &'static str,
    /// Requests that were sent.
    pub requests: u64,
    /// Requests that were answered with 429.
    pub throttled: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Used share of the limit, 0 to 1; `None` without a limit.
    pub used: Option<f64>,
}

/// A day that was worked on, or a sub-account that could not be.
#[derive(Debug, Clone)]
pub struct DaySpan {
    /// Id of the sub-account.
    pub sub_account: String,
    /// The day as `YYYY-MM-DD`; `None` for a whole sub-account.
    pub date: Option<String>,
    /// What became of it, as the summary of the run prints it.
    pub outcome: &'static str,
    /// Exit code that this day alone would give.
    pub exit: Exit,
    /// Begin of the work, in UTC milliseconds.
    pub started_ms: i64,
    /// End of the work, in UTC milliseconds.
    pub ended_ms: i64,
    /// Number of segments.
    pub segments: u64,
    /// Number of summaries without an answer.
    pub failed: u64,
    /// Message of the failure, if there is one.
    pub message: Option<String>,
}

/// A day that an operator should look at.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemDay {
    /// Id of the sub-account, or the name of the account if its sub-accounts could not be listed.
    pub sub_account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The day as `YYYY-MM-DD`; `None` for a whole sub-account.
    pub date: Option<String>,
    /// What became of it, as the summary of the run prints it.
    pub outcome: &'static str,
    /// Exit code that this day alone would give.
    pub exit: Exit,
    /// Number of summaries without an answer.
    pub failed: u64,
    /// Codes of the warnings.
    pub warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}
