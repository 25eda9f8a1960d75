//! `cxvault plan`, and `--dry-run`: which days a command would visit, which requests that takes, and how long the rate
//! limits make it take. It only reads.
//!
//! [`estimate`] computes the figures, without reading anything; [`table`] prints them.

mod estimate;
mod table;

use crate::cli::operate::PlanArgs;
use crate::clock::{Clock, SystemClock};
use crate::command::Context;
use crate::command::night::day_report::DayReport;
use crate::command::night::job::{NightContext, SubAccountJob};
use crate::command::night::plan::estimate::{PlanTotal, PlannedDay, SubAccountPlan, UsualVolume};
use crate::command::night::shard::Shard;
use crate::command::night::sub_accounts::read_sub_accounts;
use crate::command::night::worklist::{NightCommand, WorkItem, Worklist};
use crate::config::Settings;
use crate::outcome::{Exit, Result};

/// Number of manifests whose days give the usual volume: two weeks of each weekday.
const PAST_MANIFESTS: u64 = 14;

/// Plans what `cxvault run` would do now; with a range, what `cxvault backfill` would do.
///
/// # Errors
/// As those commands, without anything that they write.
pub(crate) async fn run(args: &PlanArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let worklist = match args.range.days()? {
        Some(range) => Worklist::Backfill {
            range,
            order: args.order,
        },
        None => Worklist::Nightly(None),
    };
    let command = NightCommand {
        name: "plan",
        worklist,
        shard: Shard::select(args.shard, &context.environment)?,
    };
    show(&command, args.segments_per_day, settings, context).await
}

/// Plans the command, and prints the plan. `segments_per_day` is for sub-accounts without an archived day to estimate
/// from.
///
/// # Errors
/// Where the archive cannot be read. Sub-accounts that cannot be planned are in the exit code.
pub async fn show(
    command: &NightCommand,
    segments_per_day: Option<u64>,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let planned = read_sub_accounts(command, settings, context, async |context, job| {
        plan_sub_account(context, job, &command.worklist, segments_per_day)
            .await
            .map_err(|failure| DayReport::failed(&job.sub_account, None, &failure))
    });
    let (planned, mut failed) = planned.await?;
    let mut plans = Vec::new();
    for planned in planned {
        match planned {
            Ok(plan) => plans.push(plan),
            Err(report) => failed.push(report),
        }
    }
    // They are read side by side, and end in any order.
    plans.sort_by(|a, b| a.sub_account.cmp(&b.sub_account));
    let now_ms = SystemClock.now_ms();
    let total = PlanTotal::of(&plans, settings, now_ms);
    table::emit(&plans, &failed, &total, &context.output);
    let text = table::text(&plans, &failed, &total, settings, now_ms);
    context.output.print(text);
    Ok(Exit::worst(failed.iter().map(|report| report.exit)))
}

/// Plans one sub-account. It reads its chain, and the journals on this host.
///
/// # Errors
/// Where the chain cannot be read, or the range reaches past yesterday.
async fn plan_sub_account(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    worklist: &Worklist,
    segments_per_day: Option<u64>,
) -> Result<SubAccountPlan> {
    let mut plan = SubAccountPlan {
        sub_account: job.sub_account.clone(),
        account: job.client.account.name.clone(),
        days: Vec::new(),
    };
    let items = worklist.items(context, job).await?;
    if items.is_empty() {
        return Ok(plan);
    }
    let mut chain = job.chain(context).await?;
    let past = chain.recent(context.archive, PAST_MANIFESTS).await?;
    let usual = UsualVolume::new(&past, segments_per_day);
    for WorkItem { date, task } in items {
        let window = job.window(date)?;
        let record = chain.record_of(context.archive, date).await?;
        let day = PlannedDay::new(date, window, &task, record.as_ref(), &usual);
        plan.days.push(day);
    }
    Ok(plan)
}
