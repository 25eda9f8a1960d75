//! Legal holds: a case is opened or closed in the chain first, then the objects are made to agree with the chain.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use crate::chain::append::{Mode, open_begun};
use crate::chain::days::Chain;
use crate::chain::notes;
use crate::chain::notes::{AT_ONCE, in_state, keeps_holds, objects};
use crate::chain::protection::stored;
use crate::chain::writer::Writer;
use crate::format::record::{DateSpan, DayState, Hold, HoldAct, Obligations, Record};
use crate::journal::Head;
use crate::outcome::{Failure, Result};

/// A hold to be set or removed.
#[derive(Debug, Clone)]
pub(crate) struct HoldRequest {
    pub case: String,
    /// The days. `None`, when a case is closed, means all that it holds.
    pub range: Option<DateSpan>,
    pub reason: String,
    pub by: Option<String>,
}

/// The result of a hold, or in a dry run what it would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct HoldOutcome {
    /// The newest manifest that was committed; `None` where the chain had the same record already.
    pub head: Option<Head>,
    /// Number of records that were committed, or in a dry run would be.
    pub records: u64,
    /// Whether the store keeps legal holds.
    pub enforced: bool,
    /// Number of objects of the days concerned.
    pub objects: u64,
    /// Number of objects whose hold was changed, or in a dry run would be.
    pub changed: u64,
    /// Number of objects that stay held for another case.
    pub held_by_others: u64,
    /// Number of days of the ranges that were disposed of: no hold restores their files.
    pub days_disposed: u64,
    /// Number of their files that are gone, as far as the store was asked.
    pub files_gone: u64,
}

/// Holds every archived object of the days, and every later one.
///
/// A crash after the commit leaves objects that lack their hold; the same call again finds its record in the chain, makes
/// no other, and completes them.
///
/// # Errors
/// `Exit::Usage` without a range, and where nothing is archived.
pub(crate) async fn add(
    writer: &Writer,
    sub_account: &str,
    request: &HoldRequest,
    mode: Mode,
) -> Result<HoldOutcome> {
    let range = request
        .range
        .ok_or_else(|| Failure::usage("a hold needs a range of days"))?;
    let mut chain = open_begun(writer, sub_account, mode).await?;
    let mut task = HoldTask::new(writer, mode, HoldChange::Add).await?;
    task.ranges = vec![range];
    let (record, head) = notes::record(writer, &mut chain, mode, async |chain: &mut Chain| {
        let obligations = chain.orders(writer).await?;
        let held = obligations.covers(&request.case, range, task.outcome.enforced);
        let record = (!held).then(|| task.record(HoldAct::Add, request, range));
        Ok((record.clone(), record))
    })
    .await?;
    task.count(record, head);
    task.enforce(chain).await
}

/// Closes a case on the days, and removes the hold of objects that no other open case holds.
///
/// # Errors
/// `Exit::Usage` where the case was never opened on these days.
pub(crate) async fn remove(
    writer: &Writer,
    sub_account: &str,
    request: &HoldRequest,
    mode: Mode,
) -> Result<HoldOutcome> {
    let mut chain = open_begun(writer, sub_account, mode).await?;
    let mut task = HoldTask::new(writer, mode, HoldChange::Remove).await?;
    loop {
        // One record closes one range, so that a case with several takes several.
        let (proposal, head) =
            notes::record(writer, &mut chain, mode, async |chain: &mut Chain| {
                let obligations = task.obligations(chain).await?;
                let ranges = ranges_to_lift(&obligations, request, sub_account)?;
                let open = ranges
                    .iter()
                    .find(|range| obligations.touches(&request.case, **range));
                let record = open.map(|open| task.record(HoldAct::Remove, request, *open));
                Ok(((ranges, record.clone()), record))
            })
            .await?;
        let (ranges, record) = proposal;
        task.ranges = ranges;
        let closed = record.is_none();
        task.count(record, head);
        if closed {
            return task.enforce(chain).await;
        }
        chain.refresh(writer).await?;
    }
}

/// Returns the range that is named, or every range that the case has ever held: a case that is closed already may have
/// left objects under their hold.
fn ranges_to_lift(
    orders: &Obligations,
    request: &HoldRequest,
    sub_account: &str,
) -> Result<Vec<DateSpan>> {
    let of_case = orders
        .holds()
        .iter()
        .filter(|(_, hold)| hold.case == request.case && hold.act == HoldAct::Add);
    let ever: Vec<DateSpan> = of_case.map(|(_, hold)| hold.range).collect();
    let range = match request.range {
        None if !ever.is_empty() => return Ok(ever),
        None => String::new(),
        Some(range) => {
            let mut held = ever.iter();
            if held.any(|held| held.from < range.to && range.from < held.to) {
                return Ok(vec![range]);
            }
            format!(" on any day of {range}")
        }
    };
    let case = &request.case;
    let message = format!("sub-account {sub_account} was never held for case {case}{range}");
    Err(Failure::usage(message).remedy("`cxvault hold list` shows the cases and their days."))
}

/// Which holds of objects may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HoldChange {
    /// Holds are set, and none is removed.
    Add,
    /// Holds of days that no enforced case holds are removed as well.
    Remove,
}

/// One hold command in one sub-account.
struct HoldTask<'a> {
    writer: &'a Writer,
    ranges: Vec<DateSpan>,
    change: HoldChange,
    mode: Mode,
    /// Records that a dry run did not commit.
    proposed: Vec<Record>,
    outcome: HoldOutcome,
}

impl<'a> HoldTask<'a> {
    /// Returns a command that has changed nothing yet.
    async fn new(writer: &'a Writer, mode: Mode, change: HoldChange) -> Result<HoldTask<'a>> {
        Ok(HoldTask {
            writer,
            ranges: Vec::new(),
            change,
            mode,
            proposed: Vec::new(),
            outcome: HoldOutcome {
                enforced: keeps_holds(writer, mode).await?,
                ..HoldOutcome::default()
            },
        })
    }

    /// Returns the record that sets or removes a case on a range of days.
    fn record(&self, act: HoldAct, request: &HoldRequest, range: DateSpan) -> Record {
        Record::Hold(Box::new(Hold {
            act,
            case: request.case.clone(),
            range,
            reason: request.reason.clone(),
            by: request.by.clone(),
            enforced: self.outcome.enforced,
        }))
    }

    /// Counts a record that was committed, or that a dry run would commit.
    fn count(&mut self, record: Option<Record>, head: Option<Head>) {
        self.outcome.records += u64::from(record.is_some());
        if head.is_some() {
            self.outcome.head = head;
        } else {
            self.proposed.extend(record);
        }
    }

    /// Returns what the chain orders, with what a dry run would add.
    async fn obligations(&self, chain: &Chain) -> Result<Obligations> {
        let mut obligations = chain.orders(self.writer).await?;
        (chain.next_sequence()..)
            .zip(&self.proposed)
            .for_each(|(sequence, record)| obligations.push(sequence, record));
        Ok(obligations)
    }

    /// Makes the objects agree with the chain, where the store keeps legal holds at all.
    async fn enforce(mut self, mut chain: Chain) -> Result<HoldOutcome> {
        let disposed: BTreeSet<Date> = self
            .ranges
            .iter()
            .flat_map(|range| in_state(&chain, *range, DayState::Disposed))
            .collect();
        self.outcome.days_disposed = disposed.len() as u64;
        if self.outcome.enforced {
            let (writer, mode) = (self.writer, self.mode);
            notes::enforce_until_settled(writer, &mut chain, mode, async |chain: &mut Chain| {
                self.sweep(chain).await
            })
            .await?;
        }
        Ok(self.outcome)
    }

    /// Examines every object once, and sets or removes its hold.
    async fn sweep(&mut self, chain: &mut Chain) -> Result<()> {
        let (obligations, coverage) = (self.obligations(chain).await?, chain.coverage());
        let mut all = BTreeMap::new();
        for range in &self.ranges {
            all.extend(objects(self.writer, chain, *range).await?);
        }
        let (writer, mode, remove) = (self.writer, self.mode, self.change == HoldChange::Remove);
        let outcome = &mut self.outcome;
        (outcome.objects, outcome.files_gone, outcome.held_by_others) = (0, 0, 0);
        let mut examined = stream::iter(all)
            .map(|(object, date)| {
                let on = obligations.holds_objects(date);
                let may_be_gone = coverage.state(date) == DayState::Disposed;
                async move {
                    if may_be_gone && writer.store.stat(&object).await?.is_none() {
                        return Ok(None);
                    }
                    let changed = (on || remove) && set_hold(writer, &object, on, mode).await?;
                    Ok::<_, Failure>(Some((on, changed)))
                }
            })
            .buffer_unordered(AT_ONCE);
        while let Some(examined) = examined.try_next().await? {
            let Some((on, changed)) = examined else {
                outcome.files_gone += 1;
                continue;
            };
            outcome.objects += 1;
            outcome.held_by_others += u64::from(on && remove);
            outcome.changed += u64::from(changed);
        }
        Ok(())
    }
}

/// Sets or removes one object's hold, or in a dry run finds out whether it would; `false` where it is as it should be.
async fn set_hold(writer: &Writer, object: &str, on: bool, mode: Mode) -> Result<bool> {
    writer.check_stop()?;
    if stored(writer, object).await?.legal_hold == on {
        return Ok(false);
    }
    if mode == Mode::Act {
        writer.store.set_legal_hold(object, on).await?;
    }
    Ok(true)
}
