//! Each kind of object x {failed and not stored, failed but stored} x {once, always}: then the run
//! again, and a check of everything.

use std::sync::Arc;

use crate::support::host::{Host, TestClock};
use crate::support::memory::{Effect, MemoryStore, StoreFault, StoreOperation};
use crate::support::protocol::{check, check_truth, expected};
use crate::support::vault::{DAY, SUB, Simulator, options};
use cxvault::outcome::Exit;
use cxvault::simulator::SimulatorOptions;

const FOR_EVER: u32 = u32::MAX;

fn tiny() -> SimulatorOptions {
    let mut tiny = SimulatorOptions {
        segments_per_day: 12,
        ..options()
    };
    (
        tiny.faults.no_id,
        tiny.faults.no_end,
        tiny.faults.duplicates,
    ) = (20.0, 10.0, 30.0);
    tiny
}

fn truth(simulator: &Simulator) -> String {
    simulator.truth(SUB, "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
}

/// Runs a future to completion on this thread.
fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// Asserts that there is one revision 1 with the truth, nothing beside it and no journal, and that
/// another run confirms it.
fn check_done(store: &Arc<MemoryStore>, host: &Host, simulator: &Simulator) {
    let checked = check(&store.contents(), SUB);
    check_truth(&checked, DAY, &expected(&truth(simulator)));
    assert_eq!(checked.manifests.len(), 1);
    assert!(checked.records(DAY)[0].complete);
    assert!(checked.unlisted.is_empty(), "{:?}", checked.unlisted);
    assert!(!host.has_journal(&checked.manifests[0].archive_id, DAY));
    simulator.reset_stats();
    let before = store.contents();
    let again = now(host.run(store.clone(), DAY)).unwrap();
    assert_eq!((again.committed, again.exit()), (0, Exit::Done));
    assert_eq!(simulator.requests(), 0);
    assert_eq!(store.contents(), before);
}

#[test]
fn every_object_fails_in_every_way() {
    let simulator = Simulator::start(tiny());
    let objects = [
        ("archive.json", 0),
        ("segments/", 0),
        ("segments/", 1),
        ("segments/", 3),
        ("manifests/", 0),
    ];
    for (prefix, skip) in objects {
        for effect in [Effect::FailBefore, Effect::FailAfter] {
            for times in [1, FOR_EVER] {
                for loses_state in [false, true] {
                    println!("{prefix} {skip} {effect:?} {times} {loses_state}");
                    let store = Arc::new(MemoryStore::new());
                    let host = Host::new("a", &simulator.url, &TestClock::new());
                    simulator.reset_stats();
                    store.fail(
                        StoreFault::new(StoreOperation::PutNew, prefix, effect)
                            .skip(skip)
                            .times(times),
                    );
                    let first = now(host.run(store.clone(), DAY));
                    if times == 1 {
                        assert_eq!(first.unwrap().committed, 1);
                        assert_eq!(store.pending_faults(), 0, "the test looked at nothing");
                    } else {
                        assert_eq!(first.unwrap_err().exit, Exit::Later);
                        assert_eq!(
                            check(&store.contents(), SUB).manifests.len(),
                            usize::from(prefix == "manifests/" && effect == Effect::FailAfter)
                        );
                        store.repair();
                        if loses_state {
                            host.lose_state();
                        }
                        now(host.run(store.clone(), DAY)).unwrap();
                    }
                    if !loses_state {
                        assert_eq!(simulator.stats()["summaries_answered_twice"], 0);
                        assert_eq!(simulator.requests_to("discovery"), 8);
                    }
                    check_done(&store, &host, &simulator);
                }
            }
        }
    }
}

/// Reads fail as well: a single failure has no effect, a permanent one ends with "later", and
/// nothing is lost.
#[test]
fn every_question_to_the_store_fails() {
    let simulator = Simulator::start(tiny());
    for op in [
        StoreOperation::Get,
        StoreOperation::Stat,
        StoreOperation::List,
        StoreOperation::Versions,
    ] {
        for (skip, times) in [(0, 1), (0, FOR_EVER), (1, 1), (1, FOR_EVER), (2, FOR_EVER)] {
            println!("{op:?} {skip} {times}");
            let store = Arc::new(MemoryStore::new());
            let host = Host::new("a", &simulator.url, &TestClock::new());
            store.fail(
                StoreFault::new(op, "", Effect::FailBefore)
                    .skip(skip)
                    .times(times),
            );
            let first = now(host.run(store.clone(), DAY));
            if store.pending_faults() > 0 && times == FOR_EVER {
                if let Err(failure) = first {
                    assert_eq!(failure.exit, Exit::Later, "{failure}");
                }
            } else {
                first.unwrap();
            }
            store.repair();
            now(host.run(store.clone(), DAY)).unwrap();
            check_done(&store, &host, &simulator);
        }
    }
}
