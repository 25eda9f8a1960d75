//! The location of the copy: which objects it has, and storing or confirming each object with the protection that its
//! chain requires.
//!
//! Objects are created, never replaced. An object that is there already must have the content that the chain names: its
//! length and the checksum that the store keeps are compared, and its bytes are read where there is no checksum, or where
//! the operator asks for it with `--check`. The files of a folder are only compared by length without `--check`.
//!
//! Locks are only ever extended, and holds only ever set. A lock that was applied is read back, since some stores accept
//! locks and ignore them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::chain::{Archive, Protection, archive};
use crate::clock::Clock;
use crate::copy::job::{Copied, CopyLocks, Job};
use crate::copy::location;
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{CopyRecord, File, Lock};
use crate::format::time::day::rfc3339;
use crate::outcome::{Failure, Result};
use crate::store::{Body, NewObject, PutOutcome, Stat, Store};

/// A lock that ends within this time, in milliseconds, is not applied: it would have ended before the store examines it.
const SOON_MS: i64 = 60_000;

/// The objects in the folders of one chain of the copy: keys with their lengths in bytes.
pub(super) type Listed = BTreeMap<String, u64>;

/// An object as the copy is to have it.
pub(super) struct CopyItem<'a> {
    /// Key of the object, the same as in the source.
    pub key: &'a str,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the content.
    pub sha256: Digest,
    /// The protection that its chain requires.
    pub required: Protection,
}

impl CopyItem<'_> {
    /// Returns a file of a day.
    pub(super) fn file(file: &File, required: Protection) -> CopyItem<'_> {
        CopyItem {
            key: &file.key,
            bytes: file.bytes,
            sha256: file.sha256,
            required,
        }
    }
}

/// A location that was examined, and may hold the copy.
pub(super) struct Destination {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Whether it is a bucket, which keeps checksums, versions and locks, and no folder.
    remote: bool,
    /// Whether locks and holds are applied.
    locks: bool,
    /// Whether the operator has asked for a copy without locks.
    left_out: bool,
    /// The policy's lock for objects that are stored now.
    fresh: Option<Lock>,
    /// Whether an earlier copy has begun here.
    begun: bool,
    /// Whether the bytes of objects that are there already are read.
    check: bool,
    /// Whether nothing is stored.
    pub dry_run: bool,
    copied: Mutex<Copied>,
    /// The strongest lock of all objects that this copy has examined or stored.
    longest: Mutex<Option<Lock>>,
}

impl Destination {
    /// Examines the location, and stores nothing.
    ///
    /// # Errors
    /// `Exit::Usage` where it holds anything but a copy of this archive, or keeps no locks although a policy requires
    /// them; `Exit::Integrity` where another program has written to the copy, or deleted from it.
    pub(super) async fn open(job: &Job) -> Result<Destination> {
        let (to, options) = (&*job.to, &job.options);
        let remote = to.local(key::ARCHIVE).is_none();
        let begun = location::has_begun(&job.source, to, remote).await?;
        location::refuse_diverged(&*job.source.store, to).await?;
        let left_out = options.locks == CopyLocks::LeftOut;
        // Without permission to ask for it, the first object that is stored with a lock answers this.
        let locks = !left_out && to.keeps_locks().await?.unwrap_or(true);
        Ok(Destination {
            store: job.to.clone(),
            clock: job.clock.clone(),
            remote,
            locks,
            left_out,
            fresh: fresh_lock(job, locks)?,
            begun,
            check: options.check,
            dry_run: options.dry_run,
            copied: Mutex::default(),
            longest: Mutex::default(),
        })
    }

    /// Changes the counts of the copy.
    pub(super) fn count(&self, change: impl FnOnce(&mut Copied)) {
        change(&mut locked(&self.copied));
    }

    /// Returns the counts at the end of the copy.
    pub(super) fn into_copied(self) -> Copied {
        locked(&self.copied).clone()
    }

    /// Returns the protection that is required of an object and has not ended yet.
    fn in_force(&self, required: Protection) -> Protection {
        let soon = self.clock.now_ms() + SOON_MS;
        Protection {
            lock: required.lock.filter(|lock| lock.until_ms > soon),
            hold: required.hold,
        }
    }

    /// Returns the same, with the strongest lock of all objects that were copied before.
    pub(super) fn longest_of_all(&self, required: Protection) -> Protection {
        let own = self.in_force(required);
        Protection {
            lock: Lock::strongest([own.lock, *locked(&self.longest)]),
            hold: own.hold,
        }
    }

    /// Refuses a chain whose objects require locks or holds that would be lost.
    ///
    /// # Errors
    /// `Exit::Usage` where a chain requires locks or holds, this location keeps none, and the operator has not asked for a
    /// copy without them.
    pub(super) fn refuse_unlockable(
        &self,
        chain: &str,
        required: impl Iterator<Item = Protection>,
    ) -> Result<()> {
        if self.locks || self.left_out {
            return Ok(());
        }
        let mut in_force = required.map(|required| self.in_force(required));
        let what = match in_force.find(|required| *required != Protection::default()) {
            None => return Ok(()),
            Some(Protection { lock: None, .. }) => format!("{chain} is under a legal hold"),
            Some(Protection {
                lock: Some(lock), ..
            }) => format!("{chain} is locked until {}", rfc3339(lock.until_ms)),
        };
        Err(location::unlockable(&*self.store, &what))
    }

    /// Stores the objects that make the location a copy of this archive.
    ///
    /// `copy.json` comes first: writers find it from the moment at which there is an archive. A crash before it leaves
    /// nothing; after a later crash the same copy continues.
    ///
    /// # Errors
    /// `Exit::Usage` where the store overwrites objects, or another copy has begun here meanwhile; errors of the stores.
    pub(super) async fn create(&self, source: &Archive, mark: &CopyRecord) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        if !self.begun {
            let bytes = mark
                .to_bytes()
                .map_err(|error| Failure::unexpected("cannot write copy.json").because(error))?;
            self.put_mark(key::COPY, bytes.into()).await?;
            // Of two copies that begin at the same time, the mark of the first counts.
            let stored = self.store.get(key::COPY).await?.unwrap_or_default();
            location::check_mark(&*self.store, &stored, source.id())?;
        }
        let bytes = source.store.get(key::ARCHIVE).await?;
        let bytes = bytes.ok_or_else(|| archive::violated("archive.json was deleted"))?;
        if Digest::of(&bytes) != source.sha256 {
            return Err(archive::violated(
                "archive.json was exchanged while it was copied",
            ));
        }
        // The second PUT must answer that the object exists, unless the first one did.
        for _ in 0..2 {
            if self.put_mark(key::ARCHIVE, bytes.clone()).await? == PutOutcome::Exists {
                return Ok(());
            }
        }
        Err(archive::overwrites(&self.store.root()))
    }

    async fn put_mark(&self, key: &str, bytes: Bytes) -> Result<PutOutcome> {
        let lock = self.fresh.filter(|_| self.locks);
        let object = NewObject::from_bytes(key, bytes, lock);
        Ok(self.store.put_new(&object).await?)
    }

    /// Locks `archive.json` and `copy.json` as long as any other object of the copy: without the first there is no archive,
    /// without the second writers would write to it.
    ///
    /// # Errors
    /// Those of the store, and `Exit::Integrity` where one of them is gone.
    pub(super) async fn lock_marks(&self) -> Result<()> {
        let lock = *locked(&self.longest);
        if lock.is_some() && self.locks && !self.dry_run {
            for key in [key::COPY, key::ARCHIVE] {
                let stat = self.stat(key).await?;
                self.give(key, &stat, Protection { lock, hold: false })
                    .await?;
            }
        }
        Ok(())
    }

    /// Returns the objects in the folders of one chain.
    ///
    /// # Errors
    /// `Exit::Integrity` for an object that no archive has, and for one that was deleted or overwritten.
    pub(super) async fn listed(&self, folders: &[String]) -> Result<Listed> {
        let mut listed = Listed::new();
        for folder in folders {
            let entries = self.store.list(folder, None).await?;
            if self.remote {
                location::refuse_versions(&*self.store, &self.store.versions(folder).await?)?;
            }
            listed.extend(entries.into_iter().map(|entry| (entry.key, entry.bytes)));
        }
        let foreign = listed
            .keys()
            .find(|key| key::parse_manifest(key).is_none() && key::parse_part(key).is_none());
        match foreign {
            None => Ok(listed),
            Some(foreign) => Err(self.wrong(foreign, "is an object that no archive has")),
        }
    }

    /// Stores an object, locked and held as its chain requires; `false` where the copy had it already. In a dry run it is
    /// only counted.
    ///
    /// # Errors
    /// Those of the store and of [`Destination::confirm`].
    pub(super) async fn put(&self, item: &CopyItem<'_>, body: Body) -> Result<bool> {
        let required = self.in_force(item.required);
        let given = match self.locks {
            true => Protection {
                lock: Lock::strongest([required.lock, self.fresh]),
                hold: required.hold,
            },
            false => Protection::default(),
        };
        if !self.dry_run {
            let object = NewObject {
                key: item.key.to_owned(),
                body,
                sha256: item.sha256,
                lock: given.lock,
                legal_hold: given.hold,
            };
            if self.store.put_new(&object).await? == PutOutcome::Exists {
                // It was stored by an attempt whose answer was lost, or by another copy since the listing.
                self.confirm(item, None).await?;
                return Ok(false);
            }
            if given != Protection::default() {
                self.read_back(item.key, given).await?;
            }
        }
        self.note(given.lock);
        self.count(|copied| {
            copied.bytes += item.bytes;
            copied.locked += u64::from(given.lock.is_some());
            copied.held += u64::from(given.hold);
            copied.unlocked += u64::from(!self.locks && required != Protection::default());
        });
        Ok(true)
    }

    /// Confirms that the copy has this object, and gives it the protection that the chain requires by now. `listed` is its
    /// length in bytes, where a listing has returned it.
    ///
    /// # Errors
    /// `Exit::Integrity` for other bytes.
    pub(super) async fn confirm(&self, item: &CopyItem<'_>, listed: Option<u64>) -> Result<()> {
        if let Some(bytes) = listed.filter(|bytes| *bytes != item.bytes) {
            let differs = format!("has {bytes} bytes, and {} were committed", item.bytes);
            return Err(self.wrong(item.key, &differs));
        }
        let is_listed_file = listed.is_some() && item.key.starts_with(key::SEGMENTS);
        let required = self.in_force(item.required);
        if self.remote {
            let stat = self.stat(item.key).await?;
            let checksum = stat.sha256.filter(|_| !self.check);
            self.check_content(item, checksum).await?;
            if self.locks {
                // The policy applies to objects that are stored now: extended every night, no lock would ever end.
                let unlocked = self.fresh.filter(|_| stat.lock.is_none());
                let lock = required.lock.or(unlocked);
                let hold = required.hold;
                self.give(item.key, &stat, Protection { lock, hold })
                    .await?;
                self.count(|copied| copied.held_beyond += u64::from(stat.legal_hold && !hold));
            }
        } else if !is_listed_file || self.check {
            // A folder keeps no checksum. Its files are complete or absent; `--check` and `verify` read their bytes.
            self.check_content(item, None).await?;
        }
        self.count(|copied| {
            copied.there += 1;
            copied.unlocked += u64::from(!self.locks && required != Protection::default());
        });
        Ok(())
    }

    /// Checks that the object has the right content, by the checksum that the store keeps, or else by reading it.
    async fn check_content(&self, item: &CopyItem<'_>, checksum: Option<Digest>) -> Result<()> {
        let found = match checksum {
            Some(sha256) => Some(sha256),
            None => self.store.hash(item.key).await?.map(|hashed| hashed.sha256),
        };
        match found {
            Some(found) if found == item.sha256 => Ok(()),
            Some(found) => {
                let differs = format!("has the SHA-256 {found}, and {} was committed", item.sha256);
                Err(self.wrong(item.key, &differs))
            }
            None => Err(self.wrong(item.key, "was there, and is gone")),
        }
    }

    /// Gives a stored object the lock and the hold that it lacks.
    async fn give(&self, key: &str, stat: &Stat, required: Protection) -> Result<()> {
        self.note(required.lock);
        let lacked = required.lacked_by(stat);
        if !self.dry_run && lacked != Protection::default() {
            if let Some(lock) = lacked.lock {
                self.store.raise_lock(key, lock).await?;
            }
            if lacked.hold && !self.store.set_legal_hold(key, true).await? {
                let what = format!("{key} is under a legal hold");
                return Err(location::unlockable(&*self.store, &what));
            }
            self.read_back(key, required).await?;
        }
        self.count(|copied| {
            copied.locked += u64::from(lacked.lock.is_some());
            copied.held += u64::from(lacked.hold);
        });
        Ok(())
    }

    /// Checks that the store keeps the protection that it accepted: some stores accept locks and ignore them.
    async fn read_back(&self, key: &str, given: Protection) -> Result<()> {
        if given.lacked_by(&self.stat(key).await?) == Protection::default() {
            return Ok(());
        }
        let what = format!("{key} does not have the lock or the legal hold that it was given");
        Err(location::unlockable(&*self.store, &what))
    }

    async fn stat(&self, key: &str) -> Result<Stat> {
        let stat = self.store.stat(key).await?;
        stat.ok_or_else(|| self.wrong(key, "was there, and is gone"))
    }

    /// Remembers the lock of an object for [`Destination::longest_of_all`].
    fn note(&self, lock: Option<Lock>) {
        let mut longest = locked(&self.longest);
        *longest = Lock::strongest([*longest, lock]);
    }

    fn wrong(&self, key: &str, problem: &str) -> Failure {
        location::wrong(&*self.store, key, problem)
    }
}

/// Returns the lock that the operator's policy requires of objects that are stored now. `locks` says whether the location
/// keeps locks.
fn fresh_lock(job: &Job, locks: bool) -> Result<Option<Lock>> {
    let CopyLocks::Applied(Some(policy)) = job.options.locks else {
        return Ok(None);
    };
    if !locks {
        let what = format!("--object-lock asks for {policy}");
        return Err(location::unlockable(&*job.to, &what));
    }
    let lock = policy.lock_from(job.clock.now_ms());
    lock.map(Some)
        .ok_or_else(|| Failure::usage(format!("--object-lock {policy} ends beyond the calendar")))
}

/// Locks a mutex whose value is valid after each statement, so that a panic of another task does not matter.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
