//! Whether the records of one sub-account are a chain, and each agrees with those before it.
//!
//! Nothing is read here: the objects come in, in order. Where a record is missing or unreadable ([`LinkCheck::broken`]),
//! rules that need all earlier records are not applied any more, so that one fault is not reported a thousand times.
//!
//! # Invariants
//!
//! - All state is what the records up to the present one say, and nothing else: [`ChainCheck::take`] compares a record with the
//!   state before it, and only then adds it.
//! - After a record that is missing or unreadable, `broken` stays set. Rules about one record alone still apply; the coverage
//!   and the obligations are then taken from the record, so that later records are compared with something plausible.
//! - A disposal counts only where it agrees with the chain before it, because it excuses missing files.
//!
//! # What is not checked here
//!
//! Whether the chain ends too early. No rule about its records can show that; [`heads`](super::heads) compares the end with
//! second sources.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;

use crate::audit::verify::days::{CommittedDay, RevisionCheck};
use crate::audit::verify::finding::{Finding, FindingCode, Findings};
use crate::audit::verify::keys::KeyHistory;
use crate::audit::verify::links::{
    ArchiveIdentity, LinkCheck, ReadRecord, RecordCheck, key_or_nothing,
};
use crate::audit::verify::notes::ChainBefore;
use crate::audit::verify::{notes, record};
use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::{
    Coverage, DayRecord, Discovery, Disposal, Envelope, Link, Lock, Manifest, Obligations, Record,
};
use crate::format::time::{Instant, Window};

/// Takes the records of one chain in order, and collects what they say.
pub(crate) struct ChainCheck {
    pub links: LinkCheck,
    /// The archived days so far.
    pub days: BTreeMap<Date, CommittedDay>,
    /// The state of each day so far.
    pub coverage: Coverage,
    /// The holds and extensions so far.
    pub obligations: Obligations,
    /// The link to the newest hold or extension that the next record must have.
    obligations_link: Option<Link>,
    /// When the first record was committed, by the writer's clock.
    pub first_commit: Option<Instant>,
    /// The chain's time zone: that of its first day.
    zone: Option<String>,
}

impl RecordCheck for ChainCheck {
    type Record = Manifest;

    fn links(&mut self) -> &mut LinkCheck {
        &mut self.links
    }

    fn next(&mut self, sequence: u64, object: ReadRecord<Manifest>) -> Vec<Finding> {
        let key = key::manifest(&self.links.name, sequence);
        let mut found = Findings::new(&key);
        let sha256 = object.sha256;
        if let Some(envelope) = self.links.next(&mut found, sequence, object) {
            let link = Link {
                key: key.clone(),
                sha256,
            };
            self.take(&mut found, envelope, link);
        }
        found.found
    }
}

impl ChainCheck {
    /// Returns a check that has seen no record.
    pub fn new(archive: ArchiveIdentity<'_>, sub_account: &str, keys: Arc<KeyHistory>) -> Self {
        ChainCheck {
            links: LinkCheck::new(archive, sub_account, keys),
            days: BTreeMap::new(),
            coverage: Coverage::default(),
            obligations: Obligations::default(),
            obligations_link: None,
            first_commit: None,
            zone: None,
        }
    }

    /// Checks one record whose links are checked, and adds what it says to the state of the chain. The order matters: a record
    /// is compared with the chain before it, and only then becomes a part of it.
    fn take(&mut self, found: &mut Findings<'_>, envelope: Envelope, link: Link) {
        let Envelope {
            manifest,
            signature,
            carried: _,
        } = envelope;
        let finished_at = manifest.run.finished_at;
        self.first_commit.get_or_insert(finished_at);
        record::check_run_times(found, &manifest.run);
        self.check_obligations_link(found, &manifest, link.sha256);
        match &manifest.record {
            Record::Day(record) => self.check_day(found, &manifest, record),
            // The chain before it is not known.
            Record::Acknowledgement(_)
            | Record::Hold(_)
            | Record::Retention(_)
            | Record::Later(_)
                if self.links.broken => {}
            _ if self.days.is_empty() && !self.links.broken => found.add(
                FindingCode::RecordWrong,
                "a chain that begins with a day",
                "another record",
            ),
            Record::Disposal(disposal) => self.dispose(found, disposal, finished_at, &link),
            Record::Acknowledgement(note) => notes::acknowledgement(found, note, &self.before()),
            Record::Hold(hold) => notes::hold(found, hold, &self.obligations),
            Record::Retention(extension) => notes::extension(found, extension, &self.before()),
            // It commits nothing; that its coverage is the one before it is checked below.
            Record::Later(_) => {}
        }
        self.check_coverage(found, &manifest);
        self.obligations.push(manifest.sequence, &manifest.record);
        if let Record::Day(record) = manifest.record {
            self.keep(*record, finished_at, signature.is_some(), link);
        }
    }

    /// Returns the chain before the record that is being checked.
    fn before(&self) -> ChainBefore<'_> {
        ChainBefore {
            days: &self.days,
            obligations: &self.obligations,
            coverage: &self.coverage,
        }
    }

    /// Marks the days that a disposal names, if they could be disposed of: otherwise a forged record could excuse removed
    /// files.
    fn dispose(
        &mut self,
        found: &mut Findings<'_>,
        disposal: &Disposal,
        finished_at: Instant,
        link: &Link,
    ) {
        let dates: Vec<Date> = if self.links.broken {
            // The chain before it is not known, which is a finding of its own.
            disposal.days.iter().map(|day| day.date).collect()
        } else {
            notes::disposal(found, disposal, finished_at, &self.before())
        };
        for date in dates {
            if let Some(day) = self.days.get_mut(&date) {
                day.disposed = Some((link.clone(), finished_at));
            }
        }
    }

    /// Checks the link to the newest hold or extension: a writer finds holds by this link alone.
    fn check_obligations_link(
        &mut self,
        found: &mut Findings<'_>,
        manifest: &Manifest,
        sha256: Digest,
    ) {
        if !self.links.broken && self.obligations_link != manifest.orders {
            found.add(
                FindingCode::OrdersWrong,
                key_or_nothing(&self.obligations_link),
                key_or_nothing(&manifest.orders),
            );
        }
        self.obligations_link = manifest.orders_for_next(sha256);
    }

    /// Checks the record of a day, by itself and against the earlier revisions of the day. Windows that RingCX answered, counts,
    /// files and times are checked in [`record`]; here is what needs the whole chain: one time zone, one interval for all
    /// revisions of a day, consecutive revisions, and none after a disposal.
    fn check_day(&mut self, found: &mut Findings<'_>, manifest: &Manifest, record: &DayRecord) {
        let zone = self.zone.get_or_insert_with(|| record.zone.clone()).clone();
        let day = self.days.get(&record.date);
        record::check_window(found, manifest, record, &zone);
        self.check_neighbours(found, record.date, record.window);
        record::check_discovery(found, record, day);
        record::check_counts(found, record, day.and_then(CommittedDay::newest));
        record::check_files(found, manifest, record, day);
        record::check_times(found, manifest, record);
        if let Some(window) = day
            .and_then(CommittedDay::window)
            .filter(|window| *window != record.window)
        {
            let expected = format!(
                "the interval of the day's earlier revisions, from {}",
                window.start_ms
            );
            found.add(
                FindingCode::DayWindowWrong,
                expected,
                record.window.start_ms.to_string(),
            );
        }
        if let Some((disposal, _)) = day.and_then(|day| day.disposed.as_ref()) {
            let expected = format!("no revision of {} after {}", record.date, disposal.key);
            found.add(
                FindingCode::RecordWrong,
                expected,
                format!("revision {}", record.revision),
            );
        }
        if !self.links.broken {
            let expected = day.map_or(0, |day| day.revisions.len() as u32) + 1;
            found.add_unless_equal(
                FindingCode::RevisionOrder,
                "revision",
                expected,
                record.revision,
            );
        }
    }

    /// Checks the list of day states that each record carries, so that a writer needs the newest record only. After a
    /// difference the record's own list is taken, so that later records are not reported for the same fault.
    fn check_coverage(&mut self, found: &mut Findings<'_>, manifest: &Manifest) {
        manifest.record.mark(&mut self.coverage);
        if self.links.broken {
            // The earlier days are not known, so the record's own list is taken.
            self.coverage = manifest.coverage.clone();
        } else if self.coverage != manifest.coverage {
            found.add(
                FindingCode::CoverageWrong,
                coverage_text(&self.coverage),
                coverage_text(&manifest.coverage),
            );
            self.coverage = manifest.coverage.clone();
        }
    }

    /// Checks that the days before and after it, if they are archived, have adjacent intervals.
    fn check_neighbours(&self, found: &mut Findings<'_>, date: Date, window: Window) {
        let yesterday = date.yesterday().ok();
        let before = yesterday.and_then(|yesterday| self.days.get(&yesterday)?.window());
        if let Some(before) = before {
            record::check_neighbours(found, date, before, window);
        }
        let tomorrow = date.tomorrow().ok();
        let after = tomorrow.and_then(|tomorrow| self.days.get(&tomorrow)?.window());
        if let Some((tomorrow, after)) = tomorrow.zip(after) {
            record::check_neighbours(found, tomorrow, window, after);
        }
    }

    /// Adds a revision to its day.
    fn keep(&mut self, mut record: DayRecord, finished_at: Instant, signed: bool, link: Link) {
        let day = self.days.entry(record.date).or_default();
        if let Discovery::Windows { windows, .. } = &mut record.discovery {
            // They are checked, and a fifth of a record's size: the chain of several years is in memory.
            windows.clear();
            day.windows_by.push(link.clone());
        }
        let lock = record.object_lock.as_ref().map(|lock| lock.lock());
        let Link {
            key: manifest_key,
            sha256: manifest_sha256,
        } = link;
        day.revisions.push(RevisionCheck {
            manifest_key,
            manifest_sha256,
            signed,
            finished_at,
            record,
            lock,
            held: false,
            elsewhere: false,
            may_be_gone: false,
        });
    }

    /// Returns the days with the locks and holds that the whole chain requires of their objects. Records up to the number
    /// `taken` were committed at another place before a takeover, so their own locks are not those of this place.
    pub(crate) fn into_days(mut self, taken: u64) -> BTreeMap<Date, CommittedDay> {
        let since = self.obligations.after(taken);
        for (date, day) in &mut self.days {
            let required = self.obligations.lock_on(*date);
            let held = self.obligations.holds_objects(*date);
            for revision in &mut day.revisions {
                revision.elsewhere =
                    key::parse_manifest(&revision.manifest_key).is_some_and(|n| n <= taken);
                revision.lock = match revision.elsewhere {
                    true => since.lock_on(*date),
                    false => Lock::strongest([revision.lock, required]),
                };
                revision.held = held;
                revision.may_be_gone = day.disposed.is_some();
            }
        }
        self.days
    }
}

/// Returns a list of day states for a finding.
fn coverage_text(coverage: &Coverage) -> String {
    let first_day = coverage.first_day.map(|date| date.to_string());
    format!("{} from {first_day:?}", coverage.days)
}
