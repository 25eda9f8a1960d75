//! A store in memory: it counts its calls, fails where the test requires it, and panics if an
//! immutable key would change.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{future, io};

use async_trait::async_trait;
use bytes::Bytes;

use cxvault::format::hash::digest::Digest;
use cxvault::format::record::lock::Lock;
use cxvault::store::error::{StoreError, StoreErrorKind};
use cxvault::store::{
    Body, Children, Hashed, LARGEST_GET, ListedObject, NewObject, ObjectVersion, PutOutcome,
    Result, Stat, Store, check_new_key,
};

/// The methods of a store, as the counts and the faults name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreOperation {
    PutNew,
    Get,
    Download,
    Stat,
    List,
    Versions,
    RaiseLock,
    SetLegalHold,
}

/// The effect of a failing call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The call failed and had no effect.
    FailBefore,
    /// The call took effect, but its answer was lost.
    FailAfter,
}

/// A scripted failure of the calls of one method whose key (or prefix) begins with `prefix`.
#[derive(Debug, Clone)]
pub struct StoreFault {
    op: StoreOperation,
    prefix: String,
    effect: Effect,
    kind: StoreErrorKind,
    skip: u32,
    times: u32,
}

impl StoreFault {
    /// One failure of kind Unknown, at the first such call.
    pub fn new(op: StoreOperation, prefix: &str, effect: Effect) -> Self {
        let kind = StoreErrorKind::Unknown;
        StoreFault {
            op,
            prefix: prefix.to_owned(),
            effect,
            kind,
            skip: 0,
            times: 1,
        }
    }

    /// Lets the first `calls` calls pass.
    pub fn skip(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// Fails that many calls in a row.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    pub fn kind(mut self, kind: StoreErrorKind) -> Self {
        self.kind = kind;
        self
    }
}

#[derive(Debug, Clone)]
struct MemoryObject {
    bytes: Bytes,
    /// As announced by its writer, whatever the bytes are after [`MemoryStore::corrupt`].
    sha256: Digest,
    lock: Option<Lock>,
    legal_hold: bool,
}

#[derive(Debug, Clone)]
struct StoredVersion {
    id: Option<String>,
    /// `None` is a delete marker.
    object: Option<MemoryObject>,
}

#[derive(Debug, Default)]
struct MemoryState {
    /// Oldest version first; never empty.
    keys: BTreeMap<String, Vec<StoredVersion>>,
    /// The first content of each key, which never changes.
    first: BTreeMap<String, Digest>,
    versions_made: u64,
    faults: Vec<StoreFault>,
    calls: BTreeMap<StoreOperation, u64>,
}

/// See the module. Versioned, with Object Lock, unless made by [`MemoryStore::plain`].
#[derive(Debug, Default)]
pub struct MemoryStore {
    plain: bool,
    /// Whether requests for an object's bytes never get an answer.
    silent: AtomicBool,
    state: Mutex<MemoryState>,
}

impl MemoryStore {
    /// Creates a store like a bucket with versioning and Object Lock.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a store like a bucket with neither.
    pub fn plain() -> Self {
        MemoryStore {
            plain: true,
            ..Self::default()
        }
    }

    /// Adds a failure; the first one that fits a call is used first.
    pub fn fail(&self, fault: StoreFault) {
        self.state().faults.push(fault);
    }

    /// From now on, requests for an object's bytes get no answer.
    pub fn fall_silent(&self) {
        self.silent.store(true, Relaxed);
    }

    /// Returns the failures that no call has met yet.
    pub fn pending_faults(&self) -> usize {
        self.state().faults.len()
    }

    /// Removes every failure that is still to come.
    pub fn repair(&self) {
        self.state().faults.clear();
    }

    /// Returns how often a method was called, failed calls included.
    pub fn calls(&self, op: StoreOperation) -> u64 {
        self.state().calls.get(&op).copied().unwrap_or(0)
    }

    /// Returns every current object.
    pub fn contents(&self) -> BTreeMap<String, Bytes> {
        let state = self.state();
        let current = |key: &String| {
            state
                .current(key)
                .map(|(_, object)| (key.clone(), object.bytes.clone()))
        };
        state.keys.keys().filter_map(current).collect()
    }

    /// Deletes an object as S3 does without a version: with a delete marker, or on a plain store by
    /// removing it.
    pub fn delete(&self, key: &str) {
        let mut state = self.state();
        if self.plain {
            state.keys.remove(key);
        } else if state.current(key).is_some() {
            state.push(key, None);
        }
    }

    /// Deletes every version of the key, locked or not, as an administrator can.
    pub fn purge(&self, key: &str) {
        self.state().keys.remove(key);
    }

    /// Stores another current version (on a plain store, in place of the only one) with its own
    /// checksum, as an attacker can.
    pub fn overwrite(&self, key: &str, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let object = MemoryObject {
            sha256: Digest::of(&bytes),
            bytes,
            lock: None,
            legal_hold: false,
        };
        let mut state = self.state();
        if self.plain {
            state.keys.insert(
                key.to_owned(),
                vec![StoredVersion {
                    id: None,
                    object: Some(object),
                }],
            );
        } else {
            state.push(key, Some(object));
        }
    }

    /// Replaces the bytes under the same version, checksum and lock, like a faulty or lying store.
    pub fn corrupt(&self, key: &str, bytes: impl Into<Bytes>) {
        if let Some(object) = self.state().current_mut(key) {
            object.bytes = bytes.into();
        }
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        // The panic of a task is that test's failure already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and performs it, unless a failure is scripted.
    fn call<T>(
        &self,
        op: StoreOperation,
        key: &str,
        work: impl FnOnce(&mut MemoryState) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.state();
        *state.calls.entry(op).or_default() += 1;
        let fault = state.next_fault(op, key);
        let failed = |kind| {
            Err(
                StoreError::new(kind, "cannot reach", format!("memory/{key}"))
                    .because(format!("{op:?} fails on demand")),
            )
        };
        match fault {
            None => work(&mut state),
            Some((Effect::FailBefore, kind)) => failed(kind),
            Some((Effect::FailAfter, kind)) => {
                work(&mut state)?;
                failed(kind)
            }
        }
    }

    fn no_lock(key: &str) -> StoreError {
        StoreError::new(
            StoreErrorKind::Unusable,
            "cannot lock",
            format!("memory/{key}"),
        )
        .because("Bucket is missing Object Lock Configuration")
    }
}

impl MemoryState {
    fn next_fault(&mut self, op: StoreOperation, key: &str) -> Option<(Effect, StoreErrorKind)> {
        let fits = |fault: &StoreFault| fault.op == op && key.starts_with(&fault.prefix);
        let position = self.faults.iter().position(fits)?;
        let fault = self.faults.get_mut(position)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times = fault.times.saturating_sub(1);
        let met = (fault.effect, fault.kind);
        if fault.times == 0 {
            self.faults.remove(position);
        }
        Some(met)
    }

    fn current(&self, key: &str) -> Option<(&StoredVersion, &MemoryObject)> {
        let version = self.keys.get(key)?.last()?;
        version.object.as_ref().map(|object| (version, object))
    }

    fn current_mut(&mut self, key: &str) -> Option<&mut MemoryObject> {
        self.keys.get_mut(key)?.last_mut()?.object.as_mut()
    }

    fn push(&mut self, key: &str, object: Option<MemoryObject>) -> String {
        self.versions_made += 1;
        let id = format!("v{}", self.versions_made);
        self.keys
            .entry(key.to_owned())
            .or_default()
            .push(StoredVersion {
                id: Some(id.clone()),
                object,
            });
        id
    }

    fn put(&mut self, plain: bool, new: &NewObject, bytes: Bytes) -> Result<PutOutcome> {
        if plain && (new.lock.is_some() || new.legal_hold) {
            return Err(MemoryStore::no_lock(&new.key));
        }
        if self.current(&new.key).is_some() {
            return Ok(PutOutcome::Exists);
        }
        if Digest::of(&bytes) != new.sha256 {
            let object = format!("memory/{}", new.key);
            return Err(
                StoreError::new(StoreErrorKind::Checksum, "cannot store", object)
                    .because("BadDigest"),
            );
        }
        // A deleted name can be used again; with other bytes that rewrites history.
        let first = *self.first.entry(new.key.clone()).or_insert(new.sha256);
        assert_eq!(
            first, new.sha256,
            "the immutable key {} would change",
            new.key
        );
        let object = MemoryObject {
            bytes,
            sha256: new.sha256,
            lock: new.lock,
            legal_hold: new.legal_hold,
        };
        if plain {
            self.keys.insert(
                new.key.clone(),
                vec![StoredVersion {
                    id: None,
                    object: Some(object),
                }],
            );
            return Ok(PutOutcome::Created { version_id: None });
        }
        Ok(PutOutcome::Created {
            version_id: Some(self.push(&new.key, Some(object))),
        })
    }
}

fn local_failure(error: io::Error, what: &'static str, path: &Path) -> StoreError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull => StoreErrorKind::Full,
        _ => StoreErrorKind::Unusable,
    };
    StoreError::new(kind, what, path.display().to_string()).because(error)
}

#[async_trait]
impl Store for MemoryStore {
    fn root(&self) -> String {
        "memory".to_owned()
    }

    async fn put_new(&self, object: &NewObject) -> Result<PutOutcome> {
        check_new_key(&object.key)?;
        let bytes = match &object.body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::File(path) => {
                let content = tokio::fs::read(path).await;
                content
                    .map_err(|error| local_failure(error, "cannot read", path))?
                    .into()
            }
        };
        self.call(StoreOperation::PutNew, &object.key, |state| {
            state.put(self.plain, object, bytes)
        })
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        if self.silent.load(Relaxed) {
            future::pending::<()>().await;
        }
        self.call(StoreOperation::Get, key, |state| match state.current(key) {
            Some((_, object)) if object.bytes.len() as u64 > LARGEST_GET => Err(StoreError::new(
                StoreErrorKind::Contradiction,
                "cannot read",
                format!("memory/{key}"),
            )),
            found => Ok(found.map(|(_, object)| object.bytes.clone())),
        })
    }

    async fn download(&self, key: &str, to: &Path) -> Result<bool> {
        let found = self.call(StoreOperation::Download, key, |state| {
            Ok(state.current(key).map(|(_, object)| object.bytes.clone()))
        })?;
        let Some(bytes) = found else { return Ok(false) };
        tokio::fs::write(to, bytes)
            .await
            .map_err(|error| local_failure(error, "cannot write", to))?;
        Ok(true)
    }

    async fn read_at(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.call(StoreOperation::Get, key, |state| {
            Ok(state.current(key).map(|(_, object)| {
                let length = object.bytes.len();
                let end = usize::try_from(range.end).unwrap_or(length).min(length);
                object
                    .bytes
                    .slice(usize::try_from(range.start).unwrap_or(end).min(end)..end)
            }))
        })
    }

    async fn hash(&self, key: &str) -> Result<Option<Hashed>> {
        self.call(StoreOperation::Get, key, |state| {
            Ok(state.current(key).map(|(_, object)| Hashed {
                bytes: object.bytes.len() as u64,
                sha256: Digest::of(&object.bytes),
            }))
        })
    }

    async fn children(&self, prefix: &str) -> Result<Children> {
        let below = self.list(prefix, None).await?;
        let (mut folders, mut objects) = (BTreeSet::new(), Vec::new());
        for entry in below {
            match entry.key[prefix.len()..].split_once('/') {
                Some((folder, _)) => drop(folders.insert(folder.to_owned())),
                None => objects.push(entry.key),
            }
        }
        Ok(Children {
            folders: folders.into_iter().collect(),
            objects,
        })
    }

    async fn stat(&self, key: &str) -> Result<Option<Stat>> {
        self.call(StoreOperation::Stat, key, |state| {
            Ok(state.current(key).map(|(version, object)| Stat {
                bytes: object.bytes.len() as u64,
                sha256: Some(object.sha256),
                version_id: version.id.clone(),
                lock: object.lock,
                legal_hold: object.legal_hold,
            }))
        })
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>> {
        self.call(StoreOperation::List, prefix, |state| {
            let wanted = |key: &&String| {
                key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
            };
            let entry = |key: &String| {
                let (_, object) = state.current(key)?;
                Some(ListedObject {
                    key: key.clone(),
                    bytes: object.bytes.len() as u64,
                })
            };
            Ok(state.keys.keys().filter(wanted).filter_map(entry).collect())
        })
    }

    async fn versions(&self, prefix: &str) -> Result<Vec<ObjectVersion>> {
        self.call(StoreOperation::Versions, prefix, |state| {
            let mut listed = Vec::new();
            for (key, versions) in state.keys.iter().filter(|(key, _)| key.starts_with(prefix)) {
                listed.extend(versions.iter().rev().enumerate().map(|(age, version)| {
                    ObjectVersion {
                        key: key.clone(),
                        version_id: version.id.clone(),
                        is_latest: age == 0,
                        is_delete_marker: version.object.is_none(),
                    }
                }));
            }
            Ok(listed)
        })
    }

    async fn raise_lock(&self, key: &str, lock: Lock) -> Result<()> {
        self.call(StoreOperation::RaiseLock, key, |state| {
            let plain = self.plain;
            let Some(object) = state.current_mut(key) else {
                return Err(StoreError::new(
                    StoreErrorKind::Contradiction,
                    "cannot lock",
                    format!("memory/{key}"),
                )
                .because("there is no such object"));
            };
            if plain {
                return Err(Self::no_lock(key));
            }
            object.lock = Some(object.lock.map_or(lock, |now| now.stronger(lock)));
            Ok(())
        })
    }

    async fn set_legal_hold(&self, key: &str, on: bool) -> Result<bool> {
        self.call(StoreOperation::SetLegalHold, key, |state| {
            let plain = self.plain;
            let Some(object) = state.current_mut(key) else {
                let error = StoreError::new(
                    StoreErrorKind::Contradiction,
                    "cannot hold",
                    format!("memory/{key}"),
                );
                return Err(error.because("there is no such object"));
            };
            object.legal_hold = on && !plain;
            Ok(!plain)
        })
    }

    async fn keeps_locks(&self) -> Result<Option<bool>> {
        Ok(Some(!self.plain))
    }

    async fn keeps_legal_holds(&self, key: &str) -> Result<bool> {
        self.call(StoreOperation::Stat, key, |_| Ok(!self.plain))
    }
}
