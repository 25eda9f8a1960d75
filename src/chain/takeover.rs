//! Whether this is a copy, and the decision to continue it.
//!
//! A copy of an archive is not written to: two archives with the same id and the same history would diverge. The operator
//! can decide that a copy is continued in place of the original. That decision is a record of the roster.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::append::{Appended, Mode};
use crate::chain::archive::violated;
use crate::chain::days::Chain;
use crate::chain::protection::Protection;
use crate::chain::read::ChainReader;
use crate::chain::roster::Roster;
use crate::chain::writer::Writer;
use crate::chain::{append, read, record};
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{
    ChainHead, Manifest, RosterEntry, RosterRecord, SignersRecord, Takeover, roster,
};
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};

/// Chains that are opened concurrently.
const AT_ONCE: usize = 16;

/// Why an archive may not be written to: it is continued at another location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// The location of the archive that is continued, where it is known.
    pub from: Option<String>,
    /// SHA-256 of `copy.json`, where there is one.
    pub copy: Option<Digest>,
}

impl Elsewhere {
    /// Returns the failure of a command that would write to the copy at `here`.
    pub fn refusal(&self, here: &str) -> Failure {
        let from = self.from.as_deref().unwrap_or("another archive");
        Failure::usage(format!("{here} is a copy of {from}, and a copy is not written to")).remedy(
            "Write to the original. If that is lost or given up, `cxvault takeover --reason TEXT` makes this copy the \
             archive that is continued.",
        )
    }
}

impl Roster {
    /// Checks what the roster says of the keys: the chain of signers has the record that it names, and descends from the one
    /// that this host remembers. And that a signed archive which has objects at records' places has a record that counts:
    /// otherwise all signatures were removed, and a writer without a state folder would begin every chain anew.
    ///
    /// # Errors
    /// [`Exit::Integrity`] where that does not hold.
    async fn check_signers(&self, archive: &Writer) -> Result<()> {
        let remembers = archive.state.remembered_head(key::SIGNERS)?.is_some();
        if remembers || archive.rules().newest().is_some() {
            let signers = ChainReader::<SignersRecord>::open(archive, key::SIGNERS).await?;
            if let Some(head) = &signers.head {
                archive.state.remember_head(key::SIGNERS, head)?;
            }
        }
        if let Some(newest) = self.newest() {
            let named = newest.envelope.manifest.signers.as_ref();
            return archive.check_knows_signers(named, &newest.key);
        }
        if archive.rules().accepts_unsigned() {
            return Ok(());
        }
        for sub_account in archive.stored_sub_accounts().await? {
            if read::newest::<Manifest>(archive, &sub_account)
                .await?
                .is_some()
            {
                // A run that was killed has committed days, and no record of the roster.
                return Ok(());
            }
        }
        let of_signers = |key: &String| key.starts_with(key::SIGNERS_FOLDER);
        match archive.foreign.keys().iter().all(of_signers) {
            true => Ok(()),
            false => Err(archive.nothing_counts(key::ROSTERS)),
        }
    }

    /// Opens the roster of an archive that may be written to here, and lets this host remember the heads that it vouches
    /// for. So a host that has lost its state folder notices a chain that was cut off before it continues the chain.
    ///
    /// # Errors
    /// [`Exit::Usage`] where this is a copy that was not taken over.
    pub async fn open_to_write(archive: &Writer, mode: Mode) -> Result<Roster> {
        let mut roster = Roster::open(archive, key::ROSTER).await?;
        roster.check_signers(archive).await?;
        if let Some(elsewhere) = elsewhere(archive, &roster).await? {
            return Err(elsewhere.refusal(&archive.store.root()));
        }
        if mode == Mode::Act {
            roster.remember(archive).await?;
        }
        Ok(roster)
    }
}

/// Returns where the archive is continued, if this is a copy that was not taken over. A folder may be moved, and mounted
/// at another path; a bucket may not.
///
/// # Errors
/// [`Exit::Integrity`] where the takeover that is named is not there.
pub(crate) async fn elsewhere(archive: &Writer, roster: &Roster) -> Result<Option<Elsewhere>> {
    let newest = roster.newest().map(|read| &read.envelope.manifest);
    if let Some(bytes) = archive.store.get(key::COPY).await? {
        let sha256 = Digest::of(&bytes);
        let takeover = taken_over(archive, roster).await?;
        if takeover.and_then(|takeover| takeover.copy) != Some(sha256) {
            let from = copied_from(&bytes).or_else(|| newest.map(|record| record.place.clone()));
            return Ok(Some(Elsewhere {
                from,
                copy: Some(sha256),
            }));
        }
    }
    let here = roster::place(&archive.store.root());
    let other = newest.filter(|record| record.place != here);
    let moved = other.filter(|record| is_bucket(&record.place) && is_bucket(&here));
    Ok(moved.map(|record| Elsewhere {
        from: Some(record.place.clone()),
        copy: None,
    }))
}

/// Returns whether a place is a bucket, whose name is the same for every host.
fn is_bucket(place: &str) -> bool {
    place.starts_with("s3://")
}

/// Returns the location that `copy.json` names as the original. It is information for people, and proves nothing.
fn copied_from(bytes: &[u8]) -> Option<String> {
    let record: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let from = roster::place(record.get("from")?.as_str()?);
    (!from.is_empty()).then_some(from)
}

/// Returns the newest takeover.
async fn taken_over(archive: &Writer, roster: &Roster) -> Result<Option<Takeover>> {
    let link = roster
        .newest()
        .and_then(|read| read.envelope.manifest.takeover_for_next(read.sha256));
    let Some(link) = link else { return Ok(None) };
    let read = record::fetch_linked::<RosterRecord>(archive, key::ROSTER, &link).await?;
    match read.envelope.manifest.as_takeover() {
        Some(takeover) => Ok(Some(takeover.clone())),
        None => Err(violated(format!(
            "{} is not the takeover that is named",
            link.key
        ))),
    }
}

/// Returns the number of the last manifest of a chain that was committed at the location before the newest takeover; 0
/// where there is no takeover.
///
/// # Errors
/// Those of [`Roster::open`].
pub(crate) async fn taken_up_to(archive: &Writer, sub_account: &str) -> Result<u64> {
    let roster = Roster::open(archive, key::ROSTER).await?;
    let taken = taken_over(archive, &roster)
        .await?
        .map(|takeover| takeover.sub_accounts)
        .unwrap_or_default();
    let own = taken.into_iter().find(|chain| chain.id == sub_account);
    Ok(own.map_or(0, |chain| chain.head.sequence))
}

/// How a takeover ended.
#[derive(Debug)]
pub(crate) enum TakenOver {
    /// The takeover was committed.
    Now { head: Head, takeover: Takeover },
    /// In a dry run: the takeover would be committed.
    Planned(Takeover),
    /// This is the archive that is continued already.
    Before,
}

/// Makes this copy the archive that is continued. Every chain is opened with all its checks first, and must have the heads
/// that the roster and this host know: an incomplete copy is completed, not continued.
///
/// # Errors
/// [`Exit::Integrity`] where a chain is incomplete or does not hold.
pub(crate) async fn take_over(
    archive: &Writer,
    reason: &str,
    by: Option<&str>,
    mode: Mode,
) -> Result<TakenOver> {
    archive.check_create_only().await?;
    let mut roster = Roster::open(archive, key::ROSTER)
        .await
        .map_err(incomplete)?;
    roster.check_signers(archive).await.map_err(incomplete)?;
    loop {
        let Some(Elsewhere { from, copy }) = elsewhere(archive, &roster).await? else {
            return Ok(TakenOver::Before);
        };
        let sub_accounts = chains(archive, &mut roster).await?;
        let takeover = Takeover {
            from,
            copy,
            sub_accounts,
            reason: reason.to_owned(),
            by: by.map(str::to_owned),
        };
        if mode == Mode::DryRun {
            return Ok(TakenOver::Planned(takeover));
        }
        let lock = archive.fresh_lock()?;
        let record = roster.record(
            archive,
            lock,
            RosterEntry::Takeover(Box::new(takeover.clone())),
        )?;
        let protection = Protection { lock, hold: false };
        let put = append::put(archive, &mut roster, record, protection)
            .await
            .map_err(incomplete)?;
        if let Appended::Done(head) = put {
            return Ok(TakenOver::Now { head, takeover });
        }
    }
}

/// Returns the heads of all chains, those stored here and those that the roster names, in the order of their ids.
async fn chains(archive: &Writer, roster: &mut Roster) -> Result<Vec<ChainHead>> {
    roster.remember(archive).await?;
    let mut ids = archive.stored_sub_accounts().await?;
    if let Some(inventory) = roster.roll(archive).await? {
        let known = inventory.sub_accounts.into_iter();
        ids.extend(
            known
                .filter(|entry| entry.head.is_some())
                .map(|entry| entry.id),
        );
    }
    let taken: Vec<_> = stream::iter(ids)
        .map(|id| async move {
            let head = Chain::open(archive, &id).await.map_err(incomplete)?.head;
            Ok::<_, Failure>(head.map(|head| ChainHead { id, head }))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(taken.into_iter().flatten().collect())
}

/// Replaces the remedy of a chain that is incomplete: what is missing here is at the original, as a rule.
fn incomplete(failure: Failure) -> Failure {
    if failure.exit != Exit::Integrity {
        return failure;
    }
    failure.remedy(
        "Copy again from the original, so that nothing is missing. If that is lost: what only this host remembers is \
         ignored with another --state-dir, and archived again; for what the roster names, find out who removed it.",
    )
}
