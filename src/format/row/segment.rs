//! One object of a discovery answer, typed as far as it can be, and kept verbatim.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::format::hash::digest::Digest;
use crate::format::time::day::parse_rfc3339;

/// What a segment's object says, field by field as the API documents them (RingCX Reports API).
///
/// Every field may be null, absent, or of a type that nobody announced: then it is `None` here, and whatever
/// came stands in [`Segment::raw`]. Times are UTC milliseconds since the epoch. `T` holds the texts, or borrows them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata<T = String> {
    pub segment_id: Option<T>,
    pub dialog_id: Option<T>,
    pub interaction_id: Option<T>,
    pub sub_account_id: Option<T>,
    pub channel_id: Option<T>,
    pub channel_type: Option<T>,
    pub channel_class: Option<T>,
    pub channel_endpoint_address: Option<T>,
    pub contact_endpoint_address: Option<T>,
    pub dialog_origination: Option<T>,
    pub dialog_start_time: Option<i64>,
    pub dialog_end_time: Option<i64>,
    pub dialog_duration_ms: Option<i64>,
    pub segment_type: Option<T>,
    pub segment_participant_id: Option<T>,
    pub segment_participant_rc_extension_id: Option<T>,
    pub segment_start_time: Option<i64>,
    pub segment_end_time: Option<i64>,
    pub segment_duration_ms: Option<i64>,
    pub segment_agent_group_id: Option<T>,
    pub system_disposition: Option<T>,
    pub agent_disposition: Option<T>,
    pub agent_notes: Option<T>,
    pub has_recording: Option<bool>,
    pub has_transcript: Option<bool>,
    /// The array's JSON text, verbatim.
    pub segment_events: Option<T>,
}

/// One segment as discovery gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<T = String> {
    /// The object's bytes, verbatim.
    pub raw: T,
    pub metadata: Metadata<T>,
}

impl Segment {
    /// Types what can be typed; nothing in `raw` makes this fail.
    pub fn read(raw: String) -> Segment {
        let metadata = Metadata::read(&raw).into_owned();
        Segment { raw, metadata }
    }
}

impl<'a> Segment<Cow<'a, str>> {
    /// Like [`Segment::read`], with copies only of what has another form in JSON.
    pub fn borrow(raw: &'a str) -> Self {
        Segment {
            raw: raw.into(),
            metadata: Metadata::read(raw),
        }
    }
}

impl<T: AsRef<str>> Segment<T> {
    /// What a segment is known by across all days: its id, or `sha256:` and the hash of its object.
    pub fn key(&self) -> String {
        self.known_by().into_owned()
    }

    /// [`Segment::key`], copied only where it must be made.
    pub fn known_by(&self) -> Cow<'_, str> {
        match &self.metadata.segment_id {
            Some(id) => Cow::Borrowed(id.as_ref()),
            None => Cow::Owned(format!(
                "sha256:{}",
                Digest::of(self.raw.as_ref().as_bytes())
            )),
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

impl<'a> Metadata<Cow<'a, str>> {
    /// What an object says, copied only where a text has another form in JSON.
    pub(super) fn read(raw: &'a str) -> Self {
        let fields: Fields<'a> = serde_json::from_str(raw).unwrap_or_default();
        // One after the other, in the order of NAMES.
        let mut fields = fields.0.into_iter();
        let mut next = || fields.next().flatten().map(RawValue::get);
        Metadata {
            segment_id: text(next()).filter(|id| !id.is_empty()),
            dialog_id: text(next()),
            interaction_id: text(next()),
            sub_account_id: text(next()),
            channel_id: text(next()),
            channel_type: text(next()),
            channel_class: text(next()),
            channel_endpoint_address: text(next()),
            contact_endpoint_address: text(next()),
            dialog_origination: text(next()),
            dialog_start_time: time(next()),
            dialog_end_time: time(next()),
            dialog_duration_ms: integer(next()),
            segment_type: text(next()),
            segment_participant_id: text(next()),
            segment_participant_rc_extension_id: text(next()),
            segment_start_time: time(next()),
            segment_end_time: time(next()),
            segment_duration_ms: integer(next()),
            segment_agent_group_id: text(next()),
            system_disposition: text(next()),
            agent_disposition: text(next()),
            agent_notes: text(next()),
            has_recording: boolean(next()),
            has_transcript: boolean(next()),
            segment_events: verbatim(next()),
        }
    }

    fn into_owned(self) -> Metadata {
        let own = |text: Option<Cow<'a, str>>| text.map(Cow::into_owned);
        Metadata {
            segment_id: own(self.segment_id),
            dialog_id: own(self.dialog_id),
            interaction_id: own(self.interaction_id),
            sub_account_id: own(self.sub_account_id),
            channel_id: own(self.channel_id),
            channel_type: own(self.channel_type),
            channel_class: own(self.channel_class),
            channel_endpoint_address: own(self.channel_endpoint_address),
            contact_endpoint_address: own(self.contact_endpoint_address),
            dialog_origination: own(self.dialog_origination),
            dialog_start_time: self.dialog_start_time,
            dialog_end_time: self.dialog_end_time,
            dialog_duration_ms: self.dialog_duration_ms,
            segment_type: own(self.segment_type),
            segment_participant_id: own(self.segment_participant_id),
            segment_participant_rc_extension_id: own(self.segment_participant_rc_extension_id),
            segment_start_time: self.segment_start_time,
            segment_end_time: self.segment_end_time,
            segment_duration_ms: self.segment_duration_ms,
            segment_agent_group_id: own(self.segment_agent_group_id),
            system_disposition: own(self.system_disposition),
            agent_disposition: own(self.agent_disposition),
            agent_notes: own(self.agent_notes),
            has_recording: self.has_recording,
            has_transcript: self.has_transcript,
            segment_events: own(self.segment_events),
        }
    }
}

pub const METADATA_FIELDS: usize = 26;

/// The fields that are typed, by the API's names.
pub const NAMES: [&str; METADATA_FIELDS] = [
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

/// Where `name` stands in [`NAMES`]. The API gives them in that order, so the search begins at `expected`.
fn index_of(name: &str, expected: usize) -> Option<usize> {
    let (before, from) = NAMES.split_at(expected.min(NAMES.len()));
    let position = |names: &[&str]| names.iter().position(|known| *known == name);
    position(from)
        .map(|index| before.len() + index)
        .or_else(|| position(before))
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
                let (mut fields, mut expected) = (Fields::default(), 0);
                while let Some(Name(name)) = map.next_key()? {
                    let text: &'de RawValue = map.next_value()?;
                    if let Some(index) = index_of(&name, expected) {
                        fields.0[index] = Some(text);
                        expected = index + 1;
                    }
                }
                Ok(fields)
            }
        }

        from.deserialize_map(Object)
    }
}

fn verbatim(json: Option<&str>) -> Option<Cow<'_, str>> {
    json.filter(|text| *text != "null").map(Cow::Borrowed)
}

/// A string's content; a number or another value as its JSON text.
fn text(json: Option<&str>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

    let text = json?;
    match text.as_bytes().first()? {
        b'"' => match text.get(1..text.len() - 1) {
            // Nearly all of them: no escape, so it says itself.
            Some(content) if !content.contains('\\') => Some(Cow::Borrowed(content)),
            _ => serde_json::from_str(text).ok().map(|Text(content)| content),
        },
        b'n' => None,
        _ => Some(Cow::Borrowed(text)),
    }
}

fn integer(json: Option<&str>) -> Option<i64> {
    text(json)?.trim().parse().ok()
}

fn boolean(json: Option<&str>) -> Option<bool> {
    text(json)?.trim().parse().ok()
}

/// RFC 3339, or milliseconds since the epoch, as the fields' names promise.
fn time(json: Option<&str>) -> Option<i64> {
    let text = text(json)?;
    let millis = || {
        text.parse()
            .ok()
            .filter(|&ms| jiff::Timestamp::from_millisecond(ms).is_ok())
    };
    parse_rfc3339(&text).or_else(millis)
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
        assert_eq!(
            found.segment_events.as_deref(),
            Some(r#"[{"eventType":"REC_START"}]"#)
        );
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
        assert_eq!(
            segment.metadata.agent_notes, None,
            "a lone surrogate has no UTF-8 form"
        );
        assert_eq!(segment.metadata.dialog_id.as_deref(), Some("d"));
    }

    #[test]
    fn spelling_does_not_make_another_object() {
        assert_eq!(
            canonical_json(r#"{ "b": 1.0, "a": "\u0041" }"#),
            br#"{"a":"A","b":1}"#
        );
        assert_eq!(canonical_json(r#"{"a":"\ud800"}"#), br#"{"a":"\ud800"}"#);
    }
}
