//! One sub-account as the page shows it.
//!
//! A chain's manifests are read, reduced to a [`Calendar`], and that is reduced to a [`ReportedChain`] before the next
//! chain is read: the manifests of 200 sub-accounts and seven years would not fit into memory together. What remains of a chain
//! is some numbers, its exceptions, and a few bytes for each day.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::audit::calendar::{Calendar, LockSummary};
use crate::command::inspect::report::days::DayColumns;
use crate::command::inspect::report::details::ChainDetails;
use crate::command::inspect::report::exceptions;
use crate::command::inspect::report::exceptions::Exception;
use crate::format::record::DayState;
use crate::format::row::Tally;
use crate::format::time::Zone;

/// What the page shows of one sub-account.
#[derive(Debug, Clone)]
pub struct ReportedChain {
    /// The sub-account's id.
    pub sub_account: String,
    /// The newest record of the chain, as `SUB_ACCOUNT:SEQUENCE:SHA256`.
    pub head: String,
    /// When the newest record was committed, in UTC milliseconds by the writer's clock.
    pub committed_at: i64,
    /// Fingerprints of the keys that signed the range's manifests; `None` stands for manifests without a signature.
    pub signers: BTreeSet<Option<String>>,
    /// The first and the last day of the page.
    pub period: Option<(Date, Date)>,
    /// The days of the page by state.
    pub(crate) states: StateCounts,
    /// Counts over the current row of each segment.
    pub counts: Tally,
    /// Revisions of all days of the page.
    pub revisions: u64,
    /// Size of the archived files in bytes, without those of days that were disposed of.
    pub bytes: u64,
    /// Object Lock as the manifests state it; `None` if no revision is locked.
    pub locks: Option<LockSummary>,
    /// What needs attention, in order of date within each class.
    pub(crate) exceptions: Vec<Exception>,
    /// The days for the script; `None` without any day.
    pub(crate) days: Option<DayColumns>,
}

/// How many days there are of each state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StateCounts(BTreeMap<char, u64>);

impl StateCounts {
    /// Returns the number of days in a state.
    pub fn get(&self, state: DayState) -> u64 {
        self.0.get(&state.letter()).copied().unwrap_or(0)
    }

    /// Returns the number of all days.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns the number of days of which something is still to be fetched.
    pub fn open(&self) -> u64 {
        self.get(DayState::Gaps) + self.get(DayState::Missing)
    }

    /// Adds the days of another sub-account.
    pub(crate) fn merge(&mut self, other: &StateCounts) {
        for (letter, days) in &other.0 {
            *self.0.entry(*letter).or_default() += days;
        }
    }
}

impl FromIterator<DayState> for StateCounts {
    fn from_iter<I: IntoIterator<Item = DayState>>(states: I) -> StateCounts {
        let mut counts = StateCounts::default();
        for state in states {
            *counts.0.entry(state.letter()).or_default() += 1;
        }
        counts
    }
}

impl ReportedChain {
    /// Reduces a calendar and its details.
    ///
    /// `now_ms` is the time of the report in UTC milliseconds if the range has no end, so that a chain that stopped
    /// some days ago does not look complete; `None` for a range that ends on a given day.
    pub fn of(calendar: &Calendar, details: &ChainDetails, now_ms: Option<i64>) -> ReportedChain {
        let days = &calendar.days;
        let behind = now_ms.and_then(|now_ms| days_behind(calendar, now_ms));
        ReportedChain {
            sub_account: calendar.sub_account.clone(),
            head: calendar.head.clone(),
            committed_at: calendar.committed_at.as_millis(),
            signers: details.signers.clone(),
            period: days
                .first()
                .zip(days.last())
                .map(|(first, last)| (first.date, last.date)),
            states: days.iter().map(|day| day.state).collect(),
            counts: calendar.total(),
            revisions: days.iter().map(|day| u64::from(day.revisions)).sum(),
            bytes: days.iter().map(|day| day.bytes).sum(),
            locks: calendar.locks.clone(),
            exceptions: exceptions::of(calendar, details, behind),
            days: DayColumns::of(calendar),
        }
    }
}

/// Returns the first and the last of the days that are over and not archived, after the last archived day.
///
/// Yesterday does not count: the nightly run archives it in the course of today.
fn days_behind(calendar: &Calendar, now_ms: i64) -> Option<(Date, Date)> {
    let (_, last) = calendar.archived?;
    let today = Zone::named(&calendar.zone).ok()?.date_at(now_ms).ok()?;
    let due = today.yesterday().ok()?.yesterday().ok()?;
    (last < due).then(|| Some((last.tomorrow().ok()?, due)))?
}
