//! Objects that other programs have stored under an archive's names: they are named, never signed,
//! never in the way.

use std::sync::Arc;

use crate::support::host::{Host, TestClock};
use crate::support::memory::MemoryStore;
use crate::support::protocol::{Checked, Expected, check, check_truth, expected};
use crate::support::vault::{DAY, SUB, Simulator, options};
use bytes::Bytes;
use cxvault::chain::writer::Signers;
use cxvault::format::part::{PartContext, PartReader, PartWriter};
use cxvault::format::place::key;
use cxvault::format::record::archive::ArchiveRecord;
use cxvault::format::record::key_list::KeyList;
use cxvault::format::record::manifest::Leftover;
use cxvault::format::row::Row;
use cxvault::format::row::segment::Segment;
use cxvault::format::signature::{AllowedSigners, SigningKey};
use cxvault::outcome::Exit;
use cxvault::simulator::SimulatorOptions;

const FOLDER: &str = "segments/v1/sub_account=99999999/dt=2026-11-20/";

fn simulator(permanent_500: f64) -> Simulator {
    let mut options = SimulatorOptions {
        segments_per_day: 12,
        ..options()
    };
    (options.faults.no_id, options.faults.no_end) = (10.0, 10.0);
    options.faults.permanent_500 = permanent_500;
    Simulator::start(options)
}

fn truth(simulator: &Simulator) -> Expected {
    expected(&simulator.truth(SUB, "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"))
}

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// An intruder's PUT, under a name that [`key`] cannot produce.
fn plant(store: &MemoryStore, key: &str, bytes: impl Into<Bytes>) {
    store.overwrite(key, bytes);
}

/// What a host would commit except for the manifest: the rows of its parts, and the archive's
/// record.
struct Made {
    record: Bytes,
    place: PartContext,
    parts: Vec<Vec<Row>>,
}

fn made(simulator: &Simulator) -> Made {
    let store = Arc::new(MemoryStore::new());
    now(Host::new("maker", &simulator.url, &TestClock::new()).run(store.clone(), DAY)).unwrap();
    let contents = store.contents();
    let mut place = None;
    let mut parts = Vec::new();
    for bytes in contents
        .iter()
        .filter(|(key, _)| key.starts_with("segments/"))
        .map(|(_, bytes)| bytes)
    {
        let mut part = PartReader::open(bytes.clone()).unwrap();
        let statement = part.statement().clone();
        let (archive_id, window, zone) = (statement.archive_id, statement.window, statement.zone);
        let omitted_fields = statement.omitted_fields;
        place = Some(PartContext {
            archive_id,
            window,
            zone,
            omitted_fields,
        });
        parts.push(std::iter::from_fn(|| part.next_row().unwrap()).collect());
    }
    Made {
        record: contents["archive.json"].clone(),
        place: place.unwrap(),
        parts,
    }
}

fn part(rows: &[Row], key: &str, place: &PartContext, signer: Option<&SigningKey>) -> Bytes {
    let mut writer = PartWriter::new(Vec::new()).unwrap();
    rows.iter()
        .for_each(|row| writer.push(row.clone()).unwrap());
    writer.finish(key, place, signer).unwrap().0.into()
}

fn part_key(revision: u32, part: u32) -> String {
    key::part(SUB, DAY.parse().unwrap(), revision, part)
}

/// Returns an archive that holds `planted`, and a day that was archived into it.
fn archived_beside(
    simulator: &Simulator,
    signers: Option<Signers>,
    record: Option<&Bytes>,
    planted: &[(String, Bytes)],
) -> Checked {
    let store = Arc::new(MemoryStore::new());
    if let Some(record) = record {
        plant(&store, "archive.json", record.clone());
    }
    planted
        .iter()
        .for_each(|(key, bytes)| plant(&store, key, bytes.clone()));
    let mut host = Host::new("host", &simulator.url, &TestClock::new());
    host.signers = Arc::new(signers.unwrap_or_default());
    let outcome = now(host.run(store.clone(), DAY)).unwrap();
    assert_eq!((outcome.committed, outcome.exit()), (1, Exit::Done));
    let checked = check(&store.contents(), SUB);
    check_truth(&checked, DAY, &truth(simulator));
    checked
}

fn leftovers(checked: &Checked) -> Vec<(&str, &str)> {
    checked.records(DAY)[0]
        .leftovers
        .iter()
        .map(|Leftover { key, why, .. }| (key.as_str(), why.as_str()))
        .collect()
}

#[test]
fn objects_that_are_no_parts_are_named_and_passed_over() {
    let simulator = simulator(0.0);
    let planted = [
        (part_key(1, 0), Bytes::from_static(b"no parquet")),
        (part_key(1, 2), Bytes::new()),
        (part_key(7, 0), Bytes::from_static(b"from the future")),
        (
            format!("{FOLDER}caf\u{e9} \u{7f}\n.txt"),
            Bytes::from_static(b"a name that no manifest can hold"),
        ),
        (
            format!("{FOLDER}deeper/r0001-p0005.parquet"),
            Bytes::from_static(b"x"),
        ),
    ];
    let checked = archived_beside(&simulator, None, None, &planted);
    let mut found = leftovers(&checked);
    found.sort_unstable();
    let (p0, p2, r7) = (part_key(1, 0), part_key(1, 2), part_key(7, 0));
    let (odd, deep) = (
        format!("{FOLDER}caf\u{e9} %7F%0A.txt"),
        format!("{FOLDER}deeper/r0001-p0005.parquet"),
    );
    let mut wanted = vec![
        (p0.as_str(), "malformed"),
        (&p2, "malformed"),
        (&r7, "not-committed"),
        (&odd, "not-committed"),
        (&deep, "malformed"),
    ];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    let keys: Vec<&str> = checked.records(DAY)[0]
        .files
        .iter()
        .map(|file| file.key.as_str())
        .collect();
    assert!(
        planted.iter().all(|(key, _)| !keys.contains(&key.as_str())),
        "{keys:?}"
    );
}

/// A name that an earlier manifest has listed as a leftover can be the name of a part of the next
/// revision.
#[test]
fn a_name_that_is_taken_for_the_next_revision_is_passed_over() {
    let (broken, whole) = (simulator(10.0), simulator(0.0));
    let store = Arc::new(MemoryStore::new());
    plant(&store, &part_key(2, 0), "taken");
    let clock = TestClock::new();
    let outcome = now(Host::new("first", &broken.url, &clock).run(store.clone(), DAY)).unwrap();
    assert_eq!(outcome.exit(), Exit::Gaps);
    now(Host::new("second", &whole.url, &clock).run(store.clone(), DAY)).unwrap();
    let checked = check(&store.contents(), SUB);
    check_truth(&checked, DAY, &truth(&whole));
    let second = checked.records(DAY)[1];
    assert_eq!(second.files[0].key, part_key(2, 1));
    assert!(second.leftovers.is_empty(), "it was named before");
}

#[test]
fn a_highest_number_that_is_taken_does_not_make_a_run_endless() {
    let simulator = simulator(0.0);
    let store = Arc::new(MemoryStore::new());
    plant(&store, &part_key(1, u32::MAX), "taken");
    let host = Host::new("host", &simulator.url, &TestClock::new());
    assert_eq!(
        now(host.run(store.clone(), DAY)).unwrap_err().exit,
        Exit::Later
    );
}

#[test]
fn a_part_is_adopted_only_where_it_says_what_it_must() {
    let simulator = simulator(0.0);
    let Made {
        record,
        place,
        parts,
    } = made(&simulator);
    let (first, second) = (&parts[0], &parts[1]);
    let (k0, k1) = (part_key(1, 0), part_key(1, 1));
    let good = (k0.clone(), part(first, &k0, &place, None));
    let checked = archived_beside(&simulator, None, Some(&record), std::slice::from_ref(&good));
    assert_eq!(leftovers(&checked), []);
    assert!(checked.records(DAY)[0].files[0].adopted);

    let elsewhere = PartContext {
        archive_id: "another".into(),
        ..place.clone()
    };
    let zone = PartContext {
        zone: "Europe/Berlin".into(),
        ..place.clone()
    };
    let mut window = place.clone();
    window.window.end_ms -= 1;
    let reversed: Vec<Row> = second.iter().rev().cloned().collect();
    let mut of_two = second.clone();
    of_two[0].revision = 2;
    let mut beyond = second.clone();
    beyond.extend(first.iter().cloned());
    beyond.sort_by_key(|row| (row.segment.metadata.segment_end_time, row.segment.key()));
    let mut cut = part(second, &k1, &place, None).to_vec();
    cut[100] ^= 1;
    let later = reworded(
        &part(second, &k1, &place, None),
        "\"format_version\":1",
        "\"format_version\":2",
    );
    let (start, end) = (place.window.start_ms, place.window.end_ms);
    let (sorted, other) = (
        format!("{{\"end_ms\":{end},\"start_ms\":{start}}}"),
        format!("{{\"start_ms\":{start},\"end_ms\":{end}}}"),
    );
    let respelt = reworded(&part(second, &k1, &place, None), &sorted, &other);
    let forged = [
        (part(second, &k1, &elsewhere, None), "of-another-place"),
        (
            part(second, &part_key(1, 2), &place, None),
            "of-another-place",
        ),
        (part(second, &k1, &zone, None), "of-another-window"),
        (part(second, &k1, &window, None), "of-another-window"),
        (part(&reversed, &k1, &place, None), "malformed"),
        (part(&of_two, &k1, &place, None), "malformed"),
        (part(first, &k1, &place, None), "repeats-a-segment"),
        (part(&beyond, &k1, &place, None), "repeats-a-segment"),
        (part(&twice(second), &k1, &place, None), "repeats-a-segment"),
        (cut.into(), "malformed"),
        (later, "malformed"),
        (respelt, "malformed"),
    ];
    for (bytes, why) in forged {
        let planted = [good.clone(), (k1.clone(), bytes)];
        let checked = archived_beside(&simulator, None, Some(&record), &planted);
        assert_eq!(leftovers(&checked), [(k1.as_str(), why)]);
        let adopted = checked.records(DAY)[0]
            .files
            .iter()
            .filter(|file| file.adopted)
            .count();
        assert_eq!(adopted, 1, "{why}");
    }
}

/// Returns a part whose statement has other words of the same length.
fn reworded(part: &Bytes, from: &str, to: &str) -> Bytes {
    let at = part
        .windows(from.len())
        .position(|bytes| bytes == from.as_bytes())
        .expect("it is stated");
    [&part[..at], to.as_bytes(), &part[at + from.len()..]]
        .concat()
        .into()
}

/// The same segment again, with another end: sorted, and still a repeat.
fn twice(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    let mut again = rows.last().unwrap().clone();
    let mut object: serde_json::Value = serde_json::from_str(&again.segment.raw).unwrap();
    let end = again
        .segment
        .metadata
        .segment_end_time
        .expect("the last one has an end");
    object["segmentEndTimeMs"] = (end + 1).into();
    again.segment = Segment::read(object.to_string());
    rows.push(again);
    rows
}

#[test]
fn where_parts_are_signed_only_signed_parts_are_adopted() {
    let simulator = simulator(0.0);
    let Made {
        record,
        place,
        parts,
    } = made(&simulator);
    let k0 = part_key(1, 0);
    let [ours, theirs] = [(); 2].map(|()| SigningKey::generate().unwrap());
    for (signer, adopted) in [(None, false), (Some(&theirs), false), (Some(&ours), true)] {
        let planted = [(k0.clone(), part(&parts[0], &k0, &place, signer))];
        let key = SigningKey::from_openssh_pem(&ours.to_openssh_pem("test").unwrap()).unwrap();
        let line = key.public_key().allowed_signers_line("cxvault");
        let signers = Signers {
            key: Some(key),
            allowed: AllowedSigners::parse(&line).unwrap(),
        };
        let mut signed = ArchiveRecord::read(&record).unwrap();
        signed.signers = KeyList::of([ours.public_key()]);
        let record = Bytes::from(signed.to_bytes().unwrap());
        let checked = archived_beside(&simulator, Some(signers), Some(&record), &planted);
        assert_eq!(checked.records(DAY)[0].files[0].adopted, adopted);
        let wanted = if adopted {
            vec![]
        } else {
            vec![(k0.as_str(), "not-signed-by-us")]
        };
        assert_eq!(leftovers(&checked), wanted);
    }
}
