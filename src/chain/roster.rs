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
use crate::format::record::{
    AccountListing, Ended, Inventory, Lock, ObjectLock, RosterEntry, RosterRecord, roster,
};
use crate::format::row::FORMAT_VERSION;
use crate::journal::Head;
use crate::outcome::{Exit, Result};

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
    /// Those of [`ChainReader::walk_until`].
    pub async fn roll(&mut self, archive: &Writer) -> Result<Option<Inventory>> {
        self.walk_until(archive, |read| read.envelope.manifest.inventory().is_some())
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
    pub(super) fn record(
        &self,
        archive: &Writer,
        lock: Option<Lock>,
        entry: RosterEntry,
    ) -> RosterRecord {
        let sequence = self.next_sequence();
        RosterRecord {
            format_version: FORMAT_VERSION,
            archive_id: archive.id().to_owned(),
            key: key::manifest(key::ROSTER, sequence),
            sequence,
            previous: self.link(),
            run: append::run(archive, None),
            place: roster::place(&archive.store.root()),
            object_lock: lock.map(|lock| ObjectLock {
                mode: lock.mode,
                retain_until: lock.until_ms,
            }),
            takeover: self
                .newest()
                .and_then(|read| read.envelope.manifest.takeover_for_next(read.sha256)),
            entry,
        }
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
        let lock = archive.fresh_lock()?;
        let record = roster.record(archive, lock, RosterEntry::Roster(Box::new(roll)));
        let duty = Protection { lock, hold: false };
        if let Appended::Done(head) = append::put(archive, roster, record, duty).await? {
            return Ok(Some(head));
        }
    }
}

/// Returns the heads of chains that no roster record names so far: those of an archive that is older than its roster, or of
/// a run that ended before it committed its record.
async fn unnamed_heads(
    archive: &Writer,
    before: Option<&Inventory>,
    seen: &AccountListing,
) -> Result<BTreeMap<String, Head>> {
    let folders = archive.store.children(key::MANIFESTS).await?.folders;
    let unnamed: Vec<String> = folders
        .iter()
        .filter_map(|folder| key::parse_sub_account(folder))
        .filter(|id| !seen.heads.contains_key(*id))
        .filter(|id| {
            before
                .and_then(|roll| roll.entry(id)?.head.as_ref())
                .is_none()
        })
        .map(str::to_owned)
        .collect();
    let open = |id: String| async move {
        match Chain::open(archive, &id).await {
            Ok(chain) => Ok(chain.head.map(|head| (id, head))),
            // Work on that sub-account reports it; the record of the others need not wait.
            Err(failure) if failure.exit == Exit::Integrity => {
                tracing::error!(
                    sub_account = id,
                    "left out of the roster: {}",
                    failure.message
                );
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    };
    let heads: Vec<_> = stream::iter(unnamed)
        .map(open)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(heads.into_iter().flatten().collect())
}

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
