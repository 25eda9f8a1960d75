//! Adopts stored parts of a revision that was never committed.
//!
//! The run that stored such a part died before its commit, or another host is working on the same day. Its rows were
//! observed, so the next revision takes them over with the part, instead of requesting them again.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::day::context::DayContext;
use crate::day::download::{Download, open_part};
use crate::day::filters::Filters;
use crate::format::hash::Digest;
use crate::format::part::{PartError, Statement};
use crate::format::record::File;
use crate::format::row::tally::count_failure;
use crate::format::row::{Failures, Row, Status, SummaryKind, Tally, schema};
use crate::format::signature;
use crate::format::signature::AllowedSigners;
use crate::format::time::Instant;
use crate::journal::{DayIdentity, Journal};
use crate::outcome::{Failure, Result};

/// A trustworthy part that an earlier run or another host has stored, with all its rows in the journal.
#[derive(Debug, Clone)]
pub(super) struct AdoptedPart {
    /// The part as the record of the revision lists it.
    pub file: File,
    /// Counts of its rows.
    pub rows: Tally,
    /// Counts of its failed summaries by error class.
    pub failures: Failures,
    /// Number of rows that another filter has skipped, and that this run wants.
    pub wanted_but_skipped: u64,
}

/// Why a part is not adopted.
enum NotAdoptable {
    /// The part is not one of this revision. The code is what the record of a leftover names as the reason.
    Untrusted(&'static str),
    /// The part could not be judged.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for NotAdoptable {
    fn from(error: E) -> Self {
        NotAdoptable::Failed(error.into())
    }
}

/// Judges a part of an uncommitted revision, and loads all its rows into the journal if it is trustworthy.
///
/// Nothing of the part stays in the journal otherwise; the inner error is the code by which the record names it as a
/// leftover.
pub(super) async fn adopt(
    context: &DayContext<'_>,
    key: &str,
    revision: u32,
) -> Result<Result<AdoptedPart, &'static str>> {
    let DayContext { archive, job, .. } = *context;
    let Some(local) = Download::fetch(context, key).await? else {
        return Ok(Err("vanished"));
    };
    let signers = &archive.signers;
    let judge = PartJudge {
        key: key.to_owned(),
        revision,
        allowed: signers.key.as_ref().map(|_| signers.allowed.clone()),
        filters: job.filters.clone(),
        stop: archive.stop.clone(),
    };
    let judged = context
        .journal
        .call(move |journal| {
            let adopted = journal.in_savepoint(|journal| judge.judge(journal, &local.path))?;
            Ok((adopted, local))
        })
        .await;
    let (mut adopted, local) = match judged {
        Ok(adopted) => adopted,
        Err(NotAdoptable::Untrusted(why)) => return Ok(Err(why)),
        Err(NotAdoptable::Failed(failure)) => return Err(failure),
    };
    // Of the bytes that were judged, not of what the store reports.
    adopted.file.bytes = local.bytes;
    adopted.file.sha256 = local.sha256;
    let stat = archive.store.stat(key).await?;
    adopted.file.version_id = stat.and_then(|stat| stat.version_id);
    Ok(Ok(adopted))
}

/// Decides whether a part can be trusted. Otherwise an attacker with write access to the bucket could have this program
/// sign forged rows.
struct PartJudge {
    /// The key under which the part is stored, which it must state itself.
    key: String,
    /// The revision that every row must state.
    revision: u32,
    /// The keys whose signature counts, where this archive is signed.
    allowed: Option<AllowedSigners>,
    /// The filters of this run, to find rows that another filter has skipped.
    filters: Filters,
    stop: CancellationToken,
}

impl PartJudge {
    /// Accepts a part that is well formed, states this archive, key, zone and window, is signed where this archive is
    /// signed, is sorted, belongs to this revision, and repeats no segment of itself or of an adopted part. Loads its rows
    /// into the journal as it goes.
    fn judge(&self, journal: &Journal, path: &Path) -> Result<AdoptedPart, NotAdoptable> {
        let mut part = open_part(path).map_err(malformed)?;
        let statement = part.statement().clone();
        check_statement(journal.identity(), &statement, &self.key)?;
        // A signature is checked even where this archive is unsigned: a wrong one shows a changed part.
        let signer = part
            .signer()
            .map_err(|_| NotAdoptable::Untrusted("bad-signature"))?;
        if let Some(allowed) = &self.allowed
            && !signer.is_some_and(|signer| allowed.contains(&signer, signature::PART))
        {
            return Err(NotAdoptable::Untrusted("not-signed-by-us"));
        }
        let omitted = statement.omitted_fields;
        let mut adopted = AdoptedPart {
            file: File {
                key: self.key.clone(),
                bytes: 0,
                rows: statement.rows,
                sha256: Digest([0; 32]),
                merkle_root: statement.merkle_root,
                schema_sha256: schema::fingerprint(),
                min_segment_end: None,
                max_segment_end: None,
                version_id: None,
                adopted: true,
                omitted_fields: (omitted != *journal.omission()).then(|| omitted.clone()),
            },
            rows: Tally::default(),
            failures: Failures::new(),
            wanted_but_skipped: 0,
        };
        // Rows are sorted by the end of the segment, then by its key (`schemas/FORMAT.md`, order of the rows).
        let mut last: Option<(Option<i64>, String)> = None;
        while let Some(row) = part.next_row().map_err(malformed)? {
            if self.stop.is_cancelled() {
                return Err(Failure::interrupted().into());
            }
            let position = (row.segment.metadata.segment_end_time, row.segment.key());
            let is_sorted = last.as_ref().is_none_or(|last| *last < position);
            let hashes_hold = SummaryKind::BOTH
                .iter()
                .all(|&kind| row.observation(kind).hash_holds());
            if !is_sorted || row.revision != self.revision || !hashes_hold || row.holds(&omitted) {
                return Err(NotAdoptable::Untrusted("malformed"));
            }
            // A committed row may repeat: the part then holds a change. A row of another adopted part may not.
            let known = journal.known_row(&position.1)?;
            if known.is_some_and(|(_, adopted)| adopted) {
                return Err(NotAdoptable::Untrusted("repeats-a-segment"));
            }
            adopted.count(&row, &self.filters);
            journal.add_known_row(row, true)?;
            last = Some(position);
        }
        Ok(adopted)
    }
}

impl AdoptedPart {
    /// Adds a row to the counts and to the range of times.
    fn count(&mut self, row: &Row, filters: &Filters) {
        for kind in SummaryKind::BOTH {
            count_failure(&mut self.failures, row.observation(kind));
        }
        let is_skipped = SummaryKind::BOTH
            .iter()
            .any(|&kind| row.observation(kind).status == Status::Skipped);
        self.wanted_but_skipped += u64::from(is_skipped && filters.admit_segment(&row.segment));
        let segment_end = row.segment.metadata.segment_end_time;
        if let Some(end) = segment_end.map(Instant::from_millis) {
            let (min, max) = (
                &mut self.file.min_segment_end,
                &mut self.file.max_segment_end,
            );
            *min = Some(min.map_or(end, |min| min.min(end)));
            *max = Some(max.map_or(end, |max| max.max(end)));
        }
        self.rows.add(row);
    }
}

/// Checks that a part's own statement names this archive, key, zone, window and format.
fn check_statement(
    day: &DayIdentity,
    statement: &Statement,
    key: &str,
) -> Result<(), NotAdoptable> {
    if statement.archive_id != day.archive_id || statement.key != key {
        return Err(NotAdoptable::Untrusted("of-another-place"));
    }
    if statement.zone != day.zone || statement.window != day.window {
        return Err(NotAdoptable::Untrusted("of-another-window"));
    }
    if !statement.omitted_fields.is_allowed() || statement.format_version != schema::FORMAT_VERSION
    {
        return Err(NotAdoptable::Untrusted("malformed"));
    }
    Ok(())
}

/// Every error of reading a stored part means the same here: its bytes are not those of a part.
fn malformed(_: PartError) -> NotAdoptable {
    NotAdoptable::Untrusted("malformed")
}
