//! A day in a real bucket with versioning, Object Lock and signatures, and what is reported when
//! objects were changed.

use std::path::Path;
use std::process::Command;

use crate::support::bucket::Bucket;
use crate::support::minio::{Minio, minio};
use crate::support::proxy::{Act, Proxy, holds};
use crate::support::truth::{Truth, archived};
use crate::support::vault::{DAY, Finished, SUB, Simulator, Vault, options, real_now};
use aws_sdk_s3::types::ObjectLockMode;
use axum::http::Method;
use serde_json::{Value, json};

const EVE: &str = "2026-11-19";
const HEAD: &str = "manifests/v1/sub_account=99999999/0000000001.json";
const SECOND: &str = "manifests/v1/sub_account=99999999/0000000002.json";

fn simulator(segments: u64) -> Simulator {
    let mut options = options();
    options.segments_per_day = segments;
    Simulator::start(options)
}

/// Returns a user with a signing key and a bucket that locks.
fn signing_vault(simulator: &Simulator, bucket: &Bucket) -> Vault {
    let mut vault = Vault::new(simulator);
    bucket.used_by(&mut vault, None);
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    let key = vault.folder.path().join("signing-key");
    vault.run(&["keygen", key.to_str().unwrap()]).expect(0);
    vault.set("SIGNING_KEY_FILE", key.to_str().unwrap());
    vault
}

fn now_ms() -> i64 {
    real_now().as_millisecond() - 3_600_000
}

fn shell(folder: &Path, script: &str) -> String {
    let done = Command::new("sh")
        .args(["-euc", script])
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{script}: {said}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_day_with_all_faults_is_locked_signed_and_true() {
    let mut options = options();
    options.segments_per_day = 160;
    options.faults.all_faults = true;
    let simulator = Simulator::start(options);
    let bucket = Bucket::new(minio(), "day", true);
    let mut vault = signing_vault(&simulator, &bucket);
    vault
        .set("OBJECT_LOCK", "governance:1d")
        .set("PART_ROWS", "50");
    let before = now_ms();
    vault.run_day(DAY, &[]).expect(0);
    let after = now_ms();
    let stats = simulator.stats();
    assert!(stats["faults"]["500"].as_u64() > Some(0), "{stats}");
    assert_eq!(stats["summaries_answered_twice"], 0);

    let versions = bucket.versions();
    assert!(versions.len() >= 6, "{versions:?}");
    // S3 stores whole seconds.
    let (from, to) = (before + 86_400_000 - 1_000, after + 86_400_000 + 1_000);
    for version in &versions {
        let (mode, until) = version
            .lock
            .clone()
            .unwrap_or_else(|| panic!("{version:?} has no lock"));
        assert_eq!(mode, ObjectLockMode::Governance);
        assert!((from..=to).contains(&until), "{version:?}");
        assert!(!version.is_delete_marker && !version.hold, "{version:?}");
        let same = versions
            .iter()
            .filter(|other| other.key == version.key)
            .count();
        assert_eq!(same, 1, "{} has {same} versions", version.key);
    }

    bucket.download(&vault.archive());
    Truth::of_utc_day(&simulator, SUB, DAY).check(&archived(&vault, SUB, DAY));
    let manifest = vault.newest(SUB);
    assert_eq!(manifest["object_lock"]["mode"], "GOVERNANCE");
    assert!(
        manifest["files"]
            .as_array()
            .unwrap()
            .iter()
            .all(|file| file["version_id"].is_string())
    );
    let schema: Value =
        serde_json::from_str(include_str!("../../schemas/manifest.v1.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for manifest in vault.manifests(SUB) {
        schema.validate(&manifest).unwrap();
    }
    check_by_hand(&vault);

    simulator.reset_stats();
    let again = vault.run_day(DAY, &[]).expect(0);
    assert_eq!(
        (simulator.requests(), again.day()["outcome"].clone()),
        (0, json!("confirmed"))
    );
    // It leaves only the record of its run.
    let confirmed = bucket.versions();
    assert_eq!(confirmed.len(), versions.len() + 1);
    assert!(
        confirmed
            .iter()
            .any(|version| version.key == "roster/v1/0000000002.json"),
        "{confirmed:?}"
    );
}

/// Runs the commands of the format document; a changed byte makes them fail.
fn check_by_hand(vault: &Vault) {
    let line = vault
        .run(&[
            "keygen",
            "--json",
            vault.folder.path().join("other").to_str().unwrap(),
        ])
        .expect(0);
    let other = line.events()[0]["allowed_signers_line"]
        .as_str()
        .unwrap()
        .to_owned();
    let folder = vault.archive();
    let public = shell(vault.folder.path(), "ssh-keygen -y -f signing-key");
    std::fs::write(folder.join("allowed_signers"), format!("cxvault {public}")).unwrap();
    std::fs::write(folder.join("other_signers"), other).unwrap();
    let extract = format!("jq -jcS .manifest {HEAD} > m; jq -r .signature.value {HEAD} > m.sig");
    shell(&folder, &extract);
    let verify = |signers: &str| {
        format!(
            "ssh-keygen -Y verify -f {signers} -I cxvault -n cxvault-manifest -s m.sig < m 2>&1"
        )
    };
    assert!(shell(&folder, &verify("allowed_signers")).contains("Good"));
    shell(&folder, &format!("! {}", verify("other_signers")));
    let files = format!(
        "jq -r '.manifest.files[] | .sha256 + \"  \" + .key' {HEAD} | sha256sum --check --quiet"
    );
    shell(&folder, &files);
    shell(
        &folder,
        &format!(
            "sed -i 's/\"revision\":1/\"revision\":2/' m; ! {}",
            verify("allowed_signers")
        ),
    );
    for name in ["m", "m.sig", "allowed_signers", "other_signers"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
}

/// Returns an archive with two signed days.
fn two_days<'a>(simulator: &Simulator, name: &str) -> (Bucket<'a>, Vault) {
    let bucket = Bucket::new(minio(), name, true);
    let vault = signing_vault(simulator, &bucket);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    (bucket, vault)
}

/// Returns a host that has never seen the archive, with the same key.
fn stranger(vault: &Vault, simulator: &Simulator, bucket: &Bucket) -> Vault {
    let mut stranger = Vault::new(simulator);
    bucket.used_by(&mut stranger, None);
    let key = vault.folder.path().join("signing-key");
    stranger
        .set("SIGNING_KEY_FILE", key.to_str().unwrap())
        .set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    stranger
}

#[track_caller]
fn check_violation(finished: Finished, names: &str) {
    let finished = finished.expect(4);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains(names), "it does not name {names}: {finished}");
    assert!(
        said.contains("Do not write to this archive"),
        "no remedy: {finished}"
    );
}

/// What is done to the archive, whether a host without a state folder detects it too, and the
/// object that is named.
type Deed = (&'static str, fn(&Bucket), bool, &'static str);

#[test]
fn meddling_is_noticed_before_anything_is_written() {
    let simulator = simulator(12);
    let deeds: [Deed; 7] = [
        (
            "a delete marker over the head",
            |bucket| bucket.delete(SECOND),
            true,
            "0000000002.json",
        ),
        (
            "a delete marker over the first",
            |bucket| bucket.delete(HEAD),
            true,
            "0000000001.json",
        ),
        (
            "the head written over by itself",
            |bucket| bucket.overwrite(SECOND, bucket.contents()[SECOND].clone()),
            true,
            "0000000002.json",
        ),
        // A chain whose end was purged is consistent in itself.
        (
            "the head purged",
            |bucket| bucket.purge(SECOND),
            false,
            "0000000002.json",
        ),
        (
            "the first purged",
            |bucket| bucket.purge(HEAD),
            true,
            "0000000001.json",
        ),
        (
            "a byte of the head",
            |bucket| {
                forge(bucket, SECOND, |manifest| {
                    manifest["manifest"]["run"]["host"] = json!("elsewhere")
                })
            },
            true,
            "0000000002.json",
        ),
        (
            "archive.json deleted",
            |bucket| bucket.delete("archive.json"),
            true,
            "archive.json",
        ),
    ];
    for (deed, act, without_memory, names) in deeds {
        println!("{deed}");
        let (bucket, vault) = two_days(&simulator, "meddled");
        let stranger = stranger(&vault, &simulator, &bucket);
        act(&bucket);
        let (before, versions) = (bucket.contents(), bucket.versions().len());
        simulator.reset_stats();
        check_violation(vault.run_day("2026-11-18", &[]), names);
        if without_memory {
            check_violation(stranger.run_day("2026-11-18", &[]), names);
        }
        assert_eq!(
            (bucket.contents(), bucket.versions().len()),
            (before, versions),
            "{deed}: something was written"
        );
        assert_eq!(
            simulator.requests(),
            0,
            "{deed}: a night's requests were spent"
        );
    }
}

/// Purges an object and stores it again, changed: one version, as an administrator could leave it.
fn forge(bucket: &Bucket, key: &str, change: impl Fn(&mut Value)) {
    let mut manifest: Value = serde_json::from_slice(&bucket.contents()[key]).unwrap();
    change(&mut manifest);
    bucket.purge(key);
    bucket.overwrite(key, serde_json_canonicalizer::to_vec(&manifest).unwrap());
}

#[test]
fn a_committed_part_that_was_changed_is_noticed_when_its_day_goes_on() {
    let mut options = options();
    options.segments_per_day = 40;
    options.faults.permanent_500 = 3.5;
    let broken = Simulator::start(options);
    for overwritten in [false, true] {
        let bucket = Bucket::new(minio(), "part", true);
        let mut vault = signing_vault(&broken, &bucket);
        vault.set("MAX_ATTEMPTS", "1").run_day(DAY, &[]).expect(3);
        let part = bucket
            .contents()
            .into_keys()
            .find(|key| key.ends_with(".parquet"))
            .unwrap();
        if overwritten {
            bucket.overwrite(&part, "other bytes");
        } else {
            bucket.purge(&part);
        }
        check_violation(vault.run_day(DAY, &[]), &part);
    }
}

#[test]
fn what_is_wrong_with_the_bucket_is_said() {
    let simulator = simulator(12);
    let bucket = Bucket::new(minio(), "refused", false);
    let refused = |name: &str, value: &str, exit: i32, names: &str| {
        let mut vault = Vault::new(&simulator);
        bucket.used_by(&mut vault, None);
        match name.strip_prefix("CXVAULT_") {
            Some(ours) => vault.set(ours, value),
            None => vault.set_foreign(name, value),
        };
        let finished = vault.run(&["run", "--date", DAY]).expect(exit);
        assert!(finished.stderr.contains(names), "{finished}");
        assert_eq!(simulator.requests(), 0);
        assert!(bucket.contents().is_empty());
    };
    refused(
        "CXVAULT_ARCHIVE",
        "s3://no-such-bucket/x",
        2,
        "no-such-bucket",
    );
    refused(
        "AWS_SECRET_ACCESS_KEY",
        "wrong-wrong-wrong",
        6,
        "SignatureDoesNotMatch",
    );
    refused("AWS_ACCESS_KEY_ID", "nobody", 6, "InvalidAccessKeyId");
    // The bucket was created without Object Lock.
    refused("CXVAULT_OBJECT_LOCK", "governance:1d", 2, "Object Lock");
}

#[test]
fn a_server_that_goes_away_means_later_and_the_journal_is_retained() {
    let simulator = simulator(40);
    let server = Minio::start();
    let bucket = Bucket::new(&server, "down", true);
    let mut vault = Vault::new(&simulator);
    let proxy = Proxy::start(server.address, &bucket.settings.bucket);
    bucket.used_by(&mut vault, Some(&proxy.url));
    let (arrival, holds) = holds();
    proxy.once(Method::PUT, "segments/", 0, Act::HoldBefore(arrival()));
    let run = vault.spawn(&["run", "--json", "--date", DAY]);
    let held = holds.next();
    let asked = simulator.requests();
    let record = bucket.contents()["archive.json"].clone();
    drop(bucket);
    drop(server);
    held.release();
    let finished = run.wait().expect(5);
    // Neither the day nor the roster record could be stored.
    let days = finished.summary()["days"].take();
    let whose: Vec<_> = days
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["sub_account"])
        .collect();
    assert_eq!(whose, [SUB, "roster"], "{finished}");
    assert!(
        days[0]["remedy"].is_string() && days[1]["remedy"].is_string(),
        "{finished}"
    );
    assert!(
        vault
            .files(&vault.state())
            .iter()
            .any(|path| path.ends_with("journal.sqlite")),
        "it is gone"
    );

    // The archive is restored elsewhere: what is missing comes from the journal.
    let restored = Bucket::new(minio(), "restored", true);
    restored.overwrite("archive.json", record);
    restored.used_by(&mut vault, None);
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(simulator.requests(), asked);
    restored.download(&vault.archive());
    Truth::of_utc_day(&simulator, SUB, DAY).check(&archived(&vault, SUB, DAY));
}
