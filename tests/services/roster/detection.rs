//! What detects that the end of a chain was cut off: a host that has never seen the archive, and
//! the store's own versions and locks.

use super::*;
use crate::support::bucket::Bucket;
use crate::support::minio::minio;
use crate::support::vault::DAY;

/// What nothing could detect without a roster: the last manifest of a chain is removed with
/// everything that it lists, and the host has lost its state folder.
#[test]
fn a_host_without_notes_does_not_continue_a_chain_that_was_cut_off() {
    let simulator = listing(&[SUB, OTHER]);
    let vault = signing(&simulator);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    std::fs::remove_file(vault.archive().join(key::manifest(SUB, 2))).unwrap();
    std::fs::remove_dir_all(
        vault
            .archive()
            .join(format!("segments/v1/sub_account={SUB}/dt={DAY}")),
    )
    .unwrap();
    let verified = vault.run(&["verify", "--json"]).expect(4);
    assert!(
        findings(&verified).contains(&("roster-head".to_owned(), key::manifest(SUB, 2))),
        "{verified}"
    );
    std::fs::remove_dir_all(vault.state()).unwrap();
    let done = vault.run_day(DAY, &[]).expect(4);
    assert_eq!(
        vault.manifests(SUB).len(),
        1,
        "nothing is written after the cut"
    );
    assert_eq!(
        (records(&vault).len(), &done.summary()["roster"]),
        (2, &Value::Null),
        "not even of the run"
    );
    // The other sub-accounts are still archived.
    assert_eq!(done.summary()["days"][0]["outcome"], "confirmed", "{done}");
}

#[test]
fn a_roster_that_was_touched_stops_a_run_before_it_writes() {
    let simulator = listing(&[SUB]);
    let vault = signing(&simulator);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(EVE, &[]).expect(0);
    let before = vault.manifests(SUB).len();
    let second = std::fs::read(path(&vault, 2)).unwrap();
    let damages: [(&str, &dyn Fn()); 2] = [
        ("its end cut off", &|| {
            std::fs::remove_file(path(&vault, 2)).unwrap()
        }),
        ("the first one missing", &|| {
            std::fs::remove_file(path(&vault, 1)).unwrap()
        }),
    ];
    for (name, damage) in damages {
        damage();
        if name.contains("first") {
            // This host has a record of the second; a host without one verifies all of them.
            std::fs::remove_dir_all(vault.state()).unwrap();
        }
        let said = vault.run(&["run", "--date", DAY]).expect(4);
        assert!(said.stderr.contains("roster/v1/"), "{name}: {said}");
        assert_eq!(vault.manifests(SUB).len(), before, "{name}");
        if !path(&vault, 2).exists() {
            std::fs::write(path(&vault, 2), &second).unwrap();
        }
    }
}

#[test]
fn in_a_bucket_a_record_has_one_version_and_its_lock() {
    let simulator = listing(&[SUB]);
    let bucket = Bucket::new(minio(), "roster", true);
    let mut vault = signing(&simulator);
    bucket.used_by(&mut vault, None);
    vault.set("OBJECT_LOCK", "governance:1d");
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(EVE, &[]).expect(0);
    let record = |sequence| key::manifest(key::ROSTER, sequence);
    let shown = bucket.versions();
    let of = |key: &str| {
        shown
            .iter()
            .find(|version| version.key == key)
            .unwrap_or_else(|| panic!("no {key}"))
    };
    let (_, until) = of(&record(2)).lock.clone().expect("a lock");
    let said: Value = serde_json::from_slice(&bucket.contents()[&record(2)]).unwrap();
    let said: jiff::Timestamp = said["manifest"]["object_lock"]["retain_until"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(until / 1_000, said.as_second());
    vault.run(&["verify", "--json"]).expect(0);

    bucket.set_lock(&record(1), None);
    let verified = vault.run(&["verify", "--json"]).expect(4);
    assert_eq!(
        findings(&verified)[1..],
        [("lock-missing".to_owned(), record(1))],
        "{verified}"
    );
    bucket.delete(&record(2));
    let verified = vault.run(&["verify", "--json"]).expect(4);
    assert!(
        findings(&verified).contains(&("delete-marker".to_owned(), record(2))),
        "{verified}"
    );
    let said = vault.run(&["run", "--date", DAY]).expect(4);
    assert!(said.stderr.contains(&record(2)), "{said}");
    // The same applies to a host that has never seen the archive.
    std::fs::remove_dir_all(vault.state()).unwrap();
    let said = vault.run(&["run", "--date", DAY]).expect(4);
    assert!(said.stderr.contains(&record(2)), "{said}");
}
