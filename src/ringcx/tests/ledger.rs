//! The ledger: grants across restarts and processes, pauses, and files of other versions.

use rusqlite::Connection;

use crate::clock::Clock as _;
use crate::ringcx::Limits;
use crate::ringcx::ledger::*;
use crate::ringcx::pace::Spacing;
use crate::ringcx::testing::ManualClock;

const SCOPE: &str = "summaries example.com 0123456789abcdef";

fn limits(text: &str) -> Limits {
    text.parse().unwrap()
}

/// Waits for a request on the manual clock; returns the seconds since the start, rounded up to the clock.
fn wait(ledger: &Ledger, clock: &ManualClock, limits: &Limits, spacing: Spacing) -> f64 {
    while let Grant::Wait { until_us, .. } = ledger.try_grant(SCOPE, limits, spacing).unwrap() {
        clock.set((until_us + 999) / 1_000);
    }
    clock.elapsed_ms() as f64 / 1e3
}

#[test]
fn a_restart_keeps_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let (clock, three) = (ManualClock::new(), limits("3/60s"));
    let restarted = |_| {
        let ledger = Ledger::open(&path, clock.clone()).unwrap();
        wait(&ledger, &clock, &three, Spacing::Burst)
    };
    assert_eq!(
        (0..5).map(restarted).collect::<Vec<_>>(),
        [0.0, 0.0, 0.0, 60.6, 60.6]
    );
}

#[test]
fn the_log_does_not_grow_with_the_requests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let clock = ManualClock::new();
    let ledger = Ledger::open(&path, clock.clone()).unwrap();
    let length = |requests| {
        for _ in 0..requests {
            wait(&ledger, &clock, &limits("120/60s"), Spacing::Even);
        }
        std::fs::metadata(folder.path().join("ledger.sqlite-wal"))
            .unwrap()
            .len()
    };
    let first = length(2 * CHECKPOINT_EVERY);
    let later = length(4 * CHECKPOINT_EVERY);
    assert!(2 * later < 3 * first, "{later} bytes after {first}");
}

#[test]
fn processes_share_one_limit_and_scopes_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let ledger = Ledger::open(&path, ManualClock::new()).unwrap();
            std::thread::spawn(move || {
                let twelve = limits("12/60s");
                let went = |scope| {
                    let take = |_: &i32| ledger.try_grant(scope, &twelve, Spacing::Burst).unwrap();
                    (0..6)
                        .filter(|n| matches!(take(n), Grant::Granted { .. }))
                        .count()
                };
                (went(SCOPE), went("other"))
            })
        })
        .collect();
    let went: Vec<_> = workers
        .into_iter()
        .map(|worker| worker.join().unwrap())
        .collect();
    assert_eq!(
        went.iter().map(|went| went.0).sum::<usize>(),
        12,
        "{went:?}"
    );
    assert_eq!(
        went.iter().map(|went| went.1).sum::<usize>(),
        12,
        "{went:?}"
    );
}

#[test]
fn a_clock_put_back_delays_by_one_window_at_most() {
    let (clock, two) = (ManualClock::new(), limits("2/60s"));
    let ledger = Ledger::in_memory(clock.clone()).unwrap();
    clock.set(ManualClock::START_MS + 86_400_000);
    for _ in 0..2 {
        wait(&ledger, &clock, &two, Spacing::Even);
    }
    ledger
        .pause(SCOPE, &two, clock.now_ms(), clock.now_ms() + 3_000_000)
        .unwrap();
    clock.set(ManualClock::START_MS);
    let waited = wait(&ledger, &clock, &two, Spacing::Even);
    // Sixty seconds at the cut pace; the pause, which lies a day ahead, is no more.
    assert!((60.0..90.0).contains(&waited), "{waited}");
}

#[test]
fn a_pause_applies_to_all_processes_and_slows_the_pace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let (clock, many) = (ManualClock::new(), limits("120/60s"));
    let mine = Ledger::open(&path, clock.clone()).unwrap();
    let theirs = Ledger::open(&path, clock.clone()).unwrap();
    let now = clock.now_ms();
    assert_eq!(mine.pause(SCOPE, &many, now, now + 7_000).unwrap(), 0.7);
    let until_us = (now + 7_000) * 1_000;
    assert_eq!(
        theirs.try_grant(SCOPE, &many, Spacing::Even),
        Ok(Grant::Wait {
            until_us,
            rate: 0.7
        })
    );
    assert_eq!(wait(&theirs, &clock, &many, Spacing::Even), 7.0);
    wait(&theirs, &clock, &many, Spacing::Even);
    let before = clock.elapsed_ms();
    wait(&theirs, &clock, &many, Spacing::Even);
    assert!(
        (600..720).contains(&(clock.elapsed_ms() - before)),
        "a cut pace"
    );
    clock.set(now + 300_000);
    assert_eq!(
        theirs.try_grant(SCOPE, &many, Spacing::Even),
        Ok(Grant::Granted { rate: 1.0 })
    );
}

#[test]
fn a_yielding_process_uses_what_the_others_leave() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let (clock, two) = (ManualClock::new(), limits("2/1s"));
    let nightly = Ledger::open(&path, clock.clone()).unwrap();
    let backfill = Ledger::open(&path, clock.clone()).unwrap().yielding();
    let begun = clock.now_ms();
    let goes = |ledger: &Ledger| {
        matches!(
            ledger.try_grant(SCOPE, &two, Spacing::Even).unwrap(),
            Grant::Granted { .. }
        )
    };
    // Both ask all the time, the backfill first, while the nightly run has ten requests to send.
    let (mut sent, mut spare) = (Vec::new(), Vec::new());
    while spare.len() < 4 {
        if goes(&backfill) {
            spare.push(clock.now_ms() - begun);
        }
        if sent.len() < 10 && goes(&nightly) {
            sent.push(clock.now_ms() - begun);
        }
        clock.set(clock.now_ms() + 10);
    }
    assert!(
        spare[0] == 0 && spare[1] > *sent.last().unwrap(),
        "nightly {sent:?}, backfill {spare:?}"
    );
    assert!(
        sent.windows(2).all(|pair| pair[1] - pair[0] < 530),
        "no turn is lost: {sent:?}"
    );
    assert!(
        spare[1] - sent[9] < 530 + CLAIM_US / 1_000,
        "nightly {sent:?}, backfill {spare:?}"
    );
}

#[test]
fn a_ledger_of_the_first_version_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let old = SCHEMA.replace(",\n        claimed_us INTEGER NOT NULL DEFAULT 0", "");
    assert_ne!(old, SCHEMA);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(&format!("{old}; PRAGMA user_version = 1;"))
        .unwrap();
    drop(connection);
    let ledger = Ledger::open(&path, ManualClock::new()).unwrap();
    assert_eq!(
        ledger
            .try_grant(SCOPE, &limits("2/1s"), Spacing::Even)
            .unwrap(),
        Grant::Granted { rate: 1.0 }
    );
}

#[test]
fn old_grants_are_pruned() {
    let clock = ManualClock::new();
    let ledger = Ledger::in_memory(clock.clone()).unwrap();
    for _ in 0..1_000 {
        wait(&ledger, &clock, &limits("5/1s"), Spacing::Even);
    }
    let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let kept = ledger
        .connection()
        .query_row("SELECT count(*) FROM request", [], count)
        .unwrap();
    assert!((5..=10 + PRUNE_EVERY).contains(&kept), "{kept} kept");
}

#[test]
fn a_file_that_is_not_a_ledger_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    std::fs::write(
        &path,
        "not a database, but long enough to be taken for one".repeat(50),
    )
    .unwrap();
    let error = Ledger::open(&path, ManualClock::new()).err().unwrap();
    assert!(error.to_string().contains("ledger.sqlite"), "{error}");
}
