//! The newest inventory of sub-accounts, as a reader finds it in the roster's chain.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::archive::Archive;
use crate::chain::read;
use crate::chain::read::ChainWalk;
use crate::chain::record::StoredRecord;
use crate::format::place::key;
use crate::format::record::{Inventory, Link, Manifest, RosterRecord};
use crate::format::time::Instant;
use crate::outcome::{Exit, Failure, Result};

/// Chains whose newest records are looked for concurrently.
const AT_ONCE: usize = 16;

impl Archive {
    /// Returns the sub-accounts that are `wanted`, or with an empty list all that have manifests, in order. In a signed
    /// archive a folder without a record that counts is no sub-account: an attacker may have made it.
    ///
    /// # Errors
    /// `Exit::Usage` for a wanted sub-account that has no manifests; `Exit::Integrity` where no record counts at all.
    pub async fn sub_accounts(&self, wanted: &[String]) -> Result<Vec<String>> {
        let stored = self.stored_sub_accounts().await?;
        let all = self.with_records(stored.clone()).await?;
        if let (Some(first), true) = (stored.first(), all.is_empty()) {
            return Err(self.nothing_counts(&key::chain(first)));
        }
        if let Some(unknown) = wanted.iter().find(|wanted| !all.contains(*wanted)) {
            let known = if all.is_empty() {
                "none".to_owned()
            } else {
                Vec::from_iter(all).join(", ")
            };
            let message = format!("{} has no sub-account {unknown}", self.store.root());
            return Err(Failure::usage(message).remedy(format!("It has: {known}.")));
        }
        let mut chosen = Vec::from_iter(all);
        chosen.retain(|id| wanted.is_empty() || wanted.contains(id));
        Ok(chosen)
    }

    /// Returns the sub-accounts whose chains have a record that counts.
    async fn with_records(&self, stored: BTreeSet<String>) -> Result<BTreeSet<String>> {
        if self.rules().accepts_unsigned() {
            return Ok(stored);
        }
        let found: Vec<(String, bool)> = stream::iter(stored)
            .map(|id| async move {
                match read::newest::<Manifest>(self, &id).await {
                    Err(failure) if failure.exit != Exit::Integrity => Err(failure),
                    // A chain that is damaged is one: what reads it says what is wrong with it.
                    newest => Ok((id, !matches!(newest, Ok(None)))),
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let (with, without): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, has)| *has);
        let mut with: BTreeSet<String> = with.into_iter().map(|(id, _)| id).collect();
        if !without.is_empty() {
            // A chain that the roster knows has lost its records, and what reads it must say so.
            let newest = read(self).await?;
            let roll = newest.map(|newest| newest.roll);
            let entries = roll.into_iter().flat_map(|roll| roll.sub_accounts);
            let known: BTreeSet<String> = entries
                .filter(|entry| entry.head.is_some())
                .map(|entry| entry.id)
                .collect();
            let lost = without.into_iter().map(|(id, _)| id);
            with.extend(lost.filter(|id| known.contains(id)));
        }
        Ok(with)
    }
}

/// The newest inventory, and the head of the chain that holds it.
#[derive(Debug, Clone)]
pub struct NewestInventory {
    /// `roster:SEQUENCE:SHA256`.
    pub head: String,
    /// The link to the head.
    pub link: Link,
    /// When the head was committed, by the writer's clock.
    pub committed_at: Instant,
    /// The inventory of the head, or of the newest record before it that has one.
    pub roll: Inventory,
}

/// A sub-account that RingCX no longer lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlistedSubAccount<'a> {
    /// Id of the sub-account.
    pub id: &'a str,
    /// Key of the first roster record that no longer lists it.
    pub since: String,
    /// Whether the settings acknowledge that it is no longer listed.
    pub acknowledged: bool,
}

impl NewestInventory {
    /// Returns the sub-accounts that RingCX no longer lists.
    pub fn missing(&self) -> impl Iterator<Item = UnlistedSubAccount<'_>> {
        self.roll.sub_accounts.iter().filter_map(|member| {
            let unlisted = member.unlisted.as_ref()?;
            let since = key::manifest(key::ROSTER, unlisted.since);
            Some(UnlistedSubAccount {
                id: &member.id,
                since,
                acknowledged: unlisted.acknowledged,
            })
        })
    }
}

/// Reads back from the head of the roster's chain to the newest inventory; `None` where there is none.
///
/// # Errors
/// [`crate::outcome::Exit::Integrity`] where the chain does not hold.
pub(crate) async fn read(archive: &Archive) -> Result<Option<NewestInventory>> {
    let head: Option<StoredRecord<RosterRecord>> = read::newest(archive, key::ROSTER).await?;
    let Some(head) = head else {
        return Ok(None);
    };
    archive.check_knows_signers(head.envelope.manifest.signers.as_ref(), &head.key)?;
    let inventory = match head.envelope.manifest.inventory() {
        Some(inventory) => Some(inventory.clone()),
        None => before(archive, &head).await?,
    };
    Ok(inventory.map(|roll| NewestInventory {
        head: head.head_ref().to_string(),
        link: head.link(),
        committed_at: head.envelope.manifest.run.finished_at,
        roll,
    }))
}

/// Returns the newest inventory before `head`.
async fn before(archive: &Archive, head: &StoredRecord<RosterRecord>) -> Result<Option<Inventory>> {
    let mut older = ChainWalk::backwards(archive, key::ROSTER, head, 1);
    while let Some(record) = older.next().await? {
        archive.check_stop()?;
        if let Some(inventory) = record.envelope.manifest.inventory() {
            return Ok(Some(inventory.clone()));
        }
    }
    Ok(None)
}

/// Reads every record of the roster's chain, oldest first.
///
/// # Errors
/// As [`read`].
pub(crate) async fn read_all(archive: &Archive) -> Result<Vec<StoredRecord<RosterRecord>>> {
    let newest = read::newest::<RosterRecord>(archive, key::ROSTER).await?;
    let last = newest.map_or(0, |newest| newest.sequence);
    let mut walk = ChainWalk::forwards(archive, key::ROSTER, 1, last);
    let mut all = Vec::new();
    while let Some(record) = walk.next().await? {
        archive.check_stop()?;
        all.push(record);
    }
    Ok(all)
}
