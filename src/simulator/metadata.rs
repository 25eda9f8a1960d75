//! A segment as discovery's JSON shows it (v1 names), with the nulls, absent fields and unknown fields of a real one.
//!
//! Objects are written field by field, not through a JSON tree: benchmarks request days of a million segments.
//! All phone numbers and addresses are from ranges reserved for fiction.

use std::io::Write as _;

use crate::simulator::dice::Dice;
use crate::simulator::time::timestamp;
use crate::simulator::world::{Decision, SimulatedSegment, SimulatedSubAccount, World};

/// Which version of an object discovery shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ObjectState {
    /// It is a repeat, and differs from the object shown first.
    pub(super) repeated: bool,
    /// It has been edited in the source meanwhile.
    pub(super) edited: bool,
}

/// Channel types of digital interactions.
const DIGITAL: [&str; 3] = ["EMAIL", "MESSENGER", "ENGAGE_MESSAGING"];
/// What agents choose at the end of a call.
const DISPOSITIONS: [&str; 6] = [
    "Resolved",
    "Follow-up",
    "Callback scheduled",
    "Escalated",
    "Wrong number",
    "Refund \u{2013} partial",
];
/// What agents type: quotes, arrows, line ends, tabs, accents and backslashes must survive JSON.
const NOTES: [&str; 5] = [
    "spoke with spouse, not account holder",
    "call back after 5 pm",
    "says \"urgent\" \u{2192} prioritise",
    "line 1\nline 2\ttabbed",
    "\u{00c9}l\u{00e8}ve, caf\u{00e9} n\u{00b0} 7 \\ see C:\\notes",
];

/// Writes a JSON object field by field.
struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Whether no member has been written.
    first: bool,
}

impl ObjectWriter<'_> {
    /// Writes a member's name, with the brace or comma before it.
    fn name(&mut self, name: &str) {
        self.out.push(if self.first { b'{' } else { b',' });
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Writes a field whose value is given as JSON.
    fn raw(&mut self, name: &str, json: std::fmt::Arguments<'_>) {
        self.name(name);
        // Writing into memory cannot fail.
        let _ = self.out.write_fmt(json);
    }

    /// Writes a string, escaped.
    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        let _ = serde_json::to_writer(&mut *self.out, text);
    }

    /// Writes a string that needs no escaping.
    fn plain(&mut self, name: &str, text: std::fmt::Arguments<'_>) {
        self.raw(name, format_args!("\"{text}\""));
    }

    fn null(&mut self, name: &str) {
        self.raw(name, format_args!("null"));
    }

    /// Writes a time as ISO 8601 with milliseconds and `Z`, which the API uses despite the `Ms` of the names.
    fn time(&mut self, name: &str, ms: i64) {
        self.plain(name, format_args!("{:.3}", timestamp(ms)));
    }
}

impl World {
    /// Appends to `out` the object that discovery shows for `segment`.
    ///
    /// The values depend on the segment alone, and on `version` where it says that they differ. About one object in
    /// seven has `futureField`, which no version of the API documents: clients must retain it.
    pub(super) fn write_object(
        &self,
        out: &mut Vec<u8>,
        sub: &SimulatedSubAccount,
        segment: &SimulatedSegment,
        version: ObjectState,
    ) {
        let mut dice = self.dice(Decision::Metadata, segment);
        let mut object = ObjectWriter { out, first: true };
        object.text("subAccountId", &sub.id);
        self.write_dialog(&mut object, segment);
        match self.has_no_id(segment) {
            true => object.null("segmentId"),
            false => object.plain("segmentId", format_args!("{}", self.id(sub, segment))),
        }
        write_participant(&mut object, segment, &mut dice);
        self.write_times(&mut object, segment);
        write_outcome(&mut object, &mut dice, version);
        write_events(&mut object, segment, &mut dice);
        if dice.percent(15.0) {
            object.raw(
                "futureField",
                format_args!(
                    r#"{{"score":{},"tags":["a","b"],"none":null}}"#,
                    dice.below(100)
                ),
            );
        }
        object.out.push(b'}');
    }

    /// Writes the fields that all segments of a dialog have in common.
    fn write_dialog(&self, object: &mut ObjectWriter<'_>, segment: &SimulatedSegment) {
        // By the dialog, not by the segment: a call that was handed on has the same customer and channel.
        let mut dice = Dice::new(&[segment.dialog, Decision::Metadata as u64]);
        let id = self.dialog_id(segment);
        object.plain("dialogId", format_args!("{id}"));
        object.plain(
            "interactionId",
            format_args!("{id}-{:04x}", dice.below(65_536)),
        );
        object.plain("channelId", format_args!("{}", 20_000 + dice.below(40)));
        let channel = if segment.voice {
            "VOICE"
        } else {
            dice.pick(&DIGITAL)
        };
        object.plain("channelType", format_args!("{channel}"));
        object.plain(
            "channelClass",
            format_args!("{}", if segment.voice { "VOICE" } else { "DIGITAL" }),
        );
        match dice.below(50) {
            0 => {}
            1 => object.null("channelEndpointAddress"),
            n => object.plain(
                "channelEndpointAddress",
                format_args!("+1650555{:04}", n * 7),
            ),
        }
        // 555-01xx numbers and example.com are reserved for fiction (RFC 2606 for the domain).
        match (channel, dice.below(200)) {
            (_, 0) => object.null("contactEndpointAddress"),
            ("VOICE", n) => object.plain(
                "contactEndpointAddress",
                format_args!("+1{}55501{:02}", 201 + n * 3, n / 2),
            ),
            ("EMAIL", n) => object.plain(
                "contactEndpointAddress",
                format_args!("customer{n}@example.com"),
            ),
            (_, _) => object.plain(
                "contactEndpointAddress",
                format_args!("{:016x}", dice.next()),
            ),
        }
        let origination = if dice.percent(75.0) {
            "INBOUND"
        } else {
            "OUTBOUND"
        };
        object.plain("dialogOrigination", format_args!("{origination}"));
        object.time("dialogStartTimeMs", segment.dialog_start_ms);
    }

    /// Writes the end of the dialog, and start, end and length of the segment. Where the end is missing, it is null for
    /// every second segment and absent for the others, since clients must treat both alike.
    fn write_times(&self, object: &mut ObjectWriter<'_>, segment: &SimulatedSegment) {
        let dialog_ms = segment.dialog_end_ms - segment.dialog_start_ms;
        object.time("dialogEndTimeMs", segment.dialog_end_ms);
        object.raw("dialogDurationMs", format_args!("{dialog_ms}"));
        object.time("segmentStartTimeMs", segment.start_ms);
        match (
            self.has_no_end(segment),
            segment.position.index.is_multiple_of(2),
        ) {
            (true, true) => object.null("segmentEndTimeMs"),
            (true, false) => {}
            (false, _) => object.time("segmentEndTimeMs", segment.end_ms),
        }
        object.raw(
            "segmentDurationMs",
            format_args!("{}", segment.end_ms - segment.start_ms),
        );
    }
}

/// Writes the agent, IVR or bot of the segment, and the agent group.
fn write_participant(object: &mut ObjectWriter<'_>, segment: &SimulatedSegment, dice: &mut Dice) {
    let kind = match dice.below(100) {
        0..88 => "AGENT",
        88..95 => "IVR",
        _ => "BOT",
    };
    object.plain("segmentType", format_args!("{kind}"));
    let agent = dice.below(60);
    object.plain(
        "segmentParticipantId",
        format_args!("{}", 1_400_000 + agent),
    );
    match (kind, agent) {
        ("AGENT", 0..5) => object.null("segmentParticipantRcExtensionId"),
        ("AGENT", _) => object.plain(
            "segmentParticipantRcExtensionId",
            format_args!("{}", 62_000_000_004 + agent * 4096),
        ),
        _ => {}
    }
    object.plain(
        "segmentAgentGroupId",
        format_args!("{}", segment.agent_group),
    );
}

/// Writes dispositions and notes, the fields that are edited after a call.
fn write_outcome(object: &mut ObjectWriter<'_>, dice: &mut Dice, version: ObjectState) {
    let system = dice.pick(&[
        "HANDLED",
        "HANDLED",
        "HANDLED",
        "ABANDONED",
        "DEFLECTED",
        "TRANSFERRED",
    ]);
    object.plain("systemDisposition", format_args!("{system}"));
    let (disposition, notes) = (dice.below(10), dice.below(20));
    match (version, disposition) {
        (ObjectState { edited: true, .. }, _) => {
            object.text("agentDisposition", "Resolved after review")
        }
        (ObjectState { repeated: true, .. }, _) => {
            object.text("agentDisposition", "Wrap-up completed")
        }
        (_, 0) => object.null("agentDisposition"),
        (_, 1) => {}
        (_, n) => object.text(
            "agentDisposition",
            DISPOSITIONS[n as usize % DISPOSITIONS.len()],
        ),
    }
    match notes {
        n @ 0..5 => object.text("agentNotes", NOTES[n as usize]),
        5..10 => object.null("agentNotes"),
        10 => object.text("agentNotes", ""),
        _ => {}
    }
}

/// Writes the recording flags and the recording's events.
fn write_events(object: &mut ObjectWriter<'_>, segment: &SimulatedSegment, dice: &mut Dice) {
    let recorded = has_recording(segment);
    object.raw("hasRecording", format_args!("{recorded}"));
    object.raw("hasTranscript", format_args!("{}", has_transcript(segment)));
    if !recorded {
        return if dice.percent(70.0) {
            object.null("segmentEvents")
        };
    }
    let start = event(segment.start_ms, "REC_START");
    let stop = event(segment.end_ms, "REC_STOP");
    object.raw("segmentEvents", format_args!("[{start},{stop}]"));
}

/// Returns an element of `segmentEvents`.
fn event(ms: i64, name: &str) -> String {
    let time = timestamp(ms);
    format!(r#"{{"eventTimeMs":"{time:.3}","clientEventTimeMs":"{time:.3}","eventType":"{name}"}}"#)
}

/// Returns whether a recording of the segment exists: of 60 % of the calls.
pub(super) fn has_recording(segment: &SimulatedSegment) -> bool {
    segment.voice && segment.key % 10 < 6
}

/// Returns whether a transcript of the segment exists: of 75 % of the segments.
pub(super) fn has_transcript(segment: &SimulatedSegment) -> bool {
    !segment.key.is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::simulator::options::{Faults, SimulatorOptions};
    use crate::simulator::world::Position;

    fn objects(faults: Faults, version: ObjectState) -> Vec<Value> {
        let world = World::new(&SimulatorOptions {
            faults,
            ..SimulatorOptions::default()
        });
        let sub = &world.sub_accounts[0];
        let object = |index| {
            let mut out = Vec::new();
            world.write_object(
                &mut out,
                sub,
                &world.segment(sub, Position { day: 20_777, index }),
                version,
            );
            serde_json::from_slice(&out).unwrap()
        };
        (0..400).map(object).collect()
    }

    #[test]
    fn objects_are_json_with_nulls_gaps_and_unknown_fields() {
        let objects = objects(Faults::default(), ObjectState::default());
        let some = |what: &dyn Fn(&Value) -> bool| objects.iter().any(what);
        assert!(
            some(&|object| object["channelClass"] == "DIGITAL")
                && some(&|object| object["channelClass"] == "VOICE")
        );
        assert!(some(&|object| object.get("agentNotes").is_none()));
        assert!(some(&|object| object
            .get("agentNotes")
            .is_some_and(Value::is_null)));
        assert!(some(&|object| object["agentNotes"]
            .as_str()
            .is_some_and(|notes| notes.contains('\n'))));
        assert!(some(&|object| object.get("futureField").is_some()));
        assert!(some(&|object| object["segmentEvents"]
            .as_array()
            .is_some_and(|events| events.len() == 2)));
        let end = objects[0]["segmentEndTimeMs"].as_str().unwrap();
        assert!(end.len() == 24 && end.ends_with('Z'), "{end}");
    }

    #[test]
    fn a_repeat_and_an_edit_differ_from_the_first_showing() {
        let (first, edited) = (
            ObjectState::default(),
            ObjectState {
                edited: true,
                repeated: false,
            },
        );
        let repeated = ObjectState {
            repeated: true,
            edited: false,
        };
        for (a, b) in objects(Faults::default(), first)
            .iter()
            .zip(objects(Faults::default(), edited))
        {
            assert_eq!(a["segmentId"], b["segmentId"]);
            assert_ne!(*a, b);
        }
        assert_ne!(
            objects(Faults::default(), first),
            objects(Faults::default(), repeated)
        );
    }

    #[test]
    fn ids_and_ends_can_be_missing() {
        let faults = Faults {
            no_id: 100.0,
            no_end: 100.0,
            ..Faults::default()
        };
        let objects = objects(faults, ObjectState::default());
        assert!(
            objects
                .iter()
                .all(|object| object["segmentId"].is_null() && object["segmentEndTimeMs"].is_null())
        );
        assert!(
            objects[0].get("segmentEndTimeMs").is_some()
                && objects[1].get("segmentEndTimeMs").is_none()
        );
    }
}
