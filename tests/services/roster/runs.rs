//! One record for each run, about all sub-accounts; by several processes at once, and by no other
//! command.

use super::*;
use crate::support::vault::DAY;

#[test]
fn a_run_writes_one_record_about_all_sub_accounts_and_its_head_covers_the_archive() {
    let simulator = listing(&[SUB, OTHER]);
    let vault = signing(&simulator);
    let done = vault.run(&["run", "--date", EVE]).expect(0);
    assert!(
        done.stdout.contains(&format!("head {}\n", head(&vault))),
        "{done}"
    );
    let first = newest(&vault);
    assert_eq!(
        (&first["command"], &first["exit"], &first["previous"]),
        (&"run".into(), &"done".into(), &Value::Null)
    );
    assert_eq!(first["place"], vault.archive().to_str().unwrap());
    for id in [SUB, OTHER] {
        let entry = entry(&first, id);
        // No earlier run has recorded them.
        assert_eq!(
            (&entry["listed"], &entry["expected"]),
            (&true.into(), &false.into()),
            "{entry}"
        );
        assert_eq!(
            (&entry["outcome"], &entry["head"]),
            (&"done".into(), &chain_head(&vault, id)),
            "{entry}"
        );
    }
    vault.run_day(DAY, &[]).expect(0);
    // A run that only confirms days writes a record too, and requests only the list of
    // sub-accounts.
    let confirmed = vault.run_day(DAY, &[]).expect(0);
    assert_eq!(confirmed.summary()["roster"], head(&vault), "{confirmed}");
    let all = records(&vault);
    assert!(
        all.len() == 3 && all.iter().all(|record| record["signature"].is_object()),
        "{all:?}"
    );
    assert_eq!(
        all[2]["manifest"]["previous"]["key"],
        key::manifest(key::ROSTER, 2)
    );
    assert_eq!(entry(&all[2]["manifest"], SUB)["expected"], true);

    let kept = head(&vault);
    let verified = vault
        .run(&[
            "verify",
            "--json",
            "--level",
            "deep",
            "--expect-head",
            &kept,
        ])
        .expect(0);
    assert_eq!(findings(&verified), []);
    let verified = vault.run(&["verify", "--json"]).expect(0);
    assert_eq!(
        findings(&verified),
        [("no-expected-head".to_owned(), key::ROSTERS.to_owned())]
    );
    let other = format!("roster:3:{}", "0".repeat(64));
    let verified = vault
        .run(&["verify", "--json", "--expect-head", &other])
        .expect(4);
    assert_eq!(
        findings(&verified),
        [("head-differs".to_owned(), key::manifest(key::ROSTER, 3))]
    );
    for command in ["status", "ls"] {
        let said = vault.run(&[command]).expect(0);
        assert!(said.stdout.contains(&format!("head {kept}")), "{said}");
    }
}

#[test]
fn a_run_for_one_sub_account_carries_the_other_entries_along() {
    let simulator = listing(&[SUB, OTHER]);
    let vault = signing(&simulator);
    vault.run_day(EVE, &[]).expect(0);
    simulator.reset_stats();
    vault.run_day(DAY, &["--sub-account", SUB]).expect(0);
    assert_eq!(
        simulator.requests_to("accounts"),
        0,
        "a run for named sub-accounts requests no list: {}",
        simulator.stats()
    );
    let second = newest(&vault);
    let (one, other) = (entry(&second, SUB), entry(&second, OTHER));
    assert_eq!(
        (&one["listed"], &one["outcome"], &one["head"]["sequence"]),
        (&Value::Null, &"done".into(), &2.into())
    );
    assert_eq!(
        (&other["listed"], &other["outcome"]),
        (&Value::Null, &Value::Null),
        "{other}"
    );
    assert_eq!(
        (&other["expected"], &other["head"]),
        (&true.into(), &chain_head(&vault, OTHER)),
        "{other}"
    );
}

#[test]
fn what_ended_badly_is_in_the_record() {
    let mut options = options();
    options.segments_per_day = 20;
    options.faults.permanent_500 = 30.0;
    let simulator = Simulator::start(options);
    let mut vault = signing(&simulator);
    vault
        .set("SUB_ACCOUNTS", SUB)
        .set("MAX_ATTEMPTS", "1")
        .run_day(DAY, &[])
        .expect(3);
    let record = newest(&vault);
    assert_eq!(
        (&record["exit"], &entry(&record, SUB)["outcome"]),
        (&"gaps".into(), &"gaps".into())
    );
    assert_eq!(
        (
            &entry(&record, SUB)["listed"],
            &entry(&record, SUB)["expected"]
        ),
        (&Value::Null, &true.into())
    );
    // RingCX cannot be reached: there is no head yet, and the record says what happened.
    let mut away = signing(&simulator);
    away.set("SUB_ACCOUNTS", SUB)
        .set("MAX_ATTEMPTS", "1")
        .set("RINGCX_URL", "http://127.0.0.1:9");
    away.set("PLATFORM_URL", "http://127.0.0.1:9")
        .run_day(DAY, &[])
        .expect(5);
    let record = newest(&away);
    let entry = entry(&record, SUB);
    assert_eq!(
        (&entry["outcome"], &entry["head"]),
        (&"later".into(), &Value::Null),
        "{record}"
    );
}

#[test]
fn no_other_command_writes_a_record() {
    let simulator = listing(&[SUB]);
    let vault = signing(&simulator);
    vault.run(&["run", "--dry-run"]).expect(0);
    assert_eq!(vault.files(&vault.archive()), Vec::<PathBuf>::new());
    vault.run_day(EVE, &[]).expect(0);
    let next = ["--from", EVE, "--to", DAY];
    for args in [
        &["run", "--dry-run"][..],
        &[&["plan"], &next[..]].concat(),
        &[&["backfill", "--dry-run"], &next[..]].concat(),
        &[&["hold", "add", "--case", "A", "--reason", "x"], &next[..]].concat(),
        &["verify"],
        &["status"],
    ] {
        vault.run(args).expect(0);
        assert_eq!(records(&vault).len(), 1, "{args:?}");
    }
    vault.run(&[&["backfill"], &next[..]].concat()).expect(0);
    vault.run(&[&["recheck"], &next[..]].concat()).expect(0);
    let commands = records(&vault)
        .into_iter()
        .map(|mut record| record["manifest"]["command"].take());
    assert_eq!(commands.collect::<Vec<_>>(), ["run", "backfill", "recheck"]);
    // The hold was recorded in the chain alone; the next roster record names it.
    assert_eq!(entry(&newest(&vault), SUB)["head"], chain_head(&vault, SUB));
}

#[test]
fn concurrent_processes_write_their_records_one_after_the_other() {
    let ids = ["11111111", "22222222", "33333333", "44444444"];
    let simulator = listing(&ids);
    let vault = signing(&simulator);
    // The archive is created first; otherwise the first commits would be of several processes that
    // find no archive.
    vault.run_day(EVE, &["--sub-account", ids[0]]).expect(0);
    let started: Vec<_> = ids
        .iter()
        .map(|id| vault.spawn(&["run", "--json", "--date", DAY, "--sub-account", id]))
        .collect();
    for one in started {
        one.wait().expect(0);
    }
    let all = records(&vault);
    assert_eq!(all.len(), 5);
    let last = &all[4]["manifest"];
    for id in ids {
        assert_eq!(entry(last, id)["head"], chain_head(&vault, id));
    }
    let verified = vault
        .run(&["verify", "--json", "--expect-head", &head(&vault)])
        .expect(0);
    assert_eq!(findings(&verified), []);
}

#[test]
fn an_archive_older_than_its_roster_is_covered_by_the_first_one() {
    let simulator = listing(&[SUB, OTHER]);
    let vault = signing(&simulator);
    vault.run_day(EVE, &[]).expect(0);
    std::fs::remove_dir_all(vault.archive().join("roster")).unwrap();
    std::fs::remove_dir_all(vault.state()).unwrap();
    let verified = vault.run(&["verify", "--json"]).expect(0);
    assert!(
        findings(&verified).contains(&("no-roster".to_owned(), key::ROSTERS.to_owned())),
        "{verified}"
    );
    vault.run_day(DAY, &["--sub-account", SUB]).expect(0);
    let first = newest(&vault);
    let other = entry(&first, OTHER);
    assert_eq!(
        (&other["expected"], &other["head"]),
        (&false.into(), &chain_head(&vault, OTHER)),
        "{other}"
    );
}
