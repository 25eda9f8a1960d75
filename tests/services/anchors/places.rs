//! Where anchors are stored, with which credentials, and what happens while the place cannot be
//! reached.

use std::os::unix::fs::MetadataExt as _;

use aws_sdk_s3::types::ObjectLockMode;
use cxvault::format::hash::digest::Digest;
use serde_json::json;

use super::*;
use crate::support::minio::minio;
use crate::support::vault::DAY;

#[test]
fn every_record_is_anchored_on_another_server_under_a_lock_of_its_own() {
    let simulator = simulator();
    let (archive, anchor) = (
        Bucket::new(minio(), "anchored", true),
        Bucket::new(elsewhere(), "anchors", true),
    );
    let mut vault = user(&simulator);
    archive.used_by(&mut vault, None);
    anchored_in(&anchor, &mut vault);
    vault.set("ANCHOR_OBJECT_LOCK", "compliance:1d");
    vault
        .run(&["backfill", "--from", EVE, "--to", NEXT])
        .expect(0);
    let hold = [
        "--case", "A", "--from", EVE, "--to", NEXT, "--reason", "an order",
    ];
    vault.run(&[&["hold", "add"], &hold[..]].concat()).expect(0);

    // Reads the anchors as FORMAT.md describes, from the objects alone.
    let (manifests, anchors) = (archive.contents(), anchor.contents());
    let records = |id: &str| {
        [
            roster_place(id, 1),
            place(id, 1),
            place(id, 2),
            place(id, 3),
        ]
    };
    let schema: Value =
        serde_json::from_str(include_str!("../../../schemas/anchor.v1.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for ((place_there, bytes), n) in anchors.iter().zip([1, 1, 2, 3]) {
        let anchor: Value = serde_json::from_slice(bytes).unwrap();
        schema
            .validate(&anchor)
            .unwrap_or_else(|error| panic!("{error}: {anchor}"));
        let manifest = &manifests[anchor["key"].as_str().unwrap()];
        assert_eq!(anchor["sha256"], Digest::of(manifest).hex());
        let manifest: Value = serde_json::from_slice(manifest).unwrap();
        let manifest = &manifest["manifest"];
        assert_eq!(
            (&anchor["sequence"], &manifest["sequence"]),
            (&json!(n), &json!(n))
        );
        assert_eq!(anchor["committed_at"], manifest["run"]["finished_at"]);
        let chain = manifest["sub_account"]
            .as_str()
            .map_or("roster".to_owned(), |id| format!("sub_account={id}"));
        assert_eq!(anchor["chain"], chain);
        let places = records(manifest["archive_id"].as_str().unwrap());
        assert!(
            anchors.keys().eq(&places) && places.contains(place_there),
            "{anchors:?}"
        );
    }
    let locked = |one: &crate::support::bucket::Shown| {
        matches!(one.lock, Some((ObjectLockMode::Compliance, _)))
    };
    assert!(
        anchor.versions().iter().all(locked),
        "{:?}",
        anchor.versions()
    );

    // Another host without a state folder finds no contradiction and adds only its own roster
    // record.
    std::fs::remove_dir_all(vault.state()).unwrap();
    vault.run_day(DAY, &[]).expect(0);
    let mut now = anchor.contents();
    assert_eq!(anchor.versions().len(), 5);
    let added = now
        .keys()
        .find(|place| !anchors.contains_key(*place))
        .cloned()
        .expect("the roster's");
    assert!(added.ends_with("/roster/0000000002.json"), "{added}");
    now.remove(&added);
    assert_eq!(now, anchors);
    let verified = vault
        .run(&["verify", "--json", "--level", "quick"])
        .expect(0);
    assert!(
        found(&verified, "no-expected-head").is_empty(),
        "{verified}"
    );
    let alone = vault
        .run(&["verify", "--json", "--level", "quick", "--no-anchor"])
        .expect(0);
    let unknown = found(&alone, "no-expected-head");
    assert_eq!(unknown.len(), 1, "{alone}");
    assert_eq!(
        unknown[0]["object"], "roster/v1/",
        "it vouches for the others: {alone}"
    );
}

#[test]
fn the_anchors_credentials_are_its_own_and_shown_nowhere() {
    let simulator = simulator();
    let anchor = Bucket::new(elsewhere(), "profile", false);
    let mut vault = user(&simulator);
    anchored_in(&anchor, &mut vault);
    let (id, secret) = keys(elsewhere());
    // The credentials of the environment belong to the archive. The anchor's server does not accept
    // them.
    let (other_id, other_secret) = keys(minio());
    vault
        .set_foreign("AWS_ACCESS_KEY_ID", &other_id)
        .set_foreign("AWS_SECRET_ACCESS_KEY", &other_secret);
    vault.set("ANCHOR_WEBHOOK_URL", "http://127.0.0.1:9/hush-hush");
    for args in [
        &["config"][..],
        &["config", "--json"],
        &["doctor", "--store-only", "-vv"],
    ] {
        let shown = vault.run(args);
        for hidden in [&secret, &other_secret, "hush-hush"] {
            assert!(!format!("{shown}").contains(hidden), "{args:?}");
        }
        assert!(shown.stdout.contains("anchor"), "{shown}");
    }
    vault.unset("ANCHOR_WEBHOOK_URL");
    vault.run_day(EVE, &[]).expect(0);
    let id_of_archive = archive_id(&vault);
    let first = [roster_place(&id_of_archive, 1), place(&id_of_archive, 1)];
    assert!(
        anchor.contents().keys().eq(&first),
        "{:?}",
        anchor.contents()
    );

    let aws = vault.folder.path().join("home/.aws");
    std::fs::create_dir(&aws).unwrap();
    let profile = format!("[away]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    std::fs::write(aws.join("credentials"), profile).unwrap();
    vault
        .unset("ANCHOR_ACCESS_KEY_ID")
        .unset("ANCHOR_SECRET_ACCESS_KEY")
        .set("ANCHOR_S3_PROFILE", "away");
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(anchor.contents().len(), 4, "the day's and the run's");
    vault.run(&["verify"]).expect(0);

    // The archive's credentials are refused there. What was committed remains.
    vault.unset("ANCHOR_S3_PROFILE");
    let hold = [
        "hold", "add", "--case", "A", "--from", EVE, "--to", NEXT, "--reason", "an order",
    ];
    let refused = vault.run(&hold).expect(6);
    assert!(
        refused.stderr.contains("CXVAULT_ANCHOR_ACCESS_KEY_ID"),
        "{refused}"
    );
    assert_eq!(
        (
            vault.manifests(SUB).len(),
            rosters(&vault),
            anchor.contents().len()
        ),
        (3, 2, 4)
    );
    vault.run(&["verify", "--no-anchor"]).expect(0);
    let unread = vault.run(&["verify"]).expect(6);
    assert!(unread.stderr.contains("--no-anchor"), "{unread}");
    vault.set("ANCHOR_S3_PROFILE", "nowhere");
    let unknown = vault.run_day(DAY, &[]).expect(6);
    assert!(
        unknown.stdout.contains("CXVAULT_ANCHOR_S3_PROFILE"),
        "{unknown}"
    );
}

#[test]
fn while_the_anchor_is_down_days_are_committed_and_the_next_run_makes_up_for_it() {
    let simulator = simulator();
    let anchor = Bucket::new(elsewhere(), "down", true);
    let mut vault = user(&simulator);
    anchored_in(&anchor, &mut vault);
    // Nothing listens at this address.
    vault.set("ANCHOR_S3_ENDPOINT", "http://127.0.0.1:1");
    let down = vault
        .run(&["backfill", "--json", "--from", EVE, "--to", NEXT])
        .expect(5);
    assert_eq!(vault.manifests(SUB).len(), 2);
    let summary = down.summary();
    assert!(
        summary["days"]
            .as_array()
            .unwrap()
            .iter()
            .all(|day| day["exit"] == "done"),
        "{down}"
    );
    let newest = Digest::of(
        &std::fs::read(
            vault
                .archive()
                .join(format!("manifests/v1/sub_account={SUB}/0000000002.json")),
        )
        .unwrap(),
    );
    let head = format!("{SUB}:2:{newest}");
    let unanchored = &summary["unanchored"];
    assert_eq!(unanchored.as_array().unwrap().len(), 2, "{down}");
    assert_eq!(
        (&unanchored[0]["head"], &unanchored[0]["exit"]),
        (&json!(head), &json!("later"))
    );
    assert_eq!(
        (&unanchored[1]["head"], &unanchored[1]["exit"]),
        (&summary["roster"], &json!("later"))
    );
    // The run's own record reports it as well.
    let record: Value = serde_json::from_slice(&std::fs::read(roster(&vault, 1)).unwrap()).unwrap();
    assert_eq!(record["manifest"]["exit"], "later", "{record}");
    assert!(
        down.stderr.contains(" WARN ") && down.stderr.contains("not anchored"),
        "{down}"
    );
    let left = vault.files(&vault.state());
    assert!(
        !left
            .iter()
            .any(|path| path.to_str().unwrap().contains("journal.sqlite")),
        "{left:?}"
    );

    let hold = [
        "hold", "add", "--case", "A", "--from", EVE, "--to", NEXT, "--reason", "an order",
    ];
    let held = vault.run(&hold).expect(5);
    for head in [format!("head {SUB}:3:"), "head roster:1:".to_owned()] {
        assert!(held.stderr.contains(&head), "{head}: {held}");
    }
    assert_eq!(vault.newest(SUB)["kind"], "hold");
    // The table for people reports it as well.
    let finished = vault.run(&["run", "--date", DAY]).expect(5);
    assert!(
        finished.stdout.contains("not anchored") && finished.stdout.contains("CXVAULT_ANCHOR"),
        "{finished}"
    );
    assert!(
        finished.stdout.contains("head roster:2:") && !finished.stdout.contains("head roster:1:"),
        "{finished}"
    );
    vault.run(&["verify", "--no-anchor"]).expect(0);

    // A day that is only confirmed is anchored.
    anchored_in(&anchor, &mut vault);
    vault.run_day(DAY, &[]).expect(0);
    let id = archive_id(&vault);
    let kept = [roster_place(&id, 2), roster_place(&id, 3), place(&id, 3)];
    assert!(
        anchor.contents().keys().eq(&kept),
        "{:?}",
        anchor.contents()
    );
    vault.run(&["verify"]).expect(0);
}

#[test]
fn a_folder_is_a_place_too_and_doctor_tries_what_is_set() {
    let simulator = simulator();
    let mut vault = user(&simulator);
    let check = |vault: &Vault, exit: i32, name: &str| {
        let examined = vault
            .run(&["doctor", "--store-only", "--json"])
            .expect(exit);
        let events = examined.events();
        let of_name = |event: &&Value| event["check"] == name;
        events
            .iter()
            .find(of_name)
            .unwrap_or_else(|| panic!("no {name}: {examined}"))["verdict"]
            .clone()
    };
    vault.run(&["keygen", "--quiet", "key"]).expect(0);
    vault.set("SIGNING_KEY_FILE", "key");
    assert_eq!(check(&vault, 0, "anchor"), "not-applicable");
    let folder = folder(&mut vault);
    for name in [
        "anchor",
        "anchor: store accepts objects",
        "anchor: objects are created only once",
        "objects are created only once",
    ] {
        assert_eq!(check(&vault, 0, name), "ok", "{name}");
    }
    assert!(vault.files(&folder).is_empty(), "it is left as it was");
    vault.run_day(EVE, &[]).expect(0);
    let kept = folder.join(place(&archive_id(&vault), 1));
    let written = std::fs::metadata(&kept).unwrap().ino();
    vault.run_day(EVE, &[]).expect(0);
    assert_eq!(std::fs::metadata(&kept).unwrap().ino(), written);
    let verified = vault.run(&["verify", "--json"]).expect(0);
    assert!(
        found(&verified, "no-expected-head").is_empty(),
        "{verified}"
    );

    // An auditor with another place, or with a wrong one.
    let nowhere = vault
        .run(&["verify", "--json", "--anchor", "./mistyped"])
        .expect(4);
    let missing = &found(&nowhere, "anchor-missing")[0];
    assert_eq!(missing["found"], "no anchor of any archive", "{nowhere}");
    vault.unset("ANCHOR");
    let named = vault
        .run(&["verify", "--json", "--anchor", folder.to_str().unwrap()])
        .expect(0);
    assert!(found(&named, "no-expected-head").is_empty(), "{named}");
    vault
        .run(&["verify", "--anchor", "./a", "--no-anchor"])
        .expect(2);

    let bucket = Bucket::new(minio(), "doctor-anchor", true);
    bucket.used_by(&mut vault, None);
    anchored_in(&bucket, &mut vault);
    vault.set("ANCHOR_OBJECT_LOCK", "compliance:1d");
    for (name, verdict) in [
        ("anchor", "ok"),
        ("anchor: Object Lock", "ok"),
        ("anchor: a locked version stays", "ok"),
    ] {
        vault.set("ANCHOR", &format!("s3://{}/anchor", bucket.settings.bucket));
        assert_eq!(check(&vault, 3, name), verdict, "{name}");
    }
    vault
        .unset("ANCHOR_ACCESS_KEY_ID")
        .unset("ANCHOR_SECRET_ACCESS_KEY");
    assert_eq!(
        check(&vault, 3, "anchor"),
        "warning",
        "the archive's own credentials"
    );
    vault.set("ANCHOR", "s3://no-such-bucket-here/x");
    assert_eq!(check(&vault, 2, "anchor: store accepts objects"), "failed");
}
