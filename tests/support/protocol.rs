//! What must be true of an archive's objects at every moment, whichever processes wrote them and
//! died meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cxvault::format::hash::digest::Digest;
use cxvault::format::part::PartReader;
use cxvault::format::place::key;
use cxvault::format::record::manifest::{DayRecord, Discovery, Envelope, Link, Manifest};
use cxvault::format::row::Row;
use cxvault::format::row::observation::{Observation, Status, SummaryKind};
use cxvault::format::row::segment::Segment;
use cxvault::format::row::tally::Tally;

/// Every object of an archive, by its key.
pub type Contents = BTreeMap<String, Bytes>;

/// An archive whose check found no error.
#[derive(Default)]
pub struct Checked {
    pub manifests: Vec<Manifest>,
    /// By date, then by segment, the rows of all revisions in order.
    pub rows: BTreeMap<String, BTreeMap<String, Vec<Row>>>,
    /// Parts that no manifest lists.
    pub unlisted: Vec<String>,
}

impl Checked {
    pub fn records(&self, date: &str) -> Vec<&DayRecord> {
        let of_date = |day: &&DayRecord| day.date.to_string() == date;
        self.manifests
            .iter()
            .filter_map(Manifest::day)
            .filter(of_date)
            .collect()
    }

    /// Returns the answer that counts for a summary by the rule of the format document.
    pub fn current(&self, date: &str, segment: &str, kind: SummaryKind) -> &Observation {
        current(&self.rows[date][segment], kind)
    }

    /// Returns whether some revision holds this answer.
    pub fn holds(
        &self,
        date: &str,
        segment: &str,
        kind: SummaryKind,
        status: Status,
        sha256: Option<Digest>,
    ) -> bool {
        let rows = self
            .rows
            .get(date)
            .and_then(|segments| segments.get(segment));
        let same = |row: &Row| {
            let found = row.observation(kind);
            found.status == status && found.sha256 == sha256
        };
        rows.is_some_and(|rows| rows.iter().any(same))
    }
}

fn current(rows: &[Row], kind: SummaryKind) -> &Observation {
    let looks = || rows.iter().map(|row| row.observation(kind));
    let answered = looks().filter(|look| look.status.is_answer());
    // Of equal times the first answer counts; `max_by_key` would return the last.
    let newest = answered.rev().max_by_key(|look| look.fetched_at);
    newest
        .or_else(|| looks().next_back())
        .expect("a segment has a row")
}

/// Panics where the objects contradict the format or themselves.
#[track_caller]
pub fn check(contents: &Contents, sub: &str) -> Checked {
    let mut checked = Checked::default();
    let mut previous: Option<Link> = None;
    let mut listed = BTreeSet::new();
    let manifests = contents
        .iter()
        .filter(|(key, _)| key.starts_with("manifests/"));
    for (n, (name, bytes)) in manifests.enumerate() {
        assert_eq!(
            name,
            &key::manifest(sub, n as u64 + 1),
            "the chain has a gap or a foreign object"
        );
        let manifest = Envelope::from_bytes(bytes).unwrap().manifest;
        assert_eq!((&manifest.key, manifest.sequence), (name, n as u64 + 1));
        assert_eq!(manifest.previous, previous, "{name}");
        previous = Some(Link {
            key: name.clone(),
            sha256: Digest::of(bytes),
        });
        let record = manifest.day().unwrap().clone();
        checked.manifests.push(manifest);
        check_revision(contents, &record, &mut checked, &mut listed);
    }
    let parts = contents.keys().filter(|key| key.starts_with("segments/"));
    checked.unlisted = parts
        .filter(|key| !listed.contains(*key))
        .cloned()
        .collect();
    checked
}

fn check_revision(
    contents: &Contents,
    record: &DayRecord,
    to: &mut Checked,
    listed: &mut BTreeSet<String>,
) {
    let date = record.date.to_string();
    assert_eq!(
        record.revision as usize,
        to.records(&date).len(),
        "{date}: a revision is there twice, or missing"
    );
    let mut rows = Vec::new();
    for file in &record.files {
        assert!(
            listed.insert(file.key.clone()),
            "{} is listed twice",
            file.key
        );
        let bytes = contents
            .get(&file.key)
            .unwrap_or_else(|| panic!("{} is missing", file.key));
        assert_eq!(
            (Digest::of(bytes), bytes.len() as u64),
            (file.sha256, file.bytes),
            "{}",
            file.key
        );
        let mut part = PartReader::open(bytes.clone()).unwrap();
        while let Some(row) = part.next_row().unwrap() {
            rows.push(row);
        }
    }
    let keys: BTreeSet<String> = rows.iter().map(|row| row.segment.key()).collect();
    assert_eq!(
        keys.len(),
        rows.len(),
        "{date} revision {} repeats a segment",
        record.revision
    );
    assert_eq!(
        tally(rows.iter()),
        record.rows,
        "{date} revision {}: rows",
        record.revision
    );
    if let Discovery::Windows {
        objects,
        duplicates,
        adopted_only,
        ..
    } = record.discovery
    {
        assert_eq!(objects - duplicates + adopted_only, rows.len() as u64);
    }
    let of_date = to.rows.entry(date.clone()).or_default();
    for row in rows {
        assert_eq!(row.revision, record.revision);
        of_date.entry(row.segment.key()).or_default().push(row);
    }
    let now: Vec<Row> = of_date.values().map(|rows| as_it_stands(rows)).collect();
    assert_eq!(
        tally(now.iter()),
        record.day,
        "{date} revision {}: the day after it",
        record.revision
    );
    let failed = SummaryKind::BOTH.iter().any(|&kind| {
        now.iter()
            .any(|row| row.observation(kind).status == Status::Failed)
    });
    assert!(
        !(failed && record.complete),
        "{date}: complete, with failures"
    );
}

fn as_it_stands(rows: &[Row]) -> Row {
    let mut now = rows.last().expect("a segment has a row").clone();
    for kind in SummaryKind::BOTH {
        *now.observation_mut(kind) = current(rows, kind).clone();
    }
    now
}

fn tally<'a>(rows: impl Iterator<Item = &'a Row>) -> Tally {
    let mut tally = Tally::default();
    rows.for_each(|row| tally.add(row));
    tally
}

/// Returns the answer of the simulator's truth for each summary: status and SHA-256, by segment and
/// kind.
pub type Expected = BTreeMap<(String, SummaryKind), (Status, Option<Digest>)>;

#[derive(serde::Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    segment: &'a serde_json::value::RawValue,
    agent: serde_json::Value,
    auto: serde_json::Value,
}

/// Reads lines of `/__sim/truth`.
pub fn expected(truth: &str) -> Expected {
    let mut expected = Expected::new();
    for line in truth.lines() {
        let line: Line = serde_json::from_str(line).unwrap();
        let segment = Segment::read(line.segment.get().to_owned()).key();
        for (kind, answer) in [
            (SummaryKind::Agent, line.agent),
            (SummaryKind::Auto, line.auto),
        ] {
            let status = answer["status"].as_str().unwrap().parse().unwrap();
            let sha256 = answer["sha256"].as_str().map(|hex| hex.parse().unwrap());
            expected.insert((segment.clone(), kind), (status, sha256));
        }
    }
    assert!(!expected.is_empty(), "an empty truth compares nothing");
    expected
}

/// Asserts that the archive's current answers for `date` are these, and that it has no other
/// segments.
#[track_caller]
pub fn check_truth(checked: &Checked, date: &str, expected: &Expected) {
    for ((segment, kind), (status, sha256)) in expected {
        let found = checked.current(date, segment, *kind);
        assert_eq!(
            (found.status, found.sha256),
            (*status, *sha256),
            "{segment} {kind:?}"
        );
    }
    assert_eq!(
        checked.rows[date].len() * 2,
        expected.len(),
        "segments that are not in the truth"
    );
}
