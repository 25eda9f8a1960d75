//! What a run has observed and not yet committed, durably; and the only user of the embedded database for it.
//!
//! One archive day of one sub-account has one folder: a lock, and a SQLite database. It holds people's words, so
//! the folders are 0700 and the files 0600. It goes only when each observation is committed. Losing it costs
//! time, never correctness.

mod database;
mod encode;
mod error;
mod handle;
mod omit;
mod recheck;
mod state;
#[cfg(test)]
mod tests;
mod windows;

pub use database::{
    AnsweredWindow, DayIdentity, Journal, JournalProgress, MergeCounts, PendingSegment,
};
pub use encode::RevisionTotals;
pub use error::JournalError;
pub use handle::{JournalHandle, NewObservation, PendingJob};
pub use recheck::VanishedCounts;
pub use state::{DayFolder, DayLock, Head, StateDir};
pub use windows::DiscoveredSegment;

pub type Result<T, E = JournalError> = std::result::Result<T, E>;
