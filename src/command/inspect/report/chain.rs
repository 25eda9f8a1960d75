//! One sub-account's days, reduced to what the page shows: a large archive's calendars would not fit into memory.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::audit::calendar::{Calendar, LockSummary};
use crate::chain::timeline::Timeline;
use crate::command::inspect::report::exceptions;
use crate::command::inspect::report::exceptions::Exception;
use crate::command::inspect::report::page::data::PackedDays;
use crate::format::record::coverage::DayState;
use crate::format::record::manifest::Incomplete;
use crate::format::row::tally::{Failures, Tally};
use crate::format::time::day::Zone;

/// What the page tells of one sub-account.
#[derive(Debug, Clone)]
pub struct ReportedChain {
    pub sub_account: String,
    pub zone: String,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256`.
    pub head: String,
    pub committed_at: i64,
    /// Fingerprints of the keys that signed the range's manifests; `None` stands for those that nobody signed.
    pub signers: BTreeSet<Option<String>>,
    /// The first and the last day of the page.
    pub days: Option<(Date, Date)>,
    pub states: States,
    pub counts: Tally,
    pub revisions: u64,
    pub files: u64,
    pub bytes: u64,
    pub locks: Option<LockSummary>,
    pub exceptions: Vec<Exception>,
    pub packed: Option<PackedDays>,
}

/// Days by their state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States(BTreeMap<char, u64>);

impl States {
    pub fn get(&self, state: DayState) -> u64 {
        self.0.get(&state.letter()).copied().unwrap_or(0)
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Days of which something is still to be fetched.
    pub fn open(&self) -> u64 {
        self.get(DayState::Gaps) + self.get(DayState::Missing)
    }

    pub fn merge(&mut self, other: &States) {
        other
            .0
            .iter()
            .for_each(|(letter, days)| *self.0.entry(*letter).or_default() += days);
    }

    fn add(&mut self, state: DayState) {
        *self.0.entry(state.letter()).or_default() += 1;
    }
}

/// What a calendar leaves out of a chain's manifests.
#[derive(Debug, Clone, Default)]
pub struct ChainDetails {
    pub signers: BTreeSet<Option<String>>,
    /// Of the days that lack something.
    pub gaps: BTreeMap<Date, DayGap>,
}

/// Why a day is not complete, by its newest manifest.
#[derive(Debug, Clone, Default)]
pub struct DayGap {
    /// Codes.
    pub because: Vec<Incomplete>,
    /// Of the newest revision's rows, by class.
    pub failures: Failures,
}

impl ChainDetails {
    pub fn of(timeline: &Timeline) -> ChainDetails {
        let newest = timeline.by_day().filter_map(|revisions| revisions.last());
        let gap = |record: &crate::format::record::manifest::DayRecord| {
            let gap = DayGap {
                because: record.incomplete_because.clone(),
                failures: record.failures.clone(),
            };
            (record.date, gap)
        };
        ChainDetails {
            signers: timeline
                .revisions
                .iter()
                .map(|revision| revision.signed_by.clone())
                .collect(),
            gaps: newest
                .filter(|one| !one.record.complete)
                .map(|one| gap(&one.record))
                .collect(),
        }
    }
}

impl ReportedChain {
    /// `today_ms` is what days are over by, where the range has no end: a chain that has stopped must not look whole.
    pub fn of(calendar: &Calendar, told: &ChainDetails, today_ms: Option<i64>) -> ReportedChain {
        let mut states = States::default();
        calendar.days.iter().for_each(|day| states.add(day.state));
        let behind = today_ms.and_then(|today_ms| behind(calendar, today_ms));
        ReportedChain {
            sub_account: calendar.sub_account.clone(),
            zone: calendar.zone.clone(),
            head: calendar.head.clone(),
            committed_at: calendar.committed_at,
            signers: told.signers.clone(),
            days: calendar
                .days
                .first()
                .zip(calendar.days.last())
                .map(|(first, last)| (first.date, last.date)),
            states,
            counts: calendar.total(),
            revisions: calendar
                .days
                .iter()
                .map(|day| u64::from(day.revisions))
                .sum(),
            files: calendar.days.iter().map(|day| day.files).sum(),
            bytes: calendar.days.iter().map(|day| day.bytes).sum(),
            locks: calendar.locks.clone(),
            exceptions: exceptions::of(calendar, told, behind),
            packed: PackedDays::of(calendar),
        }
    }
}

/// The days that are over since the last archived one, when they are more than the night's run can account for.
fn behind(calendar: &Calendar, today_ms: i64) -> Option<(Date, Date)> {
    let (_, last) = calendar.archived?;
    let today = Zone::named(&calendar.zone).ok()?.date_at(today_ms).ok()?;
    // Yesterday is archived in the course of today.
    let settled = today.yesterday().ok()?.yesterday().ok()?;
    (last < settled).then(|| Some((last.tomorrow().ok()?, settled)))?
}
