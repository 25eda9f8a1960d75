//! What needs attention in a sub-account's days: days that are missing or have gaps, and days that look wrong.
//!
//! Each exception has a sentence with the reason, and with the remedy where there is one: the reader is an operator deciding
//! whether the next run repairs them. Consecutive missing days are one exception; gaps and warnings are one for each day,
//! because their reasons differ.

use jiff::civil::Date;

use crate::audit::calendar::{Calendar, CalendarDay};
use crate::command::inspect::report::details::{ChainDetails, DayGap};
use crate::format::record::{DayState, Incomplete};
use crate::format::row::GroupShare;
use crate::render::{count, grouped};

/// One row of the table of what needs attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    /// What is wrong.
    pub class: ExceptionClass,
    /// The sub-account's id.
    pub sub_account: String,
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
    /// Number of days from the first to the last, without dates that the time zone skipped.
    pub days: u64,
    /// The reason and the remedy, as sentences.
    pub explanation: String,
}

/// The classes of exceptions, the most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ExceptionClass {
    /// Days within the archived period that were never archived.
    Missing,
    /// Days after the last archived one that are over and not archived.
    Behind,
    /// A day for which RingCX did not answer every request.
    Gaps,
    /// A day with a warning, such as far fewer segments than usual.
    Warning,
    /// An agent group without any AI summary.
    NoAiSummaries,
    /// A day whose gaps were accepted with a reason.
    Acknowledged,
}

/// Returns all exceptions of one sub-account. `behind` are the first and the last of the days that are over and not
/// archived, after the last archived day.
pub(crate) fn of(
    calendar: &Calendar,
    details: &ChainDetails,
    behind: Option<(Date, Date)>,
) -> Vec<Exception> {
    let mut exceptions = missing(calendar);
    exceptions.extend(behind.map(|(from, to)| {
        Exception {
            days: 1 + to
                .since(from)
                .map_or(0, |span| u64::from(span.get_days().unsigned_abs())),
            to,
            ..on_day(calendar, ExceptionClass::Behind, from, BEHIND.to_owned())
        }
    }));
    for day in &calendar.days {
        let class = match day.state {
            DayState::Gaps => Some(ExceptionClass::Gaps),
            DayState::Acknowledged => Some(ExceptionClass::Acknowledged),
            _ => None,
        };
        exceptions.extend(class.map(|class| {
            let explanation = explain_gaps(day, details.gaps.get(&day.date));
            on_day(calendar, class, day.date, explanation)
        }));
        exceptions.extend(day.warnings.iter().map(|warning| {
            let explanation = sentence(&warning.explain());
            on_day(calendar, ExceptionClass::Warning, day.date, explanation)
        }));
    }
    if let Some((first, last)) = calendar.days.first().zip(calendar.days.last()) {
        exceptions.extend(
            calendar
                .groups_without_ai()
                .map(|(group, share)| Exception {
                    to: last.date,
                    days: calendar.days.len() as u64,
                    ..on_day(
                        calendar,
                        ExceptionClass::NoAiSummaries,
                        first.date,
                        explain_no_ai_summaries(group, share),
                    )
                }),
        );
    }
    exceptions
}

/// The explanation of days after the last archived one.
const BEHIND: &str =
    "These days are over and were not archived when this page was made. Check the nightly run.";

/// An exception of a single day.
fn on_day(
    calendar: &Calendar,
    class: ExceptionClass,
    date: Date,
    explanation: String,
) -> Exception {
    Exception {
        class,
        sub_account: calendar.sub_account.clone(),
        from: date,
        to: date,
        days: 1,
        explanation,
    }
}

/// Returns one exception for each run of consecutive missing days.
fn missing(calendar: &Calendar) -> Vec<Exception> {
    calendar
        .days
        .chunk_by(|day, next| day.state == next.state)
        .filter_map(|run| Some((run.first()?, run.last()?, run.len() as u64)))
        .filter(|(first, ..)| first.state == DayState::Missing)
        .map(|(first, last, days)| Exception {
            to: last.date,
            days,
            ..on_day(
                calendar,
                ExceptionClass::Missing,
                first.date,
                explain_missing(calendar, first.date, last.date),
            )
        })
        .collect()
}

/// Explains why days of the calendar have no manifest, and how to archive them.
fn explain_missing(calendar: &Calendar, first: Date, last: Date) -> String {
    match calendar.archived {
        Some((begin, _)) if last < begin => {
            format!("Never archived: the archive of this sub-account begins on {begin}.")
        }
        _ if first < last => {
            "Never archived. Run cxvault run --date DATE for each of these days, while RingCX still has them."
                .to_owned()
        }
        _ => format!(
            "Never archived. Run cxvault run --date {last}, while RingCX still has the day."
        ),
    }
}

/// Explains by its newest manifest why a day is not complete.
fn explain_gaps(day: &CalendarDay, gap: Option<&DayGap>) -> String {
    let no_answer = format!(
        "RingCX gave no answer for {}",
        count(day.counts.failed(), "summary")
    );
    let reasons: Vec<String> = gap
        .into_iter()
        .flat_map(|gap| &gap.reasons)
        .map(|reason| match reason.known() {
            None => format!("{}, which this program does not know", reason.name()),
            Some(Incomplete::SummariesFailed) => no_answer.clone(),
            Some(Incomplete::BeyondSourceRetention) => {
                "the day is older than the time for which RingCX keeps interactions, so some may be unknown"
                    .to_owned()
            }
            Some(Incomplete::WantedSummariesSkipped) => {
                "an earlier run left out summaries that the present settings include".to_owned()
            }
        })
        .collect();
    let mut explanation = match reasons.as_slice() {
        [] => sentence(&no_answer),
        reasons => sentence(&reasons.join("; ")),
    };
    let failures: Vec<String> = gap
        .into_iter()
        .flat_map(|gap| &gap.failures)
        .map(|(class, number)| format!("{} × {class}", grouped(*number)))
        .collect();
    if !failures.is_empty() {
        explanation += &format!(" Failures in the newest revision: {}.", failures.join(", "));
    }
    explanation
}

/// Explains why an agent group may have no AI summary on any segment.
fn explain_no_ai_summaries(group: &str, share: &GroupShare) -> String {
    let group = if group.is_empty() { "(none)" } else { group };
    format!(
        "Agent group {group} has no AI summary on any of {} segments ({} have a summary by the agent). In RingCX Admin, \
         open Routing, Queues & Skills, select the queue, and turn on Enable AI Summaries.",
        grouped(share.segments),
        grouped(share.agent_present)
    )
}

/// Gives a phrase a capital letter and a full stop.
fn sentence(phrase: &str) -> String {
    let mut chars = phrase.trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), chars.as_str())
    })
}
