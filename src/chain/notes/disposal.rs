//! Disposal after retention: a record that the retention of some days has ended.
//!
//! This program deletes nothing. The bucket's lifecycle rule, or the owner of a folder, removes the files, before the
//! record or after it.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use crate::chain::append::{Mode, open_begun};
use crate::chain::days::Chain;
use crate::chain::notes;
use crate::chain::notes::{AT_ONCE, existing_dates, in_state};
use crate::chain::writer::Writer;
use crate::format::record::notes::has_run_out;
use crate::format::record::{
    DateSpan, DayRecord, DayState, Disposal, DisposedDay, File, Link, Lock, MOST_DAYS, ObjectLock,
    Record,
};
use crate::format::text::count;
use crate::format::time::day::rfc3339;
use crate::journal::Head;
use crate::outcome::{Failure, Result};

/// Days that a message names before it only counts the rest.
const NAMED: usize = 10;

/// Days to be disposed of.
#[derive(Debug, Clone)]
pub(crate) struct DisposalRequest {
    pub range: DateSpan,
    pub reason: String,
    pub by: Option<String>,
}

/// The result of a disposal.
#[derive(Debug, Clone, Default)]
pub(crate) struct DisposalOutcome {
    /// The manifest that was committed; `None` in a dry run, and where all days were disposed of before.
    pub head: Option<Head>,
    /// The days that the record names, or in a dry run would name.
    pub days: Vec<DisposedDay>,
    /// Number of days of the range that an earlier record names.
    pub before: u64,
    /// Number of files of `days` that the store still has.
    pub files_there: u64,
}

/// Records that the days of the range are disposed of; in a dry run only checks whether they may be.
///
/// A crash after the commit leaves nothing to be done; the same call again finds the days disposed of.
///
/// # Errors
/// `Exit::Usage` where a day is locked, held, missing, unfinished, or has unacknowledged gaps.
pub(crate) async fn dispose(
    writer: &Writer,
    sub_account: &str,
    request: &DisposalRequest,
    mode: Mode,
) -> Result<DisposalOutcome> {
    let mut chain = open_begun(writer, sub_account, mode).await?;
    let mut whole = DisposalOutcome::default();
    loop {
        let (part, head) = notes::record(writer, &mut chain, mode, async |chain: &mut Chain| {
            let mut part = draw_up(writer, chain, request.range).await?;
            let days: Vec<DisposedDay> = part.days.iter().take(MOST_DAYS).cloned().collect();
            if mode == Mode::Act {
                part.days.clone_from(&days);
            }
            let record = Record::Disposal(Box::new(Disposal {
                range: request.range,
                days,
                reason: request.reason.clone(),
                by: request.by.clone(),
            }));
            let record = Some(record).filter(|_| !part.days.is_empty());
            Ok((part, record))
        })
        .await?;
        // What the first proposal found of the range holds for the whole command: later ones find the days that it has
        // disposed of itself.
        if whole.days.is_empty() {
            (whole.before, whole.files_there) = (part.before, part.files_there);
        }
        let is_last = part.days.len() < MOST_DAYS || head.is_none();
        whole.days.extend(part.days);
        whole.head = head.or(whole.head);
        if is_last {
            return Ok(whole);
        }
        // A crash here leaves the days of later records as they were: the same command continues with them.
        chain.refresh(writer).await?;
    }
}

/// A day of the range, with what prevents its disposal.
struct Candidate {
    date: Date,
    revisions: Vec<(Link, DayRecord)>,
    /// The strongest lock of the day, by the chain and by the store.
    lock: Option<Lock>,
    files_there: u64,
    /// Why the day cannot be disposed of.
    obstacle: Option<String>,
}

impl Candidate {
    fn files(&self) -> impl Iterator<Item = &File> {
        self.revisions.iter().flat_map(|(_, record)| &record.files)
    }
}

/// Finds the days that may be disposed of, and refuses the range where a day of it may not.
async fn draw_up(writer: &Writer, chain: &mut Chain, range: DateSpan) -> Result<DisposalOutcome> {
    let mut obstacles = obstacles_in_coverage(writer, chain, range).await?;
    let candidates: Vec<Candidate> = stream::iter(candidates(writer, chain, range).await?)
        .map(|day| examine(writer, day))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    obstacles.extend(
        candidates
            .iter()
            .filter_map(|day| Some((day.date, day.obstacle.clone()?))),
    );
    if !obstacles.is_empty() {
        return Err(refused(&chain.name, &obstacles));
    }
    Ok(DisposalOutcome {
        head: None,
        before: in_state(chain, range, DayState::Disposed).count() as u64,
        files_there: candidates.iter().map(|day| day.files_there).sum(),
        days: candidates.iter().filter_map(entry).collect(),
    })
}

/// Returns the days whose state alone prevents their disposal, and why.
async fn obstacles_in_coverage(
    writer: &Writer,
    chain: &mut Chain,
    range: DateSpan,
) -> Result<BTreeMap<Date, String>> {
    let coverage = chain.coverage();
    let dates = existing_dates(writer, chain, range).await?;
    let obstacles = dates.into_iter().filter_map(|date| {
        let why = match coverage.state(date) {
            DayState::Missing => "was never archived",
            DayState::Gaps => "has unacknowledged gaps",
            DayState::Disposed => return None,
            _ if writer.state.has_journal(&chain.name, date) => {
                "has an unfinished run on this host"
            }
            _ => return None,
        };
        Some((date, why.to_owned()))
    });
    Ok(obstacles.collect())
}

/// Returns the sealed days of the range, judged by the chain alone.
async fn candidates(writer: &Writer, chain: &mut Chain, range: DateSpan) -> Result<Vec<Candidate>> {
    let (coverage, now_ms) = (chain.coverage(), writer.clock.now_ms());
    let obligations = chain.orders(writer).await?;
    let mut by_date: BTreeMap<Date, Vec<(Link, DayRecord)>> = BTreeMap::new();
    for (link, record) in chain.revisions_in(writer, &range.days()).await? {
        let state = coverage.state(record.date);
        if state.is_sealed() && state != DayState::Disposed {
            by_date.entry(record.date).or_default().push((link, record));
        }
    }
    let judged = by_date.into_iter().map(|(date, revisions)| {
        let locks = revisions
            .iter()
            .map(|(_, record)| record.object_lock.as_ref());
        let locks = locks.map(|lock| lock.map(ObjectLock::lock));
        let lock = Lock::strongest(locks.chain([obligations.lock_on(date)]));
        let cases: Vec<&str> = obligations.cases_on(date).into_keys().collect();
        let obstacle = match lock {
            _ if !cases.is_empty() => Some(format!("is held for case {}", cases.join(", "))),
            Some(lock) if !has_run_out(Some(lock), now_ms) => Some(locked(lock)),
            _ => None,
        };
        Candidate {
            date,
            revisions,
            lock,
            files_there: 0,
            obstacle,
        }
    });
    Ok(judged.collect())
}

fn locked(lock: Lock) -> String {
    format!("is locked until {}", rfc3339(lock.until_ms))
}

/// Examines each file that is still stored: it may have been locked or held beyond what the chain says.
async fn examine(writer: &Writer, mut day: Candidate) -> Result<Candidate> {
    let now_ms = writer.clock.now_ms();
    let keys: Vec<String> = day.files().map(|file| file.key.clone()).collect();
    for key in keys {
        if day.obstacle.is_some() {
            break;
        }
        writer.check_stop()?;
        let Some(stat) = writer.store.stat(&key).await? else {
            continue;
        };
        day.files_there += 1;
        day.lock = Lock::strongest([day.lock, stat.lock]);
        if stat.legal_hold {
            day.obstacle = Some(format!("is under a legal hold in the store, on {key}"));
        } else if let Some(lock) = stat.lock.filter(|lock| !has_run_out(Some(*lock), now_ms)) {
            day.obstacle = Some(format!("{} in the store, {key}", locked(lock)));
        }
    }
    Ok(day)
}

fn entry(day: &Candidate) -> Option<DisposedDay> {
    let (manifest, newest) = day.revisions.last()?;
    Some(DisposedDay {
        date: day.date,
        revision: newest.revision,
        manifest: manifest.clone(),
        files: day.files().count() as u64,
        bytes: day.files().map(|file| file.bytes).sum(),
        lock: day.lock.map(Into::into),
    })
}

fn refused(sub_account: &str, obstacles: &BTreeMap<Date, String>) -> Failure {
    let more = obstacles.len().saturating_sub(NAMED) as u64;
    let mut named: Vec<String> = obstacles
        .iter()
        .take(NAMED)
        .map(|(date, why)| format!("{date} {why}"))
        .collect();
    if more > 0 {
        named.push(format!("and {}", count(more, "more day")));
    }
    let message = format!(
        "sub-account {sub_account} cannot be disposed of: {}",
        named.join("; ")
    );
    Failure::usage(message).remedy(
        "Nothing was recorded. Leave these days out of the range (--to is the day after the last day of the range), or \
         wait until their locks have been over for a day. `cxvault hold list` and `cxvault retention` show what protects \
         days. Acknowledge gaps that will remain with `cxvault acknowledge`, and complete unfinished days with `cxvault run --date`.",
    )
}
