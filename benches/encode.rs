//! Rows a second through the encoder, re-reading included, and bytes a segment.
use std::time::Instant;

use crate::support::rows::row;
use bytes::Bytes;
use cxvault::format::part::{PartContext, PartReader, PartWriter};
use cxvault::format::row::Row;
use cxvault::format::time::day::Window;

pub fn run() {
    let rows: u64 = 200_000;
    let start = 1_763_596_800_000;
    let made: Vec<Row> = (0..rows)
        .map(|n| row(n, start + n as i64 * 80, start + 86_400_000))
        .collect();
    let place = PartContext {
        archive_id: "0".repeat(32),
        window: Window {
            start_ms: start,
            end_ms: start + 86_400_000,
        },
        zone: "UTC".to_owned(),
        omitted_fields: Default::default(),
    };
    for _ in 0..3 {
        let given = made.clone();
        let begun = Instant::now();
        let mut writer = PartWriter::new(Vec::new()).unwrap();
        given.into_iter().for_each(|row| writer.push(row).unwrap());
        let (file, _) = writer
            .finish("segments/v1/bench.parquet", &place, None)
            .unwrap();
        let written = begun.elapsed();
        let bytes = file.len();
        let mut part = PartReader::open(Bytes::from(file)).unwrap();
        while part.next_row().unwrap().is_some() {}
        let both = begun.elapsed();
        println!(
            "encode {:>8.0} rows/s; with re-reading {:>8.0} rows/s; {} bytes a segment",
            rows as f64 / written.as_secs_f64(),
            rows as f64 / both.as_secs_f64(),
            bytes as u64 / rows
        );
    }
}
