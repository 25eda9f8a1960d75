//! What watchers are told of a run: metrics, messages, heartbeats. Read by other code than ours, equal to the truth, and
//! never what breaks a night.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use cxvault::archive::tally::{Statuses, Tally};
use cxvault::archive::warning::WarningCode;
use cxvault::outcome::Exit;
use cxvault::simulator::Options;
use cxvault::telemetry::ended::{ChainState, Days};
use cxvault::telemetry::{Ended, LimitUse, SubAccount, metrics, prometheus};
use serde_json::Value;
use support::receiver::Receiver;
use support::telemetry::Scrape;
use support::vault::{Finished, SUB, Simulator, Vault, days_ago, options, real_now, until};

const OTHER: &str = "88888888";

/// A world in which the binary's own "yesterday" is over.
fn today() -> Options {
    Options { now: Some(real_now()), ..options() }
}

/// A user whose runs leave metrics.
fn watched(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    let file = file(&vault);
    vault.set("METRICS_FILE", file.to_str().unwrap());
    vault
}

fn file(vault: &Vault) -> PathBuf {
    vault.folder.path().join("cxvault.prom")
}

#[track_caller]
fn scrape(vault: &Vault) -> Scrape {
    Scrape::of(&fs::read_to_string(file(vault)).unwrap())
}

/// What the summary of a run says of a sub-account, as samples.
fn truth(done: &Finished, sub: &str) -> BTreeMap<String, f64> {
    let summary = done.events().pop().unwrap();
    let of_sub = |day: &&Value| day["sub_account"] == sub;
    let days: Vec<Value> = summary["days"].as_array().unwrap().iter().filter(of_sub).cloned().collect();
    let mut truth = BTreeMap::new();
    let mut add = |name: String, value: u64| *truth.entry(name).or_insert(0.0) += value as f64;
    for outcome in ["complete", "incomplete", "empty", "failed"] {
        add(format!("cxvault_days{{outcome=\"{outcome}\",sub_account=\"{sub}\"}}"), 0);
    }
    for day in &days {
        let archived = &day["archived"];
        let outcome = match (&archived["complete"], &archived["counts"]["segments"]) {
            (Value::Bool(true), segments) if segments == 0 => "empty",
            (Value::Bool(true), _) => "complete",
            (Value::Bool(false), _) => "incomplete",
            _ => "failed",
        };
        add(format!("cxvault_days{{outcome=\"{outcome}\",sub_account=\"{sub}\"}}"), 1);
        let Some(counts) = archived["counts"].as_object() else { continue };
        add(format!("cxvault_segments{{sub_account=\"{sub}\"}}"), counts["segments"].as_u64().unwrap());
        for kind in ["agent", "auto"] {
            for (status, count) in counts[kind].as_object().unwrap() {
                let labels = format!("kind=\"{kind}\",status=\"{status}\",sub_account=\"{sub}\"");
                add(format!("cxvault_summaries{{{labels}}}"), count.as_u64().unwrap());
            }
        }
    }
    truth
}

#[track_caller]
fn check(scrape: &Scrape, truth: &BTreeMap<String, f64>) {
    for (sample, value) in truth {
        assert_eq!(scrape.find(sample), Some(*value), "{sample} in {scrape:#?}");
    }
}

fn of_sub(name: &str, sub: &str) -> String {
    format!("{name}{{sub_account=\"{sub}\"}}")
}

/// Bytes of the Parquet files that lie in the archive.
fn stored(vault: &Vault) -> f64 {
    let parts = vault.files(&vault.archive().join("segments"));
    parts.iter().map(|part| fs::metadata(part).unwrap().len()).sum::<u64>() as f64
}

#[test]
fn a_runs_metrics_are_the_truth_to_prometheus() {
    let mut world = today();
    (world.faults.fault_500, world.faults.permanent_500) = (3.0, 0.0);
    let simulator = Simulator::start(world);
    let mut vault = watched(&simulator);
    vault.set("SUMMARY_LIMITS", "100000/60s").set("DISCOVERY_LIMITS", "100/1s");
    let day = days_ago(1);
    let done = vault.run_day(&day, &[]).expect(0);
    let first = scrape(&vault);
    check(&first, &truth(&done, SUB));
    assert_eq!(first.get("cxvault_exit_code"), 0.0);
    assert_eq!(
        first.get("cxvault_last_success_timestamp_seconds"),
        first.get("cxvault_last_run_timestamp_seconds")
    );
    assert!(first.get("cxvault_run_duration_seconds") > 0.0);
    assert_eq!(first.get(&of_sub("cxvault_chain_sequence", SUB)), 1.0);
    assert_eq!(first.get(&of_sub("cxvault_oldest_unsealed_day_age_seconds", SUB)), 0.0);
    assert_eq!(first.get(&of_sub("cxvault_bytes_written", SUB)), stored(&vault));
    for code in WarningCode::ALL {
        let labels = format!("code=\"{}\",sub_account=\"{SUB}\"", code.name());
        assert_eq!(first.get(&format!("cxvault_warnings{{{labels}}}")), 0.0);
    }
    // Requests, as the other side counts them.
    for (limit, endpoint) in [("summaries", "summaries"), ("discovery", "discovery"), ("token", "exchange")] {
        let sent = first.get(&format!("cxvault_requests{{limit=\"{limit}\"}}"));
        assert_eq!(sent, simulator.requests_to(endpoint) as f64, "{limit}: {}", simulator.stats());
    }
    assert!(first.get("cxvault_retries") > 0.0);
    assert_eq!(first.get("cxvault_requests_throttled"), 0.0);
    let used = first.get("cxvault_quota_used_ratio{limit=\"summaries\"}");
    let sent = first.get("cxvault_requests{limit=\"summaries\"}");
    assert!((used - sent / 100_000.0).abs() < 1e-9, "of a minute's limit {used} was used by {sent}");
    assert_eq!(first.find("cxvault_quota_used_ratio{limit=\"token\"}"), None, "there is no limit");

    // For other users' eyes, and nothing else left beside it.
    assert_eq!(fs::metadata(file(&vault)).unwrap().permissions().mode() & 0o777, 0o644);
    let left = vault.files(vault.folder.path());
    assert!(!left.iter().any(|path| path.extension().is_some_and(|end| end == "tmp")), "{left:?}");

    // The same day again: looked at, and nothing done.
    let again = vault.run_day(&day, &[]).expect(0);
    let second = scrape(&vault);
    check(&second, &truth(&again, SUB));
    assert_eq!(second.get(&of_sub("cxvault_bytes_written", SUB)), 0.0);
    assert_eq!(second.get("cxvault_requests{limit=\"summaries\"}"), 0.0);
    assert!(
        second.get("cxvault_last_run_timestamp_seconds") > first.get("cxvault_last_run_timestamp_seconds")
    );
}

#[test]
fn gaps_and_warnings_of_two_sub_accounts_are_told_apart() {
    let mut faulty = today();
    faulty.sub_accounts = vec![SUB.into(), OTHER.into()];
    faulty.faults.permanent_500 = 5.0;
    let simulator = Simulator::start(faulty);
    let mut vault = watched(&simulator);
    vault.set("SUB_ACCOUNTS", &format!("{SUB},{OTHER}")).set("MAX_ATTEMPTS", "1");
    let done = vault.run_day(&days_ago(2), &[]).expect(3);
    let both = scrape(&vault);
    for sub in [SUB, OTHER] {
        check(&both, &truth(&done, sub));
        let failed = format!("cxvault_days{{outcome=\"incomplete\",sub_account=\"{sub}\"}}");
        assert_eq!(both.get(&failed), 1.0);
        // The day that ended yesterday at midnight, UTC.
        let age = both.get(&of_sub("cxvault_oldest_unsealed_day_age_seconds", sub));
        assert!((86_400.0..3.0 * 86_400.0).contains(&age), "{age}");
    }
    assert_eq!(both.get("cxvault_exit_code"), 3.0);
    assert!(both.find("cxvault_last_success_timestamp_seconds").is_some(), "gaps are committed, too");
    let lost =
        both.get(&format!("cxvault_summaries{{kind=\"agent\",status=\"FAILED\",sub_account=\"{SUB}\"}}"));
    assert!(lost > 0.0);

    // A backfill of the days after it fills nothing of it, and its metrics are of its own days.
    let done = vault.run(&["backfill", "--json", "--from", &days_ago(1), "--to", &days_ago(0)]).expect(3);
    check(&scrape(&vault), &truth(&done, SUB));
    assert_eq!(scrape(&vault).get(&of_sub("cxvault_chain_sequence", OTHER)), 2.0);
}

#[test]
fn a_run_that_fails_says_so_and_still_knows_the_last_success() {
    let simulator = Simulator::start(today());
    let mut vault = watched(&simulator);
    vault.run_day(&days_ago(2), &[]).expect(0);
    let good = scrape(&vault);
    let success = good.get("cxvault_last_success_timestamp_seconds");
    let failed = |vault: &Vault, args: &[&str], exit: i32| {
        vault.run(args).expect(exit);
        let failed = scrape(vault);
        assert_eq!(failed.get("cxvault_exit_code"), f64::from(exit));
        assert_eq!(failed.get("cxvault_last_success_timestamp_seconds"), success, "after exit {exit}");
        assert!(failed.get("cxvault_last_run_timestamp_seconds") > success);
        failed
    };
    let date = days_ago(1);
    vault.set("CLIENT_SECRET", "wrong");
    let denied = failed(&vault, &["run", "--date", &date], 6);
    let labels = format!("outcome=\"failed\",sub_account=\"{SUB}\"");
    assert_eq!(denied.get(&format!("cxvault_days{{{labels}}}")), 1.0);
    assert_eq!(denied.get(&of_sub("cxvault_chain_sequence", SUB)), 1.0, "the chain is where it was");
    vault.set("CLIENT_SECRET", "demo-secret");

    // Settings that cannot be read, all but where the metrics go.
    vault.set("CONCURRENCY", "many");
    failed(&vault, &["run"], 2);
    vault.unset("CONCURRENCY");
    failed(&vault, &["backfill", "--from", &date, "--to", &date], 2);
    // An archive that is not there to be opened.
    let archive = vault.archive();
    fs::rename(&archive, vault.folder.path().join("away")).unwrap();
    fs::write(&archive, "a file").unwrap();
    let exit = vault.run(&["run"]).exit();
    assert!(![0, 3].contains(&exit));
    failed(&vault, &["run"], exit);
}

#[test]
fn a_run_that_is_stopped_leaves_its_metrics() {
    let simulator = Simulator::start(today());
    let mut vault = watched(&simulator);
    vault.set("SUMMARY_LIMITS", "40/1s");
    let mut run = vault.spawn(&["run", "--json"]);
    until("summaries", || {
        assert!(run.is_running(), "it ended too early");
        simulator.requests_to("summaries") >= 20
    });
    run.signal("TERM");
    let done = run.wait().expect(5);
    let stopped = scrape(&vault);
    check(&stopped, &truth(&done, SUB));
    assert_eq!(stopped.get("cxvault_exit_code"), 5.0);
    assert_eq!(stopped.find("cxvault_last_success_timestamp_seconds"), None);
    assert_eq!(
        stopped.get("cxvault_requests{limit=\"summaries\"}"),
        simulator.requests_to("summaries") as f64
    );
}

#[test]
fn the_flag_wins_and_a_file_that_cannot_be_written_is_a_warning() {
    let simulator = Simulator::start(today());
    let mut vault = watched(&simulator);
    let by_flag = vault.folder.path().join("flag.prom");
    let date = days_ago(1);
    vault.run(&["run", "--date", &date, "--metrics-file", by_flag.to_str().unwrap()]).expect(0);
    assert!(by_flag.exists() && !file(&vault).exists());
    vault.set("METRICS_FILE", "/proc/no/such/folder/cxvault.prom");
    let done = vault.run(&["run", "--date", &date]).expect(0);
    assert!(done.stderr.contains("CXVAULT_METRICS_FILE"), "{done}");
}

/// The night that `infra/prometheus/metrics.prom` shows.
fn documented() -> Ended {
    let ended_ms = 1_795_506_000_000;
    let statuses = |present, empty, not_found| Statuses { present, empty, not_found, ..Statuses::default() };
    let counts = Tally {
        segments: 5_000,
        agent: statuses(4_000, 600, 400),
        auto: statuses(4_500, 400, 100),
        ..Tally::default()
    };
    let sub_account = SubAccount {
        days: Days { complete: 1, ..Days::default() },
        counts,
        bytes: 2_800_000,
        warnings: BTreeMap::new(),
        chain: Some(ChainState { sequence: 42, oldest_unsealed_ms: None }),
    };
    let limit = |limit, requests, retries, used| LimitUse { limit, requests, throttled: 0, retries, used };
    Ended {
        command: "run",
        exit: Exit::Done,
        message: None,
        remedy: None,
        archive: None,
        host: "host7".into(),
        started_ms: ended_ms - 5_400_000,
        ended_ms,
        last_success_ms: Some(ended_ms),
        sub_accounts: BTreeMap::from([(SUB.to_owned(), sub_account)]),
        limits: vec![
            limit("summaries", 10_000, 3, Some(0.926)),
            limit("discovery", 8, 0, Some(0.148)),
            limit("token", 18, 0, Some(0.04)),
        ],
        troubles: Vec::new(),
        heads: Vec::new(),
        committed: true,
    }
}

#[test]
fn the_documented_metrics_are_the_programs_own() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/infra/prometheus/metrics.prom");
    let text = prometheus::text(&metrics::families(&documented()));
    assert!(fs::read_to_string(file).unwrap() == text, "{file} should be:\n{text}");
    Scrape::of(&text);
}

#[test]
fn a_push_gateway_gets_the_same_in_this_hosts_group() {
    let simulator = Simulator::start(today());
    let gateway = Receiver::start();
    let mut vault = watched(&simulator);
    vault.set("PUSHGATEWAY_URL", &gateway.url);
    let date = days_ago(1);
    vault.run_day(&date, &[]).expect(0);
    let pushed = gateway.take_one();
    assert_eq!(pushed.method, "PUT");
    let (group, instance) = pushed.path.rsplit_once('/').unwrap();
    assert_eq!(group, "/metrics/job/cxvault/instance");
    assert!(!instance.is_empty() && instance.is_ascii());
    assert!(pushed.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert_eq!(Scrape::of(&pushed.body), scrape(&vault));

    // A group of one's own; and a gateway that is busy at first.
    vault.set("PUSHGATEWAY_URL", &format!("{}/metrics/job/cxvault/instance/night", gateway.url));
    gateway.answer(&[503, 500]);
    vault.run_day(&date, &[]).expect(0);
    let pushed = gateway.take();
    assert_eq!(pushed.len(), 3);
    assert!(pushed.iter().all(|one| one.path == "/metrics/job/cxvault/instance/night"));

    // Without a file nobody here knows of the last success, but the gateway does: PUT would wipe it out.
    vault.unset("METRICS_FILE").set("CLIENT_SECRET", "wrong");
    vault.run_day(&days_ago(2), &[]).expect(6);
    let pushed = gateway.take_one();
    assert_eq!(pushed.method, "POST");
    let failed = Scrape::of(&pushed.body);
    assert_eq!(failed.get("cxvault_exit_code"), 6.0);
    assert_eq!(failed.find("cxvault_last_success_timestamp_seconds"), None);
}
