//! The commit of a roster record with a store that fails, and between processes that crash.

use std::sync::Arc;

use cxvault::chain::append::Mode;
use cxvault::chain::roster::{Roster, commit};
use cxvault::format::record::position::TreeHead;
use cxvault::format::record::roster::AccountListing;
use cxvault::journal::Head;
use cxvault::outcome::Exit;

use super::*;
use crate::support::host::{Host, TestClock};
use crate::support::memory::{Effect, MemoryStore, StoreFault, StoreOperation};

/// Runs a future to completion on this thread.
fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn seen(id: &str) -> AccountListing {
    let head = Head {
        sequence: 1,
        sha256: Digest::of(id.as_bytes()),
        tree: TreeHead {
            size: 1,
            root: Digest::of(id.as_bytes()),
        },
    };
    AccountListing {
        named: [id.to_owned()].into(),
        heads: [(id.to_owned(), head)].into(),
        ..AccountListing::default()
    }
}

fn host(simulator: &Simulator) -> Host {
    Host::new("a", &simulator.url, &TestClock::new())
}

fn records(store: &MemoryStore) -> Vec<Value> {
    let contents = store.contents();
    let rosters = contents
        .iter()
        .filter(|(key, _)| key.starts_with(key::ROSTERS));
    rosters
        .map(|(_, bytes)| serde_json::from_slice::<Value>(bytes).unwrap()["manifest"].take())
        .collect()
}

#[test]
fn a_commit_that_fails_in_any_way_is_there_once_or_not_at_all() {
    let simulator = listing(&[SUB]);
    for effect in [Effect::FailBefore, Effect::FailAfter] {
        for times in [1, u32::MAX] {
            let (store, host) = (Arc::new(MemoryStore::new()), host(&simulator));
            let archive = now(host.open(store.clone())).unwrap();
            let mut roster = now(Roster::open_to_write(&archive, Mode::Act)).unwrap();
            store.fail(StoreFault::new(StoreOperation::PutNew, key::ROSTERS, effect).times(times));
            let first = now(commit(&archive, &mut roster, "run", Exit::Done, seen("a")));
            let there = records(&store).len();
            match (times, effect) {
                (1, _) => assert!(first.unwrap().is_some() && there == 1, "{effect:?}"),
                (_, Effect::FailAfter) => {
                    assert!(first.unwrap_err().exit == Exit::Later && there == 1)
                }
                _ => assert!(
                    first.unwrap_err().exit == Exit::Later && there == 0,
                    "{effect:?}"
                ),
            }
            store.repair();
            // The next run finds what was stored, on this host or on another.
            for lost in [false, true] {
                if lost {
                    host.lose_state();
                }
                let archive = now(host.open(store.clone())).unwrap();
                let mut roster = now(Roster::open_to_write(&archive, Mode::Act)).unwrap();
                now(commit(&archive, &mut roster, "run", Exit::Done, seen("b"))).unwrap();
            }
            let all = records(&store);
            let numbers: Vec<u64> = all
                .iter()
                .map(|record| record["sequence"].as_u64().unwrap())
                .collect();
            assert_eq!(
                numbers,
                (1..=there.max(usize::from(times == 1)) as u64 + 2).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn a_record_whose_number_was_taken_is_drawn_up_anew_behind_it() {
    let simulator = listing(&[SUB]);
    let (store, one, other) = (
        Arc::new(MemoryStore::new()),
        host(&simulator),
        host(&simulator),
    );
    let first = now(one.open(store.clone())).unwrap();
    let second = now(other.open(store.clone())).unwrap();
    // Both processes have read an archive without a roster.
    let mut roster = now(Roster::open_to_write(&first, Mode::Act)).unwrap();
    let mut late = now(Roster::open_to_write(&second, Mode::Act)).unwrap();
    now(commit(&first, &mut roster, "run", Exit::Done, seen("a"))).unwrap();
    let head = now(commit(
        &second,
        &mut late,
        "backfill",
        Exit::Gaps,
        seen("b"),
    ))
    .unwrap()
    .unwrap();
    assert_eq!(head.sequence, 2);
    let all = records(&store);
    assert_eq!(
        (&all[1]["command"], &all[1]["exit"]),
        (&"backfill".into(), &"gaps".into())
    );
    let ids: Vec<&str> = all[1]["sub_accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(entry(&all[1], "a")["head"]["sequence"], 1);
}

#[test]
fn another_manifest_at_a_number_that_the_roster_knows_stops_the_commit() {
    let simulator = listing(&[SUB]);
    let (store, host) = (Arc::new(MemoryStore::new()), host(&simulator));
    let archive = now(host.open(store.clone())).unwrap();
    let mut roster = now(Roster::open_to_write(&archive, Mode::Act)).unwrap();
    now(commit(&archive, &mut roster, "run", Exit::Done, seen("a"))).unwrap();
    let mut other = seen("a");
    other.heads.get_mut("a").unwrap().sha256 = Digest::of(b"another");
    let failure = now(commit(&archive, &mut roster, "run", Exit::Done, other)).unwrap_err();
    assert_eq!(failure.exit, Exit::Integrity);
    assert!(
        failure.message.contains(&key::manifest("a", 1)),
        "{failure}"
    );
    assert_eq!(records(&store).len(), 1);
}

/// An archive without sub-accounts writes no record.
#[test]
fn a_run_that_knows_no_sub_account_leaves_no_record() {
    let simulator = listing(&[SUB]);
    let (store, host) = (Arc::new(MemoryStore::new()), host(&simulator));
    let archive = now(host.open(store.clone())).unwrap();
    let mut roster = now(Roster::open_to_write(&archive, Mode::Act)).unwrap();
    let left = now(commit(
        &archive,
        &mut roster,
        "run",
        Exit::Later,
        AccountListing::default(),
    ))
    .unwrap();
    assert!(left.is_none() && records(&store).is_empty());
}
