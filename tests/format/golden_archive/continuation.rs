//! An archive of this format version can be continued by later releases of the program.

use std::fs;

use cxvault::format::place::key;
use serde_json::Value;

use super::{SUB_ACCOUNT, allowed_line, copy_to, golden};
use crate::support::vault::{Simulator, Vault, options};

/// Returns a user whose archive is the golden archive, and whose key signed it.
fn owner(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    copy_to(&vault.archive());
    let signers = vault.folder.path().join("allowed_signers");
    fs::write(&signers, allowed_line()).unwrap();
    let signing_key = vault.folder.path().join("signing.key");
    fs::copy(golden("test-only.key"), &signing_key).unwrap();
    vault.set("SIGNING_KEY_FILE", signing_key.to_str().unwrap());
    vault.set("ALLOWED_SIGNERS_FILE", signers.to_str().unwrap());
    vault.set(
        "ANCHOR",
        vault.folder.path().join("anchor").to_str().unwrap(),
    );
    vault
}

#[test]
fn it_is_continued_and_still_holds() {
    let mut options = options();
    // The days below have settled then. It is no later, since commits carry this machine's time.
    options.now = Some("2026-11-24T06:00:00Z".parse().unwrap());
    options.segments_per_day = 24;
    let simulator = Simulator::start(options);
    let vault = owner(&simulator);
    vault.run_day("2026-11-19", &[]).expect(0);
    let before = vault.newest(SUB_ACCOUNT);
    assert_eq!(
        (&before["sequence"], &before["coverage"]["days"]),
        (&18.into(), &"ccedcamgc".into())
    );
    assert_eq!(before["orders"]["key"], key::manifest(SUB_ACCOUNT, 15));

    // This RingCX has no data of the golden archive; what it left out stays out.
    vault
        .run(&[
            "recheck",
            "--json",
            "--from",
            "2026-11-23",
            "--to",
            "2026-11-24",
        ])
        .expect(0);
    let rechecked = vault.newest(SUB_ACCOUNT);
    assert_eq!(
        (&rechecked["sequence"], &rechecked["revision"]),
        (&19.into(), &2.into())
    );
    assert_eq!(rechecked["recheck"]["changes"]["vanished_segments"], 3);
    assert_eq!(rechecked["omitted_fields"].as_array().unwrap().len(), 3);

    // The lock and the hold of this day were required, and applied, where the archive was stored
    // before.
    vault
        .run(&[
            "recheck",
            "--json",
            "--from",
            "2026-11-20",
            "--to",
            "2026-11-21",
        ])
        .expect(0);
    let rechecked = vault.newest(SUB_ACCOUNT);
    assert_eq!(
        (&rechecked["sequence"], &rechecked["date"]),
        (&20.into(), &"2026-11-20".into())
    );
    assert_eq!(rechecked["object_lock"], Value::Null);

    let roster = vault.archive().join(key::manifest(key::ROSTER, 9));
    let roster: Value = serde_json::from_slice(&fs::read(roster).unwrap()).unwrap();
    assert_eq!(
        roster["manifest"]["takeover"]["key"],
        key::manifest(key::ROSTER, 5)
    );
    let verified = vault
        .run(&["verify", "--json", "--level", "deep"])
        .expect(3);
    assert_eq!(
        verified.events().pop().unwrap()["violations"],
        0,
        "{verified}"
    );
}
