//! A store in a local folder.
//!
//! A PUT writes the whole body to a file below `tmp/`, syncs it, gives it its name with a hard link that never replaces a
//! file, and syncs the folders. A crash leaves either a file below `tmp/`, which no reader uses and which is removed after a
//! day, or the complete object.
//!
//! What a crash leaves at each step of a PUT:
//!
//! | after | what is there | what the next run does |
//! |---|---|---|
//! | a part of the body is written | an incomplete file below `tmp/` | writes the object again |
//! | the body is synced | a complete file below `tmp/`, without a name that readers know | writes the object again |
//! | the name is created | the object, whose name a power failure can still lose | finds the object, or creates it again |
//! | the folders are synced | the object | finds the object |
//!
//! The hash is computed while the body is written, so that bytes that changed since the caller announced them never get a name.
//!
//! A folder has no Object Lock and no versions. Its files are read-only, which only prevents mistakes.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::NamedTempFile;

use crate::clock::{Clock, SystemClock};
use crate::format::record::Lock;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::file::{
    READ, WRITE, classify, copy, hash_file, make_folders, open_file, shown, sync_folder,
    unreadable_body,
};
use crate::store::{
    Body, Children, Hashed, LARGEST_GET, ListedObject, NewObject, ObjectVersion, PutOutcome,
    Result, Stat, Store, key,
};

const STORE: &str = "cannot store";
const LIST: &str = "cannot list";

/// Age of incomplete files, in milliseconds, from which on they are removed. No write takes that long, so that the process of
/// an older file has died.
const LEFTOVER_AFTER_MS: i64 = 24 * 3_600 * 1_000;

/// A local folder as a store.
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use cxvault::store::{FolderStore, NewObject, PutOutcome, Store};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// let store = FolderStore::open(folder.path())?;
/// let object = NewObject::from_bytes("manifests/v1/a.json", Bytes::from("{}"), None);
/// assert_eq!(store.put_new(&object).await?, PutOutcome::Created { version_id: None });
/// // An object is never replaced: a second PUT only reports that there is one.
/// assert_eq!(store.put_new(&object).await?, PutOutcome::Exists);
/// assert_eq!(store.get("manifests/v1/a.json").await?, Some(Bytes::from("{}")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct FolderStore {
    root: PathBuf,
}

impl FolderStore {
    /// Opens the folder `root`, which need not exist and need not be writable. Removes incomplete files of processes that
    /// have died.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unusable`] if there is something other than a folder, or another error of the file system.
    pub fn open(root: &Path) -> Result<Self> {
        let store = absolute_folder(root)
            .map(|root| FolderStore { root })
            .map_err(|error| classify(error, "cannot open the archive", root))?;
        store.remove_leftovers();
        Ok(store)
    }

    /// Removes incomplete files of processes that have died. Failures are ignored: an auditor may not delete, and another
    /// process may remove the same file.
    fn remove_leftovers(&self) {
        let limit = SystemClock
            .now_ms()
            .saturating_sub(LEFTOVER_AFTER_MS)
            .max(0);
        let limit = SystemTime::UNIX_EPOCH + Duration::from_millis(limit.unsigned_abs());
        for file in fs::read_dir(self.root.join(key::TEMPORARY))
            .into_iter()
            .flatten()
            .flatten()
        {
            let modified = file.metadata().and_then(|about| about.modified());
            if modified.is_ok_and(|modified| modified < limit) {
                let _ = fs::remove_file(file.path());
            }
        }
    }

    /// Returns the path of an object.
    fn path(&self, key: &str) -> Result<PathBuf> {
        key::check_inside(key)?;
        Ok(self.root.join(key))
    }

    /// Creates an object.
    fn put(&self, object: &NewObject) -> Result<PutOutcome> {
        key::check_new(&object.key)?;
        let target = self.path(&object.key)?;
        if object.lock.is_some() || object.legal_hold {
            return Err(no_lock(&target));
        }
        let folder = target.parent().unwrap_or(&self.root);
        if taken(&target)? {
            self.sync_folders(folder)?;
            return Ok(PutOutcome::Exists);
        }
        let file = self.write_temporary(object, &target)?;
        make_folders(folder)?;
        let put = match file.persist_noclobber(&target) {
            Ok(_) => PutOutcome::Created { version_id: None },
            Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists && taken(&target)? => {
                PutOutcome::Exists
            }
            Err(refused) => return Err(classify(refused.error, STORE, &target)),
        };
        // Only now the name survives a power failure. This is also done if another writer has created the object: that writer
        // may not have synced it yet, and from here on the object counts as stored.
        self.sync_folders(folder)?;
        Ok(put)
    }

    /// Writes the whole body to a synced file below `tmp/`. A crash leaves that file, which no reader uses.
    fn write_temporary(&self, object: &NewObject, target: &Path) -> Result<NamedTempFile> {
        let folder = self.root.join(key::TEMPORARY);
        make_folders(&folder)?;
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o444)) // reduced by the umask
            .tempfile_in(&folder)
            .map_err(|error| classify(error, STORE, target))?;
        let found = match &object.body {
            Body::Bytes(bytes) => copy(
                &mut bytes.as_ref(),
                file.as_file_mut(),
                Path::new("memory"),
                target,
            ),
            Body::File(path) => {
                let mut body = File::open(path).map_err(|error| unreadable_body(error, path))?;
                copy(&mut body, file.as_file_mut(), path, target)
            }
        }?;
        if found != object.sha256 {
            let reason = format!("announced SHA-256 {}, found {found}", object.sha256);
            return Err(
                StoreError::new(StoreErrorKind::Checksum, STORE, shown(target)).because(reason),
            );
        }
        file.as_file()
            .sync_all()
            .map_err(|error| classify(error, STORE, target))?;
        Ok(file)
    }

    /// Makes the names in `folder` durable, and those in every folder up to the root: another process may have created one of
    /// these folders and not synced it yet.
    fn sync_folders(&self, folder: &Path) -> Result<()> {
        for folder in folder
            .ancestors()
            .take_while(|folder| folder.starts_with(&self.root))
        {
            sync_folder(folder)?;
        }
        Ok(())
    }

    /// Returns a small object.
    fn read(&self, key: &str) -> Result<Option<Bytes>> {
        let path = self.path(key)?;
        let Some((file, bytes)) = open_file(&path)? else {
            return Ok(None);
        };
        if bytes > LARGEST_GET {
            return Err(
                StoreError::new(StoreErrorKind::Contradiction, READ, shown(&path)).because(
                    format!("{bytes} bytes are more than such an object can have"),
                ),
            );
        }
        let mut content = Vec::new();
        // Limited, since the file may grow meanwhile if it is tampered with.
        file.take(LARGEST_GET + 1)
            .read_to_end(&mut content)
            .map_err(|error| classify(error, READ, &path))?;
        Ok(Some(Bytes::from(content)))
    }

    /// Copies an object into a file outside of the store.
    fn copy_to(&self, key: &str, to: &Path) -> Result<bool> {
        let path = self.path(key)?;
        let Some((mut file, _)) = open_file(&path)? else {
            return Ok(false);
        };
        let mut copied = File::create(to).map_err(|error| classify(error, WRITE, to))?;
        copy(&mut file, &mut copied, &path, to)?;
        Ok(true)
    }

    /// Returns a part of an object.
    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let path = self.path(key)?;
        let Some((mut file, _)) = open_file(&path)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.seek(SeekFrom::Start(range.start))
            .and_then(|_| {
                file.take(range.end.saturating_sub(range.start))
                    .read_to_end(&mut content)
            })
            .map_err(|error| classify(error, READ, &path))?;
        Ok(Some(Bytes::from(content)))
    }

    /// Returns the direct children of a folder.
    fn right_under(&self, prefix: &str) -> Result<Children> {
        let path = self.root.join(prefix);
        let mut children = Children::default();
        let listed = match fs::read_dir(&path) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(children);
            }
            listed => listed.map_err(|error| classify(error, LIST, &path))?,
        };
        for found in listed {
            let found = found.map_err(|error| classify(error, LIST, &path))?;
            let name = found.file_name().to_string_lossy().into_owned();
            match found.path().is_dir() {
                true if prefix.is_empty() && name == key::TEMPORARY => {}
                true => children.folders.push(name),
                false => children.objects.push(format!("{prefix}{name}")),
            }
        }
        children.folders.sort_unstable();
        children.objects.sort_unstable();
        Ok(children)
    }

    /// Returns the properties of an object. The hash is computed from the bytes, since a folder stores none.
    fn describe(&self, key: &str) -> Result<Option<Stat>> {
        let path = self.path(key)?;
        let Some((mut file, bytes)) = open_file(&path)? else {
            return Ok(None);
        };
        let sha256 = copy(&mut file, &mut io::sink(), &path, &path)?;
        Ok(Some(Stat {
            bytes,
            sha256: Some(sha256),
            version_id: None,
            lock: None,
            legal_hold: false,
        }))
    }

    /// Returns all objects below a prefix and after a key.
    fn walk(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>> {
        let mut entries = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = self.root.join(&folder);
            let listed = match fs::read_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                listed => listed.map_err(|error| classify(error, LIST, &path))?,
            };
            for found in listed {
                let found = found.map_err(|error| classify(error, LIST, &path))?;
                let key = format!("{folder}{}", found.file_name().to_string_lossy());
                // Before the size of the file is read: a chain of manifests is long, and most of it is before `after`.
                let below = format!("{key}/");
                let wanted =
                    key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after);
                if !wanted && !below.starts_with(prefix) && !prefix.starts_with(&below)
                    || key == key::TEMPORARY
                {
                    continue;
                }
                match fs::metadata(found.path()) {
                    Ok(about) if about.is_dir() => folders.push(below),
                    Ok(about) if wanted => entries.push(ListedObject {
                        key,
                        bytes: about.len(),
                    }),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(classify(error, LIST, &found.path())),
                }
            }
        }
        entries.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        Ok(entries)
    }

    /// Runs work on files on a thread for blocking work, so that a slow disk does not delay the requests to the API.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(FolderStore) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        match tokio::task::spawn_blocking(move || work(store)).await {
            Ok(result) => result,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(stopped) => {
                    let error = StoreError::new(
                        StoreErrorKind::Unknown,
                        "interrupted while accessing",
                        self.root(),
                    );
                    Err(error.because(stopped))
                }
            },
        }
    }
}

#[async_trait]
impl Store for FolderStore {
    fn root(&self) -> String {
        shown(&self.root)
    }

    async fn put_new(&self, object: &NewObject) -> Result<PutOutcome> {
        let object = object.clone();
        self.blocking(move |store| store.put(&object)).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let key = key.to_owned();
        self.blocking(move |store| store.read(&key)).await
    }

    async fn download(&self, key: &str, to: &Path) -> Result<bool> {
        let (key, to) = (key.to_owned(), to.to_owned());
        self.blocking(move |store| store.copy_to(&key, &to)).await
    }

    async fn read_at(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let key = key.to_owned();
        self.blocking(move |store| store.read_range(&key, range))
            .await
    }

    async fn hash(&self, key: &str) -> Result<Option<Hashed>> {
        hash_file(&self.path(key)?).await
    }

    fn local(&self, key: &str) -> Option<PathBuf> {
        self.path(key).ok()
    }

    async fn children(&self, prefix: &str) -> Result<Children> {
        let prefix = prefix.to_owned();
        self.blocking(move |store| store.right_under(&prefix)).await
    }

    /// The SHA-256 is that of the present bytes: the whole file is read.
    async fn stat(&self, key: &str) -> Result<Option<Stat>> {
        let key = key.to_owned();
        self.blocking(move |store| store.describe(&key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.blocking(move |store| store.walk(&prefix, after.as_deref()))
            .await
    }

    async fn versions(&self, prefix: &str) -> Result<Vec<ObjectVersion>> {
        let objects = self.list(prefix, None).await?;
        Ok(objects
            .into_iter()
            .map(|entry| ObjectVersion {
                key: entry.key,
                version_id: None,
                is_latest: true,
                is_delete_marker: false,
            })
            .collect())
    }

    async fn raise_lock(&self, key: &str, _lock: Lock) -> Result<()> {
        Err(no_lock(&self.path(key)?))
    }

    async fn set_legal_hold(&self, key: &str, _on: bool) -> Result<bool> {
        self.path(key).map(|_| false)
    }

    async fn keeps_locks(&self) -> Result<Option<bool>> {
        Ok(Some(false))
    }

    async fn keeps_legal_holds(&self, _key: &str) -> Result<bool> {
        Ok(false)
    }
}

/// Returns the absolute path of a folder, which need not exist.
fn absolute_folder(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match fs::metadata(&path) {
        Ok(found) if !found.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(path),
    }
}

/// Returns the failure for a lock in a folder.
fn no_lock(path: &Path) -> StoreError {
    StoreError::new(StoreErrorKind::Unusable, "cannot lock", shown(path))
        .because("a folder has no Object Lock")
        .remedy("Set CXVAULT_OBJECT_LOCK=off, or use an S3 bucket with Object Lock.")
}

/// Returns whether there is an object of this name. A folder of this name is an error, since no object can ever have it.
fn taken(target: &Path) -> Result<bool> {
    match fs::metadata(target) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(classify(io::ErrorKind::IsADirectory.into(), STORE, target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(classify(error, STORE, target)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::hash::digest::Digest;

    fn object(key: &str, content: &'static [u8]) -> NewObject {
        let body = Body::Bytes(Bytes::from_static(content));
        NewObject {
            key: key.to_owned(),
            body,
            sha256: Digest::of(content),
            lock: None,
            legal_hold: false,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn objects_are_read_only_and_nothing_is_left_beside_them() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::open(root.path()).unwrap();
        store.put(&object("a/b", b"x")).unwrap();
        store.put(&object("a/b", b"y")).unwrap();
        let mut wrong = object("a/c", b"z");
        wrong.sha256 = Digest::of(b"other");
        store.put(&wrong).unwrap_err();
        let mode = fs::metadata(root.path().join("a/b"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777 & !0o444, 0, "mode {mode:o}");
        assert_ne!(mode & 0o400, 0, "mode {mode:o}");
        assert_eq!(names(&root.path().join("tmp")), Vec::<String>::new());
        assert_eq!(names(&root.path().join("a")), ["b"]);
    }

    #[test]
    fn old_leftovers_go_and_a_writer_at_work_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let tmp = root.path().join("tmp");
        fs::create_dir(&tmp).unwrap();
        let old = File::create(tmp.join("old")).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
            .unwrap();
        File::create(tmp.join("young")).unwrap();
        let store = FolderStore::open(root.path()).unwrap();
        assert_eq!(names(&tmp), ["young"]);
        assert_eq!(
            store.walk("", None).unwrap(),
            [],
            "half-written files are no objects"
        );
    }

    #[test]
    fn opening_makes_nothing_and_a_file_is_no_archive() {
        let root = tempfile::tempdir().unwrap();
        FolderStore::open(&root.path().join("missing")).unwrap();
        assert_eq!(names(root.path()), Vec::<String>::new());
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = FolderStore::open(&file).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unusable);
        assert!(error.object.ends_with("/file"), "{}", error.object);
    }

    #[test]
    fn no_key_reaches_outside_the_root() {
        let around = tempfile::tempdir().unwrap();
        fs::write(around.path().join("secret"), "s").unwrap();
        let store = FolderStore::open(&around.path().join("root")).unwrap();
        store.put(&object("a", b"x")).unwrap();
        let absolute = around.path().join("secret");
        for key in ["../secret", "a/../../secret", absolute.to_str().unwrap()] {
            assert_eq!(
                store.read(key).unwrap_err().kind,
                StoreErrorKind::Unusable,
                "{key}"
            );
        }
    }

    #[test]
    fn a_name_that_a_folder_has_is_never_taken_for_an_object() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::open(root.path()).unwrap();
        store.put(&object("a/b", b"x")).unwrap();
        assert_eq!(
            store.put(&object("a", b"x")).unwrap_err().kind,
            StoreErrorKind::Unusable
        );
        assert_eq!(
            store.put(&object("a/b/c", b"x")).unwrap_err().kind,
            StoreErrorKind::Unusable
        );
        assert_eq!(store.describe("a").unwrap(), None);
        assert_eq!(store.describe("a/b/c").unwrap(), None);
    }

    #[test]
    fn a_full_disk_is_called_that() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::open(root.path()).unwrap();
        store.put(&object("a", b"x")).unwrap();
        let error = store.copy_to("a", Path::new("/dev/full")).unwrap_err();
        assert_eq!(
            (error.kind, error.object.as_str()),
            (StoreErrorKind::Full, "/dev/full")
        );
        assert!(
            crate::outcome::Failure::from(error)
                .to_string()
                .contains("Free some space")
        );
    }
}
