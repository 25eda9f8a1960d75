//! A thread that owns the journal, so that SQLite never blocks the async ones, and that commits in batches.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::format::row::observation::{Observation, SummaryKind};
use crate::journal::{Journal, JournalError, Result};

/// What is done with the journal once its transaction is durable.
type Acknowledge = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&mut Journal) -> Acknowledge + Send>;

/// One observation on its way into the journal.
#[derive(Debug)]
pub struct NewObservation {
    pub seq: i64,
    pub kind: SummaryKind,
    pub observation: Observation,
}

// Nearly all of them are looks: a box for each would be work without a gain.
#[allow(clippy::large_enum_variant)]
enum JournalCommand {
    Observe(NewObservation),
    Job(Job),
}

/// Notes in one transaction at most.
const BATCH: usize = 1_024;

/// A job that the journal has been given.
#[derive(Debug)]
pub struct PendingJob<T, E>(oneshot::Receiver<std::result::Result<T, E>>);

impl<T, E: From<JournalError>> PendingJob<T, E> {
    /// Waits for the result; what the job wrote is durable then.
    pub async fn done(self) -> std::result::Result<T, E> {
        self.0.await.map_err(|_| JournalError::Ended)?
    }
}

/// Looks in one transaction that tell of full speed; at RingCX's own limits there is one.
const BUSY: usize = 8;
/// Looks that are worth a transaction of their own at full speed.
const ENOUGH: usize = 512;
/// How long a transaction waits for more of them, and how often.
const PATIENCE: Duration = Duration::from_millis(2);
const WAITS: u32 = 8;

/// The way to a day's journal. Everything that was acknowledged is durable.
#[derive(Clone)]
pub struct JournalHandle {
    queue: mpsc::UnboundedSender<JournalCommand>,
    room: Arc<Semaphore>,
}

/// AnswerPermits for looks on their way to the disk. Closed when the journal's thread ends, however it ends: who waits for room is
/// told.
struct AnswerPermits(Arc<Semaphore>);

impl Drop for AnswerPermits {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl JournalHandle {
    /// Hands the journal to a thread of its own; the thread ends when every handle is gone. As many looks as `room` says
    /// may be on their way to the disk: a crash loses no more, and a disk that is slower than the network holds the
    /// fetchers back.
    pub fn start(journal: Journal, room: usize) -> (JournalHandle, JoinHandle<Result<()>>) {
        let (queue, commands) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(room));
        let handle = JournalHandle {
            queue,
            room: room.clone(),
        };
        let thread = std::thread::spawn(move || work(journal, commands, &AnswerPermits(room)));
        (handle, thread)
    }

    /// Queues an observation, once there is room. It is durable when any later [`JournalHandle::call`] returns.
    pub async fn record(&self, look: NewObservation) -> Result<()> {
        self.room
            .acquire()
            .await
            .map_err(|_| JournalError::Ended)?
            .forget();
        self.queue
            .send(JournalCommand::Observe(look))
            .map_err(|_| JournalError::Ended)
    }

    /// Runs `job` on the journal and returns its result once what it wrote is durable.
    pub async fn call<T, E, F>(&self, job: F) -> std::result::Result<T, E>
    where
        F: FnOnce(&mut Journal) -> std::result::Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<JournalError> + Send + 'static,
    {
        self.submit(job)?.done().await
    }

    /// Queues `job`, for whoever has more to hand over before its result is needed, and sees to it that not too much of
    /// it lies in memory.
    pub fn submit<T, E, F>(&self, job: F) -> std::result::Result<PendingJob<T, E>, E>
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
        self.queue
            .send(JournalCommand::Job(job))
            .map_err(|_| JournalError::Ended)?;
        Ok(PendingJob(answer))
    }
}

/// Takes what is queued into one transaction, commits it, and only then acknowledges.
///
/// An error ends the thread: whoever waits is told that it has ended, and the error itself is the thread's result.
fn work(
    mut journal: Journal,
    mut commands: mpsc::UnboundedReceiver<JournalCommand>,
    AnswerPermits(room): &AnswerPermits,
) -> Result<()> {
    // More would be gathered while fetchers stand before a full room.
    let enough = ENOUGH.min(room.available_permits() / 2);
    let mut busy = false;
    while let Some(first) = commands.blocking_recv() {
        if busy {
            gather(&commands, enough);
        }
        journal.begin()?;
        let mut acknowledgements: Vec<Acknowledge> = Vec::new();
        let mut looks = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                JournalCommand::Observe(NewObservation {
                    seq,
                    kind,
                    observation,
                }) => {
                    journal.record_observation(seq, kind, &observation)?;
                    looks += 1;
                }
                JournalCommand::Job(job) => acknowledgements.push(job(&mut journal)),
            }
            let taken = looks + acknowledgements.len();
            next = if taken < BATCH {
                commands.try_recv().ok()
            } else {
                None
            };
        }
        journal.commit()?;
        busy = looks >= BUSY;
        acknowledgements
            .into_iter()
            .for_each(|acknowledge| acknowledge());
        room.add_permits(looks);
    }
    Ok(())
}

/// Each commit waits for the disk: at full speed, fewer and larger ones let more through. But where nothing comes in any
/// more, everybody waits for the commit.
fn gather(commands: &mpsc::UnboundedReceiver<JournalCommand>, enough: usize) {
    let mut before = commands.len();
    for _ in 0..WAITS {
        if before >= enough {
            return;
        }
        std::thread::park_timeout(PATIENCE);
        let now = commands.len();
        if now == before {
            return;
        }
        before = now;
    }
}

impl Journal {
    fn begin(&self) -> Result<()> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(self.wrap())
    }

    fn commit(&self) -> Result<()> {
        self.connection.execute_batch("COMMIT").map_err(self.wrap())
    }
}
