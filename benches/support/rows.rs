//! Rows of usual size, all different.

use std::sync::LazyLock;

use cxvault::format::hash::digest::Digest;
use cxvault::format::row::Row;
use cxvault::format::row::observation::{Observation, Status};
use cxvault::format::row::segment::Segment;

const RUN: &str = "20261121T031500Z-0a1b2c3d";

/// What summaries are made of. Drawn evenly they compress about as well as notes of real calls do, 3 to 1: sentences of
/// one template would make files of next to nothing, and whatever reads their rows look slow beside reading the files.
const WORDS: &str = "the a to of and in on for with about after before because that which this their its her his was is \
    were has had will would could should may agent customer caller account invoice payment order delivery address \
    contract subscription device router line number balance refund credit charge fee discount promotion renewal \
    cancellation complaint ticket case follow-up callback appointment technician supervisor manager department \
    warehouse shipment parcel carrier tracking confirmation email message password login portal application website \
    outage signal speed installation upgrade downgrade plan limit roaming data voice summary question issue problem \
    solution error request offer policy document signature identity verification birthday postcode bank card \
    transaction statement period month week day yesterday today tomorrow Monday Tuesday Wednesday Thursday Friday \
    explained asked confirmed declined accepted agreed promised checked updated corrected opened closed escalated \
    transferred reset replaced returned sent received waited called noticed reported described apologised thanked \
    reviewed created scheduled cancelled renewed disputed refunded charged paid shipped lost found broken missing \
    late early wrong correct new old second third twice again already still not never always soon happy upset \
    satisfied frustrated patient several few many more less most other same different next last open pending urgent";

/// Some sentences, some ninety words, the same for the same number.
fn sentences(n: u64, kind: u64) -> String {
    static VOCABULARY: LazyLock<Vec<&str>> = LazyLock::new(|| WORDS.split_whitespace().collect());
    // Hashed, or the next segment's draws would be these, two further on, and compress to nothing.
    let Digest(seed) = Digest::of(&(n << 1 | kind).to_be_bytes());
    let mut state = seed
        .iter()
        .fold(0, |state: u64, byte| state << 8 ^ u64::from(*byte));
    let mut draw = |of: usize| {
        // SplitMix64's step (Steele, Lea, Flood 2014).
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 27)) >> 33) as usize % of
    };
    let mut text = format!("Case {n:08}.");
    for _ in 0..6 + draw(5) {
        for word in 0..7 + draw(9) {
            text.push_str(if word == 0 { " The " } else { " " });
            text.push_str(VOCABULARY[draw(VOCABULARY.len())]);
        }
        text.push('.');
    }
    text
}

fn look(n: u64, kind: u64, fetched_at: i64) -> Observation {
    let text = sentences(n, kind);
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
    let time = |ms: i64| cxvault::format::time::day::rfc3339(ms);
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
        agent: look(n, 0, fetched_at),
        auto: look(n, 1, fetched_at + 250),
        revision: 1,
        discovered_at: asked,
        discovered_by: RUN.to_owned(),
        vanished: false,
    }
}
