//! The state folder: a folder for each archive day in progress, and the head of each chain as this host last saw it.
//!
//! ```text
//! <state folder>/<archive id>/<sub-account>/<date>/lock              held by the process that works on the day
//!                                                  journal.sqlite    see the module `journal`
//!                                                  scratch/          parts that are being encoded
//!                            <sub-account>/head.json                the chain's head, last seen or committed here
//!                            announced/<chain>.json                 the chain's head, last published outside the store
//! ```
//!
//! The remembered heads detect a store that was rolled back: the chain in the store must contain the head that this host
//! remembers. A host that loses its state folder loses this check and its unfinished days, nothing else.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

pub use crate::format::record::head::Head;
use crate::journal::{JournalError, Result};
use crate::private;

/// The state folder of one archive.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cxvault::journal::StateDir;
///
/// let folder = tempfile::tempdir()?;
/// let state = StateDir::open(folder.path(), "demo");
/// let day = state.day("21630001", "2026-11-20".parse()?)?;
/// let lock = day.lock()?;
/// assert!(day.lock().is_err(), "locked by this process");
/// assert!(!state.has_journal("21630001", "2026-11-20".parse()?));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

/// The folder of an archive day in progress.
#[derive(Debug, Clone)]
pub struct DayFolder {
    path: PathBuf,
}

/// The lock of a day. The operating system releases it when the process ends, for whatever reason.
#[derive(Debug)]
pub struct DayLock {
    _file: File,
}

impl StateDir {
    /// Names the state folder of an archive; creates nothing yet.
    pub fn open(root: &Path, archive_id: &str) -> StateDir {
        StateDir {
            root: root.join(archive_id),
        }
    }

    /// Returns whether a day has a journal, that is, observations that are not committed.
    pub fn has_journal(&self, sub_account: &str, date: Date) -> bool {
        self.day_folder(sub_account, date).has_journal()
    }

    /// Returns whether a day has a journal, and no process works on it.
    pub(crate) fn is_unfinished(&self, sub_account: &str, date: Date) -> bool {
        let day = self.day_folder(sub_account, date);
        day.has_journal() && day.lock().is_ok()
    }

    fn day_folder(&self, sub_account: &str, date: Date) -> DayFolder {
        DayFolder {
            path: self.root.join(sub_account).join(date.to_string()),
        }
    }

    /// Returns the folder of a day, creating it where it does not exist.
    ///
    /// # Errors
    /// [`JournalError::Folder`].
    pub fn day(&self, sub_account: &str, date: Date) -> Result<DayFolder> {
        let day = self.day_folder(sub_account, date);
        make_private_folder(&day.path)?;
        Ok(day)
    }

    fn head_path(&self, sub_account: &str) -> PathBuf {
        self.root.join(sub_account).join("head.json")
    }

    /// Returns the head that this host last saw or committed; `None` when there is none, or the file is unreadable.
    ///
    /// # Errors
    /// [`JournalError::Folder`].
    pub(crate) fn remembered_head(&self, sub_account: &str) -> Result<Option<Head>> {
        read_head(self.head_path(sub_account))
    }

    /// Remembers a head, unless a later head is remembered already.
    ///
    /// # Errors
    /// [`JournalError::Folder`].
    pub(crate) fn remember_head(&self, sub_account: &str, head: &Head) -> Result<()> {
        let remembered = self.remembered_head(sub_account)?;
        if remembered.is_some_and(|known| known.sequence >= head.sequence) {
            return Ok(());
        }
        write_head(&self.head_path(sub_account), head)
    }

    fn announced_path(&self, chain: &str) -> PathBuf {
        self.root.join("announced").join(format!("{chain}.json"))
    }

    /// Returns the head of a chain that was last published outside the store; `None` when there is none, or the file is
    /// unreadable.
    ///
    /// # Errors
    /// [`JournalError::Folder`].
    pub(crate) fn announced_head(&self, chain: &str) -> Result<Option<Head>> {
        read_head(self.announced_path(chain))
    }

    /// Records that a head was published outside the store. Where the record is lost, the head is published again.
    ///
    /// # Errors
    /// [`JournalError::Folder`].
    pub(crate) fn record_announced_head(&self, chain: &str, head: &Head) -> Result<()> {
        write_head(&self.announced_path(chain), head)
    }
}

fn read_head(path: PathBuf) -> Result<Option<Head>> {
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(JournalError::Folder { path, source }),
    }
}

/// Replaces the file `path` atomically: a crash leaves the old head or the new one.
fn write_head(path: &Path, head: &Head) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    make_private_folder(folder)?;
    replace_file(folder, path, head).map_err(JournalError::folder(path))
}

fn replace_file(folder: &Path, path: &Path, head: &Head) -> std::io::Result<()> {
    let mut file = private::temporary_file(".head-", folder)?;
    file.write_all(&serde_json::to_vec(head)?)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

impl DayFolder {
    /// Locks the day for this process.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when another process holds the lock.
    pub fn lock(&self) -> Result<DayLock> {
        let path = self.path.join("lock");
        let file = private_file(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(DayLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked(path)),
            Err(TryLockError::Error(source)) => Err(JournalError::Folder { path, source }),
        }
    }

    /// Returns the path of the journal's database.
    pub fn database(&self) -> PathBuf {
        self.path.join("journal.sqlite")
    }

    /// Returns whether the journal exists.
    pub fn has_journal(&self) -> bool {
        self.database().exists()
    }

    /// Creates the folder in which parts are encoded before they are stored; deletes what an earlier run left in it.
    ///
    /// # Errors
    /// [`JournalError::Folder`].
    pub(crate) fn create_scratch(&self) -> Result<PathBuf> {
        let path = self.path.join("scratch");
        unless_missing(fs::remove_dir_all(&path)).map_err(JournalError::folder(&path))?;
        make_private_folder(&path)?;
        Ok(path)
    }

    /// Deletes the journal, after all its observations are committed. The lock file stays: another process may have
    /// opened it already.
    ///
    /// # Errors
    /// [`JournalError::Folder`].
    pub(crate) fn delete_journal(&self) -> Result<()> {
        let _ = fs::remove_dir_all(self.path.join("scratch"));
        for name in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"] {
            let path = self.path.join(name);
            unless_missing(fs::remove_file(&path)).map_err(JournalError::folder(&path))?;
        }
        Ok(())
    }
}

/// Accepts that what is to be deleted does not exist.
fn unless_missing(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn make_private_folder(path: &Path) -> Result<()> {
    private::create_folders(path).map_err(JournalError::folder(path))
}

/// Opens or creates a file that only this user can read.
pub(super) fn private_file(path: &Path) -> Result<File> {
    private::open_or_create(path).map_err(JournalError::folder(path))
}
