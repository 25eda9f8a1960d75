//! W: an attacker who can create objects in the store, and has no signing key.

use cxvault::format::place::key;

use super::{allow, contents, forgery, lose_state, sign, simulator};
use crate::support::vault::{DAY, SUB, Vault};

const EVE: &str = "2026-11-19";
const OTHER: &str = "88888888";

/// Returns what the reading commands print, each with its exit code.
fn read_all(vault: &Vault) -> Vec<(Vec<String>, i32)> {
    [
        &["ls", "--json"][..],
        &["status", "--json"],
        &["hold", "list", "--json"],
        &["search", "customer", "--json"],
    ]
    .into_iter()
    .map(|command| {
        let read = vault.run(command);
        let lines = read.stdout.lines().map(str::to_owned).collect();
        (lines, read.exit())
    })
    .collect()
}

#[test]
fn w_cannot_have_an_unsigned_record_believed_behind_signed_ones() {
    let simulator = simulator();
    let mut vault = Vault::new(&simulator);
    let own = sign(&mut vault);
    vault.run_day(DAY, &[]).expect(0);
    for allowed in [false, true] {
        if allowed {
            allow(&mut vault, &[&own]);
        }
        let before = read_all(&vault);
        let forged = forgery::put(&vault, forgery::disposal(&vault), None);
        assert_eq!(read_all(&vault), before, "allowed {allowed}");
        let verified = vault.run(&["verify", "--json"]);
        assert_eq!(verified.exit(), 3, "{}", verified.stdout);
        assert!(verified.stdout.contains("foreign-record") && verified.stdout.contains(&forged));
        // What the pack and the copy hold is the archive without the forgery.
        for (command, folder) in [("evidence", "pack"), ("copy", "a-copy")] {
            let to = vault.folder.path().join(folder);
            let to = to.to_str().unwrap();
            let args: &[&str] = match command {
                "evidence" => &["evidence", "--out", to],
                _ => &["copy", "--to", to],
            };
            let made = vault.run(args);
            // A copy that ends before these objects says so, whatever they are.
            let expected = if command == "copy" { 3 } else { 0 };
            assert_eq!(made.exit(), expected, "{command}: {}", made.stderr);
            assert!(
                !std::path::Path::new(to).join(&forged).exists(),
                "{command}"
            );
            std::fs::remove_dir_all(to).unwrap();
        }
        std::fs::remove_file(vault.archive().join(&forged)).unwrap();
    }
}

#[test]
fn w_cannot_stop_a_chain_with_objects_at_the_next_numbers() {
    let simulator = simulator();
    // What lies at the numbers after the first record.
    let junk: [(&str, Vec<Vec<u8>>); 4] = [
        ("an empty object", vec![Vec::new()]),
        (
            "three objects",
            vec![b"junk".to_vec(), b"{}".to_vec(), b"junk".to_vec()],
        ),
        ("a large object", vec![vec![b' '; (8 << 20) + 1]]),
        ("very many objects", vec![b"junk".to_vec(); 1_100]),
    ];
    for (name, objects) in junk {
        let mut vault = Vault::new(&simulator);
        sign(&mut vault);
        vault.run_day(EVE, &[]).expect(0);
        for chain in [SUB, key::ROSTER] {
            for (number, object) in (2..).zip(&objects) {
                forgery::write(&vault, &key::manifest(chain, number), object);
            }
        }
        // One far away is no reason to continue there.
        forgery::write(&vault, &key::manifest(SUB, 9_999_999_999), b"junk");
        assert_eq!(vault.run(&["ls"]).exit(), 0, "{name}");
        assert_eq!(vault.run(&["verify"]).exit(), 3, "{name}");
        let ran = vault.run_day(DAY, &[]);
        assert_eq!(ran.exit(), 3, "{name}: {} {}", ran.stdout, ran.stderr);
        let next = objects.len() as u64 + 2;
        for chain in [SUB, key::ROSTER] {
            let record = forgery::read(&vault, &key::manifest(chain, next));
            let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
            let record = &record["manifest"];
            assert_eq!(record["index"], 1, "{name}");
            let passed_over = &record["passed_over"];
            match objects.len() {
                1_100 => assert_eq!(passed_over["count"], 1_100),
                few => assert_eq!(passed_over.as_array().unwrap().len(), few, "{name}"),
            }
            assert_eq!(record["signed_from"], 1);
        }
        std::fs::remove_file(vault.archive().join(key::manifest(SUB, 9_999_999_999))).unwrap();
        let verified = vault.run(&["verify", "--json"]);
        assert_eq!(verified.exit(), 0, "{name}: {}", verified.stdout);
        assert!(verified.stdout.contains("passed-over"), "{name}");
        // A new host, and the next night.
        lose_state(&vault);
        vault.run_day("2026-11-18", &[]).expect(0);
        vault.run(&["status"]).expect(0);
    }
}

#[test]
fn w_cannot_begin_the_chain_of_a_sub_account() {
    let simulator = super::simulator_of(&[SUB, OTHER]);
    let mut vault = Vault::new(&simulator);
    sign(&mut vault);
    vault.run_day(DAY, &[]).expect(0);
    // The attacker's chain is one that a writer without a key would have made.
    let mut forged = forgery::disposal(&vault);
    let bytes = forgery::read(&vault, &key::manifest(SUB, 1));
    let first = cxvault::format::record::manifest::Envelope::from_bytes(&bytes).unwrap();
    forged.record = first.manifest.record;
    forged.coverage = first.manifest.coverage;
    (forged.sequence, forged.previous, forged.orders) = (1, None, None);
    forged.position = Default::default();
    forged.sub_account = OTHER.to_owned();
    forged.key = key::manifest(OTHER, 1);
    forgery::put(&vault, forged, None);
    let listed = vault.run(&["ls", "--json"]).expect(0);
    assert!(!listed.stdout.contains(OTHER), "{}", listed.stdout);
    assert_eq!(vault.run(&["verify"]).exit(), 3);
    vault.set("SUB_ACCOUNTS", OTHER);
    vault.run_day(DAY, &[]).expect(3);
    let begun: serde_json::Value =
        serde_json::from_slice(&forgery::read(&vault, &key::manifest(OTHER, 2))).unwrap();
    assert_eq!(begun["manifest"]["previous"], serde_json::Value::Null);
    assert_eq!(
        begun["manifest"]["passed_over"][0]["key"],
        key::manifest(OTHER, 1)
    );
    assert!(
        vault
            .run(&["ls", "--json"])
            .expect(0)
            .stdout
            .contains(OTHER)
    );
    assert_eq!(vault.run(&["verify"]).exit(), 0);
}

#[test]
fn w_cannot_write_with_the_program_and_another_key_or_none() {
    let simulator = simulator();
    let mut vault = Vault::new(&simulator);
    sign(&mut vault);
    vault.run_day(EVE, &[]).expect(0);
    let before = contents(&vault);
    lose_state(&vault);
    let mut other = Vault::new(&simulator);
    other.set("ARCHIVE", vault.archive().to_str().unwrap());
    simulator.reset_stats();
    for with_key in [false, true] {
        if with_key {
            sign(&mut other);
        }
        let range = ["--from", EVE, "--to", DAY, "--reason", "a test"];
        for command in [
            &["run", "--date", DAY][..],
            &[&["acknowledge"][..], &range].concat(),
            &[&["hold", "add", "--case", "x"][..], &range].concat(),
        ] {
            let ended = other.run(command);
            assert_eq!(ended.exit(), 2, "{command:?}: {}", ended.stderr);
        }
    }
    assert_eq!(simulator.requests(), 0);
    assert!(before == contents(&vault), "nothing was written");
}
