//! Processes that are stopped, killed, or running at the same time.

use crate::support::truth::{Truth, archived};
use crate::support::vault::{DAY, SUB, Simulator, Started, Vault, nap, options, until};

/// Returns a user whose run is slow enough to be interrupted on any machine: the test waits for
/// answers of the simulator, never for a time.
fn slow(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    vault.set("SUMMARY_LIMITS", "40/1s");
    vault
}

fn summaries(simulator: &Simulator) -> u64 {
    simulator.stats()["summaries_answered"].as_u64().unwrap()
}

/// Waits until a run has had `count` summaries.
fn in_the_middle(simulator: &Simulator, run: &mut Started, count: u64) {
    until("summaries", || {
        assert!(run.is_running(), "it ended too early");
        summaries(simulator) >= count
    });
}

#[track_caller]
fn check_whole(vault: &Vault, simulator: &Simulator) {
    Truth::of_utc_day(simulator, SUB, DAY).check(&archived(vault, SUB, DAY));
    assert_eq!(vault.manifests(SUB).len(), 1, "exactly one revision");
    let left = vault.files(&vault.state());
    assert!(
        !left
            .iter()
            .any(|path| path.to_str().unwrap().contains("journal.sqlite")),
        "{left:?}"
    );
}

#[test]
fn the_first_signal_stops_in_an_orderly_way_and_the_next_run_goes_on() {
    let simulator = Simulator::start(options());
    for signal in ["TERM", "INT"] {
        simulator.reset_stats();
        let mut vault = slow(&simulator);
        let mut run = vault.spawn(&["run", "--json", "--date", DAY]);
        in_the_middle(&simulator, &mut run, 20);
        run.signal(signal);
        let stopped = run.wait().expect(5);
        let day = stopped.day();
        assert!(
            day["message"].as_str().unwrap().contains("interrupted") && day["remedy"].is_string(),
            "{stopped}"
        );
        assert_eq!(vault.manifests(SUB).len(), 0);
        let had = summaries(&simulator);
        assert!(had < 160, "it went on to the end: {had}");

        vault
            .set("SUMMARY_LIMITS", "off")
            .run_day(DAY, &[])
            .expect(0);
        let stats = simulator.stats();
        assert_eq!(stats["summaries_answered"], 160, "{stats}");
        assert_eq!(stats["summaries_answered_twice"], 0, "{stats}");
        assert_eq!(stats["requests"]["discovery"]["total"], 8, "{stats}");
        check_whole(&vault, &simulator);
    }
}

#[test]
fn a_signal_during_discovery_or_login_stops_too() {
    let mut options = options();
    options.faults.discovery_500 = 100.0;
    let simulator = Simulator::start(options);
    let mut vault = Vault::new(&simulator);
    vault.set("MAX_ATTEMPTS", "100");
    let run = vault.spawn(&["run", "--json", "--date", DAY]);
    until("a window that fails again and again", || {
        simulator.requests_to("discovery") >= 2
    });
    run.signal("TERM");
    let stopped = run.wait().expect(5);
    assert!(
        stopped.day()["message"]
            .as_str()
            .unwrap()
            .contains("interrupted"),
        "{stopped}"
    );
}

#[test]
fn the_second_signal_aborts() {
    let simulator = Simulator::start(options());
    let vault = slow(&simulator);
    let mut run = vault.spawn(&["run", "--date", DAY]);
    in_the_middle(&simulator, &mut run, 20);
    // Both signals are pending before the process handles the first, so that the second need not
    // arrive within the period of grace.
    for signal in ["STOP", "TERM", "INT", "CONT"] {
        run.signal(signal);
    }
    let aborted = run.wait();
    assert!([130, 143].contains(&aborted.exit()), "{aborted}");
    assert_eq!(vault.manifests(SUB).len(), 0);
}

#[test]
fn a_second_process_on_the_same_day_reports_the_first() {
    let simulator = Simulator::start(options());
    let vault = slow(&simulator);
    let mut first = vault.spawn(&["run", "--json", "--date", DAY]);
    in_the_middle(&simulator, &mut first, 5);
    let second = vault.run_day(DAY, &[]).expect(11);
    assert_eq!(second.day()["outcome"], "locked");
    assert!(second.day()["remedy"].is_string(), "{second}");
    assert!(first.is_running(), "the test came too late");
    // Another day is not locked.
    vault.run_day("2026-11-19", &[]).expect(0);
    first.wait().expect(0);
    Truth::of_utc_day(&simulator, SUB, DAY).check(&archived(&vault, SUB, DAY));
    assert_eq!(simulator.stats()["summaries_answered_twice"], 0);
}

/// SplitMix64: the same numbers from the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Kills a run eight times at random moments, then lets it finish.
fn killed_at_random(seed: u64) {
    println!("seed {seed}");
    const CONCURRENCY: u64 = 4;
    let mut random = Random(seed);
    let mut options = options();
    options.seed = seed;
    options.segments_per_day = 150;
    (
        options.faults.duplicates,
        options.faults.no_id,
        options.faults.fault_500,
    ) = (10.0, 2.0, 3.0);
    options.faults.fault_latency_ms = 6;
    let simulator = Simulator::start(options);
    let mut vault = Vault::new(&simulator);
    // What was written to the journal and is not yet durable is lost as well; at this rate no disk
    // falls behind.
    vault
        .set("CONCURRENCY", &CONCURRENCY.to_string())
        .set("SUMMARY_LIMITS", "100/1s")
        .set("PART_ROWS", "40");
    let mut kills = 0;
    for _ in 0..8 {
        let before = simulator.requests();
        let (after, then_us) = (random.below(30), random.below(4_000));
        let mut run = vault.spawn(&["run", "--json", "--date", DAY]);
        until("requests, or the end", || {
            simulator.requests() >= before + after || !run.is_running()
        });
        nap(std::time::Duration::from_micros(then_us));
        run.signal_if_running("KILL");
        kills += u64::from(run.wait().status.code().is_none());
    }
    assert_eq!(
        kills, 8,
        "all of them together see too few requests to come to an end"
    );
    vault.run_day(DAY, &[]).expect(0);
    check_whole(&vault, &simulator);
    let twice = simulator.stats()["summaries_answered_twice"]
        .as_u64()
        .unwrap();
    assert!(
        twice <= kills * CONCURRENCY,
        "{twice} summaries were fetched twice in {kills} kills"
    );
    simulator.reset_stats();
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(simulator.requests(), 0);
}

#[test]
fn killed_anywhere_it_loses_nothing_and_fetches_little_twice() {
    for seed in [11, 12] {
        killed_at_random(seed);
    }
}

/// Kills a run between its last answer and its manifest: the archive holds parts that no manifest
/// lists.
fn killed_while_committing(simulator: &Simulator) -> Vault {
    let killed_in_time = || {
        let mut vault = Vault::new(simulator);
        vault.set("PART_ROWS", "1");
        let mut run = vault.spawn(&["run", "--json", "--date", DAY]);
        until("parts", || parts(&vault).len() >= 3 || !run.is_running());
        run.signal_if_running("KILL");
        run.wait();
        vault.manifests(SUB).is_empty().then_some(vault)
    };
    // On a busy machine the kill may arrive too late; then the test tries again.
    let vault = (0..20)
        .find_map(|_| killed_in_time())
        .expect("parts are put one after the other");
    assert!(
        (3..80).contains(&parts(&vault).len()),
        "{:?}",
        parts(&vault)
    );
    vault
}

fn parts(vault: &Vault) -> Vec<std::path::PathBuf> {
    vault.files(&vault.archive().join("segments"))
}

#[test]
fn killed_while_it_commits_it_puts_the_same_parts_again() {
    let simulator = Simulator::start(options());
    let vault = killed_while_committing(&simulator);
    let put = parts(&vault);
    let asked = simulator.requests();
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(simulator.requests(), asked, "everything was journalled");
    check_whole(&vault, &simulator);
    let now = parts(&vault);
    assert!(now.len() == 80 && put.iter().all(|part| now.contains(part)));
}

#[test]
fn killed_while_it_commits_a_host_without_its_journal_adopts_the_parts() {
    let simulator = Simulator::start(options());
    let mut vault = killed_while_committing(&simulator);
    let put = parts(&vault);
    std::fs::remove_dir_all(vault.state()).unwrap();
    simulator.reset_stats();
    vault.unset("PART_ROWS").run_day(DAY, &[]).expect(0);
    check_whole(&vault, &simulator);
    assert_eq!(
        summaries(&simulator) as usize,
        2 * (80 - put.len()),
        "what the parts hold is not asked again"
    );
    let files = vault.newest(SUB)["files"].take();
    let adopted = files
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["adopted"] == true)
        .count();
    assert_eq!(adopted, put.len());
}
