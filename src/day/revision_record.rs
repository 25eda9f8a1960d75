//! Step 4, first half: composes the record of a revision, and refuses one whose counts do not balance.

use crate::chain::Chain;
use crate::chain::archive::violated;
use crate::day::context::{DayContext, DayJob};
use crate::day::encode::NewRevision;
use crate::day::prior::PriorState;
use crate::day::publish::PublishedParts;
use crate::format::record::{
    DayRecord, Discovery, Incomplete, PastDay, Recheck, Warning, Why, WindowRecord, warning,
};
use crate::format::row::{Failures, Groups, Tally};
use crate::format::time::{Instant, LONGEST_WINDOW_MS};
use crate::journal::AnsweredWindow;
use crate::outcome::{Failure, Result};

/// How many manifests back the usual volume of a weekday is looked for: eight weeks of days, and some gap-fills.
pub(super) const PAST_MANIFESTS: u64 = 70;

/// Composes the record of a revision (`schemas/FORMAT.md`, the record of a day).
///
/// `now_ms` is the end of the observation in UTC milliseconds, by the API's clock where it is known.
///
/// # Errors
/// `Exit::Unexpected` where the counts do not balance, an integrity failure where the journal's windows do not tile the
/// day.
pub(super) async fn compose(
    context: &DayContext<'_>,
    chain: &mut Chain,
    prior: &PriorState,
    revision: NewRevision,
    published: PublishedParts,
    now_ms: i64,
) -> Result<DayRecord> {
    let DayContext { archive, job, .. } = *context;
    let omitted_fields = revision.omitted_fields;
    if omitted_fields != archive.policy.omitted_fields {
        tracing::info!(
            date = %job.date,
            omitted = omitted_fields.to_string(),
            "fields that earlier revisions of this day have omitted stay omitted, beside those of the setting omit_fields"
        );
    }
    let totals = revision.totals;
    // Only named groups are compared with other days: later days could not compare the others.
    let groups = crate::format::row::tally::NamedGroups::of(totals.groups);
    let warnings = warnings(context, chain, &totals.day, &groups.named).await?;
    let incomplete_because = reasons_incomplete(context, prior, &totals.day, now_ms);
    let (rows, failures) = counts_of_files(prior, totals.rows, totals.failures);
    let record = DayRecord {
        date: job.date,
        zone: job.zone.name().to_owned(),
        window: job.window,
        revision: prior.revision(),
        why: match (prior.revision(), context.recheck) {
            (1, _) => job.why,
            (_, Some(_)) => Why::Recheck,
            (_, None) => Why::GapFill,
        }
        .into(),
        discovery: match prior.revisions.first() {
            Some((link, _)) if context.recheck.is_none() => Discovery::Manifest(link.clone()),
            _ => discovery(job, revision.windows, revision.adopted_only)?,
        },
        rows,
        day: totals.day,
        warnings,
        agent_groups: groups.named,
        other_agent_groups: groups.others,
        failures,
        complete: incomplete_because.is_empty(),
        incomplete_because: incomplete_because.into_iter().map(Into::into).collect(),
        files: published.files,
        leftovers: prior.leftovers.clone(),
        object_lock: published.lock,
        source_retention_days: archive.policy.source_retention_days,
        recheck: context.recheck.map(|scope| Recheck {
            statuses: scope.clone(),
            looked_at: revision.looked_at,
            changes: totals.changes,
        }),
        omitted_fields,
    };
    check_balance(&record)?;
    Ok(record)
}

/// Returns the counts of the revision's files: of its own parts, and of the parts that it adopts.
fn counts_of_files(
    prior: &PriorState,
    mut rows: Tally,
    mut failures: Failures,
) -> (Tally, Failures) {
    for adopted in &prior.adopted {
        rows.merge(&adopted.rows);
        for (class, count) in &adopted.failures {
            *failures.entry(class.clone()).or_default() += count;
        }
    }
    (rows, failures)
}

/// Returns why the day is not complete; nothing for a complete day.
fn reasons_incomplete(
    context: &DayContext<'_>,
    prior: &PriorState,
    day: &Tally,
    now_ms: i64,
) -> Vec<Incomplete> {
    let mut reasons = Vec::new();
    if day.failed() > 0 {
        reasons.push(Incomplete::SummariesFailed);
    }
    // The part cannot be replaced; a later revision fetches what its filter has skipped.
    if prior.adopted.iter().any(|part| part.wanted_but_skipped > 0) {
        reasons.push(Incomplete::WantedSummariesSkipped);
    }
    // A source that no longer has the day answers like a quiet day.
    if let Some(days) = context.archive.policy.source_retention_days
        && now_ms - context.job.window.start_ms > i64::from(days) * 86_400_000
    {
        reasons.push(Incomplete::BeyondSourceRetention);
    }
    reasons
}

/// Returns the windows that this revision has requested.
fn discovery(job: &DayJob, windows: Vec<AnsweredWindow>, adopted_only: u64) -> Result<Discovery> {
    let tiles = job.window.tiles(LONGEST_WINDOW_MS);
    // A window that is missing, or has other bounds, would leave a hole that no count shows.
    if windows.iter().map(|answer| answer.window).ne(tiles) {
        return Err(violated("the journal's windows do not tile the day"));
    }
    Ok(Discovery::Windows {
        objects: windows.iter().map(|answer| answer.rows).sum(),
        duplicates: windows.iter().map(|answer| answer.duplicates).sum(),
        windows: windows.into_iter().map(window_record).collect(),
        adopted_only,
    })
}

/// Returns a window as the record states it, with the SHA-256 of the answer as received.
fn window_record(answer: AnsweredWindow) -> WindowRecord {
    WindowRecord {
        start: Instant::from_millis(answer.window.start_ms),
        end: Instant::from_millis(answer.window.end_ms),
        objects: answer.rows,
        bytes: answer.bytes,
        sha256: answer.sha256,
        server_date: answer.server_date.map(Instant::from_millis),
        answered_at: Instant::from_millis(answer.answered_at),
        attempts: answer.attempts,
    }
}

/// Checks that the counts of a record balance. If they do not, this program has an error, and must not sign the record.
fn check_balance(record: &DayRecord) -> Result<()> {
    let rows_in_files: u64 = record.files.iter().map(|file| file.rows).sum();
    let discovery_balances = match &record.discovery {
        // A recheck adds rows for changes only; its windows list no more than the day has.
        Discovery::Windows {
            objects,
            duplicates,
            ..
        } if record.recheck.is_some() => objects
            .checked_sub(*duplicates)
            .is_some_and(|listed| listed <= record.day.segments),
        Discovery::Windows {
            objects,
            duplicates,
            adopted_only,
            ..
        } => (objects + adopted_only).checked_sub(*duplicates) == Some(record.rows.segments),
        // A gap-fill has requested no window; its counts rest on those of revision 1.
        Discovery::Manifest(_) => true,
    };
    if discovery_balances
        && rows_in_files == record.rows.segments
        && record.rows.balances()
        && record.day.balances()
    {
        return Ok(());
    }
    let message = format!(
        "the counts of {} do not balance; nothing was committed",
        record.date
    );
    Err(Failure::unexpected(message)
        .remedy("Report this; the journal is retained for the investigation."))
}

/// Returns what is suspicious of the day beside the days archived before and after it.
async fn warnings(
    context: &DayContext<'_>,
    chain: &mut Chain,
    day: &Tally,
    groups: &Groups,
) -> Result<Vec<Warning>> {
    let DayContext { archive, job, .. } = *context;
    // A first day without segments is suspicious by itself: there is nothing to compare it with.
    let is_first = chain.head.is_none();
    let past: Vec<PastDay> = chain
        .recent(archive, PAST_MANIFESTS)
        .await?
        .into_iter()
        .filter(|past| past.date != job.date)
        .map(|past| PastDay {
            date: past.date,
            segments: past.day.segments,
            groups: past.agent_groups,
        })
        .collect();
    let mut warnings = warning::judge(job.date, day.segments, groups, &past, is_first);
    // Acknowledged warnings are recorded too, but change no exit code.
    for warning in &mut warnings {
        warning.acknowledged = archive.policy.acknowledge.contains(&warning.name());
    }
    Ok(warnings)
}
