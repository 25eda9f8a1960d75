//! What monitoring systems receive about a run: metrics, notifications, heartbeats. They are read
//! with independent code, are equal to the truth, and never make a run fail.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::support::receiver::Receiver;
use crate::support::telemetry::Scrape;
use crate::support::vault::{Finished, SUB, Simulator, Vault, days_ago, options_of_today, until};
use cxvault::format::record::warning::WarningCode;
use cxvault::format::row::tally::{Statuses, Tally};
use cxvault::outcome::Exit;
use cxvault::simulator::SimulatorOptions;
use cxvault::telemetry::ended::{ChainState, DayCounts};
use cxvault::telemetry::{LimitUse, RunEnd, SubAccountEnd, metrics, prometheus};
use serde_json::Value;

const OTHER: &str = "88888888";

/// Returns a world in which yesterday, as the program determines it, is over.
fn today() -> SimulatorOptions {
    options_of_today()
}

/// Returns a user whose runs write metrics.
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

/// Returns what the summary of a run says about a sub-account, as samples.
fn truth(done: &Finished, sub: &str) -> BTreeMap<String, f64> {
    let summary = done.events().pop().unwrap();
    let of_sub = |day: &&Value| day["sub_account"] == sub;
    let days: Vec<Value> = summary["days"]
        .as_array()
        .unwrap()
        .iter()
        .filter(of_sub)
        .cloned()
        .collect();
    let mut truth = BTreeMap::new();
    let mut add = |name: String, value: u64| *truth.entry(name).or_insert(0.0) += value as f64;
    for outcome in ["complete", "incomplete", "empty", "failed"] {
        add(
            format!("cxvault_days{{outcome=\"{outcome}\",sub_account=\"{sub}\"}}"),
            0,
        );
    }
    for day in &days {
        let archived = &day["archived"];
        let outcome = match (&archived["complete"], &archived["counts"]["segments"]) {
            (Value::Bool(true), segments) if segments == 0 => "empty",
            (Value::Bool(true), _) => "complete",
            (Value::Bool(false), _) => "incomplete",
            _ => "failed",
        };
        add(
            format!("cxvault_days{{outcome=\"{outcome}\",sub_account=\"{sub}\"}}"),
            1,
        );
        let Some(counts) = archived["counts"].as_object() else {
            continue;
        };
        add(
            format!("cxvault_segments{{sub_account=\"{sub}\"}}"),
            counts["segments"].as_u64().unwrap(),
        );
        for kind in ["agent", "auto"] {
            for (status, count) in counts[kind].as_object().unwrap() {
                let labels = format!("kind=\"{kind}\",status=\"{status}\",sub_account=\"{sub}\"");
                add(
                    format!("cxvault_summaries{{{labels}}}"),
                    count.as_u64().unwrap(),
                );
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

/// Returns the size of all Parquet files in the archive in bytes.
fn stored(vault: &Vault) -> f64 {
    let parts = vault.files(&vault.archive().join("segments"));
    parts
        .iter()
        .map(|part| fs::metadata(part).unwrap().len())
        .sum::<u64>() as f64
}

#[test]
fn a_runs_metrics_are_the_truth_to_prometheus() {
    let mut world = today();
    world.faults.fault_500 = 20.0;
    let simulator = Simulator::start(world);
    let mut vault = watched(&simulator);
    vault
        .set("SUMMARY_LIMITS", "100000/60s")
        .set("DISCOVERY_LIMITS", "100/1s");
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
    assert_eq!(
        first.get(&of_sub("cxvault_oldest_unsealed_day_age_seconds", SUB)),
        0.0
    );
    assert_eq!(
        first.get(&of_sub("cxvault_bytes_written", SUB)),
        stored(&vault)
    );
    for code in WarningCode::ALL {
        let labels = format!("code=\"{}\",sub_account=\"{SUB}\"", code.name());
        assert_eq!(first.get(&format!("cxvault_warnings{{{labels}}}")), 0.0);
    }
    // Requests, as the simulator counts them.
    for (limit, endpoint) in [
        ("summaries", "summaries"),
        ("discovery", "discovery"),
        ("token", "exchange"),
    ] {
        let sent = first.get(&format!("cxvault_requests{{limit=\"{limit}\"}}"));
        assert_eq!(
            sent,
            simulator.requests_to(endpoint) as f64,
            "{limit}: {}",
            simulator.stats()
        );
    }
    assert!(first.get("cxvault_retries") > 0.0);
    assert_eq!(first.get("cxvault_requests_throttled"), 0.0);
    let used = first.get("cxvault_quota_used_ratio{limit=\"summaries\"}");
    let sent = first.get("cxvault_requests{limit=\"summaries\"}");
    assert!(
        (used - sent / 100_000.0).abs() < 1e-9,
        "of a minute's limit {used} was used by {sent}"
    );
    assert_eq!(
        first.find("cxvault_quota_used_ratio{limit=\"token\"}"),
        None,
        "there is no limit"
    );

    // Other users may read the file, and no temporary file is left.
    assert_eq!(
        fs::metadata(file(&vault)).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let left = vault.files(vault.folder.path());
    assert!(
        !left
            .iter()
            .any(|path| path.extension().is_some_and(|end| end == "tmp")),
        "{left:?}"
    );

    // The same day again: it is confirmed, and nothing is done.
    let again = vault.run_day(&day, &[]).expect(0);
    let second = scrape(&vault);
    check(&second, &truth(&again, SUB));
    assert_eq!(second.get(&of_sub("cxvault_bytes_written", SUB)), 0.0);
    assert_eq!(second.get("cxvault_requests{limit=\"summaries\"}"), 0.0);
    assert!(
        second.get("cxvault_last_run_timestamp_seconds")
            > first.get("cxvault_last_run_timestamp_seconds")
    );
}

#[test]
fn gaps_and_warnings_of_two_sub_accounts_are_distinguished() {
    let mut faulty = today();
    faulty.sub_accounts = vec![SUB.into(), OTHER.into()];
    faulty.faults.permanent_500 = 5.0;
    let simulator = Simulator::start(faulty);
    let mut vault = watched(&simulator);
    vault
        .set("SUB_ACCOUNTS", &format!("{SUB},{OTHER}"))
        .set("MAX_ATTEMPTS", "1");
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
    assert!(
        both.find("cxvault_last_success_timestamp_seconds")
            .is_some(),
        "gaps are committed, too"
    );
    let lost = both.get(&format!(
        "cxvault_summaries{{kind=\"agent\",status=\"FAILED\",sub_account=\"{SUB}\"}}"
    ));
    assert!(lost > 0.0);

    // A backfill of the later days does not fill it, and its metrics are about its own days.
    let done = vault
        .run(&[
            "backfill",
            "--json",
            "--from",
            &days_ago(1),
            "--to",
            &days_ago(0),
        ])
        .expect(3);
    check(&scrape(&vault), &truth(&done, SUB));
    assert_eq!(
        scrape(&vault).get(&of_sub("cxvault_chain_sequence", OTHER)),
        2.0
    );
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
        assert_eq!(
            failed.get("cxvault_last_success_timestamp_seconds"),
            success,
            "after exit {exit}"
        );
        assert!(failed.get("cxvault_last_run_timestamp_seconds") > success);
        failed
    };
    let date = days_ago(1);
    vault.set("CLIENT_SECRET", "wrong");
    let denied = failed(&vault, &["run", "--date", &date], 6);
    let labels = format!("outcome=\"failed\",sub_account=\"{SUB}\"");
    assert_eq!(denied.get(&format!("cxvault_days{{{labels}}}")), 1.0);
    assert_eq!(
        denied.get(&of_sub("cxvault_chain_sequence", SUB)),
        1.0,
        "the chain is where it was"
    );
    vault.set("CLIENT_SECRET", "demo-secret");

    // Settings that are invalid, except for the path of the metrics.
    vault.set("CONCURRENCY", "many");
    failed(&vault, &["run"], 2);
    vault.unset("CONCURRENCY");
    failed(&vault, &["backfill", "--from", &date, "--to", &date], 2);
    // An archive that cannot be opened.
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
    vault
        .run(&[
            "run",
            "--date",
            &date,
            "--metrics-file",
            by_flag.to_str().unwrap(),
        ])
        .expect(0);
    assert!(by_flag.exists() && !file(&vault).exists());
    vault.set("METRICS_FILE", "/proc/no/such/folder/cxvault.prom");
    let done = vault.run(&["run", "--date", &date]).expect(0);
    assert!(done.stderr.contains("CXVAULT_METRICS_FILE"), "{done}");
}

/// The night that `infra/prometheus/metrics.prom` shows.
fn documented() -> RunEnd {
    let ended_ms = 1_795_506_000_000;
    let statuses = |present, empty, not_found| Statuses {
        present,
        empty,
        not_found,
        ..Statuses::default()
    };
    let counts = Tally {
        segments: 5_000,
        agent: statuses(4_000, 600, 400),
        auto: statuses(4_500, 400, 100),
        ..Tally::default()
    };
    let sub_account = SubAccountEnd {
        days: DayCounts {
            complete: 1,
            ..DayCounts::default()
        },
        counts,
        bytes: 2_800_000,
        warnings: BTreeMap::new(),
        chain: Some(ChainState {
            sequence: 42,
            oldest_unsealed_ms: None,
        }),
    };
    let limit = |limit, requests, retries, used| LimitUse {
        limit,
        requests,
        throttled: 0,
        retries,
        used,
    };
    RunEnd {
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
        days: Vec::new(),
        troubles: Vec::new(),
        heads: Vec::new(),
        committed: true,
    }
}

#[test]
fn the_documented_metrics_are_the_programs_own() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/infra/prometheus/metrics.prom");
    let text = prometheus::text(&metrics::families(&documented()));
    assert!(
        fs::read_to_string(file).unwrap() == text,
        "{file} should be:\n{text}"
    );
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
    assert!(
        pushed
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    assert_eq!(Scrape::of(&pushed.body), scrape(&vault));

    // A separate group, and a gateway that fails at first.
    vault.set(
        "PUSHGATEWAY_URL",
        &format!("{}/metrics/job/cxvault/instance/night", gateway.url),
    );
    gateway.answer(&[503, 500]);
    vault.run_day(&date, &[]).expect(0);
    let pushed = gateway.take();
    assert_eq!(pushed.len(), 3);
    assert!(
        pushed
            .iter()
            .all(|one| one.path == "/metrics/job/cxvault/instance/night")
    );

    // Without the file this host has no record of the last success, but the gateway has: PUT would
    // delete it.
    vault.unset("METRICS_FILE").set("CLIENT_SECRET", "wrong");
    vault.run_day(&days_ago(2), &[]).expect(6);
    let pushed = gateway.take_one();
    assert_eq!(pushed.method, "POST");
    let failed = Scrape::of(&pushed.body);
    assert_eq!(failed.get("cxvault_exit_code"), 6.0);
    assert_eq!(failed.find("cxvault_last_success_timestamp_seconds"), None);
}

#[test]
fn a_webhook_receives_gaps_and_failures_and_nothing_else() {
    let mut world = today();
    world.faults.permanent_500 = 5.0;
    let (faulty, good) = (Simulator::start(world), Simulator::start(today()));
    let chat = Receiver::start();
    let mut vault = Vault::new(&good);
    let secret = format!("{}/services/T0/secret-of-the-hook", chat.url);
    vault.set("WEBHOOK_URL", &secret);
    vault.run_day(&days_ago(1), &[]).expect(0);
    assert!(chat.take().is_empty(), "a good night sends no message");

    vault.move_to(&faulty);
    let done = vault.run_day(&days_ago(2), &[]).expect(3);
    let told = chat.take_one().json();
    assert_eq!(
        (&told["exit"], &told["outcome"], &told["command"]),
        (&3.into(), &"gaps".into(), &"run".into())
    );
    assert_eq!(
        told["days"][0]["failed"],
        done.day()["archived"]["counts"]["agent"]["FAILED"]
            .as_u64()
            .unwrap()
            + done.day()["archived"]["counts"]["auto"]["FAILED"]
                .as_u64()
                .unwrap()
    );
    assert!(
        told["text"]
            .as_str()
            .unwrap()
            .contains(&format!("{SUB} {}: has gaps", days_ago(2))),
        "{told}"
    );

    // A failure with its remedy. The webhook fails at first, and its address is a secret.
    chat.answer(&[500]);
    vault.set("CLIENT_SECRET", "wrong");
    let failed = vault.run(&["run", "--date", &days_ago(3), "-vv"]).expect(6);
    let told = chat.take();
    assert_eq!((told.len(), &told[1].json()["exit"]), (2, &6.into()));
    assert!(
        !failed.stderr.contains("secret-of-the-hook")
            && !failed.stdout.contains("secret-of-the-hook")
    );

    // Settings that prevent a run are reported too, and a webhook that is gone makes nothing fail.
    vault.set("CONCURRENCY", "many");
    vault.run(&["run"]).expect(2);
    assert!(
        chat.take_one().json()["message"]
            .as_str()
            .unwrap()
            .contains("many")
    );
    vault
        .unset("CONCURRENCY")
        .set("WEBHOOK_URL", "http://127.0.0.1:9/nobody");
    let done = vault.run(&["run", "--date", &days_ago(3)]).expect(6);
    assert!(
        done.stderr.contains("CXVAULT_WEBHOOK_URL") && !done.stderr.contains("nobody"),
        "{done}"
    );
}

#[test]
fn a_heartbeat_is_sent_when_the_archive_has_grown() {
    let simulator = Simulator::start(today());
    let switch = Receiver::start();
    let mut vault = Vault::new(&simulator);
    vault.set("HEARTBEAT_URL", &format!("{}/ping/abc", switch.url));
    vault.run_day(&days_ago(1), &[]).expect(0);
    let beat = switch.take_one();
    assert_eq!(
        (beat.method.as_str(), beat.path.as_str()),
        ("GET", "/ping/abc")
    );
    vault.set("CLIENT_SECRET", "wrong");
    vault.run_day(&days_ago(2), &[]).expect(6);
    assert!(
        switch.take().is_empty(),
        "a night that failed must not look alive"
    );
}

/// Returns the value of an OTLP attribute.
fn attribute<'a>(of: &'a Value, key: &str) -> &'a Value {
    let all = of["attributes"].as_array().unwrap();
    let found = all
        .iter()
        .find(|one| one["key"] == key)
        .unwrap_or_else(|| panic!("no {key} in {of}"));
    found["value"].as_object().unwrap().values().next().unwrap()
}

#[test]
fn opentelemetry_gets_a_trace_and_the_same_metrics() {
    let simulator = Simulator::start(today());
    let collector = Receiver::start();
    let mut vault = watched(&simulator);
    vault
        .set_foreign(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &format!("{}/", collector.url),
        )
        .set_foreign(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "x-api-key=a%20secret,x-tenant=7",
        )
        .set_foreign(
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment=test,service.name=overridden",
        )
        .set_foreign("OTEL_SERVICE_NAME", "archive");
    let (from, to) = (days_ago(3), days_ago(1));
    vault
        .run(&["backfill", "--from", &from, "--to", &to])
        .expect(0);
    let mut sent = collector.take();
    sent.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(
        sent.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(),
        ["/v1/metrics", "/v1/traces"]
    );
    for one in &sent {
        assert_eq!(one.header("content-type"), Some("application/json"));
        assert_eq!(
            (one.header("x-api-key"), one.header("x-tenant")),
            (Some("a secret"), Some("7"))
        );
    }

    // Both are parsed with OpenTelemetry's own message types.
    let metrics = crate::support::telemetry::read("otlp-metrics", &sent[0].body);
    let of = &metrics["resourceMetrics"][0];
    assert_eq!(attribute(&of["resource"], "service.name"), "archive");
    assert_eq!(attribute(&of["resource"], "deployment.environment"), "test");
    let mut samples = BTreeMap::new();
    for metric in of["scopeMetrics"][0]["metrics"].as_array().unwrap() {
        for point in metric["gauge"]["dataPoints"].as_array().unwrap() {
            let labels = point["attributes"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|label| {
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    (text(&label["key"]), text(&label["value"]["stringValue"]))
                });
            let name = crate::support::telemetry::name(
                metric["name"].as_str().unwrap(),
                &labels.collect(),
            );
            samples.insert(name, point["asDouble"].as_f64().unwrap_or(0.0));
        }
    }
    assert_eq!(Scrape(samples), scrape(&vault));

    let traces = crate::support::telemetry::read("traces", &sent[1].body);
    let spans = traces["resourceSpans"][0]["scopeSpans"][0]["spans"]
        .as_array()
        .unwrap();
    assert_eq!(spans.len(), 3, "the run and two days");
    let (run, days) = spans.split_first().unwrap();
    assert_eq!(
        (&run["name"], attribute(run, "cxvault.exit_code")),
        (&"cxvault backfill".into(), &"0".into())
    );
    let nanoseconds =
        |span: &Value, name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
    for (day, date) in days.iter().zip([&from, &days_ago(2)]) {
        assert_eq!(
            (&day["parentSpanId"], &day["traceId"]),
            (&run["spanId"], &run["traceId"])
        );
        assert_eq!(attribute(day, "cxvault.date"), date);
        let (start, end) = (
            nanoseconds(day, "startTimeUnixNano"),
            nanoseconds(day, "endTimeUnixNano"),
        );
        assert!(
            start <= end && start >= nanoseconds(run, "startTimeUnixNano"),
            "{day} in {run}"
        );
        assert!(end <= nanoseconds(run, "endTimeUnixNano"), "{day} in {run}");
    }
}

#[test]
fn a_collector_that_cannot_be_served_is_a_warning_only() {
    let simulator = Simulator::start(today());
    let collector = Receiver::start();
    let date = days_ago(1);
    for (name, value, said) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c", "name=value"),
        ("OTEL_SDK_DISABLED", "true", ""),
    ] {
        let mut vault = Vault::new(&simulator);
        vault
            .set_foreign("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
            .set_foreign(name, value);
        let done = vault.run(&["run", "--date", &date]).expect(0);
        assert!(done.stderr.contains(said), "{done}");
        assert!(collector.take().is_empty(), "{name}");
    }
}
