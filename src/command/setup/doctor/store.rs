//! The checks of the store and of the anchor. They try what a store must do and what it must refuse, on objects below `doctor/`
//! that belong to no day and to no chain.
//!
//! An archive rests on five promises of its store, and each has a check that tries to break it:
//!
//! | promise | attempt |
//! |---|---|
//! | an object is created once (S3 API, PutObject with `If-None-Match: *`) | a second PUT of the same key |
//! | bytes arrive as they were sent (`x-amz-checksum-sha256`) | a body with another checksum |
//! | a new object is listed at once | a listing after the PUT |
//! | a locked version stays (Object Lock) | deletion of the version |
//! | the writer may not delete (IAM) | a plain DELETE |
//!
//! The probe object has a new key for each run of the doctor, from the time and the process id. In S3 it stays, which is the
//! point of the last two checks; a lifecycle rule for `doctor/` may remove it. In a folder it is removed at the end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::{Clock, SystemClock};
use crate::command::s3_options::s3_options;
use crate::command::setup::doctor::{Checks, DoctorCheck, clocks_differ};
use crate::config::Settings;
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::place::location::Location;
use crate::format::record::{Lock, LockMode, Retention};
use crate::outcome::{Exit, Result};
use crate::store::s3::probe::Deletion;
use crate::store::{
    Body, FolderStore, NewObject, PutOutcome, S3Options, S3Settings, S3Store, Store, StoreErrorKind,
};

/// Length of the lock of the probe object, in milliseconds: long enough to try a deletion, and over soon after.
const LOCKED_MS: i64 = 120_000;

/// A store under test.
struct ProbedStore {
    /// Text before the name of each check.
    whose: &'static str,
    /// Name of the setting with the lock.
    lock_setting: &'static str,
    store: Arc<dyn Store>,
    /// The same store, if it is in S3.
    s3: Option<Arc<S3Store>>,
    clock: SystemClock,
    /// Key of the probe object.
    key: String,
    /// The configured lock of objects.
    policy: Option<Retention>,
    /// The lock of the probe object: the configured mode, for a short time.
    lock: Option<Lock>,
}

/// Checks the store of the archive. If the store cannot be opened at all, that is the only result.
pub(super) async fn examine(settings: &Settings, checks: &mut Checks<'_>) {
    let probed = match open(
        &settings.archive,
        s3_options(settings, &settings.s3),
        settings.object_lock,
    )
    .await
    {
        Ok(probed) => probed,
        Err(failure) => return checks.add(DoctorCheck::of_failure("store", failure)),
    };
    checks.add(probed.archive().await);
    if let Location::Folder(root) = &settings.archive {
        checks.add(folder_mode(root));
    }
    probed.check_all(checks).await;
}

/// Checks the place where heads are stored a second time, in the same way.
///
/// The anchor protects against a user who can change the archive, so its credentials should be other ones than the archive's.
pub(super) async fn examine_anchor(settings: &Settings, checks: &mut Checks<'_>) {
    let anchor = &settings.anchor;
    let Some(location) = &anchor.location else {
        let found = match &anchor.webhook {
            Some(_) => "no location is set; heads are only sent to the webhook",
            None => {
                "none is set: only heads that were stored elsewhere can show that the end of a chain was cut off"
            }
        };
        return checks.add(DoctorCheck::not_applicable("anchor", found));
    };
    let probed = match open(
        location,
        s3_options(settings, &anchor.s3),
        anchor.object_lock,
    )
    .await
    {
        Ok(probed) => ProbedStore {
            whose: "anchor: ",
            lock_setting: "CXVAULT_ANCHOR_OBJECT_LOCK",
            ..probed
        },
        Err(failure) => return checks.add(DoctorCheck::of_failure("anchor", failure)),
    };
    checks.add(if anchor.is_s3() && settings.archive.is_s3() && !anchor.s3.has_own_credentials() {
        DoctorCheck::warning(
            "anchor",
            format!("{location}, with the same credentials as the archive"),
            "Use others (CXVAULT_ANCHOR_ACCESS_KEY_ID or CXVAULT_ANCHOR_S3_PROFILE): a user who can change the archive \
             must not have access to its anchor.",
        )
    } else {
        DoctorCheck::ok("anchor", location.to_string())
    });
    probed.check_all(checks).await;
}

/// Checks who can enter the folder of an archive. A folder that does not exist yet is created for this user alone.
fn folder_mode(root: &Path) -> DoctorCheck {
    let name = "archive folder";
    let Ok(about) = std::fs::metadata(root) else {
        return DoctorCheck::ok(name, "none yet; it is created for this user alone");
    };
    let mode = about.permissions().mode() & 0o777;
    let found = format!("{} (mode {mode:03o})", root.display());
    let can = match mode {
        _ if mode & 0o002 != 0 => "change",
        _ if mode & 0o001 != 0 => "read",
        _ => return DoctorCheck::ok(name, found),
    };
    DoctorCheck::warning(
        name,
        format!("{found}: every user of this host can {can} the archive"),
        format!(
            "Run: chmod o-rwx {}, and give auditors access by a group or a copy.",
            root.display()
        ),
    )
}

impl ProbedStore {
    /// Runs all checks of a store. Where it takes no object, the checks of that object are omitted.
    async fn check_all(&self, checks: &mut Checks<'_>) {
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

/// Opens the store to be checked, without retries: a doctor should see an error instead of waiting for a better answer.
///
/// # Errors
/// Options that contradict each other, a folder that cannot be used, and credentials that cannot be read.
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

/// Returns a probe object with these bytes, announced with their SHA-256.
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

/// Content of the probe object.
const BYTES: &[u8] =
    b"Written by cxvault doctor. This object can be deleted after its lock has ended.\n";

impl ProbedStore {
    /// Returns the full name of a check.
    fn name(&self, check: &str) -> String {
        format!("{}{check}", self.whose)
    }

    /// Reports which archive is there.
    async fn archive(&self) -> DoctorCheck {
        let name = "archive";
        match crate::chain::archive::record(&*self.store).await {
            Ok(Some(record)) => DoctorCheck::ok(
                name,
                format!("{} at {}", record.archive_id, self.store.root()),
            ),
            Ok(None) => DoctorCheck::ok(
                name,
                format!(
                    "none yet at {}; the first run creates it",
                    self.store.root()
                ),
            ),
            Err(failure) => DoctorCheck::of_failure(name, failure),
        }
    }

    /// Creates the probe object and returns the id of its version.
    ///
    /// The outer `None` stands for an object that was not created, the inner one for a store without versions.
    async fn created(&self, checks: &mut Checks<'_>) -> Option<Option<String>> {
        let name = &self.name("store accepts objects");
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
                let found = format!("the store reports that the new key {} exists", self.key);
                checks.add(DoctorCheck::failed(
                    name,
                    Exit::Integrity,
                    found,
                    "Run this command again. If it fails again, report it to the operator of the store.",
                ));
                None
            }
            Err(error) => {
                checks.add(DoctorCheck::of_failure(name, error));
                None
            }
        }
    }

    /// Checks that no PUT replaces an object. Two writers of one chain would otherwise overwrite each other's manifests.
    async fn create_only(&self) -> DoctorCheck {
        let name = &self.name("objects are created only once");
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
                "Use a store with conditional writes (Amazon S3; MinIO of 2024-11 or later).",
            ),
        }
    }

    /// Checks that a body with a wrong checksum is refused. It has a key of its own, and no lock: on a store that takes it,
    /// it can be deleted.
    async fn checksum(&self) -> DoctorCheck {
        let name = &self.name("damaged uploads are refused");
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

    /// Checks that the probe object is listed at once.
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
                "Completeness cannot be verified on a store whose listings are delayed. Report it to the operator of the store.",
            ),
            (Err(error), _) | (_, Err(error)) => DoctorCheck::of_failure(name, error),
        }
    }

    /// Compares the clock of the store with that of this host, by the time at which the store wrote the probe object. S3 refuses
    /// signed requests from a clock that differs by more than 15 minutes.
    async fn clock_skew(&self) -> DoctorCheck {
        let name = &self.name("store's clock");
        let Some(s3) = &self.s3 else {
            return DoctorCheck::not_applicable(name, "a folder uses the clock of this host");
        };
        match s3.written_at(&self.key).await {
            // The store reports whole seconds: half a second is the mean of what is cut off.
            Ok(Some(written_ms)) => clocks_differ(
                name,
                written_ms + 500 - self.clock.now_ms(),
                "the store's clock",
            ),
            Ok(None) => DoctorCheck::not_applicable(
                name,
                "the store does not report when an object was written",
            ),
            Err(error) => DoctorCheck::of_failure(name, error),
        }
    }

    /// Checks that the bucket has versioning. A bucket with versioning answers a PUT with the id of the new version.
    fn versioning(&self, version_id: Option<&str>) -> DoctorCheck {
        let name = &self.name("versioning");
        match (&self.s3, version_id) {
            (None, _) => DoctorCheck::not_applicable(name, "a folder has no versions"),
            (Some(_), Some(_)) => DoctorCheck::ok(name, "on"),
            (Some(_), None) => DoctorCheck::warning(
                name,
                "off: a deleted object leaves no trace",
                "Enable versioning together with Object Lock, which needs a new bucket on most services.",
            ),
        }
    }

    /// Checks the lock of the probe object, and tries to delete the object.
    async fn locked(&self, version_id: Option<&str>, checks: &mut Checks<'_>) {
        let Some(s3) = &self.s3 else {
            let why = "a folder has no locks: users who can write to it can also delete from it";
            return checks.add(DoctorCheck::not_applicable(&self.name("Object Lock"), why));
        };
        checks.add(self.lock_read_back().await);
        if self
            .policy
            .is_some_and(|policy| policy.mode == LockMode::Governance)
        {
            checks.add(DoctorCheck::warning(
                &self.name("lock mode"),
                "GOVERNANCE: privileged users can lift it, and on some services (MinIO) all users",
                format!(
                    "Use compliance mode once the period is decided: {}=compliance:7y.",
                    self.lock_setting
                ),
            ));
        }
        checks.add(self.version_stays(s3, version_id).await);
        checks.add(self.no_permission(s3).await);
    }

    /// Checks that the probe object has the requested lock.
    async fn lock_read_back(&self) -> DoctorCheck {
        let name = &self.name("Object Lock");
        let Some(wanted) = self.lock else {
            return DoctorCheck::warning(
                name,
                "off: nothing prevents a privileged user from deleting objects",
                format!(
                    "Set {}, such as compliance:7y, on a bucket with Object Lock.",
                    self.lock_setting
                ),
            );
        };
        match self.store.stat(&self.key).await {
            Ok(Some(stat)) if stat.lock.is_some_and(|lock| lock.covers(wanted)) => {
                DoctorCheck::ok(name, "applied, and read back")
            }
            Ok(_) => DoctorCheck::failed(
                name,
                Exit::Integrity,
                "the object does not have the requested lock",
                "Use a bucket with Object Lock, and a role with s3:PutObjectRetention and s3:GetObjectRetention.",
            ),
            Err(error) => DoctorCheck::of_failure(name, error),
        }
    }

    /// Checks that the locked version cannot be deleted.
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
                "The store does not enforce Object Lock. Use another store for the archive.",
            ),
            Err(error) => DoctorCheck::of_failure(name, error),
        }
    }

    /// Checks that these credentials may not delete objects. In a versioned bucket a plain DELETE removes nothing, but hides the
    /// object behind a delete marker.
    async fn no_permission(&self, s3: &S3Store) -> DoctorCheck {
        let name = &self.name("no permission to delete");
        match s3.try_to_delete(&self.key, None).await {
            Ok(Deletion::Refused) => DoctorCheck::ok(name, "a plain DELETE was refused"),
            Ok(Deletion::Done) => DoctorCheck::warning(
                name,
                "these credentials may delete objects (of a versioned bucket: hide them)",
                "Revoke s3:DeleteObject and s3:DeleteObjectVersion from the writer (see infra/terraform/identity).",
            ),
            Err(error) => DoctorCheck::of_failure(name, error),
        }
    }

    /// Removes the probe object from a folder. In S3 it stays, since a writer may not delete it.
    fn tidy_up(&self) {
        if let Some(path) = self.store.local(&self.key) {
            let _ = std::fs::remove_file(&path);
            let _ = path.parent().map(std::fs::remove_dir);
        }
    }
}
