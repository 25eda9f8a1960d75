//! Damage of the archive or of the copy is named, no damaged object is copied, and no object is
//! overwritten.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::support::minio::minio;

/// Changes a file of a folder, as an intruder could.
fn write(path: PathBuf, bytes: &[u8]) {
    if path.exists() {
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn flipped(bytes: &Bytes) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

#[track_caller]
fn names(finished: &Finished, object: &str) {
    let said = finished.events().iter().any(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        event["event"] == "error" && message.contains(object) && event["remedy"].is_string()
    });
    assert!(said, "it does not name {object}: {finished}");
}

#[test]
fn a_damaged_object_of_the_archive_is_named_and_never_copied() {
    let simulator = simulator();
    let mut vault = owner(&simulator);
    vault.set("SUB_ACCOUNTS", &format!("{SUB},{OTHER}"));
    for date in [EVE, DAY, "2026-11-18"] {
        vault.run_day(date, &[]).expect(0);
    }
    let archive = objects_in(&vault, &vault.archive());
    let part = parts(&archive)
        .into_iter()
        .find(|key| key.contains(SUB) && key.contains(DAY))
        .unwrap();
    let [first, middle, head] = [1, 2, 3].map(|sequence| manifest(SUB, sequence));
    let changed_host = |key: &str| -> Vec<u8> {
        let mut envelope: Value = serde_json::from_slice(&archive[key]).unwrap();
        envelope["manifest"]["run"]["host"] = json!("elsewhere");
        serde_json_canonicalizer::to_vec(&envelope).unwrap()
    };
    // What is done to which object, which object is named, and how many manifests of the chain can
    // still be copied.
    let deeds: [(&str, Option<Vec<u8>>, &str, u64); 6] = [
        (&part, Some(flipped(&archive[&part])), &part, 1),
        (&part, None, &part, 1),
        (&middle, None, &middle, 0),
        (&middle, Some(changed_host(&middle)), &head, 0),
        (&first, Some(b"no manifest".to_vec()), &first, 0),
        (&part, Some(archive[&part][..20].to_vec()), &part, 1),
    ];
    for (n, (object, bytes, named, whole)) in deeds.into_iter().enumerate() {
        println!("{n}: {object}");
        let path = vault.archive().join(object);
        match &bytes {
            Some(bytes) => write(path.clone(), bytes),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let to = vault.folder.path().join(format!("copy-{n}"));
        let finished = copy(&vault, to.to_str().unwrap(), &[]).expect(4);
        names(&finished, named);
        let done = copied(&finished);
        assert_eq!(done["sub_accounts"], 1, "the other one is whole: {done}");
        let found = without_mark(objects_in(&vault, &to));
        assert!(
            found.iter().all(|(key, bytes)| archive[key] == *bytes),
            "something bad was copied"
        );
        assert_eq!(
            count_of(&found, &format!("manifests/v1/sub_account={SUB}/")),
            whole,
            "{:?}",
            found.keys()
        );
        verified(&vault, to.to_str().unwrap(), &done["heads"]);
        // Once the damage is repaired, the same command continues.
        write(path, &archive[object]);
        copy(&vault, to.to_str().unwrap(), &[]).expect(0);
        assert_eq!(without_mark(objects_in(&vault, &to)), archive);
    }
}

#[test]
fn of_a_chain_that_signed_and_stops_signing_only_the_signed_records_are_copied() {
    let simulator = simulator();
    let mut vault = owner(&simulator);
    let key = vault.folder.path().join("signing-key");
    vault.run(&["keygen", key.to_str().unwrap()]).expect(0);
    vault.set("SIGNING_KEY_FILE", key.to_str().unwrap());
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    let changed = |key: &str, change: fn(&mut Value)| {
        let mut envelope: Value =
            serde_json::from_slice(&std::fs::read(vault.archive().join(key)).unwrap()).unwrap();
        change(&mut envelope);
        write(
            vault.archive().join(key),
            &serde_json_canonicalizer::to_vec(&envelope).unwrap(),
        );
    };
    // What no key that counts has signed is no record: the copy ends before it, and says so.
    let (roster, without) = (manifest("roster", 2), vault.folder.path().join("without"));
    for change in [
        (|envelope| envelope["manifest"]["run"]["host"] = json!("elsewhere")) as fn(&mut Value),
        |envelope| envelope["signature"] = Value::Null,
    ] {
        changed(&roster, change);
        let finished = copy(&vault, without.to_str().unwrap(), &[]).expect(3);
        assert!(finished.stderr.contains(&roster), "{finished}");
        assert_eq!(copied(&finished)["sub_accounts"], 1, "{finished}");
        assert_eq!(count_of(&objects_in(&vault, &without), "roster/"), 1);
    }
    let head = manifest(SUB, 2);
    changed(&head, |envelope| envelope["signature"] = Value::Null);
    let to = vault.folder.path().join("copy");
    let finished = copy(&vault, to.to_str().unwrap(), &[]).expect(3);
    assert!(finished.stderr.contains(&head), "{finished}");
    assert_eq!(count_of(&objects_in(&vault, &to), "manifests/"), 1);
}

#[test]
fn other_bytes_at_the_copys_place_are_named_and_left_as_they_are() {
    let simulator = simulator();
    let mut vault = two_days(&simulator);
    may_copy_to(&mut vault, minio(), None);
    let archive = objects_in(&vault, &vault.archive());
    let (part, first) = (parts(&archive)[1].clone(), manifest(SUB, 1));
    type Deed = (&'static str, fn(&Bucket, &str, &Bytes));
    let deeds: [Deed; 4] = [
        ("a second version", |bucket, key, bytes| {
            bucket.overwrite(key, flipped(bytes))
        }),
        ("the same bytes again", |bucket, key, bytes| {
            bucket.overwrite(key, bytes.clone())
        }),
        ("a delete marker", |bucket, key, _| bucket.delete(key)),
        (
            "another object of that length, without a checksum",
            |bucket, key, bytes| {
                bucket.purge(key);
                bucket.overwrite(key, flipped(bytes));
            },
        ),
    ];
    for (deed, act) in deeds {
        for object in [&part, &first] {
            println!("{deed}: {object}");
            let bucket = Bucket::new(minio(), "meddled", true);
            copy(&vault, &bucket.location(), &[]).expect(0);
            act(&bucket, object, &archive[object]);
            let before = (bucket.contents(), bucket.versions().len());
            names(&copy(&vault, &bucket.location(), &[]).expect(4), object);
            assert_eq!(
                (bucket.contents(), bucket.versions().len()),
                before,
                "something was put"
            );
        }
    }
    // The mark and the record as well: without its mark the copy would be written to.
    for object in [MARK, "archive.json"] {
        let bucket = Bucket::new(minio(), "unmarked", true);
        copy(&vault, &bucket.location(), &[]).expect(0);
        bucket.delete(object);
        names(&copy(&vault, &bucket.location(), &[]).expect(4), object);
        let read = reader_of(&simulator, &bucket).run(&["verify", "--json"]);
        assert!(read.stdout.contains("delete-marker"), "{read}");
    }
    // What was purged is stored again.
    let bucket = Bucket::new(minio(), "healed", true);
    copy(&vault, &bucket.location(), &[]).expect(0);
    [&part, &first]
        .into_iter()
        .for_each(|object| bucket.purge(object));
    let done = copied(&copy(&vault, &bucket.location(), &[]).expect(0));
    assert_eq!((&done["files"], &done["manifests"]), (&json!(1), &json!(1)));
    assert_eq!(without_mark(bucket.contents()), archive);
}

#[test]
fn files_of_a_folder_are_read_on_request() {
    let simulator = simulator();
    let vault = two_days(&simulator);
    let archive = objects_in(&vault, &vault.archive());
    let to = vault.folder.path().join("copy");
    let at = to.to_str().unwrap();
    copy(&vault, at, &[]).expect(0);
    let (part, first) = (parts(&archive)[0].clone(), manifest(SUB, 1));
    write(to.join(&part), &flipped(&archive[&part]));
    copy(&vault, at, &[]).expect(0);
    names(&copy(&vault, at, &["--check"]).expect(4), &part);
    write(to.join(&part), b"shorter");
    names(&copy(&vault, at, &[]).expect(4), &part);
    write(to.join(&part), &archive[&part]);
    // Manifests are small and are read each time.
    write(to.join(&first), &flipped(&archive[&first]));
    names(&copy(&vault, at, &[]).expect(4), &first);
    write(to.join(&first), &archive[&first]);
    write(
        to.join("segments/v1")
            .join(format!("sub_account={SUB}/dt={DAY}/notes.txt")),
        b"a note",
    );
    names(&copy(&vault, at, &[]).expect(4), "notes.txt");
}

#[test]
fn a_place_that_is_something_else_is_refused_and_left_alone() {
    let simulator = simulator();
    let vault = two_days(&simulator);
    let other = two_days(&simulator);
    let beside = |name: &str| vault.folder.path().join(name);
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let refused = |vault: &Vault, at: &str, exit: i32, said: &str| {
        let refused = copy(vault, at, &[]).expect(exit);
        assert!(refused.stdout.contains(said), "{said}: {refused}");
    };
    // The archive itself, and a copy that another tool has made.
    refused(
        &vault,
        &text(&vault.archive()),
        2,
        "holds this archive already",
    );
    let brought = beside("brought");
    for (key, bytes) in objects_in(&vault, &vault.archive()) {
        write(brought.join(key), &bytes);
    }
    refused(&vault, &text(&brought), 2, "holds this archive already");
    refused(&vault, &text(&other.archive()), 2, "holds another archive");
    let copies = beside("copies");
    copy(&other, &text(&copies), &[]).expect(0);
    refused(&vault, &text(&copies), 2, "holds a copy of another archive");
    let occupied = beside("occupied");
    write(occupied.join("notes.txt"), b"a note");
    refused(
        &vault,
        &text(&occupied),
        2,
        "is not empty, and holds no copy: there is notes.txt",
    );
    assert_eq!(vault.files(&occupied).len(), 1);
    let headless = beside("headless");
    copy(&vault, &text(&headless), &[]).expect(0);
    std::fs::remove_file(headless.join("archive.json")).unwrap();
    refused(
        &vault,
        &text(&headless),
        4,
        "is missing, and the rest of the archive is there",
    );
    std::fs::remove_file(headless.join(MARK)).unwrap();
    refused(&vault, &text(&headless), 2, "is not empty");
    let unreadable = beside("unreadable");
    write(unreadable.join(MARK), b"{}");
    refused(&vault, &text(&unreadable), 4, "is not the mark of a copy");

    for (at, said) in [
        ("gs://bucket/x", "only S3 and folders are supported"),
        ("file:///x", "without file://"),
        ("s3:/x", "s3://bucket/prefix"),
        ("", "empty"),
    ] {
        let refused = vault.run(&["copy", "--to", at]).expect(2);
        assert!(refused.stderr.contains(said), "{at}: {refused}");
    }
    let both = vault
        .run(&[
            "copy",
            "--to",
            "x",
            "--without-locks",
            "--object-lock",
            "governance:1d",
        ])
        .expect(2);
    assert!(both.stderr.contains("cannot be used with"), "{both}");
    let mut lost = owner(&simulator);
    lost.set("ARCHIVE", &text(&beside("nothing")));
    refused(
        &lost,
        &text(&beside("from-nothing")),
        2,
        "there is no archive at",
    );
}

/// Two archives with a common beginning: the same place cannot be a copy of both.
#[test]
fn a_copy_that_went_on_by_itself_has_diverged() {
    let simulator = simulator();
    let vault = two_days(&simulator);
    let at = vault.folder.path().join("copy");
    let at = at.to_str().unwrap();
    copy(&vault, at, &[]).expect(0);
    let mut twin = owner(&simulator);
    for (key, bytes) in objects_in(&vault, &vault.archive()) {
        write(twin.archive().join(key), &bytes);
    }
    twin.run_day("2026-11-17", &[]).expect(0);
    copy(&twin, at, &[]).expect(0);
    let third = manifest(SUB, 3);
    let there = objects_in(&vault, vault.folder.path().join("copy").as_path());
    let diverged = copy(&vault, at, &[]).expect(4);
    names(&diverged, &third);
    assert!(
        diverged.stdout.contains("the copy has diverged")
            && diverged.stdout.contains("it is not there")
    );
    vault.run_day("2026-11-18", &[]).expect(0);
    let diverged = copy(&vault, at, &[]).expect(4);
    names(&diverged, &third);
    assert!(
        diverged.stdout.contains("is another one than there"),
        "{diverged}"
    );
    // A chain that the archive does not have.
    twin.set("SUB_ACCOUNTS", OTHER);
    twin.run_day(DAY, &[]).expect(0);
    copy(&twin, at, &[]).expect(0);
    let narrowed = copy(&vault, at, &["--sub-account", SUB]).expect(4);
    assert!(
        narrowed.stdout.contains("the copy has diverged"),
        "{narrowed}"
    );
    assert!(there.iter().all(|(key, bytes)| {
        std::fs::read(vault.folder.path().join("copy").join(key)).unwrap() == *bytes
    }));
}
