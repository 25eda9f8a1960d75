//! The archive-wide chain, by its numbers and links alone: whatever its records say, they are copied as they are.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::AT_ONCE;
use super::chain::Keep;
use super::destination::{Destination, Item};
use crate::archive::copy::Head;
use crate::archive::digest::Digest;
use crate::archive::key;
use crate::audit::source::Source;
use crate::audit::violated;
use crate::outcome::{Failure, Result};
use crate::store::{Body, Store};

/// The newest record; none where there is no such chain.
pub async fn head(store: &dyn Store) -> Result<Option<Head>> {
    let listed = store.list(key::ROSTERS, None).await?;
    let numbers = listed.iter().filter_map(|entry| key::parse_manifest(&entry.key));
    let Some(sequence) = numbers.max() else { return Ok(None) };
    let key = key::manifest(key::ROSTER, sequence);
    let bytes = store.get(&key).await?.ok_or_else(|| violated(format!("{key} is missing")))?;
    Ok(Some(Head { sequence, sha256: Digest::of(&bytes) }))
}

/// Puts the records that are not there yet, in order, each only when it links the one before it.
pub async fn copy(source: &Source, to: &Destination, head: Head) -> Result<()> {
    // The newest one there is the source's own, as has been looked: so are those that it stands on.
    let there = if to.check { None } else { to.roster };
    let (after, mut previous) = there.map_or((0, None), |there| (there.sequence, Some(there.sha256)));
    let get = |sequence| async move {
        let key = key::manifest(key::ROSTER, sequence);
        let bytes = source.store.get(&key).await?.ok_or_else(|| violated(format!("{key} is missing")))?;
        Ok::<_, Failure>((key, bytes))
    };
    let mut records = stream::iter(after + 1..=head.sequence).map(get).buffered(AT_ONCE);
    while let Some((key, bytes)) = records.try_next().await? {
        source.check_stop()?;
        if previous_of(&bytes) != previous {
            return Err(violated(format!("{key} does not name the record before it")));
        }
        let sha256 = Digest::of(&bytes);
        previous = Some(sha256);
        put(to, &key, bytes, sha256).await?;
    }
    match previous {
        Some(last) if last == head.sha256 => Ok(()),
        // It has grown there meanwhile, by another copier.
        _ if after > head.sequence => Ok(()),
        _ => Err(violated(format!(
            "{} was changed while it was copied",
            key::manifest(key::ROSTER, head.sequence)
        ))),
    }
}

async fn put(to: &Destination, key: &str, bytes: Bytes, sha256: Digest) -> Result<()> {
    // It names no lock. What it tells of is kept no longer than the longest.
    let keep = Keep { lock: to.longest(), hold: false };
    let item = Item { key, bytes: bytes.len() as u64, sha256, keep };
    let put = to.put(&item, Body::Bytes(bytes)).await?;
    to.count(|copied| copied.rosters += u64::from(put));
    Ok(())
}

/// The SHA-256 that a record names as the one before it.
fn previous_of(bytes: &[u8]) -> Option<Digest> {
    let record: Value = serde_json::from_slice(bytes).ok()?;
    record["manifest"]["previous"]["sha256"].as_str()?.parse().ok()
}
