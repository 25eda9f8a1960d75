//! Reading a chain of records, verified: the one place for what a record must fulfil before anything in it is used.
//!
//! A chain is a sub-account's, or the roster's; its records are objects with consecutive numbers from 1, and each names
//! the hash of the one before it (FORMAT.md, "Manifests"). Two questions are answered here:
//!
//! - **May this object be the record with that number?** [`examine`] answers for one object: its format version, that its
//!   bytes are canonical, its key, chain, number and archive, and that its signature counts.
//! - **Does this record follow that one?** [`Neighbour`] answers for two consecutive records: the later one names the
//!   earlier one by its hash, its `index`, `peaks` and `since` follow from those of the earlier one, and once a chain is
//!   signed, it stays signed.
//!
//! Every record that the program reads passes the first check; records that are read in sequence pass the
//! second one as well, in [`ChainWalk`]. A rule of trust that is added to either applies to all commands, apart from
//! `verify`, which shares no code with this module on purpose.
//!
//! [`ChainReader`] is a chain as a writer sees it. It adds what only a writer can and must check before it commits: that
//! the chain descends from the head that this host remembers, that no object was overwritten or deleted in a versioned
//! bucket, and which objects beyond the head are foreign.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::archive::{Archive, violated};
use crate::chain::entries::{EntryReader, EntryWalk};
use crate::chain::newest;
use crate::chain::newest::{ChainEnd, ForeignBeyond, KnownEnd, RawObject, examine_raw, fetch_raw};
pub(crate) use crate::chain::record::AT_ONCE;
use crate::chain::record::{Examined, StoredRecord, examine};
use crate::chain::writer::Writer;
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{
    ChainPosition, Continuity, ForeignObject, Link, Manifest, PassedOver, RecordBody, SinceEntry,
};
use crate::journal::Head;
use crate::outcome::{Failure, Result};
use crate::store::{ObjectVersion, Store};

/// Records that a writer reads at a time while it looks for one.
const STEP: u64 = 16;

/// Fetches the newest record of a chain that counts; `None` where it has none.
///
/// # Errors
/// Those of [`newest::find`].
pub(crate) async fn newest<B: RecordBody>(
    archive: &Archive,
    chain: &str,
) -> Result<Option<StoredRecord<B>>> {
    let end = newest::find(archive, chain, None).await?;
    Ok(end.head.map(|head| *head))
}

/// Returns the highest number of the records that the store lists in a chain's folder; `None` where it lists none.
///
/// # Errors
/// Those of the store.
pub(crate) async fn newest_number(store: &dyn Store, folder: &str) -> Result<Option<u64>> {
    let listed = store.list(folder, None).await?;
    let numbers = listed
        .iter()
        .filter_map(|entry| key::parse_manifest(&entry.key));
    Ok(numbers.max())
}

/// Fetches the newest record of a sub-account's chain.
///
/// # Errors
/// Those of [`fetch`], and `Exit::Integrity` for a chain without records: its folder is there.
pub(crate) async fn head(archive: &Archive, sub_account: &str) -> Result<StoredRecord> {
    let newest = newest(archive, sub_account).await?;
    let folder = key::chain(sub_account);
    newest.ok_or_else(|| match archive.rules().accepts_unsigned() {
        true => violated(format!("{folder} holds no manifest")),
        false => archive.nothing_counts(&folder),
    })
}

/// What a record says about the record beside it in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Neighbour {
    sequence: u64,
    key: String,
    sha256: Digest,
    previous: Option<Link>,
    signed: bool,
    /// The number from which on the chain is signed, as the record says.
    signed_from: Option<u64>,
    /// The record's own position.
    position: ChainPosition,
    /// The position that the record after this one must have.
    next: ChainPosition,
}

impl Neighbour {
    fn of<B: RecordBody>(record: &StoredRecord<B>) -> Neighbour {
        let place = record.envelope.manifest.place();
        Neighbour {
            sequence: record.sequence,
            key: record.key.clone(),
            sha256: record.sha256,
            previous: place.previous.cloned(),
            signed: record.signer.is_some(),
            signed_from: place.continuity.signed_from,
            position: place.position.clone(),
            next: record.next_position(),
        }
    }

    /// Checks that this record follows `older`.
    fn check_follows(&self, older: &Neighbour) -> Result<()> {
        let (key, before) = (&self.key, &older.key);
        let link = Link {
            key: older.key.clone(),
            sha256: older.sha256,
        };
        if self.previous.as_ref() != Some(&link) {
            return Err(violated(format!(
                "{key} does not name the record before it, {before}"
            )));
        }
        if self.position != older.next {
            return Err(violated(format!(
                "{key} does not continue the list of records of the one before it, {before}: its index, peaks or since \
                 are others"
            )));
        }
        // Without a key, nothing can be appended to a signed chain.
        if older.signed && !self.signed {
            return Err(violated(format!(
                "{key} is not signed, but the record before it is"
            )));
        }
        if self.signed && self.signed_from != Some(older.signed_from.unwrap_or(self.sequence)) {
            return Err(violated(format!(
                "{key} does not say from which record on its chain is signed, as {before} does"
            )));
        }
        Ok(())
    }

    /// Returns the number of the record before it; `None` for the first record of a chain.
    fn previous_number(&self) -> Option<u64> {
        let previous = self.previous.as_ref();
        previous.and_then(|link| key::parse_manifest(&link.key))
    }
}

/// Checks that `record` follows `older`, or is the first record of its chain where there is none.
///
/// # Errors
/// `Exit::Integrity` where it does not.
pub(crate) fn check_follows<B: RecordBody>(
    older: Option<&StoredRecord<B>>,
    record: &StoredRecord<B>,
) -> Result<()> {
    let next = Neighbour::of(record);
    match older {
        Some(older) => next.check_follows(&Neighbour::of(older)),
        None if next.previous.is_some() => Err(violated(format!(
            "{} names a record before it, and there is none",
            record.key
        ))),
        None => Ok(()),
    }
}

/// The records of a range of numbers of a chain, forwards or backwards, fetched ahead and each checked against the one
/// before it in the walk. Numbers of foreign objects, which a record passes over, are left out.
pub(crate) struct ChainWalk<'a, B> {
    archive: &'a Archive,
    chain: &'a str,
    objects: BoxStream<'a, Result<(u64, RawObject)>>,
    neighbour: Option<Neighbour>,
    is_backwards: bool,
    /// Objects since the last record of a walk forwards that are none, and why. The next record must pass over them.
    skipped: BTreeMap<u64, String>,
    body: PhantomData<B>,
}

impl<'a, B: RecordBody> ChainWalk<'a, B> {
    /// Walks from `first` to `last`, both included; `last` is a record.
    pub(crate) fn forwards(archive: &'a Archive, chain: &'a str, first: u64, last: u64) -> Self {
        ChainWalk::over(archive, chain, first..=last, None)
    }

    /// Walks from the record before `newer` back to the one with number `last`, which is at least 1.
    pub(crate) fn backwards(
        archive: &'a Archive,
        chain: &'a str,
        newer: &StoredRecord<B>,
        last: u64,
    ) -> Self {
        let numbers = (last.max(1)..newer.sequence).rev();
        ChainWalk::over(archive, chain, numbers, Some(Neighbour::of(newer)))
    }

    fn over(
        archive: &'a Archive,
        chain: &'a str,
        numbers: impl Iterator<Item = u64> + Send + 'a,
        neighbour: Option<Neighbour>,
    ) -> Self {
        let objects = stream::iter(numbers)
            .map(move |sequence| async move {
                let object = fetch_raw(archive, chain, sequence, None).await?;
                Ok((sequence, object))
            })
            .buffered(AT_ONCE)
            .boxed();
        ChainWalk {
            archive,
            chain,
            objects,
            is_backwards: neighbour.is_some(),
            neighbour,
            skipped: BTreeMap::new(),
            body: PhantomData,
        }
    }

    /// Returns the next record; `None` at the end of the walk.
    ///
    /// # Errors
    /// Those of [`examine`], and `Exit::Integrity` where it and its neighbour do not follow each other, where a record is
    /// missing, and where a record was passed over.
    pub async fn next(&mut self) -> Result<Option<StoredRecord<B>>> {
        while let Some((sequence, object)) = self.objects.try_next().await? {
            let record = match self.is_backwards {
                true => self.step_back(sequence, &object)?,
                false => self.step_forward(sequence, &object)?,
            };
            if record.is_some() {
                return Ok(record);
            }
        }
        match self.skipped.pop_last() {
            Some((_, why)) => Err(violated(why)),
            None => Ok(None),
        }
    }

    /// Takes the object before the last one. The record that was read last says whether it is a record, or was passed over.
    fn step_back(&mut self, sequence: u64, object: &RawObject) -> Result<Option<StoredRecord<B>>> {
        let Some(newer) = &self.neighbour else {
            return Ok(None);
        };
        if newer.previous_number() == Some(sequence) {
            let record = match examine_raw(self.archive, self.chain, sequence, object)? {
                Examined::Record(record) => *record,
                Examined::Foreign(why) => return Err(violated(why)),
            };
            let older = Neighbour::of(&record);
            newer.check_follows(&older)?;
            self.neighbour = Some(older);
            return Ok(Some(record));
        }
        // An object that was passed over may be gone, and what it is does not matter, unless it is a record.
        let RawObject::Bytes(bytes) = object else {
            return Ok(None);
        };
        match examine::<B>(&self.archive.trust(), self.chain, sequence, bytes)? {
            Examined::Record(record) => Err(violated(format!(
                "{} passes over {}, which is a record",
                newer.key, record.key
            ))),
            Examined::Foreign(_) => Ok(None),
        }
    }

    /// Takes the object after the last one. It is a record if it counts; then it must pass over the objects that are none.
    fn step_forward(
        &mut self,
        sequence: u64,
        object: &RawObject,
    ) -> Result<Option<StoredRecord<B>>> {
        let is_missing = matches!(object, RawObject::Missing);
        let examined = match is_missing && !self.archive.rules().accepts_unsigned() {
            true => {
                let key = key::manifest(self.chain, sequence);
                Examined::Foreign(format!("{key} is missing"))
            }
            false => examine_raw(self.archive, self.chain, sequence, object)?,
        };
        let record = match examined {
            Examined::Record(record) => *record,
            Examined::Foreign(why) => {
                self.skipped.insert(sequence, why);
                return Ok(None);
            }
        };
        let next = Neighbour::of(&record);
        let skipped = std::mem::take(&mut self.skipped);
        if let Some(why) = next.previous_number().and_then(|n| skipped.get(&n)) {
            return Err(violated(why.clone()));
        }
        // Without an older one the walk began in the middle of the chain, or the record is the first one.
        if let Some(older) = &self.neighbour {
            next.check_follows(older)?;
        }
        self.neighbour = Some(next);
        Ok(Some(record))
    }
}

/// One chain as a writer has read it: its head, and as many records before it as were needed so far.
///
/// Clones share the records.
#[derive(Debug, Clone)]
pub struct ChainReader<B = Manifest> {
    /// A sub-account, or [`key::ROSTER`].
    pub name: String,
    /// Consecutive records up to the head, by number.
    records: BTreeMap<u64, Arc<StoredRecord<B>>>,
    /// Other records, each of which a later one lists by its hash.
    listed: BTreeMap<u64, Arc<StoredRecord<B>>>,
    /// The newest record; `None` where the chain has none.
    pub head: Option<Head>,
    /// Objects beyond the head that are no records, by their numbers.
    beyond: Vec<ForeignBeyond>,
}

impl<B: RecordBody> ChainReader<B> {
    /// Finds the head, and checks that it is valid, trusted, and descends from the head that this host remembers
    /// (protocol step 0).
    ///
    /// # Errors
    /// `Exit::Integrity` where the chain does not hold, `Exit::Usage` where it is signed and no key is configured.
    pub async fn open(writer: &Writer, name: &str) -> Result<Self> {
        let mut chain = ChainReader {
            name: name.to_owned(),
            records: BTreeMap::new(),
            listed: BTreeMap::new(),
            head: None,
            beyond: Vec::new(),
        };
        chain.refresh(writer).await?;
        Ok(chain)
    }

    /// Reads what was committed since the chain was read, with the checks of [`ChainReader::open`]. Where nothing was,
    /// that takes one listing from the known head on. After an error the chain is as it was before.
    ///
    /// # Errors
    /// Those of [`ChainReader::open`].
    pub async fn refresh(&mut self, writer: &Writer) -> Result<()> {
        let remembered = writer.state.remembered_head(&self.name)?;
        let known: Vec<Head> = self.head.iter().chain(&remembered).cloned().collect();
        let from = known.iter().max_by_key(|head| head.sequence);
        let known_end = from.map(|head| KnownEnd {
            head,
            is_read: self.records.contains_key(&head.sequence),
        });
        let end: ChainEnd<B> = newest::find(writer, &self.name, known_end).await?;
        let Some(head) = end.head else {
            self.beyond = end.beyond;
            self.check_free_numbers(writer).await?;
            return self.check_remembered(known.last());
        };
        let newest = head.sequence;
        let mut fresh = ChainReader {
            name: self.name.clone(),
            head: Some(head.head()),
            records: BTreeMap::from([(newest, Arc::new(*head))]),
            listed: self.listed.clone(),
            beyond: end.beyond,
        };
        fresh.check_free_numbers(writer).await?;
        fresh.check_one_version(writer, newest).await?;
        fresh.check_key_of_head(writer)?;
        if known.is_empty() {
            fresh.check_listed(writer, &end.numbers).await?;
        }
        for head in &known {
            fresh.walk_to(writer, head.sequence).await?;
            fresh.check_remembered(Some(head))?;
            if !fresh.records.contains_key(&head.sequence) {
                let key = key::manifest(&self.name, head.sequence);
                return Err(violated(format!(
                    "{key} was passed over by a later record, and this host remembers it as the chain's head"
                )));
            }
        }
        fresh.records.append(&mut self.records.clone());
        *self = fresh;
        Ok(())
    }

    /// Checks that each number up to the head is listed, but for those of objects that a record has passed over.
    async fn check_listed(&self, archive: &Archive, listed: &BTreeSet<u64>) -> Result<()> {
        let newest = self.head.as_ref().map_or(0, |head| head.sequence);
        let unlisted: BTreeSet<u64> = (1..newest).filter(|n| !listed.contains(n)).collect();
        if unlisted.is_empty() {
            return Ok(());
        }
        let is_missing = |entry: &SinceEntry| unlisted.contains(&entry.sequence);
        let entries = self.entries_back_to(archive, is_missing).await?;
        match entries.into_iter().find(is_missing) {
            Some(entry) => {
                let missing = key::manifest(&self.name, entry.sequence);
                let newest = key::manifest(&self.name, newest);
                Err(violated(format!(
                    "{missing} is missing, but {newest} is there"
                )))
            }
            None => Ok(()),
        }
    }

    /// Checks that the next number is free, and was never taken by an object that was deleted. A delete marker hides the head
    /// from the listing, and lets its number be taken again.
    async fn check_free_numbers(&self, writer: &Writer) -> Result<()> {
        let after_head = self.head.as_ref().map_or(0, |head| head.sequence) + 1;
        self.check_one_version(writer, after_head).await?;
        match self.next_sequence() {
            next if next == after_head => Ok(()),
            next => self.check_one_version(writer, next).await,
        }
    }

    /// Checks that a head which was seen before is still the record with its number, where that was read.
    fn check_remembered(&self, head: Option<&Head>) -> Result<()> {
        let Some(head) = head else { return Ok(()) };
        match self.records.get(&head.sequence) {
            Some(record) if record.sha256 != head.sha256 => Err(violated(format!(
                "{} is not the manifest that this host remembers",
                record.key
            ))),
            _ => Ok(()),
        }
    }

    /// Returns the head of the chain; `None` where it has no record.
    pub fn newest(&self) -> Option<&StoredRecord<B>> {
        self.records.values().next_back().map(|record| &**record)
    }

    /// Returns the record with this number, where it was read.
    pub fn get(&self, sequence: u64) -> Option<&StoredRecord<B>> {
        self.records.get(&sequence).map(|record| &**record)
    }

    /// Returns what was read so far, oldest first.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &StoredRecord<B>> {
        self.records.values().map(|record| &**record)
    }

    /// Returns the objects between the head and the next record, which that record passes over.
    pub(super) fn passed_over(&self) -> impl Iterator<Item = &ForeignObject> {
        let after_head = self.head.as_ref().map_or(0, |head| head.sequence) + 1;
        let numbered = (after_head..).zip(&self.beyond);
        numbered
            .take_while(|(number, foreign)| *number == foreign.sequence)
            .map(|(_, foreign)| &foreign.object)
    }

    /// Returns the number of the record that comes next: the smallest one beyond the head at which there is no object.
    pub fn next_sequence(&self) -> u64 {
        let head = self.head.as_ref().map_or(0, |head| head.sequence);
        head + 1 + self.passed_over().count() as u64
    }

    /// Returns whether objects lie beyond the head that are no records.
    pub(crate) fn has_foreign_objects(&self) -> bool {
        !self.beyond.is_empty()
    }

    /// Returns what the next record of `writer` says of its chain's signatures and of the objects that it passes over.
    ///
    /// # Errors
    /// `Exit::Unexpected` where a value has no form in JSON, which does not happen.
    pub(crate) fn next_continuity(&self, writer: &Writer) -> Result<Continuity> {
        let next = self.next_sequence();
        let before = self.newest().and_then(|newest| {
            let continuity = newest.envelope.manifest.place().continuity;
            continuity.signed_from
        });
        let is_signed = writer.signers.key.is_some();
        let passed_over = PassedOver::of(self.passed_over().cloned().collect());
        Ok(Continuity {
            signed_from: is_signed.then(|| before.unwrap_or(next)),
            passed_over: passed_over.map_err(|error| {
                Failure::unexpected("cannot list foreign objects").because(error)
            })?,
        })
    }

    /// Returns what the next record names as the one before it.
    pub fn link(&self) -> Option<Link> {
        self.newest().map(StoredRecord::link)
    }

    /// Checks that a record follows the head of this chain.
    ///
    /// # Errors
    /// `Exit::Integrity` where it does not.
    pub(crate) fn check_continues(&self, record: &StoredRecord<B>) -> Result<()> {
        match self.newest() {
            Some(newest) => Neighbour::of(record).check_follows(&Neighbour::of(newest)),
            None => Ok(()),
        }
    }

    /// Returns the position of the record that comes next.
    pub(crate) fn next_position(&self) -> ChainPosition {
        self.newest()
            .map(StoredRecord::next_position)
            .unwrap_or_default()
    }

    /// Reads back until `find` accepts a record, or to the first record. Returns what `find` returns for the newest record
    /// that it accepts.
    ///
    /// # Errors
    /// Those of [`ChainWalk::next`].
    pub(super) async fn find_newest<T>(
        &mut self,
        archive: &Archive,
        find: impl Fn(&StoredRecord<B>) -> Option<T>,
    ) -> Result<Option<T>> {
        loop {
            if let Some(found) = self.records().rev().find_map(&find) {
                return Ok(Some(found));
            }
            let oldest = self.records().next().map(Neighbour::of);
            match oldest.and_then(|oldest| oldest.previous_number()) {
                Some(before) => {
                    self.walk_to(archive, (before + 1).saturating_sub(STEP))
                        .await?
                }
                None => return Ok(None),
            }
        }
    }

    /// Returns the entries of the chain's records from the head back to the first one that `stop` accepts, newest first; all
    /// of them where it accepts none.
    ///
    /// # Errors
    /// Those of [`EntryWalk::next`].
    pub(super) async fn entries_back_to(
        &self,
        archive: &Archive,
        mut stop: impl FnMut(&SinceEntry) -> bool,
    ) -> Result<Vec<SinceEntry>> {
        let Some(newest) = self.newest() else {
            return Ok(Vec::new());
        };
        let mut walk = EntryWalk::back_from(newest);
        let mut entries = Vec::new();
        while let Some(entry) = walk.next(archive).await? {
            let done = stop(&entry);
            entries.push(entry);
            if done {
                break;
            }
        }
        Ok(entries)
    }

    /// Returns the records of entries, in their order; those that were not read yet are fetched, many concurrently.
    ///
    /// # Errors
    /// Those of [`EntryReader::fetch`].
    pub(super) async fn records_of(
        &mut self,
        archive: &Archive,
        entries: &[SinceEntry],
    ) -> Result<Vec<Arc<StoredRecord<B>>>> {
        let unread: Vec<SinceEntry> = entries
            .iter()
            .filter(|entry| self.known(entry).is_none())
            .cloned()
            .collect();
        let Some(reader) = self.newest().map(EntryReader::of) else {
            return Ok(Vec::new());
        };
        let fetched: Vec<StoredRecord<B>> = stream::iter(unread)
            .map(|entry| {
                let reader = reader.clone();
                async move { reader.fetch(archive, &entry).await }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        for record in fetched {
            self.listed.insert(record.sequence, Arc::new(record));
        }
        Ok(entries
            .iter()
            .filter_map(|entry| self.known(entry))
            .collect())
    }

    /// Returns the record of an entry, where it was read.
    fn known(&self, entry: &SinceEntry) -> Option<Arc<StoredRecord<B>>> {
        let both = [&self.records, &self.listed];
        let mut read = both.iter().filter_map(|map| map.get(&entry.sequence));
        read.find(|record| record.sha256 == entry.sha256).cloned()
    }

    /// Reads back to number `sequence`.
    ///
    /// # Errors
    /// Those of [`ChainWalk::next`].
    pub(crate) async fn walk_to(&mut self, archive: &Archive, sequence: u64) -> Result<()> {
        let Some(oldest) = self.records.values().next().cloned() else {
            return Ok(());
        };
        let name = self.name.clone();
        let mut walk = ChainWalk::backwards(archive, &name, &oldest, sequence);
        while let Some(record) = walk.next().await? {
            self.records.insert(record.sequence, Arc::new(record));
        }
        Ok(())
    }

    /// Checks that the record with this number was neither deleted nor overwritten.
    async fn check_one_version(&self, archive: &Archive, sequence: u64) -> Result<()> {
        let key = key::manifest(&self.name, sequence);
        one_version_each(&archive.store.versions(&key).await?)
    }

    /// Refuses a writer without a key behind a signed record, in an archive that is not signed.
    fn check_key_of_head(&self, writer: &Writer) -> Result<()> {
        match self.newest().filter(|head| head.signer.is_some()) {
            Some(head) if writer.signers.key.is_none() => Err(Failure::usage(format!(
                "{} is signed, so the next manifest must be",
                head.key
            ))
            .remedy("Configure CXVAULT_SIGNING_KEY_FILE with a key of this archive.")),
            _ => Ok(()),
        }
    }
}

/// Checks that no object was deleted or overwritten: on a versioned bucket it would have more than one version.
///
/// # Errors
/// `Exit::Integrity` for the first object that has other versions.
pub(crate) fn one_version_each(versions: &[ObjectVersion]) -> Result<()> {
    let mut counts = BTreeMap::<&str, u32>::new();
    for version in versions {
        let count = counts.entry(&version.key).or_default();
        *count += 1;
        if *count > 1 || version.is_delete_marker {
            return Err(violated(format!(
                "{} was overwritten or deleted: it has other versions",
                version.key
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
