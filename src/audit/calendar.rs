//! The days of one sub-account, each reduced to what a calendar shows.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;

use crate::chain::archive::Archive;
use crate::chain::timeline::{CommittedRevision, Timeline};
use crate::format::record::coverage::DayState;
use crate::format::record::lock::LockMode;
use crate::format::record::manifest::ObjectLock;
use crate::format::record::warning::Warning;
use crate::format::row::tally::{GroupShare, Groups, Tally};
use crate::format::time::day::Zone;
use crate::format::time::range::Days;
use crate::outcome::Result;

/// One archive day, or one that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CalendarDay {
    pub date: Date,
    pub state: DayState,
    pub revisions: u32,
    /// Over the current row of each segment.
    pub counts: Tally,
    /// None of a day that was disposed of.
    pub files: u64,
    pub bytes: u64,
    /// Of the newest revision, those that nobody has acknowledged; none of a day that was disposed of.
    pub warnings: Vec<Warning>,
}

/// One sub-account's days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    pub sub_account: String,
    pub zone: String,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256`.
    pub head: String,
    pub committed_at: i64,
    /// The chain's first and last archived day, whatever the range.
    pub archived: Option<(Date, Date)>,
    /// Every date of the range, missing ones too.
    pub days: Vec<CalendarDay>,
    /// Over the range's days, by agent group.
    pub groups: Groups,
    /// The modes in force, and the earliest and the latest end of the locks.
    pub locks: Option<LockSummary>,
}

/// What the manifests say of Object Lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockSummary {
    pub compliance: bool,
    pub governance: bool,
    pub earliest_end: i64,
    pub latest_end: i64,
    /// Revisions without a lock.
    pub unlocked: u64,
}

impl Calendar {
    /// # Errors
    /// As [`Timeline::read`].
    pub async fn read(source: &Archive, sub_account: &str, range: &Days) -> Result<Calendar> {
        Ok(Calendar::of(
            &Timeline::read(source, sub_account, range).await?,
            range,
        ))
    }

    pub fn of(timeline: &Timeline, range: &Days) -> Calendar {
        let coverage = &timeline.coverage;
        let archived = coverage.first_day.zip(coverage.last_day());
        let by_date: BTreeMap<Date, &[CommittedRevision]> = timeline
            .by_day()
            .filter_map(|revisions| Some((revisions.first()?.record.date, revisions)))
            .collect();
        let zone = timeline
            .zone
            .as_deref()
            .and_then(|zone| Zone::named(zone).ok());
        let mut days = Vec::new();
        let mut groups = Groups::new();
        if let Some((first, last)) = archived {
            // A date that was asked for is a day, whatever the chain says; without bounds the chain's own days are.
            let first = range.from.unwrap_or(first);
            let last = range.to.and_then(|to| to.yesterday().ok()).unwrap_or(last);
            for date in range.within(first, last) {
                let state = coverage.state(date);
                let skipped = zone.as_ref().is_some_and(|zone| zone.day(date).is_err());
                if state == DayState::Missing && skipped {
                    continue;
                }
                days.push(day(
                    date,
                    state,
                    by_date.get(&date).copied().unwrap_or_default(),
                    &mut groups,
                ));
            }
        }
        let kept = timeline.revisions.iter();
        let kept =
            kept.filter(|revision| coverage.state(revision.record.date) != DayState::Disposed);
        Calendar {
            sub_account: timeline.sub_account.clone(),
            zone: timeline.zone.clone().unwrap_or_default(),
            head: timeline.head_ref().to_string(),
            committed_at: timeline.committed_at,
            archived,
            days,
            groups,
            locks: LockSummary::of(kept.map(|revision| revision.record.object_lock.as_ref())),
        }
    }

    /// Over the days of the range.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.days.iter().for_each(|day| total.merge(&day.counts));
        total
    }

    pub fn count(&self, state: DayState) -> u64 {
        self.days.iter().filter(|day| day.state == state).count() as u64
    }

    /// Agent groups that had segments, and not one AI summary.
    pub fn groups_without_ai(&self) -> impl Iterator<Item = (&str, &GroupShare)> {
        let never = self
            .groups
            .iter()
            .filter(|(_, share)| share.segments > 0 && share.auto_present == 0);
        never.map(|(group, share)| (group.as_str(), share))
    }
}

fn day(
    date: Date,
    state: DayState,
    revisions: &[CommittedRevision],
    groups: &mut Groups,
) -> CalendarDay {
    let newest = revisions.last().map(|revision| &revision.record);
    for (group, share) in newest.iter().flat_map(|record| &record.agent_groups) {
        let sum = groups.entry(group.clone()).or_default();
        sum.segments += share.segments;
        sum.agent_present += share.agent_present;
        sum.auto_present += share.auto_present;
    }
    let there: &[CommittedRevision] = if state == DayState::Disposed {
        &[]
    } else {
        revisions
    };
    let files = || there.iter().flat_map(|revision| &revision.record.files);
    let warnings = there
        .last()
        .into_iter()
        .flat_map(|revision| &revision.record.warnings);
    let warnings = warnings.filter(|warning| !warning.acknowledged);
    CalendarDay {
        date,
        state,
        revisions: newest.map_or(0, |record| record.revision),
        counts: newest.map(|record| record.day.clone()).unwrap_or_default(),
        files: files().count() as u64,
        bytes: files().map(|file| file.bytes).sum(),
        warnings: warnings.cloned().collect(),
    }
}

impl LockSummary {
    fn of<'a>(revisions: impl Iterator<Item = Option<&'a ObjectLock>>) -> Option<LockSummary> {
        let mut locks: Option<LockSummary> = None;
        let mut unlocked = 0;
        for lock in revisions {
            let Some(lock) = lock else {
                unlocked += 1;
                continue;
            };
            let end = lock.retain_until;
            let known = locks.get_or_insert(LockSummary {
                compliance: false,
                governance: false,
                earliest_end: end,
                latest_end: end,
                unlocked: 0,
            });
            known.compliance |= lock.mode == LockMode::Compliance;
            known.governance |= lock.mode == LockMode::Governance;
            known.earliest_end = known.earliest_end.min(end);
            known.latest_end = known.latest_end.max(end);
        }
        locks.map(|locks| LockSummary { unlocked, ..locks })
    }
}
