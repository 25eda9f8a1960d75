//! Gaps that stay: somebody takes note of them, in the chain, so that nobody is woken for them again.

use jiff::civil::Date;

use crate::chain::append::{Appended, Mode, append, open_begun};
use crate::chain::days::Chain;
use crate::chain::protection::Protection;
use crate::chain::writer::Writer;
use crate::format::record::coverage::DayState;
use crate::format::record::manifest::Record;
use crate::format::record::notes::{AcknowledgedDay, Acknowledgement, DateSpan};
use crate::format::row::observation::{Status, SummaryKind};
use crate::format::time::day::Zone;
use crate::journal::Head;
use crate::outcome::{Exit, Failure, Result};

/// How it ended.
#[derive(Debug)]
pub enum Acknowledged {
    Now {
        head: Head,
        note: Acknowledgement,
    },
    /// In a dry run: this is what would be committed.
    Proposed {
        note: Acknowledgement,
    },
    /// All of it, with this reason, is in the chain already: an earlier run was interrupted after its commit, or nobody
    /// remembered it.
    Before {
        manifest: String,
    },
}

/// Acknowledges the gaps of every day of `range` that has some.
///
/// # Errors
/// [`Exit::Usage`] where a day of the range was never archived, or none of them has gaps that nobody has acknowledged.
pub async fn acknowledge(
    archive: &Writer,
    sub_account: &str,
    range: DateSpan,
    reason: &str,
    by: Option<&str>,
    mode: Mode,
) -> Result<Acknowledged> {
    let mut chain = open_begun(archive, sub_account, mode).await?;
    loop {
        let days = gaps(archive, &mut chain, range).await?;
        if days.is_empty() {
            return noted_before(archive, &mut chain, range, reason).await;
        }
        let note = Acknowledgement {
            days,
            reason: reason.to_owned(),
            by: by.map(str::to_owned),
        };
        if mode == Mode::DryRun {
            return Ok(Acknowledged::Proposed { note });
        }
        let record = Record::Acknowledgement(Box::new(note.clone()));
        let duty = Protection {
            lock: archive.fresh_lock()?,
            hold: false,
        };
        if let Appended::Done(head) = append(archive, &mut chain, record, duty, None).await? {
            return Ok(Acknowledged::Now { head, note });
        }
        // Somebody was first, perhaps with the very summaries that are given up here: look again.
    }
}

/// The days with gaps; a day that was never archived has more than gaps.
async fn gaps(
    archive: &Writer,
    chain: &mut Chain,
    range: DateSpan,
) -> Result<Vec<AcknowledgedDay>> {
    let coverage = chain.coverage();
    let zone = chain
        .newest_day(archive)
        .await?
        .and_then(|day| Zone::named(&day.zone).ok());
    // Some zones have skipped a date; nothing can be archived of it.
    let exists = |date: &Date| zone.as_ref().is_none_or(|zone| zone.day(*date).is_ok());
    let dates = || range.days().within(range.from, range.to);
    let missing: Vec<String> = dates()
        .filter(|date| coverage.state(*date) == DayState::Missing)
        .filter(exists)
        .map(|date| date.to_string())
        .collect();
    if !missing.is_empty() {
        let more = if missing.len() > 5 {
            format!(" and {} more", missing.len() - 5)
        } else {
            String::new()
        };
        let shown = missing
            .iter()
            .take(5)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let message = format!(
            "sub-account {} was never archived on {shown}{more}",
            chain.name
        );
        return Err(Failure::new(Exit::Usage, message).remedy(
            "Only gaps of an archived day can be acknowledged: archive it with `cxvault backfill`, or leave it out of \
             the range (--to is the day AFTER the last one).",
        ));
    }
    let mut days = Vec::new();
    for date in dates().filter(|date| coverage.state(*date) == DayState::Gaps) {
        let Some((manifest, record)) = chain.revisions(archive, date).await?.pop() else {
            continue;
        };
        let failed = |kind| record.day.statuses(kind).get(Status::Failed);
        days.push(AcknowledgedDay {
            date,
            revision: record.revision,
            manifest,
            agent_failed: failed(SummaryKind::Agent),
            auto_failed: failed(SummaryKind::Auto),
            incomplete_because: record.incomplete_because.clone(),
        });
    }
    Ok(days)
}

async fn noted_before(
    archive: &Writer,
    chain: &mut Chain,
    range: DateSpan,
    reason: &str,
) -> Result<Acknowledged> {
    let coverage = chain.coverage();
    let noted = range.days().within(range.from, range.to);
    let noted: Vec<Date> = noted
        .filter(|date| coverage.state(*date) == DayState::Acknowledged)
        .collect();
    for date in &noted {
        if let Some((manifest, note)) = chain.acknowledgement_of(archive, *date).await?
            && note.reason == reason
        {
            return Ok(Acknowledged::Before { manifest });
        }
    }
    let message = format!(
        "sub-account {} has no gaps to acknowledge in {range}",
        chain.name
    );
    let disposed = range
        .days()
        .within(range.from, range.to)
        .find(|date| coverage.state(*date) == DayState::Disposed);
    let remedy = match (noted.first(), disposed) {
        (Some(date), _) => {
            format!("Those of {date} are acknowledged already, with another reason.")
        }
        (None, Some(date)) => {
            format!("{date} was disposed of: what was missing of it no longer matters.")
        }
        (None, None) => "`cxvault status` shows which days have gaps.".to_owned(),
    };
    Err(Failure::new(Exit::Usage, message).remedy(remedy))
}
