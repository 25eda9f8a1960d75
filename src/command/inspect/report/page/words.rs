//! The sentences and figures at the top of the page: what is covered and what is missing, in plain words.
//!
//! The reader may be an auditor who knows neither the archive nor RingCX. So a sentence says first what is wrong, a number
//! has its noun, a date has its month as a word, and "Complete" is only said where no day is open and nothing failed
//! verification.

use std::fmt::Write as _;

use jiff::civil::Date;

use crate::command::inspect::report::contents::{ArchiveCondition, Report};
use crate::command::inspect::report::verification::Verification;
use crate::format::place::key;
use crate::format::record::DayState;
use crate::format::row::{SummaryKind, Tally};
use crate::render::{count, grouped};

/// Returns `20 Nov 2026`: the month as a word, so that it cannot be taken for the day.
fn day(date: Date) -> String {
    date.strftime("%-d %b %Y").to_string()
}

/// Returns `20 Nov 2026`, or `16 Nov 2026 to 20 Nov 2026`.
pub fn dates(from: &Date, to: &Date) -> String {
    match from == to {
        true => day(*from),
        false => format!("{} to {}", day(*from), day(*to)),
    }
}

/// Returns UTC milliseconds as `20 Nov 2026, 06:00 UTC`.
pub fn instant(instant_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(instant_ms).map_or_else(
        |_| "an unknown time".to_owned(),
        |instant| instant.strftime("%-d %b %Y, %H:%M UTC").to_string(),
    )
}

/// Returns the share of segments that have a summary, in percent with one decimal; neither 0 nor 100 if the share is
/// only close to it.
pub(crate) fn share_present(counts: &Tally, kind: SummaryKind) -> String {
    let (part, all) = (counts.statuses(kind).present, counts.segments);
    if all == 0 {
        return "–".to_owned();
    }
    let exact = part as f64 * 100.0 / all as f64;
    let shown = if part == 0 || part == all {
        exact
    } else {
        exact.clamp(0.1, 99.9)
    };
    format!("{shown:.1} %")
}

/// Returns the first and the last day of all sub-accounts.
pub fn period(report: &Report) -> String {
    let periods = report.chains.iter().filter_map(|chain| chain.period);
    let (firsts, lasts): (Vec<Date>, Vec<Date>) = periods.unzip();
    let first = firsts.into_iter().min();
    first
        .zip(lasts.into_iter().max())
        .map_or_else(|| "no day".to_owned(), |(first, last)| dates(&first, &last))
}

/// Returns the result of the report in a few sentences; also what the command prints.
pub fn verdict(report: &Report) -> String {
    let violations = report
        .verification
        .as_ref()
        .map_or(0, Verification::violations);
    let mut verdict = match violations {
        0 => String::new(),
        _ => format!(
            "The verification found {}. ",
            count(violations, "violation")
        ),
    };
    verdict += &days_archived(report);
    match report.states().get(DayState::Disposed) {
        0 => {}
        1 => verdict += " 1 of these was disposed of after its retention.",
        disposed => {
            let _ = write!(
                verdict,
                " {} of these were disposed of after their retention.",
                grouped(disposed)
            );
        }
    }
    match report.chains_behind() {
        0 => {}
        1 => verdict += " 1 sub-account is not up to date.",
        behind => {
            let _ = write!(
                verdict,
                " {} are not up to date.",
                count(behind, "sub-account")
            );
        }
    }
    let (rosters, damaged): (Vec<_>, Vec<_>) = report
        .damaged
        .iter()
        .partition(|damage| damage.sub_account == key::ROSTER);
    if !damaged.is_empty() {
        let damaged = count(damaged.len() as u64, "sub-account");
        let _ = write!(
            verdict,
            " The audit records of {damaged} failed verification and are not counted."
        );
    }
    if !rosters.is_empty() {
        verdict += " The roster, the records about all sub-accounts, failed verification.";
    }
    verdict
}

/// Returns how many days are archived, and what is wrong with the rest.
fn days_archived(report: &Report) -> String {
    let states = report.states();
    let accounts = count(report.chains.len() as u64, "sub-account");
    let noun = if report.chains.len() > 1 {
        "sub-account day"
    } else {
        "day"
    };
    let (period, days) = (period(report), count(states.total(), noun));
    match (states.total(), states.open()) {
        // A damaged chain may contain any number of days.
        (0, _) if !report.damaged.is_empty() => "No day can be counted.".to_owned(),
        (0, _) => "No day of this period is archived.".to_owned(),
        (_, 0) => format!("{period}: every day of {accounts} is complete ({days})."),
        (all, open) => {
            let missing = match states.get(DayState::Missing) {
                0 => None,
                1 => Some("1 was never archived".to_owned()),
                number => Some(format!("{} were never archived", grouped(number))),
            };
            let gaps = match states.get(DayState::Gaps) {
                0 => None,
                1 => Some("1 has gaps".to_owned()),
                number => Some(format!("{} have gaps", grouped(number))),
            };
            let rest: Vec<String> = missing.into_iter().chain(gaps).collect();
            format!(
                "{period}: {} of {days} of {accounts} are complete; {}.",
                grouped(all - open),
                rest.join(" and ")
            )
        }
    }
}

/// The large word at the top of the page, which a reader sees first.
pub(crate) struct Badge {
    /// The CSS class, which gives the colour.
    pub class: &'static str,
    /// The word itself.
    pub text: &'static str,
}

/// Returns the large word at the top.
pub fn badge(report: &Report) -> Badge {
    let (class, text) = match report.condition() {
        ArchiveCondition::Violated => ("violated", "Integrity violated"),
        ArchiveCondition::Open => ("open", "Not complete"),
        ArchiveCondition::Complete => ("complete", "Complete"),
        ArchiveCondition::Nothing => ("open", "Nothing archived"),
    };
    Badge { class, text }
}

/// Returns how many of the segments have summaries, and how many summaries are missing for a known reason.
pub(crate) fn summaries_present(report: &Report) -> String {
    let counts = report.counts();
    if counts.segments == 0 {
        return match report.damaged.is_empty() {
            true => "No interaction segment is archived.".to_owned(),
            false => String::new(),
        };
    }
    let mut text = format!(
        "Of {}, {} have a summary by the agent and {} have one by the AI.",
        count(counts.segments, "interaction segment"),
        share_present(&counts, SummaryKind::Agent),
        share_present(&counts, SummaryKind::Auto)
    );
    for (number, what_happened) in [
        (counts.failed(), "had no answer: these are the gaps"),
        (
            counts.agent.skipped + counts.auto.skipped,
            "were left out by a configured filter",
        ),
    ] {
        if number > 0 {
            let _ = write!(text, " {} {what_happened}.", count(number, "summary"));
        }
    }
    text
}

/// Returns what the verification found; violations are part of the verdict already.
pub(crate) fn verification_result(report: &Report) -> String {
    let Some(found) = &report.verification else {
        return "This page shows no verification: it shows what the archive's own records state."
            .to_owned();
    };
    match &found.ended {
        _ if found.violations() > 0 => String::new(),
        None => "The verification ended early, so it proves nothing.".to_owned(),
        Some(ended) => {
            let read = match ended.level.as_str() {
                "quick" => {
                    " (quick) read the records and no file: it compared names and lengths, and"
                }
                "full" => " (full) read the records and hashed the files, and",
                "deep" => " (deep) read the records, the files and every row, and",
                _ => ", of which the level is not known,",
            };
            format!("The verification{read} found no violation.")
        }
    }
}

/// One large number with its name.
pub(crate) struct Figure {
    /// The CSS classes.
    pub class: String,
    /// What is counted, in the plural.
    pub name: &'static str,
    /// The number, without a unit.
    pub number: u64,
}

/// Returns the large numbers: the days by state, segments and revisions. States that are usual are shown also if no day
/// has them.
pub fn figures(report: &Report) -> Vec<Figure> {
    const ALWAYS: bool = true;
    const IF_ANY: bool = false;
    let states = report.states();
    let mut figures: Vec<Figure> = [
        (DayState::Complete, ALWAYS, "days complete"),
        (DayState::Empty, ALWAYS, "days empty"),
        (DayState::Gaps, ALWAYS, "days with gaps"),
        (DayState::Missing, ALWAYS, "days missing"),
        (DayState::Acknowledged, IF_ANY, "acknowledged"),
        (DayState::Disposed, IF_ANY, "disposed of"),
    ]
    .into_iter()
    .map(|(state, shown, name)| (state, shown, name, states.get(state)))
    .filter(|(_, shown, _, days)| *shown || *days > 0)
    .map(|(state, _, name, number)| {
        let none = if number == 0 { " none" } else { "" };
        let class = format!("state s-{}{none}", state.letter());
        Figure {
            class,
            name,
            number,
        }
    })
    .collect();
    let revisions = report.chains.iter().map(|chain| chain.revisions).sum();
    figures.extend(
        [
            ("segments", report.counts().segments),
            ("revisions", revisions),
        ]
        .map(|(name, number)| Figure {
            class: String::new(),
            name,
            number,
        }),
    );
    figures
}
