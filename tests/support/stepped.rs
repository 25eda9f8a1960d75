//! Several hosts that share one store, each call of which is a step that a scheduler grants: the
//! same seed gives the same order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::memory::StoreOperation;
use async_trait::async_trait;
use bytes::Bytes;
use cxvault::format::record::lock::Lock;
use cxvault::store::{
    Body, Children, Hashed, ListedObject, NewObject, ObjectVersion, PutOutcome, Result, Stat,
    Store, StoreError, StoreErrorKind,
};
use tokio::sync::{Notify, oneshot};

/// The fate of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// The answer is that the outcome is unknown, and the call had no effect.
    FailBefore,
    /// The answer is that the outcome is unknown, and the call took effect.
    FailAfter,
    /// The process dies before the call takes effect.
    DieBefore,
    /// The process dies once it has taken effect.
    DieAfter,
    /// The process dies, and its request takes effect some time later.
    DieInFlight,
}

/// A call that waits for its step.
pub struct Waiting {
    pub op: StoreOperation,
    pub key: String,
    pub object: Option<NewObject>,
    pub go: oneshot::Sender<Fate>,
}

/// The waiting calls of all writers. A writer can have several at once.
#[derive(Default)]
pub struct Gates {
    waiting: Mutex<BTreeMap<(usize, u64), Waiting>>,
    tickets: AtomicU64,
    /// Writers that have performed their last call before they die.
    dying: Mutex<BTreeSet<usize>>,
    pub changed: Notify,
}

impl Gates {
    /// Returns the waiting calls as writer and ticket, ordered by both.
    pub fn waiting(&self) -> Vec<(usize, u64)> {
        self.waiting.lock().unwrap().keys().copied().collect()
    }

    pub fn take(&self, call: (usize, u64)) -> Waiting {
        self.waiting
            .lock()
            .unwrap()
            .remove(&call)
            .expect("it waits")
    }

    /// Waits until a writer with the fate [`Fate::DieAfter`] has performed its call.
    pub async fn last_act(&self, writer: usize) {
        while !self.dying.lock().unwrap().remove(&writer) {
            self.changed.notified().await;
        }
    }

    /// Removes the calls of a writer that has died.
    pub fn forget(&self, writer: usize) {
        self.waiting
            .lock()
            .unwrap()
            .retain(|(of, _), _| *of != writer);
    }
}

/// One writer's view of the store.
pub struct Stepped {
    pub writer: usize,
    pub inner: Arc<dyn Store>,
    pub gates: Arc<Gates>,
}

impl Stepped {
    async fn step<T>(
        &self,
        op: StoreOperation,
        key: &str,
        object: Option<&NewObject>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let (go, gone) = oneshot::channel();
        let waiting = Waiting {
            op,
            key: key.to_owned(),
            object: object.cloned(),
            go,
        };
        let ticket = self.gates.tickets.fetch_add(1, Ordering::Relaxed);
        self.gates
            .waiting
            .lock()
            .unwrap()
            .insert((self.writer, ticket), waiting);
        self.gates.changed.notify_one();
        let fate = gone.await.expect("the scheduler outlives the writers");
        match fate {
            Fate::Done => work.await,
            Fate::FailBefore => Err(unknown(key)),
            Fate::FailAfter => {
                work.await?;
                Err(unknown(key))
            }
            Fate::DieAfter => {
                let _ = work.await;
                self.gates.dying.lock().unwrap().insert(self.writer);
                self.gates.changed.notify_one();
                std::future::pending().await
            }
            Fate::DieBefore | Fate::DieInFlight => std::future::pending().await,
        }
    }
}

fn unknown(key: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unknown, "cannot reach", key).because("on demand")
}

/// Reads the body now, since its file is deleted with its writer.
pub fn with_bytes(mut object: NewObject) -> NewObject {
    if let Body::File(path) = &object.body {
        object.body = Body::Bytes(std::fs::read(path).unwrap().into());
    }
    object
}

#[async_trait]
impl Store for Stepped {
    fn root(&self) -> String {
        self.inner.root()
    }

    async fn put_new(&self, object: &NewObject) -> Result<PutOutcome> {
        self.step(
            StoreOperation::PutNew,
            &object.key,
            Some(object),
            self.inner.put_new(object),
        )
        .await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.step(StoreOperation::Get, key, None, self.inner.get(key))
            .await
    }

    async fn download(&self, key: &str, to: &Path) -> Result<bool> {
        self.step(
            StoreOperation::Download,
            key,
            None,
            self.inner.download(key, to),
        )
        .await
    }

    async fn read_at(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.step(
            StoreOperation::Get,
            key,
            None,
            self.inner.read_at(key, range),
        )
        .await
    }

    async fn hash(&self, key: &str) -> Result<Option<Hashed>> {
        self.step(StoreOperation::Get, key, None, self.inner.hash(key))
            .await
    }

    async fn children(&self, prefix: &str) -> Result<Children> {
        self.step(
            StoreOperation::List,
            prefix,
            None,
            self.inner.children(prefix),
        )
        .await
    }

    async fn stat(&self, key: &str) -> Result<Option<Stat>> {
        self.step(StoreOperation::Stat, key, None, self.inner.stat(key))
            .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>> {
        self.step(
            StoreOperation::List,
            prefix,
            None,
            self.inner.list(prefix, after),
        )
        .await
    }

    async fn versions(&self, prefix: &str) -> Result<Vec<ObjectVersion>> {
        self.step(
            StoreOperation::Versions,
            prefix,
            None,
            self.inner.versions(prefix),
        )
        .await
    }

    async fn raise_lock(&self, key: &str, lock: Lock) -> Result<()> {
        self.step(
            StoreOperation::RaiseLock,
            key,
            None,
            self.inner.raise_lock(key, lock),
        )
        .await
    }

    async fn set_legal_hold(&self, key: &str, on: bool) -> Result<bool> {
        self.step(
            StoreOperation::SetLegalHold,
            key,
            None,
            self.inner.set_legal_hold(key, on),
        )
        .await
    }

    async fn keeps_legal_holds(&self, key: &str) -> Result<bool> {
        self.step(
            StoreOperation::Stat,
            key,
            None,
            self.inner.keeps_legal_holds(key),
        )
        .await
    }
}
