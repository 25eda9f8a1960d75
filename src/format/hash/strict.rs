//! JSON in which no object names a member twice.
//!
//! Most readers of JSON take the last of two members with one name, some the first. So one text can mean two things: a
//! receipt whose row names `agent_summary` twice would show one text to a person and prove another. RFC 8785 forbids such
//! objects, and everything here that is hashed, signed or proven is read by these rules. What must be in canonical form
//! is safe already, since the bytes that would be written for it are compared; a receipt has no prescribed spelling.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a value from JSON, and refuses two members with the same name in any object of it.
///
/// # Errors
/// Where the bytes are not JSON, name a member twice, or are not of the type.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice::<Unique>(bytes)?;
    serde_json::from_slice(bytes)
}

/// Any JSON value in which no object names a member twice. Nothing of the value is kept.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            // The name may be a text of the archive, so that the message does not repeat it.
            if !names.insert(name) {
                return Err(A::Error::custom("an object names a member twice"));
            }
            members.next_value::<Unique>()?;
        }
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_member_is_named_once_in_each_object_at_any_depth() {
        for (text, is_read) in [
            ("{}", true),
            (r#"{"a":1,"b":[{"a":null},{"a":-1.5e3}],"c":"a"}"#, true),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"a":1,"\u0061":2}"#, false),
            (r#"[[{"b":{"a":true,"c":0,"a":true}}]]"#, false),
            (r#"{"a":1"#, false),
            (r#"{"a":1} x"#, false),
        ] {
            assert_eq!(
                from_slice::<Value>(text.as_bytes()).is_ok(),
                is_read,
                "{text}"
            );
        }
    }
}
