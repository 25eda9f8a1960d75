//! Locks and legal holds at the copy: those of the chain, those of a setting, or none.

use aws_sdk_s3::types::ObjectLockMode;
use cxvault::format::record::manifest::Envelope;
use serde_json::json;

use super::*;
use crate::support::bucket::Shown;
use crate::support::minio::minio;
use crate::support::vault::days_ago;

/// An archive of two days in a bucket with Object Lock, each object locked for two days.
fn locked_days<'a>(simulator: &Simulator) -> (Bucket<'a>, Vault) {
    let bucket = Bucket::new(minio(), "locked", true);
    let mut vault = owner(simulator);
    bucket.used_by(&mut vault, None);
    vault.set("OBJECT_LOCK", "governance:2d");
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    (bucket, vault)
}

fn extend(vault: &Vault, date: &str, next: &str, until: &str) {
    vault
        .run(&[
            "retention",
            "extend",
            "--from",
            date,
            "--to",
            next,
            "--until",
            until,
        ])
        .expect(0);
}

fn hold(vault: &Vault, act: &str, date: &str, next: &str) {
    vault
        .run(&[
            "hold",
            act,
            "--case",
            "A",
            "--from",
            date,
            "--to",
            next,
            "--reason",
            "Doe v. Example",
        ])
        .expect(0);
}

fn last_second(date: &str) -> i64 {
    format!("{date}T23:59:59Z")
        .parse::<jiff::Timestamp>()
        .unwrap()
        .as_millisecond()
}

fn version<'v>(versions: &'v [Shown], key: &str) -> &'v Shown {
    versions
        .iter()
        .find(|version| version.key == key)
        .unwrap_or_else(|| panic!("no {key}: {versions:?}"))
}

/// Returns the objects of a day: its parts and the manifest with this sequence number.
fn of_day(
    versions: &[Shown],
    date: &str,
    sequence: u64,
) -> Vec<(Option<(ObjectLockMode, i64)>, bool)> {
    let keys = versions.iter().filter(|version| {
        version.key.contains(&format!("dt={date}")) || version.key == manifest(SUB, sequence)
    });
    let kept: Vec<_> = keys
        .map(|version| (version.lock.clone(), version.hold))
        .collect();
    assert!(kept.len() >= 3, "{versions:?}");
    kept
}

#[test]
fn each_object_is_locked_and_held_as_the_chain_asks_and_raised_when_it_asks_for_more() {
    let simulator = simulator();
    let (from, vault) = locked_days(&simulator);
    let (later, latest) = (days_ago(-20), days_ago(-40));
    extend(&vault, DAY, NEXT, &later);
    hold(&vault, "add", EVE, DAY);
    let to = Bucket::new(minio(), "kept", true);
    let done = copied(&copy(&vault, &to.location(), &[]).expect(0));
    let (there, copies) = (from.versions(), to.versions());
    assert_eq!(
        of_day(&copies, EVE, 1),
        of_day(&there, EVE, 1),
        "the very locks of the archive"
    );
    assert!(
        of_day(&copies, EVE, 1)
            .iter()
            .all(|(lock, held)| lock.is_some() && *held)
    );
    let extended = (
        Some((ObjectLockMode::Governance, last_second(&later))),
        false,
    );
    assert!(
        of_day(&copies, DAY, 2).iter().all(|kept| *kept == extended),
        "{copies:?}"
    );
    // Records that require a lock name none of their own: the one of the days before them applies.
    for sequence in [3, 4] {
        let (_, until) = version(&copies, &manifest(SUB, sequence))
            .lock
            .clone()
            .expect("a lock");
        let (_, before) = version(&there, &manifest(SUB, 2))
            .lock
            .clone()
            .expect("a lock");
        assert!(
            until <= before && until > last_second(&days_ago(-1)),
            "{sequence}: {until}"
        );
    }
    for mark in [MARK, "archive.json"] {
        assert_eq!(
            version(&copies, mark).lock.clone().unwrap().1,
            last_second(&later),
            "{mark}"
        );
    }
    assert_eq!(done["held"], of_day(&copies, EVE, 1).len());
    assert_eq!(
        (&done["unlocked"], &done["held_beyond"]),
        (&json!(0), &json!(0))
    );
    verified(&reader_of(&simulator, &to), &to.location(), &done["heads"]);

    // The archive requires more retention for what exists, and no longer the hold.
    extend(&vault, EVE, DAY, &latest);
    hold(&vault, "remove", EVE, DAY);
    hold(&vault, "add", DAY, NEXT);
    let looked = copied(&copy(&vault, &to.location(), &["--dry-run"]).expect(0));
    assert_eq!(
        to.versions().iter().filter(|one| one.hold).count(),
        of_day(&copies, EVE, 1).len()
    );
    let done = copied(&copy(&vault, &to.location(), &[]).expect(0));
    let copies = to.versions();
    assert!(
        of_day(&copies, EVE, 1)
            .iter()
            .all(|(lock, _)| lock.clone().unwrap().1 == last_second(&latest))
    );
    assert!(
        of_day(&copies, DAY, 2)
            .iter()
            .all(|(lock, held)| lock.clone().unwrap().1 == last_second(&later) && *held)
    );
    // Only a user who may write to the copy can remove a hold there.
    assert_eq!(done["held_beyond"], of_day(&copies, EVE, 1).len());
    assert_eq!(
        (&looked["held"], &looked["files"]),
        (&done["held"], &json!(0))
    );
    assert_eq!(
        version(&copies, MARK).lock.clone().unwrap().1,
        last_second(&latest)
    );
    let puts = copied(&copy(&vault, &to.location(), &[]).expect(0));
    assert_eq!(
        (&puts["locked"], &puts["held"], &puts["manifests"]),
        (&json!(0), &json!(0), &json!(0))
    );
}

#[test]
fn a_policy_makes_locks_stronger_and_is_counted_from_the_day_of_the_copy() {
    let simulator = simulator();
    let (from, vault) = locked_days(&simulator);
    let later = days_ago(-40);
    extend(&vault, DAY, NEXT, &later);
    let to = Bucket::new(minio(), "policy", true);
    let policy = ["--object-lock", "compliance:10d"];
    copy(&vault, &to.location(), &policy).expect(0);
    let first = to.versions();
    let ten_days = last_second(&days_ago(-9))..=last_second(&days_ago(-10));
    for (lock, _) in of_day(&first, EVE, 1) {
        let (mode, until) = lock.unwrap();
        assert_eq!(mode, ObjectLockMode::Compliance);
        assert!(ten_days.contains(&until), "{until}");
    }
    let stronger = Some((ObjectLockMode::Compliance, last_second(&later)));
    assert!(
        of_day(&first, DAY, 2)
            .iter()
            .all(|(lock, _)| *lock == stronger),
        "{first:?}"
    );
    // Again: the retention of existing objects does not grow with each run.
    copy(&vault, &to.location(), &policy).expect(0);
    let locks = |versions: &[Shown]| -> Vec<_> {
        let own = versions.iter().filter(|version| version.key.contains('/'));
        own.map(|version| (version.key.clone(), version.lock.clone()))
            .collect()
    };
    assert_eq!(locks(&to.versions()), locks(&first));

    // An archive without locks, and one that was copied without locks.
    let back = vault.folder.path().join("back");
    copy(&vault, back.to_str().unwrap(), &["--without-locks"]).expect(0);
    let bare = Bucket::new(minio(), "bare", true);
    copy(&vault, &bare.location(), &["--without-locks"]).expect(0);
    assert!(bare.versions().iter().all(|version| version.lock.is_none()));
    copy(&vault, &bare.location(), &policy).expect(0);
    assert!(
        bare.versions().iter().all(|version| version.lock.is_some()),
        "{:?}",
        bare.versions()
    );
    assert_eq!(without_mark(bare.contents()), from.contents());
    let off = copy(&vault, &bare.location(), &["--object-lock", "off"]).expect(2);
    assert!(off.stderr.contains("--without-locks"), "{off}");
}

#[test]
fn a_place_without_locks_is_refused_untouched_until_that_is_wanted() {
    let simulator = simulator();
    let (from, mut vault) = locked_days(&simulator);
    vault.unset("OBJECT_LOCK");
    let plain = Bucket::new(minio(), "plain", false);
    let folder = vault.folder.path().join("copy");
    for at in [plain.location(), folder.to_str().unwrap().to_owned()] {
        let refused = copy(&vault, &at, &[]).expect(2);
        assert!(
            refused.stdout.contains("does not support object locks")
                && refused.stdout.contains("--without-locks"),
            "{refused}"
        );
        let refused = copy(&vault, &at, &["--object-lock", "governance:1d"]).expect(2);
        assert!(
            refused.stdout.contains("does not support object locks"),
            "{refused}"
        );
        assert!(plain.contents().is_empty() && !folder.join(MARK).exists());
    }
    for at in [plain.location(), folder.to_str().unwrap().to_owned()] {
        let finished = copy(&vault, &at, &["--without-locks"]).expect(0);
        let done = copied(&finished);
        assert_eq!(
            done["unlocked"],
            from.contents().len() - 1,
            "each but archive.json: {done}"
        );
        assert!(
            finished.stderr.contains("NOTHING LOCKS THIS COPY"),
            "{finished}"
        );
        let text = vault
            .run(&["copy", "--to", &at, "--without-locks"])
            .expect(0)
            .stdout;
        assert!(
            text.contains("locks         NONE, although 10 objects should have one"),
            "{text}"
        );
        verified(&vault, &at, &done["heads"]);
    }
    assert_eq!(without_mark(plain.contents()), from.contents());
    assert_eq!(without_mark(objects_in(&vault, &folder)), from.contents());

    // Copied back from the folder, which has no locks: the chain still names them.
    let mut restorer = owner(&simulator);
    restorer.set("ARCHIVE", folder.to_str().unwrap());
    may_copy_to(&mut restorer, minio(), None);
    let again = Bucket::new(minio(), "again", true);
    copy(&restorer, &again.location(), &[]).expect(0);
    let (there, copies) = (from.versions(), again.versions());
    for (date, sequence) in [(EVE, 1), (DAY, 2)] {
        let weakest = of_day(&there, date, sequence)
            .into_iter()
            .map(|(lock, _)| lock.unwrap().1)
            .min()
            .unwrap();
        let locks = of_day(&copies, date, sequence);
        assert!(
            locks
                .iter()
                .all(|(lock, _)| lock.clone().unwrap() == (ObjectLockMode::Governance, weakest)),
            "{locks:?}"
        );
    }
}

#[test]
fn a_roster_is_locked_at_least_as_long_as_it_says() {
    let simulator = simulator();
    let from = Bucket::new(minio(), "rosters", true);
    let mut vault = owner(&simulator);
    from.used_by(&mut vault, None);
    vault.run_day(EVE, &[]).expect(0);
    // Nothing but the record of the second run is locked.
    vault.set("OBJECT_LOCK", "governance:5d");
    vault.run_day(EVE, &[]).expect(0);
    let second = manifest("roster", 2);
    let lock = version(&from.versions(), &second).lock.clone();
    assert!(lock.is_some());
    vault.unset("OBJECT_LOCK");
    let folder = vault.folder.path().join("copy");
    let refused = copy(&vault, folder.to_str().unwrap(), &[]).expect(2);
    assert!(
        refused.stdout.contains("the roster is locked until"),
        "{refused}"
    );
    assert!(!folder.exists());
    let to = Bucket::new(minio(), "rostered", true);
    let done = copied(&copy(&vault, &to.location(), &[]).expect(0));
    assert_eq!(
        (&done["locked"], &done["rosters"]),
        (&json!(3), &json!(2)),
        "the record, and the marks"
    );
    let locked = |versions: Vec<Shown>| -> Vec<String> {
        let locked = versions.into_iter().filter(|one| one.lock.is_some());
        locked
            .inspect(|one| assert_eq!(one.lock, lock))
            .map(|one| one.key)
            .collect()
    };
    assert_eq!(
        locked(to.versions()),
        ["archive.json", MARK, second.as_str()]
    );
    // A lock that was removed is set again.
    to.set_lock(&second, None);
    let done = copied(&copy(&vault, &to.location(), &[]).expect(0));
    assert_eq!((&done["locked"], &done["rosters"]), (&json!(1), &json!(0)));
    assert_eq!(version(&to.versions(), &second).lock, lock);
    // Nor may the object have been deleted.
    to.delete(&second);
    let deleted = copy(&vault, &to.location(), &[]).expect(4);
    assert!(
        deleted
            .stdout
            .contains(&format!("{second} was overwritten or deleted")),
        "{deleted}"
    );
}

/// Changes the head of an unsigned chain in a folder, as its owner can.
fn change_head(vault: &Vault, sequence: u64, change: impl Fn(&mut Value)) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = vault.archive().join(manifest(SUB, sequence));
    let mut envelope: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut envelope["manifest"]);
    let bytes = serde_json_canonicalizer::to_vec(&envelope).unwrap();
    Envelope::from_bytes(&bytes).expect("it is still a manifest");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn a_lock_that_has_ended_is_not_required() {
    let simulator = simulator();
    let mut vault = owner(&simulator);
    vault.run_day(DAY, &[]).expect(0);
    let lock = |until: &str| json!({ "mode": "COMPLIANCE", "retain_until": format!("{until}T00:00:00.000Z") });
    change_head(&vault, 1, |manifest| {
        manifest["object_lock"] = lock("2026-01-01")
    });
    let folder = vault.folder.path().join("copy");
    let done = copied(&copy(&vault, folder.to_str().unwrap(), &[]).expect(0));
    assert_eq!(done["unlocked"], 0);
    may_copy_to(&mut vault, minio(), None);
    let bucket = Bucket::new(minio(), "over", true);
    copy(&vault, &bucket.location(), &[]).expect(0);
    assert!(
        bucket
            .versions()
            .iter()
            .all(|version| version.lock.is_none()),
        "{:?}",
        bucket.versions()
    );

    change_head(&vault, 1, |manifest| {
        manifest["object_lock"] = lock(&days_ago(-3))
    });
    let elsewhere = vault.folder.path().join("elsewhere");
    copy(&vault, elsewhere.to_str().unwrap(), &[]).expect(2);
    assert!(!elsewhere.exists());
}

#[test]
fn the_files_of_a_disposed_day_stay_behind() {
    let simulator = simulator();
    let vault = two_days(&simulator);
    change_head(&vault, 2, |manifest| {
        manifest["coverage"]["days"] = json!("dc")
    });
    let of_eve: Vec<String> = parts(&objects_in(&vault, &vault.archive()))
        .into_iter()
        .filter(|key| key.contains(EVE))
        .collect();
    let to = vault.folder.path().join("copy");
    // Some objects are deleted, and some not yet.
    std::fs::remove_file(vault.archive().join(&of_eve[0])).unwrap();
    let done = copied(&copy(&vault, to.to_str().unwrap(), &[]).expect(0));
    assert_eq!(
        (&done["disposed"], &done["unlisted"]),
        (&json!(of_eve.len()), &json!(0))
    );
    let mut expected = objects_in(&vault, &vault.archive());
    expected.retain(|key, _| !key.contains(&format!("dt={EVE}")));
    assert_eq!(without_mark(objects_in(&vault, &to)), expected);
}
