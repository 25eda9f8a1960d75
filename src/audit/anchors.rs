//! Heads that were stored in a second place, read back: the chains must contain them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::format::place::key;
use crate::format::record::Anchor;
use crate::outcome::{Failure, Result};
use crate::store::{ObjectVersion, Store, StoreErrorKind};

/// Anchors, and records of a remote store, that are fetched at once.
pub(super) const AT_ONCE: usize = 32;

/// The store of the anchors, opened for reading.
#[derive(Clone)]
pub struct Anchors {
    store: Arc<dyn Store>,
}

/// The anchors of one chain.
#[derive(Debug, Default)]
pub(crate) struct AnchoredHeads {
    /// The anchors by the number of the record that each names.
    pub by_number: BTreeMap<u64, Anchor>,
    /// Keys of objects that have the name of an anchor and are none.
    pub wrong: Vec<String>,
    /// The versions of every object, where the store keeps versions.
    pub versions: Vec<ObjectVersion>,
}

impl fmt::Debug for Anchors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Anchors").field(&self.root()).finish()
    }
}

impl Anchors {
    /// Reads anchors from `store`.
    pub fn new(store: Arc<dyn Store>) -> Anchors {
        Anchors { store }
    }

    /// Returns the location of the anchors.
    pub fn root(&self) -> String {
        self.store.root()
    }

    /// Returns an object's full address, for messages.
    pub fn address(&self, place: &str) -> String {
        format!("{}/{place}", self.root())
    }

    /// Returns the names of an archive's anchored chains.
    ///
    /// # Errors
    /// Those of the store.
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

    /// Returns the ids of the archives that have anchors in this place.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn archives(&self) -> Result<Vec<String>> {
        let below = self.store.children(key::ANCHORS).await;
        Ok(below.map_err(unreadable)?.folders)
    }

    /// Reads every anchor of a chain, not the newest alone: a principal that can add anchors could rewrite the chain, and
    /// add an anchor of the new head.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn of(&self, archive_id: &str, chain: &str) -> Result<AnchoredHeads> {
        let Some(folder) = key::anchored_chains(archive_id) else {
            return Ok(AnchoredHeads::default());
        };
        let folder = format!("{folder}{chain}/");
        let mut anchored = AnchoredHeads::default();
        // Files have no versions.
        if self.store.local(key::ARCHIVE).is_none() {
            anchored.versions = self.store.versions(&folder).await.map_err(unreadable)?;
        }
        let listed = self.store.list(&folder, None).await.map_err(unreadable)?;
        // Other objects are not anchors of this chain, and say nothing about it.
        let places = listed.into_iter().map(|entry| entry.key).filter(|place| {
            key::parse_manifest(place).is_some_and(|n| key::anchor(archive_id, chain, n) == *place)
        });
        let mut reads = stream::iter(places)
            .map(|place| self.read_anchor(place))
            .buffered(AT_ONCE);
        while let Some((place, anchor)) = reads.try_next().await? {
            match anchor {
                Some(anchor) => drop(anchored.by_number.insert(anchor.sequence, anchor)),
                None => anchored.wrong.push(place),
            }
        }
        Ok(anchored)
    }

    /// Reads the anchor at `place`, and returns both; `None` where the object there is no anchor.
    async fn read_anchor(&self, place: String) -> Result<(String, Option<Anchor>)> {
        let anchor = match self.store.get(&place).await {
            Ok(bytes) => bytes.and_then(|bytes| Anchor::from_bytes(&place, &bytes)),
            // Larger than an anchor can be: an object of another origin.
            Err(error) if error.kind == StoreErrorKind::Contradiction => None,
            Err(error) => return Err(unreadable(error)),
        };
        Ok((place, anchor))
    }
}

/// Replaces the remedy of a store's failure, which is about the archive.
fn unreadable(error: impl Into<Failure>) -> Failure {
    error.into().remedy(
        "Check the anchor's place and credentials (CXVAULT_ANCHOR and the settings beside it); --no-anchor verifies \
         without it.",
    )
}
