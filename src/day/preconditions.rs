//! What must be true of a day and its neighbours before anything of it is committed.
//!
//! Each check runs before the first request, so that a night's requests are not spent on a day that cannot be committed,
//! and again after another process has appended to the chain.

use jiff::civil::Date;

use crate::chain::{Chain, Writer};
use crate::day::context::DayJob;
use crate::format::record::DayState;
use crate::outcome::{Failure, Result};

/// Refuses a recheck of a day that was never archived.
pub(super) fn check_archived(job: &DayJob, state: DayState) -> Result<()> {
    if job.recheck.is_none() || state != DayState::Missing {
        return Ok(());
    }
    let message = format!("{} of {} is not archived yet", job.date, job.sub_account);
    Err(Failure::usage(message).remedy("Archive it first: cxvault backfill."))
}

/// Refuses to continue a day that another process has disposed of while this one was working on it.
pub(super) fn check_not_disposed(job: &DayJob, chain: &Chain) -> Result<()> {
    if chain.coverage().state(job.date) != DayState::Disposed {
        return Ok(());
    }
    let message = format!(
        "{} of {} was disposed of meanwhile; nothing was committed",
        job.date, job.sub_account
    );
    Err(Failure::usage(message).remedy(
        "There is nothing to do: parts that were stored of it expire with the rest of the day's data.",
    ))
}

/// Refuses a recheck of a day that was disposed of: there is nothing left to compare with.
pub(super) fn check_recheck_of_disposed(job: &DayJob) -> Result<()> {
    if job.recheck.is_none() {
        return Ok(());
    }
    let message = format!(
        "{} of {} was disposed of after its retention",
        job.date, job.sub_account
    );
    Err(Failure::usage(message)
        .remedy("Leave it out of the range; `cxvault status` lists the disposed days."))
}

/// Checks that the job's zone is that of the chain. A chain's first manifest fixes its zone: with another zone, days
/// would overlap or leave holes between them.
pub(super) async fn check_zone(archive: &Writer, job: &DayJob, chain: &mut Chain) -> Result<()> {
    let configured = job.zone.name();
    let newest = chain.newest_day(archive).await?;
    let Some(newest) = newest.filter(|newest| newest.zone != configured) else {
        return Ok(());
    };
    let archived = newest.zone;
    let message = format!(
        "sub-account {} is archived in the zone {archived}, but the settings say {configured}",
        job.sub_account
    );
    Err(Failure::usage(message).remedy(format!(
        "Set the zone of this sub-account to {archived}; its first manifest has fixed it."
    )))
}

/// Checks the zone, and that the day begins where the archived day before it ends, and ends where the archived day after
/// it begins. Zone rules change: under new rules the same two dates may overlap or leave a hole.
pub(super) async fn check_neighbours(
    archive: &Writer,
    job: &DayJob,
    chain: &mut Chain,
) -> Result<()> {
    check_zone(archive, job, chain).await?;
    // Only archived neighbours count: a missing one is archived later, with the same check from its side.
    if let Ok(before) = job.date.yesterday()
        && let Some(record) = chain.record_of(archive, before).await?
        && record.window.end_ms != job.window.start_ms
    {
        return Err(not_adjacent(job, before));
    }
    if let Ok(after) = job.date.tomorrow()
        && let Some(record) = chain.record_of(archive, after).await?
        && record.window.start_ms != job.window.end_ms
    {
        return Err(not_adjacent(job, after));
    }
    Ok(())
}

/// Returns the failure for a day that overlaps its neighbour, or leaves a hole beside it.
fn not_adjacent(job: &DayJob, neighbour: Date) -> Failure {
    let message = format!(
        "{} is not adjacent to {neighbour} as archived: the rules of the zone {} have changed since then",
        job.date,
        job.zone.name()
    );
    Failure::usage(message).remedy(
        "Archive this day with the program (and its time-zone database) that archived its neighbour.",
    )
}
