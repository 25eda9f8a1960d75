//! The thread that owns the journal: SQLite never blocks an async task, and writes are committed in batches.
//!
//! A commit waits for the disk, so its cost is shared: the thread takes everything that is queued into one transaction,
//! commits, and only then acknowledges. At RingCX's own limits a transaction has one observation; at full speed, the
//! thread waits up to 16 ms for 512 of them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::format::row::{Observation, SummaryKind};
use crate::journal::{Journal, JournalError, Result};

/// Sends a job's result, once its transaction is durable.
type Acknowledge = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&mut Journal) -> Acknowledge + Send>;

/// An observation of a summary, for the journal.
#[derive(Debug)]
pub(crate) struct NewObservation {
    /// The segment's number, from [`crate::journal::PendingSegment`].
    pub seq: i64,
    pub kind: SummaryKind,
    pub observation: Observation,
}

// Nearly all commands are observations: a box for each would be work without a gain.
#[allow(clippy::large_enum_variant)]
enum JournalCommand {
    Observe(NewObservation),
    Job(Job),
}

/// Commands in a transaction at most.
const BATCH: usize = 1_024;
/// Observations in a transaction that indicate full speed.
const BUSY: usize = 8;
/// Observations that are worth a transaction at full speed.
const ENOUGH: usize = 512;
/// How long a transaction waits for more observations at a time, and how often.
const GATHER_INTERVAL: Duration = Duration::from_millis(2);
const GATHER_ROUNDS: u32 = 8;

/// The result of a job that was submitted.
#[derive(Debug)]
pub(crate) struct PendingJob<T, E>(oneshot::Receiver<std::result::Result<T, E>>);

impl<T, E: From<JournalError>> PendingJob<T, E> {
    /// Waits for the result. What the job wrote is durable then.
    ///
    /// # Errors
    /// The job's error, or [`JournalError::Ended`].
    pub async fn done(self) -> std::result::Result<T, E> {
        self.0.await.map_err(|_| JournalError::Ended)?
    }
}

/// A handle of a day's journal, which can be cloned. Everything that was acknowledged is durable.
#[derive(Clone)]
pub(crate) struct JournalHandle {
    queue: mpsc::UnboundedSender<JournalCommand>,
    permits: Arc<Semaphore>,
}

/// The permits for observations on the way to the disk. They are closed when the journal's thread ends, for whatever
/// reason, so that no fetcher waits for ever.
struct AnswerPermits(Arc<Semaphore>);

impl Drop for AnswerPermits {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl JournalHandle {
    /// Starts the thread; it ends when all handles are dropped, or with its first error.
    ///
    /// At most `permits` observations may be on the way to the disk: a crash loses no more, and a disk that is slower
    /// than the network slows the fetchers down.
    pub fn start(journal: Journal, permits: usize) -> (JournalHandle, JoinHandle<Result<()>>) {
        let (queue, commands) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(permits));
        let handle = JournalHandle {
            queue,
            permits: permits.clone(),
        };
        let permits = AnswerPermits(permits);
        let thread = std::thread::spawn(move || work(journal, commands, &permits));
        (handle, thread)
    }

    /// Queues an observation as soon as a permit is free. It is durable when any later [`JournalHandle::call`] returns.
    ///
    /// # Errors
    /// [`JournalError::Ended`].
    pub async fn record(&self, observation: NewObservation) -> Result<()> {
        let permit = self.permits.acquire().await;
        permit.map_err(|_| JournalError::Ended)?.forget();
        self.send(JournalCommand::Observe(observation))
    }

    /// Runs `job` on the journal and returns its result; what it wrote is durable then.
    ///
    /// # Errors
    /// The job's error, or [`JournalError::Ended`].
    pub async fn call<T, E, F>(&self, job: F) -> std::result::Result<T, E>
    where
        F: FnOnce(&mut Journal) -> std::result::Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<JournalError> + Send + 'static,
    {
        self.submit(job)?.done().await
    }

    /// Queues `job`. Its result can be awaited later; the caller limits how many jobs are in memory.
    ///
    /// # Errors
    /// [`JournalError::Ended`].
    pub(crate) fn submit<T, E, F>(&self, job: F) -> std::result::Result<PendingJob<T, E>, E>
    where
        F: FnOnce(&mut Journal) -> std::result::Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<JournalError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |journal| {
            let result = job(journal);
            Box::new(move || drop(reply.send(result)))
        });
        self.send(JournalCommand::Job(job))?;
        Ok(PendingJob(answer))
    }

    fn send(&self, command: JournalCommand) -> Result<()> {
        self.queue.send(command).map_err(|_| JournalError::Ended)
    }
}

/// Executes commands in transactions until all handles are dropped; acknowledges each transaction after its commit.
///
/// An error ends the thread, and is its result. Callers that wait receive [`JournalError::Ended`].
fn work(
    mut journal: Journal,
    mut commands: mpsc::UnboundedReceiver<JournalCommand>,
    AnswerPermits(permits): &AnswerPermits,
) -> Result<()> {
    // Waiting for more would be in vain: the fetchers would be waiting for permits.
    let enough = ENOUGH.min(permits.available_permits() / 2);
    let mut busy = false;
    while let Some(first) = commands.blocking_recv() {
        if busy {
            gather(&commands, enough);
        }
        journal.database.batch("BEGIN IMMEDIATE")?;
        let mut acknowledgements: Vec<Acknowledge> = Vec::new();
        let mut observations = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                JournalCommand::Observe(new) => {
                    journal.record_observation(new.seq, new.kind, &new.observation)?;
                    observations += 1;
                }
                JournalCommand::Job(job) => acknowledgements.push(job(&mut journal)),
            }
            next = match observations + acknowledgements.len() < BATCH {
                true => commands.try_recv().ok(),
                false => None,
            };
        }
        journal.database.batch("COMMIT")?;
        busy = observations >= BUSY;
        for acknowledge in acknowledgements {
            acknowledge();
        }
        permits.add_permits(observations);
    }
    Ok(())
}

/// Waits until `enough` commands are queued, or until no more arrive: then all workers are waiting for the commit.
fn gather(commands: &mpsc::UnboundedReceiver<JournalCommand>, enough: usize) {
    let mut before = commands.len();
    for _ in 0..GATHER_ROUNDS {
        if before >= enough {
            return;
        }
        std::thread::park_timeout(GATHER_INTERVAL);
        let now = commands.len();
        if now == before {
            return;
        }
        before = now;
    }
}
