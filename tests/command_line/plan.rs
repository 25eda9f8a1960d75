//! What `plan` and `--dry-run` report, and that they change nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::vault::{DAY, Finished, SUB, Simulator, Vault, options};
use serde_json::Value;

/// Returns every file below a folder with its bytes; nothing where there is no folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn total(done: &Finished) -> Value {
    let total = done.events().pop().unwrap();
    assert_eq!(total["event"], "plan-total", "{done}");
    total
}

#[test]
fn a_plan_before_the_first_day_touches_nothing_and_says_what_it_cannot_know() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    vault.set("SUB_ACCOUNTS", SUB);
    let range = ["plan", "--from", "2026-11-01", "--to", "2026-11-21"];
    let said = vault.run(&range).expect(0);
    assert!(
        said.stdout.contains("20 days to archive") && said.stdout.contains("--segments-per-day"),
        "{said}"
    );
    assert_eq!(simulator.requests(), 0);
    assert!(contents(&vault.archive()).is_empty() && contents(&vault.state()).is_empty());

    let guessed = vault
        .run(&[&range[..], &["--segments-per-day", "5000", "--json"]].concat())
        .expect(0);
    let total = total(&guessed);
    assert_eq!(
        (&total["archive"], &total["discovery_requests"]),
        (&20.into(), &160.into())
    );
    assert_eq!(total["summary_requests"], 200_000);
}

#[test]
fn the_slower_limit_decides_the_time_and_is_named() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    vault
        .set("SUMMARY_LIMITS", "120/60s")
        .set("DISCOVERY_LIMITS", "3/60s,9/15m");
    let plan = |segments: &str| {
        let range = [
            "plan",
            "--json",
            "--from",
            "2026-11-01",
            "--to",
            "2026-11-19",
            "--segments-per-day",
        ];
        total(&vault.run(&[&range[..], &[segments]].concat()).expect(0))
    };
    // 18 days have 144 windows, which take 16 quarters of an hour.
    let few = plan("10");
    assert_eq!(
        (&few["bottleneck"], &few["seconds"]),
        (&"discovery".into(), &14_400.into()),
        "{few}"
    );
    assert_eq!(few["summary_seconds"], 180);
    let many = plan("5000");
    assert_eq!(
        (&many["bottleneck"], &many["seconds"]),
        (&"summaries".into(), &90_000.into()),
        "{many}"
    );
}

#[test]
fn a_share_of_the_limits_takes_as_much_longer() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    vault
        .set("SUMMARY_LIMITS", "120/60s")
        .set("DISCOVERY_LIMITS", "3/60s,9/15m")
        .set("QUOTA_SHARE", "1/3");
    let range = [
        "plan",
        "--from",
        "2026-11-01",
        "--to",
        "2026-11-19",
        "--segments-per-day",
        "5000",
    ];
    let planned = total(&vault.run(&[&range[..], &["--json"]].concat()).expect(0));
    assert_eq!(
        (&planned["discovery_seconds"], &planned["summary_seconds"]),
        (&43_200.into(), &270_000.into())
    );
    let said = vault.run(&range).expect(0);
    assert!(
        said.stdout.contains("at 1/60s,3/15m") && said.stdout.contains("at 40/60s"),
        "{said}"
    );
    // The plan shows the limits in force, and what is left of them.
    let shown = vault.run(&["config"]).expect(0);
    assert!(
        shown
            .stdout
            .contains("This machine uses 1/3 of the limits: summaries 40/60s"),
        "{shown}"
    );
    let limits = vault.run(&["config", "--json"]).expect(0).events()[0]["limits"].clone();
    assert_eq!(limits["discovery"], "1/60s,3/15m");
    let checked = vault.run(&["doctor", "--store-only"]);
    assert!(
        checked.stdout.contains("quota share: 1/3") && checked.stdout.contains("2/3 is left"),
        "{checked}"
    );
}

#[test]
fn archived_days_give_the_volume_and_are_not_planned_again() {
    let simulator = Simulator::start(options());
    let vault = Vault::new(&simulator);
    let day = vault.run_day(DAY, &[]).day();
    let segments = day["archived"]["counts"]["segments"].as_u64().unwrap();
    let (archive, state) = (contents(&vault.archive()), contents(&vault.state()));
    simulator.reset_stats();
    // The same weekday a week before, and the days between.
    let planned = vault
        .run(&[
            "plan",
            "--json",
            "--from",
            "2026-11-13",
            "--to",
            "2026-11-21",
        ])
        .expect(0);
    assert_eq!(
        (
            &total(&planned)["archive"],
            &total(&planned)["unknown_days"]
        ),
        (&7.into(), &0.into())
    );
    assert_eq!(planned.events()[0]["days"][0]["segments"], segments);

    // Each command's dry run plans that command's work.
    let range = ["--json", "--from", DAY, "--to", "2026-11-21", "--dry-run"];
    let backfill = total(&vault.run(&[&["backfill"], &range[..]].concat()).expect(0));
    assert_eq!(
        (&backfill["archive"], &backfill["bottleneck"]),
        (&0.into(), &Value::Null)
    );
    let recheck = total(&vault.run(&[&["recheck"], &range[..]].concat()).expect(0));
    assert_eq!(
        (&recheck["recheck"], &recheck["discovery_requests"]),
        (&1.into(), &8.into())
    );
    let night = total(
        &vault
            .run(&["run", "--date", "2026-11-19", "--dry-run", "--json"])
            .expect(0),
    );
    assert_eq!(night["archive"], 1);
    assert_eq!(
        simulator.requests_to("summaries") + simulator.requests_to("discovery"),
        0
    );
    assert_eq!(
        (contents(&vault.archive()), contents(&vault.state())),
        (archive, state)
    );
    let nothing = vault
        .run(&["plan", "--from", DAY, "--to", "2026-11-21"])
        .expect(0);
    assert!(nothing.stdout.contains("Nothing to do"), "{nothing}");
}

#[test]
fn days_that_leave_the_source_are_named() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    let day = |ago: i64| crate::support::vault::days_ago(ago);
    vault
        .set("SOURCE_RETENTION", "10d")
        .set("SUMMARY_LIMITS", "120/60s");
    let range = [
        "plan",
        "--json",
        "--from",
        &day(14),
        "--to",
        &day(5),
        "--segments-per-day",
    ];
    let soon = total(&vault.run(&[&range[..], &["1"]].concat()).expect(0));
    let names = |of: &Value| of.as_array().unwrap().len();
    // At any hour, days 14 to 11 began more than ten days ago, and day 10 at most that.
    assert!(names(&soon["beyond_retention"]) >= 4, "{soon}");
    let later = total(&vault.run(&[&range[..], &["40000"]].concat()).expect(0));
    assert!(
        names(&later["leaving"]) > names(&soon["leaving"]),
        "{later}"
    );
    assert!(later["leaving"][0].as_str().unwrap().starts_with(SUB));
}

#[test]
fn a_thousand_sub_accounts_are_planned_with_sums_for_people_and_all_of_them_for_machines() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    let ids: Vec<String> = (0..1_000).map(|n| format!("sub{n:04}")).collect();
    vault.set("SUB_ACCOUNTS", &ids.join(","));
    let range = [
        "plan",
        "--from",
        "2026-11-01",
        "--to",
        "2026-11-03",
        "--segments-per-day",
        "10",
    ];
    let said = vault.run(&range).expect(0);
    assert!(
        said.stdout.contains("2,000 days to archive") && said.stdout.contains("980 more"),
        "{said}"
    );
    let all = vault.run(&[&range[..], &["--json"]].concat()).expect(0);
    assert_eq!(
        all.events()
            .iter()
            .filter(|event| event["event"] == "plan")
            .count(),
        1_000
    );
    assert_eq!(total(&all)["summary_requests"], 40_000);
}
