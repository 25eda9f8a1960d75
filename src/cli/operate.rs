//! The operator's commands beside the nightly run.

use clap::{Args, ValueEnum};
use jiff::civil::Date;

use super::audit::{Subset, subset};
use super::date;
use crate::archive::range::Days;
use crate::outcome::{Exit, Failure};

#[derive(Debug, Args)]
#[command(after_help = "\
The range leaves its end out: --from 2026-11-01 --to 2026-12-01 is the thirty days of November.

Days are committed one by one, and sealed ones cost nothing: stop it whenever you like, and run the same command again.
While summaries of one day are fetched, the next days are discovered. A day that fails does not stop the others.

Several processes can divide the work, on one machine or on many: each archives its share of the sub-accounts, or of
their days. Without --shard the share comes from JOB_COMPLETION_INDEX (Kubernetes Indexed Job; set CXVAULT_SHARDS to the
number of completions) or AWS_BATCH_JOB_ARRAY_INDEX. Processes on one machine share the limits; divide them by hand
(CXVAULT_SUMMARY_LIMITS, CXVAULT_DISCOVERY_LIMITS) where several machines use one credential or sub-account.

Examples:
  cxvault backfill --from 2026-11-01 --to 2026-12-01
  cxvault backfill --from 2024-01-01 --to 2026-11-24 --order oldest --sub-account 99999999
  cxvault backfill --from 2026-01-01 --to 2026-07-01 --shard 2/4")]
pub struct BackfillArgs {
    /// First archive day, as YYYY-MM-DD, in each sub-account's time zone
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Date,
    /// The day AFTER the last one: --from 2026-11-01 --to 2026-12-01 is November
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Date,
    /// Which days first; oldest saves what is about to leave RingCX's own retention
    #[arg(long, value_enum, default_value_t = Order::Oldest)]
    pub order: Order,
    /// Only the n-th of t shares of the work, as n/t
    #[arg(long, value_name = "N/T", value_parser = subset)]
    pub shard: Option<Subset>,
}

/// Which days are archived first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Order {
    Newest,
    Oldest,
}

impl BackfillArgs {
    /// # Errors
    /// [`Exit::Usage`] for a range that holds no day.
    pub fn days(&self) -> Result<Days, Failure> {
        let days = Days { from: Some(self.from), to: Some(self.to) };
        if !days.is_empty() {
            return Ok(days);
        }
        Err(Failure::new(Exit::Usage, format!("the range {days} holds no day"))
            .remedy("--to is the day AFTER the last one: --from 2026-11-01 --to 2026-12-01 is November."))
    }
}
