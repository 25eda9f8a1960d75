//! A copy becomes the archive: it is copied, refuses writers, is taken over, is continued, and is
//! no copy any more.

use super::*;
use crate::support::minio::minio;

#[test]
fn a_copy_is_taken_over_continued_and_no_longer_copied_to() {
    let simulator = simulator();
    let (from, to) = (
        Bucket::new(minio(), "lost", true),
        Bucket::new(minio(), "found", true),
    );
    let mut vault = owner(&simulator);
    from.used_by(&mut vault, None);
    vault.set("OBJECT_LOCK", "governance:2d");
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    may_copy_to(&mut vault, minio(), None);
    copy(&vault, &to.location(), &[]).expect(0);
    let copied = to.contents();

    // Another user, on another host.
    let mut heir = owner(&simulator);
    to.used_by(&mut heir, None);
    heir.set("OBJECT_LOCK", "governance:2d");
    let further = "2026-11-18";
    let refused = heir.run_day(further, &[]).expect(2);
    let said = [
        &format!("is a copy of {}", from.location()),
        "cxvault takeover --reason",
    ];
    assert!(
        said.iter()
            .all(|said| refused.stdout.contains(*said) || refused.stderr.contains(*said)),
        "{refused}"
    );
    assert_eq!(to.contents(), copied, "nothing was written");

    heir.run(&["takeover", "--reason", "the region is lost"])
        .expect(0);
    heir.run_day(further, &[]).expect(0);
    let found = to.contents();
    assert_eq!(
        copied.iter().find(|(key, bytes)| found[*key] != **bytes),
        None,
        "all that was copied is there"
    );
    assert!(found.contains_key(&manifest(SUB, 3)) && found.contains_key(&manifest("roster", 4)));
    let verified = heir.run(&["verify", "--json", "--level", "deep"]).expect(0);
    let events = verified.events();
    let codes: Vec<&str> = events
        .iter()
        .filter_map(|event| event["code"].as_str())
        .collect();
    // Neither the roster nor the chain is signed here.
    assert_eq!(
        codes,
        [
            "no-expected-head",
            "chain-unsigned",
            "taken-over",
            "chain-unsigned"
        ],
        "{verified}"
    );
    let totals = events.last().unwrap();
    assert_eq!(
        (&totals["violations"], &totals["gaps"]),
        (&0.into(), &0.into()),
        "{verified}"
    );

    // A user who still has the original gets an error, whether it has grown or not.
    for _ in 0..2 {
        let diverged = copy(&vault, &to.location(), &[]).expect(4);
        assert!(
            diverged.stdout.contains("the copy has diverged"),
            "{diverged}"
        );
        assert_eq!(to.contents(), found, "nothing was put");
        vault.run_day("2026-11-17", &[]).expect(0);
    }
    // A copy of the archive that was taken over holds everything from before and after the
    // takeover.
    may_copy_to(&mut heir, minio(), None);
    let again = Bucket::new(minio(), "again", true);
    copy(&heir, &again.location(), &[]).expect(0);
    let expected: Contents = found.into_iter().filter(|(key, _)| key != MARK).collect();
    assert_eq!(without_mark(again.contents()), expected);
}
