//! Legal holds: of several cases, interrupted, during a nightly run, removed by another user, and
//! where nothing enforces them.

use axum::http::Method;
use serde_json::json;

use super::*;
use crate::support::minio::minio;
use crate::support::proxy::{Act, Proxy, holds};

const REASON: &str = "order of 2 December";

fn add(vault: &Vault, case: &str, from: &str, to: &str) -> Finished {
    vault.run(&[
        "hold", "add", "--json", "--case", case, "--from", from, "--to", to, "--reason", REASON,
    ])
}

fn remove(vault: &Vault, case: &str, more: &[&str]) -> Finished {
    vault.run(
        &[
            &[
                "hold", "remove", "--json", "--case", case, "--reason", "settled",
            ],
            more,
        ]
        .concat(),
    )
}

/// Returns two signed days, EVE and DAY, in a bucket with Object Lock.
fn two_days<'a>(simulator: &Simulator) -> (Bucket<'a>, Vault) {
    let bucket = Bucket::new(minio(), "held", true);
    let mut vault = signing(simulator);
    bucket.used_by(&mut vault, None);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    (bucket, vault)
}

/// Returns the objects that carry a hold: dates for parts, sequence numbers for manifests.
fn held(bucket: &Bucket) -> Vec<String> {
    let held = bucket.versions().into_iter().filter(|version| version.hold);
    let short = |key: String| match key.split_once("dt=") {
        Some((_, rest)) => rest.chars().take(10).collect(),
        None => key
            .rsplit('/')
            .next()
            .unwrap()
            .trim_start_matches('0')
            .trim_end_matches(".json")
            .to_owned(),
    };
    let mut held: Vec<String> = held.map(|version| short(version.key)).collect();
    held.sort();
    held
}

fn verified(vault: &Vault, exit: i32) -> Vec<String> {
    codes(
        &vault
            .run(&["verify", "--json", "--level", "quick"])
            .expect(exit),
    )
}

#[test]
fn of_two_cases_on_overlapping_days_each_lifts_only_its_own() {
    let simulator = intact();
    let (bucket, vault) = two_days(&simulator);
    let event = add(&vault, "A", EVE, NEXT).expect(0).events()[0].clone();
    assert_eq!(
        (&event["objects"], &event["changed"], &event["enforced"]),
        (&json!(4), &json!(4), &json!(true))
    );
    assert_eq!(held(&bucket), ["1", "2", EVE, DAY]);
    add(&vault, "B", DAY, NEXT).expect(0);
    let record = head_in(&bucket);
    assert_eq!(
        (&record["kind"], &record["act"], &record["case"]),
        (&json!("hold"), &json!("add"), &json!("B"))
    );
    assert_eq!(record["range"], json!({ "from": DAY, "to": NEXT }));
    assert_eq!(record["coverage"]["days"], "cc");
    assert!(
        record["orders"]["key"]
            .as_str()
            .unwrap()
            .ends_with("0000000003.json"),
        "{record}"
    );
    assert_eq!(verified(&vault, 0), [""; 0]);

    // The same command again changes nothing and writes no record.
    let again = add(&vault, "B", DAY, NEXT).expect(0).events()[0].clone();
    assert_eq!(
        (&again["changed"], &again["head"]),
        (&json!(0), &Value::Null)
    );

    let listed = vault.run(&["hold", "list", "--json"]).expect(0).events();
    let shown: Vec<_> = listed
        .iter()
        .map(|case| (&case["case"], &case["objects"], &case["held"]))
        .collect();
    assert_eq!(
        shown,
        [
            (&json!("A"), &json!(4), &json!(4)),
            (&json!("B"), &json!(2), &json!(2))
        ]
    );

    let removed = remove(&vault, "A", &[]).expect(0).events()[0].clone();
    assert_eq!(
        (&removed["changed"], &removed["held_by_others"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(held(&bucket), ["2", DAY]);
    assert_eq!(verified(&vault, 0), [""; 0]);
    let again = remove(&vault, "A", &[]).expect(0).events()[0].clone();
    assert_eq!(
        (&again["changed"], &again["head"]),
        (&json!(0), &Value::Null)
    );
    let unknown = remove(&vault, "C", &[]).expect(2);
    assert!(
        unknown.stdout.contains("nothing was ever held for case C"),
        "{unknown}"
    );
    let elsewhere = remove(
        &vault,
        "B",
        &["--from", EVE, "--to", DAY, "--sub-account", SUB],
    )
    .expect(2);
    assert!(
        elsewhere
            .stdout
            .contains("was never held for case B on any day"),
        "{elsewhere}"
    );

    remove(&vault, "B", &["--from", DAY, "--to", NEXT]).expect(0);
    assert_eq!(held(&bucket), [""; 0]);
    assert_eq!(verified(&vault, 0), [""; 0]);
    let text = vault.run(&["hold", "list"]).expect(0).stdout;
    assert_eq!(text.matches(": closed").count(), 2, "{text}");
    bucket.download(&vault.archive());
    assert_eq!(
        kinds(&vault),
        ["day", "day", "hold", "hold", "hold", "hold"]
    );
    check_schema(&vault);
}

/// Kills `hold add` and `hold remove` before and after each PUT, then runs the same command again.
#[test]
fn killed_between_record_and_objects_the_same_command_completes_it() {
    let simulator = intact();
    let (bucket, mut vault) = two_days(&simulator);
    let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
    bucket.used_by(&mut vault, Some(&proxy.url));
    let commands = [
        vec![
            "hold", "add", "--case", "A", "--from", EVE, "--to", NEXT, "--reason", REASON,
        ],
        vec!["hold", "remove", "--case", "A", "--reason", "settled"],
    ];
    let mut records = 2;
    // The proof of create-only, the trial of holds, the record, and one request for each part and
    // manifest.
    for put in 0..7 {
        for after in [false, true] {
            for command in &commands {
                let (arrival, held_requests) = holds();
                let act = if after {
                    Act::HoldAfter(arrival())
                } else {
                    Act::HoldBefore(arrival())
                };
                proxy.once(Method::PUT, "", put, act);
                let run = vault.spawn(command);
                let request = held_requests.next();
                run.signal("KILL");
                assert_eq!(run.wait().status.code(), None);
                request.discard();
                vault.run(command).expect(0);
                records += 1;
                assert_eq!(
                    head_in(&bucket)["sequence"],
                    records,
                    "PUT {put}, after: {after}: {command:?}"
                );
                let expected: &[&str] = if command[1] == "add" {
                    &["1", "2", EVE, DAY]
                } else {
                    &[]
                };
                assert_eq!(
                    held(&bucket),
                    expected,
                    "PUT {put}, after: {after}: {command:?}"
                );
                proxy.forget_rules();
            }
        }
    }
    assert_eq!(verified(&vault, 0), [""; 0]);
}

#[test]
fn what_is_committed_under_an_open_hold_is_held_from_its_first_instant() {
    let simulator = broken();
    let bucket = Bucket::new(minio(), "nightly", true);
    let mut vault = signing(&simulator);
    let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
    bucket.used_by(&mut vault, Some(&proxy.url));
    vault.run_day(EVE, &[]).expect(3);
    add(&vault, "A", DAY, NEXT).expect(0);
    assert_eq!(
        held(&bucket),
        [""; 0],
        "nothing is archived of that day yet"
    );
    let before = proxy.requests(Method::PUT).len();
    vault.run_day(DAY, &[]).expect(3);
    assert_eq!(held(&bucket), ["2026-11-20", "3"]);
    // With the PUT itself: one for each object, the ones that prove create-only, and the run's
    // record in the roster.
    let puts = proxy.requests(Method::PUT)[before..].to_vec();
    let of_day = |key: &&String| !key.ends_with("archive.json") && !key.contains("roster/v1/");
    assert_eq!(puts.iter().filter(of_day).count(), 2, "{puts:?}");

    // Its next revision is held too; the day beside it is not.
    let mended = {
        let mut options = options();
        options.segments_per_day = 40;
        Simulator::start(options)
    };
    vault.move_to(&mended);
    vault.run_day(DAY, &[]).expect(0);
    vault.run_day(EVE, &[]).expect(0);
    assert_eq!(held(&bucket), ["2026-11-20", "2026-11-20", "3", "4"]);
    assert_eq!(verified(&vault, 0), [""; 0]);
}

/// A hold is added after the parts of a day were stored and before its manifest is: neither process
/// could see the other's work.
#[test]
fn a_hold_that_comes_between_parts_and_manifest_is_seen() {
    let simulator = intact();
    let bucket = Bucket::new(minio(), "between", true);
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
    let run = vault.spawn(&["run", "--json", "--date", DAY]);
    let request = held_requests.next();
    bucket.used_by(&mut vault, None);
    vault.set("S3_ENDPOINT", &minio().endpoint());
    let added = add(&vault, "A", DAY, NEXT).expect(0);
    assert_eq!(added.events()[0]["objects"], 0, "{added}");
    request.release();
    run.wait().expect(0);
    assert_eq!(held(&bucket), ["2026-11-20", "3"]);
    assert_eq!(verified(&vault, 0), [""; 0]);
}

#[test]
fn a_hold_that_was_lifted_behind_our_back_is_found() {
    let simulator = intact();
    let (bucket, vault) = two_days(&simulator);
    add(&vault, "A", EVE, NEXT).expect(0);
    let keys: Vec<String> = bucket
        .versions()
        .into_iter()
        .filter(|one| one.hold)
        .map(|one| one.key)
        .collect();
    for key in keys {
        bucket.set_hold(&key, false);
        let finished = vault
            .run(&["verify", "--json", "--level", "quick"])
            .expect(4);
        let found = |event: &Value| event["code"] == "hold-missing" && event["object"] == key;
        assert!(finished.events().iter().any(found), "{key}: {finished}");
        let listed = vault.run(&["hold", "list"]).expect(4);
        assert!(
            listed.stdout.contains("1 of 4 objects WITHOUT the hold"),
            "{listed}"
        );
        let again = add(&vault, "A", EVE, NEXT).expect(0).events()[0].clone();
        assert_eq!(
            (&again["changed"], &again["head"]),
            (&json!(1), &Value::Null)
        );
    }
    assert_eq!(verified(&vault, 0), [""; 0]);
    // Where nothing is missing, a hold that was set by hand on another object is left alone.
    bucket.set_hold("archive.json", true);
    remove(&vault, "A", &[]).expect(0);
    assert_eq!(held(&bucket), ["archive"]);
}

#[test]
fn where_nothing_enforces_a_hold_it_is_said_loudly() {
    let simulator = intact();
    let bucket = Bucket::new(minio(), "plain", false);
    for in_bucket in [false, true] {
        let mut vault = signing(&simulator);
        if in_bucket {
            bucket.used_by(&mut vault, None);
        }
        vault.run_day(EVE, &[]).expect(0);
        let added = vault.run(&[
            "hold", "add", "--case", "A", "--from", EVE, "--to", NEXT, "--reason", REASON,
        ]);
        let added = added.expect(0);
        assert!(added.stdout.contains("recorded, NOT ENFORCED"), "{added}");
        assert!(
            added.stderr.contains("This hold is not enforced"),
            "{added}"
        );
        assert_eq!(verified(&vault, 0), ["hold-not-enforced"]);
        let listed = vault.run(&["hold", "list"]).expect(0);
        assert!(
            listed.stdout.contains("NOT ENFORCED by this store"),
            "{listed}"
        );
        // Days are still archived.
        vault.run_day(DAY, &[]).expect(0);
        assert_eq!(
            add(&vault, "A", EVE, NEXT).expect(0).events()[0]["head"],
            Value::Null
        );
        remove(&vault, "A", &[]).expect(0);
        assert_eq!(verified(&vault, 0), [""; 0]);
        let elsewhere = Vault::new(&simulator);
        let refused = add(&elsewhere, "A", EVE, NEXT).expect(2);
        assert!(
            refused.stdout.contains("there is no archive at"),
            "{refused}"
        );
    }
}
