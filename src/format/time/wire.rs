//! How records write times.

/// UTC milliseconds, written as RFC 3339.
pub mod instant {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::format::time::day::{parse_rfc3339, rfc3339};

    pub fn serialize<S: Serializer>(instant_ms: &i64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&rfc3339(*instant_ms))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        let text = String::deserialize(from)?;
        // Strict, since the bytes are signed: only the form that we write.
        let instant_ms = parse_rfc3339(&text).filter(|&instant_ms| rfc3339(instant_ms) == text);
        instant_ms
            .ok_or_else(|| D::Error::custom("not an instant such as 2026-11-20T00:00:00.000Z"))
    }
}

/// Like [`instant`], or null.
pub mod optional_instant {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::instant;
    use crate::format::time::day::rfc3339;

    pub fn serialize<S: Serializer>(instant_ms: &Option<i64>, to: S) -> Result<S::Ok, S::Error> {
        instant_ms.map(rfc3339).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
        #[derive(Deserialize)]
        struct Instant(#[serde(with = "instant")] i64);
        Ok(Option::<Instant>::deserialize(from)?.map(|Instant(instant_ms)| instant_ms))
    }
}

/// A window, written as `{"start": …, "end": …}`.
pub mod interval {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::instant;
    use crate::format::time::day::Window;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Interval {
        #[serde(with = "instant")]
        start: i64,
        #[serde(with = "instant")]
        end: i64,
    }

    pub fn serialize<S: Serializer>(window: &Window, to: S) -> Result<S::Ok, S::Error> {
        Interval {
            start: window.start_ms,
            end: window.end_ms,
        }
        .serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Window, D::Error> {
        let Interval { start, end } = Interval::deserialize(from)?;
        Ok(Window {
            start_ms: start,
            end_ms: end,
        })
    }
}
