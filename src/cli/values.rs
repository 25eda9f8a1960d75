//! Values of flags that several commands take: dates, ranges of days, shares of the work, names of a fixed set.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use jiff::civil::Date;

use crate::format::record::DateSpan;
use crate::format::time::Days;
use crate::outcome::Failure;

/// A range of archive days with both bounds optional, for commands that read.
#[derive(Debug, Clone, Args)]
pub struct DayRangeArgs {
    /// First archive day, as YYYY-MM-DD [default: the archive's first day]
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Option<Date>,
    /// Day after the last archive day: --from 2026-11-01 --to 2026-12-01 is
    /// November [default: the day after the archive's last day]
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Option<Date>,
}

impl DayRangeArgs {
    /// Returns the range.
    ///
    /// # Errors
    /// `Exit::Usage` for a range that contains no day: a typing error must not read as "nothing found".
    pub fn days(&self) -> Result<Days, Failure> {
        half_open(self.from, self.to)
    }
}

/// A range of archive days with both bounds required, for commands that write.
///
/// What goes into a chain must not depend on what the archive contains today, so there are no defaults.
#[derive(Debug, Clone, Args)]
pub struct RequiredRangeArgs {
    /// First archive day, as YYYY-MM-DD, in each sub-account's time zone
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Date,
    /// Day after the last archive day: --from 2026-11-01 --to 2026-12-01 is
    /// November
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Date,
}

impl RequiredRangeArgs {
    /// Returns the range as commands that visit each day take it.
    ///
    /// # Errors
    /// `Exit::Usage` for a range that contains no day.
    pub fn days(&self) -> Result<Days, Failure> {
        half_open(Some(self.from), Some(self.to))
    }

    /// Returns the range as records contain it.
    ///
    /// # Errors
    /// `Exit::Usage` for a range that contains no day.
    pub fn span(&self) -> Result<DateSpan, Failure> {
        DateSpan::new(self.from, self.to)
            .ok_or_else(|| no_day(format_args!("{}..{}", self.from, self.to)))
    }
}

/// A range of archive days that is given with both bounds, or not at all.
#[derive(Debug, Clone, Args)]
pub struct WholeRangeArgs {
    /// First archive day, as YYYY-MM-DD
    #[arg(long, value_name = "DATE", value_parser = date, requires = "to")]
    pub from: Option<Date>,
    /// Day after the last archive day: --from 2026-11-01 --to 2026-12-01 is
    /// November
    #[arg(long, value_name = "DATE", value_parser = date, requires = "from")]
    pub to: Option<Date>,
}

impl WholeRangeArgs {
    /// Returns the range, if one is given.
    fn given(&self) -> Option<RequiredRangeArgs> {
        let (from, to) = self.from.zip(self.to)?;
        Some(RequiredRangeArgs { from, to })
    }

    /// Returns the range as commands that visit each day take it, if one is given.
    ///
    /// # Errors
    /// As [`RequiredRangeArgs::days`].
    pub fn days(&self) -> Result<Option<Days>, Failure> {
        self.given().map(|range| range.days()).transpose()
    }

    /// Returns the range as records contain it, if one is given.
    ///
    /// # Errors
    /// As [`RequiredRangeArgs::span`].
    pub fn span(&self) -> Result<Option<DateSpan>, Failure> {
        self.given().map(|range| range.span()).transpose()
    }
}

fn half_open(from: Option<Date>, to: Option<Date>) -> Result<Days, Failure> {
    let days = Days { from, to };
    if days.is_empty() {
        return Err(no_day(format_args!("{days}")));
    }
    Ok(days)
}

fn no_day(range: std::fmt::Arguments<'_>) -> Failure {
    Failure::usage(format!("the range {range} contains no day")).remedy(
        "--to is the day after the last one: --from 2026-11-01 --to 2026-12-01 is November.",
    )
}

/// Parses a date. Only `YYYY-MM-DD` is accepted: other forms of ISO 8601 are too easily mistaken for something else.
pub(super) fn date(text: &str) -> Result<Date, String> {
    let is_plain = text.len() == 10 && text.is_ascii();
    let date = text
        .parse::<Date>()
        .ok()
        .filter(|date| is_plain && date.to_string() == text);
    date.ok_or_else(|| "not a calendar date; write it as YYYY-MM-DD, such as 2026-11-20".into())
}

/// Rejects an empty value: it is an unset shell variable, and must not mean "all".
pub(super) fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("the value is empty; omit the flag for all sub-accounts".into())
    } else {
        Ok(text.into())
    }
}

/// The n-th of t equal shares of some work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    /// Number of the share, from 1 to `of`.
    pub n: u32,
    /// Number of all shares.
    pub of: u32,
}

/// Parses `N/T`.
pub(super) fn subset(text: &str) -> Result<Subset, String> {
    let numbers = text
        .split_once('/')
        .and_then(|(n, of)| Some((n.parse().ok()?, of.parse().ok()?)));
    match numbers {
        Some((n, of)) if (1..=of).contains(&n) => Ok(Subset { n, of }),
        _ => Err("write it as n/t with n from 1 to t, such as 3/30".into()),
    }
}

/// The end of what an earlier export of a chain contained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// The chain's sub-account.
    pub sub_account: String,
    /// Sequence number of the last manifest that was exported.
    pub sequence: u64,
}

/// Parses `SUB_ACCOUNT=SEQUENCE`.
pub(super) fn after(text: &str) -> Result<After, String> {
    let parsed = text.split_once('=').and_then(|(sub_account, sequence)| {
        Some(After {
            sub_account: sub_account.to_owned(),
            sequence: sequence.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| "write it as SUB_ACCOUNT=SEQUENCE, such as 99999999=42".into())
}

/// Returns a parser for a flag whose values are those of a domain type.
///
/// The type's own `name` gives the spelling, so no second type repeats it for the command line. `help` explains each
/// value in `--help`; an empty text explains nothing.
pub(super) fn choice<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
    help: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let values = all.iter().map(move |&value| {
        let possible = PossibleValue::new(name(value));
        match help(value) {
            "" => possible,
            text => possible.help(text),
        }
    });
    PossibleValuesParser::new(values).try_map(move |text: String| {
        all.iter()
            .copied()
            .find(|&value| name(value) == text)
            // The parser before this step has accepted the text, so this cannot happen.
            .ok_or("not one of the possible values")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_calendar_dates() {
        assert_eq!(date("2026-11-20").unwrap().to_string(), "2026-11-20");
        for text in [
            "2026-02-30",
            "20261120",
            "2026-11-20T00:00",
            "2026-W47-5",
            "yesterday",
            "",
            "2026-1-1",
        ] {
            assert!(date(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_and_sequences_are_read_strictly() {
        assert_eq!(subset("3/30"), Ok(Subset { n: 3, of: 30 }));
        for text in ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/4"] {
            assert!(subset(text).is_err(), "{text}");
        }
        let expected = After {
            sub_account: "1".into(),
            sequence: 0,
        };
        assert_eq!(after("1=0"), Ok(expected));
        assert!(after("1=x").is_err() && after("1").is_err());
    }
}
