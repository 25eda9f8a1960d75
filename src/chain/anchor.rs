//! Anchors the heads of chains: after each commit, and again at the end of a run for those that failed until then.
//!
//! Nothing here fails a commit, or undoes one: the archive is complete without its anchors, and only less provable. A head
//! that could not be anchored is reported at the end of the run, and the next run repeats the attempt.

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::chain::anchoring::{AnchorStore, AnchorTarget, Unanchored};
use crate::chain::archive::violated;
use crate::chain::read::ChainReader;
use crate::chain::writer::Writer;
use crate::format::place::key;
use crate::format::record::{Anchor, Manifest, RecordBody, RosterRecord, SignersRecord};
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};
use crate::store::{NewObject, PutOutcome, StoreError};

/// Chains whose heads are read and anchored concurrently at the end of a run.
const AT_ONCE: usize = 8;

/// Whether a head is anchored under the number that is about to be committed.
///
/// Then either another host was first, or the end of the chain was cut off, and a commit would hide that. A store that
/// does not answer says nothing.
pub(crate) async fn holds_number_of(writer: &Writer, anchor: &Anchor) -> bool {
    let anchoring = &writer.anchoring;
    let Some(store) = anchoring.usable_store() else {
        return false;
    };
    if anchoring.has_failed(AnchorTarget::Store) {
        return false;
    }
    match store.get(&anchor.place()).await {
        Ok(found) => found.is_some(),
        Err(error) => {
            tracing::debug!(%error, "the anchors cannot be read before the commit");
            false
        }
    }
}

/// Returns the place of the first anchor at the numbers of these records' keys, which the next record is about to pass over.
/// No head that an anchor knows is passed over. A store that does not answer says nothing.
pub(crate) async fn first_anchored(
    writer: &Writer,
    chain: &str,
    keys: impl Iterator<Item = &str>,
) -> Option<String> {
    let anchoring = &writer.anchoring;
    let store = anchoring.usable_store()?;
    if anchoring.has_failed(AnchorTarget::Store) {
        return None;
    }
    let name = key::chain_name(chain);
    let numbers = keys.filter_map(key::parse_manifest);
    let places: Vec<String> = numbers
        .map(|number| key::anchor(writer.id(), &name, number))
        .collect();
    let mut found = stream::iter(places)
        .map(|place| async move {
            let anchored = store.get(&place).await.ok().flatten();
            anchored.map(|_| place)
        })
        .buffered(AT_ONCE)
        .filter_map(|place| async move { place })
        .boxed();
    found.next().await
}

/// Returns the failure for a number that is anchored, and at which there is no record any more.
pub(super) fn exchanged(writer: &Writer, place: &str) -> Failure {
    let store = writer.anchoring.usable_store();
    let root = store.map_or_else(|| "the anchor".to_owned(), |store| store.root());
    violated(format!(
        "{root}/{place} is anchored, and the object at its number is no record any more: the chain's end was exchanged"
    ))
}

/// Delivers a head that was just committed to its receivers. A failure is logged as a warning, and left to [`settle`].
pub async fn committed(writer: &Writer, anchor: &Anchor) {
    let anchoring = &writer.anchoring;
    for target in anchoring.targets() {
        if anchoring.has_failed(target) {
            tracing::warn!(head = %anchor.head(), "committed, and not anchored yet");
            continue;
        }
        if let Err(failure) = deliver(writer, target, anchor).await {
            let unanchored = Unanchored::new(anchor, &failure);
            tracing::warn!(remedy = unanchored.remedy, "{}", unanchored.message);
            let mut state = anchoring.state();
            match failure.exit {
                Exit::Integrity => state.contradicted.push(unanchored),
                _ => drop(state.failed.insert(target)),
            }
        }
    }
}

async fn deliver(writer: &Writer, target: AnchorTarget, anchor: &Anchor) -> Result<()> {
    let anchoring = &writer.anchoring;
    let receiver = (target, anchor.chain.clone());
    let delivered = anchoring.state().delivered.get(&receiver).copied();
    if delivered.is_some_and(|delivered| delivered >= anchor.sequence) {
        return Ok(());
    }
    match target {
        AnchorTarget::Store => store(writer, anchor).await?,
        AnchorTarget::Webhook => notify(writer, anchor).await?,
    }
    anchoring
        .state()
        .delivered
        .insert(receiver, anchor.sequence);
    Ok(())
}

/// Stores an anchor, create-only like every object: a principal that can write to the anchors can add one, and change
/// none.
async fn store(writer: &Writer, anchor: &Anchor) -> Result<()> {
    let Some(AnchorStore { store, lock }) = &writer.anchoring.store else {
        return Ok(());
    };
    let store = store.as_ref().map_err(|why| {
        let mut failure = Failure::new(why.exit, why.reason());
        failure.remedy.clone_from(&why.remedy);
        remedied(failure)
    })?;
    let lock = lock.and_then(|lock| lock.lock_from(writer.clock.now_ms()));
    let body: Bytes = anchor.to_bytes().map_err(unwritable)?.into();
    let object = NewObject::from_bytes(anchor.place(), body, lock);
    if let PutOutcome::Created { .. } = store.put_new(&object).await.map_err(store_failed)? {
        return Ok(());
    }
    let found = store.get(&object.key).await.map_err(store_failed)?;
    let anchored = found
        .as_deref()
        .and_then(|bytes| Anchor::from_bytes(&object.key, bytes));
    match anchored {
        Some(anchored) if anchored.same_head(anchor) => Ok(()),
        other => Err(contradiction(&store.root(), anchor, other.as_ref())),
    }
}

/// Reports a head at least once: after the loss of the state folder the same head is reported again.
async fn notify(writer: &Writer, anchor: &Anchor) -> Result<()> {
    let Some(notifier) = &writer.anchoring.notifier else {
        return Ok(());
    };
    let head = Head {
        sequence: anchor.sequence,
        sha256: anchor.sha256,
        tree: anchor.tree.clone(),
    };
    if writer.state.announced_head(&anchor.chain)?.as_ref() == Some(&head) {
        return Ok(());
    }
    notifier
        .notify(anchor, writer.stop.is_cancelled())
        .await
        .map_err(|why| {
            Failure::later(format!("the webhook was not told: {why}"))
                .remedy("Check CXVAULT_ANCHOR_WEBHOOK_URL and its receiver; the next run tells it.")
        })?;
    Ok(writer.state.record_announced_head(&anchor.chain, &head)?)
}

/// Returns the present heads of these chains, and of the roster, where heads are anchored at all. A chain that cannot be
/// read is left out: the work on it has reported why.
pub async fn heads(writer: &Writer, sub_accounts: impl IntoIterator<Item = &str>) -> Vec<Anchor> {
    if writer.anchoring.is_off() || writer.stop.is_cancelled() {
        return Vec::new();
    }
    let sub_accounts: Vec<String> = sub_accounts.into_iter().map(str::to_owned).collect();
    let mut heads: Vec<Anchor> = stream::iter(sub_accounts)
        .map(|sub_account| async move {
            head_of(
                &ChainReader::<Manifest>::open(writer, &sub_account)
                    .await
                    .ok()?,
            )
        })
        .buffered(AT_ONCE)
        .filter_map(|head| async move { head })
        .collect()
        .await;
    heads.extend(archive_heads(writer).await);
    heads
}

/// Returns the present heads of the roster and of the chain of signers, where heads are anchored at all.
pub(crate) async fn archive_heads(writer: &Writer) -> Vec<Anchor> {
    if writer.anchoring.is_off() || writer.stop.is_cancelled() {
        return Vec::new();
    }
    let mut heads = Vec::new();
    if writer.rules().newest().is_some() {
        let signers = ChainReader::<SignersRecord>::open(writer, key::SIGNERS).await;
        heads.extend(signers.ok().and_then(|chain| head_of(&chain)));
    }
    let roster = ChainReader::<RosterRecord>::open(writer, key::ROSTER).await;
    heads.extend(roster.ok().and_then(|chain| head_of(&chain)));
    heads
}

/// Returns the head of a chain that was read.
pub(crate) fn head_of<B: RecordBody>(chain: &ChainReader<B>) -> Option<Anchor> {
    let newest = chain.newest()?;
    Some(Anchor::of(&newest.envelope.manifest, newest.sha256))
}

/// Delivers `heads` to the receivers that lack them, at the end of a run or a command, and returns those that could not
/// be delivered. Each run repeats this until it succeeds, so that nothing has to be remembered.
pub(crate) async fn settle(writer: &Writer, heads: Vec<Anchor>) -> Vec<Unanchored> {
    let anchoring = &writer.anchoring;
    anchoring.state().failed.clear();
    let settled: Vec<Vec<Unanchored>> = stream::iter(heads)
        .map(|anchor| settle_head(writer, anchor))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut failed: Vec<Unanchored> = settled.into_iter().flatten().collect();
    failed.append(&mut anchoring.state().contradicted);
    failed.sort_by(|left, right| left.message.cmp(&right.message));
    failed.dedup();
    failed
}

/// Delivers one head to every receiver that has not failed since [`settle`] began.
async fn settle_head(writer: &Writer, anchor: Anchor) -> Vec<Unanchored> {
    let anchoring = &writer.anchoring;
    let mut unanchored = Vec::new();
    for target in anchoring.targets() {
        if anchoring.has_failed(target) {
            let why = Failure::later("neither was another chain's head, just before")
                .remedy("The next run makes up for it.");
            unanchored.push(Unanchored::new(&anchor, &why));
        } else if let Err(failure) = deliver(writer, target, &anchor).await {
            if failure.exit != Exit::Integrity {
                anchoring.state().failed.insert(target);
            }
            unanchored.push(Unanchored::new(&anchor, &failure));
        }
    }
    unanchored
}

/// Returns the failure for a chain whose end was cut off before this run: its next number is anchored already.
pub fn cut_off(writer: &Writer, anchor: &Anchor) -> Failure {
    let store = writer.anchoring.usable_store();
    let root = store.map_or_else(|| "the anchor".to_owned(), |store| store.root());
    let place = anchor.place();
    violated(format!(
        "{root}/{place} is anchored, and {} is not there: the chain's end was cut off",
        anchor.key
    ))
}

fn contradiction(root: &str, anchor: &Anchor, anchored: Option<&Anchor>) -> Failure {
    let place = format!("{root}/{}", anchor.place());
    let message = match anchored {
        Some(anchored) => format!(
            "{place} has another manifest of that number ({}): the chain was forked, or the archive or its anchor was \
             rewritten",
            anchored.sha256
        ),
        None => {
            format!("{place} is not an anchor of this chain, but another object")
        }
    };
    Failure::integrity(message).remedy(
        "Do not write to this archive; find out who changed the archive or the anchor: `cxvault verify` compares both.",
    )
}

/// Returns the failure for a request that the store of the anchors did not fulfil.
fn store_failed(error: StoreError) -> Failure {
    remedied(error.into())
}

/// Replaces the remedy of a store's failure, which is about the archive.
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
    Failure::unexpected("cannot write an anchor")
        .because(error)
        .remedy("Report this.")
}
