//! Rechecks of archived days: what arrived late, was edited or has vanished becomes the next
//! revision, and nothing archived before is lost.

use std::process::Command;

use crate::support::python::path_with_duckdb;
use crate::support::truth::{Archived, Truth, archived};
use crate::support::vault::{
    Finished, SUB, Simulator, Vault, days_ago, options, options_of_today, real_now, until,
};
use cxvault::simulator::SimulatorOptions;
use serde_json::Value;

/// Early enough that the days after it are over as well: `verify` refuses rows from the future.
const DAY: &str = "2026-11-13";
const NEXT: &str = "2026-11-14";

fn early() -> SimulatorOptions {
    SimulatorOptions {
        now: Some(format!("{NEXT}T06:00:00Z").parse().unwrap()),
        ..options()
    }
}

/// Returns a world in which many summaries change in the days after a day.
fn changing_world() -> Simulator {
    let mut options = early();
    let faults = &mut options.faults;
    (faults.late_population, faults.edits, faults.vanish) = (20.0, 20.0, 10.0);
    Simulator::start(options)
}

fn recheck(vault: &Vault, more: &[&str]) -> Finished {
    vault.run(&[&["recheck", "--json", "--from", DAY, "--to", NEXT], more].concat())
}

/// Returns the archived rows that discovery still returns, and those that it does not.
fn by_vanished(rows: &Archived) -> (Archived, Archived) {
    rows.clone()
        .into_iter()
        .partition(|(_, row)| row["vanished"] == false)
}

fn text(look: &Value) -> bool {
    look["status"] == "PRESENT" || look["status"] == "BINARY"
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn what_came_late_was_edited_or_vanished_is_the_next_revision() {
    let simulator = changing_world();
    let vault = Vault::new(&simulator);
    vault.run_day(DAY, &[]);
    let before = archived(&vault, SUB, DAY);
    simulator.advance("6d");
    let done = recheck(&vault, &["--only", "all"]).expect(0);

    let after = archived(&vault, SUB, DAY);
    let (listed, vanished) = by_vanished(&after);
    Truth::of_utc_day(&simulator, SUB, DAY).check(&listed);
    assert!(!vanished.is_empty() && !listed.is_empty());
    for (key, row) in &vanished {
        for kind in ["agent", "auto"] {
            assert_eq!(
                row[kind], before[key][kind],
                "a vanished segment keeps its summaries"
            );
        }
    }
    assert!(
        before.keys().all(|key| after.contains_key(key)),
        "nothing is erased"
    );

    let manifest = vault.newest(SUB).clone();
    let changes = &manifest["recheck"]["changes"];
    assert_eq!(
        (&manifest["revision"], &manifest["why"]),
        (&2.into(), &"recheck".into())
    );
    assert_eq!(manifest["recheck"]["statuses"].as_array().unwrap().len(), 6);
    assert_eq!(number(&changes["vanished_segments"]), vanished.len() as u64);
    for kind in ["agent", "auto"] {
        let count = |differ: fn(&Value, &Value) -> bool| {
            before
                .iter()
                .filter(|(key, row)| differ(&row[kind], &after[*key][kind]))
                .count() as u64
        };
        assert_eq!(
            number(&changes[kind]["appeared"]),
            count(|was, is| !text(was) && text(is)),
            "{changes}"
        );
        let edited = count(|was, is| text(was) && text(is) && was["sha256"] != is["sha256"]);
        assert_eq!(number(&changes[kind]["edited"]), edited, "{changes}");
        assert!(
            edited > 0 && number(&changes[kind]["appeared"]) > 0,
            "{changes}"
        );
    }
    assert_eq!(done.day()["archived"]["recheck"]["changes"], *changes);
    vault.run(&["verify", "--level", "deep"]).expect(0);
    let pack = vault.folder.path().join("evidence");
    vault
        .run(&["evidence", "--out", pack.to_str().unwrap()])
        .expect(0);
    let mut check = Command::new("sh");
    let checked = check
        .arg("check.sh")
        .current_dir(&pack)
        .env("PATH", path_with_duckdb())
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stdout)
    );
}

#[test]
fn only_summaries_that_may_have_been_populated_are_requested_again() {
    let simulator = changing_world();
    let vault = Vault::new(&simulator);
    vault.run_day(DAY, &[]);
    let before = archived(&vault, SUB, DAY);
    simulator.advance("6d");
    simulator.reset_stats();
    recheck(&vault, &[]).expect(0);
    let (listed, _) = by_vanished(&archived(&vault, SUB, DAY));
    let open = |row: &Value| {
        ["agent", "auto"]
            .into_iter()
            .filter(|kind| !text(&row[*kind]))
            .count()
    };
    let wanted: usize = before
        .iter()
        .filter(|(key, _)| listed.contains_key(*key))
        .map(|(_, row)| open(row))
        .sum();
    assert_eq!(
        simulator.requests_to("summaries"),
        wanted as u64,
        "{}",
        simulator.stats()
    );
    assert_eq!(vault.newest(SUB)["recheck"]["looked_at"], wanted);
    for (key, row) in &before {
        for kind in ["agent", "auto"] {
            assert!(
                !text(&row[kind]) || listed.get(key).is_none_or(|now| now[kind] == row[kind]),
                "it was not requested"
            );
        }
    }
}

#[test]
fn that_nothing_has_changed_is_recorded_too() {
    let simulator = Simulator::start(early());
    let vault = Vault::new(&simulator);
    vault.run_day(DAY, &[]);
    let before = archived(&vault, SUB, DAY);
    let done = recheck(&vault, &["--only", "all"]).expect(0);
    assert_eq!(done.day()["archived"]["revision"], 2);
    let manifest = vault.newest(SUB).clone();
    assert_eq!(
        (
            &manifest["why"],
            manifest["files"].as_array().unwrap().len()
        ),
        (&"recheck".into(), 0)
    );
    assert_eq!(archived(&vault, SUB, DAY), before);
    vault.run(&["verify", "--level", "deep"]).expect(0);
    // A third recheck reports it again, as text.
    let said = vault
        .run(&["recheck", "--from", DAY, "--to", NEXT])
        .expect(0);
    assert!(
        said.stdout.contains("0 days with changes, 1 without"),
        "{said}"
    );
}

#[test]
fn a_killed_recheck_continues_and_ends_in_one_revision() {
    let simulator = changing_world();
    let mut vault = Vault::new(&simulator);
    vault.run_day(DAY, &[]);
    simulator.advance("6d");
    // With a rate limit, a fetcher holds at most one answer that is not yet on the disk.
    vault
        .set("CONCURRENCY", "1")
        .set("SUMMARY_LIMITS", "100000/1s");
    let wanted = 40;
    simulator.reset_stats();
    let mut started = vault.spawn(&["recheck", "--from", DAY, "--to", NEXT, "--only", "all"]);
    until("some summaries", || {
        simulator.requests_to("summaries") >= wanted
    });
    started.signal_if_running("KILL");
    started.wait();
    let asked = simulator.requests_to("summaries");
    // The next command that works on the day finishes it.
    vault
        .run(&["backfill", "--from", DAY, "--to", NEXT])
        .expect(0);
    let manifests = vault.manifests(SUB);
    assert_eq!(manifests.len(), 2, "one recheck, one revision");
    let looked_at = number(&manifests[1]["manifest"]["recheck"]["looked_at"]);
    assert!(
        simulator.requests_to("summaries") <= looked_at + 2,
        "{asked} before, {looked_at} in all"
    );
    let (listed, _) = by_vanished(&archived(&vault, SUB, DAY));
    Truth::of_utc_day(&simulator, SUB, DAY).check(&listed);
    vault.run(&["verify", "--level", "deep"]).expect(0);
}

#[test]
fn a_day_that_seems_to_have_vanished_is_taken_for_a_lost_permission() {
    let simulator = Simulator::start(early());
    let mut vault = Vault::new(&simulator);
    vault.run_day(DAY, &[]);
    let mut blind = early();
    blind.faults.vanish = 100.0;
    blind.faults.vanish_after = "1h".parse::<jiff::SignedDuration>().unwrap().unsigned_abs();
    let blind = Simulator::start(blind);
    // By the API's clock each request is later than the one before.
    let ask = |vault: &mut Vault, of: &Simulator, hours: u64| {
        of.advance(&format!("{hours}h"));
        vault.move_to(of);
    };
    ask(&mut vault, &blind, 1);
    let refused = vault
        .run(&["recheck", "--from", DAY, "--to", NEXT])
        .expect(6);
    assert!(
        refused.stdout.contains("WEM access") && refused.stdout.contains("--accept-vanished"),
        "{refused}"
    );
    assert_eq!(vault.manifests(SUB).len(), 1, "nothing was committed");
    // Answers of that time are not used later.
    ask(&mut vault, &simulator, 2);
    recheck(&vault, &[]).expect(0);
    assert_eq!(
        vault.newest(SUB)["recheck"]["changes"]["vanished_segments"],
        0
    );
    ask(&mut vault, &blind, 2);
    recheck(&vault, &["--accept-vanished"]).expect(0);
    let segments = vault.newest(SUB)["day"]["segments"].clone();
    assert_eq!(vault.newest(SUB)["day"]["vanished"], segments);
    // The segments come back.
    ask(&mut vault, &simulator, 2);
    recheck(&vault, &[]).expect(0);
    assert_eq!(
        vault.newest(SUB)["recheck"]["changes"]["returned_segments"],
        segments
    );
    vault.run(&["verify", "--level", "deep"]).expect(0);
}

#[test]
fn days_that_are_not_archived_are_left_to_backfill() {
    let simulator = Simulator::start(early());
    let vault = Vault::new(&simulator);
    vault.run_day(DAY, &[]);
    let done = vault
        .run(&["recheck", "--json", "--from", "2026-11-11", "--to", NEXT])
        .expect(0);
    assert_eq!(
        done.summary()["days"].as_array().unwrap().len(),
        1,
        "{done}"
    );
    assert!(
        done.stderr.contains("missing=2") && done.stderr.contains("cxvault backfill"),
        "{done}"
    );
    let wrong = vault
        .run(&["recheck", "--from", DAY, "--to", NEXT, "--only", "gone"])
        .expect(2);
    assert!(wrong.stderr.contains("not-found"), "{wrong}");
}

#[test]
fn the_nightly_run_rechecks_days_of_the_configured_ages() {
    let (old, younger) = (days_ago(4), days_ago(2));
    let mut options = options_of_today();
    // Two hours after the older day's end.
    options.now = Some(format!("{}T02:00:00Z", days_ago(3)).parse().unwrap());
    let then = Simulator::start(options.clone());
    let mut vault = Vault::new(&then);
    vault.run_day(&old, &[]);
    options.now = Some(real_now());
    let now = Simulator::start(options);
    vault.move_to(&now);
    // The day was already a day old.
    vault.run_day(&younger, &[]);
    let revisions = |vault: &Vault, day: &str| {
        let manifests = vault.manifests(SUB);
        manifests
            .iter()
            .filter(|one| one["manifest"]["date"] == day)
            .count()
    };
    vault.run(&["run"]);
    assert_eq!(
        (revisions(&vault, &old), revisions(&vault, &younger)),
        (1, 1),
        "it is not wanted"
    );
    vault.set("RECHECK_AFTER", "1d,30d");
    for _ in 0..2 {
        vault.run(&["run"]);
        assert_eq!(
            (revisions(&vault, &old), revisions(&vault, &younger)),
            (2, 1)
        );
    }
    let of_old = |one: &&Value| one["manifest"]["date"] == *old && one["manifest"]["revision"] == 2;
    assert_eq!(
        vault.manifests(SUB).iter().find(of_old).unwrap()["manifest"]["why"],
        "recheck"
    );
}
