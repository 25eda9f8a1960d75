//! The auditor's side: reads an archive through [`crate::chain`], and writes nothing into it.
//!
//! ```text
//! part       a stored part as a local file whose hash is the manifest's
//! scratch    temporary space for parts
//! remote     a stored part of which only what is needed is fetched
//! current    the rows of a day: the current one of each segment, or every revision's
//! find       the rows of one segment, dialog or interaction in years of days
//! pack       a folder for a third party: complete or absent, with checksums of everything
//! export     rows as CSV, JSON lines, HTML or Parquet
//! evidence   a folder that proves a period without this program
//! prove      a receipt for one segment's row
//! anchors    heads that were stored in a second place
//! calendar   the days, each reduced to what a calendar shows
//! shares     how many summaries are present, empty, missing, by queue, agent, channel
//! verify     nothing is missing, nothing was changed, or what exactly was
//! ```
//!
//! [`verify`] shares no code with [`crate::chain`]: it would share the writer's mistakes. It uses the store, the format,
//! and of this module only [`anchors`], [`scratch`] and [`blocking`], which know nothing of chains.

pub mod anchors;
pub mod calendar;
pub mod current;
pub mod evidence;
pub mod export;
pub mod find;
pub mod pack;
pub mod part;
pub mod prove;
pub mod remote;
pub mod scratch;
pub mod shares;
pub mod verify;

use crate::outcome::{Failure, Result};

/// Runs blocking work, such as reading a part, on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let ended_early =
        |_| Failure::unexpected("a reader ended early").remedy("Run again, and report this.");
    tokio::task::spawn_blocking(work)
        .await
        .map_err(ended_early)?
}
