//! Metrics and traces, read with the parsers of other projects.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::python::telemetry_python;

/// Samples by their name with labels, such as `cxvault_days{outcome="complete",sub_account="1"}`, labels in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Scrape(pub BTreeMap<String, f64>);

impl Scrape {
    /// Parses a text with Prometheus's own parser; every metric must be a gauge with a help text.
    #[track_caller]
    pub fn of(text: &str) -> Scrape {
        let mut samples = BTreeMap::new();
        for family in read("metrics", text).as_array().unwrap() {
            assert!(
                family["type"] == "gauge" && family["help"] != "",
                "{family}"
            );
            for sample in family["samples"].as_array().unwrap() {
                let labels: BTreeMap<String, String> =
                    serde_json::from_value(sample["labels"].clone()).unwrap();
                let name = name(family["name"].as_str().unwrap(), &labels);
                samples.insert(name, sample["value"].as_f64().unwrap());
            }
        }
        Scrape(samples)
    }

    #[track_caller]
    pub fn get(&self, sample: &str) -> f64 {
        *self
            .0
            .get(sample)
            .unwrap_or_else(|| panic!("no {sample} in {self:#?}"))
    }

    pub fn find(&self, sample: &str) -> Option<f64> {
        self.0.get(sample).copied()
    }
}

pub fn name(name: &str, labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return name.to_owned();
    }
    let pairs = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{value}\""));
    format!("{name}{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

/// Returns the output of `read_telemetry.py` for a text; fails when the text is invalid.
#[track_caller]
pub fn read(what: &str, text: &str) -> Value {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/support/read_telemetry.py"
    );
    let mut python = Command::new(telemetry_python());
    python
        .args([script, what])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = python.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(
        done.status.success(),
        "{}\n{text}",
        String::from_utf8_lossy(&done.stderr)
    );
    serde_json::from_slice(&done.stdout).unwrap()
}
