//! Every reader of days continues past records of other kinds.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;
use crate::support::python::{duckdb_python, path_with_duckdb};

/// Returns an archive with gaps on EVE and DAY. The gaps of EVE are acknowledged, both days are
/// held, and the newest record is not a day.
fn archive() -> (Simulator, Vault) {
    let simulator = broken();
    let vault = signing(&simulator);
    vault.run_day(EVE, &[]).expect(3);
    vault
        .run(&[
            "hold", "add", "--case", "A", "--from", EVE, "--to", NEXT, "--reason", "x",
        ])
        .expect(0);
    vault.run_day(DAY, &[]).expect(3);
    vault
        .run(&[
            "acknowledge",
            "--from",
            EVE,
            "--to",
            DAY,
            "--reason",
            "Größe",
        ])
        .expect(0);
    (simulator, vault)
}

fn sh(folder: &Path, script: &str) -> String {
    let mut shell = Command::new("sh");
    shell
        .env_clear()
        .env("PATH", path_with_duckdb())
        .env("HOME", folder)
        .current_dir(folder);
    let done = shell.args(["-euc", script]).output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{said}");
    said
}

#[test]
fn evidence_holds_every_record_and_checks_by_hand() {
    let (_simulator, vault) = archive();
    let pack = vault.folder.path().join("pack");
    vault
        .run(&[
            "evidence",
            "--from",
            DAY,
            "--to",
            NEXT,
            "--out",
            pack.to_str().unwrap(),
        ])
        .expect(0);
    let manifests = fs::read_dir(pack.join(format!("manifests/v1/sub_account={SUB}")))
        .unwrap()
        .count();
    assert_eq!(manifests, kinds(&vault).len());
    let said = sh(&pack, "sh check.sh");
    assert!(
        said.contains("has 4 records without a gap, 4 of them signed"),
        "{said}"
    );
    assert!(said.contains("ALL CHECKS PASSED"), "{said}");
}

#[test]
fn receipts_reach_over_them() {
    let (_simulator, vault) = archive();
    let listed = vault
        .run(&["ls", "--date", EVE, "--json"])
        .expect(0)
        .events();
    let segment = listed
        .iter()
        .find_map(|event| event["segment_id"].as_str())
        .expect("a segment")
        .to_owned();
    let receipt = vault.folder.path().join("receipt.json");
    vault
        .run(&["prove", &segment, "--out", receipt.to_str().unwrap()])
        .expect(0);
    let signers = vault.folder.path().join("allowed_signers");
    let checked = [
        "check-receipt",
        receipt.to_str().unwrap(),
        "--allowed-signers",
        signers.to_str().unwrap(),
    ];
    vault.run(&checked).expect(0);
}

#[test]
fn days_go_on_after_them_and_every_view_agrees() {
    let (_simulator, mut vault) = archive();
    // The time zone of the chain is still known, although its newest record has none.
    vault.set("TIME_ZONE", "Europe/Berlin");
    let refused = vault.run_day("2026-11-18", &[]).expect(2);
    assert!(
        refused.day()["message"]
            .as_str()
            .unwrap()
            .contains("archived in the zone UTC"),
        "{refused}"
    );
    vault.unset("TIME_ZONE");
    vault.run_day("2026-11-18", &[]).expect(3);
    let page = vault.folder.path().join("page.html");
    vault.run(&["report", "--out", page.to_str().unwrap()]);
    assert!(fs::read_to_string(page).unwrap().contains("acknowledged"));

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/duckdb_views.py");
    let mut session = Command::new(duckdb_python());
    session.args([
        "-I",
        script.to_str().unwrap(),
        vault.archive().to_str().unwrap(),
    ]);
    let mut session = session
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let queries = "SELECT dt, state FROM coverage ORDER BY dt\n;\nFROM findings\n;\nSELECT manifests FROM verified";
    session
        .stdin
        .take()
        .unwrap()
        .write_all(queries.as_bytes())
        .unwrap();
    let done = session.wait_with_output().unwrap();
    assert!(done.status.success());
    let lines: Vec<Value> = String::from_utf8(done.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let days = serde_json::json!([["2026-11-18", "gaps"], [EVE, "acknowledged"], [DAY, "gaps"]]);
    assert_eq!(
        lines,
        [days, serde_json::json!([]), serde_json::json!([[5]])]
    );
}

/// EVE was disposed of, and its files exist or not: every reader skips them and says so.
#[test]
fn readers_go_on_without_what_was_disposed_of() {
    let simulator = intact();
    let vault = signing(&simulator);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    let segment = |date: &str| {
        let listed = vault
            .run(&["ls", "--date", date, "--json"])
            .expect(0)
            .events();
        listed
            .iter()
            .find_map(|event| event["segment_id"].as_str())
            .expect("a segment")
            .to_owned()
    };
    let (gone, there) = (segment(EVE), segment(DAY));
    let [eve, day] = [0, 1].map(|n| vault.manifests(SUB)[n]["manifest"]["day"]["segments"].clone());
    let disposal = ["--from", EVE, "--to", DAY, "--reason", "its time is over"];
    vault
        .run(&[&["retention", "dispose"], &disposal[..]].concat())
        .expect(0);
    let record = format!("manifests/v1/sub_account={SUB}/0000000003.json");
    for (n, removed) in [false, true].into_iter().enumerate() {
        if removed {
            fs::remove_dir_all(
                vault
                    .archive()
                    .join(format!("segments/v1/sub_account={SUB}/dt={EVE}")),
            )
            .unwrap();
        }
        let out = |name: &str| {
            vault
                .folder
                .path()
                .join(format!("{name}-{n}"))
                .to_str()
                .unwrap()
                .to_owned()
        };
        let tells = |args: &[&str], exit: i32| {
            let report = vault.run(&[args, &["--json"]].concat()).expect(exit);
            let left_out = report
                .events()
                .into_iter()
                .find(|event| event["event"] == "left-out");
            let left_out = left_out.unwrap_or_else(|| panic!("{args:?} is silent: {report}"));
            assert_eq!(
                (&left_out["from"], &left_out["to"], &left_out["manifest"]),
                (&EVE.into(), &DAY.into(), &record.as_str().into())
            );
            assert_eq!(left_out["reason"], "its time is over");
            report
        };
        assert!(
            tells(&["show", &gone], 2)
                .stdout
                .contains("on any day that was not disposed of")
        );
        assert!(
            tells(&["show", &there], 0)
                .stdout
                .contains(&format!("\"date\":\"{DAY}\""))
        );
        tells(&["prove", &gone, "--out", &out("no-receipt")], 2);
        tells(&["prove", &there, "--out", &out("receipt")], 0);
        let hits = tells(&["search", "e", "--limit", "1000"], 0);
        let hits: Vec<Value> = hits
            .events()
            .into_iter()
            .filter(|event| event["event"] == "hit")
            .collect();
        assert!(
            !hits.is_empty() && hits.iter().all(|hit| hit["date"] == DAY),
            "{hits:?}"
        );
        let exported = tells(&["export", "--format", "jsonl", "--out", &out("export")], 0);
        let about = exported
            .events()
            .into_iter()
            .find(|event| event["event"] == "exported")
            .unwrap();
        assert_eq!(
            (&about["rows"], &about["left_out"][0]["days"]),
            (&day, &1.into())
        );
        tells(&["ls"], 0);
        tells(&["ls", "--date", EVE], 0);
        tells(&["status", "--by", "queue"], 0);
        tells(&["retention"], 0);
        let report = tells(&["status"], 0)
            .events()
            .into_iter()
            .find(|event| event["date"] == EVE)
            .unwrap();
        let facts = (
            &report["state"],
            &report["files"],
            &report["counts"]["segments"],
        );
        assert_eq!(facts, (&"disposed".into(), &0.into(), &eve));
        let text = vault.run(&["status"]).expect(0).stdout;
        assert!(
            text.contains(&format!("{SUB} {EVE} disposed of on")) && text.contains(&record),
            "{text}"
        );
        let page = out("page.html");
        vault.run(&["report", "--out", &page]).expect(0);
        assert!(
            fs::read_to_string(page)
                .unwrap()
                .contains("1 of these was disposed of after its retention")
        );

        let pack = PathBuf::from(out("pack"));
        let packed = tells(&["evidence", "--out", pack.to_str().unwrap()], 0);
        let packed = packed
            .events()
            .into_iter()
            .find(|event| event["event"] == "evidence")
            .unwrap();
        assert_eq!(
            (&packed["manifests"], &packed["parts"]),
            (&3.into(), &1.into())
        );
        let said = sh(&pack, "sh check.sh");
        assert!(
            said.contains("note  1 days of the period were disposed of"),
            "{said}"
        );
        assert!(said.contains("ALL CHECKS PASSED"), "{said}");
    }
}
