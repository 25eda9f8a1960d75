//! `cxvault plan`, and `--dry-run`: which days would be archived, what that asks of RingCX, and how long its limits make
//! it take. Reads only.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::{Date, Weekday};
use serde::Serialize;

use crate::chain::days::Chain;
use crate::cli::operate::{Order, PlanArgs};
use crate::clock::{Clock, SystemClock};
use crate::command::Context;
use crate::command::night::shard::Shard;
use crate::command::night::sub_accounts::{
    DayTask, NightContext, SUB_ACCOUNTS_AT_ONCE, SubAccountJob, look_at_sub_accounts,
};
use crate::command::night::summary::DayReport;
use crate::command::night::{backfill, recheck, run};
use crate::config::{LimitScope, Settings};
use crate::format::record::manifest::DayRecord;
use crate::format::row::observation::{Status, SummaryKind};
use crate::format::row::recheck::RecheckScope;
use crate::format::time::day::{LONGEST_WINDOW_MS, Window, rfc3339};
use crate::format::time::range::Days;
use crate::outcome::{Exit, Result};
use crate::render::{Table, duration, grouped};
use crate::ringcx::Limits;

/// Manifests that tell the usual volume: two weeks of each weekday.
const PAST: u64 = 14;
/// More rows tell a person less than the sums.
const MOST_ROWS: usize = 20;

/// Whose work is planned.
pub enum PlannedCommand {
    Night(Option<Date>),
    Backfill(Days, Order),
    Recheck(Days, Order, DayTask),
}

/// What one day takes; `None` where nobody can know yet.
#[derive(Debug, Clone, Serialize)]
struct PlannedDay {
    date: Date,
    what: What,
    /// Discovery requests.
    windows: u64,
    segments: Option<u64>,
    /// Summary requests.
    summaries: Option<u64>,
    #[serde(skip)]
    start_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Archive,
    FillGaps,
    Recheck,
}

#[derive(Debug, Serialize)]
struct SubAccountPlan {
    sub_account: String,
    account: String,
    days: Vec<PlannedDay>,
}

/// What the limits make of all plans together.
#[derive(Debug, Serialize)]
struct Total {
    archive: usize,
    fill_gaps: usize,
    recheck: usize,
    discovery_requests: u64,
    discovery_seconds: u64,
    summary_requests: u64,
    summary_seconds: u64,
    /// At least: what RingCX answers late, or with 429, comes on top.
    seconds: u64,
    /// `None` when there is nothing to ask.
    bottleneck: Option<&'static str>,
    /// Days whose volume nobody can estimate; they are not in the sums.
    unknown_days: usize,
    /// Days that RingCX keeps no longer, by `source_retention`.
    beyond_retention: Vec<String>,
    /// Days that will have left it when all is done.
    leaving: Vec<String>,
}

pub async fn run(args: &PlanArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let wanted = match args.days()? {
        Some(range) => PlannedCommand::Backfill(range, args.order),
        None => PlannedCommand::Night(None),
    };
    let shard = backfill::shard(args.shard, context)?;
    show(&wanted, shard, args.segments_per_day, settings, context).await
}

/// Plans, and prints it.
pub async fn show(
    wanted: &PlannedCommand,
    shard: Option<Shard>,
    guess: Option<u64>,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let work = async |worker: &NightContext<'_>, target: &SubAccountJob<'_>| {
        let days = plan(worker, target, wanted, guess).await;
        let (sub_account, account) = (
            target.sub_account.clone(),
            target.account.account.name.clone(),
        );
        days.map(|days| SubAccountPlan {
            sub_account,
            account,
            days,
        })
        .map_err(|failure| DayReport::failed(&target.sub_account, None, &failure))
    };
    let (planned, mut failed) = look_at_sub_accounts(settings, context, shard, work).await?;
    let mut plans = Vec::new();
    for planned in planned {
        match planned {
            Ok(plan) => plans.push(plan),
            Err(report) => failed.push(report),
        }
    }
    plans.sort_by(|a, b| a.sub_account.cmp(&b.sub_account));
    let now_ms = SystemClock.now_ms();
    let total = Total::of(&plans, settings, now_ms);
    print(&plans, &failed, &total, settings, now_ms, context);
    Ok(Exit::worst(failed.iter().map(|report| report.exit)))
}

async fn plan(
    worker: &NightContext<'_>,
    target: &SubAccountJob<'_>,
    wanted: &PlannedCommand,
    guess: Option<u64>,
) -> Result<Vec<PlannedDay>> {
    let days = match wanted {
        PlannedCommand::Night(date) => run::wanted(worker, target, *date).await?,
        PlannedCommand::Backfill(range, order) => {
            let open = backfill::open_days(worker, target, *range, *order).await?;
            open.into_iter().map(|date| (date, run::NIGHTLY)).collect()
        }
        PlannedCommand::Recheck(range, order, task) => {
            let archived = recheck::archived_days(worker, target, *range, *order).await?;
            archived
                .into_iter()
                .map(|date| (date, task.clone()))
                .collect()
        }
    };
    if days.is_empty() {
        return Ok(Vec::new());
    }
    let mut chain = Chain::open(worker.archive, &target.sub_account).await?;
    let usual = UsualVolume::of(&chain.recent(worker.archive, PAST).await?, guess);
    let mut planned = Vec::new();
    for (date, task) in days {
        let window = target
            .zone
            .day(date)
            .map_err(crate::command::night::sub_accounts::usage)?;
        let record = chain.record_of(worker.archive, date).await?;
        planned.push(planned_day(date, window, &task, record.as_ref(), &usual));
    }
    Ok(planned)
}

fn planned_day(
    date: Date,
    window: Window,
    task: &DayTask,
    record: Option<&DayRecord>,
    usual: &UsualVolume,
) -> PlannedDay {
    let tiles = window.tiles(LONGEST_WINDOW_MS).len() as u64;
    let (what, windows, segments, summaries) = match (record, task) {
        (None, _) => {
            let (segments, summaries) = usual.on(date.weekday()).unzip();
            (What::Archive, tiles, segments, summaries)
        }
        (Some(record), DayTask::Archive { .. }) => (
            What::FillGaps,
            0,
            Some(record.day.segments),
            Some(record.day.failed()),
        ),
        (Some(record), DayTask::Recheck(again)) => {
            let asked = in_scope(record, &again.scope);
            (What::Recheck, tiles, Some(record.day.segments), Some(asked))
        }
    };
    PlannedDay {
        date,
        what,
        windows,
        segments,
        summaries,
        start_ms: window.start_ms,
    }
}

/// Summaries of a day that a recheck asks for again.
fn in_scope(record: &DayRecord, scope: &RecheckScope) -> u64 {
    let covered = |kind: SummaryKind| {
        let statuses = record.day.statuses(kind);
        Status::ALL
            .into_iter()
            .filter(|status| scope.covers(*status))
            .map(|status| statuses.get(status))
            .sum::<u64>()
    };
    SummaryKind::BOTH.into_iter().map(covered).sum()
}

/// How many segments and summary requests a day of a sub-account usually takes.
struct UsualVolume {
    days: Vec<(Weekday, u64, u64)>,
    guess: Option<u64>,
}

impl UsualVolume {
    fn of(past: &[DayRecord], guess: Option<u64>) -> UsualVolume {
        let day = |record: &DayRecord| {
            let asked = SummaryKind::BOTH.map(|kind| {
                let statuses = record.day.statuses(kind);
                record.day.segments - statuses.get(Status::Skipped) - statuses.get(Status::NoId)
            });
            (
                record.date.weekday(),
                record.day.segments,
                asked.into_iter().sum(),
            )
        };
        UsualVolume {
            days: past.iter().map(day).collect(),
            guess,
        }
    }

    /// The median of the same weekday; of all days, where there is none of it.
    fn on(&self, weekday: Weekday) -> Option<(u64, u64)> {
        let of = |days: Vec<(u64, u64)>| median(days);
        let same = self.days.iter().filter(|(day, ..)| *day == weekday);
        let all = self.days.iter();
        let volume = |(_, segments, asked): &(Weekday, u64, u64)| (*segments, *asked);
        of(same.map(volume).collect())
            .or_else(|| of(all.map(volume).collect()))
            .or(self.guess.map(|segments| (segments, 2 * segments)))
    }
}

fn median(mut days: Vec<(u64, u64)>) -> Option<(u64, u64)> {
    days.sort_unstable();
    days.get(days.len() / 2).copied()
}

impl Total {
    fn of(plans: &[SubAccountPlan], settings: &Settings, now_ms: i64) -> Total {
        let days = || plans.iter().flat_map(|plan| &plan.days);
        let are = |what: What| days().filter(|day| day.what == what).count();
        let discovery_requests = days().map(|day| day.windows).sum();
        let summary_requests = days().filter_map(|day| day.summaries).sum();
        let discovery = discovery_time(plans, &settings.discovery_limits);
        let summaries = summary_time(plans, settings);
        let bottleneck = match () {
            () if discovery.is_zero() && summaries.is_zero() => None,
            () if discovery > summaries => Some("discovery"),
            () => Some("summaries"),
        };
        let longest = discovery.max(summaries);
        let (beyond_retention, leaving) = out_of_reach(plans, settings, now_ms, longest);
        Total {
            archive: are(What::Archive),
            fill_gaps: are(What::FillGaps),
            recheck: are(What::Recheck),
            discovery_requests,
            discovery_seconds: discovery.as_secs(),
            summary_requests,
            summary_seconds: summaries.as_secs(),
            seconds: longest.as_secs(),
            bottleneck,
            unknown_days: days().filter(|day| day.summaries.is_none()).count(),
            beyond_retention,
            leaving,
        }
    }
}

/// Each sub-account has discovery's limit to itself, but only so many are at work at once.
fn discovery_time(plans: &[SubAccountPlan], limits: &Limits) -> Duration {
    let times = plans
        .iter()
        .map(|plan| limits.time_for(plan.days.iter().map(|day| day.windows).sum()));
    let (longest, sum) = times.fold((Duration::ZERO, Duration::ZERO), |(longest, sum), time| {
        (longest.max(time), sum.saturating_add(time))
    });
    longest.max(sum / SUB_ACCOUNTS_AT_ONCE as u32)
}

fn summary_time(plans: &[SubAccountPlan], settings: &Settings) -> Duration {
    let mut lanes = BTreeMap::<&str, u64>::new();
    for plan in plans {
        let lane = match settings.summary_limit_scope {
            LimitScope::SubAccount => &plan.sub_account,
            LimitScope::Credential => &plan.account,
        };
        *lanes.entry(lane).or_default() += plan
            .days
            .iter()
            .filter_map(|day| day.summaries)
            .sum::<u64>();
    }
    lanes
        .into_values()
        .map(|requests| settings.summary_limits.time_for(requests))
        .max()
        .unwrap_or_default()
}

/// Days that the source keeps no longer, and days that it will keep no longer when all is done.
fn out_of_reach(
    plans: &[SubAccountPlan],
    settings: &Settings,
    now_ms: i64,
    takes: Duration,
) -> (Vec<String>, Vec<String>) {
    let Some(retention) = settings.source_retention else {
        return Default::default();
    };
    let kept_ms = i64::from(retention.0) * 86_400_000;
    let takes_ms = i64::try_from(takes.as_millis()).unwrap_or(i64::MAX);
    let (mut gone, mut leaving) = (Vec::new(), Vec::new());
    for plan in plans {
        for day in plan.days.iter().filter(|day| day.what != What::Recheck) {
            let name = || format!("{} {}", plan.sub_account, day.date);
            match now_ms - day.start_ms {
                age if age > kept_ms => gone.push(name()),
                age if age.saturating_add(takes_ms) > kept_ms => leaving.push(name()),
                _ => {}
            }
        }
    }
    (gone, leaving)
}

fn print(
    plans: &[SubAccountPlan],
    failed: &[DayReport],
    total: &Total,
    settings: &Settings,
    now_ms: i64,
    context: &Context,
) {
    #[derive(Serialize)]
    struct PlannedDayEvent<'a, T> {
        event: &'static str,
        #[serde(flatten)]
        of: &'a T,
    }
    let output = &context.output;
    plans.iter().for_each(|plan| {
        output.event(&PlannedDayEvent {
            event: "plan",
            of: plan,
        })
    });
    failed
        .iter()
        .for_each(|report| output.event(&report.event()));
    output.event(&PlannedDayEvent {
        event: "plan-total",
        of: total,
    });
    let mut lines = vec![headline(plans, total)];
    let busy: Vec<&SubAccountPlan> = plans.iter().filter(|plan| !plan.days.is_empty()).collect();
    if !busy.is_empty() {
        lines.push(table(&busy, settings));
        lines.extend(limits_told(total, settings, now_ms));
    }
    lines.extend(crate::command::night::summary::troubles(failed));
    output.print(lines.join("\n"));
}

fn headline(plans: &[SubAccountPlan], total: &Total) -> String {
    if total.archive + total.fill_gaps + total.recheck == 0 {
        return format!(
            "Nothing to do: no day of {} sub-accounts is open.",
            plans.len()
        );
    }
    format!(
        "{} days to archive, {} with gaps to fill, {} to look at again, in {} sub-accounts. Nothing has been changed.\n",
        grouped(total.archive as u64),
        grouped(total.fill_gaps as u64),
        grouped(total.recheck as u64),
        plans.len()
    )
}

fn table(busy: &[&SubAccountPlan], settings: &Settings) -> String {
    let mut table = Table::new([
        "sub-account",
        "days",
        "first",
        "last",
        "discovery",
        "segments",
        "summaries",
        "at least",
    ]);
    for plan in busy.iter().take(MOST_ROWS) {
        let dates = || plan.days.iter().map(|day| day.date);
        let text = |date: Option<Date>| date.map(|date| date.to_string()).unwrap_or_default();
        let sum = |of: fn(&PlannedDay) -> Option<u64>| match plan.days.iter().filter_map(of).sum() {
            0 if plan.days.iter().any(|day| of(day).is_none()) => "?".to_owned(),
            sum => grouped(sum),
        };
        let windows: u64 = plan.days.iter().map(|day| day.windows).sum();
        let summaries = plan.days.iter().filter_map(|day| day.summaries).sum();
        let time = settings
            .discovery_limits
            .time_for(windows)
            .max(settings.summary_limits.time_for(summaries));
        table.row([
            plan.sub_account.clone(),
            grouped(plan.days.len() as u64),
            text(dates().min()),
            text(dates().max()),
            grouped(windows),
            sum(|day| day.segments),
            sum(|day| day.summaries),
            duration(time),
        ]);
    }
    let more = busy.len().saturating_sub(MOST_ROWS);
    let rest = if more > 0 {
        format!("\n… and {more} more sub-accounts; --json has all")
    } else {
        String::new()
    };
    format!("{table}{rest}\n")
}

fn limits_told(total: &Total, settings: &Settings, now_ms: i64) -> Vec<String> {
    let seconds = |seconds: u64| duration(Duration::from_secs(seconds));
    let mark = |limit: &str| {
        if total.bottleneck == Some(limit) {
            "   <- the bottleneck"
        } else {
            ""
        }
    };
    let scope = match settings.summary_limit_scope {
        LimitScope::SubAccount => "sub-account",
        LimitScope::Credential => "credential",
    };
    let until_ms = now_ms.saturating_add(
        i64::try_from(total.seconds)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000),
    );
    let mut lines = vec![
        format!(
            "discovery  {} requests at {} for each sub-account: {}{}",
            grouped(total.discovery_requests),
            settings.discovery_limits,
            seconds(total.discovery_seconds),
            mark("discovery")
        ),
        format!(
            "summaries  {} requests at {} for each {scope}: {}{}",
            grouped(total.summary_requests),
            settings.summary_limits,
            seconds(total.summary_seconds),
            mark("summaries")
        ),
        format!(
            "together   at least {}, since both go on at once: not before {}",
            seconds(total.seconds),
            rfc3339(until_ms)
        ),
    ];
    lines.push(match total.unknown_days {
        0 => "Volumes of days that are not archived yet are medians of the last archived ones.".to_owned(),
        unknown => format!(
            "{unknown} days are of sub-accounts without an archived day to estimate from, and not counted: say \
             --segments-per-day."
        ),
    });
    let named = |days: &[String], what: &str| {
        let some: Vec<&str> = days.iter().take(5).map(String::as_str).collect();
        let more = if days.len() > some.len() { ", …" } else { "" };
        (!days.is_empty()).then(|| format!("{} days {what}: {}{more}", days.len(), some.join(", ")))
    };
    lines.extend(named(
        &total.beyond_retention,
        "are older than source_retention; they cannot become complete",
    ));
    lines.extend(named(
        &total.leaving,
        "leave RingCX's retention before all is done (the oldest first: --order oldest)",
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_volume_is_the_weekdays_median_or_everybodys() {
        let usual = UsualVolume {
            days: vec![
                (Weekday::Monday, 100, 200),
                (Weekday::Monday, 300, 600),
                (Weekday::Monday, 200, 390),
                (Weekday::Sunday, 2, 4),
            ],
            guess: Some(7),
        };
        assert_eq!(usual.on(Weekday::Monday), Some((200, 390)));
        assert_eq!(usual.on(Weekday::Sunday), Some((2, 4)));
        assert_eq!(
            usual.on(Weekday::Friday),
            Some((200, 390)),
            "of all, the upper median"
        );
        let none = UsualVolume {
            days: Vec::new(),
            guess: Some(7),
        };
        assert_eq!(none.on(Weekday::Friday), Some((7, 14)));
        assert_eq!(
            UsualVolume {
                guess: None,
                ..none
            }
            .on(Weekday::Friday),
            None
        );
    }

    fn planned(sub_account: &str, windows: u64, summaries: u64) -> SubAccountPlan {
        let day = PlannedDay {
            date: "2026-11-20".parse().unwrap(),
            what: What::Archive,
            windows,
            segments: Some(summaries / 2),
            summaries: Some(summaries),
            start_ms: 0,
        };
        SubAccountPlan {
            sub_account: sub_account.into(),
            account: "main".into(),
            days: vec![day],
        }
    }

    #[test]
    fn discovery_of_many_sub_accounts_goes_on_side_by_side() {
        let limits: Limits = "3/60s,9/15m".parse().unwrap();
        let plans: Vec<_> = (0..80).map(|n| planned(&n.to_string(), 9, 0)).collect();
        assert_eq!(
            discovery_time(&plans[..1], &limits),
            Duration::from_secs(900)
        );
        assert_eq!(
            discovery_time(&plans[..8], &limits),
            Duration::from_secs(900)
        );
        assert_eq!(discovery_time(&plans, &limits), Duration::from_secs(9_000));
    }
}
