//! Compares an archive with the simulator's truth. The archive is read by a Python program with
//! DuckDB, not by cxvault's code.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::python::duckdb_python;
use super::vault::{Simulator, Vault};

/// A segment as the archive holds it; see `read_archive.py`.
pub type Archived = BTreeMap<String, Value>;

/// Returns the day's segments by their keys; panics when the archive contradicts its format.
pub fn archived(vault: &Vault, sub: &str, date: &str) -> Archived {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/read_archive.py");
    let mut python = Command::new(duckdb_python());
    let read = python
        .arg("-I")
        .arg(script)
        .arg(vault.archive())
        .args([sub, date])
        .output()
        .unwrap();
    assert!(
        read.status.success(),
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
    let lines = String::from_utf8(read.stdout).unwrap();
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    lines
        .lines()
        .map(parse)
        .map(|row| (row["key"].as_str().unwrap().to_owned(), row))
        .collect()
}

#[derive(serde::Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    segment: &'a RawValue,
    in_range: bool,
    shown: u64,
    agent: Value,
    auto: Value,
}

/// What the simulator would show for the day now.
pub struct Truth {
    /// Lines of `/__sim/truth` by segment key.
    lines: BTreeMap<String, String>,
    /// Number of objects in all answers of discovery together.
    pub objects: u64,
}

impl Truth {
    /// Returns the truth of the UTC day `date`.
    pub fn of_utc_day(simulator: &Simulator, sub: &str, date: &str) -> Truth {
        let next = date
            .parse::<jiff::civil::Date>()
            .unwrap()
            .tomorrow()
            .unwrap();
        Truth::between(
            simulator,
            sub,
            &format!("{date}T00:00:00Z"),
            &format!("{next}T00:00:00Z"),
        )
    }

    pub fn between(simulator: &Simulator, sub: &str, from: &str, to: &str) -> Truth {
        let mut truth = Truth {
            lines: BTreeMap::new(),
            objects: 0,
        };
        for line in simulator.truth(sub, from, to).lines() {
            let read: Line = serde_json::from_str(line).unwrap();
            truth.objects += read.shown;
            let before = truth.lines.insert(key(&read), line.to_owned());
            assert!(before.is_none(), "the truth repeats a segment: {line}");
        }
        truth
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }

    /// Returns the texts that must never appear outside the archive: summaries, notes and contacts.
    pub fn texts(&self) -> Vec<String> {
        use base64::Engine as _;
        let mut texts = Vec::new();
        for line in self.lines.values() {
            let line: Value = serde_json::from_str(line).unwrap();
            for kind in ["agent", "auto"] {
                let Some(body) = line[kind]["body_base64"].as_str() else {
                    continue;
                };
                let body = base64::engine::general_purpose::STANDARD
                    .decode(body)
                    .unwrap();
                texts.extend(String::from_utf8(body));
            }
            let field = |name: &str| line["segment"][name].as_str().map(str::to_owned);
            texts.extend(
                [
                    "contactEndpointAddress",
                    "channelEndpointAddress",
                    "agentNotes",
                ]
                .map(field)
                .into_iter()
                .flatten(),
            );
        }
        texts.retain(|text| text.trim().len() >= 8);
        texts
    }

    /// Compares row by row; panics with the first few differences.
    #[track_caller]
    pub fn check(&self, archived: &Archived) {
        let mut wrong = Vec::new();
        for (key, line) in &self.lines {
            match archived.get(key) {
                Some(row) => differences(&serde_json::from_str(line).unwrap(), row, &mut wrong),
                None => wrong.push(format!("missing: {line}")),
            }
        }
        let extra = archived.keys().filter(|key| !self.lines.contains_key(*key));
        wrong.extend(extra.map(|key| format!("not in the truth: {key}")));
        wrong
            .iter_mut()
            .for_each(|line| line.truncate(line.floor_char_boundary(1_000)));
        assert!(
            wrong.is_empty(),
            "{} differences, such as\n{}",
            wrong.len(),
            wrong[..wrong.len().min(5)].join("\n")
        );
        assert!(!self.lines.is_empty(), "an empty truth compares nothing");
    }
}

fn key(line: &Line) -> String {
    let object: Value = serde_json::from_str(line.segment.get()).unwrap();
    match object["segmentId"].as_str() {
        Some(id) => id.to_owned(),
        None => {
            let digest = Sha256::digest(line.segment.get());
            format!(
                "sha256:{}",
                digest
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>()
            )
        }
    }
}

fn differences(truth: &Line, row: &Value, wrong: &mut Vec<String>) {
    let mut differ = |what: &str, expected: &Value, found: &Value| {
        if expected != found {
            wrong.push(format!(
                "{}: {what}: expected {expected}, found {found}",
                row["key"]
            ));
        }
    };
    differ(
        "segment_json",
        &truth.segment.get().into(),
        &row["segment_json"],
    );
    let object: Value = serde_json::from_str(truth.segment.get()).unwrap();
    let out_of_day = !truth.in_range || object["segmentEndTimeMs"].is_null();
    differ("out_of_day", &out_of_day.into(), &row["out_of_day"]);
    differ("vanished", &false.into(), &row["vanished"]);
    // The simulator's repeats that differ are recognized by their content.
    let differed = truth.shown == 2 && object["agentDisposition"] == "Wrap-up completed";
    let others = row["other_answers_json"]
        .as_str()
        .map(|json| serde_json::from_str::<Vec<Value>>(json).unwrap());
    differ(
        "other answers",
        &u64::from(differed).into(),
        &others.as_ref().map_or(0, Vec::len).into(),
    );
    for other in others.iter().flatten() {
        differ(
            "other answer's segmentId",
            &object["segmentId"],
            &other["segmentId"],
        );
        differ(
            "other answer is the same",
            &true.into(),
            &(*other != object).into(),
        );
    }
    for (kind, expected) in [("agent", &truth.agent), ("auto", &truth.auto)] {
        let found = &row[kind];
        for column in ["status", "sha256", "content_type"] {
            differ(
                &format!("{kind} {column}"),
                &expected[column],
                &found[column],
            );
        }
        // Above 1 MiB the truth holds only the hash, which is recomputed from the bytes in any
        // case.
        if expected["body_base64"].is_string() || expected["bytes"].is_null() {
            differ(
                &format!("{kind} body"),
                &expected["body_base64"],
                &found["body_base64"],
            );
        }
    }
}
