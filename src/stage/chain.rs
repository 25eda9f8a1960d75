//! The manifests of one sub-account: their head, and as many of them backwards as somebody needs.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use super::archive::{Archive, violated};
use crate::archive::act::Acknowledgement;
use crate::archive::coverage::{Coverage, DayState};
use crate::archive::digest::Digest;
use crate::archive::key;
use crate::archive::manifest::{DayRecord, Envelope, Link, Record};
use crate::archive::orders::Orders;
use crate::archive::range::Days;
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};

/// Manifests read at once when walking back.
const WALK: u64 = 16;

/// A manifest that was read, and whose bytes were hashed.
#[derive(Debug, Clone)]
pub struct Read {
    pub envelope: Envelope,
    pub sha256: Digest,
}

/// One chain as the store shows it.
#[derive(Debug, Default)]
pub struct Chain {
    pub sub_account: String,
    /// Sequence numbers that were read, all linked to the head.
    manifests: BTreeMap<u64, Read>,
    pub head: Option<Head>,
}

impl Chain {
    /// Finds the head, and checks that it is whole, trustworthy, and descends from the head that this host
    /// remembers (protocol step 0).
    pub async fn open(archive: &Archive, sub_account: &str) -> Result<Chain> {
        let remembered = archive.state.remembered_head(sub_account)?;
        let mut chain = Chain { sub_account: sub_account.to_owned(), ..Chain::default() };
        let newest = newest(archive, sub_account, remembered.as_ref()).await?;
        // A delete marker hides the head from the listing, and lets its number be taken again.
        chain.check_one_version(archive, newest.unwrap_or(0) + 1).await?;
        let Some(newest) = newest else { return Ok(chain) };
        let read = fetch(archive, sub_account, newest).await?;
        chain.head = Some(Head { sequence: newest, sha256: read.sha256 });
        chain.manifests.insert(newest, read);
        chain.check_one_version(archive, newest).await?;
        chain.check_head_signature(archive, newest).await?;
        if let Some(remembered) = &remembered {
            chain.walk_to(archive, remembered.sequence).await?;
            let found = chain.manifests.get(&remembered.sequence).map(|read| read.sha256);
            if found != Some(remembered.sha256) {
                let key = key::manifest(sub_account, remembered.sequence);
                return Err(violated(format!("{key} is not the manifest that this host remembers")));
            }
        }
        Ok(chain)
    }

    pub fn coverage(&self) -> Coverage {
        self.newest().map(|read| read.envelope.manifest.coverage.clone()).unwrap_or_default()
    }

    pub fn newest(&self) -> Option<&Read> {
        self.manifests.get(&self.head.as_ref()?.sequence)
    }

    /// What the next manifest says of the one before it.
    pub fn link(&self) -> Option<Link> {
        let head = self.head.as_ref()?;
        Some(Link { key: key::manifest(&self.sub_account, head.sequence), sha256: head.sha256 })
    }

    /// The newest hold or retention record that the next manifest must name.
    pub fn orders_link(&self) -> Option<Link> {
        let newest = self.newest()?;
        newest.envelope.manifest.orders_for_next(newest.sha256)
    }

    /// The holds and extensions in force. Each names the one before it by its hash, so that days in between, of years
    /// as a rule, need not be read.
    pub async fn orders(&mut self, archive: &Archive) -> Result<Orders> {
        let (mut newest_first, mut next) = (Vec::new(), self.orders_link());
        while let Some(link) = next {
            let sequence = key::parse_manifest(&link.key).unwrap_or_default();
            let read = match self.manifests.get(&sequence) {
                Some(read) => read.clone(),
                None => fetch(archive, &self.sub_account, sequence).await?,
            };
            let manifest = read.envelope.manifest;
            let ours = manifest.key == link.key && read.sha256 == link.sha256;
            if !ours || manifest.orders_for_next(read.sha256).as_ref() != Some(&link) {
                return Err(violated(format!(
                    "{} is not the hold or retention record that is named",
                    link.key
                )));
            }
            next = manifest.orders;
            newest_first.push((sequence, manifest.record));
        }
        let mut orders = Orders::default();
        newest_first.iter().rev().for_each(|(sequence, record)| orders.take(*sequence, record));
        Ok(orders)
    }

    /// The newest record of any day.
    pub async fn newest_day(&mut self, archive: &Archive) -> Result<Option<DayRecord>> {
        self.walk_until(archive, |read| read.envelope.manifest.day().is_some()).await?;
        let mut newest_first = self.manifests.values().rev();
        Ok(newest_first.find_map(|read| read.envelope.manifest.day()).cloned())
    }

    /// The newest acknowledgement of the gaps of `date`, and its manifest's key.
    pub async fn acknowledgement_of(
        &mut self,
        archive: &Archive,
        date: Date,
    ) -> Result<Option<(String, Acknowledgement)>> {
        let of_date = |read: &Read| match &read.envelope.manifest.record {
            Record::Acknowledgement(note) => {
                note.days.iter().any(|day| day.date == date).then(|| (**note).clone())
            }
            _ => None,
        };
        self.walk_until(archive, |read| of_date(read).is_some()).await?;
        let mut newest_first = self.manifests.values().rev();
        Ok(newest_first.find_map(|read| Some((read.envelope.manifest.key.clone(), of_date(read)?))))
    }

    /// Every revision of the archived days of `range`, by date and revision.
    pub async fn revisions_in(&mut self, archive: &Archive, range: &Days) -> Result<Vec<(Link, DayRecord)>> {
        let coverage = self.coverage();
        let mut all = Vec::new();
        if let (Some(first), Some(last)) = (coverage.first_day, coverage.last_day()) {
            for date in range.within(first, last) {
                all.extend(self.revisions(archive, date).await?);
            }
        }
        Ok(all)
    }

    /// The day's revisions, oldest first; reads no further back than revision 1.
    pub async fn revisions(&mut self, archive: &Archive, date: Date) -> Result<Vec<(Link, DayRecord)>> {
        if self.coverage().state(date) == DayState::Missing {
            return Ok(Vec::new());
        }
        let first = |read: &Read| {
            read.envelope.manifest.day().is_some_and(|day| day.date == date && day.revision == 1)
        };
        self.walk_until(archive, first).await?;
        let of_date = self.manifests.values().filter_map(|read| {
            let day = read.envelope.manifest.day().filter(|day| day.date == date)?;
            Some((Link { key: read.envelope.manifest.key.clone(), sha256: read.sha256 }, day.clone()))
        });
        Ok(of_date.collect())
    }

    /// The newest record of `date`, if it is covered.
    pub async fn record_of(&mut self, archive: &Archive, date: Date) -> Result<Option<DayRecord>> {
        if self.coverage().state(date) == DayState::Missing {
            return Ok(None);
        }
        let of_date = |read: &Read| read.envelope.manifest.day().is_some_and(|day| day.date == date);
        self.walk_until(archive, of_date).await?;
        let mut newest_first = self.manifests.values().rev();
        Ok(newest_first.find(|read| of_date(read)).and_then(|read| read.envelope.manifest.day()).cloned())
    }

    /// The newest records of the last `count` manifests, one a date.
    pub async fn recent(&mut self, archive: &Archive, count: u64) -> Result<Vec<DayRecord>> {
        let head = self.head.as_ref().map_or(0, |head| head.sequence);
        self.walk_to(archive, head.saturating_sub(count).max(1)).await?;
        let mut by_date = BTreeMap::new();
        for day in self.manifests.values().filter_map(|read| read.envelope.manifest.day()) {
            by_date.insert(day.date, day.clone());
        }
        Ok(by_date.into_values().collect())
    }

    async fn walk_until(&mut self, archive: &Archive, found: impl Fn(&Read) -> bool) -> Result<()> {
        while !self.manifests.values().any(&found) {
            let Some(&oldest) = self.manifests.keys().next() else { return Ok(()) };
            if oldest <= 1 {
                return Ok(());
            }
            self.walk_to(archive, oldest.saturating_sub(WALK).max(1)).await?;
        }
        Ok(())
    }

    /// Reads back to `sequence`, checking each link.
    async fn walk_to(&mut self, archive: &Archive, sequence: u64) -> Result<()> {
        let Some(&oldest) = self.manifests.keys().next() else { return Ok(()) };
        let sub_account = &self.sub_account;
        let read = |sequence| async move {
            Ok::<_, Failure>((sequence, fetch(archive, sub_account, sequence).await?))
        };
        let mut reads = stream::iter((sequence.max(1)..oldest).rev()).map(read).buffered(WALK as usize);
        while let Some((sequence, read)) = reads.try_next().await? {
            let next = self.manifests.get(&(sequence + 1)).map(|next| &next.envelope.manifest);
            if next.and_then(|next| next.previous.as_ref()).map(|link| link.sha256) != Some(read.sha256) {
                let key = key::manifest(&self.sub_account, sequence);
                return Err(violated(format!("{key} is not the manifest that its successor names")));
            }
            // Seen without a key of ours, too: whoever has none may not continue a signed chain.
            let unsigned =
                self.manifests.get(&(sequence + 1)).filter(|next| next.envelope.signature.is_none());
            if let Some(next) = unsigned.filter(|_| read.envelope.signature.is_some()) {
                let key = &next.envelope.manifest.key;
                return Err(violated(format!("{key} is not signed, but the manifest before it is")));
            }
            self.manifests.insert(sequence, read);
        }
        Ok(())
    }

    async fn check_one_version(&self, archive: &Archive, sequence: u64) -> Result<()> {
        let key = key::manifest(&self.sub_account, sequence);
        let versions = archive.store.versions(&key).await?;
        one_version_each(&versions)
    }

    /// After the first signed manifest of a chain all must be signed, and by a key that we allow.
    async fn check_head_signature(&mut self, archive: &Archive, sequence: u64) -> Result<()> {
        let Some(head) = self.manifests.get(&sequence) else { return Ok(()) };
        let key = key::manifest(&self.sub_account, sequence);
        let signed = head.envelope.signature.is_some();
        match (signed, &archive.signers.key) {
            (false, None) => Ok(()),
            (true, Some(_)) => head
                .envelope
                .require_signer(&archive.signers.allowed)
                .map_err(|error| violated(format!("{key} cannot be trusted: {error}"))),
            (true, None) => {
                Err(Failure::new(Exit::Usage, format!("{key} is signed, so the next manifest must be"))
                    .remedy("Configure CXVAULT_SIGNING_KEY_FILE with a key of this archive."))
            }
            (false, Some(_)) => {
                // Signing has just been switched on, or somebody without the key has appended.
                self.walk_to(archive, 1).await?;
                match self.manifests.values().find(|read| read.envelope.signature.is_some()) {
                    None => Ok(()),
                    Some(_) => {
                        Err(violated(format!("{key} is not signed, but an earlier manifest of its chain is")))
                    }
                }
            }
        }
    }
}

/// The newest sequence number in the store, and that none is missing since the remembered one.
async fn newest(archive: &Archive, sub_account: &str, remembered: Option<&Head>) -> Result<Option<u64>> {
    let from = remembered.map_or(1, |head| head.sequence);
    let after = key::manifest(sub_account, from - 1);
    let listed = archive.store.list(&key::chain(sub_account), Some(&after)).await?;
    let mut expected = from;
    for entry in &listed {
        match key::parse_manifest(&entry.key) {
            Some(sequence) if sequence == expected => expected += 1,
            Some(_) => {
                let missing = key::manifest(sub_account, expected);
                return Err(violated(format!("{missing} is missing, but {} is there", entry.key)));
            }
            None => tracing::warn!(key = entry.key, "an object that is not ours lies among the manifests"),
        }
    }
    if remembered.is_some() && expected == from {
        let missing = key::manifest(sub_account, from);
        return Err(violated(format!("{missing} is missing, which this host remembers as the chain's head")));
    }
    Ok(expected.checked_sub(1).filter(|&newest| newest > 0))
}

async fn fetch(archive: &Archive, sub_account: &str, sequence: u64) -> Result<Read> {
    let key = key::manifest(sub_account, sequence);
    let Some(bytes) = archive.store.get(&key).await? else {
        return Err(violated(format!("{key} is listed but cannot be read")));
    };
    let envelope =
        Envelope::from_bytes(&bytes).map_err(|error| violated(format!("{key} is damaged: {error}")))?;
    let manifest = &envelope.manifest;
    let own = manifest.key == key && manifest.sequence == sequence && manifest.sub_account == sub_account;
    if !own || manifest.archive_id != archive.id {
        return Err(violated(format!("{key} is the manifest of another place or archive")));
    }
    Ok(Read { sha256: Digest::of(&bytes), envelope })
}

/// An object that was deleted or written over on a versioned bucket shows more than one version.
pub fn one_version_each(versions: &[crate::store::Version]) -> Result<()> {
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
