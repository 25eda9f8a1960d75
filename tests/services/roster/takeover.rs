//! Copies: no command writes to them until one is taken over; from then on it is an archive like
//! any other.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::support::bucket::Bucket;
use crate::support::minio::minio;
use crate::support::vault::DAY;

const REASON: [&str; 3] = ["takeover", "--reason", "the region is lost"];

/// Returns another user with a copy of the archive's folder and the same key.
fn copied(vault: &Vault, simulator: &Simulator) -> Vault {
    let copy = signing(simulator);
    let from = vault.folder.path();
    for name in ["archive", "signing-key", "allowed_signers"] {
        let to = copy.folder.path().join(name);
        let done = Command::new("cp")
            .arg("-a")
            .arg(from.join(name))
            .arg("-T")
            .arg(&to)
            .status()
            .unwrap();
        assert!(done.success());
    }
    copy
}

/// Returns the mark that a copier writes into the root of its copy.
fn mark(folder: &Path, from: &str) -> Digest {
    let about: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join(key::ARCHIVE)).unwrap()).unwrap();
    let record = serde_json::json!({
        "archive_id": about["archive_id"], "copied_at": "2026-11-22T00:00:00.000Z", "from": from,
        "format_version": 1, "roster": null, "sub_accounts": [], "tool_version": "0.1.0"
    });
    let bytes = serde_json_canonicalizer::to_vec(&record).unwrap();
    std::fs::write(folder.join(key::COPY), &bytes).unwrap();
    Digest::of(&bytes)
}

#[test]
fn a_copy_is_read_and_not_written_until_it_is_taken_over() {
    let simulator = listing(&[SUB, OTHER]);
    let vault = signing(&simulator);
    vault.run_day(EVE, &[]).expect(0);
    let copy = copied(&vault, &simulator);
    let sha256 = mark(&copy.archive(), "s3://acme/original");
    let range = ["--from", EVE, "--to", DAY];
    for args in [
        &["run", "--date", DAY][..],
        &[&["backfill"], &range[..]].concat(),
        &[&["recheck"], &range[..]].concat(),
        &[
            &["acknowledge", "--reason", "x", "--sub-account", SUB],
            &range[..],
        ]
        .concat(),
        &[&["hold", "add", "--case", "A", "--reason", "x"], &range[..]].concat(),
        &[
            &["retention", "extend", "--until", "2100-01-01"],
            &range[..],
        ]
        .concat(),
    ] {
        let said = copy.run(args).expect(2);
        let named = ["is a copy of s3://acme/original", "cxvault takeover"]
            .iter()
            .all(|word| said.stderr.contains(word));
        assert!(named, "{args:?}: {said}");
    }
    for command in ["verify", "status", "ls"] {
        copy.run(&[command]).expect(0);
    }
    let findings_before = findings(&copy.run(&["verify", "--json"]).expect(0));
    assert!(
        findings_before
            .iter()
            .all(|(code, _)| code == "no-expected-head"),
        "{findings_before:?}"
    );

    copy.run(&[&REASON[..], &["--dry-run"]].concat()).expect(0);
    assert_eq!(records(&copy).len(), 1, "a dry run commits nothing");
    let said = copy
        .run(&[&REASON[..], &["--by", "A. Operator"]].concat())
        .expect(0);
    assert!(
        said.stdout.contains(&format!("head {}", head(&copy))),
        "{said}"
    );
    let record = newest(&copy);
    assert_eq!(
        (&record["kind"], &record["from"]),
        (&"takeover".into(), &"s3://acme/original".into())
    );
    assert_eq!(
        (&record["copy"], &record["by"]),
        (&sha256.hex().into(), &"A. Operator".into())
    );
    assert_eq!(record["sub_accounts"].as_array().unwrap().len(), 2);
    assert_eq!(entry(&record, SUB)["head"], chain_head(&copy, SUB));
    // A second takeover is refused.
    copy.run(&REASON).expect(0);
    assert_eq!(records(&copy).len(), 2);

    copy.run_day(DAY, &[]).expect(0);
    copy.run_day(DAY, &[]).expect(0);
    let all = records(&copy);
    let link = serde_json::json!({ "key": key::manifest(key::ROSTER, 2), "sha256": Digest::of(&std::fs::read(path(&copy, 2)).unwrap()).hex() });
    assert!(
        all[2..]
            .iter()
            .all(|record| record["manifest"]["takeover"] == link),
        "{all:?}"
    );
    assert_eq!(
        entry(&all[3]["manifest"], OTHER)["head"],
        chain_head(&copy, OTHER)
    );
    let found = findings(&copy.run(&["verify", "--json"]).expect(0));
    assert!(
        found.contains(&("taken-over".to_owned(), key::manifest(key::ROSTER, 2))),
        "{found:?}"
    );

    // A copy of it, with its own mark, is a copy again.
    let again = copied(&copy, &simulator);
    mark(&again.archive(), "elsewhere");
    again.run_day(DAY, &[]).expect(2);
    // The original has no record of this.
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(records(&vault).len(), 2);
}

#[test]
fn a_copy_that_lacks_something_is_not_taken_over() {
    let simulator = listing(&[SUB]);
    let vault = signing(&simulator);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    let copy = copied(&vault, &simulator);
    mark(&copy.archive(), "the original");
    std::fs::remove_file(copy.archive().join(key::manifest(SUB, 2))).unwrap();
    let said = copy.run(&REASON).expect(4);
    assert!(
        said.stderr.contains(&key::manifest(SUB, 2)) && said.stderr.contains("Copy again"),
        "{said}"
    );
    assert_eq!(records(&copy).len(), 2);
}

#[test]
fn a_bucket_that_another_tool_has_copied_is_a_copy_too() {
    let simulator = listing(&[SUB]);
    let (here, there) = (
        Bucket::new(minio(), "original", true),
        Bucket::new(minio(), "copied", true),
    );
    let mut vault = signing(&simulator);
    // Several parts a day: where every version id differs, the archive looks like a copy.
    vault
        .set("OBJECT_LOCK", "governance:1d")
        .set("PART_ROWS", "6");
    here.used_by(&mut vault, None);
    vault.run_day(EVE, &[]).expect(0);
    there.store(&here.contents(), None);
    there.used_by(&mut vault, None);
    let said = vault.run(&["run", "--date", DAY]).expect(2);
    assert!(
        said.stderr
            .contains(&format!("is a copy of {}", here.location())),
        "{said}"
    );
    let found = findings(&vault.run(&["verify", "--json"]).expect(0));
    assert!(
        found.contains(&("relocated-copy".to_owned(), format!("sub_account={SUB}"))),
        "{found:?}"
    );

    vault.run(&REASON).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    let found = findings(&vault.run(&["verify", "--json"]).expect(0));
    let codes: Vec<&str> = found.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(
        codes,
        ["no-expected-head", "taken-over"],
        "old versions and locks are those of the other bucket"
    );

    // Manifests that were committed here are compared with this store.
    let contents = there.contents();
    let part = contents
        .keys()
        .find(|key| key.contains(&format!("dt={DAY}/")))
        .expect("a part of this place")
        .clone();
    let bytes = contents[&part].clone();
    there.purge(&part);
    there.store(&[(part.clone(), bytes)].into(), None);
    let found = findings(&vault.run(&["verify", "--json"]).expect(4));
    for code in ["version-differs", "lock-missing"] {
        assert!(
            found.contains(&(code.to_owned(), part.clone())),
            "{found:?}"
        );
    }
    // The original is still the archive that its own records name.
    here.used_by(&mut vault, None);
    std::fs::remove_dir_all(vault.state()).unwrap();
    vault.run_day(EVE, &[]).expect(0);
}
