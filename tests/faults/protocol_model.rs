//! Two or three hosts archive one day. A seed interleaves their calls to the store, with failures,
//! deaths and lost disks: in every order the archive is intact.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::support::host::{Host, Look, TestClock};
use crate::support::memory::{MemoryStore, StoreOperation};
use crate::support::protocol::{Checked, check};
use crate::support::random::Random;
use crate::support::stepped::{Fate, Gates, Stepped, with_bytes};
use crate::support::vault::{DAY, SUB, Simulator, options};
use cxvault::day::day_outcome::DayOutcome;
use cxvault::format::row::observation::SummaryKind;
use cxvault::outcome::{Exit, Result};
use cxvault::simulator::SimulatorOptions;
use cxvault::store::{NewObject, Store};
use tokio::task::JoinHandle;

/// No schedule needs as many steps: a schedule with more does not end.
const MOST_STEPS: u32 = 4_000;
const DEATHS: u32 = 4;
const FAILURES: u32 = 6;

/// The same day as three hosts see it: early, days later (filled, edited, vanished), and with
/// failures.
fn worlds() -> [Simulator; 3] {
    let world = |days: i64, permanent_500: f64| {
        let mut options = SimulatorOptions {
            segments_per_day: 10,
            ..options()
        };
        let later = jiff::SignedDuration::from_hours(24 * days);
        options.now = options.now.map(|now| now + later);
        let faults = &mut options.faults;
        (faults.no_id, faults.no_end, faults.duplicates) = (10.0, 10.0, 20.0);
        (faults.late_population, faults.edits, faults.vanish) = (25.0, 25.0, 15.0);
        faults.permanent_500 = permanent_500;
        Simulator::start(options)
    };
    [world(0, 0.0), world(5, 0.0), world(0, 15.0)]
}

struct Writer {
    host: Rc<Host>,
    task: Option<JoinHandle<()>>,
    ended: Rc<RefCell<Option<Result<DayOutcome>>>>,
    done: bool,
    /// What its journal held when it was last read.
    looks: BTreeSet<Look>,
}

struct Model {
    random: Random,
    memory: Arc<MemoryStore>,
    gates: Arc<Gates>,
    writers: Vec<Writer>,
    in_flight: Vec<NewObject>,
    deaths: u32,
    failures: u32,
    /// Answers that a host has promised by ending well.
    promised: BTreeSet<Look>,
}

impl Model {
    fn new(seed: u64, worlds: &[Simulator]) -> Model {
        let mut random = Random(seed);
        let clock = TestClock::new();
        let count = 2 + random.below(2) as usize;
        let writers = (0..count).map(|n| {
            let world = &worlds[random.below(worlds.len() as u64) as usize];
            let mut host = Host::new(&format!("host{n}"), &world.url, &clock);
            host.part_rows = 2 + random.below(5);
            Writer {
                host: Rc::new(host),
                task: None,
                ended: Rc::default(),
                done: false,
                looks: BTreeSet::new(),
            }
        });
        let writers = writers.collect();
        Model {
            random,
            memory: Arc::new(MemoryStore::new()),
            gates: Arc::default(),
            writers,
            in_flight: Vec::new(),
            deaths: 0,
            failures: 0,
            promised: BTreeSet::new(),
        }
    }

    fn archive_id(&self) -> Option<String> {
        let contents = self.memory.contents();
        let record: serde_json::Value =
            serde_json::from_slice(contents.get("archive.json")?).unwrap();
        Some(record["archive_id"].as_str().unwrap().to_owned())
    }

    fn start(&mut self, n: usize) {
        let inner: Arc<dyn Store> = self.memory.clone();
        let store = Arc::new(Stepped {
            writer: n,
            inner,
            gates: self.gates.clone(),
        });
        let writer = &mut self.writers[n];
        let (host, ended, gates) = (
            writer.host.clone(),
            writer.ended.clone(),
            self.gates.clone(),
        );
        writer.task = Some(tokio::task::spawn_local(async move {
            let outcome = host.run(store, DAY).await;
            *ended.borrow_mut() = Some(outcome);
            gates.changed.notify_one();
        }));
    }

    /// Waits until every writer waits for its step or has ended: from here on the scheduler decides
    /// the order.
    async fn settle(&self) {
        loop {
            tokio::task::yield_now().await;
            let waiting: BTreeSet<usize> = self
                .gates
                .waiting()
                .into_iter()
                .map(|(writer, _)| writer)
                .collect();
            let still = |(n, writer): (usize, &Writer)| {
                writer.done || waiting.contains(&n) || writer.ended.borrow().is_some()
            };
            if self.writers.iter().enumerate().all(still) {
                return;
            }
            self.gates.changed.notified().await;
        }
    }

    async fn run(&mut self) {
        (0..self.writers.len()).for_each(|n| self.start(n));
        for _ in 0..MOST_STEPS {
            self.settle().await;
            self.collect();
            if self.writers.iter().all(|writer| writer.done) {
                return;
            }
            if !self.in_flight.is_empty() && self.random.below(6) == 0 {
                self.land().await;
            }
            let waiting = self.gates.waiting();
            if !waiting.is_empty() {
                let call = waiting[self.random.below(waiting.len() as u64) as usize];
                self.step(call).await;
            }
        }
        panic!("more than {MOST_STEPS} steps");
    }

    /// Notes which writers have ended; a writer that ended with "later" starts again.
    fn collect(&mut self) {
        for n in 0..self.writers.len() {
            let Some(outcome) = self.writers[n].ended.borrow_mut().take() else {
                continue;
            };
            match outcome {
                Ok(outcome) => {
                    println!(
                        "host{n} ends: {:?}, committed {}",
                        outcome.exit(),
                        outcome.committed
                    );
                    assert!(matches!(outcome.exit(), Exit::Done | Exit::Gaps));
                    self.writers[n].done = true;
                    let looks = std::mem::take(&mut self.writers[n].looks);
                    self.promised.extend(looks);
                }
                Err(failure) => {
                    println!("host{n} fails: {failure}");
                    assert_eq!(failure.exit, Exit::Later, "{failure}");
                    self.start(n);
                }
            }
        }
    }

    async fn step(&mut self, call: (usize, u64)) {
        let n = call.0;
        let waiting = self.gates.take(call);
        if matches!(
            waiting.op,
            StoreOperation::PutNew | StoreOperation::Versions
        ) {
            self.note_looks(n);
        }
        let fate = self.fate(waiting.op);
        println!("host{n} {:?} {} {fate:?}", waiting.op, waiting.key);
        if fate == Fate::DieInFlight {
            self.in_flight
                .push(with_bytes(waiting.object.expect("it is a PUT")));
        }
        waiting.go.send(fate).unwrap();
        if fate == Fate::DieAfter {
            self.gates.last_act(n).await;
        }
        if matches!(fate, Fate::DieBefore | Fate::DieAfter | Fate::DieInFlight) {
            self.bury(n).await;
        }
        if waiting.op == StoreOperation::PutNew && waiting.key.starts_with("manifests/") {
            self.settle().await;
            check(&self.memory.contents(), SUB);
        }
    }

    fn note_looks(&mut self, n: usize) {
        let Some(id) = self.archive_id() else { return };
        let looks = self.writers[n].host.looks(&id, DAY);
        if !looks.is_empty() {
            self.writers[n].looks = looks;
        }
    }

    fn fate(&mut self, op: StoreOperation) -> Fate {
        let put = op == StoreOperation::PutNew;
        if self.deaths < DEATHS && self.random.below(if put { 8 } else { 60 }) == 0 {
            self.deaths += 1;
            return match self.random.below(3) {
                0 => Fate::DieBefore,
                1 => Fate::DieAfter,
                _ if put => Fate::DieInFlight,
                _ => Fate::DieBefore,
            };
        }
        if self.failures < FAILURES && self.random.below(if put { 8 } else { 40 }) == 0 {
            self.failures += 1;
            return if self.random.below(2) == 0 {
                Fate::FailBefore
            } else {
                Fate::FailAfter
            };
        }
        Fate::Done
    }

    /// Ends a writer as SIGKILL would, perhaps with its disk, and starts it again.
    async fn bury(&mut self, n: usize) {
        let task = self.writers[n].task.take().expect("it was started");
        task.abort();
        let _ = task.await;
        self.gates.forget(n);
        if self.random.below(3) == 0 {
            println!("host{n} loses its state");
            self.writers[n].host.lose_state();
            self.writers[n].looks.clear();
        }
        self.start(n);
    }

    /// A request of a dead writer arrives.
    async fn land(&mut self) {
        let at = self.random.below(self.in_flight.len() as u64) as usize;
        let object = self.in_flight.remove(at);
        println!("late: {}", object.key);
        self.memory.put_new(&object).await.unwrap();
    }
}

/// Asserts that every promised answer exists and that the answer fetched last counts.
fn check_promises(checked: &Checked, promised: &BTreeSet<Look>) {
    for look in promised {
        let Look {
            segment,
            kind,
            status,
            sha256,
            ..
        } = look;
        assert!(
            checked.holds(DAY, segment, *kind, *status, *sha256),
            "lost: {look:?}"
        );
    }
    let mut by_summary: BTreeMap<(&str, SummaryKind), Vec<&Look>> = BTreeMap::new();
    for look in promised {
        by_summary
            .entry((&look.segment, look.kind))
            .or_default()
            .push(look);
    }
    for ((segment, kind), looks) in by_summary {
        let archived = checked.rows[DAY][segment]
            .iter()
            .filter_map(|row| row.observation(kind).fetched_at);
        let times: BTreeSet<i64> = archived
            .chain(looks.iter().map(|look| look.fetched_at))
            .collect();
        let last = looks.iter().max_by_key(|look| look.fetched_at).unwrap();
        // A third observation that only confirms the first has no row, so that the second counts as
        // the last.
        if times.len() <= 2 && times.last() == Some(&last.fetched_at) {
            let current = checked.current(DAY, segment, kind);
            assert_eq!(
                (current.status, current.sha256),
                (last.status, last.sha256),
                "{last:?} does not count"
            );
        }
    }
}

fn interleaved(seed: u64, worlds: &[Simulator; 3]) {
    println!("seed {seed}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let mut model = Model::new(seed, worlds);
    local.block_on(&runtime, async {
        model.run().await;
        while !model.in_flight.is_empty() {
            model.land().await;
        }
    });
    let checked = check(&model.memory.contents(), SUB);
    check_promises(&checked, &model.promised);
    assert!(checked.records(DAY).len() <= 1 + model.writers.len() + model.deaths as usize);

    // A host without a state folder comes last: a complete day is confirmed, and only gaps are
    // requested.
    let last = Host::new("last", &worlds[0].url, &TestClock::new());
    let complete = checked.records(DAY).last().unwrap().complete;
    worlds[0].reset_stats();
    let outcome = runtime
        .block_on(last.run(model.memory.clone(), DAY))
        .unwrap();
    if complete {
        assert_eq!((outcome.committed, worlds[0].requests()), (0, 0));
    }
    assert_eq!(worlds[0].requests_to("discovery"), 0);
    check_promises(&check(&model.memory.contents(), SUB), &model.promised);
}

#[test]
fn whatever_the_order_nothing_is_lost_and_nothing_is_there_twice() {
    let worlds = worlds();
    let (first, count) = (1, 40);
    for seed in first..first + count {
        interleaved(seed, &worlds);
    }
}
