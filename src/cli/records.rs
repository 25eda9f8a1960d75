//! Flags of the commands that append records other than days to a chain, or read them.

use clap::{Args, Subcommand};
use jiff::civil::Date;

use crate::cli::values::{DayRangeArgs, RequiredRangeArgs, WholeRangeArgs, date};
use crate::format::record::notes::words;
use crate::format::record::{LONGEST_NAME, LONGEST_REASON};
use crate::outcome::Failure;

/// What every record contains about its origin, and whether to write it.
#[derive(Debug, Clone, Args)]
pub struct RecordArgs {
    /// Reason, in one line; it is copied into the audit record unchanged
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// Name of the person who decided this [default: only the host is recorded]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub by: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn reason(text: &str) -> Result<String, String> {
    words(text, LONGEST_REASON).map_err(|error| error.to_string())
}

fn name(text: &str) -> Result<String, String> {
    words(text, LONGEST_NAME).map_err(|error| error.to_string())
}

/// Flags of `cxvault acknowledge`.
#[derive(Debug, Args)]
#[command(after_help = "\
Some summaries will never be available. Once their days are acknowledged,
cxvault run and cxvault verify no longer end with code 3 for them, and the
nightly run does not request them again; cxvault run --date and cxvault
backfill still do. The record names the day's revision and its gaps as they are
now: a later revision with other gaps must be acknowledged again.

The record is signed if a key is configured, and cannot be withdrawn. Days
without gaps are skipped; a day that was never archived is refused. If the
archive has several sub-accounts, name them with --sub-account.

Examples:
  cxvault acknowledge --from 2026-11-20 --to 2026-11-21 \\
      --reason 'RingCX answers 500 for three segments, case 0815'
  cxvault acknowledge --from 2026-11-01 --to 2026-12-01 --reason 'outage' \\
      --sub-account 99999999 --by 'A. Auditor' --dry-run")]
pub struct AcknowledgeArgs {
    /// Days to acknowledge.
    #[command(flatten)]
    pub range: RequiredRangeArgs,
    /// Origin of the record.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// Subcommands of `cxvault hold`.
#[derive(Debug, Args)]
#[command(after_help = "\
A hold is first recorded in the chain, with its case, its days and the reason;
the record is signed if a key is configured. Then every object of these days,
data and audit records, gets the legal hold of S3, which the end of a retention
period does not lift. Days of the range that are archived later are held when
they are committed. The hold covers all sub-accounts, or those named with
--sub-account.

Several cases may hold the same day: remove lifts only the holds that no other
open case needs. After an interruption, run the same command again to continue.
Folders and buckets without Object Lock have no legal holds: there, the hold
is only recorded, and the command says so.

Examples:
  cxvault hold add --case 2026-0815 --from 2026-11-01 --to 2026-12-01 \\
      --reason 'Doe v. Example, order of 2 December'
  cxvault hold remove --case 2026-0815 --reason 'settled'
  cxvault hold list")]
pub struct HoldArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: HoldCommand,
}

/// What to do with legal holds.
#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Hold days for a case
    Add(HoldAddArgs),
    /// Release the hold of a case
    Remove(HoldRemoveArgs),
    /// Show the cases, and whether their objects carry the hold
    List(HoldListArgs),
}

/// Flags of `cxvault hold add`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault hold add --case 2026-0815 --from 2026-11-01 --to 2026-12-01 \\
      --reason 'Doe v. Example, order of 2 December'
  cxvault hold add --case audit-7 --from 2024-01-01 --to 2030-01-01 \\
      --reason 'regulator' --sub-account 99999999 --dry-run")]
pub struct HoldAddArgs {
    /// Name of the case; the same name is the same case
    #[arg(long, value_name = "ID", value_parser = name)]
    pub case: String,
    /// Days to hold.
    #[command(flatten)]
    pub range: RequiredRangeArgs,
    /// Origin of the record.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// Flags of `cxvault hold remove`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --from and --to, all days of the case are released.

Examples:
  cxvault hold remove --case 2026-0815 --reason 'settled on 3 March'
  cxvault hold remove --case audit-7 --from 2024-01-01 --to 2025-01-01 \\
      --reason 'narrowed to 2025 and later'
  cxvault hold remove --case 2026-0815 --reason 'settled' --dry-run")]
pub struct HoldRemoveArgs {
    /// Name of the case
    #[arg(long, value_name = "ID", value_parser = name)]
    pub case: String,
    /// Days to release.
    #[command(flatten)]
    pub range: WholeRangeArgs,
    /// Origin of the record.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// Flags of `cxvault hold list`.
#[derive(Debug, Args)]
#[command(after_help = "\
The command needs read access only. It ends with code 4 if an object under an
open hold does not carry it.

Examples:
  cxvault hold list
  cxvault hold list --case 2026-0815 --json")]
pub struct HoldListArgs {
    /// Show only this case
    #[arg(long, value_name = "ID", value_parser = name)]
    pub case: Option<String>,
}

/// Flags and subcommands of `cxvault retention`; without a subcommand it shows the locks.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Shows the lock of each day as the chain records it and as the store reports it.
The command ends with code 4 if the lock of an object is shorter than recorded.

Examples:
  cxvault retention
  cxvault retention show --from 2026-11-01 --to 2026-12-01
  cxvault retention extend --from 2026-11-01 --to 2026-12-01 \\
      --until 2040-12-31 --reason 'tax law'
  cxvault retention dispose --from 2019-11-01 --to 2019-12-01 \\
      --reason 'seven years are over' --dry-run"
)]
pub struct RetentionArgs {
    /// What to do instead of showing the locks.
    #[command(subcommand)]
    pub command: Option<RetentionCommand>,
    /// Days to show.
    #[command(flatten)]
    pub range: DayRangeArgs,
}

/// What to do with the retention of days.
#[derive(Debug, Subcommand)]
pub enum RetentionCommand {
    /// Show how long days are locked
    Show(RetentionShowArgs),
    /// Extend the locks of days; locks are never shortened
    Extend(RetentionExtendArgs),
    /// Record that the data of days may be deleted, after their locks have ended
    Dispose(RetentionDisposeArgs),
}

/// Flags of `cxvault retention show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault retention show
  cxvault retention show --from 2026-11-01 --to 2026-12-01 --json")]
pub struct RetentionShowArgs {
    /// Days to show.
    #[command(flatten)]
    pub range: DayRangeArgs,
}

/// Flags of `cxvault retention extend`.
#[derive(Debug, Args)]
#[command(after_help = "\
The extension is first recorded in the chain; the record is signed if a key is
configured. Then the lock of every object of these days is extended, in the mode
that it has. In COMPLIANCE mode this cannot be undone, not even by the owner of
the account: check the date. Later revisions of these days are locked until the
same date. A date before the end of a day's lock is refused. After an
interruption, run the same command again to continue.

Examples:
  cxvault retention extend --from 2026-11-01 --to 2026-12-01 --until 2040-12-31
  cxvault retention extend --from 2026-11-20 --to 2026-11-21 \\
      --until 2036-11-20 --reason 'tax law' --by 'A. Auditor' --dry-run")]
pub struct RetentionExtendArgs {
    /// Days to lock.
    #[command(flatten)]
    pub range: RequiredRangeArgs,
    /// Last day of the lock, as YYYY-MM-DD; it ends with the day's last second in UTC
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub until: Date,
    /// Reason, in one line; it is copied into the audit record unchanged
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// Name of the person who decided this [default: only the host is recorded]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub by: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl RetentionExtendArgs {
    /// Returns the last second of `--until`, in UTC milliseconds.
    ///
    /// # Errors
    /// `Exit::Usage` for a date that has no UTC timestamp.
    pub fn until_ms(&self) -> Result<i64, Failure> {
        let last = self.until.at(23, 59, 59, 0).in_tz("UTC");
        let last = last.map_err(|error| {
            let message = format!("--until {} is out of range", self.until);
            Failure::usage(message)
                .because(error)
                .remedy("Give an earlier date.")
        })?;
        Ok(last.timestamp().as_millisecond())
    }
}

/// Flags of `cxvault takeover`.
#[derive(Debug, Args)]
#[command(after_help = "\
Commands refuse to write to a copy: otherwise the original and the copy, which
have the same archive id, would diverge. If the original is lost or abandoned,
this command continues the copy in its place, and records that decision in the
roster: the place it came from, its chains as they are here, and the reason. The
record is signed if a key is configured. Every chain is checked first; a chain
that lacks records that the roster lists is refused with code 4. Afterwards,
version ids and locks that were recorded in the old place are not required of
the new place.

A folder that was only moved, or mounted elsewhere, needs no takeover.

Examples:
  cxvault takeover --archive s3://acme-cx-archive-dr/ringcx \\
      --reason 'region lost on 3 March' --dry-run
  cxvault takeover --archive s3://acme-cx-archive-dr/ringcx \\
      --reason 'region lost on 3 March' --by 'A. Operator'")]
pub struct TakeoverArgs {
    /// Origin of the record.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// Flags of `cxvault retention dispose`.
#[derive(Debug, Args)]
#[command(after_help = "\
Records in the chain that the data of these days may be deleted; the record is
signed if a key is configured. From then on cxvault verify accepts that their
files are absent, and commands that read rows skip the days and say so. The
audit records remain. cxvault deletes nothing itself: a lifecycle rule of the
bucket does, before or after the record (infra/README.md contains one).

The following days are refused, with their dates: days whose lock has not been
over for a full day, according to the chain or to the store; days under an open
hold; days with gaps that are not acknowledged; missing days; and days with an
unfinished run on this host. In that case nothing is recorded. A record cannot
be withdrawn: use --dry-run first. If the archive has several sub-accounts,
name them with --sub-account.

Examples:
  cxvault retention dispose --from 2019-11-01 --to 2019-12-01 \\
      --reason 'seven years are over' --dry-run
  cxvault retention dispose --from 2019-11-01 --to 2019-12-01 \\
      --reason 'seven years are over' --by 'A. Auditor'")]
pub struct RetentionDisposeArgs {
    /// Days to dispose of.
    #[command(flatten)]
    pub range: RequiredRangeArgs,
    /// Origin of the record.
    #[command(flatten)]
    pub record: RecordArgs,
}
