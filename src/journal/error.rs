//! Journal errors, by what the operator does next.

use std::path::{Path, PathBuf};

use crate::outcome::{Exit, Failure};

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("another process is at work on this day and archive (lock {})", .0.display())]
    Locked(PathBuf),
    #[error("cannot use the state folder at {}", .path.display())]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the journal {} cannot be read or written", .path.display())]
    Database {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error("the journal {} was begun with other settings: {what} was {was}, and is {is} now", .path.display())]
    OtherSettings {
        path: PathBuf,
        what: &'static str,
        was: String,
        is: String,
    },
    #[error("the journal's thread has ended early")]
    Ended,
}

impl JournalError {
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
        let message = error.to_string();
        let (exit, remedy) = match &error {
            JournalError::Locked(_) => (
                Exit::Locked,
                "Wait for it to end, or stop it; then run again.",
            ),
            JournalError::Folder { source, .. }
                if source.kind() == std::io::ErrorKind::StorageFull =>
            {
                (
                    Exit::Later,
                    "Free some space on that disk; then run again. Nothing is lost.",
                )
            }
            JournalError::Folder { .. } => (
                Exit::Usage,
                "Make it writable for this user, or name another with --state-dir or CXVAULT_STATE_DIR.",
            ),
            JournalError::Database { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => (
                    Exit::Later,
                    "Free some space on that disk; then run again. Nothing is lost.",
                ),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
                    Exit::Usage,
                    "Move that folder away and run again: the observations in it are fetched anew, nothing committed is touched.",
                ),
                _ => (
                    Exit::Later,
                    "Check the disk and the permissions of that folder; then run again.",
                ),
            },
            JournalError::OtherSettings { .. } => (
                Exit::Usage,
                "Run with the settings of before, or move that folder away: its observations are then fetched anew.",
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
