//! One object of a discovery's answer: verbatim, and typed as far as possible.

use std::borrow::Cow;

use crate::format::hash::Digest;
use crate::format::row::metadata::Metadata;

/// One segment as discovery returned it.
///
/// # Examples
///
/// ```
/// use cxvault::format::row::segment::Segment;
///
/// let segment = Segment::read(r#"{"segmentId":"p-v-1","hasRecording":true}"#.to_owned());
/// assert_eq!(segment.key(), "p-v-1");
/// assert_eq!(segment.metadata.has_recording, Some(true));
/// assert!(Segment::read("{}".to_owned()).key().starts_with("sha256:"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<T = String> {
    /// The object's bytes, verbatim.
    pub raw: T,
    /// Its typed fields.
    pub metadata: Metadata<T>,
}

impl Segment {
    /// Reads an object. No content of `raw` makes this fail: what cannot be typed is only in [`Segment::raw`].
    pub fn read(raw: String) -> Segment {
        let metadata = Metadata::read(&raw).into_owned();
        Segment { raw, metadata }
    }
}

impl<'a> Segment<Cow<'a, str>> {
    /// Like [`Segment::read`], but copies only texts that JSON spells differently.
    pub fn borrow(raw: &'a str) -> Self {
        Segment {
            raw: raw.into(),
            metadata: Metadata::read(raw),
        }
    }
}

impl<T: AsRef<str>> Segment<T> {
    /// Returns the segment's key, which identifies it across all days: its id, or `sha256:` and the SHA-256 of its
    /// object.
    pub fn key(&self) -> String {
        self.known_by().into_owned()
    }

    /// Returns [`Segment::key`], which is borrowed where it is the id.
    pub(crate) fn known_by(&self) -> Cow<'_, str> {
        match &self.metadata.segment_id {
            Some(id) => Cow::Borrowed(id.as_ref()),
            None => Cow::Owned(format!(
                "sha256:{}",
                Digest::of(self.raw.as_ref().as_bytes())
            )),
        }
    }
}

/// Returns RFC 8785's form of a JSON text, so that two spellings of the same object compare equal.
///
/// A text without such a form (a lone surrogate, a number beyond a double) is returned as it is.
pub(crate) fn canonical_json(text: &str) -> Vec<u8> {
    let value: Result<serde_json::Value, _> = serde_json::from_str(text);
    let canonical = value.and_then(|value| serde_json_canonicalizer::to_vec(&value));
    canonical.unwrap_or_else(|_| text.as_bytes().to_vec())
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
    fn null_absent_and_mistyped_fields_do_not_hide_the_rest() {
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
    fn spellings_of_one_object_compare_equal() {
        assert_eq!(
            canonical_json(r#"{ "b": 1.0, "a": "\u0041" }"#),
            br#"{"a":"A","b":1}"#
        );
        assert_eq!(canonical_json(r#"{"a":"\ud800"}"#), br#"{"a":"\ud800"}"#);
    }
}
