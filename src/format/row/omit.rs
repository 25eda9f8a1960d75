//! Fields that are left out of discovery's objects before anything of them is kept.
//!
//! Only the text is cut: what is left stands byte for byte as it came, so that a row's key, its typed columns and every
//! comparison follow from what is kept, and from nothing else.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What the archive cannot do without, and for what.
pub const NEEDED: [(&str, &str); 5] = [
    ("segmentId", "a segment is known by it"),
    (
        "segmentEndTimeMs",
        "rows are sorted by it, and it says whether a segment is of the day",
    ),
    ("channelClass", "the filter channel_classes goes by it"),
    ("segmentType", "the filter segment_types goes by it"),
    (
        "segmentAgentGroupId",
        "it tells when the summaries of a group stop",
    ),
];

/// The longest name, in characters.
pub const LONGEST_FIELD: usize = 128;

/// Names of top-level members that are left out, sorted; none is the usual case, and costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Omission(BTreeSet<String>);

/// Why a name cannot be left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOmittable {
    #[error("`{0}` cannot be left out: {1}")]
    Needed(&'static str, &'static str),
    #[error("a field's name has 1 to {LONGEST_FIELD} characters, and no control characters")]
    NoName,
}

/// Whether a field of this name may be left out. A name that nobody knows may: vendors add fields.
pub fn check_name(name: &str) -> Result<(), NotOmittable> {
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
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether every name may be left out.
    pub fn is_allowed(&self) -> bool {
        self.names().all(|name| check_name(name).is_ok())
    }

    /// Both together.
    pub fn and(&self, other: &Omission) -> Omission {
        Omission(self.0.union(&other.0).cloned().collect())
    }

    /// Whether `object` has a member that is left out here.
    pub fn is_in(&self, object: &str) -> bool {
        !self.is_empty()
            && members(object)
                .into_iter()
                .any(|member| self.names_member(member))
    }

    /// Whether any object of a JSON array has such a member.
    pub fn is_in_any(&self, array: &str) -> bool {
        !self.is_empty()
            && elements(array).is_some_and(|all| all.iter().any(|one| self.is_in(one.get())))
    }

    /// The object's text without these members. What stands between two commas, or a brace and a comma, is kept as it
    /// is or goes as a whole, blanks included.
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

    /// [`Omission::cut`] of each object of a JSON array.
    pub fn cut_each(&self, array: String) -> String {
        if !self.is_in_any(&array) {
            return array;
        }
        let all = elements(&array).unwrap_or_default();
        let cut: Vec<String> = all
            .into_iter()
            .map(|one| self.cut(one.get().to_owned()))
            .collect();
        format!("[{}]", cut.join(","))
    }

    fn names_member(&self, member: &str) -> bool {
        name_of(member).is_some_and(|name| self.0.contains(&*name))
    }
}

/// The texts of an object's members with the blanks around them, one after the other; none of what is no object.
fn members(object: &str) -> Vec<&str> {
    let inside = object
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let Some(inside) = inside else {
        return Vec::new();
    };
    let (mut members, mut begun) = (Vec::new(), 0);
    let (mut depth, mut in_string, mut escaped) = (0_u64, false, false);
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                members.push(&inside[begun..at]);
                begun = at + 1;
            }
            _ => {}
        }
    }
    members.push(&inside[begun..]);
    members
}

/// A member's name as it is meant, however it is spelt; none where it has no form in UTF-8.
fn name_of(member: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct MemberName<'n>(#[serde(borrow)] Cow<'n, str>);

    // Reads the name and stops there: the colon and the value follow.
    let mut from = serde_json::Deserializer::from_str(member);
    MemberName::deserialize(&mut from)
        .ok()
        .map(|MemberName(name)| name)
}

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
    fn what_is_left_stands_as_it_came() {
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
    fn what_the_archive_needs_cannot_be_left_out() {
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
        /// Whatever the blanks, the spelling and the repeats: the members that are named go, the others stay in their order
        /// and byte for byte, and what is left is what serde_json makes of the object without them.
        #[test]
        fn the_named_members_go_and_no_other(
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
            // Twice is once, and one after the other is both together.
            prop_assert_eq!(omission.cut(cut.clone()), cut);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[{}\\[\\]\",:\\\\a é]{0,30}") {
            let cut = omission(&["a", ""]).cut(text.clone());
            prop_assert!(cut.len() <= text.len());
        }
    }
}
