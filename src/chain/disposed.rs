//! Days that were disposed of after their retention. A reader leaves them out, whether or not their files are still stored,
//! and reports them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::Serialize;

use crate::chain::timeline::{DisposalRecord, Timeline};
use crate::format::record::DayState;
use crate::format::time::{Days, Instant};

/// Consecutive archived days that one record disposed of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OmittedDays {
    pub sub_account: String,
    pub from: Date,
    /// The day after the last one.
    pub to: Date,
    pub days: u64,
    /// Key of the record.
    pub manifest: String,
    pub committed_at: Instant,
    pub reason: String,
    pub by: Option<String>,
}

impl OmittedDays {
    /// Whether `date` is one of the days.
    pub fn contains(&self, date: Date) -> bool {
        self.from <= date && date < self.to
    }

    /// Whether any of the days is in the range `days`.
    pub(crate) fn touches(&self, days: &Days) -> bool {
        days.from.is_none_or(|from| from < self.to) && days.to.is_none_or(|to| self.from < to)
    }
}

impl Timeline {
    /// Returns the archived days of this timeline that were disposed of, in order.
    pub(crate) fn disposed(&self) -> Vec<OmittedDays> {
        let by_date: BTreeMap<Date, &DisposalRecord> = self
            .disposals
            .iter()
            .flat_map(|disposed| {
                disposed
                    .record
                    .days
                    .iter()
                    .map(move |day| (day.date, disposed))
            })
            .filter(|(date, _)| self.coverage.state(*date) == DayState::Disposed)
            .collect();
        let dates: BTreeSet<Date> = self
            .revisions
            .iter()
            .map(|revision| revision.record.date)
            .collect();
        let mut stretches: Vec<OmittedDays> = Vec::new();
        for date in dates {
            let (Some(disposed), Ok(next)) = (by_date.get(&date), date.tomorrow()) else {
                continue;
            };
            match stretches.last_mut() {
                Some(last) if last.to == date && last.manifest == disposed.manifest.key => {
                    last.to = next;
                    last.days += 1;
                }
                _ => stretches.push(self.stretch(date, next, disposed)),
            }
        }
        stretches
    }

    fn stretch(&self, from: Date, to: Date, disposed: &DisposalRecord) -> OmittedDays {
        OmittedDays {
            sub_account: self.sub_account.clone(),
            from,
            to,
            days: 1,
            manifest: disposed.manifest.key.clone(),
            committed_at: disposed.run.finished_at,
            reason: disposed.record.reason.clone(),
            by: disposed.record.by.clone(),
        }
    }

    /// Removes the revisions of these days, and returns the days, which the command must report.
    pub(crate) fn leave_out_disposed(&mut self) -> Vec<OmittedDays> {
        let disposed = self.disposed();
        self.revisions.retain(|revision| {
            !disposed
                .iter()
                .any(|days| days.contains(revision.record.date))
        });
        disposed
    }
}
