//! Which days a command visits, and what for. The commands and their plans share these rules.
//!
//! | command | days | left out |
//! |---|---|---|
//! | `run` | yesterday; missed days and days with gaps within `catch_up`; rechecks due by `recheck_after` | days before the chain's first |
//! | `run --date` | that day, also with acknowledged gaps | all others |
//! | `backfill` | unsealed days of the range, also with acknowledged gaps | days of other shards |
//! | `recheck` | archived days of the range | missing and disposed days |
//!
//! A day with a journal on this host counts as open: an interrupted run has left answers that are not committed
//! yet, or a commit whose warnings were never reported.
//!
//! All rules read the sub-account's chain and the journals on this host, and nothing else: what is due follows from the
//! state of the archive, not from what earlier runs have remembered. A night that was missed is made up for by the next
//! one, whichever host runs it.

use jiff::ToSpan;
use jiff::civil::Date;

use crate::cli::operate::Order;
use crate::command::account_client::Urgency;
use crate::command::night::job::{NightContext, SubAccountJob};
use crate::command::night::shard::Shard;
use crate::day::context::RecheckRequest;
use crate::format::record::{Coverage, DayRecord, DayState, Discovery, Why};
use crate::format::row::RecheckScope;
use crate::format::time::Days;
use crate::outcome::{Failure, Result};

/// One of the commands that archive, with its arguments.
#[derive(Debug, Clone)]
pub struct NightCommand {
    /// The name on the command line, and in the roster's record.
    pub name: &'static str,
    /// Which days the command visits, by its arguments.
    pub(crate) worklist: Worklist,
    /// The part that this process does, where several divide the work.
    pub(crate) shard: Option<Shard>,
}

impl NightCommand {
    /// The nightly run: `date`, or yesterday and what is due before it.
    pub fn nightly(date: Option<Date>) -> NightCommand {
        NightCommand {
            name: "run",
            worklist: Worklist::Nightly(date),
            shard: None,
        }
    }

    /// Whose requests leave first: those of the night, whose days must be archived in the morning.
    pub(crate) fn urgency(&self) -> Urgency {
        match self.worklist {
            Worklist::Nightly(_) => Urgency::First,
            Worklist::Backfill { .. } | Worklist::Recheck { .. } => Urgency::Spare,
        }
    }
}

/// Which days a command visits.
#[derive(Debug, Clone)]
pub(crate) enum Worklist {
    /// One day; without one, yesterday, the missed days before it, and the rechecks that are due.
    Nightly(Option<Date>),
    /// The unsealed days of a range.
    Backfill { range: Days, order: Order },
    /// The archived days of a range.
    Recheck {
        /// The half-open range, as `--from` and `--to` name it.
        range: Days,
        order: Order,
        request: RecheckRequest,
    },
}

/// What is to be done with a day.
#[derive(Debug, Clone)]
pub(crate) enum DayTask {
    /// Archives the day, or fills its gaps.
    Archive {
        why: Why,
        /// Requests summaries again whose absence was acknowledged.
        insist: bool,
    },
    /// Observes a committed day again.
    Recheck(RecheckRequest),
}

/// One day to visit.
#[derive(Debug, Clone)]
pub(crate) struct WorkItem {
    /// The archive day.
    pub date: Date,
    /// What is to be done with it.
    pub task: DayTask,
}

impl DayTask {
    /// A day that the night visits by itself. Acknowledged gaps stay: the night spends no quota on them.
    pub(crate) const NIGHTLY: DayTask = DayTask::Archive {
        why: Why::Nightly,
        insist: false,
    };

    /// The recheck of the night, by the setting `recheck_after`: of the summaries that may have appeared since.
    pub(crate) fn scheduled_recheck() -> DayTask {
        DayTask::Recheck(RecheckRequest {
            scope: RecheckScope::default(),
            accept_vanished: false,
        })
    }

    /// The reason that a first revision states in its record.
    pub fn why(&self) -> Why {
        match self {
            DayTask::Archive { why, .. } => *why,
            DayTask::Recheck(_) => Why::Recheck,
        }
    }

    /// The recheck that is asked for, if it is one.
    pub fn recheck(&self) -> Option<&RecheckRequest> {
        match self {
            DayTask::Archive { .. } => None,
            DayTask::Recheck(request) => Some(request),
        }
    }
}

impl Worklist {
    /// Returns the days that the command visits if every visit succeeds, in its order.
    pub async fn items(
        &self,
        context: &NightContext<'_>,
        job: &SubAccountJob<'_>,
    ) -> Result<Vec<WorkItem>> {
        match self {
            Worklist::Nightly(date) => nightly_items(context, job, *date).await,
            Worklist::Backfill { range, order } => {
                // A day that the operator names is tried even where its gaps are acknowledged.
                let task = DayTask::Archive {
                    why: Why::Backfill,
                    insist: true,
                };
                let days = unsealed_days(context, job, *range).await?;
                Ok(items(ordered(days, *order), &task))
            }
            Worklist::Recheck {
                range,
                order,
                request,
            } => {
                let days = archived_days(context, job, *range).await?;
                let task = DayTask::Recheck(request.clone());
                Ok(items(ordered(days, *order), &task))
            }
        }
    }
}

/// Returns the days as work with the same task.
fn items(days: Vec<Date>, task: &DayTask) -> Vec<WorkItem> {
    days.into_iter()
        .map(|date| WorkItem {
            date,
            task: task.clone(),
        })
        .collect()
}

/// Returns days that are sorted oldest first in the order that was asked for.
fn ordered(mut days: Vec<Date>, order: Order) -> Vec<Date> {
    if order == Order::Newest {
        days.reverse();
    }
    days
}

/// Returns what a night visits if every visit succeeds: the newest day if it is open, missed days, due rechecks.
async fn nightly_items(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    date: Option<Date>,
) -> Result<Vec<WorkItem>> {
    let newest = date.map_or_else(|| context.yesterday(job), Ok)?;
    let is_sealed = job.coverage(context).await?.state(newest).is_sealed();
    let state_dir = &context.archive.state;
    let is_open = !is_sealed || state_dir.has_journal(&job.sub_account, newest);
    let mut nightly = items(
        is_open.then_some(newest).into_iter().collect(),
        &DayTask::NIGHTLY,
    );
    if date.is_none() {
        nightly.extend(missed_days(context, job, newest).await?);
        nightly.extend(due_rechecks(context, job, newest).await?);
    }
    Ok(nightly)
}

/// Returns the days before `yesterday` within the setting `catch_up` that need another visit: missing days after the
/// chain's first, days with gaps, and days that an interrupted run or recheck has left unfinished.
///
/// Newest first, since recent days are needed first. Missing days come before those with gaps: the source deletes what is
/// never requested, while a gap may never close, and must not delay other days.
pub(crate) async fn missed_days(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    yesterday: Date,
) -> Result<Vec<WorkItem>> {
    let coverage = job.coverage(context).await?;
    let Some(first) = coverage.first_day else {
        return Ok(Vec::new());
    };
    let reach = i64::from(context.settings.catch_up.0).days();
    let from = yesterday.checked_sub(reach).unwrap_or(first).max(first);
    let state_dir = &context.archive.state;
    let mut missed: Vec<Date> = yesterday
        .series(-1.day())
        .skip(1)
        .take_while(|date| *date >= from)
        .filter(|date| {
            matches!(coverage.state(*date), DayState::Missing | DayState::Gaps)
                || state_dir.is_unfinished(&job.sub_account, *date)
        })
        .filter(|date| job.has_date(*date))
        .collect();
    missed.sort_by_key(|date| coverage.state(*date) != DayState::Missing);
    Ok(items(missed, &DayTask::NIGHTLY))
}

/// Returns the days that the setting `recheck_after` has observed again, newest first: those that have reached one of its
/// ages since discovery was last requested for them.
pub(crate) async fn due_rechecks(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    yesterday: Date,
) -> Result<Vec<WorkItem>> {
    let settings = context.settings;
    let ages: Vec<i64> = settings
        .recheck_after
        .iter()
        .map(|age| i64::from(age.0))
        .collect();
    let Some(oldest) = ages.iter().max() else {
        return Ok(Vec::new());
    };
    let reach = oldest + i64::from(settings.catch_up.0);
    let from = yesterday.checked_sub(reach.days()).unwrap_or(yesterday);
    // The clock of this host: a recheck that comes an hour early or late is no harm.
    let now_ms = context.archive.clock.now_ms();
    let mut chain = job.chain(context).await?;
    let coverage = chain.coverage();
    let mut due = Vec::new();
    for date in yesterday.series(-1.day()).take_while(|date| *date >= from) {
        // Neither can be compared with anything.
        if !is_readable(&coverage, date) {
            continue;
        }
        let revisions = chain.revisions(context.archive, date).await?;
        let records: Vec<&DayRecord> = revisions.iter().map(|(_, record)| record).collect();
        if is_recheck_due(&records, &ages, now_ms) {
            due.push(date);
        }
    }
    job.chain.keep(&chain).await;
    Ok(items(due, &DayTask::scheduled_recheck()))
}

/// Returns whether a day has reached one of `ages`, in days after its end, since its discovery was last requested.
fn is_recheck_due(revisions: &[&DayRecord], ages: &[i64], now_ms: i64) -> bool {
    let requested_ms = revisions.iter().filter_map(|record| discovered_ms(record));
    let (Some(first), Some(requested_ms)) = (revisions.first(), requested_ms.max()) else {
        return false;
    };
    ages.iter()
        .map(|days| first.window.end_ms + days * 24 * 3_600_000)
        .any(|due_ms| requested_ms < due_ms && due_ms <= now_ms)
}

/// Returns when discovery was requested for a record, in UTC milliseconds; `None` where the record rests on the windows of
/// an earlier one.
fn discovered_ms(record: &DayRecord) -> Option<i64> {
    match &record.discovery {
        Discovery::Windows { windows, .. } => windows
            .iter()
            .map(|window| window.server_date.unwrap_or(window.answered_at).as_millis())
            .max(),
        Discovery::Manifest(_) => None,
    }
}

/// Returns whether a day is archived and its data is still there.
fn is_readable(coverage: &Coverage, date: Date) -> bool {
    !matches!(coverage.state(date), DayState::Missing | DayState::Disposed)
}

/// Returns the days of the range that are not sealed, or that a run has left unfinished, oldest first.
///
/// Days with acknowledged gaps are among them: the operator asks for the range.
async fn unsealed_days(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    range: Days,
) -> Result<Vec<Date>> {
    let (first, last) = ended_days(context, job, range)?;
    let coverage = job.coverage(context).await?;
    let state_dir = &context.archive.state;
    let days = range.within(first, last).filter(|date| {
        let state = coverage.state(*date);
        let is_open = !state.is_sealed()
            || state == DayState::Acknowledged
            || state_dir.has_journal(&job.sub_account, *date);
        job.share.includes(*date) && is_open && job.has_date(*date)
    });
    Ok(days.collect())
}

/// Returns the days of the range that can be observed again, oldest first. Logs how many others it has.
async fn archived_days(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    range: Days,
) -> Result<Vec<Date>> {
    let (first, last) = ended_days(context, job, range)?;
    let coverage = job.coverage(context).await?;
    let sub_account = &job.sub_account;
    let (mut archived, mut missing, mut disposed) = (Vec::new(), 0, 0);
    for date in range.within(first, last) {
        match coverage.state(date) {
            DayState::Missing => missing += 1,
            DayState::Disposed => disposed += 1,
            _ => archived.push(date),
        }
    }
    if missing > 0 {
        tracing::warn!(
            sub_account,
            missing,
            "days of this range are not archived and were not rechecked; archive them with cxvault backfill"
        );
    }
    if disposed > 0 {
        tracing::warn!(
            sub_account,
            disposed,
            "days of this range were disposed of, and are left out"
        );
    }
    Ok(archived)
}

/// Returns the first and the last day of a range.
///
/// # Errors
/// `Exit::Usage` for a range that reaches past yesterday in the sub-account's zone.
fn ended_days(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    range: Days,
) -> Result<(Date, Date)> {
    let yesterday = context.yesterday(job)?;
    let first = range.from.unwrap_or(yesterday);
    context.check_year(first)?;
    let last = range
        .to
        .and_then(|to| to.yesterday().ok())
        .unwrap_or(yesterday);
    if last <= yesterday {
        return Ok((first, last));
    }
    let message = format!(
        "{last} is not over yet in {}: {range} reaches past yesterday, {yesterday}",
        job.zone.name()
    );
    let today = yesterday.tomorrow().unwrap_or(yesterday);
    Err(Failure::usage(message).remedy(format!(
        "--to is the day after the last one: --to {today} at most."
    )))
}
