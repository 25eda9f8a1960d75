//! Flags of the commands that archive days, and of those that plan and check the work.

use clap::{Args, ValueEnum};
use jiff::civil::Date;

use crate::cli::values::{RequiredRangeArgs, Subset, WholeRangeArgs, date, subset};
use crate::format::row::RecheckScope;

/// Flags of `cxvault run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --date, cxvault run archives yesterday in each sub-account's time zone,
then visits earlier days that are missing, have gaps, or were left unfinished by
an interrupted run, as far back as the setting catch_up says. Running it again
is safe: a complete day is confirmed without a request.

Examples:
  cxvault run
  cxvault run --date 2026-11-20 --sub-account 99999999
  cxvault run --archive s3://my-bucket/ringcx --json
  17 4 * * * cxvault run --quiet          as a line of a crontab")]
pub struct RunArgs {
    /// Archive day, as YYYY-MM-DD, in each sub-account's time zone
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub date: Option<Date>,
    /// Show what would be done, as cxvault plan does, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Order in which a range of days is visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// From the last day of the range to the first
    Newest,
    /// From the first day of the range to the last
    Oldest,
}

/// Flags of `cxvault backfill`.
#[derive(Debug, Args)]
#[command(after_help = "\
The range excludes its end: --from 2026-11-01 --to 2026-12-01 is the 30 days of
November.

Each day is committed on its own, and days that are complete cost no request:
stop the command at any time, and run it again to continue. While the summaries
of one day are fetched, the next days are discovered. A day that fails does not
stop the others.

Several processes can divide the work, on one machine or on several. Each
archives its share of the sub-accounts, or of their days. Without --shard, the
share is taken from JOB_COMPLETION_INDEX (Kubernetes Indexed Job; set
CXVAULT_SHARDS to the number of completions) or AWS_BATCH_JOB_ARRAY_INDEX.
Processes on one machine share RingCX's rate limits by themselves. Where several
machines use the same credentials, set quota_share on each of them, such as
CXVAULT_QUOTA_SHARE=1/3 on three machines.

Examples:
  cxvault backfill --from 2026-11-01 --to 2026-12-01
  cxvault backfill --from 2024-01-01 --to 2026-11-24 --sub-account 99999999
  cxvault backfill --from 2026-01-01 --to 2026-07-01 --shard 2/4")]
pub struct BackfillArgs {
    /// Days to archive.
    #[command(flatten)]
    pub range: RequiredRangeArgs,
    /// Days to archive first; `oldest` saves the days that RingCX will delete
    /// soonest
    #[arg(long, value_enum, default_value_t = Order::Oldest)]
    pub order: Order,
    /// Archive only the n-th of t shares of the work, given as n/t
    #[arg(long, value_name = "N/T", value_parser = subset)]
    pub shard: Option<Subset>,
    /// Show what would be done, as cxvault plan does, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Flags of `cxvault recheck`.
#[derive(Debug, Args)]
#[command(after_help = "\
The range excludes its end: --from 2026-11-01 --to 2026-12-01 is the 30 days of
November.

For each archived day of the range, discovery is repeated, and the summaries
that --only selects are requested again: agents finish their notes late, AI
summaries appear hours after the call, and both can be edited. Changes are
committed as a new revision of the day; nothing that was archived before is
replaced. A recheck that finds no change is recorded as well. Segments that
RingCX no longer lists are marked as vanished and stay in the archive. With the
setting recheck_after, the nightly run rechecks days by itself.

Examples:
  cxvault recheck --from 2026-11-01 --to 2026-12-01
  cxvault recheck --from 2026-11-20 --to 2026-11-21 --only all
  cxvault recheck --from 2026-11-01 --to 2026-12-01 --only not-found,failed")]
pub struct RecheckArgs {
    /// Days to recheck.
    #[command(flatten)]
    pub range: RequiredRangeArgs,
    /// Summaries to request again, by their archived status: all, or a list of
    /// present, empty, not-found, binary, failed, skipped
    #[arg(long, value_name = "STATUSES", default_value_t = RecheckScope::default())]
    pub only: RecheckScope,
    /// Days to recheck first
    #[arg(long, value_enum, default_value_t = Order::Newest)]
    pub order: Order,
    /// Record that most of a day's segments have vanished; without this flag,
    /// such a day fails, because a lost permission is the likelier cause
    #[arg(long)]
    pub accept_vanished: bool,
    /// Show what would be done, as cxvault plan does, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Flags of `cxvault plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without a range, cxvault plan shows what cxvault run would do now: archive
yesterday, visit earlier open days, and recheck the days that the setting
recheck_after selects. With a range, it shows what cxvault backfill would do;
the range excludes its end.

The estimate includes both of RingCX's rate limits. Discovery and summaries run
side by side, so the slower of the two determines the time. The number of
segments of a day is estimated from archived days of the same sub-account and
weekday. With the setting source_retention, the plan names the days that RingCX
will delete before they are archived.

Examples:
  cxvault plan
  cxvault plan --from 2025-11-01 --to 2026-11-01
  cxvault plan --from 2026-01-01 --to 2026-11-01 --segments-per-day 5000")]
pub struct PlanArgs {
    /// Days of a planned backfill.
    #[command(flatten)]
    pub range: WholeRangeArgs,
    /// Days to archive first
    #[arg(long, value_enum, default_value_t = Order::Oldest)]
    pub order: Order,
    /// Plan only the n-th of t shares of the work, given as n/t
    #[arg(long, value_name = "N/T", value_parser = subset)]
    pub shard: Option<Subset>,
    /// Number of segments of a day, for sub-accounts without an archived day to
    /// estimate from
    #[arg(long, value_name = "NUMBER")]
    pub segments_per_day: Option<u64>,
}

/// Flags of `cxvault doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
The command checks
  - the settings, who else can read secrets, the state folder, the signing key;
  - the store, by trying it: an object is created only once, damaged uploads are
    refused, locks hold, nothing can be deleted, listings are complete;
  - the anchor, if one is set, in the same way;
  - RingCX: the token, the sub-accounts, discovery and the clock, and whether
    RingCX still has the oldest open day.

The objects that test the store are below doctor/, locked for two minutes where
object_lock is set. If nothing can be deleted, as it should be, they stay
there; a lifecycle rule for doctor/ may delete them. They belong to no archive
day, and cxvault verify ignores them. RingCX receives one discovery request for
each of the first five sub-accounts.

Exit codes: 0 every check passed; 3 there are warnings; otherwise the code of
the most severe failure.

Examples:
  cxvault doctor
  cxvault doctor --store-only
  cxvault doctor --json")]
pub struct DoctorArgs {
    /// Send no request to RingCX
    #[arg(long)]
    pub store_only: bool,
}
