//! The days of one sub-account, each reduced to what a calendar shows: its state and its counts.
//!
//! `ls`, `status` and `report` show calendars. A calendar is much smaller than the manifests that it is made from, which
//! have every discovery window and every file.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;

use crate::chain::{Archive, CommittedRevision, Timeline};
use crate::format::record::{DayState, File, LockMode, ObjectLock, Warning};
use crate::format::row::{GroupShare, Groups, Tally};
use crate::format::time::{Days, Instant, Zone};
use crate::outcome::Result;

/// One day of a calendar, archived or missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CalendarDay {
    /// The date in the sub-account's time zone.
    pub date: Date,
    /// The state, by the chain's head.
    pub state: DayState,
    /// Number of revisions; 0 for a missing day.
    pub revisions: u32,
    /// Counts over the current row of each segment.
    pub counts: Tally,
    /// Number of files of all revisions; 0 for a day that was disposed of.
    pub files: u64,
    /// Size of these files in bytes.
    pub bytes: u64,
    /// Warnings of the newest revision that are not acknowledged; none for a day that was disposed of.
    pub warnings: Vec<Warning>,
}

/// The days of one sub-account within a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// The sub-account's id.
    pub sub_account: String,
    /// Name of its time zone in the IANA database; empty if no day is archived.
    pub zone: String,
    /// The newest record of the chain, as `SUB_ACCOUNT:SEQUENCE:SHA256`.
    pub head: String,
    /// When the newest record was committed, by the writer's clock.
    pub committed_at: Instant,
    /// The chain's first and last archived day, whatever the range.
    pub archived: Option<(Date, Date)>,
    /// Every date of the range, missing ones too.
    pub days: Vec<CalendarDay>,
    /// Counts over the range's days, by agent group.
    pub groups: Groups,
    /// Object Lock of the range's revisions; `None` if none is locked.
    pub locks: Option<LockSummary>,
}

/// S3 Object Lock of several revisions, as their manifests state it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockSummary {
    /// Whether any is locked in mode COMPLIANCE.
    pub compliance: bool,
    /// Whether any is locked in mode GOVERNANCE.
    pub governance: bool,
    /// The earliest end of a lock, in UTC milliseconds.
    pub earliest_end: i64,
    /// The latest end of a lock, in UTC milliseconds.
    pub latest_end: i64,
    /// Number of revisions without a lock.
    pub unlocked: u64,
}

impl Calendar {
    /// Reads a chain and returns its calendar.
    ///
    /// # Errors
    /// As [`Timeline::read`].
    pub async fn read(source: &Archive, sub_account: &str, range: &Days) -> Result<Calendar> {
        Ok(Calendar::of(
            &Timeline::read(source, sub_account, range).await?,
            range,
        ))
    }

    /// Reduces a timeline. Without bounds the range is from the first to the last archived day; a bound is kept even where
    /// nothing is archived, so that days before and after the archived ones are missing.
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
            let first = range.from.unwrap_or(first);
            let last = range.to.and_then(|to| to.yesterday().ok()).unwrap_or(last);
            for date in range.within(first, last) {
                let state = coverage.state(date);
                let skipped = zone.as_ref().is_some_and(|zone| zone.day(date).is_err());
                // The time zone skipped this date, so nothing can be archived.
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
        let locks = timeline
            .revisions
            .iter()
            .filter(|revision| coverage.state(revision.record.date) != DayState::Disposed)
            .map(|revision| revision.record.object_lock.as_ref());
        Calendar {
            sub_account: timeline.sub_account.clone(),
            zone: timeline.zone.clone().unwrap_or_default(),
            head: timeline.head_ref().to_string(),
            committed_at: timeline.committed_at,
            archived,
            days,
            groups,
            locks: LockSummary::of(locks),
        }
    }

    /// Returns the counts over all days of the range.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.days.iter().for_each(|day| total.merge(&day.counts));
        total
    }

    /// Returns the number of days in a state.
    pub fn count(&self, state: DayState) -> u64 {
        self.days.iter().filter(|day| day.state == state).count() as u64
    }

    /// Returns the agent groups that had segments but no AI summary, with their counts.
    pub(crate) fn groups_without_ai(&self) -> impl Iterator<Item = (&str, &GroupShare)> {
        self.groups
            .iter()
            .filter(|(_, share)| share.segments > 0 && share.auto_present == 0)
            .map(|(group, share)| (group.as_str(), share))
    }
}

/// Reduces the revisions of one day, and adds its agent groups to `groups`.
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
    let retained = match state {
        DayState::Disposed => &[],
        _ => revisions,
    };
    let files: Vec<&File> = retained
        .iter()
        .flat_map(|revision| &revision.record.files)
        .collect();
    CalendarDay {
        date,
        state,
        revisions: newest.map_or(0, |record| record.revision),
        counts: newest.map(|record| record.day.clone()).unwrap_or_default(),
        files: files.len() as u64,
        bytes: files.iter().map(|file| file.bytes).sum(),
        warnings: retained
            .last()
            .into_iter()
            .flat_map(|revision| &revision.record.warnings)
            .filter(|warning| !warning.acknowledged)
            .cloned()
            .collect(),
    }
}

impl LockSummary {
    /// Summarises the locks of revisions, where `None` stands for a revision without one.
    fn of<'a>(revisions: impl Iterator<Item = Option<&'a ObjectLock>>) -> Option<LockSummary> {
        let mut locks: Option<LockSummary> = None;
        let mut unlocked = 0;
        for lock in revisions {
            let Some(lock) = lock else {
                unlocked += 1;
                continue;
            };
            let end = lock.retain_until.as_millis();
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
