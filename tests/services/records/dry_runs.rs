//! Dry runs: they report what the command would do, with the same words and the same refusals, and
//! write nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::http::Method;
use serde_json::json;

use super::*;
use crate::support::minio::minio;
use crate::support::proxy::Proxy;
use crate::support::vault::days_ago;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Returns every file of a user: archive, state folder and home folder.
fn files(vault: &Vault) -> Files {
    let files = vault.files(vault.folder.path()).into_iter();
    files
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

/// Runs a command dry and then for real, and compares their reports: the second run does what the
/// dry run announced.
fn both(vault: &Vault, command: &[&str], untouched: impl Fn() -> bool) -> Value {
    let before = files(vault);
    let dry = vault
        .run(&[command, &["--dry-run", "--json"]].concat())
        .expect(0)
        .events()[0]
        .clone();
    let said = vault.run(&[command, &["--dry-run"]].concat()).expect(0);
    assert!(said.stdout.contains("would be"), "{said}");
    assert_eq!(files(vault), before, "{command:?}");
    assert!(untouched(), "{command:?}");
    assert_eq!(
        (&dry["dry_run"], &dry["head"]),
        (&json!(true), &Value::Null),
        "{dry}"
    );
    let mut real = vault
        .run(&[command, &["--json"]].concat())
        .expect(0)
        .events()[0]
        .clone();
    assert!(
        real.get("dry_run").is_none() && real["head"].is_string(),
        "{real}"
    );
    for member in ["head", "dry_run"] {
        real[member] = dry[member].clone();
    }
    assert_eq!(dry, real);
    dry
}

/// Asserts that both are refused with the same code and message, and that nothing is written.
fn refused(vault: &Vault, command: &[&str]) {
    let before = files(vault);
    let dry = vault.run(&[command, &["--dry-run", "--json"]].concat());
    assert_eq!(files(vault), before, "{command:?}");
    let real = vault.run(&[command, &["--json"]].concat());
    assert_eq!(dry.exit(), real.exit(), "{dry}");
    assert!(
        dry.exit() != 0 && dry.stdout == real.stdout,
        "{dry}\n{real}"
    );
}

#[test]
fn an_acknowledgement_is_reported_and_not_written() {
    let simulator = broken();
    let vault = signing(&simulator);
    vault.run_day(DAY, &[]).expect(3);
    let command = [
        "acknowledge",
        "--from",
        DAY,
        "--to",
        NEXT,
        "--reason",
        "outage",
    ];
    refused(
        &vault,
        &[
            "acknowledge",
            "--from",
            EVE,
            "--to",
            NEXT,
            "--reason",
            "outage",
        ],
    );
    let report = both(&vault, &command, || kinds(&vault) == ["day"]);
    assert_eq!(
        (
            report["days"].as_array().unwrap().len(),
            &report["days"][0]["date"]
        ),
        (1, &json!(DAY))
    );
    // Acknowledged already: no record would be written.
    let again = vault
        .run(&[&command[..], &["--dry-run", "--json"]].concat())
        .expect(0);
    assert_eq!(again.events()[0]["days"], json!([]));
    refused(
        &vault,
        &[
            "acknowledge",
            "--from",
            DAY,
            "--to",
            NEXT,
            "--reason",
            "another",
        ],
    );
    assert_eq!(kinds(&vault), ["day", "acknowledgement"]);
}

#[test]
fn holds_and_locks_in_a_bucket_are_reported_and_not_set() {
    let simulator = intact();
    let bucket = Bucket::new(minio(), "dry", true);
    let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
    let mut vault = signing(&simulator);
    bucket.used_by(&mut vault, Some(&proxy.url));
    // Without Object Lock of its own: the program must ask whether the bucket supports holds.
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    let later = days_ago(-40);
    let objects = || {
        let shown = bucket.versions().into_iter();
        shown
            .map(|one| (one.key, one.hold, one.lock.map(|lock| lock.1)))
            .collect::<Vec<_>>()
    };
    let hold = |act: &'static str, case: &'static str, from: &'static str| {
        vec![
            "hold", act, "--case", case, "--from", from, "--to", NEXT, "--reason", "order",
        ]
    };
    let tried = |command: &[&str]| {
        let (before, puts) = (objects(), proxy.requests(Method::PUT).len());
        both(&vault, command, || {
            objects() == before && proxy.requests(Method::PUT).len() == puts
        })
    };
    let added = tried(&hold("add", "A", EVE));
    assert_eq!(
        (&added["enforced"], &added["records"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(
        (&added["objects"], &added["changed"]),
        (&json!(4), &json!(4))
    );
    let added = tried(&hold("add", "B", DAY));
    assert_eq!(
        (&added["objects"], &added["changed"]),
        (&json!(2), &json!(0)),
        "held for the other case"
    );
    let removed = tried(&["hold", "remove", "--case", "A", "--reason", "settled"]);
    assert_eq!(
        (&removed["records"], &removed["changed"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(removed["held_by_others"], 2);
    vault.set("OBJECT_LOCK", "governance:1d");
    let extended = {
        let (before, puts) = (objects(), proxy.requests(Method::PUT).len());
        let command = [
            "retention",
            "extend",
            "--from",
            EVE,
            "--to",
            NEXT,
            "--until",
            &later,
        ];
        both(&vault, &command, || {
            objects() == before && proxy.requests(Method::PUT).len() == puts
        })
    };
    assert_eq!(
        (&extended["records"], &extended["objects"]),
        (&json!(1), &json!(4))
    );
    assert_eq!(extended["raised"], 4);
    refused(
        &vault,
        &[
            "retention",
            "extend",
            "--from",
            EVE,
            "--to",
            NEXT,
            "--until",
            &days_ago(-20),
        ],
    );
    refused(
        &vault,
        &[
            "retention",
            "extend",
            "--from",
            EVE,
            "--to",
            NEXT,
            "--until",
            &days_ago(1),
        ],
    );
    refused(
        &vault,
        &["hold", "remove", "--case", "C", "--reason", "settled"],
    );
    assert_eq!(
        codes(
            &vault
                .run(&["verify", "--json", "--level", "quick"])
                .expect(0)
        ),
        [""; 0]
    );
}

#[test]
fn where_nothing_enforces_a_hold_the_dry_run_says_so() {
    let simulator = intact();
    let plain = Bucket::new(minio(), "dry-plain", false);
    for in_bucket in [false, true] {
        let mut vault = signing(&simulator);
        if in_bucket {
            plain.used_by(&mut vault, None);
        }
        vault.run_day(DAY, &[]).expect(0);
        let add = [
            "hold", "add", "--case", "A", "--from", DAY, "--to", NEXT, "--reason", "order",
        ];
        let said = vault.run(&[&add[..], &["--dry-run"]].concat()).expect(0);
        assert!(
            said.stdout.contains("would be recorded, NOT ENFORCED"),
            "{said}"
        );
        let report = both(&vault, &add, || true);
        assert_eq!(
            (&report["enforced"], &report["records"]),
            (&json!(false), &json!(1))
        );
        let extend = [
            "retention",
            "extend",
            "--from",
            DAY,
            "--to",
            NEXT,
            "--until",
            "2100-01-01",
        ];
        refused(&vault, &extend);
    }
    // Where there is no archive, none is created.
    let nowhere = Vault::new(&simulator);
    refused(
        &nowhere,
        &[
            "hold", "add", "--case", "A", "--from", DAY, "--to", NEXT, "--reason", "order",
        ],
    );
    assert!(
        nowhere.files(&nowhere.archive()).is_empty() && nowhere.files(&nowhere.state()).is_empty()
    );
}
