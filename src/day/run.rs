//! One archive day of one sub-account, from whatever state it is in to committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::Date;

use crate::chain::archive::Archive;
use crate::chain::days::Chain;
use crate::chain::required::Protection;
use crate::day::commit;
use crate::day::commit::{CommitOutcome, RevisionFacts, commit};
use crate::day::encode::encode;
use crate::day::observe::observe;
use crate::day::pipeline::PipelineSlot;
use crate::day::prior::PriorState;
use crate::day::publish::{Published, publish};
use crate::format::place::key;
use crate::format::record::coverage::DayState;
use crate::format::record::lock::Lock;
use crate::format::record::manifest::{DayRecord, Why};
use crate::format::record::warning::Warning;
use crate::format::row::observation::Status;
use crate::format::row::recheck::RecheckScope;
use crate::format::row::segment::Segment;
use crate::format::time::day::{Window, Zone};
use crate::journal::{DayFolder, DayIdentity, Head, Journal, JournalHandle, VanishedCounts};
use crate::outcome::{Exit, Failure, Result};
use crate::ringcx::RingCx;

/// Which segments' summaries are wanted; none named means all.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    pub channel_classes: Vec<String>,
    pub segment_types: Vec<String>,
}

impl Filters {
    /// A segment that does not tell its class or type is wanted: leaving it out would be a guess.
    pub fn want(&self, channel_class: Option<&str>, segment_type: Option<&str>) -> bool {
        let passes = |wanted: &[String], found: Option<&str>| match found {
            Some(found) => {
                wanted.is_empty() || wanted.iter().any(|one| one.eq_ignore_ascii_case(found))
            }
            None => true,
        };
        passes(&self.channel_classes, channel_class) && passes(&self.segment_types, segment_type)
    }

    pub fn want_segment(&self, segment: &Segment) -> bool {
        let metadata = &segment.metadata;
        self.want(
            metadata.channel_class.as_deref(),
            metadata.segment_type.as_deref(),
        )
    }
}

/// What is to be archived.
#[derive(Debug, Clone)]
pub struct DayJob {
    pub sub_account: String,
    pub date: Date,
    pub zone: Zone,
    pub window: Window,
    pub filters: Filters,
    pub why: Why,
    /// Ask again for summaries whose absence somebody has acknowledged.
    pub insist: bool,
    /// Look again at a day that is committed.
    pub recheck: Option<RecheckRequest>,
}

/// How a recheck is done.
#[derive(Debug, Clone)]
pub struct RecheckRequest {
    pub scope: RecheckScope,
    /// Most of the day's segments may have vanished: somebody knows why.
    pub accept_vanished: bool,
}

/// How a day ended.
#[derive(Debug)]
pub struct DayOutcome {
    pub head: Head,
    /// The newest record of the day.
    pub record: DayRecord,
    /// Revisions that this run committed; none when the day was confirmed as it was.
    pub committed: u32,
    /// An earlier run left a journal here: whatever that one committed, it may have told nobody.
    pub resumed: bool,
    /// Its gaps are those that somebody has acknowledged.
    pub acknowledged: bool,
    /// It was disposed of after its retention: the record is all there is, and all there shall be.
    pub disposed: bool,
}

impl DayOutcome {
    fn new(head: Head, record: DayRecord, committed: u32, state: DayState) -> DayOutcome {
        let (acknowledged, disposed) =
            (state == DayState::Acknowledged, state == DayState::Disposed);
        DayOutcome {
            head,
            record,
            committed,
            resumed: false,
            acknowledged,
            disposed,
        }
    }

    /// The warnings that this run has to tell. Those of a day that was only confirmed were told when it was committed.
    pub fn warnings(&self) -> &[Warning] {
        if self.committed > 0 || self.resumed {
            &self.record.warnings
        } else {
            &[]
        }
    }

    /// Gaps and unacknowledged warnings want somebody's eyes; a confirmed complete day wants nobody's.
    pub fn exit(&self) -> Exit {
        let warned = self.warnings().iter().any(|warning| !warning.acknowledged);
        let whole = self.record.complete || self.acknowledged || self.disposed;
        if whole && !warned {
            Exit::Done
        } else {
            Exit::Gaps
        }
    }
}

/// What a day has come to, for whoever shows progress. Cheap to share.
#[derive(Debug, Clone, Default)]
pub struct DayMeter(Arc<MeterCounts>);

#[derive(Debug, Default)]
struct MeterCounts {
    windows_done: AtomicU64,
    windows: AtomicU64,
    segments: AtomicU64,
    looked: AtomicU64,
    failed: AtomicU64,
}

/// A glance at a [`DayMeter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeterReading {
    pub windows_done: u64,
    pub windows: u64,
    pub segments: u64,
    /// Summaries done with, failures included; two a segment.
    pub looked: u64,
    pub failed: u64,
}

impl DayMeter {
    pub(super) fn discovery(&self, done: usize, of: usize) {
        self.0.windows_done.store(done as u64, Ordering::Relaxed);
        self.0.windows.store(of as u64, Ordering::Relaxed);
    }

    pub(super) fn found(&self, segments: u64) {
        self.0.segments.fetch_add(segments, Ordering::Relaxed);
    }

    /// What an earlier run had come to.
    pub(super) fn resumed(&self, segments: u64, looked: u64) {
        self.0.segments.fetch_add(segments, Ordering::Relaxed);
        self.0.looked.fetch_add(looked, Ordering::Relaxed);
    }

    pub(super) fn looked(&self, status: Status) {
        self.0.looked.fetch_add(1, Ordering::Relaxed);
        self.0
            .failed
            .fetch_add(u64::from(status == Status::Failed), Ordering::Relaxed);
    }

    pub fn read(&self) -> MeterReading {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let MeterCounts {
            windows_done,
            windows,
            segments,
            looked,
            failed,
        } = &*self.0;
        MeterReading {
            windows_done: load(windows_done),
            windows: load(windows),
            segments: load(segments),
            looked: load(looked),
            failed: load(failed),
        }
    }
}

/// A client for the API, made only when something must be asked.
pub trait ApiSource: Sync {
    fn api(&self) -> impl Future<Output = Result<Arc<RingCx>>> + Send;
}

/// Archives one day: confirms it, completes it, fills its gaps, finishes what a dead run began, or looks at it again.
pub async fn run_day(
    archive: &Archive,
    job: &DayJob,
    source: &impl ApiSource,
    meter: &DayMeter,
    place: PipelineSlot<'_>,
) -> Result<DayOutcome> {
    let folder = archive.state.day(&job.sub_account, job.date)?;
    let _lock = folder.lock()?;
    let mut chain = Chain::open(archive, &job.sub_account).await?;
    commit::check_zone(archive, job, &mut chain).await?;
    let state = chain.coverage().state(job.date);
    if job.recheck.is_some() && state == DayState::Missing {
        let message = format!("{} of {} is not archived yet", job.date, job.sub_account);
        return Err(
            Failure::new(Exit::Usage, message).remedy("Archive it first: cxvault backfill.")
        );
    }
    if state == DayState::Disposed {
        commit::refuse_looking_again(job)?;
        if folder.has_journal() {
            // People's words must not outlive their day on this host either.
            tracing::warn!(date = %job.date, "disposed of: what an unfinished run had noted of it here is dropped");
        }
        folder.delete_journal()?;
        return confirm(archive, job, &mut chain, 0).await;
    }
    let again = job.recheck.is_some() || (job.insist && state == DayState::Acknowledged);
    if state.is_sealed() && !again && !folder.has_journal() {
        // Of a journal whose dropping was interrupted.
        folder.delete_journal()?;
        return confirm(archive, job, &mut chain, 0).await;
    }
    commit::check_neighbours(archive, job, &mut chain).await?;
    // What the warnings will compare with. Read now, so that a broken chain is found before a night's requests are
    // spent and parts are put.
    chain.recent(archive, commit::PAST_MANIFESTS).await?;
    let resumed = folder.has_journal();
    let pipeline = place.pipeline();
    let (outcome, rechecked) =
        visit(archive, job, source, (meter, place), &mut chain, &folder).await?;
    if job.recheck.is_none() || rechecked {
        return Ok(DayOutcome { resumed, ..outcome });
    }
    // What an earlier run had begun came first.
    chain = Chain::open(archive, &job.sub_account).await?;
    let place = pipeline.place();
    let (again, _) = visit(archive, job, source, (meter, place), &mut chain, &folder).await?;
    Ok(DayOutcome {
        committed: outcome.committed + again.committed,
        resumed,
        ..again
    })
}

/// Does what the day's journal is for, and drops it; and whether that was to look at the day again.
async fn visit(
    archive: &Archive,
    job: &DayJob,
    source: &impl ApiSource,
    progress: (&DayMeter, PipelineSlot<'_>),
    chain: &mut Chain,
    folder: &DayFolder,
) -> Result<(DayOutcome, bool)> {
    let identity = DayIdentity {
        archive_id: archive.id.clone(),
        sub_account: job.sub_account.clone(),
        date: job.date,
        zone: job.zone.name().to_owned(),
        window: job.window,
    };
    let mut journal = Journal::open(&folder.database(), identity)?;
    journal.omit_fields(&archive.policy.omitted_fields)?;
    journal.purge_omitted_bytes()?;
    let recheck = journal.start_recheck(job.recheck.as_ref().map(|again| &again.scope))?;
    let rechecks = recheck.is_some();
    let room = archive.policy.answers_under_way * archive.policy.concurrency;
    let (journal, thread) = JournalHandle::start(journal, room);
    let worked = DayContext {
        archive,
        job,
        journal: &journal,
        folder,
        recheck,
    }
    .work(source, progress, chain)
    .await;
    drop(journal);
    // The thread's own error explains why the others were told that it had ended.
    let ended = tokio::task::spawn_blocking(|| thread.join()).await;
    if let Ok(Ok(Err(error))) = ended {
        return Err(error.into());
    }
    let outcome = worked?;
    folder.delete_journal()?;
    Ok((outcome, rechecks))
}

/// The day as it stands in the chain.
async fn confirm(
    archive: &Archive,
    job: &DayJob,
    chain: &mut Chain,
    committed: u32,
) -> Result<DayOutcome> {
    let record = chain.record_of(archive, job.date).await?;
    match (record, chain.head.clone()) {
        (Some(record), Some(head)) => {
            archive.state.remember_head(&job.sub_account, &head)?;
            Ok(DayOutcome::new(
                head,
                record,
                committed,
                chain.coverage().state(job.date),
            ))
        }
        _ => Err(crate::chain::archive::violated(format!(
            "the chain covers {} but holds no manifest of it",
            job.date
        ))),
    }
}

/// One day at work: its journal is open, and locked.
pub(super) struct DayContext<'a> {
    pub archive: &'a Archive,
    pub job: &'a DayJob,
    pub journal: &'a JournalHandle,
    folder: &'a DayFolder,
    /// What is asked for again although it is committed.
    pub recheck: Option<RecheckScope>,
}

impl DayContext<'_> {
    async fn work(
        &self,
        source: &impl ApiSource,
        (meter, place): (&DayMeter, PipelineSlot<'_>),
        chain: &mut Chain,
    ) -> Result<DayOutcome> {
        let DayContext {
            archive,
            job,
            journal,
            folder,
            ..
        } = *self;
        let mut basis =
            PriorState::load(archive, job, chain, journal, &folder.create_scratch()?).await?;
        let time = observe(self, source, (meter, place), chain, &basis).await?;
        let mut committed = 0;
        loop {
            // From here on nothing asks the API: what the journal holds goes into the store, and into the chain.
            let scratch = folder.create_scratch()?;
            if archive.stop.is_cancelled() {
                return Err(Failure::interrupted());
            }
            self.mark_vanished().await?;
            tracing::debug!(date = %job.date, revision = basis.revision(), "observed; encoding");
            let revision = encode(archive, job, &basis, journal, &scratch).await?;
            tracing::debug!(date = %job.date, parts = revision.parts.len(), "encoded; storing");
            let windows = journal.call(|journal| journal.windows()).await?;
            let nothing_new = revision.parts.is_empty() && basis.adopted.is_empty();
            // That somebody looked again is worth a record of its own.
            let unrecorded = self.recheck.is_some() && !basis.has_windows(&windows);
            if basis.revision() > 1 && nothing_new && !unrecorded {
                return confirm(archive, job, chain, committed).await;
            }
            archive.check_create_only().await?;
            let lock = frozen_lock(archive, &basis, journal).await?;
            let duty = Protection::of(archive, chain, job.date, lock).await?;
            let published = publish(archive, &basis, &revision.parts, duty).await?;
            if let Published::All {
                files,
                lock: read_back,
            } = published
            {
                let why = match (basis.revision(), &self.recheck) {
                    (1, _) => job.why,
                    (_, Some(_)) => Why::Recheck,
                    (_, None) => Why::GapFill,
                };
                let facts = RevisionFacts {
                    basis: &basis,
                    revision: &revision,
                    windows,
                    recheck: self.recheck.clone(),
                    looked_at: journal.call(|journal| journal.count_requested()).await?,
                    omitted_fields: journal
                        .call(|journal| Ok::<_, Failure>(journal.omission().clone()))
                        .await?,
                    files,
                    lock: read_back,
                    now_ms: time.now_ms,
                    why,
                };
                let record = commit::record(archive, job, chain, facts).await?;
                match commit(archive, job, chain, record, duty, time.skew_ms).await? {
                    CommitOutcome::Done { head, record } => {
                        committed += 1;
                        if basis.adopted.is_empty() {
                            let state = record.state_after(chain.coverage().state(job.date));
                            return Ok(DayOutcome::new(head, *record, committed, state));
                        }
                        tracing::info!(
                            "an adopted part is committed; what we know beyond it is weighed next"
                        );
                    }
                    CommitOutcome::Lost => {
                        tracing::info!(date = %job.date, "another process committed this day first")
                    }
                }
            }
            // Somebody else was here: weigh what they did, and go on with what is still ours alone.
            let before = (basis.revision(), basis.next_part);
            *chain = Chain::open(archive, &job.sub_account).await?;
            commit::refuse_disposed(job, chain)?;
            basis = PriorState::load(archive, job, chain, journal, &scratch).await?;
            refuse_to_repeat(archive, job, before, (basis.revision(), basis.next_part))?;
        }
    }

    /// Enters what discovery no longer gives. Where that is most of the day, the likelier reason is a lost permission,
    /// with which it answers an empty list.
    async fn mark_vanished(&self) -> Result<()> {
        if self.recheck.is_none() {
            return Ok(());
        }
        let VanishedCounts { newly, compared } =
            self.journal.call(|journal| journal.mark_vanished()).await?;
        let accepted = self
            .job
            .recheck
            .as_ref()
            .is_some_and(|again| again.accept_vanished);
        if newly < FEW_VANISHED || newly * 2 <= compared || accepted {
            return Ok(());
        }
        self.journal
            .call(|journal| journal.discard_recheck())
            .await?;
        let DayJob {
            sub_account, date, ..
        } = self.job;
        let message = format!(
            "RingCX no longer lists {newly} of the {compared} segments of {sub_account} {date}; nothing was committed"
        );
        Err(Failure::new(Exit::Denied, message).remedy(
            "Check that the user still has WEM access, and that RingCX still keeps that day; where the segments really \
             are gone, say --accept-vanished to record it.",
        ))
    }
}

/// So few segments can vanish one by one.
const FEW_VANISHED: u64 = 10;

/// Each round is lost to somebody who took a name of ours; where none is seen, the next one would end the same way.
fn refuse_to_repeat(
    archive: &Archive,
    job: &DayJob,
    before: (u32, u32),
    now: (u32, u32),
) -> Result<()> {
    if now > before {
        return Ok(());
    }
    let (revision, part) = before;
    let key = key::part(&job.sub_account, job.date, revision, part);
    let message = format!(
        "{} says that {key} or one after it exists, and does not list it",
        archive.store.root()
    );
    Err(Failure::new(Exit::Later, message)
        .remedy("Run again later; if it happens again, the store's listings cannot be relied on."))
}

/// The lock of this revision's objects: frozen once, so that a rerun after a crash asks for the same.
async fn frozen_lock(
    archive: &Archive,
    basis: &PriorState,
    journal: &JournalHandle,
) -> Result<Option<Lock>> {
    let Some(fresh) = archive.fresh_lock()? else {
        return Ok(None);
    };
    let name = format!("lock of revision {}", basis.revision());
    journal
        .call(move |journal| {
            let kept = journal
                .meta(&name)?
                .and_then(|text| serde_json::from_str::<Lock>(&text).ok());
            match kept.filter(|kept| kept.mode == fresh.mode) {
                Some(kept) => Ok(Some(kept)),
                None => {
                    let text = serde_json::to_string(&fresh).map_err(|error| {
                        Failure::new(Exit::Unexpected, "cannot note the lock").because(error)
                    })?;
                    journal.set_meta(&name, &text)?;
                    Ok(Some(fresh))
                }
            }
        })
        .await
}
