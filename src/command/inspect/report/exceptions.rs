//! What a reader has to look at: missing days, gaps, and days that look wrong.

use jiff::civil::Date;

use crate::audit::calendar::{Calendar, CalendarDay};
use crate::command::inspect::report::chain::{ChainDetails, DayGap};
use crate::format::record::coverage::DayState;
use crate::format::record::manifest::Incomplete;
use crate::format::row::tally::GroupShare;
use crate::render::grouped;

/// One thing to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    pub class: ExceptionClass,
    pub sub_account: String,
    pub from: Date,
    /// The last day of it.
    pub to: Date,
    pub days: u64,
    /// Why, and what to do.
    pub why: String,
}

/// Worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExceptionClass {
    Missing,
    /// Days after the range's last one, which are over and not archived.
    Behind,
    Gaps,
    Warning,
    /// An agent group without any AI summary.
    Silent,
    Acknowledged,
}

/// All of one sub-account. `behind` are the days that are over since the last archived one.
pub fn of(
    calendar: &Calendar,
    told: &ChainDetails,
    behind: Option<(Date, Date)>,
) -> Vec<Exception> {
    let whole = |class, from, to, days, why| Exception {
        class,
        from,
        to,
        days,
        sub_account: calendar.sub_account.clone(),
        why,
    };
    let mut exceptions = Vec::new();
    for run in calendar
        .days
        .chunk_by(|one, other| one.state == other.state)
    {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        if first.state == DayState::Missing {
            let why = missing(calendar, first.date, last.date);
            exceptions.push(whole(
                ExceptionClass::Missing,
                first.date,
                last.date,
                run.len() as u64,
                why,
            ));
        }
    }
    if let Some((from, to)) = behind {
        let days = to
            .since(from)
            .map_or(0, |span| span.get_days().unsigned_abs())
            + 1;
        let why = "Over, and not archived yet when this page was made: look at the nightly run."
            .to_owned();
        exceptions.push(whole(
            ExceptionClass::Behind,
            from,
            to,
            u64::from(days),
            why,
        ));
    }
    for day in &calendar.days {
        let class = match day.state {
            DayState::Gaps => Some(ExceptionClass::Gaps),
            DayState::Acknowledged => Some(ExceptionClass::Acknowledged),
            _ => None,
        };
        if let Some(class) = class {
            let why = gaps(day, told.gaps.get(&day.date));
            exceptions.push(whole(class, day.date, day.date, 1, why));
        }
        for warning in &day.warnings {
            let why = sentence(&warning.explain());
            exceptions.push(whole(ExceptionClass::Warning, day.date, day.date, 1, why));
        }
    }
    if let Some((first, last)) = calendar.days.first().zip(calendar.days.last()) {
        for (group, share) in calendar.groups_without_ai() {
            let days = calendar.days.len() as u64;
            exceptions.push(whole(
                ExceptionClass::Silent,
                first.date,
                last.date,
                days,
                silent(group, share),
            ));
        }
    }
    exceptions
}

fn missing(calendar: &Calendar, first: Date, last: Date) -> String {
    match calendar.archived {
        Some((begin, _)) if last < begin => {
            format!("Never archived: the archive of this sub-account begins on {begin}.")
        }
        _ if first < last => {
            "Never archived. cxvault run --date fetches one after the other, as long as RingCX still has them.".to_owned()
        }
        _ => format!("Never archived. cxvault run --date {last} fetches it, as long as RingCX still has it."),
    }
}

/// What the newest manifest says of a day that is not complete.
fn gaps(day: &CalendarDay, gap: Option<&DayGap>) -> String {
    let failed = day.counts.failed();
    let summaries = if failed == 1 { "summary" } else { "summaries" };
    let no_answer = format!("for {} {summaries} RingCX gave no answer", grouped(failed));
    let reasons = gap
        .into_iter()
        .flat_map(|gap| &gap.because)
        .map(|reason| match reason {
            Incomplete::SummariesFailed => no_answer.clone(),
            Incomplete::BeyondSourceRetention => {
                "the day is older than RingCX keeps interactions, so some may be unknown".to_owned()
            }
            Incomplete::WantedSummariesSkipped => {
                "an earlier run left summaries out by a filter that is wanted now".to_owned()
            }
        });
    let mut why = sentence(&reasons.collect::<Vec<_>>().join("; "));
    if why.is_empty() {
        why = sentence(&no_answer);
    }
    let classes = gap.into_iter().flat_map(|gap| &gap.failures);
    let classes: Vec<String> = classes
        .map(|(class, number)| format!("{} × {class}", grouped(*number)))
        .collect();
    if !classes.is_empty() {
        why.push_str(&format!(" In the newest revision: {}.", classes.join(", ")));
    }
    why
}

fn silent(group: &str, share: &GroupShare) -> String {
    let group = if group.is_empty() { "(none)" } else { group };
    format!(
        "Agent group {group} has no AI summary on any of {} segments ({} have one by the agent): in RingCX Admin, \
         Routing, Queues & Skills, select the queue and Enable AI Summaries.",
        grouped(share.segments),
        grouped(share.agent_present)
    )
}

/// With a capital, and a full stop.
fn sentence(words: &str) -> String {
    let mut chars = words.chars();
    match chars.next() {
        Some(first) => format!(
            "{}{}.",
            first.to_uppercase(),
            chars.as_str().trim_end_matches('.')
        ),
        None => String::new(),
    }
}
