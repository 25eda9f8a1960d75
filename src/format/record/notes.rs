//! Records of a chain that commit no rows: gaps that somebody has acknowledged, legal holds, longer retention, disposal
//! after retention.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::format::record::lock::{Lock, LockMode};
use crate::format::record::manifest::{Incomplete, Link, ObjectLock};
use crate::format::time::range::Days;
use crate::format::time::wire::instant;

/// The longest reason, in characters: a sentence or two, not a file.
pub const LONGEST_REASON: usize = 1_000;

/// The longest name of a case or a person, in characters.
pub const LONGEST_NAME: usize = 128;

/// Gaps of some days that will stay, as they stood when somebody took note of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    pub days: Vec<AcknowledgedDay>,
    pub reason: String,
    /// Who says so, if they gave a name; the host is in the manifest's `run`.
    pub by: Option<String>,
}

/// One day with gaps. It stays acknowledged until a later revision of it is complete, or adds a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgedDay {
    pub date: Date,
    pub revision: u32,
    /// The manifest that committed that revision.
    pub manifest: Link,
    /// Summaries that could not be had.
    pub agent_failed: u64,
    pub auto_failed: u64,
    pub incomplete_because: Vec<Incomplete>,
}

/// A case opens, or gives up, its claim on a range of days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    pub act: HoldAct,
    pub case: String,
    pub range: DateSpan,
    pub reason: String,
    pub by: Option<String>,
    /// Whether the store keeps legal holds; where it does not, this record is all there is.
    pub enforced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldAct {
    Add,
    Remove,
}

/// Days whose objects are kept longer than their manifests say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    pub range: DateSpan,
    /// The archived days of the range, each with the lock that all its objects have from now on, at least.
    pub days: Vec<ExtendedDay>,
    pub reason: Option<String>,
    pub by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtendedDay {
    pub date: Date,
    pub mode: LockMode,
    #[serde(with = "instant")]
    pub retain_until: i64,
}

impl ExtendedDay {
    pub fn lock(&self) -> Lock {
        Lock {
            mode: self.mode,
            until_ms: self.retain_until,
        }
    }
}

/// Days whose time is over: from now on their data may be gone. Their manifests stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disposal {
    pub range: DateSpan,
    /// The days of the range that were not disposed of before, in order.
    pub days: Vec<DisposedDay>,
    pub reason: String,
    pub by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisposedDay {
    pub date: Date,
    /// The newest one; all of them are disposed of.
    pub revision: u32,
    /// The manifest that committed it.
    pub manifest: Link,
    /// Of all revisions.
    pub files: u64,
    pub bytes: u64,
    /// What had kept them; none where nothing ever did.
    pub lock: Option<ObjectLock>,
}

/// A lock must have run out for so long before its day is disposed of: hosts' clocks are off, and this cannot be undone.
pub const AFTER_LOCK_MS: i64 = 24 * 3_600_000;

/// Whether what `lock` kept may be disposed of at `now_ms` (UTC milliseconds).
pub fn has_run_out(lock: Option<Lock>, now_ms: i64) -> bool {
    lock.is_none_or(|lock| lock.until_ms.saturating_add(AFTER_LOCK_MS) <= now_ms)
}

/// The days from `from` up to, and not including, `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateSpan {
    pub from: Date,
    pub to: Date,
}

impl DateSpan {
    /// `None` for a range without a day.
    pub fn new(from: Date, to: Date) -> Option<DateSpan> {
        (from < to).then_some(DateSpan { from, to })
    }

    pub fn days(&self) -> Days {
        Days {
            from: Some(self.from),
            to: Some(self.to),
        }
    }

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
pub enum WordsError {
    #[error("it is empty")]
    Empty,
    #[error(
        "it holds a control character, such as a line break or a tab; write it in one plain line"
    )]
    Control,
    #[error(
        "it has {0} characters, and a record takes at most {1}; name a document that says the rest"
    )]
    TooLong(usize, usize),
}

/// A person's text as a record may hold it: any script, in one line, so that `jq` prints the bytes that are signed and
/// nobody's terminal is rewritten by reading it. Blanks around it are dropped.
///
/// # Errors
/// Says what is wrong, as a clause about the text.
pub fn words(text: &str, longest: usize) -> Result<String, WordsError> {
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

/// Whether a record that was read may hold such a text; that none of its texts has control characters is seen before.
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
