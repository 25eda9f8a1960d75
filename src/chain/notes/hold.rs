//! Legal holds: a case is opened or closed in the chain first, then the objects are made to carry what the chain says.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use crate::chain::append::{Appended, Mode, append, open_begun};
use crate::chain::days::Chain;
use crate::chain::protection::{Protection, stored};
use crate::chain::writer::Writer;
use crate::format::place::key;
use crate::format::record::coverage::DayState;
use crate::format::record::manifest::Record;
use crate::format::record::notes::{DateSpan, Hold, HoldAct};
use crate::format::record::obligations::Obligations;
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};

/// Objects whose holds are looked at and changed at once.
pub(super) const AT_ONCE: usize = 16;

/// What is to be held, or no longer, and why.
#[derive(Debug, Clone)]
pub struct HoldRequest {
    pub case: String,
    /// Without one, when a case is closed: all that it holds.
    pub range: Option<DateSpan>,
    pub reason: String,
    pub by: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HoldOutcome {
    /// The manifest that was committed; none where the chain said so already.
    pub head: Option<Head>,
    /// Records that were committed, or would be.
    pub records: u64,
    /// The store keeps legal holds.
    pub enforced: bool,
    /// Objects of the days concerned, and how many of them were changed, or would be.
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
pub async fn add(
    archive: &Writer,
    sub_account: &str,
    claim: &HoldRequest,
    mode: Mode,
) -> Result<HoldOutcome> {
    let mut chain = open_begun(archive, sub_account, mode).await?;
    let enforced = keeps_holds(archive, mode).await?;
    let range = claim
        .range
        .ok_or_else(|| Failure::new(Exit::Usage, "a hold needs a range of days"))?;
    let mut held = HoldOutcome {
        enforced,
        ..HoldOutcome::default()
    };
    let mut task = HoldTask {
        ranges: vec![range],
        lift: HoldChange::Nothing,
        mode,
        proposed: Vec::new(),
    };
    while !task
        .orders(archive, &mut chain)
        .await?
        .covers(&claim.case, range, enforced)
    {
        let record = record(HoldAct::Add, claim, range, enforced);
        if task.commit(archive, &mut chain, record, &mut held).await? {
            break;
        }
    }
    held.days_disposed = disposed_in(&chain, &task.ranges);
    settle(archive, sub_account, &task, held).await
}

/// Gives up a case's claim on the days, and lifts the hold of objects that no other open case claims.
///
/// # Errors
/// [`Exit::Usage`] where the case was never opened on these days.
pub async fn remove(
    archive: &Writer,
    sub_account: &str,
    claim: &HoldRequest,
    mode: Mode,
) -> Result<HoldOutcome> {
    let mut chain = open_begun(archive, sub_account, mode).await?;
    let enforced = keeps_holds(archive, mode).await?;
    let mut held = HoldOutcome {
        enforced,
        ..HoldOutcome::default()
    };
    let mut task = HoldTask {
        ranges: Vec::new(),
        lift: HoldChange::Free,
        mode,
        proposed: Vec::new(),
    };
    loop {
        let orders = task.orders(archive, &mut chain).await?;
        task.ranges = ranges_to_lift(&orders, claim, sub_account)?;
        let open = task
            .ranges
            .iter()
            .copied()
            .find(|range| orders.touches(&claim.case, *range));
        let Some(open) = open else { break };
        let record = record(HoldAct::Remove, claim, open, enforced);
        if task.commit(archive, &mut chain, record, &mut held).await? {
            chain = Chain::open(archive, sub_account).await?;
        }
    }
    held.days_disposed = disposed_in(&chain, &task.ranges);
    settle(archive, sub_account, &task, held).await
}

fn disposed_in(chain: &Chain, ranges: &[DateSpan]) -> u64 {
    let coverage = chain.coverage();
    let dates = ranges
        .iter()
        .flat_map(|range| range.days().within(range.from, range.to));
    let disposed = dates.filter(|date| coverage.state(*date) == DayState::Disposed);
    disposed.collect::<BTreeSet<Date>>().len() as u64
}

/// The range that is named, or every one that the case has ever held: closed already, its objects may still carry a hold
/// that nobody lifted.
fn ranges_to_lift(
    orders: &Obligations,
    claim: &HoldRequest,
    sub_account: &str,
) -> Result<Vec<DateSpan>> {
    let of_case = orders
        .holds()
        .iter()
        .filter(|(_, hold)| hold.case == claim.case && hold.act == HoldAct::Add);
    let ever: Vec<DateSpan> = of_case.map(|(_, hold)| hold.range).collect();
    let wanted = match claim.range {
        None => ever,
        Some(range)
            if ever
                .iter()
                .any(|held| held.from < range.to && range.from < held.to) =>
        {
            vec![range]
        }
        Some(_) => Vec::new(),
    };
    if !wanted.is_empty() {
        return Ok(wanted);
    }
    let range = claim
        .range
        .map(|range| format!(" on any day of {range}"))
        .unwrap_or_default();
    let message = format!(
        "sub-account {sub_account} was never held for case {}{range}",
        claim.case
    );
    Err(Failure::new(Exit::Usage, message)
        .remedy("`cxvault hold list` shows the cases and their days."))
}

fn record(act: HoldAct, claim: &HoldRequest, range: DateSpan, enforced: bool) -> Record {
    let HoldRequest {
        case, reason, by, ..
    } = claim.clone();
    Record::Hold(Box::new(Hold {
        act,
        case,
        range,
        reason,
        by,
        enforced,
    }))
}

/// Whether this store keeps legal holds. Of who writes, only trying tells for sure: `archive.json`, which no case ever
/// holds, is given the hold that it has.
pub(super) async fn keeps_holds(archive: &Writer, mode: Mode) -> Result<bool> {
    let stat = stored(archive, key::ARCHIVE).await?;
    Ok(match mode {
        Mode::Act => {
            archive
                .store
                .set_legal_hold(key::ARCHIVE, stat.legal_hold)
                .await?
        }
        Mode::DryRun => archive.store.keeps_legal_holds(key::ARCHIVE).await?,
    })
}

/// What is to become of the objects of some days.
struct HoldTask {
    ranges: Vec<DateSpan>,
    lift: HoldChange,
    mode: Mode,
    /// Records that a dry run did not commit.
    proposed: Vec<Record>,
}

impl HoldTask {
    /// What the chain orders, or would.
    async fn orders(&self, archive: &Writer, chain: &mut Chain) -> Result<Obligations> {
        let mut orders = chain.orders(archive).await?;
        let next = chain.head.as_ref().map_or(0, |head| head.sequence) + 1;
        (next..)
            .zip(&self.proposed)
            .for_each(|(sequence, record)| orders.push(sequence, record));
        Ok(orders)
    }

    /// Commits a hold's record, or notes what would be; `false` when the number went to somebody else, and the chain has to
    /// be looked at again.
    async fn commit(
        &mut self,
        archive: &Writer,
        chain: &mut Chain,
        record: Record,
        held: &mut HoldOutcome,
    ) -> Result<bool> {
        if self.mode == Mode::DryRun {
            self.proposed.push(record);
            held.records += 1;
            return Ok(true);
        }
        let duty = Protection {
            lock: archive.fresh_lock()?,
            hold: false,
        };
        let Appended::Done(head) = append(archive, chain, record, duty, None).await? else {
            return Ok(false);
        };
        held.head = Some(head);
        held.records += 1;
        Ok(true)
    }
}

/// Which holds may be lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HoldChange {
    Nothing,
    /// Those of days that no enforced case holds.
    Free,
}

/// Makes the objects carry what the chain says, and looks at the chain again until nothing came between: another host may
/// have opened a case on objects whose hold was just lifted, or committed a day.
async fn settle(
    archive: &Writer,
    sub_account: &str,
    task: &HoldTask,
    mut held: HoldOutcome,
) -> Result<HoldOutcome> {
    if !held.enforced {
        return Ok(held);
    }
    let mut chain = Chain::open(archive, sub_account).await?;
    loop {
        sweep(archive, &mut chain, task, &mut held).await?;
        let now = Chain::open(archive, sub_account).await?;
        if now.head == chain.head || task.mode == Mode::DryRun {
            return Ok(held);
        }
        chain = now;
    }
}

/// Once over all objects.
async fn sweep(
    archive: &Writer,
    chain: &mut Chain,
    task: &HoldTask,
    held: &mut HoldOutcome,
) -> Result<()> {
    let (orders, coverage) = (task.orders(archive, chain).await?, chain.coverage());
    let mut all = BTreeMap::new();
    for range in &task.ranges {
        all.extend(objects(archive, chain, *range).await?);
    }
    let carry = |(object, date): (String, Date)| {
        let on = orders.holds_objects(date);
        let concerned = on || task.lift == HoldChange::Free;
        let may_be_gone = coverage.state(date) == DayState::Disposed;
        async move {
            if may_be_gone && archive.store.stat(&object).await?.is_none() {
                return Ok(None);
            }
            let changed = concerned && carry(archive, &object, on, task.mode).await?;
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
        held.held_by_others += u64::from(on && task.lift == HoldChange::Free);
        held.changed += u64::from(changed);
    }
    Ok(())
}

/// Sets or lifts one object's hold, or would; `false` where it is as it should be.
async fn carry(archive: &Writer, object: &str, on: bool, mode: Mode) -> Result<bool> {
    if archive.stop.is_cancelled() {
        return Err(Failure::interrupted());
    }
    if stored(archive, object).await?.legal_hold == on {
        return Ok(false);
    }
    if mode == Mode::Act {
        archive.store.set_legal_hold(object, on).await?;
    }
    Ok(true)
}

/// Every committed object of the days, and its day: parts, and the manifests that commit them. Parts of a day that was
/// disposed of may be gone; those that are still there can be held like any other.
pub(super) async fn objects(
    archive: &Writer,
    chain: &mut Chain,
    range: DateSpan,
) -> Result<Vec<(String, Date)>> {
    let revisions = chain.revisions_in(archive, &range.days()).await?;
    let objects = revisions.iter().flat_map(|(link, day)| {
        let parts = day.files.iter().map(|file| file.key.clone());
        parts.chain([link.key.clone()]).map(|key| (key, day.date))
    });
    Ok(objects.collect())
}
