//! What a command prints at its end: a table for people, one event for machines.
//!
//! Three parts follow each other: what was archived, which depends on the command; what went wrong, each failure with its
//! remedy and each warning with its meaning; and the newest heads. The heads are the proof that an auditor can be given:
//! printed or sent elsewhere, each fixes its chain up to that record.
//!
//! With `--json` only the events are printed (`schemas/EVENTS.md`), with `--quiet` nothing; the log says the same then.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::chain::Writer;
use crate::command::night::day_report::{CommandOutcome, DayReport, ReportedDay};
use crate::format::record::{HeadRef, Recheck};
use crate::format::row::SummaryKind;
use crate::render::{Event, Output, Table, count, grouped, size};

/// Emits the event with which a command begins.
pub(crate) fn begin(archive: &Writer, output: &Output) {
    output.event(
        Event::new("run")
            .with("archive", archive.store.root())
            .with("archive_id", archive.id())
            .with("run_id", &archive.run.id),
    );
}

/// Prints the end of a nightly run: every archived day, and what went wrong.
pub(crate) fn print_run(outcome: &CommandOutcome, output: &Output) {
    let is_archived = outcome.days.iter().any(|day| day.archived.is_some());
    // A night in which every day failed has no table, only the messages.
    let table = is_archived.then(|| days_table(&outcome.days));
    print_end(table.into_iter().collect(), outcome, output);
}

/// Prints the end of a backfill: days that have gaps or failed one by one, and the others as numbers.
pub(crate) fn print_backfill(from: Date, to: Date, outcome: &CommandOutcome, output: &Output) {
    let days = &outcome.days;
    let (complete, incomplete): (Vec<&DayReport>, Vec<&DayReport>) = days
        .iter()
        .filter(|day| day.archived.is_some())
        .partition(|day| day.archived.as_ref().is_some_and(|day| day.complete));
    let segments = days.iter().map(DayReport::segments).sum();
    let mut lines = vec![format!(
        "{from} to {}: {} complete, {} with gaps, {} failed; {}. Days that were already complete are not counted.",
        to.yesterday().unwrap_or(to),
        count(complete.len() as u64, "day"),
        incomplete.len(),
        days.len() - complete.len() - incomplete.len(),
        count(segments, "segment")
    )];
    if !incomplete.is_empty() {
        lines.push(days_table(incomplete));
    }
    print_end(lines, outcome, output);
}

/// Prints the end of a recheck: what has changed, day by day.
pub(crate) fn print_recheck(from: Date, to: Date, outcome: &CommandOutcome, output: &Output) {
    let days = &outcome.days;
    let (changed, unchanged): (Vec<_>, Vec<_>) = days
        .iter()
        .filter_map(|day| Some((day, day.archived.as_ref()?.recheck.as_ref()?)))
        .partition(|(_, recheck)| !recheck.changes.is_empty());
    let mut lines = vec![format!(
        "{from} to {}: {} with changes, {} without, {} failed.",
        to.yesterday().unwrap_or(to),
        count(changed.len() as u64, "day"),
        unchanged.len(),
        days.len() - changed.len() - unchanged.len()
    )];
    if !changed.is_empty() {
        lines.push(changes_table(&changed));
    }
    print_end(lines, outcome, output);
}

/// Emits the event with which a command ends, and prints `lines`, followed by what went wrong and the newest heads.
fn print_end(mut lines: Vec<String>, outcome: &CommandOutcome, output: &Output) {
    emit_summary(outcome, output);
    lines.extend(problems(&outcome.days));
    for unanchored in &outcome.unanchored {
        lines.push(unanchored.message.clone());
        lines.extend(unanchored.remedy.as_ref().map(indented));
    }
    lines.extend(foreign_objects(&outcome.foreign));
    lines.extend(heads(outcome).map(|head| format!("head {head}")));
    output.print_info(lines.join("\n"));
}

/// Emits the event `summary` (`schemas/EVENTS.md`), with the reports of all days.
fn emit_summary(outcome: &CommandOutcome, output: &Output) {
    let unanchored = &outcome.unanchored;
    output.event(
        Event::new("summary")
            .with("exit", outcome.exit.code())
            .with("outcome", outcome.exit)
            .with("days", &outcome.days)
            .with("roster", &outcome.roster)
            .with_if(!unanchored.is_empty(), "unanchored", unanchored)
            .with_if(!outcome.foreign.is_empty(), "foreign", &outcome.foreign),
    );
}

/// Returns the lines about objects at records' numbers that are no records.
fn foreign_objects(keys: &[String]) -> Vec<String> {
    let Some(first) = keys.first() else {
        return Vec::new();
    };
    let more = match keys.len() {
        1 => String::new(),
        number => format!(" and {} more", number - 1),
    };
    vec![
        format!("{first}{more}: no record, because no key that counts has signed it; it was passed over"),
        "  Another principal can create objects in the archive: find out who, and withdraw the permission.".to_owned(),
    ]
}

/// Returns a remedy as the line below its message.
fn indented(remedy: &String) -> String {
    format!("  {remedy}")
}

/// Returns the failures with their remedies, and the warnings, day by day.
pub(crate) fn problems(days: &[DayReport]) -> Vec<String> {
    let mut lines = Vec::new();
    for day in days {
        let label = day.label();
        if let Some(message) = &day.message {
            lines.push(format!("{label} {}: {message}", day.outcome));
            lines.extend(day.remedy.as_ref().map(indented));
        }
        for warning in day.warnings() {
            let acknowledged = match warning.acknowledged {
                true => " (acknowledged)",
                false => "",
            };
            let (name, meaning) = (warning.name(), warning.explain());
            lines.push(format!("{label}: warning {name}{acknowledged}: {meaning}"));
        }
    }
    lines
}

/// Returns the newest head of each chain, and that of the roster, which covers all of them.
pub(crate) fn heads(outcome: &CommandOutcome) -> impl Iterator<Item = &HeadRef> {
    let mut newest = BTreeMap::<&str, &HeadRef>::new();
    for archived in outcome.days.iter().filter_map(|day| day.archived.as_ref()) {
        let head = &archived.head;
        let newer = newest.entry(&head.chain).or_insert(head);
        // Several days of one sub-account may have been committed in any order.
        if head.sequence >= newer.sequence {
            *newer = head;
        }
    }
    newest.into_values().chain(&outcome.roster)
}

/// Returns the table of the archived days: two rows a day, one for each kind of summary.
fn days_table<'a>(days: impl IntoIterator<Item = &'a DayReport>) -> String {
    let mut table = Table::new(
        "sub-account | date | outcome | revision | discovered | segments | summaries | \
         present | empty | not found | failed | other | files | size",
    );
    for day in days {
        // Days that failed are listed in words below the table.
        if let Some(archived) = &day.archived {
            table.row(day_row(day, archived, SummaryKind::Agent));
            table.row(day_row(day, archived, SummaryKind::Auto));
        }
    }
    table.to_string()
}

/// Returns the cells of one kind of summary of a day. Cells about the day as a whole are filled for the first kind only.
fn day_row(day: &DayReport, archived: &ReportedDay, kind: SummaryKind) -> Vec<String> {
    let statuses = archived.counts.statuses(kind);
    let mut cells = vec![
        day.sub_account.clone(),
        date_cell(day),
        day.outcome.to_owned(),
        archived.revision.to_string(),
        archived.objects.map(grouped).unwrap_or_default(),
        grouped(archived.counts.segments),
        kind.name().to_owned(),
    ];
    cells.extend(statuses.columns().map(grouped));
    cells.push(grouped(archived.files as u64));
    cells.push(size(archived.bytes));
    if kind != SummaryKind::Agent {
        // What concerns the day as a whole is in its first row only.
        for column in [0, 1, 2, 3, 4, 5, 12, 13] {
            cells[column].clear();
        }
    }
    cells
}

/// Returns the date; empty for a report about a whole sub-account.
fn date_cell(day: &DayReport) -> String {
    day.date.map(|date| date.to_string()).unwrap_or_default()
}

/// Returns the table of the changes that rechecks have found: two rows a day, one for each kind of summary.
fn changes_table(changed: &[(&DayReport, &Recheck)]) -> String {
    let mut table = Table::new(
        "sub-account | date | new | vanished | returned | metadata | summaries | \
          requested | appeared | edited | withdrawn | other",
    );
    for (day, recheck) in changed {
        table.row(changes_row(day, recheck, SummaryKind::Agent));
        table.row(changes_row(day, recheck, SummaryKind::Auto));
    }
    table.to_string()
}

/// Returns the cells of one kind of summary of a rechecked day, filled like those of [`day_row`].
fn changes_row(day: &DayReport, recheck: &Recheck, kind: SummaryKind) -> Vec<String> {
    let changes = &recheck.changes;
    let summaries = changes.of(kind);
    let mut cells = vec![
        day.sub_account.clone(),
        date_cell(day),
        grouped(changes.new_segments),
        grouped(changes.vanished_segments),
        grouped(changes.returned_segments),
        grouped(changes.changed_metadata),
        kind.name().to_owned(),
        grouped(recheck.looked_at),
        grouped(summaries.appeared),
        grouped(summaries.edited),
        grouped(summaries.withdrawn),
        grouped(summaries.other),
    ];
    if kind != SummaryKind::Agent {
        for column in [0, 1, 2, 3, 4, 5, 7] {
            cells[column].clear();
        }
    }
    cells
}
