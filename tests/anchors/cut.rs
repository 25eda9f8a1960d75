//! What only an anchor shows: chains cut off, rewritten, or gone; and anchors that somebody has changed.

use std::fs;
use std::path::Path;

use axum::http::Method;
use cxvault::archive::anchor::Anchor;
use cxvault::archive::digest::Digest;

use super::support::minio::minio;
use super::support::proxy::{Act, Proxy};
use super::support::vault::DAY;
use super::*;

/// Two days in a folder, anchored in another.
fn two_days(simulator: &Simulator) -> (Vault, PathBuf) {
    let mut vault = user(simulator);
    let anchor = folder(&mut vault);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    (vault, anchor)
}

fn manifest(vault: &Vault, sequence: u64) -> PathBuf {
    vault.archive().join(format!("manifests/v1/sub_account={SUB}/{sequence:010}.json"))
}

/// The last day was never there, and nobody remembers it.
fn cut_off(vault: &Vault) {
    fs::remove_file(manifest(vault, 2)).unwrap();
    fs::remove_dir_all(vault.archive().join(format!("segments/v1/sub_account={SUB}/dt={DAY}"))).unwrap();
    fs::remove_dir_all(vault.state()).unwrap();
}

fn read(folder: &Path, archive_id: &str, sequence: u64) -> (PathBuf, Anchor) {
    let place = place(archive_id, sequence);
    let path = folder.join(&place);
    let anchor = Anchor::from_bytes(&place, &fs::read(&path).unwrap()).unwrap();
    (path, anchor)
}

#[test]
fn a_chain_that_was_cut_off_is_found_by_its_anchor_alone_and_not_built_over() {
    let simulator = simulator();
    let (mut vault, anchor) = two_days(&simulator);
    let (_, head) = read(&anchor, &archive_id(&vault), 2);
    cut_off(&vault);
    vault.run(&["verify", "--no-anchor", "--level", "deep"]).expect(0);
    let verified = vault.run(&["verify", "--json"]).expect(4);
    let missing = found(&verified, "head-missing");
    assert_eq!(missing.len(), 1, "{verified}");
    let expected = missing[0]["expected"].as_str().unwrap();
    assert!(expected.starts_with(&head.sha256.hex()), "{expected}");
    assert!(expected.contains("as anchored at") && expected.ends_with(&head.place()), "{expected}");
    assert!(missing[0]["found"].as_str().unwrap().contains("ends at 1"), "{verified}");

    let refused = vault.run_day(DAY, &[]).expect(4);
    assert!(refused.stdout.contains("the chain's end was cut off"), "{refused}");
    assert_eq!(vault.manifests(SUB).len(), 1, "nothing is committed");
    let hold = ["hold", "add", "--case", "A", "--from", EVE, "--to", DAY, "--reason", "an order"];
    vault.run(&hold).expect(4);
    assert_eq!(vault.manifests(SUB).len(), 1, "nothing is committed");

    // Built over by a host that has no anchor: the next one that has one sees the fork.
    vault.unset("ANCHOR");
    vault.run_day(DAY, &[]).expect(0);
    folder(&mut vault);
    let forked = vault.run_day(DAY, &[]).expect(4);
    assert!(forked.summary()["unanchored"][0]["message"].as_str().unwrap().contains("forked"), "{forked}");
    let verified = vault.run(&["verify", "--json"]).expect(4);
    assert_eq!(found(&verified, "head-differs").len(), 1, "{verified}");
}

/// The anchor was silent just when it would have shown that the chain's end is missing.
#[test]
fn a_fork_that_is_seen_only_after_its_commit_ends_the_run_with_4() {
    let simulator = simulator();
    let anchor = Bucket::new(elsewhere(), "silent", true);
    let proxy = Proxy::start(elsewhere().address, &anchor.settings.bucket);
    let mut vault = user(&simulator);
    anchored_in(&anchor, &mut vault);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    cut_off(&vault);
    proxy.times(Method::GET, "0000000002.json", 0, 3, Act::Answer(503));
    vault.set("ANCHOR_S3_ENDPOINT", &proxy.url);
    let run = vault.run_day(DAY, &[]).expect(4);
    assert_eq!((vault.manifests(SUB).len(), anchor.contents().len()), (2, 2), "{run}");
    assert_eq!(run.day()["outcome"], "complete", "the commit stands: {run}");
    let unanchored = run.summary()["unanchored"].take();
    assert_eq!(unanchored.as_array().unwrap().len(), 1, "{run}");
    assert!(unanchored[0]["head"].as_str().unwrap().starts_with(&format!("{SUB}:2:")), "{run}");
    assert_eq!(unanchored[0]["exit"], "integrity");
}

#[test]
fn a_chain_that_is_gone_altogether_is_found() {
    let simulator = simulator();
    let (vault, _) = two_days(&simulator);
    for folder in ["manifests", "segments"] {
        fs::remove_dir_all(vault.archive().join(folder)).unwrap();
    }
    vault.run(&["verify", "--no-anchor"]).expect(2);
    let verified = vault.run(&["verify", "--json"]).expect(4);
    assert_eq!(found(&verified, "head-missing").len(), 1, "{verified}");
    // Also beside another chain, and where only that one is asked for.
    let verified = vault.run(&["verify", "--json", "--sub-account", SUB]).expect(4);
    assert_eq!(found(&verified, "head-missing").len(), 1, "{verified}");
}

/// Whoever holds the writer's keys rewrites the chain, and anchors what he wrote: the older anchors he cannot change.
#[test]
fn a_rewritten_chain_whose_head_is_anchored_anew_is_found_by_the_older_anchors() {
    let simulator = simulator();
    let (vault, anchor) = two_days(&simulator);
    let id = archive_id(&vault);
    fs::remove_dir_all(vault.archive().join("manifests")).unwrap();
    fs::remove_dir_all(vault.archive().join("segments")).unwrap();
    fs::remove_dir_all(vault.state()).unwrap();
    let mut intruder = user(&simulator);
    intruder.set("ARCHIVE", vault.archive().to_str().unwrap());
    for date in [EVE, DAY] {
        intruder.run_day(date, &[]).expect(0);
    }
    let third = ["hold", "add", "--case", "A", "--from", EVE, "--to", DAY, "--reason", "a third record"];
    intruder.run(&third).expect(0);
    let (_, second) = read(&anchor, &id, 2);
    let sha256 = Digest::of(&fs::read(manifest(&vault, 3)).unwrap());
    let key = second.key.replace("0000000002", "0000000003");
    let added = Anchor { sequence: 3, sha256, key, ..second };
    fs::write(anchor.join(added.place()), added.to_bytes().unwrap()).unwrap();
    vault.run(&["verify", "--no-anchor"]).expect(0);
    let verified = vault.run(&["verify", "--json"]).expect(4);
    let differs = found(&verified, "head-differs");
    assert_eq!(differs.len(), 1, "{verified}");
    assert!(differs[0]["object"].as_str().unwrap().ends_with("0000000001.json"), "{verified}");
    assert!(differs[0]["found"].as_str().unwrap().contains("2 anchors differ"), "{verified}");
}

#[test]
fn an_anchor_that_was_rewritten_ends_a_run_with_4() {
    let simulator = simulator();
    let (vault, anchor) = two_days(&simulator);
    let (path, head) = read(&anchor, &archive_id(&vault), 2);
    let other = Anchor { sha256: Digest::of(b"another manifest"), ..head.clone() };
    let cases = [
        (other.to_bytes().unwrap(), "another manifest of that number", "head-differs"),
        (b"no anchor at all".to_vec(), "another object than an anchor", "anchor-wrong"),
        (Anchor { sequence: 3, ..head.clone() }.to_bytes().unwrap(), "another object", "anchor-wrong"),
    ];
    for (bytes, said, code) in cases {
        overwrite(&path, &bytes);
        let run = vault.run_day(DAY, &[]).expect(4);
        assert!(run.stdout.contains(said), "{run}");
        let verified = vault.run(&["verify", "--json"]).expect(4);
        assert_eq!(found(&verified, code).len(), 1, "{code}: {verified}");
    }
    // Only its time is another: it is the same head.
    overwrite(&path, &Anchor { committed_at: 0, ..head.clone() }.to_bytes().unwrap());
    vault.run_day(DAY, &[]).expect(0);
    vault.run(&["verify"]).expect(0);
}

#[test]
fn anchors_that_were_deleted_or_written_over_in_a_bucket_are_found() {
    let simulator = simulator();
    let (archive, anchor) =
        (Bucket::new(minio(), "watched", true), Bucket::new(elsewhere(), "watching", true));
    let mut vault = user(&simulator);
    archive.used_by(&mut vault, None);
    anchored_in(&anchor, &mut vault);
    vault.run(&["backfill", "--from", EVE, "--to", NEXT]).expect(0);
    let places: Vec<String> = anchor.contents().into_keys().collect();
    let [first, second] = places.as_slice() else { panic!("{places:?}") };
    anchor.delete(first);
    let verified = vault.run(&["verify", "--json", "--level", "quick"]).expect(4);
    let marker = &found(&verified, "delete-marker")[0];
    assert_eq!(marker["object"], format!("{}/{first}", anchor.location()), "{verified}");
    anchor.overwrite(second, "an intruder's");
    let verified = vault.run(&["verify", "--json", "--level", "quick"]).expect(4);
    assert_eq!(found(&verified, "other-versions").len(), 1, "{verified}");
    assert_eq!(found(&verified, "anchor-wrong").len(), 1, "{verified}");
}
