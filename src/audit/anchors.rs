//! Heads that were kept elsewhere, read back: what the chains must hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::format::place::key;
use crate::format::record::anchor::Anchor;
use crate::outcome::{Failure, Result};
use crate::store::{ObjectVersion, Store, StoreErrorKind};

/// Anchors, and records of a remote store, that are fetched at once.
pub(super) const AT_ONCE: usize = 32;

/// The second place, opened for reading.
#[derive(Clone)]
pub struct Anchors {
    store: Arc<dyn Store>,
}

/// What lies there of one chain.
#[derive(Debug, Default)]
pub struct AnchoredHeads {
    pub by_number: BTreeMap<u64, Anchor>,
    /// Places under a number whose object is no anchor.
    pub wrong: Vec<String>,
    /// Of every object, where the store keeps versions.
    pub versions: Vec<ObjectVersion>,
}

impl fmt::Debug for Anchors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Anchors").field(&self.root()).finish()
    }
}

impl Anchors {
    pub fn new(store: Arc<dyn Store>) -> Anchors {
        Anchors { store }
    }

    pub fn root(&self) -> String {
        self.store.root()
    }

    /// An object's full address, for messages.
    pub fn address(&self, place: &str) -> String {
        format!("{}/{place}", self.root())
    }

    /// The names of an archive's anchored chains.
    pub async fn chains(&self, archive_id: &str) -> Result<Vec<String>> {
        match key::anchored_chains(archive_id) {
            Some(folder) => Ok(self
                .store
                .children(&folder)
                .await
                .map_err(unreadable)?
                .folders),
            None => Ok(Vec::new()),
        }
    }

    /// Every anchor of a chain, not the newest alone: whoever can add anchors could rewrite the chain, and add one of
    /// what he wrote.
    pub async fn of(&self, archive_id: &str, chain: &str) -> Result<AnchoredHeads> {
        let Some(folder) = key::anchored_chains(archive_id) else {
            return Ok(AnchoredHeads::default());
        };
        let folder = format!("{folder}{chain}/");
        let mut kept = AnchoredHeads::default();
        // Files have no versions.
        if self.store.local(key::ARCHIVE).is_none() {
            kept.versions = self.store.versions(&folder).await.map_err(unreadable)?;
        }
        let listed = self.store.list(&folder, None).await.map_err(unreadable)?;
        let ours = |place: &String| {
            key::parse_manifest(place).is_some_and(|n| key::anchor(archive_id, chain, n) == *place)
        };
        let read = |place: String| async move {
            let anchor = match self.store.get(&place).await {
                Ok(bytes) => bytes.and_then(|bytes| Anchor::from_bytes(&place, &bytes)),
                // Larger than any anchor is: somebody else's.
                Err(error) if error.kind == StoreErrorKind::Contradiction => None,
                Err(error) => return Err(unreadable(error)),
            };
            Ok::<_, Failure>((place, anchor))
        };
        let places = listed.into_iter().map(|entry| entry.key).filter(ours);
        let mut reads = stream::iter(places).map(read).buffered(AT_ONCE);
        while let Some((place, anchor)) = reads.try_next().await? {
            match anchor {
                Some(anchor) => drop(kept.by_number.insert(anchor.sequence, anchor)),
                None => kept.wrong.push(place),
            }
        }
        Ok(kept)
    }
}

/// The store's own advice is about the archive.
fn unreadable(error: impl Into<Failure>) -> Failure {
    error.into().remedy(
        "Check the anchor's place and credentials (CXVAULT_ANCHOR and the settings beside it); --no-anchor verifies \
         without it.",
    )
}
