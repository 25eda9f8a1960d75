//! One day of one sub-account: the job for [`crate::day`], its progress display, and the report of its end.
//!
//! From here on a failure belongs to the day: it is reported, and whether it ends the sub-account is for
//! [`days`](crate::command::night::days) to decide.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::civil::Date;

use crate::command::account_client::AccountClient;
use crate::command::night::day_report::DayReport;
use crate::command::night::job::{NightContext, SubAccountJob};
use crate::command::night::worklist::DayTask;
use crate::day::context::{ApiSource, DayJob};
use crate::day::day_outcome::DayOutcome;
use crate::day::filters::Filters;
use crate::day::pipeline::PipelineSlot;
use crate::day::progress::DayMeter;
use crate::day::run::run_day;
use crate::outcome::{Failure, Result};
use crate::ringcx::{LimiterUsage, Limits, RingCx, Usage};

/// How often the progress display is updated.
const DISPLAY_INTERVAL: Duration = Duration::from_millis(250);

/// Archives one day, and reports it at once: as an event, and in the log where no table is printed at the end.
pub async fn archive_day(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    date: Date,
    task: &DayTask,
    slot: PipelineSlot<'_>,
) -> DayReport {
    let began_ms = context.archive.clock.now_ms();
    let mut report = match run_with_progress(context, job, date, task, slot).await {
        Ok(outcome) => DayReport::archived(&job.sub_account, &outcome),
        Err(failure) => DayReport::failed(&job.sub_account, Some(date), &failure),
    };
    report.worked_ms = Some((began_ms, context.archive.clock.now_ms()));
    context.output.event(report.event());
    // Otherwise the table at the end says the same.
    if context.output.quiet || context.output.json {
        report.log();
    }
    report
}

/// Runs the day beside its progress display.
///
/// # Errors
/// Those of [`run_day`]; `Exit::Usage` for a date that the zone does not have.
async fn run_with_progress(
    context: &NightContext<'_>,
    job: &SubAccountJob<'_>,
    date: Date,
    task: &DayTask,
    slot: PipelineSlot<'_>,
) -> Result<DayOutcome> {
    // The filters are those of the account; its sub-accounts share them.
    let account = job.client.account;
    let day_job = DayJob {
        sub_account: job.sub_account.clone(),
        date,
        window: job.window(date)?,
        zone: job.zone.clone(),
        filters: Filters {
            channel_classes: account.channel_classes.clone(),
            segment_types: account.segment_types.clone(),
        },
        why: task.why(),
        recheck: task.recheck().cloned(),
        insist: matches!(task, DayTask::Archive { insist: true, .. }),
    };
    let meter = DayMeter::default();
    let source = ObservedClient {
        account: job.client,
        client: OnceLock::new(),
    };
    // The display never ends by itself; it is dropped when the day has ended.
    tokio::select! {
        outcome = run_day(context.archive, &job.chain, &day_job, &source, &meter, slot) => outcome,
        () = display(context, &day_job, &meter, &source) => {
            Err(Failure::unexpected("the progress display ended the run"))
        }
    }
}

/// Displays the meter until the day ends; never returns.
async fn display(
    context: &NightContext<'_>,
    job: &DayJob,
    meter: &DayMeter,
    source: &ObservedClient<'_>,
) {
    let clock = &context.archive.clock;
    let label = format!("{} {}", job.sub_account, job.date);
    let bar = context.progress.day(label);
    let began_ms = clock.now_ms();
    loop {
        clock.sleep(DISPLAY_INTERVAL).await;
        let reading = meter.read();
        // Nothing to show yet: a day that is only confirmed ends without a bar.
        if reading.windows == 0 && reading.segments == 0 {
            continue;
        }
        bar.set_discovery(reading.windows_done, reading.windows);
        bar.set_summaries(reading.summaries, 2 * reading.segments);
        if let Some(client) = source.client.get() {
            let elapsed_ms = clock.now_ms() - began_ms;
            let limits = &context.settings.summary_limits;
            bar.set_note(usage_note(
                &client.usage(),
                limits,
                elapsed_ms,
                reading.failed,
            ));
        }
    }
}

/// Gives the progress display access to the client, once there is one.
struct ObservedClient<'a> {
    /// The account's client, shared with all other days of the account.
    account: &'a AccountClient<'a>,
    /// Set when the day has asked for it.
    client: OnceLock<Arc<RingCx>>,
}

impl ApiSource for ObservedClient<'_> {
    async fn api(&self) -> Result<Arc<RingCx>> {
        let client = self.account.api().await?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

/// Returns a short text beside the bar: the share of the quota in use, and what went wrong so far.
fn usage_note(usage: &Usage, limits: &Limits, elapsed_ms: i64, failed: u64) -> String {
    let summaries = &usage.summaries;
    let mut note = Vec::new();
    if let Some(percent) = quota_percent(summaries, limits, elapsed_ms) {
        note.push(format!("quota {percent:.0} %"));
    }
    if summaries.pace < 1.0 {
        note.push(format!(
            "slowed to {:.0} % of the quota",
            summaries.pace * 100.0
        ));
    }
    for (count, what) in [
        (summaries.too_many + usage.discovery.too_many, "x 429"),
        (summaries.retries + usage.discovery.retries, "retries"),
        (failed, "failed"),
    ] {
        if count > 0 {
            note.push(format!("{count} {what}"));
        }
    }
    note.join(", ")
}

/// Returns the share of the summary quota that was used so far, 0 to 100; `None` without a limit.
fn quota_percent(summaries: &LimiterUsage, limits: &Limits, elapsed_ms: i64) -> Option<f64> {
    let allowed = limits
        .0
        .iter()
        .map(|limit| f64::from(limit.requests) / limit.window.as_millis() as f64)
        .reduce(f64::min)?
        * elapsed_ms.max(1) as f64;
    Some((100.0 * summaries.requests as f64 / allowed.max(1.0)).min(100.0))
}
