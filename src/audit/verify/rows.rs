//! Every row of one archive day: hashes, order, uniqueness, counts, times, Merkle roots.
//!
//! The files are read row group by row group, so memory does not depend on the size of a day, except for the hashes of its
//! keys and for the rows that a later revision repeats. Reading blocks, so the caller runs it on a thread that may block.
//!
//! # What is checked
//!
//! - **The part itself**: it can be read, its columns are those of this format version, and its statement names this archive,
//!   key, day, zone and omitted fields. Its signature is valid, present where its manifest is signed, and by a trusted key.
//! - **Each row**: its typed columns agree with the segment's JSON as RingCX returned it; the columns of each summary fit its
//!   status; the SHA-256 of a summary is that of its text or bytes; no omitted field is there; it names the revision of its
//!   file, and whether the segment ended outside of the day.
//! - **The order**: rows are sorted by the end of the segment and then by its key, and no segment occurs twice in a revision.
//! - **The whole file**: the number of rows, their Merkle root, and the earliest and latest end are those of the manifest.
//! - **The whole day**: the counts of a revision's rows, and of the current row of each segment after that revision, are those
//!   of its manifest. Where a part could not be read, counts are not compared: the damage is a finding already.
//!
//! # What is not checked
//!
//! Whether RingCX returned what a row says. A writer that is honest records the answer verbatim, and nothing in the archive can
//! show that a dishonest one invented it. Times are compared with a tolerance of [`CLOCK_SLACK_MS`], since hosts' clocks are
//! not trusted; they show gross contradictions, and prove no moment.
//!
//! # Memory
//!
//! Of each revision the hashes of its keys are in memory. Of the rows, only those of segments that a later revision has as well
//! are, since only for them the current row depends on more than one file.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::audit::verify::days::{CommittedDay, RevisionCheck};
use crate::audit::verify::finding::{Finding, FindingCode};
use crate::audit::verify::record::{CLOCK_SLACK_MS, window_text};
use crate::format::hash::Digest;
use crate::format::part::{PartError, PartReader};
use crate::format::place::key;
use crate::format::record::manifest;
use crate::format::row::tally::{count_failure, count_group, uncount_group};
use crate::format::row::{
    FORMAT_VERSION, Failures, Groups, Observation, Row, SummaryKind, Tally, change,
};
use crate::format::signature;
use crate::format::signature::AllowedSigners;
use crate::format::time::day::rfc3339;
use crate::format::time::{Instant, Window};
use crate::store::file::open_regular;

/// The local file of each part, by key. A part that does not exist is not in it, which is a finding of its own.
pub type Parts = BTreeMap<String, PathBuf>;

/// Findings of one code in one file that are listed; further ones are counted, as a damaged column has thousands.
const MAX_LISTED: usize = 5;

/// What the parts must state, beside what their manifests say.
pub struct Expected {
    /// The archive's id.
    pub archive_id: String,
    /// The trusted signers; without any, every key is accepted.
    pub allowed: AllowedSigners,
}

/// Reads all parts of a day and passes each finding to `report`. Returns the number of rows that were read.
pub fn check_day(
    expected: &Expected,
    day: &CommittedDay,
    parts: &Parts,
    report: &mut dyn FnMut(Finding),
) -> u64 {
    let changed = keys_of_later_revisions(day, parts);
    let mut state = DayRows {
        expected,
        changed,
        known: BTreeMap::new(),
        rows: 0,
        totals: RowTotals::default(),
    };
    // If a part could not be read, which is a finding of its own, the counts are not known.
    let mut complete = true;
    for revision in &day.revisions {
        let mut rows = RowTotals::default();
        let mut keys = HashSet::new();
        for file in &revision.record.files {
            let Some(path) = parts.get(&file.key) else {
                complete = false;
                continue;
            };
            let mut part = PartCheck::new(file, revision, report);
            complete &= part.run(&mut state, path, &mut rows, &mut keys);
        }
        if complete {
            compare(revision, &rows, &state.totals, report);
        }
    }
    state.rows
}

/// The sums of rows.
#[derive(Default)]
struct RowTotals {
    tally: Tally,
    failures: Failures,
    groups: Groups,
}

impl RowTotals {
    fn add<T: AsRef<str>>(&mut self, row: &Row<T>) {
        self.tally.add(row);
        count_group(&mut self.groups, row);
    }

    /// Adds a row to the sums of its own revision.
    fn add_with_failures(&mut self, row: &Row<&str>) {
        self.tally.add(row);
        for kind in SummaryKind::BOTH {
            count_failure(&mut self.failures, row.observation(kind));
        }
    }

    /// Removes a row that [`RowTotals::add`] added.
    fn remove(&mut self, row: &Row) {
        self.tally.remove(row);
        uncount_group(&mut self.groups, row);
    }
}

struct DayRows<'a> {
    expected: &'a Expected,
    /// Keys of the segments that a later revision has as well: only their rows must be kept.
    changed: HashSet<String>,
    known: BTreeMap<String, Row>,
    rows: u64,
    /// The sums over the current row of each segment, as far as revisions were read.
    totals: RowTotals,
}

impl DayRows<'_> {
    /// Counts a row, merged with the row of its segment in earlier revisions.
    fn count(&mut self, row: &Row<&str>, owned: impl FnOnce() -> Option<Row>) {
        self.rows += 1;
        let key = row.segment.known_by();
        if !self.changed.contains(&*key) {
            return self.totals.add(row);
        }
        let Some(row) = owned() else { return };
        let current = match self.known.remove(&*key) {
            Some(mut earlier) => {
                self.totals.remove(&earlier);
                change::absorb(&mut earlier, row);
                earlier
            }
            None => row,
        };
        self.totals.add(&current);
        self.known.insert(key.into_owned(), current);
    }
}

/// Returns the keys of the segments that a later revision has as well. These parts are read twice, which costs less than to
/// keep every row of a first revision.
fn keys_of_later_revisions(day: &CommittedDay, parts: &Parts) -> HashSet<String> {
    let mut keys = HashSet::new();
    let later = day
        .revisions
        .iter()
        .filter(|revision| revision.record.revision > 1);
    for file in later.flat_map(|revision| &revision.record.files) {
        let opened = parts
            .get(&file.key)
            .and_then(|path| open_regular(path).ok());
        let Some(mut part) = opened.and_then(|file| PartReader::open(file).ok()) else {
            continue;
        };
        // Rows that cannot be read are reported when the part is checked.
        while let Ok(Some(row)) = part.next_row() {
            keys.insert(row.segment.key());
        }
    }
    keys
}

/// The check of one part.
struct PartCheck<'a> {
    file: &'a manifest::File,
    revision: &'a RevisionCheck,
    report: &'a mut dyn FnMut(Finding),
    /// The revision in the file's name; the chain's check compares it with the manifest.
    named_revision: u32,
    /// Number of findings by code.
    counts: BTreeMap<FindingCode, usize>,
    /// End and key of the row before.
    last: (Option<i64>, String),
    /// The earliest and the latest end of a segment.
    ends: Option<(Instant, Instant)>,
}

impl<'a> PartCheck<'a> {
    fn new(
        file: &'a manifest::File,
        revision: &'a RevisionCheck,
        report: &'a mut dyn FnMut(Finding),
    ) -> Self {
        let named_revision =
            key::parse_part(&file.key).map_or(revision.record.revision, |(revision, _)| revision);
        PartCheck {
            file,
            revision,
            report,
            named_revision,
            counts: BTreeMap::new(),
            last: Default::default(),
            ends: None,
        }
    }

    fn add(&mut self, code: FindingCode, expected: impl Into<String>, found: impl Into<String>) {
        let count = self.counts.entry(code).or_default();
        *count += 1;
        if *count <= MAX_LISTED {
            (self.report)(Finding::new(code, self.file.key.as_str(), expected, found));
        }
    }

    /// Checks the part. Returns whether every row could be read.
    fn run(
        &mut self,
        day: &mut DayRows<'_>,
        path: &Path,
        rows: &mut RowTotals,
        keys: &mut HashSet<Digest>,
    ) -> bool {
        let opened = open_regular(path)
            .map_err(|error| PartError::Parquet(error.into()))
            .and_then(PartReader::open);
        let mut part = match opened {
            Ok(part) => part,
            Err(error) => {
                self.add(
                    FindingCode::PartUnreadable,
                    "a part of format version 1",
                    error.to_string(),
                );
                return false;
            }
        };
        self.statement(day.expected, &part);
        let complete = self.rows(&mut part, day, rows, keys);
        if complete {
            self.end(&part);
        }
        for (code, count) in std::mem::take(&mut self.counts) {
            if count > MAX_LISTED {
                let more = format!("{} more of these in this file", count - MAX_LISTED);
                (self.report)(Finding::new(code, self.file.key.as_str(), "none", more));
            }
        }
        complete
    }

    /// Reads the rows of a part and checks each. Returns whether every row could be read.
    fn rows(
        &mut self,
        part: &mut PartReader,
        day: &mut DayRows<'_>,
        totals: &mut RowTotals,
        keys: &mut HashSet<Digest>,
    ) -> bool {
        let mut complete = true;
        loop {
            let rows = match part.next_rows() {
                Ok(Some(rows)) => rows,
                Ok(None) => return complete,
                Err(PartError::Rows) => {
                    let stated = part.statement();
                    let stated = format!("{} rows, root {}", stated.rows, stated.merkle_root);
                    self.add(FindingCode::MerkleRoot, stated, "other rows");
                    return complete;
                }
                Err(error) => {
                    self.add(
                        FindingCode::PartUnreadable,
                        "readable rows",
                        error.to_string(),
                    );
                    return false;
                }
            };
            for n in 0..rows.len() {
                match rows.row(n) {
                    Ok(row) => {
                        self.row(rows.first() + n as u64, &row, keys);
                        totals.add_with_failures(&row);
                        day.count(&row, || rows.owned_row(n).ok());
                    }
                    Err(error) => {
                        complete = false;
                        let expected =
                            format!("row {} without contradictions", rows.first() + n as u64);
                        self.add(FindingCode::RowContradicts, expected, error.to_string());
                    }
                }
            }
        }
    }

    /// Checks one row. Findings name it by its number in the file, because ids of segments do not belong into a report.
    fn row(&mut self, number: u64, row: &Row<&str>, keys: &mut HashSet<Digest>) {
        let key = row.segment.known_by();
        let end = row.segment.metadata.segment_end_time;
        let record = &self.revision.record;
        if let Some(end) = end.map(Instant::from_millis) {
            let (min, max) = self.ends.unwrap_or((end, end));
            self.ends = Some((min.min(end), max.max(end)));
        }
        // Hashes, since a day may have millions of keys of any length.
        if !keys.insert(Digest::of(key.as_bytes())) {
            self.add(
                FindingCode::SegmentRepeated,
                "each segment once",
                format!("row {number} repeats a segment"),
            );
        }
        self.check_order(number, end, &key);
        let out_of_day = !end.is_some_and(|end| record.window.contains(end));
        let revision = self.named_revision;
        if row.revision != revision || row.out_of_day != out_of_day {
            let expected = format!("row {number}: revision {revision}, out_of_day {out_of_day}");
            self.add(
                FindingCode::RowContradicts,
                expected,
                format!("{}, {}", row.revision, row.out_of_day),
            );
        }
        for kind in SummaryKind::BOTH {
            self.observation(number, kind, row.observation(kind), record.window);
        }
        let others = row.other_answers;
        if others.is_some_and(|others| {
            serde_json::from_str::<Vec<serde::de::IgnoredAny>>(others).is_err()
        }) {
            self.add(
                FindingCode::RowContradicts,
                format!("row {number}: a JSON array of other answers"),
                "another text",
            );
        }
        if row.holds(record.omitted_in(self.file)) {
            let expected = format!("row {number}: none of the omitted fields");
            self.add(FindingCode::OmittedField, expected, "an omitted field");
        }
        self.check_time(
            number,
            "discovered_at",
            Some(row.discovered_at),
            record.window,
        );
    }

    /// Checks that a row comes after the row before it: rows are ordered by the end of the segment, then by its key.
    fn check_order(&mut self, number: u64, end: Option<i64>, key: &str) {
        let (last_end, last_key) = &self.last;
        if number > 0 && (*last_end, last_key.as_str()) >= (end, key) {
            self.add(
                FindingCode::RowOrder,
                "rows by segment end, then key",
                format!("row {number} comes too late"),
            );
        }
        let (last_end, last_key) = &mut self.last;
        *last_end = end;
        last_key.replace_range(.., key);
    }

    /// Checks one summary of a row: that its columns fit its status, its hash, and its times.
    fn observation(
        &mut self,
        number: u64,
        kind: SummaryKind,
        observation: &Observation<&str>,
        day: Window,
    ) {
        if !observation.fits_status() {
            let expected = format!(
                "row {number}: the columns that {} {} requires",
                kind.name(),
                observation.status
            );
            self.add(FindingCode::RowContradicts, expected, "other columns");
        } else if !observation.hash_holds() {
            let expected = format!(
                "row {number}: {}_sha256 of the {}_summary",
                kind.name(),
                kind.name()
            );
            self.add(FindingCode::SummaryHash, expected, "another hash");
        }
        self.check_time(number, "fetched_at", observation.fetched_at, day);
        if let Some(answered) = observation
            .server_date
            .filter(|answered| *answered < day.start_ms)
        {
            let expected = format!(
                "row {number}: an answer after the day began, {}",
                rfc3339(day.start_ms)
            );
            self.add(FindingCode::RowTimes, expected, rfc3339(answered));
        }
    }

    /// Checks that a time is after the day's begin and before the commit, as far as hosts' clocks can be trusted.
    fn check_time(&mut self, number: u64, what: &str, time: Option<i64>, day: Window) {
        let earliest = day.start_ms - CLOCK_SLACK_MS;
        if let Some(time) = time.filter(|time| *time < earliest) {
            let expected = format!(
                "row {number}: {what} after the day began, {}",
                rfc3339(earliest)
            );
            self.add(FindingCode::RowTimes, expected, rfc3339(time));
        }
        let latest = self.revision.finished_at.as_millis() + CLOCK_SLACK_MS;
        if let Some(time) = time.filter(|time| *time > latest) {
            let expected = format!(
                "row {number}: {what} before the commit, {}",
                rfc3339(latest)
            );
            self.add(FindingCode::RowTimes, expected, rfc3339(time));
        }
    }

    /// Checks what the part states about itself against its manifest, and its signature.
    fn statement(&mut self, expected: &Expected, part: &PartReader) {
        let (statement, record) = (part.statement().clone(), &self.revision.record);
        let facts = [
            (
                "archive id",
                expected.archive_id.clone(),
                statement.archive_id,
            ),
            ("key", self.file.key.clone(), statement.key),
            ("zone", record.zone.clone(), statement.zone),
            (
                "window",
                window_text(record.window),
                window_text(statement.window),
            ),
            (
                "format version",
                FORMAT_VERSION.to_string(),
                statement.format_version.to_string(),
            ),
            (
                "rows",
                self.file.rows.to_string(),
                statement.rows.to_string(),
            ),
            (
                "Merkle root",
                self.file.merkle_root.hex(),
                statement.merkle_root.hex(),
            ),
            (
                "omitted fields",
                record.omitted_in(self.file).to_string(),
                statement.omitted_fields.to_string(),
            ),
        ];
        for (what, expected, stated) in facts {
            if expected != stated {
                self.add(
                    FindingCode::PartStatement,
                    format!("{what} {expected}"),
                    stated,
                );
            }
        }
        self.signature(expected, part);
    }

    /// Checks the part's signature: it must have one if its manifest has one, by a trusted key.
    fn signature(&mut self, expected: &Expected, part: &PartReader) {
        match part.signer() {
            Err(error) => self.add(
                FindingCode::PartSignature,
                "a signature that matches",
                error.to_string(),
            ),
            Ok(None) if self.revision.signed => self.add(
                FindingCode::PartSignature,
                "a signature, as its manifest has",
                "none",
            ),
            Ok(Some(signer))
                if !expected.allowed.is_empty()
                    && !expected.allowed.contains(&signer, signature::PART) =>
            {
                self.add(
                    FindingCode::PartSignature,
                    "an allowed signer",
                    signer.fingerprint(),
                )
            }
            Ok(_) => {}
        }
    }

    /// Checks what is known after the last row: the number of rows, the Merkle root, the ends of the segments.
    fn end(&mut self, part: &PartReader) {
        let (rows, root) = part.read_so_far();
        if (rows, root) != (self.file.rows, self.file.merkle_root) {
            let expected = format!("{} rows, root {}", self.file.rows, self.file.merkle_root);
            self.add(
                FindingCode::MerkleRoot,
                expected,
                format!("{rows} rows, root {root}"),
            );
        }
        let named = (self.file.min_segment_end, self.file.max_segment_end);
        let found = self.ends.unzip();
        if named != found {
            self.add(
                FindingCode::RowCounts,
                format!("segment ends {}", ends_text(named)),
                ends_text(found),
            );
        }
    }
}

/// Returns the ends of segments for a finding.
fn ends_text(ends: (Option<Instant>, Option<Instant>)) -> String {
    let [min, max] = [ends.0, ends.1].map(|end| end.map(|end| end.to_string()));
    format!("{min:?} to {max:?}")
}

/// Compares the sums of the rows with those of the manifest.
fn compare(
    revision: &RevisionCheck,
    rows: &RowTotals,
    day: &RowTotals,
    report: &mut dyn FnMut(Finding),
) {
    let record = &revision.record;
    let facts = [
        ("rows", record.rows == rows.tally),
        ("failures", record.failures == rows.failures),
        ("day", record.day == day.tally),
        ("agent_groups", record.agent_groups == day.groups),
    ];
    for (what, _) in facts.into_iter().filter(|(_, same)| !same) {
        let expected = format!("`{what}` as counted over its rows");
        report(Finding::new(
            FindingCode::RowCounts,
            revision.manifest_key.as_str(),
            expected,
            "other counts",
        ));
    }
}
