//! Makes chains of records and parts as the library writes them, from observations that never change.

use std::collections::BTreeMap;

use cxvault::format::hash::digest::Digest;
use cxvault::format::part::{PartContext, PartWriter};
use cxvault::format::place::key;
use cxvault::format::record::anchor::Anchor;
use cxvault::format::record::archive::ArchiveRecord;
use cxvault::format::record::continuity::Continuity;
use cxvault::format::record::coverage::Coverage;
use cxvault::format::record::envelope::RecordBody;
use cxvault::format::record::head::Head;
use cxvault::format::record::key_list::KeyList;
use cxvault::format::record::manifest::{
    DayRecord, Discovery, Envelope, File, Link, Manifest, ObjectLock, Record, Run, Why,
    WindowRecord,
};
use cxvault::format::record::position::ChainPosition;
use cxvault::format::record::roster::{Inventory, RosterEntry, RosterEnvelope, RosterRecord};
use cxvault::format::row::Row;
use cxvault::format::row::observation::SummaryKind;
use cxvault::format::row::omit::Omission;
use cxvault::format::row::recheck::Changes;
use cxvault::format::row::tally::{Failures, Groups, Tally, count_failure, count_group};
use cxvault::format::row::{change, schema};
use cxvault::format::signature::SigningKey;
use cxvault::format::time::day::{LONGEST_WINDOW_MS, Window, Zone};
use cxvault::format::time::instant::Instant;

use super::rows::instant;

pub const ARCHIVE_ID: &str = "00112233445566778899aabbccddeeff";

/// Every object that was made, by its key.
pub type Objects = BTreeMap<String, Vec<u8>>;

/// What the golden archive is made of.
pub struct Golden {
    pub signer: SigningKey,
    /// SHA-256 of `archive.json`.
    pub archive_sha256: Digest,
    pub objects: Objects,
    /// Stored outside the archive.
    pub anchors: Objects,
    /// The rows of each part.
    pub rows: BTreeMap<String, Vec<Row>>,
}

impl Golden {
    pub fn new(signer: SigningKey) -> Golden {
        let record = ArchiveRecord {
            archive_id: ARCHIVE_ID.into(),
            created_at: Instant::from_millis(1_795_226_000_000),
            format_version: 1,
            signers: KeyList::of([signer.public_key()]),
        };
        let objects = [(key::ARCHIVE.to_owned(), record.to_bytes().unwrap())].into();
        Golden {
            signer,
            archive_sha256: record.sha256().unwrap(),
            objects,
            anchors: Objects::new(),
            rows: BTreeMap::new(),
        }
    }

    /// A part, and what its manifest says about it.
    pub fn part(&mut self, key: String, place: &PartContext, rows: Vec<Row>) -> File {
        let mut writer = PartWriter::new(Vec::new()).unwrap();
        rows.iter()
            .for_each(|row| writer.push(row.clone()).unwrap());
        let (bytes, written) = writer.finish(&key, place, Some(&self.signer)).unwrap();
        let file = File::of(&key, bytes.len() as u64, Digest::of(&bytes), &written, None);
        self.objects.insert(key.clone(), bytes);
        self.rows.insert(key, rows);
        file
    }

    pub fn anchor(&mut self, anchor: &Anchor) {
        self.anchors
            .insert(anchor.place(), anchor.to_bytes().unwrap());
    }
}

pub fn run(finished_at: i64) -> Run {
    Run {
        id: "20261121T031500Z-0a1b2c3d".into(),
        tool_version: "0.1.0".into(),
        libraries: "parquet 60.1".into(),
        tz_database: "2026f".into(),
        host: "host7".into(),
        settings_sha256: Digest::of(b"settings"),
        started_at: Instant::from_millis(finished_at - 5_000_000),
        finished_at: Instant::from_millis(finished_at),
        clock_skew_ms: Some(-250),
    }
}

/// Returns what a record of a chain says that is signed from its first record on.
pub fn signed() -> Continuity {
    Continuity {
        signed_from: Some(1),
        passed_over: None,
    }
}

/// Returns the windows that tile a day; the first one holds all of its objects.
pub fn windows(window: Window, rows: &[Row], asked_at: i64) -> Vec<WindowRecord> {
    let objects: Vec<&str> = rows.iter().map(|row| row.segment.raw.as_str()).collect();
    let answer = |(n, tile): (usize, Window)| {
        let objects = if n == 0 { &objects[..] } else { &[] };
        let body = format!("[{}]", objects.join(","));
        WindowRecord {
            start: Instant::from_millis(tile.start_ms),
            end: Instant::from_millis(tile.end_ms),
            objects: objects.len() as u64,
            bytes: body.len() as u64,
            sha256: Digest::of(body.as_bytes()),
            server_date: Some(Instant::from_millis(asked_at)),
            answered_at: Instant::from_millis(asked_at + 321),
            attempts: 1,
        }
    };
    window
        .tiles(LONGEST_WINDOW_MS)
        .into_iter()
        .enumerate()
        .map(answer)
        .collect()
}

/// A revision that will be committed next.
pub struct Revision {
    pub record: DayRecord,
    /// The counts of all of its files.
    pub rows: Vec<Row>,
    /// What they change in the rows that were current before.
    pub changes: Changes,
}

/// The chain of one sub-account.
pub struct Chain {
    pub name: String,
    zone: Zone,
    coverage: Coverage,
    orders: Option<Link>,
    pub previous: Option<Link>,
    position: ChainPosition,
    head: Option<Head>,
    pub sequence: u64,
    /// By date: the current row of each segment, and the manifests of the revisions.
    days: BTreeMap<String, (BTreeMap<String, Row>, Vec<Link>)>,
    anchors: BTreeMap<u64, Anchor>,
}

impl Chain {
    pub fn new(name: &str, zone: &str) -> Chain {
        Chain {
            name: name.to_owned(),
            zone: Zone::named(zone).unwrap(),
            coverage: Coverage::default(),
            orders: None,
            previous: None,
            position: ChainPosition::default(),
            head: None,
            sequence: 0,
            days: BTreeMap::new(),
            anchors: BTreeMap::new(),
        }
    }

    pub fn window(&self, date: &str) -> Window {
        self.zone.day(date.parse().unwrap()).unwrap()
    }

    pub fn head(&self) -> Head {
        self.head.clone().unwrap()
    }

    /// Returns the manifest of a day's newest revision.
    pub fn newest(&self, date: &str) -> Link {
        self.days[date].1.last().unwrap().clone()
    }

    pub fn anchor(&self, sequence: u64) -> &Anchor {
        &self.anchors[&sequence]
    }

    /// Adds a part of the day's next revision.
    pub fn part(
        &self,
        golden: &mut Golden,
        date: &str,
        number: u32,
        rows: Vec<Row>,
        omitted: &Omission,
    ) -> File {
        let window = self.window(date);
        let (archive_id, zone, omitted_fields) =
            (ARCHIVE_ID.into(), self.zone.name().into(), omitted.clone());
        let place = PartContext {
            archive_id,
            window,
            zone,
            omitted_fields,
        };
        golden.part(
            key::part(
                &self.name,
                date.parse().unwrap(),
                self.revision(date),
                number,
            ),
            &place,
            rows,
        )
    }

    fn revision(&self, date: &str) -> u32 {
        self.days
            .get(date)
            .map_or(0, |(_, links)| links.len() as u32)
            + 1
    }

    /// Returns the day's next revision with everything counted; the caller sets the other members.
    pub fn day(&mut self, golden: &Golden, date: &str, files: Vec<File>) -> Revision {
        let (revision, window) = (self.revision(date), self.window(date));
        let added: Vec<Row> = files
            .iter()
            .flat_map(|file| golden.rows[&file.key].clone())
            .collect();
        let (known, links) = self.days.entry(date.to_owned()).or_default();
        let (mut rows, mut failures, mut changes) =
            (Tally::default(), Failures::new(), Changes::default());
        for row in &added {
            rows.add(row);
            SummaryKind::BOTH
                .iter()
                .for_each(|&kind| count_failure(&mut failures, row.observation(kind)));
            let before = known.get(&row.segment.key());
            changes.count(before, row);
            let mut now = before.unwrap_or(row).clone();
            change::absorb(&mut now, row.clone());
            known.insert(row.segment.key(), now);
        }
        let (mut day, mut agent_groups) = (Tally::default(), Groups::new());
        for row in known.values() {
            day.add(row);
            count_group(&mut agent_groups, row);
        }
        let asked = || windows(window, &added, window.end_ms + 7_200_000);
        let discovery = match links.first() {
            Some(link) => Discovery::Manifest(link.clone()),
            None => {
                let objects = rows.segments;
                Discovery::Windows {
                    windows: asked(),
                    objects,
                    duplicates: 0,
                    adopted_only: 0,
                }
            }
        };
        let record = DayRecord {
            date: date.parse().unwrap(),
            zone: self.zone.name().into(),
            window,
            revision,
            why: match revision {
                1 => Why::Nightly.into(),
                _ => Why::GapFill.into(),
            },
            discovery,
            rows,
            day,
            agent_groups,
            other_agent_groups: None,
            failures,
            complete: true,
            incomplete_because: Vec::new(),
            warnings: Vec::new(),
            files,
            leftovers: Vec::new(),
            object_lock: None,
            source_retention_days: None,
            recheck: None,
            omitted_fields: Omission::default(),
        };
        Revision {
            record,
            rows: added,
            changes,
        }
    }

    pub fn commit_day(&mut self, golden: &mut Golden, record: DayRecord, finished_at: i64) {
        let date = record.date.to_string();
        self.commit(golden, Record::Day(Box::new(record)), finished_at);
        let link = self.previous.clone().unwrap();
        self.days.get_mut(&date).unwrap().1.push(link);
    }

    pub fn commit(&mut self, golden: &mut Golden, record: Record, finished_at: i64) {
        self.sequence += 1;
        record.mark(&mut self.coverage);
        let key = key::manifest(&self.name, self.sequence);
        let manifest = Manifest {
            format_version: schema::FORMAT_VERSION,
            archive_id: ARCHIVE_ID.into(),
            archive_sha256: golden.archive_sha256,
            key: key.clone(),
            sub_account: self.name.clone(),
            sequence: self.sequence,
            previous: self.previous.take(),
            position: self.position.clone(),
            continuity: signed(),
            run: run(finished_at),
            coverage: self.coverage.clone(),
            orders: self.orders.take(),
            record,
        };
        let envelope: Envelope = manifest.seal(Some(&golden.signer)).unwrap();
        let bytes = envelope.to_bytes().unwrap();
        let sha256 = Digest::of(&bytes);
        self.orders = envelope.manifest.orders_for_next(sha256);
        self.position = envelope.manifest.next_position(sha256);
        self.head = Some(envelope.manifest.head(sha256));
        self.anchors
            .insert(self.sequence, Anchor::of(&envelope.manifest, sha256));
        self.previous = Some(Link {
            key: key.clone(),
            sha256,
        });
        golden.objects.insert(key, bytes);
    }
}

/// The archive-wide chain.
#[derive(Default)]
pub struct Roster {
    pub head: Option<Head>,
    /// What the newest record of its kind says.
    pub newest: Option<Inventory>,
    takeover: Option<Link>,
    position: ChainPosition,
    anchors: BTreeMap<u64, Anchor>,
}

impl Roster {
    pub fn next_sequence(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.sequence) + 1
    }

    pub fn anchor(&self, sequence: u64) -> &Anchor {
        &self.anchors[&sequence]
    }

    pub fn commit(
        &mut self,
        golden: &mut Golden,
        (place, object_lock): (&str, Option<ObjectLock>),
        entry: RosterEntry,
        finished_at: &str,
    ) {
        let sequence = self.next_sequence();
        let key = key::manifest(key::ROSTER, sequence);
        let link = |head: Head| Link {
            key: key::manifest(key::ROSTER, head.sequence),
            sha256: head.sha256,
        };
        let record = RosterRecord {
            format_version: schema::FORMAT_VERSION,
            archive_id: ARCHIVE_ID.into(),
            archive_sha256: golden.archive_sha256,
            key: key.clone(),
            sequence,
            previous: self.head.take().map(link),
            position: self.position.clone(),
            continuity: signed(),
            run: run(instant(finished_at)),
            signers: None,
            place: place.to_owned(),
            object_lock,
            heads_root: entry.heads_root().unwrap(),
            takeover: self.takeover.take(),
            entry,
        };
        let envelope = RosterEnvelope::seal(record, Some(&golden.signer)).unwrap();
        let bytes = envelope.to_bytes().unwrap();
        let sha256 = Digest::of(&bytes);
        self.takeover = envelope.manifest.takeover_for_next(sha256);
        if let Some(roll) = envelope.manifest.inventory() {
            self.newest = Some(roll.clone());
        }
        self.anchors
            .insert(sequence, Anchor::of(&envelope.manifest, sha256));
        self.head = Some(envelope.manifest.head(sha256));
        self.position = envelope.manifest.next_position(sha256);
        golden.objects.insert(key, bytes);
    }
}
