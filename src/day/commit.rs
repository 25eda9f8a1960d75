//! The record of one revision, and its place in the chain (protocol step 4).

use crate::chain::append::{Appended, append};
use crate::chain::archive::{Archive, violated};
use crate::chain::days::Chain;
use crate::chain::required::Protection;
use crate::day::encode::NewRevision;
use crate::day::prior::{Adopted, PriorState};
use crate::day::run::DayJob;
use crate::format::record::coverage::DayState;
use crate::format::record::manifest::{
    DayRecord, Discovery, File, Incomplete, ObjectLock, Recheck, Record, Why, WindowRecord,
};
use crate::format::record::warning;
use crate::format::record::warning::{PastDay, Warning};
use crate::format::row::omit::Omission;
use crate::format::row::recheck::RecheckScope;
use crate::format::row::tally::{Failures, Tally};
use crate::format::time::day::LONGEST_WINDOW_MS;
use crate::journal::{AnsweredWindow, Head};
use crate::outcome::{Exit, Failure, Result};

/// How many manifests back the usual volume of a weekday is looked for: eight weeks, and some gap-fills.
pub const PAST_MANIFESTS: u64 = 70;

/// How the commit ended.
#[derive(Debug)]
pub enum CommitOutcome {
    Done {
        head: Head,
        record: Box<DayRecord>,
    },
    /// Another process committed this day's revision first: what it lacks of ours is the next revision.
    Lost,
}

/// Commits the record, re-numbered as often as others get ahead in the same chain. `duty` is what its parts have
/// already, and its manifest gets.
///
/// Before this returns [`CommitOutcome::Done`] the revision does not exist, whatever parts lie in the store; from then on
/// it does.
pub async fn commit(
    archive: &Archive,
    job: &DayJob,
    chain: &mut Chain,
    record: DayRecord,
    mut duty: Protection,
    clock_skew_ms: Option<i64>,
) -> Result<CommitOutcome> {
    loop {
        refuse_disposed(job, chain)?;
        let entry = Record::Day(Box::new(record.clone()));
        if let Appended::Done(head) = append(archive, chain, entry, duty, clock_skew_ms).await? {
            return Ok(CommitOutcome::Done {
                head,
                record: Box::new(record),
            });
        }
        // Taken by another: back to step 0, then the same revision at the next number, or none at all.
        check_neighbours(archive, job, chain).await?;
        let revisions = chain.revisions(archive, job.date).await?;
        if revisions
            .last()
            .is_some_and(|(_, day)| day.revision >= record.revision)
        {
            return Ok(CommitOutcome::Lost);
        }
        // What came between may have been a hold: whoever recorded it could not see this revision's parts.
        let now = Protection::of(archive, chain, job.date, duty.lock).await?;
        if now != duty {
            for file in &record.files {
                now.give(archive, &file.key).await?;
            }
            duty = now;
        }
    }
}

/// A day that somebody has disposed of meanwhile takes nothing more.
pub fn refuse_disposed(job: &DayJob, chain: &Chain) -> Result<()> {
    if chain.coverage().state(job.date) != DayState::Disposed {
        return Ok(());
    }
    let message = format!(
        "{} of {} was disposed of meanwhile; nothing was committed",
        job.date, job.sub_account
    );
    Err(Failure::new(Exit::Usage, message)
        .remedy("Nothing is to be done: what was put of it goes the way of the day's other data."))
}

/// There is nothing left that could have changed.
pub fn refuse_looking_again(job: &DayJob) -> Result<()> {
    if job.recheck.is_none() {
        return Ok(());
    }
    let message = format!(
        "{} of {} was disposed of after its retention",
        job.date, job.sub_account
    );
    Err(Failure::new(Exit::Usage, message)
        .remedy("Leave it out of the range; `cxvault status` tells which are."))
}

/// The zone of a chain is fixed by its first manifest: in another one, days would overlap or leave holes.
pub async fn check_zone(archive: &Archive, job: &DayJob, chain: &mut Chain) -> Result<()> {
    let newest = chain.newest_day(archive).await?;
    let Some(newest) = newest.filter(|newest| newest.zone != job.zone.name()) else {
        return Ok(());
    };
    let message = format!(
        "sub-account {} is archived in the zone {}, and the settings say {}",
        job.sub_account,
        newest.zone,
        job.zone.name()
    );
    Err(Failure::new(Exit::Usage, message).remedy(format!(
        "Set the zone of this sub-account to {}; it is fixed by its first manifest.",
        newest.zone
    )))
}

/// A day must begin where the sealed day before it ends, and end where the one after it begins: zone rules change.
pub async fn check_neighbours(archive: &Archive, job: &DayJob, chain: &mut Chain) -> Result<()> {
    check_zone(archive, job, chain).await?;
    for (neighbour, before) in [(job.date.yesterday(), true), (job.date.tomorrow(), false)] {
        let Ok(neighbour) = neighbour else { continue };
        let Some(record) = chain.record_of(archive, neighbour).await? else {
            continue;
        };
        let abuts = if before {
            record.window.end_ms == job.window.start_ms
        } else {
            record.window.start_ms == job.window.end_ms
        };
        if !abuts {
            let message = format!(
                "{} does not abut {neighbour} as it was archived: the rules of {} have changed since",
                job.date,
                job.zone.name()
            );
            return Err(Failure::new(Exit::Usage, message).remedy(
                "Archive this day with the program (and its time-zone database) that archived its neighbour.",
            ));
        }
    }
    Ok(())
}

/// What a revision's record is made of.
pub struct RevisionFacts<'a> {
    pub basis: &'a PriorState,
    pub revision: &'a NewRevision,
    pub windows: Vec<AnsweredWindow>,
    pub files: Vec<File>,
    pub lock: Option<ObjectLock>,
    /// By the API's clock where it is known.
    pub now_ms: i64,
    pub why: Why,
    /// What a recheck asked for again, and how many summaries it asked for.
    pub recheck: Option<RecheckScope>,
    pub looked_at: u64,
    /// What the journal, and so each of the revision's own rows, lacks.
    pub omitted_fields: Omission,
}

/// Draws up the record of a revision, and refuses one whose counts do not balance.
pub async fn record(
    archive: &Archive,
    job: &DayJob,
    chain: &mut Chain,
    facts: RevisionFacts<'_>,
) -> Result<DayRecord> {
    let RevisionFacts {
        basis,
        revision,
        windows,
        files,
        lock,
        now_ms,
        why,
        recheck,
        looked_at,
        omitted_fields,
    } = facts;
    if omitted_fields != archive.policy.omitted_fields {
        let omitted = omitted_fields.to_string();
        tracing::info!(date = %job.date, omitted, "what this day has left out before stays out, beside the settings' omit_fields");
    }
    let mut rows = revision.totals.rows.clone();
    let mut failures = revision.totals.failures.clone();
    basis
        .adopted
        .iter()
        .for_each(|adopted| add(&mut rows, &mut failures, adopted));
    let day = revision.totals.day.clone();
    let incomplete_because = incomplete(archive, job, basis, &day, now_ms);
    let discovery = match basis.revisions.first() {
        Some((link, _)) if recheck.is_none() => Discovery::Manifest(link.clone()),
        _ => asked(job, windows, revision.adopted_only)?,
    };
    let record = DayRecord {
        date: job.date,
        zone: job.zone.name().to_owned(),
        window: job.window,
        revision: basis.revision(),
        why,
        discovery,
        rows,
        day,
        warnings: warnings(archive, job, chain, revision).await?,
        agent_groups: revision.totals.groups.clone(),
        failures,
        complete: incomplete_because.is_empty(),
        incomplete_because,
        files,
        leftovers: basis.leftovers.clone(),
        object_lock: lock,
        source_retention_days: archive.policy.source_retention_days,
        recheck: recheck.map(|statuses| Recheck {
            statuses,
            looked_at,
            changes: revision.totals.changes,
        }),
        omitted_fields,
    };
    balance(&record)?;
    Ok(record)
}

fn add(rows: &mut Tally, failures: &mut Failures, adopted: &Adopted) {
    rows.merge(&adopted.rows);
    for (class, count) in &adopted.failures {
        *failures.entry(class.clone()).or_default() += count;
    }
}

fn incomplete(
    archive: &Archive,
    job: &DayJob,
    basis: &PriorState,
    day: &Tally,
    now_ms: i64,
) -> Vec<Incomplete> {
    let mut reasons = Vec::new();
    if day.failed() > 0 {
        reasons.push(Incomplete::SummariesFailed);
    }
    if basis
        .adopted
        .iter()
        .any(|adopted| adopted.wanted_but_skipped > 0)
    {
        reasons.push(Incomplete::WantedSummariesSkipped);
    }
    if let Some(days) = archive.policy.source_retention_days
        && now_ms - job.window.start_ms > i64::from(days) * 86_400_000
    {
        reasons.push(Incomplete::BeyondSourceRetention);
    }
    reasons
}

fn asked(job: &DayJob, windows: Vec<AnsweredWindow>, adopted_only: u64) -> Result<Discovery> {
    let tiles = job.window.tiles(LONGEST_WINDOW_MS);
    if windows.iter().map(|answer| answer.window).ne(tiles) {
        return Err(violated("the journal's windows do not tile the day"));
    }
    let objects = windows.iter().map(|answer| answer.rows).sum();
    let duplicates = windows.iter().map(|answer| answer.duplicates).sum();
    let windows = windows.into_iter().map(|answer| WindowRecord {
        start: answer.window.start_ms,
        end: answer.window.end_ms,
        objects: answer.rows,
        bytes: answer.bytes,
        sha256: answer.sha256,
        server_date: answer.server_date,
        answered_at: answer.answered_at,
        attempts: answer.attempts,
    });
    Ok(Discovery::Windows {
        windows: windows.collect(),
        objects,
        duplicates,
        adopted_only,
    })
}

/// Counts that do not balance are a bug of ours, and must never be signed.
fn balance(record: &DayRecord) -> Result<()> {
    let in_files: u64 = record.files.iter().map(|file| file.rows).sum();
    let discovered = match &record.discovery {
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
        Discovery::Manifest(_) => true,
    };
    if discovered
        && in_files == record.rows.segments
        && record.rows.balances()
        && record.day.balances()
    {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Unexpected,
        format!(
            "the counts of {} do not balance; nothing was committed",
            record.date
        ),
    )
    .remedy("Report this; the journal is kept."))
}

async fn warnings(
    archive: &Archive,
    job: &DayJob,
    chain: &mut Chain,
    revision: &NewRevision,
) -> Result<Vec<Warning>> {
    let earlier = chain.recent(archive, PAST_MANIFESTS).await?;
    let first = chain.head.is_none();
    let past: Vec<PastDay> = earlier
        .into_iter()
        .filter(|day| day.date != job.date)
        .map(|day| PastDay {
            date: day.date,
            segments: day.day.segments,
            groups: day.agent_groups,
        })
        .collect();
    let NewRevision { totals, .. } = revision;
    let mut warnings = warning::judge(job.date, totals.day.segments, &totals.groups, &past, first);
    for warning in &mut warnings {
        warning.acknowledged = archive.policy.acknowledge.contains(&warning.name());
    }
    Ok(warnings)
}
