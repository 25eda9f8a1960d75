//! Changing the keys that count: a record of the chain of signers.
//!
//! The record names the heads of all chains, and the new keys count from there on. A record that another host commits
//! between the reading of its chain and the commit of the change lies beyond the head that is named, and is judged by the
//! new keys: if its key was removed, it is a foreign object, the day is missing, and the next run archives it again. The
//! command looks for such objects and reports them.
//!
//! A crash before the commit leaves nothing; after it the same command finds the keys as they should be, and adds nothing.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::append;
use crate::chain::append::{Appended, Mode};
use crate::chain::days::Chain;
use crate::chain::protection::Protection;
use crate::chain::read::ChainReader;
use crate::chain::roster::Roster;
use crate::chain::writer::Writer;
use crate::format::place::key;
use crate::format::record::{ChainHead, KeyChange, KeyList, SignersEntry, SignersRecord};
use crate::format::row::FORMAT_VERSION;
use crate::format::signature::PublicKey;
use crate::journal::Head;
use crate::outcome::{Failure, Result};

/// Chains that are opened concurrently.
const AT_ONCE: usize = 16;

/// What is to become of the keys that count.
#[derive(Debug, Clone)]
pub(crate) enum KeyRequest {
    /// These keys count as well.
    Add(Vec<PublicKey>),
    /// These keys count no more.
    Remove(Vec<PublicKey>),
    /// Signing begins, with the writer's own key and these.
    Begin(Vec<PublicKey>),
}

/// How a change ended.
#[derive(Debug)]
pub(crate) struct KeysChanged {
    /// The keys that count from now on.
    pub keys: KeyList,
    /// The head of the chain of signers; `None` in a dry run, and where the keys were so before.
    pub head: Option<Head>,
    /// Whether the keys were so before.
    pub is_unchanged: bool,
    /// The chains in which objects lie beyond the head that are no records, the roster's included.
    pub with_foreign_objects: Vec<String>,
}

/// Changes the keys that count. `roster` was opened for writing, so that a copy is refused.
///
/// # Errors
/// `Exit::Usage` for a change that is not possible; `Exit::Integrity` where a chain does not hold.
pub(crate) async fn change_keys(
    writer: &Writer,
    roster: &mut Roster,
    request: &KeyRequest,
    reason: &str,
    by: Option<&str>,
    mode: Mode,
) -> Result<KeysChanged> {
    let mut chain = ChainReader::<SignersRecord>::open(writer, key::SIGNERS).await?;
    loop {
        // The keys by the very record that the new one follows: what another host commits in between takes its number.
        let newest = chain.find_newest(writer, |read| {
            let change = read.envelope.manifest.change();
            change.map(|change| change.keys.clone())
        });
        let current = newest.await?;
        let current = current.unwrap_or_else(|| writer.record.signers.clone());
        let keys = requested(writer, &current, request)?;
        if keys == current {
            return Ok(KeysChanged {
                keys,
                head: None,
                is_unchanged: true,
                with_foreign_objects: Vec::new(),
            });
        }
        let heads = heads(writer, roster).await?;
        let change = KeyChange {
            keys: keys.clone(),
            begin: matches!(request, KeyRequest::Begin(_)),
            chains: heads,
            reason: reason.to_owned(),
            by: by.map(str::to_owned),
        };
        if mode == Mode::DryRun {
            return Ok(KeysChanged {
                keys,
                head: None,
                is_unchanged: false,
                with_foreign_objects: Vec::new(),
            });
        }
        let protection = Protection {
            lock: writer.fresh_lock()?,
            hold: false,
        };
        let record = record(writer, &chain, change)?;
        if let Appended::Done(head) = append::put(writer, &mut chain, record, protection).await? {
            writer.learn_signers().await?;
            return Ok(KeysChanged {
                keys,
                head: Some(head),
                is_unchanged: false,
                with_foreign_objects: with_foreign_objects(writer).await?,
            });
        }
        // Another host has changed the keys: what it committed may be what is requested, or forbid it.
        writer.learn_signers().await?;
    }
}

/// Returns the keys that count after the change, where `current` count now.
fn requested(writer: &Writer, current: &KeyList, request: &KeyRequest) -> Result<KeyList> {
    let own = writer.own_key().ok_or_else(|| {
        Failure::usage("no signing key is configured, and a change of keys is signed")
            .remedy("Set CXVAULT_SIGNING_KEY_FILE, or name a key with --sign-with.")
    })?;
    if let KeyRequest::Begin(more) = request {
        let keys = KeyList::of(more.iter().copied().chain([own]));
        return match !current.is_empty() && keys != *current {
            true => Err(Failure::usage("this archive is signed already").remedy(
                "A key that counts adds another: `cxvault signers add`. `cxvault signers list` names the keys that count.",
            )),
            false => Ok(keys),
        };
    }
    writer.check_may_write()?;
    let current = current.iter().copied();
    match request {
        KeyRequest::Add(more) => Ok(KeyList::of(current.chain(more.iter().copied()))),
        KeyRequest::Remove(gone) => {
            let left = KeyList::of(current.filter(|key| !gone.contains(key)));
            match left.is_empty() {
                true => Err(Failure::usage(
                    "the last key cannot be removed: nothing could be signed any more",
                )
                .remedy("Add another key first: `cxvault signers add`.")),
                false => Ok(left),
            }
        }
        KeyRequest::Begin(_) => Err(Failure::unforeseen()),
    }
}

/// Returns the heads of all chains except that of signers, in the order of their names.
async fn heads(writer: &Writer, roster: &mut Roster) -> Result<Vec<ChainHead>> {
    roster.refresh(writer).await?;
    let mut ids = writer.stored_sub_accounts().await?;
    if let Some(roll) = roster.roll(writer).await? {
        let known = roll.sub_accounts.into_iter();
        ids.extend(
            known
                .filter(|entry| entry.head.is_some())
                .map(|entry| entry.id),
        );
    }
    let opened: Vec<Option<ChainHead>> = stream::iter(ids)
        .map(|id| async move {
            let head = Chain::open(writer, &id).await?.head;
            Ok::<_, Failure>(head.map(|head| ChainHead { id, head }))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let id = key::ROSTER.to_owned();
    let roster = roster.head.clone().map(|head| ChainHead { id, head });
    let mut heads: Vec<ChainHead> = opened.into_iter().flatten().chain(roster).collect();
    heads.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(heads)
}

/// Returns the next record of the chain of signers.
fn record(
    writer: &Writer,
    chain: &ChainReader<SignersRecord>,
    change: KeyChange,
) -> Result<SignersRecord> {
    let sequence = chain.next_sequence();
    Ok(SignersRecord {
        format_version: FORMAT_VERSION,
        archive_id: writer.id().to_owned(),
        archive_sha256: writer.sha256,
        key: key::manifest(key::SIGNERS, sequence),
        sequence,
        previous: chain.link(),
        position: chain.next_position(),
        continuity: chain.next_continuity(writer)?,
        run: append::run(writer, None),
        entry: SignersEntry::Signers(Box::new(change)),
    })
}

/// Returns the chains with objects beyond their heads that are no records, after the change.
async fn with_foreign_objects(writer: &Writer) -> Result<Vec<String>> {
    let ids = writer.stored_sub_accounts().await?;
    let mut found: Vec<String> = stream::iter(ids)
        .map(|id| async move {
            let chain = Chain::open(writer, &id).await?;
            Ok::<_, Failure>(chain.has_foreign_objects().then_some(id))
        })
        .buffer_unordered(AT_ONCE)
        .try_filter_map(async |id| Ok(id))
        .try_collect()
        .await?;
    if Roster::open(writer, key::ROSTER)
        .await?
        .has_foreign_objects()
    {
        found.push(key::ROSTER.to_owned());
    }
    found.sort();
    Ok(found)
}
