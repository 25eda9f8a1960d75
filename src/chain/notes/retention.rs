//! Longer retention: a record first, then the lock of every object's version is raised. Never a shorter one.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use crate::chain::append::{Appended, Mode, append, open_begun};
use crate::chain::days::Chain;
use crate::chain::notes::hold::{AT_ONCE, keeps_holds, objects};
use crate::chain::protection::{Protection, stored};
use crate::chain::writer::Writer;
use crate::format::place::key;
use crate::format::record::coverage::DayState;
use crate::format::record::lock::Lock;
use crate::format::record::manifest::Record;
use crate::format::record::notes::{DateSpan, ExtendedDay, Extension};
use crate::format::time::day::rfc3339;
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};

/// S3 takes no longer retention. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html>
const LONGEST_YEARS: i64 = 100;

/// How long which days are to be kept, and why.
#[derive(Debug, Clone)]
pub struct ExtensionRequest {
    pub range: DateSpan,
    /// UTC milliseconds, whole seconds.
    pub until_ms: i64,
    pub reason: Option<String>,
    pub by: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtensionOutcome {
    /// The manifest that was committed; none where the chain said so already.
    pub head: Option<Head>,
    /// Records that were committed, or would be.
    pub records: u64,
    pub days: Vec<ExtendedDay>,
    /// Objects of these days, and how many locks were raised, or would be.
    pub objects: u64,
    pub raised: u64,
    /// Days of the range that were disposed of, and are left alone.
    pub days_disposed: u64,
}

/// Keeps every object of the range's archived days until then, at least.
///
/// A crash after the commit leaves objects with their shorter lock; the same call again completes them, without another
/// record.
///
/// # Errors
/// [`Exit::Usage`] where a day is kept longer already, nothing is archived in the range, or the store keeps no locks.
pub async fn extend(
    archive: &Writer,
    sub_account: &str,
    wish: &ExtensionRequest,
    mode: Mode,
) -> Result<ExtensionOutcome> {
    check_time(archive, wish)?;
    let mut chain = open_begun(archive, sub_account, mode).await?;
    let mut extended = ExtensionOutcome::default();
    loop {
        extended.days = draw_up(archive, &mut chain, wish, mode).await?;
        let orders = chain.orders(archive).await?;
        if extended
            .days
            .iter()
            .all(|day| orders.lock_on(day.date) == Some(day.lock()))
        {
            break;
        }
        extended.records = 1;
        if mode == Mode::DryRun {
            break;
        }
        let ExtensionRequest {
            range, reason, by, ..
        } = wish.clone();
        let days = extended.days.clone();
        let record = Record::Retention(Box::new(Extension {
            range,
            days,
            reason,
            by,
        }));
        let duty = Protection {
            lock: archive.fresh_lock()?,
            hold: false,
        };
        if let Appended::Done(head) = append(archive, &mut chain, record, duty, None).await? {
            extended.head = Some(head);
            break;
        }
    }
    let (coverage, range) = (chain.coverage(), wish.range);
    let disposed = |date: &Date| coverage.state(*date) == DayState::Disposed;
    extended.days_disposed = range
        .days()
        .within(range.from, range.to)
        .filter(disposed)
        .count() as u64;
    raise(archive, sub_account, range, mode, extended).await
}

/// A slip of the hand in a year cannot be taken back under COMPLIANCE.
fn check_time(archive: &Writer, wish: &ExtensionRequest) -> Result<()> {
    let now_ms = archive.clock.now_ms();
    let until = rfc3339(wish.until_ms);
    if wish.until_ms <= now_ms {
        return Err(Failure::new(Exit::Usage, format!("{until} is over"))
            .remedy("Name a date to come; retention is never shortened."));
    }
    if wish.until_ms - now_ms > LONGEST_YEARS * 366 * 86_400_000 {
        return Err(Failure::new(
            Exit::Usage,
            format!("{until} is more than {LONGEST_YEARS} years from now"),
        )
        .remedy("Check the year; S3 keeps no longer lock."));
    }
    Ok(())
}

/// The archived days of the range, each with its lock from now on.
async fn draw_up(
    archive: &Writer,
    chain: &mut Chain,
    wish: &ExtensionRequest,
    mode: Mode,
) -> Result<Vec<ExtendedDay>> {
    let (coverage, orders) = (chain.coverage(), chain.orders(archive).await?);
    let mut locks: BTreeMap<Date, Option<Lock>> = BTreeMap::new();
    for (_, record) in chain.revisions_in(archive, &wish.range.days()).await? {
        if coverage.state(record.date) == DayState::Disposed {
            continue;
        }
        let own = record.object_lock.map(|lock| lock.lock());
        let known = locks
            .entry(record.date)
            .or_insert_with(|| orders.lock_on(record.date));
        *known = [*known, own].into_iter().flatten().reduce(Lock::stronger);
    }
    if locks.is_empty() {
        let message = format!(
            "nothing is archived of sub-account {} in {}",
            chain.name, wish.range
        );
        return Err(Failure::new(Exit::Usage, message).remedy(
            "`cxvault status` shows the archived days; those that were disposed of are no longer kept.",
        ));
    }
    refuse_shorter(&locks, wish, &chain.name)?;
    check_store(archive, &locks, mode).await?;
    let set = archive.policy.lock.map(|policy| policy.mode);
    let day = |(date, known): (Date, Option<Lock>)| {
        let mode = known.map(|known| known.mode).or(set).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!("{date} has no lock so far, and no mode is set"),
            )
            .remedy("Say which with CXVAULT_OBJECT_LOCK, such as governance:7y.")
        })?;
        Ok(ExtendedDay {
            date,
            mode,
            retain_until: wish.until_ms,
        })
    };
    locks.into_iter().map(day).collect()
}

fn refuse_shorter(
    locks: &BTreeMap<Date, Option<Lock>>,
    wish: &ExtensionRequest,
    sub_account: &str,
) -> Result<()> {
    let longer = |known: &Option<Lock>| known.is_some_and(|known| known.until_ms > wish.until_ms);
    let longer: Vec<String> = locks
        .iter()
        .filter(|(_, known)| longer(known))
        .filter_map(|(date, known)| {
            Some(format!(
                "{date} until {}",
                rfc3339(known.as_ref()?.until_ms)
            ))
        })
        .collect();
    if longer.is_empty() {
        return Ok(());
    }
    let shown = longer
        .iter()
        .take(5)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let more = if longer.len() > 5 {
        format!(" and {} more days", longer.len() - 5)
    } else {
        String::new()
    };
    let message = format!(
        "{} is earlier than sub-account {sub_account} is kept already: {shown}{more}",
        rfc3339(wish.until_ms)
    );
    Err(Failure::new(Exit::Usage, message).remedy(
        "Retention is never shortened: name a later date, or leave these days out of the range.",
    ))
}

/// A record of locks that no store keeps would promise what nobody can keep.
async fn check_store(
    archive: &Writer,
    locks: &BTreeMap<Date, Option<Lock>>,
    mode: Mode,
) -> Result<()> {
    let folder = archive.store.local(key::ARCHIVE).is_some();
    let seen = locks.values().any(Option::is_some);
    if !folder && (seen || keeps_holds(archive, mode).await?) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        format!("{} keeps no locks on objects", archive.store.root()),
    )
    .remedy("Retention needs an S3 bucket made with Object Lock."))
}

/// Raises the lock of every object, and looks at the chain again until nothing came between: a revision that another host
/// was about to commit.
async fn raise(
    archive: &Writer,
    sub_account: &str,
    range: DateSpan,
    mode: Mode,
    mut extended: ExtensionOutcome,
) -> Result<ExtensionOutcome> {
    let locks: BTreeMap<Date, Lock> = extended
        .days
        .iter()
        .map(|day| (day.date, day.lock()))
        .collect();
    let mut chain = Chain::open(archive, sub_account).await?;
    loop {
        let all = objects(archive, &mut chain, range).await?;
        let of_days: Vec<(String, Lock)> = all
            .into_iter()
            .filter_map(|(object, date)| Some((object, *locks.get(&date)?)))
            .collect();
        extended.objects = of_days.len() as u64;
        let raise = |(object, lock): (String, Lock)| async move {
            raise_one(archive, &object, lock, mode).await
        };
        let mut raised = stream::iter(of_days).map(raise).buffer_unordered(AT_ONCE);
        while let Some(raised) = raised.try_next().await? {
            extended.raised += u64::from(raised);
        }
        drop(raised);
        let now = Chain::open(archive, sub_account).await?;
        if now.head == chain.head || mode == Mode::DryRun {
            return Ok(extended);
        }
        chain = now;
    }
}

/// `false` where the lock is long and strong enough.
async fn raise_one(archive: &Writer, object: &str, lock: Lock, mode: Mode) -> Result<bool> {
    if archive.stop.is_cancelled() {
        return Err(Failure::interrupted());
    }
    let stat = stored(archive, object).await?;
    if stat.lock.is_some_and(|now| now.stronger(lock) == now) {
        return Ok(false);
    }
    if mode == Mode::Act {
        archive.store.raise_lock(object, lock).await?;
    }
    Ok(true)
}
