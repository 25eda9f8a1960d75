//! Reads the roster's chain, and any other.
//!
//! # How a chain is read
//!
//! The records are listed, and fetched in the order of their numbers, many at the same time. Hashing and parsing run on threads
//! that may block; the check itself takes one record after another, since each depends on those before it.
//!
//! A number that the listing lacks is one finding, also where many are missing in a row. An object that is too large to be a
//! record, or that is gone when it is fetched, is a finding as well, and the chain goes on with the next number.
//!
//! # What is checked of the roster
//!
//! Its links and signatures like those of any chain, its end against second sources, the locks of its records where the store
//! keeps locks, and that sub-accounts which RingCX no longer lists are reported. What it says of the other chains is collected
//! here, and compared when these are read.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::audit::anchors::AT_ONCE;
use crate::audit::blocking;
use crate::audit::verify::finding::FindingCode;
use crate::audit::verify::heads::{Hashes, RecordHash};
use crate::audit::verify::links::{ReadRecord, RecordCheck};
use crate::audit::verify::objects::{check_obligations, check_versions};
use crate::audit::verify::roster::{RosterCheck, Rostered};
use crate::audit::verify::verifier::{Verifier, cores};
use crate::format::place::key;
use crate::format::record::error::LARGEST_RECORD;
use crate::format::record::{HeadRef, Inventory, Lock, RecordBody};
use crate::outcome::{Failure, Result};
use crate::store::{ListedObject, StoreErrorKind};

/// What is at a number of a chain.
enum ChainObject<B> {
    Record(Box<ReadRecord<B>>),
    /// The object is larger than any record.
    TooLarge(u64),
    /// The object was listed and is gone.
    Gone,
}

impl Verifier<'_> {
    /// Reads the roster's chain, and keeps what it says of the other chains.
    pub async fn roster(&mut self) -> Result<()> {
        let root = self.store.root();
        let mut check = RosterCheck::new(self.identity(), &root, self.keys.clone());
        let known = self.known_heads(key::ROSTER).await?;
        let hashes = self.read_chain(&mut check, &known.numbers()).await?;
        let has_begun = check.links.records > 0;
        self.finish_chain(&mut check.links, &known, has_begun);
        self.report_all(known.check(&check.links, &hashes));
        if check.links.records > 0 {
            if !known.is_known() {
                self.report(known.unknown_end(&check.links));
            }
            self.check_signed(&check.links);
            self.check_unread(&check.links);
        } else if !known.is_known() && !self.archive_id.is_empty() {
            self.add(FindingCode::NoRoster, key::ROSTERS, "a roster", "none");
        }
        self.check_locks(check.locks).await?;
        if let Some(moved) = check.moved {
            self.add(FindingCode::TakenOver, moved.record, moved.from, moved.to);
        }
        if let Some(inventory) = &check.newest {
            self.check_listed(inventory);
        }
        self.count(|totals| totals.rosters += check.links.records);
        let head = check.links.head.map(|(sequence, sha256)| {
            let chain = key::ROSTER.to_owned();
            HeadRef {
                chain,
                sequence,
                sha256,
            }
            .to_string()
        });
        self.rostered = Rostered {
            head,
            ..check.rostered
        };
        Ok(())
    }

    /// Reads a chain in order, fetching many records at the same time, and passes each to `check`. Returns the hashes at
    /// the numbers in `wanted`.
    pub(crate) async fn read_chain<C: RecordCheck>(
        &self,
        check: &mut C,
        wanted: &BTreeSet<u64>,
    ) -> Result<Hashes> {
        let numbers = self.numbers(&check.links().name).await?;
        let at_once = if self.remote { AT_ONCE } else { cores() };
        let mut objects = stream::iter(numbers)
            .map(|(sequence, listed)| async move {
                let object = self.chain_object::<C::Record>(&listed).await;
                object.map(|object| (sequence, object))
            })
            .buffered(at_once);
        let mut hashes = Hashes::new();
        let mut expected = 1;
        while let Some((sequence, object)) = objects.try_next().await? {
            self.check_stop()?;
            // Many records may be missing in a row; one finding at the first of them is enough.
            if sequence > expected {
                self.report_all(check.links().absent(expected));
            }
            match object {
                ChainObject::TooLarge(bytes) => {
                    self.report_all(check.links().too_large(sequence, bytes));
                }
                ChainObject::Record(object) => {
                    let sha256 = object.sha256;
                    self.report_all(check.next(sequence, *object));
                    if wanted.contains(&sequence) {
                        let tree = check.links().tree_head();
                        hashes.insert(sequence, RecordHash { sha256, tree });
                    }
                }
                ChainObject::Gone => self.report_all(check.links().absent(sequence)),
            }
            expected = sequence + 1;
        }
        Ok(hashes)
    }

    /// Fetches and reads one record.
    async fn chain_object<B: RecordBody + Send + 'static>(
        &self,
        listed: &ListedObject,
    ) -> Result<ChainObject<B>> {
        if listed.bytes > LARGEST_RECORD {
            return Ok(ChainObject::TooLarge(listed.bytes));
        }
        match self.store.get(&listed.key).await {
            Ok(Some(bytes)) => {
                let record = blocking(move || Ok(ReadRecord::read(&bytes))).await?;
                Ok(ChainObject::Record(Box::new(record)))
            }
            Ok(None) => Ok(ChainObject::Gone),
            // The object is foreign, which is no reason to stop here.
            Err(error) if error.kind == StoreErrorKind::Contradiction => {
                Ok(ChainObject::TooLarge(listed.bytes))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lists the records of a chain by number, and reports foreign objects among them.
    async fn numbers(&self, name: &str) -> Result<BTreeMap<u64, ListedObject>> {
        let root = key::chain(name);
        let listed = self.store.list(&root, None).await?;
        if self.remote {
            let versions = self.store.versions(&root).await?;
            self.report_all(check_versions(&versions, |_| false));
        }
        let mut numbers = BTreeMap::new();
        for entry in listed {
            let number = key::parse_manifest(&entry.key);
            match number.filter(|n| *n > 0 && key::manifest(name, *n) == entry.key) {
                Some(number) => drop(numbers.insert(number, entry)),
                None => self.report_foreign(&entry.key),
            }
        }
        Ok(numbers)
    }

    /// Checks the locks of the roster's records, where the store keeps locks.
    async fn check_locks(&self, locks: Vec<(String, Lock)>) -> Result<()> {
        if !self.remote {
            return Ok(());
        }
        let mut findings = stream::iter(locks)
            .map(|(object, lock)| async move {
                let stat = self.store.stat(&object).await?;
                let findings =
                    stat.map(|stat| check_obligations(&object, Some(lock), false, &stat));
                Ok::<_, Failure>(findings)
            })
            .buffer_unordered(self.days_at_once());
        while let Some(found) = findings.try_next().await? {
            self.check_stop()?;
            self.report_all(found.into_iter().flatten());
        }
        Ok(())
    }

    /// Reports the sub-accounts that RingCX no longer lists, by the newest inventory.
    fn check_listed(&self, inventory: &Inventory) {
        let included = &self.options.sub_accounts;
        for entry in &inventory.sub_accounts {
            let is_included = included.is_empty() || included.contains(&entry.id);
            let Some(unlisted) = entry.unlisted.as_ref().filter(|_| is_included) else {
                continue;
            };
            let code = match unlisted.acknowledged {
                true => FindingCode::SubAccountAcknowledged,
                false => FindingCode::SubAccountUnlisted,
            };
            let found = format!("none since {}", key::manifest(key::ROSTER, unlisted.since));
            self.add(
                code,
                format!("sub_account={}", entry.id),
                "a sub-account that RingCX lists",
                found,
            );
        }
    }
}
