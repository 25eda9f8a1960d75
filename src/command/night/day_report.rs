//! How days ended, as the summary, the notifications and the roster report it.
//!
//! | outcome | meaning |
//! |---|---|
//! | `complete`, `has gaps` | this run has committed a revision, without or with summaries that failed |
//! | `confirmed`, `still has gaps` | the day is as it was |
//! | `gaps acknowledged` | the day is as it was, and its gaps are acknowledged |
//! | `disposed of` | only the record of the day remains |
//! | `later`, `denied`, `locked`, `violated`, `failed` | the day failed, with the exit code 5, 6, 11, 4 or another |
//! | `unlisted` | RingCX no longer lists the sub-account |
//!
//! The words are part of the interface: events and metrics carry them.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;

use crate::chain::Unanchored;
use crate::day::day_outcome::DayOutcome;
use crate::format::record::{Discovery, HeadRef, Recheck, Warning};
use crate::format::row::Tally;
use crate::outcome::{Exit, Failure};
use crate::render::Event;
use crate::ringcx::Usage;
use crate::telemetry::ended::ChainState;

/// What one command archived, and how it ended.
#[derive(Debug)]
pub(crate) struct CommandOutcome {
    /// The worst exit code of all days and of the anchors.
    pub exit: Exit,
    /// By sub-account and date.
    pub days: Vec<DayReport>,
    /// The head of the roster, where a roster was committed.
    pub roster: Option<HeadRef>,
    /// Heads that the settings want anchored, and that are not.
    pub unanchored: Vec<Unanchored>,
    /// Keys of objects at records' numbers that are no records.
    pub foreign: Vec<String>,
    /// Requests of all accounts' clients together.
    pub usage: Usage,
    /// The sub-accounts of this process, with the state of each chain at the end; `None` where the chain could not be
    /// read, or no metrics are configured.
    pub chains: BTreeMap<String, Option<ChainState>>,
}

/// How one day of one sub-account ended; without a date, why a sub-account or an account could not be worked on.
#[derive(Debug, Clone, Serialize)]
pub struct DayReport {
    /// Id of the sub-account; the name of the account where its sub-accounts could not be listed.
    pub sub_account: String,
    /// The archive day; `None` for a report about the sub-account or account as a whole.
    pub date: Option<Date>,
    /// The outcome in words, for tables and events.
    pub outcome: &'static str,
    /// What the operator has to do next, as an exit code.
    pub exit: Exit,
    /// What is committed of the day; `None` where the day failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<ReportedDay>,
    /// Why the day failed, with all causes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// When work on the day began and ended, in UTC milliseconds.
    #[serde(skip)]
    pub worked_ms: Option<(i64, i64)>,
}

/// What is committed of a day.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReportedDay {
    /// Number of the newest revision.
    pub revision: u32,
    /// Whether every summary was answered.
    pub complete: bool,
    /// Segments and summaries by status, of the day as a whole.
    pub counts: Tally,
    /// Number of objects in the answers of discovery; `None` for a revision that has requested no window.
    pub objects: Option<u64>,
    /// How many of the objects repeat a segment.
    pub duplicates: Option<u64>,
    /// Number of Parquet files of the newest revision.
    pub files: usize,
    /// Length of these files together.
    pub bytes: u64,
    /// The head of the sub-account's chain, which an auditor can be given to compare with.
    pub head: HeadRef,
    /// The warnings that this run reports.
    pub warnings: Vec<Warning>,
    /// For a recheck: the differences from what was committed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recheck: Option<Recheck>,
    /// Whether this run has committed a revision, rather than found the day archived.
    #[serde(skip)]
    pub committed: bool,
}

impl DayReport {
    /// Reports a day that is archived.
    pub fn archived(sub_account: &str, outcome: &DayOutcome) -> DayReport {
        let record = &outcome.record;
        let (objects, duplicates) = match &record.discovery {
            Discovery::Windows {
                objects,
                duplicates,
                ..
            } => (Some(*objects), Some(*duplicates)),
            Discovery::Manifest(_) => (None, None),
        };
        DayReport {
            sub_account: sub_account.to_owned(),
            date: Some(record.date),
            outcome: match (outcome.committed, record.complete) {
                _ if outcome.disposed => "disposed of",
                (0, true) => "confirmed",
                (0, false) if outcome.acknowledged => "gaps acknowledged",
                (0, false) => "still has gaps",
                (_, true) => "complete",
                (_, false) => "has gaps",
            },
            exit: outcome.exit(),
            archived: Some(ReportedDay {
                revision: record.revision,
                complete: record.complete,
                counts: record.day.clone(),
                objects,
                duplicates,
                files: record.files.len(),
                bytes: record.files.iter().map(|file| file.bytes).sum(),
                head: outcome.head.of_chain(sub_account),
                warnings: outcome.warnings().to_vec(),
                recheck: record.recheck.clone(),
                committed: outcome.committed > 0,
            }),
            message: None,
            remedy: None,
            worked_ms: None,
        }
    }

    /// Reports a day that failed; without a date, a sub-account or an account that did.
    pub fn failed(sub_account: &str, date: Option<Date>, failure: &Failure) -> DayReport {
        DayReport {
            sub_account: sub_account.to_owned(),
            date,
            outcome: match failure.exit {
                Exit::Later => "later",
                Exit::Denied => "denied",
                Exit::Locked => "locked",
                Exit::Integrity => "violated",
                _ => "failed",
            },
            exit: failure.exit,
            archived: None,
            message: Some(failure.reason()),
            remedy: failure.remedy.clone(),
            worked_ms: None,
        }
    }

    /// Returns whether other days of the same sub-account would fail in the same way tonight.
    pub(crate) fn ends_sub_account(&self) -> bool {
        self.archived.is_none() && self.exit != Exit::Locked
    }

    /// Returns whether the other days of a range would fail in the same way, or must not be touched. Days that are not
    /// served may differ: the source has deleted some of them.
    pub(crate) fn ends_range(&self) -> bool {
        self.ends_sub_account() && self.exit != Exit::Later
    }

    /// Returns the number of segments archived; 0 for a day that failed.
    pub fn segments(&self) -> u64 {
        self.archived
            .as_ref()
            .map_or(0, |archived| archived.counts.segments)
    }

    /// Returns the warnings that this run reports.
    pub fn warnings(&self) -> impl Iterator<Item = &Warning> {
        self.archived.iter().flat_map(|archived| &archived.warnings)
    }

    /// Returns the warnings that the operator has to look at.
    pub(crate) fn open_warnings(&self) -> impl Iterator<Item = &Warning> {
        self.warnings().filter(|warning| !warning.acknowledged)
    }

    /// Returns the sub-account, and the date where there is one.
    pub fn label(&self) -> String {
        match self.date {
            Some(date) => format!("{} {date}", self.sub_account),
            None => self.sub_account.clone(),
        }
    }

    /// Returns the report as the event `day`.
    pub(crate) fn event(&self) -> Event {
        Event::new("day").merge(self)
    }

    /// Writes the report to the log, with its warnings.
    pub fn log(&self) {
        let (day, outcome) = (self.label(), self.outcome);
        let Some(archived) = &self.archived else {
            let message = self.message.as_deref().unwrap_or_default();
            tracing::error!(day, outcome, remedy = self.remedy, "{message}");
            return;
        };
        tracing::info!(
            day,
            outcome,
            segments = archived.counts.segments,
            failed = archived.counts.failed(),
            head = archived.head.to_string()
        );
        for warning in &archived.warnings {
            tracing::warn!(day, code = warning.name(), "{}", warning.explain());
        }
    }
}
