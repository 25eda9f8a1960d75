//! What an attacker without the key can do to an unsigned chain: records that do not follow from
//! it.

use std::fs;
use std::path::PathBuf;

use super::*;

/// Returns an unsigned archive in a folder with gaps on DAY, an acknowledgement and a hold.
fn archive(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    vault
        .set("KNOWN_WARNINGS", "first-day-empty,low-volume")
        .set("MAX_ATTEMPTS", "1");
    vault.run_day(DAY, &[]).expect(3);
    vault
}

pub fn path(vault: &Vault, sequence: u32) -> PathBuf {
    vault.archive().join(format!(
        "manifests/v1/sub_account={SUB}/{sequence:010}.json"
    ))
}

/// Rewrites the head with `change` applied. Everything else stays consistent, since nothing names
/// the head's hash.
pub fn forge(vault: &Vault, change: impl Fn(&mut Value)) {
    let head = path(vault, vault.manifests(SUB).len() as u32);
    let mut envelope: Value = serde_json::from_slice(&fs::read(&head).unwrap()).unwrap();
    change(&mut envelope["manifest"]);
    let mut writable = fs::metadata(&head).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut writable, 0o600);
    fs::set_permissions(&head, writable).unwrap();
    fs::write(&head, serde_json_canonicalizer::to_vec(&envelope).unwrap()).unwrap();
}

#[track_caller]
pub fn finds(vault: &Vault, code: &str) {
    let verified = vault.run(&["verify", "--json"]).expect(4);
    assert!(
        codes(&verified).iter().any(|found| found == code),
        "no {code}: {verified}"
    );
}

#[test]
fn an_acknowledgement_of_other_gaps_is_found() {
    let simulator = broken();
    let changes: [fn(&mut Value); 5] = [
        |record| record["days"][0]["agent_failed"] = 99.into(),
        |record| record["days"][0]["revision"] = 2.into(),
        |record| record["days"][0]["manifest"]["sha256"] = "0".repeat(64).into(),
        |record| {
            record["days"][0]["incomplete_because"] = serde_json::json!(["beyond-source-retention"])
        },
        |record| record["days"] = serde_json::json!([]),
    ];
    for change in changes {
        let vault = archive(&simulator);
        vault
            .run(&["acknowledge", "--from", DAY, "--to", NEXT, "--reason", "x"])
            .expect(0);
        forge(&vault, change);
        finds(&vault, "record-wrong");
    }
    // A state letter that follows from no record.
    let vault = archive(&simulator);
    forge(&vault, |record| record["coverage"]["days"] = "a".into());
    finds(&vault, "coverage-wrong");
}

#[test]
fn a_chain_that_hides_a_hold_is_found() {
    let simulator = broken();
    let vault = archive(&simulator);
    vault
        .run(&[
            "hold", "add", "--case", "A", "--from", DAY, "--to", NEXT, "--reason", "x",
        ])
        .expect(0);
    vault
        .run(&["acknowledge", "--from", DAY, "--to", NEXT, "--reason", "x"])
        .expect(0);
    forge(&vault, |record| {
        drop(record.as_object_mut().unwrap().remove("orders"))
    });
    finds(&vault, "orders-wrong");
    // A release of a hold that never existed, and one that names no day.
    for change in [
        (|record: &mut Value| record["case"] = "B".into()) as fn(&mut Value),
        |record| record["range"]["to"] = record["range"]["from"].clone(),
    ] {
        let vault = archive(&simulator);
        vault
            .run(&[
                "hold", "add", "--case", "A", "--from", DAY, "--to", NEXT, "--reason", "x",
            ])
            .expect(0);
        vault
            .run(&["hold", "remove", "--case", "A", "--reason", "x"])
            .expect(0);
        forge(&vault, change);
        finds(&vault, "record-wrong");
    }
}

#[test]
fn longer_retention_of_what_is_not_archived_is_found() {
    let simulator = broken();
    for (date, range) in [(EVE, (EVE, NEXT)), (DAY, (EVE, DAY))] {
        let vault = archive(&simulator);
        vault
            .run(&[
                "hold", "add", "--case", "A", "--from", DAY, "--to", NEXT, "--reason", "x",
            ])
            .expect(0);
        forge(&vault, |record| {
            for hold_only in ["act", "case", "enforced"] {
                record.as_object_mut().unwrap().remove(hold_only);
            }
            let day = serde_json::json!({
                "date": date, "mode": "COMPLIANCE", "retain_until": "2099-01-01T00:00:00.000Z" });
            record["kind"] = "retention".into();
            record["range"] = serde_json::json!({ "from": range.0, "to": range.1 });
            record["days"] = serde_json::json!([day]);
        });
        finds(&vault, "record-wrong");
    }
}
