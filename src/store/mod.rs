//! Where objects are stored: the trait [`Store`], and its implementations for a local folder and for S3.
//!
//! Objects are immutable: they are created, read and locked, and never replaced or deleted. The trait therefore has no method
//! that overwrites or deletes, and no other module could.
//!
//! A store sends each request once and says of a failure what the caller can do next ([`StoreErrorKind`]). Only
//! [`RetryingStore`] sends requests again. One suite of tests (`tests/services/store_contract.rs`) checks all
//! implementations, the test double in memory included.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::format::hash::Digest;
use crate::format::place::location::Location;
use crate::format::record::Lock;

mod beneath;
pub mod error;
pub mod file;
pub mod folder;
pub(crate) mod key;
pub mod retry;
pub mod s3;

pub use error::{StoreError, StoreErrorKind};
pub use folder::FolderStore;
pub use key::check_new as check_new_key;
pub use retry::{RetryPolicy, RetryingStore};
pub use s3::{S3Options, S3Settings, S3Store};

/// A result of a store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Longest object that [`Store::get`] returns, in bytes.
pub const LARGEST_GET: u64 = 64 << 20;

/// The content of a new object.
#[derive(Debug, Clone)]
pub enum Body {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A local file, which is read while it is sent and must not change meanwhile.
    File(PathBuf),
}

/// An object to create.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// Key relative to the root of the store; see [`check_new_key`].
    pub key: String,
    /// Content of the object.
    pub body: Body,
    /// SHA-256 of the content; the store refuses other bytes.
    pub sha256: Digest,
    /// Object Lock from its creation on.
    pub lock: Option<Lock>,
    /// Whether the object is under legal hold from its creation on.
    pub legal_hold: bool,
}

impl NewObject {
    /// Returns an object with these bytes, without a legal hold.
    pub fn from_bytes(key: impl Into<String>, bytes: Bytes, lock: Option<Lock>) -> NewObject {
        NewObject {
            key: key.into(),
            sha256: Digest::of(&bytes),
            body: Body::Bytes(bytes),
            lock,
            legal_hold: false,
        }
    }
}

/// The answer to the creation of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is stored.
    Created {
        /// Id of its version; `None` without versioning.
        version_id: Option<String>,
    },
    /// There is an object of this key, with these or with other bytes: [`Store::stat`] says which.
    Exists,
}

/// The properties of an object, as the store reports them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole object; `None` if the store has none, as for an upload of another program.
    pub sha256: Option<Digest>,
    /// Id of the current version; `None` without versioning.
    pub version_id: Option<String>,
    /// Object Lock of the current version.
    pub lock: Option<Lock>,
    /// Whether the current version is under legal hold.
    pub legal_hold: bool,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Key relative to the root of the store.
    pub key: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// A version of a key in a versioned bucket. In other stores every object is one version without an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// Key relative to the root of the store.
    pub key: String,
    /// Id of the version; `None` without versioning.
    pub version_id: Option<String>,
    /// Whether it is the current version.
    pub is_latest: bool,
    /// Whether it marks the key as deleted and has no content.
    pub is_delete_marker: bool,
}

/// Length and hash of an object, computed by reading all of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of all bytes.
    pub sha256: Digest,
}

/// The direct children of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Children {
    /// Names of folders, which have objects below them, such as `sub_account=1` under `manifests/v1/`.
    pub folders: Vec<String>,
    /// Keys of objects.
    pub objects: Vec<String>,
}

/// Immutable objects under one root. Keys are relative to the root, with `/` between their parts.
///
/// All methods fail with the [`StoreErrorKind`] that says what to do next. After an error of kind
/// [`StoreErrorKind::Unknown`] the object of a PUT may or may not be stored, and the identical request may be sent again.
/// [`PutOutcome::Exists`] may then be the result of the first attempt, which [`Store::stat`] tells from another writer's
/// object.
#[async_trait]
pub trait Store: Send + Sync {
    /// Returns the root as the user wrote it, for messages: `s3://bucket/prefix` or a folder.
    fn root(&self) -> String;

    /// Creates an object durably, or reports that there is one of this key. It never replaces an object.
    async fn put_new(&self, object: &NewObject) -> Result<PutOutcome>;

    /// Returns a small object, such as a manifest; `None` if there is none. The caller checks its hash.
    ///
    /// An object over [`LARGEST_GET`] is refused, so that a user who can write to the bucket cannot exhaust the memory of a
    /// reader.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;

    /// Copies an object into the local file `to`, which is created or truncated; returns `false` if there is no object. The
    /// caller checks the hash. After an error the content of the file is undefined.
    async fn download(&self, key: &str, to: &Path) -> Result<bool>;

    /// Returns the bytes of an object in `range`, fewer if the object ends earlier; `None` if there is no object.
    async fn read_at(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>>;

    /// Reads a whole object to count and hash its bytes; `None` if there is no object.
    async fn hash(&self, key: &str) -> Result<Option<Hashed>>;

    /// Returns the path of an object if the store is a folder of this host. The file need not exist, and may be a link:
    /// [`open_regular`](file::open_regular) opens it.
    fn local(&self, key: &str) -> Option<PathBuf> {
        let _ = key;
        None
    }

    /// Returns the path of an object that can be checked and then read where it is: a file that nobody but this user and root
    /// can change meanwhile. Every other object is read from a copy, which is checked.
    fn in_place(&self, key: &str) -> Option<PathBuf> {
        let _ = key;
        None
    }

    /// Returns the properties of an object; `None` if there is none.
    async fn stat(&self, key: &str) -> Result<Option<Stat>>;

    /// Returns the direct children of the folder `prefix` (empty, or with `/` at its end) in order. It needs one request for
    /// each thousand children, regardless of the number of objects below them.
    async fn children(&self, prefix: &str) -> Result<Children>;

    /// Returns every object whose key begins with `prefix` and sorts after `after`, in key order (byte order).
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>>;

    /// Returns every version and delete marker of keys that begin with `prefix`, in key order. Within a key the latest one is
    /// first, and the others follow by date, newest first; Amazon S3 dates them to the second.
    async fn versions(&self, prefix: &str) -> Result<Vec<ObjectVersion>>;

    /// Extends the retention of the current version of an object to at least `lock`. It never shortens or weakens a lock.
    async fn raise_lock(&self, key: &str, lock: Lock) -> Result<()>;

    /// Sets or lifts the legal hold of the current version of an object; returns `false` if the store has no legal holds, as a
    /// folder or a bucket without Object Lock.
    async fn set_legal_hold(&self, key: &str, on: bool) -> Result<bool>;

    /// Returns whether the store has locks and legal holds; `None` if these credentials may not read that. It changes nothing.
    async fn keeps_locks(&self) -> Result<Option<bool>> {
        Ok(None)
    }

    /// Returns whether the store has legal holds, by reading that of an existing object. It changes nothing.
    async fn keeps_legal_holds(&self, key: &str) -> Result<bool>;
}

/// Opens the store at a location. A folder does not use the options.
///
/// No object is read or written: a wrong name of a bucket shows at the first request, and a missing folder is created by the
/// first PUT, so that reading with a misspelt path does not create a folder.
///
/// # Errors
/// If the path is not a folder, or if the settings for S3 are incomplete.
pub async fn open(location: &Location, options: S3Options) -> Result<Arc<dyn Store>> {
    match location {
        Location::Folder(root) => Ok(Arc::new(FolderStore::open(root)?)),
        Location::S3 { bucket, prefix } => {
            let settings = S3Settings {
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                options,
            };
            Ok(Arc::new(S3Store::open(settings).await?))
        }
    }
}

/// Returns the lock that satisfies both the lock `now` and the lock `wanted`.
fn stronger(now: Option<Lock>, wanted: Lock) -> Lock {
    now.map_or(wanted, |now| now.stronger(wanted))
}
