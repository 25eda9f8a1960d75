//! The commands that put other records than days into the chain.

use clap::{Args, Subcommand};
use jiff::civil::Date;

use crate::cli::{audit, date};
use crate::format::record::notes::{DateSpan, LONGEST_NAME, LONGEST_REASON, words};
use crate::outcome::{Exit, Failure};

/// A range of archive days, both ends named: what goes into the chain must not depend on what the archive holds today.
#[derive(Debug, Clone, Args)]
pub struct RequiredRangeArgs {
    /// First archive day, as YYYY-MM-DD
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Date,
    /// The day AFTER the last one: --from 2026-11-01 --to 2026-12-01 is November
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Date,
}

impl RequiredRangeArgs {
    /// # Errors
    /// [`Exit::Usage`] for a range that holds no day.
    pub fn span(&self) -> Result<DateSpan, Failure> {
        span(self.from, self.to)
    }
}

/// What every record of an act says, and whether it is to be one.
#[derive(Debug, Clone, Args)]
pub struct RecordArgs {
    /// Why, in one line; it goes into the audit record as it is
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// Who says so [default: only this host is named]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub by: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn span(from: Date, to: Date) -> Result<DateSpan, Failure> {
    DateSpan::new(from, to).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("the range {from}..{to} holds no day")).remedy(
            "--to is the day AFTER the last one: --from 2026-11-01 --to 2026-12-01 is November.",
        )
    })
}

fn reason(text: &str) -> Result<String, String> {
    words(text, LONGEST_REASON).map_err(|error| error.to_string())
}

fn name(text: &str) -> Result<String, String> {
    words(text, LONGEST_NAME).map_err(|error| error.to_string())
}

#[derive(Debug, Args)]
#[command(after_help = "\
Some summaries never come. Acknowledged, their days no longer make `run` and `verify` end with 3, and the nightly run
does not ask for them again; `cxvault run --date` and `cxvault backfill` still do. The note names the day's revision and
its gaps as they are: a later revision that adds others has to be acknowledged anew.

It is signed and cannot be taken back. Days of the range without gaps are left alone; a day that was never archived is
refused. Where the archive has several sub-accounts, name those that are meant with --sub-account.

Examples:
  cxvault acknowledge --from 2026-11-20 --to 2026-11-21 --reason 'RingCX answers 500 for three segments, case 0815'
  cxvault acknowledge --from 2026-11-01 --to 2026-12-01 --sub-account 99999999 --by 'A. Auditor' --reason 'outage'
  cxvault acknowledge --from 2026-11-01 --to 2026-12-01 --reason 'outage' --dry-run")]
pub struct AcknowledgeArgs {
    #[command(flatten)]
    pub range: RequiredRangeArgs,
    #[command(flatten)]
    pub act: RecordArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A hold goes into the chain first, signed, with its case, its days and the reason; then every object of these days (data
and audit records) gets S3's legal hold, which nobody's retention ends. Days of the range that are archived later are
held as they are committed. Of all sub-accounts, or those named with --sub-account.

Several cases may hold one day: `remove` lifts only what no other open case holds. Interrupted, the same command goes on.
A folder, and a bucket without Object Lock, keep no legal holds: then the record is all there is, and it is said.

Examples:
  cxvault hold add --case 2026-0815 --from 2026-11-01 --to 2026-12-01 --reason 'Doe v. Example, order of 2 December'
  cxvault hold remove --case 2026-0815 --reason 'settled'
  cxvault hold list")]
pub struct HoldArgs {
    #[command(subcommand)]
    pub act: HoldCommand,
}

#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Hold days for a case
    Add(HoldAddArgs),
    /// Give up a case's hold
    Remove(HoldRemoveArgs),
    /// Show cases, and whether their objects really carry the hold
    List(HoldListArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault hold add --case 2026-0815 --from 2026-11-01 --to 2026-12-01 --reason 'Doe v. Example, order of 2 December'
  cxvault hold add --case audit-7 --from 2024-01-01 --to 2030-01-01 --reason 'regulator' --sub-account 99999999
  cxvault hold add --case audit-7 --from 2024-01-01 --to 2030-01-01 --reason 'regulator' --dry-run")]
pub struct HoldAddArgs {
    /// The case's name; the same name is the same case
    #[arg(long, value_name = "ID", value_parser = name)]
    pub case: String,
    #[command(flatten)]
    pub range: RequiredRangeArgs,
    #[command(flatten)]
    pub act: RecordArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault hold remove --case 2026-0815 --reason 'settled on 3 March'
  cxvault hold remove --case audit-7 --from 2024-01-01 --to 2025-01-01 --reason 'narrowed to 2025 and later'
  cxvault hold remove --case 2026-0815 --reason 'settled on 3 March' --dry-run")]
pub struct HoldRemoveArgs {
    /// The case's name
    #[arg(long, value_name = "ID", value_parser = name)]
    pub case: String,
    /// First archive day to give up, as YYYY-MM-DD [default: all that the case holds]
    #[arg(long, value_name = "DATE", value_parser = date, requires = "to")]
    pub from: Option<Date>,
    /// The day AFTER the last one
    #[arg(long, value_name = "DATE", value_parser = date, requires = "from")]
    pub to: Option<Date>,
    #[command(flatten)]
    pub act: RecordArgs,
}

impl HoldRemoveArgs {
    /// # Errors
    /// As [`RequiredRangeArgs::span`].
    pub fn span(&self) -> Result<Option<DateSpan>, Failure> {
        self.from
            .zip(self.to)
            .map(|(from, to)| span(from, to))
            .transpose()
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Needs read access only. Ends with 4 where an object under an open hold does not carry it.

Examples:
  cxvault hold list
  cxvault hold list --case 2026-0815 --json")]
pub struct HoldListArgs {
    /// Only this case
    #[arg(long, value_name = "ID", value_parser = name)]
    pub case: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Shows each day's lock as the chain records it and as the store has it; ends with 4 where an object's lock is shorter.

Examples:
  cxvault retention
  cxvault retention show --from 2026-11-01 --to 2026-12-01
  cxvault retention extend --from 2026-11-01 --to 2026-12-01 --until 2040-12-31 --reason 'tax law'
  cxvault retention dispose --from 2019-11-01 --to 2019-12-01 --reason 'seven years are over' --dry-run"
)]
pub struct RetentionArgs {
    #[command(subcommand)]
    pub act: Option<RetentionCommand>,
    #[command(flatten)]
    pub range: audit::DayRangeArgs,
}

#[derive(Debug, Subcommand)]
pub enum RetentionCommand {
    /// Show how long days are locked
    Show(RetentionShowArgs),
    /// Lock days for longer; never for shorter
    Extend(RetentionExtendArgs),
    /// Record that days' data may go, after their locks have run out
    Dispose(RetentionDisposeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault retention show
  cxvault retention show --from 2026-11-01 --to 2026-12-01 --json")]
pub struct RetentionShowArgs {
    #[command(flatten)]
    pub range: audit::DayRangeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The record goes into the chain first, signed; then the lock of every object of these days is raised, in the mode that it
has. Under COMPLIANCE nobody can take that back, not even the account's owner: check the date. Later revisions of these
days are locked as long. A date earlier than a day's lock is refused. Interrupted, the same command goes on.

Examples:
  cxvault retention extend --from 2026-11-01 --to 2026-12-01 --until 2040-12-31
  cxvault retention extend --from 2026-11-20 --to 2026-11-21 --until 2036-11-20 --reason 'tax law' --by 'A. Auditor'
  cxvault retention extend --from 2026-11-01 --to 2026-12-01 --until 2040-12-31 --dry-run")]
pub struct RetentionExtendArgs {
    #[command(flatten)]
    pub range: RequiredRangeArgs,
    /// Keep them through this date, to its last second in UTC
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub until: Date,
    /// Why, in one line; it goes into the audit record as it is
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// Who says so [default: only this host is named]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub by: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl RetentionExtendArgs {
    /// The last second of the date, in UTC milliseconds.
    ///
    /// # Errors
    /// [`Exit::Usage`] beyond the calendar.
    pub fn until_ms(&self) -> Result<i64, Failure> {
        let last = self.until.at(23, 59, 59, 0).in_tz("UTC");
        let last = last.map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("{} is beyond the calendar", self.until),
            )
            .because(error)
        })?;
        Ok(last.timestamp().as_millisecond())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
A copy is not written to: two archives of one name would go on differently. Where the original is lost or given up, this
makes the copy the one that goes on, and puts that decision into its roster, signed: from where, with which chains as they
are here, and why. Every chain is checked first; one that lacks what the roster has seen is refused with 4. Afterwards
version ids and locks that were recorded at the old place are not held against this one.

A folder that was only moved, or mounted elsewhere, needs no takeover.

Examples:
  cxvault takeover --archive s3://acme-cx-archive-dr/ringcx --reason 'region lost on 3 March' --dry-run
  cxvault takeover --archive s3://acme-cx-archive-dr/ringcx --reason 'region lost on 3 March' --by 'A. Operator'")]
pub struct TakeoverArgs {
    #[command(flatten)]
    pub act: RecordArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Records in the chain, signed, that the data of these days may be gone from now on: `verify` then takes absent files for
what they are, and readers leave the days out and say so. Their audit records stay. This program deletes nothing: the
bucket's lifecycle rule does, before or after the record (infra/README.md has one).

Refused, by date, are days whose lock has not run out a day ago, by the chain or by the store; days under an open hold;
days with gaps that nobody has acknowledged; days that are missing; and days of which this host has an unfinished run.
Then nothing is recorded. It cannot be taken back: look with --dry-run first. Where the archive has several sub-accounts,
name those that are meant with --sub-account.

Examples:
  cxvault retention dispose --from 2019-11-01 --to 2019-12-01 --reason 'seven years are over' --dry-run
  cxvault retention dispose --from 2019-11-01 --to 2019-12-01 --reason 'seven years are over' --by 'A. Auditor'")]
pub struct RetentionDisposeArgs {
    #[command(flatten)]
    pub range: RequiredRangeArgs,
    #[command(flatten)]
    pub act: RecordArgs,
}
