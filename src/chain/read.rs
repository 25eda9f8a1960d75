//! Reading a chain of records, verified: the one place for what a record must fulfil before anything in it is used.
//!
//! A chain is a sub-account's, or the roster's; its records are objects with consecutive numbers from 1, and each names
//! the hash of the one before it (FORMAT.md, "Manifests"). Two questions are answered here:
//!
//! - **May this object be the record with that number?** [`verify`] answers for one object: its format version, that its
//!   bytes are canonical, its key, chain, number and archive, and its signature.
//! - **Does this record follow that one?** [`Neighbour`] answers for two consecutive records: the later one names the
//!   earlier one by its hash, its `index`, `peaks` and `since` follow from those of the earlier one, and once a chain is
//!   signed, it stays signed.
//!
//! Every record that the program reads passes the first check, in [`fetch`]; records that are read in sequence pass the
//! second one as well, in [`ChainWalk`]. A rule of trust that is added to either applies to all commands, apart from
//! `verify`, which shares no code with this module on purpose.
//!
//! [`ChainReader`] is a chain as a writer sees it. It adds what only a writer can and must check before it commits: that
//! the chain descends from the head that this host remembers, that no object was overwritten or deleted in a versioned
//! bucket, and that the head carries a signature of an allowed key.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use crate::chain::archive::{Archive, Trust, violated};
use crate::chain::entries::{EntryReader, EntryWalk};
use crate::chain::writer::Writer;
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{
    ChainPosition, DayRecord, HeadRef, Link, Manifest, RecordBody, Signed, SinceEntry,
};
use crate::format::signature;
use crate::format::signature::PublicKey;
use crate::journal::Head;
use crate::outcome::{Failure, Result};
use crate::store::{ObjectVersion, Store};

/// Records of one chain that are fetched concurrently.
pub const AT_ONCE: usize = 32;

/// Records that a writer reads at a time while it looks for one.
const STEP: u64 = 16;

/// A record that was read and has passed [`verify`].
#[derive(Debug, Clone)]
pub struct StoredRecord<B = Manifest> {
    /// Number of the record in its chain, from 1.
    pub sequence: u64,
    /// Key of the object.
    pub key: String,
    /// Length of the object in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole object.
    pub sha256: Digest,
    /// The key whose signature the record carries; `None` for an unsigned record.
    pub signer: Option<PublicKey>,
    /// The record and its signature.
    pub envelope: Signed<B>,
}

impl StoredRecord {
    /// Returns what the record commits of a day; `None` for a record without rows.
    pub(crate) fn day(&self) -> Option<&DayRecord> {
        self.envelope.manifest.day()
    }

    /// Returns the same, if it is about `date`.
    pub(super) fn day_on(&self, date: Date) -> Option<&DayRecord> {
        self.day().filter(|day| day.date == date)
    }
}

impl<B> StoredRecord<B> {
    /// Returns the link by which other records name this one.
    pub fn link(&self) -> Link {
        Link {
            key: self.key.clone(),
            sha256: self.sha256,
        }
    }
}

impl<B: RecordBody> StoredRecord<B> {
    /// Returns the record as the head of its chain.
    pub fn head(&self) -> Head {
        self.envelope.manifest.head(self.sha256)
    }

    /// Returns the position of the record after this one.
    pub(crate) fn next_position(&self) -> ChainPosition {
        self.envelope.manifest.next_position(self.sha256)
    }

    /// Returns the record as a head of its chain: `CHAIN:SEQUENCE:SHA256`.
    pub fn head_ref(&self) -> HeadRef {
        self.head().of_chain(self.envelope.manifest.place().chain)
    }
}

/// Verifies that `bytes` are the record with number `sequence` of `chain`, by themselves.
///
/// # Errors
/// `Exit::Integrity` for another format version, bytes that are not canonical, a record of another place or archive, a
/// predecessor with another number, a signature that is not valid, and one by a key that is not allowed.
pub(crate) fn verify<B: RecordBody>(
    trust: Trust<'_>,
    chain: &str,
    sequence: u64,
    bytes: &[u8],
) -> Result<StoredRecord<B>> {
    let key = key::manifest(chain, sequence);
    let envelope = Signed::<B>::from_bytes(bytes)
        .map_err(|error| violated(format!("{key} is damaged: {error}")))?;
    let place = envelope.manifest.place();
    let own = place.key == key && place.sequence == sequence && place.chain == chain;
    if !own || place.archive_id != trust.archive_id {
        return Err(violated(format!(
            "{key} is the manifest of another place or archive"
        )));
    }
    if place.archive_sha256 != trust.archive_sha256 {
        return Err(violated(format!(
            "{key} names another archive.json: that object was exchanged, or the record is of another archive with the \
             same id"
        )));
    }
    envelope
        .manifest
        .check_agrees()
        .map_err(|error| violated(format!("{key} contradicts itself: {error}")))?;
    let before = sequence.checked_sub(1).filter(|before| *before > 0);
    let named = place.previous.map(|link| link.key.as_str());
    if named != before.map(|before| key::manifest(chain, before)).as_deref() {
        return Err(violated(format!(
            "{key} does not name the record before it"
        )));
    }
    let signer = envelope
        .signer()
        .map_err(|error| violated(format!("{key} cannot be trusted: {error}")))?;
    let stranger = signer.filter(|signer| !trust.allowed.accepts(signer, signature::MANIFEST));
    if let Some(stranger) = stranger {
        return Err(violated(format!(
            "{key} cannot be trusted: {} is not among the allowed signers",
            stranger.fingerprint()
        )));
    }
    Ok(StoredRecord {
        sequence,
        key,
        bytes: bytes.len() as u64,
        sha256: Digest::of(bytes),
        signer,
        envelope,
    })
}

/// Fetches and verifies one record.
///
/// # Errors
/// Those of [`verify`], and `Exit::Integrity` where there is no such object.
pub(crate) async fn fetch<B: RecordBody>(
    archive: &Archive,
    chain: &str,
    sequence: u64,
) -> Result<StoredRecord<B>> {
    let key = key::manifest(chain, sequence);
    let bytes = archive.store.get(&key).await?;
    let bytes = bytes.ok_or_else(|| violated(format!("{key} is missing")))?;
    verify(archive.trust(), chain, sequence, &bytes)
}

/// Fetches the record that `link` names, which another record of the chain holds.
///
/// # Errors
/// Those of [`fetch`], and `Exit::Integrity` where the record is not the one that is named.
pub(crate) async fn fetch_linked<B: RecordBody>(
    archive: &Archive,
    chain: &str,
    link: &Link,
) -> Result<StoredRecord<B>> {
    let named = key::parse_manifest(&link.key)
        .filter(|sequence| key::manifest(chain, *sequence) == link.key)
        .ok_or_else(|| violated(format!("{} is no record of its chain", link.key)))?;
    let record = fetch(archive, chain, named).await?;
    if record.sha256 != link.sha256 {
        let key = &link.key;
        return Err(violated(format!("{key} is not the record that is named")));
    }
    Ok(record)
}

/// Fetches the newest record of a chain; `None` where it has none.
///
/// # Errors
/// Those of [`fetch`].
pub(crate) async fn newest<B: RecordBody>(
    archive: &Archive,
    chain: &str,
) -> Result<Option<StoredRecord<B>>> {
    match newest_number(&*archive.store, &key::chain(chain)).await? {
        Some(newest) => fetch(archive, chain, newest).await.map(Some),
        None => Ok(None),
    }
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
    newest.ok_or_else(|| violated(format!("{} holds no manifest", key::chain(sub_account))))
}

/// What a record says about the record beside it in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Neighbour {
    sequence: u64,
    key: String,
    sha256: Digest,
    previous: Option<Digest>,
    signed: bool,
    /// The record's own position.
    position: ChainPosition,
    /// The position that the record after this one must have.
    next: ChainPosition,
}

impl Neighbour {
    fn of<B: RecordBody>(record: &StoredRecord<B>) -> Neighbour {
        let previous = record.envelope.manifest.place().previous;
        Neighbour {
            sequence: record.sequence,
            key: record.key.clone(),
            sha256: record.sha256,
            previous: previous.map(|link| link.sha256),
            signed: record.signer.is_some(),
            position: record.envelope.manifest.place().position.clone(),
            next: record.next_position(),
        }
    }

    /// Checks that this record follows `older`.
    fn check_follows(&self, older: &Neighbour) -> Result<()> {
        let (key, before) = (&self.key, &older.key);
        if self.previous != Some(older.sha256) {
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
        Ok(())
    }
}

/// Consecutive records of a chain, forwards or backwards, fetched ahead and each checked against the one before it in
/// the walk.
pub(crate) struct ChainWalk<'a, B> {
    records: BoxStream<'a, Result<StoredRecord<B>>>,
    neighbour: Option<Neighbour>,
}

impl<'a, B: RecordBody> ChainWalk<'a, B> {
    /// Walks from `first` to `last`, both included.
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
        let records = stream::iter(numbers)
            .map(move |sequence| fetch(archive, chain, sequence))
            .buffered(AT_ONCE)
            .boxed();
        ChainWalk { records, neighbour }
    }

    /// Returns the next record; `None` at the end of the walk.
    ///
    /// # Errors
    /// Those of [`fetch`], and `Exit::Integrity` where it and its neighbour do not follow each other.
    pub async fn next(&mut self) -> Result<Option<StoredRecord<B>>> {
        let Some(record) = self.records.try_next().await? else {
            return Ok(None);
        };
        let next = Neighbour::of(&record);
        match &self.neighbour {
            Some(newer) if newer.sequence > next.sequence => newer.check_follows(&next)?,
            Some(older) => next.check_follows(older)?,
            None => {}
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
        let newest = newest_listed(writer, &self.name, from).await?;
        // A delete marker hides the head from the listing, and lets its number be taken again.
        self.check_one_version(writer, newest.unwrap_or(0) + 1)
            .await?;
        let Some(newest) = newest.filter(|newest| !self.records.contains_key(newest)) else {
            return self.check_remembered(known.last());
        };
        let head: StoredRecord<B> = fetch(writer, &self.name, newest).await?;
        let mut fresh = ChainReader {
            name: self.name.clone(),
            head: Some(head.head()),
            records: BTreeMap::from([(newest, Arc::new(head))]),
            listed: self.listed.clone(),
        };
        fresh.check_one_version(writer, newest).await?;
        fresh.check_head_signature(writer).await?;
        for head in &known {
            fresh.walk_to(writer, head.sequence).await?;
            fresh.check_remembered(Some(head))?;
        }
        fresh.records.append(&mut self.records.clone());
        *self = fresh;
        Ok(())
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

    /// Returns the number of the record that comes next.
    pub fn next_sequence(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.sequence) + 1
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
            match self.records.keys().next() {
                Some(&oldest) if oldest > 1 => {
                    self.walk_to(archive, oldest.saturating_sub(STEP)).await?;
                }
                _ => return Ok(None),
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

    /// After the first signed record of a chain all must be signed, the head by a key that this writer allows.
    async fn check_head_signature(&mut self, writer: &Writer) -> Result<()> {
        let Some(head) = self.newest() else {
            return Ok(());
        };
        let key = head.key.clone();
        match (head.signer, &writer.signers.key) {
            (None, None) => Ok(()),
            (Some(_), Some(_)) => head
                .envelope
                .require_signer(&writer.signers.allowed)
                .map_err(|error| violated(format!("{key} cannot be trusted: {error}"))),
            (Some(_), None) => Err(Failure::usage(format!(
                "{key} is signed, so the next manifest must be"
            ))
            .remedy("Configure CXVAULT_SIGNING_KEY_FILE with a key of this archive.")),
            // Signing has just been switched on, or the record was appended without the key: the walk decides.
            (None, Some(_)) => self.walk_to(writer, 1).await,
        }
    }
}

/// Returns the newest number in the store, and checks that none is missing since the known one.
async fn newest_listed(archive: &Archive, name: &str, known: Option<&Head>) -> Result<Option<u64>> {
    let from = known.map_or(1, |head| head.sequence);
    let after = key::manifest(name, from - 1);
    let listed = archive.store.list(&key::chain(name), Some(&after)).await?;
    let mut expected = from;
    for entry in &listed {
        match key::parse_manifest(&entry.key) {
            Some(sequence) if sequence == expected => expected += 1,
            Some(_) => {
                let missing = key::manifest(name, expected);
                return Err(violated(format!(
                    "{missing} is missing, but {} is there",
                    entry.key
                )));
            }
            None => tracing::warn!(
                key = entry.key,
                "an object that is not a record lies among the manifests"
            ),
        }
    }
    if known.is_some() && expected == from {
        let missing = key::manifest(name, from);
        return Err(violated(format!(
            "{missing} is missing, which this host remembers as the chain's head"
        )));
    }
    Ok(expected.checked_sub(1).filter(|&newest| newest > 0))
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
