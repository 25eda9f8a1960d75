//! Writes parts. The same rows give the same bytes in every run.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Int64Builder, RecordBatch, StringBuilder, TimestampMillisecondBuilder,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value};

use crate::format::hash::{Digest, Tree, merkle};
use crate::format::part::statement::{SIGNATURE_KEY, STATEMENT_KEY, Statement};
use crate::format::row::schema::arrow_schema;
use crate::format::row::{
    COLUMNS, Cell, Cells, Column, FORMAT_VERSION, Omission, Row, Storage, Type, leaf,
};
use crate::format::signature;
use crate::format::signature::SigningKey;
use crate::format::time::Window;

/// Most rows of a row group.
const ROW_GROUP_ROWS: usize = 20_000;
/// Most bytes of text of a row group: 20,000 rows with texts of 64 KiB would need a gigabyte of memory.
const ROW_GROUP_TEXT_BYTES: usize = 24 << 20;
/// Most rows that are given to the Parquet library at once.
const BATCH_ROWS: usize = 1_024;
/// Most bytes of text that are given to the Parquet library at once.
const BATCH_TEXT_BYTES: usize = 4 << 20;

/// What all parts of one revision have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartContext {
    /// Id of the archive.
    pub archive_id: String,
    /// The instants of the archive day.
    pub window: Window,
    /// IANA name of the day's time zone.
    pub zone: String,
    /// Fields that no row holds, because the settings leave them out.
    pub omitted_fields: Omission,
}

/// What is known of a part after it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartSummary {
    /// Number of rows.
    pub rows: u64,
    /// RFC 6962 root over the rows' leaves.
    pub merkle_root: Digest,
    /// Smallest and largest segment end in UTC milliseconds; `None` where no row has one.
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
    /// Returns the hash of the row's Merkle leaf.
    pub fn leaf_hash(&self) -> Digest {
        self.leaf
    }

    /// Returns the members of the row's Merkle leaf: the columns that are not null.
    pub fn members(&self) -> Map<String, Value> {
        let members = COLUMNS
            .iter()
            .zip(&self.cells)
            .filter_map(|(column, cell)| {
                let value = match cell {
                    Cell::Null => return None,
                    Cell::Text(text) => Value::from(text.as_str()),
                    Cell::Int(number) => Value::from(*number),
                    Cell::Bool(value) => Value::from(*value),
                };
                Some((column.name.to_owned(), value))
            });
        members.collect()
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

/// Writes one part. Rows must be pushed in the order of their segment ends (rows without one first), then of their
/// segment keys.
///
/// # Examples
///
/// ```
/// use cxvault::format::part::{PartContext, PartReader, PartWriter};
/// use cxvault::format::row::Row;
/// use cxvault::format::row::observation::{Observation, Status};
/// use cxvault::format::row::segment::Segment;
/// use cxvault::format::time::window::Window;
///
/// let row = Row {
///     segment: Segment::read(r#"{"segmentId":"s"}"#.to_owned()),
///     other_answers: None,
///     out_of_day: true,
///     agent: Observation::bare(Status::Skipped, "run"),
///     auto: Observation::bare(Status::Skipped, "run"),
///     revision: 1,
///     discovered_at: 0,
///     discovered_by: "run".to_owned(),
///     vanished: false,
/// };
/// let context = PartContext {
///     archive_id: "0123abcd".to_owned(),
///     window: Window { start_ms: 0, end_ms: 86_400_000 },
///     zone: "UTC".to_owned(),
///     omitted_fields: Default::default(),
/// };
/// let mut writer = PartWriter::new(Vec::new())?;
/// writer.push(row.clone())?;
/// let (bytes, summary) = writer.finish("segments/v1/x.parquet", &context, None)?;
/// assert_eq!(summary.rows, 1);
///
/// let mut reader = PartReader::open(bytes::Bytes::from(bytes))?;
/// assert_eq!(reader.next_row()?, Some(row));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PartWriter<W: Write + Send> {
    parquet: ArrowWriter<W>,
    batch: Vec<Cells>,
    batch_bytes: usize,
    group_bytes: usize,
    tree: Tree,
    segment_ends: Option<(i64, i64)>,
}

impl<W: Write + Send> PartWriter<W> {
    /// Begins a part.
    ///
    /// # Errors
    /// Where `to` cannot be written.
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

    /// Adds a row, or a row that another thread has encoded: encoding is half of the work.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn push(&mut self, row: impl Into<EncodedRow>) -> Result<(), ParquetError> {
        let row = row.into();
        if let Some(end) = row.segment_end {
            let (min, max) = self.segment_ends.unwrap_or((end, end));
            self.segment_ends = Some((min.min(end), max.max(end)));
        }
        self.tree.push(row.leaf);
        self.batch_bytes += row.bytes;
        self.batch.push(row.cells);
        if self.batch.len() >= BATCH_ROWS || self.batch_bytes >= BATCH_TEXT_BYTES {
            self.write_batch()?;
        }
        Ok(())
    }

    /// Returns the number of rows so far.
    pub fn rows(&self) -> u64 {
        self.tree.leaves()
    }

    /// Returns the bytes of the finished row groups, and of the texts that are not yet in one: an estimate of the file's
    /// length.
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
            // A row group has ended within the batch: only texts after its end count for the next one.
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

    fn append(&mut self, key: &str, value: String) {
        let pair = KeyValue::new(key.to_owned(), value);
        self.parquet.append_key_value_metadata(pair);
    }

    /// Ends the part with its statement, signed where there is a key, and returns what it was written to.
    ///
    /// # Errors
    /// Where the file cannot be written.
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
        };
        let statement = statement
            .canonical()
            .map_err(|error| ParquetError::External(error.into()))?;
        let signed = signer.map(|signer| signer.sign(signature::PART, statement.as_bytes()));
        self.append(STATEMENT_KEY, statement);
        if let Some(signed) = signed {
            self.append(SIGNATURE_KEY, signed);
        }
        Ok((self.parquet.into_inner()?, written))
    }
}

/// Returns the pinned properties of the writer. `schemas/FORMAT.md`, section "Parquet", states the reason for each.
fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(3).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by("cxvault version 1.0.0 (build format-1)".to_owned())
        .set_statistics_enabled(EnabledStatistics::Page);
    for column in &COLUMNS {
        let path = ColumnPath::from(column.name);
        if !compressed(column) {
            properties = properties.set_column_compression(path.clone(), Compression::UNCOMPRESSED);
        }
        properties = properties
            .set_column_dictionary_enabled(path.clone(), column.storage == Storage::Dictionary);
        properties = match column.storage {
            Storage::Opaque => {
                properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
            }
            Storage::Bloom => properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), 0.01)
                .set_column_bloom_filter_max_ndv(path.clone(), ROW_GROUP_ROWS as u64),
            Storage::Dictionary | Storage::Plain => properties,
        };
    }
    properties.build()
}

/// Returns whether compression makes a column smaller by more than each compressed page costs. Pages of a few distinct
/// values and of single bits are tiny, and the file of a quiet day has hardly any others.
fn compressed(column: &Column) -> bool {
    column.storage != Storage::Dictionary && column.kind != Type::Bool
}

/// Converts rows to Arrow's columns.
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
