//! `cxvault verify` over a year of ten sub-accounts, beside `sha256sum` over the same files, and its peak memory.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::rows::row;
use crate::support::{Measured, setting};
use cxvault::format::hash::digest::Digest;
use cxvault::format::part::{PartContext, PartWriter};
use cxvault::format::place::key;
use cxvault::format::record::archive::ArchiveRecord;
use cxvault::format::record::continuity::Continuity;
use cxvault::format::record::coverage::{Coverage, DayState};
use cxvault::format::record::envelope::RecordBody;
use cxvault::format::record::key_list::KeyList;
use cxvault::format::record::manifest::{
    DayRecord, Discovery, File, Link, Manifest, Record, Run, Why, WindowRecord,
};
use cxvault::format::record::position::ChainPosition;
use cxvault::format::row::Row;
use cxvault::format::row::schema;
use cxvault::format::row::tally::{Failures, Groups, Tally, count_group};
use cxvault::format::signature::SigningKey;
use cxvault::format::time::day::{LONGEST_WINDOW_MS, Window, Zone, tz_database_version};
use cxvault::format::time::instant::Instant;
use jiff::civil::Date;

const FIRST_DAY: Date = jiff::civil::date(2025, 11, 20);
const HOUR_MS: i64 = 3_600_000;
const ROUNDS: usize = 3;

/// What the archive is made of; smaller ones are for trying the benchmark itself.
struct Size {
    sub_accounts: u64,
    days: u64,
    /// On an average day; days differ by a third.
    segments: u64,
}

/// One chain in the making.
struct Chain<'a> {
    root: &'a Path,
    archive_id: &'a str,
    archive_sha256: Digest,
    position: ChainPosition,
    signer: &'a SigningKey,
    zone: Zone,
    sub_account: String,
    sequence: u64,
    previous: Option<Link>,
    coverage: Coverage,
}

impl Chain<'_> {
    fn write(&self, key: &str, bytes: &[u8]) {
        let path = self.root.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Commits one day with honest hashes and counts.
    fn day(&mut self, date: Date, rows: Vec<Row>) {
        let window = self.zone.day(date).unwrap();
        let (mut tally, mut groups) = (Tally::default(), Groups::new());
        for row in &rows {
            tally.add(row);
            count_group(&mut groups, row);
        }
        let windows = windows(window, &rows);
        let file = self.part(date, window, rows);
        self.coverage.set(date, DayState::Complete);
        let record = DayRecord {
            date,
            zone: self.zone.name().to_owned(),
            window,
            revision: 1,
            why: Why::Nightly.into(),
            discovery: Discovery::Windows {
                windows,
                objects: tally.segments,
                duplicates: 0,
                adopted_only: 0,
            },
            rows: tally.clone(),
            day: tally,
            agent_groups: groups,
            other_agent_groups: None,
            failures: Failures::new(),
            complete: true,
            incomplete_because: Vec::new(),
            warnings: Vec::new(),
            files: vec![file],
            leftovers: Vec::new(),
            object_lock: None,
            source_retention_days: None,
            recheck: None,
            omitted_fields: Default::default(),
        };
        self.commit(record, window.end_ms + 25 * HOUR_MS);
    }

    fn part(&self, date: Date, window: Window, rows: Vec<Row>) -> File {
        let key = key::part(&self.sub_account, date, 1, 0);
        let zone = self.zone.name().to_owned();
        let archive_id = self.archive_id.to_owned();
        let place = PartContext {
            archive_id,
            window,
            zone,
            omitted_fields: Default::default(),
        };
        let mut writer = PartWriter::new(Vec::new()).unwrap();
        rows.into_iter().for_each(|row| writer.push(row).unwrap());
        let (bytes, written) = writer.finish(&key, &place, Some(self.signer)).unwrap();
        self.write(&key, &bytes);
        File::of(&key, bytes.len() as u64, Digest::of(&bytes), &written, None)
    }

    fn commit(&mut self, record: DayRecord, finished_at: i64) {
        self.sequence += 1;
        let key = key::manifest(&self.sub_account, self.sequence);
        let manifest = Manifest {
            format_version: schema::FORMAT_VERSION,
            archive_id: self.archive_id.to_owned(),
            archive_sha256: self.archive_sha256,
            key: key.clone(),
            sub_account: self.sub_account.clone(),
            sequence: self.sequence,
            previous: self.previous.take(),
            position: self.position.clone(),
            continuity: Continuity {
                signed_from: Some(1),
                passed_over: None,
            },
            run: Run {
                id: "20261121T031500Z-0a1b2c3d".to_owned(),
                tool_version: env!("CARGO_PKG_VERSION").to_owned(),
                libraries: "parquet".to_owned(),
                tz_database: tz_database_version().to_owned(),
                host: "bench".to_owned(),
                settings_sha256: Digest::of(b""),
                started_at: Instant::from_millis(finished_at - 25 * HOUR_MS),
                finished_at: Instant::from_millis(finished_at),
                clock_skew_ms: Some(0),
            },
            coverage: self.coverage.clone(),
            orders: None,
            record: Record::Day(Box::new(record)),
        };
        let envelope = manifest.seal(Some(self.signer)).unwrap();
        let bytes = envelope.to_bytes().unwrap();
        self.position = envelope.manifest.next_position(Digest::of(&bytes));
        self.previous = Some(Link {
            key: key.clone(),
            sha256: Digest::of(&bytes),
        });
        self.write(&key, &bytes);
    }
}

fn windows(day: Window, rows: &[Row]) -> Vec<WindowRecord> {
    let answered_at = Instant::from_millis(day.end_ms + HOUR_MS);
    let answer = |tile: Window| {
        let ends = rows
            .iter()
            .filter_map(|row| row.segment.metadata.segment_end_time);
        let found = ends.filter(|end| tile.contains(*end)).count() as u64;
        WindowRecord {
            start: Instant::from_millis(tile.start_ms),
            end: Instant::from_millis(tile.end_ms),
            objects: found,
            bytes: found * 600,
            sha256: Digest::of(&found.to_be_bytes()),
            server_date: Some(answered_at),
            answered_at,
            attempts: 1,
        }
    };
    day.tiles(LONGEST_WINDOW_MS)
        .into_iter()
        .map(answer)
        .collect()
}

/// The rows of one day, `first` being the number of its first segment among all.
fn rows(first: u64, segments: u64, day: Window) -> Vec<Row> {
    let step = (day.end_ms - day.start_ms) / segments as i64;
    let asked = day.end_ms + HOUR_MS;
    (0..segments)
        .map(|n| row(first + n, day.start_ms + n as i64 * step, asked))
        .collect()
}

/// Lays the archive into `root`; returns its rows.
fn build(root: &Path, size: &Size, signer: &SigningKey) -> u64 {
    let archive_id = "0".repeat(32);
    let record = ArchiveRecord {
        archive_id: archive_id.clone(),
        created_at: Instant::from_millis(0),
        format_version: 1,
        signers: KeyList::of([signer.public_key()]),
    };
    fs::create_dir_all(root).unwrap();
    fs::write(root.join(key::ARCHIVE), record.to_bytes().unwrap()).unwrap();
    let one = |sub_account: u64| {
        let mut chain = Chain {
            root,
            archive_id: &archive_id,
            archive_sha256: record.sha256().unwrap(),
            position: ChainPosition::default(),
            signer,
            zone: Zone::named("America/New_York").unwrap(),
            sub_account: (10_000_000 + sub_account).to_string(),
            sequence: 0,
            previous: None,
            coverage: Coverage::default(),
        };
        let mut made = 0;
        for day in 0..size.days {
            let date = FIRST_DAY
                .checked_add(jiff::Span::new().days(day as i64))
                .unwrap();
            let segments = (size.segments * (2 + day % 3) / 3).max(1);
            let rows = rows(
                (sub_account << 32) + made,
                segments,
                chain.zone.day(date).unwrap(),
            );
            chain.day(date, rows);
            made += segments;
        }
        made
    };
    std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            let one = &one;
            let mine = (0..size.sub_accounts).filter(move |n| n % 2 == half);
            scope.spawn(move || mine.map(one).sum::<u64>())
        });
        halves.into_iter().map(|half| half.join().unwrap()).sum()
    })
}

/// Adds every file below a folder, and returns the bytes of all.
fn files(folder: &Path, into: &mut Vec<PathBuf>) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            bytes += files(&entry.path(), into);
        } else {
            into.push(entry.path());
            bytes += about.len();
        }
    }
    bytes
}

/// The fastest of some rounds; the files are in the page cache after the first.
fn best(scratch: &Path, command: impl Fn() -> Command) -> Measured {
    let rounds = (0..ROUNDS).map(|_| {
        let round = crate::support::measured(scratch, &command());
        assert_eq!(round.exit, 0, "{:?} failed", command());
        round
    });
    rounds.min_by_key(|round| round.wall).unwrap()
}

pub fn run() {
    let size = Size {
        sub_accounts: setting("CXVAULT_TEST_SUB_ACCOUNTS", 10),
        days: setting("CXVAULT_TEST_DAYS", 365),
        segments: setting("CXVAULT_TEST_SEGMENTS", 1_000),
    };
    let (_keep, scratch) = crate::support::scratch();
    let root = scratch.join("archive");
    let signer = SigningKey::generate().unwrap();
    let rows = build(&root, &size, &signer);
    let mut all = Vec::new();
    let bytes = files(&root, &mut all);
    println!(
        "{} sub-accounts x {} days: {rows} segments, {} files, {} MiB",
        size.sub_accounts,
        size.days,
        all.len(),
        bytes >> 20
    );
    let sums = sha256sum(&scratch, &all);
    println!(
        "sha256sum     {:>7.2} s  {:>5.0} MiB/s",
        seconds(sums),
        bytes as f64 / 1_048_576.0 / seconds(sums)
    );
    let signers = scratch.join("allowed_signers");
    fs::write(
        &signers,
        signer.public_key().allowed_signers_line("cxvault") + "\n",
    )
    .unwrap();
    for (level, wanted) in [
        ("quick", ""),
        ("full", " (at most 2 wanted)"),
        ("deep", " (at most 6 wanted)"),
    ] {
        let verified = best(&scratch, || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_cxvault"));
            command
                .args(["verify", "--quiet", "--level", level, "--archive"])
                .arg(&root);
            command
                .arg("--allowed-signers")
                .arg(&signers)
                .env("HOME", &scratch);
            command
        });
        println!(
            "verify {level:<6} {:>7.2} s  {:.2} of sha256sum{wanted}; {:.2} s of CPU; peak {} MiB (at most 150 wanted)",
            seconds(verified.wall),
            seconds(verified.wall) / seconds(sums),
            seconds(verified.cpu),
            verified.peak_kib / 1024
        );
    }
}

fn sha256sum(scratch: &Path, files: &[PathBuf]) -> Duration {
    let names: String = files
        .iter()
        .map(|path| format!("{}\0", path.display()))
        .collect();
    let list = scratch.join("list");
    fs::write(&list, names).unwrap();
    let shell = format!("xargs -0 sha256sum < '{}' > /dev/null", list.display());
    let sums = best(scratch, || {
        let mut command = Command::new("sh");
        command.args(["-c", &shell]);
        command
    });
    sums.wall
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
