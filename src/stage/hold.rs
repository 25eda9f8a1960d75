//! Legal holds: a case is opened or closed in the chain first, then the objects are made to carry what the chain says.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use super::append::{Appended, append, open_begun};
use super::archive::Archive;
use super::chain::Chain;
use super::observe::interrupted;
use super::orders::{Duty, stored};
use crate::archive::act::{Hold, HoldAct, Span};
use crate::archive::coverage::DayState;
use crate::archive::key;
use crate::archive::manifest::Record;
use crate::archive::orders::Orders;
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};

/// Objects whose holds are looked at and changed at once.
pub(super) const AT_ONCE: usize = 16;

/// What is to be held, or no longer, and why.
#[derive(Debug, Clone)]
pub struct Claim {
    pub case: String,
    /// Without one, when a case is closed: all that it holds.
    pub range: Option<Span>,
    pub reason: String,
    pub by: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// The manifest that was committed; none where the chain said so already.
    pub head: Option<Head>,
    /// The store keeps legal holds.
    pub enforced: bool,
    /// Objects of the days concerned, and how many of them were changed.
    pub objects: u64,
    pub changed: u64,
    /// Objects that stay held for another case.
    pub held_by_others: u64,
    /// Days of the ranges that were disposed of: no hold brings back what is gone of them.
    pub days_disposed: u64,
    /// Their files that are gone, as far as the store was asked.
    pub files_gone: u64,
}

/// Holds every archived object of the days, and every later one.
///
/// A crash after the commit leaves objects that lack their hold; the same call again finds its record in the chain, makes
/// no other, and completes them.
pub async fn add(archive: &Archive, sub_account: &str, claim: &Claim) -> Result<Held> {
    let mut chain = open_begun(archive, sub_account).await?;
    let enforced = keeps_holds(archive).await?;
    let range = claim.range.ok_or_else(|| Failure::new(Exit::Usage, "a hold needs a range of days"))?;
    let mut held = Held { enforced, ..Held::default() };
    while !chain.orders(archive).await?.covers(&claim.case, range, enforced) {
        if let Some(head) = commit(archive, &mut chain, HoldAct::Add, claim, range, enforced).await? {
            held.head = Some(head);
            break;
        }
    }
    held.days_disposed = disposed_in(&chain, &[range]);
    settle(archive, sub_account, &[range], Lift::Nothing, held).await
}

/// Gives up a case's claim on the days, and lifts the hold of objects that no other open case claims.
///
/// # Errors
/// [`Exit::Usage`] where the case was never opened on these days.
pub async fn remove(archive: &Archive, sub_account: &str, claim: &Claim) -> Result<Held> {
    let mut chain = open_begun(archive, sub_account).await?;
    let enforced = keeps_holds(archive).await?;
    let mut held = Held { enforced, ..Held::default() };
    let ranges = loop {
        let orders = chain.orders(archive).await?;
        let ranges = ranges_to_lift(&orders, claim, sub_account)?;
        let Some(open) = ranges.iter().copied().find(|range| orders.touches(&claim.case, *range)) else {
            break ranges;
        };
        if let Some(head) = commit(archive, &mut chain, HoldAct::Remove, claim, open, enforced).await? {
            held.head = Some(head);
            chain = Chain::open(archive, sub_account).await?;
        }
    };
    held.days_disposed = disposed_in(&chain, &ranges);
    settle(archive, sub_account, &ranges, Lift::Free, held).await
}

fn disposed_in(chain: &Chain, ranges: &[Span]) -> u64 {
    let coverage = chain.coverage();
    let dates = ranges.iter().flat_map(|range| range.days().within(range.from, range.to));
    let disposed = dates.filter(|date| coverage.state(*date) == DayState::Disposed);
    disposed.collect::<BTreeSet<Date>>().len() as u64
}

/// The range that is named, or every one that the case has ever held: closed already, its objects may still carry a hold
/// that nobody lifted.
fn ranges_to_lift(orders: &Orders, claim: &Claim, sub_account: &str) -> Result<Vec<Span>> {
    let of_case =
        orders.holds().iter().filter(|(_, hold)| hold.case == claim.case && hold.act == HoldAct::Add);
    let ever: Vec<Span> = of_case.map(|(_, hold)| hold.range).collect();
    let wanted = match claim.range {
        None => ever,
        Some(range) if ever.iter().any(|held| held.from < range.to && range.from < held.to) => vec![range],
        Some(_) => Vec::new(),
    };
    if !wanted.is_empty() {
        return Ok(wanted);
    }
    let range = claim.range.map(|range| format!(" on any day of {range}")).unwrap_or_default();
    let message = format!("sub-account {sub_account} was never held for case {}{range}", claim.case);
    Err(Failure::new(Exit::Usage, message).remedy("`cxvault hold list` shows the cases and their days."))
}

/// Commits a hold's record; `None` when the number went to somebody else, and the chain has to be looked at again.
async fn commit(
    archive: &Archive,
    chain: &mut Chain,
    act: HoldAct,
    claim: &Claim,
    range: Span,
    enforced: bool,
) -> Result<Option<Head>> {
    let Claim { case, reason, by, .. } = claim.clone();
    let record = Record::Hold(Box::new(Hold { act, case, range, reason, by, enforced }));
    let duty = Duty { lock: archive.fresh_lock()?, hold: false };
    match append(archive, chain, record, duty, None).await? {
        Appended::Done(head) => Ok(Some(head)),
        Appended::Taken => Ok(None),
    }
}

/// Whether this store keeps legal holds. Only trying tells, without a permission that is needed for nothing else:
/// `archive.json`, which no case ever holds, is given the hold that it has.
pub(super) async fn keeps_holds(archive: &Archive) -> Result<bool> {
    let stat = stored(archive, key::ARCHIVE).await?;
    Ok(archive.store.set_legal_hold(key::ARCHIVE, stat.legal_hold).await?)
}

/// Which holds may be lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lift {
    Nothing,
    /// Those of days that no enforced case holds.
    Free,
}

/// Makes the objects carry what the chain says, and looks at the chain again until nothing came between: another host may
/// have opened a case on objects whose hold was just lifted, or committed a day.
async fn settle(
    archive: &Archive,
    sub_account: &str,
    ranges: &[Span],
    lift: Lift,
    mut held: Held,
) -> Result<Held> {
    if !held.enforced {
        return Ok(held);
    }
    let mut chain = Chain::open(archive, sub_account).await?;
    loop {
        sweep(archive, &mut chain, ranges, lift, &mut held).await?;
        let now = Chain::open(archive, sub_account).await?;
        if now.head == chain.head {
            return Ok(held);
        }
        chain = now;
    }
}

/// Once over all objects.
async fn sweep(
    archive: &Archive,
    chain: &mut Chain,
    ranges: &[Span],
    lift: Lift,
    held: &mut Held,
) -> Result<()> {
    let (orders, coverage) = (chain.orders(archive).await?, chain.coverage());
    let mut all = BTreeMap::new();
    for range in ranges {
        all.extend(objects(archive, chain, *range).await?);
    }
    let carry = |(object, date): (String, Date)| {
        let on = orders.holds_objects(date);
        let may_be_gone = coverage.state(date) == DayState::Disposed;
        async move {
            if may_be_gone && archive.store.stat(&object).await?.is_none() {
                return Ok(None);
            }
            let changed = (on || lift == Lift::Free) && carry(archive, &object, on).await?;
            Ok::<_, Failure>(Some((on, changed)))
        }
    };
    (held.objects, held.files_gone, held.held_by_others) = (0, 0, 0);
    let mut carried = stream::iter(all).map(carry).buffer_unordered(AT_ONCE);
    while let Some(done) = carried.try_next().await? {
        let Some((on, changed)) = done else {
            held.files_gone += 1;
            continue;
        };
        held.objects += 1;
        held.held_by_others += u64::from(on && lift == Lift::Free);
        held.changed += u64::from(changed);
    }
    Ok(())
}

/// Sets or lifts one object's hold; `false` where it was as it should be.
async fn carry(archive: &Archive, object: &str, on: bool) -> Result<bool> {
    if archive.stop.is_cancelled() {
        return Err(interrupted());
    }
    if stored(archive, object).await?.legal_hold == on {
        return Ok(false);
    }
    archive.store.set_legal_hold(object, on).await?;
    Ok(true)
}

/// Every committed object of the days, and its day: parts, and the manifests that commit them. Parts of a day that was
/// disposed of may be gone; those that are still there can be held like any other.
pub(super) async fn objects(
    archive: &Archive,
    chain: &mut Chain,
    range: Span,
) -> Result<Vec<(String, Date)>> {
    let revisions = chain.revisions_in(archive, &range.days()).await?;
    let objects = revisions.iter().flat_map(|(link, day)| {
        let parts = day.files.iter().map(|file| file.key.clone());
        parts.chain([link.key.clone()]).map(|key| (key, day.date))
    });
    Ok(objects.collect())
}
