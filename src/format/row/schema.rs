//! The columns of format version 1, and the Arrow schema that they make.
//!
//! All columns are scalars that DuckDB, Athena, Trino, Spark and pandas read alike; the reasons for each writer
//! property stand in `schemas/FORMAT.md`.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::format::hash::json;

/// The version of the whole format: rows, files, manifests and their places.
pub const FORMAT_VERSION: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Text,
    Int,
    Bool,
    /// UTC, milliseconds.
    Time,
}

/// How a column's values are stored; never what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Few distinct values: dictionary, statistics.
    Dictionary,
    /// Many distinct values: statistics only.
    Plain,
    /// Identifiers that people search for: statistics and a Bloom filter.
    Bloom,
    /// Long texts: neither, since the first bytes of a text prune nothing and would stand in the footer.
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: Type,
    pub nullable: bool,
    pub storage: Storage,
}

const fn column(name: &'static str, kind: Type, storage: Storage) -> Column {
    Column {
        name,
        kind,
        nullable: true,
        storage,
    }
}

const fn required(name: &'static str, kind: Type, storage: Storage) -> Column {
    Column {
        name,
        kind,
        nullable: false,
        storage,
    }
}

macro_rules! observation_columns {
    ($kind:literal) => {
        [
            required(concat!($kind, "_status"), Type::Text, Storage::Dictionary),
            column(concat!($kind, "_summary"), Type::Text, Storage::Opaque),
            column(concat!($kind, "_binary"), Type::Text, Storage::Opaque),
            column(concat!($kind, "_sha256"), Type::Text, Storage::Plain),
            column(
                concat!($kind, "_http_status"),
                Type::Int,
                Storage::Dictionary,
            ),
            column(
                concat!($kind, "_content_type"),
                Type::Text,
                Storage::Dictionary,
            ),
            column(concat!($kind, "_fetched_at"), Type::Time, Storage::Plain),
            column(concat!($kind, "_server_date"), Type::Time, Storage::Plain),
            required(concat!($kind, "_attempts"), Type::Int, Storage::Dictionary),
            column(concat!($kind, "_error"), Type::Text, Storage::Dictionary),
            required(
                concat!($kind, "_observed_by"),
                Type::Text,
                Storage::Dictionary,
            ),
        ]
    };
}

const AGENT: [Column; 11] = observation_columns!("agent");
const AUTO: [Column; 11] = observation_columns!("auto");

/// Every column, in the files' order.
pub const COLUMNS: [Column; 55] = {
    use Storage::*;
    use Type::*;
    let mut all = [column("segment_id", Text, Bloom); 55];
    let before = [
        column("segment_id", Text, Bloom),
        column("dialog_id", Text, Bloom),
        column("interaction_id", Text, Bloom),
        column("sub_account_id", Text, Dictionary),
        column("channel_id", Text, Dictionary),
        column("channel_type", Text, Dictionary),
        column("channel_class", Text, Dictionary),
        column("channel_endpoint_address", Text, Dictionary),
        column("contact_endpoint_address", Text, Bloom),
        column("dialog_origination", Text, Dictionary),
        column("dialog_start_time", Time, Plain),
        column("dialog_end_time", Time, Plain),
        column("dialog_duration_ms", Int, Plain),
        column("segment_type", Text, Dictionary),
        column("segment_participant_id", Text, Dictionary),
        column("segment_participant_rc_extension_id", Text, Dictionary),
        column("segment_start_time", Time, Plain),
        column("segment_end_time", Time, Plain),
        column("segment_duration_ms", Int, Plain),
        column("segment_agent_group_id", Text, Dictionary),
        column("system_disposition", Text, Dictionary),
        column("agent_disposition", Text, Dictionary),
        column("agent_notes", Text, Opaque),
        column("has_recording", Bool, Plain),
        column("has_transcript", Bool, Plain),
        column("segment_events", Text, Opaque),
        required("segment_json", Text, Opaque),
        column("other_answers_json", Text, Opaque),
        required("out_of_day", Bool, Plain),
    ];
    let after = [
        required("revision", Int, Dictionary),
        required("discovered_at", Time, Dictionary),
        required("discovered_by", Text, Dictionary),
        required("vanished", Bool, Plain),
    ];
    let mut n = 0;
    while n < 55 {
        all[n] = match n {
            0..29 => before[n],
            29..40 => AGENT[n - 29],
            40..51 => AUTO[n - 40],
            _ => after[n - 51],
        };
        n += 1;
    }
    all
};

/// Indexes into [`COLUMNS`] in the order of the columns' names, which is the order inside a Merkle leaf.
pub static LEAF_ORDER: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let mut order: Vec<usize> = (0..COLUMNS.len()).collect();
    order.sort_by_key(|&column| COLUMNS[column].name);
    order
});

/// One value of a row; an instant is an `Int` of UTC milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<T = String> {
    Null,
    Text(T),
    Int(i64),
    Bool(bool),
}

/// A row's values in the order of [`COLUMNS`].
pub type Cells = Vec<Cell>;

/// A [`Cell`] whose text lies elsewhere.
pub type CellRef<'a> = Cell<&'a str>;

impl CellRef<'_> {
    /// Appends the value as RFC 8785 writes it.
    pub fn write_json(self, into: &mut Vec<u8>) {
        match self {
            Cell::Null => into.extend_from_slice(b"null"),
            Cell::Text(text) => json::write_text(text, into),
            // Writing to memory cannot fail.
            Cell::Int(number) => drop(serde_json::to_writer(into, &number)),
            Cell::Bool(true) => into.extend_from_slice(b"true"),
            Cell::Bool(false) => into.extend_from_slice(b"false"),
        }
    }

    pub fn to_cell(self) -> Cell {
        match self {
            Cell::Null => Cell::Null,
            Cell::Text(text) => Cell::Text(text.to_owned()),
            Cell::Int(number) => Cell::Int(number),
            Cell::Bool(value) => Cell::Bool(value),
        }
    }
}

impl<T: AsRef<str>> Cell<T> {
    pub fn value(&self) -> CellRef<'_> {
        match self {
            Cell::Null => Cell::Null,
            Cell::Text(text) => Cell::Text(text.as_ref()),
            Cell::Int(number) => Cell::Int(*number),
            Cell::Bool(value) => Cell::Bool(*value),
        }
    }

    /// Bytes of text, for the limits of memory and of files.
    pub fn text_len(&self) -> usize {
        match self {
            Cell::Text(text) => text.as_ref().len(),
            _ => 8,
        }
    }
}

impl<T> Cell<T> {
    pub fn text(value: Option<T>) -> Cell<T> {
        value.map_or(Cell::Null, Cell::Text)
    }

    pub fn int(value: Option<i64>) -> Cell<T> {
        value.map_or(Cell::Null, Cell::Int)
    }

    pub fn bool(value: Option<bool>) -> Cell<T> {
        value.map_or(Cell::Null, Cell::Bool)
    }
}

/// The Arrow schema of every part.
pub fn arrow_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let fields = COLUMNS.iter().map(|column| {
            let kind = match column.kind {
                Type::Text => DataType::Utf8,
                Type::Int => DataType::Int64,
                Type::Bool => DataType::Boolean,
                Type::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            };
            Field::new(column.name, kind, column.nullable)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    });
    SCHEMA.clone()
}

/// The schema as text, one column a line: what `schemas/segments.v1.txt` holds.
pub fn describe() -> String {
    let line = |column: &Column| {
        let kind = match column.kind {
            Type::Text => "string",
            Type::Int => "int64",
            Type::Bool => "boolean",
            Type::Time => "timestamp[ms, UTC]",
        };
        let null = if column.nullable {
            "nullable"
        } else {
            "required"
        };
        format!("{:<36} {kind:<19} {null}\n", column.name)
    };
    COLUMNS.iter().map(line).collect()
}

/// SHA-256 of [`describe`]: two files with the same fingerprint have the same columns.
pub fn fingerprint() -> crate::format::hash::digest::Digest {
    crate::format::hash::digest::Digest::of(describe().as_bytes())
}
