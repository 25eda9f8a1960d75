//! What only an anchor detects: chains that were cut off, rewritten or deleted. And anchors that
//! were changed.

use std::fs;
use std::path::Path;

use axum::http::Method;
use cxvault::format::hash::digest::Digest;
use cxvault::format::record::anchor::Anchor;
use cxvault::format::record::manifest::Envelope;
use cxvault::format::record::roster::RosterEnvelope;

use super::*;
use crate::support::minio::minio;
use crate::support::proxy::{Act, Proxy};
use crate::support::vault::DAY;

/// An archive of two days in a folder, anchored in another folder.
fn two_days(simulator: &Simulator) -> (Vault, PathBuf) {
    let mut vault = user(simulator);
    let anchor = folder(&mut vault);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    (vault, anchor)
}

fn manifest(vault: &Vault, sequence: u64) -> PathBuf {
    vault.archive().join(format!(
        "manifests/v1/sub_account={SUB}/{sequence:010}.json"
    ))
}

/// Removes every trace of the last day: the host has no record of it, and the roster is cut to its
/// state before that day's run.
fn cut_off(vault: &Vault) {
    fs::remove_file(roster(vault, 2)).unwrap();
    fs::remove_file(manifest(vault, 2)).unwrap();
    fs::remove_dir_all(
        vault
            .archive()
            .join(format!("segments/v1/sub_account={SUB}/dt={DAY}")),
    )
    .unwrap();
    fs::remove_dir_all(vault.state()).unwrap();
}

fn read(folder: &Path, place: &str) -> (PathBuf, Anchor) {
    let path = folder.join(place);
    let anchor = Anchor::from_bytes(place, &fs::read(&path).unwrap()).unwrap();
    (path, anchor)
}

#[test]
fn chains_cut_to_an_older_state_with_their_roster_are_found_by_anchors_alone_and_not_built_over() {
    let simulator = simulator();
    let (mut vault, anchor) = two_days(&simulator);
    let id = archive_id(&vault);
    let cut = [
        read(&anchor, &roster_place(&id, 2)).1,
        read(&anchor, &place(&id, 2)).1,
    ];
    cut_off(&vault);
    vault
        .run(&["verify", "--no-anchor", "--level", "deep"])
        .expect(0);
    let verified = vault.run(&["verify", "--json"]).expect(4);
    let missing = found(&verified, "head-missing");
    assert_eq!(missing.len(), 2, "{verified}");
    for (missing, head) in missing.iter().zip(cut) {
        assert_eq!(missing["object"], head.key, "{verified}");
        let expected = missing["expected"].as_str().unwrap();
        assert!(expected.starts_with(&head.sha256.hex()), "{expected}");
        assert!(
            expected.contains("as anchored at") && expected.ends_with(&head.place()),
            "{expected}"
        );
        assert!(
            missing["found"].as_str().unwrap().contains("ends at 1"),
            "{verified}"
        );
    }

    let refused = vault.run_day(DAY, &[]).expect(4);
    assert!(
        refused.stdout.contains("the chain's end was cut off"),
        "{refused}"
    );
    assert_eq!(
        (vault.manifests(SUB).len(), rosters(&vault)),
        (1, 1),
        "nothing is committed"
    );
    let hold = [
        "hold", "add", "--case", "A", "--from", EVE, "--to", DAY, "--reason", "an order",
    ];
    vault.run(&hold).expect(4);
    assert_eq!(vault.manifests(SUB).len(), 1, "nothing is committed");

    // A host without an anchor continues the chain. The next host with an anchor detects the fork.
    vault.unset("ANCHOR");
    vault.run_day(DAY, &[]).expect(0);
    folder(&mut vault);
    let forked = vault.run_day(DAY, &[]).expect(4);
    let unanchored = forked.summary()["unanchored"].take();
    assert_eq!(unanchored.as_array().unwrap().len(), 2, "{forked}");
    for (unanchored, chain) in unanchored.as_array().unwrap().iter().zip([SUB, "roster"]) {
        assert!(
            unanchored["head"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{chain}:2:")),
            "{forked}"
        );
        assert!(
            unanchored["message"].as_str().unwrap().contains("forked"),
            "{forked}"
        );
    }
    assert_eq!(
        rosters(&vault),
        2,
        "a run that sees a fork does not continue it"
    );
    let verified = vault.run(&["verify", "--json"]).expect(4);
    assert_eq!(found(&verified, "head-differs").len(), 2, "{verified}");
}

#[test]
fn a_roster_that_is_gone_with_a_chains_end_is_found_and_not_begun_anew() {
    let simulator = simulator();
    let (vault, _) = two_days(&simulator);
    cut_off(&vault);
    fs::remove_dir_all(vault.archive().join("roster")).unwrap();
    vault
        .run(&["verify", "--no-anchor", "--level", "deep"])
        .expect(0);
    let verified = vault.run(&["verify", "--json"]).expect(4);
    let missing = found(&verified, "head-missing");
    let ends: Vec<&str> = missing
        .iter()
        .map(|one| one["found"].as_str().unwrap())
        .collect();
    let [roster, chain] = ends.as_slice() else {
        panic!("{verified}")
    };
    assert!(roster.contains("ends at 0; 2 anchors"), "{verified}");
    assert!(chain.contains("ends at 1; 1 anchors"), "{verified}");
    vault.run_day(DAY, &[]).expect(4);
    assert_eq!(
        (vault.manifests(SUB).len(), rosters(&vault)),
        (1, 0),
        "nothing is committed"
    );
}

#[test]
fn a_roster_that_alone_was_cut_off_is_found_and_not_built_over() {
    let simulator = simulator();
    let (vault, _) = two_days(&simulator);
    fs::remove_file(roster(&vault, 2)).unwrap();
    fs::remove_dir_all(vault.state()).unwrap();
    vault.run(&["verify", "--no-anchor"]).expect(0);
    let verified = vault.run(&["verify", "--json"]).expect(4);
    let missing = found(&verified, "head-missing");
    assert_eq!(missing.len(), 1, "{verified}");
    assert_eq!(missing[0]["object"], "roster/v1/0000000002.json");
    let refused = vault.run_day(DAY, &[]).expect(4);
    assert!(
        refused
            .stdout
            .contains("roster/v1/0000000002.json is not there"),
        "{refused}"
    );
    assert_eq!(
        (vault.manifests(SUB).len(), rosters(&vault)),
        (2, 1),
        "nothing is committed"
    );
}

/// The anchor could not be read in the very run in which it would have shown that the end of the
/// chain is missing.
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
    proxy.times(
        Method::GET,
        &format!("sub_account={SUB}/0000000002.json"),
        0,
        3,
        Act::Answer(503),
    );
    vault.set("ANCHOR_S3_ENDPOINT", &proxy.url);
    let run = vault.run_day(DAY, &[]).expect(4);
    assert_eq!(
        (vault.manifests(SUB).len(), rosters(&vault)),
        (2, 1),
        "nothing after it: {run}"
    );
    assert_eq!(anchor.contents().len(), 4, "{run}");
    assert_eq!(run.day()["outcome"], "complete", "the commit stands: {run}");
    let unanchored = run.summary()["unanchored"].take();
    assert_eq!(unanchored.as_array().unwrap().len(), 1, "{run}");
    assert!(
        unanchored[0]["head"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{SUB}:2:")),
        "{run}"
    );
    assert_eq!(unanchored[0]["exit"], "integrity");
}

#[test]
fn a_chain_that_is_gone_altogether_is_found() {
    let simulator = simulator();
    let (vault, _) = two_days(&simulator);
    for folder in ["manifests", "segments", "roster"] {
        fs::remove_dir_all(vault.archive().join(folder)).unwrap();
    }
    vault.run(&["verify", "--no-anchor"]).expect(2);
    let verified = vault.run(&["verify", "--json"]).expect(4);
    assert_eq!(found(&verified, "head-missing").len(), 2, "{verified}");
    // The same holds beside another chain, and when only that chain is verified.
    let verified = vault
        .run(&["verify", "--json", "--sub-account", SUB])
        .expect(4);
    assert_eq!(found(&verified, "head-missing").len(), 2, "{verified}");
}

/// An attacker with the writer's keys rewrites the chain and anchors the result. The older anchors
/// are out of reach.
#[test]
fn rewritten_chains_whose_heads_are_anchored_anew_are_found_by_the_older_anchors() {
    let simulator = simulator();
    let (vault, anchor) = two_days(&simulator);
    let id = archive_id(&vault);
    for folder in ["manifests", "segments", "roster"] {
        fs::remove_dir_all(vault.archive().join(folder)).unwrap();
    }
    fs::remove_dir_all(vault.state()).unwrap();
    let mut intruder = user(&simulator);
    intruder.set("ARCHIVE", vault.archive().to_str().unwrap());
    for date in [EVE, DAY, DAY] {
        intruder.run_day(date, &[]).expect(0);
    }
    let third = [
        "hold",
        "add",
        "--case",
        "A",
        "--from",
        EVE,
        "--to",
        DAY,
        "--reason",
        "a third record",
    ];
    intruder.run(&third).expect(0);
    for (second, third) in [
        (place(&id, 2), manifest(&vault, 3)),
        (roster_place(&id, 2), roster(&vault, 3)),
    ] {
        let (_, second) = read(&anchor, &second);
        let bytes = fs::read(third).unwrap();
        let sha256 = Digest::of(&bytes);
        let added = match second.chain.as_str() {
            "roster" => Anchor::of(
                &RosterEnvelope::from_bytes(&bytes).unwrap().manifest,
                sha256,
            ),
            _ => Anchor::of(&Envelope::from_bytes(&bytes).unwrap().manifest, sha256),
        };
        fs::write(anchor.join(added.place()), added.to_bytes().unwrap()).unwrap();
    }
    vault.run(&["verify", "--no-anchor"]).expect(0);
    let verified = vault.run(&["verify", "--json"]).expect(4);
    let differs = found(&verified, "head-differs");
    let first = [
        "roster/v1/0000000001.json".to_owned(),
        format!("manifests/v1/sub_account={SUB}/0000000001.json"),
    ];
    let objects: Vec<_> = differs.iter().map(|one| &one["object"]).collect();
    assert_eq!(objects, [&first[0], &first[1]], "{verified}");
    for differs in &differs {
        assert!(
            differs["found"]
                .as_str()
                .unwrap()
                .contains("2 anchors differ"),
            "{verified}"
        );
    }
}

#[test]
fn an_anchor_that_was_rewritten_ends_a_run_with_4() {
    let simulator = simulator();
    let (vault, anchor) = two_days(&simulator);
    let id = archive_id(&vault);
    for place in [place(&id, 2), roster_place(&id, 2)] {
        let (path, head) = read(&anchor, &place);
        let other = Anchor {
            sha256: Digest::of(b"another manifest"),
            ..head.clone()
        };
        let cases = [
            (
                other.to_bytes().unwrap(),
                "another manifest of that number",
                "head-differs",
            ),
            (
                b"no anchor at all".to_vec(),
                "is not an anchor of this chain, but another object",
                "anchor-wrong",
            ),
            (
                Anchor {
                    sequence: 3,
                    ..head.clone()
                }
                .to_bytes()
                .unwrap(),
                "another object",
                "anchor-wrong",
            ),
        ];
        for (bytes, said, code) in cases {
            overwrite(&path, &bytes);
            let run = vault.run_day(DAY, &[]).expect(4);
            assert!(run.stdout.contains(said), "{run}");
            assert_eq!(
                rosters(&vault),
                2,
                "nothing is written until an operator has examined it"
            );
            let verified = vault.run(&["verify", "--json"]).expect(4);
            assert_eq!(found(&verified, code).len(), 1, "{code}: {verified}");
        }
        // Only the time differs: it is the same head.
        overwrite(
            &path,
            &Anchor {
                committed_at: cxvault::format::time::instant::Instant::from_millis(0),
                ..head
            }
            .to_bytes()
            .unwrap(),
        );
    }
    vault.run_day(DAY, &[]).expect(0);
    vault.run(&["verify"]).expect(0);
}

#[test]
fn anchors_that_were_deleted_or_written_over_in_a_bucket_are_found() {
    let simulator = simulator();
    let (archive, anchor) = (
        Bucket::new(minio(), "watched", true),
        Bucket::new(elsewhere(), "watching", true),
    );
    let mut vault = user(&simulator);
    archive.used_by(&mut vault, None);
    anchored_in(&anchor, &mut vault);
    vault
        .run(&["backfill", "--from", EVE, "--to", NEXT])
        .expect(0);
    let places: Vec<String> = anchor.contents().into_keys().collect();
    let [roster, first, second] = places.as_slice() else {
        panic!("{places:?}")
    };
    anchor.delete(first);
    let verified = vault
        .run(&["verify", "--json", "--level", "quick"])
        .expect(4);
    let marker = &found(&verified, "delete-marker")[0];
    assert_eq!(
        marker["object"],
        format!("{}/{first}", anchor.location()),
        "{verified}"
    );
    anchor.overwrite(second, "an intruder's");
    let verified = vault
        .run(&["verify", "--json", "--level", "quick"])
        .expect(4);
    assert_eq!(found(&verified, "other-versions").len(), 1, "{verified}");
    assert_eq!(found(&verified, "anchor-wrong").len(), 1, "{verified}");
    anchor.delete(roster);
    let verified = vault
        .run(&["verify", "--json", "--level", "quick"])
        .expect(4);
    assert_eq!(found(&verified, "delete-marker").len(), 2, "{verified}");
}
