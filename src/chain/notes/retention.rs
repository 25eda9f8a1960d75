//! Longer retention: a record is committed first, then the lock of every object is extended. Retention is never shortened.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use crate::chain::append::{Mode, open_begun};
use crate::chain::days::Chain;
use crate::chain::notes;
use crate::chain::notes::{AT_ONCE, in_state, keeps_holds, objects, shortened};
use crate::chain::protection::stored;
use crate::chain::writer::Writer;
use crate::format::place::key;
use crate::format::record::{DateSpan, DayState, ExtendedDay, Extension, Lock, MOST_DAYS, Record};
use crate::format::time::Instant;
use crate::format::time::day::rfc3339;
use crate::journal::Head;
use crate::outcome::{Failure, Result};

/// S3 accepts no longer retention. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html>
const LONGEST_YEARS: i64 = 100;

/// Days that a message names before it only counts the rest.
const NAMED: usize = 5;

/// Days whose retention is to be extended.
#[derive(Debug, Clone)]
pub(crate) struct ExtensionRequest {
    pub range: DateSpan,
    /// The new end of retention, in UTC milliseconds and whole seconds.
    pub until_ms: i64,
    pub reason: Option<String>,
    pub by: Option<String>,
}

/// The result of an extension.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ExtensionOutcome {
    /// The manifest that was committed; `None` in a dry run, and where the chain had the same record already.
    pub head: Option<Head>,
    /// Number of records that were committed, or in a dry run would be: one for each 1,000 days.
    pub records: u64,
    pub days: Vec<ExtendedDay>,
    /// Number of objects of these days.
    pub objects: u64,
    /// Number of locks that were extended, or in a dry run would be.
    pub raised: u64,
    /// Number of days of the range that were disposed of, and are left alone.
    pub days_disposed: u64,
}

/// Extends the retention of every object of the range's archived days.
///
/// A crash after the commit leaves objects with their shorter lock; the same call again completes them, without another
/// record.
///
/// # Errors
/// `Exit::Usage` where a day is retained longer already, where nothing is archived in the range, or where the store
/// does not support object locks.
pub(crate) async fn extend(
    writer: &Writer,
    sub_account: &str,
    request: &ExtensionRequest,
    mode: Mode,
) -> Result<ExtensionOutcome> {
    check_time(writer, request)?;
    let mut chain = open_begun(writer, sub_account, mode).await?;
    let mut outcome = ExtensionOutcome::default();
    loop {
        let (proposal, head) =
            notes::record(writer, &mut chain, mode, async |chain: &mut Chain| {
                let days = draw_up(writer, chain, request, mode).await?;
                let obligations = chain.orders(writer).await?;
                let mut short = days.clone();
                short.retain(|day| obligations.lock_on(day.date) != Some(day.lock()));
                let records = short.len().div_ceil(MOST_DAYS) as u64;
                short.truncate(MOST_DAYS);
                let record =
                    (records > 0).then(|| Record::Retention(Box::new(extension(request, &short))));
                Ok((ExtensionProposal { days, records }, record))
            })
            .await?;
        outcome.days = proposal.days;
        if head.is_none() || proposal.records == 1 {
            // The last record; in a dry run, all that would be committed.
            outcome.records += proposal.records;
            outcome.head = head.or(outcome.head);
            break;
        }
        // A crash here leaves the days of later records with their shorter retention: the same command continues.
        outcome.records += 1;
        outcome.head = head;
        chain.refresh(writer).await?;
    }
    outcome.days_disposed = in_state(&chain, request.range, DayState::Disposed).count() as u64;
    let locks: BTreeMap<Date, Lock> = outcome
        .days
        .iter()
        .map(|day| (day.date, day.lock()))
        .collect();
    notes::enforce_until_settled(writer, &mut chain, mode, async |chain: &mut Chain| {
        let (objects, raised) = extend_locks(writer, chain, request.range, &locks, mode).await?;
        outcome.objects = objects;
        outcome.raised += raised;
        Ok(())
    })
    .await?;
    Ok(outcome)
}

/// What an extension would do, as the chain is now.
struct ExtensionProposal {
    /// The archived days of the range, each with its new lock.
    days: Vec<ExtendedDay>,
    /// Number of records that are needed.
    records: u64,
}

fn extension(request: &ExtensionRequest, days: &[ExtendedDay]) -> Extension {
    Extension {
        range: request.range,
        days: days.to_vec(),
        reason: request.reason.clone(),
        by: request.by.clone(),
    }
}

/// Refuses a time that has passed, and one that must be a typing error: under COMPLIANCE it could not be undone.
fn check_time(writer: &Writer, request: &ExtensionRequest) -> Result<()> {
    let now_ms = writer.clock.now_ms();
    let until = rfc3339(request.until_ms);
    if request.until_ms <= now_ms {
        return Err(Failure::usage(format!("{until} is over"))
            .remedy("Name a date in the future; retention is never shortened."));
    }
    if request.until_ms - now_ms > LONGEST_YEARS * 366 * 86_400_000 {
        return Err(Failure::usage(format!(
            "{until} is more than {LONGEST_YEARS} years from now"
        ))
        .remedy("Check the year; S3 accepts no longer lock."));
    }
    Ok(())
}

/// Returns the archived days of the range, each with its new lock.
async fn draw_up(
    writer: &Writer,
    chain: &mut Chain,
    request: &ExtensionRequest,
    mode: Mode,
) -> Result<Vec<ExtendedDay>> {
    let (coverage, orders) = (chain.coverage(), chain.orders(writer).await?);
    let mut locks: BTreeMap<Date, Option<Lock>> = BTreeMap::new();
    for (_, record) in chain.revisions_in(writer, &request.range.days()).await? {
        if coverage.state(record.date) == DayState::Disposed {
            continue;
        }
        let own = record.object_lock.map(|lock| lock.lock());
        let known = locks
            .entry(record.date)
            .or_insert_with(|| orders.lock_on(record.date));
        *known = Lock::strongest([*known, own]);
    }
    if locks.is_empty() {
        let message = format!(
            "nothing is archived of sub-account {} in {}",
            chain.name, request.range
        );
        return Err(Failure::usage(message).remedy(
            "`cxvault status` shows the archived days; days that were disposed of are no longer retained.",
        ));
    }
    refuse_shorter(&locks, request, &chain.name)?;
    check_store(writer, &locks, mode).await?;
    let policy = writer.policy.lock.map(|policy| policy.mode);
    let extended = locks.into_iter().map(|(date, known)| {
        let mode = known.map(|known| known.mode).or(policy).ok_or_else(|| {
            Failure::usage(format!("{date} has no lock so far, and no mode is set"))
                .remedy("Set the mode with CXVAULT_OBJECT_LOCK, such as governance:7y.")
        })?;
        Ok(ExtendedDay {
            date,
            mode,
            retain_until: Instant::from_millis(request.until_ms),
        })
    });
    extended.collect()
}

fn refuse_shorter(
    locks: &BTreeMap<Date, Option<Lock>>,
    request: &ExtensionRequest,
    sub_account: &str,
) -> Result<()> {
    let longer: Vec<String> = locks
        .iter()
        .filter_map(|(date, known)| Some((date, known.as_ref()?.until_ms)))
        .filter(|(_, until_ms)| *until_ms > request.until_ms)
        .map(|(date, until_ms)| format!("{date} until {}", rfc3339(until_ms)))
        .collect();
    if longer.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} is earlier than sub-account {sub_account} is kept already: {}",
        rfc3339(request.until_ms),
        shortened(&longer, NAMED, ", ")
    );
    Err(Failure::usage(message).remedy(
        "Retention is never shortened: name a later date, or leave these days out of the range.",
    ))
}

/// Refuses a store that does not support object locks: the record would promise what the store does not do.
async fn check_store(
    writer: &Writer,
    locks: &BTreeMap<Date, Option<Lock>>,
    mode: Mode,
) -> Result<()> {
    let folder = writer.store.local(key::ARCHIVE).is_some();
    let seen = locks.values().any(Option::is_some);
    if !folder && (seen || keeps_holds(writer, mode).await?) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} does not support object locks",
        writer.store.root()
    ))
    .remedy("Retention needs an S3 bucket that was created with Object Lock."))
}

/// Extends the lock of every object once; returns how many objects there are, and how many locks were extended.
async fn extend_locks(
    writer: &Writer,
    chain: &mut Chain,
    range: DateSpan,
    locks: &BTreeMap<Date, Lock>,
    mode: Mode,
) -> Result<(u64, u64)> {
    let objects = objects(writer, chain, range).await?;
    let extended: Vec<bool> = stream::iter(objects)
        .filter_map(|(object, date)| async move { Some((object, *locks.get(&date)?)) })
        .map(|(object, lock)| async move { extend_lock(writer, &object, lock, mode).await })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let changed = extended.iter().filter(|extended| **extended).count();
    Ok((extended.len() as u64, changed as u64))
}

/// Extends one object's lock; `false` where it is long and strong enough already.
async fn extend_lock(writer: &Writer, object: &str, lock: Lock, mode: Mode) -> Result<bool> {
    writer.check_stop()?;
    let stat = stored(writer, object).await?;
    if stat.lock.is_some_and(|now| now.covers(lock)) {
        return Ok(false);
    }
    if mode == Mode::Act {
        writer.store.raise_lock(object, lock).await?;
    }
    Ok(true)
}
