//! What `doctor` accepts and reports: with real buckets, with a RingCX that misbehaves, and with a
//! folder.

use std::collections::BTreeMap;

use crate::support::bucket::Bucket;
use crate::support::minio::minio;
use crate::support::proxy::{Act, Proxy};
use crate::support::vault::{
    Finished, SUB, Simulator, Vault, days_ago, options_of_today, real_now,
};
use axum::http::Method;
use cxvault::simulator::SimulatorOptions;
use serde_json::Value;

/// Returns a world in which it is this afternoon, when the simulated centre is busy. At most hours
/// of a real day its clock differs from this machine's.
fn today() -> SimulatorOptions {
    let afternoon = format!("{}T15:00:00Z", days_ago(0)).parse().unwrap();
    SimulatorOptions {
        now: Some(afternoon),
        segments_per_day: 400,
        ..options_of_today()
    }
}

/// Returns a user with a signing key.
fn user(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    vault.run(&["keygen", "signing.key"]).expect(0);
    vault.set("SIGNING_KEY_FILE", "signing.key");
    vault
}

/// Returns the verdict of each check by its name.
fn verdicts(done: &Finished) -> BTreeMap<String, String> {
    let text = |event: &Value, member: &str| event[member].as_str().unwrap().to_owned();
    let checks = done
        .events()
        .into_iter()
        .filter(|event| event["event"] == "check");
    checks
        .map(|event| (text(&event, "check"), text(&event, "verdict")))
        .collect()
}

#[track_caller]
fn verdict(done: &Finished, check: &str) -> String {
    let all = verdicts(done);
    let found = all.iter().find(|(name, _)| name.starts_with(check));
    found
        .unwrap_or_else(|| panic!("no {check} in {done}"))
        .1
        .clone()
}

#[test]
fn a_folder_is_examined_and_left_as_it_was() {
    let simulator = Simulator::start(today());
    let vault = user(&simulator);
    let done = vault.run(&["doctor", "--json"]);
    for (check, expected) in [
        ("settings", "ok"),
        ("state folder", "ok"),
        ("signing key", "ok"),
        ("store accepts objects", "ok"),
        ("objects are created only once", "ok"),
        ("damaged uploads are refused", "ok"),
        ("listing", "ok"),
        ("Object Lock", "not-applicable"),
        ("token", "ok"),
        ("sub-accounts", "ok"),
        ("discovery", "ok"),
        ("source retention", "not-applicable"),
    ] {
        assert_eq!(verdict(&done, check), expected, "{check}: {done}");
    }
    assert!(
        vault.files(&vault.archive()).is_empty(),
        "no archive is created, and nothing is left"
    );
    assert_eq!(simulator.requests_to("summaries"), 0);
    let finished = vault.run(&["doctor", "--store-only"]).expect(0);
    assert!(
        finished.stdout.contains("10 ok, 0 warnings, 0 failed"),
        "{finished}"
    );
}

#[test]
fn a_bucket_with_locks_is_tried_and_its_archive_still_holds() {
    let simulator = Simulator::start(today());
    let bucket = Bucket::new(minio(), "doctor-locked", true);
    let mut vault = user(&simulator);
    bucket.used_by(&mut vault, None);
    vault.set("OBJECT_LOCK", "compliance:1d");
    // MinIO's administrator may delete objects that are not locked: doctor detects that.
    let done = vault.run(&["doctor", "--json"]).expect(3);
    for check in [
        "store's clock",
        "versioning",
        "Object Lock",
        "a locked version stays",
        "objects are created only once",
    ] {
        assert_eq!(verdict(&done, check), "ok", "{check}: {done}");
    }
    assert_eq!(verdict(&done, "no permission to delete"), "warning");
    vault.run_day(&days_ago(1), &[]).expect(0);
    vault.run(&["verify", "--level", "full"]).expect(0);
    let locked: Vec<_> = bucket
        .versions()
        .into_iter()
        .filter(|one| one.key.contains("doctor/") && !one.is_delete_marker)
        .collect();
    let soon = real_now().as_millisecond() + 10 * 60_000;
    assert!(
        !locked.is_empty()
            && locked
                .iter()
                .all(|one| one.lock.as_ref().is_some_and(|(_, until)| *until < soon))
    );

    vault.set("OBJECT_LOCK", "governance:1d");
    let governed = vault.run(&["doctor", "--store-only", "--json"]).expect(3);
    assert_eq!(verdict(&governed, "lock mode"), "warning", "{governed}");
}

#[test]
fn a_bucket_without_locks_or_a_key_is_a_warning_and_a_missing_bucket_fails() {
    let simulator = Simulator::start(today());
    let bucket = Bucket::new(minio(), "doctor-plain", false);
    let mut vault = Vault::new(&simulator);
    bucket.used_by(&mut vault, None);
    let done = vault.run(&["doctor", "--json"]).expect(3);
    for check in [
        "signing key",
        "versioning",
        "Object Lock",
        "no permission to delete",
    ] {
        assert_eq!(verdict(&done, check), "warning", "{check}: {done}");
    }
    assert_eq!(verdict(&done, "a locked version stays"), "not-applicable");
    vault.set("OBJECT_LOCK", "compliance:1d");
    let refused = vault.run(&["doctor", "--store-only", "--json"]);
    assert_eq!(
        verdict(&refused, "store accepts objects"),
        "failed",
        "{refused}"
    );
    assert_eq!(refused.exit(), 2, "{refused}");

    vault.set("ARCHIVE", "s3://no-such-bucket-here/x");
    let nowhere = vault.run(&["doctor", "--json"]);
    assert_eq!(
        verdict(&nowhere, "store accepts objects"),
        "failed",
        "{nowhere}"
    );
    // RingCX is examined nevertheless.
    assert_eq!(verdict(&nowhere, "token"), "ok");
}

#[test]
fn what_ringcx_refuses_is_named_with_a_remedy() {
    let mut world = today();
    world.sub_accounts = vec![SUB.into(), "77777777".into()];
    let simulator = Simulator::start(world);
    let mut vault = user(&simulator);
    vault.set("SUB_ACCOUNTS", &format!("{SUB},12345"));
    let done = vault.run(&["doctor", "--json"]).expect(6);
    assert_eq!(verdict(&done, "sub-accounts"), "failed", "{done}");
    assert_eq!(verdict(&done, &format!("discovery of {SUB}")), "ok");
    assert!(done.stdout.contains("12345"));

    vault.set("CLIENT_SECRET", "wrong-secret");
    let denied = vault.run(&["doctor", "--json"]).expect(6);
    assert_eq!(verdict(&denied, "token"), "failed", "{denied}");
    assert_eq!(
        verdict(&denied, "objects are created only once"),
        "ok",
        "the store is examined all the same"
    );
    assert!(!denied.stdout.contains("wrong-secret") && !denied.stderr.contains("wrong-secret"));

    // Without WEM access discovery returns nothing.
    let mut blind = today();
    blind.faults.empty = true;
    let blind = Simulator::start(blind);
    let vault = user(&blind);
    let empty = vault.run(&["doctor", "--json"]).expect(3);
    assert_eq!(verdict(&empty, "discovery"), "warning", "{empty}");
    assert!(empty.stdout.contains("WEM access"));
}

#[test]
fn clocks_and_what_the_source_forgets_are_watched() {
    let mut ahead = today();
    ahead.now = Some(real_now() + jiff::SignedDuration::from_hours(1));
    let simulator = Simulator::start(ahead);
    let mut vault = user(&simulator);
    vault.run_day(&days_ago(9), &[]);
    vault.set("SOURCE_RETENTION", "12d");
    let soon = vault.run(&["doctor", "--json"]).expect(3);
    assert_eq!(verdict(&soon, "RingCX's clock"), "warning", "{soon}");
    // The day after the first one is open, and RingCX forgets it in about four days.
    assert_eq!(verdict(&soon, "source retention"), "warning", "{soon}");
    vault.set("SOURCE_RETENTION", "5d");
    let late = vault.run(&["doctor", "--json"]).expect(3);
    assert_eq!(verdict(&late, "source retention"), "failed", "{late}");
    vault.set("SOURCE_RETENTION", "90d");
    assert_eq!(
        verdict(&vault.run(&["doctor", "--json"]), "source retention"),
        "ok"
    );
}

/// As rclone's S3 server and S3Mock do, which know no versions: they take the request for a listing of
/// objects, or refuse it.
#[test]
fn a_service_that_cannot_list_versions_is_refused_with_that_reason_and_a_remedy() {
    const OBJECTS: &str = "<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name><KeyCount>0</KeyCount>\
                           <IsTruncated>false</IsTruncated></ListBucketResult>";
    let simulator = Simulator::start(today());
    let bucket = Bucket::new(minio(), "doctor-versionless", false);
    let mut vault = user(&simulator);
    let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
    bucket.used_by(&mut vault, Some(&proxy.url));
    let yesterday = days_ago(1);
    for act in [Act::AnswerWith(OBJECTS), Act::Answer(501)] {
        proxy.forget_rules();
        proxy.times(Method::GET, "?versions", 0, 1_000, act);
        for args in [
            &["doctor", "--store-only"][..],
            &["run", "--date", &yesterday],
        ] {
            let done = vault.run(args).expect(2);
            let said = format!("{}{}", done.stdout, done.stderr);
            assert!(
                said.contains("does not answer ListObjectVersions")
                    && said.contains("leaves no trace"),
                "{args:?}: {done}"
            );
            assert!(!said.contains("cannot list s3"), "{args:?}: {done}");
        }
    }
    assert!(
        bucket
            .versions()
            .iter()
            .all(|one| one.key.contains("doctor/")),
        "no archive was begun on it"
    );
}
