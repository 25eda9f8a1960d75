//! The store and the anchor, by doing: what must be refused is tried, on objects under `doctor/` that belong to no archive
//! day and to no chain.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::{Clock, SystemClock};
use crate::command::s3_options::s3_options;
use crate::command::setup::doctor::{Checks, DoctorCheck, clocks_differ};
use crate::config::Settings;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::place::location::Location;
use crate::format::record::lock::{Lock, LockMode, Retention};
use crate::outcome::{Exit, Result};
use crate::store::s3::probe::Deletion;
use crate::store::{
    Body, FolderStore, NewObject, PutOutcome, S3Options, S3Settings, S3Store, Store, StoreErrorKind,
};

/// As short as a lock can be and still be seen to hold.
const LOCKED_MS: i64 = 120_000;

/// What can be tried with a store, and what only S3 has.
struct ProbedStore {
    /// What stands before the name of each check.
    whose: &'static str,
    lock_setting: &'static str,
    store: Arc<dyn Store>,
    s3: Option<Arc<S3Store>>,
    clock: SystemClock,
    key: String,
    policy: Option<Retention>,
    lock: Option<Lock>,
}

pub(super) async fn examine(settings: &Settings, checks: &mut Checks<'_>) {
    let patient = match open(
        &settings.archive,
        s3_options(settings, &settings.s3),
        settings.object_lock,
    )
    .await
    {
        Ok(patient) => patient,
        Err(failure) => return checks.add(DoctorCheck::of_failure("store", failure)),
    };
    checks.add(patient.archive().await);
    patient.examined(checks).await;
}

/// The place where heads are kept a second time, in the same way.
pub(super) async fn examine_anchor(settings: &Settings, checks: &mut Checks<'_>) {
    let anchor = &settings.anchor;
    let Some(location) = &anchor.location else {
        let found = match &anchor.webhook {
            Some(_) => "no place is set; heads are told to the webhook only",
            None => {
                "none is set: that a chain's end was cut off shows only to who keeps the printed heads"
            }
        };
        return checks.add(DoctorCheck::not_applicable("anchor", found));
    };
    let patient = match open(
        location,
        s3_options(settings, &anchor.s3),
        anchor.object_lock,
    )
    .await
    {
        Ok(patient) => ProbedStore {
            whose: "anchor: ",
            lock_setting: "CXVAULT_ANCHOR_OBJECT_LOCK",
            ..patient
        },
        Err(failure) => return checks.add(DoctorCheck::of_failure("anchor", failure)),
    };
    checks.add(if anchor.is_s3() && settings.archive.is_s3() && !anchor.s3.has_own_credentials() {
        DoctorCheck::warning(
            "anchor",
            format!("{location}, with the same credentials as the archive"),
            "Give it others (CXVAULT_ANCHOR_ACCESS_KEY_ID or CXVAULT_ANCHOR_S3_PROFILE): who can rewrite the archive \
             must not reach its anchor.",
        )
    } else {
        DoctorCheck::ok("anchor", location.to_string())
    });
    patient.examined(checks).await;
}

impl ProbedStore {
    /// Everything that a store must promise.
    async fn examined(&self, checks: &mut Checks<'_>) {
        let created = self.created(checks).await;
        checks.add(self.checksum().await);
        let Some(version_id) = created else { return };
        checks.add(self.create_only().await);
        checks.add(self.listing().await);
        checks.add(self.clock_skew().await);
        checks.add(self.versioning(version_id.as_deref()));
        self.locked(version_id.as_deref(), checks).await;
        self.tidy_up();
    }
}

async fn open(
    location: &Location,
    options: Result<S3Options>,
    policy: Option<Retention>,
) -> Result<ProbedStore> {
    let options = options?;
    let (store, s3): (Arc<dyn Store>, _) = match location {
        Location::Folder(root) => (Arc::new(FolderStore::open(root)?), None),
        Location::S3 { bucket, prefix } => {
            let s3 = Arc::new(
                S3Store::open(S3Settings {
                    bucket: bucket.clone(),
                    prefix: prefix.clone(),
                    options,
                })
                .await?,
            );
            (s3.clone(), Some(s3))
        }
    };
    let clock = SystemClock;
    let now_ms = clock.now_ms();
    let until_ms = (now_ms + LOCKED_MS) / 1000 * 1000;
    let lock = policy.map(|policy| Lock {
        mode: policy.mode,
        until_ms,
    });
    let key = format!("{}{now_ms}-{}", key::DOCTOR, std::process::id());
    Ok(ProbedStore {
        whose: "",
        lock_setting: "CXVAULT_OBJECT_LOCK",
        store,
        s3,
        clock,
        key,
        policy,
        lock,
    })
}

fn object(key: &str, bytes: &'static [u8], lock: Option<Lock>) -> NewObject {
    let body = Body::Bytes(Bytes::from_static(bytes));
    NewObject {
        key: key.to_owned(),
        body,
        sha256: Digest::of(bytes),
        lock,
        legal_hold: false,
    }
}

const BYTES: &[u8] =
    b"cxvault doctor was here; this object can be removed once its lock has ended.\n";

impl ProbedStore {
    fn name(&self, check: &str) -> String {
        format!("{}{check}", self.whose)
    }

    async fn archive(&self) -> DoctorCheck {
        let name = "archive";
        match crate::chain::archive::record(&*self.store).await {
            Ok(Some(record)) => DoctorCheck::ok(
                name,
                format!("{} at {}", record.archive_id, self.store.root()),
            ),
            Ok(None) => DoctorCheck::ok(
                name,
                format!("none yet at {}; the first run founds it", self.store.root()),
            ),
            Err(failure) => DoctorCheck::of_failure(name, failure),
        }
    }

    /// The first PUT; with the version that it made.
    async fn created(&self, checks: &mut Checks<'_>) -> Option<Option<String>> {
        let name = &self.name("store takes objects");
        match self
            .store
            .put_new(&object(&self.key, BYTES, self.lock))
            .await
        {
            Ok(PutOutcome::Created { version_id }) => {
                checks.add(DoctorCheck::ok(name, self.key.clone()));
                Some(version_id)
            }
            Ok(PutOutcome::Exists) => {
                let found = format!("{} is said to exist already", self.key);
                checks.add(DoctorCheck::failed(
                    name,
                    Exit::Integrity,
                    found,
                    "Run it again; then ask the store's operator.",
                ));
                None
            }
            Err(error) => {
                checks.add(DoctorCheck::of_failure(name, error));
                None
            }
        }
    }

    async fn create_only(&self) -> DoctorCheck {
        let name = &self.name("a name is given once");
        let again = self
            .store
            .put_new(&object(&self.key, b"another\n", self.lock))
            .await;
        let kept = self.store.get(&self.key).await;
        match (again, kept) {
            (Ok(PutOutcome::Exists), Ok(Some(bytes))) if bytes == BYTES => {
                DoctorCheck::ok(name, "a second PUT of the same key was refused")
            }
            (Err(error), _) | (_, Err(error)) => DoctorCheck::of_failure(name, error),
            _ => DoctorCheck::failed(
                name,
                Exit::Integrity,
                "a second PUT of the same key replaced the first: the store ignores If-None-Match",
                "Use a store that knows conditional writes (Amazon S3; MinIO of 2024-11 or later).",
            ),
        }
    }

    async fn checksum(&self) -> DoctorCheck {
        let name = &self.name("wrong bytes are refused");
        let mut wrong = object(&format!("{}-checksum", self.key), b"these bytes\n", None);
        wrong.sha256 = Digest::of(b"other bytes\n");
        match self.store.put_new(&wrong).await {
            Err(error) if error.kind == StoreErrorKind::Checksum => {
                DoctorCheck::ok(name, "a body with another SHA-256 was refused")
            }
            Err(error) => DoctorCheck::of_failure(name, error),
            Ok(_) => DoctorCheck::failed(
                name,
                Exit::Integrity,
                "a body with another SHA-256 than announced was stored",
                "Use a store that checks x-amz-checksum-sha256 (Amazon S3; MinIO).",
            ),
        }
    }

    async fn listing(&self) -> DoctorCheck {
        let name = &self.name("listing");
        let listed = self.store.list(key::DOCTOR, None).await;
        let versions = self.store.versions(&self.key).await;
        match (listed, versions) {
            (Ok(listed), Ok(versions))
                if listed.iter().any(|entry| entry.key == self.key) && !versions.is_empty() =>
            {
                DoctorCheck::ok(name, "the new object is listed, and so are its versions")
            }
            (Ok(_), Ok(_)) => DoctorCheck::failed(
                name,
                Exit::Integrity,
                "the new object is not listed",
                "Nothing can be proven complete on a store whose listings lag; ask its operator.",
            ),
            (Err(error), _) | (_, Err(error)) => DoctorCheck::of_failure(name, error),
        }
    }

    async fn clock_skew(&self) -> DoctorCheck {
        let name = &self.name("store's clock");
        let Some(s3) = &self.s3 else {
            return DoctorCheck::not_applicable(name, "a folder has this host's");
        };
        match s3.written_at(&self.key).await {
            // Whole seconds, and a moment has gone since.
            Ok(Some(written_ms)) => clocks_differ(
                name,
                written_ms + 500 - self.clock.now_ms(),
                "the store's clock",
            ),
            Ok(None) => DoctorCheck::not_applicable(
                name,
                "the store does not tell when an object was written",
            ),
            Err(error) => DoctorCheck::of_failure(name, error),
        }
    }

    fn versioning(&self, version_id: Option<&str>) -> DoctorCheck {
        let name = &self.name("versioning");
        match (&self.s3, version_id) {
            (None, _) => DoctorCheck::not_applicable(name, "a folder keeps no versions"),
            (Some(_), Some(_)) => DoctorCheck::ok(name, "on"),
            (Some(_), None) => DoctorCheck::warning(
                name,
                "off: whoever can delete an object leaves no trace of it",
                "Switch versioning on, and Object Lock with it (it needs a new bucket on most stores).",
            ),
        }
    }

    /// The lock as the store reads it back, and what happens to who tries to delete.
    async fn locked(&self, version_id: Option<&str>, checks: &mut Checks<'_>) {
        let Some(s3) = &self.s3 else {
            let why = "a folder keeps no locks: whoever may write there may delete";
            return checks.add(DoctorCheck::not_applicable(&self.name("Object Lock"), why));
        };
        checks.add(self.lock_read_back().await);
        if self
            .policy
            .is_some_and(|policy| policy.mode == LockMode::Governance)
        {
            checks.add(DoctorCheck::warning(
                &self.name("lock mode"),
                "GOVERNANCE: privileged users lift it, and some stores (MinIO) let every user",
                format!(
                    "Use compliance once the period is decided: {}=compliance:7y.",
                    self.lock_setting
                ),
            ));
        }
        checks.add(self.version_stays(s3, version_id).await);
        checks.add(self.no_permission(s3).await);
    }

    async fn lock_read_back(&self) -> DoctorCheck {
        let name = &self.name("Object Lock");
        let Some(wanted) = self.lock else {
            return DoctorCheck::warning(
                name,
                "off: nothing keeps a privileged user from deleting",
                format!(
                    "Set {}, such as compliance:7y, on a bucket with Object Lock.",
                    self.lock_setting
                ),
            );
        };
        match self.store.stat(&self.key).await {
            Ok(Some(stat)) if stat.lock.is_some_and(|lock| lock.stronger(wanted) == lock) => {
                DoctorCheck::ok(name, "applied, and read back")
            }
            Ok(_) => DoctorCheck::failed(
                name,
                Exit::Integrity,
                "the lock that was asked for does not stand on the object",
                "Use a bucket with Object Lock, and a role with s3:PutObjectRetention and s3:GetObjectRetention.",
            ),
            Err(error) => DoctorCheck::of_failure(name, error),
        }
    }

    async fn version_stays(&self, s3: &S3Store, version_id: Option<&str>) -> DoctorCheck {
        let name = &self.name("a locked version stays");
        let (Some(_), Some(version_id)) = (self.lock, version_id) else {
            return DoctorCheck::not_applicable(name, "nothing is locked");
        };
        match s3.try_to_delete(&self.key, Some(version_id)).await {
            Ok(Deletion::Refused) => DoctorCheck::ok(name, "its deletion was refused"),
            Ok(Deletion::Done) => DoctorCheck::failed(
                name,
                Exit::Integrity,
                "it was deleted in spite of its lock",
                "The store does not keep Object Lock's promise; nothing can be kept safely there.",
            ),
            Err(error) => DoctorCheck::of_failure(name, error),
        }
    }

    async fn no_permission(&self, s3: &S3Store) -> DoctorCheck {
        let name = &self.name("no permission to delete");
        match s3.try_to_delete(&self.key, None).await {
            Ok(Deletion::Refused) => DoctorCheck::ok(name, "a plain DELETE was refused"),
            Ok(Deletion::Done) => DoctorCheck::warning(
                name,
                "these credentials may delete objects (of a versioned bucket: hide them)",
                "Take s3:DeleteObject and s3:DeleteObjectVersion from the writer (infra/terraform/identity).",
            ),
            Err(error) => DoctorCheck::of_failure(name, error),
        }
    }

    /// A folder is left as it was found.
    fn tidy_up(&self) {
        if let Some(path) = self.store.local(&self.key) {
            let _ = std::fs::remove_file(&path);
            let _ = path.parent().map(std::fs::remove_dir);
        }
    }
}
