//! Records of a chain that commit no rows: acknowledgements of gaps, legal holds, longer retention, disposal.
//!
//! The operator's commands write them. Each states its reason, and the person responsible where a name was given. What
//! holds and extensions require of objects, also of those that are committed later, is worked out by
//! [`Obligations`](crate::format::record::obligations::Obligations).

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::format::record::day::Incomplete;
use crate::format::record::link::Link;
use crate::format::record::lock::{Lock, LockMode, ObjectLock};
use crate::format::record::open::OpenValue;
use crate::format::time::{Days, Instant};

/// The longest reason, in characters: a sentence or two, not a file.
pub(crate) const LONGEST_REASON: usize = 1_000;

/// The most days that one record names. A command over more days writes several records.
pub(crate) const MOST_DAYS: usize = 1_000;

/// The longest name of a case or a person, in characters.
pub(crate) const LONGEST_NAME: usize = 128;

/// Gaps of some days that will stay, as they were when the operator acknowledged them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The days, in order.
    pub days: Vec<AcknowledgedDay>,
    /// Why the gaps will stay.
    pub reason: String,
    /// Name of the person responsible, where one was given. The host is in the manifest's `run`.
    pub by: Option<String>,
}

impl Acknowledgement {
    /// Returns the members with a value that a later program has added to an open list.
    pub(super) fn later_values(&self) -> Vec<&'static str> {
        let mut reasons = self.days.iter().flat_map(|day| &day.incomplete_because);
        match reasons.any(OpenValue::is_later) {
            true => vec!["days.incomplete_because"],
            false => Vec::new(),
        }
    }
}

/// One day with gaps. It stays acknowledged until a later revision of it is complete, or adds a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcknowledgedDay {
    /// The archive day.
    pub date: Date,
    /// The newest revision of the day.
    pub revision: u32,
    /// The manifest that committed that revision.
    pub manifest: Link,
    /// Summaries of agents that have no answer.
    pub agent_failed: u64,
    /// AI summaries that have no answer.
    pub auto_failed: u64,
    /// Why the day is not complete.
    pub incomplete_because: Vec<OpenValue<Incomplete>>,
}

/// A case holds a range of days, or releases it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Whether the case holds the range or releases it.
    pub act: HoldAct,
    /// Name of the case.
    pub case: String,
    /// The days.
    pub range: DateSpan,
    /// Why the days are held or released.
    pub reason: String,
    /// Name of the person responsible, where one was given.
    pub by: Option<String>,
    /// Whether the store retains legal holds. Where it does not, this record is the only trace of the hold.
    pub enforced: bool,
}

/// What a hold record does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldAct {
    /// The case holds the range from now on.
    Add,
    /// The case releases the range.
    Remove,
}

/// Days whose objects are retained longer than their manifests say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// The days that the operator named.
    pub range: DateSpan,
    /// The archived days of the range, each with the lock that all its objects have from now on, at least.
    pub days: Vec<ExtendedDay>,
    /// Why the days are retained longer, where a reason was given.
    pub reason: Option<String>,
    /// Name of the person responsible, where one was given.
    pub by: Option<String>,
}

/// One day whose retention was extended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendedDay {
    /// The archive day.
    pub date: Date,
    /// Mode of the lock.
    pub mode: LockMode,
    /// End of the lock.
    pub retain_until: Instant,
}

impl ExtendedDay {
    /// Returns the lock that the day's objects have, at least.
    pub fn lock(&self) -> Lock {
        Lock {
            mode: self.mode,
            until_ms: self.retain_until.as_millis(),
        }
    }
}

/// Days whose retention is over: from now on their data may be gone. Their manifests stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disposal {
    /// The days that the operator named.
    pub range: DateSpan,
    /// The archived days of the range that were not disposed of before, in order.
    pub days: Vec<DisposedDay>,
    /// Why the days are disposed of.
    pub reason: String,
    /// Name of the person responsible, where one was given.
    pub by: Option<String>,
}

/// One day that was disposed of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisposedDay {
    /// The archive day.
    pub date: Date,
    /// The newest revision. All revisions are disposed of.
    pub revision: u32,
    /// The manifest that committed the newest revision.
    pub manifest: Link,
    /// Number of parts of all revisions.
    pub files: u64,
    /// Bytes of the parts of all revisions.
    pub bytes: u64,
    /// The lock that has run out; null where there never was one.
    pub lock: Option<ObjectLock>,
}

/// Time between the end of a lock and the disposal of its day, in milliseconds: 24 hours. Clocks of hosts differ, and a
/// disposal cannot be undone.
pub(crate) const AFTER_LOCK_MS: i64 = 24 * 3_600_000;

/// Returns whether what `lock` retained may be disposed of at `now_ms` (UTC milliseconds).
pub(crate) fn has_run_out(lock: Option<Lock>, now_ms: i64) -> bool {
    lock.is_none_or(|lock| lock.until_ms.saturating_add(AFTER_LOCK_MS) <= now_ms)
}

/// The days from `from` up to, and not including, `to`. There is at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateSpan {
    /// The first day.
    pub from: Date,
    /// The day after the last one.
    pub to: Date,
}

impl DateSpan {
    /// Returns the span, or `None` where there is no day between `from` and `to`.
    pub fn new(from: Date, to: Date) -> Option<DateSpan> {
        (from < to).then_some(DateSpan { from, to })
    }

    /// Returns the span as a range with both bounds.
    pub fn days(&self) -> Days {
        Days {
            from: Some(self.from),
            to: Some(self.to),
        }
    }

    /// Returns whether `date` is one of the days.
    pub fn contains(&self, date: Date) -> bool {
        self.days().contains(date)
    }
}

impl fmt::Display for DateSpan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.days().fmt(out)
    }
}

/// Why a person's text cannot be in a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordsError {
    /// Nothing but blanks.
    #[error("it is empty")]
    Empty,
    /// A control character.
    #[error(
        "it holds a control character, such as a line break or a tab; write it in one plain line"
    )]
    Control,
    /// More characters than the limit: the length, and the limit.
    #[error(
        "it has {0} characters, and a record takes at most {1}; name a document that says the rest"
    )]
    TooLong(usize, usize),
}

/// Returns a person's text as a record may hold it: any script, in one line, without blanks around it.
///
/// Control characters are refused, so that `jq` prints the bytes that are signed, and so that a text cannot change the
/// terminal on which it is read. `longest` is the limit in characters.
///
/// # Errors
/// Says what is wrong, as a clause about the text.
pub(crate) fn words(text: &str, longest: usize) -> Result<String, WordsError> {
    let text = text.trim_matches(' ');
    let length = text.chars().count();
    if text.chars().any(char::is_control) {
        return Err(WordsError::Control);
    }
    match length {
        0 => Err(WordsError::Empty),
        _ if text.chars().all(char::is_whitespace) => Err(WordsError::Empty),
        _ if length > longest => Err(WordsError::TooLong(length, longest)),
        _ => Ok(text.to_owned()),
    }
}

/// Returns whether a record that was read may hold such a text: 1 to `longest` characters. Control characters are
/// refused earlier, for all texts of a record.
pub fn fits(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_text_is_one_line_of_any_script() {
        assert_eq!(
            words("  Az. 12 O 34/26 – Müller ", 100).unwrap(),
            "Az. 12 O 34/26 – Müller"
        );
        for text in [
            "two\nlines",
            "a\ttab",
            "\u{1b}[2J",
            "\u{85}",
            "\u{7f}",
            "ends\n",
        ] {
            assert_eq!(words(text, 100), Err(WordsError::Control), "{text:?}");
        }
        assert_eq!(words("   ", 100), Err(WordsError::Empty));
        assert_eq!(words("\u{2003}", 100), Err(WordsError::Empty));
        assert_eq!(words("ääää", 3), Err(WordsError::TooLong(4, 3)));
    }

    #[test]
    fn a_lock_has_run_out_a_day_after_its_end() {
        let lock = |until_ms| {
            Some(Lock {
                mode: LockMode::Compliance,
                until_ms,
            })
        };
        assert!(has_run_out(None, 0) && has_run_out(lock(1_000), 1_000 + AFTER_LOCK_MS));
        assert!(
            !has_run_out(lock(1_000), 999 + AFTER_LOCK_MS)
                && !has_run_out(lock(i64::MAX), i64::MAX - 1)
        );
    }

    #[test]
    fn a_range_without_a_day_is_none() {
        let date = |day| jiff::civil::date(2026, 11, day);
        assert_eq!(DateSpan::new(date(2), date(2)), None);
        let span = DateSpan::new(date(2), date(4)).unwrap();
        assert!(span.contains(date(3)) && !span.contains(date(4)));
        assert_eq!(span.to_string(), "2026-11-02..2026-11-04");
    }
}
