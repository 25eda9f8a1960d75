//! The commands that change an archive apart from archiving days: records in the chains (acknowledgement, legal hold,
//! retention, disposal, takeover), and copies.
//!
//! A record command opens the chains of some sub-accounts, appends one signed record to each, applies it to the objects in the
//! store (locks and holds), and stores the new heads at the anchor. The record comes first: a command that is killed between
//! record and objects is completed by running it again, and `cxvault verify` reports what is missing. With `--dry-run`
//! everything is read and checked, and nothing is written.
//!
//! The modules here read the arguments and print the results. The work itself is in [`crate::chain::notes`] and
//! [`crate::copy`].

use crate::chain::{Archive, Mode, Roster, Writer};
use crate::command::{Context, inspect, wiring};
use crate::config::Settings;
use crate::format::record::head::{Head, HeadRef};
use crate::outcome::{Exit, Failure, Result};
use crate::render::Event;

pub mod acknowledge;
pub mod anchor;
pub mod copy;
pub mod disposal;
pub mod hold;
pub mod retention;
pub mod signers;
pub mod takeover;

/// Opens an existing archive for a record command. With [`Mode::DryRun`] nothing is written.
///
/// # Errors
/// `Exit::Usage` if there is no archive, or if it is a copy that was not taken over.
async fn open(settings: &Settings, mode: Mode, context: &Context) -> Result<Writer> {
    let archive = wiring::open_existing(settings, mode, context).await?;
    Roster::open_to_write(&archive, mode).await?;
    Ok(archive)
}

/// Appends a record to the chain of each sub-account with `record`, which also prints the result, and then stores the new
/// heads at the anchor. Returns the worst exit code.
///
/// A failure in one sub-account is printed, and the others still get their record: a hold or a longer lock must not be missing
/// in 199 sub-accounts because one of them cannot be read.
async fn record_each(
    archive: &Writer,
    sub_accounts: &[String],
    mode: Mode,
    context: &Context,
    record: impl AsyncFn(&str) -> Result<()>,
) -> Exit {
    let mut exits = Vec::new();
    for sub_account in sub_accounts {
        if let Err(failure) = record(sub_account).await {
            context.output.failure(&failure);
            exits.push(failure.exit);
        }
    }
    exits.push(anchor::settle(archive, sub_accounts, mode, context).await);
    Exit::worst(exits)
}

/// Prints what a record command did in one chain: the lines and the new head for people, and the event for programs.
///
/// The head is printed because it is what an auditor keeps: it fixes the chain up to this record. Only a dry run has the
/// member `dry_run`.
fn print_record(
    event: Event,
    mut lines: Vec<String>,
    head: Option<HeadRef>,
    mode: Mode,
    context: &Context,
) {
    lines.extend(head.iter().map(|head| format!("head {head}")));
    context.output.print_info(lines.join("\n"));
    let event = event.with("head", head);
    context
        .output
        .event(event.with_if(mode == Mode::DryRun, "dry_run", true));
}

/// Returns a head with the name of its sub-account.
fn head_of(head: Option<&Head>, sub_account: &str) -> Option<HeadRef> {
    head.map(|head| head.of_chain(sub_account))
}

/// Returns the words before a participle: a dry run says what would be done.
fn would_be(mode: Mode) -> &'static str {
    match mode {
        Mode::DryRun => "would be ",
        Mode::Act => "",
    }
}

/// Returns the end of a line about a record that an earlier command has committed; `records` is the number of new records.
fn unless_new(records: u64) -> &'static str {
    match records {
        0 => " (the chain has this record already)",
        _ => "",
    }
}

/// Returns the sub-accounts that `--sub-account` names, or the only one of the archive.
///
/// # Errors
/// `Exit::Usage` if the archive has several and none is named: such a record cannot be withdrawn, so it is not written for
/// all of them by default.
async fn named_sub_accounts(source: &Archive, context: &Context) -> Result<Vec<String>> {
    let all = inspect::sub_accounts(source, context).await?;
    if all.len() > 1 && context.sub_accounts.is_empty() {
        let message = format!(
            "the archive has {} sub-accounts, and the command names none",
            all.len()
        );
        return Err(Failure::usage(message).remedy(format!(
            "Name sub-accounts with --sub-account. The archive has: {}.",
            all.join(", ")
        )));
    }
    Ok(all)
}
