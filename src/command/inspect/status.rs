//! `cxvault status`: which days are archived, and what they contain.
//!
//! The calendar comes from the manifests alone, so years of days are shown without reading a part. Only `--by` reads
//! rows.
//!
//! Each chain is read and verified up to its head, printed, and dropped before the next one is read. The command writes
//! nothing, and a day with gaps is no failure of it: the exit code is 0. A script that should notice gaps reads the event
//! `status`, or calls `cxvault verify`, whose exit code says so.
//!
//! ```text
//! 99999999  days in UTC, last commit 2026-11-21T03:12:09Z
//!   2026-11                 #o!##             144 segments
//!   2026-11-18  3 summaries without an answer
//! ```

use std::collections::BTreeMap;

use serde::Serialize;

use crate::audit::calendar::{Calendar, CalendarDay};
use crate::audit::shares;
use crate::audit::shares::{Grouping, Shares};
use crate::chain::{OmittedDays, Timeline};
use crate::cli::audit::StatusArgs;
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::format::record::DayState;
use crate::format::row::{Status, Statuses, SummaryKind, Tally};
use crate::outcome::{Exit, Result};
use crate::render::{Event, Output, Table, count, grouped, printable, size};

/// Prints a calendar of each chain, the roster, and the totals; with `--by`, also the shares of each group.
///
/// Only `--by` reads rows; everything else comes from the manifests.
///
/// # Errors
/// [`Exit::Usage`] for an empty range; [`Exit::Integrity`] for a damaged chain or part; the store's errors.
pub(crate) async fn run(args: &StatusArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let range = args.range.days()?;
    let source = inspect::open(settings, None, context).await?;
    let output = &context.output;
    let (mut all, mut by_all) = (StatusTotals::default(), Shares::new());
    for sub_account in inspect::sub_accounts(&source, context).await? {
        let mut timeline = Timeline::read(&source, &sub_account, &range).await?;
        let calendar = Calendar::of(&timeline, &range);
        // The calendar counts disposed days by their manifests; the rows below are read without them.
        let disposed = timeline.leave_out_disposed();
        print_calendar(&calendar, &disposed, output);
        all.add(&calendar);
        if let Some(by) = args.by {
            for (name, tally) in shares::shares(&source, &timeline, by).await? {
                by_all.entry(name).or_default().merge(&tally);
            }
        }
    }
    inspect::roster::print_roster(&source, output).await?;
    if let Some(by) = args.by {
        print_shares(by, &by_all, output);
    }
    print_summary(&all, output);
    Ok(Exit::Done)
}

/// Sums over all sub-accounts. The fields are the members of the event `status`.
#[derive(Debug, Default, Serialize)]
struct StatusTotals {
    sub_accounts: u64,
    days_complete: u64,
    days_empty: u64,
    days_with_gaps: u64,
    days_acknowledged: u64,
    days_missing: u64,
    days_disposed: u64,
    files: u64,
    bytes: u64,
    counts: Tally,
}

impl StatusTotals {
    /// Adds the days of one sub-account.
    fn add(&mut self, calendar: &Calendar) {
        self.sub_accounts += 1;
        self.days_complete += calendar.count(DayState::Complete);
        self.days_empty += calendar.count(DayState::Empty);
        self.days_with_gaps += calendar.count(DayState::Gaps);
        self.days_acknowledged += calendar.count(DayState::Acknowledged);
        self.days_missing += calendar.count(DayState::Missing);
        self.days_disposed += calendar.count(DayState::Disposed);
        self.files += calendar.days.iter().map(|day| day.files).sum::<u64>();
        self.bytes += calendar.days.iter().map(|day| day.bytes).sum::<u64>();
        self.counts.merge(&calendar.total());
    }
}

/// Prints the events and the text of one chain.
fn print_calendar(calendar: &Calendar, disposed: &[OmittedDays], output: &Output) {
    let sub_account = &calendar.sub_account;
    for day in &calendar.days {
        let event = Event::new("day-status").with("sub_account", sub_account);
        output.event(event.merge(day));
    }
    let without_ai: Vec<&str> = calendar
        .groups_without_ai()
        .map(|(group, _)| group)
        .collect();
    output.event(
        Event::new("chain")
            .with("sub_account", sub_account)
            .with("zone", &calendar.zone)
            .with("head", &calendar.head)
            .with("committed_at", calendar.committed_at)
            .with("first_day", calendar.archived.map(|(first, _)| first))
            .with("last_day", calendar.archived.map(|(_, last)| last))
            .with("agent_groups_without_ai_summaries", without_ai),
    );
    for left_out in disposed {
        inspect::emit_left_out(left_out, output);
    }
    output.print(text(calendar, disposed));
}

/// Describes one chain: a line for each month with one character for each day, then what needs attention.
fn text(calendar: &Calendar, disposed: &[OmittedDays]) -> String {
    let mut lines = vec![format!(
        "{}  days in {}, last commit {}",
        calendar.sub_account, calendar.zone, calendar.committed_at
    )];
    lines.extend(month_lines(&calendar.days));
    for day in calendar
        .days
        .iter()
        .filter(|day| matches!(day.state, DayState::Gaps | DayState::Acknowledged))
    {
        lines.push(format!(
            "  {}  {} without an answer",
            day.date,
            count(day.counts.failed(), "summary")
        ));
    }
    for day in &calendar.days {
        lines.extend(day.warnings.iter().map(|warning| {
            format!(
                "  {}  warning {}: {}",
                day.date,
                warning.name(),
                warning.explain()
            )
        }));
    }
    lines.extend(
        disposed
            .iter()
            .map(|days| format!("  {}", inspect::left_out_text(days))),
    );
    for (group, share) in calendar.groups_without_ai() {
        lines.push(format!("  {}", without_ai(group, share.segments)));
    }
    lines.push(format!("  head {}\n", calendar.head));
    lines.join("\n")
}

/// Returns a line for each month: one character for each day, and the number of segments.
fn month_lines(days: &[CalendarDay]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut months: BTreeMap<(i16, i8), Vec<&CalendarDay>> = BTreeMap::new();
    for day in days {
        months
            .entry((day.date.year(), day.date.month()))
            .or_default()
            .push(day);
    }
    for ((year, month), days) in months {
        let mut row = [' '; 31];
        for day in &days {
            if let Some(place) =
                row.get_mut(usize::from(day.date.day().unsigned_abs()).saturating_sub(1))
            {
                *place = mark(day.state);
            }
        }
        let segments: u64 = days.iter().map(|day| day.counts.segments).sum();
        let later = days.iter().filter(|day| day.revisions > 1).count();
        let later = match later {
            0 => String::new(),
            days => format!(", {} with several revisions", count(days as u64, "day")),
        };
        let row: String = row.iter().collect();
        lines.push(format!(
            "  {year}-{month:02}  {row}  {}{later}",
            count(segments, "segment")
        ));
    }
    lines
}

/// Returns the character of a day in the calendar; the summary line explains them.
fn mark(state: DayState) -> char {
    match state {
        DayState::Complete => '#',
        DayState::Empty => 'o',
        DayState::Gaps => '!',
        DayState::Acknowledged => 'a',
        DayState::Missing => '.',
        DayState::Disposed => 'd',
    }
}

/// Returns the name of a group, which RingCX may leave empty.
fn group_name(name: &str) -> String {
    match name {
        "" => "(none)".to_owned(),
        name => printable(name),
    }
}

/// Returns the hint about a group whose interactions have no AI summaries at all: usually the queue is not configured for
/// them.
fn without_ai(group: &str, segments: u64) -> String {
    let group = group_name(group);
    format!(
        "agent group {group} has no AI summary on any of {}: in RingCX Admin, open Routing, Queues & Skills, \
         select the queue, and enable AI summaries",
        count(segments, "segment")
    )
}

/// Prints the table of the groups, with two rows for each: one for the agents' summaries and one for those of the AI.
fn print_shares(by: Grouping, shares: &Shares, output: &Output) {
    let heading = by.name();
    let mut table = Table::new(&format!(
        "{heading} | segments | summaries | present | empty | not found | failed | other"
    ));
    for (name, counts) in shares {
        output.event(
            Event::new("share")
                .with("by", heading)
                .with("name", name)
                .with("counts", counts),
        );
        for kind in SummaryKind::BOTH {
            // The name and the segments are in the first of the two rows only.
            let [shown, segments] = match kind {
                SummaryKind::Agent => [group_name(name), grouped(counts.segments)],
                SummaryKind::Auto => [String::new(), String::new()],
            };
            let mut cells = vec![shown, segments, kind.name().to_owned()];
            cells.extend(percents(counts.statuses(kind)));
            table.row(cells);
        }
    }
    output.print(format!("{table}\n"));
    if by == Grouping::AgentGroup {
        for (group, counts) in shares.iter().filter(|(_, counts)| counts.auto.present == 0) {
            output.print(without_ai(group, counts.segments));
        }
    }
}

/// Returns the shares of present, empty, not found, failed and all other summaries.
fn percents(statuses: &Statuses) -> Vec<String> {
    let all = statuses.total().max(1);
    statuses.columns().map(|part| percent(part, all)).to_vec()
}

/// Returns a share in whole percent. It is never rounded to 0 % or 100 %: that would hide the exceptions, which are what an
/// operator looks for.
fn percent(part: u64, all: u64) -> String {
    match (part * 100 + all / 2) / all {
        0 if part > 0 => "<1 %".to_owned(),
        100 if part < all => ">99 %".to_owned(),
        percent => format!("{percent} %"),
    }
}

/// Prints the event `status`, the days by state and the summaries by status. The first line is also the legend of the calendar.
fn print_summary(all: &StatusTotals, output: &Output) {
    output.event(Event::new("status").merge(all));
    let mut table =
        Table::new("summaries | present | empty | not found | failed | binary | skipped | no id");
    for kind in SummaryKind::BOTH {
        let statuses = all.counts.statuses(kind);
        let shown = [
            Status::Present,
            Status::Empty,
            Status::NotFound,
            Status::Failed,
            Status::Binary,
            Status::Skipped,
            Status::NoId,
        ];
        let cells = shown.map(|status| grouped(statuses.get(status)));
        table.row([kind.name().to_owned()].into_iter().chain(cells));
    }
    output.print(format!(
        "{} complete (#), {} empty (o), {} with gaps (!), {} acknowledged (a), {} missing (.), {} disposed of (d)\n\
         {} in {}, {}\n{table}",
        count(all.days_complete, "day"),
        grouped(all.days_empty),
        grouped(all.days_with_gaps),
        grouped(all.days_acknowledged),
        grouped(all.days_missing),
        grouped(all.days_disposed),
        count(all.counts.segments, "segment"),
        count(all.files, "file"),
        size(all.bytes),
    ));
}
