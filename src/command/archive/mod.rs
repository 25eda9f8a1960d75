//! What an operator puts into the chain beside days.

use crate::audit::source::ArchiveReader;
use crate::chain::append::Mode;
use crate::chain::archive::Archive;
use crate::chain::roster::Roster;
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

/// Opens the archive for writing, or for a look only, and as a reader sees it. None is founded here, and a copy is left
/// alone.
async fn open(
    settings: &Settings,
    mode: Mode,
    context: &Context,
) -> Result<(Archive, ArchiveReader)> {
    let (archive, source) = open_anywhere(settings, mode, context).await?;
    Roster::open_to_write(&archive, mode).await?;
    Ok((archive, source))
}

/// Like [`open`], also where this is a copy.
async fn open_anywhere(
    settings: &Settings,
    mode: Mode,
    context: &Context,
) -> Result<(Archive, ArchiveReader)> {
    let source = inspect::open(settings, None, context).await?;
    let archive = match mode {
        Mode::Act => wiring::open_archive(settings, context).await?,
        Mode::DryRun => wiring::look_at_archive(settings, context).await?,
    };
    Ok((archive, source))
}

/// The one sub-account of the archive, or those that were named: of several none is meant by chance.
async fn named_sub_accounts(source: &ArchiveReader, context: &Context) -> Result<Vec<String>> {
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
