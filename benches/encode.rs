//! Rows a second through the encoder, re-reading included, and bytes a segment.
#![allow(clippy::disallowed_methods)]

use std::time::Instant;

use bytes::Bytes;
use cxvault::archive::day::Window;
use cxvault::archive::digest::Digest;
use cxvault::archive::observation::{Observation, Status};
use cxvault::archive::part::{PartReader, PartWriter, Place};
use cxvault::archive::row::Row;
use cxvault::archive::segment::Segment;

fn look(n: u64, kind: &str) -> Observation {
    let text = format!(
        "The customer called about invoice {n:08}. The {kind} reviewed account {:x}, explained the next steps, and \
         created follow-up {}. The customer agreed to wait until the {}th.",
        n.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        n * 7,
        n % 28 + 1
    );
    Observation {
        status: Status::Present,
        sha256: Some(Digest::of(text.as_bytes())),
        summary: Some(text),
        binary: None,
        http_status: Some(200),
        content_type: Some("text/plain;charset=UTF-8".to_owned()),
        fetched_at: Some(1_763_683_200_000 + n as i64 * 500),
        server_date: Some(1_763_683_200_000 + n as i64 * 500 / 1_000 * 1_000),
        attempts: 1,
        error: None,
        observed_by: "20261121T031500Z-0a1b2c3d".to_owned(),
    }
}

fn row(n: u64) -> Row {
    let end = 1_763_596_800_000 + n as i64 * 80;
    let id = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let time = |ms: i64| cxvault::archive::day::rfc3339(ms);
    let raw = format!(
        r#"{{"subAccountId":"99999999","dialogId":"v-{id:016x}","interactionId":"{id:032x}","channelType":"VOICE","channelClass":"VOICE","contactEndpointAddress":"+1555{:07}","dialogOrigination":"INBOUND","dialogStartTimeMs":"{}","segmentId":"p-v-{id:032x}-{end}-{:x}","segmentType":"AGENT","segmentStartTimeMs":"{}","segmentEndTimeMs":"{}","segmentDurationMs":{},"segmentAgentGroupId":"{}","hasRecording":true,"hasTranscript":false,"segmentEvents":null}}"#,
        n % 10_000_000,
        time(end - 300_000),
        id >> 20,
        time(end - 240_000),
        time(end),
        240_000 + n % 60_000,
        4_101 + n % 6
    );
    Row {
        segment: Segment::read(raw),
        other_answers: None,
        out_of_day: false,
        agent: look(n, "agent"),
        auto: look(n + 1, "assistant"),
        revision: 1,
        discovered_at: 1_763_700_000_000,
        discovered_by: "20261121T031500Z-0a1b2c3d".to_owned(),
        vanished: false,
    }
}

fn main() {
    let rows: u64 = 200_000;
    let made: Vec<Row> = (0..rows).map(row).collect();
    let place = Place {
        archive_id: "0".repeat(32),
        window: Window { start_ms: 1_763_596_800_000, end_ms: 1_763_683_200_000 },
        zone: "UTC".to_owned(),
    };
    for _ in 0..3 {
        let given = made.clone();
        let begun = Instant::now();
        let mut writer = PartWriter::new(Vec::new()).unwrap();
        given.into_iter().for_each(|row| writer.push(row).unwrap());
        let (file, _) = writer.finish("segments/v1/bench.parquet", &place, None).unwrap();
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
