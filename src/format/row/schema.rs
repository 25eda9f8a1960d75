//! The columns of format version 1, and the Arrow schema that they make.
//!
//! `schemas/FORMAT.md` states the reason for each writer property.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::format::hash::Digest;
pub use crate::format::row::column::{Cell, Column, Storage, Type};
use crate::format::row::metadata::METADATA_COLUMNS;

/// The version of the whole format: rows, files, manifests and their places.
pub const FORMAT_VERSION: u32 = 1;

/// The columns of one kind of summary, whose names begin with the kind.
macro_rules! observation_columns {
    ($kind:literal) => {
        [
            Column::required(concat!($kind, "_status"), Text, Dictionary),
            Column::optional(concat!($kind, "_summary"), Text, Opaque),
            Column::optional(concat!($kind, "_binary"), Text, Opaque),
            Column::optional(concat!($kind, "_sha256"), Text, Plain),
            Column::optional(concat!($kind, "_http_status"), Int, Dictionary),
            Column::optional(concat!($kind, "_content_type"), Text, Dictionary),
            Column::optional(concat!($kind, "_fetched_at"), Time, Plain),
            Column::optional(concat!($kind, "_server_date"), Time, Plain),
            Column::required(concat!($kind, "_attempts"), Int, Dictionary),
            Column::optional(concat!($kind, "_error"), Text, Dictionary),
            Column::required(concat!($kind, "_observed_by"), Text, Dictionary),
        ]
    };
}

/// Every column, in the order of the files.
pub const COLUMNS: [Column; 55] = {
    use Storage::*;
    use Type::*;
    let object = [
        Column::required("segment_json", Text, Opaque),
        Column::optional("other_answers_json", Text, Opaque),
        Column::required("out_of_day", Bool, Plain),
    ];
    let origin = [
        Column::required("revision", Int, Dictionary),
        Column::required("discovered_at", Time, Dictionary),
        Column::required("discovered_by", Text, Dictionary),
        Column::required("vanished", Bool, Plain),
    ];
    let groups: [&[Column]; 5] = [
        &METADATA_COLUMNS,
        &object,
        &observation_columns!("agent"),
        &observation_columns!("auto"),
        &origin,
    ];
    // Iterators do not work in constants.
    let mut all = [METADATA_COLUMNS[0]; 55];
    let (mut filled, mut group) = (0, 0);
    while group < groups.len() {
        let mut n = 0;
        while n < groups[group].len() {
            all[filled] = groups[group][n];
            (filled, n) = (filled + 1, n + 1);
        }
        group += 1;
    }
    assert!(filled == all.len());
    all
};

/// Returns the Arrow schema of every part.
pub(crate) fn arrow_schema() -> SchemaRef {
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

/// Returns the schema as text, with one column a line: the content of `schemas/segments.v1.txt`.
pub fn describe() -> String {
    let lines = COLUMNS.iter().map(|column| {
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
    });
    lines.collect()
}

/// Returns the SHA-256 of [`describe`]: two files with the same fingerprint have the same columns.
pub fn fingerprint() -> Digest {
    Digest::of(describe().as_bytes())
}
