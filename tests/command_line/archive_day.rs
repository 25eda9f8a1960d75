//! One day, archived from the simulator into a folder by the real program: what is archived, and
//! what is reported when it cannot be.

use std::path::PathBuf;

use crate::support::truth::{Truth, archived};
use crate::support::vault::{DAY, Finished, SUB, Simulator, Vault, options};
use serde_json::{Value, json};

/// Asserts that every manifest of the chain is valid against the schema.
#[track_caller]
fn check_manifests(vault: &Vault, sub: &str) {
    let schema = include_str!("../../schemas/manifest.v1.schema.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    let manifests = vault.manifests(sub);
    assert!(!manifests.is_empty(), "no manifest was written");
    for manifest in manifests {
        if let Err(error) = schema.validate(&manifest) {
            panic!("{error} at {} in {manifest}", error.instance_path());
        }
    }
}

/// Asserts that the archive holds what the simulator shows and that its manifests are in order.
#[track_caller]
fn check_day(vault: &Vault, simulator: &Simulator, sub: &str, date: &str) -> Truth {
    check_manifests(vault, sub);
    let truth = Truth::of_utc_day(simulator, sub, date);
    truth.check(&archived(vault, sub, date));
    truth
}

/// Returns every file of the archive, without the roster.
fn archived_files(vault: &Vault) -> Vec<PathBuf> {
    let mut files = vault.files(&vault.archive());
    files.retain(|path| !path.starts_with(vault.archive().join("roster")));
    files
}

/// Asserts that a second run confirms the day: it sends no request, writes only the record of the
/// run, and says so.
#[track_caller]
fn check_confirmed(vault: &Vault, simulator: &Simulator, date: &str) {
    simulator.reset_stats();
    let (files, all) = (archived_files(vault), vault.files(&vault.archive()).len());
    let again = vault.run_day(date, &[]).expect(0);
    assert_eq!(again.day()["outcome"], "confirmed", "{again}");
    assert_eq!(simulator.requests(), 0, "{}", simulator.stats());
    assert_eq!(
        (archived_files(vault), vault.files(&vault.archive()).len()),
        (files, all + 1)
    );
}

#[test]
fn a_day_with_every_transient_fault_equals_the_truth() {
    let mut options = options();
    options.segments_per_day = 160;
    let faults = &mut options.faults;
    (faults.fault_429, faults.fault_429_retry_after) = (1.0, 0.5);
    (
        faults.fault_500,
        faults.fault_reset,
        faults.fault_short_body,
    ) = (4.0, 3.0, 3.0);
    (faults.fault_token_expiry, faults.fault_latency_ms) = (100.0, 3);
    (faults.duplicates, faults.out_of_window) = (15.0, 8.0);
    (faults.no_id, faults.no_end) = (4.0, 5.0);
    (faults.strange_texts, faults.late_population, faults.edits) = (40.0, 10.0, 10.0);
    let simulator = Simulator::start(options);
    let vault = Vault::new(&simulator);
    let done = vault.run_day(DAY, &[]).expect(0);

    let stats = simulator.stats();
    for fault in [
        "429",
        "429_retry_after",
        "500",
        "reset",
        "short_body",
        "token_expiry",
    ] {
        assert!(
            stats["faults"][fault].as_u64() > Some(0),
            "no {fault}: the test looked at nothing; {stats}"
        );
    }
    assert_eq!(stats["summaries_answered_twice"], 0, "{stats}");
    assert_eq!(stats["authorization_on_summaries"], 0, "{stats}");
    let truth = check_day(&vault, &simulator, SUB, DAY);
    let archived = archived(&vault, SUB, DAY);
    let some = |what: &dyn Fn(&Value) -> bool| archived.values().any(what);
    assert!(some(&|row| row["segment_json"]
        .as_str()
        .unwrap()
        .contains("futureField")));
    assert!(
        some(&|row| row["other_answers_json"].is_string())
            && some(&|row| row["out_of_day"] == true)
    );
    for status in ["PRESENT", "EMPTY", "NOT_FOUND", "BINARY", "NO_ID"] {
        assert!(
            some(&|row| row["agent"]["status"] == status || row["auto"]["status"] == status),
            "no {status}"
        );
    }

    let day = done.day();
    let duplicates = truth.objects - truth.len() as u64;
    assert_eq!(day["archived"]["objects"], truth.objects);
    assert_eq!(day["archived"]["duplicates"], duplicates);
    assert!(duplicates > 0);
    let manifest = vault.newest(SUB);
    assert_eq!(manifest["complete"], true);
    assert_eq!(
        manifest["discovery"]["windows"].as_array().unwrap().len(),
        8
    );
    assert_eq!(
        manifest["coverage"],
        json!({ "first_day": DAY, "days": "c" })
    );
    check_confirmed(&vault, &simulator, DAY);
}

#[test]
fn a_failed_summary_is_a_gap_that_the_next_run_fills() {
    let mut broken = options();
    broken.faults.permanent_500 = 3.5;
    let simulator = Simulator::start(broken);
    let mut vault = Vault::new(&simulator);
    vault.set("MAX_ATTEMPTS", "2");
    let done = vault.run_day(DAY, &[]).expect(3);
    assert_eq!(done.day()["outcome"], "has gaps");
    check_day(&vault, &simulator, SUB, DAY);
    let first = vault.newest(SUB);
    let failed = |kind: &str| first["day"][kind]["FAILED"].as_u64().unwrap();
    let gaps = failed("agent") + failed("auto");
    // Five failures in a row would look like an outage to a run that only fills gaps.
    assert!((2..5).contains(&gaps), "{first}");
    assert_eq!(
        (&first["complete"], &first["failures"]),
        (&json!(false), &json!({ "http_500": gaps }))
    );
    assert_eq!(first["incomplete_because"], json!(["summaries-failed"]));
    assert_eq!(first["coverage"]["days"], "g");

    // FAILED again is no change: nothing is committed, and the gaps are still reported.
    simulator.reset_stats();
    let again = vault.run_day(DAY, &[]).expect(3);
    assert_eq!(again.day()["outcome"], "still has gaps");
    assert_eq!(vault.manifests(SUB).len(), 1);
    assert_eq!(
        simulator.requests_to("summaries"),
        2 * gaps,
        "only the gaps, twice each"
    );

    let repaired = Simulator::start(options());
    vault.move_to(&repaired);
    let done = vault.run_day(DAY, &[]).expect(0);
    assert_eq!(done.day()["archived"]["revision"], 2);
    assert_eq!(repaired.requests_to("summaries"), gaps);
    assert_eq!(repaired.requests_to("discovery"), 0);
    check_day(&vault, &repaired, SUB, DAY);
    let second = vault.newest(SUB);
    let rows = archived(&vault, SUB, DAY);
    let changed = rows
        .values()
        .filter(|row| row["revisions"] == json!([1, 2]))
        .count();
    assert_eq!(second["rows"]["segments"], changed, "only changed rows");
    assert!(changed > 1 && changed <= gaps as usize);
    assert_eq!(second["day"]["segments"], first["day"]["segments"]);
    assert_eq!(
        (&second["complete"], &second["why"]),
        (&json!(true), &json!("gap-fill"))
    );
    assert_eq!(second["discovery"]["from"], "manifest");
    assert_eq!(second["coverage"]["days"], "c");
    check_confirmed(&vault, &repaired, DAY);
}

#[test]
fn a_summary_above_the_size_limit_fails_until_the_limit_is_raised() {
    let mut options = options();
    options.segments_per_day = 40;
    options.faults.too_large = 8.0;
    let simulator = Simulator::start(options);
    let mut vault = Vault::new(&simulator);
    vault.run_day(DAY, &[]).expect(3);
    let failures = vault.newest(SUB)["failures"].take();
    let too_large = failures["too_large"].as_u64().unwrap();
    assert_eq!(failures, json!({ "too_large": too_large }));
    let large = |row: &&Value| {
        ["agent", "auto"]
            .iter()
            .any(|kind| row[*kind]["error"] == "too_large")
    };
    assert!(archived(&vault, SUB, DAY).values().filter(large).count() > 0);

    simulator.reset_stats();
    vault.set("MAX_SUMMARY_BYTES", "8MiB");
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(simulator.requests_to("summaries"), too_large);
    check_day(&vault, &simulator, SUB, DAY);
}

#[test]
fn a_day_whose_windows_are_not_all_answered_is_not_committed() {
    let mut broken = options();
    broken.faults.discovery_500 = 100.0;
    let simulator = Simulator::start(broken);
    let mut vault = Vault::new(&simulator);
    vault.set("MAX_ATTEMPTS", "2");
    let done = vault.run_day(DAY, &[]).expect(5);
    let message = done.day()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("2026-11-20T00:00:00.000Z") && message.contains("is not archived"),
        "{message}"
    );
    assert!(done.day()["remedy"].is_string(), "{done}");
    assert_eq!(vault.manifests(SUB).len(), 0);
    assert_eq!(
        archived_files(&vault),
        [vault.archive().join("archive.json")]
    );

    let repaired = Simulator::start(options());
    vault.move_to(&repaired);
    vault.run_day(DAY, &[]).expect(0);
    check_day(&vault, &repaired, SUB, DAY);
}

#[test]
fn a_day_that_still_settles_is_refused_with_the_time_from_which_it_may_be_archived() {
    let mut options = options();
    options.now = Some("2026-11-21T00:14:00Z".parse().unwrap());
    let simulator = Simulator::start(options);
    let vault = Vault::new(&simulator);
    let done = vault.run_day(DAY, &[]).expect(5);
    assert!(
        done.day()["message"]
            .as_str()
            .unwrap()
            .contains("from 2026-11-21T00:15:00.000Z on"),
        "{done}"
    );
    let unfinished = vault.run_day("2026-11-21", &[]).expect(5);
    assert!(
        unfinished
            .stdout
            .contains("from 2026-11-22T00:15:00.000Z on"),
        "{unfinished}"
    );
    assert_eq!(vault.manifests(SUB).len(), 0);
    assert_eq!(
        simulator.requests_to("discovery"),
        0,
        "the limits are dear: nothing is asked in vain"
    );

    simulator.advance("2m");
    vault.run_day(DAY, &[]).expect(0);
    check_day(&vault, &simulator, SUB, DAY);
}

#[test]
fn a_denied_sub_account_does_not_keep_the_others_from_being_archived() {
    let mut options = options();
    options.sub_accounts = vec![SUB.into(), "88888888".into(), "77777777".into()];
    options.faults.deny = vec!["88888888".into()];
    let simulator = Simulator::start(options);
    let mut vault = Vault::new(&simulator);
    // All sub-accounts that the API lists.
    vault.unset("SUB_ACCOUNTS");
    let done = vault.run_day(DAY, &[]).expect(6);
    let days = done.summary()["days"].take();
    let outcomes: Vec<&str> = days
        .as_array()
        .unwrap()
        .iter()
        .map(|day| day["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["complete", "denied", "complete"], "{done}");
    assert_eq!(days[1]["sub_account"], "88888888");
    assert!(
        days[1]["remedy"].as_str().unwrap().contains("WEM"),
        "{done}"
    );
    for sub in [SUB, "77777777"] {
        check_day(&vault, &simulator, sub, DAY);
    }
    assert_eq!(vault.manifests("88888888").len(), 0);
}

/// A failure says what to do, as text and as JSON, and shows no secret.
#[track_caller]
fn check_refusal(vault: &Vault, exit: i32, remedy_names: &str) {
    let text = vault.run(&["run", "--date", DAY]).expect(exit);
    let json = vault.run_day(DAY, &[]).expect(exit);
    for finished in [text, json] {
        let Finished { stdout, stderr, .. } = &finished;
        assert!(
            stdout.contains(remedy_names) || stderr.contains(remedy_names),
            "{finished}"
        );
        for secret in ["demo-secret", "demo-jwt", "hunter2", "demo-token"] {
            assert!(
                !stdout.contains(secret) && !stderr.contains(secret),
                "{finished}"
            );
        }
    }
    assert_eq!(vault.manifests(SUB).len(), 0);
}

#[test]
fn credentials_that_do_not_suffice_are_named_with_a_remedy() {
    let simulator = Simulator::start(options());
    let vault = || Vault::new(&simulator);
    check_refusal(vault().set("JWT", "hunter2"), 6, "JWT");
    check_refusal(
        vault().set("CLIENT_SECRET", "hunter2"),
        6,
        "CXVAULT_CLIENT_SECRET",
    );
    check_refusal(vault().unset("JWT"), 2, "CXVAULT_JWT");
    check_refusal(
        vault()
            .unset("JWT")
            .unset("CLIENT_ID")
            .unset("CLIENT_SECRET"),
        2,
        "CXVAULT_CLIENT_ID",
    );
}

#[test]
fn a_ready_token_works_while_it_lives() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    vault.unset("JWT").unset("CLIENT_ID").unset("CLIENT_SECRET");
    check_refusal(
        vault
            .set("RINGCX_TOKEN", "hunter2")
            .set("RC_ACCOUNT_ID", "809646016"),
        6,
        "token",
    );
    check_refusal(
        vault
            .set("RINGCX_TOKEN", "demo-token")
            .unset("RC_ACCOUNT_ID"),
        2,
        "CXVAULT_RC_ACCOUNT_ID",
    );
    vault
        .set("RC_ACCOUNT_ID", "809646016")
        .run_day(DAY, &[])
        .expect(0);
    check_day(&vault, &simulator, SUB, DAY);
    assert_eq!(simulator.requests_to("exchange"), 0);
}

#[test]
fn filtered_segments_are_rows_without_requests() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    vault
        .set("CHANNEL_CLASSES", "VOICE")
        .set("SEGMENT_TYPES", "AGENT,BOT");
    let done = vault.run(&["run", "--date", DAY]).expect(0);
    let rows = archived(&vault, SUB, DAY);
    let truth = Truth::of_utc_day(&simulator, SUB, DAY);
    assert_eq!(
        rows.len(),
        truth.len(),
        "a filtered segment is never missing"
    );
    let mut skipped = 0;
    for row in rows.values() {
        let segment: Value = serde_json::from_str(row["segment_json"].as_str().unwrap()).unwrap();
        let wanted = segment["channelClass"] == "VOICE" && segment["segmentType"] != "IVR";
        skipped += usize::from(!wanted);
        for kind in ["agent", "auto"] {
            assert_eq!(row[kind]["status"] == "SKIPPED", !wanted, "{row}");
        }
    }
    assert!(
        skipped > 5 && skipped < rows.len() - 5,
        "{skipped} of {}",
        rows.len()
    );
    assert_eq!(
        simulator.requests_to("summaries") as usize,
        2 * (rows.len() - skipped)
    );
    let manifest = vault.newest(SUB);
    assert_eq!(
        (&manifest["complete"], &manifest["day"]["agent"]["SKIPPED"]),
        (&json!(true), &json!(skipped))
    );
    let agents_line = done
        .stdout
        .lines()
        .find(|line| line.contains(" agent "))
        .unwrap();
    assert!(
        agents_line
            .split_whitespace()
            .any(|cell| cell == skipped.to_string()),
        "{done}"
    );
    check_manifests(&vault, SUB);
    check_confirmed(&vault, &simulator, DAY);
}

#[test]
fn a_day_can_be_cut_into_several_parts() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    vault.set("PART_ROWS", "25").run_day(DAY, &[]).expect(0);
    let rows: Vec<u64> = vault.newest(SUB)["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["rows"].as_u64().unwrap())
        .collect();
    assert!(
        rows.len() > 3 && rows[..rows.len() - 1].iter().all(|&rows| rows == 25),
        "{rows:?}"
    );
    check_day(&vault, &simulator, SUB, DAY);
}

#[test]
fn output_shows_no_secrets_texts_or_phone_numbers() {
    let mut options = options();
    options.sub_accounts = vec![SUB.into(), "88888888".into()];
    options.faults.deny = vec!["88888888".into()];
    let faults = &mut options.faults;
    (
        faults.fault_500,
        faults.fault_reset,
        faults.fault_short_body,
    ) = (5.0, 2.0, 5.0);
    (faults.permanent_500, faults.no_id, faults.strange_texts) = (2.0, 2.0, 20.0);
    (faults.duplicates, faults.fault_token_expiry) = (10.0, 100.0);
    let simulator = Simulator::start(options);
    let texts = Truth::of_utc_day(&simulator, SUB, DAY).texts();
    assert!(
        texts.len() > 100 && texts.iter().any(|text| text.starts_with("+1")),
        "{}",
        texts.len()
    );
    for more in [&["-vv"][..], &["-vv", "--json", "--log-format", "json"]] {
        let mut vault = Vault::new(&simulator);
        vault
            .set("SUB_ACCOUNTS", &format!("{SUB},88888888"))
            .set("MAX_ATTEMPTS", "3");
        vault
            .set_foreign("RUST_LOG", "trace")
            .set_foreign("RUST_BACKTRACE", "full");
        let done = vault
            .run(&[&["run", "--date", DAY], more].concat())
            .expect(6);
        assert!(
            done.stderr.lines().count() > 5,
            "this much is no trace: {done}"
        );
        let said = format!("{}{}", done.stdout, done.stderr);
        let secrets = [
            "demo-secret",
            "demo-jwt",
            "sim-cx.",
            "sim-rc.",
            "sim-refresh.",
        ]
        .map(str::to_owned);
        for secret in texts.iter().chain(&secrets) {
            let escaped = serde_json::to_string(secret).unwrap();
            let shown = said.contains(secret.as_str()) || said.contains(escaped.trim_matches('"'));
            assert!(!shown, "{secret} is shown: {done}");
        }
        let manifests = serde_json::to_string(&vault.manifests(SUB)).unwrap();
        let keys = Truth::of_utc_day(&simulator, SUB, DAY);
        let named: Vec<&str> = keys.keys().filter(|key| manifests.contains(key)).collect();
        assert!(named.is_empty(), "a manifest names segments: {named:?}");
    }
}
