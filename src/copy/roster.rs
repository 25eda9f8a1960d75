//! The chains about the whole archive: the roster, and the chain of signers. Both are read completely before anything is
//! copied, like the chains whose heads they name. The signers are copied before all other chains, because a reader judges
//! these by them; the roster after all of them.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::archive::violated;
use crate::chain::{Archive, ChainWalk, Protection, read, signers};
use crate::copy::destination::{CopyItem, Destination};
use crate::copy::job::AT_ONCE;
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{Head, ObjectLock, RosterRecord};
use crate::outcome::{Failure, Result};
use crate::store::Body;

/// One record that was verified. Its object is read again when it is copied: inventories are long, and each run adds one.
#[derive(Debug)]
pub(crate) struct RosterStep {
    key: String,
    bytes: u64,
    sha256: Digest,
    /// The lock under which it was stored.
    pub required: Protection,
}

impl RosterStep {
    fn item(&self, required: Protection) -> CopyItem<'_> {
        CopyItem {
            key: &self.key,
            bytes: self.bytes,
            sha256: self.sha256,
            required,
        }
    }
}

/// Returns the head of the roster; `None` where there is no roster. The chain is read up to it later.
///
/// # Errors
/// Those of the store, and `Exit::Integrity` where the newest record does not hold, or was listed and is gone.
pub(super) async fn head(source: &Archive) -> Result<Option<Head>> {
    let newest = read::newest::<RosterRecord>(source, key::ROSTER).await?;
    Ok(newest.map(|newest| newest.head()))
}

/// Reads and verifies the chain of signers; empty where the keys have never changed.
///
/// # Errors
/// As [`read_chain`].
pub(super) async fn read_signers(source: &Archive) -> Result<Vec<RosterStep>> {
    let records = signers::read_all(source).await?;
    let steps = records.into_iter().map(|stored| RosterStep {
        key: stored.key,
        bytes: stored.bytes,
        sha256: stored.sha256,
        required: Protection::default(),
    });
    Ok(steps.collect())
}

/// Reads and verifies the roster up to `head`.
///
/// # Errors
/// [`crate::outcome::Exit::Integrity`] as for the chain of a sub-account.
pub(super) async fn read_chain(source: &Archive, head: &Head) -> Result<Vec<RosterStep>> {
    let (mut steps, mut newest) = (Vec::new(), None);
    let mut walk = ChainWalk::<RosterRecord>::forwards(source, key::ROSTER, 1, head.sequence);
    while let Some(stored) = walk.next().await? {
        source.check_stop()?;
        newest = Some(stored.sha256);
        let lock = stored.envelope.manifest.object_lock.as_ref();
        let lock = lock.map(ObjectLock::lock);
        steps.push(RosterStep {
            key: stored.key,
            bytes: stored.bytes,
            sha256: stored.sha256,
            required: Protection { lock, hold: false },
        });
    }
    match newest == Some(head.sha256) {
        true => Ok(steps),
        false => Err(changed(&key::manifest(key::ROSTER, head.sequence))),
    }
}

/// Confirms the records in `folder` that the copy has already, and stores the others, in order: a crash leaves a shorter
/// chain. Returns the number of those that were stored.
///
/// # Errors
/// `Exit::Integrity` where a record was changed, here or there; errors of the stores.
pub(super) async fn copy(
    source: &Archive,
    to: &Destination,
    folder: &str,
    steps: &[RosterStep],
) -> Result<u64> {
    let mut stored = 0;
    let listed = &to.listed(&[folder.to_owned()]).await?;
    let (there, missing): (Vec<_>, Vec<_>) = steps
        .iter()
        .partition(|step| listed.contains_key(&step.key));
    stream::iter(there)
        .map(async |step| {
            source.check_stop()?;
            let bytes = listed.get(&step.key).copied();
            to.confirm(&step.item(step.required), bytes).await
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let mut records = stream::iter(missing)
        .map(|step| async move { Ok::<_, Failure>((step, fetch_again(source, step).await?)) })
        .buffered(AT_ONCE);
    while let Some((step, bytes)) = records.try_next().await? {
        source.check_stop()?;
        // A record names all days, and is locked at least as long as each of them. That applies only to records that are
        // stored now: otherwise each new day would extend the lock of all records, and no retention would ever end.
        let item = step.item(to.longest_of_all(step.required));
        let put = to.put(&item, Body::Bytes(bytes)).await?;
        stored += u64::from(put);
    }
    Ok(stored)
}

/// Fetches the bytes of a record that was verified before, and checks that they are still the same.
async fn fetch_again(source: &Archive, step: &RosterStep) -> Result<bytes::Bytes> {
    let found = source.store.get(&step.key).await?;
    found
        .filter(|bytes| Digest::of(bytes) == step.sha256)
        .ok_or_else(|| changed(&step.key))
}

fn changed(key: &str) -> Failure {
    violated(format!("{key} was changed while it was copied"))
}
