//! The second place where heads are stored, and what became of them in this run.
//!
//! An anchor proves that a chain had a head, wherever the archive itself may have been changed. It is stored outside of
//! the archive, in a store that another principal controls, and reported to a webhook. [`crate::chain::anchor`] brings
//! heads there; this module holds the state that does so once for each head, and waits for no receiver that has failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::Serialize;

use crate::format::record::{Anchor, HeadRef, Retention};
use crate::outcome::{Exit, Failure, Result};
use crate::store::Store;

/// The store that holds anchors.
pub struct AnchorStore {
    /// The store, or why it cannot be used. No commit waits for it.
    pub store: Result<Arc<dyn Store>>,
    /// The lock that each anchor gets.
    pub lock: Option<Retention>,
}

/// A receiver of heads outside of this program, such as a webhook.
#[async_trait]
pub trait HeadNotifier: Send + Sync {
    /// Reports a head. With `once` a failed request is not repeated.
    ///
    /// # Errors
    /// The reason for the failure, without the receiver's address.
    async fn notify(&self, anchor: &Anchor, once: bool) -> Result<(), String>;
}

/// Where heads are stored a second time, and which of them have arrived in this run.
#[derive(Default)]
pub struct Anchoring {
    pub(super) store: Option<AnchorStore>,
    pub(super) notifier: Option<Arc<dyn HeadNotifier>>,
    state: Mutex<AnchorState>,
}

/// A receiver of heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AnchorTarget {
    Store,
    Webhook,
}

#[derive(Debug, Default)]
pub(super) struct AnchorState {
    /// The newest number of each chain that a receiver has.
    pub delivered: BTreeMap<(AnchorTarget, String), u64>,
    /// Receivers that failed. They are not tried again at each of hundreds of commits, each of which would wait.
    pub failed: BTreeSet<AnchorTarget>,
    /// Heads that contradict what is anchored. Later heads of the same chain must not hide them.
    pub contradicted: Vec<Unanchored>,
}

/// A head that is not anchored as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Unanchored {
    /// The head, serialised as `CHAIN:SEQUENCE:SHA256`.
    pub head: HeadRef,
    /// The exit code that the failure calls for.
    pub exit: Exit,
    /// What happened, and why.
    pub message: String,
    /// What the operator can do.
    pub remedy: Option<String>,
}

impl Unanchored {
    pub(super) fn new(anchor: &Anchor, failure: &Failure) -> Unanchored {
        let head = anchor.head();
        let message = format!(
            "head {head} is committed, and not anchored: {}",
            failure.reason()
        );
        Unanchored {
            head,
            exit: failure.exit,
            message,
            remedy: failure.remedy.clone(),
        }
    }

    /// Returns the sub-account, or the name of a chain of another kind.
    pub fn chain(&self) -> &str {
        &self.head.chain
    }

    /// Logs the failure as an error.
    pub fn log(&self) {
        tracing::error!(head = %self.head, remedy = self.remedy, "{}", self.message);
    }
}

impl From<Unanchored> for Failure {
    fn from(unanchored: Unanchored) -> Failure {
        let mut failure = Failure::new(unanchored.exit, unanchored.message);
        failure.remedy = unanchored.remedy;
        failure
    }
}

impl Anchoring {
    /// Returns the receivers of a run that has delivered nothing yet.
    pub fn new(store: Option<AnchorStore>, notifier: Option<Arc<dyn HeadNotifier>>) -> Anchoring {
        Anchoring {
            store,
            notifier,
            state: Mutex::default(),
        }
    }

    /// Whether heads are stored in the archive only.
    pub(crate) fn is_off(&self) -> bool {
        self.store.is_none() && self.notifier.is_none()
    }

    /// Returns the store of the anchors; `None` where none is configured, or where it cannot be used.
    pub(super) fn usable_store(&self) -> Option<&dyn Store> {
        self.store.as_ref()?.store.as_deref().ok()
    }

    /// Returns what was delivered in this run, and what failed.
    pub(super) fn state(&self) -> MutexGuard<'_, AnchorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this receiver has failed in this run.
    pub(super) fn has_failed(&self, target: AnchorTarget) -> bool {
        self.state().failed.contains(&target)
    }

    /// Returns the receivers that are configured.
    pub(super) fn targets(&self) -> impl Iterator<Item = AnchorTarget> + use<> {
        let store = self.store.as_ref().map(|_| AnchorTarget::Store);
        let webhook = self.notifier.as_ref().map(|_| AnchorTarget::Webhook);
        store.into_iter().chain(webhook)
    }
}
