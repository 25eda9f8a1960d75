//! What the loop over sub-accounts hands to the work on each of them.
//!
//! Dates are calendar days in the zone of the sub-account, so yesterday differs between sub-accounts: it is the last day
//! that has ended in the zone, by the clock of this host.

use jiff::ToSpan;
use jiff::civil::Date;

use crate::chain::{Chain, Writer};
use crate::command::account_client::AccountClient;
use crate::command::night::shard::DayShare;
use crate::config::Settings;
use crate::day::shared_chain::SharedChain;
use crate::format::record::Coverage;
use crate::format::time::{DayError, Window, Zone};
use crate::outcome::{Failure, Result};
use crate::render::{Output, Progress};

/// Days that are older than this many years are taken for a mistyped year.
const OLDEST_YEARS: i64 = 15;

/// What the days of all sub-accounts have in common.
pub(crate) struct NightContext<'a> {
    /// The archive, opened for writing; for a plan, without anchors.
    pub archive: &'a Writer,
    /// The settings of the command.
    pub settings: &'a Settings,
    /// Where days are reported.
    pub output: &'a Output,
    /// Where bars are displayed, on a terminal.
    pub progress: &'a Progress,
}

/// One sub-account, and which of its days this process archives.
pub(crate) struct SubAccountJob<'a> {
    /// The client of the account that the sub-account belongs to.
    pub client: &'a AccountClient<'a>,
    /// Id of the sub-account at RingCX.
    pub sub_account: String,
    /// Its time zone by the settings.
    pub zone: Zone,
    /// The days of it that this process archives.
    pub share: DayShare,
    /// The sub-account's chain, opened once for all that the command does with it.
    pub chain: SharedChain,
}

impl NightContext<'_> {
    /// Returns the last day that has ended in the sub-account's zone, by this host's clock.
    pub fn yesterday(&self, job: &SubAccountJob<'_>) -> Result<Date> {
        let now_ms = self.archive.clock.now_ms();
        let today = job.zone.date_at(now_ms).map_err(day_failure)?;
        today
            .yesterday()
            .map_err(|error| Failure::usage("this host's clock is out of range").because(error))
    }

    /// Refuses a date with a mistyped year: a chain keeps its first day for ever.
    ///
    /// # Errors
    /// `Exit::Usage` for a date more than 15 years ago.
    pub(crate) fn check_year(&self, date: Date) -> Result<()> {
        let now = jiff::Timestamp::from_millisecond(self.archive.clock.now_ms());
        let oldest = now.ok().and_then(|now| {
            let today = now.to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
            today.checked_sub(OLDEST_YEARS.years()).ok()
        });
        if oldest.is_none_or(|oldest| date >= oldest) {
            return Ok(());
        }
        let message = format!("{date} is more than {OLDEST_YEARS} years ago");
        Err(Failure::usage(message)
            .remedy("Check the year; RingCX retains interactions for a much shorter time."))
    }
}

impl SubAccountJob<'_> {
    /// Returns the sub-account's chain as the store shows it now.
    pub async fn chain(&self, context: &NightContext<'_>) -> Result<Chain> {
        self.chain.current(context.archive).await
    }

    /// Returns which days the sub-account's chain covers, and with what result.
    pub async fn coverage(&self, context: &NightContext<'_>) -> Result<Coverage> {
        Ok(self.chain(context).await?.coverage())
    }

    /// Returns the instants at which `date` begins and ends in the sub-account's zone.
    ///
    /// # Errors
    /// `Exit::Usage` for a date that the zone does not have.
    pub fn window(&self, date: Date) -> Result<Window> {
        self.zone.day(date).map_err(day_failure)
    }

    /// Returns whether the zone has this date. A zone that moves across the date line skips one.
    pub(crate) fn has_date(&self, date: Date) -> bool {
        !matches!(self.zone.day(date), Err(DayError::SkippedDate { .. }))
    }
}

/// Turns an error of a date or zone into a failure.
pub(crate) fn day_failure(error: DayError) -> Failure {
    Failure::usage(error.to_string()).remedy("Name another date or zone.")
}
