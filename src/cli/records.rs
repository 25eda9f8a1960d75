//! The commands that put other records than days into the chain.

use clap::Args;
use jiff::civil::Date;

use super::date;
use crate::archive::act::{LONGEST_NAME, LONGEST_REASON, Span, words};
use crate::outcome::{Exit, Failure};

/// A range of archive days, both ends named: what goes into the chain must not depend on what the archive holds today.
#[derive(Debug, Clone, Args)]
pub struct Range {
    /// First archive day, as YYYY-MM-DD
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Date,
    /// The day AFTER the last one: --from 2026-11-01 --to 2026-12-01 is November
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Date,
}

impl Range {
    /// # Errors
    /// [`Exit::Usage`] for a range that holds no day.
    pub fn span(&self) -> Result<Span, Failure> {
        span(self.from, self.to)
    }
}

fn span(from: Date, to: Date) -> Result<Span, Failure> {
    Span::new(from, to).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("the range {from}..{to} holds no day"))
            .remedy("--to is the day AFTER the last one: --from 2026-11-01 --to 2026-12-01 is November.")
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
its gaps as they are: a later revision that still has gaps has to be acknowledged anew, one without needs nothing.

It is signed and cannot be taken back. Days of the range without gaps are left alone; a day that was never archived is
refused. Where the archive has several sub-accounts, name those that are meant with --sub-account.

Examples:
  cxvault acknowledge --from 2026-11-20 --to 2026-11-21 --reason 'RingCX answers 500 for three segments, case 0815'
  cxvault acknowledge --from 2026-11-01 --to 2026-12-01 --sub-account 99999999 --by 'A. Auditor' --reason 'outage'")]
pub struct AcknowledgeArgs {
    #[command(flatten)]
    pub range: Range,
    /// Why the gaps will stay, in one line; it goes into the audit record as it is
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// Who says so [default: only this host is named]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub by: Option<String>,
}
