//! The auditor's side: reads an archive, believes nothing of it, and writes nothing into it.
//!
//! ```text
//! source     which archive is this, and which sub-accounts does it have
//! timeline   the chain of one sub-account, read back from its head: which revisions its days have
//! roster     which sub-accounts there are, and which are no longer listed
//! disposed   days whose retention is over, which readers leave out and name
//! orders     holds and longer retention, read back from the head by their own links
//! part       a stored part as a local file whose hash is the manifest's
//! remote     a stored part of which only what is needed is fetched
//! find       the rows of one segment, dialog or interaction in years of days
//! pack       a folder for somebody else: complete or not there, with sums of everything
//! export     rows as CSV, JSON lines, HTML or Parquet
//! evidence   a folder that proves a period without this program
//! prove      a receipt for one segment's row
//! anchors    heads that were kept elsewhere
//! verify     nothing is missing, nothing was changed, or what exactly was
//! calendar   the days, each reduced to what a calendar shows
//! shares     how many summaries are present, empty, missing, by queue, agent, channel
//! current    the rows of a day: the current one of each segment, or every revision's
//! ```
//!
//! Only the archive's own objects and the store are used: what is told here could be told by anybody who has read
//! `schemas/FORMAT.md`.

pub mod anchors;
pub mod calendar;
pub mod current;
pub mod disposed;
pub mod evidence;
pub mod export;
pub mod find;
pub mod orders;
pub mod pack;
pub mod part;
pub mod prove;
pub mod remote;
pub mod roster;
pub mod shares;
pub mod source;
pub mod timeline;
pub mod verify;

use crate::outcome::{Exit, Failure};

/// The archive contradicts itself, and a reader cannot go on; `verify` tells everything there is to tell.
pub fn violated(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Integrity, message).remedy(
        "Run `cxvault verify` for all findings; do not rely on this archive before they are explained.",
    )
}

/// The reader was asked to stop.
pub fn interrupted() -> Failure {
    Failure::new(Exit::Later, "interrupted").remedy("Run the same command again.")
}
