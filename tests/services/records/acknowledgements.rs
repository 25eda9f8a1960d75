//! Acknowledged gaps: which commands no longer report them, and which still try to fill them.

use serde_json::json;

use super::*;
use crate::support::vault::{days_ago, options_of_today};

const REASON: &str = "RingCX answers 500 for these – Fall 0815";

fn acknowledge(vault: &Vault, from: &str, to: &str, reason: &str) -> Finished {
    vault.run(&[
        "acknowledge",
        "--json",
        "--from",
        from,
        "--to",
        to,
        "--reason",
        reason,
        "--by",
        "A. Müller",
    ])
}

fn state_of(vault: &Vault, day: &str) -> Value {
    let status = vault.run(&["status", "--json"]).expect(0);
    let mut days = status
        .events()
        .into_iter()
        .filter(|event| event["event"] == "day-status");
    days.find(|event| event["date"] == day)
        .unwrap_or_else(|| panic!("{status}"))["state"]
        .take()
}

#[test]
fn acknowledged_gaps_send_no_notification_until_a_later_revision() {
    let simulator = broken();
    let mut vault = signing(&simulator);
    vault.run_day(DAY, &[]).expect(3);
    let verified = vault.run(&["verify", "--json"]).expect(3);
    assert_eq!(codes(&verified), ["day-incomplete"]);

    let noted = acknowledge(&vault, DAY, NEXT, REASON).expect(0);
    let event = &noted.events()[0];
    let record = vault.newest(SUB);
    assert_eq!(
        (&event["event"], &event["days"]),
        (&json!("acknowledged"), &record["days"])
    );
    assert!(
        event["head"].as_str().unwrap().starts_with("99999999:2:"),
        "{event}"
    );
    let day = vault.manifests(SUB)[0]["manifest"].clone();
    let failed = |kind: &str| day["day"][kind]["FAILED"].clone();
    assert!(
        failed("agent").as_u64().unwrap() + failed("auto").as_u64().unwrap() > 0,
        "{day}"
    );
    assert_eq!(record["days"][0]["agent_failed"], failed("agent"));
    assert_eq!(record["days"][0]["auto_failed"], failed("auto"));
    assert_eq!(record["days"][0]["manifest"]["key"], day["key"]);
    assert_eq!(
        (&record["reason"], &record["by"]),
        (&json!(REASON), &json!("A. Müller"))
    );
    assert_eq!(record["coverage"]["days"], "a");
    check_schema(&vault);

    // No notification is sent.
    let verified = vault
        .run(&["verify", "--json", "--level", "deep"])
        .expect(0);
    assert_eq!(codes(&verified), ["day-acknowledged"]);
    assert_eq!(state_of(&vault, DAY), "acknowledged");

    // The same command again writes no second record; another reason does not replace the first
    // one.
    let again = acknowledge(&vault, DAY, NEXT, REASON).expect(0);
    assert_eq!(again.events()[0]["head"], Value::Null);
    let other = acknowledge(&vault, DAY, NEXT, "on second thoughts").expect(2);
    assert!(
        other
            .stdout
            .contains("acknowledged already, with another reason"),
        "{other}"
    );
    assert_eq!(kinds(&vault), ["day", "acknowledgement"]);

    // A run for exactly this day still tries to fill the gaps.
    simulator.reset_stats();
    let tried = vault.run_day(DAY, &[]).expect(0);
    assert_eq!(tried.day()["outcome"], "gaps acknowledged");
    assert!(simulator.requests_to("summaries") > 0);
    simulator.reset_stats();
    let filled = vault
        .run(&["backfill", "--json", "--from", DAY, "--to", NEXT])
        .expect(0);
    assert_eq!(filled.day()["outcome"], "gaps acknowledged");
    assert!(simulator.requests_to("summaries") > 0);
    assert_eq!(kinds(&vault), ["day", "acknowledgement"]);

    // Summaries that arrive after all become the next revision of the day.
    let mended = {
        let mut options = options();
        options.segments_per_day = 40;
        Simulator::start(options)
    };
    vault.move_to(&mended);
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(state_of(&vault, DAY), "complete");
    assert_eq!(codes(&vault.run(&["verify", "--json"]).expect(0)), [""; 0]);
    assert_eq!(kinds(&vault), ["day", "acknowledgement", "day"]);
    // A complete day has nothing to acknowledge.
    let refused = acknowledge(&vault, DAY, NEXT, REASON).expect(2);
    assert!(
        refused.stdout.contains("has no gaps to acknowledge"),
        "{refused}"
    );
}

/// A recheck is recorded as a revision of its own and adds no gap: it sends no notification either.
#[test]
fn a_recheck_that_adds_no_gap_leaves_them_acknowledged() {
    let simulator = broken();
    let vault = signing(&simulator);
    vault.run_day(DAY, &[]).expect(3);
    acknowledge(&vault, DAY, NEXT, REASON).expect(0);
    let again = vault
        .run(&[
            "recheck", "--json", "--from", DAY, "--to", NEXT, "--only", "all",
        ])
        .expect(0);
    assert_eq!(again.day()["archived"]["revision"], 2, "{again}");
    assert_eq!(kinds(&vault), ["day", "acknowledgement", "day"]);
    assert_eq!(state_of(&vault, DAY), "acknowledged");
    assert_eq!(
        codes(&vault.run(&["verify", "--json"]).expect(0)),
        ["day-acknowledged"]
    );
    check_schema(&vault);

    // Other summaries fail than the acknowledged ones.
    let worse = {
        let mut options = options();
        options.segments_per_day = 60;
        options.faults.permanent_500 = 15.0;
        Simulator::start(options)
    };
    let mut vault = vault;
    vault.move_to(&worse);
    vault
        .run(&["recheck", "--json", "--from", DAY, "--to", NEXT])
        .expect(3);
    assert_eq!(state_of(&vault, DAY), "gaps");
    assert_eq!(
        codes(&vault.run(&["verify", "--json"]).expect(3)),
        ["day-incomplete"]
    );
}

/// Uses days of the real calendar, since catching up chooses them.
#[test]
fn the_nightly_run_leaves_acknowledged_days_alone() {
    let mut options = options_of_today();
    options.segments_per_day = 40;
    options.faults.permanent_500 = 15.0;
    let simulator = Simulator::start(options);
    let vault = signing(&simulator);
    let (older, yesterday, today) = (days_ago(2), days_ago(1), days_ago(0));
    vault.run_day(&older, &[]).expect(3);
    acknowledge(&vault, &older, &yesterday, REASON).expect(0);
    let mended = vault.run(&["run", "--json"]).expect(3);
    let days = mended.summary()["days"].clone();
    assert_eq!(
        (days.as_array().unwrap().len(), &days[0]["date"]),
        (1, &json!(yesterday)),
        "{mended}"
    );

    // Yesterday's gaps as well: the day is confirmed without a request, and the exit code is not 3.
    acknowledge(&vault, &yesterday, &today, "the same").expect(0);
    simulator.reset_stats();
    let quiet = vault.run(&["run", "--json"]).expect(0);
    assert_eq!(quiet.day()["outcome"], "gaps acknowledged");
    assert_eq!(simulator.requests(), 0);
}

#[test]
fn what_is_no_gap_is_not_acknowledged() {
    let simulator = broken();
    let vault = signing(&simulator);
    vault.run_day(DAY, &[]).expect(3);
    let files = vault.files(&vault.archive());
    for (from, to, reason, said) in [
        (EVE, NEXT, "a", "was never archived on 2026-11-19"),
        (DAY, "2026-11-30", "a", "2026-11-25 and 4 more"),
        (DAY, DAY, "a", "contains no day"),
        (DAY, NEXT, "two\nlines", "it holds a control character"),
        (DAY, NEXT, "\u{1b}[2J", "it holds a control character"),
        (DAY, NEXT, " ", "it is empty"),
    ] {
        let refused = acknowledge(&vault, from, to, reason).expect(2);
        let text = format!("{}{}", refused.stdout, refused.stderr);
        assert!(text.contains(said), "{from} {to} {reason:?}: {text}");
    }
    assert_eq!(vault.files(&vault.archive()), files);
    // No archive is created, either.
    let empty = Vault::new(&simulator);
    acknowledge(&empty, DAY, NEXT, "a").expect(2);
    assert!(empty.files(&empty.archive()).is_empty());
}
