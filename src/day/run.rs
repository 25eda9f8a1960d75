//! One archive day of one sub-account, from whatever state it is in to committed.
//!
//! Recovery is the normal way: a run after a crash executes the same steps, and each step finds what is done already.

use crate::chain::archive::violated;
use crate::chain::{Chain, Writer};
use crate::day::commit::{CommitOutcome, commit};
use crate::day::context::{ApiSource, DayContext, DayJob};
use crate::day::day_outcome::DayOutcome;
use crate::day::encode::encode;
use crate::day::observe::{ApiTime, mark_vanished, observe};
use crate::day::pipeline::PipelineSlot;
use crate::day::preconditions::{
    check_archived, check_neighbours, check_not_disposed, check_recheck_of_disposed, check_zone,
};
use crate::day::prior::PriorState;
use crate::day::progress::DayMeter;
use crate::day::publish::{Published, publish, required_protection};
use crate::day::revision_record::{PAST_MANIFESTS, compose};
use crate::day::shared_chain::SharedChain;
use crate::format::place::key;
use crate::format::record::{DayRecord, DayState};
use crate::journal::{DayFolder, Head, Journal, JournalHandle};
use crate::outcome::{Failure, Result};

/// Archives one day: confirms it, completes it, fills its gaps, finishes what an interrupted run began, or rechecks it.
///
/// `slot` is the day's position among the days of the sub-account that are under way; `meter` counts its progress.
///
/// # Errors
/// `Exit::Locked` where another process on this host works on the day, `Exit::Usage` where the day cannot be archived
/// as asked, `Exit::Later` where the API or the store does not serve it now, and `Exit::Integrity` where the archive
/// contradicts itself. Whatever the error, answers received so far are in the day's journal.
pub async fn run_day(
    archive: &Writer,
    shared_chain: &SharedChain,
    job: &DayJob,
    source: &impl ApiSource,
    meter: &DayMeter,
    slot: PipelineSlot<'_>,
) -> Result<DayOutcome> {
    // Held until the day ends; the operating system releases it when the process dies.
    let folder = archive.state.day(&job.sub_account, job.date)?;
    let _lock = folder.lock()?;
    let resumed = folder.has_journal();
    let mut chain = shared_chain.current(archive).await?;
    check_zone(archive, job, &mut chain).await?;
    let state = chain.coverage().state(job.date);
    check_archived(job, state)?;
    if state == DayState::Disposed {
        check_recheck_of_disposed(job)?;
        if resumed {
            // Personal data of a disposed day must not stay on this host either.
            tracing::warn!(date = %job.date, "the day was disposed of: the journal of an unfinished run of it is removed");
        }
        folder.delete_journal()?;
        return confirm(archive, job, &mut chain, 0).await;
    }
    if state.is_sealed() && !job.reopens(state) && !resumed {
        // A crash while a journal was removed may have left files of it.
        folder.delete_journal()?;
        return confirm(archive, job, &mut chain, 0).await;
    }
    check_neighbours(archive, job, &mut chain).await?;
    // The days that the warnings compare with. They are read before the first request, so that a broken chain is found
    // before a night's requests are spent.
    chain.recent(archive, PAST_MANIFESTS).await?;
    shared_chain.keep(&chain).await;
    let day = DayRun {
        archive,
        shared_chain,
        job,
        source,
        meter,
        folder: &folder,
    };
    let pipeline = slot.pipeline();
    let first = day.visit(slot, &mut chain).await?;
    if job.recheck.is_none() || first.was_recheck {
        return Ok(DayOutcome {
            resumed,
            ..first.outcome
        });
    }
    // The journal held work of an earlier run, which came first. The recheck itself is a second visit.
    chain = shared_chain.current(archive).await?;
    let second = day.visit(pipeline.slot(), &mut chain).await?;
    Ok(DayOutcome {
        committed: first.outcome.committed + second.outcome.committed,
        resumed,
        ..second.outcome
    })
}

/// A day whose lock this process holds.
struct DayRun<'a, S> {
    archive: &'a Writer,
    shared_chain: &'a SharedChain,
    job: &'a DayJob,
    source: &'a S,
    meter: &'a DayMeter,
    folder: &'a DayFolder,
}

/// What one visit of a day has done.
struct DayVisit {
    outcome: DayOutcome,
    /// Whether the visit has rechecked the day, rather than finished what an earlier run began.
    was_recheck: bool,
}

impl<S: ApiSource> DayRun<'_, S> {
    /// Does what the day's journal is for, and removes the journal.
    ///
    /// A crash before the removal leaves a journal with nothing new, which the next run removes.
    async fn visit(&self, slot: PipelineSlot<'_>, chain: &mut Chain) -> Result<DayVisit> {
        let (archive, job) = (self.archive, self.job);
        let mut journal = Journal::open(&self.folder.database(), job.identity(archive))?;
        journal.omit_fields(&archive.policy.omitted_fields)?;
        journal.purge_omitted_bytes()?;
        let recheck = journal.start_recheck(job.recheck.as_ref().map(|recheck| &recheck.scope))?;
        // Bounds what a crash can cost: answers that are received, and not on the disk yet.
        let answers_under_way = archive.policy.answers_under_way * archive.policy.concurrency;
        let (journal, thread) = JournalHandle::start(journal, answers_under_way);
        let context = DayContext {
            archive,
            shared_chain: self.shared_chain,
            job,
            folder: self.folder,
            scratch: &self.folder.create_scratch()?,
            journal: &journal,
            meter: self.meter,
            recheck: recheck.as_ref(),
        };
        let completed = complete(&context, self.source, slot, chain).await;
        // The thread ends when its last handle is gone, after it has written everything.
        drop(journal);
        // An error of the journal's thread is the cause of the errors that its users have seen.
        let ended = tokio::task::spawn_blocking(|| thread.join()).await;
        if let Ok(Ok(Err(error))) = ended {
            return Err(error.into());
        }
        let outcome = completed?;
        self.folder.delete_journal()?;
        Ok(DayVisit {
            outcome,
            was_recheck: recheck.is_some(),
        })
    }
}

/// Runs steps 0 to 4 on the open journal, until everything in it is committed.
async fn complete(
    context: &DayContext<'_>,
    source: &impl ApiSource,
    slot: PipelineSlot<'_>,
    chain: &mut Chain,
) -> Result<DayOutcome> {
    let DayContext { archive, job, .. } = *context;
    // Steps 0 and 3. A crash leaves the committed rows in the journal, which the next run loads again.
    let mut prior = PriorState::load(context, chain).await?;
    // Step 1. A crash leaves the answers received so far in the journal. No request is sent after this step.
    let time = observe(context, source, slot, chain, &prior).await?;
    // More than one round only where another process works on the same day, or parts were adopted.
    let mut committed = 0;
    loop {
        match commit_round(context, chain, &prior, time).await? {
            Round::NothingNew => return confirm(archive, job, chain, committed).await,
            Round::Committed(head, record) => {
                committed += 1;
                if prior.adopted.is_empty() {
                    let state = record.state_after(chain.coverage().state(job.date));
                    return Ok(DayOutcome::new(head, *record, committed, state));
                }
                // An adopted part may lack or contradict rows of this journal, which go into a revision after it.
                tracing::info!(date = %job.date, "a revision with adopted parts is committed; the remaining rows are next");
            }
            Round::Overtaken => {
                tracing::info!(date = %job.date, "another process was first with this day; the remaining rows are next");
            }
        }
        let before = (prior.revision(), prior.next_part);
        *chain = context.shared_chain.current(archive).await?;
        check_not_disposed(job, chain)?;
        prior = PriorState::load(context, chain).await?;
        check_progress(context, before, &prior)?;
    }
}

/// How one round of steps 2 to 4 ended.
enum Round {
    /// The journal has nothing beyond the committed revisions.
    NothingNew,
    /// The record is in the chain, under this head.
    Committed(Head, Box<DayRecord>),
    /// Another process has taken the name of a part or the number of the revision.
    Overtaken,
}

/// Encodes, stores and commits what the journal has beyond `prior`.
async fn commit_round(
    context: &DayContext<'_>,
    chain: &mut Chain,
    prior: &PriorState,
    time: ApiTime,
) -> Result<Round> {
    let DayContext { archive, job, .. } = *context;
    if archive.stop.is_cancelled() {
        return Err(Failure::interrupted());
    }
    mark_vanished(context).await?;
    // Step 2. A crash leaves parts in the scratch folder, which the next run removes.
    tracing::debug!(date = %job.date, revision = prior.revision(), "observed; encoding");
    let revision = encode(context, prior).await?;
    let has_parts = !revision.parts.is_empty() || !prior.adopted.is_empty();
    // A recheck that found no change is committed too: its record proves that the day was observed again.
    let is_unrecorded_recheck = context.recheck.is_some() && !prior.has_windows(&revision.windows);
    if prior.revision() > 1 && !has_parts && !is_unrecorded_recheck {
        return Ok(Round::NothingNew);
    }
    // Step 3. A crash leaves stored parts that no manifest lists, which the next run stores again or adopts.
    tracing::debug!(date = %job.date, parts = revision.parts.len(), "encoded; storing");
    // Checked before every commit: the store's configuration may have changed since the last one.
    archive.check_create_only().await?;
    let protection = required_protection(context, chain, prior).await?;
    let published = match publish(context, prior, &revision.parts, protection).await? {
        Published::All(published) => published,
        Published::Taken => return Ok(Round::Overtaken),
    };
    // Step 4. A crash before the record is stored leaves the same as step 3; after it, the revision is committed.
    let record = compose(context, chain, prior, revision, published, time.now_ms).await?;
    match commit(context, chain, &record, protection, time.skew_ms).await? {
        CommitOutcome::Done(head) => Ok(Round::Committed(head, Box::new(record))),
        CommitOutcome::Lost => Ok(Round::Overtaken),
    }
}

/// Checks that a round that another process has overtaken finds what that process has stored. Where the store's listings
/// do not show it, the next round would end in the same way.
fn check_progress(context: &DayContext<'_>, before: (u32, u32), prior: &PriorState) -> Result<()> {
    if (prior.revision(), prior.next_part) > before {
        return Ok(());
    }
    let job = context.job;
    let (revision, part) = before;
    let key = key::part(&job.sub_account, job.date, revision, part);
    let message = format!(
        "{} reports that {key} or a later part exists, but does not list it",
        context.archive.store.root()
    );
    Err(Failure::later(message)
        .remedy("Run again later; if it happens again, the store's listings cannot be relied on."))
}

/// Returns the outcome of a day that stays as it is in the chain, after `committed` revisions of this run.
async fn confirm(
    archive: &Writer,
    job: &DayJob,
    chain: &mut Chain,
    committed: u32,
) -> Result<DayOutcome> {
    let record = chain.record_of(archive, job.date).await?;
    let (Some(record), Some(head)) = (record, chain.head.clone()) else {
        return Err(violated(format!(
            "the chain covers {} but holds no manifest of it",
            job.date
        )));
    };
    archive.state.remember_head(&job.sub_account, &head)?;
    let state = chain.coverage().state(job.date);
    Ok(DayOutcome::new(head, record, committed, state))
}
