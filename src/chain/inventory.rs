//! The newest inventory of sub-accounts, as a reader finds it in the roster's chain.

use crate::chain::archive::Archive;
use crate::chain::read;
use crate::chain::read::{ChainWalk, StoredRecord};
use crate::format::place::key;
use crate::format::record::{Inventory, Link, RosterRecord};
use crate::format::time::Instant;
use crate::outcome::Result;

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
