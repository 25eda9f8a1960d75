//! The list of a chain's records, read back from the head by their `since`: what each record is about, and its hash.
//!
//! One record in 64 lists the 64 before it, so that the whole list of n records takes n/64 requests. A reader that looks
//! for one old day then fetches the records of that day alone. Each record that is fetched so is the one that a record
//! nearer to the head names by its SHA-256, and the head is checked like any other: nothing is believed that a walk over all
//! records would not prove.

use std::marker::PhantomData;

use crate::chain::archive::{Archive, violated};
use crate::chain::record;
use crate::chain::record::StoredRecord;
use crate::format::place::key;
use crate::format::record::{RecordBody, SinceEntry};
use crate::outcome::Result;

/// The entries of a chain's records, newest first, from the head on.
#[derive(Debug)]
pub(crate) struct EntryWalk<B> {
    reader: EntryReader,
    /// Entries that were read and not returned yet, oldest first.
    listed: Vec<SinceEntry>,
    /// The entry that was returned last, while records before it are not listed yet.
    oldest: Option<SinceEntry>,
    /// Number of records before the one that was returned last.
    index: u64,
    body: PhantomData<B>,
}

impl<B: RecordBody> EntryWalk<B> {
    /// Begins with the entry of `newest`.
    pub fn back_from(newest: &StoredRecord<B>) -> EntryWalk<B> {
        let manifest = &newest.envelope.manifest;
        let place = manifest.place();
        let mut listed = place.position.since.clone();
        listed.push(manifest.entry(newest.sha256));
        EntryWalk {
            reader: EntryReader::of(newest),
            listed,
            oldest: None,
            index: place.position.index + 1,
            body: PhantomData,
        }
    }

    /// Returns the next entry; `None` after that of the chain's first record.
    ///
    /// # Errors
    /// Those of [`EntryReader::fetch`].
    pub async fn next(&mut self, archive: &Archive) -> Result<Option<SinceEntry>> {
        if let Some(oldest) = self.oldest.take()
            && self.index > 0
        {
            // The oldest record that is listed is the one that lists those before it.
            archive.check_stop()?;
            let record = self.reader.fetch::<B>(archive, &oldest).await?;
            let position = record.envelope.manifest.place().position;
            if position.index != self.index {
                return Err(violated(format!(
                    "{} has index {}, but the records after it count {} before it",
                    record.key, position.index, self.index
                )));
            }
            self.listed.clone_from(&position.since);
        }
        let Some(entry) = self.listed.pop() else {
            return Ok(None);
        };
        self.index -= 1;
        if self.listed.is_empty() {
            self.oldest = Some(entry.clone());
        }
        Ok(Some(entry))
    }
}

/// Fetches records of a chain by the entries that a newer record has of them.
#[derive(Debug, Clone)]
pub(crate) struct EntryReader {
    chain: String,
    /// Number of the record from which the entries come, and whether that is signed.
    newest: u64,
    signed: bool,
}

impl EntryReader {
    /// Returns a reader of the records before `newest`, and of `newest` itself.
    pub fn of<B: RecordBody>(newest: &StoredRecord<B>) -> EntryReader {
        EntryReader {
            chain: newest.envelope.manifest.place().chain.to_owned(),
            newest: newest.sequence,
            signed: newest.signer.is_some(),
        }
    }

    /// Fetches the record that an entry names.
    ///
    /// # Errors
    /// Those of [`record::fetch`], and `Exit::Integrity` where the record is another one, is about something else than the
    /// entry says, or is signed although the newer record is not.
    pub async fn fetch<B: RecordBody>(
        &self,
        archive: &Archive,
        entry: &SinceEntry,
    ) -> Result<StoredRecord<B>> {
        let record = record::fetch::<B>(archive, &self.chain, entry.sequence).await?;
        if record.envelope.manifest.entry(record.sha256) != *entry {
            return Err(violated(format!(
                "{} is not the record that a later one lists: its hash, kind, date or revision is another",
                record.key
            )));
        }
        // Without a key, nothing can be appended to a signed chain.
        if record.signer.is_some() && !self.signed {
            return Err(violated(format!(
                "{} is not signed, but {} before it is",
                key::manifest(&self.chain, self.newest),
                record.key
            )));
        }
        Ok(record)
    }
}
