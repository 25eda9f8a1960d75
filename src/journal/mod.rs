//! The journal: what a run has observed of an archive day and not yet committed, stored durably on this host.
//!
//! # On disk
//! `<state folder>/<archive id>/<sub-account>/<date>/` has a lock file, a SQLite database (`journal.sqlite`, with its
//! write-ahead log), and a scratch folder for parts that are being encoded. The journal holds summaries and metadata,
//! so folders have mode 0700 and files 0600. The state folder also remembers the head of each chain ([`StateDir`]).
//!
//! # What is durable when
//! A thread owns the database and commits in batches ([`JournalHandle`]). Everything is durable that was acknowledged:
//! the result of a job is returned only after its transaction is on the disk. Observations are not acknowledged one by
//! one, but only a bounded number of them may be on the way to the disk.
//!
//! # What a crash leaves
//! - A window whose answer was incomplete: its objects belong to no segment, and the next run discards them.
//! - Observations that were not yet committed to the database: the next run requests those summaries again.
//! - A lock: the operating system releases it with the process.
//! - Scratch files: the next run deletes them.
//!
//! # Who deletes it
//! The run that has committed every observation of the day to the archive deletes the journal
//! ([`DayFolder::delete_journal`]). Losing a journal earlier costs requests, never correctness.
//!
//! # Modules
//! ```text
//! handle                                 the thread and its queue
//! day_journal                            Journal: identity, notes by name, progress
//! windows   observations   known         discovery, summaries, and what is committed already
//! recheck   omit   revision              requests for committed days, left-out fields, the rows of the next revision
//! database                               tables and statements; maps SQLite's errors
//! state     error                        folders, locks and heads; errors by what the operator does next
//! ```

mod database;
mod day_journal;
mod error;
mod handle;
mod known;
mod observations;
mod omit;
mod recheck;
mod revision;
mod state;
#[cfg(test)]
mod tests;
mod windows;

pub use day_journal::{DayIdentity, Journal};
pub use error::JournalError;
pub(crate) use handle::{JournalHandle, NewObservation, PendingJob};
pub(crate) use observations::PendingSegment;
pub(crate) use recheck::VanishedCounts;
pub(crate) use revision::RevisionTotals;
pub use state::{DayFolder, Head, StateDir};
pub(crate) use windows::AnsweredWindow;
pub use windows::DiscoveredSegment;

/// The result of the journal's functions.
pub type Result<T, E = JournalError> = std::result::Result<T, E>;
