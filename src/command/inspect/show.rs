//! `cxvault show`: everything that is archived of one segment, dialog or interaction.
//!
//! Each committed row is printed, the oldest revision first, with the manifest that committed it. The summary hashes
//! of the row and the hash of its file are computed again, so that the answer can be used without a verification.
//!
//! The id is compared with the segment, dialog and interaction ids of the rows. Bloom filters in each part say whether it
//! can contain the id, so that only few parts are read. The command writes nothing apart from temporary copies of these
//! parts.

use crate::audit::find::{FoundRow, find};
use crate::cli::audit::ShowArgs;
use crate::command::inspect::shown;
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::format::row::{COLUMNS, Cell, Observation, SummaryKind, Type};
use crate::format::time::day::rfc3339;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Event, printable};

/// Prints every committed row of a segment, or of the segments of a dialog or interaction, with what was verified.
///
/// # Errors
/// [`Exit::Usage`] if nothing is found; [`Exit::Integrity`] if a row or its file is not what was committed. Such rows
/// are printed nevertheless, because an auditor has to see what was changed.
pub(crate) async fn run(args: &ShowArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let range = args.range.days()?;
    let source = inspect::open(settings, None, context).await?;
    let mut rows_found = 0;
    let (mut all_hold, mut left_out) = (true, false);
    for sub_account in inspect::sub_accounts(&source, context).await? {
        let (timeline, without) =
            inspect::readable(&source, &sub_account, &range, &context.output).await?;
        left_out |= without;
        for found in find(&source, &timeline, &args.id).await? {
            rows_found += 1;
            all_hold &= found.hashes_hold && found.file_holds;
            context.output.event(event(&found));
            context.output.print(text(&found));
        }
    }
    if rows_found == 0 {
        let but = inspect::but_for_disposed(left_out);
        let message = format!("nothing is archived of {}{but}", printable(&args.id));
        return Err(Failure::usage(message).remedy(
            "Check the id, and that --from, --to and --sub-account (if given) are wide enough; `cxvault status` \
             shows which days are archived.",
        ));
    }
    if all_hold {
        Ok(Exit::Done)
    } else {
        Err(violated())
    }
}

/// Returns the failure with which the command ends if a row was changed.
fn violated() -> Failure {
    Failure::integrity("some of the rows above are not what was committed")
        .remedy("Run `cxvault verify` to list every finding.")
}

/// Returns a row's columns that are not null, under their names; instants as RFC 3339.
pub fn columns(row: &crate::format::row::Row) -> serde_json::Map<String, serde_json::Value> {
    let cells = row.clone().into_cells();
    let mut columns = serde_json::Map::new();
    for (column, cell) in COLUMNS.iter().zip(cells) {
        let value = match cell {
            Cell::Null => continue,
            Cell::Text(text) => text.into(),
            Cell::Bool(value) => value.into(),
            Cell::Int(number) if column.kind == Type::Time => rfc3339(number).into(),
            Cell::Int(number) => number.into(),
        };
        columns.insert(column.name.to_owned(), value);
    }
    columns
}

/// Returns the event `row`, which contains every column of the row.
fn event(found: &FoundRow) -> Event {
    let revision = &found.revision;
    Event::new("row")
        .with("sub_account", &found.sub_account)
        .with("date", found.date)
        .with("manifest", &revision.manifest.key)
        .with("manifest_sha256", revision.manifest.sha256)
        .with("committed_at", revision.run.finished_at)
        .with("run", &revision.run.id)
        .with("signed_by", &revision.signed_by)
        .with("file", &found.file.key)
        .with("summary_hashes_hold", found.hashes_hold)
        .with("file_hash_holds", found.file_holds)
        .with("row", columns(&found.row))
}

/// Describes a row for people, one fact a line; facts without a value are omitted.
fn text(found: &FoundRow) -> String {
    let FoundRow { revision, row, .. } = found;
    let mut lines = Lines::default();
    segment(found, &mut lines);
    for kind in SummaryKind::BOTH {
        observation(kind, row.observation(kind), &mut lines);
    }
    lines.add("file", &found.file.key);
    lines.add(
        "manifest",
        format!("{} {}", revision.manifest.key, revision.manifest.sha256),
    );
    lines.add(
        "committed",
        format!("{} by {}", revision.run.finished_at, revision.run.id),
    );
    lines.add("verified", verified(found));
    lines.0
}

/// The lines of a row, each with the name of a fact and its value.
#[derive(Default)]
struct Lines(String);

impl Lines {
    /// Adds a fact; one without a value is omitted.
    fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        if !value.is_empty() {
            self.0.push_str(&format!("{name:<16} {value}\n"));
        }
    }
}

/// Adds the lines about the segment itself.
fn segment(found: &FoundRow, lines: &mut Lines) {
    let row = &found.row;
    let metadata = &row.segment.metadata;
    lines.add("segment", printable(&row.segment.key()));
    lines.add("dialog", shown(&metadata.dialog_id));
    lines.add("interaction", shown(&metadata.interaction_id));
    let (sub_account, date, revision) = (&found.sub_account, found.date, row.revision);
    lines.add(
        "archive day",
        format!("{sub_account} {date}, revision {revision}"),
    );
    let (class, kind) = (
        shown(&metadata.channel_class),
        shown(&metadata.channel_type),
    );
    lines.add("channel", format!("{class} {kind}").trim());
    lines.add("type", shown(&metadata.segment_type));
    lines.add("participant", shown(&metadata.segment_participant_id));
    lines.add("queue", shown(&metadata.segment_agent_group_id));
    for (name, time) in [
        ("start", metadata.segment_start_time),
        ("end", metadata.segment_end_time),
    ] {
        lines.add(name, time.map(rfc3339).unwrap_or_default());
    }
    lines.add(
        "discovered",
        format!("{} by {}", rfc3339(row.discovered_at), row.discovered_by),
    );
    if row.vanished {
        lines.add("vanished", "RingCX no longer lists it");
    }
    if row.other_answers.is_some() {
        lines.add(
            "other answers",
            "RingCX returned differing objects; see other_answers_json with --json",
        );
    }
}

/// Adds the lines about one summary: its status, when and by which run it was fetched, its hash, and its text or bytes.
fn observation(kind: SummaryKind, observation: &Observation, lines: &mut Lines) {
    let when = observation.fetched_at.map(|fetched_at| {
        format!(
            ", fetched {} by {}",
            rfc3339(fetched_at),
            observation.observed_by
        )
    });
    let error = observation
        .error
        .as_ref()
        .map(|error| format!(" ({error})"))
        .unwrap_or_default();
    lines.add(
        kind.name(),
        format!("{}{error}{}", observation.status, when.unwrap_or_default()),
    );
    lines.add(
        "  sha256",
        observation
            .sha256
            .map(|sha256| sha256.hex())
            .unwrap_or_default(),
    );
    lines.add(
        "  text",
        observation
            .summary
            .as_deref()
            .map(printable)
            .unwrap_or_default(),
    );
    lines.add(
        "  base64",
        observation.binary.as_deref().unwrap_or_default(),
    );
}

/// Describes what was verified, and nothing beyond it: whether a signer is trusted, for example, is left to `cxvault verify`.
fn verified(found: &FoundRow) -> String {
    let signed = match &found.revision.signed_by {
        Some(key) => format!("manifest signed by {key}"),
        None => "manifest not signed".to_owned(),
    };
    format!(
        "{}; {}; chain up to the head; {signed}",
        verdict(found.hashes_hold, "summary hashes"),
        verdict(found.file_holds, "file hash")
    )
}

/// Returns the name of a check that held, or the name in capitals of one that did not.
fn verdict(holds: bool, what: &str) -> String {
    if holds {
        what.to_owned()
    } else {
        format!("VIOLATED: not {what}")
    }
}
