//! `cxvault show`: everything that is archived of one segment, dialog or interaction.

use serde::Serialize;

use crate::audit::find::{FoundRow, find};
use crate::cli::audit::ShowArgs;
use crate::command::Context;
use crate::config::Settings;
use crate::format::row::observation::{Observation, SummaryKind};
use crate::format::row::schema::{COLUMNS, Cell, Type};
use crate::format::time::day::rfc3339;
use crate::outcome::{Exit, Failure, Result};
use crate::render::printable;

pub async fn run(args: &ShowArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let range = args.range.days()?;
    let source = crate::command::inspect::open(settings, None, context).await?;
    let mut shown = 0;
    let (mut holds, mut left_out) = (true, false);
    for sub_account in crate::command::inspect::sub_accounts(&source, context).await? {
        let (timeline, without) =
            crate::command::inspect::readable(&source, &sub_account, &range, &context.output)
                .await?;
        left_out |= without;
        for found in find(&source, &timeline, &args.id).await? {
            shown += 1;
            holds &= found.hashes_hold && found.file_holds;
            context.output.event(&event(&found));
            context.output.print(text(&found));
        }
    }
    if shown == 0 {
        let but = crate::command::inspect::but_for_disposed(left_out);
        let message = format!("nothing is archived of {}{but}", printable(&args.id));
        return Err(Failure::new(Exit::Usage, message).remedy(
            "Check the id, and that --from, --to and --sub-account (if given) are wide enough; `cxvault status` \
             shows which days are archived.",
        ));
    }
    // Shown all the same: an auditor wants to see what was changed.
    if holds {
        Ok(Exit::Done)
    } else {
        Err(violated())
    }
}

fn violated() -> Failure {
    Failure::new(
        Exit::Integrity,
        "some of what is shown is not what was committed",
    )
    .remedy("Run `cxvault verify` for all findings.")
}

/// A row's columns that are not null, under their names.
pub fn columns(row: &crate::format::row::Row) -> serde_json::Map<String, serde_json::Value> {
    let cells = row.clone().into_cells();
    let value = |(column, cell): (&crate::format::row::schema::Column, Cell)| {
        let value = match cell {
            Cell::Null => return None,
            Cell::Text(text) => text.into(),
            Cell::Bool(value) => value.into(),
            Cell::Int(number) if column.kind == Type::Time => rfc3339(number).into(),
            Cell::Int(number) => number.into(),
        };
        Some((column.name.to_owned(), value))
    };
    COLUMNS.iter().zip(cells).filter_map(value).collect()
}

fn event(found: &FoundRow) -> impl Serialize {
    #[derive(Serialize)]
    struct RevisionEvent {
        event: &'static str,
        sub_account: String,
        date: Date,
        manifest: String,
        manifest_sha256: String,
        committed_at: String,
        run: String,
        signed_by: Option<String>,
        file: String,
        summary_hashes_hold: bool,
        file_hash_holds: bool,
        row: serde_json::Map<String, serde_json::Value>,
    }
    RevisionEvent {
        event: "row",
        sub_account: found.sub_account.clone(),
        date: found.date,
        manifest: found.revision.manifest.key.clone(),
        manifest_sha256: found.revision.manifest.sha256.hex(),
        committed_at: rfc3339(found.revision.run.finished_at),
        run: found.revision.run.id.clone(),
        signed_by: found.revision.signed_by.clone(),
        file: found.file.key.clone(),
        summary_hashes_hold: found.hashes_hold,
        file_hash_holds: found.file_holds,
        row: columns(&found.row),
    }
}

fn text(found: &FoundRow) -> String {
    let FoundRow { revision, row, .. } = found;
    let metadata = &row.segment.metadata;
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{name:<16} {value}"));
        }
    };
    let shown = |value: &Option<String>| value.as_deref().map(printable).unwrap_or_default();
    let time = |value: Option<i64>| value.map(rfc3339).unwrap_or_default();
    line("segment", printable(&row.segment.key()));
    line("dialog", shown(&metadata.dialog_id));
    line("interaction", shown(&metadata.interaction_id));
    line(
        "archive day",
        format!(
            "{} {}, revision {}",
            found.sub_account, found.date, row.revision
        ),
    );
    line(
        "channel",
        format!(
            "{} {}",
            shown(&metadata.channel_class),
            shown(&metadata.channel_type)
        )
        .trim()
        .into(),
    );
    line("type", shown(&metadata.segment_type));
    line("participant", shown(&metadata.segment_participant_id));
    line("queue", shown(&metadata.segment_agent_group_id));
    line("start", time(metadata.segment_start_time));
    line("end", time(metadata.segment_end_time));
    line(
        "discovered",
        format!("{} by {}", rfc3339(row.discovered_at), row.discovered_by),
    );
    if row.vanished {
        line("vanished", "RingCX no longer lists it".into());
    }
    if row.other_answers.is_some() {
        line(
            "other answers",
            "RingCX gave differing objects; see other_answers_json with --json".into(),
        );
    }
    for kind in SummaryKind::BOTH {
        observation(kind, row.observation(kind), &mut line);
    }
    line("file", found.file.key.clone());
    line(
        "manifest",
        format!("{} {}", revision.manifest.key, revision.manifest.sha256),
    );
    line(
        "committed",
        format!(
            "{} by {}",
            rfc3339(revision.run.finished_at),
            revision.run.id
        ),
    );
    line("verified", verified(found));
    lines.join("\n") + "\n"
}

fn observation(kind: SummaryKind, look: &Observation, line: &mut impl FnMut(&str, String)) {
    let when = look
        .fetched_at
        .map(|at| format!(", fetched {} by {}", rfc3339(at), look.observed_by));
    let error = look
        .error
        .as_ref()
        .map(|error| format!(" ({error})"))
        .unwrap_or_default();
    line(
        kind.name(),
        format!("{}{error}{}", look.status, when.unwrap_or_default()),
    );
    line(
        "  sha256",
        look.sha256.map(|sha256| sha256.hex()).unwrap_or_default(),
    );
    line(
        "  text",
        look.summary.as_deref().map(printable).unwrap_or_default(),
    );
    line("  base64", look.binary.clone().unwrap_or_default());
}

/// What was checked, and nothing beyond it.
fn verified(found: &FoundRow) -> String {
    let said = |holds: bool, what: &str| {
        if holds {
            what.to_owned()
        } else {
            format!("VIOLATED: not {what}")
        }
    };
    let signed = match &found.revision.signed_by {
        Some(key) => format!("manifest signed by {key}"),
        None => "manifest not signed".to_owned(),
    };
    format!(
        "{}; {}; chain up to the head; {signed}",
        said(found.hashes_hold, "summary hashes"),
        said(found.file_holds, "file hash")
    )
}
