//! Heads kept elsewhere: after each commit, and once more at a run's end for what failed until then.
//!
//! Nothing here fails a commit, or undoes one: the archive is whole without its anchors, and only less provable. What
//! could not be kept is told at the end, and the next run makes up for it by doing the same again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::chain::days::Chain;
use crate::chain::roster::Roster;
use crate::chain::writer::Writer;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::anchor::Anchor;
use crate::format::record::head::HeadRef;
use crate::format::record::lock::Retention;
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};
use crate::store::{Body, NewObject, PutOutcome, Store};

/// Chains looked at and kept at once, at a run's end.
const AT_ONCE: usize = 8;

/// The second place.
pub struct AnchorStore {
    /// Or why it cannot be used, which no commit waits for.
    pub store: Result<Arc<dyn Store>>,
    /// Of every anchor.
    pub lock: Option<Retention>,
}

/// Tells somebody else of heads.
#[async_trait]
pub trait HeadNotifier: Send + Sync {
    /// With `hurry` it is tried once only.
    ///
    /// # Errors
    /// Why it could not be told, without the address.
    async fn tell(&self, anchor: &Anchor, hurry: bool) -> Result<(), String>;
}

/// Where heads go, and how they got there in this run.
#[derive(Default)]
pub struct Anchoring {
    keeper: Option<AnchorStore>,
    herald: Option<Arc<dyn HeadNotifier>>,
    standing: Mutex<AnchorState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AnchorTarget {
    Store,
    Webhook,
}

#[derive(Debug, Default)]
struct AnchorState {
    /// The newest number of each chain that a receiver has.
    had: BTreeMap<(AnchorTarget, String), u64>,
    /// Those that failed: not tried again at each of hundreds of commits, each of which would wait for it.
    down: BTreeSet<AnchorTarget>,
    /// Heads that contradict what is kept; later ones of the same chain must not hide them.
    contradicted: Vec<Unanchored>,
}

/// A head that is not kept elsewhere as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unanchored {
    /// The head, serialised as `CHAIN:SEQUENCE:SHA256`.
    pub head: HeadRef,
    pub exit: Exit,
    pub message: String,
    pub remedy: Option<String>,
}

impl Unanchored {
    fn new(anchor: &Anchor, failure: &Failure) -> Unanchored {
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

    /// The sub-account, or the name of a chain of another kind.
    pub fn chain(&self) -> &str {
        &self.head.chain
    }

    pub fn log(&self) {
        tracing::error!(head = %self.head, remedy = self.remedy, "{}", self.message);
    }
}

impl From<Unanchored> for Failure {
    fn from(unanchored: Unanchored) -> Failure {
        let failure = Failure::new(unanchored.exit, unanchored.message);
        match unanchored.remedy {
            Some(remedy) => failure.remedy(remedy),
            None => failure,
        }
    }
}

impl Anchoring {
    pub fn new(keeper: Option<AnchorStore>, herald: Option<Arc<dyn HeadNotifier>>) -> Anchoring {
        Anchoring {
            keeper,
            herald,
            standing: Mutex::default(),
        }
    }

    /// Whether heads are kept here only.
    pub fn is_off(&self) -> bool {
        self.keeper.is_none() && self.herald.is_none()
    }

    fn standing(&self) -> MutexGuard<'_, AnchorState> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a head is kept under the number that is about to be given. Then either another host was first, or the
    /// chain's end was cut off, and a commit would build over it. A place that cannot be asked says nothing.
    pub async fn holds_number_of(&self, anchor: &Anchor) -> bool {
        let Some(AnchorStore {
            store: Ok(store), ..
        }) = &self.keeper
        else {
            return false;
        };
        if self.standing().down.contains(&AnchorTarget::Store) {
            return false;
        }
        match store.get(&anchor.place()).await {
            Ok(found) => found.is_some(),
            Err(error) => {
                tracing::debug!(%error, "the anchor cannot be asked before the commit");
                false
            }
        }
    }

    /// Brings a head that was just committed to its receivers. What fails is a warning, and left to [`settle`].
    pub async fn committed(&self, archive: &Writer, anchor: &Anchor) {
        for receiver in self.receivers() {
            if self.standing().down.contains(&receiver) {
                tracing::warn!(head = %anchor.head(), "committed, and not anchored yet");
                continue;
            }
            if let Err(failure) = self.bring(archive, receiver, anchor).await {
                let unanchored = Unanchored::new(anchor, &failure);
                tracing::warn!(remedy = unanchored.remedy, "{}", unanchored.message);
                let mut standing = self.standing();
                match failure.exit {
                    Exit::Integrity => standing.contradicted.push(unanchored),
                    _ => drop(standing.down.insert(receiver)),
                }
            }
        }
    }

    fn receivers(&self) -> impl Iterator<Item = AnchorTarget> + use<> {
        let keeper = self.keeper.as_ref().map(|_| AnchorTarget::Store);
        keeper
            .into_iter()
            .chain(self.herald.as_ref().map(|_| AnchorTarget::Webhook))
    }

    async fn bring(&self, archive: &Writer, receiver: AnchorTarget, anchor: &Anchor) -> Result<()> {
        let place = (receiver, anchor.chain.clone());
        if self
            .standing()
            .had
            .get(&place)
            .is_some_and(|had| *had >= anchor.sequence)
        {
            return Ok(());
        }
        match receiver {
            AnchorTarget::Store => self.keep(archive, anchor).await?,
            AnchorTarget::Webhook => self.announce(archive, anchor).await?,
        }
        self.standing().had.insert(place, anchor.sequence);
        Ok(())
    }

    /// Create-only, as everything: whoever can write to the archive can add an anchor, and change none.
    async fn keep(&self, archive: &Writer, anchor: &Anchor) -> Result<()> {
        let Some(AnchorStore { store, lock }) = &self.keeper else {
            return Ok(());
        };
        let store = store.as_ref().map_err(|why| {
            let failure = Failure::new(why.exit, why.reason());
            remedied(
                why.remedy
                    .iter()
                    .fold(failure, |failure, remedy| failure.remedy(remedy.as_str())),
            )
        })?;
        let lock = lock.and_then(|lock| lock.lock_from(archive.clock.now_ms()));
        let body: Bytes = anchor.to_bytes().map_err(unwritable)?.into();
        let (key, sha256) = (anchor.place(), Digest::of(&body));
        let object = NewObject {
            key,
            sha256,
            body: Body::Bytes(body),
            lock,
            legal_hold: false,
        };
        let failed = |error: crate::store::StoreError| remedied(error.into());
        if let PutOutcome::Created { .. } = store.put_new(&object).await.map_err(failed)? {
            return Ok(());
        }
        let found = store.get(&object.key).await.map_err(failed)?;
        let kept = found
            .as_deref()
            .and_then(|bytes| Anchor::from_bytes(&object.key, bytes));
        match kept {
            Some(kept) if kept.same_head(anchor) => Ok(()),
            other => Err(contradiction(&store.root(), anchor, other.as_ref())),
        }
    }

    /// At least once: a state folder that was lost tells the same head again.
    async fn announce(&self, archive: &Writer, anchor: &Anchor) -> Result<()> {
        let Some(herald) = &self.herald else {
            return Ok(());
        };
        let head = Head {
            sequence: anchor.sequence,
            sha256: anchor.sha256,
        };
        if archive.state.announced_head(&anchor.chain)?.as_ref() == Some(&head) {
            return Ok(());
        }
        herald
            .tell(anchor, archive.stop.is_cancelled())
            .await
            .map_err(|why| {
                Failure::new(Exit::Later, format!("the webhook was not told: {why}")).remedy(
                    "Check CXVAULT_ANCHOR_WEBHOOK_URL and its receiver; the next run tells it.",
                )
            })?;
        Ok(archive.state.record_announced_head(&anchor.chain, &head)?)
    }
}

/// The heads of these chains, and of the roster, as they are now, where anybody wants them. Why a chain cannot be read,
/// the work on it has told.
pub async fn heads(archive: &Writer, sub_accounts: impl IntoIterator<Item = &str>) -> Vec<Anchor> {
    if archive.anchoring.is_off() || archive.stop.is_cancelled() {
        return Vec::new();
    }
    let head = |sub_account: String| async move {
        let chain = Chain::open(archive, &sub_account).await.ok()?;
        let newest = chain.newest()?;
        Some(Anchor::of(&newest.envelope.manifest, newest.sha256))
    };
    let sub_accounts: Vec<String> = sub_accounts.into_iter().map(str::to_owned).collect();
    let heads = stream::iter(sub_accounts).map(head).buffered(AT_ONCE);
    let mut heads: Vec<Anchor> = heads.filter_map(|head| async move { head }).collect().await;
    heads.extend(roster_head(archive).await);
    heads
}

/// The roster's head as it is now, where anybody wants it.
pub async fn roster_head(archive: &Writer) -> Option<Anchor> {
    if archive.anchoring.is_off() || archive.stop.is_cancelled() {
        return None;
    }
    let roster = Roster::open(archive, key::ROSTER).await.ok()?;
    let newest = roster.newest()?;
    Some(Anchor::of(&newest.envelope.manifest, newest.sha256))
}

/// Brings `heads` to whoever lacks them, at the end of a run or a command, and says which of them could not be brought.
/// Again and again the same until it succeeds: nothing has to be remembered.
pub async fn settle(archive: &Writer, heads: Vec<Anchor>) -> Vec<Unanchored> {
    let anchoring = &archive.anchoring;
    anchoring.standing().down.clear();
    let settle = |anchor: Anchor| async move {
        let mut failed = Vec::new();
        for receiver in anchoring.receivers() {
            failed.extend(settle_one(archive, receiver, &anchor).await);
        }
        failed
    };
    let mut settled = stream::iter(heads).map(settle).buffer_unordered(AT_ONCE);
    let mut failed = Vec::new();
    while let Some(some) = settled.next().await {
        failed.extend(some);
    }
    failed.append(&mut anchoring.standing().contradicted);
    failed.sort_by(|one, other| one.message.cmp(&other.message));
    failed.dedup();
    failed
}

async fn settle_one(
    archive: &Writer,
    receiver: AnchorTarget,
    anchor: &Anchor,
) -> Option<Unanchored> {
    let anchoring = &archive.anchoring;
    if anchoring.standing().down.contains(&receiver) {
        let why = Failure::new(Exit::Later, "neither was another chain's head, just before");
        return Some(Unanchored::new(
            anchor,
            &why.remedy("The next run makes up for it."),
        ));
    }
    let failure = anchoring.bring(archive, receiver, anchor).await.err()?;
    if failure.exit != Exit::Integrity {
        anchoring.standing().down.insert(receiver);
    }
    Some(Unanchored::new(anchor, &failure))
}

/// The chain's end was cut off before this run: the number that it would give next is anchored.
pub fn cut_off(archive: &Writer, anchor: &Anchor) -> Failure {
    let root = match &archive.anchoring.keeper {
        Some(AnchorStore {
            store: Ok(store), ..
        }) => store.root(),
        _ => "the anchor".to_owned(),
    };
    let place = anchor.place();
    let message = format!(
        "{root}/{place} is anchored, and {} is not there: the chain's end was cut off",
        anchor.key
    );
    crate::chain::archive::violated(message)
}

fn contradiction(root: &str, anchor: &Anchor, kept: Option<&Anchor>) -> Failure {
    let place = format!("{root}/{}", anchor.place());
    let message = match kept {
        Some(kept) => format!(
            "{place} has another manifest of that number ({}): the chain was forked, or the archive or its anchor was \
             rewritten",
            kept.sha256
        ),
        None => {
            format!(
                "{place} is another object than an anchor of this chain: somebody else has put it there"
            )
        }
    };
    Failure::new(Exit::Integrity, message).remedy(
        "Do not write to this archive; find out who changed the archive or the anchor: `cxvault verify` compares both.",
    )
}

/// The store's own advice is about the archive.
fn remedied(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Later => failure.remedy(
            "The next run makes up for it. If this never worked, check CXVAULT_ANCHOR and CXVAULT_ANCHOR_S3_ENDPOINT.",
        ),
        Exit::Denied => failure.remedy(
            "Correct the anchor's credentials (CXVAULT_ANCHOR_ACCESS_KEY_ID, CXVAULT_ANCHOR_S3_PROFILE), or let them \
             s3:PutObject and s3:GetObject there; the next run makes up for it.",
        ),
        Exit::Usage => failure.remedy("Correct CXVAULT_ANCHOR and the settings beside it (`cxvault doctor` tries them)."),
        _ => failure,
    }
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::new(Exit::Unexpected, "cannot write an anchor")
        .because(error)
        .remedy("Report this.")
}
