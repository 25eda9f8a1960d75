//! The auditor's commands. They read the archive with read access only, and need neither RingCX nor a journal.
//!
//! Each command is one file, and its `run` reads from top to bottom: it opens the archive, reads the chains of the
//! sub-accounts one after the other, prints what it finds while it reads, and ends with a summary. Every command prints
//! the same facts twice: as text for people, and with `--json` as events (`schemas/EVENTS.md`). Text from the archive
//! goes through [`printable`] before a terminal shows it.
//!
//! ```text
//! status, ls, show, search      what the archive contains
//! verify                        whether it is complete and unchanged
//! export, evidence, report      files for other people
//! prove, check_receipt          a proof of one row
//! roster                        the lines about the roster, which status and ls share
//! ```

use std::path::Path;
use std::sync::Arc;

use crate::chain::{Archive, OmittedDays, Timeline};
use crate::clock::SystemClock;
use crate::command::{Context, wiring};
use crate::config::Settings;
use crate::format::signature::AllowedSigners;
use crate::format::time::Days;
use crate::outcome::{Failure, Result};
use crate::render::{Event, Output, count, printable};

pub mod check_receipt;
pub mod evidence;
pub mod export;
pub mod ls;
pub mod prove;
pub mod report;
pub mod roster;
pub mod search;
pub mod show;
pub mod status;
pub mod verify;

/// Opens the archive for reading.
///
/// `signers` is the file of `--allowed-signers`, which takes precedence over the settings.
///
/// # Errors
/// `Exit::Usage` for a file that cannot be read as allowed_signers; the store's errors, and those of `archive.json`.
pub async fn open(
    settings: &Settings,
    signers: Option<&Path>,
    context: &Context,
) -> Result<Archive> {
    let allowed = trusted(settings, signers)?;
    let store = wiring::open_store(settings, Arc::new(SystemClock), context).await?;
    Archive::open(store, allowed, context.cancel.clone()).await
}

/// Returns the keys whose signatures count: those of the file of `--allowed-signers`, or those of the settings.
///
/// # Errors
/// `Exit::Usage` for a file that cannot be read as allowed_signers.
pub(crate) fn trusted(settings: &Settings, signers: Option<&Path>) -> Result<AllowedSigners> {
    match signers {
        Some(file) => allowed_signers(file, &settings.signer_identity),
        None => settings.trusted_signers(),
    }
}

/// Returns the sub-accounts of `--sub-account`, or all of the archive's.
///
/// The setting `sub_accounts` is not used: it names what to archive from now on, and older sub-accounts are still part
/// of the archive.
///
/// # Errors
/// `Exit::Usage` for a sub-account that the archive does not contain.
pub async fn sub_accounts(source: &Archive, context: &Context) -> Result<Vec<String>> {
    source.sub_accounts(&context.sub_accounts).await
}

/// Returns the days of a range whose rows can be read, and whether other days were left out.
///
/// Days that were disposed of are left out, with a line and an event for each range of them.
///
/// # Errors
/// `Exit::Integrity` for a chain that is damaged; the store's errors.
pub async fn readable(
    source: &Archive,
    sub_account: &str,
    days: &Days,
    output: &Output,
) -> Result<(Timeline, bool)> {
    let mut timeline = Timeline::read(source, sub_account, days).await?;
    let left_out = timeline.leave_out_disposed();
    left_out
        .iter()
        .for_each(|days| print_left_out(days, output));
    Ok((timeline, !left_out.is_empty()))
}

/// Returns a text of the archive as a terminal may show it; empty for a text that is not there.
pub(crate) fn shown(value: &Option<String>) -> String {
    value.as_deref().map(printable).unwrap_or_default()
}

/// Returns the end of "nothing is archived of it", for a search that left days out.
pub(crate) fn but_for_disposed(left_out: bool) -> &'static str {
    if left_out {
        " on any day that was not disposed of"
    } else {
        ""
    }
}

/// Prints the line and the event about days that were disposed of.
pub(crate) fn print_left_out(left_out: &OmittedDays, output: &Output) {
    emit_left_out(left_out, output);
    output.print_info(format!("left out: {}", left_out_text(left_out)));
}

/// Emits only the event about days that were disposed of.
pub(crate) fn emit_left_out(left_out: &OmittedDays, output: &Output) {
    output.event(Event::new("left-out").merge(left_out));
}

/// Describes days that were disposed of: which, when, by which record, and why.
pub(crate) fn left_out_text(left_out: &OmittedDays) -> String {
    let OmittedDays {
        sub_account,
        from,
        to,
        days,
        manifest,
        committed_at,
        reason,
        ..
    } = left_out;
    let days = if *days == 1 {
        from.to_string()
    } else {
        format!("{from}..{to}, {},", count(*days, "day"))
    };
    let reason = printable(reason);
    format!("{sub_account} {days} disposed of on {committed_at} by {manifest}: {reason}")
}

/// Reads the lines of an OpenSSH allowed_signers file (ssh-keygen(1), "ALLOWED SIGNERS") that have the principal `identity`.
///
/// # Errors
/// `Exit::Usage` for a file that cannot be read, is not of that format, or has no line that counts.
pub fn allowed_signers(file: &Path, identity: &str) -> Result<AllowedSigners> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("cannot read {}", file.display())).because(error).remedy(
            "Name a file in the format of OpenSSH's allowed_signers; `cxvault keygen` prints a line of it.",
        )
    })?;
    AllowedSigners::parse_for(&text, identity)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}
