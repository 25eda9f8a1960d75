//! Both summaries of every segment, while discovery goes on.
//!
//! A feeder reads pending segments from the journal in batches, so that memory does not grow with the day. Fetchers take
//! them from a queue; the client's rate limits hold them back. Each answer goes into the journal.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::day::context::DayContext;
use crate::day::first_failure::FirstFailure;
use crate::day::pipeline::FetchTurn;
use crate::day::progress::{DayMeter, DiscoveryState};
use crate::format::hash::Digest;
use crate::format::row::{Observation, Status, SummaryKind};
use crate::journal::{Journal, JournalHandle, NewObservation, PendingSegment};
use crate::outcome::{Failure, Result};
use crate::ringcx::{ApiError, RingCx, SummaryAnswer};

/// Segments read from the journal at once. The queue has room for two batches, so that one is ready when one is used up.
const BATCH: u32 = 4_000;

/// Requests every summary that has no answer yet, until discovery has finished and nothing is left, or until a failure
/// stops the day. Failures go to `failures`.
///
/// `turn` passes on when nothing is left to hand out: the last fetchers may wait out a pause of the server, during which
/// the next day can use the quota.
pub(super) async fn fetch(
    context: &DayContext<'_>,
    api: &Arc<RingCx>,
    discovered: watch::Receiver<DiscoveryState>,
    turn: FetchTurn<'_>,
    failures: &Arc<FirstFailure>,
) {
    let queue = Arc::new(FetchQueue::new());
    let mut fetchers = JoinSet::new();
    for _ in 0..context.archive.policy.concurrency {
        let fetcher = Fetcher {
            api: api.clone(),
            journal: context.journal.clone(),
            meter: context.meter.clone(),
            sub_account: context.job.sub_account.clone(),
            run_id: context.archive.run.id.clone(),
            queue: queue.clone(),
            failures: failures.clone(),
        };
        fetchers.spawn(async move {
            if let Err(failure) = fetcher.fetch_all().await {
                fetcher.failures.report(failure);
            }
        });
    }
    if let Err(failure) = feed(context, discovered, &queue, failures).await {
        failures.report(failure);
    }
    queue.close();
    drop(turn);
    while let Some(ended) = fetchers.join_next().await {
        if ended.is_err() {
            failures.report(
                Failure::unexpected("a fetcher ended early").remedy("Run again, and report this."),
            );
        }
    }
}

/// Reads pending segments from the journal, batch by batch, and queues them.
async fn feed(
    context: &DayContext<'_>,
    mut discovered: watch::Receiver<DiscoveryState>,
    queue: &FetchQueue,
    failures: &FirstFailure,
) -> Result<()> {
    // The journal numbers segments in the order of their discovery: none is read twice.
    let mut last_seq = 0;
    loop {
        // Read before the journal: a window that is merged later wakes the feeder again.
        let discovery = *discovered.borrow_and_update();
        let batch = context
            .journal
            .call(move |journal| journal.pending(last_seq, BATCH))
            .await?;
        if let Some(last) = batch.last() {
            last_seq = last.seq;
            let open = settle_without_request(context, batch).await?;
            tokio::select! {
                () = queue.add(open) => {}
                () = failures.stop.cancelled() => return Err(Failure::interrupted()),
            }
            continue;
        }
        if discovery.finished {
            return Ok(());
        }
        tokio::select! {
            changed = discovered.changed() => if changed.is_err() { return Ok(()) },
            () = failures.stop.cancelled() => return Err(Failure::interrupted()),
        }
    }
}

/// Journals what needs no request: segments that the filters leave out, and those without an id. Returns the others.
///
/// One job of the journal for the whole batch: these observations cost no request, and take no room from those of the
/// fetchers.
async fn settle_without_request(
    context: &DayContext<'_>,
    batch: Vec<PendingSegment>,
) -> Result<Vec<PendingSegment>> {
    let filters = &context.job.filters;
    let (mut open, mut settled) = (Vec::with_capacity(batch.len()), Vec::new());
    for pending in batch {
        let channel_class = pending.channel_class.as_deref();
        // Without an id there is no address to request; the filters come second, since they cannot change that.
        let status = if pending.segment_id.is_none() {
            Status::NoId
        } else if !filters.admit(channel_class, pending.segment_type.as_deref()) {
            Status::Skipped
        } else {
            open.push(pending);
            continue;
        };
        for kind in pending.missing {
            settled.push(NewObservation {
                seq: pending.seq,
                kind,
                observation: Observation::bare(status, &context.archive.run.id),
            });
            context.meter.add_summary(status);
        }
    }
    if !settled.is_empty() {
        let write = move |journal: &mut Journal| {
            settled
                .iter()
                .try_for_each(|new| journal.record_observation(new.seq, new.kind, &new.observation))
        };
        context.journal.call(write).await?;
    }
    Ok(open)
}

/// Segments between the feeder and the fetchers.
///
/// A channel would be slower: its single receiver goes from fetcher to fetcher under an async lock, and each hand-over
/// waits until the next fetcher in line is scheduled, while all others wait behind it.
struct FetchQueue {
    /// The queued segments. The lock is held for one operation, never across an await.
    segments: Mutex<VecDeque<PendingSegment>>,
    /// A permit for each queued segment; closed when no more will follow.
    ready: Semaphore,
    /// A permit for each segment that may still be queued.
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

    /// Adds one batch once there is room for all of it, so that the feeder wakes once a batch.
    async fn add(&self, batch: Vec<PendingSegment>) {
        let count = batch.len();
        let permits = u32::try_from(count).unwrap_or(BATCH);
        if let Ok(room) = self.room.acquire_many(permits).await {
            room.forget();
        }
        self.segments().extend(batch);
        self.ready.add_permits(count);
    }

    /// Ends the queue: what is in it is still handed out.
    fn close(&self) {
        self.ready.close();
    }

    /// Waits for the next segment; `None` when the queue is closed and empty.
    async fn next(&self) -> Option<PendingSegment> {
        if let Ok(ready) = self.ready.acquire().await {
            ready.forget();
        }
        let next = self.segments().pop_front();
        self.room.add_permits(1);
        next
    }
}

/// One of the concurrent tasks that send summary requests.
struct Fetcher {
    /// The client, whose rate limits all fetchers share.
    api: Arc<RingCx>,
    journal: JournalHandle,
    meter: DayMeter,
    /// The sub-account that the requests name.
    sub_account: String,
    /// The run that each observation names as its observer.
    run_id: String,
    /// Where the fetcher takes its segments from.
    queue: Arc<FetchQueue>,
    /// Stops the fetcher when anything that observes the day fails.
    failures: Arc<FirstFailure>,
}

impl Fetcher {
    /// Requests both summaries of one segment after another, until the queue ends.
    ///
    /// # Errors
    /// Failures that no other request would escape: of the credentials, or of the journal. A request that fails after all
    /// its retries is no failure but an observation with the status `FAILED`.
    async fn fetch_all(&self) -> Result<()> {
        // A fetcher that waits here when the day stops wakes when the feeder closes the queue.
        while let Some(pending) = self.queue.next().await {
            self.check_stop()?;
            let Some(id) = &pending.segment_id else {
                continue;
            };
            for kind in pending.missing {
                self.fetch_summary(pending.seq, id, kind).await?;
            }
        }
        self.check_stop()
    }

    /// Ends the fetcher when the day is stopped. What it has received is in the journal.
    fn check_stop(&self) -> Result<()> {
        if self.failures.stop.is_cancelled() {
            return Err(Failure::interrupted());
        }
        Ok(())
    }

    /// Requests one summary, and queues the answer for the journal: the next request need not wait for the disk.
    async fn fetch_summary(&self, seq: i64, segment_id: &str, kind: SummaryKind) -> Result<()> {
        let answer = self.api.summary(&self.sub_account, segment_id, kind).await;
        let observation = match answer {
            Ok(answer) => observation_of(answer, &self.run_id),
            Err(ApiError::GaveUp {
                class,
                http_status,
                attempts,
            }) => Observation {
                error: Some(class.to_owned()),
                http_status,
                attempts,
                ..Observation::bare(Status::Failed, &self.run_id)
            },
            Err(fatal) => return Err(fatal.into()),
        };
        let status = observation.status;
        let new = NewObservation {
            seq,
            kind,
            observation,
        };
        self.journal.record(new).await?;
        self.meter.add_summary(status);
        Ok(())
    }
}

/// Returns an HTTP answer as the archive records it (`schemas/FORMAT.md`, the statuses of a summary).
fn observation_of(answer: SummaryAnswer, run_id: &str) -> Observation {
    let mut observation = Observation {
        http_status: Some(answer.http_status),
        fetched_at: Some(answer.fetched_at),
        server_date: answer.server_date,
        attempts: answer.attempts,
        ..Observation::bare(Status::NotFound, run_id)
    };
    // 404 is the only other status that the client returns as an answer: the summary does not exist.
    if answer.http_status != 200 {
        return observation;
    }
    observation.content_type = answer.content_type;
    observation.sha256 = Some(Digest::of(&answer.body));
    match String::from_utf8(answer.body.into()) {
        Ok(text) if text.is_empty() => {
            observation.status = Status::Empty;
            observation.summary = Some(text);
        }
        Ok(text) => {
            observation.status = Status::Present;
            observation.summary = Some(text);
        }
        // Parquet's text columns hold UTF-8 only; the bytes are archived in base64, and nothing is lost.
        Err(not_utf8) => {
            let bytes = not_utf8.into_bytes();
            observation.status = Status::Binary;
            observation.binary = Some(base64::engine::general_purpose::STANDARD.encode(bytes));
        }
    }
    observation
}
