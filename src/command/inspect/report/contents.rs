//! Everything that one report page shows, before it becomes HTML.
//!
//! The templates only place these values. Every sum and every judgement, such as whether an archive is complete, is made here or
//! in `page/words.rs`, so that the page, the text on the terminal and the event `report` cannot contradict each other.

use serde::Serialize;

use crate::chain::{NewestInventory, UnlistedSubAccount};
use crate::command::inspect::report::chain::{ReportedChain, StateCounts};
use crate::command::inspect::report::exceptions::{Exception, ExceptionClass};
use crate::command::inspect::report::verification::Verification;
use crate::format::place::key;
use crate::format::row::Tally;

/// The contents of a report.
#[derive(Debug, Clone)]
pub struct Report {
    /// The archive's root, such as `s3://acme-cx-archive/ringcx`.
    pub archive: String,
    /// The id of `archive.json`.
    pub archive_id: String,
    /// When the report was made, in UTC milliseconds.
    pub made_at: i64,
    /// The sub-accounts whose chains could be read, in order of their ids.
    pub chains: Vec<ReportedChain>,
    /// The newest record about all sub-accounts, if the archive has one.
    pub roster: Option<NewestInventory>,
    /// Chains that failed verification while they were read.
    pub damaged: Vec<Damage>,
    /// The verification that the page shows.
    pub verification: Option<Verification>,
}

/// A chain that failed verification.
#[derive(Debug, Clone)]
pub struct Damage {
    /// The sub-account's id, or [`key::ROSTER`].
    pub sub_account: String,
    /// What is wrong, without a full stop.
    pub message: String,
}

impl Damage {
    /// Returns what is damaged, as the beginning of a sentence.
    pub(crate) fn subject(&self) -> String {
        match self.sub_account.as_str() {
            key::ROSTER => "The roster".to_owned(),
            id => format!("Sub-account {id}"),
        }
    }
}

/// The state of an archive as a whole, the most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ArchiveCondition {
    /// Something differs from what was committed.
    Violated,
    /// All that is archived is intact, and something was never archived.
    Open,
    /// All days of the period are archived.
    Complete,
    /// There is no day in the period.
    Nothing,
}

impl Report {
    /// Returns whether anything differs from what was committed, as found while the chains were read or by the
    /// verification that the page shows.
    pub fn violated(&self) -> bool {
        !self.damaged.is_empty()
            || self
                .verification
                .as_ref()
                .is_some_and(|found| found.violations() > 0)
    }

    /// Returns the state of the archive as a whole.
    pub(crate) fn condition(&self) -> ArchiveCondition {
        let states = self.states();
        if self.violated() {
            ArchiveCondition::Violated
        } else if states.open() > 0 || self.chains_behind() > 0 || self.unlisted().next().is_some()
        {
            ArchiveCondition::Open
        } else if states.total() > 0 {
            ArchiveCondition::Complete
        } else {
            ArchiveCondition::Nothing
        }
    }

    /// Returns the number of sub-accounts with days that are over and not archived, after their last archived day.
    pub(crate) fn chains_behind(&self) -> u64 {
        self.exceptions()
            .filter(|exception| exception.class == ExceptionClass::Behind)
            .count() as u64
    }

    /// Returns the sub-accounts that RingCX no longer lists, without those that are acknowledged in the settings.
    pub(crate) fn unlisted(&self) -> impl Iterator<Item = UnlistedSubAccount<'_>> {
        self.roster
            .iter()
            .flat_map(NewestInventory::missing)
            .filter(|unlisted| !unlisted.acknowledged)
    }

    /// Returns the days of all sub-accounts by state.
    pub(crate) fn states(&self) -> StateCounts {
        let mut states = StateCounts::default();
        self.chains
            .iter()
            .for_each(|chain| states.merge(&chain.states));
        states
    }

    /// Returns the counts over all sub-accounts.
    pub fn counts(&self) -> Tally {
        let mut counts = Tally::default();
        self.chains
            .iter()
            .for_each(|chain| counts.merge(&chain.counts));
        counts
    }

    /// Returns what needs attention in all sub-accounts.
    pub(crate) fn exceptions(&self) -> impl Iterator<Item = &Exception> {
        self.chains.iter().flat_map(|chain| &chain.exceptions)
    }
}
