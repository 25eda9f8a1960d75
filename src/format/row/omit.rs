//! Fields that are left out of the objects of a discovery before anything of them is stored.
//!
//! The text of an object is cut, and what is left stays byte for byte as it was received. So a row's key, its typed
//! columns and every comparison follow from the stored text, and from nothing else.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Fields that cannot be left out, each with the reason.
pub const NEEDED: [(&str, &str); 5] = [
    ("segmentId", "a segment is identified by it"),
    (
        "segmentEndTimeMs",
        "rows are sorted by it, and it says whether a segment is of the day",
    ),
    ("channelClass", "the filter channel_classes uses it"),
    ("segmentType", "the filter segment_types uses it"),
    (
        "segmentAgentGroupId",
        "it shows when the summaries of a group stop",
    ),
];

/// The longest name of a field, in characters.
pub(crate) const LONGEST_FIELD: usize = 128;

/// Names of top-level members that are left out, sorted. It is empty as a rule, and then every function returns at once.
///
/// # Examples
///
/// ```
/// use cxvault::format::row::omit::Omission;
///
/// let notes: Omission = ["agentNotes".to_owned()].into_iter().collect();
/// let object = r#"{"segmentId":"s","agentNotes":"private","hasRecording":true}"#.to_owned();
/// assert_eq!(notes.cut(object), r#"{"segmentId":"s","hasRecording":true}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Omission(BTreeSet<String>);

/// Why a name cannot be left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotOmittable {
    /// The archive needs the field: its name, and the reason.
    #[error("`{0}` cannot be left out: {1}")]
    Needed(&'static str, &'static str),
    /// The text is not the name of a field.
    #[error("a field's name has 1 to {LONGEST_FIELD} characters, and no control characters")]
    NoName,
}

/// Checks that a field of this name may be left out. A name that this program does not know may be: vendors add fields.
///
/// # Errors
/// [`NotOmittable`] with the reason.
pub(crate) fn check_name(name: &str) -> Result<(), NotOmittable> {
    if let Some((needed, why)) = NEEDED.into_iter().find(|(needed, _)| *needed == name) {
        return Err(NotOmittable::Needed(needed, why));
    }
    let fits =
        (1..=LONGEST_FIELD).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits {
        Ok(())
    } else {
        Err(NotOmittable::NoName)
    }
}

impl FromIterator<String> for Omission {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Omission(names.into_iter().collect())
    }
}

impl fmt::Display for Omission {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return out.write_str("none");
        }
        for (n, name) in self.names().enumerate() {
            write!(out, "{}{name}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Omission {
    /// Returns whether no field is left out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Returns whether every name may be left out.
    pub(crate) fn is_allowed(&self) -> bool {
        self.names().all(|name| check_name(name).is_ok())
    }

    /// Returns the names of both.
    pub fn and(&self, other: &Omission) -> Omission {
        Omission(self.0.union(&other.0).cloned().collect())
    }

    /// Returns whether the JSON object has a member that is left out.
    pub(crate) fn is_in(&self, object: &str) -> bool {
        !self.is_empty()
            && members(object)
                .into_iter()
                .any(|member| self.names_member(member))
    }

    /// Returns whether any object of a JSON array has such a member.
    pub(crate) fn is_in_any(&self, array: &str) -> bool {
        !self.is_empty()
            && elements(array).is_some_and(|all| all.iter().any(|object| self.is_in(object.get())))
    }

    /// Returns the object's text without these members. The text between two commas, or between a brace and a comma, stays
    /// unchanged or is removed as a whole, with its blanks.
    pub fn cut(&self, object: String) -> String {
        if !self.is_in(&object) {
            return object;
        }
        let kept: Vec<&str> = members(&object)
            .into_iter()
            .filter(|member| !self.names_member(member))
            .collect();
        format!("{{{}}}", kept.join(","))
    }

    /// Returns a JSON array with [`Omission::cut`] applied to each object.
    pub(crate) fn cut_each(&self, array: String) -> String {
        if !self.is_in_any(&array) {
            return array;
        }
        let all = elements(&array).unwrap_or_default();
        let cut: Vec<String> = all
            .into_iter()
            .map(|object| self.cut(object.get().to_owned()))
            .collect();
        format!("[{}]", cut.join(","))
    }

    fn names_member(&self, member: &str) -> bool {
        name_of(member).is_some_and(|name| self.0.contains(&*name))
    }
}

/// Returns the texts of an object's members in their order, with the blanks around them; none where the text is not an
/// object.
fn members(object: &str) -> Vec<&str> {
    let inside = object
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let Some(inside) = inside else {
        return Vec::new();
    };
    let (mut members, mut begun) = (Vec::new(), 0);
    let (mut depth, mut in_string, mut escaped) = (0_u64, false, false);
    for (index, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                members.push(&inside[begun..index]);
                begun = index + 1;
            }
            _ => {}
        }
    }
    members.push(&inside[begun..]);
    members
}

/// Returns a member's name without its escapes; `None` where it has no form in UTF-8.
fn name_of(member: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct MemberName<'n>(#[serde(borrow)] Cow<'n, str>);

    // Reads the name only: the colon and the value follow it.
    let mut from = serde_json::Deserializer::from_str(member);
    MemberName::deserialize(&mut from)
        .ok()
        .map(|MemberName(name)| name)
}

/// Returns the texts of an array's elements; `None` where the text is not an array.
fn elements(array: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(array).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn omission(names: &[&str]) -> Omission {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_left_stays_as_it_was_received() {
        let notes = omission(&["notes"]);
        for (object, cut) in [
            (r#"{"a":1,"notes":"x","b" : 2}"#, r#"{"a":1,"b" : 2}"#),
            (r#"{"notes":"x", "a":1}"#, r#"{ "a":1}"#),
            (r#"{ "a": 1.0,  "notes":null }"#, r#"{ "a": 1.0}"#),
            (r#"{"notes":[{"notes":"},\"{"}]}"#, "{}"),
            (
                r#"{"notes":1,"a":"\",\"notes\":","notes":2}"#,
                r#"{"a":"\",\"notes\":"}"#,
            ),
            (
                r#"{"\u006eotes":"x","a":{"notes":"kept"}}"#,
                r#"{"a":{"notes":"kept"}}"#,
            ),
            (r#"{"Notes":1}"#, r#"{"Notes":1}"#),
            (r#"{"\ud800":"notes"}"#, r#"{"\ud800":"notes"}"#),
            ("{ }", "{ }"),
        ] {
            assert_eq!(notes.cut(object.to_owned()), cut);
            assert_eq!(notes.is_in(object), object != cut);
        }
        assert_eq!(
            notes.cut_each(r#"[{"a":1},{"notes":2}]"#.to_owned()),
            r#"[{"a":1},{}]"#
        );
        assert_eq!(notes.cut_each("[ ]".to_owned()), "[ ]");
    }

    #[test]
    fn fields_that_the_archive_needs_cannot_be_left_out() {
        for (name, why) in NEEDED {
            assert!(check_name(name).unwrap_err().to_string().contains(why));
            assert!(!omission(&["agentNotes", name]).is_allowed());
        }
        for name in ["", "two\nlines", &"x".repeat(129)] {
            assert_eq!(check_name(name), Err(NotOmittable::NoName));
        }
        assert!(omission(&["agentNotes", "aFieldOf2031", "Größe"]).is_allowed());
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[\\PC\"\\\\{}\\[\\],:\n]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab\"\\\\,}é]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// A string with every character escaped: another spelling of the same name.
    fn escaped(text: &str) -> String {
        let units: String = text
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect();
        format!("\"{units}\"")
    }

    proptest! {
        /// For all blanks, spellings and repeated names: the named members are removed, the rest stays in its order and
        /// byte for byte, and reads as serde_json reads the object without them.
        #[test]
        fn exactly_the_named_members_are_removed(
            all in prop::collection::vec(("[ab\"\\\\,}é]{0,2}", json(), any::<bool>(), "[ \t\n\r]{0,2}"), 0..6),
            names in prop::collection::btree_set("[ab\"\\\\,}é]{1,2}", 0..4),
            pretty in any::<bool>(),
        ) {
            let omission = Omission(names.clone());
            let text = |(name, value, escape, blank): &(String, Value, bool, String)| {
                let name = if *escape { escaped(name) } else { serde_json::to_string(name).unwrap() };
                let value = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
                format!("{blank}{name}{blank}:{blank}{}{blank}", value.unwrap())
            };
            let object = |members: &mut dyn Iterator<Item = String>| format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            let whole = object(&mut all.iter().map(text));
            let kept = object(&mut all.iter().filter(|(name, ..)| !names.contains(name)).map(text));
            let cut = omission.cut(whole.clone());
            prop_assert_eq!(&cut, &kept);
            prop_assert!(!omission.is_in(&cut));
            prop_assert_eq!(omission.is_in(&whole), whole != kept);
            let mut expected: Map<String, Value> = serde_json::from_str(&whole).unwrap();
            expected.retain(|name, _| !names.contains(name));
            prop_assert_eq!(serde_json::from_str::<Map<String, Value>>(&cut).unwrap(), expected);
            // A second cut changes nothing.
            prop_assert_eq!(omission.cut(cut.clone()), cut);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[{}\\[\\]\",:\\\\a é]{0,30}") {
            let cut = omission(&["a", ""]).cut(text.clone());
            prop_assert!(cut.len() <= text.len());
        }
    }
}
