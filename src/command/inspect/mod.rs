//! The auditor's commands: they read the archive, and need nothing of RingCX.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::chain::archive::Archive;
use crate::chain::disposed::OmittedDays;
use crate::chain::timeline::Timeline;
use crate::clock::SystemClock;
use crate::command::{Context, wiring};
use crate::config::Settings;
use crate::format::signature::AllowedSigners;
use crate::format::time::range::Days;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Output, grouped, printable};

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

/// Opens the archive for reading. `signers` is the file of the flag, which wins over the settings'.
pub async fn open(
    settings: &Settings,
    signers: Option<&Path>,
    context: &Context,
) -> Result<Archive> {
    let allowed = match signers {
        Some(file) => allowed_signers(file)?,
        None => settings.trusted_signers()?,
    };
    let store = wiring::open_store(settings, Arc::new(SystemClock), context).await?;
    Archive::open(store, allowed, context.cancel.clone()).await
}

/// The sub-accounts that flags or settings name, or all of the archive's.
///
/// Settings name those that are to be archived; an older one of the archive is still a part of it, so only the flag
/// narrows what is read.
pub async fn sub_accounts(source: &Archive, context: &Context) -> Result<Vec<String>> {
    source.sub_accounts(&context.sub_accounts).await
}

/// The days of a range whose rows can be read. Says which cannot, since they were disposed of; also returns whether
/// there are any.
pub async fn readable(
    source: &Archive,
    sub_account: &str,
    days: &Days,
    output: &Output,
) -> Result<(Timeline, bool)> {
    let mut timeline = Timeline::read(source, sub_account, days).await?;
    let left_out = timeline.leave_out_disposed();
    left_out.iter().for_each(|one| tell_left_out(one, output));
    Ok((timeline, !left_out.is_empty()))
}

/// After "nothing is archived of it", where days were left out.
pub fn but_for_disposed(left_out: bool) -> &'static str {
    if left_out {
        " on any day that was not disposed of"
    } else {
        ""
    }
}

/// Days that nobody reads any more.
pub fn tell_left_out(left_out: &OmittedDays, output: &Output) {
    event_left_out(left_out, output);
    output.print_info(format!("left out: {}", left_out_text(left_out)));
}

/// The same for programs.
pub fn event_left_out(left_out: &OmittedDays, output: &Output) {
    #[derive(Serialize)]
    struct LeftOutEvent<'a> {
        event: &'static str,
        #[serde(flatten)]
        left_out: &'a OmittedDays,
    }
    output.event(&LeftOutEvent {
        event: "left-out",
        left_out,
    });
}

/// When, by which record, and why.
pub fn left_out_text(left_out: &OmittedDays) -> String {
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
        format!("{from}..{to}, {} days,", grouped(*days))
    };
    let reason = printable(reason);
    format!("{sub_account} {days} disposed of on {committed_at} by {manifest}: {reason}")
}

/// Reads an OpenSSH allowed_signers file.
pub fn allowed_signers(file: &Path) -> Result<AllowedSigners> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read {}", file.display())).because(error).remedy(
            "Name a file in the format of OpenSSH's allowed_signers; `cxvault keygen` prints a line of it.",
        )
    })?;
    AllowedSigners::parse(&text)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", file.display())))
}
