//! Changes of the keys that count: what a thief of a removed key can do, and what shows that a removal was undone.

use cxvault::format::place::key;
use cxvault::format::signature::SigningKey;

use super::{allow, forgery, lose_state, new_key, sign, simulator};
use crate::support::vault::{DAY, SUB, Simulator, Vault};

const EVE: &str = "2026-11-19";
const REASON: [&str; 2] = ["--reason", "a test"];

fn signers(vault: &Vault, args: &[&str]) -> crate::support::vault::Finished {
    vault.run(&[&["signers"][..], args, &REASON, &["--json"]].concat())
}

fn key_of(file: &str) -> SigningKey {
    SigningKey::from_openssh_pem(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// A vault whose first key was removed after the first day: its host signs with the second one.
struct Changed {
    vault: Vault,
    stolen: SigningKey,
    /// The public keys: the first and the second.
    keys: [String; 2],
}

fn changed(simulator: &Simulator) -> Changed {
    let mut vault = Vault::new(simulator);
    let first = sign(&mut vault);
    let stolen = vault.folder.path().join("signing-key");
    let stolen = stolen.to_str().unwrap().to_owned();
    vault.run_day(DAY, &[]).expect(0);
    let (file, second) = new_key(&vault, "second");
    signers(&vault, &["add", &second, "--dry-run"]).expect(0);
    assert!(!vault.archive().join("signers").exists());
    // The host's own key is the new one already, and the old one signs.
    vault.set("SIGNING_KEY_FILE", &file);
    signers(&vault, &["add", &second]).expect(2);
    signers(&vault, &["add", &second, "--sign-with", &stolen]).expect(0);
    signers(&vault, &["remove", &second, &first]).expect(2);
    signers(&vault, &["remove", &first]).expect(0);
    signers(&vault, &["remove", &first]).expect(0);
    assert_eq!(vault.files(&vault.archive().join("signers")).len(), 2);
    vault.run(&["verify"]).expect(0);
    Changed {
        vault,
        stolen: key_of(&stolen),
        keys: [first, second],
    }
}

#[test]
fn a_removed_key_counts_for_nothing_that_comes_after_its_removal() {
    let simulator = simulator();
    let Changed {
        mut vault,
        stolen,
        keys: [first, second],
    } = changed(&simulator);
    let before = vault.run(&["ls", "--json"]).expect(0).stdout;
    // The thief can create objects, and has the old key.
    let forged = forgery::put(&vault, forgery::disposal(&vault), Some(&stolen));
    for allowed in [&[][..], &[&second, &first]] {
        let allowed: Vec<&str> = allowed.iter().map(|key| key.as_str()).collect();
        if !allowed.is_empty() {
            allow(&mut vault, &allowed);
        }
        assert_eq!(vault.run(&["ls", "--json"]).expect(0).stdout, before);
        assert_eq!(vault.run(&["verify"]).exit(), 3);
    }
    let ended = vault.run_day(EVE, &[]);
    assert_eq!(ended.exit(), 3, "{} {}", ended.stdout, ended.stderr);
    let next = forgery::read(&vault, &key::manifest(SUB, 3));
    let next: serde_json::Value = serde_json::from_slice(&next).unwrap();
    assert_eq!(next["manifest"]["passed_over"][0]["key"], forged);
    vault.run(&["verify"]).expect(0);
    // The old host is refused.
    let old = vault.folder.path().join("signing-key");
    vault.set("SIGNING_KEY_FILE", old.to_str().unwrap());
    vault.run_day(EVE, &[]).expect(2);
}

#[test]
fn a_removal_that_was_undone_is_noticed() {
    let simulator = simulator();
    let Changed {
        mut vault,
        keys: [first, second],
        ..
    } = changed(&simulator);
    vault.run_day(EVE, &[]).expect(0);
    let anchors = vault.folder.path().join("anchors");
    vault.set("ANCHOR", anchors.to_str().unwrap());
    vault.run_day(EVE, &[]).expect(0);
    assert!(!vault.files(&anchors).is_empty());
    let changes = vault.archive().join("signers");
    let away = vault.folder.path().join("away");
    // The storage provider removes the chain of signers, or its last record.
    for whole in [true, false] {
        let (from, to) = match whole {
            true => (changes.clone(), away.clone()),
            false => (changes.join("v1/0000000002.json"), away.clone()),
        };
        std::fs::rename(&from, &to).unwrap();
        // The host remembers it.
        let ran = vault.run_day(DAY, &[]);
        assert_eq!(
            ran.exit(),
            if whole { 2 } else { 4 },
            "{whole}: {}",
            ran.stderr
        );
        // The anchors have it, and the roster names it.
        let verified = vault.run(&["verify", "--json"]);
        assert_eq!(verified.exit(), 4, "{whole}: {}", verified.stdout);
        allow(&mut vault, &[&first, &second]);
        let verified = vault.run(&["verify", "--no-anchor", "--json"]);
        assert_eq!(verified.exit(), 4, "{whole}: {}", verified.stdout);
        vault.unset("ALLOWED_SIGNERS_FILE");
        std::fs::rename(&to, &from).unwrap();
        vault.run(&["verify"]).expect(0);
    }
    // A new host with the second key cannot be misled into signing with a key that does not count.
    std::fs::rename(&changes, &away).unwrap();
    lose_state(&vault);
    vault.run_day(DAY, &[]).expect(2);
}

/// No host remembers the newest record, and no record of the roster names it: only the anchor does.
#[test]
fn p_cannot_have_a_record_passed_over_that_an_anchor_knows() {
    let simulator = simulator();
    let mut vault = Vault::new(&simulator);
    sign(&mut vault);
    let anchors = vault.folder.path().join("anchors");
    vault.set("ANCHOR", anchors.to_str().unwrap());
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    forgery::write(&vault, &key::manifest(SUB, 2), b"{}");
    std::fs::remove_file(vault.archive().join(key::manifest(key::ROSTER, 2))).unwrap();
    lose_state(&vault);
    let ran = vault.run_day("2026-11-18", &[]);
    assert_eq!(ran.exit(), 4, "{} {}", ran.stdout, ran.stderr);
    assert_eq!(forgery::newest(&vault, SUB), 2);
}

#[test]
fn two_hosts_change_keys_at_the_same_time() {
    let simulator = simulator();
    let mut vault = Vault::new(&simulator);
    sign(&mut vault);
    vault.run_day(EVE, &[]).expect(0);
    let keys: Vec<String> = (0..3)
        .map(|n| new_key(&vault, &format!("key-{n}")).1)
        .collect();
    // And a night is under way, whose key stays in the list.
    let night = vault.spawn(&["run", "--json", "--date", DAY]);
    let adding: Vec<_> = keys
        .iter()
        .map(|key| vault.spawn(&["signers", "add", key, "--reason", "a test", "--json"]))
        .collect();
    for ended in adding {
        ended.wait().expect(0);
    }
    night.wait().expect(0);
    let listed = vault.run(&["signers", "list", "--json"]).expect(0);
    assert_eq!(listed.events()[0]["keys"].as_array().unwrap().len(), 4);
    vault.run(&["verify"]).expect(0);
}

#[test]
fn w_cannot_change_the_keys_or_hide_their_change() {
    let simulator = simulator();
    let mut vault = Vault::new(&simulator);
    sign(&mut vault);
    vault.run_day(EVE, &[]).expect(0);
    // Junk where the first change belongs, and far away.
    for number in [1, 7, 9_999_999_999] {
        forgery::write(&vault, &key::manifest(key::SIGNERS, number), b"junk");
    }
    vault.run(&["ls"]).expect(0);
    assert_eq!(vault.run(&["verify"]).exit(), 3);
    let (_, second) = new_key(&vault, "second");
    signers(&vault, &["add", &second]).expect(0);
    let record = forgery::read(&vault, &key::manifest(key::SIGNERS, 2));
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(
        record["manifest"]["passed_over"].as_array().unwrap().len(),
        1
    );
    let listed = vault.run(&["signers", "list", "--json"]).expect(0);
    assert_eq!(listed.events()[0]["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn signing_begins_by_an_explicit_act_only() {
    let simulator = simulator();
    let mut vault = Vault::new(&simulator);
    vault.run_day(EVE, &[]).expect(0);
    let own = sign(&mut vault);
    // A key alone does not make an unsigned archive a signed one.
    vault.run_day(DAY, &[]).expect(2);
    signers(&vault, &["add", &own]).expect(2);
    signers(&vault, &["begin", "--dry-run"]).expect(0);
    signers(&vault, &["begin"]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    allow(&mut vault, &[&own]);
    let verified = vault.run(&["verify", "--json"]).expect(0);
    assert!(
        verified.stdout.contains("vouched-only"),
        "{}",
        verified.stdout
    );
    let second: serde_json::Value =
        serde_json::from_slice(&forgery::read(&vault, &key::manifest(SUB, 2))).unwrap();
    assert_eq!(second["manifest"]["signed_from"], 2);
    // What the beginning vouches for cannot be rewritten any more.
    let mut first = forgery::first(&vault);
    first.run.host = "another".to_owned();
    forgery::put(&vault, first, None);
    assert_eq!(vault.run(&["verify"]).exit(), 4);
    assert_eq!(vault.run(&["ls"]).exit(), 4);
    // A host without a key is refused from now on.
    vault.unset("SIGNING_KEY_FILE");
    vault.run_day(DAY, &[]).expect(2);
}
