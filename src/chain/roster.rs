//! The roster's chain as a writer reads it before it writes anything, and continues it at the end of a run.
//!
//! The roster vouches for the heads of all other chains, so that a chain that was cut off is noticed by a host that has
//! never seen it. A crash before its commit loses one record, and nothing else: the next run records the same.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::append;
use crate::chain::append::Appended;
use crate::chain::archive::violated;
use crate::chain::days::Chain;
use crate::chain::protection::Protection;
use crate::chain::read::ChainReader;
use crate::chain::writer::Writer;
use crate::format::place::key;
use crate::format::record::inventory::MOST_SUB_ACCOUNTS;
use crate::format::record::{
    AccountListing, Ended, Inventory, Lock, ObjectLock, RosterEntry, RosterRecord, roster,
};
use crate::format::row::FORMAT_VERSION;
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};

/// The roster's chain.
pub type Roster = ChainReader<RosterRecord>;

/// Chains that no roster names and that are opened concurrently.
const AT_ONCE: usize = 16;

impl Roster {
    /// Lets this host remember the heads that the roster vouches for.
    pub(super) async fn remember(&mut self, archive: &Writer) -> Result<()> {
        if let Some(roll) = self.roll(archive).await? {
            let heads = roll
                .sub_accounts
                .iter()
                .filter_map(|member| Some((&member.id, member.head.as_ref()?)));
            for (sub_account, head) in heads {
                archive.state.remember_head(sub_account, head)?;
            }
        }
        Ok(())
    }

    /// Returns the newest inventory, with the heads of later records; `None` where there is none yet.
    ///
    /// # Errors
    /// Those of [`ChainReader::walk_to`].
    pub async fn roll(&mut self, archive: &Writer) -> Result<Option<Inventory>> {
        self.find_newest(archive, |read| read.envelope.manifest.inventory().map(drop))
            .await?;
        let mut later = Vec::new();
        for record in self.records().rev().map(|read| &read.envelope.manifest) {
            if let Some(roll) = record.inventory() {
                let mut roll = roll.clone();
                roll.raise_heads(later.into_iter().flat_map(RosterRecord::heads));
                return Ok(Some(roll));
            }
            later.push(record);
        }
        Ok(None)
    }

    /// Returns the next record of the chain.
    ///
    /// # Errors
    /// `Exit::Unexpected` where a head has no form in JSON, which does not happen.
    pub(super) fn record(
        &self,
        archive: &Writer,
        lock: Option<Lock>,
        entry: RosterEntry,
    ) -> Result<RosterRecord> {
        let sequence = self.next_sequence();
        let heads_root = entry.heads_root().map_err(append::unwritable)?;
        Ok(RosterRecord {
            format_version: FORMAT_VERSION,
            archive_id: archive.id().to_owned(),
            archive_sha256: archive.sha256,
            key: key::manifest(key::ROSTER, sequence),
            sequence,
            previous: self.link(),
            position: self.next_position(),
            continuity: self.next_continuity(archive)?,
            run: append::run(archive, None),
            signers: archive.rules().newest().cloned(),
            place: roster::place(&archive.store.root()),
            object_lock: lock.map(ObjectLock::from),
            heads_root,
            takeover: self
                .newest()
                .and_then(|read| read.envelope.manifest.takeover_for_next(read.sha256)),
            entry,
        })
    }
}

/// Commits the inventory of the run; `None` where the archive has no sub-account at all. Where another process commits its
/// record first, the inventory is updated and committed after it.
///
/// # Errors
/// [`Exit::Integrity`] where the chain no longer holds; errors of the store.
pub async fn commit(
    archive: &Writer,
    roster: &mut Roster,
    command: &str,
    exit: Exit,
    mut seen: AccountListing,
) -> Result<Option<Head>> {
    archive.check_create_only().await?;
    loop {
        let before = roster.roll(archive).await?;
        let unnamed = unnamed_heads(archive, before.as_ref(), &seen).await?;
        seen.heads.extend(unnamed);
        let sequence = roster.next_sequence();
        let roll = Inventory::updated(command, ended(exit), &seen, before.as_ref(), sequence)
            .map_err(|error| violated(error.to_string()))?;
        if roll.sub_accounts.is_empty() {
            return Ok(None);
        }
        refuse_too_many(roll.sub_accounts.len())?;
        let lock = archive.fresh_lock()?;
        let record = roster.record(archive, lock, RosterEntry::Roster(Box::new(roll)))?;
        let duty = Protection { lock, hold: false };
        if let Appended::Done(head) = append::put(archive, roster, record, duty).await? {
            return Ok(Some(head));
        }
    }
}

/// Refuses an inventory that no reader could read: the ids are the API's, and it may list any number.
fn refuse_too_many(sub_accounts: usize) -> Result<()> {
    if sub_accounts <= MOST_SUB_ACCOUNTS {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "RingCX lists so many sub-accounts that the roster would name {sub_accounts}, and a record names at most \
         {MOST_SUB_ACCOUNTS}; no roster record was written"
    ))
    .remedy("Name the sub-accounts to be archived in the settings, so that no list is requested."))
}

/// Returns the heads of chains that no roster record names so far: those of an archive that is older than its roster, or of
/// a run that ended before it committed its record.
async fn unnamed_heads(
    archive: &Writer,
    before: Option<&Inventory>,
    seen: &AccountListing,
) -> Result<BTreeMap<String, Head>> {
    let mut unnamed = archive.stored_sub_accounts().await?;
    unnamed.retain(|id| {
        let named = before.and_then(|roll| roll.entry(id)?.head.as_ref());
        named.is_none() && !seen.heads.contains_key(id)
    });
    let heads: Vec<_> = stream::iter(unnamed)
        .map(|id| head_to_name(archive, id))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(heads.into_iter().flatten().collect())
}

/// Returns the head of a chain; `None` where the chain does not hold. Work on that sub-account reports why, and the record of
/// the other sub-accounts need not wait.
async fn head_to_name(archive: &Writer, id: String) -> Result<Option<(String, Head)>> {
    match Chain::open(archive, &id).await {
        Ok(chain) => Ok(chain.head.map(|head| (id, head))),
        Err(failure) if failure.exit == Exit::Integrity => {
            let why = &failure.message;
            tracing::error!(sub_account = id, "left out of the roster: {why}");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Returns how the run ended, as records of the roster name it.
pub fn ended(exit: Exit) -> Ended {
    match exit {
        Exit::Done => Ended::Done,
        Exit::Unexpected => Ended::Unexpected,
        Exit::Usage => Ended::Usage,
        Exit::Gaps => Ended::Gaps,
        Exit::Integrity => Ended::Integrity,
        Exit::Later => Ended::Later,
        Exit::Denied => Ended::Denied,
        Exit::Locked => Ended::Locked,
    }
}
