//! A chain of records as the store shows it: its numbers, links, versions and signatures, whatever the records are about.
//! Those of a sub-account are [`crate::chain::days::Chain`], the one of all sub-accounts is [`crate::chain::roster`].

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::archive::violated;
use crate::chain::writer::Writer;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::envelope::{RecordBody, Signed};
use crate::format::record::manifest::Link;
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};

/// Manifests read at once when walking back.
const WALK: u64 = 16;

/// A record that was read, and whose bytes were hashed.
#[derive(Debug, Clone)]
pub struct StoredRecord<B> {
    pub envelope: Signed<B>,
    pub sha256: Digest,
}

/// One chain as the store shows it.
#[derive(Debug)]
pub struct ChainReader<B> {
    /// A sub-account, or [`key::ROSTER`].
    pub name: String,
    /// Sequence numbers that were read, all linked to the head.
    pub(super) read: BTreeMap<u64, StoredRecord<B>>,
    pub head: Option<Head>,
}

impl<B: RecordBody> ChainReader<B> {
    /// Finds the head, and checks that it is whole, trustworthy, and descends from the head that this host
    /// remembers (protocol step 0).
    pub async fn open(archive: &Writer, name: &str) -> Result<Self> {
        let remembered = archive.state.remembered_head(name)?;
        let mut chain = ChainReader {
            name: name.to_owned(),
            read: BTreeMap::new(),
            head: None,
        };
        let newest = newest(archive, name, remembered.as_ref()).await?;
        // A delete marker hides the head from the listing, and lets its number be taken again.
        chain
            .check_one_version(archive, newest.unwrap_or(0) + 1)
            .await?;
        let Some(newest) = newest else {
            return Ok(chain);
        };
        let read = fetch(archive, name, newest).await?;
        chain.head = Some(Head {
            sequence: newest,
            sha256: read.sha256,
        });
        chain.read.insert(newest, read);
        chain.check_one_version(archive, newest).await?;
        chain.check_head_signature(archive, newest).await?;
        if let Some(remembered) = &remembered {
            chain.walk_to(archive, remembered.sequence).await?;
            let found = chain.read.get(&remembered.sequence).map(|read| read.sha256);
            if found != Some(remembered.sha256) {
                let key = key::manifest(name, remembered.sequence);
                return Err(violated(format!(
                    "{key} is not the manifest that this host remembers"
                )));
            }
        }
        Ok(chain)
    }

    pub fn newest(&self) -> Option<&StoredRecord<B>> {
        self.read.get(&self.head.as_ref()?.sequence)
    }

    /// The number of the record that comes next.
    pub fn next_sequence(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.sequence) + 1
    }

    /// What the next manifest says of the one before it.
    pub fn link(&self) -> Option<Link> {
        let head = self.head.as_ref()?;
        Some(Link {
            key: key::manifest(&self.name, head.sequence),
            sha256: head.sha256,
        })
    }

    /// Reads back until one is found, or to the first.
    pub(super) async fn walk_until(
        &mut self,
        archive: &Writer,
        found: impl Fn(&StoredRecord<B>) -> bool,
    ) -> Result<()> {
        while !self.read.values().any(&found) {
            let Some(&oldest) = self.read.keys().next() else {
                return Ok(());
            };
            if oldest <= 1 {
                return Ok(());
            }
            self.walk_to(archive, oldest.saturating_sub(WALK).max(1))
                .await?;
        }
        Ok(())
    }

    /// Reads back to `sequence`, checking each link.
    pub(super) async fn walk_to(&mut self, archive: &Writer, sequence: u64) -> Result<()> {
        let Some(&oldest) = self.read.keys().next() else {
            return Ok(());
        };
        let name = &self.name;
        let read = |sequence| async move {
            Ok::<_, Failure>((sequence, fetch(archive, name, sequence).await?))
        };
        let mut reads = stream::iter((sequence.max(1)..oldest).rev())
            .map(read)
            .buffered(WALK as usize);
        while let Some((sequence, read)) = reads.try_next().await? {
            let next = self.read.get(&(sequence + 1));
            let named = next.and_then(|next| next.envelope.manifest.place().previous);
            if named.map(|link| link.sha256) != Some(read.sha256) {
                let key = key::manifest(&self.name, sequence);
                return Err(violated(format!(
                    "{key} is not the manifest that its successor names"
                )));
            }
            // Seen without a key of ours, too: whoever has none may not continue a signed chain.
            let unsigned = next.filter(|next| next.envelope.signature.is_none());
            if let Some(next) = unsigned.filter(|_| read.envelope.signature.is_some()) {
                let key = next.envelope.manifest.place().key;
                return Err(violated(format!(
                    "{key} is not signed, but the manifest before it is"
                )));
            }
            self.read.insert(sequence, read);
        }
        Ok(())
    }

    async fn check_one_version(&self, archive: &Writer, sequence: u64) -> Result<()> {
        let key = key::manifest(&self.name, sequence);
        let versions = archive.store.versions(&key).await?;
        one_version_each(&versions)
    }

    /// After the first signed manifest of a chain all must be signed, and by a key that we allow.
    async fn check_head_signature(&mut self, archive: &Writer, sequence: u64) -> Result<()> {
        let Some(head) = self.read.get(&sequence) else {
            return Ok(());
        };
        let key = key::manifest(&self.name, sequence);
        let signed = head.envelope.signature.is_some();
        match (signed, &archive.signers.key) {
            (false, None) => Ok(()),
            (true, Some(_)) => head
                .envelope
                .require_signer(&archive.signers.allowed)
                .map_err(|error| violated(format!("{key} cannot be trusted: {error}"))),
            (true, None) => Err(Failure::new(
                Exit::Usage,
                format!("{key} is signed, so the next manifest must be"),
            )
            .remedy("Configure CXVAULT_SIGNING_KEY_FILE with a key of this archive.")),
            (false, Some(_)) => {
                // Signing has just been switched on, or somebody without the key has appended.
                self.walk_to(archive, 1).await?;
                match self
                    .read
                    .values()
                    .find(|read| read.envelope.signature.is_some())
                {
                    None => Ok(()),
                    Some(_) => Err(violated(format!(
                        "{key} is not signed, but an earlier manifest of its chain is"
                    ))),
                }
            }
        }
    }
}

/// The newest sequence number in the store, and that none is missing since the remembered one.
async fn newest(archive: &Writer, name: &str, remembered: Option<&Head>) -> Result<Option<u64>> {
    let from = remembered.map_or(1, |head| head.sequence);
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
                "an object that is not ours lies among the manifests"
            ),
        }
    }
    if remembered.is_some() && expected == from {
        let missing = key::manifest(name, from);
        return Err(violated(format!(
            "{missing} is missing, which this host remembers as the chain's head"
        )));
    }
    Ok(expected.checked_sub(1).filter(|&newest| newest > 0))
}

pub(super) async fn fetch<B: RecordBody>(
    archive: &Writer,
    name: &str,
    sequence: u64,
) -> Result<StoredRecord<B>> {
    let key = key::manifest(name, sequence);
    let Some(bytes) = archive.store.get(&key).await? else {
        return Err(violated(format!("{key} is listed but cannot be read")));
    };
    let envelope = Signed::<B>::from_bytes(&bytes)
        .map_err(|error| violated(format!("{key} is damaged: {error}")))?;
    let place = envelope.manifest.place();
    let own = place.key == key && place.sequence == sequence && place.chain == name;
    if !own || place.archive_id != archive.id() {
        return Err(violated(format!(
            "{key} is the manifest of another place or archive"
        )));
    }
    Ok(StoredRecord {
        sha256: Digest::of(&bytes),
        envelope,
    })
}

/// An object that was deleted or written over on a versioned bucket shows more than one version.
pub fn one_version_each(versions: &[crate::store::ObjectVersion]) -> Result<()> {
    let mut seen = BTreeMap::<&str, u32>::new();
    for version in versions {
        let count = seen.entry(&version.key).or_default();
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
