//! Finding the newest record of a chain among the objects that the store lists.
//!
//! In an archive that is not signed it is the object with the highest number. In a signed archive an object is a record
//! only if its signature counts ([`crate::chain::trust`]), so the numbers are tried from the highest down: an attacker who
//! can create objects can neither add a record nor stop readers and writers. What lies beyond the head is reported, and the
//! next record names it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::archive::{Archive, violated};
use crate::chain::record::{Examined, StoredRecord, examine};
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::error::LARGEST_RECORD;
use crate::format::record::{ForeignObject, Head, RecordBody};
use crate::outcome::Result;

/// Objects that are tried concurrently where the newest one is no record: an attacker chooses their size, up to that of a
/// record.
pub(super) const CANDIDATES: usize = 8;

/// An object at a number beyond the head of its chain, which is no record.
#[derive(Debug, Clone)]
pub(crate) struct ForeignBeyond {
    /// The number.
    pub sequence: u64,
    /// The object, as the next record names it.
    pub object: ForeignObject,
}

/// The end of a chain in the store.
#[derive(Debug)]
pub(crate) struct ChainEnd<B> {
    /// The newest record; `None` where there is none, or where it is the known one that was read already.
    pub head: Option<Box<StoredRecord<B>>>,
    /// The objects beyond it, by their numbers.
    pub beyond: Vec<ForeignBeyond>,
    /// The numbers that were listed, from that of the known head on.
    pub numbers: BTreeSet<u64>,
}

/// What is stored at a number of a chain.
#[derive(Debug)]
pub(crate) enum RawObject {
    /// The bytes of the object.
    Bytes(Bytes),
    /// The object is larger than a record can be: its length.
    TooLarge(u64),
    /// There is no object.
    Missing,
}

/// The newest head that is known from elsewhere, below which no chain may end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownEnd<'a> {
    /// The head.
    pub head: &'a Head,
    /// Whether its record was read already.
    pub is_read: bool,
}

/// Finds the newest record of a chain. `known` is a head that is known: the listing begins with it, and it is never taken
/// for a foreign object.
///
/// # Errors
/// `Exit::Integrity` where the known head, or one that the chain of signers names, is not there; where a record that counts
/// cannot be read; and in an archive that is not signed where the newest object is no record.
pub(crate) async fn find<B: RecordBody>(
    archive: &Archive,
    chain: &str,
    known: Option<KnownEnd<'_>>,
) -> Result<ChainEnd<B>> {
    let from = known.map_or(1, |known| known.head.sequence);
    let objects = listed(archive, chain, from).await?;
    if known.is_some() && !objects.contains_key(&from) {
        let missing = key::manifest(chain, from);
        return Err(violated(format!(
            "{missing} is missing, which this host remembers as the chain's head"
        )));
    }
    let mut end = ChainEnd {
        head: None,
        beyond: Vec::new(),
        numbers: objects.keys().copied().collect(),
    };
    let read_to = known.filter(|known| known.is_read).map(|_| from);
    let candidates: Vec<(u64, u64)> = objects.into_iter().rev().collect();
    // In an intact archive the first candidate is the head, so it is tried alone.
    let (first, others) = candidates.split_at(candidates.len().min(1));
    for batch in [first].into_iter().chain(others.chunks(CANDIDATES)) {
        let wanted = batch.iter().filter(|(number, _)| Some(*number) != read_to);
        let mut fetched = stream::iter(wanted.copied())
            .map(|(number, bytes)| async move {
                let object = fetch_raw(archive, chain, number, Some(bytes)).await?;
                Ok::<_, crate::outcome::Failure>((number, object))
            })
            .buffered(CANDIDATES);
        while let Some((number, object)) = fetched.try_next().await? {
            archive.check_stop()?;
            match examine_raw::<B>(archive, chain, number, &object)? {
                Examined::Record(record) => end.head = Some(record),
                Examined::Foreign(why) if known.is_some() && number == from => {
                    return Err(violated(why));
                }
                Examined::Foreign(why) => {
                    let foreign = foreign(chain, number, &object);
                    archive.foreign.add(&foreign.object.key, why);
                    end.beyond.push(foreign);
                }
            }
            if end.head.is_some() {
                break;
            }
        }
        if end.head.is_some() {
            break;
        }
    }
    end.beyond.reverse();
    end.check_named(archive, chain, read_to)?;
    Ok(end)
}

impl<B: RecordBody> ChainEnd<B> {
    /// Checks that the chain is as long as the chain of signers says.
    fn check_named(&self, archive: &Archive, chain: &str, read_to: Option<u64>) -> Result<()> {
        let rules = archive.rules();
        let newest = self.head.as_ref().map(|head| head.sequence).or(read_to);
        match rules.named_head(chain) {
            Some(named) if newest.unwrap_or(0) < named.sequence => Err(violated(format!(
                "{} is missing, which a record of {} names as the chain's head",
                key::manifest(chain, named.sequence),
                key::SIGNERS_FOLDER,
            ))),
            _ => Ok(()),
        }
    }
}

/// Returns the numbers and lengths of the objects at a chain's places, from a number on.
async fn listed(archive: &Archive, chain: &str, from: u64) -> Result<BTreeMap<u64, u64>> {
    let after = key::manifest(chain, from.saturating_sub(1));
    let listed = archive.store.list(&key::chain(chain), Some(&after)).await?;
    let mut objects = BTreeMap::new();
    for entry in listed {
        match numbered(chain, &entry.key) {
            Some(number) => drop(objects.insert(number, entry.bytes)),
            None => tracing::warn!(
                key = entry.key,
                "an object that is not a record lies among the manifests"
            ),
        }
    }
    Ok(objects)
}

/// Returns the number of a record's key; `None` for the key of any other object in a chain's folder.
pub(crate) fn numbered(chain: &str, key: &str) -> Option<u64> {
    key::parse_manifest(key).filter(|n| *n > 0 && key::manifest(chain, *n) == key)
}

/// Fetches what is stored at a number. `listed` is its length, where that is known.
///
/// # Errors
/// Those of the store.
pub(crate) async fn fetch_raw(
    archive: &Archive,
    chain: &str,
    number: u64,
    listed: Option<u64>,
) -> Result<RawObject> {
    if let Some(bytes) = listed.filter(|bytes| *bytes > LARGEST_RECORD) {
        return Ok(RawObject::TooLarge(bytes));
    }
    let key = key::manifest(chain, number);
    match archive.store.get(&key).await {
        Ok(Some(bytes)) => Ok(RawObject::Bytes(bytes)),
        Ok(None) => Ok(RawObject::Missing),
        Err(error) => {
            // An object that is too large to be read is foreign, if the store says how large it is.
            let stat = archive.store.stat(&key).await.ok().flatten();
            match stat
                .map(|stat| stat.bytes)
                .filter(|bytes| *bytes > LARGEST_RECORD)
            {
                Some(bytes) => Ok(RawObject::TooLarge(bytes)),
                None => Err(error.into()),
            }
        }
    }
}

/// Examines what is stored at a number.
///
/// # Errors
/// Those of [`examine`]; `Exit::Integrity` where there is no object, and for one that is too large in an archive that is not
/// signed.
pub(crate) fn examine_raw<B: RecordBody>(
    archive: &Archive,
    chain: &str,
    number: u64,
    object: &RawObject,
) -> Result<Examined<B>> {
    let key = key::manifest(chain, number);
    match object {
        RawObject::Bytes(bytes) => examine(&archive.trust(), chain, number, bytes),
        RawObject::Missing => Err(violated(format!("{key} is missing"))),
        RawObject::TooLarge(bytes) => {
            let why =
                format!("{key} is damaged: it has {bytes} bytes, more than a record can have");
            match archive.rules().accepts_unsigned() {
                true => Err(violated(why)),
                false => Ok(Examined::Foreign(why)),
            }
        }
    }
}

/// Returns an object as a record names it that passes over it.
fn foreign(chain: &str, sequence: u64, object: &RawObject) -> ForeignBeyond {
    let (bytes, sha256) = match object {
        RawObject::Bytes(bytes) if bytes.len() as u64 <= LARGEST_RECORD => {
            (bytes.len() as u64, Some(Digest::of(bytes)))
        }
        RawObject::Bytes(bytes) => (bytes.len() as u64, None),
        RawObject::TooLarge(bytes) => (*bytes, None),
        RawObject::Missing => (0, None),
    };
    ForeignBeyond {
        sequence,
        object: ForeignObject {
            key: key::manifest(chain, sequence),
            bytes,
            sha256,
        },
    }
}
