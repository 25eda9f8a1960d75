//! How a plan is printed: a table for people, one event for each sub-account for machines.
//!
//! ```text
//! 2 days to archive, 1 with gaps to fill, 0 to recheck, in 1 sub-account. Nothing was written.
//!
//! sub-account  days  first       last        discovery  segments  summaries  at least
//! 99999999        3  2026-11-18  2026-11-20         16    15,000     20,012  8h 21m
//!
//! discovery  16 requests at 3/60s,9/15m for each sub-account: 16m
//! summaries  20,012 requests at 40/60s for each credential: 8h 21m   <- slower
//! total      at least 8h 21m (both run at the same time); ends at 2026-11-21T11:36:00Z at the earliest
//! ```
//!
//! Below it a line says what the estimates rest on, and two lines name the days that RingCX does not retain for long
//! enough, which is what an operator can still act on.

use std::time::Duration;

use jiff::civil::Date;

use crate::command::night::day_report::DayReport;
use crate::command::night::plan::estimate::{PlanTotal, PlannedDay, SubAccountPlan};
use crate::command::night::summary;
use crate::config::{LimitScope, Settings};
use crate::format::time::day::rfc3339;
use crate::render::{Event, Output, Table, count, duration, grouped};

/// The table has so many sub-accounts at most; beyond that the sums say more.
const MOST_ROWS: usize = 20;
/// So many days at most are named where a line lists them.
const MOST_NAMED_DAYS: usize = 5;

/// Emits the plan of each sub-account, the reports of those that could not be planned, and the total.
pub(super) fn emit(
    plans: &[SubAccountPlan],
    failed: &[DayReport],
    total: &PlanTotal,
    output: &Output,
) {
    for plan in plans {
        output.event(Event::new("plan").merge(plan));
    }
    for report in failed {
        output.event(report.event());
    }
    output.event(Event::new("plan-total").merge(total));
}

/// Returns the plan as text for people.
pub(super) fn text(
    plans: &[SubAccountPlan],
    failed: &[DayReport],
    total: &PlanTotal,
    settings: &Settings,
    now_ms: i64,
) -> String {
    let mut lines = vec![headline(plans.len(), total)];
    let busy: Vec<&SubAccountPlan> = plans.iter().filter(|plan| !plan.days.is_empty()).collect();
    if !busy.is_empty() {
        lines.push(plans_table(&busy, settings));
        lines.extend(limits_lines(total, settings, now_ms));
        lines.extend(estimate_lines(total));
    }
    lines.extend(summary::problems(failed));
    lines.join("\n")
}

/// Returns the number of days by what is to be done with them.
fn headline(sub_accounts: usize, total: &PlanTotal) -> String {
    let sub_accounts = count(sub_accounts as u64, "sub-account");
    if total.archive + total.fill_gaps + total.recheck == 0 {
        return format!("Nothing to do: no day of {sub_accounts} is open.");
    }
    format!(
        "{} to archive, {} with gaps to fill, {} to recheck, in {sub_accounts}. Nothing was written.\n",
        count(total.archive as u64, "day"),
        grouped(total.fill_gaps as u64),
        grouped(total.recheck as u64),
    )
}

/// Returns a row for each sub-account with days to visit, at most [`MOST_ROWS`].
fn plans_table(busy: &[&SubAccountPlan], settings: &Settings) -> String {
    let mut table = Table::new(
        "sub-account | days | first | last | discovery | segments | summaries | at least",
    );
    for plan in busy.iter().take(MOST_ROWS) {
        let dates = plan.days.iter().map(|day| day.date);
        // Both limits are used side by side, so the slower one counts.
        let discovery = settings.discovery_limits.time_for(plan.windows());
        let summaries = settings.summary_limits.time_for(plan.summaries());
        table.row([
            plan.sub_account.clone(),
            grouped(plan.days.len() as u64),
            date_cell(dates.clone().min()),
            date_cell(dates.max()),
            grouped(plan.windows()),
            sum_cell(plan, |day| day.segments),
            sum_cell(plan, |day| day.summaries),
            duration(discovery.max(summaries)),
        ]);
    }
    match busy.len().saturating_sub(MOST_ROWS) {
        0 => format!("{table}\n"),
        more => format!("{table}\n… and {more} more; --json lists all sub-accounts\n"),
    }
}

/// Returns the date, or an empty cell.
fn date_cell(date: Option<Date>) -> String {
    date.map(|date| date.to_string()).unwrap_or_default()
}

/// Returns the sum over the days of a plan; `?` where no day has an estimate.
fn sum_cell(plan: &SubAccountPlan, value: fn(&PlannedDay) -> Option<u64>) -> String {
    match plan.days.iter().filter_map(value).sum() {
        0 if plan.days.iter().any(|day| value(day).is_none()) => "?".to_owned(),
        sum => grouped(sum),
    }
}

/// Returns how long both limits take, and which of them is the slower one.
fn limits_lines(total: &PlanTotal, settings: &Settings, now_ms: i64) -> [String; 3] {
    let scope = match settings.summary_limit_scope {
        LimitScope::SubAccount => "sub-account",
        LimitScope::Credential => "credential",
    };
    // Saturating: a plan of centuries is shown as such, and is no error.
    let total_ms = i64::try_from(total.seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1000);
    [
        format!(
            "discovery  {} at {} for each sub-account: {}{}",
            count(total.discovery_requests, "request"),
            settings.discovery_limits,
            duration(Duration::from_secs(total.discovery_seconds)),
            bottleneck_mark(total, "discovery")
        ),
        format!(
            "summaries  {} at {} for each {scope}: {}{}",
            count(total.summary_requests, "request"),
            settings.summary_limits,
            duration(Duration::from_secs(total.summary_seconds)),
            bottleneck_mark(total, "summaries")
        ),
        format!(
            "total      at least {} (both run at the same time); ends at {} at the earliest",
            duration(Duration::from_secs(total.seconds)),
            rfc3339(now_ms.saturating_add(total_ms))
        ),
    ]
}

/// Returns the mark beside the limit that takes longer.
fn bottleneck_mark(total: &PlanTotal, limit: &str) -> &'static str {
    if total.bottleneck == Some(limit) {
        "   <- slower"
    } else {
        ""
    }
}

/// Returns what the estimates rest on, and the days that the source does not retain for long enough.
fn estimate_lines(total: &PlanTotal) -> Vec<String> {
    // Sums without the unknown days would otherwise be taken for the whole.
    let basis = match total.unknown_days {
        0 => {
            "The volumes of days that are not archived yet are medians of archived days.".to_owned()
        }
        unknown => format!(
            "No estimate for {}, which the totals leave out: no day of the sub-account is archived yet. Use \
             --segments-per-day.",
            count(unknown as u64, "day")
        ),
    };
    let mut lines = vec![basis];
    for (days, what) in [
        (
            &total.beyond_retention,
            "older than source_retention, which cannot become complete",
        ),
        (
            &total.leaving,
            "leaving RingCX's retention before all is done (--order oldest archives these first)",
        ),
    ] {
        if !days.is_empty() {
            let named: Vec<&str> = days
                .iter()
                .take(MOST_NAMED_DAYS)
                .map(String::as_str)
                .collect();
            let more = if days.len() > named.len() {
                ", …"
            } else {
                ""
            };
            let (days, named) = (count(days.len() as u64, "day"), named.join(", "));
            lines.push(format!("{days} {what}: {named}{more}"));
        }
    }
    lines
}
