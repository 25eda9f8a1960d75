//! The location of the copy: whether it may hold this copy, which objects it has, and storing or confirming each object.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::{Archive, Protection};
use crate::clock::Clock;
use crate::copy::job::{AT_ONCE, Copied, CopyLocks, Job};
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{CopyRecord, Lock};
use crate::format::text::printable;
use crate::format::time::day::rfc3339;
use crate::outcome::{Failure, Result};
use crate::store::{Body, NewObject, ObjectVersion, PutOutcome, Stat, Store};

/// A lock that ends within this time, in milliseconds, is not applied: it would have ended before the store examines it.
const SOON_MS: i64 = 60_000;

/// The objects in the folders of one chain of the copy: keys with their lengths in bytes.
pub type Listed = BTreeMap<String, u64>;

/// An object as the copy is to have it.
pub(crate) struct CopyItem<'a> {
    pub key: &'a str,
    pub bytes: u64,
    pub sha256: Digest,
    /// The protection that its chain requires.
    pub keep: Protection,
}

/// A location that was examined, and may hold the copy.
pub(crate) struct Destination {
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
    marked: bool,
    check: bool,
    pub dry_run: bool,
    copied: Mutex<Copied>,
    longest: Mutex<Option<Lock>>,
}

impl Destination {
    /// Examines the location, and stores nothing.
    ///
    /// # Errors
    /// `Exit::Usage` where it holds anything but a copy of this archive, or keeps no locks although a policy requires
    /// them; `Exit::Integrity` where another program has written to the copy, or deleted from it.
    pub async fn open(job: &Job) -> Result<Destination> {
        let Job {
            source,
            to,
            clock,
            options,
        } = job;
        let remote = to.local(key::ARCHIVE).is_none();
        let marked = standing(source, &**to, remote).await?;
        refuse_diverged(&*source.store, &**to).await?;
        let left_out = options.locks == CopyLocks::LeftOut;
        // Without permission to ask for it, the first object that is stored with a lock answers this.
        let locks = !left_out && to.keeps_locks().await?.unwrap_or(true);
        let fresh = match options.locks {
            CopyLocks::Applied(Some(policy)) if !locks => {
                return Err(unlockable(
                    &**to,
                    format!("--object-lock asks for {policy}"),
                ));
            }
            CopyLocks::Applied(Some(policy)) => {
                Some(policy.lock_from(clock.now_ms()).ok_or_else(|| {
                    Failure::usage(format!("--object-lock {policy} ends beyond the calendar"))
                })?)
            }
            CopyLocks::Applied(None) | CopyLocks::LeftOut => None,
        };
        Ok(Destination {
            store: to.clone(),
            clock: clock.clone(),
            remote,
            locks,
            left_out,
            fresh,
            marked,
            check: options.check,
            dry_run: options.dry_run,
            copied: Mutex::default(),
            longest: Mutex::default(),
        })
    }

    pub fn count(&self, change: impl FnOnce(&mut Copied)) {
        change(&mut self.copied.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn into_copied(self) -> Copied {
        self.copied
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the strongest lock of all objects that this copy has examined or stored.
    fn longest(&self) -> Option<Lock> {
        *self.longest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the protection that is required of an object and has not ended yet.
    fn in_force(&self, keep: Protection) -> Protection {
        let ends_later = |lock: &Lock| lock.until_ms > self.clock.now_ms() + SOON_MS;
        Protection {
            lock: keep.lock.filter(ends_later),
            hold: keep.hold,
        }
    }

    /// Returns the same, with the strongest lock of all objects that were copied before.
    pub(crate) fn longest_of_all(&self, keep: Protection) -> Protection {
        let Protection { lock, hold } = self.in_force(keep);
        Protection {
            lock: lock
                .into_iter()
                .chain(self.longest())
                .reduce(Lock::stronger),
            hold,
        }
    }

    /// # Errors
    /// `Exit::Usage` where a chain requires locks or holds, this location keeps none, and the operator has not asked for a
    /// copy without them.
    pub(crate) fn refuse_unlockable(
        &self,
        chain: &str,
        mut keeps: impl Iterator<Item = Protection>,
    ) -> Result<()> {
        if self.locks || self.left_out {
            return Ok(());
        }
        let asks = keeps.find_map(|keep| {
            Some(self.in_force(keep)).filter(|keep| *keep != Protection::default())
        });
        let what = match asks {
            None => return Ok(()),
            Some(Protection {
                lock: Some(lock), ..
            }) => {
                format!("{chain} is locked until {}", rfc3339(lock.until_ms))
            }
            Some(_) => format!("{chain} is under a legal hold"),
        };
        Err(unlockable(&*self.store, what))
    }

    /// Stores the objects that make the location a copy of this archive.
    ///
    /// `copy.json` comes first: writers find it from the moment at which there is an archive. A crash before it leaves
    /// nothing; after a later crash the same copy continues.
    pub async fn create(&self, source: &Archive, mark: &CopyRecord) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        if !self.marked {
            let unwritable = |error| Failure::unexpected("cannot write copy.json").because(error);
            self.put_mark(key::COPY, mark.to_bytes().map_err(unwritable)?.into())
                .await?;
            // Of two copies that begin at the same time, the mark of the first counts.
            self.read_mark(source).await?;
        }
        let bytes = source.store.get(key::ARCHIVE).await?;
        let bytes = bytes.ok_or_else(|| {
            crate::chain::archive::violated("archive.json was deleted".to_owned())
        })?;
        let again = self.put_mark(key::ARCHIVE, bytes.clone()).await? == PutOutcome::Exists
            || self.put_mark(key::ARCHIVE, bytes.clone()).await? == PutOutcome::Exists;
        if !again {
            let message = format!(
                "{} overwrites objects in spite of If-None-Match",
                self.store.root()
            );
            let remedy =
                "Use a store that honours If-None-Match on PUT (AWS S3, MinIO), or a local folder.";
            return Err(Failure::usage(message).remedy(remedy));
        }
        Ok(())
    }

    async fn put_mark(&self, key: &str, bytes: Bytes) -> Result<PutOutcome> {
        let lock = self.fresh.filter(|_| self.locks);
        let object = NewObject::from_bytes(key, bytes, lock);
        Ok(self.store.put_new(&object).await?)
    }

    async fn read_mark(&self, source: &Archive) -> Result<()> {
        let bytes = self.store.get(key::COPY).await?.unwrap_or_default();
        check_mark(&*self.store, &bytes, &source.record.archive_id)
    }

    /// Locks `archive.json` and `copy.json` as long as any other object of the copy: without the first there is no archive,
    /// without the second writers would write to it.
    pub(crate) async fn lock_marks(&self) -> Result<()> {
        let Some(lock) = self.longest().filter(|_| self.locks && !self.dry_run) else {
            return Ok(());
        };
        for key in [key::COPY, key::ARCHIVE] {
            let stat = self.stat(key).await?;
            self.give(
                key,
                &stat,
                Protection {
                    lock: Some(lock),
                    hold: false,
                },
            )
            .await?;
        }
        Ok(())
    }

    /// Returns the objects in the folders of one chain.
    ///
    /// # Errors
    /// `Exit::Integrity` for an object that no archive has, and for one that was deleted or overwritten.
    pub async fn listed(&self, folders: &[String]) -> Result<Listed> {
        let mut listed = Listed::new();
        for folder in folders {
            let entries = self.store.list(folder, None).await?;
            if self.remote {
                refuse_versions(&*self.store, &self.store.versions(folder).await?)?;
            }
            listed.extend(entries.into_iter().map(|entry| (entry.key, entry.bytes)));
        }
        let ours = |key: &&String| {
            key::parse_manifest(key)
                .or(key::parse_part(key).map(|_| 0))
                .is_some()
        };
        match listed.keys().find(|key| !ours(key)) {
            None => Ok(listed),
            Some(foreign) => Err(wrong(
                &*self.store,
                foreign,
                "is an object that no archive has",
            )),
        }
    }

    /// Stores an object, locked and held as its chain requires; `false` where the copy had it already. In a dry run it is
    /// only counted.
    pub async fn put(&self, item: &CopyItem<'_>, body: Body) -> Result<bool> {
        let asked = self.in_force(item.keep);
        let lock = asked
            .lock
            .into_iter()
            .chain(self.fresh)
            .reduce(Lock::stronger);
        let given = if self.locks {
            Protection {
                lock,
                hold: asked.hold,
            }
        } else {
            Protection::default()
        };
        if !self.dry_run {
            let (key, legal_hold) = (item.key.to_owned(), given.hold);
            let object = NewObject {
                key,
                body,
                sha256: item.sha256,
                lock: given.lock,
                legal_hold,
            };
            if self.store.put_new(&object).await? == PutOutcome::Exists {
                // It was stored by an attempt whose answer was lost, or by another copy since the listing.
                self.there(item, None).await?;
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
            copied.unlocked += u64::from(!self.locks && asked != Protection::default());
        });
        Ok(true)
    }

    /// Confirms that the copy has this object, and gives it the protection that the chain requires by now. `listed` is its
    /// length in bytes, where a listing has returned it.
    ///
    /// # Errors
    /// `Exit::Integrity` for other bytes.
    pub async fn there(&self, item: &CopyItem<'_>, listed: Option<u64>) -> Result<()> {
        if let Some(bytes) = listed.filter(|bytes| *bytes != item.bytes) {
            let differs = format!("has {bytes} bytes, and {} were committed", item.bytes);
            return Err(wrong(&*self.store, item.key, &differs));
        }
        let file = listed.is_some() && item.key.starts_with(key::SEGMENTS);
        let asked = self.in_force(item.keep);
        if self.remote {
            let stat = self.stat(item.key).await?;
            let kept = if self.check { None } else { stat.sha256 };
            self.same(item, kept).await?;
            if self.locks {
                // The policy applies to objects that are stored now: extended every night, no lock would ever end.
                let lock = asked.lock.or(self.fresh.filter(|_| stat.lock.is_none()));
                self.give(
                    item.key,
                    &stat,
                    Protection {
                        lock,
                        hold: asked.hold,
                    },
                )
                .await?;
                self.count(|copied| {
                    copied.held_beyond += u64::from(stat.legal_hold && !asked.hold)
                });
            }
        } else if !file || self.check {
            // A folder keeps no checksum. Its files are complete or absent; `--check` and `verify` read their bytes.
            self.same(item, None).await?;
        }
        self.count(|copied| {
            copied.there += 1;
            copied.unlocked += u64::from(!self.locks && asked != Protection::default());
        });
        Ok(())
    }

    /// Checks that the object has the right content, by the checksum that the store keeps, or else by reading it.
    async fn same(&self, item: &CopyItem<'_>, kept: Option<Digest>) -> Result<()> {
        let found = match kept {
            Some(sha256) => Some(sha256),
            None => self.store.hash(item.key).await?.map(|hashed| hashed.sha256),
        };
        match found {
            Some(found) if found == item.sha256 => Ok(()),
            Some(found) => {
                let differs = format!("has the SHA-256 {found}, and {} was committed", item.sha256);
                Err(wrong(&*self.store, item.key, &differs))
            }
            None => Err(wrong(&*self.store, item.key, "was there, and is gone")),
        }
    }

    /// Gives a stored object the lock and the hold that it lacks.
    async fn give(&self, key: &str, stat: &Stat, keep: Protection) -> Result<()> {
        self.note(keep.lock);
        let lacks = |lock: &Lock| stat.lock.is_none_or(|now| now.stronger(*lock) != now);
        let (lock, hold) = (keep.lock.filter(lacks), keep.hold && !stat.legal_hold);
        if !self.dry_run {
            if let Some(lock) = lock {
                self.store.raise_lock(key, lock).await?;
            }
            if hold && !self.store.set_legal_hold(key, true).await? {
                return Err(unlockable(
                    &*self.store,
                    format!("{key} is under a legal hold"),
                ));
            }
            if lock.is_some() || hold {
                self.read_back(key, keep).await?;
            }
        }
        self.count(|copied| {
            copied.locked += u64::from(lock.is_some());
            copied.held += u64::from(hold);
        });
        Ok(())
    }

    /// Checks that the store keeps the protection that it accepted: some stores accept locks and ignore them.
    async fn read_back(&self, key: &str, keep: Protection) -> Result<()> {
        let stat = self.stat(key).await?;
        let locked = keep
            .lock
            .is_none_or(|lock| stat.lock.is_some_and(|now| now.stronger(lock) == now));
        if locked && (stat.legal_hold || !keep.hold) {
            return Ok(());
        }
        Err(unlockable(
            &*self.store,
            format!("{key} does not have the lock or the legal hold that it was given"),
        ))
    }

    async fn stat(&self, key: &str) -> Result<Stat> {
        let stat = self.store.stat(key).await?;
        stat.ok_or_else(|| wrong(&*self.store, key, "was there, and is gone"))
    }

    fn note(&self, lock: Option<Lock>) {
        let mut longest = self.longest.lock().unwrap_or_else(PoisonError::into_inner);
        *longest = longest.into_iter().chain(lock).reduce(Lock::stronger);
    }
}

/// Whether an earlier copy of this archive has begun here. Everything but that and an empty location is refused.
async fn standing(source: &Archive, to: &dyn Store, remote: bool) -> Result<bool> {
    if remote {
        for mark in [key::COPY, key::ARCHIVE] {
            refuse_versions(to, &to.versions(mark).await?)?;
        }
    }
    let ours = source.store.get(key::ARCHIVE).await?;
    let (mark, record) = (to.get(key::COPY).await?, to.get(key::ARCHIVE).await?);
    let top = to.children("").await?;
    let begun = top
        .folders
        .iter()
        .any(|folder| matches!(folder.as_str(), "manifests" | "segments" | "roster"));
    match (mark, record) {
        (Some(mark), Some(record)) => {
            check_mark(to, &mark, &source.record.archive_id)?;
            match ours == Some(record) {
                true => Ok(true),
                false => Err(wrong(
                    to,
                    key::ARCHIVE,
                    "is not that of the archive which copy.json names",
                )),
            }
        }
        (Some(mark), None) if !begun => {
            check_mark(to, &mark, &source.record.archive_id).map(|()| true)
        }
        (Some(_), None) => Err(wrong(
            to,
            key::ARCHIVE,
            "is missing, and the rest of the archive is there",
        )),
        (None, Some(record)) if ours == Some(record.clone()) => {
            let message = format!(
                "{} holds this archive already, and is no copy that was made here",
                to.root()
            );
            Err(Failure::usage(message).remedy(
                "It is the archive itself, or was brought there by something else: copy to another place, and check \
                 this one with `cxvault verify`.",
            ))
        }
        (None, Some(_)) => Err(
            Failure::usage(format!("{} holds another archive", to.root()))
                .remedy("Copy to an empty place, such as another prefix or folder."),
        ),
        (None, None) => refuse_occupied(to, &top.folders, &top.objects).map(|()| false),
    }
}

/// Refuses a location with other objects, which would stay foreign objects of the copy for ever. What `cxvault doctor` left
/// is permitted.
fn refuse_occupied(to: &dyn Store, folders: &[String], objects: &[String]) -> Result<()> {
    let known = key::DOCTOR.trim_end_matches('/');
    let Some(first) = folders
        .iter()
        .find(|folder| *folder != known)
        .or(objects.first())
    else {
        return Ok(());
    };
    let first = printable(first);
    Err(Failure::usage(format!(
        "{} is not empty, and holds no copy: there is {first}",
        to.root()
    ))
    .remedy("Copy to an empty place, such as another prefix or folder."))
}

fn check_mark(to: &dyn Store, bytes: &[u8], archive_id: &str) -> Result<()> {
    match CopyRecord::from_bytes(bytes) {
        None => Err(wrong(to, key::COPY, "is not the mark of a copy")),
        Some(record) if record.archive_id == archive_id => Ok(()),
        Some(record) => {
            let message = format!(
                "{} holds a copy of another archive, {}",
                to.root(),
                record.archive_id
            );
            Err(Failure::usage(message)
                .remedy("Copy to an empty place, such as another prefix or folder."))
        }
    }
}

/// Refuses a copy that has records which the source lacks: it was taken over, and written to since. The newest record of
/// each chain decides, since each names the one before it by its hash.
async fn refuse_diverged(source: &dyn Store, to: &dyn Store) -> Result<()> {
    let folders = to.children(key::MANIFESTS).await?.folders;
    let mut chains = Vec::new();
    for folder in folders {
        match key::parse_sub_account(&folder) {
            Some(sub_account) => chains.push(key::chain(sub_account)),
            None => {
                return Err(wrong(
                    to,
                    &format!("{}{folder}", key::MANIFESTS),
                    "is no sub-account's",
                ));
            }
        }
    }
    // The roster comes last, since its difference follows from the others: the first difference is reported.
    chains.push(key::ROSTERS.to_owned());
    let same = |chain: String| async move { newest_in_common(source, to, &chain).await };
    stream::iter(chains)
        .map(same)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn newest_in_common(source: &dyn Store, to: &dyn Store, chain: &str) -> Result<()> {
    let listed = to.list(chain, None).await?;
    let numbers = listed
        .iter()
        .filter_map(|entry| key::parse_manifest(&entry.key));
    let Some(sequence) = numbers.max() else {
        return Ok(());
    };
    let key = format!("{chain}{sequence:010}.json");
    let (ours, found) = (source.get(&key).await?, to.get(&key).await?);
    let Some(found) = found else {
        return Err(wrong(to, &key, "was listed, and is gone"));
    };
    let differs = match ours {
        Some(ours) if ours == found => return Ok(()),
        Some(_) => "is another one than there",
        None => "is not there",
    };
    let message = format!(
        "the copy has diverged: {}/{key} does not come from {}, where it {differs}",
        to.root(),
        source.root()
    );
    Err(Failure::integrity(message).remedy(
        "The copy was written to, after a takeover or without one: verify both. If the copy is the archive now, copy from it, \
         and to another location.",
    ))
}

/// Refuses objects that were deleted or overwritten: on a versioned bucket they have more than one version.
fn refuse_versions(to: &dyn Store, versions: &[ObjectVersion]) -> Result<()> {
    for of_key in versions.chunk_by(|left, right| left.key == right.key) {
        let Some(first) = of_key.first() else {
            continue;
        };
        if of_key.len() > 1 || first.is_delete_marker {
            return Err(wrong(
                to,
                &first.key,
                "was overwritten or deleted: it has other versions",
            ));
        }
    }
    Ok(())
}

/// Returns the failure for an object of the copy that is not the one of the source.
fn wrong(to: &dyn Store, key: &str, how: &str) -> Failure {
    let key = printable(key);
    Failure::integrity(format!("{}/{key} {how}", to.root())).remedy(
        "Nothing was overwritten. Find out who changed the copy (`cxvault verify --archive` with its location shows the \
         rest), or copy to another location.",
    )
}

fn unlockable(to: &dyn Store, what: String) -> Failure {
    Failure::usage(format!("{what}, and {} keeps no locks", to.root())).remedy(
        "Copy to a bucket made with Object Lock; or name --without-locks: then all who can write there can also delete.",
    )
}
