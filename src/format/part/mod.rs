//! One Parquet file of a revision: written with pinned properties, read back without trust.

pub mod lookup;
pub mod rows;
pub mod table;

use std::collections::VecDeque;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;

use arrow::array::{
    ArrayRef, BooleanBuilder, Int64Builder, RecordBatch, StringBuilder, TimestampMillisecondBuilder,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};

use crate::format::hash::digest::Digest;
use crate::format::hash::merkle;
use crate::format::hash::merkle::Tree;
use crate::format::part::rows::Rows;
use crate::format::row::omit::Omission;
use crate::format::row::schema::{
    COLUMNS, Cell, Cells, Column, FORMAT_VERSION, Storage, Type, arrow_schema,
};
use crate::format::row::{Row, RowError, leaf};
use crate::format::signature;
use crate::format::signature::{PublicKey, SigningKey};
use crate::format::time::day::Window;

/// Key-value metadata of the footer: the part's [`Statement`], canonical JSON.
pub const STATEMENT_KEY: &str = "cxvault.part";
/// Key-value metadata of the footer: an SSHSIG signature over the statement's bytes, where a key is configured.
pub const SIGNATURE_KEY: &str = "cxvault.signature";

const ROW_GROUP_ROWS: usize = 20_000;
/// Texts of 64 KiB would make 20,000 rows a gigabyte in memory, so a row group also ends here.
const ROW_GROUP_TEXT_BYTES: usize = 24 << 20;
const BATCH_ROWS: usize = 1_024;
const BATCH_TEXT_BYTES: usize = 4 << 20;

/// What a part says of itself in its footer, so that it can be judged without its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    pub archive_id: String,
    pub format_version: u32,
    pub key: String,
    pub merkle_root: Digest,
    /// Fields that no row of this part holds, because the settings left them out.
    #[serde(default, skip_serializing_if = "Omission::is_empty")]
    pub omitted_fields: Omission,
    pub rows: u64,
    pub window: Window,
    pub zone: String,
}

impl Statement {
    /// `None` for another spelling, too: what is signed would not be what stands there.
    fn read(text: &str) -> Option<Statement> {
        let statement: Statement = serde_json::from_str(text).ok()?;
        (statement.canonical() == text.as_bytes()).then_some(statement)
    }

    /// RFC 8785's form: the bytes that are stored and signed.
    pub fn canonical(&self) -> Vec<u8> {
        // A struct of strings and integers always serialises.
        serde_json_canonicalizer::to_vec(self).unwrap_or_default()
    }
}

/// What every part of one revision has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartContext {
    pub archive_id: String,
    pub window: Window,
    pub zone: String,
    pub omitted_fields: Omission,
}

/// What is known of a part once it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartSummary {
    pub rows: u64,
    pub merkle_root: Digest,
    /// Smallest and largest segment end; `None` when no row has one.
    pub segment_ends: Option<(i64, i64)>,
}

/// A row as a part holds it: its values, and the hash of its Merkle leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRow {
    cells: Cells,
    leaf: Digest,
    segment_end: Option<i64>,
    bytes: usize,
}

impl EncodedRow {
    /// Hash of the row's Merkle leaf.
    pub fn leaf_hash(&self) -> Digest {
        self.leaf
    }

    /// The leaf itself: canonical JSON.
    pub fn leaf_bytes(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.bytes + 2_048);
        leaf(&self.cells, &mut json);
        json
    }
}

impl From<Row> for EncodedRow {
    fn from(row: Row) -> EncodedRow {
        let segment_end = row.segment.metadata.segment_end_time;
        let cells = row.into_cells();
        let bytes = cells.iter().map(Cell::text_len).sum();
        let mut json = Vec::with_capacity(bytes + 2_048);
        leaf(&cells, &mut json);
        EncodedRow {
            leaf: merkle::leaf_hash(&json),
            cells,
            segment_end,
            bytes,
        }
    }
}

/// Writes one part. Rows must come sorted by segment end (none first), then segment key.
pub struct PartWriter<W: Write + Send> {
    parquet: ArrowWriter<W>,
    batch: Vec<Cells>,
    batch_bytes: usize,
    group_bytes: usize,
    tree: Tree,
    segment_ends: Option<(i64, i64)>,
}

impl<W: Write + Send> PartWriter<W> {
    pub fn new(to: W) -> Result<Self, ParquetError> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties())
            .with_skip_arrow_metadata(true);
        Ok(PartWriter {
            parquet: ArrowWriter::try_new_with_options(to, arrow_schema(), options)?,
            batch: Vec::with_capacity(BATCH_ROWS),
            batch_bytes: 0,
            group_bytes: 0,
            tree: Tree::new(),
            segment_ends: None,
        })
    }

    /// Takes a row, or what was made of one elsewhere: that is half of the work.
    pub fn push(&mut self, row: impl Into<EncodedRow>) -> Result<(), ParquetError> {
        let EncodedRow {
            cells,
            leaf,
            segment_end,
            bytes,
        } = row.into();
        if let Some(end) = segment_end {
            let (min, max) = self.segment_ends.unwrap_or((end, end));
            self.segment_ends = Some((min.min(end), max.max(end)));
        }
        self.tree.push(leaf);
        self.batch_bytes += bytes;
        self.batch.push(cells);
        if self.batch.len() >= BATCH_ROWS || self.batch_bytes >= BATCH_TEXT_BYTES {
            self.write_batch()?;
        }
        Ok(())
    }

    pub fn rows(&self) -> u64 {
        self.tree.leaves()
    }

    /// Bytes of the file so far, whole row groups only, and of texts not yet among them.
    pub fn bytes(&self) -> u64 {
        (self.parquet.bytes_written() + self.group_bytes + self.batch_bytes) as u64
    }

    fn write_batch(&mut self) -> Result<(), ParquetError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.parquet.write(&record_batch(&self.batch)?)?;
        let batch_bytes = std::mem::take(&mut self.batch_bytes);
        let open = self.parquet.in_progress_rows();
        if open < self.batch.len() {
            // A group has ended within the batch: texts before that must not end the next one early.
            let rest = self.batch.iter().rev().take(open).flatten();
            self.group_bytes = rest.map(Cell::text_len).sum();
        } else {
            self.group_bytes += batch_bytes;
        }
        self.batch.clear();
        if self.group_bytes >= ROW_GROUP_TEXT_BYTES {
            self.parquet.flush()?;
            self.group_bytes = 0;
        }
        Ok(())
    }

    /// Ends the file with its statement, signed by `signer` where there is one.
    pub fn finish(
        mut self,
        key: &str,
        place: &PartContext,
        signer: Option<&SigningKey>,
    ) -> Result<(W, PartSummary), ParquetError> {
        self.write_batch()?;
        let written = PartSummary {
            rows: self.tree.leaves(),
            merkle_root: self.tree.root(),
            segment_ends: self.segment_ends,
        };
        let statement = Statement {
            archive_id: place.archive_id.clone(),
            format_version: FORMAT_VERSION,
            key: key.to_owned(),
            merkle_root: written.merkle_root,
            omitted_fields: place.omitted_fields.clone(),
            rows: written.rows,
            window: place.window,
            zone: place.zone.clone(),
        }
        .canonical();
        let signed = signer.map(|signer| signer.sign(signature::PART, &statement));
        let text = String::from_utf8_lossy(&statement).into_owned();
        self.parquet
            .append_key_value_metadata(KeyValue::new(STATEMENT_KEY.to_owned(), text));
        if let Some(signed) = signed {
            self.parquet
                .append_key_value_metadata(KeyValue::new(SIGNATURE_KEY.to_owned(), signed));
        }
        Ok((self.parquet.into_inner()?, written))
    }
}

/// Pinned: the same rows give the same bytes, whatever run writes them. `schemas/FORMAT.md` says why each is so.
fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(3).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by("cxvault version 1.0.0 (build format-1)".to_owned())
        .set_statistics_enabled(EnabledStatistics::Page);
    for column in &COLUMNS {
        let path = || ColumnPath::from(column.name);
        if !compressed(column) {
            properties = properties.set_column_compression(path(), Compression::UNCOMPRESSED);
        }
        properties =
            properties.set_column_dictionary_enabled(path(), column.storage == Storage::Dictionary);
        properties = match column.storage {
            Storage::Opaque => {
                properties.set_column_statistics_enabled(path(), EnabledStatistics::None)
            }
            Storage::Bloom => properties
                .set_column_bloom_filter_enabled(path(), true)
                .set_column_bloom_filter_fpp(path(), 0.01)
                .set_column_bloom_filter_max_ndv(path(), ROW_GROUP_ROWS as u64),
            Storage::Dictionary | Storage::Plain => properties,
        };
    }
    properties.build()
}

/// Whether compression makes a column smaller by more than a page of it costs to begin: pages of a few distinct values
/// and of single bits are tiny, and a file of a quiet day is little else.
fn compressed(column: &Column) -> bool {
    column.storage != Storage::Dictionary && column.kind != Type::Bool
}

pub(super) fn record_batch(rows: &[Cells]) -> Result<RecordBatch, ParquetError> {
    let arrays = COLUMNS.iter().enumerate().map(|(n, column)| -> ArrayRef {
        let cells = rows.iter().map(|row| &row[n]);
        match column.kind {
            Type::Text => {
                let bytes = cells.clone().map(Cell::text_len).sum();
                let mut builder = StringBuilder::with_capacity(rows.len(), bytes);
                cells.for_each(|cell| builder.append_option(text(cell)));
                Arc::new(builder.finish())
            }
            Type::Int => {
                let mut builder = Int64Builder::new();
                cells.for_each(|cell| builder.append_option(integer(cell)));
                Arc::new(builder.finish())
            }
            Type::Time => {
                let mut builder = TimestampMillisecondBuilder::new();
                cells.for_each(|cell| builder.append_option(integer(cell)));
                Arc::new(builder.finish().with_timezone("UTC"))
            }
            Type::Bool => {
                let mut builder = BooleanBuilder::new();
                cells.for_each(|cell| builder.append_option(boolean(cell)));
                Arc::new(builder.finish())
            }
        }
    });
    RecordBatch::try_new(arrow_schema(), arrays.collect())
        .map_err(|error| ParquetError::ArrowError(error.to_string()))
}

fn text(cell: &Cell) -> Option<&str> {
    match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

fn integer(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Int(number) => Some(*number),
        _ => None,
    }
}

fn boolean(cell: &Cell) -> Option<bool> {
    match cell {
        Cell::Bool(value) => Some(*value),
        _ => None,
    }
}

/// Why a file is not a part that can be believed.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    #[error("not a readable Parquet file")]
    Parquet(#[from] ParquetError),
    #[error("not a readable Parquet file: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("its columns are not those of format version {FORMAT_VERSION}")]
    Columns,
    #[error("its footer holds no statement of a part")]
    NoStatement,
    #[error("row {row}: {error}")]
    Row { row: u64, error: RowError },
    #[error("its rows are not those that its statement names")]
    Rows,
    #[error("its footer's signature does not hold: {0}")]
    Signature(String),
}

/// Reads one part, row by row.
pub struct PartReader {
    statement: Statement,
    signature: Option<String>,
    batches: ParquetRecordBatchReader,
    /// Rows that are counted into the tree, and how many of them were given away.
    buffered: Option<(Rows, usize)>,
    tree: Tree,
    leaf: Vec<u8>,
}

impl PartReader {
    pub fn open<R: ChunkReader + 'static>(file: R) -> Result<PartReader, PartError> {
        contained(move || Self::read_footer(file))
    }

    fn read_footer<R: ChunkReader + 'static>(file: R) -> Result<PartReader, PartError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        if !same_columns(builder.schema()) {
            return Err(PartError::Columns);
        }
        let pairs = builder
            .metadata()
            .file_metadata()
            .key_value_metadata()
            .cloned()
            .unwrap_or_default();
        let value = |key: &str| {
            pairs
                .iter()
                .find(|pair| pair.key == key)
                .and_then(|pair| pair.value.clone())
        };
        let statement = value(STATEMENT_KEY)
            .and_then(|text| Statement::read(&text))
            .ok_or(PartError::NoStatement)?;
        let signature = value(SIGNATURE_KEY);
        let batches = builder.with_batch_size(256).build()?;
        Ok(PartReader {
            statement,
            signature,
            batches,
            buffered: None,
            tree: Tree::new(),
            leaf: Vec::new(),
        })
    }

    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The key that signed the statement; `None` when nobody did.
    pub fn signer(&self) -> Result<Option<PublicKey>, PartError> {
        let Some(armored) = &self.signature else {
            return Ok(None);
        };
        let verified = signature::verify(armored, signature::PART, &self.statement.canonical());
        verified
            .map(Some)
            .map_err(|error| PartError::Signature(error.to_string()))
    }

    /// How many rows have been read, and the Merkle root over them.
    pub fn read_so_far(&self) -> (u64, Digest) {
        (self.tree.leaves(), self.tree.root())
    }

    /// The next row; after the last one, checks that the rows were those of the statement.
    pub fn next_row(&mut self) -> Result<Option<Row>, PartError> {
        loop {
            if let Some((rows, given)) = &mut self.buffered
                && *given < rows.len()
            {
                let n = *given;
                *given += 1;
                let row = rows.first() + n as u64;
                return rows
                    .owned_row(n)
                    .map(Some)
                    .map_err(|error| PartError::Row { row, error });
            }
            let Some(rows) = self.next_rows()? else {
                return Ok(None);
            };
            self.buffered = Some((rows, 0));
        }
    }

    /// The next rows, as many as are at hand; after the last ones, checks that they were those of the statement. Not to
    /// be mixed with [`PartReader::next_row`].
    pub fn next_rows(&mut self) -> Result<Option<Rows>, PartError> {
        let Some(rows) = self.next_batch()? else {
            return self.end().map(|()| None);
        };
        self.tree.extend(rows.leaf_hashes(&mut self.leaf));
        Ok(Some(rows))
    }

    /// Reads what is left, and checks that the rows are those of the statement, value by value; makes no rows of them.
    /// Hashing takes more than decoding: a second thread hashes what it can, and this one the rest.
    pub fn check(mut self) -> Result<(), PartError> {
        let (rows, incoming) = std::sync::mpsc::sync_channel::<Rows>(2);
        let (hashed, leaves) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let hashing = scope.spawn(move || {
                let mut json = Vec::new();
                // The receiver is gone only when reading has failed.
                incoming
                    .iter()
                    .try_for_each(|rows| hashed.send(rows.leaf_hashes(&mut json)))
                    .ok()
            });
            let mut open = VecDeque::new();
            while let Some(batch) = self.next_batch()? {
                open.push_back(match rows.try_send(batch) {
                    Ok(()) => None,
                    Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                        Some(batch.leaf_hashes(&mut self.leaf))
                    }
                });
                self.grow(&mut open, || leaves.try_recv().ok());
            }
            drop(rows);
            self.grow(&mut open, || leaves.recv().ok());
            hashing.join().map(drop).map_err(|_| PartError::Rows)
        })?;
        self.end()
    }

    /// Adds leaf hashes to the tree in their order, as far as they are there; `None` stands for those of the other
    /// thread, which `next` gives one after the other.
    fn grow(
        &mut self,
        open: &mut VecDeque<Option<Vec<Digest>>>,
        next: impl Fn() -> Option<Vec<Digest>>,
    ) {
        while let Some(first) = open.front_mut() {
            let Some(leaves) = first.take().or_else(&next) else {
                return;
            };
            self.tree.extend(leaves);
            open.pop_front();
        }
    }

    fn end(&self) -> Result<(), PartError> {
        let complete = self.read_so_far() == (self.statement.rows, self.statement.merkle_root);
        if complete {
            Ok(())
        } else {
            Err(PartError::Rows)
        }
    }

    fn next_batch(&mut self) -> Result<Option<Rows>, PartError> {
        let batches = &mut self.batches;
        let Some(batch) = contained(|| Ok(batches.next().transpose()?))? else {
            return Ok(None);
        };
        Ok(Some(Rows::new(&batch, self.tree.leaves())))
    }
}

/// The Parquet library panics on some damaged files (a division by a page's length of zero, for one), and a file from
/// the bucket may be anything: a panic means no more than "not readable".
pub(super) fn contained<T>(read: impl FnOnce() -> Result<T, PartError>) -> Result<T, PartError> {
    std::panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(ParquetError::General("the Parquet reader gave up".to_owned()).into())
    })
}

pub(super) fn same_columns(found: &arrow::datatypes::Schema) -> bool {
    let expected = arrow_schema();
    let alike = |(a, b): (&Arc<arrow::datatypes::Field>, &Arc<arrow::datatypes::Field>)| {
        a.name() == b.name() && a.data_type() == b.data_type() && a.is_nullable() == b.is_nullable()
    };
    expected.fields().len() == found.fields().len()
        && expected.fields().iter().zip(found.fields()).all(alike)
}
