//! Rows of usual size, all different.

use cxvault::archive::digest::Digest;
use cxvault::archive::observation::{Observation, Status};
use cxvault::archive::row::Row;
use cxvault::archive::segment::Segment;

const RUN: &str = "20261121T031500Z-0a1b2c3d";

fn look(n: u64, kind: &str, fetched_at: i64) -> Observation {
    let text = format!(
        "The customer called about invoice {n:08}. The {kind} reviewed account {:x}, explained the next steps, and \
         created follow-up {}. The customer agreed to wait until the {}th.",
        n.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        n.wrapping_mul(7),
        n % 28 + 1
    );
    Observation {
        status: Status::Present,
        sha256: Some(Digest::of(text.as_bytes())),
        summary: Some(text),
        binary: None,
        http_status: Some(200),
        content_type: Some("text/plain;charset=UTF-8".to_owned()),
        fetched_at: Some(fetched_at),
        server_date: Some(fetched_at / 1_000 * 1_000),
        attempts: 1,
        error: None,
        observed_by: RUN.to_owned(),
    }
}

/// The `n`-th segment, which ended at `end` and whose summaries were asked for from `asked` on (UTC milliseconds).
pub fn row(n: u64, end: i64, asked: i64) -> Row {
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
    // Two requests a second; a day of any size is asked for within a day.
    let fetched_at = asked + (n % 172_000) as i64 * 500;
    Row {
        segment: Segment::read(raw),
        other_answers: None,
        out_of_day: false,
        agent: look(n, "agent", fetched_at),
        auto: look(n + 1, "assistant", fetched_at + 250),
        revision: 1,
        discovered_at: asked,
        discovered_by: RUN.to_owned(),
        vanished: false,
    }
}
