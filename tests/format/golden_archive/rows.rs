//! The rows of the golden archive: every status, strange texts, and segments that are late, edited,
//! vanished, or without an id.

use cxvault::format::hash::digest::Digest;
use cxvault::format::row::Row;
use cxvault::format::row::observation::{Observation, Status};
use cxvault::format::row::segment::Segment;
use cxvault::format::time::day::Window;
use cxvault::format::time::instant::Instant;

const RUN: &str = "20261121T031500Z-0a1b2c3d";

/// The time at which most summaries of 2026-11-20 were fetched.
const AT: i64 = 1_795_230_000_123;

pub fn instant(text: &str) -> i64 {
    Instant::parse(text).unwrap().as_millis()
}

pub fn look(status: Status, text: &str, at: i64) -> Observation {
    let ok = matches!(status, Status::Present | Status::Empty | Status::Binary);
    let binary = status == Status::Binary;
    Observation {
        status,
        summary: (ok && !binary).then(|| text.to_owned()),
        binary: binary.then(|| "/wD+".to_owned()),
        sha256: ok.then(|| {
            if binary {
                Digest::of(&[0xff, 0x00, 0xfe])
            } else {
                Digest::of(text.as_bytes())
            }
        }),
        http_status: match status {
            Status::NotFound => Some(404),
            Status::Failed => Some(500),
            _ => ok.then_some(200),
        },
        content_type: ok.then(|| "text/plain;charset=UTF-8".to_owned()),
        fetched_at: status.is_answer().then_some(at),
        server_date: status.is_answer().then_some(at - at % 1_000),
        attempts: match status {
            Status::Failed => 6,
            Status::Skipped | Status::NoId => 0,
            _ => 1,
        },
        error: (status == Status::Failed).then(|| "http_500".to_owned()),
        observed_by: RUN.to_owned(),
    }
}

/// A failure without an answer.
fn timed_out() -> Observation {
    Observation {
        http_status: None,
        error: Some("timeout".to_owned()),
        ..look(Status::Failed, "", 0)
    }
}

/// Returns a row of a first revision.
pub fn row(raw: &str, window: Window, agent: Observation, auto: Observation) -> Row {
    let segment = Segment::read(raw.to_owned());
    let end = segment.metadata.segment_end_time;
    Row {
        out_of_day: !end.is_some_and(|end| window.contains(end)),
        segment,
        other_answers: None,
        agent,
        auto,
        revision: 1,
        discovered_at: window.end_ms + 7_200_000,
        discovered_by: RUN.to_owned(),
        vanished: false,
    }
}

const SECOND: &str = r#"{ "segmentId" : "p-v-2", "segmentEndTimeMs":"2026-11-20T08:00:00.000Z", "hasRecording": true,
  "segmentEvents":[{"eventTimeMs":"2026-11-20T07:59:00.000Z","eventType":"REC_STOP"}], "future": {"x": 1.50} }"#;
const FOURTH: &str = r#"{"segmentId":"p-v-4","segmentEndTimeMs":"2026-11-20T23:59:59.999Z","segmentAgentGroupId":"4101"}"#;

/// 2026-11-20: every status, strange texts, a segment without id and without end, and one that
/// belongs to another day.
pub fn first(window: Window) -> Vec<Row> {
    let bare = |status| look(status, "", AT);
    let row = |raw, agent, auto| row(raw, window, agent, auto);
    let strange =
        "Zeile 1\nZeile 2\t\u{1F600} \u{5e9}\u{5dc}\u{5d5}\u{5dd} \"quoted\" \\ \u{7f}\u{1}";
    vec![
        row(
            r#"{"note":"no id, no end"}"#,
            bare(Status::NoId),
            bare(Status::NoId),
        ),
        row(
            r#"{"segmentId":"p-v-1","segmentEndTimeMs":"2026-11-19T23:00:00.000Z"}"#,
            bare(Status::Skipped),
            bare(Status::Skipped),
        ),
        row(
            SECOND,
            look(Status::Present, strange, AT),
            bare(Status::Binary),
        ),
        row(
            r#"{"segmentId":"p-v-3","segmentEndTimeMs":"2026-11-20T09:00:00.000Z","segmentAgentGroupId":"4101"}"#,
            bare(Status::Empty),
            bare(Status::NotFound),
        ),
        row(FOURTH, bare(Status::Failed), bare(Status::Failed)),
    ]
}

/// The second revision of 2026-11-20: both gaps are filled, and discovery had returned two objects
/// for the segment.
pub fn filled(window: Window) -> Vec<Row> {
    let (agent, auto) = (
        look(Status::Present, "Filled later.", AT),
        look(Status::Empty, "", AT + 9),
    );
    let other_answers = Some(r#"[{"segmentId":"p-v-4","future":1}]"#.to_owned());
    vec![Row {
        other_answers,
        revision: 2,
        ..row(FOURTH, window, agent, auto)
    }]
}

/// The third revision of 2026-11-20, a recheck: one segment has vanished, one has another text, one
/// lost its text and has other metadata, one got a text, and one is late.
pub fn rechecked(window: Window) -> Vec<Row> {
    let at = instant("2026-11-28T03:10:00.000Z");
    let mut before = first(window);
    let gone = Row {
        vanished: true,
        ..before.remove(1)
    };
    let again = |raw, agent, auto| Row {
        discovered_at: instant("2026-11-28T03:01:00.000Z"),
        discovered_by: "20261128T030000Z-4e5f6071".to_owned(),
        ..row(raw, window, agent, auto)
    };
    let rows = [
        gone,
        again(
            &SECOND.replace("1.50", "2"),
            look(Status::Present, "Another text.", at),
            look(Status::Empty, "", at + 5),
        ),
        again(
            &before[2].segment.raw,
            look(Status::Present, "At last.", at),
            look(Status::Empty, "", at + 6),
        ),
        again(
            r#"{"segmentId":"p-v-5","segmentEndTimeMs":"2026-11-20T10:00:00.000Z","segmentAgentGroupId":"4102"}"#,
            look(Status::Present, "Late.", at),
            look(Status::NotFound, "", at),
        ),
    ];
    rows.into_iter()
        .map(|row| Row { revision: 3, ..row })
        .collect()
}

/// What discovery lists then and the next day: all segments but the vanished one.
pub fn listed_again(window: Window) -> Vec<Row> {
    let without_id = first(window).swap_remove(0);
    [
        vec![without_id],
        rechecked(window).split_off(1),
        filled(window),
    ]
    .concat()
}

/// A day that is disposed of later.
pub fn short_lived(window: Window) -> Vec<Row> {
    let at = window.end_ms + 8_000_000;
    let raw = r#"{"segmentId":"p-v-20","segmentEndTimeMs":"2026-11-22T12:00:00.000Z","segmentAgentGroupId":"4101"}"#;
    vec![row(
        raw,
        window,
        look(Status::Present, "Soon gone.", at),
        look(Status::Present, "So is this.", at),
    )]
}

/// Returns an object with every documented field, in the API's own spelling.
const FULL: &str = r#"{"segmentId":"p-v-30","dialogId":"d-30","interactionId":"i-30","subAccountId":"99999999","channelId":"ch-1","channelType":"INBOUND","channelClass":"VOICE","channelEndpointAddress":"+15550100","contactEndpointAddress":"+15550199","dialogOrigination":"INBOUND","dialogStartTimeMs":"2026-11-23T07:50:00.000Z","dialogEndTimeMs":"2026-11-23T08:00:01.500Z","dialogDurationMs":601500,"segmentType":"AGENT","segmentParticipantId":"a-7","segmentParticipantRcExtensionId":"101","segmentStartTimeMs":1795420260000,"segmentEndTimeMs":1795420800000,"segmentDurationMs":540000,"segmentAgentGroupId":"4101","systemDisposition":"ANSWERED","agentDisposition":"Resolved","agentNotes":"Called back.","hasRecording":true,"hasTranscript":false,"segmentEvents":[]}"#;

/// 2026-11-23, as an attempt stored it that left out no field and was killed.
pub fn adopted(window: Window) -> Vec<Row> {
    let at = window.end_ms + 7_500_000;
    let text = |text| look(Status::Present, text, at);
    let unlisted =
        r#"{"segmentId":"p-v-31","segmentEndTimeMs":"2026-11-23T09:00:00.000Z","agentNotes":null}"#;
    vec![
        row(
            FULL,
            window,
            text("An agent's summary."),
            text("An AI's summary."),
        ),
        row(
            unlisted,
            window,
            look(Status::Empty, "", at),
            look(Status::NotFound, "", at),
        ),
    ]
}

/// What the next attempt found in addition; its settings leave out fields.
pub fn lacking(window: Window) -> Vec<Row> {
    let at = window.end_ms + 9_000_000;
    let raw = r#"{"segmentId":"p-v-32","channelClass":"DIGITAL", "segmentEndTimeMs":"2026-11-23T10:00:00.000Z"}"#;
    let other_answers = Some(r#"[{"segmentId":"p-v-32","segmentEndTimeMs":null}]"#.to_owned());
    let row = row(
        raw,
        window,
        look(Status::Present, "Nobody's number.", at),
        look(Status::Empty, "", at),
    );
    vec![Row {
        other_answers,
        ..row
    }]
}

/// 2026-11-24: three summaries are missing.
pub fn gaps(window: Window) -> Vec<Row> {
    let at = window.end_ms + 8_000_000;
    let raw = |n: u32| {
        format!(
            r#"{{"segmentId":"p-v-4{n}","segmentEndTimeMs":"2026-11-24T1{n}:00:00.000Z","segmentAgentGroupId":"4101"}}"#
        )
    };
    vec![
        row(&raw(0), window, look(Status::Failed, "", at), timed_out()),
        row(
            &raw(1),
            window,
            look(Status::Present, "Came at once.", at),
            look(Status::Failed, "", at),
        ),
        row(
            &raw(2),
            window,
            look(Status::Present, "So did this.", at),
            look(Status::Empty, "", at),
        ),
    ]
}

/// The second revision of 2026-11-24: one of them has arrived.
pub fn one_gap_less(window: Window) -> Vec<Row> {
    let at = instant("2026-12-01T03:00:00.000Z");
    let mut row = gaps(window).remove(1);
    row.auto = look(Status::Present, "Came late.", at);
    row.revision = 2;
    vec![row]
}

/// 2026-11-26, as an attempt stored it whose settings requested less.
pub fn skipped(window: Window) -> Vec<Row> {
    let raw = r#"{"segmentId":"p-v-60","segmentEndTimeMs":"2026-11-26T12:00:00.000Z","segmentAgentGroupId":"4101"}"#;
    vec![row(
        raw,
        window,
        look(Status::Skipped, "", 0),
        look(Status::Skipped, "", 0),
    )]
}

pub fn failed(window: Window) -> Vec<Row> {
    let at = window.end_ms + 8_000_000;
    let raw = r#"{"segmentId":"p-v-61","segmentEndTimeMs":"2026-11-26T13:00:00.000Z"}"#;
    vec![row(
        raw,
        window,
        look(Status::Present, "The only one.", at),
        timed_out(),
    )]
}

/// 2026-11-27, the first day after the takeover.
pub fn after_the_takeover(window: Window) -> Vec<Row> {
    let at = window.end_ms + 8_000_000;
    let row = |raw, agent, auto| row(raw, window, agent, auto);
    vec![
        row(
            r#"{"segmentId":"p-v-70","segmentEndTimeMs":"2026-11-27T12:00:00.000Z","segmentAgentGroupId":"4101"}"#,
            look(Status::Present, "At the new place.", at),
            look(Status::Present, "Here.", at),
        ),
        row(
            r#"{"segmentId":"p-v-71","segmentEndTimeMs":"2026-11-27T12:00:00.000Z"}"#,
            look(Status::Binary, "", at),
            look(Status::Empty, "", at),
        ),
        row(
            r#"{"segmentId":"p-v-72","segmentEndTimeMs":"2026-11-27T12:00:00.001Z"}"#,
            look(Status::NotFound, "", at),
            look(Status::Present, "Alone.", at),
        ),
    ]
}
