//! Disposal after retention: a record that some days' time is over. This program deletes nothing: what removes data is
//! the bucket's lifecycle rule, or whoever owns a folder, before the record or after it.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use crate::chain::append::{Appended, Mode, append, open_begun};
use crate::chain::days::Chain;
use crate::chain::notes::hold::AT_ONCE;
use crate::chain::protection::Protection;
use crate::chain::writer::Writer;
use crate::format::record::coverage::DayState;
use crate::format::record::lock::Lock;
use crate::format::record::manifest::{DayRecord, Link, Record};
use crate::format::record::notes::{DateSpan, Disposal, DisposedDay, has_run_out};
use crate::format::record::obligations::Obligations;
use crate::format::time::day::{Zone, rfc3339};
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};

/// Days that are named one by one before the rest is only counted.
const NAMED: usize = 10;

/// Which days' time is over, and why.
#[derive(Debug, Clone)]
pub struct DisposalRequest {
    pub range: DateSpan,
    pub reason: String,
    pub by: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct DisposalOutcome {
    /// The manifest that was committed; none where there was nothing left to say, or nothing was to be committed.
    pub head: Option<Head>,
    /// What the record says, or would say.
    pub days: Vec<DisposedDay>,
    /// Days of the range that an earlier record names.
    pub before: u64,
    /// Files of `days` that the store still has.
    pub files_there: u64,
}

/// Records that the days of the range are disposed of; in a dry run only looks whether they may be.
///
/// A crash after the commit leaves nothing to be done; the same call again finds the days disposed of.
///
/// # Errors
/// [`Exit::Usage`] where a day is locked, held, missing, unfinished, or has gaps that nobody has acknowledged.
pub async fn dispose(
    archive: &Writer,
    sub_account: &str,
    wish: &DisposalRequest,
    mode: Mode,
) -> Result<DisposalOutcome> {
    let mut chain = open_begun(archive, sub_account, mode).await?;
    loop {
        let mut disposed = draw_up(archive, &mut chain, wish).await?;
        if disposed.days.is_empty() || mode == Mode::DryRun {
            return Ok(disposed);
        }
        let DisposalRequest { range, reason, by } = wish.clone();
        let record = Record::Disposal(Box::new(Disposal {
            range,
            days: disposed.days.clone(),
            reason,
            by,
        }));
        let duty = Protection {
            lock: archive.fresh_lock()?,
            hold: false,
        };
        if let Appended::Done(head) = append(archive, &mut chain, record, duty, None).await? {
            disposed.head = Some(head);
            return Ok(disposed);
        }
        // Somebody was first, perhaps with a hold on these very days: look again.
    }
}

/// A day of the range, with all that may stand against its disposal.
struct Candidate {
    date: Date,
    revisions: Vec<(Link, DayRecord)>,
    /// By the chain; the store may know of a longer one.
    lock: Option<Lock>,
    files_there: u64,
    against: Option<String>,
}

async fn draw_up(
    archive: &Writer,
    chain: &mut Chain,
    wish: &DisposalRequest,
) -> Result<DisposalOutcome> {
    let (mut against, before) = unfit(archive, chain, wish.range).await?;
    let orders = chain.orders(archive).await?;
    let candidates = candidates(archive, chain, wish.range, &orders).await?;
    let looks = candidates.into_iter().map(|day| look(archive, day));
    let candidates: Vec<Candidate> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    against.extend(
        candidates
            .iter()
            .filter_map(|day| Some((day.date, day.against.clone()?))),
    );
    if !against.is_empty() {
        return Err(refused(&chain.name, against));
    }
    let files_there = candidates.iter().map(|day| day.files_there).sum();
    let days = candidates.into_iter().filter_map(entry).collect();
    Ok(DisposalOutcome {
        head: None,
        days,
        before,
        files_there,
    })
}

/// The days that the coverage alone speaks against, and how many are disposed of already.
async fn unfit(
    archive: &Writer,
    chain: &mut Chain,
    range: DateSpan,
) -> Result<(BTreeMap<Date, String>, u64)> {
    let coverage = chain.coverage();
    let zone = chain
        .newest_day(archive)
        .await?
        .and_then(|day| Zone::named(&day.zone).ok());
    // Some zones have skipped a date; nothing can be archived of it.
    let exists = |date: Date| zone.as_ref().is_none_or(|zone| zone.day(date).is_ok());
    let (mut against, mut before) = (BTreeMap::new(), 0);
    for date in range.days().within(range.from, range.to) {
        let unfinished = archive.state.has_journal(&chain.name, date);
        let why = match coverage.state(date) {
            DayState::Missing if !exists(date) => continue,
            DayState::Missing => "was never archived",
            DayState::Gaps => "has gaps that nobody has acknowledged",
            DayState::Disposed => {
                before += 1;
                continue;
            }
            _ if unfinished => "has an unfinished run on this host",
            _ => continue,
        };
        against.insert(date, why.to_owned());
    }
    Ok((against, before))
}

/// The sealed days of the range, as the chain alone judges them.
async fn candidates(
    archive: &Writer,
    chain: &mut Chain,
    range: DateSpan,
    orders: &Obligations,
) -> Result<Vec<Candidate>> {
    let (coverage, now_ms) = (chain.coverage(), archive.clock.now_ms());
    let mut by_date: BTreeMap<Date, Vec<(Link, DayRecord)>> = BTreeMap::new();
    for (link, record) in chain.revisions_in(archive, &range.days()).await? {
        let state = coverage.state(record.date);
        if state.is_sealed() && state != DayState::Disposed {
            by_date.entry(record.date).or_default().push((link, record));
        }
    }
    let judged = by_date.into_iter().map(|(date, revisions)| {
        let own = revisions
            .iter()
            .filter_map(|(_, record)| record.object_lock.as_ref());
        let lock = own
            .map(|lock| lock.lock())
            .chain(orders.lock_on(date))
            .reduce(Lock::stronger);
        let cases: Vec<&str> = orders.cases_on(date).into_keys().collect();
        let against = match lock {
            _ if !cases.is_empty() => Some(format!("is held for case {}", cases.join(", "))),
            Some(lock) if !has_run_out(Some(lock), now_ms) => Some(locked(lock)),
            _ => None,
        };
        Candidate {
            date,
            revisions,
            lock,
            files_there: 0,
            against,
        }
    });
    Ok(judged.collect())
}

fn locked(lock: Lock) -> String {
    format!("is locked until {}", rfc3339(lock.until_ms))
}

/// Asks the store for each file that is still there: somebody may have locked or held it beyond what the chain knows.
async fn look(archive: &Writer, mut day: Candidate) -> Result<Candidate> {
    let now_ms = archive.clock.now_ms();
    for file in day.revisions.iter().flat_map(|(_, record)| &record.files) {
        if day.against.is_some() {
            break;
        }
        if archive.stop.is_cancelled() {
            return Err(Failure::interrupted());
        }
        let Some(stat) = archive.store.stat(&file.key).await? else {
            continue;
        };
        day.files_there += 1;
        day.lock = day.lock.into_iter().chain(stat.lock).reduce(Lock::stronger);
        if stat.legal_hold {
            day.against = Some(format!(
                "is under a legal hold in the store, on {}",
                file.key
            ));
        } else if let Some(lock) = stat.lock.filter(|lock| !has_run_out(Some(*lock), now_ms)) {
            day.against = Some(format!("{} in the store, {}", locked(lock), file.key));
        }
    }
    Ok(day)
}

fn entry(day: Candidate) -> Option<DisposedDay> {
    let files = || day.revisions.iter().flat_map(|(_, record)| &record.files);
    let (manifest, newest) = day.revisions.last()?;
    Some(DisposedDay {
        date: day.date,
        revision: newest.revision,
        manifest: manifest.clone(),
        files: files().count() as u64,
        bytes: files().map(|file| file.bytes).sum(),
        lock: day.lock.map(Into::into),
    })
}

fn refused(sub_account: &str, against: BTreeMap<Date, String>) -> Failure {
    let more = against.len().saturating_sub(NAMED);
    let named: Vec<String> = against
        .iter()
        .take(NAMED)
        .map(|(date, why)| format!("{date} {why}"))
        .collect();
    let more = if more > 0 {
        format!("; and {more} more days")
    } else {
        String::new()
    };
    let message = format!(
        "sub-account {sub_account} cannot be disposed of: {}{more}",
        named.join("; ")
    );
    Failure::new(Exit::Usage, message).remedy(
        "Nothing was recorded. Leave these days out of the range (--to is the day AFTER the last one), or wait: a lock must \
         have run out a day ago. `cxvault hold list` and `cxvault retention` tell what keeps days; gaps that stay are \
         acknowledged with `cxvault acknowledge`, and what is unfinished is finished by `cxvault run --date`.",
    )
}
