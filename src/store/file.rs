//! Local files: reading, hashing and syncing them, with the errors of a store.
//!
//! A file that was written is durable only after its content and the folder with its name are synced (`fsync(2)`). The functions
//! here therefore sync each folder that they create, and [`FolderStore`](crate::store::FolderStore) syncs the rest.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;

use crate::format::hash::{Digest, Hasher};
use crate::private;
use crate::store::beneath;
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
pub(super) struct Counter(pub u64);

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

/// Opens a regular file and returns it with its length in bytes; `None` if there is none of this name. A link is not
/// followed, and a FIFO is not waited for.
fn open_file(path: &Path) -> Result<Option<(File, u64)>> {
    match open_regular(path) {
        Ok(file) => {
            let about = file
                .metadata()
                .map_err(|error| classify(error, READ, path))?;
            Ok(Some((file, about.len())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(classify(error, READ, path)),
    }
}

/// Opens a regular file at a path that a store named. Everything else, a link included, is not found.
///
/// # Errors
/// `NotFound` if there is no such file; otherwise the error of the file system.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    match rustix::fs::open(path, beneath::READING, Mode::empty()) {
        Ok(file) => beneath::regular(File::from(file))?
            .map(|(file, _)| file)
            .ok_or_else(|| io::ErrorKind::NotFound.into()),
        // A part of the path is a file, so that there can be nothing below it.
        Err(error) if beneath::is_absent(error) => Err(io::ErrorKind::NotFound.into()),
        Err(error) => Err(error.into()),
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

/// Creates a folder and its missing parents for this user alone, and syncs the parent of each: after a power failure all of
/// them exist.
pub(super) fn make_folders(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent();
    if let Some(parent) = parent {
        make_folders(parent)?;
    }
    private::create_folders(folder)
        .map_err(|error| classify(error, "cannot create the folder", folder))?;
    parent.map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(beneath::sync)
        .map_err(|error| classify(error, "cannot sync the folder", folder))
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
        // The standard library has no stable kind for it. Trying again does not help.
        _ if Errno::from_io_error(&error) == Some(Errno::LOOP) => (
            StoreErrorKind::Unusable,
            Some("The links in this path lead to themselves: name the folder itself."),
        ),
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
