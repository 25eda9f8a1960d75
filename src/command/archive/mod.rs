//! What an operator puts into the chain beside days.

use crate::chain::append::Mode;
use crate::chain::archive::Archive;
use crate::chain::roster::Roster;
use crate::chain::writer::Writer;
use crate::command::{Context, inspect, wiring};
use crate::config::Settings;
use crate::outcome::{Exit, Failure, Result};

pub mod acknowledge;
pub mod anchor;
pub mod copy;
pub mod disposal;
pub mod hold;
pub mod retention;
pub mod takeover;

/// Opens an existing archive for a record command, or with [`Mode::DryRun`] for a look at what the command would do.
///
/// # Errors
/// [`Exit::Usage`] where there is no archive, or where this is a copy that nobody has taken over.
async fn open(settings: &Settings, mode: Mode, context: &Context) -> Result<Writer> {
    let archive = wiring::open_existing(settings, mode, context).await?;
    Roster::open_to_write(&archive, mode).await?;
    Ok(archive)
}

/// The one sub-account of the archive, or those that were named: of several none is meant by chance.
async fn named_sub_accounts(source: &Archive, context: &Context) -> Result<Vec<String>> {
    let all = inspect::sub_accounts(source, context).await?;
    if all.len() > 1 && context.sub_accounts.is_empty() {
        let message = format!(
            "the archive has {} sub-accounts, and none is named",
            all.len()
        );
        return Err(Failure::new(Exit::Usage, message).remedy(format!(
            "Name those that are meant with --sub-account. It has: {}.",
            all.join(", ")
        )));
    }
    Ok(all)
}
