//! Records that are not days: their heads are anchored when the command that wrote them ends.

use std::path::Path;
use std::process::Command;

use cxvault::format::hash::digest::Digest;
use cxvault::format::record::anchor::Anchor;
use serde_json::json;

use super::*;
use crate::support::vault::DAY;

const TAKE_OVER: [&str; 3] = ["takeover", "--reason", "the region is lost"];

/// Asserts that the anchor at `place` names this record.
#[track_caller]
fn anchors(folder: &Path, place: &str, record: &Path) {
    let bytes =
        std::fs::read(folder.join(place)).unwrap_or_else(|error| panic!("{place}: {error}"));
    let anchor = Anchor::from_bytes(place, &bytes).expect("an anchor");
    assert_eq!(
        anchor.sha256,
        Digest::of(&std::fs::read(record).unwrap()),
        "{place}"
    );
}

/// Returns another user with a marked copy of the archive, and with the same anchor.
fn copied(vault: &Vault, simulator: &Simulator, anchor: &Path) -> Vault {
    let mut copy = user(simulator);
    copy.set("ANCHOR", anchor.to_str().unwrap());
    let done = Command::new("cp")
        .arg("-a")
        .args([vault.archive(), copy.archive()])
        .status()
        .unwrap();
    assert!(done.success());
    let mark = json!({ "archive_id": archive_id(vault), "from": "the original", "sub_accounts": [], "roster": null });
    let bytes = serde_json_canonicalizer::to_vec(&mark).unwrap();
    std::fs::write(copy.archive().join("copy.json"), bytes).unwrap();
    copy
}

#[test]
fn a_takeover_is_anchored_and_refused_where_the_copy_lacks_what_is_anchored() {
    let simulator = simulator();
    let mut vault = user(&simulator);
    let anchor = folder(&mut vault);
    vault.run_day(EVE, &[]).expect(0);
    let (copy, older) = (
        copied(&vault, &simulator, &anchor),
        copied(&vault, &simulator, &anchor),
    );
    copy.run(&TAKE_OVER).expect(0);
    let id = archive_id(&vault);
    anchors(&anchor, &roster_place(&id, 2), &roster(&copy, 2));
    copy.run_day(DAY, &[]).expect(0);
    anchors(&anchor, &roster_place(&id, 3), &roster(&copy, 3));

    // Neither a second copy nor the original may continue beside it.
    let refused = older.run(&TAKE_OVER).expect(4);
    assert!(
        refused.stderr.contains("is anchored") && refused.stderr.contains("Copy again"),
        "{refused}"
    );
    assert_eq!(rosters(&older), 1, "nothing is committed");
    vault.run_day(DAY, &[]).expect(4);
    assert_eq!(
        (vault.manifests(SUB).len(), rosters(&vault)),
        (1, 1),
        "nothing is committed"
    );
}

#[test]
fn a_disposal_is_anchored() {
    let simulator = simulator();
    let mut vault = user(&simulator);
    let anchor = folder(&mut vault);
    vault.run_day(EVE, &[]).expect(0);
    let dispose = [
        "retention",
        "dispose",
        "--from",
        EVE,
        "--to",
        DAY,
        "--reason",
        "its time is over",
    ];
    vault.run(&dispose).expect(0);
    assert_eq!(vault.newest(SUB)["kind"], "disposal");
    let record = vault
        .archive()
        .join(format!("manifests/v1/sub_account={SUB}/0000000002.json"));
    anchors(&anchor, &place(&archive_id(&vault), 2), &record);
}
