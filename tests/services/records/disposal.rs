//! Disposal after retention: before and after a lifecycle rule has deleted the objects, what
//! prevents a disposal, and disposal records that do not follow from their chain.

use std::fs;
use std::path::PathBuf;

use aws_sdk_s3::types::ObjectLockMode;
use axum::http::Method;
use serde_json::json;

use super::forgeries::{finds, forge, path};
use super::*;
use crate::support::minio::minio;
use crate::support::proxy::{Act, Proxy, holds};
use crate::support::vault::{days_ago, hours_ago};

const REASON: &str = "seven years are over – Löschkonzept 4.2";

fn dispose(vault: &Vault, from: &str, to: &str, more: &[&str]) -> Finished {
    let command = [
        "retention",
        "dispose",
        "--json",
        "--from",
        from,
        "--to",
        to,
        "--reason",
        REASON,
    ];
    vault.run(&[&command[..], more].concat())
}

#[track_caller]
fn refused(vault: &Vault, from: &str, to: &str, said: &str) {
    let refused = dispose(vault, from, to, &[]).expect(2);
    assert!(
        refused.stdout.contains(said) && refused.stdout.contains("\"remedy\":\""),
        "no {said:?}: {refused}"
    );
}

fn verified(vault: &Vault, exit: i32) -> Vec<String> {
    codes(
        &vault
            .run(&["verify", "--json", "--level", "deep"])
            .expect(exit),
    )
}

/// Returns a user with EVE and DAY, complete and signed, in a folder.
fn two_days(simulator: &Simulator) -> Vault {
    let vault = signing(simulator);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    vault
}

fn data(vault: &Vault, date: &str) -> PathBuf {
    vault
        .archive()
        .join(format!("segments/v1/sub_account={SUB}/dt={date}"))
}

/// Returns the only `expired` finding of a verification.
fn expired(vault: &Vault) -> String {
    let verified = vault.run(&["verify", "--json"]).expect(0);
    let mut events = verified
        .events()
        .into_iter()
        .filter(|event| event["code"] == "expired");
    let (Some(one), None) = (events.next(), events.next()) else {
        panic!("not one: {verified}")
    };
    assert_eq!(
        (&one["severity"], &one["object"]),
        (&json!("notice"), &json!(format!("{SUB} {EVE}")))
    );
    let last = verified.events().pop().unwrap();
    let days = (
        &last["days_disposed"],
        &last["days_complete"],
        &last["days_missing"],
    );
    assert_eq!(days, (&json!(1), &json!(1), &json!(0)), "{verified}");
    one["found"].as_str().unwrap().to_owned()
}

#[test]
fn a_day_is_disposed_of_first_and_removed_later() {
    let simulator = intact();
    let vault = two_days(&simulator);
    let before = vault.manifests(SUB);
    let looked = dispose(&vault, EVE, DAY, &["--dry-run"]).expect(0).events()[0].clone();
    assert_eq!(
        (&looked["dry_run"], &looked["head"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(vault.manifests(SUB), before, "a look records nothing");

    let event = dispose(&vault, EVE, DAY, &["--by", "A. Müller"])
        .expect(0)
        .events()[0]
        .clone();
    let record = vault.newest(SUB);
    assert_eq!(
        (&event["event"], &event["days"]),
        (&json!("disposed"), &record["days"])
    );
    assert_eq!(
        (&event["files"], &event["files_there"]),
        (&json!(1), &json!(1))
    );
    assert!(
        event["head"].as_str().unwrap().starts_with("99999999:3:"),
        "{event}"
    );
    let day = &before[0]["manifest"];
    let expected = json!([{ "date": EVE, "revision": 1, "files": 1, "bytes": day["files"][0]["bytes"], "lock": null,
        "manifest": { "key": day["key"], "sha256": before[1]["manifest"]["previous"]["sha256"] } }]);
    assert_eq!(
        (&record["kind"], &record["days"]),
        (&json!("disposal"), &expected)
    );
    assert_eq!(
        (&record["reason"], &record["by"]),
        (&json!(REASON), &json!("A. Müller"))
    );
    assert_eq!(record["coverage"]["days"], "dc");
    assert_eq!(record.get("orders"), None);
    check_schema(&vault);

    assert_eq!(expired(&vault), "0 gone, 1 there");
    // Data that still exists is verified as before.
    let part = vault.files(&data(&vault, EVE)).remove(0);
    let bytes = fs::read(&part).unwrap();
    fs::remove_file(&part).unwrap();
    fs::write(&part, [&bytes[..bytes.len() - 1], b"x"].concat()).unwrap();
    assert!(verified(&vault, 4).contains(&"file-hash-differs".to_owned()));
    fs::remove_dir_all(data(&vault, EVE)).unwrap();
    assert_eq!(verified(&vault, 0), ["expired"]);
    assert_eq!(expired(&vault), "1 gone, 0 there");
    let text = vault.run(&["verify"]).expect(0).stdout;
    assert!(
        text.contains("0 missing, 1 disposed of")
            && text.contains("its files may have been deleted"),
        "{text}"
    );

    // No finding remains, and an object that was not disposed of is missed.
    let again = dispose(&vault, EVE, DAY, &[]).expect(0).events()[0].clone();
    assert_eq!(
        (&again["head"], &again["days_before"]),
        (&Value::Null, &json!(1))
    );
    assert_eq!(kinds(&vault), ["day", "day", "disposal"]);
    fs::remove_dir_all(data(&vault, DAY)).unwrap();
    assert_eq!(verified(&vault, 4), ["expired", "file-missing"]);
}

#[test]
fn a_day_is_removed_first_and_disposed_of_later() {
    let simulator = intact();
    let vault = two_days(&simulator);
    fs::remove_dir_all(data(&vault, EVE)).unwrap();
    assert_eq!(verified(&vault, 4), ["file-missing"]);
    let event = dispose(&vault, EVE, DAY, &[]).expect(0).events()[0].clone();
    assert_eq!(
        (&event["files"], &event["files_there"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(verified(&vault, 0), ["expired"]);
}

/// Commands that work on days skip it: they send no request to RingCX and write no further record.
#[test]
fn writers_leave_it_alone() {
    let simulator = intact();
    let vault = two_days(&simulator);
    dispose(&vault, EVE, DAY, &[]).expect(0);
    fs::remove_dir_all(data(&vault, EVE)).unwrap();
    simulator.reset_stats();
    assert_eq!(
        vault.run_day(EVE, &[]).expect(0).day()["outcome"],
        "disposed of"
    );
    let filled = vault
        .run(&["backfill", "--json", "--from", EVE, "--to", NEXT])
        .expect(0);
    let outcomes: Vec<_> = filled.summary()["days"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| day["outcome"].clone())
        .collect();
    assert!(
        outcomes
            .iter()
            .all(|outcome| ["disposed of", "confirmed"].contains(&outcome.as_str().unwrap())),
        "{filled}"
    );
    assert_eq!(simulator.requests(), 0);
    let again = vault
        .run(&["recheck", "--json", "--from", EVE, "--to", NEXT])
        .expect(0);
    assert_eq!(again.day()["date"], DAY, "only what is there");
    assert!(again.stderr.contains("disposed of"), "{again}");

    // The range of a hold may include the day; the command reports that nothing is left of it.
    let held = vault
        .run(&[
            "hold", "add", "--case", "A", "--from", EVE, "--to", NEXT, "--reason", "x",
        ])
        .expect(0);
    assert!(
        held.stdout
            .contains("disposed of after their retention: 1 day"),
        "{held}"
    );
    let noted = vault
        .run(&["acknowledge", "--from", EVE, "--to", DAY, "--reason", "x"])
        .expect(2);
    assert!(
        noted.stderr.contains("2026-11-19 was disposed of"),
        "{noted}"
    );
    // The next day can still be archived: the windows of its neighbours are known from their
    // manifests.
    vault.run_day("2026-11-18", &[]).expect(0);
    assert_eq!(
        kinds(&vault),
        ["day", "day", "disposal", "day", "hold", "day"]
    );
    assert_eq!(verified(&vault, 0), ["expired", "hold-not-enforced"]);
}

#[test]
fn what_prevents_a_disposal_is_named() {
    let simulator = broken();
    let vault = signing(&simulator);
    vault.run_day(DAY, &[]).expect(3);
    refused(
        &vault,
        EVE,
        NEXT,
        "2026-11-19 was never archived; 2026-11-20 has unacknowledged gaps",
    );
    refused(&vault, "2026-11-01", DAY, "and 9 more days");
    refused(&vault, DAY, DAY, "contains no day");
    vault
        .run(&["acknowledge", "--from", DAY, "--to", NEXT, "--reason", "x"])
        .expect(0);
    // The same applies where nothing enforces the hold.
    vault
        .run(&[
            "hold", "add", "--case", "Doe", "--from", DAY, "--to", NEXT, "--reason", "x",
        ])
        .expect(0);
    refused(&vault, DAY, NEXT, "2026-11-20 is held for case Doe");
    vault
        .run(&["hold", "remove", "--case", "Doe", "--reason", "settled"])
        .expect(0);
    assert_eq!(kinds(&vault), ["day", "acknowledgement", "hold", "hold"]);
    dispose(&vault, DAY, NEXT, &[]).expect(0);
    assert_eq!(verified(&vault, 0), ["expired"]);
    let nothing = Vault::new(&simulator);
    dispose(&nothing, DAY, NEXT, &[]).expect(2);
    assert!(nothing.files(&nothing.archive()).is_empty());
}

/// Returns a user with an unsigned chain of one day whose manifest names a lock, like one that was
/// written long ago. The host has lost its record of the head.
fn locked_until(simulator: &Simulator, mode: &str, until_ms: i64) -> Vault {
    let mut vault = Vault::new(simulator);
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    vault.run_day(EVE, &[]).expect(0);
    let lock = json!({ "mode": mode, "retain_until": instant(until_ms) });
    forge(&vault, |day| day["object_lock"] = lock.clone());
    // The roster and this host have recorded another manifest.
    fs::remove_dir_all(vault.archive().join("roster")).unwrap();
    fs::remove_dir_all(vault.state()).unwrap();
    vault
}

/// Formats an instant in whole seconds, as S3 stores it.
fn instant(ms: i64) -> String {
    cxvault::format::time::day::rfc3339(ms / 1_000 * 1_000)
}

#[test]
fn a_lock_must_have_run_out_a_day_ago() {
    let simulator = intact();
    for hours in [-1, 23] {
        let until = hours_ago(hours);
        let vault = locked_until(&simulator, "COMPLIANCE", until);
        refused(
            &vault,
            EVE,
            DAY,
            &format!("{EVE} is locked until {}", instant(until)),
        );
    }
    let until = hours_ago(25);
    let vault = locked_until(&simulator, "COMPLIANCE", until);
    dispose(&vault, EVE, DAY, &[]).expect(0);
    let lock = json!({ "mode": "COMPLIANCE", "retain_until": instant(until) });
    assert_eq!(vault.newest(SUB)["days"][0]["lock"], lock);
    fs::remove_dir_all(data(&vault, EVE)).unwrap();
    let verified = vault.run(&["verify", "--json"]).expect(0);
    assert_eq!(codes(&verified), ["chain-unsigned", "expired", "no-roster"]);
}

/// A record that does not follow from the chain disposes of nothing: the deleted files are reported
/// as missing.
#[test]
fn a_record_that_does_not_follow_from_the_chain_is_found() {
    let simulator = intact();
    let changes: [fn(&mut Value); 11] = [
        |record| record["days"][0]["lock"] = Value::Null,
        |record| record["days"][0]["lock"]["mode"] = "GOVERNANCE".into(),
        |record| record["days"][0]["lock"]["retain_until"] = instant(hours_ago(26)).into(),
        |record| record["days"][0]["lock"]["retain_until"] = instant(hours_ago(23)).into(),
        |record| record["days"][0]["revision"] = 2.into(),
        |record| record["days"][0]["manifest"]["sha256"] = "0".repeat(64).into(),
        |record| record["days"][0]["files"] = 7.into(),
        |record| record["days"][0]["bytes"] = 7.into(),
        |record| record["range"]["to"] = record["range"]["from"].clone(),
        |record| record["run"]["finished_at"] = record["run"]["started_at"].clone(),
        |record| record["days"] = json!([]),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let vault = locked_until(&simulator, "COMPLIANCE", hours_ago(25));
        dispose(&vault, EVE, DAY, &[]).expect(0);
        fs::remove_dir_all(data(&vault, EVE)).unwrap();
        forge(&vault, |record| {
            // As if it had been committed when the lock had just ended.
            record["run"]["started_at"] = instant(hours_ago(2)).into();
            change(record);
        });
        for code in ["record-wrong", "file-missing"] {
            println!("{n}: {code}");
            finds(&vault, code);
        }
    }
    // A state letter that follows from no record.
    let vault = locked_until(&simulator, "COMPLIANCE", hours_ago(25));
    forge(&vault, |day| day["coverage"]["days"] = "d".into());
    fs::remove_dir_all(data(&vault, EVE)).unwrap();
    finds(&vault, "coverage-wrong");
    finds(&vault, "file-missing");
}

/// A disposal record where the chain has a hold, made from the record of another hold.
#[test]
fn a_disposal_of_held_days_is_found() {
    let simulator = intact();
    let mut vault = Vault::new(&simulator);
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    vault.run_day(EVE, &[]).expect(0);
    for case in ["A", "B"] {
        vault
            .run(&[
                "hold", "add", "--case", case, "--from", EVE, "--to", DAY, "--reason", "x",
            ])
            .expect(0);
    }
    let day = vault.manifests(SUB)[0]["manifest"].clone();
    let sha256 = vault.manifests(SUB)[1]["manifest"]["previous"]["sha256"].clone();
    let disposed = json!([{ "date": EVE, "revision": 1, "files": 1, "bytes": day["files"][0]["bytes"], "lock": null,
        "manifest": { "key": day["key"], "sha256": sha256 } }]);
    forge(&vault, |record| {
        for hold_only in ["act", "case", "enforced"] {
            record.as_object_mut().unwrap().remove(hold_only);
        }
        record["kind"] = "disposal".into();
        record["coverage"]["days"] = "d".into();
        record["days"] = disposed.clone();
    });
    fs::remove_dir_all(data(&vault, EVE)).unwrap();
    let verified = vault.run(&["verify", "--json"]).expect(4);
    assert_eq!(
        codes(&verified),
        [
            "chain-unsigned",
            "file-missing",
            "hold-not-enforced",
            "record-wrong"
        ]
    );
    assert!(verified.stdout.contains("held for case A"), "{verified}");
    assert!(path(&vault, 3).exists());
}

/// A bucket with Object Lock: locks that only the store knows, delete markers, deleted versions,
/// and a hold that arrives late.
#[test]
fn locks_of_a_bucket_are_read_and_deletions_by_a_lifecycle_rule_are_no_violation() {
    let simulator = intact();
    let bucket = Bucket::new(minio(), "disposed", true);
    let mut vault = signing(&simulator);
    bucket.used_by(&mut vault, None);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    let part = |date: &str| {
        bucket
            .versions()
            .into_iter()
            .find(|one| one.key.contains(&format!("dt={date}")))
            .unwrap()
            .key
    };
    let (eve, day) = (part(EVE), part(DAY));
    let tomorrow = hours_ago(-24) / 1_000 * 1_000;
    bucket.set_lock(&eve, Some((ObjectLockMode::Governance, tomorrow)));
    refused(
        &vault,
        EVE,
        NEXT,
        &format!("{EVE} is locked until {} in the store", instant(tomorrow)),
    );
    bucket.set_lock(&eve, None);
    bucket.set_hold(&eve, true);
    refused(&vault, EVE, NEXT, "is under a legal hold in the store");
    bucket.set_hold(&eve, false);
    dispose(&vault, EVE, DAY, &[]).expect(0);
    assert_eq!(verified(&vault, 0), ["expired"]);

    // A later hold is applied to the objects that are left.
    let later = ["--case", "A", "--from", EVE, "--to", DAY, "--reason", "x"];
    let held = vault
        .run(&[&["hold", "add", "--json"], &later[..]].concat())
        .expect(0)
        .events()[0]
        .clone();
    let counts = (
        &held["objects"],
        &held["days_disposed"],
        &held["files_gone"],
    );
    assert_eq!(counts, (&json!(2), &json!(1), &json!(0)));
    assert_eq!(verified(&vault, 0), ["expired"]);
    vault
        .run(&["hold", "remove", "--case", "A", "--reason", "settled"])
        .expect(0);

    // The longer retention applies to the other day.
    let until = days_ago(-3);
    vault.set("OBJECT_LOCK", "governance:1d");
    let extended = vault.run(&[
        "retention",
        "extend",
        "--json",
        "--from",
        EVE,
        "--to",
        NEXT,
        "--until",
        &until,
    ]);
    let event = extended.expect(0).events()[0].clone();
    assert_eq!(
        (&event["days"][0]["date"], &event["days_disposed"]),
        (&json!(DAY), &json!(1))
    );
    refused(
        &vault,
        EVE,
        NEXT,
        &format!("{DAY} is locked until {until}T23:59:59.000Z"),
    );

    bucket.delete(&eve);
    assert_eq!(
        expired(&vault),
        "1 gone (1 hidden by a delete marker, with the version under it still stored), 0 there"
    );
    bucket.purge(&eve);
    assert_eq!(expired(&vault), "1 gone, 0 there");
    assert_eq!(verified(&vault, 0), ["expired"]);
    let held = vault
        .run(&[&["hold", "add", "--json"], &later[..]].concat())
        .expect(0)
        .events()[0]
        .clone();
    assert_eq!(
        (&held["objects"], &held["files_gone"]),
        (&json!(1), &json!(1))
    );
    let listed = vault.run(&["hold", "list", "--json"]).expect(0).events()[0].clone();
    assert_eq!(
        (&listed["objects"], &listed["held"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(verified(&vault, 0), ["expired"]);

    // A lifecycle rule must not touch a day that is not disposed of, or any manifest.
    bucket.delete(&day);
    assert_eq!(
        verified(&vault, 4),
        ["delete-marker", "expired", "file-missing"]
    );
    bucket.purge(&day);
    assert_eq!(verified(&vault, 4), ["expired", "file-missing"]);
    bucket.delete(&format!("manifests/v1/sub_account={SUB}/0000000001.json"));
    assert!(verified(&vault, 4).contains(&"manifest-missing".to_owned()));
}

/// A chain whose lock has ended, in a bucket. It is uploaded object by object, since no store
/// accepts a lock that has already ended.
#[test]
fn a_lock_that_only_the_store_has_prevents_a_disposal_too() {
    let simulator = intact();
    let mut vault = locked_until(&simulator, "GOVERNANCE", hours_ago(25));
    let bucket = Bucket::new(minio(), "over", true);
    let mut objects = crate::support::protocol::Contents::new();
    for file in vault.files(&vault.archive()) {
        let key = file
            .strip_prefix(vault.archive())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        objects.insert(key, fs::read(&file).unwrap().into());
    }
    let soon = hours_ago(0) / 1_000 * 1_000 + 60_000;
    bucket.store(&objects, Some((ObjectLockMode::Governance, soon)));
    bucket.used_by(&mut vault, None);
    // The lock ends in a minute. A day is disposed of only a day after its lock.
    refused(&vault, EVE, DAY, "in the store");
    let part = bucket
        .versions()
        .into_iter()
        .find(|one| one.key.starts_with("segments/"))
        .unwrap()
        .key;
    bucket.set_lock(&part, None);
    dispose(&vault, EVE, DAY, &[]).expect(0);
    bucket.purge(&part);
    let verified = vault.run(&["verify", "--json"]).expect(0);
    assert!(
        codes(&verified).contains(&"expired".to_owned()),
        "{verified}"
    );
}

/// A run that has observed the day and stored its part commits too late.
#[test]
fn a_run_that_was_under_way_commits_nothing_to_a_day_that_was_disposed_of() {
    let simulator = broken();
    let bucket = Bucket::new(minio(), "meanwhile", true);
    let mut vault = signing(&simulator);
    bucket.used_by(&mut vault, None);
    vault.run_day(EVE, &[]).expect(3);
    vault
        .run(&["acknowledge", "--from", EVE, "--to", DAY, "--reason", "x"])
        .expect(0);
    let mut mended = options();
    mended.segments_per_day = 40;
    let mended = Simulator::start(mended);
    vault.move_to(&mended);
    let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
    bucket.used_by(&mut vault, Some(&proxy.url));
    let (arrival, held_requests) = holds();
    proxy.once(
        Method::PUT,
        "0000000003.json",
        0,
        Act::HoldBefore(arrival()),
    );
    let run = vault.spawn(&["run", "--json", "--date", EVE]);
    let request = held_requests.next();
    bucket.used_by(&mut vault, None);
    vault.set("S3_ENDPOINT", &minio().endpoint());
    refused(
        &vault,
        EVE,
        DAY,
        "2026-11-19 has an unfinished run on this host",
    );
    // Another host has no record of it.
    let here = vault.state().to_str().unwrap().to_owned();
    let elsewhere = vault
        .folder
        .path()
        .join("elsewhere")
        .to_str()
        .unwrap()
        .to_owned();
    vault.set("STATE_DIR", &elsewhere);
    dispose(&vault, EVE, DAY, &[]).expect(0);
    request.release();
    let late = run.wait().expect(2);
    assert!(
        late.day()["message"]
            .as_str()
            .unwrap()
            .contains("was disposed of meanwhile"),
        "{late}"
    );
    assert_eq!(head_in(&bucket)["sequence"], 3);

    vault.set("STATE_DIR", &here);
    mended.reset_stats();
    let again = vault.run_day(EVE, &[]).expect(0);
    assert_eq!(
        (again.day()["outcome"].clone(), mended.requests()),
        (json!("disposed of"), 0)
    );
    assert!(
        again
            .stderr
            .contains("the journal of an unfinished run of it is removed"),
        "{again}"
    );
    // Its part is a leftover.
    assert_eq!(verified(&vault, 0), ["expired", "leftover"]);
}

#[test]
fn a_hold_that_comes_first_wins() {
    let simulator = intact();
    let bucket = Bucket::new(minio(), "first", true);
    let mut vault = signing(&simulator);
    bucket.used_by(&mut vault, None);
    vault.run_day(EVE, &[]).expect(0);
    let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
    bucket.used_by(&mut vault, Some(&proxy.url));
    let (arrival, held_requests) = holds();
    proxy.once(
        Method::PUT,
        "0000000002.json",
        0,
        Act::HoldBefore(arrival()),
    );
    let disposal = [
        "retention",
        "dispose",
        "--json",
        "--from",
        EVE,
        "--to",
        DAY,
        "--reason",
        "x",
    ];
    let late = vault.spawn(&disposal);
    let request = held_requests.next();
    bucket.used_by(&mut vault, None);
    vault.set("S3_ENDPOINT", &minio().endpoint());
    vault
        .run(&[
            "hold", "add", "--case", "Doe", "--from", EVE, "--to", DAY, "--reason", "x",
        ])
        .expect(0);
    request.release();
    let late = late.wait().expect(2);
    assert!(
        late.stdout.contains("2026-11-19 is held for case Doe"),
        "{late}"
    );
    assert_eq!(head_in(&bucket)["kind"], "hold");
    assert_eq!(verified(&vault, 0), [""; 0]);
}
