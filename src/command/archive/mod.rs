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
use crate::outcome::{Failure, Result};

pub mod acknowledge;
pub mod anchor;
pub mod copy;
pub mod disposal;
pub mod hold;
pub mod retention;
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
