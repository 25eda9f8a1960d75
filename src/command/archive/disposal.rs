//! `cxvault retention dispose`: records that days are disposed of after their retention.
//!
//! The record allows the files of the days to be deleted, which this program never does itself; their manifests stay. A day
//! that is still locked, or that is held for a case, is refused.

use serde::Serialize;

use crate::chain::notes::disposal::dispose;
use crate::chain::{DisposalOutcome, DisposalRequest, Mode};
use crate::cli::records::RetentionDisposeArgs;
use crate::command::Context;
use crate::command::archive::anchor;
use crate::config::Settings;
use crate::format::record::{DateSpan, DisposedDay};
use crate::outcome::{Exit, Result};
use crate::render::{count, size};

/// Runs the command for each sub-account. Failures are printed, and decide the exit code.
///
/// # Errors
/// If the range, a sub-account or the archive cannot be used.
pub(crate) async fn run(
    args: &RetentionDisposeArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let request = DisposalRequest {
        range: args.range.span()?,
        reason: args.record.reason.clone(),
        by: args.record.by.clone(),
    };
    let mode = Mode::of(args.record.dry_run);
    let archive = crate::command::archive::open(settings, mode, context).await?;
    let sub_accounts = crate::command::archive::named_sub_accounts(&archive, context).await?;
    let mut exits = Vec::new();
    for sub_account in &sub_accounts {
        match dispose(&archive, sub_account, &request, mode).await {
            Ok(disposed) => print_result(sub_account, request.range, mode, &disposed, context),
            Err(failure) => {
                context.output.failure(&failure);
                exits.push(failure.exit);
            }
        }
    }
    exits.push(anchor::settle(&archive, &sub_accounts, mode, context).await);
    Ok(Exit::worst(exits))
}

/// The event about a disposal in one sub-account; `schemas/EVENTS.md` documents it.
#[derive(Serialize)]
struct DisposalEvent<'a> {
    event: &'static str,
    sub_account: &'a str,
    days: &'a [DisposedDay],
    days_before: u64,
    files: u64,
    bytes: u64,
    files_there: u64,
    head: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

/// Prints what was recorded for a sub-account, and writes the event.
fn print_result(
    sub_account: &str,
    range: DateSpan,
    mode: Mode,
    disposed: &DisposalOutcome,
    context: &Context,
) {
    let dry_run = mode == Mode::DryRun;
    let DisposalOutcome {
        days,
        before,
        files_there,
        ..
    } = disposed;
    let head = disposed
        .head
        .as_ref()
        .map(|head| head.of_chain(sub_account).to_string());
    let files: u64 = days.iter().map(|day| day.files).sum();
    let bytes: u64 = days.iter().map(|day| day.bytes).sum();
    context.output.event(&DisposalEvent {
        event: "disposed",
        sub_account,
        days,
        days_before: *before,
        files,
        bytes,
        files_there: *files_there,
        head: head.as_deref(),
        dry_run,
    });
    let done = if days.is_empty() {
        "there is nothing to dispose of".to_owned()
    } else {
        format!(
            "{} {}: {}, {}; in the store: {}",
            count(days.len() as u64, "day"),
            if dry_run {
                "can be disposed of; nothing was recorded"
            } else {
                "disposed of"
            },
            count(files, "file"),
            size(bytes),
            count(*files_there, "file")
        )
    };
    let mut lines = vec![format!("{sub_account} {range}: {done}")];
    if *before > 0 {
        lines.push(format!("  disposed of before: {}", count(*before, "day")));
    }
    lines.extend(head.iter().map(|head| format!("head {head}")));
    context.output.print_info(lines.join("\n"));
}
