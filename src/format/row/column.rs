//! Columns and the values in them, without their meaning: types, storage, cells.

use crate::format::hash::json;

/// Type of a column's values. All types are scalars that DuckDB, Athena, Trino, Spark and pandas read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A string in UTF-8.
    Text,
    /// A signed integer of 64 bits.
    Int,
    /// True or false.
    Bool,
    /// An instant: UTC, in milliseconds since the epoch.
    Time,
}

/// How a column's values are stored. It never changes what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Few distinct values: a dictionary, and statistics.
    Dictionary,
    /// Many distinct values: statistics only.
    Plain,
    /// Identifiers that people search for: statistics and a Bloom filter.
    Bloom,
    /// Long texts: neither statistics nor a filter. The first bytes of a text prune nothing, and they would be readable
    /// in the footer.
    Opaque,
}

/// One column of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The column's name, in snake case.
    pub name: &'static str,
    /// Type of its values.
    pub kind: Type,
    /// Whether a value may be null.
    pub nullable: bool,
    /// How the writer stores its values.
    pub storage: Storage,
}

impl Column {
    /// Returns a column whose values may be null.
    pub(super) const fn optional(name: &'static str, kind: Type, storage: Storage) -> Column {
        Column {
            name,
            kind,
            nullable: true,
            storage,
        }
    }

    /// Returns a column without nulls.
    pub(super) const fn required(name: &'static str, kind: Type, storage: Storage) -> Column {
        Column {
            nullable: false,
            ..Column::optional(name, kind, storage)
        }
    }
}

/// One value of a row. An instant is an `Int` of UTC milliseconds. `T` owns the text, or borrows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<T = String> {
    /// No value.
    Null,
    /// A string.
    Text(T),
    /// An integer or an instant.
    Int(i64),
    /// True or false.
    Bool(bool),
}

/// A row's values in the order of [`COLUMNS`](crate::format::row::schema::COLUMNS).
pub(crate) type Cells = Vec<Cell>;

/// A [`Cell`] that borrows its text.
pub(crate) type CellRef<'a> = Cell<&'a str>;

/// Why the values of a row in a file are not a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A required value is null, or a value has another type than its column.
    #[error("column {0} has no value, or one of another type")]
    Missing(&'static str),
    /// A value is outside the list or the range that the format defines.
    #[error("column {0} holds a value that the format does not know")]
    Unknown(&'static str),
    /// A typed column does not follow from the segment's object.
    #[error("column {0} differs from what segment_json says")]
    Contradiction(&'static str),
}

impl CellRef<'_> {
    /// Appends the value to `into` as RFC 8785 writes it.
    pub(crate) fn write_json(self, into: &mut Vec<u8>) {
        match self {
            Cell::Null => into.extend_from_slice(b"null"),
            Cell::Text(text) => json::write_text(text, into),
            // Writing to memory cannot fail.
            Cell::Int(number) => drop(serde_json::to_writer(into, &number)),
            Cell::Bool(value) => into.extend_from_slice(if value { b"true" } else { b"false" }),
        }
    }

    /// Returns the value with a copy of its text.
    pub(crate) fn to_cell(self) -> Cell {
        match self {
            Cell::Null => Cell::Null,
            Cell::Text(text) => Cell::Text(text.to_owned()),
            Cell::Int(number) => Cell::Int(number),
            Cell::Bool(value) => Cell::Bool(value),
        }
    }
}

impl<T: AsRef<str>> Cell<T> {
    /// Returns the value with its text borrowed.
    pub fn value(&self) -> CellRef<'_> {
        match self {
            Cell::Null => Cell::Null,
            Cell::Text(text) => Cell::Text(text.as_ref()),
            Cell::Int(number) => Cell::Int(*number),
            Cell::Bool(value) => Cell::Bool(*value),
        }
    }

    /// Returns the length of the text in bytes, for the limits of memory and of files; 8 for a value of another type.
    pub(crate) fn text_len(&self) -> usize {
        match self {
            Cell::Text(text) => text.as_ref().len(),
            _ => 8,
        }
    }
}

/// Conversions between optional values and cells. The functions that read return [`RowError::Missing`] with the name of
/// the column where the cell holds a value of another type.
impl<T> Cell<T> {
    pub(super) fn text(value: Option<T>) -> Cell<T> {
        value.map_or(Cell::Null, Cell::Text)
    }

    pub(super) fn int(value: Option<i64>) -> Cell<T> {
        value.map_or(Cell::Null, Cell::Int)
    }

    pub(super) fn bool(value: Option<bool>) -> Cell<T> {
        value.map_or(Cell::Null, Cell::Bool)
    }

    pub(super) fn into_text(self, column: &'static str) -> Result<Option<T>, RowError> {
        match self {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            Cell::Int(_) | Cell::Bool(_) => Err(RowError::Missing(column)),
        }
    }

    pub(super) fn into_int(self, column: &'static str) -> Result<Option<i64>, RowError> {
        match self {
            Cell::Null => Ok(None),
            Cell::Int(number) => Ok(Some(number)),
            Cell::Text(_) | Cell::Bool(_) => Err(RowError::Missing(column)),
        }
    }

    pub(super) fn into_bool(self, column: &'static str) -> Result<Option<bool>, RowError> {
        match self {
            Cell::Null => Ok(None),
            Cell::Bool(value) => Ok(Some(value)),
            Cell::Text(_) | Cell::Int(_) => Err(RowError::Missing(column)),
        }
    }
}
