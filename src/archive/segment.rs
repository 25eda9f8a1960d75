//! One object of a discovery answer, typed as far as it can be, and kept verbatim.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::day::parse_rfc3339;
use super::digest::Digest;

/// What a segment's object says, field by field as the API documents them (RingCX Reports API).
///
/// Every field may be null, absent, or of a type that nobody announced: then it is `None` here, and whatever
/// came stands in [`Segment::raw`]. Times are UTC milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    pub segment_id: Option<String>,
    pub dialog_id: Option<String>,
    pub interaction_id: Option<String>,
    pub sub_account_id: Option<String>,
    pub channel_id: Option<String>,
    pub channel_type: Option<String>,
    pub channel_class: Option<String>,
    pub channel_endpoint_address: Option<String>,
    pub contact_endpoint_address: Option<String>,
    pub dialog_origination: Option<String>,
    pub dialog_start_time: Option<i64>,
    pub dialog_end_time: Option<i64>,
    pub dialog_duration_ms: Option<i64>,
    pub segment_type: Option<String>,
    pub segment_participant_id: Option<String>,
    pub segment_participant_rc_extension_id: Option<String>,
    pub segment_start_time: Option<i64>,
    pub segment_end_time: Option<i64>,
    pub segment_duration_ms: Option<i64>,
    pub segment_agent_group_id: Option<String>,
    pub system_disposition: Option<String>,
    pub agent_disposition: Option<String>,
    pub agent_notes: Option<String>,
    pub has_recording: Option<bool>,
    pub has_transcript: Option<bool>,
    /// The array's JSON text, verbatim.
    pub segment_events: Option<String>,
}

/// One segment as discovery gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The object's bytes, verbatim.
    pub raw: String,
    pub metadata: Metadata,
}

impl Segment {
    /// Types what can be typed; nothing in `raw` makes this fail.
    pub fn read(raw: String) -> Segment {
        let metadata = Metadata::read(&raw);
        Segment { raw, metadata }
    }

    /// What a segment is known by across all days: its id, or `sha256:` and the hash of its object.
    pub fn key(&self) -> String {
        match &self.metadata.segment_id {
            Some(id) => id.clone(),
            None => format!("sha256:{}", Digest::of(self.raw.as_bytes())),
        }
    }
}

/// RFC 8785's form of a JSON text, so that two spellings of the same object compare equal.
/// A text that has no such form (a lone surrogate, a number beyond a double) stands for itself.
pub fn canonical_json(text: &str) -> Vec<u8> {
    let value: Result<serde_json::Value, _> = serde_json::from_str(text);
    let canonical = value.and_then(|value| serde_json_canonicalizer::to_vec(&value));
    canonical.unwrap_or_else(|_| text.as_bytes().to_vec())
}

impl Metadata {
    fn read(raw: &str) -> Metadata {
        let fields: Fields = serde_json::from_str(raw).unwrap_or_default();
        Metadata {
            segment_id: fields.text("segmentId").filter(|id| !id.is_empty()),
            dialog_id: fields.text("dialogId"),
            interaction_id: fields.text("interactionId"),
            sub_account_id: fields.text("subAccountId"),
            channel_id: fields.text("channelId"),
            channel_type: fields.text("channelType"),
            channel_class: fields.text("channelClass"),
            channel_endpoint_address: fields.text("channelEndpointAddress"),
            contact_endpoint_address: fields.text("contactEndpointAddress"),
            dialog_origination: fields.text("dialogOrigination"),
            dialog_start_time: fields.time("dialogStartTimeMs"),
            dialog_end_time: fields.time("dialogEndTimeMs"),
            dialog_duration_ms: fields.integer("dialogDurationMs"),
            segment_type: fields.text("segmentType"),
            segment_participant_id: fields.text("segmentParticipantId"),
            segment_participant_rc_extension_id: fields.text("segmentParticipantRcExtensionId"),
            segment_start_time: fields.time("segmentStartTimeMs"),
            segment_end_time: fields.time("segmentEndTimeMs"),
            segment_duration_ms: fields.integer("segmentDurationMs"),
            segment_agent_group_id: fields.text("segmentAgentGroupId"),
            system_disposition: fields.text("systemDisposition"),
            agent_disposition: fields.text("agentDisposition"),
            agent_notes: fields.text("agentNotes"),
            has_recording: fields.boolean("hasRecording"),
            has_transcript: fields.boolean("hasTranscript"),
            segment_events: fields.verbatim("segmentEvents"),
        }
    }
}

/// The fields that are typed, by the API's names.
const NAMES: [&str; 26] = [
    "segmentId",
    "dialogId",
    "interactionId",
    "subAccountId",
    "channelId",
    "channelType",
    "channelClass",
    "channelEndpointAddress",
    "contactEndpointAddress",
    "dialogOrigination",
    "dialogStartTimeMs",
    "dialogEndTimeMs",
    "dialogDurationMs",
    "segmentType",
    "segmentParticipantId",
    "segmentParticipantRcExtensionId",
    "segmentStartTimeMs",
    "segmentEndTimeMs",
    "segmentDurationMs",
    "segmentAgentGroupId",
    "systemDisposition",
    "agentDisposition",
    "agentNotes",
    "hasRecording",
    "hasTranscript",
    "segmentEvents",
];

fn index_of(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

/// An object's fields, still as JSON texts: one that cannot be read must not hide the others. In the order of
/// [`NAMES`]; of a repeated name the last one counts.
#[derive(Default)]
struct Fields<'a>([Option<&'a RawValue>; NAMES.len()]);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Name<'n>(#[serde(borrow)] Cow<'n, str>);

        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
                let mut fields = Fields::default();
                while let Some(Name(name)) = map.next_key()? {
                    let text: &'de RawValue = map.next_value()?;
                    if let Some(index) = index_of(&name) {
                        fields.0[index] = Some(text);
                    }
                }
                Ok(fields)
            }
        }

        from.deserialize_map(Object)
    }
}

impl Fields<'_> {
    fn json(&self, name: &str) -> Option<&str> {
        self.0[index_of(name)?].map(RawValue::get)
    }

    fn verbatim(&self, name: &str) -> Option<String> {
        let text = self.json(name)?;
        (text != "null").then(|| text.to_owned())
    }

    /// A string's content; a number or another value as its JSON text.
    fn text(&self, name: &str) -> Option<String> {
        let text = self.json(name)?;
        match text.as_bytes().first()? {
            b'"' => serde_json::from_str(text).ok(),
            b'n' => None,
            _ => Some(text.to_owned()),
        }
    }

    fn integer(&self, name: &str) -> Option<i64> {
        self.text(name)?.trim().parse().ok()
    }

    fn boolean(&self, name: &str) -> Option<bool> {
        self.text(name)?.trim().parse().ok()
    }

    /// RFC 3339, or milliseconds since the epoch, as the fields' names promise.
    fn time(&self, name: &str) -> Option<i64> {
        let text = self.text(name)?;
        let millis = || text.parse().ok().filter(|&ms| jiff::Timestamp::from_millisecond(ms).is_ok());
        parse_rfc3339(&text).or_else(millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_object_is_typed() {
        let raw = r#"{"segmentId":"p-v-1","segmentEndTimeMs":"2024-07-22T11:24:40.000Z","segmentDurationMs":42000,
            "hasRecording":true,"segmentEvents":[{"eventType":"REC_START"}],"futureField":{"x":1}}"#;
        let segment = Segment::read(raw.to_owned());
        let found = &segment.metadata;
        assert_eq!(segment.key(), "p-v-1");
        assert_eq!(found.segment_end_time, Some(1_721_647_480_000));
        assert_eq!(found.segment_duration_ms, Some(42_000));
        assert_eq!(found.has_recording, Some(true));
        assert_eq!(found.segment_events.as_deref(), Some(r#"[{"eventType":"REC_START"}]"#));
        assert_eq!(segment.raw, raw);
    }

    #[test]
    fn null_absent_and_mistyped_fields_hide_no_others() {
        let raw = r#"{"segmentId":null,"channelType":7,"segmentEndTimeMs":1721647480000,"hasTranscript":"maybe",
            "agentNotes":"cut emoji \ud83d","dialogId":"d"}"#;
        let segment = Segment::read(raw.to_owned());
        assert_eq!(segment.metadata.segment_id, None);
        assert!(segment.key().starts_with("sha256:"));
        assert_eq!(segment.metadata.channel_type.as_deref(), Some("7"));
        assert_eq!(segment.metadata.segment_end_time, Some(1_721_647_480_000));
        assert_eq!(segment.metadata.has_transcript, None);
        assert_eq!(segment.metadata.agent_notes, None, "a lone surrogate has no UTF-8 form");
        assert_eq!(segment.metadata.dialog_id.as_deref(), Some("d"));
    }

    #[test]
    fn spelling_does_not_make_another_object() {
        assert_eq!(canonical_json(r#"{ "b": 1.0, "a": "\u0041" }"#), br#"{"a":"A","b":1}"#);
        assert_eq!(canonical_json(r#"{"a":"\ud800"}"#), br#"{"a":"\ud800"}"#);
    }
}
