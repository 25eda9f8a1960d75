//! Where the archive is kept: one trait, a local folder, S3, and a faulty double for the tests.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::format::hash::digest::Digest;
use crate::format::place::location::Location;
use crate::format::record::lock::Lock;

pub mod error;
pub mod file;
pub mod folder;
mod key;
pub mod retry;
pub mod s3;

pub use error::{StoreError, StoreErrorKind};
pub use folder::FolderStore;
pub use key::check_new as check_new_key;
pub use retry::{RetryPolicy, RetryingStore};
pub use s3::{S3Options, S3Settings, S3Store};

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Longest object that [`Store::get`] returns, in bytes.
pub const LARGEST_GET: u64 = 64 << 20;

/// What an object is made of.
#[derive(Debug, Clone)]
pub enum Body {
    Bytes(Bytes),
    /// A local file, read while it is sent; it must not change meanwhile.
    File(PathBuf),
}

/// One create-only PUT.
#[derive(Debug, Clone)]
pub struct NewObject {
    pub key: String,
    pub body: Body,
    /// SHA-256 of the whole body; the store refuses other bytes.
    pub sha256: Digest,
    pub lock: Option<Lock>,
    /// Under legal hold from its first instant on.
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

/// How a create-only PUT ended when the store answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    Created {
        version_id: Option<String>,
    },
    /// The key is taken, by these bytes or by others: ask [`Store::stat`].
    Exists,
}

/// What the store itself says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub bytes: u64,
    /// Full-object SHA-256; `None` when the store keeps none (somebody else's upload).
    pub sha256: Option<Digest>,
    pub version_id: Option<String>,
    pub lock: Option<Lock>,
    pub legal_hold: bool,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    pub bytes: u64,
}

/// One version of a key on a versioned bucket; on other stores every object is one version without id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    pub key: String,
    pub version_id: Option<String>,
    pub is_latest: bool,
    pub is_delete_marker: bool,
}

/// An object's bytes, counted and hashed by reading all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    pub bytes: u64,
    pub sha256: Digest,
}

/// What lies right under a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Children {
    /// Names that have objects below them, such as `sub_account=1` under `manifests/v1/`.
    pub folders: Vec<String>,
    /// Whole keys.
    pub objects: Vec<String>,
}

/// Immutable objects under one root. Keys are relative to the root, with `/` between parts.
///
/// No store retries: [`RetryingStore`] around one does, and nothing else. An error of kind
/// [`StoreErrorKind::Unknown`] after a PUT means that the object may or may not be stored, and that the identical
/// request may be sent again; `Exists` may then mean our own first attempt, so ask [`Store::stat`].
#[async_trait]
pub trait Store: Send + Sync {
    /// The root as the user wrote it, for messages: `s3://bucket/prefix` or a folder.
    fn root(&self) -> String;

    /// Creates an object, durably, or says that the key is taken. Never replaces anything.
    async fn put_new(&self, object: &NewObject) -> Result<PutOutcome>;

    /// The whole object, or `None`. For small objects (manifests): one over [`LARGEST_GET`] is refused, so that
    /// whoever can write to the bucket cannot use up a reader's memory. Nothing is checked: callers hash.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;

    /// Copies an object into the local file `to` (created or truncated); `false` when there is none. After an error
    /// the file holds anything. Nothing is checked: callers hash.
    async fn download(&self, key: &str, to: &Path) -> Result<bool>;

    /// The object's bytes in `range`, fewer where it ends earlier; `None` when there is no such object.
    async fn read_at(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>>;

    /// Reads the whole object to count and hash it; keeps nothing.
    async fn hash(&self, key: &str) -> Result<Option<Hashed>>;

    /// The object as a file of this host, where it is one; it may not exist.
    fn local(&self, key: &str) -> Option<PathBuf> {
        let _ = key;
        None
    }

    async fn stat(&self, key: &str) -> Result<Option<Stat>>;

    /// What lies right under the folder `prefix` (empty, or with `/` at its end), in order; one request, however much
    /// lies below.
    async fn children(&self, prefix: &str) -> Result<Children>;

    /// Every object whose key begins with `prefix` and sorts after `after`, in key order (byte order).
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>>;

    /// Every version and delete marker of keys that begin with `prefix`, in key order, newest first within a key.
    async fn versions(&self, prefix: &str) -> Result<Vec<ObjectVersion>>;

    /// Extends the retention of an existing object's current version to at least `lock`; never shortens or weakens
    /// one.
    async fn raise_lock(&self, key: &str, lock: Lock) -> Result<()>;

    /// Sets or lifts the legal hold of an existing object's current version; `false` where this store keeps none (a
    /// folder, a bucket without Object Lock).
    async fn set_legal_hold(&self, key: &str, on: bool) -> Result<bool>;

    /// Whether this store keeps locks and legal holds; `None` where these credentials may not ask. Touches nothing.
    async fn keeps_locks(&self) -> Result<Option<bool>> {
        Ok(None)
    }

    /// Whether this store keeps legal holds, found out by asking for that of an existing object: nothing is set.
    async fn keeps_legal_holds(&self, key: &str) -> Result<bool>;
}

/// Opens the archive's root. Folders make no use of the options.
///
/// Touches as little as possible: a wrong bucket's name shows at the first request, a missing folder is made by the
/// first PUT (so that a mistyped name of an archive that is only read leaves no folder).
pub async fn open(location: &Location, options: S3Options) -> Result<Arc<dyn Store>> {
    match location {
        Location::Folder(root) => Ok(Arc::new(FolderStore::open(root)?)),
        Location::S3 { bucket, prefix } => {
            let (bucket, prefix) = (bucket.clone(), prefix.clone());
            Ok(Arc::new(
                S3Store::open(S3Settings {
                    bucket,
                    prefix,
                    options,
                })
                .await?,
            ))
        }
    }
}

/// What keeps both promises.
fn stronger(now: Option<Lock>, wanted: Lock) -> Lock {
    now.map_or(wanted, |now| now.stronger(wanted))
}
