//! The typed metadata fields of a segment: one table of the API's names, the columns, their types and how they are read.
//!
//! To add a field, add one line with its documentation to the table at the end of this file: the struct's member, the
//! column, its reading from JSON and the conversions from and to cells follow from it. The order of the lines is the
//! order of the columns in every part, so an archive's bytes depend on it (`schemas/segments.v1.txt`).
//! Format version 1 is frozen, so a change of this table makes a new version; CONTRIBUTING.md lists what follows.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::format::row::column::{Cell, Column, RowError, Storage, Type};
use crate::format::time::Instant;

/// What follows from a field's kind in the table: its column's type, and the functions that convert its values.
macro_rules! of_kind {
    (column Int) => {
        Type::Int
    };
    (column Time) => {
        Type::Time
    };
    (column Bool) => {
        Type::Bool
    };
    (column $string:ident) => {
        Type::Text
    };

    (read Id) => {
        identifier
    };
    (read Text) => {
        text
    };
    (read Json) => {
        verbatim
    };
    (read Int) => {
        integer
    };
    (read Time) => {
        time
    };
    (read Bool) => {
        boolean
    };

    (to_cell Int) => {
        Cell::int
    };
    (to_cell Time) => {
        Cell::int
    };
    (to_cell Bool) => {
        Cell::bool
    };
    (to_cell $string:ident) => {
        Cell::text
    };

    (from_cell Int) => {
        Cell::into_int
    };
    (from_cell Time) => {
        Cell::into_int
    };
    (from_cell Bool) => {
        Cell::into_bool
    };
    (from_cell $string:ident) => {
        Cell::into_text
    };

    (own Int, $value:expr) => {
        $value
    };
    (own Time, $value:expr) => {
        $value
    };
    (own Bool, $value:expr) => {
        $value
    };
    (own $string:ident, $value:expr) => {
        $value.map(Cow::into_owned)
    };
}

/// Defines [`Metadata`] and everything that goes through its fields one by one.
///
/// A line is `column: RustType, Kind, Storage, "nameInTheApi";`, where `T` is the type of texts. The kinds are `Text` (a string's content; of another value its
/// JSON text), `Id` (as `Text`, and the empty string is null), `Json` (the value's JSON text), `Int`, `Time` and `Bool`.
macro_rules! metadata_table {
    ($($(#[$doc:meta])* $column:ident: $value:ty, $kind:ident, $storage:ident, $name:literal;)+) => {
        /// What a segment's object says, field by field as the API documents them (RingCX Reports API).
        ///
        /// Every field may be null, absent, or of a type that the API does not announce. Such a field is `None` here;
        /// [`Segment::raw`](crate::format::row::segment::Segment::raw) holds what was received. Times are UTC
        /// milliseconds since the epoch. `T` owns the texts, or borrows them.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct Metadata<T = String> {
            $($(#[$doc])* pub $column: Option<$value>,)+
        }

        /// The API's names of the typed fields, in the order of their columns.
        pub const NAMES: [&str; [$($name),+].len()] = [$($name),+];

        /// The columns of the typed fields, in the order of [`NAMES`].
        pub(super) const METADATA_COLUMNS: [Column; NAMES.len()] = [
            $(Column::optional(stringify!($column), of_kind!(column $kind), Storage::$storage)),+
        ];

        impl<'a> Metadata<Cow<'a, str>> {
            /// Reads an object. Texts are copied only where JSON spells them differently.
            ///
            /// Of a text that is no JSON object every field is `None`: what was received is retained verbatim beside
            /// it, and must not end a run.
            pub(super) fn read(raw: &'a str) -> Self {
                let fields: Fields<'a> = serde_json::from_str(raw).unwrap_or_default();
                let mut fields = fields.0.into_iter();
                // Members of a struct expression are evaluated in the order in which they are written.
                Metadata {
                    $($column: fields.next().flatten().map(RawValue::get).and_then(of_kind!(read $kind)),)+
                }
            }

            pub(super) fn into_owned(self) -> Metadata {
                Metadata { $($column: of_kind!(own $kind, self.$column),)+ }
            }
        }

        impl<T> Metadata<T> {
            /// Returns the values in the order of their columns.
            pub(super) fn into_cells(self) -> [Cell<T>; NAMES.len()] {
                [$(of_kind!(to_cell $kind)(self.$column)),+]
            }

            /// Takes the values back from cells in the order of their columns.
            pub(super) fn from_cells(cells: [Cell<T>; NAMES.len()]) -> Result<Self, RowError> {
                let mut cells = cells.into_iter();
                Ok(Metadata {
                    $($column: of_kind!(from_cell $kind)(
                        cells.next().unwrap_or(Cell::Null),
                        stringify!($column),
                    )?,)+
                })
            }
        }
    };
}

/// Returns the index of `name` in [`NAMES`]. The API sends the fields in that order, so the search begins at `expected`.
fn index_of(name: &str, expected: usize) -> Option<usize> {
    let expected = expected.min(NAMES.len());
    let mut indexes = (expected..NAMES.len()).chain(0..expected);
    indexes.find(|&index| NAMES[index] == name)
}

/// The fields of an object as JSON texts, in the order of [`NAMES`]: a field that cannot be read must not hide the
/// others. Where an object repeats a name, its last value counts.
#[derive(Default)]
struct Fields<'a>([Option<&'a RawValue>; NAMES.len()]);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
                let (mut fields, mut expected) = (Fields::default(), 0);
                while let Some(JsonString(name)) = map.next_key()? {
                    let value: &'de RawValue = map.next_value()?;
                    if let Some(index) = index_of(&name, expected) {
                        fields.0[index] = Some(value);
                        expected = index + 1;
                    }
                }
                Ok(fields)
            }
        }

        from.deserialize_map(ObjectVisitor)
    }
}

/// A JSON string, borrowed where it holds no escape.
#[derive(Deserialize)]
struct JsonString<'t>(#[serde(borrow)] Cow<'t, str>);

/// Returns the JSON text itself.
fn verbatim(json: &str) -> Option<Cow<'_, str>> {
    (json != "null").then_some(Cow::Borrowed(json))
}

/// Returns a string's content; of a number or another value its JSON text.
fn text(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => match json.get(1..json.len() - 1) {
            // Nearly all strings: without an escape the content is the text between the quotes.
            Some(content) if !content.contains('\\') => Some(Cow::Borrowed(content)),
            _ => serde_json::from_str(json)
                .ok()
                .map(|JsonString(content)| content),
        },
        _ => verbatim(json),
    }
}

/// Returns a text that is not empty: a segment with an empty id has none.
fn identifier(json: &str) -> Option<Cow<'_, str>> {
    text(json).filter(|id| !id.is_empty())
}

fn integer(json: &str) -> Option<i64> {
    text(json)?.trim().parse().ok()
}

fn boolean(json: &str) -> Option<bool> {
    text(json)?.trim().parse().ok()
}

/// Reads RFC 3339, or milliseconds since the epoch, as the fields' names promise.
fn time(json: &str) -> Option<i64> {
    let text = text(json)?;
    Instant::parse(&text).map(Instant::as_millis).or_else(|| {
        let ms = text.parse().ok()?;
        jiff::Timestamp::from_millisecond(ms).is_ok().then_some(ms)
    })
}

metadata_table! {
    /// The segment's id: summaries are requested by it.
    segment_id:                          T,    Id,   Bloom,      "segmentId";
    /// Id of the dialog: all segments of one conversation share it.
    dialog_id:                           T,    Text, Bloom,      "dialogId";
    /// Id of the interaction.
    interaction_id:                      T,    Text, Bloom,      "interactionId";
    /// Id of the sub-account, as the object names it.
    sub_account_id:                      T,    Text, Dictionary, "subAccountId";
    /// Id of the channel.
    channel_id:                          T,    Text, Dictionary, "channelId";
    /// Type of the channel.
    channel_type:                        T,    Text, Dictionary, "channelType";
    /// Class of the channel: `VOICE` or `DIGITAL`. The setting `channel_classes` filters by it.
    channel_class:                       T,    Text, Dictionary, "channelClass";
    /// The company's address, such as the dialled number.
    channel_endpoint_address:            T,    Text, Dictionary, "channelEndpointAddress";
    /// The contact's address, such as a phone number.
    contact_endpoint_address:            T,    Text, Bloom,      "contactEndpointAddress";
    /// Direction of the dialog: `INBOUND` or `OUTBOUND`.
    dialog_origination:                  T,    Text, Dictionary, "dialogOrigination";
    /// Start of the dialog.
    dialog_start_time:                   i64,  Time, Plain,      "dialogStartTimeMs";
    /// End of the dialog.
    dialog_end_time:                     i64,  Time, Plain,      "dialogEndTimeMs";
    /// Length of the dialog in milliseconds.
    dialog_duration_ms:                  i64,  Int,  Plain,      "dialogDurationMs";
    /// Type of the segment, such as `AGENT` or `IVR`. The setting `segment_types` filters by it.
    segment_type:                        T,    Text, Dictionary, "segmentType";
    /// Id of the participant; null where no agent took part.
    segment_participant_id:              T,    Text, Dictionary, "segmentParticipantId";
    /// The participant's RingCentral extension id.
    segment_participant_rc_extension_id: T,    Text, Dictionary, "segmentParticipantRcExtensionId";
    /// Start of the segment.
    segment_start_time:                  i64,  Time, Plain,      "segmentStartTimeMs";
    /// End of the segment: rows are sorted by it, and it decides which day the segment belongs to.
    segment_end_time:                    i64,  Time, Plain,      "segmentEndTimeMs";
    /// Length of the segment in milliseconds.
    segment_duration_ms:                 i64,  Int,  Plain,      "segmentDurationMs";
    /// Id of the agent group (queue).
    segment_agent_group_id:              T,    Text, Dictionary, "segmentAgentGroupId";
    /// Disposition that the system set.
    system_disposition:                  T,    Text, Dictionary, "systemDisposition";
    /// Disposition that the agent chose.
    agent_disposition:                   T,    Text, Dictionary, "agentDisposition";
    /// The agent's notes.
    agent_notes:                         T,    Text, Opaque,     "agentNotes";
    /// Whether a recording exists.
    has_recording:                       bool, Bool, Plain,      "hasRecording";
    /// Whether a transcript exists.
    has_transcript:                      bool, Bool, Plain,      "hasTranscript";
    /// The array of events, as JSON text, verbatim.
    segment_events:                      T,    Json, Opaque,     "segmentEvents";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_column_and_is_found_from_any_expected_place() {
        for (index, (name, column)) in NAMES.iter().zip(METADATA_COLUMNS).enumerate() {
            for expected in [0, index, index + 1, NAMES.len(), NAMES.len() + 1] {
                assert_eq!(index_of(name, expected), Some(index), "{name}");
            }
            assert!(column.nullable, "{}", column.name);
        }
        assert_eq!(index_of("segmentID", 0), None);
    }

    #[test]
    fn values_are_read_by_their_kind() {
        let cases = [
            (r#"{"segmentId":""}"#, Cell::Null),
            (r#"{"segmentId":7}"#, Cell::Text("7".into())),
            (r#"{"segmentId":"a\u0062"}"#, Cell::Text("ab".into())),
            (
                r#"{"segmentId":"first","segmentId":"last"}"#,
                Cell::Text("last".into()),
            ),
            (r#"{"segmentId":nullx}"#, Cell::Null),
            ("[]", Cell::Null),
        ];
        for (raw, expected) in cases {
            let cells = Metadata::read(raw).into_owned().into_cells();
            assert_eq!(cells[0], expected, "{raw}");
        }
    }

    #[test]
    fn cells_read_back() {
        let raw =
            r#"{"segmentId":"s","segmentEndTimeMs":5,"hasRecording":true,"segmentEvents":[]}"#;
        let metadata = Metadata::read(raw).into_owned();
        let cells = metadata.clone().into_cells();
        assert_eq!(Metadata::from_cells(cells.clone()), Ok(metadata));
        let mut swapped = cells;
        swapped.swap(0, 17);
        let refused = Metadata::from_cells(swapped);
        assert_eq!(refused, Err(RowError::Missing("segment_id")));
    }
}
