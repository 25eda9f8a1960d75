//! The roster's chain: read before anything is written, and continued when a run has ended.

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
use crate::format::record::lock::Lock;
use crate::format::record::manifest::ObjectLock;
use crate::format::record::roster;
use crate::format::record::roster::{AccountListing, Ended, Inventory, RosterEntry, RosterRecord};
use crate::format::row::schema::FORMAT_VERSION;
use crate::journal::Head;
use crate::outcome::{Exit, Result};

/// The chain as the store shows it.
pub type Roster = ChainReader<RosterRecord>;

/// Chains that no roster knows are opened so many at a time.
const AT_ONCE: usize = 16;

impl Roster {
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

    /// What the newest roster says, with what was seen after it; `None` where there is none yet.
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

/// Commits what the run has seen; `None` where the archive knows no sub-account at all.
///
/// A crash before this loses the record and nothing else: the next run's says as much. Where another process commits
/// its roster meanwhile, this one is drawn up anew behind it.
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
        let strangers = strangers(archive, before.as_ref(), &seen).await?;
        seen.heads.extend(strangers);
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

/// Heads of chains that nobody has named so far: those of an archive that is older than its roster, or of a run that
/// died before it could tell.
async fn strangers(
    archive: &Writer,
    before: Option<&Inventory>,
    seen: &AccountListing,
) -> Result<BTreeMap<String, Head>> {
    let folders = archive.store.children(key::MANIFESTS).await?.folders;
    let told = |id: &str| {
        before
            .and_then(|roll| roll.entry(id))
            .is_some_and(|member| member.head.is_some())
    };
    let known = |id: &&str| seen.heads.contains_key(*id) || told(id);
    let strange: Vec<String> = folders
        .iter()
        .filter_map(|folder| key::parse_sub_account(folder))
        .filter(|id| !known(id))
        .map(str::to_owned)
        .collect();
    let open = |id: String| async move {
        match Chain::open(archive, &id).await {
            Ok(chain) => Ok(chain.head.map(|head| (id, head))),
            // Whoever works on it is told; the others' roster need not wait for that.
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
    let heads: Vec<_> = stream::iter(strange)
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
