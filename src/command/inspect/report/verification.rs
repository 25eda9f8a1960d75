//! A verification as the page shows it: made for the page, or the output of an earlier `cxvault verify --json`.
//!
//! A verification of years takes hours, and is usually a job of its own; the page then reads the job's output. That output may be
//! from an older or newer version of this program, so that unknown events are skipped and unknown severities count as the worst.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::outcome::{Failure, Result};

/// Findings of each severity that a page lists; all of them are counted.
const MAX_LISTED: usize = 300;

/// What a verification found, as far as its output says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Name of the file that it was read from, and when that was written (UTC milliseconds); `None` if it was made for
    /// the page.
    pub file: Option<(String, Option<i64>)>,
    /// Number of findings of each kind, the most severe first.
    pub(crate) kinds: BTreeMap<FindingKind, u64>,
    /// The first findings of each severity, the most severe first.
    pub(crate) shown: Vec<ReportedFinding>,
    /// The last line of the output; `None` if the verification ended early.
    pub(crate) ended: Option<VerificationEnd>,
    /// Why it ended early, if the output says so.
    pub error: Option<String>,
}

/// The severity of a finding, the most severe first. A word that this version does not know might mean anything, so it
/// counts as the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReportedSeverity {
    /// The output has a word that this version does not know.
    Unknown,
    /// Something differs from what was committed.
    Violation,
    /// Something was never archived.
    Gap,
    /// Something that a reader should know, and that is no fault.
    Notice,
}

/// A kind of finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FindingKind {
    /// The severity of all findings of this kind.
    pub severity: ReportedSeverity,
    /// The documented code, such as `file-missing`.
    pub code: String,
    /// What the code means, as a sentence.
    pub meaning: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportedFinding {
    /// As its kind's.
    pub severity: ReportedSeverity,
    /// As its kind's.
    pub code: String,
    /// The object's key, or the sub-account and date.
    pub object: String,
    /// What should be there, if anything is to be compared.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// The last line of a verification's output. What a line lacks counts as empty or 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct VerificationEnd {
    /// `quick`, `full` or `deep`.
    pub level: String,
    /// Number of records that were read.
    pub manifests: u64,
    /// Number of those that are signed.
    pub signed_manifests: u64,
    /// Number of files that were checked.
    pub files: u64,
    /// Bytes of files that were read.
    pub bytes: u64,
    /// Rows that were checked.
    pub rows: u64,
    /// What was checked and what was not, a sentence each.
    pub checked: Vec<String>,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256` of each chain.
    pub heads: Vec<String>,
}

impl Verification {
    /// Reads a file of JSON lines. Events of an unknown name are skipped; a line that is not JSON is an error, because it
    /// might have been a violation.
    ///
    /// # Errors
    /// `Exit::Usage` if the file cannot be read, or is not such output.
    pub fn read(path: &Path) -> Result<Verification> {
        let file = File::open(path).map_err(|error| unusable(path, error))?;
        let written_at = file
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|time| jiff::Timestamp::try_from(time).ok())
            .map(|time| time.as_millisecond());
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut verification = Verification {
            file: Some((name, written_at)),
            ..Verification::default()
        };
        for (n, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|error| unusable(path, error))?;
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str(&line) {
                Ok(event @ Value::Object(_)) => verification.take(event),
                _ => {
                    return Err(unusable(
                        path,
                        format!("line {} is not a JSON object", n + 1),
                    ));
                }
            }
        }
        Ok(verification)
    }

    /// Takes one event of `verify --json`.
    pub fn take(&mut self, event: Value) {
        match event["event"].as_str() {
            Some("finding") => self.take_finding(&event),
            Some("error") => self.error = Some(text(&event, "message")),
            Some("verified") => {
                self.ended = Some(serde_json::from_value(event).unwrap_or_default())
            }
            _ => {}
        }
    }

    fn take_finding(&mut self, event: &Value) {
        let severity = match event["severity"].as_str() {
            Some("violation") => ReportedSeverity::Violation,
            Some("gap") => ReportedSeverity::Gap,
            Some("notice") => ReportedSeverity::Notice,
            _ => ReportedSeverity::Unknown,
        };
        let code = text(event, "code");
        // The list is ordered by severity, and by arrival within a severity.
        let end = self
            .shown
            .partition_point(|finding| finding.severity <= severity);
        let begin = self
            .shown
            .partition_point(|finding| finding.severity < severity);
        if end - begin < MAX_LISTED {
            let finding = ReportedFinding {
                severity,
                code: code.clone(),
                object: text(event, "object"),
                expected: text(event, "expected"),
                found: text(event, "found"),
            };
            self.shown.insert(end, finding);
        }
        let kind = FindingKind {
            severity,
            code,
            meaning: text(event, "meaning"),
        };
        *self.kinds.entry(kind).or_default() += 1;
    }

    /// Returns the number of findings of a severity.
    pub(crate) fn count(&self, severity: ReportedSeverity) -> u64 {
        self.kinds
            .iter()
            .filter(|(kind, _)| kind.severity == severity)
            .map(|(_, count)| count)
            .sum()
    }

    /// Returns the number of findings that say, or may say, that something differs from what was committed.
    pub fn violations(&self) -> u64 {
        self.count(ReportedSeverity::Violation) + self.count(ReportedSeverity::Unknown)
    }

    /// Returns the number of gaps.
    pub fn gaps(&self) -> u64 {
        self.count(ReportedSeverity::Gap)
    }

    /// Returns the number of notices.
    pub fn notices(&self) -> u64 {
        self.count(ReportedSeverity::Notice)
    }
}

/// Returns the failure for a file that is not the output of a verification.
fn unusable(path: &Path, reason: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("{}: {reason}", path.display()))
        .remedy("Name a file that `cxvault verify --json` has written for this archive.")
}

/// Returns a member of an event as text; empty if the event lacks it.
fn text(event: &Value, name: &str) -> String {
    event[name].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Exit;

    fn read(lines: &[&str]) -> Result<Verification> {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("found.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        Verification::read(&path)
    }

    #[test]
    fn findings_are_counted_and_the_most_severe_come_first() {
        let gap = r#"{"event":"finding","code":"day-missing","severity":"gap","object":"1 2026-11-20","meaning":"."}"#;
        let bad = r#"{"event":"finding","code":"file-missing","severity":"violation","object":"k","expected":"x"}"#;
        let later =
            r#"{"event":"finding","code":"from-tomorrow","severity":"catastrophe","object":"k"}"#;
        let end = r#"{"event":"verified","exit":4,"files":3,"level":"deep","heads":["h"]}"#;
        let mut lines = vec![gap; 600];
        lines.extend([bad, later, r#"{"event":"unknown"}"#, "", end]);
        let read = read(&lines).unwrap();
        assert_eq!(
            (
                read.violations(),
                read.count(ReportedSeverity::Gap),
                read.shown.len()
            ),
            (2, 600, MAX_LISTED + 2)
        );
        let codes: Vec<&str> = read.shown[..3].iter().map(|found| &*found.code).collect();
        assert_eq!(codes, ["from-tomorrow", "file-missing", "day-missing"]);
        let ended = read.ended.unwrap();
        assert_eq!(
            (ended.files, &*ended.level, ended.heads),
            (3, "deep", vec!["h".to_owned()])
        );
        assert_eq!(read.file.unwrap().0, "found.jsonl");
    }

    #[test]
    fn other_files_are_refused_and_output_that_was_cut_off_has_no_end() {
        for line in ["42 findings", "42", r#"{"event":"find"#] {
            let refused = read(&[line]).unwrap_err();
            assert!(
                refused.exit == Exit::Usage && refused.to_string().contains("line 1"),
                "{refused}"
            );
        }
        assert_eq!(read(&[]).unwrap().ended, None);
        let stopped = read(&[r#"{"event":"error","message":"interrupted"}"#]).unwrap();
        assert_eq!(
            (stopped.ended, stopped.error.as_deref()),
            (None, Some("interrupted"))
        );
    }
}
