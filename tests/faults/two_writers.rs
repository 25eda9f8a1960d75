//! Two hosts write to one archive. Their PUTs are let through in every order: there is one revision
//! and what follows it, and nothing is lost.

use crate::support::bucket::Bucket;
use crate::support::minio::minio;
use crate::support::protocol::{Checked, Expected, check, check_truth, expected};
use crate::support::proxy::{Act, Held, Holds, Proxy, holds};
use crate::support::vault::{DAY, Finished, SUB, Simulator, Started, Vault, nap, options};
use axum::http::Method;

const SEGMENTS: u64 = 24;
const EVE: &str = "2026-11-19";
const BEFORE_EVE: &str = "2026-11-18";
const MANY: u32 = 1_000;

/// A host whose PUTs of parts and manifests wait for the test.
struct Writer {
    vault: Vault,
    proxy: Proxy,
    holds: Holds,
    held: Option<Held>,
    run: Option<Started>,
    ended: Option<Finished>,
}

impl Writer {
    fn start(simulator: &Simulator, bucket: &Bucket, date: &str, part_rows: u32) -> Writer {
        let proxy = Proxy::start(bucket.minio.address, &bucket.settings.bucket);
        let mut vault = Vault::new(simulator);
        bucket.used_by(&mut vault, Some(&proxy.url));
        vault
            .set("PART_ROWS", &part_rows.to_string())
            .set("MAX_ATTEMPTS", "1");
        vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
        let (arrival, holds) = holds();
        for below in ["segments/", "manifests/"] {
            proxy.times(Method::PUT, below, 0, MANY, Act::HoldBefore(arrival()));
        }
        let run = vault.spawn(&["run", "--json", "--date", date]);
        Writer {
            vault,
            proxy,
            holds,
            held: None,
            run: Some(run),
            ended: None,
        }
    }

    /// Waits until its next PUT is held or the process has ended. Returns false when it has ended.
    fn settle(&mut self) -> bool {
        while self.held.is_none() && self.ended.is_none() {
            self.held = self.holds.try_next();
            let running = self.run.as_mut().is_some_and(Started::is_running);
            if self.held.is_none() && !running {
                self.ended = self.run.take().map(Started::wait);
            }
            nap(std::time::Duration::from_millis(1));
        }
        self.ended.is_none()
    }

    /// Lets its held PUT through and waits for the effect.
    fn step(&mut self) {
        if let Some(held) = self.held.take() {
            println!("{} puts {}", self.proxy.url, held.key);
            held.release();
        }
        self.settle();
    }

    fn finish(&mut self) {
        while self.settle() {
            self.step();
        }
    }

    fn exit(&self) -> i32 {
        self.ended.as_ref().expect("it has ended").exit()
    }
}

fn simulator(change: impl FnOnce(&mut cxvault::simulator::SimulatorOptions)) -> Simulator {
    let mut options = options();
    options.segments_per_day = SEGMENTS;
    (options.faults.no_end, options.faults.duplicates) = (8.0, 15.0);
    change(&mut options);
    Simulator::start(options)
}

fn truth(simulator: &Simulator, date: &str) -> Expected {
    let next = date
        .parse::<jiff::civil::Date>()
        .unwrap()
        .tomorrow()
        .unwrap();
    expected(&simulator.truth(
        SUB,
        &format!("{date}T00:00:00Z"),
        &format!("{next}T00:00:00Z"),
    ))
}

/// Asserts that every observation of a host is in some revision.
#[track_caller]
fn check_seen(checked: &Checked, seen: &Expected) {
    for ((segment, kind), (status, sha256)) in
        seen.iter().filter(|(_, (status, _))| status.is_answer())
    {
        assert!(
            checked.holds(DAY, segment, *kind, *status, *sha256),
            "lost: {segment} {kind:?} {status:?}"
        );
    }
}

/// Both have observed the day before either may store anything; then their PUTs are let through as
/// the bits of `order` say.
fn race(order: u32, bits: u32, first: &Simulator, second: &Simulator) {
    println!("order {order:0width$b}", width = bits as usize);
    let bucket = Bucket::new(minio(), "race", false);
    let mut writers = [first, second].map(|simulator| Writer::start(simulator, &bucket, DAY, 10));
    writers
        .iter_mut()
        .for_each(|writer| assert!(writer.settle(), "it ended without a PUT"));
    for bit in 0..bits {
        writers[(order >> bit & 1) as usize].step();
    }
    // Then the host that was let through last continues to its end.
    let ahead = (order >> (bits - 1) & 1) as usize;
    writers[ahead].finish();
    writers[1 - ahead].finish();
    for writer in &writers {
        assert!(
            [0, 3].contains(&writer.exit()),
            "{}",
            writer.ended.as_ref().unwrap()
        );
    }
    let contents = bucket.contents();
    let checked = check(&contents, SUB);
    let seen = [truth(first, DAY), truth(second, DAY)];
    seen.iter().for_each(|seen| check_seen(&checked, seen));
    for (segment, kind) in seen[0].keys() {
        let current = checked.current(DAY, segment, *kind);
        let current = (current.status, current.sha256);
        let known = seen
            .iter()
            .any(|seen| seen[&(segment.clone(), *kind)] == current);
        assert!(known, "{segment} {kind:?}: no writer saw {current:?}");
    }
    let records = checked.records(DAY);
    assert!(
        (1..=3).contains(&records.len()),
        "{} revisions",
        records.len()
    );
    assert!(
        records.last().unwrap().complete,
        "one of them has seen every answer"
    );
    assert_eq!(
        bucket.versions().len(),
        contents.len(),
        "something was written over"
    );

    for writer in &writers {
        writer.proxy.forget_rules();
        writer.vault.run_day(DAY, &[]).expect(0);
    }
    let mut confirmed = bucket.contents();
    assert_eq!(
        confirmed.len(),
        contents.len() + 2,
        "one record of each run"
    );
    confirmed.retain(|key, _| contents.contains_key(key) || !key.starts_with("roster/v1/"));
    assert_eq!(confirmed, contents, "the day is confirmed as it is");
}

#[test]
fn one_of_them_could_not_see_everything() {
    let (whole, broken) = (
        simulator(|_| {}),
        simulator(|options| options.faults.permanent_500 = 5.0),
    );
    let failed = truth(&broken, DAY)
        .values()
        .filter(|(status, _)| !status.is_answer())
        .count();
    assert!(
        (1..5).contains(&failed),
        "{failed}: five in a row would look like an outage"
    );
    for order in 0..16 {
        race(order, 4, &whole, &broken);
    }
}

#[test]
fn one_host_observed_days_later() {
    let change = |later: i64| {
        move |options: &mut cxvault::simulator::SimulatorOptions| {
            let later = jiff::SignedDuration::from_hours(24 * later);
            options.now = options.now.map(|now| now + later);
            (options.faults.late_population, options.faults.edits) = (15.0, 15.0);
        }
    };
    let (soon, late) = (simulator(change(0)), simulator(change(5)));
    assert_ne!(truth(&soon, DAY), truth(&late, DAY));
    for order in [
        0b00000, 0b10101, 0b01010, 0b00011, 0b11100, 0b01100, 0b10011, 0b11111, 0b00110, 0b11001,
    ] {
        race(order, 5, &soon, &late);
    }
}

/// Three days of one sub-account, all at the point of committing, in each order.
#[test]
fn several_days_commit_to_one_chain() {
    let simulator = simulator(|_| {});
    let dates = [DAY, EVE, BEFORE_EVE];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        println!("order {order:?}");
        let bucket = Bucket::new(minio(), "days", false);
        let mut writers = dates.map(|date| Writer::start(&simulator, &bucket, date, 1_000));
        for writer in &mut writers {
            assert!(writer.settle());
            writer.step();
            assert_eq!(
                writer.held.as_ref().unwrap().key,
                "the/archive/manifests/v1/sub_account=99999999/0000000001.json"
            );
        }
        for turn in order {
            writers[turn].step();
            assert!(
                order.iter().any(|&n| writers[n].ended.is_some()),
                "no writer got ahead"
            );
            // The host that lost the sequence number tries the next one, and loses that as well.
            for other in order
                .iter()
                .filter(|&&n| writers[n].ended.is_none())
                .copied()
                .collect::<Vec<_>>()
            {
                writers[other].settle();
            }
        }
        writers.iter_mut().for_each(Writer::finish);
        writers
            .iter()
            .for_each(|writer| assert_eq!(writer.exit(), 0, "{}", writer.ended.as_ref().unwrap()));
        let checked = check(&bucket.contents(), SUB);
        assert_eq!(checked.manifests.len(), 3);
        for date in dates {
            assert_eq!(checked.records(date).len(), 1);
            check_truth(&checked, date, &truth(&simulator, date));
        }
        let coverage = &checked.manifests[2].coverage;
        assert_eq!(
            (
                coverage.first_day.unwrap().to_string(),
                coverage.days.as_str()
            ),
            (BEFORE_EVE.to_owned(), "ccc")
        );
    }
}
