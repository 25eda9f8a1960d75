//! Step 4, second half: the commit of a revision's record at the end of the chain.
//!
//! Before the record is stored the revision does not exist, whatever parts are in the store. From then on it does. A crash
//! after it leaves a journal of which nothing is new; the next run finds the revision in the chain, and removes the
//! journal.

use crate::chain::append::append;
use crate::chain::{Appended, Chain, Protection};
use crate::day::context::DayContext;
use crate::day::preconditions::{check_neighbours, check_not_disposed};
use crate::format::record::{DayRecord, Record};
use crate::journal::Head;
use crate::outcome::Result;

/// How the commit ended.
#[derive(Debug)]
pub(super) enum CommitOutcome {
    /// The record is the head of the chain.
    Done(Head),
    /// Another process has committed this revision of the day first. Rows that it lacks go into the next revision.
    Lost,
}

/// Appends the record to the chain, at the next number as often as other processes take the number before.
///
/// `protection` is what the parts of the revision have already; its manifest gets the same. `skew_ms` is the API's clock
/// minus this host's in milliseconds, where it is known.
///
/// # Errors
/// Those of the checks that are repeated whenever another process has appended to the chain, and those of the store.
pub(super) async fn commit(
    context: &DayContext<'_>,
    chain: &mut Chain,
    record: &DayRecord,
    mut protection: Protection,
    skew_ms: Option<i64>,
) -> Result<CommitOutcome> {
    let DayContext { archive, job, .. } = *context;
    loop {
        check_not_disposed(job, chain)?;
        let entry = Record::Day(Box::new(record.clone()));
        match append(archive, chain, entry, protection, skew_ms).await? {
            Appended::Done(head) => return Ok(CommitOutcome::Done(head)),
            // `append` has opened the chain again: what came in between is examined like any chain at the start.
            Appended::Taken => {}
        }
        check_neighbours(archive, job, chain).await?;
        let revisions = chain.revisions(archive, job.date).await?;
        if revisions
            .last()
            .is_some_and(|(_, day)| day.revision >= record.revision)
        {
            return Ok(CommitOutcome::Lost);
        }
        // A hold or a longer retention may have come in between. Its writer could not know this revision's parts.
        let required = Protection::of(archive, chain, job.date, protection.lock).await?;
        if required != protection {
            for file in &record.files {
                required.give(archive, &file.key).await?;
            }
            protection = required;
        }
    }
}
