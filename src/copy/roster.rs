//! The roster: read whole before anything is put, like the chains that it tells of, and put when all of them are there.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::archive::Archive;
use crate::chain::archive::violated;
use crate::chain::protection::Protection;
use crate::chain::read::ChainWalk;
use crate::copy::destination::{CopyItem, Destination};
use crate::copy::job::AT_ONCE;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::head::Head;
use crate::format::record::manifest::ObjectLock;
use crate::format::record::roster::RosterRecord;
use crate::outcome::{Failure, Result};
use crate::store::{Body, Store};

/// One record that was found sound. Its text is read again where it is put: rolls are long, and there is one a run.
#[derive(Debug)]
pub struct RosterStep {
    key: String,
    bytes: u64,
    sha256: Digest,
    /// The lock that it was put under.
    pub keep: Protection,
}

impl RosterStep {
    fn item(&self, keep: Protection) -> CopyItem<'_> {
        CopyItem {
            key: &self.key,
            bytes: self.bytes,
            sha256: self.sha256,
            keep,
        }
    }
}

/// The newest record; none where there is no such chain.
pub async fn head(store: &dyn Store) -> Result<Option<Head>> {
    let listed = store.list(key::ROSTERS, None).await?;
    let numbers = listed
        .iter()
        .filter_map(|entry| key::parse_manifest(&entry.key));
    let Some(sequence) = numbers.max() else {
        return Ok(None);
    };
    let key = key::manifest(key::ROSTER, sequence);
    let bytes = store
        .get(&key)
        .await?
        .ok_or_else(|| violated(format!("{key} is missing")))?;
    Ok(Some(Head {
        sequence,
        sha256: Digest::of(&bytes),
    }))
}

/// The chain up to `head`.
///
/// # Errors
/// [`crate::outcome::Exit::Integrity`] as for the chain of a sub-account.
pub async fn read(source: &Archive, head: &Head) -> Result<Vec<RosterStep>> {
    let (mut steps, mut newest) = (Vec::new(), None);
    let mut walk = ChainWalk::<RosterRecord>::forwards(source, key::ROSTER, 1, head.sequence);
    while let Some(stored) = walk.next().await? {
        source.check_stop()?;
        newest = Some(stored.sha256);
        let lock = stored.envelope.manifest.object_lock;
        let lock = lock.as_ref().map(ObjectLock::lock);
        steps.push(RosterStep {
            key: stored.key,
            bytes: stored.bytes,
            sha256: stored.sha256,
            keep: Protection { lock, hold: false },
        });
    }
    match newest == Some(head.sha256) {
        true => Ok(steps),
        false => Err(changed(&key::manifest(key::ROSTER, head.sequence))),
    }
}

/// Confirms the records that are there already, and puts the others, in order.
pub async fn copy(source: &Archive, to: &Destination, steps: &[RosterStep]) -> Result<()> {
    let listed = &to.listed(&[key::ROSTERS.to_owned()]).await?;
    let (there, missing): (Vec<_>, Vec<_>) = steps
        .iter()
        .partition(|step| listed.contains_key(&step.key));
    let confirm = async |step: &RosterStep| {
        source.check_stop()?;
        to.there(&step.item(step.keep), listed.get(&step.key).copied())
            .await
    };
    stream::iter(there)
        .map(confirm)
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let get = |step| async move { Ok::<_, Failure>((step, text(source, step).await?)) };
    let mut texts = stream::iter(missing).map(get).buffered(AT_ONCE);
    while let Some((step, text)) = texts.try_next().await? {
        source.check_stop()?;
        // It tells of all the days, and is kept no shorter than any of them. Only what is put now: with each new day
        // that would be longer, and nothing would ever end.
        let put = to
            .put(&step.item(to.longest_of_all(step.keep)), Body::Bytes(text))
            .await?;
        to.count(|copied| copied.rosters += u64::from(put));
    }
    Ok(())
}

/// The record's bytes, the very ones that were checked.
async fn text(source: &Archive, step: &RosterStep) -> Result<bytes::Bytes> {
    let found = source.store.get(&step.key).await?;
    found
        .filter(|bytes| Digest::of(bytes) == step.sha256)
        .ok_or_else(|| changed(&step.key))
}

fn changed(key: &str) -> Failure {
    violated(format!("{key} was changed while it was copied"))
}
