//! The page's sentences: what is covered and what is missing, in plain words.

use std::fmt::Write as _;

use jiff::civil::Date;

use crate::command::inspect::report::exceptions::ExceptionClass;
use crate::command::inspect::report::page::{ArchiveCondition, Report, text};
use crate::command::inspect::report::verification::Verification;
use crate::format::place::key;
use crate::format::record::coverage::DayState;
use crate::format::row::observation::SummaryKind;
use crate::render::grouped;

/// `20 Nov 2026`: no reader takes the day for the month.
pub fn day(date: Date) -> String {
    date.strftime("%-d %b %Y").to_string()
}

/// `20 Nov 2026, 06:00 UTC`.
pub fn instant(instant_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(instant_ms) {
        Ok(instant) => instant.strftime("%-d %b %Y, %H:%M UTC").to_string(),
        Err(_) => "an unknown time".to_owned(),
    }
}

/// `1 day`, `2 days`.
pub fn some(number: u64, what: &str) -> String {
    format!(
        "{} {what}{}",
        grouped(number),
        if number == 1 { "" } else { "s" }
    )
}

/// `1 summary`, `2 summaries`.
fn summaries(number: u64) -> String {
    format!(
        "{} {}",
        grouped(number),
        if number == 1 { "summary" } else { "summaries" }
    )
}

/// With one decimal, and never rounded to all or nothing.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let exact = part as f64 * 100.0 / whole as f64;
    let shown = if part == 0 || part == whole {
        exact
    } else {
        exact.clamp(0.1, 99.9)
    };
    format!("{shown:.1} %")
}

/// `16 Nov 2026 to 20 Nov 2026`.
pub fn period(report: &Report) -> String {
    let days = || report.chains.iter().filter_map(|chain| chain.days);
    match days()
        .map(|(first, _)| first)
        .min()
        .zip(days().map(|(_, last)| last).max())
    {
        Some((first, last)) if first == last => day(first),
        Some((first, last)) => format!("{} to {}", day(first), day(last)),
        None => "no day".to_owned(),
    }
}

/// A sentence or two that say it all.
pub fn verdict(report: &Report) -> String {
    let states = report.states();
    let (period, accounts) = (
        period(report),
        some(report.chains.len() as u64, "sub-account"),
    );
    let days = some(
        states.total(),
        if report.chains.len() > 1 {
            "sub-account day"
        } else {
            "day"
        },
    );
    let mut sentence = match (states.total(), states.open()) {
        // What is damaged may hold any number of days.
        (0, _) if !report.damaged.is_empty() => "No day can be told.".to_owned(),
        (0, _) => "No day of this period is archived.".to_owned(),
        (_, 0) => format!("{period}: every day of {accounts} is archived in full, {days} in all."),
        (all, open) => {
            let were = |number: u64, one: &str, more: &str| match number {
                0 => None,
                1 => Some(format!("1 {one}")),
                _ => Some(format!("{} {more}", grouped(number))),
            };
            let (missing, gaps) = (states.get(DayState::Missing), states.get(DayState::Gaps));
            let parts = [
                were(missing, "was never archived", "were never archived"),
                were(gaps, "has gaps", "have gaps"),
            ];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            let settled = grouped(all - open);
            format!(
                "{period}: {settled} of {days} of {accounts} are archived in full; {}.",
                parts.join(" and ")
            )
        }
    };
    let disposed = states.get(DayState::Disposed);
    if disposed > 0 {
        let were = if disposed == 1 {
            "1 of these was".to_owned()
        } else {
            format!("{} of these were", grouped(disposed))
        };
        let _ = write!(sentence, " {were} disposed of after retention.");
    }
    let behind = report
        .exceptions()
        .filter(|one| one.class == ExceptionClass::Behind)
        .count() as u64;
    if behind > 0 {
        let _ = write!(sentence, " {} not up to date.", are(behind, "sub-account"));
    }
    let violations = report
        .verification
        .as_ref()
        .map_or(0, Verification::violations);
    if violations > 0 {
        sentence = format!(
            "The verification found {}. {sentence}",
            some(violations, "violation")
        );
    }
    if !report.damaged.is_empty() {
        let of_all = report
            .damaged
            .iter()
            .any(|damage| damage.sub_account == key::ROSTER);
        let damaged = report.damaged.len() as u64 - u64::from(of_all);
        if damaged > 0 {
            let damaged = some(damaged, "sub-account");
            let _ = write!(
                sentence,
                " The record of {damaged} does not hold, and is not counted."
            );
        }
        if of_all {
            sentence += " The roster of all sub-accounts does not hold.";
        }
    }
    sentence
}

fn are(number: u64, what: &str) -> String {
    format!(
        "{} {}",
        some(number, what),
        if number == 1 { "is" } else { "are" }
    )
}

pub fn header(report: &Report) -> String {
    let mut html =
        String::from("<body>\n<a class=\"skip\" href=\"#main\">Skip to the report</a>\n<header>\n");
    html += "<div class=\"title\"><p class=\"kicker\">RingCX interaction summaries</p>\n<h1>Archive report</h1></div>\n";
    html += "<dl class=\"about\">\n";
    for (name, value) in [
        ("Period", text(period(report))),
        ("Made", text(instant(report.made_at))),
        (
            "Archive",
            format!("<span class=\"mono\">{}</span>", text(&report.archive)),
        ),
    ] {
        let _ = writeln!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    html += "</dl>\n<nav aria-label=\"Sections\"><ul>";
    let sections = [
        ("calendar", "Calendar"),
        ("attention", "Needs attention"),
        ("trend", "Trend"),
        ("verification", "Verification"),
        ("chains", "Sub-accounts"),
        ("reading", "How to read this"),
    ];
    for (id, name) in sections {
        let _ = write!(html, "<li><a href=\"#{id}\">{name}</a></li>");
    }
    html + "</ul></nav>\n</header>\n"
}

pub fn summary(report: &Report) -> String {
    let (class, word) = match report.standing() {
        ArchiveCondition::Violated => ("violated", "Do not rely on it"),
        ArchiveCondition::Open => ("open", "Not complete"),
        ArchiveCondition::Complete => ("complete", "Complete"),
        ArchiveCondition::Nothing => ("open", "Nothing archived"),
    };
    format!(
        "<section id=\"summary\" class=\"{class}\" aria-labelledby=\"summary-title\">\n\
         <h2 id=\"summary-title\"><span class=\"badge\">{word}</span></h2>\n<p class=\"verdict\">{}</p>\n\
         <p>{} {}</p>\n{}</section>\n",
        text(verdict(report)),
        text(held(report)),
        text(verified(report)),
        figures(report)
    )
}

/// What the archived days hold.
fn held(report: &Report) -> String {
    let counts = report.counts();
    if counts.segments == 0 && !report.damaged.is_empty() {
        return String::new();
    }
    if counts.segments == 0 {
        return "No interaction segment is archived.".to_owned();
    }
    let present = |kind: SummaryKind| percent(counts.statuses(kind).present, counts.segments);
    let mut words = format!(
        "Of {}, {} have a summary by the agent and {} one by the AI.",
        some(counts.segments, "interaction segment"),
        present(SummaryKind::Agent),
        present(SummaryKind::Auto)
    );
    let skipped = counts.agent.skipped + counts.auto.skipped;
    for (number, why) in [
        (counts.failed(), "had no answer: those are the gaps"),
        (skipped, "were left out by a configured filter"),
    ] {
        if number > 0 {
            let _ = write!(words, " {} {why}.", summaries(number));
        }
    }
    words
}

fn verified(report: &Report) -> String {
    let Some(found) = &report.verification else {
        return "No verification is shown on this page: it tells what the archive's own records say."
            .to_owned();
    };
    match &found.ended {
        _ if found.violations() > 0 => String::new(),
        None => "The verification did not come to its end, so it proves nothing.".to_owned(),
        Some(ended) => {
            let level = if ended.level.is_empty() {
                String::new()
            } else {
                format!(" ({})", ended.level)
            };
            format!("The verification{level} found nothing that is not as it was committed.")
        }
    }
}

/// The numbers, large.
fn figures(report: &Report) -> String {
    let (states, counts) = (report.states(), report.counts());
    let mut html = String::from("<dl class=\"figures\">");
    let mut figure = |class: &str, name: &str, number: String| {
        let _ = write!(
            html,
            "<div class=\"{class}\"><dt>{name}</dt><dd>{number}</dd></div>"
        );
    };
    for (state, name) in STATES {
        let always = matches!(
            state,
            DayState::Complete | DayState::Empty | DayState::Gaps | DayState::Missing
        );
        let days = states.get(state);
        if always || days > 0 {
            let none = if days == 0 { " none" } else { "" };
            figure(
                &format!("state s-{}{none}", state.letter()),
                name,
                grouped(days),
            );
        }
    }
    figure("", "segments", grouped(counts.segments));
    figure(
        "",
        "revisions",
        grouped(report.chains.iter().map(|chain| chain.revisions).sum()),
    );
    html + "</dl>\n"
}

const STATES: [(DayState, &str); 6] = [
    (DayState::Complete, "days complete"),
    (DayState::Empty, "days empty"),
    (DayState::Gaps, "days with gaps"),
    (DayState::Missing, "days missing"),
    (DayState::Acknowledged, "acknowledged"),
    (DayState::Disposed, "disposed of"),
];

pub fn footer(report: &Report) -> String {
    format!(
        "<footer>\n<p>Made by cxvault {} on {} from archive <span class=\"mono\">{}</span>. This page holds no summary, \
         no name and no phone number, and needs no network. It is a reading of the archive, not a proof: whoever wants \
         that runs <code>cxvault verify</code>.</p>\n</footer>\n",
        env!("CARGO_PKG_VERSION"),
        text(instant(report.made_at)),
        text(&report.archive_id)
    )
}
