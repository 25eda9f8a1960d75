//! The state folder: a folder for each archive day at work, and the head of each chain as this host last saw it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::civil::Date;

pub use crate::format::record::head::Head;
use crate::journal::{JournalError, Result};

/// `<state-dir>/<archive id>/…`, for one archive.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

/// The folder of one archive day at work.
#[derive(Debug, Clone)]
pub struct DayFolder {
    path: PathBuf,
}

/// Held while a process works on a day; the operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct DayLock {
    _file: File,
}

impl StateDir {
    /// Makes nothing yet.
    pub fn open(root: &Path, archive_id: &str) -> StateDir {
        StateDir {
            root: root.join(archive_id),
        }
    }

    /// Whether a day has notes that are not committed.
    pub fn has_journal(&self, sub_account: &str, date: Date) -> bool {
        DayFolder {
            path: self.day_path(sub_account, date),
        }
        .has_journal()
    }

    /// Whether a day has such notes, and nobody is at work on it.
    pub fn is_unfinished(&self, sub_account: &str, date: Date) -> bool {
        let day = DayFolder {
            path: self.day_path(sub_account, date),
        };
        day.has_journal() && day.lock().is_ok()
    }

    fn day_path(&self, sub_account: &str, date: Date) -> PathBuf {
        self.root.join(sub_account).join(date.to_string())
    }

    pub fn day(&self, sub_account: &str, date: Date) -> Result<DayFolder> {
        let path = self.day_path(sub_account, date);
        make_private_folder(&path)?;
        Ok(DayFolder { path })
    }

    fn head_path(&self, sub_account: &str) -> PathBuf {
        self.root.join(sub_account).join("head.json")
    }

    /// The head that this host last saw or made; `None` when it never did, or its note is unreadable.
    pub fn remembered_head(&self, sub_account: &str) -> Result<Option<Head>> {
        read_head(self.head_path(sub_account))
    }

    /// Remembers a head, unless a later one is remembered already.
    pub fn remember_head(&self, sub_account: &str, head: &Head) -> Result<()> {
        if self
            .remembered_head(sub_account)?
            .is_some_and(|known| known.sequence >= head.sequence)
        {
            return Ok(());
        }
        write_head(
            &self.root.join(sub_account),
            &self.head_path(sub_account),
            head,
        )
    }

    fn announced_folder(&self) -> PathBuf {
        self.root.join("announced")
    }

    /// The head of a chain that others were last told of; `None` when they never were, or the note is unreadable.
    pub fn announced_head(&self, chain: &str) -> Result<Option<Head>> {
        read_head(self.announced_folder().join(format!("{chain}.json")))
    }

    /// Notes that others were told of a head. Lost, it is told again.
    pub fn record_announced_head(&self, chain: &str, head: &Head) -> Result<()> {
        let folder = self.announced_folder();
        write_head(&folder, &folder.join(format!("{chain}.json")), head)
    }
}

fn read_head(path: PathBuf) -> Result<Option<Head>> {
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JournalError::Folder {
            path,
            source: error,
        }),
    }
}

fn write_head(folder: &Path, path: &Path, head: &Head) -> Result<()> {
    make_private_folder(folder)?;
    let write = || -> std::io::Result<()> {
        // A crash leaves the old note or the new one, never half of one.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(head)?)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(JournalError::folder(path))
}

impl DayFolder {
    /// Claims the day for this process; [`JournalError::Locked`] when another one has it.
    pub fn lock(&self) -> Result<DayLock> {
        let path = self.path.join("lock");
        let file = private_file(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(DayLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked(path)),
            Err(TryLockError::Error(source)) => Err(JournalError::Folder { path, source }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn database(&self) -> PathBuf {
        self.path.join("journal.sqlite")
    }

    pub fn has_journal(&self) -> bool {
        self.database().exists()
    }

    /// Where parts are encoded before they are put; made anew.
    pub fn create_scratch(&self) -> Result<PathBuf> {
        let path = self.path.join("scratch");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(JournalError::Folder {
                    path,
                    source: error,
                });
            }
            _ => make_private_folder(&path)?,
        }
        Ok(path)
    }

    /// Drops the journal, once each of its observations is committed. The lock's file stays: another process may
    /// wait for that very file.
    pub fn delete_journal(&self) -> Result<()> {
        let _ = fs::remove_dir_all(self.path.join("scratch"));
        for name in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"] {
            let path = self.path.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(JournalError::Folder {
                        path,
                        source: error,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn make_private_folder(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(JournalError::folder(path))
}

/// Opens or makes a file that only this user can read.
pub(super) fn private_file(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options.open(path).map_err(JournalError::folder(path))
}
