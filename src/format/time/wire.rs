//! How records write instants that are numbers in the program. For `#[serde(with = …)]`.

/// UTC milliseconds, written as an [`Instant`](crate::format::time::instant::Instant).
pub mod instant {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::format::time::instant::Instant;

    /// Writes an instant such as `2026-11-20T00:00:00.000Z`.
    pub(crate) fn serialize<S: Serializer>(instant_ms: &i64, to: S) -> Result<S::Ok, S::Error> {
        Instant::from_millis(*instant_ms).serialize(to)
    }

    /// Reads an instant strictly.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        Ok(Instant::deserialize(from)?.as_millis())
    }
}

/// Like [`instant`], or null.
pub mod optional_instant {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::format::time::instant::Instant;

    /// Writes an instant, or null.
    pub(crate) fn serialize<S: Serializer>(
        instant_ms: &Option<i64>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        instant_ms.map(Instant::from_millis).serialize(to)
    }

    /// Reads an instant strictly, or null.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
        Ok(Option::<Instant>::deserialize(from)?.map(Instant::as_millis))
    }
}
