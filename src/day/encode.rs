//! From the journal to parts on the local disk, each re-read and checked before anybody sees it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio_util::sync::CancellationToken;

use crate::chain::archive::{Archive, Signers};
use crate::day::prior::PriorState;
use crate::day::run::DayJob;
use crate::format::hash::digest::{Digest, Hasher};
use crate::format::part;
use crate::format::part::{PartContext, PartReader, PartSummary, PartWriter};
use crate::format::place::key;
use crate::format::row::Row;
use crate::journal::{JournalHandle, RevisionTotals};
use crate::outcome::{Exit, Failure, Result};

/// A part that lies in the scratch folder, complete and checked.
#[derive(Debug)]
pub struct EncodedPart {
    pub key: String,
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: Digest,
    pub written: PartSummary,
}

/// What the next revision adds to its basis.
#[derive(Debug, Default)]
pub struct NewRevision {
    pub parts: Vec<EncodedPart>,
    pub totals: RevisionTotals,
    /// Segments that only adopted parts have.
    pub adopted_only: u64,
}

/// Encodes every row that the journal has beyond the basis. Same journal, same bytes.
pub async fn encode(
    archive: &Archive,
    job: &DayJob,
    basis: &PriorState,
    journal: &JournalHandle,
    scratch: &Path,
) -> Result<NewRevision> {
    let revision = basis.revision();
    let place = PartContext {
        archive_id: archive.id.clone(),
        window: job.window,
        zone: job.zone.name().to_owned(),
        omitted_fields: journal
            .call(|journal| Ok::<_, Failure>(journal.omission().clone()))
            .await?,
    };
    let (sub_account, date, first) = (job.sub_account.clone(), job.date, basis.next_part);
    let mut parts = Parts {
        place,
        signers: archive.signers.clone(),
        stop: archive.stop.clone(),
        scratch: scratch.to_owned(),
        limits: (archive.policy.part_rows, archive.policy.part_bytes),
        key: Box::new(move |n| key::part(&sub_account, date, revision, first.saturating_add(n))),
        open: None,
        done: Vec::new(),
    };
    journal
        .call(move |journal| {
            let (totals, parts) = std::thread::scope(|scope| {
                // Reading the journal, hashing rows and writing Parquet together fill two cores.
                let (rows, read) = sync_channel(QUEUE);
                let (leaves, hashed) = sync_channel(QUEUE);
                let encoding = scope.spawn(move || {
                    hashed
                        .into_iter()
                        .flatten()
                        .try_for_each(|row| parts.push(row))?;
                    parts.close().map(|()| parts.done)
                });
                let hashing = scope.spawn(move || {
                    let hash = |rows: Vec<Row>| {
                        rows.into_iter()
                            .map(part::EncodedRow::from)
                            .collect::<Vec<_>>()
                    };
                    read.into_iter()
                        .map(hash)
                        .try_for_each(|rows| leaves.send(rows))
                        .ok()
                });
                let mut batch = RowBatch {
                    rows: Vec::new(),
                    bytes: 0,
                    to: rows,
                };
                let read = journal.changes(revision, |row| batch.push(row));
                let read = read.and_then(|totals| batch.send().map(|()| totals));
                drop(batch);
                hashing.join().map_err(|_| ended_early())?;
                let parts = encoding.join().unwrap_or_else(|_| Err(ended_early()))?;
                Ok::<_, Failure>((read?, parts))
            })?;
            Ok::<_, Failure>(NewRevision {
                parts,
                totals,
                adopted_only: journal.count_adopted_only()?,
            })
        })
        .await
}

/// Batches between the journal, the hashing and the encoder, which now and then stops to compress a page of every column.
const QUEUE: usize = 4;
const BATCH_ROWS: usize = 256;
/// Texts of 64 KiB end a batch earlier.
const BATCH_BYTES: usize = 1 << 20;

/// Rows on their way to the encoder: one at a time, each would wake the other thread.
struct RowBatch {
    rows: Vec<Row>,
    bytes: usize,
    to: SyncSender<Vec<Row>>,
}

impl RowBatch {
    fn push(&mut self, row: Row) -> Result<()> {
        self.bytes += row.text_bytes();
        self.rows.push(row);
        if self.rows.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.send()
        } else {
            Ok(())
        }
    }

    fn send(&mut self) -> Result<()> {
        self.bytes = 0;
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(BATCH_ROWS));
        // A receiver that is gone has failed, and says why.
        self.to.send(rows).map_err(|_| Failure::interrupted())
    }
}

fn ended_early() -> Failure {
    Failure::new(Exit::Unexpected, "the encoder ended early").remedy("Run again, and report this.")
}

/// Cuts a stream of rows into parts.
struct Parts {
    place: PartContext,
    signers: Arc<Signers>,
    stop: CancellationToken,
    scratch: PathBuf,
    limits: (u64, u64),
    key: Box<dyn Fn(u32) -> String + Send>,
    open: Option<(PathBuf, PartWriter<HashingFile>)>,
    done: Vec<EncodedPart>,
}

impl Parts {
    fn push(&mut self, row: part::EncodedRow) -> Result<()> {
        if self.stop.is_cancelled() {
            return Err(Failure::interrupted());
        }
        let (_, writer) = match &mut self.open {
            Some(open) => open,
            None => {
                let path = self
                    .scratch
                    .join(format!("p{:04}.parquet", self.done.len()));
                let file = HashingFile::create(&path).map_err(|error| local(&path, error))?;
                let writer = PartWriter::new(file).map_err(|error| local(&path, error))?;
                self.open.insert((path, writer))
            }
        };
        writer
            .push(row)
            .map_err(|error| local(&self.scratch, error))?;
        let (most_rows, most_bytes) = self.limits;
        if writer.rows() >= most_rows || writer.bytes() >= most_bytes {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some((path, writer)) = self.open.take() else {
            return Ok(());
        };
        let key = (self.key)(u32::try_from(self.done.len()).unwrap_or(u32::MAX));
        let finished = writer.finish(&key, &self.place, self.signers.key.as_ref());
        let (file, written) = finished.map_err(|error| local(&path, error))?;
        let (bytes, sha256) = file.finish().map_err(|error| local(&path, error))?;
        check(&path, &written)?;
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

/// Reads the file back as a stranger would: what is put must be what was observed.
fn check(path: &Path, written: &PartSummary) -> Result<()> {
    let broken = |error: String| {
        Failure::new(
            Exit::Unexpected,
            format!(
                "{} does not read back as it was written: {error}",
                path.display()
            ),
        )
        .remedy("Check this host's disk and memory; nothing was stored. Then run again.")
    };
    let file = File::open(path).map_err(|error| local(path, error))?;
    let part = PartReader::open(file).map_err(|error| broken(error.to_string()))?;
    if part.statement().merkle_root != written.merkle_root || part.statement().rows != written.rows
    {
        return Err(broken("another Merkle root".to_owned()));
    }
    part.check().map_err(|error| broken(error.to_string()))?;
    Ok(())
}

fn local(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::new(Exit::Later, format!("cannot write {}", path.display())).because(error).remedy(
        "Free some space on the state folder's disk, or name another with --state-dir; then run again.",
    )
}

/// A local file that is hashed as it is written.
struct HashingFile {
    file: BufWriter<File>,
    hasher: Hasher,
    bytes: u64,
}

impl HashingFile {
    fn create(path: &Path) -> std::io::Result<Self> {
        let file = BufWriter::with_capacity(256 << 10, File::create(path)?);
        Ok(HashingFile {
            file,
            hasher: Hasher::new(),
            bytes: 0,
        })
    }

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
