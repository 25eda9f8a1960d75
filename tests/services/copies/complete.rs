//! From folder to bucket to folder, and to another server: byte for byte, and only the objects that
//! are missing.

use axum::http::Method;
use cxvault::format::hash::digest::Digest;
use serde_json::json;

use super::*;
use crate::support::minio::minio;
use crate::support::proxy::{Act, Proxy, holds};

#[test]
fn from_a_folder_to_a_bucket_and_back_it_is_the_same_byte_for_byte() {
    let simulator = simulator();
    let mut vault = two_days(&simulator);
    let archive = objects_in(&vault, &vault.archive());
    assert!(parts(&archive).len() >= 6, "{:?}", archive.keys());
    let bucket = Bucket::new(minio(), "copy", true);
    may_copy_to(&mut vault, minio(), None);

    let looked = copied(&copy(&vault, &bucket.location(), &["--dry-run"]).expect(0));
    assert_eq!(
        (&looked["dry_run"], bucket.contents().len()),
        (&json!(true), 0)
    );
    let done = copied(&copy(&vault, &bucket.location(), &[]).expect(0));
    assert_eq!(without_mark(bucket.contents()), archive);
    assert_eq!(
        bucket.versions().len(),
        bucket.contents().len(),
        "nothing was put twice"
    );
    for (member, expected) in [
        ("manifests", count_of(&archive, "manifests/")),
        ("files", count_of(&archive, "segments/")),
        ("sub_accounts", 1),
        ("there", 0),
        ("unlisted", 0),
        ("unlocked", 0),
    ] {
        assert_eq!(done[member], expected, "{member}: {done}");
        assert_eq!(looked[member], expected, "--dry-run, {member}: {looked}");
    }
    assert_eq!(looked["bytes"], done["bytes"]);
    let mark: Value = serde_json::from_slice(&bucket.contents()[MARK]).unwrap();
    assert_eq!(mark["archive_id"], done["archive_id"]);
    assert_eq!(mark["from"], vault.archive().to_str().unwrap());
    let first = &mark["sub_accounts"][0];
    let (id, head) = (first["id"].as_str().unwrap(), &first["head"]);
    let head = format!(
        "{id}:{}:{}",
        head["sequence"],
        head["sha256"].as_str().unwrap()
    );
    assert_eq!(done["heads"][0], head);

    let mut reader = reader_of(&simulator, &bucket);
    verified(&reader, &bucket.location(), &done["heads"]);
    let back = reader.folder.path().join("back");
    reader.set("PART_ROWS", "8");
    let returned = copied(&copy(&reader, back.to_str().unwrap(), &[]).expect(0));
    assert_eq!(without_mark(objects_in(&reader, &back)), archive);
    assert_eq!(returned["heads"], done["heads"]);
    verified(&reader, back.to_str().unwrap(), &done["heads"]);

    // The report for people names what to verify the copy with.
    let text = vault
        .run(&["copy", "--to", &bucket.location()])
        .expect(0)
        .stdout;
    let advised = format!(
        "COPIED. Verify the copy with: CXVAULT_S3_ENDPOINT={} cxvault verify --archive 's3://",
        minio().endpoint()
    );
    assert!(text.contains(&advised), "{text}");
    assert!(text.contains(&format!("--expect-head {head}")), "{text}");
}

#[test]
fn between_two_servers_each_is_reached_its_own_way() {
    let simulator = simulator();
    let other = Minio::start();
    let (from, to) = (
        Bucket::new(minio(), "from", true),
        Bucket::new(&other, "to", true),
    );
    let mut vault = owner(&simulator);
    from.used_by(&mut vault, None);
    vault.run_day(DAY, &[]).expect(0);
    may_copy_to(&mut vault, &other, None);
    let done = copied(&copy(&vault, &to.location(), &[]).expect(0));
    assert_eq!(without_mark(to.contents()), from.contents());
    verified(&reader_of(&simulator, &to), &to.location(), &done["heads"]);
    // On the same server the archive's own settings are used for the copy.
    let beside = Bucket::new(minio(), "beside", true);
    for name in [
        "ENDPOINT",
        "REGION",
        "PATH_STYLE",
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
    ] {
        vault.unset(&format!("COPY_{name}"));
    }
    copy(&vault, &beside.location(), &[]).expect(0);
    assert_eq!(without_mark(beside.contents()), from.contents());
}

#[test]
fn a_profile_writes_the_copy_and_half_a_key_does_not() {
    let simulator = simulator();
    let mut vault = two_days(&simulator);
    let bucket = Bucket::new(minio(), "profile", false);
    may_copy_to(&mut vault, minio(), None);
    vault.unset("COPY_SECRET_ACCESS_KEY");
    let half = copy(&vault, &bucket.location(), &[]).expect(2);
    assert!(
        half.stdout.contains("copy_secret_access_key is not"),
        "{half}"
    );
    vault.unset("COPY_ACCESS_KEY_ID").unset("COPY_REGION");
    let aws = vault.folder.path().join("home/.aws");
    std::fs::create_dir_all(&aws).unwrap();
    let value = |name: &str| {
        minio()
            .env()
            .into_iter()
            .find(|(of, _)| of == name)
            .unwrap()
            .1
    };
    let (id, secret) = (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"));
    let text = format!(
        "[default]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n\
         [vault]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"
    );
    std::fs::write(aws.join("credentials"), text).unwrap();
    // Other credentials are available and must not be used.
    vault
        .set_foreign("AWS_ACCESS_KEY_ID", "nobody")
        .set_foreign("AWS_SECRET_ACCESS_KEY", "nothing");
    copy(&vault, &bucket.location(), &["--to-profile", "vault"]).expect(0);
    assert_eq!(
        without_mark(bucket.contents()),
        objects_in(&vault, &vault.archive())
    );
    let unknown = copy(&vault, &bucket.location(), &["--to-profile", "valut"]).expect(6);
    assert!(unknown.stdout.contains("`valut`"), "{unknown}");
    vault
        .set("COPY_ACCESS_KEY_ID", &id)
        .set("COPY_SECRET_ACCESS_KEY", &secret);
    let both = copy(&vault, &bucket.location(), &["--to-profile", "vault"]).expect(2);
    assert!(
        both.stdout
            .contains("a profile and an access key are both set"),
        "{both}"
    );
    assert!(!both.stdout.contains(&secret) && !both.stderr.contains(&secret));
}

#[test]
fn what_was_archived_since_is_all_that_is_read_and_put() {
    let simulator = simulator();
    let (from, to) = (
        Bucket::new(minio(), "growing", true),
        Bucket::new(minio(), "following", true),
    );
    let mut vault = owner(&simulator);
    from.used_by(&mut vault, None);
    vault.run_day(EVE, &[]).expect(0);
    let (source, place) = (
        Proxy::start(minio().address, &from.settings.bucket),
        Proxy::start(minio().address, &to.settings.bucket),
    );
    from.used_by(&mut vault, Some(&source.url));
    may_copy_to(&mut vault, minio(), Some(&place.url));
    copy(&vault, &to.location(), &[]).expect(0);
    let (first, mark) = (from.contents(), to.contents()[MARK].clone());

    vault.run_day(DAY, &[]).expect(0);
    let new: Vec<String> = from
        .contents()
        .into_keys()
        .filter(|key| !first.contains_key(key))
        .collect();
    let parts_of = |seen: Vec<String>| -> Vec<String> {
        let mut parts: Vec<_> = seen
            .into_iter()
            .filter(|key| key.ends_with(".parquet"))
            .collect();
        parts.sort();
        parts
    };
    let (read, put) = (
        source.requests(Method::GET).len(),
        place.requests(Method::PUT).len(),
    );
    let done = copied(&copy(&vault, &to.location(), &[]).expect(0));
    assert_eq!(without_mark(to.contents()), from.contents());
    assert_eq!(to.contents()[MARK], mark, "the mark is the first copy's");
    assert_eq!(
        (&done["manifests"], &done["rosters"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&done["there"], &done["files"]),
        (
            &json!(first.len() - 1),
            &json!(new.iter().filter(|key| key.ends_with(".parquet")).count())
        )
    );
    let strip = |keys: &[String]| -> Vec<String> {
        let prefix = format!("{}/", from.settings.prefix);
        keys.iter()
            .map(|key| key.strip_prefix(&prefix).unwrap_or(key).to_owned())
            .collect()
    };
    let mut expected: Vec<String> = new
        .iter()
        .filter(|key| key.ends_with(".parquet"))
        .cloned()
        .collect();
    expected.sort();
    assert_eq!(
        strip(&parts_of(source.requests(Method::GET)[read..].to_vec())),
        expected
    );
    let mut puts = strip(&place.requests(Method::PUT)[put..]);
    puts.retain(|key| key != "archive.json");
    puts.sort();
    assert_eq!(puts, new, "archive.json aside, which proves create-only");

    // A run that only confirms days writes its roster record, and nothing else is stored.
    vault.run_day(DAY, &[]).expect(0);
    let put = place.requests(Method::PUT).len();
    let done = copied(&copy(&vault, &to.location(), &[]).expect(0));
    let mut puts = strip(&place.requests(Method::PUT)[put..]);
    puts.retain(|key| key != "archive.json");
    assert_eq!(puts, [manifest("roster", 3)]);
    assert_eq!(
        (&done["files"], &done["manifests"], &done["rosters"]),
        (&json!(0), &json!(0), &json!(1))
    );

    // After that there is nothing to do.
    let put = place.requests(Method::PUT).len();
    let done = copied(&copy(&vault, &to.location(), &["--check"]).expect(0));
    assert_eq!(
        (&done["files"], &done["manifests"], &done["bytes"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert!(
        place.requests(Method::PUT)[put..]
            .iter()
            .all(|key| key.ends_with("archive.json"))
    );
    verified(&reader_of(&simulator, &to), &to.location(), &done["heads"]);
}

#[test]
fn what_is_archived_while_it_is_copied_is_the_next_copys_work() {
    let simulator = simulator();
    let mut vault = two_days(&simulator);
    let to = Bucket::new(minio(), "meanwhile", false);
    let place = Proxy::start(minio().address, &to.settings.bucket);
    may_copy_to(&mut vault, minio(), Some(&place.url));
    let then = objects_in(&vault, &vault.archive());
    let (arrival, held) = holds();
    place.once(
        Method::PUT,
        "0000000001.json",
        0,
        Act::HoldBefore(arrival()),
    );
    let copying = vault.spawn(&["copy", "--json", "--to", &to.location()]);
    let request = held.next();
    vault.run_day("2026-11-18", &[]).expect(0);
    request.release();
    let done = copied(&copying.wait().expect(0));
    let keep = |contents: Contents, prefix: &str| -> Contents {
        contents
            .into_iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .collect()
    };
    for prefix in ["manifests/", "segments/"] {
        assert_eq!(keep(to.contents(), prefix), keep(then.clone(), prefix));
    }
    verified(&reader_of(&simulator, &to), &to.location(), &done["heads"]);
    copy(&vault, &to.location(), &[]).expect(0);
    assert_eq!(
        without_mark(to.contents()),
        objects_in(&vault, &vault.archive())
    );
}

#[test]
fn leftovers_and_what_is_not_the_archives_stay_behind_and_are_counted() {
    let simulator = simulator();
    let vault = two_days(&simulator);
    let archive = objects_in(&vault, &vault.archive());
    let part = parts(&archive)[0].clone();
    let leftover = vault.archive().join(part.replace("p0000", "p0077"));
    std::fs::copy(vault.archive().join(&part), leftover).unwrap();
    std::fs::create_dir(vault.archive().join("doctor")).unwrap();
    std::fs::write(vault.archive().join("doctor/1-2"), "it was here").unwrap();
    std::fs::write(vault.archive().join("notes.txt"), "a note").unwrap();
    let to = vault.folder.path().join("copy");
    let done = copied(&copy(&vault, to.to_str().unwrap(), &[]).expect(0));
    assert_eq!(done["unlisted"], 1);
    assert_eq!(without_mark(objects_in(&vault, &to)), archive);
}

#[test]
fn one_sub_account_can_be_copied_alone_and_the_others_later() {
    let simulator = simulator();
    let mut vault = owner(&simulator);
    vault.set("SUB_ACCOUNTS", &format!("{SUB},{OTHER}"));
    vault.run_day(DAY, &[]).expect(0);
    let archive = objects_in(&vault, &vault.archive());
    let to = vault.folder.path().join("copy");
    let done = copied(&copy(&vault, to.to_str().unwrap(), &["--sub-account", OTHER]).expect(0));
    assert_eq!(
        (
            &done["sub_accounts"],
            done["heads"].as_array().unwrap().len()
        ),
        (&json!(1), 1)
    );
    let alone = objects_in(&vault, &to);
    assert!(
        alone.keys().all(|key| !key.contains(SUB)),
        "{:?}",
        alone.keys()
    );
    verified(&vault, to.to_str().unwrap(), &done["heads"]);
    let done = copied(&copy(&vault, to.to_str().unwrap(), &[]).expect(0));
    assert_eq!(done["sub_accounts"], 2);
    assert_eq!(without_mark(objects_in(&vault, &to)), archive);
    let unknown = copy(&vault, to.to_str().unwrap(), &["--sub-account", "1"]).expect(2);
    assert!(unknown.stdout.contains("has no sub-account 1"), "{unknown}");
}

#[test]
fn the_roster_comes_last_and_only_with_all_that_it_names() {
    let simulator = simulator();
    let mut vault = owner(&simulator);
    vault.set("SUB_ACCOUNTS", &format!("{SUB},{OTHER}"));
    vault.run_day(DAY, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    let record = |sequence: u64| manifest("roster", sequence);
    let bucket = Bucket::new(minio(), "roster", false);
    let place = Proxy::start(minio().address, &bucket.settings.bucket);
    may_copy_to(&mut vault, minio(), Some(&place.url));
    let at = bucket.location();
    let narrowed = copied(&copy(&vault, &at, &["--sub-account", OTHER]).expect(0));
    assert_eq!(
        (
            &narrowed["rosters"],
            count_of(&bucket.contents(), "roster/")
        ),
        (&json!(0), 0)
    );
    let done = copied(&copy(&vault, &at, &[]).expect(0));
    let head = format!(
        "roster:2:{}",
        Digest::of(&std::fs::read(vault.archive().join(record(2))).unwrap())
    );
    assert_eq!(
        (&done["rosters"], done["heads"].as_array().unwrap().last()),
        (&json!(2), Some(&json!(head)))
    );
    assert_eq!(
        without_mark(bucket.contents()),
        objects_in(&vault, &vault.archive())
    );
    let puts = place.requests(Method::PUT);
    let last = puts.len() - 2;
    assert!(
        [record(1), record(2)]
            .iter()
            .zip(&puts[last..])
            .all(|(key, put)| put.ends_with(key)),
        "{puts:?}"
    );

    // Copied again after it has grown: existing objects are confirmed, and new ones are stored.
    vault.run_day(DAY, &[]).expect(0);
    let done = copied(&copy(&vault, &at, &[]).expect(0));
    assert_eq!(done["rosters"], 1);
    assert_eq!(
        without_mark(bucket.contents()),
        objects_in(&vault, &vault.archive())
    );

    // A fourth record that cannot follow the third. The chains are copied nevertheless.
    let read = |sequence: u64| std::fs::read(vault.archive().join(record(sequence))).unwrap();
    let third: Value = serde_json::from_slice(&read(3)).unwrap();
    let link = |sequence: u64| json!({ "key": record(sequence), "sha256": Digest::of(&read(sequence)).hex() });
    let fourth = |member: &str, value: Value| {
        let mut envelope = third.clone();
        let manifest = &mut envelope["manifest"];
        (manifest["key"], manifest["sequence"]) = (json!(record(4)), json!(4));
        manifest["previous"] = link(3);
        manifest[member] = value;
        serde_json_canonicalizer::to_vec(&envelope).unwrap()
    };
    let path = vault.archive().join(record(4));
    for (member, value, said) in [
        ("previous", link(2), "contradicts itself"),
        ("command", json!("walk"), "is damaged: its command is none"),
        (
            "key",
            json!(record(5)),
            "is the manifest of another place or archive",
        ),
        (
            "archive_id",
            json!("another"),
            "is the manifest of another place or archive",
        ),
        ("kind", json!("rumour"), "contradicts itself"),
    ] {
        std::fs::write(&path, fourth(member, value)).unwrap();
        let broken = copy(&vault, &at, &[]).expect(4);
        assert!(
            broken.stdout.contains(&format!("{} {said}", record(4))),
            "{member}: {broken}"
        );
        let done = copied(&broken);
        assert_eq!(
            (&done["sub_accounts"], &done["rosters"]),
            (&json!(2), &json!(0)),
            "{done}"
        );
        assert_eq!(count_of(&bucket.contents(), "roster/"), 3);
    }
    // An object that the copy has and the archive has not.
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(vault.archive().join(record(3))).unwrap();
    let diverged = copy(&vault, &at, &["--sub-account", OTHER]).expect(4);
    assert!(
        diverged.stdout.contains("the copy has diverged"),
        "{diverged}"
    );
    assert!(diverged.stdout.contains(&record(3)), "{diverged}");
}
