//! The operator's commands beside the nightly run.

use clap::{Args, ValueEnum};
use jiff::civil::Date;

use crate::cli::audit::{Subset, subset};
use crate::cli::date;
use crate::format::row::recheck::RecheckScope;
use crate::format::time::range::Days;
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
    /// Only show what would be done, as cxvault plan does
    #[arg(long)]
    pub dry_run: bool,
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
        half_open(self.from, self.to)
    }
}

fn half_open(from: Date, to: Date) -> Result<Days, Failure> {
    let days = Days {
        from: Some(from),
        to: Some(to),
    };
    if !days.is_empty() {
        return Ok(days);
    }
    Err(
        Failure::new(Exit::Usage, format!("the range {days} holds no day")).remedy(
            "--to is the day AFTER the last one: --from 2026-11-01 --to 2026-12-01 is November.",
        ),
    )
}

#[derive(Debug, Args)]
#[command(after_help = "\
The range leaves its end out: --from 2026-11-01 --to 2026-12-01 is the thirty days of November.

Discovery is asked again for each archived day of the range, and so are the summaries that --only names: agents finish
their notes late, AI summaries are populated hours after the call, and both can be edited. What has changed is the
day's next revision; nothing that was archived before is replaced. Where nothing has changed, that is recorded too.
Segments that RingCX no longer lists are marked as vanished, and stay. The setting recheck_after lets the nightly run do
this by itself.

Examples:
  cxvault recheck --from 2026-11-01 --to 2026-12-01
  cxvault recheck --from 2026-11-20 --to 2026-11-21 --only all
  cxvault recheck --from 2026-11-01 --to 2026-12-01 --only not-found,failed --sub-account 99999999")]
pub struct RecheckArgs {
    /// First archive day, as YYYY-MM-DD, in each sub-account's time zone
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Date,
    /// The day AFTER the last one: --from 2026-11-01 --to 2026-12-01 is November
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Date,
    /// Which summaries are asked for again, by what is archived of them: all, or some of present, empty, not-found,
    /// binary, failed, skipped
    #[arg(long, value_name = "STATUSES", default_value_t = RecheckScope::default())]
    pub only: RecheckScope,
    /// Which days first
    #[arg(long, value_enum, default_value_t = Order::Newest)]
    pub order: Order,
    /// Record that most of a day's segments have vanished, instead of taking it for a lost permission
    #[arg(long)]
    pub accept_vanished: bool,
    /// Only show what would be done, as cxvault plan does
    #[arg(long)]
    pub dry_run: bool,
}

impl RecheckArgs {
    /// # Errors
    /// [`Exit::Usage`] for a range that holds no day.
    pub fn days(&self) -> Result<Days, Failure> {
        half_open(self.from, self.to)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without a range it shows what cxvault run would do now: yesterday, what is to be made up for, and what recheck_after wants
looked at again. With one, what cxvault backfill would do; the range leaves its end out.

Both limits are counted: discovery and summaries go on side by side, so the slower of them sets the time. How many
segments a day has is estimated from archived days of the same sub-account and weekday. With the setting
source_retention it names the days that RingCX is about to forget.

Examples:
  cxvault plan
  cxvault plan --from 2025-11-01 --to 2026-11-01
  cxvault plan --from 2026-01-01 --to 2026-11-01 --segments-per-day 5000 --json")]
pub struct PlanArgs {
    /// First archive day, as YYYY-MM-DD, in each sub-account's time zone
    #[arg(long, value_name = "DATE", value_parser = date, requires = "to")]
    pub from: Option<Date>,
    /// The day AFTER the last one: --from 2026-11-01 --to 2026-12-01 is November
    #[arg(long, value_name = "DATE", value_parser = date, requires = "from")]
    pub to: Option<Date>,
    /// Which days first
    #[arg(long, value_enum, default_value_t = Order::Oldest)]
    pub order: Order,
    /// Only the n-th of t shares of the work, as n/t
    #[arg(long, value_name = "N/T", value_parser = subset)]
    pub shard: Option<Subset>,
    /// Segments of a day in a sub-account that has no archived day to estimate from
    #[arg(long, value_name = "NUMBER")]
    pub segments_per_day: Option<u64>,
}

impl PlanArgs {
    /// The range, if one is given.
    ///
    /// # Errors
    /// [`Exit::Usage`] for a range that holds no day.
    pub fn days(&self) -> Result<Option<Days>, Failure> {
        self.from
            .zip(self.to)
            .map(|(from, to)| half_open(from, to))
            .transpose()
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Settings, the state folder, the signing key; the store by doing: a name is given once, wrong bytes are refused, locks
hold, nothing can be deleted, listings are complete; the anchor, if one is set, in the same way; RingCX's token,
sub-accounts, discovery and clock; and whether RingCX still has the oldest day that is open.

What it tries the store with lies under doctor/, with a lock of two minutes where object_lock is set; where nothing can
be deleted, as it should be, it stays (a lifecycle rule for doctor/ may remove it). It belongs to no archive day, and verify
passes over it. On RingCX it uses one discovery request for each of the first five sub-accounts.

Exit 0: all is well; 3: there are warnings; otherwise the worst failure's code.

Examples:
  cxvault doctor
  cxvault doctor --store-only
  cxvault doctor --json")]
pub struct DoctorArgs {
    /// Leave RingCX alone
    #[arg(long)]
    pub store_only: bool,
}
