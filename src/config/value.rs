//! The types of values of settings. Each reads a text and writes it back in one canonical form, which is what
//! `cxvault config` shows and what the digest of the settings is computed from.
//!
//! The canonical form must not depend on how the user wrote the value: `90s`, `90 s` and `90000ms` are one setting, and two hosts
//! with these texts write the same digest into their manifests. A change of a canonical form changes the digest of every
//! installation that uses it, so that the tests pin them.
//!
//! An [`Invalid`] has no name of a setting and no secret. [`Layers::take`](crate::config::layers::Layers::take) adds the origin of
//! the text, the meaning of the setting and an example.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz;
use serde::Serialize;

use crate::config::suggest::did_you_mean;
use crate::format::record::{LockMode, Period, Retention};

/// Why a text is not such a value. It completes the sentence "KEY: ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// A value, or why a text is not such a value.
pub(crate) type Parsed<T> = Result<T, Invalid>;

/// Returns an error with this reason.
pub(super) fn invalid<T>(what: impl Into<String>) -> Parsed<T> {
    Err(Invalid(what.into()))
}

/// Declares how types of values are read: by a function that returns `None` for a text that is not such a value, and the rest
/// of the message "`TEXT` ...", which says what would be right.
macro_rules! read_by {
    ($($name:ident, $wrong:literal = $read:expr;)+) => {$(
        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Parsed<Self> {
                let read: fn(&str) -> Option<_> = $read;
                match read(text) {
                    Some(value) => Ok($name(value)),
                    None => invalid(format!(concat!("`{}` ", $wrong), text)),
                }
            }
        }
    )+};
}

/// Declares that types of values are written as the value inside them.
macro_rules! written_as_inner {
    ($([$($generics:tt)*] $name:ty;)+) => {$(
        impl<$($generics)*> fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }
    )+};
}

/// Splits a text into a whole number and the unit behind it; `None` if it does not begin with a number.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Reads a number with one of these units behind it, and returns it in the unit of size 1; `None` for another text, and for a
/// number that does not fit into 64 bits.
fn measured(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let (_, size) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*size)
}

/// A length of time: `250ms`, `60s`, `15m`, `2h`, `14d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DurationValue(pub Duration);

/// Units of a length of time in milliseconds, the longest first.
const SPAN_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl fmt::Display for DurationValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        // The largest unit of which there are at least two, as people write it: 60s and 24h.
        let (name, unit) = SPAN_UNITS
            .iter()
            .find(|(_, unit)| ms.is_multiple_of(*unit) && ms > *unit)
            .unwrap_or(&("ms", 1));
        write!(out, "{}{name}", ms / unit)
    }
}

/// A length of time that is not zero. With a time-out of zero every request would fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PositiveSpan(pub DurationValue);

impl FromStr for PositiveSpan {
    type Err = Invalid;

    fn from_str(text: &str) -> Parsed<Self> {
        match text.parse::<DurationValue>()? {
            span if span.0.is_zero() => invalid(format!("`{text}` must be longer than zero")),
            span => Ok(PositiveSpan(span)),
        }
    }
}

/// A number of whole days, 1 to 36,500: `14d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DayCount(pub u32);

impl fmt::Display for DayCount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}d", self.0)
    }
}

/// A number of bytes, at least 1: `4MiB`, `256KiB`, `1000B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(pub u64);

/// Units of a size in bytes, the largest first.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl fmt::Display for ByteSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = SIZE_UNITS
            .iter()
            .find(|(_, unit)| self.0.is_multiple_of(*unit))
            .unwrap_or(&("B", 1));
        write!(out, "{}{name}", self.0 / unit)
    }
}

/// A size from `MIN` to `MAX` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeWithin<const MIN: u64, const MAX: u64>(pub ByteSize);

impl<const MIN: u64, const MAX: u64> FromStr for SizeWithin<MIN, MAX> {
    type Err = Invalid;

    fn from_str(text: &str) -> Parsed<Self> {
        let (least, most) = (ByteSize(MIN), ByteSize(MAX));
        match text.parse()? {
            size if (least..=most).contains(&size) => Ok(SizeWithin(size)),
            _ => invalid(format!("`{text}` is not between {least} and {most}")),
        }
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64, const MAX: u64> FromStr for Count<MIN, MAX> {
    type Err = Invalid;

    fn from_str(text: &str) -> Parsed<Self> {
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Count(number)),
            _ => invalid(format!(
                "`{text}` is not a whole number between {MIN} and {MAX}"
            )),
        }
    }
}

/// `true` or `false`. `1` and `0` are accepted too, since they are common in environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switch(pub bool);

/// Object Lock as the settings write it: `governance:2555d`, `compliance:7y`, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockPolicy(pub Option<Retention>);

impl fmt::Display for LockPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(retention) => retention.fmt(out),
            None => out.write_str("off"),
        }
    }
}

read_by! {
    DurationValue, "is not a duration; write a number with ms, s, m, h or d, such as 15m" =
        |text| measured(text, &SPAN_UNITS).map(Duration::from_millis);
    DayCount, "is not a number of days; write 1d to 36500d, such as 14d" =
        |text| match number_and_unit(text)? {
            (days @ 1..=36_500, "d") => Some(days as u32),
            _ => None,
        };
    ByteSize, "is not a size; write a number with B, KiB, MiB or GiB, such as 4MiB" =
        |text| measured(text, &SIZE_UNITS).filter(|bytes| *bytes > 0);
    Switch, "is neither true nor false" =
        |text| match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
    LockPolicy, "is not an object lock; write governance:DAYSd, compliance:YEARSy (at most 36500d or 100y), or off" =
        |text| match text {
            "off" => Some(None),
            _ => retention(text).map(Some),
        };
}

/// Reads the retention of a lock: its mode, and its length in days or in calendar years.
fn retention(text: &str) -> Option<Retention> {
    let (mode, period) = text.split_once(':')?;
    let mode = match mode {
        "governance" => LockMode::Governance,
        "compliance" => LockMode::Compliance,
        _ => return None,
    };
    // S3 accepts at most 36,500 days or 100 years.
    let period = match number_and_unit(period)? {
        (days @ 1..=36_500, "d") => Period::Days(days as u16),
        (years @ 1..=100, "y") => Period::Years(years as u16),
        _ => return None,
    };
    Some(Retention { mode, period })
}

written_as_inner! {
    [] PositiveSpan;
    [const MIN: u64, const MAX: u64] SizeWithin<MIN, MAX>;
    [const MIN: u64, const MAX: u64] Count<MIN, MAX>;
    [] Switch;
    [] ZoneName;
}

/// Returns the elements of a text with commas between them, without blanks and empty elements.
pub(super) fn elements(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Several values: an array in the settings file, a text with commas elsewhere. Blanks, empty elements and duplicates are
/// dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        List(Vec::new())
    }
}

impl<T: Into<String>> List<T> {
    /// Returns the elements as texts.
    pub(super) fn into_texts(self) -> Vec<String> {
        self.0.into_iter().map(Into::into).collect()
    }
}

impl<T: FromStr<Err = Invalid> + PartialEq> FromStr for List<T> {
    type Err = Invalid;

    fn from_str(text: &str) -> Parsed<Self> {
        let mut list = Vec::new();
        for element in elements(text) {
            let value = element.parse()?;
            if !list.contains(&value) {
                list.push(value);
            }
        }
        Ok(List(list))
    }
}

impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, value) in self.0.iter().enumerate() {
            write!(out, "{}{value}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// An IANA time zone that is in the database of this build, in its official spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ZoneName(pub String);

impl FromStr for ZoneName {
    type Err = Invalid;

    fn from_str(text: &str) -> Parsed<Self> {
        let zone = tz::db().get(text).ok();
        if let Some(name) = zone.as_ref().and_then(|zone| zone.iana_name()) {
            return Ok(ZoneName(name.to_owned()));
        }
        let names: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
        // Users often write the city alone.
        let of_city = names.iter().find(|name| {
            let city = name.rsplit('/').next();
            city.is_some_and(|city| city.eq_ignore_ascii_case(text))
        });
        let suggestion = match of_city {
            Some(name) => format!("did you mean `{name}`?"),
            None => did_you_mean(text, names.iter().map(String::as_str))
                .unwrap_or_else(|| "write an IANA name such as America/New_York or UTC".into()),
        };
        invalid(format!("`{text}` is not a time zone; {suggestion}"))
    }
}

/// Declares an enum whose variants are written as words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant),+ }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Parsed<Self> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => invalid(format!("`{text}` is none of {}", [$($word),+].join(", "))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(match self { $($name::$variant => $word),+ })
            }
        }
    };
}

words! {
    /// Scope of the summary limits.
    LimitScope {
        /// They count for all sub-accounts of one credential together.
        Credential = "credential",
        /// They count for each sub-account by itself.
        SubAccount = "sub-account",
    }
}

words! {
    /// Format of log lines on stderr.
    LogFormat {
        /// Lines for people.
        Text = "text",
        /// One JSON object for each line.
        Json = "json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: FromStr<Err = Invalid> + fmt::Display>(texts: &[&str]) {
        for text in texts {
            assert_eq!(
                text.parse::<T>().map(|value| value.to_string()),
                Ok(text.to_string())
            );
        }
    }

    #[test]
    fn values_write_what_they_read() {
        round_trip::<DurationValue>(&["250ms", "60s", "90s", "15m", "24h", "36h", "14d", "0ms"]);
        round_trip::<DayCount>(&["1d", "36500d"]);
        round_trip::<ByteSize>(&["1B", "1000B", "4MiB", "256KiB", "5GiB"]);
        round_trip::<ZoneName>(&["UTC", "US/Eastern", "America/New_York"]);
        round_trip::<LockPolicy>(&["off", "governance:2555d", "compliance:7y"]);
        round_trip::<List<DayCount>>(&["", "1d", "1d,2d"]);
        round_trip::<LimitScope>(&["credential", "sub-account"]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "m",
            "15",
            "15 min",
            "-1s",
            "1.5h",
            "99999999999999999999d",
            "18446744073709551615d",
        ] {
            assert!(text.parse::<DurationValue>().is_err(), "{text}");
        }
        for text in ["", "0B", "4MB", "4", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        for text in [
            "on",
            "7y",
            "governance",
            "governance:0d",
            "governance:7",
            "compliance:101y",
            "x:7y",
        ] {
            assert!(text.parse::<LockPolicy>().is_err(), "{text}");
        }
        assert!("0d".parse::<DayCount>().is_err() && "24h".parse::<DayCount>().is_err());
    }

    #[test]
    fn zones_are_spelled_officially_or_suggested() {
        assert_eq!("us/eastern".parse(), Ok(ZoneName("US/Eastern".into())));
        for (text, suggestion) in [
            ("US/Estern", "`US/Eastern`"),
            ("new_york", "`America/New_York`"),
            ("Mars/Base", "IANA name"),
        ] {
            let error = text.parse::<ZoneName>().unwrap_err().to_string();
            assert!(error.contains(suggestion), "{error}");
        }
    }

    #[test]
    fn years_of_retention_follow_the_calendar() {
        let ms = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let until = |lock: &str, from: &str| {
            lock.parse::<LockPolicy>()
                .unwrap()
                .0
                .unwrap()
                .lock_from(ms(from))
                .unwrap()
                .until_ms
        };
        assert_eq!(
            until("compliance:7y", "2026-11-20T01:02:03.004Z"),
            ms("2033-11-20T01:02:04Z")
        );
        assert_eq!(
            until("governance:2555d", "2026-11-20T00:00:00Z"),
            ms("2033-11-18T00:00:00Z")
        );
    }
}
