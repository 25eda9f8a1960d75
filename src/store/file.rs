//! Local files: reading, hashing and syncing them, with the errors of a store.
//!
//! A file that was written is durable only after its content and the folder with its name are synced (`fsync(2)`). The functions
//! here therefore sync each folder that they create, and [`FolderStore`](crate::store::FolderStore) syncs the rest.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::format::hash::{Digest, Hasher};
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::{Hashed, Result};

pub(super) const READ: &str = "cannot read";
pub(super) const WRITE: &str = "cannot write";

/// Bytes that are read at once: few enough to stay in the cache of the processor until they are hashed.
const CHUNK: usize = 128 << 10;

/// Returns length and SHA-256 of a local file; `None` if there is none. It reads on a thread for blocking work.
///
/// # Errors
/// The error of the file system, or that the runtime is shutting down.
pub(crate) async fn hash_file(path: &Path) -> Result<Option<Hashed>> {
    let path = path.to_owned();
    let hashing = tokio::task::spawn_blocking(move || {
        let Some((mut file, _)) = open_file(&path)? else {
            return Ok(None);
        };
        let mut counted = Counter(0);
        let sha256 = copy(&mut file, &mut counted, &path, &path)?;
        Ok(Some(Hashed {
            bytes: counted.0,
            sha256,
        }))
    });
    hashing.await.unwrap_or_else(|stopped| {
        Err(StoreError::new(StoreErrorKind::Unknown, READ, "a file").because(stopped))
    })
}

/// A writer that counts bytes and drops them.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a path as messages show it.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Opens a file and returns it with its length in bytes; `None` if there is no file of this name.
pub(super) fn open_file(path: &Path) -> Result<Option<(File, u64)>> {
    let opened = File::open(path).and_then(|file| file.metadata().map(|about| (file, about)));
    match opened {
        Ok((file, about)) if about.is_file() => Ok(Some((file, about.len()))),
        Ok(_) => Ok(None),
        // A part of the path is a file, so that there can be nothing below it.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(classify(error, READ, path)),
    }
}

/// Copies all bytes and returns their SHA-256. The paths are for messages only.
pub(super) fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    from_path: &Path,
    to_path: &Path,
) -> Result<Digest> {
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = match from.read(&mut chunk) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(classify(error, READ, from_path)),
        };
        let piece = chunk.get(..length).unwrap_or_default();
        hasher.update(piece);
        to.write_all(piece)
            .map_err(|error| classify(error, WRITE, to_path))?;
    }
}

/// Creates a folder and its missing parents, and syncs the parent of each: after a power failure all of them exist.
pub(super) fn make_folders(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent();
    if let Some(parent) = parent {
        make_folders(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(classify(error, "cannot create the folder", folder));
        }
        _ => {}
    }
    parent.map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    match File::open(folder).and_then(|opened| opened.sync_all()) {
        // Some network file systems have no sync of folders, since they make names durable at once.
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Err(classify(error, "cannot sync the folder", folder))
        }
        _ => Ok(()),
    }
}

/// Returns the failure for a file of this program that should be stored and cannot be read.
pub(super) fn unreadable_body(error: io::Error, path: &Path) -> StoreError {
    classify(error, READ, path)
        .remedy("The file was written by this program: run the same command again.")
}

/// Returns an error of the file system as an error of a store.
pub(super) fn classify(error: io::Error, what: &'static str, path: &Path) -> StoreError {
    use io::ErrorKind as Io;
    let (kind, remedy) = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => (StoreErrorKind::Full, None),
        Io::FileTooLarge => (
            StoreErrorKind::Full,
            Some("Raise the limit on the size of files."),
        ),
        Io::PermissionDenied => (
            StoreErrorKind::Denied,
            Some("Give this user permission for the folder of the archive."),
        ),
        Io::ReadOnlyFilesystem => (
            StoreErrorKind::Unusable,
            Some("Mount the file system for writing, or use another location for the archive."),
        ),
        Io::Unsupported => (
            StoreErrorKind::Unusable,
            Some(
                "This file system cannot create a file without replacing another: use another location for the archive.",
            ),
        ),
        Io::NotADirectory
        | Io::IsADirectory
        | Io::NotFound
        | Io::InvalidFilename
        | Io::InvalidInput => (StoreErrorKind::Unusable, None),
        _ => (StoreErrorKind::Unknown, None),
    };
    let failed = StoreError::new(kind, what, shown(path)).because(error);
    match remedy {
        Some(remedy) => failed.remedy(remedy),
        None => failed,
    }
}
