//! Rows for other programs: one Parquet file with the partition keys as columns, or texts for CSV.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::format::part::writer::record_batch;
use crate::format::row::schema::arrow_schema;
use crate::format::row::{COLUMNS, Cell, Cells, Row, Type};
use crate::format::time::day::rfc3339;

const BATCH_ROWS: usize = 1_024;
const GROUP_ROWS: usize = 20_000;

/// Writes rows of several days into one Parquet file. It is an export, and not a part of an archive.
pub(crate) struct TableWriter<W: Write + Send> {
    parquet: ArrowWriter<W>,
    schema: Arc<Schema>,
    /// Sub-account and date of each row that is not yet written.
    keys: Vec<[String; 2]>,
    cells: Vec<Cells>,
}

impl<W: Write + Send> TableWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Where `to` cannot be written.
    pub fn new(to: W) -> Result<Self, ParquetError> {
        let keys =
            ["sub_account", "dt"].map(|name| Arc::new(Field::new(name, DataType::Utf8, false)));
        let columns = arrow_schema();
        let schema = Arc::new(Schema::new(
            keys.iter()
                .chain(columns.fields())
                .cloned()
                .collect::<Vec<_>>(),
        ));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS));
        let parquet = ArrowWriter::try_new(to, schema.clone(), Some(properties.build()))?;
        Ok(TableWriter {
            parquet,
            schema,
            keys: Vec::new(),
            cells: Vec::new(),
        })
    }

    /// Adds a row of a sub-account and a date (`dt`).
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn push(&mut self, sub_account: &str, dt: &str, row: Row) -> Result<(), ParquetError> {
        self.keys.push([sub_account.to_owned(), dt.to_owned()]);
        self.cells.push(row.into_cells());
        if self.cells.len() >= BATCH_ROWS {
            self.write()
        } else {
            Ok(())
        }
    }

    fn write(&mut self) -> Result<(), ParquetError> {
        let rows = record_batch(&self.cells)?;
        let keys = [0, 1].map(|n| -> ArrayRef {
            let values = self.keys.iter().map(|keys| &keys[n]);
            Arc::new(StringArray::from_iter_values(values))
        });
        let columns = keys
            .into_iter()
            .chain(rows.columns().iter().cloned())
            .collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| ParquetError::ArrowError(error.to_string()))?;
        self.parquet.write(&batch)?;
        self.keys.clear();
        self.cells.clear();
        Ok(())
    }

    /// Ends the file and returns what it was written to.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(mut self) -> Result<W, ParquetError> {
        if !self.cells.is_empty() {
            self.write()?;
        }
        self.parquet.into_inner()
    }
}

/// Returns the names of the partition keys and of a row's columns.
pub fn names() -> impl Iterator<Item = &'static str> {
    ["sub_account", "dt"]
        .into_iter()
        .chain(COLUMNS.iter().map(|column| column.name))
}

/// Returns a row's values as texts that a spreadsheet opens without harm: a text that it would take for a formula begins
/// with an apostrophe, instants are RFC 3339, and null is the empty text.
pub(crate) fn safe_texts(row: Row) -> Vec<String> {
    let cells = std::iter::zip(&COLUMNS, row.into_cells());
    let texts = cells.map(|(column, cell)| match cell {
        Cell::Null => String::new(),
        Cell::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) => {
            format!("'{text}")
        }
        Cell::Text(text) => text,
        Cell::Bool(value) => value.to_string(),
        Cell::Int(number) if column.kind == Type::Time => rfc3339(number),
        Cell::Int(number) => number.to_string(),
    });
    texts.collect()
}
