//! Transcripts and recordings.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::simulator::answer::Answer;
use crate::simulator::login::authorized;
use crate::simulator::metadata::{has_recording, has_transcript};
use crate::simulator::quota::Quota;
use crate::simulator::request::decode;
use crate::simulator::server::{ServerState, SimulatedCall};
use crate::simulator::texts::{SimulatedKind, ordinary};
use crate::simulator::time::timestamp;
use crate::simulator::world::{SegmentText, SimulatedSegment};

/// `GET .../transcripts/dialogs/{dialogId}/segments/{segmentId}`; `path` is the account, the sub-account, the dialog
/// and the segment.
pub(super) fn transcript(
    state: &ServerState,
    call: &SimulatedCall,
    path: [&str; 4],
) -> Result<Answer, Answer> {
    let segment = find(state, call, path, &state.transcript_quota, has_transcript)?;
    let mut dice = state.world.dice(SegmentText::Transcript, &segment);
    let count = 2 + dice.below(20) as i64;
    let step_ms = (segment.end_ms - segment.start_ms) / count;
    let messages = (0..count).map(|n| {
        let agent = n % 2 == 0;
        json!({
            "participantId": if agent { "1400001" } else { "contact" },
            "participantName": if agent { json!("Agent") } else { Value::Null },
            "participantType": if agent { "AGENT" } else { "CONTACT" },
            "rcUserId": agent.then_some(62_000_000_004_u64),
            "timestamp": format!("{:.3}", timestamp(segment.start_ms + n * step_ms)),
            "message": ordinary(&mut dice, SimulatedKind::Agent, segment.voice),
        })
    });
    let messages: Vec<Value> = messages.collect();
    let class = if segment.voice { "VOICE" } else { "DIGITAL" };
    let answer = json!({ "channelClass": class, "transcript": messages, "errorCode": null, "errorMessage": null });
    Ok(Answer::json(StatusCode::OK, &answer))
}

/// `GET .../recordings/dialogs/{dialogId}/segments/{segmentId}`: a second of silence.
pub(super) fn recording(
    state: &ServerState,
    call: &SimulatedCall,
    path: [&str; 4],
) -> Result<Answer, Answer> {
    find(state, call, path, &state.recording_quota, has_recording)?;
    Ok(Answer::new(StatusCode::OK, "audio/wav", silence()))
}

fn find(
    state: &ServerState,
    call: &SimulatedCall,
    [rc_account, sub_account, dialog, segment]: [&str; 4],
    quota: &Quota,
    has: fn(&SimulatedSegment) -> bool,
) -> Result<SimulatedSegment, Answer> {
    let login = authorized(state, call)?;
    state.admit(quota, login, call)?;
    let world = &state.world;
    let sub = world.sub_account(sub_account).filter(|sub| !sub.denied);
    let Some(sub) = sub.filter(|_| rc_account == state.options.rc_account_id) else {
        return Err(state.access_denied(call));
    };
    let now_ms = state.time.now_ms();
    let found = decode(segment, false).and_then(|id| world.find(sub, &id));
    let of_dialog =
        |segment: &SimulatedSegment| Some(world.dialog_id(segment)) == decode(dialog, false);
    let found = found.filter(|segment| segment.end_ms <= now_ms && world.retained(segment, now_ms));
    found
        .filter(|segment| of_dialog(segment) && has(segment))
        .ok_or_else(|| {
            state.error(
                StatusCode::NOT_FOUND,
                "not.found",
                "There is none for this segment",
                call,
            )
        })
}

/// A WAV file of one second, 8 kHz, 8 bits, mono.
fn silence() -> Vec<u8> {
    const RATE: u32 = 8_000;
    let mut wav = Vec::with_capacity(44 + RATE as usize);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + RATE).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&RATE.to_le_bytes());
    wav.extend_from_slice(&RATE.to_le_bytes());
    wav.extend_from_slice(b"\x01\0\x08\0data");
    wav.extend_from_slice(&RATE.to_le_bytes());
    wav.resize(44 + RATE as usize, 0x80);
    wav
}
