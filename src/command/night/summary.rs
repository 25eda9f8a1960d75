//! What a run says at its end: a table for people, one line a day for machines.

use jiff::civil::Date;
use serde::Serialize;

use crate::chain::anchor::Unanchored;
use crate::chain::writer::Writer;
use crate::command::night::sub_accounts::Outcome;
use crate::day::day_outcome::DayOutcome;
use crate::format::record::manifest::{Discovery, Recheck};
use crate::format::record::warning::Warning;
use crate::format::row::observation::{Status, SummaryKind};
use crate::format::row::tally::Tally;
use crate::format::time::range::Days;
use crate::outcome::{Exit, Failure};
use crate::render::{Output, Table, grouped, size};
use crate::ringcx::{LimiterUsage, Limits, Usage};

/// One day of one sub-account, as the run left it.
#[derive(Debug, Clone, Serialize)]
pub struct DayReport {
    pub sub_account: String,
    pub date: Option<Date>,
    pub outcome: &'static str,
    pub exit: Exit,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<Archived>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// When work on it began and ended, in UTC milliseconds.
    #[serde(skip)]
    pub worked_ms: Option<(i64, i64)>,
}

/// What is committed of a day.
#[derive(Debug, Clone, Serialize)]
pub struct Archived {
    pub revision: u32,
    pub complete: bool,
    pub counts: Tally,
    /// Objects that discovery gave, and how many of them repeat a segment; of a revision that asked.
    pub objects: Option<u64>,
    pub duplicates: Option<u64>,
    pub files: usize,
    pub bytes: u64,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256`: what an auditor may be given to expect.
    pub head: String,
    pub warnings: Vec<Warning>,
    /// Of a recheck: what is no longer as it was committed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recheck: Option<Recheck>,
    /// Whether this run did it, or found it done.
    #[serde(skip)]
    pub committed: bool,
}

impl DayReport {
    pub fn of(sub_account: &str, outcome: &DayOutcome) -> DayReport {
        let files = &outcome.record.files;
        let (objects, duplicates) = match &outcome.record.discovery {
            Discovery::Windows {
                objects,
                duplicates,
                ..
            } => (Some(*objects), Some(*duplicates)),
            Discovery::Manifest(_) => (None, None),
        };
        let archived = Archived {
            revision: outcome.record.revision,
            complete: outcome.record.complete,
            counts: outcome.record.day.clone(),
            objects,
            duplicates,
            files: files.len(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            head: outcome.head.of_chain(sub_account).to_string(),
            warnings: outcome.warnings().to_vec(),
            recheck: outcome.record.recheck.clone(),
            committed: outcome.committed > 0,
        };
        DayReport {
            sub_account: sub_account.to_owned(),
            date: Some(outcome.record.date),
            outcome: match (outcome.committed, outcome.record.complete) {
                _ if outcome.disposed => "disposed of",
                (0, true) => "confirmed",
                (0, false) if outcome.acknowledged => "gaps acknowledged",
                (0, false) => "still has gaps",
                (_, true) => "complete",
                (_, false) => "has gaps",
            },
            exit: outcome.exit(),
            archived: Some(archived),
            message: None,
            remedy: None,
            worked_ms: None,
        }
    }

    pub fn failed(sub_account: &str, date: Option<Date>, failure: &Failure) -> DayReport {
        DayReport {
            sub_account: sub_account.to_owned(),
            date,
            outcome: match failure.exit {
                Exit::Later => "later",
                Exit::Denied => "denied",
                Exit::Locked => "locked",
                Exit::Integrity => "violated",
                _ => "failed",
            },
            exit: failure.exit,
            archived: None,
            message: Some(failure.reason()),
            remedy: failure.remedy.clone(),
            worked_ms: None,
        }
    }

    /// After these, other days of the same sub-account would end likewise.
    pub fn ends_sub_account(&self) -> bool {
        self.archived.is_none() && self.exit != Exit::Locked
    }

    fn label(&self) -> String {
        match self.date {
            Some(date) => format!("{} {date}", self.sub_account),
            None => self.sub_account.clone(),
        }
    }

    /// The day as one JSON line.
    pub fn event(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct DayReportEvent<'a> {
            event: &'static str,
            #[serde(flatten)]
            day: &'a DayReport,
        }
        DayReportEvent {
            event: "day",
            day: self,
        }
    }

    pub fn log(&self) {
        let (day, outcome) = (self.label(), self.outcome);
        match (&self.archived, &self.message) {
            (Some(archived), _) => {
                let failed = archived.counts.failed();
                tracing::info!(
                    day,
                    outcome,
                    segments = archived.counts.segments,
                    failed,
                    head = archived.head
                );
                for warning in &archived.warnings {
                    tracing::warn!(day, code = warning.name(), "{}", warning.explain());
                }
            }
            (None, message) => {
                tracing::error!(
                    day,
                    outcome,
                    remedy = self.remedy,
                    "{}",
                    message.as_deref().unwrap_or_default()
                );
            }
        }
    }
}

/// The share of the summary quota that was used so far; `None` without a limit.
pub fn quota_percent(usage: &Usage, limits: &Limits, elapsed_ms: i64) -> Option<f64> {
    let rates = limits
        .0
        .iter()
        .map(|limit| f64::from(limit.requests) / limit.window.as_millis() as f64);
    let allowed = rates.reduce(f64::min)? * elapsed_ms.max(1) as f64;
    Some((100.0 * usage.summaries.requests as f64 / allowed.max(1.0)).min(100.0))
}

/// A short line beside the bar: how the quota is used, and what went wrong so far.
pub fn usage_note(usage: &Usage, quota_percent: Option<f64>, failed: u64) -> String {
    let limiters = [&usage.summaries, &usage.discovery];
    let sum = |count: fn(&LimiterUsage) -> u64| {
        limiters.iter().map(|limiter| count(limiter)).sum::<u64>()
    };
    let (throttled, retries) = (sum(|lane| lane.too_many), sum(|lane| lane.retries));
    let mut note = Vec::new();
    note.extend(quota_percent.map(|percent| format!("quota {percent:.0} %")));
    if usage.summaries.pace < 1.0 {
        note.push(format!(
            "slowed to {:.0} % of the quota",
            usage.summaries.pace * 100.0
        ));
    }
    if throttled > 0 {
        note.push(format!("{throttled} x 429"));
    }
    if retries > 0 {
        note.push(format!("{retries} retries"));
    }
    if failed > 0 {
        note.push(format!("{failed} failed"));
    }
    note.join(", ")
}

/// The beginning of a run, for machines.
pub fn begin(archive: &Writer, output: &Output) {
    #[derive(Serialize)]
    struct RunBeginEvent<'a> {
        event: &'static str,
        archive: String,
        archive_id: &'a str,
        run_id: &'a str,
    }
    let archive_at = archive.store.root();
    output.event(&RunBeginEvent {
        event: "run",
        archive: archive_at,
        archive_id: archive.id(),
        run_id: &archive.run.id,
    });
}

/// The end of a backfill: what has gaps or failed in full, and the rest in numbers.
pub fn finish_backfill(range: Days, outcome: &Outcome, output: &Output) {
    finish_event(outcome, output);
    let Outcome { days, .. } = outcome;
    let archived = || days.iter().filter_map(|day| day.archived.as_ref());
    let complete = archived().filter(|day| day.complete).count();
    let incomplete = archived().count() - complete;
    let failed = days.len() - archived().count();
    let segments = archived().map(|day| day.counts.segments).sum();
    let text = |date: Option<Date>| date.map(|date| date.to_string()).unwrap_or_default();
    let mut lines = vec![format!(
        "{} up to and not including {}: {} complete, {} with gaps, {} failed; {} segments. Days that were sealed before are \
         not counted.",
        text(range.from),
        text(range.to),
        days_of(complete),
        incomplete,
        failed,
        grouped(segments)
    )];
    let wants_eyes = |day: &&DayReport| {
        day.archived
            .as_ref()
            .is_some_and(|archived| !archived.complete)
    };
    let gaps: Vec<DayReport> = days.iter().filter(wants_eyes).cloned().collect();
    lines.extend((!gaps.is_empty()).then(|| table(&gaps)));
    lines.extend(troubles(days));
    lines.extend(unanchored(outcome));
    lines.extend(heads(outcome).map(|head| format!("head {head}")));
    output.print_info(lines.join("\n"));
}

/// The end of a recheck: what has changed, day by day.
pub fn finish_recheck(range: Days, outcome: &Outcome, output: &Output) {
    finish_event(outcome, output);
    let Outcome { days, .. } = outcome;
    let rechecks = days
        .iter()
        .filter_map(|day| Some((day, day.archived.as_ref()?.recheck.as_ref()?)));
    let (changed, unchanged): (Vec<_>, Vec<_>) =
        rechecks.partition(|(_, recheck)| !recheck.changes.is_empty());
    let failed = days.len() - changed.len() - unchanged.len();
    let text = |date: Option<Date>| date.map(|date| date.to_string()).unwrap_or_default();
    let mut lines = vec![format!(
        "{} up to and not including {}: {} with changes, {} without, {} failed.",
        text(range.from),
        text(range.to),
        days_of(changed.len()),
        unchanged.len(),
        failed
    )];
    lines.extend((!changed.is_empty()).then(|| changes_table(&changed)));
    lines.extend(troubles(days));
    lines.extend(unanchored(outcome));
    lines.extend(heads(outcome).map(|head| format!("head {head}")));
    output.print_info(lines.join("\n"));
}

fn changes_table(changed: &[(&DayReport, &Recheck)]) -> String {
    let mut table = Table::new([
        "sub-account",
        "date",
        "new",
        "vanished",
        "returned",
        "metadata",
        "summaries",
        "looked at",
        "appeared",
        "edited",
        "withdrawn",
        "other",
    ]);
    for (day, recheck) in changed {
        for kind in SummaryKind::BOTH {
            let first = kind == SummaryKind::Agent;
            let only_first = |text: String| if first { text } else { String::new() };
            let Recheck {
                looked_at, changes, ..
            } = recheck;
            let summaries = changes.of(kind);
            table.row([
                only_first(day.sub_account.clone()),
                only_first(day.date.map(|date| date.to_string()).unwrap_or_default()),
                only_first(grouped(changes.new_segments)),
                only_first(grouped(changes.vanished_segments)),
                only_first(grouped(changes.returned_segments)),
                only_first(grouped(changes.changed_metadata)),
                kind.name().to_owned(),
                only_first(grouped(*looked_at)),
                grouped(summaries.appeared),
                grouped(summaries.edited),
                grouped(summaries.withdrawn),
                grouped(summaries.other),
            ]);
        }
    }
    table.to_string()
}

fn days_of(count: usize) -> String {
    if count == 1 {
        "1 day".to_owned()
    } else {
        format!("{count} days")
    }
}

/// The end of a run, for people and for machines.
pub fn finish(outcome: &Outcome, output: &Output) {
    finish_event(outcome, output);
    let days = &outcome.days;
    let archived = days.iter().any(|day| day.archived.is_some());
    let mut lines: Vec<String> = archived.then(|| table(days)).into_iter().collect();
    lines.extend(troubles(days));
    lines.extend(unanchored(outcome));
    lines.extend(heads(outcome).map(|head| format!("head {head}")));
    output.print_info(lines.join("\n"));
}

fn finish_event(outcome: &Outcome, output: &Output) {
    #[derive(Serialize)]
    struct SummaryEvent<'a> {
        event: &'static str,
        exit: u8,
        outcome: Exit,
        days: &'a [DayReport],
        roster: Option<&'a str>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        unanchored: &'a [Unanchored],
    }
    let Outcome {
        exit,
        days,
        roster,
        unanchored,
        ..
    } = outcome;
    let roster = roster.as_deref();
    output.event(&SummaryEvent {
        event: "summary",
        exit: exit.code(),
        outcome: *exit,
        days,
        roster,
        unanchored,
    });
}

/// Heads that are kept here only, although they should be kept elsewhere too.
fn unanchored(outcome: &Outcome) -> Vec<String> {
    let lines = |one: &Unanchored| {
        let remedy = one.remedy.as_ref().map(|remedy| format!("  {remedy}"));
        [one.message.clone()].into_iter().chain(remedy)
    };
    outcome.unanchored.iter().flat_map(lines).collect()
}

/// What went wrong, day by day, and what was warned of.
pub fn troubles(days: &[DayReport]) -> Vec<String> {
    let mut lines = Vec::new();
    for day in days {
        if let Some(message) = &day.message {
            lines.push(format!("{} {}: {message}", day.label(), day.outcome));
            lines.extend(day.remedy.as_ref().map(|remedy| format!("  {remedy}")));
        }
        let warnings = day.archived.iter().flat_map(|archived| &archived.warnings);
        lines.extend(warnings.map(|warning| {
            let known = if warning.acknowledged {
                " (acknowledged)"
            } else {
                ""
            };
            format!(
                "{}: warning {}{known}: {}",
                day.label(),
                warning.name(),
                warning.explain()
            )
        }));
    }
    lines
}

/// The newest head of each chain, and that of the roster, which covers all of them.
pub fn heads(outcome: &Outcome) -> impl Iterator<Item = &str> {
    let mut newest = std::collections::BTreeMap::<&str, (u64, &str)>::new();
    for day in &outcome.days {
        let Some(archived) = &day.archived else {
            continue;
        };
        let sequence = archived
            .head
            .split(':')
            .nth(1)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let known = newest
            .entry(&day.sub_account)
            .or_insert((sequence, &archived.head));
        if sequence >= known.0 {
            *known = (sequence, &archived.head);
        }
    }
    newest
        .into_values()
        .map(|(_, head)| head)
        .chain(outcome.roster.as_deref())
}

fn table(days: &[DayReport]) -> String {
    let mut table = Table::new([
        "sub-account",
        "date",
        "outcome",
        "revision",
        "discovered",
        "segments",
        "summaries",
        "present",
        "empty",
        "not found",
        "failed",
        "other",
        "files",
        "size",
    ]);
    for day in days {
        let date = day.date.map(|date| date.to_string()).unwrap_or_default();
        // What failed is told in words below.
        let Some(archived) = &day.archived else {
            continue;
        };
        for kind in SummaryKind::BOTH {
            let statuses = archived.counts.statuses(kind);
            let number = |status| grouped(statuses.get(status));
            let other =
                [Status::Binary, Status::Skipped, Status::NoId].map(|status| statuses.get(status));
            let counts = [
                number(Status::Present),
                number(Status::Empty),
                number(Status::NotFound),
                number(Status::Failed),
                grouped(other.iter().sum()),
            ];
            let first = kind == SummaryKind::Agent;
            let only_first = |text: String| if first { text } else { String::new() };
            let before = [
                only_first(day.sub_account.clone()),
                only_first(date.clone()),
                only_first(day.outcome.to_owned()),
                only_first(archived.revision.to_string()),
                only_first(archived.objects.map(grouped).unwrap_or_default()),
                only_first(grouped(archived.counts.segments)),
                kind.name().to_owned(),
            ];
            let after = [
                only_first(grouped(archived.files as u64)),
                only_first(size(archived.bytes)),
            ];
            table.row(before.into_iter().chain(counts).chain(after));
        }
    }
    table.to_string()
}
