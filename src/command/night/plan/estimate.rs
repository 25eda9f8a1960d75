//! The figures of a plan. Nothing here reads the store or a clock.
//!
//! A day without a record is estimated from archived days of the same sub-account: the lower median of the same weekday,
//! or of all days where no day of that weekday is archived. A day with a record takes what its record says.
//!
//! The two rate limits of RingCX are used side by side, so the slower of them sets the time. Discovery has a limit for each
//! sub-account, and [`SUB_ACCOUNTS_AT_ONCE`] of them work at a time. Summaries have a limit for each credential, or for
//! each sub-account, by the setting `summary_limit_scope`. The result is a lower bound: answers that come late, retries,
//! and pauses after a 429 come on top.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::{Date, Weekday};
use serde::Serialize;

use crate::command::night::sub_accounts::SUB_ACCOUNTS_AT_ONCE;
use crate::command::night::worklist::DayTask;
use crate::config::{LimitScope, Settings};
use crate::format::record::DayRecord;
use crate::format::record::warning::{lower_median, usual_volume};
use crate::format::row::{RecheckScope, Status, SummaryKind};
use crate::format::time::{LONGEST_WINDOW_MS, Window};
use crate::ringcx::Limits;

const DAY_MS: i64 = 86_400_000;

/// What one day takes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PlannedDay {
    /// The archive day.
    pub date: Date,
    /// What is to be done with it.
    pub what: PlannedWork,
    /// Number of discovery requests.
    pub windows: u64,
    /// Number of segments; `None` where there is nothing to estimate it from.
    pub segments: Option<u64>,
    /// Number of summary requests; `None` where there is nothing to estimate it from.
    pub summaries: Option<u64>,
    /// When the day begins, in UTC milliseconds.
    #[serde(skip)]
    pub start_ms: i64,
}

/// What is to be done with a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PlannedWork {
    /// The day has no revision yet: all its windows and summaries are requested.
    Archive,
    /// The day has gaps: the summaries that failed are requested again.
    FillGaps,
    /// The day is observed again: all its windows, and the summaries in the scope of the recheck.
    Recheck,
}

/// The planned days of one sub-account.
#[derive(Debug, Serialize)]
pub(super) struct SubAccountPlan {
    /// Id of the sub-account.
    pub sub_account: String,
    /// Name of its account in the settings.
    pub account: String,
    /// The days to visit, in the order of the command.
    pub days: Vec<PlannedDay>,
}

/// The plans of all sub-accounts together, under the rate limits.
#[derive(Debug, Serialize)]
pub(super) struct PlanTotal {
    /// Number of days to archive.
    pub archive: usize,
    /// Number of days with gaps to fill.
    pub fill_gaps: usize,
    /// Number of days to observe again.
    pub recheck: usize,
    /// Number of discovery requests of all sub-accounts.
    pub discovery_requests: u64,
    /// How long these take under the discovery limit, with the sub-accounts side by side.
    pub discovery_seconds: u64,
    /// Number of summary requests of all days that have an estimate.
    pub summary_requests: u64,
    /// How long these take under the summary limit.
    pub summary_seconds: u64,
    /// A lower bound: late answers, and pauses after a 429, come on top.
    pub seconds: u64,
    /// The limit that takes longer: `discovery` or `summaries`; `None` where there is nothing to request.
    pub bottleneck: Option<&'static str>,
    /// Number of days without an estimate; the sums leave them out.
    pub unknown_days: usize,
    /// Days that are older than `source_retention`, as `SUB_ACCOUNT DATE`.
    pub beyond_retention: Vec<String>,
    /// Days that become older than that before all is done.
    pub leaving: Vec<String>,
}

impl SubAccountPlan {
    /// Returns the number of discovery requests of all days.
    pub fn windows(&self) -> u64 {
        self.days.iter().map(|day| day.windows).sum()
    }

    /// Returns the number of summary requests of the days that have an estimate.
    pub fn summaries(&self) -> u64 {
        self.days.iter().filter_map(|day| day.summaries).sum()
    }
}

impl PlannedDay {
    /// Plans a day from its newest record, or from the usual volume where there is none.
    pub fn new(
        date: Date,
        window: Window,
        task: &DayTask,
        record: Option<&DayRecord>,
        usual: &UsualVolume,
    ) -> PlannedDay {
        let tiles = window.tiles(LONGEST_WINDOW_MS).len() as u64;
        let (what, windows, volume) = match (record, task) {
            (None, _) => (PlannedWork::Archive, tiles, usual.on(date.weekday())),
            (Some(record), DayTask::Archive { .. }) => {
                let volume = (record.day.segments, record.day.failed());
                (PlannedWork::FillGaps, 0, Some(volume))
            }
            (Some(record), DayTask::Recheck(request)) => {
                let volume = (record.day.segments, in_scope(record, &request.scope));
                (PlannedWork::Recheck, tiles, Some(volume))
            }
        };
        let (segments, summaries) = volume.unzip();
        PlannedDay {
            date,
            what,
            windows,
            segments,
            summaries,
            start_ms: window.start_ms,
        }
    }
}

/// Returns the number of summaries of a day that a recheck requests again.
fn in_scope(record: &DayRecord, scope: &RecheckScope) -> u64 {
    SummaryKind::BOTH
        .into_iter()
        .flat_map(|kind| Status::ALL.map(|status| (kind, status)))
        .filter(|(_, status)| scope.covers(*status))
        .map(|(kind, status)| record.day.statuses(kind).get(status))
        .sum()
}

/// How many segments and summary requests a day of a sub-account usually takes.
pub(super) struct UsualVolume {
    /// The weekday of each archived day, with its segments and summary requests.
    past: Vec<(Weekday, (u64, u64))>,
    /// The operator's own estimate, for a sub-account without an archived day.
    segments_per_day: Option<u64>,
}

impl UsualVolume {
    /// Takes the volumes of archived days; `segments_per_day` is for a sub-account without any.
    pub fn new(past: &[DayRecord], segments_per_day: Option<u64>) -> UsualVolume {
        let past = past.iter().map(|record| {
            let segments = record.day.segments;
            // Skipped summaries, and those of segments without an id, take no request.
            let requests = SummaryKind::BOTH.map(|kind| {
                let statuses = record.day.statuses(kind);
                segments - statuses.get(Status::Skipped) - statuses.get(Status::NoId)
            });
            let volume = (segments, requests.into_iter().sum());
            (record.date.weekday(), volume)
        });
        UsualVolume {
            past: past.collect(),
            segments_per_day,
        }
    }

    /// Returns the median of the same weekday; of all days, where no day of that weekday is archived.
    fn on(&self, weekday: Weekday) -> Option<(u64, u64)> {
        usual_volume(weekday, self.past.iter().copied())
            .or_else(|| lower_median(self.past.iter().map(|(_, volume)| *volume)))
            .or_else(|| Some((self.segments_per_day?, 2 * self.segments_per_day?)))
    }
}

impl PlanTotal {
    /// Sums up the plans, under the limits of the settings.
    pub fn of(plans: &[SubAccountPlan], settings: &Settings, now_ms: i64) -> PlanTotal {
        let days: Vec<&PlannedDay> = plans.iter().flat_map(|plan| &plan.days).collect();
        let discovery = discovery_time(plans, &settings.discovery_limits);
        let summaries = summary_time(plans, settings);
        let longest = discovery.max(summaries);
        let mut total = PlanTotal {
            archive: 0,
            fill_gaps: 0,
            recheck: 0,
            discovery_requests: plans.iter().map(SubAccountPlan::windows).sum(),
            discovery_seconds: discovery.as_secs(),
            summary_requests: plans.iter().map(SubAccountPlan::summaries).sum(),
            summary_seconds: summaries.as_secs(),
            seconds: longest.as_secs(),
            bottleneck: match () {
                () if longest.is_zero() => None,
                () if discovery > summaries => Some("discovery"),
                () => Some("summaries"),
            },
            unknown_days: days.iter().filter(|day| day.summaries.is_none()).count(),
            beyond_retention: Vec::new(),
            leaving: Vec::new(),
        };
        for day in days {
            *match day.what {
                PlannedWork::Archive => &mut total.archive,
                PlannedWork::FillGaps => &mut total.fill_gaps,
                PlannedWork::Recheck => &mut total.recheck,
            } += 1;
        }
        total.add_out_of_reach(plans, settings, now_ms, longest);
        total
    }

    /// Adds the days that the source no longer retains, and those that it no longer retains when all is done.
    fn add_out_of_reach(
        &mut self,
        plans: &[SubAccountPlan],
        settings: &Settings,
        now_ms: i64,
        duration: Duration,
    ) {
        let Some(retention) = settings.source_retention else {
            return;
        };
        let retained_ms = i64::from(retention.0) * DAY_MS;
        let duration_ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        for plan in plans {
            // What a recheck finds gone is archived already.
            let days = plan.days.iter();
            for day in days.filter(|day| day.what != PlannedWork::Recheck) {
                let age_ms = now_ms - day.start_ms;
                let name = format!("{} {}", plan.sub_account, day.date);
                if age_ms > retained_ms {
                    self.beyond_retention.push(name);
                } else if age_ms.saturating_add(duration_ms) > retained_ms {
                    self.leaving.push(name);
                }
            }
        }
    }
}

/// Returns how long discovery takes. Each sub-account has its own limit, but only so many are at work at once.
fn discovery_time(plans: &[SubAccountPlan], limits: &Limits) -> Duration {
    let (mut longest, mut sum) = (Duration::ZERO, Duration::ZERO);
    for plan in plans {
        let time = limits.time_for(plan.windows());
        longest = longest.max(time);
        sum = sum.saturating_add(time);
    }
    longest.max(sum / SUB_ACCOUNTS_AT_ONCE as u32)
}

/// Returns how long the summaries take: the longest time of all credentials, or sub-accounts, that have a limit of their
/// own.
fn summary_time(plans: &[SubAccountPlan], settings: &Settings) -> Duration {
    let mut requests = BTreeMap::<&str, u64>::new();
    for plan in plans {
        let limited = match settings.summary_limit_scope {
            LimitScope::SubAccount => &plan.sub_account,
            LimitScope::Credential => &plan.account,
        };
        *requests.entry(limited).or_default() += plan.summaries();
    }
    requests
        .into_values()
        .map(|requests| settings.summary_limits.time_for(requests))
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_volume_is_the_median_of_the_weekday_or_else_of_all_days() {
        let usual = UsualVolume {
            past: vec![
                (Weekday::Monday, (100, 200)),
                (Weekday::Monday, (300, 600)),
                (Weekday::Monday, (200, 390)),
                (Weekday::Sunday, (2, 4)),
            ],
            segments_per_day: Some(7),
        };
        let none = UsualVolume {
            past: Vec::new(),
            segments_per_day: Some(7),
        };
        let unknown = UsualVolume {
            past: Vec::new(),
            segments_per_day: None,
        };
        for (usual, weekday, volume) in [
            (&usual, Weekday::Monday, Some((200, 390))),
            (&usual, Weekday::Sunday, Some((2, 4))),
            // No Friday is archived: the lower median of all days.
            (&usual, Weekday::Friday, Some((100, 200))),
            (&none, Weekday::Friday, Some((7, 14))),
            (&unknown, Weekday::Friday, None),
        ] {
            assert_eq!(usual.on(weekday), volume, "{weekday:?}");
        }
    }

    fn plan(sub_account: &str, windows: u64) -> SubAccountPlan {
        let day = PlannedDay {
            date: "2026-11-20".parse().unwrap(),
            what: PlannedWork::Archive,
            windows,
            segments: Some(0),
            summaries: Some(0),
            start_ms: 0,
        };
        SubAccountPlan {
            sub_account: sub_account.into(),
            account: "main".into(),
            days: vec![day],
        }
    }

    #[test]
    fn sub_accounts_discover_side_by_side_up_to_a_bound() {
        let limits: Limits = "3/60s,9/15m".parse().unwrap();
        let plans: Vec<_> = (0..80).map(|n| plan(&n.to_string(), 9)).collect();
        for (sub_accounts, seconds) in [(1, 900), (8, 900), (80, 9_000)] {
            let time = discovery_time(&plans[..sub_accounts], &limits);
            assert_eq!(time, Duration::from_secs(seconds), "{sub_accounts}");
        }
    }
}
