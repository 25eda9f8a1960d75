//! Both summaries of every segment, while discovery goes on: a feeder, and workers that the API's pace holds back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::chain::archive::Archive;
use crate::day::discover::Announcement;
use crate::day::observe::FirstFailure;
use crate::day::pipeline::Fetching;
use crate::day::run::{DayJob, DayMeter};
use crate::format::hash::digest::Digest;
use crate::format::row::observation::{Observation, Status, SummaryKind};
use crate::journal::{Journal, JournalHandle, NewObservation, PendingSegment};
use crate::outcome::{Exit, Failure, Result};
use crate::ringcx::{ApiError, RingCx, SummaryAnswer};

/// Segments read from the journal at once; as many lie ready again while the workers are busy with them.
const BATCH: u32 = 4_000;

/// Looks at every summary that has no answer yet, until discovery has finished and nothing is left, or until
/// `halt` says so. A failure goes to `halt`. `turn` passes on when nothing is left to hand out: the last fetchers may sit
/// out a server's pause, which must not keep the next day from its quota.
#[allow(clippy::too_many_arguments)]
pub async fn fetch(
    archive: &Archive,
    job: &DayJob,
    api: &Arc<RingCx>,
    journal: &JournalHandle,
    meter: &DayMeter,
    discovered: watch::Receiver<Announcement>,
    turn: Fetching<'_>,
    halt: &Arc<FirstFailure>,
) {
    let queue = Arc::new(FetchQueue::new());
    let mut workers = JoinSet::new();
    for _ in 0..archive.policy.concurrency {
        let worker = Fetcher {
            api: api.clone(),
            journal: journal.clone(),
            meter: meter.clone(),
            sub_account: job.sub_account.clone(),
            run_id: archive.run.id.clone(),
            queue: queue.clone(),
            stop: halt.token.clone(),
        };
        let halt = halt.clone();
        workers.spawn(async move {
            if let Err(failure) = worker.work().await {
                halt.fail(failure);
            }
        });
    }
    if let Err(failure) = feed(
        archive,
        job,
        journal,
        meter,
        discovered,
        &queue,
        &halt.token,
    )
    .await
    {
        halt.fail(failure);
    }
    queue.close();
    drop(turn);
    while let Some(ended) = workers.join_next().await {
        if ended.is_err() {
            halt.fail(
                Failure::new(Exit::Unexpected, "a fetcher ended early")
                    .remedy("Run again, and report this."),
            );
        }
    }
}

/// Reads what is pending from the journal, batch by batch, so that memory does not grow with the day.
async fn feed(
    archive: &Archive,
    job: &DayJob,
    journal: &JournalHandle,
    meter: &DayMeter,
    mut discovered: watch::Receiver<Announcement>,
    queue: &FetchQueue,
    stop: &CancellationToken,
) -> Result<()> {
    let mut after = 0;
    loop {
        // Read before the journal is: what is announced later wakes us again.
        let announced = *discovered.borrow_and_update();
        let batch = journal
            .call(move |journal| journal.pending(after, BATCH))
            .await?;
        if let Some(last) = batch.last() {
            after = last.seq;
            let open = without_request(archive, job, journal, meter, batch).await?;
            tokio::select! {
                () = queue.add(open) => {}
                () = stop.cancelled() => return Err(Failure::interrupted()),
            }
            continue;
        }
        if announced.finished {
            return Ok(());
        }
        tokio::select! {
            changed = discovered.changed() => if changed.is_err() { return Ok(()) },
            () = stop.cancelled() => return Err(Failure::interrupted()),
        }
    }
}

/// Notes what needs no request: filtered segments, and those without an id. Hands back the others.
///
/// One job of the journal for all of them: they cost nobody a request, so they take no room from the fetchers' looks.
async fn without_request(
    archive: &Archive,
    job: &DayJob,
    journal: &JournalHandle,
    meter: &DayMeter,
    batch: Vec<PendingSegment>,
) -> Result<Vec<PendingSegment>> {
    let (mut open, mut looks) = (Vec::with_capacity(batch.len()), Vec::new());
    for pending in batch {
        let status = if pending.segment_id.is_none() {
            Status::NoId
        } else if !job.filters.want(
            pending.channel_class.as_deref(),
            pending.segment_type.as_deref(),
        ) {
            Status::Skipped
        } else {
            open.push(pending);
            continue;
        };
        for kind in pending.missing {
            let observation = Observation::bare(status, &archive.run.id);
            looks.push(NewObservation {
                seq: pending.seq,
                kind,
                observation,
            });
            meter.looked(status);
        }
    }
    if !looks.is_empty() {
        let note = move |journal: &mut Journal| {
            looks.iter().try_for_each(|look| {
                journal.record_observation(look.seq, look.kind, &look.observation)
            })
        };
        journal.call(note).await?;
    }
    Ok(open)
}

/// Segments between the feeder and the workers.
///
/// Not a channel: its one receiver would go from worker to worker under an async lock, and each hand-over would wait
/// until the next worker in the row has its turn to run, while all others stand behind it.
struct FetchQueue {
    segments: Mutex<VecDeque<PendingSegment>>,
    ready: Semaphore,
    room: Semaphore,
}

impl FetchQueue {
    fn new() -> FetchQueue {
        FetchQueue {
            segments: Mutex::default(),
            ready: Semaphore::new(0),
            room: Semaphore::new(2 * BATCH as usize),
        }
    }

    fn segments(&self) -> MutexGuard<'_, VecDeque<PendingSegment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one batch once there is room for all of it, so that the feeder is woken once a batch.
    async fn add(&self, batch: Vec<PendingSegment>) {
        let count = batch.len();
        if let Ok(room) = self
            .room
            .acquire_many(u32::try_from(count).unwrap_or(BATCH))
            .await
        {
            room.forget();
        }
        self.segments().extend(batch);
        self.ready.add_permits(count);
    }

    /// Nothing will be added; what is there is still handed out.
    fn close(&self) {
        self.ready.close();
    }

    async fn next(&self) -> Option<PendingSegment> {
        if let Ok(ready) = self.ready.acquire().await {
            ready.forget();
        }
        let next = self.segments().pop_front();
        self.room.add_permits(1);
        next
    }
}

struct Fetcher {
    api: Arc<RingCx>,
    journal: JournalHandle,
    meter: DayMeter,
    sub_account: String,
    run_id: String,
    queue: Arc<FetchQueue>,
    stop: CancellationToken,
}

impl Fetcher {
    async fn work(self) -> Result<()> {
        while let Some(PendingSegment {
            seq,
            segment_id,
            missing,
            ..
        }) = self.next().await?
        {
            let Some(id) = segment_id else { continue };
            for kind in missing {
                self.look(seq, &id, kind).await?;
            }
        }
        Ok(())
    }

    async fn next(&self) -> Result<Option<PendingSegment>> {
        // Who waits here when the run stops is woken by the feeder, which closes the queue.
        let next = self.queue.next().await;
        if self.stop.is_cancelled() {
            Err(Failure::interrupted())
        } else {
            Ok(next)
        }
    }

    /// Looks at one summary, and leaves it to the journal: while the disk is at work, so is the network.
    async fn look(&self, seq: i64, segment_id: &str, kind: SummaryKind) -> Result<()> {
        let observation = match self.api.summary(&self.sub_account, segment_id, kind).await {
            Ok(answer) => answered(answer, &self.run_id),
            Err(ApiError::GaveUp {
                class,
                http_status,
                attempts,
            }) => {
                let mut failed = Observation::bare(Status::Failed, &self.run_id);
                failed.error = Some(class.to_owned());
                failed.http_status = http_status;
                failed.attempts = attempts;
                failed
            }
            Err(fatal) => return Err(fatal.into()),
        };
        let status = observation.status;
        self.journal
            .record(NewObservation {
                seq,
                kind,
                observation,
            })
            .await?;
        self.meter.looked(status);
        Ok(())
    }
}

/// What HTTP delivered, as the archive keeps it.
fn answered(answer: SummaryAnswer, run_id: &str) -> Observation {
    let mut observation = Observation::bare(Status::NotFound, run_id);
    observation.http_status = Some(answer.http_status);
    observation.fetched_at = Some(answer.fetched_at);
    observation.server_date = answer.server_date;
    observation.attempts = answer.attempts;
    if answer.http_status != 200 {
        return observation;
    }
    observation.content_type = answer.content_type;
    observation.sha256 = Some(Digest::of(&answer.body));
    match String::from_utf8(answer.body.into()) {
        Ok(text) => {
            observation.status = if text.is_empty() {
                Status::Empty
            } else {
                Status::Present
            };
            observation.summary = Some(text);
        }
        Err(not_utf8) => {
            observation.status = Status::Binary;
            let bytes = not_utf8.into_bytes();
            observation.binary = Some(base64::engine::general_purpose::STANDARD.encode(bytes));
        }
    }
    observation
}
