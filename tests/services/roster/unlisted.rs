//! A sub-account that RingCX no longer lists: exit code 6 until the operator acknowledges it.

use super::*;
use crate::support::vault::DAY;

fn named(id: &str) -> String {
    format!("sub_account={id}")
}

#[test]
fn a_sub_account_that_disappears_is_missed_until_it_is_acknowledged() {
    let (whole, narrowed) = (listing(&[SUB, OTHER]), listing(&[SUB]));
    let mut vault = signing(&whole);
    vault.run_day(EVE, &[]).expect(0);
    vault.move_to(&narrowed);
    let done = vault.run(&["run", "--date", DAY]).expect(6);
    assert!(
        done.stdout.contains(&format!(
            "{OTHER} unlisted: RingCX no longer lists sub-account {OTHER}"
        )),
        "{done}"
    );
    assert!(
        done.stdout.contains(&format!("unlisted:{OTHER}")) && done.stdout.contains("RingCX Admin"),
        "{done}"
    );
    // The other sub-accounts are still archived.
    assert_eq!(vault.newest(SUB)["date"], DAY);
    let record = newest(&vault);
    let other = entry(&record, OTHER);
    assert_eq!(
        (&record["exit"], &other["listed"], &other["expected"]),
        (&"denied".into(), &false.into(), &true.into())
    );
    assert_eq!(
        other["unlisted"],
        serde_json::json!({ "since": 2, "acknowledged": false })
    );
    assert_eq!(other["head"], chain_head(&vault, OTHER));

    let verified = vault.run(&["verify", "--json"]).expect(3);
    assert!(
        findings(&verified).contains(&("sub-account-unlisted".to_owned(), named(OTHER))),
        "{verified}"
    );
    let status = vault.run(&["status"]).expect(0);
    assert!(
        status
            .stdout
            .contains(&format!("{OTHER} is no longer listed by RingCX")),
        "{status}"
    );
    let page = vault.folder.path().join("report.html");
    let report = vault
        .run(&["report", "--json", "--out", page.to_str().unwrap()])
        .expect(0);
    assert_eq!(report.events().pop().unwrap()["standing"], "open");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains(&format!("Sub-account {OTHER}: RingCX no longer lists it"))
            && page.contains(&head(&vault))
    );

    // A run that requests no list complains of nothing and forgets nothing.
    vault.run_day(DAY, &["--sub-account", SUB]).expect(0);
    assert_eq!(
        entry(&newest(&vault), OTHER)["unlisted"]["acknowledged"],
        false
    );
    let again = vault.run_day(DAY, &[]).expect(6);
    let days = again.summary()["days"].take();
    let one = days
        .as_array()
        .unwrap()
        .iter()
        .find(|day| day["sub_account"] == OTHER)
        .unwrap();
    assert_eq!(
        (&one["outcome"], &one["exit"], &one["date"]),
        (&"unlisted".into(), &"denied".into(), &Value::Null)
    );

    vault.set(
        "KNOWN_WARNINGS",
        &format!("first-day-empty,low-volume,unlisted:{OTHER}"),
    );
    vault.run_day(DAY, &[]).expect(0);
    // The acknowledgement is recorded in the chain now: the setting is no longer needed.
    vault
        .set("KNOWN_WARNINGS", "first-day-empty,low-volume")
        .run_day(DAY, &[])
        .expect(0);
    let verified = vault.run(&["verify", "--json"]).expect(0);
    assert!(
        findings(&verified).contains(&("sub-account-acknowledged".to_owned(), named(OTHER))),
        "{verified}"
    );

    // Listed again, then no longer listed.
    vault.move_to(&whole);
    vault.run_day(DAY, &[]).expect(0);
    assert!(entry(&newest(&vault), OTHER).get("unlisted").is_none());
    vault.move_to(&narrowed);
    vault.run_day(DAY, &[]).expect(6);
}

#[test]
fn settings_that_name_a_sub_account_need_no_list() {
    let (whole, narrowed) = (listing(&[SUB, OTHER]), listing(&[SUB]));
    let mut vault = signing(&whole);
    vault.run_day(EVE, &[]).expect(0);
    vault.move_to(&narrowed);
    vault.run_day(EVE, &[]).expect(6);
    // The simulator of the complete account still answers requests for it.
    vault.move_to(&whole);
    vault
        .set("SUB_ACCOUNTS", &format!("{SUB},{OTHER}"))
        .run_day(DAY, &[])
        .expect(0);
    let other = entry(&newest(&vault), OTHER);
    assert_eq!(
        (&other["listed"], &other["expected"], &other["outcome"]),
        (&Value::Null, &true.into(), &"done".into())
    );
    assert!(other.get("unlisted").is_none(), "{other}");
}

/// Each shard requests the whole list, so each of them detects it; no shard reports the
/// sub-accounts of another one.
#[test]
fn shards_list_everything() {
    let (whole, narrowed) = (listing(&[SUB, OTHER]), listing(&[SUB]));
    let mut vault = signing(&whole);
    let range = ["backfill", "--json", "--from", EVE, "--to", DAY];
    for shard in ["1/2", "2/2"] {
        vault
            .run(&[&range[..], &["--shard", shard]].concat())
            .expect(0);
        assert!(
            newest(&vault)["sub_accounts"]
                .as_array()
                .unwrap()
                .iter()
                .all(|one| one["listed"] == true)
        );
    }
    vault.move_to(&narrowed);
    for shard in ["1/2", "2/2"] {
        vault
            .run(&[&range[..], &["--shard", shard]].concat())
            .expect(6);
    }
    assert_eq!(entry(&newest(&vault), OTHER)["unlisted"]["since"], 3);
}

#[test]
fn roster_is_no_sub_account() {
    let simulator = listing(&[SUB, "roster"]);
    let mut vault = signing(&simulator);
    let said = vault
        .run(&["run", "--date", DAY, "--sub-account", "roster"])
        .expect(2);
    assert!(said.stderr.contains("roster"), "{said}");
    vault
        .set("SUB_ACCOUNTS", "roster")
        .run_day(DAY, &[])
        .expect(2);
    // A sub-account that is listed cannot be archived, and that is reported.
    vault.unset("SUB_ACCOUNTS").run_day(DAY, &[]).expect(1);
}
