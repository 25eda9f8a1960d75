//! Retries: the only place where requests to a store are sent again.
//!
//! Only failures of kind [`StoreErrorKind::Unknown`] are retried, with exponential backoff and jitter. All requests of
//! [`Store`] can be repeated safely: reads change nothing, locks are only ever strengthened, and a PUT creates an object or
//! finds it.
//!
//! The waits before the second and the later attempts, with the default policy: 0.25 s to 0.5 s, 0.5 s to 1 s, 1 s to 2 s, 2 s to
//! 4 s, 4 s to 8 s, 8 s to 16 s, and twice 10 s to 20 s. Half of each wait is random: the "equal jitter" of
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.

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
use crate::format::record::Lock;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::{
    Children, Hashed, ListedObject, NewObject, ObjectVersion, PutOutcome, Result, Stat, Store,
};

/// Number of attempts and the waits between them. Before attempt n+1 there is a random wait between half and all of
/// `first_wait` * 2^(n-1), at most `longest_wait`.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Number of attempts, the first included; at least 1.
    pub attempts: u32,
    /// Longest wait after the first attempt.
    pub first_wait: Duration,
    /// Longest wait after later attempts.
    pub longest_wait: Duration,
    /// Time that a request in flight still gets after the run is cancelled; then it is abandoned.
    pub grace: Duration,
}

impl Default for RetryPolicy {
    /// Returns a policy with 40 s to 80 s of waiting in all, which covers the restart of a store or a throttled prefix.
    fn default() -> Self {
        RetryPolicy {
            attempts: 9,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(20),
            grace: Duration::from_secs(3),
        }
    }
}

/// A store that sends the identical request again if it is unknown whether the last request was done.
///
/// After such a PUT, [`PutOutcome::Exists`] can be the result of the earlier attempt; [`Store::stat`] shows whether the bytes
/// are the same.
///
/// After a request has failed in all attempts, the store counts as down: until a request is answered again, each further
/// request gets one attempt only. Otherwise every day of every sub-account would wait for all its attempts.
pub struct RetryingStore {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
    policy: RetryPolicy,
    /// Whether a request has failed in all attempts, and no request has been answered since.
    down: AtomicBool,
}

impl RetryingStore {
    /// Adds retries to `inner`. After `cancel` no request is sent again.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, cancel: CancellationToken) -> Self {
        RetryingStore {
            inner,
            clock,
            cancel,
            policy: RetryPolicy::default(),
            down: AtomicBool::new(false),
        }
    }

    /// Sets the number of attempts and the waits.
    pub(crate) fn with_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sends a request until it is answered, or until the policy ends it.
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

    /// Makes one attempt, and abandons it if the run is cancelled and the grace period is over. An abandoned PUT may still be
    /// done, as after a crash: the next run finds the object and adopts it, or creates it.
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
                Err(StoreError::new(StoreErrorKind::Unknown, "interrupted while accessing", object)
                    .remedy("Run the same command again; it continues from here."))
            }
        }
    }

    /// Returns the wait after this number of attempts.
    fn wait_after(&self, sent: u32) -> Duration {
        let doubled = 1_u32.checked_shl(sent - 1).unwrap_or(u32::MAX);
        let longest = self
            .policy
            .first_wait
            .saturating_mul(doubled)
            .min(self.policy.longest_wait);
        // Without jitter, all hosts that a store has throttled would send their requests again at the same time.
        let mut random = [0; 2];
        let random =
            aws_lc_rs::rand::fill(&mut random).map_or(u16::MAX, |()| u16::from_le_bytes(random));
        longest / 2 + (longest / 2).mul_f64(f64::from(random) / f64::from(u16::MAX))
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

    fn in_place(&self, key: &str) -> Option<PathBuf> {
        self.inner.in_place(key)
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
