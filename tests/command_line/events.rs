//! `schemas/events.v1.schema.json` defines what `--json` prints; `schemas/EVENTS.md` explains it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::events::{SCHEMA, check};

const REFERENCE: &str = include_str!("../../schemas/EVENTS.md");

/// The members of each event by `schemas/EVENTS.md`, and whether each is always there.
fn reference() -> BTreeMap<String, BTreeMap<String, bool>> {
    let mut events: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
    let mut name = String::new();
    for line in REFERENCE.lines() {
        let word = |text: &str| text.split('`').nth(1).map(str::to_owned);
        if line.starts_with("### ") {
            name = word(line).expect("a title names an event");
            let before = events.insert(name.clone(), BTreeMap::new());
            assert!(before.is_none(), "{name} has two chapters");
        } else if let Some(member) = line.strip_prefix("| `").and_then(|_| word(line)) {
            let members = events.get_mut(&name).expect("a title before a table");
            members.insert(
                member.trim_end_matches('?').to_owned(),
                !member.ends_with('?'),
            );
        }
    }
    events
}

#[test]
fn the_reference_and_the_schema_have_the_same_members() {
    let mut schema = BTreeMap::new();
    for (name, definition) in SCHEMA["$defs"]["events"].as_object().unwrap() {
        assert_eq!(definition["additionalProperties"], false, "{name}");
        let required = definition["required"].as_array().unwrap();
        let members = definition["properties"].as_object().unwrap().keys();
        let members: BTreeMap<String, bool> = members
            .filter(|member| *member != "event")
            .map(|member| (member.clone(), required.contains(&member.as_str().into())))
            .collect();
        schema.insert(name.clone(), members);
    }
    assert_eq!(reference(), schema);
}

#[test]
fn the_examples_of_the_reference_fit_the_schema() {
    let examples: Vec<&str> = REFERENCE
        .lines()
        .filter(|line| line.starts_with('{'))
        .collect();
    assert!(examples.len() >= 8);
    for example in examples {
        check(&serde_json::from_str(example).unwrap());
    }
}

/// Runs a command with `--json`, checks each line against the schema, and returns the names of its events.
fn events(folder: &Path, args: &[&str], exit: i32) -> (Vec<Value>, BTreeSet<String>) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cxvault"));
    command
        .args(args)
        .arg("--json")
        .env_clear()
        .env("HOME", folder)
        .current_dir(folder);
    command.env("CXVAULT_STATE_DIR", folder.join("state"));
    let done = command.output().unwrap();
    let (out, log) = (
        String::from_utf8(done.stdout).unwrap(),
        String::from_utf8_lossy(&done.stderr),
    );
    assert_eq!(done.status.code(), Some(exit), "{args:?}\n{out}{log}");
    let mut all = Vec::new();
    for line in out.lines() {
        let event: Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("{args:?}: no object: {line}"));
        check(&event);
        all.push(event);
    }
    let names = all
        .iter()
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect();
    (all, names)
}

#[test]
fn every_event_is_in_the_reference_with_these_members() {
    let home = TempDir::new().unwrap();
    let folder = home.path();
    let mut seen = BTreeSet::new();
    let mut run = |args: &[&str], exit: i32| {
        let (all, names) = events(folder, args, exit);
        assert!(!all.is_empty(), "{args:?} says nothing");
        seen.extend(names);
        all
    };
    run(&["demo"], 0);
    let at = ["--archive", "./cxvault-demo"];
    let with = |args: &[&'static str]| [args, &at].concat();
    let days = run(&with(&["status", "--by", "queue"]), 0);
    let day = days
        .iter()
        .find_map(|event| event.get("date")?.as_str())
        .unwrap()
        .to_owned();
    let next = day
        .parse::<jiff::civil::Date>()
        .unwrap()
        .tomorrow()
        .unwrap()
        .to_string();
    let range = [at[0], at[1], "--from", &day, "--to", &next];
    let over = |args: &[&'static str]| [args, &range].concat();

    run(&with(&["verify", "--level", "deep"]), 0);
    run(&with(&["ls"]), 0);
    run(&[&["ls", "--date", &day], &at[..]].concat(), 0);
    let hits = run(&with(&["search", "refund"]), 0);
    let segment = hits
        .iter()
        .find_map(|event| event.get("segment_id")?.as_str())
        .unwrap()
        .to_owned();
    run(&[&["show", &segment], &at[..]].concat(), 0);
    run(
        &[&["prove", &segment, "--out", "receipt.json"], &at[..]].concat(),
        0,
    );
    run(&["check-receipt", "receipt.json"], 0);
    run(&over(&["export", "--format", "csv", "--out", "export"]), 0);
    run(&over(&["evidence", "--out", "evidence"]), 0);
    run(&over(&["report", "--out", "report.html"]), 0);
    run(&over(&["retention"]), 0);
    run(&over(&["retention", "dispose", "--reason", "a test"]), 0);
    run(&with(&["ls"]), 0);
    run(
        &over(&[
            "hold",
            "add",
            "--case",
            "7",
            "--reason",
            "a test",
            "--dry-run",
        ]),
        0,
    );
    run(
        &over(&["hold", "add", "--case", "7", "--reason", "a test"]),
        0,
    );
    run(&with(&["hold", "list"]), 0);
    run(&with(&["copy", "--to", "./copy"]), 0);
    run(&["init", "cxvault.toml"], 0);
    run(&["config"], 0);
    run(&["keygen", "key"], 0);
    let begin = [
        "signers",
        "begin",
        "--sign-with",
        "key",
        "--reason",
        "a test",
    ];
    run(&with(&begin), 0);
    run(&with(&["signers", "list"]), 0);
    run(&["verify", "--archive", "./nothing"], 2);

    // Those that need a store with locks, gaps, or credentials are tried by the tests of their commands; that they
    // are in the reference at all is seen from the source.
    let mut expected: BTreeSet<String> = reference().into_keys().collect();
    for elsewhere in [
        "acknowledged",
        "check",
        "doctor",
        "plan",
        "plan-total",
        "retention-extended",
        "takeover",
    ] {
        assert!(
            expected.remove(elsewhere),
            "{elsewhere} is not in EVENTS.md"
        );
    }
    assert_eq!(seen, expected);
}

#[test]
fn the_reference_has_every_event_of_the_source_and_no_other() {
    fn collect(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, names);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                // The file with the builder itself has invented events, in its tests.
                if path.ends_with("render/event.rs") {
                    continue;
                }
                for before in ["Event::new(\"", "event: \""] {
                    let found = text.split(before).skip(1);
                    let found = found.filter_map(|rest| rest.split('"').next());
                    names.extend(found.map(str::to_owned));
                }
            }
        }
    }
    let mut names = BTreeSet::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut names,
    );
    assert_eq!(names, reference().into_keys().collect());
}
