//! One contract for every store: memory, a local folder, and MinIO with and without versioning and
//! Object Lock. moto, which is strict where MinIO is not, fulfils it but for the promises that
//! [`moto_lacks`] names; a test there fails once moto keeps one of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::support::memory::MemoryStore;
use bytes::Bytes;
use cxvault::clock::{Clock, SystemClock};
use cxvault::format::hash::digest::Digest;
use cxvault::format::record::lock::{Lock, LockMode};
use cxvault::store::{
    Body, Children, FolderStore, NewObject, ObjectVersion, PutOutcome, S3Settings, S3Store, Store,
    StoreErrorKind,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;

/// A fresh store, and what must live as long as it.
struct Backend {
    store: Arc<dyn Store>,
    locks: bool,
    _folder: Option<TempDir>,
    s3: Option<S3Settings>,
    /// A client of the same server, for requests that a store never sends.
    client: Option<aws_sdk_s3::Client>,
    memory: Option<Arc<MemoryStore>>,
}

impl Backend {
    fn of(store: Arc<dyn Store>) -> Backend {
        Backend {
            store,
            locks: false,
            _folder: None,
            s3: None,
            client: None,
            memory: None,
        }
    }

    async fn memory() -> Backend {
        let memory = Arc::new(MemoryStore::new());
        Backend {
            locks: true,
            memory: Some(memory.clone()),
            ..Backend::of(memory)
        }
    }

    async fn memory_plain() -> Backend {
        Backend::of(Arc::new(MemoryStore::plain()))
    }

    async fn folder() -> Backend {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::open(&folder.path().join("made/by/the/first/put")).unwrap();
        Backend {
            _folder: Some(folder),
            ..Backend::of(Arc::new(store))
        }
    }

    async fn minio_plain() -> Backend {
        let settings = crate::support::minio::minio().bucket("plain", false).await;
        let store = S3Store::open(settings.clone()).await.unwrap();
        Backend {
            s3: Some(settings),
            client: Some(crate::support::minio::minio().client()),
            ..Backend::of(Arc::new(store))
        }
    }

    async fn minio_locking() -> Backend {
        let settings = crate::support::minio::minio().bucket("locking", true).await;
        let store = S3Store::open(settings.clone()).await.unwrap();
        Backend {
            locks: true,
            s3: Some(settings),
            client: Some(crate::support::minio::minio().client()),
            ..Backend::of(Arc::new(store))
        }
    }

    async fn moto(locks: bool) -> Backend {
        let server = crate::support::moto::moto();
        let settings = server.bucket("contract", locks).await;
        let store = S3Store::open(settings.clone()).await.unwrap();
        Backend {
            locks,
            s3: Some(settings),
            client: Some(server.client()),
            ..Backend::of(Arc::new(store))
        }
    }

    async fn moto_plain() -> Backend {
        Backend::moto(false).await
    }

    async fn moto_locking() -> Backend {
        Backend::moto(true).await
    }

    /// Waits until a server has another date for the next version: moto and Amazon S3 say the second
    /// only, and within one, versions and delete markers have no order that a listing tells.
    #[allow(clippy::disallowed_methods)] // the server's clock cannot be replaced
    async fn a_second_later(&self) {
        if self.s3.is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        }
    }

    /// Deletes an object as another program would: without a version.
    async fn delete(&self, key: &str) {
        if let Some(memory) = &self.memory {
            memory.delete(key);
        } else if let (Some(s3), Some(client)) = (&self.s3, &self.client) {
            let full = format!("{}/{key}", s3.prefix);
            client
                .delete_object()
                .bucket(&s3.bucket)
                .key(full)
                .send()
                .await
                .unwrap();
        }
    }
}

fn object(key: &str, content: &[u8]) -> NewObject {
    let body = Body::Bytes(Bytes::copy_from_slice(content));
    NewObject {
        key: key.to_owned(),
        body,
        sha256: Digest::of(content),
        lock: None,
        legal_hold: false,
    }
}

fn in_days(mode: LockMode, days: i64) -> Lock {
    let seconds = SystemClock.now_ms() / 1_000 + days * 86_400;
    Lock {
        mode,
        until_ms: seconds * 1_000,
    }
}

async fn keys(store: &dyn Store, prefix: &str, after: Option<&str>) -> Vec<String> {
    store
        .list(prefix, after)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.key)
        .collect()
}

macro_rules! contract {
    ($($backend:ident),+; $tests:tt) => { $(contract!(@one $backend $tests);)+ };
    (@one $backend:ident { $($test:ident),+ $(,)? }) => {
        mod $backend {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                crate::store_contract::$test(crate::store_contract::Backend::$backend().await).await;
            })+
        }
    };
}

mod every_store {
    contract!(memory, memory_plain, folder, minio_plain, minio_locking; {
        what_is_put_can_be_read,
        a_range_and_a_hash_are_those_of_the_bytes,
        children_are_right_under_a_folder,
        nothing_is_there_before,
        a_key_is_created_once,
        of_racing_writers_one_creates,
        other_bytes_than_announced_are_refused,
        odd_keys_are_refused,
        every_key_of_the_layout_works,
        a_large_file_goes_through,
        an_empty_body_is_an_object,
        listings_are_complete_and_in_byte_order,
        an_object_without_a_lock_is_one_version,
        locks_where_there_are_none_are_an_error,
        legal_holds_are_kept_or_said_not_to_be,
        whether_locks_are_kept_is_told_beforehand,
    });
}

/// moto is a stand-in for Amazon S3 that others test with, and is judged only by what it keeps.
mod moto {
    contract!(moto_plain, moto_locking; {
        what_is_put_can_be_read,
        a_range_and_a_hash_are_those_of_the_bytes,
        children_are_right_under_a_folder,
        nothing_is_there_before,
        a_key_is_created_once,
        odd_keys_are_refused,
        every_key_of_the_layout_works,
        a_large_file_goes_through,
        an_empty_body_is_an_object,
        listings_are_complete_and_in_byte_order,
        an_object_without_a_lock_is_one_version,
        locks_where_there_are_none_are_an_error,
        whether_locks_are_kept_is_told_beforehand,
    });
}

mod moto_with_locks {
    contract!(moto_locking; {
        legal_holds_are_kept_or_said_not_to_be,
    });
}

/// The promises that moto does not keep. It also checks a condition and stores the object in two
/// steps, so that of racing writers several may create: no test can show that reliably.
mod moto_lacks {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_refusal_of_other_bytes_than_announced() {
        let on = Backend::moto_plain().await;
        let mut new = object("a", b"x");
        new.sha256 = Digest::of(b"something else");
        let put = on.store.put_new(&new).await;
        assert!(put.is_ok(), "moto checks now: test it like MinIO: {put:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_answer_that_a_bucket_has_no_legal_holds() {
        let on = Backend::moto_plain().await;
        on.store.put_new(&object("a", b"x")).await.unwrap();
        let kept = on.store.keeps_legal_holds("a").await.unwrap();
        assert!(kept, "moto says it now: test it like MinIO");
    }
}

mod versioned_with_locks {
    contract!(memory, minio_locking, moto_locking; {
        a_delete_marker_shows,
        locks_are_kept_and_read_back,
        raising_a_lock_never_shortens_it,
    });
}

async fn what_is_put_can_be_read(on: Backend) {
    let new = object("manifests/v1/a.json", b"{\"a\":1}");
    assert!(matches!(
        on.store.put_new(&new).await.unwrap(),
        PutOutcome::Created { .. }
    ));

    let content = on.store.get(&new.key).await.unwrap().unwrap();
    assert_eq!(content.as_ref(), b"{\"a\":1}");
    let stat = on.store.stat(&new.key).await.unwrap().unwrap();
    assert_eq!(
        (stat.bytes, stat.sha256, stat.lock, stat.legal_hold),
        (7, Some(new.sha256), None, false)
    );

    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    std::fs::write(&copy, "longer than what comes").unwrap();
    assert!(on.store.download(&new.key, &copy).await.unwrap());
    assert_eq!(std::fs::read(&copy).unwrap(), b"{\"a\":1}");
}

async fn a_range_and_a_hash_are_those_of_the_bytes(on: Backend) {
    let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    on.store.put_new(&object("a", &content)).await.unwrap();
    let length = content.len() as u64;
    for (start, end) in [
        (0, 1),
        (0, length),
        (7, 100_000),
        (length - 8, length),
        (length - 3, length + 9),
    ] {
        let found = on.store.read_at("a", start..end).await.unwrap().unwrap();
        assert_eq!(
            found.as_ref(),
            &content[start as usize..end.min(length) as usize],
            "{start}..{end}"
        );
    }
    for (start, end) in [(5, 5), (length, length + 1), (length + 5, length + 9)] {
        assert_eq!(
            on.store
                .read_at("a", start..end)
                .await
                .unwrap()
                .unwrap()
                .as_ref(),
            b"",
            "{start}..{end}"
        );
    }
    let hashed = on.store.hash("a").await.unwrap().unwrap();
    assert_eq!(
        (hashed.bytes, hashed.sha256),
        (length, Digest::of(&content))
    );
    assert!(on.store.read_at("b", 0..1).await.unwrap().is_none());
    assert!(on.store.read_at("b", 5..5).await.unwrap().is_none());
    assert_eq!(on.store.hash("b").await.unwrap(), None);
    let local = on.store.local("a").map(|path| std::fs::read(path).unwrap());
    assert!(local.is_none_or(|found| found == content));
}

async fn children_are_right_under_a_folder(on: Backend) {
    assert_eq!(on.store.children("").await.unwrap(), Children::default());
    for key in [
        "x",
        "m/v1/s=2/1",
        "m/v1/s=10/1",
        "m/v1/s=10/2",
        "m/v1/s=10/z/3",
        "m/v1/file",
        "n/1",
    ] {
        on.store.put_new(&object(key, b"x")).await.unwrap();
    }
    for (prefix, folders, objects) in [
        ("", vec!["m", "n"], vec!["x"]),
        ("m/v1/", vec!["s=10", "s=2"], vec!["m/v1/file"]),
        ("m/v1/s=10/", vec!["z"], vec!["m/v1/s=10/1", "m/v1/s=10/2"]),
        ("no/", vec![], vec![]),
    ] {
        let found = on.store.children(prefix).await.unwrap();
        assert_eq!(
            (found.folders, found.objects),
            (strings(folders), strings(objects)),
            "{prefix}"
        );
    }
}

fn strings(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

async fn nothing_is_there_before(on: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    assert_eq!(on.store.get("a/b").await.unwrap(), None);
    assert_eq!(on.store.stat("a/b").await.unwrap(), None);
    assert!(!on.store.download("a/b", &copy).await.unwrap());
    assert!(!copy.exists(), "a missing object leaves no file");
    assert_eq!(on.store.list("", None).await.unwrap(), []);
    assert_eq!(on.store.versions("").await.unwrap(), []);
}

async fn a_key_is_created_once(on: Backend) {
    on.store.put_new(&object("a", b"first")).await.unwrap();
    // Small and large bodies are uploaded in different ways.
    let large = vec![7; 300_000];
    for other in [b"first".as_slice(), b"second", &large] {
        assert_eq!(
            on.store.put_new(&object("a", other)).await.unwrap(),
            PutOutcome::Exists
        );
    }
    assert_eq!(on.store.get("a").await.unwrap().unwrap().as_ref(), b"first");
    assert_eq!(on.store.versions("a").await.unwrap().len(), 1);
}

async fn of_racing_writers_one_creates(on: Backend) {
    // Identical bytes for one key, as two attempts of one writer have; below 64 KiB and above it.
    for (key, size) in [("small", 100), ("large", 200_000)] {
        let racers = (0..16).map(|_| {
            let (store, new) = (on.store.clone(), object(key, &vec![1; size]));
            tokio::spawn(async move {
                loop {
                    match store.put_new(&new).await {
                        // A conflict is a permitted answer; the commit protocol sends the same
                        // request again.
                        Err(error) if error.kind == StoreErrorKind::Unknown => continue,
                        settled => break settled.unwrap(),
                    }
                }
            })
        });
        let ends: Vec<PutOutcome> = futures_util::future::try_join_all(racers).await.unwrap();
        let created = ends
            .iter()
            .filter(|put| matches!(put, PutOutcome::Created { .. }))
            .count();
        assert_eq!(created, 1, "{key}: {ends:?}");
        assert_eq!(on.store.versions(key).await.unwrap().len(), 1);
    }
}

async fn other_bytes_than_announced_are_refused(on: Backend) {
    for (n, size) in [10, 300_000].into_iter().enumerate() {
        let mut new = object(&format!("part-{n}"), &vec![1; size]);
        new.sha256 = Digest::of(b"something else");
        let error = on.store.put_new(&new).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Checksum, "{error:?}");
        assert!(error.object.contains(&new.key), "{error:?}");
    }
    assert_eq!(on.store.list("", None).await.unwrap(), []);
}

async fn odd_keys_are_refused(on: Backend) {
    for key in [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../../b",
        ".",
        "tmp/a",
        "é",
        "a b",
        "a\nb",
    ] {
        let error = on.store.put_new(&object(key, b"x")).await.expect_err(key);
        assert_eq!(error.kind, StoreErrorKind::Unusable, "{key}");
    }
    assert_eq!(on.store.list("", None).await.unwrap(), []);
}

async fn every_key_of_the_layout_works(on: Backend) {
    let layout = [
        "archive.json",
        "manifests/v1/sub_account=99999999/0000000042.json",
        "segments/v1/sub_account=99999999/dt=2026-11-20/r0001-p0000.parquet",
        "a/plus+and=amp&percent%41hash#tilde~comma,at@(round)[square]'!$;",
    ];
    for key in layout {
        on.store
            .put_new(&object(key, key.as_bytes()))
            .await
            .unwrap();
        assert_eq!(
            on.store.get(key).await.unwrap().unwrap().as_ref(),
            key.as_bytes()
        );
        assert!(on.store.stat(key).await.unwrap().is_some(), "{key}");
    }
    let expected: BTreeSet<&str> = layout.into();
    assert_eq!(
        keys(&*on.store, "", None).await,
        expected.iter().copied().collect::<Vec<_>>()
    );
    let versions: Vec<String> = on
        .store
        .versions("")
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.key)
        .collect();
    assert_eq!(versions, expected.into_iter().collect::<Vec<_>>());
}

async fn a_large_file_goes_through(on: Backend) {
    let content: Vec<u8> = (0..20_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::write(&from, &content).unwrap();
    let sha256 = Digest::of(&content);
    let new = NewObject {
        key: "part".to_owned(),
        body: Body::File(from),
        sha256,
        lock: None,
        legal_hold: false,
    };

    assert!(matches!(
        on.store.put_new(&new).await.unwrap(),
        PutOutcome::Created { .. }
    ));
    assert_eq!(on.store.put_new(&new).await.unwrap(), PutOutcome::Exists);
    let stat = on.store.stat("part").await.unwrap().unwrap();
    assert_eq!((stat.bytes, stat.sha256), (20_000_000, Some(sha256)));
    assert!(on.store.download("part", &to).await.unwrap());
    assert_eq!(Digest::of(&std::fs::read(&to).unwrap()), sha256);

    let missing = Body::File(Path::new("/no/such/file").to_owned());
    let error = on
        .store
        .put_new(&NewObject {
            key: "other".to_owned(),
            body: missing,
            ..new
        })
        .await
        .unwrap_err();
    assert_eq!(error.object, "/no/such/file");
}

async fn an_empty_body_is_an_object(on: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let from_file = NewObject {
        body: Body::File(empty),
        ..object("from-file", b"")
    };
    for new in [object("from-memory", b""), from_file] {
        assert!(matches!(
            on.store.put_new(&new).await.unwrap(),
            PutOutcome::Created { .. }
        ));
        assert_eq!(on.store.get(&new.key).await.unwrap(), Some(Bytes::new()));
        let stat = on.store.stat(&new.key).await.unwrap().unwrap();
        assert_eq!((stat.bytes, stat.sha256), (0, Some(Digest::of(b""))));
    }
}

async fn listings_are_complete_and_in_byte_order(on: Backend) {
    // More than a page of 1,000 keys, with names that sort differently by path segments than by
    // bytes.
    let mut expected: Vec<String> = (0..1_030).map(|n| format!("m/{n:04}.json")).collect();
    expected.extend(["m-1", "m.json", "m/0005/deep", "m0", "z/z"].map(str::to_owned));
    let puts = stream::iter(expected.clone()).map(|key| {
        let store = on.store.clone();
        async move { store.put_new(&object(&key, b"12345")).await }
    });
    puts.buffer_unordered(8)
        .try_for_each(|_| async { Ok(()) })
        .await
        .unwrap();
    expected.sort_unstable();

    assert_eq!(keys(&*on.store, "", None).await, expected);
    assert!(
        on.store
            .list("", None)
            .await
            .unwrap()
            .iter()
            .all(|entry| entry.bytes == 5)
    );
    let below = |prefix: &str| {
        expected
            .iter()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect::<Vec<_>>()
    };
    for prefix in ["m/", "m", "m/00", "m/0005/", "m/0005.json", "none"] {
        assert_eq!(
            keys(&*on.store, prefix, None).await,
            below(prefix),
            "{prefix}"
        );
    }
    let late: Vec<String> = below("m/")
        .into_iter()
        .filter(|key| key.as_str() > "m/1020.json")
        .collect();
    assert_eq!(keys(&*on.store, "m/", Some("m/1020.json")).await, late);
    assert_eq!(
        keys(&*on.store, "m/", Some("m/1029.json")).await,
        Vec::<String>::new()
    );
    assert_eq!(keys(&*on.store, "m/", Some("a")).await, below("m/"));

    let versions: Vec<String> = on
        .store
        .versions("")
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.key)
        .collect();
    assert_eq!(versions, expected);
}

async fn an_object_without_a_lock_is_one_version(on: Backend) {
    let PutOutcome::Created { version_id } = on.store.put_new(&object("a/b", b"x")).await.unwrap()
    else {
        panic!("the key was free");
    };
    assert_eq!(
        version_id.is_some(),
        on.locks,
        "only a versioned bucket names versions"
    );
    let stat = on.store.stat("a/b").await.unwrap().unwrap();
    assert_eq!(stat.version_id, version_id);
    let only = ObjectVersion {
        key: "a/b".to_owned(),
        version_id,
        is_latest: true,
        is_delete_marker: false,
    };
    assert_eq!(on.store.versions("a/").await.unwrap(), [only]);
}

async fn locks_where_there_are_none_are_an_error(on: Backend) {
    let lock = in_days(LockMode::Governance, 2);
    let locked = NewObject {
        lock: Some(lock),
        ..object("locked", b"x")
    };
    if on.locks {
        on.store.put_new(&locked).await.unwrap();
        assert_eq!(
            on.store.stat("locked").await.unwrap().unwrap().lock,
            Some(lock)
        );
        return;
    }
    let error = on.store.put_new(&locked).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unusable, "{error:?}");
    assert_eq!(
        on.store.stat("locked").await.unwrap(),
        None,
        "refused, and not stored without its lock"
    );
    on.store.put_new(&object("free", b"x")).await.unwrap();
    let error = on.store.raise_lock("free", lock).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unusable, "{error:?}");
}

async fn whether_locks_are_kept_is_told_beforehand(on: Backend) {
    assert_eq!(on.store.keeps_locks().await.unwrap(), Some(on.locks));
    assert!(
        on.store.list("", None).await.unwrap().is_empty(),
        "asking leaves nothing"
    );
}

async fn a_delete_marker_shows(on: Backend) {
    let new = object("head", b"first");
    on.store.put_new(&new).await.unwrap();
    on.a_second_later().await;
    on.delete("head").await;
    assert_eq!(on.store.get("head").await.unwrap(), None);
    assert_eq!(on.store.stat("head").await.unwrap(), None);
    assert_eq!(on.store.list("", None).await.unwrap(), []);
    let shape = |versions: &[ObjectVersion]| -> Vec<(bool, bool)> {
        versions
            .iter()
            .map(|version| (version.is_latest, version.is_delete_marker))
            .collect()
    };
    assert_eq!(
        shape(&on.store.versions("").await.unwrap()),
        [(true, true), (false, false)]
    );

    // This is why the protocol lists versions: the name is free again.
    on.a_second_later().await;
    assert!(matches!(
        on.store.put_new(&new).await.unwrap(),
        PutOutcome::Created { .. }
    ));
    let versions = on.store.versions("").await.unwrap();
    assert_eq!(
        shape(&versions),
        [(true, false), (false, true), (false, false)]
    );
    let ids: BTreeSet<_> = versions
        .iter()
        .map(|version| version.version_id.clone())
        .collect();
    assert_eq!(
        ids.len(),
        3,
        "every version has an id of its own: {versions:?}"
    );
}

async fn locks_are_kept_and_read_back(on: Backend) {
    for (key, mode) in [
        ("governed", LockMode::Governance),
        ("complied", LockMode::Compliance),
    ] {
        let lock = in_days(mode, 3);
        let new = NewObject {
            lock: Some(lock),
            ..object(key, b"locked")
        };
        let PutOutcome::Created { version_id } = on.store.put_new(&new).await.unwrap() else {
            panic!("taken")
        };
        assert_eq!(on.store.stat(key).await.unwrap().unwrap().lock, Some(lock));
        if let (Some(s3), Some(client)) = (&on.s3, &on.client) {
            // Not even the root user, who has the privilege that bypasses GOVERNANCE.
            let delete = client.delete_object().bucket(&s3.bucket);
            let delete = delete
                .key(format!("{}/{key}", s3.prefix))
                .set_version_id(version_id);
            let bypass = (mode == LockMode::Compliance).then_some(true);
            delete
                .set_bypass_governance_retention(bypass)
                .send()
                .await
                .expect_err("the version is locked");
        }
        assert_eq!(
            on.store.get(key).await.unwrap().unwrap().as_ref(),
            b"locked"
        );
    }
}

async fn raising_a_lock_never_shortens_it(on: Backend) {
    use LockMode::{Compliance, Governance};
    let (soon, later, last) = (2, 4, 6);
    on.store.put_new(&object("a", b"x")).await.unwrap();
    let steps = [
        (in_days(Governance, soon), in_days(Governance, soon)),
        (in_days(Governance, later), in_days(Governance, later)),
        (in_days(Governance, soon), in_days(Governance, later)),
        (in_days(Compliance, soon), in_days(Compliance, later)),
        (in_days(Governance, last), in_days(Compliance, last)),
        (in_days(Compliance, soon), in_days(Compliance, last)),
    ];
    for (asked, expected) in steps {
        on.store.raise_lock("a", asked).await.unwrap();
        let lock = on.store.stat("a").await.unwrap().unwrap().lock.unwrap();
        // A second may pass between the two readings of the clock.
        assert!(
            lock.mode == expected.mode && (lock.until_ms - expected.until_ms).abs() <= 60_000,
            "{asked:?}: {lock:?}"
        );
    }
    let error = on
        .store
        .raise_lock("none", in_days(Governance, soon))
        .await
        .unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Contradiction, "{error:?}");
    assert_eq!(
        on.store.versions("").await.unwrap().len(),
        1,
        "a lock makes no version"
    );
}

async fn legal_holds_are_kept_or_said_not_to_be(on: Backend) {
    on.store.put_new(&object("a", b"x")).await.unwrap();
    for hold in [true, true, false, false, true] {
        assert_eq!(on.store.keeps_legal_holds("a").await.unwrap(), on.locks);
        assert_eq!(on.store.set_legal_hold("a", hold).await.unwrap(), on.locks);
        assert_eq!(
            on.store.stat("a").await.unwrap().unwrap().legal_hold,
            hold && on.locks
        );
    }
    assert_eq!(
        on.store.versions("").await.unwrap().len(),
        1,
        "a hold makes no version"
    );
    let held = NewObject {
        legal_hold: true,
        ..object("held", b"x")
    };
    if on.locks {
        on.store.put_new(&held).await.unwrap();
        assert!(on.store.stat("held").await.unwrap().unwrap().legal_hold);
        let error = on.store.set_legal_hold("none", true).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Contradiction, "{error:?}");
    } else {
        let error = on.store.put_new(&held).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unusable, "{error:?}");
        assert_eq!(
            on.store.stat("held").await.unwrap(),
            None,
            "refused, and not stored without its hold"
        );
    }
}
