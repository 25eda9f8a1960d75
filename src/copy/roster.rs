//! The roster's chain. It is read completely before anything is copied, like the chains whose heads it names, and copied
//! after all of them.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::archive::violated;
use crate::chain::{Archive, ChainWalk, Protection};
use crate::copy::destination::{CopyItem, Destination};
use crate::copy::job::AT_ONCE;
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{Head, ObjectLock, RosterRecord};
use crate::outcome::{Failure, Result};
use crate::store::{Body, Store};

/// One record that was verified. Its object is read again when it is copied: inventories are long, and each run adds one.
#[derive(Debug)]
pub(crate) struct RosterStep {
    key: String,
    bytes: u64,
    sha256: Digest,
    /// The lock under which it was stored.
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

/// Returns the head of the roster; `None` where there is no roster.
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

/// Reads the chain up to `head`.
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

/// Confirms the records that the copy has already, and stores the others, in order.
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
        // A record names all days, and is locked at least as long as each of them. That applies only to records that are
        // stored now: otherwise each new day would extend the lock of all records, and no retention would ever end.
        let put = to
            .put(&step.item(to.longest_of_all(step.keep)), Body::Bytes(text))
            .await?;
        to.count(|copied| copied.rosters += u64::from(put));
    }
    Ok(())
}

/// Returns the bytes that were verified before.
async fn text(source: &Archive, step: &RosterStep) -> Result<bytes::Bytes> {
    let found = source.store.get(&step.key).await?;
    found
        .filter(|bytes| Digest::of(bytes) == step.sha256)
        .ok_or_else(|| changed(&step.key))
}

fn changed(key: &str) -> Failure {
    violated(format!("{key} was changed while it was copied"))
}
