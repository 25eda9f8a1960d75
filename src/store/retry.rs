//! The one place where requests to the store are sent again.

use std::future::Future;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::format::record::lock::Lock;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::{
    Children, Hashed, ListedObject, NewObject, ObjectVersion, PutOutcome, Result, Stat, Store,
};

/// How often and how slowly. Before attempt n+1 there is a wait of half to the whole of `first_wait` * 2^(n-1), at
/// most `longest_wait`.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// All attempts, the first included; at least 1.
    pub attempts: u32,
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// What a request in flight may still take when the run is cancelled; then it is abandoned.
    pub grace: Duration,
}

impl Default for RetryPolicy {
    /// Some 40 s to 80 s of waiting in all: a restart of a store or a throttled prefix passes in that time.
    fn default() -> Self {
        RetryPolicy {
            attempts: 9,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(20),
            grace: Duration::from_secs(3),
        }
    }
}

/// A store that sends the identical request again when nobody knows how the last one ended.
///
/// After such a PUT, `Exists` can mean our own bytes of an earlier attempt: ask [`Store::stat`].
pub struct RetryingStore {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
    policy: RetryPolicy,
    /// A request was given up, and none has been answered since.
    down: AtomicBool,
}

impl RetryingStore {
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, cancel: CancellationToken) -> Self {
        RetryingStore {
            inner,
            clock,
            cancel,
            policy: RetryPolicy::default(),
            down: AtomicBool::new(false),
        }
    }

    pub fn with_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    async fn retrying<T, Attempt>(
        &self,
        key: &str,
        attempt: impl Fn() -> Attempt + Send + Sync,
    ) -> Result<T>
    where
        Attempt: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let mut sent = 0;
        loop {
            let error = match self.once(key, attempt()).await {
                Err(error) if error.kind == StoreErrorKind::Unknown => error,
                settled => {
                    self.down.store(false, Relaxed);
                    return settled;
                }
            };
            sent += 1;
            if self.cancel.is_cancelled() {
                return Err(error);
            }
            // One request's patience is enough for a store that is down: every day of every sub-account would have its own.
            if sent >= self.policy.attempts || self.down.load(Relaxed) {
                self.down.store(true, Relaxed);
                return Err(error);
            }
            let wait = self.wait_after(sent);
            let cause = error
                .source
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            tracing::warn!(object = error.object, attempt = sent, wait = ?wait, "{}: {cause}", error.what);
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                () = self.cancel.cancelled() => return Err(error),
            }
        }
    }

    /// One attempt. An abandoned PUT may still arrive; that is the same as a crash here: the next run finds the
    /// object and adopts it, or does not and puts it again.
    async fn once<T>(
        &self,
        key: &str,
        attempt: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let out_of_grace = async {
            self.cancel.cancelled().await;
            self.clock.sleep(self.policy.grace).await;
        };
        tokio::select! {
            biased;
            settled = attempt => settled,
            () = out_of_grace => {
                let object = format!("{}/{key}", self.inner.root());
                Err(StoreError::new(StoreErrorKind::Unknown, "interrupted at work on", object)
                    .remedy("Run the same command again: it goes on from here."))
            }
        }
    }

    fn wait_after(&self, sent: u32) -> Duration {
        let doubled = 1_u32.checked_shl(sent - 1).unwrap_or(u32::MAX);
        let whole = self
            .policy
            .first_wait
            .saturating_mul(doubled)
            .min(self.policy.longest_wait);
        // Without jitter, all hosts that a throttling store turned away would come back in step.
        let mut random = [0; 2];
        let random =
            aws_lc_rs::rand::fill(&mut random).map_or(u16::MAX, |()| u16::from_le_bytes(random));
        whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u16::MAX))
    }
}

#[async_trait]
impl Store for RetryingStore {
    fn root(&self) -> String {
        self.inner.root()
    }

    async fn put_new(&self, object: &NewObject) -> Result<PutOutcome> {
        self.retrying(&object.key, || self.inner.put_new(object))
            .await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.retrying(key, || self.inner.get(key)).await
    }

    async fn download(&self, key: &str, to: &Path) -> Result<bool> {
        self.retrying(key, || self.inner.download(key, to)).await
    }

    async fn read_at(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.retrying(key, || self.inner.read_at(key, range.clone()))
            .await
    }

    async fn hash(&self, key: &str) -> Result<Option<Hashed>> {
        self.retrying(key, || self.inner.hash(key)).await
    }

    fn local(&self, key: &str) -> Option<PathBuf> {
        self.inner.local(key)
    }

    async fn children(&self, prefix: &str) -> Result<Children> {
        self.retrying(prefix, || self.inner.children(prefix)).await
    }

    async fn stat(&self, key: &str) -> Result<Option<Stat>> {
        self.retrying(key, || self.inner.stat(key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>> {
        self.retrying(prefix, || self.inner.list(prefix, after))
            .await
    }

    async fn versions(&self, prefix: &str) -> Result<Vec<ObjectVersion>> {
        self.retrying(prefix, || self.inner.versions(prefix)).await
    }

    async fn raise_lock(&self, key: &str, lock: Lock) -> Result<()> {
        self.retrying(key, || self.inner.raise_lock(key, lock))
            .await
    }

    async fn set_legal_hold(&self, key: &str, on: bool) -> Result<bool> {
        self.retrying(key, || self.inner.set_legal_hold(key, on))
            .await
    }

    async fn keeps_locks(&self) -> Result<Option<bool>> {
        self.retrying("", || self.inner.keeps_locks()).await
    }

    async fn keeps_legal_holds(&self, key: &str) -> Result<bool> {
        self.retrying(key, || self.inner.keeps_legal_holds(key))
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::format::hash::digest::Digest;
    use crate::store::memory::{Effect, StoreFault, StoreOperation};
    use crate::store::{Body, MemoryStore};

    /// Does not wait, but remembers for how long it should have; cancels a run after some waits.
    #[derive(Default)]
    struct Waits {
        asked: Mutex<Vec<Duration>>,
        cancel_after: Option<(usize, CancellationToken)>,
    }

    #[async_trait]
    impl Clock for Waits {
        fn now_ms(&self) -> i64 {
            0
        }

        async fn sleep(&self, duration: Duration) {
            let mut asked = self.asked.lock().unwrap();
            asked.push(duration);
            if let Some((waits, cancel)) = &self.cancel_after
                && asked.len() >= *waits
            {
                cancel.cancel();
            }
        }
    }

    fn object(content: &'static [u8]) -> NewObject {
        let body = Body::Bytes(Bytes::from_static(content));
        NewObject {
            key: "a".to_owned(),
            body,
            sha256: Digest::of(content),
            lock: None,
            legal_hold: false,
        }
    }

    fn retrying(memory: &Arc<MemoryStore>, waits: &Arc<Waits>) -> RetryingStore {
        RetryingStore::new(memory.clone(), waits.clone(), CancellationToken::new())
    }

    #[tokio::test]
    async fn a_lost_answer_is_asked_for_again() {
        let (memory, waits) = (Arc::new(MemoryStore::new()), Arc::new(Waits::default()));
        memory.fail(StoreFault::new(
            StoreOperation::PutNew,
            "",
            Effect::FailAfter,
        ));
        let store = retrying(&memory, &waits);
        assert_eq!(
            store.put_new(&object(b"x")).await.unwrap(),
            PutOutcome::Exists
        );
        assert_eq!(
            store.stat("a").await.unwrap().unwrap().sha256,
            Some(Digest::of(b"x"))
        );
        assert_eq!(
            (
                memory.calls(StoreOperation::PutNew),
                memory.calls(StoreOperation::Stat)
            ),
            (2, 1)
        );
        assert_eq!(waits.asked.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn attempts_have_an_end_and_waits_grow_to_a_bound() {
        let (memory, waits) = (Arc::new(MemoryStore::new()), Arc::new(Waits::default()));
        memory.fail(StoreFault::new(StoreOperation::List, "", Effect::FailBefore).times(1_000));
        let error = retrying(&memory, &waits).list("", None).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unknown);
        let policy = RetryPolicy::default();
        assert_eq!(
            memory.calls(StoreOperation::List),
            u64::from(policy.attempts)
        );
        let mut whole = policy.first_wait;
        for wait in waits.asked.lock().unwrap().iter() {
            assert!((whole / 2..=whole).contains(wait), "{wait:?} of {whole:?}");
            whole = (whole * 2).min(policy.longest_wait);
        }
    }

    #[tokio::test]
    async fn a_store_that_is_down_is_asked_once_each_until_it_answers() {
        let (memory, waits) = (Arc::new(MemoryStore::new()), Arc::new(Waits::default()));
        let attempts = u64::from(RetryPolicy::default().attempts);
        let store = retrying(&memory, &waits);
        let down = |times| {
            memory.fail(StoreFault::new(StoreOperation::Get, "", Effect::FailBefore).times(times))
        };
        down(RetryPolicy::default().attempts + 2);
        for calls in [attempts, attempts + 1, attempts + 2] {
            assert_eq!(
                store.get("a").await.unwrap_err().kind,
                StoreErrorKind::Unknown
            );
            assert_eq!(memory.calls(StoreOperation::Get), calls);
        }
        assert_eq!(store.get("a").await.unwrap(), None);
        down(1);
        assert_eq!(store.get("a").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_clear_refusal_is_final() {
        let (memory, waits) = (Arc::new(MemoryStore::new()), Arc::new(Waits::default()));
        memory.fail(
            StoreFault::new(StoreOperation::Get, "", Effect::FailBefore)
                .kind(StoreErrorKind::Denied)
                .times(2),
        );
        let error = retrying(&memory, &waits).get("a").await.unwrap_err();
        assert_eq!(
            (error.kind, memory.calls(StoreOperation::Get)),
            (StoreErrorKind::Denied, 1)
        );
    }

    #[tokio::test]
    async fn a_cancelled_run_sends_nothing_again() {
        let cancel = CancellationToken::new();
        let waits = Waits {
            cancel_after: Some((2, cancel.clone())),
            ..Waits::default()
        };
        let memory = Arc::new(MemoryStore::new());
        memory.fail(StoreFault::new(StoreOperation::Stat, "", Effect::FailBefore).times(1_000));
        let store = RetryingStore::new(memory.clone(), Arc::new(waits), cancel);
        assert_eq!(
            store.stat("a").await.unwrap_err().kind,
            StoreErrorKind::Unknown
        );
        assert!(
            (2..=3).contains(&memory.calls(StoreOperation::Stat)),
            "{}",
            memory.calls(StoreOperation::Stat)
        );
    }

    #[tokio::test]
    async fn a_cancelled_run_waits_for_no_answer_that_does_not_come() {
        let memory = Arc::new(MemoryStore::new());
        let store = retrying(&memory, &Arc::new(Waits::default()));
        store.cancel.cancel();
        let error = store
            .once::<()>("a/b", std::future::pending())
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind, error.object.as_str()),
            (StoreErrorKind::Unknown, "memory/a/b")
        );
        // What can settle at once still does.
        assert!(store.put_new(&object(b"x")).await.is_ok());
    }
}
