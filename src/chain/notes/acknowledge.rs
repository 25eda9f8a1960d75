//! Acknowledgement of gaps that will remain: recorded in the chain, so that no further run reports them.

use jiff::civil::Date;

use crate::chain::append::{Mode, open_begun};
use crate::chain::days::Chain;
use crate::chain::notes;
use crate::chain::notes::{existing_dates, in_state, shortened};
use crate::chain::writer::Writer;
use crate::format::record::{
    AcknowledgedDay, Acknowledgement, DateSpan, DayState, MOST_DAYS, Record,
};
use crate::journal::Head;
use crate::outcome::{Failure, Result};

/// Days that a message names before it only counts the rest.
const NAMED: usize = 5;

/// How an acknowledgement ended.
#[derive(Debug)]
pub enum Acknowledged {
    /// The acknowledgement was committed.
    Now { head: Head, note: Acknowledgement },
    /// In a dry run: the acknowledgement would be committed.
    Proposed { note: Acknowledgement },
    /// The chain has an acknowledgement of the range with this reason already: the earlier command was interrupted after
    /// its commit, or is repeated.
    Before {
        /// Key of that record.
        manifest: String,
    },
}

/// Acknowledges the gaps of every day of `range` that has some.
///
/// # Errors
/// `Exit::Usage` where a day of the range was never archived, or where no day has unacknowledged gaps.
pub async fn acknowledge(
    writer: &Writer,
    sub_account: &str,
    range: DateSpan,
    reason: &str,
    by: Option<&str>,
    mode: Mode,
) -> Result<Acknowledged> {
    let mut chain = open_begun(writer, sub_account, mode).await?;
    let mut note = Acknowledgement {
        days: Vec::new(),
        reason: reason.to_owned(),
        by: by.map(str::to_owned),
    };
    let mut head = None;
    loop {
        let (days, newest) = notes::record(writer, &mut chain, mode, async |chain: &mut Chain| {
            let mut days = gaps(writer, chain, range).await?;
            if mode == Mode::Act {
                days.truncate(MOST_DAYS);
            }
            let record = Acknowledgement {
                days: days.clone(),
                ..note.clone()
            };
            let record = Record::Acknowledgement(Box::new(record));
            let record = Some(record).filter(|_| !days.is_empty());
            Ok((days, record))
        })
        .await?;
        let is_last = days.len() < MOST_DAYS || newest.is_none();
        note.days.extend(days);
        head = newest.or(head);
        if is_last {
            break;
        }
        // A crash here leaves the days of later records unacknowledged: the same command continues with them.
        chain.refresh(writer).await?;
    }
    match head {
        _ if note.days.is_empty() => recorded_before(writer, &mut chain, range, reason).await,
        Some(head) => Ok(Acknowledged::Now { head, note }),
        None => Ok(Acknowledged::Proposed { note }),
    }
}

/// Returns the days with gaps, and refuses a range with a day that was never archived.
async fn gaps(writer: &Writer, chain: &mut Chain, range: DateSpan) -> Result<Vec<AcknowledgedDay>> {
    let coverage = chain.coverage();
    let missing: Vec<String> = existing_dates(writer, chain, range)
        .await?
        .into_iter()
        .filter(|date| coverage.state(*date) == DayState::Missing)
        .map(|date| date.to_string())
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "sub-account {} was never archived on {}",
            chain.name,
            shortened(&missing, NAMED, ", ")
        );
        return Err(Failure::usage(message).remedy(
            "Only gaps of an archived day can be acknowledged: archive it with `cxvault backfill`, or leave it out of \
             the range (--to is the day after the last day of the range).",
        ));
    }
    let mut days = Vec::new();
    for date in in_state(chain, range, DayState::Gaps).collect::<Vec<_>>() {
        let Some((manifest, record)) = chain.revisions(writer, date).await?.pop() else {
            continue;
        };
        days.push(AcknowledgedDay {
            date,
            revision: record.revision,
            manifest,
            agent_failed: record.day.agent.failed,
            auto_failed: record.day.auto.failed,
            incomplete_because: record.incomplete_because.clone(),
        });
    }
    Ok(days)
}

/// Finds the earlier acknowledgement with the same reason.
async fn recorded_before(
    writer: &Writer,
    chain: &mut Chain,
    range: DateSpan,
    reason: &str,
) -> Result<Acknowledged> {
    let acknowledged: Vec<Date> = in_state(chain, range, DayState::Acknowledged).collect();
    for date in &acknowledged {
        if let Some((manifest, note)) = chain.acknowledgement_of(writer, *date).await?
            && note.reason == reason
        {
            return Ok(Acknowledged::Before { manifest });
        }
    }
    let disposed = in_state(chain, range, DayState::Disposed).next();
    let remedy = match (acknowledged.first(), disposed) {
        (Some(date), _) => {
            format!("The gaps of {date} are acknowledged already, with another reason.")
        }
        (None, Some(date)) => {
            format!("{date} was disposed of: its gaps no longer matter.")
        }
        (None, None) => "`cxvault status` shows which days have gaps.".to_owned(),
    };
    let message = format!(
        "sub-account {} has no gaps to acknowledge in {range}",
        chain.name
    );
    Err(Failure::usage(message).remedy(remedy))
}
