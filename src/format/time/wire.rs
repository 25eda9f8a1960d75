//! How records write instants. For `#[serde(with = …)]`.

/// UTC milliseconds, written as RFC 3339 with `Z` and three digits of a second.
pub mod instant {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::format::time::day::{parse_rfc3339, rfc3339};

    /// Writes an instant such as `2026-11-20T00:00:00.000Z`.
    pub(crate) fn serialize<S: Serializer>(instant_ms: &i64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&rfc3339(*instant_ms))
    }

    /// Reads an instant strictly: the bytes of a record are signed, so only the form that this program writes is
    /// accepted.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        let text = String::deserialize(from)?;
        parse_rfc3339(&text)
            .filter(|&instant_ms| rfc3339(instant_ms) == text)
            .ok_or_else(|| D::Error::custom("not an instant such as 2026-11-20T00:00:00.000Z"))
    }
}

/// Like [`instant`], or null.
pub mod optional_instant {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::instant;
    use crate::format::time::day::rfc3339;

    /// Writes an instant, or null.
    pub(crate) fn serialize<S: Serializer>(
        instant_ms: &Option<i64>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        instant_ms.map(rfc3339).serialize(to)
    }

    /// Reads an instant strictly, or null.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
        #[derive(Deserialize)]
        struct StrictInstant(#[serde(with = "instant")] i64);
        Ok(Option::<StrictInstant>::deserialize(from)?.map(|strict| strict.0))
    }
}
