//! A copy of an archive is not written to, or two archives would have one name and one past, and different futures; unless
//! somebody decides that it is the one that goes on, and that decision stands in the roster.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::chain::append;
use crate::chain::append::{Appended, Mode};
use crate::chain::archive::violated;
use crate::chain::days::Chain;
use crate::chain::protection::Protection;
use crate::chain::read;
use crate::chain::roster::Roster;
use crate::chain::writer::Writer;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::roster;
use crate::format::record::roster::{ChainHead, RosterEntry, RosterRecord, Takeover};
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};

/// Chains that are opened at once.
const AT_ONCE: usize = 16;

/// Why an archive is not the one that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Where the one lies that does, as far as anybody has said.
    pub from: Option<String>,
    /// SHA-256 of `copy.json`, where there is one.
    pub copy: Option<Digest>,
}

impl Elsewhere {
    pub fn refusal(&self, here: &str) -> Failure {
        let from = self.from.as_deref().unwrap_or("another archive");
        Failure::new(Exit::Usage, format!("{here} is a copy of {from}, and a copy is not written to")).remedy(
            "Write to the original. If that is lost or given up, `cxvault takeover --reason TEXT` makes this one the \
             archive that goes on.",
        )
    }
}

impl Roster {
    /// Opens the chain with all its checks, of an archive that may be continued here, and lets this host remember the heads
    /// that it vouches for: so a chain that was cut off since is noticed before somebody continues it, also by a host
    /// that has lost its state folder.
    ///
    /// # Errors
    /// [`Exit::Usage`] where this is a copy that nobody has taken over.
    pub async fn open_to_write(archive: &Writer, mode: Mode) -> Result<Roster> {
        let mut roster = Roster::open(archive, key::ROSTER).await?;
        if let Some(elsewhere) = elsewhere(archive, &roster).await? {
            return Err(elsewhere.refusal(&archive.store.root()));
        }
        if mode == Mode::Act {
            roster.remember(archive).await?;
        }
        Ok(roster)
    }
}

/// Whether this is a copy that nobody has taken over. A folder may be moved and mounted elsewhere; a bucket may not.
///
/// # Errors
/// [`Exit::Integrity`] where the takeover that is named is not there.
pub async fn elsewhere(archive: &Writer, roster: &Roster) -> Result<Option<Elsewhere>> {
    let newest = roster.newest().map(|read| &read.envelope.manifest);
    if let Some(bytes) = archive.store.get(key::COPY).await? {
        let sha256 = Digest::of(&bytes);
        if taken_over(archive, roster)
            .await?
            .and_then(|takeover| takeover.copy)
            != Some(sha256)
        {
            let from = copied_from(&bytes).or_else(|| newest.map(|record| record.place.clone()));
            return Ok(Some(Elsewhere {
                from,
                copy: Some(sha256),
            }));
        }
    }
    let here = roster::place(&archive.store.root());
    let bucket = |place: &str| place.starts_with("s3://");
    let other =
        newest.filter(|record| bucket(&record.place) && bucket(&here) && record.place != here);
    Ok(other.map(|record| Elsewhere {
        from: Some(record.place.clone()),
        copy: None,
    }))
}

/// What `copy.json` says of where it comes from. It is for people: nothing rests on it.
fn copied_from(bytes: &[u8]) -> Option<String> {
    let record: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let from = roster::place(record.get("from")?.as_str()?);
    (!from.is_empty()).then_some(from)
}

/// The newest takeover.
async fn taken_over(archive: &Writer, roster: &Roster) -> Result<Option<Takeover>> {
    let link = roster
        .newest()
        .and_then(|read| read.envelope.manifest.takeover_for_next(read.sha256));
    let Some(link) = link else { return Ok(None) };
    let read = read::fetch_linked::<RosterRecord>(archive, key::ROSTER, &link).await?;
    match read.envelope.manifest.as_takeover() {
        Some(takeover) => Ok(Some(takeover.clone())),
        None => Err(violated(format!(
            "{} is not the takeover that is named",
            link.key
        ))),
    }
}

/// The number up to which the manifests of a chain were committed where the archive lay before the newest takeover; 0
/// where there is none.
pub async fn taken_up_to(archive: &Writer, sub_account: &str) -> Result<u64> {
    let roster = Roster::open(archive, key::ROSTER).await?;
    let taken = taken_over(archive, &roster)
        .await?
        .map(|takeover| takeover.sub_accounts)
        .unwrap_or_default();
    let own = taken.into_iter().find(|chain| chain.id == sub_account);
    Ok(own.map_or(0, |chain| chain.head.sequence))
}

/// How it ended.
#[derive(Debug)]
pub enum TakenOver {
    Now {
        head: Head,
        takeover: Takeover,
    },
    /// It would be committed.
    Planned(Takeover),
    /// This is the archive that goes on already.
    Before,
}

/// Makes this copy the archive that goes on. Every chain is opened with all its checks first, and must hold what the
/// roster, and this host, have seen of it: a copy that lacks something is completed, not continued.
pub async fn take_over(
    archive: &Writer,
    reason: &str,
    by: Option<&str>,
    mode: Mode,
) -> Result<TakenOver> {
    archive.check_create_only().await?;
    let mut roster = Roster::open(archive, key::ROSTER)
        .await
        .map_err(incomplete)?;
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
        );
        let duty = Protection { lock, hold: false };
        let put = append::put(archive, &mut roster, record, duty)
            .await
            .map_err(incomplete)?;
        if let Appended::Done(head) = put {
            return Ok(TakenOver::Now { head, takeover });
        }
    }
}

/// The heads of all chains: those that lie here, and those that the roster knows, in the order of their ids.
async fn chains(archive: &Writer, roster: &mut Roster) -> Result<Vec<ChainHead>> {
    roster.remember(archive).await?;
    let folders = archive.store.children(key::MANIFESTS).await?.folders;
    let here = folders
        .iter()
        .filter_map(|folder| key::parse_sub_account(folder))
        .map(str::to_owned);
    let roll = roster.roll(archive).await?;
    let known = roll
        .into_iter()
        .flat_map(|roll| roll.sub_accounts)
        .filter(|one| one.head.is_some());
    let mut ids: Vec<String> = here.chain(known.map(|one| one.id)).collect();
    ids.sort();
    ids.dedup();
    let open = |id: String| async move {
        let head = Chain::open(archive, &id).await.map_err(incomplete)?.head;
        Ok::<_, Failure>(head.map(|head| ChainHead { id, head }))
    };
    let taken: Vec<_> = stream::iter(ids)
        .map(open)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(taken.into_iter().flatten().collect())
}

/// What is missing here was seen somewhere: at the original, as a rule.
fn incomplete(failure: Failure) -> Failure {
    if failure.exit != Exit::Integrity {
        return failure;
    }
    failure.remedy(
        "Copy again from the original, so that nothing is missing. If that is lost: what only this host has seen is \
         forgotten with another --state-dir, and archived anew; what the roster has seen is not, and somebody must find out \
         who removed it.",
    )
}
