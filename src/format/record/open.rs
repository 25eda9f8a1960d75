//! Values of open lists: a later program may add to the list, and a reader carries what it does not know.
//!
//! FORMAT.md says which lists are open. A list on which a decision depends, such as the letters of a coverage, is closed:
//! there a value that is not known makes the record unreadable.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value of an open list.
///
/// # Examples
///
/// ```
/// use cxvault::format::record::manifest::Why;
/// use cxvault::format::record::open::OpenValue;
///
/// let known: OpenValue<Why> = serde_json::from_str(r#""recheck""#)?;
/// assert_eq!(known, Why::Recheck);
/// let later: OpenValue<Why> = serde_json::from_str(r#""of-2031""#)?;
/// assert_eq!(later.known(), None);
/// assert_eq!(serde_json::to_string(&later)?, r#""of-2031""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpenValue<T> {
    /// A value that this program knows.
    Known(T),
    /// The name of a value that a later program has added.
    Later(String),
}

impl<T> OpenValue<T> {
    /// Returns the value; `None` for one that this program does not know.
    pub fn known(&self) -> Option<&T> {
        match self {
            OpenValue::Known(value) => Some(value),
            OpenValue::Later(_) => None,
        }
    }

    /// Returns whether a later program has added the value.
    pub(crate) fn is_later(&self) -> bool {
        matches!(self, OpenValue::Later(_))
    }
}

impl<T> From<T> for OpenValue<T> {
    fn from(value: T) -> OpenValue<T> {
        OpenValue::Known(value)
    }
}

impl<T: PartialEq> PartialEq<T> for OpenValue<T> {
    fn eq(&self, other: &T) -> bool {
        self.known() == Some(other)
    }
}

impl<T: Serialize> Serialize for OpenValue<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            OpenValue::Known(value) => value.serialize(to),
            OpenValue::Later(name) => name.serialize(to),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for OpenValue<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let known = serde_json::from_value(serde_json::Value::String(name.clone()));
        Ok(known.map_or(OpenValue::Later(name), OpenValue::Known))
    }
}
