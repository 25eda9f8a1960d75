//! Many days at once: the result of a backfill, also when it is stopped, divided into shards, or
//! running together with the nightly run.

use std::collections::BTreeSet;

use crate::support::random::Random;
use crate::support::truth::{Truth, archived};
use crate::support::vault::{Finished, SUB, Simulator, Vault, nap, options, until};
use serde_json::Value;

const FROM: &str = "2026-11-12";
const TO: &str = "2026-11-19";
const DAYS: [&str; 7] = [
    "2026-11-12",
    "2026-11-13",
    "2026-11-14",
    "2026-11-15",
    "2026-11-16",
    "2026-11-17",
    "2026-11-18",
];

/// Weekends of the simulated centre are nearly empty, and the first days cause warnings.
fn vault(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    vault.set(
        "KNOWN_WARNINGS",
        "first-day-empty,volume-low,ai-never-present",
    );
    vault
}

fn backfill(vault: &Vault, more: &[&str]) -> Finished {
    vault.run(&[&["backfill", "--json", "--from", FROM, "--to", TO], more].concat())
}

/// Asserts that every day is archived once and holds what the simulator showed.
#[track_caller]
fn check_whole(vault: &Vault, simulator: &Simulator) {
    let manifests = vault.manifests(SUB);
    let days: Vec<&str> = manifests
        .iter()
        .map(|one| one["manifest"]["date"].as_str().unwrap())
        .collect();
    assert_eq!(
        BTreeSet::from_iter(days.iter().copied()),
        BTreeSet::from(DAYS)
    );
    assert_eq!(days.len(), DAYS.len(), "one revision a day: {days:?}");
    for day in DAYS {
        Truth::of_utc_day(simulator, SUB, day).check(&archived(vault, SUB, day));
    }
    let left = vault.files(&vault.state());
    assert!(
        !left.iter().any(|path| path.ends_with("journal.sqlite")),
        "{left:?}"
    );
}

fn summary(done: &Finished) -> Value {
    done.stdout
        .lines()
        .last()
        .map(|line| serde_json::from_str(line).unwrap())
        .unwrap()
}

#[test]
fn a_range_is_archived_day_by_day_and_sealed_days_cost_nothing() {
    let simulator = Simulator::start(options());
    let vault = vault(&simulator);
    vault.run_day("2026-11-14", &[]).expect(0);
    let done = backfill(&vault, &[]).expect(0);
    assert_eq!(
        summary(&done)["days"].as_array().unwrap().len(),
        6,
        "{done}"
    );
    check_whole(&vault, &simulator);
    let whys: Vec<Value> = vault
        .manifests(SUB)
        .iter()
        .map(|one| one["manifest"]["why"].clone())
        .collect();
    assert!(
        whys[0] == "nightly" && whys[1..].iter().all(|why| why == "backfill"),
        "{whys:?}"
    );

    simulator.reset_stats();
    let again = vault
        .run(&["backfill", "--from", FROM, "--to", TO])
        .expect(0);
    assert_eq!(simulator.requests(), 0, "{}", simulator.stats());
    assert!(
        again
            .stdout
            .contains("2026-11-12 to 2026-11-18: 0 days complete"),
        "{again}"
    );
}

#[test]
fn days_are_archived_in_the_requested_order() {
    let simulator = Simulator::start(options());
    for (order, first) in [("oldest", "2026-11-12"), ("newest", "2026-11-18")] {
        let vault = vault(&simulator);
        backfill(&vault, &["--order", order]).expect(0);
        assert_eq!(vault.manifests(SUB)[0]["manifest"]["date"], first);
        check_whole(&vault, &simulator);
    }
}

#[test]
fn killed_ten_times_it_ends_as_the_truth_and_asks_little_twice() {
    let simulator = Simulator::start(options());
    let mut random = Random(20);
    let mut vault = vault(&simulator);
    vault
        .set("SUMMARY_LIMITS", "400/1s")
        .set("CONCURRENCY", "4");
    for kill in 1..=10 {
        let mut run = vault.spawn(&["backfill", "--quiet", "--from", FROM, "--to", TO]);
        let before = simulator.stats()["summaries_answered"].as_u64().unwrap();
        let some = 20 + random.below(60);
        until("summaries", || {
            let now = simulator.stats()["summaries_answered"].as_u64().unwrap();
            assert!(
                run.is_running(),
                "it ended before it was killed for the {kill}. time"
            );
            now >= before + some
        });
        nap(std::time::Duration::from_micros(random.below(5_000)));
        run.signal_if_running("KILL");
        drop(run);
    }
    vault.set("SUMMARY_LIMITS", "off");
    backfill(&vault, &[]).expect(0);
    check_whole(&vault, &simulator);
    let stats = simulator.stats();
    // Lost by the kill: one answer and one request of each fetcher, of at most two days.
    let twice = stats["summaries_answered_twice"].as_u64().unwrap();
    assert!(
        twice <= 10 * 2 * 2 * 4,
        "{twice} summaries were asked for twice: {stats}"
    );
}

#[test]
fn three_shards_divide_one_chain() {
    let simulator = Simulator::start(options());
    let whole = vault(&simulator);
    let hosts: Vec<Vault> = (0..3)
        .map(|n| {
            let mut host = vault(&simulator);
            let state = host.state();
            host.set("ARCHIVE", whole.archive().to_str().unwrap());
            host.set("STATE_DIR", state.to_str().unwrap())
                .set("SHARDS", "3");
            host.set_foreign("JOB_COMPLETION_INDEX", &n.to_string());
            host
        })
        .collect();
    let arguments = ["backfill", "--json", "--from", FROM, "--to", TO];
    let running: Vec<_> = hosts.iter().map(|host| host.spawn(&arguments)).collect();
    let mut days = Vec::new();
    for shard in running {
        let done = shard.wait().expect(0);
        days.extend(
            summary(&done)["days"]
                .as_array()
                .unwrap()
                .iter()
                .map(|day| day["date"].clone()),
        );
    }
    days.sort_by_key(Value::to_string);
    assert_eq!(days, DAYS.map(Value::from), "each day was one shard's work");
    check_whole(&whole, &simulator);
}

#[test]
fn a_day_with_gaps_does_not_stop_the_others_and_is_filled_by_the_next_call() {
    let mut faulty = options();
    faulty.faults.permanent_500 = 2.0;
    let faulty = Simulator::start(faulty);
    let mut vault = vault(&faulty);
    vault.set("MAX_ATTEMPTS", "1");
    let done = vault
        .run(&["backfill", "--from", FROM, "--to", TO])
        .expect(3);
    assert!(done.stdout.contains("has gaps"), "{done}");
    assert_eq!(vault.manifests(SUB).len(), DAYS.len());

    let simulator = Simulator::start(options());
    vault.move_to(&simulator);
    backfill(&vault, &[]).expect(0);
    let coverage = vault.newest(SUB)["coverage"]["days"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        coverage.bytes().all(|day| day == b'c' || day == b'e'),
        "{coverage}"
    );
    for day in DAYS {
        Truth::of_utc_day(&simulator, SUB, day).check(&archived(&vault, SUB, day));
    }
}

#[test]
fn the_nightly_run_and_a_backfill_share_a_chain_and_its_limits() {
    let limits = "200/1s";
    let simulator = Simulator::start(options());
    let mut vault = vault(&simulator);
    vault.set("SUMMARY_LIMITS", limits);
    let mut backfill = vault.spawn(&["backfill", "--json", "--from", FROM, "--to", TO]);
    until("summaries", || {
        assert!(backfill.is_running(), "it ended too early");
        simulator.stats()["summaries_answered"].as_u64().unwrap() >= 50
    });
    vault.run_day("2026-11-20", &[]).expect(0);
    backfill.wait().expect(0);
    Truth::of_utc_day(&simulator, SUB, "2026-11-20").check(&archived(&vault, SUB, "2026-11-20"));
    for day in DAYS {
        Truth::of_utc_day(&simulator, SUB, day).check(&archived(&vault, SUB, day));
    }
    assert_eq!(vault.manifests(SUB).len(), DAYS.len() + 1);
}

#[test]
fn impossible_ranges_are_refused_before_any_request() {
    let simulator = Simulator::start(options());
    let vault = vault(&simulator);
    let refused = |from: &str, to: &str, says: &str| {
        let done = vault
            .run(&["backfill", "--from", from, "--to", to])
            .expect(2);
        let said = format!("{}{}", done.stdout, done.stderr);
        assert!(
            said.contains(says) && said.contains("--to is the day after the last one"),
            "{done}"
        );
    };
    refused("2026-11-12", "2026-11-12", "contains no day");
    refused("2026-11-12", "2026-11-11", "contains no day");
    refused("2026-11-12", "2999-01-01", "is not over yet in UTC");
    assert!(vault.manifests(SUB).is_empty());
    assert_eq!(simulator.requests(), 0);
    let mut one = Vault::new(&simulator);
    one.set_foreign("JOB_COMPLETION_INDEX", "1");
    let done = backfill(&one, &[]).expect(2);
    assert!(done.stdout.contains("CXVAULT_SHARDS"), "{done}");
}
