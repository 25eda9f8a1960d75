//! Members of a record that this program does not know: carried along, hashed and signed over, and named to the reader.
//!
//! A later program may add members to records of version 1. What a record says as a whole must not be lost then: its
//! hash and its signature are over the record as it is stored, not over what a reader understood of it. So a record is
//! read into two pieces, the members that its types know and a [`Carried`], and written from both again. A member that a
//! reader must understand is named in the record's `critical` list (FORMAT.md, "Extension"): a reader that does not know
//! it refuses the record.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::format::record::error::ManifestError;

/// Name of the member that lists what a reader must know.
const CRITICAL: &str = "critical";

/// What a record holds beyond the members that its types know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carried {
    members: Vec<CarriedMember>,
    /// The `critical` list; empty where the record has none.
    critical: Vec<String>,
}

/// One member that is not known, with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CarriedMember {
    /// JSON pointer of the object that has the member.
    parent: String,
    name: String,
    value: Value,
}

impl Carried {
    /// Returns what `stored` has beyond `understood`, its serialised types; `None` where the two contradict each other: a
    /// member of the types is missing or has another spelling.
    pub(super) fn between(
        stored: &Value,
        understood: &Value,
    ) -> Result<Option<Carried>, ManifestError> {
        let mut carried = Carried::default();
        let agrees = collect(stored, understood, "", &mut carried.members);
        let list = |member: &CarriedMember| member.parent.is_empty() && member.name == CRITICAL;
        if let Some(n) = carried.members.iter().position(list) {
            carried.critical = critical(carried.members.remove(n).value)?;
        }
        Ok(agrees.then_some(carried))
    }

    /// Returns the record as it is stored, from its serialised types.
    pub(super) fn add_to(&self, mut understood: Value) -> Value {
        for member in &self.members {
            if let Some(Value::Object(parent)) = understood.pointer_mut(&member.parent) {
                parent.insert(member.name.clone(), member.value.clone());
            }
        }
        if let (Value::Object(record), false) = (&mut understood, self.critical.is_empty()) {
            let critical = self.critical.iter().cloned().map(Value::String);
            record.insert(CRITICAL.to_owned(), critical.collect());
        }
        understood
    }

    /// Returns the paths of the members that are carried unread, sorted, each once: names joined with `.`, without the
    /// numbers of array items.
    pub fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.members.iter().map(CarriedMember::path).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// Checks that the record may be used by a reader that did not understand the members at `unread`.
    ///
    /// # Errors
    /// [`ManifestError::Critical`] with the first path that the record's `critical` list names, or that lies within a
    /// member which was not read.
    pub(super) fn check_critical(&self, unread: &[String]) -> Result<(), ManifestError> {
        let within = |path: &String, unread: &String| {
            path.strip_prefix(unread.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let missed = self
            .critical
            .iter()
            .find(|path| unread.iter().any(|unread| within(path, unread)));
        match missed {
            Some(path) => Err(ManifestError::Critical(path.clone())),
            None => Ok(()),
        }
    }
}

impl CarriedMember {
    fn path(&self) -> String {
        let steps = self.parent.split('/').skip(1);
        let names = steps.filter(|step| step.parse::<usize>().is_err());
        let names = names.map(|step| step.replace("~1", "/").replace("~0", "~"));
        let mut path: Vec<String> = names.collect();
        path.push(self.name.clone());
        path.join(".")
    }
}

/// Reads a `critical` list: texts, at least one, sorted, each once.
fn critical(value: Value) -> Result<Vec<String>, ManifestError> {
    let wrong = ManifestError::Shape(CRITICAL);
    let paths: Vec<String> = serde_json::from_value(value).map_err(|_| wrong)?;
    if paths.is_empty() || !paths.is_sorted_by(|path, next| path < next) {
        return Err(ManifestError::Shape(CRITICAL));
    }
    Ok(paths)
}

/// Adds the members of `stored` that `understood` lacks. Returns whether the rest is equal.
fn collect(
    stored: &Value,
    understood: &Value,
    pointer: &str,
    into: &mut Vec<CarriedMember>,
) -> bool {
    match (stored, understood) {
        (Value::Object(stored), Value::Object(understood)) => {
            if understood.keys().any(|name| !stored.contains_key(name)) {
                return false;
            }
            stored.iter().all(|(name, value)| {
                let Some(known) = understood.get(name) else {
                    into.push(CarriedMember {
                        parent: pointer.to_owned(),
                        name: name.clone(),
                        value: value.clone(),
                    });
                    return true;
                };
                let step = name.replace('~', "~0").replace('/', "~1");
                collect(value, known, &format!("{pointer}/{step}"), into)
            })
        }
        (Value::Array(stored), Value::Array(understood)) => {
            let mut pairs = stored.iter().zip(understood).enumerate();
            stored.len() == understood.len()
                && pairs.all(|(n, (value, known))| {
                    collect(value, known, &format!("{pointer}/{n}"), into)
                })
        }
        _ => stored == understood,
    }
}

/// Reads a member that is absent or has a value: null, which no program of version 1 writes there, is refused.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Reads a member that is absent or not empty.
pub(super) fn not_empty<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default + PartialEq,
{
    let value = T::deserialize(from)?;
    if value == T::default() {
        return Err(serde::de::Error::custom("an empty list, which is left out"));
    }
    Ok(value)
}

/// A kind of record that a later program has added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaterKind {
    /// The name of the kind.
    pub kind: String,
}

/// The members of a record that depend on its kind.
pub(super) struct Kinded {
    pub kind: String,
    pub value: Value,
}

impl<'de> Deserialize<'de> for Kinded {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Kinded, D::Error> {
        let members = serde_json::Map::deserialize(from)?;
        let kind = members.get("kind").and_then(Value::as_str);
        let kind = kind
            .ok_or_else(|| serde::de::Error::missing_field("kind"))?
            .to_owned();
        let value = Value::Object(members);
        Ok(Kinded { kind, value })
    }
}

/// Reads the members of a known kind.
pub(super) fn read<T: DeserializeOwned, E: serde::de::Error>(value: Value) -> Result<Box<T>, E> {
    serde_json::from_value(value)
        .map(Box::new)
        .map_err(E::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn between(stored: &Value, understood: &Value) -> Option<Carried> {
        Carried::between(stored, understood).unwrap()
    }

    #[test]
    fn what_is_not_known_is_carried_at_any_depth() {
        let stored = json!({
            "a": 1,
            "list": [{ "b": 1, "x": [1, { "y": null }] }, { "b": 2 }],
            "m/n": { "c": true, "~": 5 },
            "z": {},
        });
        let understood = json!({
            "a": 1,
            "list": [{ "b": 1 }, { "b": 2 }],
            "m/n": { "c": true },
        });
        let carried = between(&stored, &understood).unwrap();
        assert_eq!(carried.paths(), ["list.x", "m/n.~", "z"]);
        assert_eq!(carried.add_to(understood.clone()), stored);
        let nothing = between(&understood, &understood).unwrap();
        assert!(nothing.paths().is_empty());
        assert_eq!(nothing.add_to(understood.clone()), understood);
    }

    #[test]
    fn what_is_known_must_be_as_it_would_be_written() {
        let understood = json!({ "a": 1, "list": [{ "b": null }] });
        for other in [
            json!({ "list": [{ "b": null }] }),
            json!({ "a": 2, "list": [{ "b": null }] }),
            json!({ "a": 1, "list": [{}] }),
            json!({ "a": 1, "list": [{ "b": null }, 1] }),
            json!([]),
        ] {
            assert_eq!(between(&other, &understood), None, "{other}");
        }
    }

    #[test]
    fn a_critical_member_that_is_not_known_is_refused() {
        let understood = json!({ "a": { "b": 1 } });
        let stored = |critical: &[&str]| json!({ "a": { "b": 1, "x": { "y": 1 } }, "critical": critical, "z": 1 });
        let cases: [(&[&str], Option<&str>); 6] = [
            (&["a"], None),
            (&["a.b", "other"], None),
            (&["a.x"], Some("a.x")),
            (&["a.b", "a.x.y"], Some("a.x.y")),
            (&["z"], Some("z")),
            (&["zz"], None),
        ];
        for (list, refused) in cases {
            let stored = stored(list);
            let carried = between(&stored, &understood).unwrap();
            assert_eq!(carried.paths(), ["a.x", "z"]);
            let checked = carried.check_critical(&carried.paths());
            match (checked, refused) {
                (Ok(()), None) => assert_eq!(carried.add_to(understood.clone()), stored),
                (Err(ManifestError::Critical(path)), Some(refused)) => assert_eq!(path, refused),
                (other, _) => panic!("{list:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_critical_list_is_sorted_and_not_empty() {
        for list in [
            json!([]),
            json!(["b", "a"]),
            json!(["a", "a"]),
            json!([1]),
            json!("a"),
            json!(null),
        ] {
            let stored = json!({ "critical": list });
            let read = Carried::between(&stored, &json!({}));
            assert!(matches!(read, Err(ManifestError::Shape(_))), "{stored}");
        }
    }
}
