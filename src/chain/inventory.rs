//! The roster as a reader finds it.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::archive::Archive;
use crate::chain::archive::violated;
use crate::chain::timeline::{AT_ONCE, ReadManifest, newest, read_record, signed_by};
use crate::format::place::key;
use crate::format::record::head::HeadRef;
use crate::format::record::manifest::Link;
use crate::format::record::roster::{Inventory, RosterRecord};
use crate::outcome::Result;

/// What the newest roster says.
#[derive(Debug, Clone)]
pub struct Newest {
    /// `roster:SEQUENCE:SHA256`.
    pub head: String,
    pub link: Link,
    /// When the head was committed, in UTC milliseconds by the writer's clock.
    pub committed_at: i64,
    /// Of the head, or of the newest record before it that has one.
    pub roll: Inventory,
}

/// A sub-account that RingCX no longer lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlistedSubAccount<'a> {
    pub id: &'a str,
    /// The first roster that missed it.
    pub since: String,
    pub acknowledged: bool,
}

impl Newest {
    /// Sub-accounts that RingCX no longer lists.
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

/// Reads back from the head to the newest roll; `None` where there is no roster.
///
/// # Errors
/// [`crate::outcome::Exit::Integrity`] where the chain does not hold.
pub async fn read(source: &Archive) -> Result<Option<Newest>> {
    let Some(head) = newest(source, key::ROSTER).await? else {
        return Ok(None);
    };
    let head: ReadManifest<RosterRecord> = read_record(source, key::ROSTER, head).await?;
    let text = head_ref(&head).to_string();
    let link = Link {
        key: head.key.clone(),
        sha256: head.sha256,
    };
    let committed_at = head.envelope.manifest.run.finished_at;
    let mut stored = head;
    loop {
        signed_by(source, &stored)?;
        if let Some(roll) = stored.envelope.manifest.inventory() {
            return Ok(Some(Newest {
                head: text,
                link,
                committed_at,
                roll: roll.clone(),
            }));
        }
        source.check_stop()?;
        if stored.sequence == 1 {
            return Ok(None);
        }
        let next = read_record(source, key::ROSTER, stored.sequence - 1).await?;
        follows(&stored, &next)?;
        stored = next;
    }
}

/// Every record of the chain, oldest first.
///
/// # Errors
/// As [`read`].
pub async fn read_all(source: &Archive) -> Result<Vec<ReadManifest<RosterRecord>>> {
    let newest = newest(source, key::ROSTER).await?.unwrap_or(0);
    let read = |sequence| read_record(source, key::ROSTER, sequence);
    let mut reads = stream::iter(1..=newest).map(read).buffered(AT_ONCE);
    let mut all: Vec<ReadManifest<RosterRecord>> = Vec::new();
    while let Some(stored) = reads.try_next().await? {
        source.check_stop()?;
        signed_by(source, &stored)?;
        if let Some(before) = all.last() {
            follows(&stored, before)?;
        }
        all.push(stored);
    }
    Ok(all)
}

/// Returns the head that `stored`, a record of the roster's chain, makes.
pub fn head_ref(stored: &ReadManifest<RosterRecord>) -> HeadRef {
    HeadRef {
        chain: key::ROSTER.to_owned(),
        sequence: stored.sequence,
        sha256: stored.sha256,
    }
}

fn follows(stored: &ReadManifest<RosterRecord>, before: &ReadManifest<RosterRecord>) -> Result<()> {
    let named = stored
        .envelope
        .manifest
        .previous
        .as_ref()
        .map(|link| link.sha256);
    if named == Some(before.sha256) {
        return Ok(());
    }
    Err(violated(format!(
        "{} is not the record that {} names",
        before.key, stored.key
    )))
}
