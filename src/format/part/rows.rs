//! Rows of a part in the arrays of the Parquet reader, read without copying.

use arrow::array::{
    Array, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};

use crate::format::hash::Digest;
use crate::format::hash::merkle::leaf_hash;
use crate::format::row::{COLUMNS, Cell, CellRef, Row, RowError, Type, leaf_by_column};

/// A batch of rows of a part, in the arrays into which the Parquet reader has decoded them.
pub struct Rows {
    /// Number of the first row in the file, from 0.
    first: u64,
    rows: usize,
    columns: Vec<Values>,
}

/// The values of one column.
enum Values {
    Text(StringArray),
    Int(Int64Array),
    Time(TimestampMillisecondArray),
    Bool(BooleanArray),
}

impl Rows {
    /// Returns the rows of a batch whose columns are those of the format; `first` is the number of its first row.
    pub(super) fn new(batch: &RecordBatch, first: u64) -> Rows {
        let columns =
            COLUMNS
                .iter()
                .zip(batch.columns())
                .map(|(column, array)| match column.kind {
                    Type::Text => Values::Text(array.as_string::<i32>().clone()),
                    Type::Int => Values::Int(array.as_primitive::<Int64Type>().clone()),
                    Type::Time => {
                        Values::Time(array.as_primitive::<TimestampMillisecondType>().clone())
                    }
                    Type::Bool => Values::Bool(array.as_boolean().clone()),
                });
        Rows {
            first,
            rows: batch.num_rows(),
            columns: columns.collect(),
        }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Returns whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the number of the first row in the file, from 0.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Returns row `n` of the batch, with its texts borrowed.
    ///
    /// # Errors
    /// [`RowError`] where the row contradicts itself.
    pub(crate) fn row(&self, n: usize) -> Result<Row<&str>, RowError> {
        Row::from_cells(self.cells(n))
    }

    /// Returns row `n` of the batch, with its texts copied.
    ///
    /// # Errors
    /// As [`Rows::row`].
    pub(crate) fn owned_row(&self, n: usize) -> Result<Row, RowError> {
        Row::from_cells(self.cells(n).map(CellRef::to_cell))
    }

    /// Returns one value of row `n`.
    pub(super) fn value(&self, n: usize, column: usize) -> CellRef<'_> {
        self.columns
            .get(column)
            .map_or(Cell::Null, |column| column.value(n))
    }

    fn cells(&self, n: usize) -> impl Iterator<Item = CellRef<'_>> {
        self.columns.iter().map(move |column| column.value(n))
    }

    /// Returns the hashes of the rows' Merkle leaves, in order; `json` is a buffer.
    pub(super) fn leaf_hashes(&self, json: &mut Vec<u8>) -> Vec<Digest> {
        let hashes = (0..self.rows).map(|n| {
            leaf_by_column(|column| self.columns[column].value(n), json);
            leaf_hash(json)
        });
        hashes.collect()
    }
}

impl Values {
    fn value(&self, n: usize) -> CellRef<'_> {
        match self {
            Values::Text(array) if array.is_valid(n) => Cell::Text(array.value(n)),
            Values::Int(array) if array.is_valid(n) => Cell::Int(array.value(n)),
            Values::Time(array) if array.is_valid(n) => Cell::Int(array.value(n)),
            Values::Bool(array) if array.is_valid(n) => Cell::Bool(array.value(n)),
            _ => Cell::Null,
        }
    }
}
