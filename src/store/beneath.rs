//! Access to files below the root of a folder, without following a link.
//!
//! A folder archive can be changed by its owner while another user reads it: a link in it may lead to any file of that
//! reader, and a FIFO may keep it waiting for ever. So no path below the root is given to the system as a whole. Each of
//! its folders is opened from the one above it with `O_NOFOLLOW`, the file itself as well and with `O_NONBLOCK`, and only
//! regular files are read. The root is opened as it is: where it is a link, the operator meant what it leads to.
//!
//! What is neither a regular file nor a folder (a link, a FIFO, a socket, a device) is called foreign here: it is listed,
//! so that an audit can name it, and reading it finds nothing.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode};
use rustix::io::Errno;

/// Flags of each folder that is opened.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// Flags of a file that is read. Without `NONBLOCK`, opening a FIFO waits for a writer.
pub(super) const READING: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);
/// Mode of a new folder and of a new object, both reduced by the umask: who may read the archive is decided at its root,
/// which is created for its owner alone (`crate::private`).
const NEW_FOLDER: RawMode = 0o777;
const NEW_OBJECT: RawMode = 0o444;

/// The bits of a mode that are for users other than the owner, and those that let them write.
const OTHERS: RawMode = 0o077;
const OTHERS_WRITE: RawMode = 0o022;

/// What is in a folder under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    Folder,
    File,
    /// Neither of both. It is never opened.
    Foreign,
}

/// One name in a folder.
#[derive(Debug)]
pub(super) struct FolderEntry {
    /// The name as the system has it.
    pub name: OsString,
    /// The name as keys have it; see [`name_in_keys`].
    pub shown: String,
    pub kind: EntryKind,
}

/// An open folder below a root, with its entries.
pub(super) struct OpenFolder {
    folder: OwnedFd,
    pub entries: Vec<FolderEntry>,
}

/// Returns a name as keys have it. Bytes that are not UTF-8 become `\xNN`: no key of an archive has a backslash, so that
/// such a name is foreign wherever it is, and two names never become one.
pub(super) fn name_in_keys(name: &OsStr) -> String {
    name.as_bytes()
        .utf8_chunks()
        .fold(String::new(), |mut text, chunk| {
            text.push_str(chunk.valid());
            for byte in chunk.invalid() {
                text.push_str(&format!("\\x{byte:02x}"));
            }
            text
        })
}

/// Returns whether an error says that there is no file or folder of this name that may be opened: nothing, a link, or a
/// socket.
pub(super) fn is_absent(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::MLINK | Errno::NXIO | Errno::OPNOTSUPP
    )
}

/// Opens the folder `below` the root; an empty path is the root itself. Returns `None` where there is no such folder.
///
/// # Errors
/// The error of the file system.
pub(super) fn open_folder(root: &Path, below: &Path) -> io::Result<Option<OwnedFd>> {
    let opened = rustix::fs::open(root, FOLDER, Mode::empty());
    let mut folder = match opened {
        Ok(folder) => folder,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    for part in below.components() {
        let Component::Normal(name) = part else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        match rustix::fs::openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(next) => folder = next,
            Err(error) if is_absent(error) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(folder))
}

/// Opens the regular file `key` below the root, and returns it with its length in bytes. Returns `None` where there is no
/// such file.
///
/// # Errors
/// The error of the file system.
pub(super) fn open_file(root: &Path, key: &str) -> io::Result<Option<(File, u64)>> {
    let (below, name) = split(key);
    let Some(folder) = open_folder(root, below)? else {
        return Ok(None);
    };
    match rustix::fs::openat(&folder, name, READING, Mode::empty()) {
        Ok(file) => regular(File::from(file)),
        Err(error) if is_absent(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns an opened file with its length, if it is a regular one.
pub(super) fn regular(file: File) -> io::Result<Option<(File, u64)>> {
    let about = file.metadata()?;
    Ok(about.is_file().then_some((file, about.len())))
}

/// Returns what is at `key` below the root; `None` where there is nothing.
///
/// # Errors
/// The error of the file system.
pub(super) fn kind(root: &Path, key: &str) -> io::Result<Option<EntryKind>> {
    let (below, name) = split(key);
    let Some(folder) = open_folder(root, below)? else {
        return Ok(None);
    };
    match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(about) => Ok(Some(kind_of(FileType::from_raw_mode(about.st_mode)))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn kind_of(file_type: FileType) -> EntryKind {
    match file_type {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        _ => EntryKind::Foreign,
    }
}

/// Returns whether nobody but this user and root can change the object `key`, or exchange it or a folder on its path: what is
/// checked then stays as it is while it is read. `false` also where there is no such file.
///
/// A root that nobody else can enter protects everything in it. Otherwise each folder is judged after the one above it,
/// which by then nobody can exchange.
///
/// # Errors
/// The error of the file system.
pub(super) fn is_ours_alone(root: &Path, key: &str) -> io::Result<bool> {
    let ours = rustix::process::geteuid().as_raw();
    let has_bits = |about: &rustix::fs::Stat, bits| {
        about.st_uid != ours && about.st_uid != 0 || about.st_mode & bits != 0
    };
    let about = rustix::fs::stat(root)?;
    if !has_bits(&about, OTHERS) {
        return Ok(true);
    }
    let mut path = root.to_owned();
    let mut is_open = has_bits(&about, OTHERS_WRITE);
    for part in Path::new(key) {
        path.push(part);
        // The mode of a link allows everything.
        is_open = is_open || has_bits(&rustix::fs::lstat(&path)?, OTHERS_WRITE);
    }
    Ok(!is_open)
}

/// Splits a key into its folder and its name.
pub(super) fn split(key: &str) -> (&Path, &str) {
    let (below, name) = key.rsplit_once('/').unwrap_or(("", key));
    (Path::new(below), name)
}

/// Lists the folder `below` the root. Returns `None` where there is no such folder.
///
/// # Errors
/// The error of the file system, such as `PermissionDenied`.
pub(super) fn list(root: &Path, below: &Path) -> io::Result<Option<OpenFolder>> {
    let Some(folder) = open_folder(root, below)? else {
        return Ok(None);
    };
    let mut entries = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let name = OsString::from_vec(name.to_vec());
        let kind = match entry.file_type() {
            // Some file systems do not say it in the listing.
            FileType::Unknown => match stat(&folder, &name)? {
                Some(about) => kind_of(FileType::from_raw_mode(about.st_mode)),
                None => continue,
            },
            known => kind_of(known),
        };
        let shown = name_in_keys(&name);
        entries.push(FolderEntry { name, shown, kind });
    }
    Ok(Some(OpenFolder { folder, entries }))
}

/// Returns the properties of a name in a folder, without following a link; `None` where it is gone.
fn stat(folder: impl AsFd, name: &OsStr) -> io::Result<Option<rustix::fs::Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(about) => Ok(Some(about)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl OpenFolder {
    /// Returns the length of an entry in bytes, 0 for what is no file; `None` where it is gone.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn bytes(&self, entry: &FolderEntry) -> io::Result<Option<u64>> {
        if entry.kind != EntryKind::File {
            return Ok(Some(0));
        }
        let about = stat(&self.folder, &entry.name)?;
        Ok(about.map(|about| u64::try_from(about.st_size).unwrap_or(0)))
    }

    /// Removes the regular files that were last written before `seconds` (UTC). Failures are ignored: an auditor may not
    /// delete, and another process may remove the same file.
    pub fn remove_older_than(&self, seconds: i64) {
        for entry in &self.entries {
            let about = stat(&self.folder, &entry.name).ok().flatten();
            let is_old = about.is_some_and(|about| about.st_mtime < seconds);
            if entry.kind == EntryKind::File && is_old {
                let _ = rustix::fs::unlinkat(&self.folder, &entry.name, AtFlags::empty());
            }
        }
    }
}

/// Opens the folder `below` the root, creating what is missing of it, and makes the new names durable. The root must exist.
///
/// # Errors
/// `NotADirectory` where a part of the path is something other than a folder; otherwise the error of the file system.
pub(super) fn create_folders(root: &Path, below: &Path) -> io::Result<OwnedFd> {
    let mut folder = rustix::fs::open(root, FOLDER, Mode::empty())?;
    for part in below.components() {
        let Component::Normal(name) = part else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(NEW_FOLDER)) {
            Ok(()) => sync(&folder)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let opened = rustix::fs::openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
        folder = opened.map_err(|error| match error {
            Errno::LOOP | Errno::MLINK => io::ErrorKind::NotADirectory.into(),
            error => io::Error::from(error),
        })?;
    }
    Ok(folder)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// The error of the file system.
pub(super) fn sync(folder: impl AsFd) -> io::Result<()> {
    match rustix::fs::fsync(folder) {
        // Some network file systems have no sync of folders, since they make names durable at once.
        Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes the names in the folder `below` the root durable, and those in every folder above it up to the root: another
/// process may have created one of these and not synced it yet.
///
/// # Errors
/// The error of the file system.
pub(super) fn sync_up(root: &Path, below: &Path) -> io::Result<()> {
    for folder in below.ancestors() {
        if let Some(folder) = open_folder(root, folder)? {
            sync(folder)?;
        }
    }
    Ok(())
}

/// A file without a name that readers know, in a folder below the root. It is removed when it is dropped.
pub(super) struct TemporaryObject {
    folder: OwnedFd,
    name: CString,
    /// Whether it still has the random name.
    is_temporary: bool,
    pub file: File,
}

impl TemporaryObject {
    /// Creates a file with a random name in the folder `below` the root.
    ///
    /// # Errors
    /// As [`create_folders`], and the error of the system's random numbers.
    pub fn create(root: &Path, below: &str) -> io::Result<TemporaryObject> {
        let folder = create_folders(root, Path::new(below))?;
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let name = CString::new(format!("new-{:016x}", u64::from_le_bytes(random)))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(NEW_OBJECT);
        let file = File::from(rustix::fs::openat(&folder, &name, flags, mode)?);
        Ok(TemporaryObject {
            folder,
            name,
            is_temporary: true,
            file,
        })
    }

    /// Gives the file its name in `folder`. It never replaces anything.
    ///
    /// # Errors
    /// `AlreadyExists` where the name is taken; otherwise the error of the file system.
    pub fn give_name(&mut self, folder: impl AsFd, name: &str) -> io::Result<()> {
        match self.rename(&folder, name) {
            Ok(()) => {
                self.is_temporary = false;
                Ok(())
            }
            // This file system or this system cannot rename without replacing. The temporary name goes when this is dropped.
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
                rustix::fs::linkat(&self.folder, &self.name, folder, name, AtFlags::empty())
                    .map_err(io::Error::from)
            }
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    fn rename(&self, folder: impl AsFd, name: &str) -> rustix::io::Result<()> {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&self.folder, &self.name, folder, name, flags)
    }

    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    fn rename(&self, _folder: impl AsFd, _name: &str) -> rustix::io::Result<()> {
        Err(Errno::NOSYS)
    }
}

impl Drop for TemporaryObject {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}
