//! Journal errors, by what the operator does next.

use std::path::{Path, PathBuf};

use crate::outcome::{Exit, Failure};

/// Why the journal or the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process holds the lock of the day.
    #[error("another process works on this day of this archive (lock {})", .0.display())]
    Locked(PathBuf),
    /// A file or folder cannot be created, read, written or deleted.
    #[error("cannot use the state folder at {}", .path.display())]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    /// SQLite reports an error, or a stored value is unreadable.
    #[error("the journal {} cannot be read or written", .path.display())]
    Database {
        path: PathBuf,
        source: rusqlite::Error,
    },
    /// The journal belongs to another day, zone, archive or version.
    #[error("the journal {} was created with other settings: {what} was {was}, and is {is} now", .path.display())]
    OtherSettings {
        path: PathBuf,
        what: &'static str,
        was: String,
        is: String,
    },
    /// The journal's thread has ended; its own error is the cause.
    #[error("the journal's thread has ended early")]
    Ended,
}

/// The remedy for a full disk, of a folder or of the database.
const FREE_SPACE: &str = "Free some space on that disk; then run again. Nothing is lost.";

impl JournalError {
    /// Returns a function that adds `path` to an error of the file system.
    pub(super) fn folder(path: &Path) -> impl FnOnce(std::io::Error) -> JournalError + '_ {
        move |source| JournalError::Folder {
            path: path.to_owned(),
            source,
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Failure {
        use rusqlite::ErrorCode;
        use std::io::ErrorKind;
        let message = error.to_string();
        let (exit, remedy) = match &error {
            JournalError::Locked(_) => (
                Exit::Locked,
                "Wait for it to end, or stop it; then run again.",
            ),
            JournalError::Folder { source, .. } if source.kind() == ErrorKind::StorageFull => {
                (Exit::Later, FREE_SPACE)
            }
            JournalError::Folder { .. } => (
                Exit::Usage,
                "Make it writable for this user, or name another with --state-dir or CXVAULT_STATE_DIR.",
            ),
            JournalError::Database { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => (Exit::Later, FREE_SPACE),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
                    Exit::Usage,
                    "Move that folder away and run again: its observations are requested again, and nothing that is committed changes.",
                ),
                _ => (
                    Exit::Later,
                    "Check the disk and the permissions of that folder; then run again.",
                ),
            },
            JournalError::OtherSettings { .. } => (
                Exit::Usage,
                "Run with the earlier settings, or move that folder away: its observations are then requested again.",
            ),
            JournalError::Ended => (
                Exit::Unexpected,
                "Run again; if it happens again, report it.",
            ),
        };
        let source = match error {
            JournalError::Folder { source, .. } => Some(source.into()),
            JournalError::Database { source, .. } => Some(source.into()),
            _ => None,
        };
        Failure::new(exit, message)
            .remedy(remedy)
            .because_all(source)
    }
}
