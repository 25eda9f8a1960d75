//! Chains of years: an old day is found by the lists that records carry, in a few requests, and what is found so is
//! checked against the hash by which it was named.

use std::path::Path;
use std::sync::Arc;

use cxvault::chain::archive::Archive;
use cxvault::chain::read::ChainReader;
use cxvault::chain::timeline::Timeline;
use cxvault::format::hash::digest::Digest;
use cxvault::format::place::key;
use cxvault::format::record::coverage::{Coverage, DayState};
use cxvault::format::record::envelope::RecordBody;
use cxvault::format::record::manifest::{Envelope, Link, Manifest, Record};
use cxvault::format::record::position::ChainPosition;
use cxvault::format::signature::{AllowedSigners, SigningKey};
use cxvault::format::time::range::Days;
use cxvault::outcome::Exit;
use jiff::civil::{Date, date};
use tokio_util::sync::CancellationToken;

use crate::support::host::{Host, TestClock};
use crate::support::memory::{MemoryStore, StoreOperation};

const SUB: &str = "99999999";
const RECORDS: u64 = 300;

fn golden(path: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    std::fs::read(root.join(path)).unwrap()
}

fn signing_key() -> SigningKey {
    SigningKey::from_openssh_pem(&String::from_utf8(golden("test-only.key")).unwrap()).unwrap()
}

/// Returns the day that the record with this number commits.
fn day(sequence: u64) -> Date {
    date(2025, 1, 1)
        .checked_add(jiff::Span::new().days(sequence as i64 - 1))
        .unwrap()
}

/// Makes a chain of empty days, one a record, from the golden archive's empty day.
fn chain(store: &MemoryStore) {
    store.overwrite(key::ARCHIVE, golden("archive/archive.json"));
    let empty = golden(&format!("archive/{}", key::manifest(SUB, 3)));
    let mut manifest: Manifest = Envelope::from_bytes(&empty).unwrap().manifest;
    let signer = signing_key();
    let (mut coverage, mut position, mut previous) =
        (Coverage::default(), ChainPosition::default(), None);
    for sequence in 1..=RECORDS {
        coverage.set(day(sequence), DayState::Empty);
        manifest.sequence = sequence;
        manifest.key = key::manifest(SUB, sequence);
        manifest.coverage = coverage.clone();
        manifest.position = position;
        manifest.continuity.signed_from = Some(1);
        manifest.previous = previous.take();
        let Record::Day(record) = &mut manifest.record else {
            panic!("it is a day")
        };
        (record.date, record.revision) = (day(sequence), 1);
        let envelope = manifest.clone().seal(Some(&signer)).unwrap();
        let bytes = envelope.to_bytes().unwrap();
        let sha256 = Digest::of(&bytes);
        position = manifest.next_position(sha256);
        previous = Some(Link {
            key: manifest.key.clone(),
            sha256,
        });
        store.overwrite(&manifest.key, bytes);
    }
}

fn allowed() -> AllowedSigners {
    let mut allowed = AllowedSigners::default();
    allowed.allow(signing_key().public_key());
    allowed
}

async fn opened(store: &Arc<MemoryStore>) -> Archive {
    Archive::open(store.clone(), allowed(), CancellationToken::new())
        .await
        .unwrap()
}

/// Returns the range that is one day.
fn only(date: Date) -> Days {
    Days {
        from: Some(date),
        to: date.tomorrow().ok(),
    }
}

#[tokio::test]
async fn a_reader_finds_an_old_day_of_300_records_in_few_requests() {
    let store = Arc::new(MemoryStore::new());
    chain(&store);
    let archive = opened(&store).await;
    // Number of the record, and the records that are read: the head, those that list 64 others, and the day's own.
    for (sequence, expected) in [(300, 1), (299, 2), (257, 2), (200, 4), (20, 6), (1, 6)] {
        let before = store.calls(StoreOperation::Get);
        let timeline = Timeline::read(&archive, SUB, &only(day(sequence)))
            .await
            .unwrap();
        assert_eq!(timeline.head_ref().sequence, RECORDS);
        let requests = store.calls(StoreOperation::Get) - before;
        assert!(
            requests <= expected + 1,
            "{requests} requests for the record {sequence}"
        );
    }
}

#[tokio::test]
async fn a_writer_finds_the_revisions_of_an_old_day_in_few_requests() {
    let store = Arc::new(MemoryStore::new());
    chain(&store);
    let mut host = Host::new("a", "http://127.0.0.1:9", &TestClock::new());
    host.sign(signing_key());
    let writer = host.open(store.clone()).await.unwrap();
    let mut chain = ChainReader::<Manifest>::open(&writer, SUB).await.unwrap();
    let before = store.calls(StoreOperation::Get);
    let revisions = chain.revisions(&writer, day(20)).await.unwrap();
    let found: Vec<(Date, u32)> = revisions
        .iter()
        .map(|(_, day)| (day.date, day.revision))
        .collect();
    assert_eq!(found, [(day(20), 1)]);
    let requests = store.calls(StoreOperation::Get) - before;
    assert!(requests <= RECORDS / 64 + 2, "{requests} requests");
}

/// The storage provider exchanges a record that no walk over all records would pass any more.
#[tokio::test]
async fn p_cannot_exchange_an_old_record_or_the_one_that_lists_it() {
    for exchanged in [20, 65, 257] {
        let store = Arc::new(MemoryStore::new());
        chain(&store);
        let archive = opened(&store).await;
        let place = key::manifest(SUB, exchanged);
        let bytes = store.contents()[&place].clone();
        let mut manifest = Envelope::from_bytes(&bytes).unwrap().manifest;
        manifest.run.host = "another".to_owned();
        // With the archive's own key: a host that was taken over has signed another record.
        let forged = manifest.seal(Some(&signing_key())).unwrap();
        store.overwrite(&place, forged.to_bytes().unwrap());
        let read = Timeline::read(&archive, SUB, &only(day(20))).await;
        let failure = read.map(|_| ()).unwrap_err();
        assert_eq!(failure.exit, Exit::Integrity, "{exchanged}");
        assert!(failure.message.contains(&place), "{}", failure.message);
    }
}
