//! Step 2: from the journal to parts on the local disk, each read back and checked before it is stored.
//!
//! The same journal encodes to the same bytes. A crash leaves files in the scratch folder, which the next run removes and
//! encodes again; a part that was stored in between is then found to be identical.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use jiff::civil::Date;
use tokio_util::sync::CancellationToken;

use crate::chain::Signers;
use crate::day::context::DayContext;
use crate::day::prior::PriorState;
use crate::format::hash::{Digest, Hasher};
use crate::format::part::{EncodedRow, PartContext, PartReader, PartSummary, PartWriter};
use crate::format::place::key;
use crate::format::row::{Omission, Row};
use crate::journal::{AnsweredWindow, Journal, RevisionTotals};
use crate::outcome::{Failure, Result};
use crate::private;

/// A part in the scratch folder, complete and checked.
#[derive(Debug)]
pub(super) struct EncodedPart {
    /// The key of the object that the part becomes in the store.
    pub key: String,
    /// Where the file is, in the scratch folder.
    pub path: PathBuf,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, with which the store checks what it received.
    pub sha256: Digest,
    /// What the part's own statement says of it: rows, Merkle root, range of times.
    pub written: PartSummary,
}

/// What the next revision adds to the prior state, read from the journal at one moment.
#[derive(Debug, Default)]
pub(super) struct NewRevision {
    /// The parts to store, in the order of their numbers. Empty where adopted parts hold all rows.
    pub parts: Vec<EncodedPart>,
    /// Counts of the revision's own rows, and of the day as a whole after it.
    pub totals: RevisionTotals,
    /// Number of segments that only adopted parts have.
    pub adopted_only: u64,
    /// The answered windows of the day's discovery.
    pub windows: Vec<AnsweredWindow>,
    /// Number of summaries that a recheck has requested.
    pub looked_at: u64,
    /// The fields that every row of the revision lacks.
    pub omitted_fields: Omission,
}

/// Encodes every row that the journal has beyond the prior state.
///
/// # Errors
/// `Exit::Later` where the local disk fails, `Exit::Unexpected` where a part does not read back as it was written.
pub(super) async fn encode(context: &DayContext<'_>, prior: &PriorState) -> Result<NewRevision> {
    let DayContext { archive, job, .. } = *context;
    let revision = prior.revision();
    let mut cutter = PartCutter {
        part_context: PartContext {
            archive_id: archive.id().to_owned(),
            window: job.window,
            zone: job.zone.name().to_owned(),
            omitted_fields: Omission::default(),
        },
        sub_account: job.sub_account.clone(),
        date: job.date,
        revision,
        first_part: prior.next_part,
        signers: archive.signers.clone(),
        stop: archive.stop.clone(),
        // Made anew: it may hold the parts of the round before.
        scratch: context.folder.create_scratch()?,
        max_rows: archive.policy.part_rows,
        max_bytes: archive.policy.part_bytes,
        open: None,
        done: Vec::new(),
    };
    context
        .journal
        .call(move |journal| {
            let omitted_fields = journal.omission().clone();
            cutter.part_context.omitted_fields = omitted_fields.clone();
            let (totals, parts) = cut_changes(journal, revision, cutter)?;
            Ok(NewRevision {
                parts,
                totals,
                adopted_only: journal.count_adopted_only()?,
                windows: journal.windows()?,
                looked_at: journal.count_requested()?,
                omitted_fields,
            })
        })
        .await
}

/// Batches of rows between two of the three threads. The encoder stops now and then to compress a page of every column.
const QUEUED_BATCHES: usize = 4;
/// Rows of one batch: enough that waking a thread costs little beside the work on them.
const BATCH_ROWS: usize = 256;
/// Texts of 64 KiB end a batch earlier.
const BATCH_BYTES: usize = 1 << 20;

/// Reads the changed rows from the journal, hashes them, and writes Parquet, in three threads: together they fill two
/// cores. The order of the rows stays that of the journal.
fn cut_changes(
    journal: &Journal,
    revision: u32,
    mut cutter: PartCutter,
) -> Result<(RevisionTotals, Vec<EncodedPart>)> {
    std::thread::scope(|scope| {
        let (rows, unhashed) = sync_channel::<Vec<Row>>(QUEUED_BATCHES);
        let (leaves, hashed) = sync_channel::<Vec<EncodedRow>>(QUEUED_BATCHES);
        let encoding = scope.spawn(move || {
            let mut rows = hashed.into_iter().flatten();
            rows.try_for_each(|row| cutter.push(row))?;
            cutter.close().map(|()| cutter.done)
        });
        let hashing = scope.spawn(move || {
            for batch in unhashed {
                // A receiver that is gone has failed, and its own error is the one to report.
                if leaves
                    .send(batch.into_iter().map(EncodedRow::from).collect())
                    .is_err()
                {
                    return;
                }
            }
        });
        let mut batch = RowBatch {
            rows: Vec::new(),
            bytes: 0,
            receiver: rows,
        };
        let read = journal
            .changes(revision, |row| batch.push(row))
            .and_then(|totals| batch.send().map(|()| totals));
        drop(batch);
        hashing.join().map_err(|_| ended_early())?;
        let parts = encoding.join().unwrap_or_else(|_| Err(ended_early()))?;
        Ok((read?, parts))
    })
}

/// Rows on their way to the hashing thread: sent one by one, each row would wake that thread.
struct RowBatch {
    /// Rows not sent yet.
    rows: Vec<Row>,
    /// Length of the texts of these rows, in bytes.
    bytes: usize,
    receiver: SyncSender<Vec<Row>>,
}

impl RowBatch {
    /// Adds a row, and sends the batch when it is full.
    fn push(&mut self, row: Row) -> Result<()> {
        self.bytes += row.text_bytes();
        self.rows.push(row);
        if self.rows.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            return self.send();
        }
        Ok(())
    }

    /// Sends the rows, also where there are none: the last batch may be empty.
    fn send(&mut self) -> Result<()> {
        self.bytes = 0;
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(BATCH_ROWS));
        // A receiver that is gone has failed, and its own error is the one to report.
        self.receiver.send(rows).map_err(|_| Failure::interrupted())
    }
}

/// Returns the failure for a thread that panicked.
fn ended_early() -> Failure {
    Failure::unexpected("the encoder ended early").remedy("Run again, and report this.")
}

/// Cuts a stream of rows into parts.
struct PartCutter {
    /// What every part states of itself: archive, zone, window, omitted fields.
    part_context: PartContext,
    sub_account: String,
    date: Date,
    revision: u32,
    /// Number of the first part; parts before it exist in the store.
    first_part: u32,
    signers: Arc<Signers>,
    stop: CancellationToken,
    scratch: PathBuf,
    /// A part is complete when it has reached either of these sizes.
    max_rows: u64,
    max_bytes: u64,
    /// The part that is being written, and its path.
    open: Option<(PathBuf, PartWriter<HashingFile>)>,
    /// The parts that are complete and checked.
    done: Vec<EncodedPart>,
}

impl PartCutter {
    /// Writes a row into the open part, and completes the part when it is large enough. A part is begun with its first
    /// row, so that none is empty.
    fn push(&mut self, row: EncodedRow) -> Result<()> {
        if self.stop.is_cancelled() {
            return Err(Failure::interrupted());
        }
        let (_, writer) = match &mut self.open {
            Some(open) => open,
            None => {
                let name = format!("p{:04}.parquet", self.done.len());
                let path = self.scratch.join(name);
                let file =
                    HashingFile::create(&path).map_err(|error| disk_failure(&path, error))?;
                let writer = PartWriter::new(file).map_err(|error| disk_failure(&path, error))?;
                self.open.insert((path, writer))
            }
        };
        let pushed = writer.push(row);
        pushed.map_err(|error| disk_failure(&self.scratch, error))?;
        if writer.rows() >= self.max_rows || writer.bytes() >= self.max_bytes {
            self.close()?;
        }
        Ok(())
    }

    /// Completes the open part, if there is one: signs it, and reads it back.
    fn close(&mut self) -> Result<()> {
        let Some((path, writer)) = self.open.take() else {
            return Ok(());
        };
        let done = u32::try_from(self.done.len()).unwrap_or(u32::MAX);
        let part = self.first_part.saturating_add(done);
        let key = key::part(&self.sub_account, self.date, self.revision, part);
        let finished = writer.finish(&key, &self.part_context, self.signers.key.as_ref());
        let (file, written) = finished.map_err(|error| disk_failure(&path, error))?;
        let (bytes, sha256) = file.finish().map_err(|error| disk_failure(&path, error))?;
        check_written(&path, &written)?;
        self.done.push(EncodedPart {
            key,
            path,
            bytes,
            sha256,
            written,
        });
        Ok(())
    }
}

/// Reads a part back as a verifier does: what is stored must be what was observed.
fn check_written(path: &Path, written: &PartSummary) -> Result<()> {
    let file = File::open(path).map_err(|error| disk_failure(path, error))?;
    let part = PartReader::open(file).map_err(|error| not_as_written(path, &error.to_string()))?;
    let statement = part.statement();
    if statement.merkle_root != written.merkle_root || statement.rows != written.rows {
        return Err(not_as_written(path, "another Merkle root"));
    }
    part.check()
        .map_err(|error| not_as_written(path, &error.to_string()))?;
    Ok(())
}

/// Returns the failure for a part that reads back differently: a fault of this host, or of this program.
fn not_as_written(path: &Path, reason: &str) -> Failure {
    let message = format!(
        "{} does not read back as it was written: {reason}",
        path.display()
    );
    Failure::unexpected(message)
        .remedy("Check this host's disk and memory; nothing was stored. Then run again.")
}

/// Returns the failure for a local file that cannot be written or read.
fn disk_failure(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::later(format!("cannot write {}", path.display()))
        .because(error)
        .remedy(
            "Free some space on the state folder's disk, or name another with --state-dir; then run again.",
        )
}

/// A local file that is hashed while it is written.
struct HashingFile {
    file: BufWriter<File>,
    hasher: Hasher,
    bytes: u64,
}

impl HashingFile {
    /// Creates the file, or empties the one of this name.
    fn create(path: &Path) -> std::io::Result<Self> {
        let file = BufWriter::with_capacity(256 << 10, private::create(path)?);
        Ok(HashingFile {
            file,
            hasher: Hasher::new(),
            bytes: 0,
        })
    }

    /// Writes what is buffered, and returns the length in bytes and the SHA-256 of everything written. It is not synced:
    /// after a crash of the host the part is encoded again.
    fn finish(mut self) -> std::io::Result<(u64, Digest)> {
        self.file.flush()?;
        Ok((self.bytes, self.hasher.finish()))
    }
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
