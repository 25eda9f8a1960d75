//! `cxvault retention dispose`: records that days are disposed of after their retention.
//!
//! The record allows the files of the days to be deleted, which this program never does itself; their manifests stay. A day
//! that is still locked, or that is held for a case, is refused.
//!
//! The command reads the chain of each named sub-account for the locks and holds that it requires, asks the store which files of
//! the days are still there, and appends one signed record. It deletes nothing because the credentials of the writer must not be
//! able to: a lifecycle rule of the bucket or an administrator removes the files, and `cxvault verify` then accepts that the
//! files of exactly these days are gone.
//!
//! A command that is killed has recorded the days of some sub-accounts; the same command skips them as disposed of before.

use crate::chain::notes::disposal::dispose;
use crate::chain::{DisposalOutcome, DisposalRequest, Mode};
use crate::cli::records::RetentionDisposeArgs;
use crate::command::Context;
use crate::command::archive::{self, head_of, print_record, record_each};
use crate::config::Settings;
use crate::format::record::DateSpan;
use crate::outcome::{Exit, Result};
use crate::render::{Event, count, size};

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
    let archive = archive::open(settings, mode, context).await?;
    // Days of all sub-accounts are disposed of only if the operator names all of them.
    let sub_accounts = archive::named_sub_accounts(&archive, context).await?;
    let exit = record_each(
        &archive,
        &sub_accounts,
        mode,
        context,
        async |sub_account| {
            let disposed = dispose(&archive, sub_account, &request, mode).await?;
            print_result(sub_account, request.range, mode, &disposed, context);
            Ok(())
        },
    );
    Ok(exit.await)
}

/// Prints what was recorded for a sub-account, and writes the event.
///
/// The number of files that the store still has says what is left to delete; it is 0 when the same command runs again later.
fn print_result(
    sub_account: &str,
    range: DateSpan,
    mode: Mode,
    disposed: &DisposalOutcome,
    context: &Context,
) {
    let DisposalOutcome {
        days,
        before,
        files_there,
        ..
    } = disposed;
    let files: u64 = days.iter().map(|day| day.files).sum();
    let bytes: u64 = days.iter().map(|day| day.bytes).sum();
    let done = if days.is_empty() {
        "there is nothing to dispose of".to_owned()
    } else {
        format!(
            "{} {}: {}, {}; in the store: {}",
            count(days.len() as u64, "day"),
            match mode {
                Mode::DryRun => "can be disposed of; nothing was recorded",
                Mode::Act => "disposed of",
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
    let event = Event::new("disposed")
        .with("sub_account", sub_account)
        .with("days", days)
        .with("days_before", before)
        .with("files", files)
        .with("bytes", bytes)
        .with("files_there", files_there);
    let head = head_of(disposed.head.as_ref(), sub_account);
    print_record(event, lines, head, mode, context);
}
