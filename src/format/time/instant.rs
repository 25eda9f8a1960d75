//! Instants of UTC in milliseconds, and their text in records.

use std::fmt;

use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant: a number of UTC milliseconds since the epoch, without leap seconds.
///
/// Displayed and serialised as RFC 3339 with `Z` and three digits of a second: `2026-11-20T00:00:00.000Z`.
/// Deserialising accepts only this form: the bytes of a record are signed, so an instant has one text.
///
/// # Examples
///
/// ```
/// use cxvault::format::time::instant::Instant;
///
/// let instant = Instant::parse("2024-07-22T13:24:40.0009+02:00").unwrap();
/// assert_eq!(instant.to_string(), "2024-07-22T11:24:40.000Z");
/// assert_eq!(instant, Instant::from_millis(1_721_647_480_000));
/// assert_eq!(serde_json::to_string(&instant)?, r#""2024-07-22T11:24:40.000Z""#);
/// assert!(serde_json::from_str::<Instant>(r#""2024-07-22T11:24:40Z""#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

impl Instant {
    /// Returns the instant `millis` milliseconds after the epoch, or before it where the number is negative.
    pub const fn from_millis(millis: i64) -> Instant {
        Instant(millis)
    }

    /// Returns the milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the instant `millis` milliseconds earlier, or the first one that has a number.
    pub(crate) const fn saturating_sub(self, millis: i64) -> Instant {
        Instant(self.0.saturating_sub(millis))
    }

    /// Parses RFC 3339 with any offset. Digits beyond the millisecond are cut off.
    ///
    /// Returns `None` for other texts, and for an instant that [`Display`](fmt::Display) could not write again.
    pub fn parse(text: &str) -> Option<Instant> {
        let millis = text.parse::<Timestamp>().ok()?.as_millisecond();
        // jiff parses the last second of its calendar, but has no fractions of it: a manifest that named such an
        // instant could not be read again.
        Timestamp::from_millisecond(millis).ok()?;
        Some(Instant(millis))
    }
}

/// Writes RFC 3339. An instant outside of the calendar, which only damaged data can name, is written as `… ms`.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Instant, D::Error> {
        let text = String::deserialize(from)?;
        Instant::parse(&text)
            .filter(|instant| instant.to_string() == text)
            .ok_or_else(|| D::Error::custom("not an instant such as 2026-11-20T00:00:00.000Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_with_milliseconds() {
        let epoch = Instant::from_millis(0);
        assert_eq!(epoch.to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            Instant::parse("2024-07-22T11:24:40.000Z"),
            Some(Instant::from_millis(1_721_647_480_000))
        );
        assert_eq!(Instant::parse("yesterday"), None);
        for edge in [
            "9999-12-30T22:00:00.999Z",
            "9999-12-30T22:00:00.000Z",
            "-009999-01-02T01:59:59.000Z",
        ] {
            let back = Instant::parse(edge).map(|instant| instant.to_string());
            assert!(back.as_deref().is_none_or(|back| back == edge), "{back:?}");
        }
    }
}
