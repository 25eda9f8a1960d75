//! Files and folders that only the user who runs this program may read.
//!
//! Everything that this program writes to the local disk has, or may have, texts of customers in it: copies of parts that
//! are being read, journals, exports, evidence packs, receipts, reports. The modes are set when the file is created, so
//! that there is no moment in which another user could open it, and no umask makes them wider. What exists already keeps
//! its mode: a user who gives a folder to a group has a reason.
//!
//! Only the objects of an archive in a folder are created elsewhere (`store::beneath`), and the metrics file, which a
//! collector reads as another user. `tests/format/layers.rs` checks that no other module creates a file.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use tempfile::{NamedTempFile, TempDir};

/// Mode of a new file.
pub(crate) const FILE: u32 = 0o600;
/// Mode of a new folder.
pub(crate) const FOLDER: u32 = 0o700;

/// Creates the file `path` for writing, or empties the one of this name.
///
/// # Errors
/// The error of the file system.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(FILE);
    options.open(path)
}

/// Creates the file `path` for writing.
///
/// # Errors
/// `AlreadyExists` for a name that is taken, also by a link; otherwise the error of the file system.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(FILE);
    options.open(path)
}

/// Opens the file `path` for reading and writing, and creates it where it does not exist.
///
/// # Errors
/// The error of the file system.
pub(crate) fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(FILE).open(path)
}

/// Creates a folder and its missing parents. Folders that exist keep their modes.
///
/// # Errors
/// The error of the file system.
pub(crate) fn create_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER)
        .create(folder)
}

/// Creates a temporary folder with a random name in `parent`, or in the system's folder for temporary files. It is removed
/// when the result is dropped.
///
/// # Errors
/// The error of the file system.
pub(crate) fn temporary_folder(prefix: &str, parent: Option<&Path>) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    // Otherwise tempfile leaves the mode of a folder, unlike that of a file, to the umask.
    builder.permissions(Permissions::from_mode(FOLDER));
    match parent {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    }
}

/// Creates a temporary file with a random name in `folder`. It is removed when the result is dropped.
///
/// # Errors
/// The error of the file system.
pub(crate) fn temporary_file(prefix: &str, folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(prefix).tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn nothing_new_is_for_others_and_nothing_old_changes() {
        let root = tempfile::tempdir().unwrap();
        let shared = root.path().join("shared");
        DirBuilder::new().mode(0o755).create(&shared).unwrap();
        let before = mode(&shared);
        create_folders(&shared.join("a/b")).unwrap();
        assert_eq!(mode(&shared), before, "an existing folder is left alone");
        assert_eq!(
            (mode(&shared.join("a")), mode(&shared.join("a/b"))),
            (0o700, 0o700)
        );
        let file = |name: &str| shared.join(name);
        create(&file("1")).unwrap();
        create_new(&file("2")).unwrap();
        open_or_create(&file("3")).unwrap();
        for name in ["1", "2", "3"] {
            assert_eq!(mode(&file(name)), 0o600, "{name}");
        }
        let folder = temporary_folder("x-", Some(&shared)).unwrap();
        let temporary = temporary_file("x-", folder.path()).unwrap();
        assert_eq!(
            (mode(folder.path()), mode(temporary.path())),
            (0o700, 0o600)
        );
        assert!(create_new(&file("1")).is_err());
    }
}
