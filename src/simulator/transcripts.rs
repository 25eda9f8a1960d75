//! Transcripts and recordings. Whether a segment has either is what discovery says in `hasTranscript` and
//! `hasRecording`.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::simulator::answer::Answer;
use crate::simulator::login::authorized;
use crate::simulator::metadata::{has_recording, has_transcript};
use crate::simulator::quota::Quota;
use crate::simulator::request::decode;
use crate::simulator::state::{DialogPath, ServerState, SimulatedCall};
use crate::simulator::texts::{SimulatedKind, ordinary};
use crate::simulator::time::timestamp;
use crate::simulator::world::{Decision, SimulatedSegment};

/// `GET .../transcripts/dialogs/{dialogId}/segments/{segmentId}`: 2 to 21 messages.
///
/// # Errors
/// The refusal: 401, 403, 404 or 429.
pub(super) fn transcript(
    state: &ServerState,
    call: &SimulatedCall,
    path: DialogPath<'_>,
) -> Result<Answer, Answer> {
    let segment = find(state, call, path, &state.transcript_quota, has_transcript)?;
    let mut dice = state.world.dice(Decision::Transcript, &segment);
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

/// `GET .../recordings/dialogs/{dialogId}/segments/{segmentId}`: one second of silence.
///
/// # Errors
/// The refusal: 401, 403, 404 or 429.
pub(super) fn recording(
    state: &ServerState,
    call: &SimulatedCall,
    path: DialogPath<'_>,
) -> Result<Answer, Answer> {
    find(state, call, path, &state.recording_quota, has_recording)?;
    Ok(Answer::new(StatusCode::OK, "audio/wav", silence()))
}

/// Checks token, quota and access, and returns the segment if `has` says that it has what was requested.
///
/// The dialog in the path must be the segment's own. Unlike the real API, nothing is available later than the segment
/// itself.
fn find(
    state: &ServerState,
    call: &SimulatedCall,
    path: DialogPath<'_>,
    quota: &Quota,
    has: fn(&SimulatedSegment) -> bool,
) -> Result<SimulatedSegment, Answer> {
    let login = authorized(state, call)?;
    state.admit(quota, login, call)?;
    let world = &state.world;
    let sub = world
        .sub_account(path.sub_account)
        .filter(|sub| !sub.denied && path.rc_account == state.options.rc_account_id)
        .ok_or_else(|| state.access_denied(call))?;
    let now_ms = state.time.now_ms();
    decode(path.segment, false)
        .and_then(|id| world.find(sub, &id))
        .filter(|segment| world.is_available(segment, now_ms) && has(segment))
        .filter(|segment| Some(world.dialog_id(segment)) == decode(path.dialog, false))
        .ok_or_else(|| state.not_found("There is none for this segment", call))
}

/// Returns a WAV file of one second: 8 kHz, 8 bits, mono.
fn silence() -> Vec<u8> {
    const RATE: u32 = 8_000;
    let mut wav = Vec::with_capacity(44 + RATE as usize);
    // Header: length of the rest, format PCM, one channel, rate, bytes a second, block size, bits; then the samples,
    // whose zero is 0x80.
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
