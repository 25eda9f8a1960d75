//! An archive of format version 1, kept as test data: it must stay readable, and the same observations must go on
//! giving the same bytes.
//!
//! While version 1 is a draft, a deliberate change of the format replaces the files (the failing test says where it
//! wrote what the code makes now); once it is frozen they are never touched again.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use cxvault::archive::coverage::{Coverage, DayState};
use cxvault::archive::day::{LONGEST_WINDOW_MS, Window, Zone};
use cxvault::archive::digest::Digest;
use cxvault::archive::lock::LockMode;
use cxvault::archive::manifest::{
    ArchiveRecord, DayRecord, Discovery, Envelope, File, Incomplete, Leftover, Link, Manifest, ObjectLock,
    Record, Run, Why, WindowAnswer,
};
use cxvault::archive::observation::{Kind, Observation, Status};
use cxvault::archive::omit::Omission;
use cxvault::archive::part::{PartReader, PartWriter, Place};
use cxvault::archive::roster::{Ended, Entry, Head, Member, Roll, RosterEnvelope, RosterRecord, Unlisted};
use cxvault::archive::row::Row;
use cxvault::archive::segment::Segment;
use cxvault::archive::signature::{AllowedSigners, SigningKey};
use cxvault::archive::tally::{Failures, Groups, Tally, count_failure, count_group};
use cxvault::archive::warning::{Warning, WarningCode};
use cxvault::archive::{key, schema};
use support::python::duckdb_python;

const SUB_ACCOUNT: &str = "99999999";
const ARCHIVE_ID: &str = "00112233445566778899aabbccddeeff";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1-draft")
}

/// Made for this test and good for nothing else.
fn signing_key() -> SigningKey {
    SigningKey::from_openssh_pem(&fs::read_to_string(golden().join("test-only.key")).unwrap()).unwrap()
}

fn look(status: Status, text: &str, at: i64) -> Observation {
    let ok = matches!(status, Status::Present | Status::Empty | Status::Binary);
    let binary = status == Status::Binary;
    Observation {
        status,
        summary: (ok && !binary).then(|| text.to_owned()),
        binary: binary.then(|| "/wD+".to_owned()),
        sha256: ok
            .then(|| if binary { Digest::of(&[0xff, 0x00, 0xfe]) } else { Digest::of(text.as_bytes()) }),
        http_status: match status {
            Status::NotFound => Some(404),
            Status::Failed => Some(500),
            _ => ok.then_some(200),
        },
        content_type: ok.then(|| "text/plain;charset=UTF-8".to_owned()),
        fetched_at: status.is_answer().then_some(at),
        server_date: status.is_answer().then_some(at - at % 1_000),
        attempts: if status == Status::Failed { 6 } else { 1 },
        error: (status == Status::Failed).then(|| "http_500".to_owned()),
        observed_by: "20261121T031500Z-0a1b2c3d".to_owned(),
    }
}

fn row(raw: &str, window: Window, agent: Observation, auto: Observation, revision: u32) -> Row {
    let segment = Segment::read(raw.to_owned());
    let end = segment.metadata.segment_end_time;
    Row {
        out_of_day: !end.is_some_and(|end| window.contains(end)),
        segment,
        other_answers: (revision == 2).then(|| r#"[{"segmentId":"p-v-4","future":1}]"#.to_owned()),
        agent,
        auto,
        revision,
        discovered_at: 1_795_226_400_000,
        discovered_by: "20261121T031500Z-0a1b2c3d".to_owned(),
        vanished: false,
    }
}

/// Every status, strange texts, a segment without id and without end, one out of the day.
fn rows(window: Window, revision: u32) -> Vec<Row> {
    let at = 1_795_230_000_123;
    let present = |text: &str| look(Status::Present, text, at);
    let fourth =
        r#"{"segmentId":"p-v-4","segmentEndTimeMs":"2026-11-20T23:59:59.999Z","segmentAgentGroupId":"4101"}"#;
    if revision == 2 {
        return vec![row(fourth, window, present("Filled later."), look(Status::Empty, "", at + 9), 2)];
    }
    let failed = || look(Status::Failed, "", at);
    vec![
        row(r#"{"note":"no id, no end"}"#, window, look(Status::NoId, "", at), look(Status::NoId, "", at), 1),
        row(
            r#"{"segmentId":"p-v-1","segmentEndTimeMs":"2026-11-19T23:00:00.000Z"}"#,
            window,
            look(Status::Skipped, "", at),
            look(Status::Skipped, "", at),
            1,
        ),
        row(
            r#"{ "segmentId" : "p-v-2", "segmentEndTimeMs":"2026-11-20T08:00:00.000Z", "hasRecording": true,
  "segmentEvents":[{"eventTimeMs":"2026-11-20T07:59:00.000Z","eventType":"REC_STOP"}], "future": {"x": 1.50} }"#,
            window,
            present("Zeile 1\nZeile 2\t\u{1F600} \u{5e9}\u{5dc}\u{5d5}\u{5dd} \"quoted\" \\ \u{7f}\u{1}"),
            look(Status::Binary, "", at),
            1,
        ),
        row(
            r#"{"segmentId":"p-v-3","segmentEndTimeMs":"2026-11-20T09:00:00.000Z","segmentAgentGroupId":"4101"}"#,
            window,
            look(Status::Empty, "", at),
            look(Status::NotFound, "", at),
            1,
        ),
        row(fourth, window, failed(), failed(), 1),
    ]
}

struct Golden {
    zone: Zone,
    objects: BTreeMap<String, Vec<u8>>,
    coverage: Coverage,
    previous: Option<Link>,
    sequence: u64,
}

impl Golden {
    fn part(&mut self, window: Window, revision: u32, date: &str) -> (File, Tally, Groups, Failures) {
        let key = key::part(SUB_ACCOUNT, date.parse().unwrap(), revision, 0);
        let (mut tally, mut groups, mut failures) = (Tally::default(), Groups::new(), Failures::new());
        let mut writer = PartWriter::new(Vec::new()).unwrap();
        for row in rows(window, revision) {
            tally.add(&row);
            count_group(&mut groups, &row);
            Kind::BOTH.iter().for_each(|&kind| count_failure(&mut failures, row.observation(kind)));
            writer.push(row).unwrap();
        }
        let zone = self.zone.name().into();
        let place =
            Place { archive_id: ARCHIVE_ID.into(), window, zone, omitted_fields: Omission::default() };
        let (bytes, written) = writer.finish(&key, &place, Some(&signing_key())).unwrap();
        let file = File {
            key: key.clone(),
            bytes: bytes.len() as u64,
            rows: written.rows,
            sha256: Digest::of(&bytes),
            merkle_root: written.merkle_root,
            schema_sha256: schema::fingerprint(),
            min_segment_end: written.segment_ends.map(|(min, _)| min),
            max_segment_end: written.segment_ends.map(|(_, max)| max),
            version_id: None,
            adopted: false,
            omitted_fields: None,
        };
        self.objects.insert(key, bytes);
        (file, tally, groups, failures)
    }

    fn commit(&mut self, record: DayRecord, state: DayState) {
        self.coverage.set(record.date, state);
        let day_end_ms = record.window.end_ms;
        self.sequence += 1;
        let key = key::manifest(SUB_ACCOUNT, self.sequence);
        let manifest = Manifest {
            format_version: schema::FORMAT_VERSION,
            archive_id: ARCHIVE_ID.into(),
            key: key.clone(),
            sub_account: SUB_ACCOUNT.into(),
            sequence: self.sequence,
            previous: self.previous.take(),
            run: Self::run(day_end_ms + 11_800_000),
            coverage: self.coverage.clone(),
            orders: None,
            record: Record::Day(Box::new(record)),
        };
        let bytes = manifest.seal(Some(&signing_key())).unwrap().to_bytes().unwrap();
        self.previous = Some(Link { key: key.clone(), sha256: Digest::of(&bytes) });
        self.objects.insert(key, bytes);
    }

    /// One record about all chains as they are now.
    fn roster(&mut self) {
        let head = Head { sequence: self.sequence, sha256: self.previous.as_ref().unwrap().sha256 };
        let roll = Roll { command: "run".into(), exit: Ended::Done, sub_accounts: members(head) };
        let key = key::manifest(key::ROSTER, 1);
        let record = RosterRecord {
            format_version: schema::FORMAT_VERSION,
            archive_id: ARCHIVE_ID.into(),
            key: key.clone(),
            sequence: 1,
            previous: None,
            run: Self::run(1_795_309_200_000 + 11_900_000),
            place: "s3://acme-cx-archive/ringcx".into(),
            object_lock: Some(ObjectLock { mode: LockMode::Compliance, retain_until: 2_016_151_200_000 }),
            takeover: None,
            entry: Entry::Roster(Box::new(roll)),
        };
        let bytes = RosterEnvelope::seal(record, Some(&signing_key())).unwrap().to_bytes().unwrap();
        self.objects.insert(key, bytes);
    }

    fn run(finished_at: i64) -> Run {
        Run {
            id: "20261121T031500Z-0a1b2c3d".into(),
            tool_version: "0.1.0".into(),
            libraries: "parquet 60.1".into(),
            tz_database: "2026f".into(),
            host: "host7".into(),
            settings_sha256: Digest::of(b"settings"),
            started_at: finished_at - 5_000_000,
            finished_at,
            clock_skew_ms: Some(-250),
        }
    }

    fn windows(window: Window, objects: u64) -> Discovery {
        let answer = |(n, tile): (usize, Window)| WindowAnswer {
            start: tile.start_ms,
            end: tile.end_ms,
            rows: if n == 0 { objects } else { 0 },
            bytes: 2,
            sha256: Digest::of(b"[]"),
            server_date: Some(window.end_ms + 7_200_000),
            answered_at: window.end_ms + 7_200_321,
            attempts: 1,
        };
        let windows = window.tiles(LONGEST_WINDOW_MS).into_iter().enumerate().map(answer).collect();
        Discovery::Windows { windows, objects, duplicates: 0, adopted_only: 0 }
    }

    fn record(&self, date: &str, revision: u32, discovery: Discovery) -> DayRecord {
        let date = date.parse().unwrap();
        DayRecord {
            date,
            zone: self.zone.name().into(),
            window: self.zone.day(date).unwrap(),
            revision,
            why: if revision == 1 { Why::Nightly } else { Why::GapFill },
            discovery,
            rows: Tally::default(),
            day: Tally::default(),
            agent_groups: Groups::new(),
            failures: Failures::new(),
            complete: true,
            incomplete_because: Vec::new(),
            warnings: Vec::new(),
            files: Vec::new(),
            leftovers: Vec::new(),
            object_lock: None,
            source_retention_days: None,
            recheck: None,
            omitted_fields: Omission::default(),
        }
    }
}

/// The golden archive as the code makes it today.
fn make() -> BTreeMap<String, Vec<u8>> {
    let zone = Zone::named("UTC").unwrap();
    let window = zone.day("2026-11-20".parse().unwrap()).unwrap();
    let mut golden =
        Golden { zone, objects: BTreeMap::new(), coverage: Coverage::default(), previous: None, sequence: 0 };
    let record =
        ArchiveRecord { archive_id: ARCHIVE_ID.into(), created_at: 1_795_226_000_000, format_version: 1 };
    golden.objects.insert(key::ARCHIVE.into(), serde_json_canonicalizer::to_vec(&record).unwrap());

    let (file, rows, agent_groups, failures) = golden.part(window, 1, "2026-11-20");
    let mut first = golden.record("2026-11-20", 1, Golden::windows(window, 5));
    let lock = ObjectLock { mode: LockMode::Compliance, retain_until: 2_016_151_200_000 };
    first = DayRecord {
        day: rows.clone(),
        rows,
        agent_groups,
        failures,
        complete: false,
        incomplete_because: vec![Incomplete::SummariesFailed],
        files: vec![file],
        object_lock: Some(lock),
        source_retention_days: Some(90),
        ..first
    };
    golden.commit(first, DayState::Gaps);

    let link = golden.previous.clone().unwrap();
    let (file, rows, _, failures) = golden.part(window, 2, "2026-11-20");
    let (mut day, mut agent_groups) = (Tally::default(), Groups::new());
    let fixed = self::rows(window, 1).into_iter().take(4).chain(self::rows(window, 2));
    fixed.for_each(|row| {
        day.add(&row);
        count_group(&mut agent_groups, &row);
    });
    let second = golden.record("2026-11-20", 2, Discovery::Manifest(link));
    let leftover = Leftover {
        key: key::part(SUB_ACCOUNT, "2026-11-20".parse().unwrap(), 1, 1),
        sha256: Digest::of(b"left"),
        why: "not-committed".into(),
    };
    let second = DayRecord {
        rows,
        day,
        agent_groups,
        failures,
        files: vec![file],
        leftovers: vec![leftover],
        ..second
    };
    golden.commit(second, DayState::Complete);

    let next = golden.zone.day("2026-11-21".parse().unwrap()).unwrap();
    let mut empty = golden.record("2026-11-21", 1, Golden::windows(next, 0));
    let code = WarningCode::LowVolume;
    empty.warnings = vec![Warning { code, agent_group: None, found: 0, usual: 412, acknowledged: true }];
    golden.commit(empty, DayState::Empty);
    golden.roster();
    golden.objects
}

/// Two sub-accounts, of which one was never archived and is no longer listed.
fn members(head: Head) -> Vec<Member> {
    let unlisted = Unlisted { since: 1, acknowledged: true };
    vec![
        Member {
            id: "88888888".into(),
            listed: Some(false),
            expected: true,
            outcome: None,
            head: None,
            unlisted: Some(unlisted),
        },
        Member {
            id: SUB_ACCOUNT.into(),
            listed: Some(true),
            expected: true,
            outcome: Some(Ended::Done),
            head: Some(head),
            unlisted: None,
        },
    ]
}

#[test]
fn the_same_observations_still_give_the_same_bytes() {
    let made = make();
    let differing: Vec<&String> = made
        .iter()
        .filter(|(key, bytes)| fs::read(golden().join(key)).ok().as_ref() != Some(*bytes))
        .map(|(key, _)| key)
        .collect();
    if !differing.is_empty() {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden-v1-draft");
        for (key, bytes) in &made {
            fs::create_dir_all(target.join(key).parent().unwrap()).unwrap();
            fs::write(target.join(key), bytes).unwrap();
        }
        panic!("the format has changed in {differing:?}; what the code makes now is in {}", target.display());
    }
}

#[test]
fn the_golden_archive_is_still_readable() {
    let root = golden();
    let mut allowed = AllowedSigners::default();
    allowed.allow(signing_key().public_key());
    let (mut previous, mut rows) = (None, 0);
    for sequence in 1..=3 {
        let bytes = fs::read(root.join(key::manifest(SUB_ACCOUNT, sequence))).unwrap();
        let envelope = Envelope::from_bytes(&bytes).unwrap();
        envelope.require_signer(&allowed).unwrap();
        assert_eq!(envelope.manifest.previous.as_ref().map(|link| link.sha256), previous);
        previous = Some(Digest::of(&bytes));
        let day = envelope.manifest.day().unwrap();
        assert!(day.rows.balances() && day.day.balances());
        for file in &day.files {
            let bytes = fs::read(root.join(&file.key)).unwrap();
            assert_eq!(Digest::of(&bytes), file.sha256);
            let mut part = PartReader::open(Bytes::from(bytes)).unwrap();
            assert_eq!(part.signer().unwrap(), Some(signing_key().public_key()));
            let mut read = Vec::new();
            while let Some(row) = part.next_row().unwrap() {
                read.push(row);
            }
            assert_eq!(read, self::rows(day.window, day.revision));
            rows += read.len();
        }
    }
    assert_eq!(rows, 6);
    let head = Envelope::from_bytes(&fs::read(root.join(key::manifest(SUB_ACCOUNT, 3))).unwrap()).unwrap();
    assert_eq!(head.manifest.coverage.days, "ce");
    let roster = fs::read(root.join(key::manifest(key::ROSTER, 1))).unwrap();
    let roster = RosterEnvelope::from_bytes(&roster).unwrap();
    roster.require_signer(&allowed).unwrap();
    let last = Head { sequence: 3, sha256: previous.unwrap() };
    assert_eq!(roster.manifest.roll().unwrap().sub_accounts, members(last));
}

/// Recomputes hashes, counts and sizes with DuckDB and with PyArrow; the error tells what differs.
fn compared(archive: &Path) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/compare_parts.py");
    let done = Command::new(duckdb_python()).arg(script).arg(archive).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if done.status.success() { Ok(text(done.stdout)) } else { Err(text(done.stderr)) }
}

#[test]
fn other_readers_find_what_the_manifests_say() {
    let said = compared(&golden()).unwrap();
    let values: u32 = said.split(' ').next().unwrap().parse().unwrap();
    assert!(values > 100, "{said}");

    let manifest = key::manifest(SUB_ACCOUNT, 1);
    let original = fs::read_to_string(golden().join(&manifest)).unwrap();
    let file = original.split("\"files\":[").nth(1).unwrap();
    let merkle_root = file.split("\"merkle_root\":\"").nth(1).unwrap()[..64].to_owned();
    for (changed, to, finding) in [
        ("\"PRESENT\":1", "\"PRESENT\":2", "PRESENT"),
        ("\"vanished\":0", "\"vanished\":1", "vanished"),
        ("\"rows\":5", "\"rows\":6", "rows of"),
        ("\"http_500\":2", "\"http_500\":3", "failures"),
        (".999Z\",\"merkle", ".998Z\",\"merkle", "ends of"),
        (&merkle_root, &"0".repeat(64), "Merkle root"),
    ] {
        let copy = tempfile::tempdir().unwrap();
        for (key, bytes) in make() {
            let path = copy.path().join(&key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        assert!(original.contains(changed), "{changed} is not there to be changed");
        fs::write(copy.path().join(&manifest), original.replace(changed, to)).unwrap();
        let found = compared(copy.path()).expect_err(finding);
        assert!(found.contains(finding), "{found}");
    }
}
