//! Whether the manifests of one sub-account are a chain, and each follows from those before it. No input or output:
//! the objects come in, in order.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::audit::verify::acts;
use crate::audit::verify::finding::{Finding, FindingCode};
use crate::audit::verify::heads::RecordCheck;
use crate::audit::verify::links::{LinkCheck, ReadRecord};
use crate::audit::verify::record;
use crate::audit::verify::record::Findings;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::coverage::Coverage;
use crate::format::record::lock::Lock;
use crate::format::record::manifest::{
    DayRecord, Discovery, Envelope, File, Link, Manifest, Record,
};
use crate::format::record::notes::Disposal;
use crate::format::record::obligations::Obligations;
use crate::format::signature::AllowedSigners;
use crate::format::time::day::Window;

/// One committed revision, as far as the checks of its objects need it.
#[derive(Debug, Clone)]
pub struct RevisionCheck {
    pub manifest_key: String,
    pub manifest_sha256: Digest,
    pub signed: bool,
    pub finished_at: i64,
    /// Without its windows, which have been checked.
    pub record: DayRecord,
    /// What its objects must have: once the chain is read, what later records ask for as well.
    pub lock: Option<Lock>,
    pub held: bool,
    /// RevisionCheck at another place, from which the archive was taken over.
    pub elsewhere: bool,
    /// Its day was disposed of later.
    pub may_be_gone: bool,
}

/// What the chain says of one archive day.
#[derive(Debug, Clone, Default)]
pub struct CommittedDay {
    pub revisions: Vec<RevisionCheck>,
    /// The manifests that have the day's windows.
    pub windows_by: Vec<Link>,
    /// The record that disposed of it, and when that was committed: its files may be gone.
    pub disposed: Option<(Link, i64)>,
}

impl CommittedDay {
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.revisions
            .iter()
            .flat_map(|revision| &revision.record.files)
    }

    pub fn newest(&self) -> Option<&DayRecord> {
        self.revisions.last().map(|revision| &revision.record)
    }

    fn window(&self) -> Option<Window> {
        self.newest().map(|record| record.window)
    }
}

/// Takes the manifests of one chain in order, and keeps what they say together.
pub struct ChainCheck<'a> {
    pub links: LinkCheck<'a>,
    pub days: BTreeMap<Date, CommittedDay>,
    pub coverage: Coverage,
    /// The holds and extensions so far.
    pub orders: Obligations,
    orders_link: Option<Link>,
    /// When the first of them was committed, by its own account.
    pub first_commit: Option<i64>,
    zone: Option<String>,
}

impl<'a> RecordCheck<'a> for ChainCheck<'a> {
    type Record = Manifest;

    fn links(&mut self) -> &mut LinkCheck<'a> {
        &mut self.links
    }

    fn next(&mut self, sequence: u64, object: ReadRecord<Manifest>) -> Vec<Finding> {
        let key = key::manifest(&self.links.name, sequence);
        let mut found = Findings {
            object: &key,
            found: Vec::new(),
        };
        let sha256 = object.sha256;
        if let Some(envelope) = self.links.next(&mut found, sequence, object) {
            self.record(
                &mut found,
                envelope,
                Link {
                    key: key.clone(),
                    sha256,
                },
            );
        }
        found.found
    }
}

impl<'a> ChainCheck<'a> {
    pub fn new(archive_id: &str, sub_account: &str, allowed: &'a AllowedSigners) -> Self {
        ChainCheck {
            links: LinkCheck::new(archive_id, sub_account, allowed),
            days: BTreeMap::new(),
            coverage: Coverage::default(),
            orders: Obligations::default(),
            orders_link: None,
            first_commit: None,
            zone: None,
        }
    }

    fn record(&mut self, found: &mut Findings<'_>, envelope: Envelope, link: Link) {
        let Envelope {
            manifest,
            signature,
        } = envelope;
        let finished_at = manifest.run.finished_at;
        self.first_commit.get_or_insert(finished_at);
        record::run_times(found, &manifest.run);
        self.check_orders(found, &manifest, link.sha256);
        match &manifest.record {
            Record::Day(record) => self.check_day(found, &manifest, record),
            // What came before is not known, so nothing can be held against it.
            Record::Acknowledgement(_) | Record::Hold(_) | Record::Retention(_)
                if self.links.broken => {}
            _ if self.days.is_empty() && !self.links.broken => found.add(
                FindingCode::RecordWrong,
                "a chain that begins with a day",
                "another",
            ),
            Record::Disposal(disposal) => self.dispose(found, disposal, finished_at, &link),
            Record::Acknowledgement(note) => {
                acts::acknowledgement(found, note, &self.days, &self.coverage)
            }
            Record::Hold(hold) => acts::hold(found, hold, &self.orders),
            Record::Retention(extension) => {
                acts::extension(found, extension, &self.days, (&self.orders, &self.coverage))
            }
        }
        self.check_coverage(found, &manifest);
        self.orders.push(manifest.sequence, &manifest.record);
        if let Record::Day(record) = manifest.record {
            self.keep(*record, finished_at, signature.is_some(), link);
        }
    }

    /// Only what follows from the chain is disposed of, or a forged record could excuse removed files.
    fn dispose(
        &mut self,
        found: &mut Findings<'_>,
        disposal: &Disposal,
        finished_at: i64,
        link: &Link,
    ) {
        let dates: Vec<Date> = if self.links.broken {
            // What came before is not known, and that has been said.
            disposal.days.iter().map(|day| day.date).collect()
        } else {
            acts::disposal(
                found,
                (disposal, finished_at),
                &self.days,
                (&self.orders, &self.coverage),
            )
        };
        for date in dates {
            if let Some(day) = self.days.get_mut(&date) {
                day.disposed = Some((link.clone(), finished_at));
            }
        }
    }

    /// A writer finds holds by this link alone.
    fn check_orders(&mut self, found: &mut Findings<'_>, manifest: &Manifest, sha256: Digest) {
        if !self.links.broken && self.orders_link != manifest.orders {
            let text = |link: &Option<Link>| {
                link.as_ref()
                    .map_or("nothing".to_owned(), |link| link.key.clone())
            };
            found.add(
                FindingCode::OrdersWrong,
                text(&self.orders_link),
                text(&manifest.orders),
            );
        }
        self.orders_link = manifest.orders_for_next(sha256);
    }

    fn check_day(&mut self, found: &mut Findings<'_>, manifest: &Manifest, record: &DayRecord) {
        let zone = self.zone.get_or_insert_with(|| record.zone.clone()).clone();
        let day = self.days.get(&record.date);
        record::window(found, manifest, record, &zone);
        self.check_neighbours(found, record.date, record.window);
        record::discovery(found, record, day);
        record::counts(found, record, day.and_then(CommittedDay::newest));
        record::files(found, manifest, record, day);
        record::times(found, manifest, record);
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
            found.same(
                FindingCode::RevisionOrder,
                "revision",
                expected,
                record.revision,
            );
        }
    }

    fn check_coverage(&mut self, found: &mut Findings<'_>, manifest: &Manifest) {
        manifest.record.mark(&mut self.coverage);
        if self.links.broken {
            // What came before is not known: only this day's own mark can be held against it.
            self.coverage = manifest.coverage.clone();
        } else if self.coverage != manifest.coverage {
            let text = |coverage: &Coverage| {
                format!(
                    "{} from {:?}",
                    coverage.days,
                    coverage.first_day.map(|date| date.to_string())
                )
            };
            found.add(
                FindingCode::CoverageWrong,
                text(&self.coverage),
                text(&manifest.coverage),
            );
            self.coverage = manifest.coverage.clone();
        }
    }

    fn check_neighbours(&self, found: &mut Findings<'_>, date: Date, window: Window) {
        let near = |(date, day): (&Date, &CommittedDay)| Some((*date, day.window()?));
        if let Some(before) = self.days.range(..date).next_back().and_then(near) {
            record::neighbours(found, before, (date, window));
        }
        let later = date
            .tomorrow()
            .ok()
            .and_then(|next| self.days.range(next..).next().and_then(near));
        if let Some(after) = later {
            record::neighbours(found, (date, window), after);
        }
    }

    fn keep(&mut self, mut record: DayRecord, finished_at: i64, signed: bool, link: Link) {
        let day = self.days.entry(record.date).or_default();
        if let Discovery::Windows { windows, .. } = &mut record.discovery {
            // Checked, and a fifth of a record: a chain of years is held in memory.
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

    /// The days, each with what the whole chain asks of its objects. Up to number `taken` they were committed at another
    /// place: locks that were promised there are not those of here.
    pub fn into_days(mut self, taken: u64) -> BTreeMap<Date, CommittedDay> {
        let since = self.orders.after(taken);
        for (date, day) in &mut self.days {
            let (ordered, held) = (self.orders.lock_on(*date), self.orders.holds_objects(*date));
            for revision in &mut day.revisions {
                revision.elsewhere =
                    key::parse_manifest(&revision.manifest_key).is_some_and(|n| n <= taken);
                revision.lock = match revision.elsewhere {
                    true => since.lock_on(*date),
                    false => revision
                        .lock
                        .into_iter()
                        .chain(ordered)
                        .reduce(Lock::stronger),
                };
                revision.held = held;
                revision.may_be_gone = day.disposed.is_some();
            }
        }
        self.days
    }
}
