//! Longer retention: in both lock modes, never shorter, interrupted, and shortened by another user.

use aws_sdk_s3::types::ObjectLockMode;
use axum::http::Method;
use serde_json::json;

use super::*;
use crate::support::minio::minio;
use crate::support::proxy::{Act, Proxy, holds};
use crate::support::vault::days_ago;

fn extend(vault: &Vault, from: &str, to: &str, until: &str) -> Finished {
    vault.run(&[
        "retention",
        "extend",
        "--json",
        "--from",
        from,
        "--to",
        to,
        "--until",
        until,
    ])
}

fn two_days<'a>(simulator: &Simulator, lock: &str) -> (Bucket<'a>, Vault) {
    let bucket = Bucket::new(minio(), "kept", true);
    let mut vault = signing(simulator);
    bucket.used_by(&mut vault, None);
    vault.set("OBJECT_LOCK", lock);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    (bucket, vault)
}

/// Returns the last second of the date in UTC milliseconds.
fn last_second(date: &str) -> i64 {
    format!("{date}T23:59:59Z")
        .parse::<jiff::Timestamp>()
        .unwrap()
        .as_millisecond()
}

/// Returns the locks of a day's parts and of the manifests with these sequence numbers.
fn locks(bucket: &Bucket, date: &str, manifests: &[u32]) -> Vec<(ObjectLockMode, i64)> {
    let of_day = |key: &str| {
        key.contains(&format!("dt={date}"))
            || manifests
                .iter()
                .any(|number| key.ends_with(&format!("{SUB}/{number:010}.json")))
    };
    let versions = bucket
        .versions()
        .into_iter()
        .filter(|version| of_day(&version.key));
    let locks: Vec<_> = versions
        .map(|version| version.lock.expect("a lock"))
        .collect();
    assert!(locks.len() > manifests.len(), "{date}: {locks:?}");
    locks
}

fn verified(vault: &Vault, exit: i32) -> Vec<String> {
    codes(
        &vault
            .run(&["verify", "--json", "--level", "quick"])
            .expect(exit),
    )
}

fn refused(vault: &Vault, (from, to, until): (&str, &str, &str), said: &str) {
    let refused = extend(vault, from, to, until).expect(2);
    assert!(refused.stdout.contains(said), "{refused}");
    assert!(refused.stdout.contains("\"remedy\":\""), "{refused}");
}

#[test]
fn locks_are_raised_in_their_mode_and_never_shortened() {
    let simulator = intact();
    for (setting, mode) in [
        ("governance:1d", ObjectLockMode::Governance),
        ("compliance:1d", ObjectLockMode::Compliance),
    ] {
        let (bucket, vault) = two_days(&simulator, setting);
        let (sooner, later) = (days_ago(-20), days_ago(-40));
        let before = locks(&bucket, EVE, &[1]);
        let event = extend(&vault, DAY, NEXT, &later).expect(0).events()[0].clone();
        assert_eq!(
            (&event["objects"], &event["raised"]),
            (&json!(2), &json!(2))
        );
        let record = head_in(&bucket);
        assert_eq!(record["kind"], "retention");
        assert_eq!(record["days"][0]["date"], DAY);
        assert_eq!(record["days"][0]["mode"], mode.as_str());
        assert_eq!(
            record["days"][0]["retain_until"],
            format!("{later}T23:59:59.000Z")
        );
        assert!(
            locks(&bucket, DAY, &[2])
                .iter()
                .all(|lock| *lock == (mode.clone(), last_second(&later)))
        );
        assert_eq!(locks(&bucket, EVE, &[1]), before, "the other day");
        assert_eq!(verified(&vault, 0), [""; 0]);

        let again = extend(&vault, DAY, NEXT, &later).expect(0).events()[0].clone();
        assert_eq!(
            (&again["raised"], &again["head"]),
            (&json!(0), &Value::Null)
        );
        let said = format!("is kept already: {DAY} until {later}T23:59:59.000Z");
        refused(&vault, (EVE, NEXT, &sooner), &said);
        refused(&vault, (EVE, DAY, &days_ago(1)), "is over");
        refused(
            &vault,
            (EVE, DAY, "2226-01-01"),
            "more than 100 years from now",
        );
        refused(
            &vault,
            ("2026-01-01", "2026-02-01", &later),
            "nothing is archived of sub-account",
        );

        let shown = vault.run(&["retention", "--json"]).expect(0).events();
        assert_eq!(
            (shown.len(), &shown[1]["date"], &shown[1]["short"]),
            (2, &json!(DAY), &json!(0))
        );
        let lock =
            json!({ "mode": mode.as_str(), "retain_until": format!("{later}T23:59:59.000Z") });
        assert_eq!((&shown[1]["recorded"], &shown[1]["found"]), (&lock, &lock));
        let text = vault
            .run(&["retention", "show", "--from", DAY])
            .expect(0)
            .stdout;
        assert!(
            text.contains(&format!("{later}T23:59:59.000Z")) && !text.contains(EVE),
            "{text}"
        );
        bucket.download(&vault.archive());
        assert_eq!(kinds(&vault), ["day", "day", "retention"]);
        check_schema(&vault);
    }
}

#[test]
fn a_later_revision_gets_the_same_retention() {
    let simulator = broken();
    let bucket = Bucket::new(minio(), "later", true);
    let mut vault = signing(&simulator);
    bucket.used_by(&mut vault, None);
    vault.set("OBJECT_LOCK", "governance:1d");
    vault.run_day(DAY, &[]).expect(3);
    let later = days_ago(-40);
    extend(&vault, DAY, NEXT, &later).expect(0);
    let mended = {
        let mut options = options();
        options.segments_per_day = 40;
        Simulator::start(options)
    };
    vault.move_to(&mended);
    vault.run_day(DAY, &[]).expect(0);
    assert!(
        locks(&bucket, DAY, &[1, 3])
            .iter()
            .all(|(_, until)| *until == last_second(&later))
    );
    assert_eq!(verified(&vault, 0), [""; 0]);
}

#[test]
fn killed_between_record_and_locks_the_same_command_completes_it() {
    let simulator = intact();
    let (bucket, mut vault) = two_days(&simulator, "compliance:1d");
    let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
    bucket.used_by(&mut vault, Some(&proxy.url));
    let mut records = 2;
    // The proof of create-only, the record, and one request for each part and manifest.
    for put in 0..6 {
        for after in [false, true] {
            let until = days_ago(-30 - 2 * i64::from(put) - i64::from(after));
            let command = [
                "retention",
                "extend",
                "--from",
                EVE,
                "--to",
                NEXT,
                "--until",
                &until,
            ];
            let (arrival, held_requests) = holds();
            let act = if after {
                Act::HoldAfter(arrival())
            } else {
                Act::HoldBefore(arrival())
            };
            proxy.once(Method::PUT, "", put, act);
            let run = vault.spawn(&command);
            let request = held_requests.next();
            run.signal("KILL");
            assert_eq!(run.wait().status.code(), None);
            request.discard();
            vault.run(&command).expect(0);
            records += 1;
            assert_eq!(
                head_in(&bucket)["sequence"],
                records,
                "PUT {put}, after: {after}"
            );
            for (date, manifest) in [(EVE, 1), (DAY, 2)] {
                let all = locks(&bucket, date, &[manifest]);
                assert!(
                    all.iter().all(|(_, found)| *found == last_second(&until)),
                    "PUT {put}, after: {after}"
                );
            }
            proxy.forget_rules();
        }
    }
    assert_eq!(verified(&vault, 0), [""; 0]);
}

/// A lock that is longer than the manifest names and shorter than the later record requires: only
/// the chain shows it.
#[test]
fn a_lock_shorter_than_the_extended_retention_is_a_finding() {
    let simulator = intact();
    let (bucket, vault) = two_days(&simulator, "governance:1d");
    let later = days_ago(-40);
    extend(&vault, DAY, NEXT, &later).expect(0);
    let part = bucket
        .versions()
        .into_iter()
        .find(|one| one.key.contains(DAY))
        .unwrap()
        .key;
    let between = last_second(&days_ago(-20));
    for (lock, code) in [
        (Some((ObjectLockMode::Governance, between)), "lock-weaker"),
        (None, "lock-missing"),
    ] {
        bucket.set_lock(&part, lock);
        assert_eq!(verified(&vault, 4), [code]);
        let shown = vault.run(&["retention"]).expect(4);
        assert!(
            shown.stdout.contains("1 object with a shorter lock"),
            "{shown}"
        );
        // What the operator does about it.
        let again = extend(&vault, DAY, NEXT, &later).expect(0).events()[0].clone();
        assert_eq!(
            (&again["raised"], &again["head"]),
            (&json!(1), &Value::Null)
        );
        assert_eq!(verified(&vault, 0), [""; 0]);
    }
    // A longer or stronger lock is no violation.
    bucket.set_lock(
        &part,
        Some((ObjectLockMode::Compliance, last_second(&days_ago(-50)))),
    );
    assert_eq!(verified(&vault, 0), [""; 0]);
}

#[test]
fn without_locks_or_a_known_mode_nothing_is_recorded() {
    let simulator = intact();
    let later = days_ago(-40);
    let plain = Bucket::new(minio(), "plain", false);
    for in_bucket in [false, true] {
        let mut vault = signing(&simulator);
        if in_bucket {
            plain.used_by(&mut vault, None);
        }
        vault.run_day(DAY, &[]).expect(0);
        let shown = vault.run(&["retention"]).expect(0);
        assert!(shown.stdout.contains("no lock"), "{shown}");
        refused(&vault, (DAY, NEXT, &later), "does not support object locks");
        assert_eq!(verified(&vault, 0), [""; 0]);
    }
    // A bucket with Object Lock in which no object is locked: the settings name the mode.
    let bucket = Bucket::new(minio(), "unlocked", true);
    let mut vault = signing(&simulator);
    bucket.used_by(&mut vault, None);
    vault.run_day(DAY, &[]).expect(0);
    refused(
        &vault,
        (DAY, NEXT, &later),
        "has no lock so far, and no mode is set",
    );
    assert_eq!(head_in(&bucket)["sequence"], 1);
    vault.set("OBJECT_LOCK", "governance:1d");
    extend(&vault, DAY, NEXT, &later).expect(0);
    assert!(
        locks(&bucket, DAY, &[1])
            .iter()
            .all(|(_, until)| *until == last_second(&later))
    );
    assert_eq!(verified(&vault, 0), [""; 0]);
}
