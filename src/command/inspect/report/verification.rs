//! A verification as the page shows it: one made now, or the output of an earlier `cxvault verify --json`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::outcome::{Exit, Failure, Result};

/// Findings that a page shows one by one, of each severity; all of them are counted.
const SHOWN: usize = 300;

/// What was found, as far as the output tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Name of the file that it was read from, and when that was written (UTC milliseconds); `None` when it was made
    /// for the page.
    pub file: Option<(String, Option<i64>)>,
    /// Every finding counted by its kind, worst first.
    pub kinds: BTreeMap<FindingKind, u64>,
    /// The first findings of each severity, worst first.
    pub shown: Vec<ReportedFinding>,
    /// What its last line says; `None` when the verification did not come to its end.
    pub ended: Option<VerificationEnd>,
    /// Why it ended early, where it says so.
    pub error: Option<String>,
}

/// How much a finding weighs to the page. Worst first: a word that is not known here might mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingWeight {
    Unknown,
    Violation,
    Gap,
    Notice,
}

/// What kind of finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FindingKind {
    pub weight: FindingWeight,
    pub code: String,
    pub meaning: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedFinding {
    pub weight: FindingWeight,
    pub code: String,
    pub object: String,
    pub expected: String,
    pub found: String,
}

/// The last line of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VerificationEnd {
    /// `quick`, `full` or `deep`.
    pub level: String,
    pub manifests: u64,
    pub signed_manifests: u64,
    pub files: u64,
    pub bytes: u64,
    pub rows: u64,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256` of each chain.
    pub heads: Vec<String>,
}

impl Verification {
    /// Reads a file of JSON lines. Events that nobody knows are passed over; a line that is no event is not, since it
    /// might have been a violation.
    ///
    /// # Errors
    /// [`Exit::Usage`] when the file cannot be read, or is no such output.
    pub fn read(path: &Path) -> Result<Verification> {
        let unusable = |why: String| {
            Failure::new(Exit::Usage, format!("{}: {why}", path.display()))
                .remedy("Name a file that `cxvault verify --json` of this archive has written.")
        };
        let file = File::open(path).map_err(|error| unusable(error.to_string()))?;
        let written_at = file.metadata().and_then(|about| about.modified()).ok();
        let written_at = written_at.and_then(|at| jiff::Timestamp::try_from(at).ok());
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut verification = Verification {
            file: Some((name, written_at.map(|at| at.as_millisecond()))),
            ..Verification::default()
        };
        for (n, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|error| unusable(error.to_string()))?;
            if line.trim().is_empty() {
                continue;
            }
            let event = serde_json::from_str(&line).ok().filter(Value::is_object);
            let event =
                event.ok_or_else(|| unusable(format!("line {} is no JSON object", n + 1)))?;
            verification.take(event);
        }
        Ok(verification)
    }

    /// Takes one event of `verify --json`.
    pub fn take(&mut self, event: Value) {
        match event["event"].as_str() {
            Some("finding") => self.found(&event),
            Some("error") => self.error = Some(text(&event, "message")),
            // Whatever is not there counts as nothing.
            Some("verified") => {
                self.ended = Some(serde_json::from_value(event).unwrap_or_default())
            }
            _ => {}
        }
    }

    fn found(&mut self, event: &Value) {
        let weight = match event["severity"].as_str() {
            Some("violation") => FindingWeight::Violation,
            Some("gap") => FindingWeight::Gap,
            Some("notice") => FindingWeight::Notice,
            _ => FindingWeight::Unknown,
        };
        let kind = FindingKind {
            weight,
            code: text(event, "code"),
            meaning: text(event, "meaning"),
        };
        let [object, expected, found] =
            ["object", "expected", "found"].map(|name| text(event, name));
        // Kept in order of weight, and in order of coming within it.
        let end = self.shown.partition_point(|one| one.weight <= weight);
        let begin = self.shown.partition_point(|one| one.weight < weight);
        if end - begin < SHOWN {
            self.shown.insert(
                end,
                ReportedFinding {
                    weight,
                    code: kind.code.clone(),
                    object,
                    expected,
                    found,
                },
            );
        }
        *self.kinds.entry(kind).or_default() += 1;
    }

    pub fn count(&self, weight: FindingWeight) -> u64 {
        self.kinds
            .iter()
            .filter(|(kind, _)| kind.weight == weight)
            .map(|(_, count)| count)
            .sum()
    }

    /// Something is not as it was committed, or was found that this program does not know.
    pub fn violations(&self) -> u64 {
        self.count(FindingWeight::Violation) + self.count(FindingWeight::Unknown)
    }
}

fn text(event: &Value, name: &str) -> String {
    event[name].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Verification> {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("found.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        Verification::read(&path)
    }

    #[test]
    fn findings_are_counted_and_the_worst_come_first() {
        let gap = r#"{"event":"finding","code":"day-missing","severity":"gap","object":"1 2026-11-20","meaning":"."}"#;
        let bad = r#"{"event":"finding","code":"file-missing","severity":"violation","object":"k","expected":"x"}"#;
        let later =
            r#"{"event":"finding","code":"from-tomorrow","severity":"catastrophe","object":"k"}"#;
        let end = r#"{"event":"verified","exit":4,"files":3,"level":"deep","heads":["h"]}"#;
        let mut lines = vec![gap; 600];
        lines.extend([bad, later, r#"{"event":"whatever"}"#, "", end]);
        let read = read(&lines).unwrap();
        assert_eq!(
            (
                read.violations(),
                read.count(FindingWeight::Gap),
                read.shown.len()
            ),
            (2, 600, SHOWN + 2)
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
    fn what_is_no_output_of_verify_is_refused_and_what_was_cut_off_has_no_end() {
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
