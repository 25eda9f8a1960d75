//! Records without rows: acknowledgements, legal holds, longer retention, and disposal.
//!
//! All four have the same shape. A record is *proposed* from the chain as it is now; with [`Mode::DryRun`] that is all.
//! It is *appended*; where another writer was first, the chain has changed, and the record is proposed again. Holds and
//! retention are then *enforced* on the stored objects, again until nothing was committed in between.
//!
//! A crash before the append leaves nothing. A crash after it leaves objects that do not agree with the chain yet: the same
//! command finds its record in the chain, proposes no other, and enforces it.

pub mod acknowledge;
pub mod disposal;
pub mod hold;
pub mod retention;

pub(crate) use acknowledge::Acknowledged;
pub(crate) use disposal::{DisposalOutcome, DisposalRequest};
pub(crate) use hold::{HoldOutcome, HoldRequest};
pub(crate) use retention::{ExtensionOutcome, ExtensionRequest};

use jiff::civil::Date;

use crate::chain::append::{Appended, Mode, append};
use crate::chain::archive::Archive;
use crate::chain::days::Chain;
use crate::chain::protection::{Protection, stored};
use crate::chain::writer::Writer;
use crate::format::place::key;
use crate::format::record::{DateSpan, DayState, Record};
use crate::format::time::Zone;
use crate::journal::Head;
use crate::outcome::Result;

/// Objects that are examined or changed concurrently.
const AT_ONCE: usize = 16;

/// Proposes a record and appends it, from the chain as it is then. Returns what was proposed last, with the head that it
/// made; without one where there was nothing to record, or in a dry run.
///
/// # Errors
/// Those of `propose` and of [`append`].
async fn record<T>(
    writer: &Writer,
    chain: &mut Chain,
    mode: Mode,
    mut propose: impl AsyncFnMut(&mut Chain) -> Result<(T, Option<Record>)>,
) -> Result<(T, Option<Head>)> {
    loop {
        let (proposal, record) = propose(chain).await?;
        let Some(record) = record.filter(|_| mode == Mode::Act) else {
            return Ok((proposal, None));
        };
        let protection = Protection {
            lock: writer.fresh_lock()?,
            hold: false,
        };
        if let Appended::Done(head) = append(writer, chain, record, protection, None).await? {
            return Ok((proposal, Some(head)));
        }
        // Another writer was first: what it committed may change the proposal, or make it needless.
    }
}

/// Makes the objects agree with the chain, until nothing was committed in between: another host may have opened a case on
/// objects whose hold was just removed, or committed a day.
///
/// # Errors
/// Those of `enforce` and of [`Chain::refresh`].
async fn enforce_until_settled(
    writer: &Writer,
    chain: &mut Chain,
    mode: Mode,
    mut enforce: impl AsyncFnMut(&mut Chain) -> Result<()>,
) -> Result<()> {
    chain.refresh(writer).await?;
    loop {
        let head = chain.head.clone();
        enforce(chain).await?;
        chain.refresh(writer).await?;
        if chain.head == head || mode == Mode::DryRun {
            return Ok(());
        }
    }
}

/// Returns every committed object of the days, with its day: the parts, and the manifests that commit them. Parts of a day
/// that was disposed of may be gone; those that are still there can be held like any other.
async fn objects(
    archive: &Archive,
    chain: &mut Chain,
    range: DateSpan,
) -> Result<Vec<(String, Date)>> {
    let revisions = chain.revisions_in(archive, &range.days()).await?;
    let objects = revisions.iter().flat_map(|(link, day)| {
        let parts = day.files.iter().map(|file| &file.key);
        parts.chain([&link.key]).map(|key| (key.clone(), day.date))
    });
    Ok(objects.collect())
}

/// Whether this store keeps legal holds. A writer can only find out by trying: `archive.json`, which no case ever holds, is
/// given the hold that it has.
async fn keeps_holds(writer: &Writer, mode: Mode) -> Result<bool> {
    let stat = stored(writer, key::ARCHIVE).await?;
    Ok(match mode {
        Mode::Act => {
            writer
                .store
                .set_legal_hold(key::ARCHIVE, stat.legal_hold)
                .await?
        }
        Mode::DryRun => writer.store.keeps_legal_holds(key::ARCHIVE).await?,
    })
}

/// Returns the dates of the range that exist in the zone of the chain: some zones have skipped a date, and nothing can be
/// archived of it.
async fn existing_dates(
    archive: &Archive,
    chain: &mut Chain,
    range: DateSpan,
) -> Result<Vec<Date>> {
    let newest = chain.newest_day(archive).await?;
    let zone = newest.and_then(|day| Zone::named(&day.zone).ok());
    let dates = range.days().within(range.from, range.to);
    Ok(dates
        .filter(|date| zone.as_ref().is_none_or(|zone| zone.day(*date).is_ok()))
        .collect())
}

/// Returns the days of the range with this state, in order.
fn in_state(chain: &Chain, range: DateSpan, state: DayState) -> impl Iterator<Item = Date> {
    let coverage = chain.coverage();
    let dates = range.days().within(range.from, range.to);
    dates.filter(move |date| coverage.state(*date) == state)
}

/// Joins the first `most` items, and says how many more there are: `a, b and 3 more`.
fn shortened(items: &[String], most: usize, separator: &str) -> String {
    let (shown, rest) = items.split_at(items.len().min(most));
    let shown = shown.join(separator);
    match rest.len() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
