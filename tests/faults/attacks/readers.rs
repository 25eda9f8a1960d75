//! What an archive can do to whoever reads it, and what a reader is told that is not so. P owns the place of the archive; in
//! an archive without signatures W can do the same with one more record.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{allow, forgery, new_key, sign, simulator};
use crate::support::python::path_with_duckdb;
use crate::support::vault::{DAY, Finished, SUB, Simulator, Vault};
use cxvault::format::place::key;
use cxvault::format::record::manifest::Record;

/// An archive of one day, without signatures.
fn unsigned(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    vault.run_day(DAY, &[]).expect(0);
    vault
}

/// An archive of one day, with signatures.
fn signed(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    let public = sign(&mut vault);
    allow(&mut vault, &[&public]);
    vault.run_day(DAY, &[]).expect(0);
    vault
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Returns the findings with this code.
fn findings(done: &Finished, code: &str) -> usize {
    let events = done.events();
    events
        .iter()
        .filter(|event| event["event"] == "finding" && event["code"] == code)
        .count()
}

#[test]
fn w_cannot_lead_a_reader_out_of_its_folder() {
    let simulator = simulator();
    let victim = tempfile::TempDir::new().unwrap();
    let victim = victim.path().join("notes");
    fs::write(&victim, "mine").unwrap();
    let day = key::day(SUB, DAY.parse().unwrap());
    let keys = [
        text(&victim).to_owned(),
        format!("{day}../../../../../../../../../..{}", text(&victim)),
        format!("{day}../dt={DAY}/r0001-p0000.parquet"),
        "archive.json".to_owned(),
        String::new(),
    ];
    let vault = unsigned(&simulator);
    let out = vault.folder.path().join("out");
    for key in keys {
        forgery::rewrite(&vault, &[], None, |record| {
            if let Record::Day(day) = &mut record.record {
                day.files[0].key = key.clone();
            }
        });
        for command in [
            &["evidence", "--out", text(&out)][..],
            &["export", "--format", "jsonl", "--out", text(&out)],
            &["search", "customer"],
            &["status"],
            &["show", "p-v-1"],
            &["verify"],
        ] {
            let done = vault.run(command);
            assert_eq!(done.exit(), 4, "{key} {command:?}: {done}");
        }
        assert!(!out.exists(), "{key}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine", "{key}");
    }
}

#[test]
fn p_cannot_show_one_text_and_prove_another() {
    let simulator = simulator();
    let vault = unsigned(&simulator);
    let receipt = vault.folder.path().join("receipt.json");
    let listed = vault
        .run(&["ls", "--date", DAY, "--json"])
        .expect(0)
        .events();
    let id = listed
        .iter()
        .find_map(|event| event["segment_id"].as_str())
        .unwrap()
        .to_owned();
    vault
        .run(&["prove", &id, "--out", text(&receipt)])
        .expect(0);
    vault.run(&["check-receipt", text(&receipt)]).expect(0);
    let genuine = fs::read_to_string(&receipt).unwrap();
    for (name, twice) in [
        ("\"row\": {", "\"row\": {\"agent_summary\": \"I agree.\","),
        ("\"path\":", "\"file\": \"x\", \"path\":"),
        ("\"manifest\": {", "\"manifest\": {\"archive_id\": \"x\","),
    ] {
        let forged = genuine.replacen(name, twice, 1);
        assert_ne!(forged, genuine, "{name}");
        fs::write(&receipt, forged).unwrap();
        let done = vault.run(&["check-receipt", text(&receipt)]);
        assert_eq!(done.exit(), 2, "{name}: {done}");
    }
}

#[test]
fn p_cannot_pass_off_another_archive_as_the_anchored_one() {
    let simulator = simulator();
    let mut vault = Vault::new(&simulator);
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    let (key_file, public) = new_key(&vault, "signing-key");
    vault.set("SIGNING_KEY_FILE", &key_file);
    allow(&mut vault, &[&public]);
    let place = vault.folder.path().join("anchors");
    vault.set("ANCHOR", text(&place));
    vault.run_day(DAY, &[]).expect(0);
    vault.run(&["verify"]).expect(0);

    // Another archive, signed with the same key.
    let mut other = Vault::new(&simulator);
    other.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    other.set("SIGNING_KEY_FILE", &key_file);
    allow(&mut other, &[&public]);
    other.run_day(DAY, &[]).expect(0);
    let done = other.run(&["verify", "--json", "--anchor", text(&place)]);
    assert_eq!((done.exit(), findings(&done, "anchor-missing")), (4, 1));

    // An anchor of this archive that names another key than its place says.
    let mut anchors = vault.files(&place);
    anchors.retain(|path| text(path).contains("sub_account="));
    let anchor = fs::read_to_string(&anchors[0]).unwrap();
    let mut forged: Value = serde_json::from_str(&anchor).unwrap();
    forged["key"] = key::manifest("1", 1).into();
    fs::remove_file(&anchors[0]).unwrap();
    fs::write(&anchors[0], forged.to_string()).unwrap();
    let done = vault.run(&["verify", "--json"]);
    assert_eq!((done.exit(), findings(&done, "anchor-wrong")), (4, 1));
}

#[test]
fn p_cannot_have_an_expected_head_ignored() {
    let simulator = simulator();
    let vault = unsigned(&simulator);
    let zeros = "0".repeat(64);
    let filtered = format!("77777777:1:{zeros}");
    let done = vault.run(&["verify", "--sub-account", SUB, "--expect-head", &filtered]);
    assert_eq!(done.exit(), 2, "{done}");
    let done = vault.run(&["verify", "--json", "--expect-head", &filtered]);
    assert_eq!((done.exit(), findings(&done, "head-missing")), (4, 1));
}

#[test]
fn p_cannot_sign_with_the_key_of_another_person_in_the_list() {
    let simulator = simulator();
    let mut vault = signed(&simulator);
    let (_, other) = new_key(&vault, "other");
    let signers = vault.folder.path().join("signers");
    vault.run(&["verify"]).expect(0);
    let list = fs::read_to_string(vault.folder.path().join("allowed_signers")).unwrap();
    // The key that signed is in the file, but not as the archive's.
    let person = list.replace("cxvault ", "person@example.com ");
    fs::write(&signers, format!("{person}cxvault {other}\n")).unwrap();
    let verify = ["verify", "--allowed-signers", text(&signers)];
    assert_eq!(vault.run(&verify).exit(), 4);
    fs::write(&signers, &person).unwrap();
    let refused = vault.run(&verify);
    assert_eq!(refused.exit(), 2, "{refused}");
    vault.set("SIGNER_IDENTITY", "person@example.com");
    vault.run(&verify).expect(0);
}

#[test]
fn p_cannot_have_a_pack_without_signatures_pass_for_a_signed_one() {
    let simulator = simulator();
    let vault = unsigned(&simulator);
    let (_, public) = new_key(&vault, "expected");
    let signers = vault.folder.path().join("signers");
    fs::write(&signers, format!("cxvault {public}\n")).unwrap();
    let pack = vault.folder.path().join("pack");
    vault.run(&["evidence", "--out", text(&pack)]).expect(0);
    let check = |args: &[&str]| {
        let done = Command::new("sh")
            .arg(pack.join("check.sh"))
            .args(args)
            .env("PATH", path_with_duckdb())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        (done.status.success(), said)
    };
    let (passed, said) = check(&[]);
    assert!(passed && said.contains("but nothing is signed"), "{said}");
    let (passed, said) = check(&["-f", text(&signers)]);
    assert!(
        !passed && said.contains("only signed records count"),
        "{said}"
    );
    // What is added to a pack is not run.
    fs::write(pack.join("duckdb.py"), "open('/tmp/never', 'w')").unwrap();
    let (passed, said) = check(&[]);
    assert!(
        !passed && said.contains("nothing else of it was checked or run"),
        "{said}"
    );
}

#[test]
fn no_verdict_claims_more_than_its_level_has_read() {
    let simulator = simulator();
    let vault = unsigned(&simulator);
    for (level, words) in [
        ("quick", "no file was read"),
        ("full", "the rows in the files were not examined"),
        ("deep", "no row was changed"),
    ] {
        let done = vault.run(&["verify", "--level", level]).expect(0);
        let last = done.stdout.trim_end().lines().last().unwrap();
        assert!(last.starts_with("HOLDS") && last.contains(words), "{done}");
    }
}

/// Whether a terminal would obey or hide a character.
fn is_raw(c: char) -> bool {
    let marks = ['\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{61c}'];
    let is_bidi = ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c);
    (c.is_control() && c != '\n') || is_bidi || marks.contains(&c)
}

/// Every text in a JSON value, as the way to it.
fn texts(value: &Value, way: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(way.to_owned()),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate().take(2) {
                texts(item, &format!("{way}/{n}"), found);
            }
        }
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| texts(value, &format!("{way}/{name}"), found)),
        _ => {}
    }
}

#[test]
fn p_cannot_write_on_the_terminal_of_a_reader() {
    const HOSTILE: [&str; 2] = [
        "\u{1b}]0;x\u{7}\u{9b}2J\r\u{0}",
        "\u{202e}\u{2066}\u{200f}\u{2028}",
    ];
    let simulator = simulator();
    let vault = unsigned(&simulator);
    let place = key::manifest(SUB, 1);
    let genuine: Value = serde_json::from_slice(&forgery::read(&vault, &place)).unwrap();
    let mut ways = Vec::new();
    texts(&genuine, "", &mut ways);
    assert!(ways.len() > 30, "{ways:?}");
    let harmless = |done: &Finished, what: &str| {
        for said in [&done.stdout, &done.stderr] {
            let raw = said.chars().find(|c| is_raw(*c));
            assert_eq!(raw, None, "{what}: {said:?}");
        }
    };
    for hostile in HOSTILE {
        for way in &ways {
            let mut record = genuine.clone();
            let member = record.pointer_mut(way).unwrap();
            *member = format!("{}{hostile}", member.as_str().unwrap()).into();
            // Values are sorted by name, and integers are plain: this is the canonical form.
            forgery::write(&vault, &place, record.to_string().as_bytes());
            for command in [&["verify", "--level", "quick"][..], &["status"]] {
                harmless(&vault.run(command), way);
            }
        }
    }
    forgery::write(&vault, &place, genuine.to_string().as_bytes());
    // Names of files, in every folder; the rest of the commands.
    for folder in ["", "manifests/v1/", "roster/v1/"] {
        forgery::write(&vault, &format!("{folder}x{}", HOSTILE[1]), b"x");
        forgery::write(&vault, &format!("{folder}y\u{1b}[2J\u{9b}"), b"x");
    }
    let day = key::day(SUB, DAY.parse().unwrap());
    forgery::write(
        &vault,
        &format!("{day}\u{1b}[2J{}.parquet", HOSTILE[1]),
        b"x",
    );
    let named = format!("p{}\u{1b}", HOSTILE[1]);
    for command in [
        &["verify"][..],
        &["verify", "--level", "deep"],
        &["status"],
        &["ls"],
        &["ls", "--date", DAY],
        &["show", &named],
        &["search", "a"],
        &["hold", "list"],
        &["retention", "list"],
    ] {
        harmless(&vault.run(command), &format!("{command:?}"));
    }
}
