//! The place of the copy: whether it may be one, what lies there, and one object after the other put or confirmed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::archive::Archive;
use crate::chain::protection::Protection;
use crate::clock::Clock;
use crate::copy::job::{AT_ONCE, Copied, CopyLocks, Job};
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::copy::CopyRecord;
use crate::format::record::lock::Lock;
use crate::format::text::printable;
use crate::format::time::day::rfc3339;
use crate::outcome::{Exit, Failure, Result};
use crate::store::{Body, NewObject, ObjectVersion, PutOutcome, Stat, Store};

/// A lock that ends this soon is not applied any more: it would have run out before the store looks at it.
const SOON_MS: i64 = 60_000;

/// What lies in the folders of one chain there: keys with their lengths.
pub type Listed = BTreeMap<String, u64>;

/// An object as it is to lie there.
pub struct CopyItem<'a> {
    pub key: &'a str,
    pub bytes: u64,
    pub sha256: Digest,
    /// What its chain asks for.
    pub keep: Protection,
}

/// The place of a copy, looked at and found fit.
pub struct Destination {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// It keeps checksums, versions and locks of its own.
    remote: bool,
    /// CopyLocks and holds are applied.
    locks: bool,
    /// That somebody wants none, and is not to be asked again.
    left_out: bool,
    /// The policy's lock of what is put now.
    fresh: Option<Lock>,
    /// Somebody has begun this copy already.
    marked: bool,
    check: bool,
    pub dry_run: bool,
    copied: Mutex<Copied>,
    longest: Mutex<Option<Lock>>,
}

impl Destination {
    /// Looks at the place, and puts nothing.
    ///
    /// # Errors
    /// [`Exit::Usage`] where it holds something else than a copy of this archive, or keeps no locks although a policy
    /// asks for some; [`Exit::Integrity`] where it is a copy that somebody else has written to, or deleted from.
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
        // Where nobody may ask, the first object that is put with a lock tells.
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
                    Failure::new(
                        Exit::Usage,
                        format!("--object-lock {policy} ends beyond the calendar"),
                    )
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

    pub fn into_copied(self) -> Copied {
        self.copied
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whatever this copy has looked at or put is locked no longer than this.
    fn longest(&self) -> Option<Lock> {
        *self.longest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the chain asks of an object and can still be had.
    fn in_force(&self, keep: Protection) -> Protection {
        let ends_later = |lock: &Lock| lock.until_ms > self.clock.now_ms() + SOON_MS;
        Protection {
            lock: keep.lock.filter(ends_later),
            hold: keep.hold,
        }
    }

    /// The same, and the strongest lock of all that was copied before.
    pub fn longest_of_all(&self, keep: Protection) -> Protection {
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
    /// [`Exit::Usage`] where a chain asks for locks or holds, this place keeps none, and nobody said that they are to
    /// be left out.
    pub fn refuse_unlockable(
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

    /// Puts what makes the place a copy of this archive.
    ///
    /// The mark comes first: from the first instant at which there is an archive to write to, writers find it. A crash
    /// before it leaves nothing; after it the same copy goes on.
    pub async fn found(&self, source: &Archive, mark: &CopyRecord) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        if !self.marked {
            let unwritable =
                |error| Failure::new(Exit::Unexpected, "cannot write copy.json").because(error);
            self.put_mark(key::COPY, mark.to_bytes().map_err(unwritable)?.into())
                .await?;
            // Of two copiers that begin at once the first one's counts.
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
                "{} overwrites objects although told not to",
                self.store.root()
            );
            let remedy =
                "Use a store that honours If-None-Match on PUT (AWS S3, MinIO), or a local folder.";
            return Err(Failure::new(Exit::Usage, message).remedy(remedy));
        }
        Ok(())
    }

    async fn put_mark(&self, key: &str, bytes: Bytes) -> Result<PutOutcome> {
        let lock = self.fresh.filter(|_| self.locks);
        let (key, sha256) = (key.to_owned(), Digest::of(&bytes));
        let object = NewObject {
            key,
            sha256,
            body: Body::Bytes(bytes),
            lock,
            legal_hold: false,
        };
        Ok(self.store.put_new(&object).await?)
    }

    async fn read_mark(&self, source: &Archive) -> Result<()> {
        let bytes = self.store.get(key::COPY).await?.unwrap_or_default();
        check_mark(&*self.store, &bytes, &source.record.archive_id)
    }

    /// `archive.json` and the mark are kept as long as anything else there: without the one there is no archive, without
    /// the other it would be written to.
    pub async fn lock_marks(&self) -> Result<()> {
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

    /// What lies there in the folders of one chain.
    ///
    /// # Errors
    /// [`Exit::Integrity`] for an object that is none of an archive's, or that was deleted or overwritten.
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
                "is no object that an archive has: somebody put it there",
            )),
        }
    }

    /// Puts an object, locked and held as its chain asks; `false` where it lay there already. With a dry run it is only
    /// counted.
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
                // PutOutcome by an attempt whose answer was lost, or by another copier since we have looked.
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

    /// Confirms that what lies there is the object, and gives it what the chain has asked for since. `listed` is its
    /// length, where a listing told it.
    ///
    /// # Errors
    /// [`Exit::Integrity`] for other bytes.
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
                // The policy is about what is put now: prolonged every night, nothing would ever end.
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
            // A folder keeps no checksum. Its files are there whole or not at all; their bytes are `--check`'s and
            // `verify`'s to read.
            self.same(item, None).await?;
        }
        self.count(|copied| {
            copied.there += 1;
            copied.unlocked += u64::from(!self.locks && asked != Protection::default());
        });
        Ok(())
    }

    /// Whether the object is this one: by the checksum that the store keeps, or else by reading it.
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

    /// Some stores take what they do not keep.
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
            format!("{key} has not the lock or the legal hold that it was given"),
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

/// Whether a copy of this archive was begun there already; everything else than that and an empty place is refused.
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
            Err(Failure::new(Exit::Usage, message).remedy(
                "It is the archive itself, or was brought there by something else: copy to another place, and check \
                 this one with `cxvault verify`.",
            ))
        }
        (None, Some(_)) => Err(Failure::new(
            Exit::Usage,
            format!("{} holds another archive", to.root()),
        )
        .remedy("Copy to an empty place, such as another prefix or folder.")),
        (None, None) => refuse_occupied(to, &top.folders, &top.objects).map(|()| false),
    }
}

/// Beside a new copy there may lie what `doctor` has left; anything else would be foreign to it for ever.
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
    Err(Failure::new(
        Exit::Usage,
        format!(
            "{} is not empty, and holds no copy: there is {first}",
            to.root()
        ),
    )
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
            Err(Failure::new(Exit::Usage, message)
                .remedy("Copy to an empty place, such as another prefix or folder."))
        }
    }
}

/// A copy that was taken over, and written to since, has what the source has not. What its newest record is decides: each
/// names the one before it by its hash.
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
    // Last, since it follows from the others: of several that differ the first in order is told.
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
    Err(Failure::new(Exit::Integrity, message).remedy(
        "Somebody has written to the copy, after a takeover or without: verify both. If the copy is the archive now, copy \
         from it, and to another place.",
    ))
}

/// An object that was deleted or written over on a versioned bucket shows more than one version.
fn refuse_versions(to: &dyn Store, versions: &[ObjectVersion]) -> Result<()> {
    for of_key in versions.chunk_by(|one, other| one.key == other.key) {
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

/// What lies at the copy's place is not what belongs there.
fn wrong(to: &dyn Store, key: &str, how: &str) -> Failure {
    let key = printable(key);
    Failure::new(Exit::Integrity, format!("{}/{key} {how}", to.root())).remedy(
        "Nothing was put over it. Find out who changed the copy (`cxvault verify --archive` with its place tells the rest), \
         or copy to another place.",
    )
}

fn unlockable(to: &dyn Store, what: String) -> Failure {
    Failure::new(Exit::Usage, format!("{what}, and {} keeps no locks", to.root())).remedy(
        "Copy to a bucket made with Object Lock; or say --without-locks, and whoever can write there can also delete.",
    )
}
