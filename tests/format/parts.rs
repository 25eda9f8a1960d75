//! What `schemas/FORMAT.md` specifies for parts: the same rows give the same bytes, every row can
//! be read back, and the file is built as the chapter "Parquet" says.

use std::io::Write;

use bytes::Bytes;
use cxvault::format::hash::digest::Digest;
use cxvault::format::part::{EncodedRow, PartContext, PartReader, PartSummary, PartWriter};
use cxvault::format::row::observation::{Observation, Status};
use cxvault::format::row::schema::{COLUMNS, Cell, Column, Storage, Type};
use cxvault::format::row::segment::Segment;
use cxvault::format::row::{Row, leaf_of};
use cxvault::format::time::day::Window;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};
use proptest::prelude::*;

const KEY: &str = "segments/v1/sub_account=1/dt=2026-11-20/r0001-p0000.parquet";
const DAY_MS: i64 = 1_795_132_800_000;

fn place() -> PartContext {
    let window = Window {
        start_ms: DAY_MS,
        end_ms: DAY_MS + 86_400_000,
    };
    PartContext {
        archive_id: "0".repeat(32),
        window,
        zone: "UTC".into(),
        omitted_fields: Default::default(),
    }
}

fn row(raw: String, agent: Observation, auto: Observation) -> Row {
    let segment = Segment::read(raw);
    let out_of_day = !segment
        .metadata
        .segment_end_time
        .is_some_and(|end| (DAY_MS..DAY_MS + 86_400_000).contains(&end));
    Row {
        segment,
        other_answers: None,
        out_of_day,
        agent,
        auto,
        revision: 1,
        discovered_at: DAY_MS,
        discovered_by: "run".into(),
        vanished: false,
    }
}

fn present(text: String, at: i64) -> Observation {
    Observation {
        sha256: Some(Digest::of(text.as_bytes())),
        summary: Some(text),
        http_status: Some(200),
        content_type: Some("text/plain".into()),
        fetched_at: Some(at),
        server_date: Some(at),
        attempts: 1,
        ..Observation::bare(Status::Present, "run")
    }
}

/// Returns the n-th row of the day, one for each second, in the order of a part.
fn nth(n: i64) -> Row {
    let end = DAY_MS + n * 1_000;
    let raw = format!(
        r#"{{"segmentId":"s-{n}","dialogId":"d-{}","interactionId":"i-{n}","contactEndpointAddress":"+1555{n:07}","segmentEndTimeMs":{end}}}"#,
        n / 2
    );
    row(
        raw,
        present(format!("Summary {n}."), end),
        Observation::bare(Status::Skipped, "run"),
    )
}

fn read(bytes: Vec<u8>) -> (PartReader, Vec<Row>) {
    let mut part = PartReader::open(Bytes::from(bytes)).unwrap();
    let mut rows = Vec::new();
    while let Some(row) = part.next_row().unwrap() {
        rows.push(row);
    }
    (part, rows)
}

/// A writer that takes only a few bytes at once, as a pipe or a full disk may.
struct Narrow(Vec<u8>);

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(1 + self.0.len() % 7);
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn written<W: Write + Send>(to: W, push: impl FnOnce(&mut PartWriter<W>)) -> (W, PartSummary) {
    let mut writer = PartWriter::new(to).unwrap();
    push(&mut writer);
    writer.finish(KEY, &place(), None).unwrap()
}

/// A run that continues after a crash, and another host with the same rows, must write the same
/// part.
#[test]
fn the_bytes_do_not_depend_on_how_the_rows_are_pushed() {
    let rows: Vec<Row> = (0..2_500)
        .map(|n| match nth(n) {
            // Long enough that batches also end by their bytes.
            row if n % 5 == 0 => Row {
                agent: present("word ".repeat(4_000), DAY_MS),
                ..row
            },
            row => row,
        })
        .collect();
    let (expected, facts) = written(Vec::new(), |writer| {
        rows.iter()
            .for_each(|row| writer.push(row.clone()).unwrap());
    });
    let batches = |size: usize| {
        written(Vec::new(), |writer| {
            for batch in rows.chunks(size) {
                let batch: Vec<EncodedRow> = batch.iter().cloned().map(EncodedRow::from).collect();
                for row in batch {
                    writer.push(row).unwrap();
                    // Asking whether the part is full must not end a row group.
                    assert!(writer.bytes() > 0 && writer.rows() > 0);
                }
            }
        })
    };
    for size in [1, 7, 256, 1_024, 2_500] {
        assert!(
            batches(size) == (expected.clone(), facts.clone()),
            "in batches of {size}"
        );
    }
    let (narrow, _) = written(Narrow(Vec::new()), |writer| {
        rows.iter()
            .for_each(|row| writer.push(row.clone()).unwrap());
    });
    assert!(narrow.0 == expected, "written in pieces");
    assert!(read(expected).1 == rows);
}

const GROUP: usize = 20_000;

fn large() -> SerializedFileReader<Bytes> {
    let count = 2 * GROUP as i64 + 1_500;
    let (bytes, facts) = written(Vec::new(), |writer| {
        (0..count).for_each(|n| writer.push(nth(n)).unwrap())
    });
    assert_eq!(
        facts.segment_ends,
        Some((DAY_MS, DAY_MS + (count - 1) * 1_000))
    );
    let bloom = ReaderProperties::builder()
        .set_read_bloom_filter(true)
        .build();
    let options = ReadOptionsBuilder::new()
        .with_page_index()
        .with_reader_properties(bloom)
        .build();
    SerializedFileReader::new_with_options(Bytes::from(bytes), options).unwrap()
}

#[test]
fn a_large_part_is_built_as_the_format_promises() {
    let file = large();
    let meta = file.metadata();
    let footer = meta.file_metadata();
    assert_eq!(
        footer.created_by(),
        Some("cxvault version 1.0.0 (build format-1)")
    );
    let pairs: Vec<&str> = footer
        .key_value_metadata()
        .unwrap()
        .iter()
        .map(|pair| pair.key.as_str())
        .collect();
    assert_eq!(
        pairs,
        ["cxvault.part"],
        "the footer holds no Arrow schema, and no signature without a key"
    );
    // Their texts exceed 24 MiB in the third group, which must not end because of the first two.
    let sizes: Vec<i64> = meta
        .row_groups()
        .iter()
        .map(|group| group.num_rows())
        .collect();
    assert_eq!(sizes, [GROUP as i64, GROUP as i64, 1_500]);
    for (group, column) in
        (0..meta.num_row_groups()).flat_map(|group| (0..COLUMNS.len()).map(move |n| (group, n)))
    {
        check_chunk(meta, group, column);
    }
    check_order(meta);
    check_bloom_filters(&file);
}

fn check_chunk(meta: &ParquetMetaData, group: usize, n: usize) {
    let (chunk, column) = (meta.row_group(group).column(n), &COLUMNS[n]);
    let Column { name, storage, .. } = *column;
    assert_eq!(chunk.column_path().string(), name);
    let logical = chunk
        .column_descr()
        .logical_type_ref()
        .map(|kind| format!("{kind:?}"))
        .unwrap_or_default();
    match column.kind {
        Type::Text => assert_eq!(logical, "String", "{name}"),
        Type::Time => {
            assert!(
                logical.contains("MILLIS") && logical.contains("is_adjusted_to_u_t_c: true"),
                "{name}: {logical}"
            );
        }
        Type::Int | Type::Bool => {
            assert_eq!(
                chunk.column_type().to_string(),
                if column.kind == Type::Int {
                    "INT64"
                } else {
                    "BOOLEAN"
                }
            );
        }
    }
    let compressed = storage != Storage::Dictionary && column.kind != Type::Bool;
    assert_eq!(
        matches!(chunk.compression(), Compression::ZSTD(_)),
        compressed,
        "{name}: compression"
    );
    assert_eq!(
        chunk.compression() == Compression::UNCOMPRESSED,
        !compressed,
        "{name}: compression"
    );
    assert!(
        !chunk.encodings().any(|used| matches!(
            used,
            Encoding::DELTA_BYTE_ARRAY | Encoding::DELTA_BINARY_PACKED
        )),
        "{name}: an encoding of format 2"
    );
    assert_eq!(
        chunk.dictionary_page_offset().is_some(),
        storage == Storage::Dictionary,
        "{name}: dictionary"
    );
    assert_eq!(
        chunk.bloom_filter_offset().is_some(),
        storage == Storage::Bloom,
        "{name}: Bloom filter"
    );
    assert_eq!(
        chunk.statistics().is_some(),
        storage != Storage::Opaque,
        "{name}: statistics"
    );
    if let Some(statistics) = chunk.statistics() {
        let all_null = statistics.null_count_opt() == Some(meta.row_group(group).num_rows() as u64);
        assert_eq!(
            statistics.min_bytes_opt().is_some(),
            !all_null,
            "{name}: smallest value"
        );
        assert_eq!(
            statistics.max_bytes_opt().is_some(),
            !all_null,
            "{name}: greatest value"
        );
    }
    assert_eq!(
        chunk.column_index_range().is_some(),
        storage != Storage::Opaque,
        "{name}: statistics of pages"
    );
    assert!(
        chunk.offset_index_range().is_some(),
        "{name}: places of pages"
    );
}

/// A reader that searches one hour must be able to skip row groups by their statistics.
fn check_order(meta: &ParquetMetaData) {
    let ends = COLUMNS
        .iter()
        .position(|column| column.name == "segment_end_time")
        .unwrap();
    let mut last = i64::MIN;
    for group in meta.row_groups() {
        let number = |bytes: Option<&[u8]>| i64::from_le_bytes(bytes.unwrap().try_into().unwrap());
        let statistics = group.column(ends).statistics().unwrap();
        let (min, max) = (
            number(statistics.min_bytes_opt()),
            number(statistics.max_bytes_opt()),
        );
        assert!(last < min && min < max, "groups overlap");
        last = max;
    }
    assert_eq!(last, DAY_MS + (2 * GROUP as i64 + 1_499) * 1_000);
}

fn check_bloom_filters(file: &SerializedFileReader<Bytes>) {
    let columns = COLUMNS
        .iter()
        .enumerate()
        .filter(|(_, column)| column.storage == Storage::Bloom);
    let columns: Vec<_> = columns.map(|(n, column)| (n, column.name)).collect();
    assert_eq!(columns.len(), 4);
    for group in 0..file.num_row_groups() {
        let reader = file.get_row_group(group).unwrap();
        let first = group * GROUP;
        let rows = reader.metadata().num_rows() as usize;
        for (n, name) in &columns {
            let filter = reader
                .get_column_bloom_filter(*n)
                .unwrap_or_else(|| panic!("{name} has no filter"));
            let value = |n: usize| match *name {
                "segment_id" => format!("s-{n}"),
                "dialog_id" => format!("d-{}", n / 2),
                "interaction_id" => format!("i-{n}"),
                _ => format!("+1555{n:07}"),
            };
            assert!(
                (first..first + rows).all(|n| filter.check(&value(n).as_str())),
                "{name} loses a value"
            );
            // The target is one group of a hundred; three would make a search read more than it
            // needs.
            let wrong = (1_000_000..1_002_000)
                .filter(|&n| filter.check(&value(n).as_str()))
                .count();
            assert!(
                wrong < 60,
                "{name}, group {group}: {wrong} of 2000 strangers pass"
            );
        }
    }
}

/// Texts that writers, readers and JSON are known to change: surrogates, control characters,
/// lookalikes, truncated encodings.
fn text() -> impl Strategy<Value = String> {
    let strange = [
        "",
        "\0",
        "\u{1}\u{1f}\u{7f}\u{80}\u{85}\u{9f}",
        "\u{feff}bom",
        "\u{d7ff}\u{e000}\u{fffd}\u{ffff}",
        "\u{10ffff}\u{1F600}",
        "e\u{301}\u{e9}",
        "\u{202e}rtl\u{2028}\u{2029}",
        "\"\\/\u{8}\u{c}\n\r\t",
        " \t ",
        "null",
        "'; DROP --",
        "=1+1",
        "</script>",
        "NaN",
    ];
    prop_oneof![
        proptest::sample::select(strange.to_vec()).prop_map(str::to_owned),
        any::<String>(),
        (any::<char>(), 1_usize..3_000).prop_map(|(c, times)| c.to_string().repeat(times)),
    ]
}

/// The JSON text of a field: of the documented type or of another.
fn field() -> impl Strategy<Value = String> {
    let odd = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.5",
        "-1e-7",
        "1e400",
        "9007199254740993",
        "-9223372036854775808",
        "9223372036854775807",
        "9223372036854775808",
        "123456789012345678901234567890",
        "[]",
        "{}",
        "[1, null]",
        r#"{"a" : {"b":"c"}}"#,
        r#""\ud800""#,
        r#""\ud83d\ude00""#,
        r#""\u0000""#,
        r#""""#,
        r#""true""#,
        r#"" 12 ""#,
        r#""2026-11-20T23:59:59.9999999Z""#,
        r#""2026-11-20T10:00:00+05:30""#,
        r#""2016-12-31T23:59:60Z""#,
        "1795132800000",
        "-1",
        "253402207200000",
        "99999999999999999",
    ];
    prop_oneof![
        proptest::sample::select(odd.to_vec()).prop_map(str::to_owned),
        text().prop_map(|text| serde_json::to_string(&text).unwrap()),
        any::<i64>().prop_map(|number| number.to_string()),
    ]
}

/// The object of a segment: some of the API's fields, unknown ones, repeated ones, in any order and
/// spacing.
fn object() -> impl Strategy<Value = String> {
    const NAMES: [&str; 12] = [
        "segmentId",
        "dialogId",
        "interactionId",
        "contactEndpointAddress",
        "dialogStartTimeMs",
        "dialogDurationMs",
        "segmentEndTimeMs",
        "segmentDurationMs",
        "hasRecording",
        "agentNotes",
        "segmentEvents",
        "unknown \\u0041",
    ];
    let member = (
        proptest::sample::select(NAMES.to_vec()),
        field(),
        proptest::sample::select(vec!["", " ", "\n\t"]),
    );
    let member = member
        .prop_map(|(name, value, space)| format!("{space}\"{name}\"{space}:{space}{value}{space}"));
    proptest::collection::vec(member, 0..14)
        .prop_map(|members| format!("{{{}}}", members.join(",")))
}

/// Any values in any combination: which are plausible is not judged here, but what was written must
/// be read back.
fn observation() -> impl Strategy<Value = Observation> {
    let option = proptest::option::of::<BoxedStrategy<String>>;
    let body = (
        option(text().boxed()),
        option(text().boxed()),
        proptest::option::of(any::<[u8; 32]>()),
    );
    let answer = (
        proptest::option::of(any::<u16>()),
        option(text().boxed()),
        option(text().boxed()),
        text(),
    );
    let times = (
        proptest::option::of(any::<i64>()),
        proptest::option::of(any::<i64>()),
        any::<u32>(),
    );
    (
        proptest::sample::select(Status::ALL.to_vec()),
        body,
        answer,
        times,
    )
        .prop_map(|(status, body, answer, times)| {
            let ((summary, binary, sha256), (http_status, content_type, error, observed_by)) =
                (body, answer);
            let (fetched_at, server_date, attempts) = times;
            let sha256 = sha256.map(Digest);
            Observation {
                status,
                summary,
                binary,
                sha256,
                http_status,
                content_type,
                fetched_at,
                server_date,
                attempts,
                error,
                observed_by,
            }
        })
}

fn any_row() -> impl Strategy<Value = Row> {
    let more = (
        proptest::option::of(text()),
        any::<[bool; 2]>(),
        any::<u32>(),
        any::<i64>(),
        text(),
    );
    (object(), observation(), observation(), more).prop_map(|(raw, agent, auto, more)| {
        let (other_answers, [out_of_day, vanished], revision, discovered_at, discovered_by) = more;
        let rest = row(raw, agent, auto);
        Row {
            other_answers,
            out_of_day,
            vanished,
            revision,
            discovered_at,
            discovered_by,
            ..rest
        }
    })
}

/// Returns a leaf as the format document defines it, without the code under test: sorted names,
/// nulls left out.
fn leaf_by_the_document(row: Row) -> String {
    let named = COLUMNS.iter().zip(row.into_cells());
    let mut members: Vec<(&str, String)> = named
        .filter_map(|(column, cell)| {
            let json = match cell {
                Cell::Null => return None,
                Cell::Text(text) => serde_json::Value::from(text).to_string(),
                Cell::Int(number) => number.to_string(),
                Cell::Bool(value) => value.to_string(),
            };
            Some((column.name, json))
        })
        .collect();
    members.sort();
    let members: Vec<String> = members
        .iter()
        .map(|(name, json)| format!("\"{name}\":{json}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// The tree hash of RFC 6962, section 2.1, word by word.
fn root_by_the_rfc(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Digest::of(
                &[
                    &[1],
                    &root_by_the_rfc(left).0[..],
                    &root_by_the_rfc(right).0[..],
                ]
                .concat(),
            )
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_is_written_comes_back(rows in proptest::collection::vec(any_row(), 0..12)) {
        let (bytes, facts) =
            written(Vec::new(), |writer| rows.iter().for_each(|row| writer.push(row.clone()).unwrap()));
        let (part, found) = read(bytes.clone());
        prop_assert_eq!(&found, &rows);
        PartReader::open(Bytes::from(bytes)).unwrap().check().unwrap();
        let mut leaves = Vec::new();
        for row in rows {
            let leaf = leaf_by_the_document(row.clone());
            let encoded = EncodedRow::from(row);
            leaves.push(Digest::of(&[b"\0", leaf.as_bytes()].concat()));
            prop_assert_eq!(encoded.leaf_hash(), *leaves.last().unwrap());
            // A receipt holds the row as JSON, and a verifier computes the leaf from it.
            prop_assert_eq!(leaf_of(&encoded.members()).map(|leaf| String::from_utf8(leaf).unwrap()), Some(leaf));
        }
        let root = root_by_the_rfc(&leaves);
        let statement = part.statement();
        prop_assert_eq!((facts.rows, facts.merkle_root), (leaves.len() as u64, root));
        prop_assert_eq!((statement.rows, statement.merkle_root), (leaves.len() as u64, root));
        prop_assert_eq!(part.read_so_far(), (leaves.len() as u64, root));
    }
}
