//! Requests that are repeated: how often, with which backoff, and which are not. These tests also
//! cover the store double that other tests use.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cxvault::clock::Clock;
use cxvault::format::hash::digest::Digest;
use cxvault::store::{
    Body, NewObject, PutOutcome, RetryPolicy, RetryingStore, Store, StoreErrorKind,
};
use tokio_util::sync::CancellationToken;

use crate::support::memory::{Effect, MemoryStore, StoreFault, StoreOperation};

/// A clock that records each wait instead of waiting, and cancels a run after some waits.
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

fn retrying(memory: &Arc<MemoryStore>, waits: &Arc<Waits>) -> RetryingStore {
    RetryingStore::new(memory.clone(), waits.clone(), CancellationToken::new())
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_repeated() {
    let (memory, waits) = (Arc::new(MemoryStore::new()), Arc::new(Waits::default()));
    memory.fail(StoreFault::new(
        StoreOperation::PutNew,
        "",
        Effect::FailAfter,
    ));
    let store = retrying(&memory, &waits);
    assert_eq!(
        store.put_new(&object("a", b"x")).await.unwrap(),
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
async fn a_store_that_is_down_gets_one_request_each_until_it_answers() {
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
async fn a_cancelled_run_does_not_wait_for_a_store_that_is_silent() {
    let (memory, cancel) = (Arc::new(MemoryStore::new()), CancellationToken::new());
    let store = RetryingStore::new(memory.clone(), Arc::new(Waits::default()), cancel.clone());
    cancel.cancel();
    memory.fall_silent();
    let error = store.get("a/b").await.unwrap_err();
    assert_eq!(
        (error.kind, error.object.as_str()),
        (StoreErrorKind::Unknown, "memory/a/b")
    );
    // A request that the store answers at once still succeeds.
    assert!(store.put_new(&object("a", b"x")).await.is_ok());
}

#[tokio::test]
#[should_panic(expected = "the immutable key a would change")]
async fn a_key_that_comes_back_with_other_bytes_ends_the_test() {
    let store = MemoryStore::new();
    store.put_new(&object("a", b"first")).await.unwrap();
    store.delete("a");
    let _ = store.put_new(&object("a", b"second")).await;
}

#[tokio::test]
async fn faults_meet_the_calls_they_are_meant_for() {
    let store = MemoryStore::new();
    store.fail(
        StoreFault::new(StoreOperation::PutNew, "m/", Effect::FailBefore)
            .skip(1)
            .times(2),
    );
    let mut stored = Vec::new();
    for key in ["p/1", "m/1", "m/2", "p/2", "m/3", "m/4"] {
        if store.put_new(&object(key, b"x")).await.is_ok() {
            stored.push(key);
        }
    }
    assert_eq!(stored, ["p/1", "m/1", "p/2", "m/4"]);
    assert_eq!(store.contents().len(), 4);
    assert_eq!(
        (store.calls(StoreOperation::PutNew), store.pending_faults()),
        (6, 0)
    );
}
