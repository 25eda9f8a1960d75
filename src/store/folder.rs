//! A store in a local folder.
//!
//! A PUT writes the whole body to a file below `tmp/`, syncs it, gives it its name with a rename (or a hard link) that never
//! replaces a file, and syncs the folders. A crash leaves either a file below `tmp/`, which no reader uses and which is removed after a
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
//! A folder has no Object Lock and no versions. Its files are read-only, which only prevents mistakes. A root that this
//! program creates can be entered by its owner alone; `chmod` opens it to a group of auditors.
//!
//! Links below the root are never followed, and only regular files are read: [`beneath`](crate::store::beneath) says why.
//! Everything else is listed with a length of 0, so that an audit names it, and reading it finds no object.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::{Clock, SystemClock};
use crate::format::record::Lock;
use crate::private;
use crate::store::beneath::{self, EntryKind, TemporaryObject};
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::file::{
    Counter, READ, WRITE, classify, copy, make_folders, shown, unreadable_body,
};
use crate::store::{
    Body, Children, Hashed, LARGEST_GET, ListedObject, NewObject, ObjectVersion, PutOutcome,
    Result, Stat, Store, key,
};

const STORE: &str = "cannot store";
const LIST: &str = "cannot list";

/// Number of folders that a listing goes down from the root. No key of an archive has more than four. Without a limit, a
/// tree of thousands of folders, one in the other, would take a time that grows with the square of its depth.
const DEEPEST: usize = 32;

/// Age of incomplete files, in seconds, from which on they are removed. No write takes that long, so that the process of
/// an older file has died.
const LEFTOVER_AFTER_S: i64 = 24 * 3_600;

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

    /// Removes incomplete files of processes that have died. A `tmp` that is a link is left alone: it could lead to any
    /// folder in which this user may delete.
    fn remove_leftovers(&self) {
        if let Ok(Some(folder)) = beneath::list(&self.root, Path::new(key::TEMPORARY)) {
            folder.remove_older_than(SystemClock.now_ms() / 1_000 - LEFTOVER_AFTER_S);
        }
    }

    /// Returns the path of an object, for messages.
    fn path(&self, key: &str) -> Result<PathBuf> {
        key::check_inside(key)?;
        Ok(self.root.join(key))
    }

    /// Opens an object for reading, and returns it with its length in bytes; `None` if there is none.
    fn open_object(&self, key: &str) -> Result<Option<(fs::File, u64)>> {
        let path = self.path(key)?;
        beneath::open_file(&self.root, key).map_err(|error| classify(error, READ, &path))
    }

    /// Creates an object.
    fn put(&self, object: &NewObject) -> Result<PutOutcome> {
        key::check_new(&object.key)?;
        let target = self.path(&object.key)?;
        if object.lock.is_some() || object.legal_hold {
            return Err(no_lock(&target));
        }
        let (below, name) = beneath::split(&object.key);
        if self.is_taken(&object.key)? {
            self.sync_folders(below)?;
            return Ok(PutOutcome::Exists);
        }
        let mut temporary = self.write_temporary(object, &target)?;
        let folder = beneath::create_folders(&self.root, below)
            .map_err(|error| self.not_creatable(error, &target))?;
        let put = match temporary.give_name(&folder, name) {
            Ok(()) => PutOutcome::Created { version_id: None },
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && self.is_taken(&object.key)? =>
            {
                PutOutcome::Exists
            }
            Err(error) => return Err(classify(error, STORE, &target)),
        };
        // Only now the name survives a power failure. This is also done if another writer has created the object: that writer
        // may not have synced it yet, and from here on the object counts as stored.
        self.sync_folders(below)?;
        Ok(put)
    }

    /// Returns whether there is an object of this name.
    ///
    /// # Errors
    /// [`StoreErrorKind::Contradiction`] for anything else of this name, since no object can ever have it.
    fn is_taken(&self, key: &str) -> Result<bool> {
        let target = self.path(key)?;
        match beneath::kind(&self.root, key).map_err(|error| classify(error, STORE, &target))? {
            None => Ok(false),
            Some(EntryKind::File) => Ok(true),
            Some(EntryKind::Folder) => Err(occupied(&target, "a folder has its name")),
            Some(EntryKind::Foreign) => {
                Err(occupied(&target, "a link or a special file has its name"))
            }
        }
    }

    /// Returns the failure for the folders of an object that cannot be created.
    fn not_creatable(&self, error: io::Error, target: &Path) -> StoreError {
        if error.kind() == io::ErrorKind::NotADirectory {
            return occupied(target, "something other than a folder is in its path");
        }
        classify(error, STORE, target)
    }

    /// Writes the whole body to a synced file below `tmp/`. A crash leaves that file, which no reader uses.
    fn write_temporary(&self, object: &NewObject, target: &Path) -> Result<TemporaryObject> {
        make_folders(&self.root)?;
        let mut temporary = TemporaryObject::create(&self.root, key::TEMPORARY)
            .map_err(|error| self.not_creatable(error, &self.root.join(key::TEMPORARY)))?;
        let file = &mut temporary.file;
        let found = match &object.body {
            Body::Bytes(bytes) => copy(&mut bytes.as_ref(), file, Path::new("memory"), target),
            Body::File(path) => {
                let mut body =
                    fs::File::open(path).map_err(|error| unreadable_body(error, path))?;
                copy(&mut body, file, path, target)
            }
        }?;
        if found != object.sha256 {
            let reason = format!("announced SHA-256 {}, found {found}", object.sha256);
            return Err(
                StoreError::new(StoreErrorKind::Checksum, STORE, shown(target)).because(reason),
            );
        }
        file.sync_all()
            .map_err(|error| classify(error, STORE, target))?;
        Ok(temporary)
    }

    /// Makes the names in the folder `below` the root durable, and those in every folder up to the root: another process may
    /// have created one of these folders and not synced it yet.
    fn sync_folders(&self, below: &Path) -> Result<()> {
        beneath::sync_up(&self.root, below)
            .map_err(|error| classify(error, "cannot sync the folder", &self.root.join(below)))
    }

    /// Returns a small object.
    fn read(&self, key: &str) -> Result<Option<Bytes>> {
        let path = self.path(key)?;
        let Some((file, bytes)) = self.open_object(key)? else {
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
        let Some((mut file, _)) = self.open_object(key)? else {
            return Ok(false);
        };
        let mut copied = private::create(to).map_err(|error| classify(error, WRITE, to))?;
        copy(&mut file, &mut copied, &path, to)?;
        Ok(true)
    }

    /// Returns a part of an object.
    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let path = self.path(key)?;
        let Some((mut file, _)) = self.open_object(key)? else {
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

    /// Reads a whole object to count and hash its bytes.
    fn digest(&self, key: &str) -> Result<Option<Hashed>> {
        let path = self.path(key)?;
        let Some((mut file, _)) = self.open_object(key)? else {
            return Ok(None);
        };
        let mut counted = Counter(0);
        let sha256 = copy(&mut file, &mut counted, &path, &path)?;
        Ok(Some(Hashed {
            bytes: counted.0,
            sha256,
        }))
    }

    /// Returns the direct children of a folder.
    fn right_under(&self, prefix: &str) -> Result<Children> {
        let mut children = Children::default();
        if prefix.is_empty() {
            self.add_children(prefix, &mut children)?;
        } else if let Some(folder) = prefix.strip_suffix('/') {
            key::check_inside(folder)?;
            self.add_children(folder, &mut children)?;
        }
        children.folders.sort_unstable();
        children.objects.sort_unstable();
        Ok(children)
    }

    /// Adds what is directly in `folder`, a path without a slash at its end, or the root.
    fn add_children(&self, folder: &str, children: &mut Children) -> Result<()> {
        let path = self.root.join(folder);
        let Some(listed) = beneath::list(&self.root, Path::new(folder))
            .map_err(|error| classify(error, LIST, &path))?
        else {
            return Ok(());
        };
        let slash = if folder.is_empty() { "" } else { "/" };
        for entry in listed.entries {
            match entry.kind {
                EntryKind::Folder if folder.is_empty() && entry.shown == key::TEMPORARY => {}
                EntryKind::Folder => children.folders.push(entry.shown),
                EntryKind::File | EntryKind::Foreign => children
                    .objects
                    .push(format!("{folder}{slash}{}", entry.shown)),
            }
        }
        Ok(())
    }

    /// Returns the properties of an object. The hash is computed from the bytes, since a folder stores none.
    fn describe(&self, key: &str) -> Result<Option<Stat>> {
        let path = self.path(key)?;
        let Some((mut file, bytes)) = self.open_object(key)? else {
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

    /// Returns all objects below a prefix and after a key. Nothing outside of the root has such a key, whatever the prefix. A
    /// folder that is too deep for any key is listed in place of what is in it, as other foreign things are.
    fn walk(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>> {
        let mut objects = Vec::new();
        // Names as the system has them beside those of keys: only the former can be opened.
        let mut folders = vec![(PathBuf::new(), String::new(), 0)];
        while let Some((below, folder, depth)) = folders.pop() {
            let path = self.root.join(&below);
            let Some(listed) =
                beneath::list(&self.root, &below).map_err(|error| classify(error, LIST, &path))?
            else {
                continue;
            };
            for entry in &listed.entries {
                let key = format!("{folder}{}", entry.shown);
                if entry.kind == EntryKind::Folder && depth < DEEPEST {
                    let inner = format!("{key}/");
                    let leads_there = inner.starts_with(prefix) || prefix.starts_with(&inner);
                    if leads_there && key != key::TEMPORARY {
                        folders.push((below.join(&entry.name), inner, depth + 1));
                    }
                    continue;
                }
                // Before the size of the file is read: a chain of manifests is long, and most of it is before `after`.
                if !key.starts_with(prefix) || after.is_some_and(|after| key.as_str() <= after) {
                    continue;
                }
                let bytes = listed
                    .bytes(entry)
                    .map_err(|error| classify(error, LIST, &path))?;
                objects.extend(bytes.map(|bytes| ListedObject { key, bytes }));
            }
        }
        objects.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        Ok(objects)
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
        let key = key.to_owned();
        self.blocking(move |store| store.digest(&key)).await
    }

    fn local(&self, key: &str) -> Option<PathBuf> {
        self.path(key).ok()
    }

    fn in_place(&self, key: &str) -> Option<PathBuf> {
        let path = self.path(key).ok()?;
        let is_ours = beneath::is_ours_alone(&self.root, key).unwrap_or(false);
        is_ours.then_some(path)
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

/// Returns the failure for an object whose name or folder is something else, which this program never creates.
fn occupied(target: &Path, what: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Contradiction, STORE, shown(target))
        .because(what)
        .remedy(
            "Another program has put it there. Run `cxvault verify`, find out who can write to this folder, and remove it.",
        )
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::ffi::OsStringExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::{Duration, SystemTime};

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
            let kinds = [
                store.describe(key).map(drop),
                store.digest(key).map(drop),
                store.read_range(key, 0..1).map(drop),
                store.copy_to(key, &around.path().join("copy")).map(drop),
                store.put(&object(key, b"y")).map(drop),
            ];
            for result in kinds {
                assert_eq!(result.unwrap_err().kind, StoreErrorKind::Unusable, "{key}");
            }
            assert_eq!(store.local(key), None, "{key}");
            assert_eq!(store.walk(key, None).unwrap(), [], "{key}");
            let children = store.right_under(&format!("{key}/"));
            assert!(children.is_err_and(|error| error.kind == StoreErrorKind::Unusable));
        }
    }

    #[test]
    fn a_name_that_a_folder_has_is_never_taken_for_an_object() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::open(root.path()).unwrap();
        store.put(&object("a/b", b"x")).unwrap();
        for key in ["a", "a/b/c"] {
            let error = store.put(&object(key, b"x")).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Contradiction, "{key}");
        }
        assert_eq!(store.describe("a").unwrap(), None);
        assert_eq!(store.describe("a/b/c").unwrap(), None);
    }

    /// Returns a store with one object, and beside it everything that is no object.
    fn with_foreign_entries() -> (tempfile::TempDir, FolderStore) {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().join("root");
        let store = FolderStore::open(&root).unwrap();
        store.put(&object("a/b", b"x")).unwrap();
        fs::create_dir(around.path().join("outside")).unwrap();
        fs::write(around.path().join("outside/secret"), "s").unwrap();
        let link = |to: &str, name: &str| symlink(to, root.join(name)).unwrap();
        link("../../outside/secret", "a/file-link");
        link("../outside", "folder-link");
        link("nowhere", "a/dangling");
        link("loop", "a/loop");
        let fifo = std::process::Command::new("mkfifo")
            .arg(root.join("a/fifo"))
            .status();
        assert!(fifo.unwrap().success());
        std::os::unix::net::UnixListener::bind(root.join("a/socket")).unwrap();
        let odd = root.join(std::ffi::OsString::from_vec(b"odd-\xff".to_vec()));
        fs::create_dir(&odd).unwrap();
        fs::write(odd.join("inside"), "12345").unwrap();
        (around, store)
    }

    #[test]
    fn what_is_no_file_is_listed_and_never_opened() {
        let (_around, store) = with_foreign_entries();
        let listed = store.walk("", None).unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|entry| (entry.key.as_str(), entry.bytes))
            .collect();
        let foreign = ["a/dangling", "a/fifo", "a/file-link", "a/loop", "a/socket"];
        let mut expected = vec![("a/b", 1), ("folder-link", 0), ("odd-\\xff/inside", 5)];
        expected.extend(foreign.map(|key| (key, 0)));
        expected.sort_unstable();
        assert_eq!(listed, expected);
        let children = store.right_under("").unwrap();
        assert_eq!(children.folders, ["a", "odd-\\xff"]);
        assert_eq!(children.objects, ["folder-link"]);
        assert_eq!(
            store.right_under("folder-link/").unwrap(),
            Children::default()
        );

        let through_a_link = ["folder-link/secret", "odd-\\xff/inside", "a"];
        for key in foreign.into_iter().chain(through_a_link) {
            assert_eq!(store.read(key).unwrap(), None, "{key}");
            assert_eq!(store.describe(key).unwrap(), None, "{key}");
            assert_eq!(store.digest(key).unwrap(), None, "{key}");
            assert_eq!(store.read_range(key, 0..1).unwrap(), None, "{key}");
        }
    }

    #[test]
    fn a_folder_that_is_too_deep_for_any_key_is_listed_itself() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::open(root.path()).unwrap();
        let deepest = ["d"; DEEPEST].join("/");
        fs::create_dir_all(root.path().join(&deepest).join("e/f")).unwrap();
        fs::write(root.path().join(&deepest).join("file"), "1").unwrap();
        fs::write(root.path().join(&deepest).join("e/hidden"), "12").unwrap();
        let listed = store.walk("d/", None).unwrap();
        let listed: Vec<_> = listed.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(listed, [format!("{deepest}/e"), format!("{deepest}/file")]);
    }

    #[test]
    fn nothing_is_written_through_a_link_or_over_a_special_file() {
        let (around, store) = with_foreign_entries();
        for key in [
            "a/file-link",
            "a/dangling",
            "a/fifo",
            "folder-link/new",
            "a/loop/new",
        ] {
            let error = store.put(&object(key, b"y")).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Contradiction, "{key}");
        }
        assert_eq!(names(&around.path().join("outside")), ["secret"]);
        assert_eq!(names(&around.path().join("root/tmp")), Vec::<String>::new());
    }

    #[test]
    fn a_temporary_folder_that_is_a_link_is_neither_used_nor_emptied() {
        let around = tempfile::tempdir().unwrap();
        let [root, precious] = ["root", "precious"].map(|name| around.path().join(name));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&precious).unwrap();
        let old = File::create(precious.join("old")).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
            .unwrap();
        symlink(&precious, root.join("tmp")).unwrap();
        let store = FolderStore::open(&root).unwrap();
        assert_eq!(names(&precious), ["old"]);
        let error = store.put(&object("a", b"x")).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Contradiction);
        assert_eq!(names(&precious), ["old"]);
    }

    #[test]
    fn a_root_may_be_a_link_and_a_loop_of_links_is_none() {
        let around = tempfile::tempdir().unwrap();
        let [link, real, loops] = ["link", "real", "loops"].map(|name| around.path().join(name));
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        let store = FolderStore::open(&link).unwrap();
        store.put(&object("a/b", b"x")).unwrap();
        assert_eq!(store.read("a/b").unwrap().as_deref(), Some(b"x".as_slice()));
        assert!(real.join("a/b").is_file());
        symlink("loops", &loops).unwrap();
        let error = FolderStore::open(&loops).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unusable, "not a matter of time");
    }

    #[test]
    fn a_file_that_others_can_exchange_is_not_read_in_place() {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().join("root");
        let store = FolderStore::open(&root).unwrap();
        store.put(&object("a/b/c", b"x")).unwrap();
        let [folder, file] = ["a/b", "a/b/c"].map(|key| root.join(key));
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&root.join("a"), 0o755);
        for (root_mode, folder_mode, file_mode, is_in_place) in [
            (0o755, 0o755, 0o444, true),
            (0o750, 0o755, 0o644, true),
            (0o777, 0o755, 0o444, false),
            (0o755, 0o775, 0o444, false),
            (0o755, 0o755, 0o446, false),
            // Nobody else can enter.
            (0o700, 0o777, 0o666, true),
        ] {
            set(&root, root_mode);
            set(&folder, folder_mode);
            set(&file, file_mode);
            let found = store.in_place("a/b/c");
            assert_eq!(
                found.is_some(),
                is_in_place,
                "{root_mode:o} {folder_mode:o} {file_mode:o}"
            );
        }
        set(&root, 0o755);
        symlink(&file, root.join("a/link")).unwrap();
        assert_eq!(store.in_place("a/link"), None);
        // Only root can give a file away.
        if std::os::unix::fs::chown(&folder, Some(65_534), None).is_ok() {
            set(&folder, 0o755);
            assert_eq!(store.in_place("a/b/c"), None);
        }
    }

    #[test]
    fn a_root_that_is_created_is_for_its_owner_alone() {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().join("new/root");
        let store = FolderStore::open(&root).unwrap();
        store.put(&object("a", b"x")).unwrap();
        for folder in [root.as_path(), root.parent().unwrap()] {
            let mode = fs::metadata(folder).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o700, "{}", folder.display());
        }
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
