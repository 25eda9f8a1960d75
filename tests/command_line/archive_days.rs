//! Several days: warnings that compare them, missed nights, clock changes, and an archive that was
//! changed by another program.

use std::fs;

use crate::support::truth::{Truth, archived};
use crate::support::vault::{
    DAY, SUB, Simulator, Vault, days_ago, options, options_of_today, until,
};
use serde_json::{Value, json};

/// The Friday before [`DAY`].
const WEEK_BEFORE: &str = "2026-11-13";

fn warnings(manifest: &Value) -> Vec<&str> {
    manifest["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect()
}

#[test]
fn a_first_day_without_segments_is_a_warning_until_it_is_acknowledged() {
    let mut options = options();
    options.faults.empty = true;
    let simulator = Simulator::start(options);
    let vault = Vault::new(&simulator);
    let done = vault.run(&["run", "--date", DAY]).expect(3);
    assert!(
        done.stdout.contains("warning first-day-empty") && done.stdout.contains("WEM access"),
        "{done}"
    );
    let manifest = vault.newest(SUB);
    assert_eq!(warnings(&manifest), ["first-day-empty"]);
    assert_eq!(
        (&manifest["coverage"]["days"], &manifest["files"]),
        (&json!("e"), &json!([]))
    );
    assert_eq!(archived(&vault, SUB, DAY).len(), 0);
    vault.run_day(DAY, &[]).expect(0);

    let mut knowing = Vault::new(&simulator);
    let done = knowing
        .set("KNOWN_WARNINGS", "first-day-empty")
        .run_day(DAY, &[])
        .expect(0);
    assert_eq!(
        done.day()["archived"]["warnings"][0]["acknowledged"],
        true,
        "{done}"
    );
}

#[test]
fn an_empty_day_among_others_is_committed_as_such() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    vault.run_day("2026-11-18", &[]).expect(0);
    let mut empty = options();
    empty.faults.empty = true;
    let empty = Simulator::start(empty);
    vault.move_to(&empty);
    vault.run_day("2026-11-19", &[]).expect(0);
    vault.move_to(&simulator);
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(
        vault.newest(SUB)["coverage"],
        json!({ "first_day": "2026-11-18", "days": "cec" })
    );
}

#[test]
fn a_day_far_under_its_weekday_is_named() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    vault.run_day(WEEK_BEFORE, &[]).expect(0);
    let mut quiet = options();
    quiet.segments_per_day = 8;
    let quiet = Simulator::start(quiet);
    vault.move_to(&quiet);
    // Two days at once: there is no earlier Thursday to compare with.
    vault.run_day("2026-11-19", &[]).expect(0);
    let done = vault.run(&["run", "--date", DAY]).expect(3);
    assert!(
        done.stdout
            .contains("warning low-volume: 8 segments, where 80 are usual"),
        "{done}"
    );
    let manifest = vault.newest(SUB);
    assert_eq!(
        (warnings(&manifest), &manifest["complete"]),
        (vec!["low-volume"], &json!(true))
    );
    assert_eq!(manifest["coverage"]["days"], "cmmmmmcc");
}

#[test]
fn an_agent_group_whose_ai_summaries_stop_is_named() {
    let with_two_groups = || {
        let mut options = options();
        options.agent_groups = 2;
        options
    };
    let simulator = Simulator::start(with_two_groups());
    let mut vault = Vault::new(&simulator);
    vault.run_day("2026-11-19", &[]).expect(0);
    let mut off = with_two_groups();
    off.faults.ai_off = vec!["4101".into()];
    let off = Simulator::start(off);
    vault.move_to(&off);
    let done = vault.run(&["run", "--date", DAY]).expect(3);
    assert!(
        done.stdout.contains("warning summaries-stopped:4101"),
        "{done}"
    );
    assert!(
        done.stdout.contains("Enable AI Summaries") && !done.stdout.contains(":4102"),
        "{done}"
    );
    assert_eq!(vault.newest(SUB)["warnings"][0]["agent_group"], "4101");
}

/// Returns a simulator with days of the real calendar, for runs that choose their days themselves.
fn by_the_real_clock(segments_per_day: u64) -> (Simulator, Vault) {
    let mut options = options_of_today();
    options.segments_per_day = segments_per_day;
    let simulator = Simulator::start(options);
    let vault = Vault::new(&simulator);
    (simulator, vault)
}

#[test]
fn one_run_makes_up_for_three_missed_nights() {
    let (simulator, mut vault) = by_the_real_clock(30);
    let first = days_ago(5);
    vault.set("CATCH_UP", "5d").run_day(&first, &[]).expect(0);
    let done = vault.run(&["run", "--json"]).expect(0);
    let days = done.summary()["days"].take();
    let dates: Vec<&str> = days
        .as_array()
        .unwrap()
        .iter()
        .map(|day| day["date"].as_str().unwrap())
        .collect();
    // Yesterday and three missed nights.
    assert_eq!(dates.len(), 4, "{done}");
    let manifest = vault.newest(SUB);
    assert_eq!(
        manifest["coverage"],
        json!({ "first_day": first, "days": "c".repeat(dates.len() + 1) })
    );
    for date in &dates {
        Truth::of_utc_day(&simulator, SUB, date).check(&archived(&vault, SUB, date));
    }

    simulator.reset_stats();
    let again = vault.run(&["run", "--json"]).expect(0);
    assert_eq!(again.day()["outcome"], "confirmed", "{again}");
    assert_eq!(simulator.requests(), 0, "{}", simulator.stats());
}

/// The journal holds texts of customers, and answers that cost requests.
#[test]
fn what_a_killed_recheck_left_is_finished_on_another_night() {
    let (simulator, mut vault) = by_the_real_clock(60);
    let (day, next) = (days_ago(3), days_ago(2));
    vault.run_day(&day, &[]).expect(0);
    vault.set("SUMMARY_LIMITS", "60/60s");
    simulator.reset_stats();
    let recheck = vault.spawn(&["recheck", "--from", &day, "--to", &next, "--only", "all"]);
    until("some summaries", || simulator.requests_to("summaries") >= 2);
    let journals = |vault: &Vault| {
        vault
            .files(&vault.state())
            .iter()
            .filter(|path| path.ends_with("journal.sqlite"))
            .count()
    };
    // While the recheck runs, the nightly run leaves it alone.
    vault.set("SUMMARY_LIMITS", "off").run(&["run"]).expect(0);
    recheck.signal("KILL");
    recheck.wait();
    assert_eq!(journals(&vault), 1);

    vault.run(&["run"]).expect(0);
    assert_eq!(journals(&vault), 0);
    let of_day = |one: &Value| one["manifest"]["date"] == day.as_str();
    let whys: Vec<Value> = vault
        .manifests(SUB)
        .iter()
        .filter(|one| of_day(one))
        .map(|one| one["manifest"]["why"].clone())
        .collect();
    assert_eq!(whys, ["nightly", "recheck"]);
}

/// RingCX deletes days that were never fetched; gaps can wait, and may never close.
#[test]
fn missing_days_come_before_days_with_gaps() {
    let (_simulator, mut vault) = by_the_real_clock(30);
    vault.set("MAX_SUMMARY_BYTES", "2B");
    for days in [5, 2] {
        vault.run_day(&days_ago(days), &[]).expect(3);
    }
    vault.unset("MAX_SUMMARY_BYTES");
    let done = vault.run(&["run", "--json"]).expect(0);
    let events = done
        .events()
        .into_iter()
        .filter(|event| event["event"] == "day");
    let revisions: Vec<u64> = events
        .map(|day| day["archived"]["revision"].as_u64().unwrap())
        .collect();
    assert!(
        revisions.starts_with(&[1, 1, 1]) && revisions.ends_with(&[2, 2]) && revisions.is_sorted(),
        "{done}"
    );
    assert!(
        !vault.newest(SUB)["coverage"]["days"]
            .as_str()
            .unwrap()
            .contains(['g', 'm'])
    );
}

#[test]
fn days_follow_the_clocks_of_their_zone() {
    let cases = [
        (
            "America/New_York",
            "2026-11-01",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
            9,
        ),
        (
            "America/New_York",
            "2026-03-08",
            "2026-03-08T05:00:00Z",
            "2026-03-09T04:00:00Z",
            8,
        ),
        (
            "Asia/Kathmandu",
            "2026-11-20",
            "2026-11-19T18:15:00Z",
            "2026-11-20T18:15:00Z",
            8,
        ),
        (
            "Africa/Cairo",
            "2026-04-24",
            "2026-04-23T22:00:00Z",
            "2026-04-24T21:00:00Z",
            8,
        ),
        (
            "Australia/Lord_Howe",
            "2026-04-05",
            "2026-04-04T13:00:00Z",
            "2026-04-05T13:30:00Z",
            9,
        ),
    ];
    let mut options = options();
    (options.faults.duplicates, options.faults.out_of_window) = (20.0, 10.0);
    let simulator = Simulator::start(options);
    for (zone, date, from, to, windows) in cases {
        let mut vault = Vault::new(&simulator);
        vault.set("TIME_ZONE", zone).run_day(date, &[]).expect(0);
        let truth = Truth::between(&simulator, SUB, from, to);
        truth.check(&archived(&vault, SUB, date));
        let manifest = vault.newest(SUB);
        assert_eq!(
            manifest["discovery"]["windows"].as_array().unwrap().len(),
            windows,
            "{zone} {date}"
        );
        assert_eq!(
            manifest["discovery"]["objects"], truth.objects,
            "{zone} {date}"
        );
    }
}

#[test]
fn days_on_both_sides_of_a_clock_change_abut_in_any_order() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    vault.set("TIME_ZONE", "America/New_York");
    for date in ["2026-11-02", "2026-10-31", "2026-11-01"] {
        vault.run_day(date, &[]).expect(0);
    }
    let manifests = vault.manifests(SUB);
    let window = |n: usize| &manifests[n]["manifest"]["window"];
    assert_eq!(
        (&window(1)["end"], &window(2)["end"]),
        (&window(2)["start"], &window(0)["start"])
    );
    assert_eq!(
        vault.newest(SUB)["coverage"],
        json!({ "first_day": "2026-10-31", "days": "ccc" })
    );
}

#[test]
fn the_zone_of_a_chain_stays() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    vault.run_day("2026-11-19", &[]).expect(0);
    simulator.reset_stats();
    vault.set("TIME_ZONE", "Europe/Paris");
    // The same applies to a complete day: the settings contradict the archive.
    for date in ["2026-11-19", DAY] {
        let done = vault.run_day(date, &[]).expect(2);
        assert!(
            done.day()["remedy"]
                .as_str()
                .unwrap()
                .contains("Set the zone of this sub-account to UTC"),
            "{done}"
        );
    }
    assert_eq!((simulator.requests(), vault.manifests(SUB).len()), (0, 1));
}

#[test]
fn losing_the_state_folder_costs_nothing_but_time() {
    let simulator = Simulator::start(options());
    let vault = Vault::new(&simulator);
    vault.run_day("2026-11-19", &[]).expect(0);
    let left = vault.files(&vault.state());
    assert!(
        left.iter().all(|path| !path.ends_with("journal.sqlite")),
        "people's words stay behind: {left:?}"
    );
    fs::remove_dir_all(vault.state()).unwrap();
    simulator.reset_stats();
    vault.run_day("2026-11-19", &[]).expect(0);
    assert_eq!(simulator.requests(), 0);
    vault.run_day(DAY, &[]).expect(0);
    Truth::of_utc_day(&simulator, SUB, DAY).check(&archived(&vault, SUB, DAY));
}

/// Archives two days and applies `tamper`: the next day must be refused as a violation.
#[track_caller]
fn check_violation(tamper: impl Fn(&Vault), named: &str) {
    let simulator = Simulator::start(options());
    let vault = Vault::new(&simulator);
    for date in ["2026-11-18", "2026-11-19"] {
        vault.run_day(date, &[]).expect(0);
    }
    tamper(&vault);
    let files = vault.files(&vault.archive());
    let done = vault.run_day(DAY, &[]).expect(4);
    let day = done.day();
    assert_eq!(day["outcome"], "violated");
    assert!(
        day["message"].as_str().unwrap().contains(named) && day["remedy"].is_string(),
        "{done}"
    );
    assert_eq!(
        vault.files(&vault.archive()),
        files,
        "nothing is written to it any more"
    );
}

#[test]
fn a_chain_that_was_changed_is_not_written_to() {
    let manifest = |vault: &Vault, n: u32| {
        vault
            .archive()
            .join(format!("manifests/v1/sub_account={SUB}/{n:010}.json"))
    };
    check_violation(
        |vault| fs::remove_file(manifest(vault, 2)).unwrap(),
        "0000000002.json is missing",
    );
    check_violation(
        |vault| fs::remove_dir_all(vault.archive().join("manifests")).unwrap(),
        "is missing",
    );
    let rewrite = |vault: &Vault, n: u32| {
        let path = manifest(vault, n);
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("\"segments\":80", "\"segments\":81");
        fs::remove_file(&path).unwrap();
        fs::write(&path, text).unwrap();
    };
    check_violation(|vault| rewrite(vault, 2), "0000000002.json");
    check_violation(|vault| rewrite(vault, 1), "0000000001.json");
    let cut = |vault: &Vault| {
        let path = manifest(vault, 2);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    };
    check_violation(cut, "0000000002.json is damaged");
}
