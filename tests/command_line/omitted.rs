//! Fields that the settings leave out: they are stored nowhere, manifests say so, and a change of
//! the setting changes no row.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::truth::{Archived, archived};
use crate::support::vault::{DAY, Finished, SUB, Simulator, Started, Vault, options, until};
use cxvault::simulator::SimulatorOptions;
use serde_json::{Map, Value, json};

const NEXT: &str = "2026-11-21";
const FIELDS: [&str; 2] = ["agentNotes", "contactEndpointAddress"];
/// The setting as a user may write it, with a field that only a later RingCX has.
const SETTING: &str = "contactEndpointAddress, agentNotes,aFieldOf2031";

/// Returns a simulator with a day of segments without id or end, and of duplicates that differ.
fn strange() -> SimulatorOptions {
    let mut options = options();
    (
        options.faults.no_id,
        options.faults.no_end,
        options.faults.duplicates,
    ) = (8.0, 8.0, 15.0);
    options
}

/// Returns the objects that discovery returns for the day, byte for byte.
fn objects(simulator: &Simulator) -> Vec<String> {
    let truth = simulator.truth(
        SUB,
        &format!("{DAY}T00:00:00Z"),
        &format!("{NEXT}T00:00:00Z"),
    );
    let object = |line: &str| {
        let line: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
            serde_json::from_str(line).unwrap();
        line["segment"].get().to_owned()
    };
    truth.lines().map(object).collect()
}

/// Returns the texts that must not appear anywhere: the contacts and the notes of the day, in JSON
/// spelling.
fn secrets(simulator: &Simulator) -> BTreeSet<String> {
    let mut secrets = BTreeSet::new();
    for object in objects(simulator) {
        let object: Value = serde_json::from_str(&object).unwrap();
        let texts = FIELDS.iter().filter_map(|field| object[*field].as_str());
        secrets.extend(texts.filter(|text| text.len() >= 8).map(|text| {
            let json = serde_json::to_string(text).unwrap();
            json[1..json.len() - 1].to_owned()
        }));
    }
    assert!(
        secrets.iter().any(|text| text.starts_with("+1")) && secrets.len() > 20,
        "{secrets:?}"
    );
    secrets
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Returns the names of the files below a folder that hold any of the texts.
fn with_any(vault: &Vault, folder: &Path, texts: &BTreeSet<String>) -> Vec<String> {
    let files = vault
        .files(folder)
        .into_iter()
        .filter_map(|path| Some((fs::read(&path).ok()?, path)));
    let found = files.filter(|(bytes, _)| texts.iter().any(|text| holds(bytes, text)));
    found.map(|(_, path)| path.display().to_string()).collect()
}

/// Returns everything that this user's folder holds and that a command printed, with the rows of
/// all revisions decoded.
#[track_caller]
fn assert_nowhere(vault: &Vault, said: &Finished, secrets: &BTreeSet<String>) {
    let out = vault.folder.path().join("exported");
    let _ = fs::remove_dir_all(&out);
    let all = [
        "export",
        "--format",
        "jsonl",
        "--revisions",
        "all",
        "--out",
        out.to_str().unwrap(),
    ];
    vault.run(&all).expect(0);
    assert!(
        !with_any(
            vault,
            &out,
            &BTreeSet::from(["segmentEndTimeMs".to_owned()])
        )
        .is_empty()
    );
    assert_eq!(with_any(vault, vault.folder.path(), secrets), [""; 0]);
    for text in secrets {
        assert!(
            !said.stdout.contains(text) && !said.stderr.contains(text),
            "{text} was said"
        );
    }
}

/// Starts a run of the day that fetches summaries one by one, and kills it after some of them.
fn killed(simulator: &Simulator, vault: &Vault) -> Finished {
    let before = simulator.requests_to("summaries");
    let mut started: Started = vault.spawn(&["run", "--json", "--date", DAY]);
    until("some summaries", || {
        simulator.requests_to("summaries") >= before + 20
    });
    started.signal_if_running("KILL");
    let finished = started.wait();
    assert_eq!(
        finished.status.code(),
        None,
        "it had ended already: {finished}"
    );
    finished
}

fn names(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect()
}

fn recheck(vault: &Vault, exit: i32) -> Value {
    let range = [
        "recheck", "--json", "--from", DAY, "--to", NEXT, "--only", "all",
    ];
    vault.run(&range).expect(exit);
    vault.newest(SUB)
}

/// Asserts that no row has the fields. A deep verification checks that the columns agree with the
/// object.
#[track_caller]
fn assert_lacking(rows: &Archived) {
    assert!(!rows.is_empty());
    for row in rows.values() {
        for text in [&row["segment_json"], &row["other_answers_json"]] {
            let text = text.as_str().unwrap_or_default();
            assert!(FIELDS.iter().all(|field| !text.contains(field)), "{row}");
        }
    }
}

#[test]
fn nothing_of_an_omitted_field_is_stored_and_everything_else_is() {
    let simulator = Simulator::start(strange());
    let mut vault = Vault::new(&simulator);
    vault
        .set("OMIT_FIELDS", SETTING)
        .set("CONCURRENCY", "1")
        .set("LOG", "trace");
    let secrets = secrets(&simulator);
    let cut_off = killed(&simulator, &vault);
    // The journal exists and can be read this way.
    let journalled = with_any(
        &vault,
        &vault.state(),
        &BTreeSet::from(["segmentEndTimeMs".to_owned()]),
    );
    assert!(!journalled.is_empty());
    assert_eq!(with_any(&vault, vault.folder.path(), &secrets), [""; 0]);
    assert!(secrets.iter().all(|text| !cut_off.stderr.contains(text)));

    let done = vault.run_day(DAY, &[]).expect(0);
    assert_nowhere(&vault, &done, &secrets);
    let manifest = vault.newest(SUB);
    assert_eq!(
        names(&manifest["omitted_fields"]),
        ["aFieldOf2031", "agentNotes", "contactEndpointAddress"]
    );
    assert!(manifest["files"][0].get("omitted_fields").is_none());
    let rows = archived(&vault, SUB, DAY);
    assert_lacking(&rows);
    // Everything else is stored: of each object the remaining fields.
    let rest = |json: &str| {
        let mut object: Map<String, Value> = serde_json::from_str(json).unwrap();
        object.retain(|name, _| !FIELDS.contains(&name.as_str()));
        serde_json::to_string(&object).unwrap()
    };
    let shown: BTreeSet<String> = objects(&simulator)
        .iter()
        .map(|object| rest(object))
        .collect();
    let kept: BTreeSet<String> = rows
        .values()
        .map(|row| rest(row["segment_json"].as_str().unwrap()))
        .collect();
    assert_eq!(kept, shown);
    vault.run(&["verify", "--level", "deep"]).expect(0);
}

#[test]
fn a_changed_setting_changes_no_row() {
    let simulator = Simulator::start(strange());
    let mut vault = Vault::new(&simulator);
    vault.run_day(DAY, &[]).expect(0);
    assert!(vault.newest(SUB).get("omitted_fields").is_none());
    let before = archived(&vault, SUB, DAY);

    vault.set("OMIT_FIELDS", "agentNotes");
    let first = recheck(&vault, 0);
    vault.set("OMIT_FIELDS", "contactEndpointAddress");
    let second = recheck(&vault, 0);
    vault.unset("OMIT_FIELDS");
    let third = recheck(&vault, 0);
    for (revision, manifest) in (2..).zip([&first, &second, &third]) {
        assert_eq!(manifest["revision"], revision);
        assert_eq!(
            manifest["files"],
            json!([]),
            "no row is another: {}",
            manifest["recheck"]["changes"]
        );
        assert_eq!(manifest["day"], first["day"]);
    }
    assert_eq!(names(&first["omitted_fields"]), ["agentNotes"]);
    // What was left out once stays left out.
    assert_eq!(names(&second["omitted_fields"]), FIELDS);
    assert_eq!(names(&third["omitted_fields"]), FIELDS);
    assert_eq!(
        archived(&vault, SUB, DAY),
        before,
        "committed rows stand as they were"
    );
    vault.run(&["verify", "--level", "deep"]).expect(0);
}

/// The changes are the same as without the setting; the new rows lack the fields.
#[test]
fn what_changes_for_another_reason_is_written_without_the_fields() {
    let mut world = options();
    world.now = Some(format!("{NEXT}T06:00:00Z").parse().unwrap());
    (
        world.faults.late_population,
        world.faults.edits,
        world.faults.vanish,
    ) = (20.0, 20.0, 10.0);
    let simulator = Simulator::start(world);
    let vaults = ["", SETTING].map(|setting| {
        let mut vault = Vault::new(&simulator);
        vault.run_day(DAY, &[]).expect(0);
        vault.set("OMIT_FIELDS", setting);
        vault
    });
    let before = archived(&vaults[1], SUB, DAY);
    simulator.advance("6d");
    let [with, without] = [recheck(&vaults[0], 0), recheck(&vaults[1], 0)];
    assert_eq!(without["recheck"]["changes"], with["recheck"]["changes"]);
    assert_ne!(without["recheck"]["changes"]["vanished_segments"], 0);
    assert_eq!(without["rows"], with["rows"]);
    let after = archived(&vaults[1], SUB, DAY);
    let changed: Archived = after
        .clone()
        .into_iter()
        .filter(|(key, row)| before.get(key) != Some(row))
        .collect();
    assert_lacking(&changed);
    let unchanged = after.iter().filter(|(key, _)| !changed.contains_key(*key));
    assert!(
        unchanged
            .into_iter()
            .any(|(_, row)| row["segment_json"].as_str().unwrap().contains(FIELDS[1]))
    );
    vaults[1].run(&["verify", "--level", "deep"]).expect(0);
}

#[test]
fn a_journal_begun_with_the_field_is_finished_without_it_and_the_other_way_round() {
    let simulator = Simulator::start(strange());
    let secrets = secrets(&simulator);
    for begun in ["", SETTING] {
        let mut vault = Vault::new(&simulator);
        vault
            .set("CONCURRENCY", "1")
            .set("SUMMARY_LIMITS", "100000/1s")
            .set("OMIT_FIELDS", begun);
        simulator.reset_stats();
        killed(&simulator, &vault);
        let journal = with_any(&vault, &vault.state(), &secrets);
        assert_eq!(journal.is_empty(), !begun.is_empty(), "{journal:?}");
        vault.set("OMIT_FIELDS", if begun.is_empty() { SETTING } else { "" });
        killed(&simulator, &vault);
        assert_eq!(
            with_any(&vault, &vault.state(), &secrets),
            [""; 0],
            "begun with {begun:?}"
        );
        let done = vault
            .set("SUMMARY_LIMITS", "off")
            .run_day(DAY, &[])
            .expect(0);
        assert_nowhere(&vault, &done, &secrets);
        // At each of two kills at most one request was under way, and one answer was not yet on the
        // disk.
        assert!(
            simulator.requests_to("discovery") <= 8 + 2,
            "{}",
            simulator.stats()
        );
        let manifest = vault.newest(SUB);
        assert_eq!(names(&manifest["omitted_fields"]).len(), 3);
        assert!(
            simulator.stats()["summaries_answered_twice"]
                .as_u64()
                .unwrap()
                <= 2 * 2,
            "{}",
            simulator.stats()
        );
        assert_lacking(&archived(&vault, SUB, DAY));
        vault.run(&["verify", "--level", "deep"]).expect(0);
    }
}

/// Parts of a run that died before its manifest, under other settings than the next run.
#[test]
fn an_adopted_part_keeps_its_rows_and_the_manifest_says_which_are_which() {
    let simulator = Simulator::start(strange());
    for (then, now) in [
        ("", SETTING),
        (SETTING, ""),
        ("agentNotes", "contactEndpointAddress"),
    ] {
        let mut vault = Vault::new(&simulator);
        vault
            .set("PART_ROWS", "30")
            .set("OMIT_FIELDS", then)
            .run_day(DAY, &[])
            .expect(0);
        let parts = vault.files(&vault.archive().join("segments"));
        assert!(parts.len() > 2);
        // As if the run had been killed before its last part.
        fs::remove_file(parts.last().unwrap()).unwrap();
        fs::remove_dir_all(vault.archive().join("manifests")).unwrap();
        fs::remove_dir_all(vault.archive().join("roster")).unwrap();
        fs::remove_dir_all(vault.state()).unwrap();
        let kept = fs::read(&parts[0]).unwrap();
        vault.set("OMIT_FIELDS", now).run_day(DAY, &[]).expect(0);
        assert_eq!(fs::read(&parts[0]).unwrap(), kept);

        let sorted = |setting: &str| {
            let names = setting
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            names.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let manifest = vault.newest(SUB);
        let of = |value: &Value| match value.is_null() {
            true => BTreeSet::new(),
            false => names(value).into_iter().map(str::to_owned).collect(),
        };
        assert_eq!(of(&manifest["omitted_fields"]), sorted(now));
        for file in manifest["files"].as_array().unwrap() {
            let adopted = file["adopted"] == true;
            assert_eq!(file.get("omitted_fields").is_some(), adopted, "{file}");
            if adopted {
                assert_eq!(of(&file["omitted_fields"]), sorted(then), "{file}");
            }
        }
        vault.run(&["verify", "--level", "deep"]).expect(0);
        // The next revision leaves out both; none of that is a change.
        let again = recheck(&vault, 0);
        assert_eq!(of(&again["omitted_fields"]), &sorted(then) | &sorted(now));
        assert_eq!(
            again["recheck"]["changes"]["changed_metadata"], 0,
            "{again}"
        );
        vault.run(&["verify", "--level", "deep"]).expect(0);
    }
}

#[test]
fn a_name_that_is_probably_misspelt_is_said() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    vault.set("OMIT_FIELDS", "agentNote,aFieldOf2031");
    let warned = vault.run_day(DAY, &[]).expect(0);
    assert!(
        warned.stderr.contains("was `agentNotes` meant?") && !warned.stderr.contains("2031"),
        "{warned}"
    );
    let shown = vault.run(&["config"]).expect(0);
    assert!(
        shown
            .stdout
            .contains("no field `agentNote`; was `agentNotes` meant?"),
        "{shown}"
    );
    let checked = vault.run(&["doctor", "--json", "--store-only"]);
    let warning =
        |event: &Value| event["check"] == "omitted fields" && event["verdict"] == "warning";
    assert!(checked.events().iter().any(warning), "{checked}");
    vault.set("OMIT_FIELDS", "segmentId");
    let refused = vault.run_day(DAY, &[]).expect(2);
    assert!(
        refused.stdout.contains("`segmentId` cannot be left out"),
        "{refused}"
    );
}
