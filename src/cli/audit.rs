//! The auditor's commands: they read, and need read access only.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::civil::Date;

use crate::cli::date;
use crate::format::place::location::Location;
use crate::format::record::head::HeadRef;
use crate::format::time::range::Days;
use crate::outcome::{Exit, Failure};

/// A range of archive days.
#[derive(Debug, Clone, Args)]
pub struct DayRangeArgs {
    /// First archive day, as YYYY-MM-DD [default: the archive's first]
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Option<Date>,
    /// The day AFTER the last one: --from 2026-11-01 --to 2026-12-01 is November [default: all there are]
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Option<Date>,
}

impl DayRangeArgs {
    /// # Errors
    /// [`Exit::Usage`] for a range that holds no day: a slip of the hand must not read as "nothing found".
    pub fn days(&self) -> Result<Days, Failure> {
        let days = Days {
            from: self.from,
            to: self.to,
        };
        if !days.is_empty() {
            return Ok(days);
        }
        Err(Failure::new(Exit::Usage, format!("the range {days} holds no day"))
            .remedy("--to is the day AFTER the last one: --from 2026-11-01 --to 2026-12-01 is November."))
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Levels:
  quick  chain, signatures, counts, windows, and what the store says of each object (sizes, checksums, locks)
  full   also the SHA-256 of every file, read and hashed here
  deep   also every row: summary hashes, counts, order, uniqueness, Merkle roots, times

A chain's end can be cut off unseen from inside: what the archive's roster has seen of it is found missing, but not the
roster's own end. Give the head of the roster that a run has printed with --expect-head, or the place where runs have
anchored all heads (the setting anchor, unless --no-anchor; its credentials are the settings'). Without --allowed-signers
(or the setting) signatures are checked, but not whose they are.

Exit codes: 0 verified and all held; 3 only gaps (days missing or incomplete); 4 violated; 2 nothing was found to
verify; 5 the store could not be read.

Examples:
  cxvault verify --archive ./cxvault-demo
  cxvault verify --level deep --from 2026-11-01 --to 2026-12-01
  cxvault verify --allowed-signers allowed_signers --expect-head roster:42:9f86d0...
  cxvault verify --anchor s3://anchor-bucket/cxvault
  cxvault verify --level full --subset 3/30      the third of thirty nights that cover everything together")]
pub struct VerifyArgs {
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// How much is read
    #[arg(long, value_enum, default_value_t = Level::Full)]
    pub level: Level,
    /// Only the n-th of t shares of the objects, as n/t; chains are always checked whole
    #[arg(long, value_name = "N/T", value_parser = subset)]
    pub subset: Option<Subset>,
    /// A head that a chain must hold, as SUB_ACCOUNT:SEQUENCE:SHA256, or roster:SEQUENCE:SHA256 for all of them; may be
    /// repeated
    #[arg(long, value_name = "HEAD")]
    pub expect_head: Vec<HeadRef>,
    /// Where heads were anchored: s3://bucket/prefix, or a folder [env: CXVAULT_ANCHOR]
    #[arg(long, value_name = "LOCATION", conflicts_with = "no_anchor")]
    pub anchor: Option<Location>,
    /// Leave the anchor of the settings alone
    #[arg(long)]
    pub no_anchor: bool,
    /// OpenSSH allowed_signers file: whose signatures count [env: CXVAULT_ALLOWED_SIGNERS_FILE]
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
}

/// How much `verify` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    Quick,
    Full,
    Deep,
}

/// The n-th of t shares; n runs from 1 to t.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    pub n: u32,
    pub of: u32,
}

pub(super) fn subset(text: &str) -> Result<Subset, String> {
    let numbers = text
        .split_once('/')
        .and_then(|(n, of)| Some((n.parse().ok()?, of.parse().ok()?)));
    match numbers {
        Some((n, of)) if (1..=of).contains(&n) => Ok(Subset { n, of }),
        _ => Err("write it as n/t with n from 1 to t, such as 3/30".into()),
    }
}

/// `SUB_ACCOUNT=SEQUENCE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    pub sub_account: String,
    pub sequence: u64,
}

fn after(text: &str) -> Result<After, String> {
    let parsed = text.split_once('=').and_then(|(sub_account, sequence)| {
        Some(After {
            sub_account: sub_account.to_owned(),
            sequence: sequence.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| "write it as SUB_ACCOUNT=SEQUENCE, such as 99999999=42".into())
}

#[derive(Debug, Args)]
#[command(after_help = "\
The receipt proves one segment's row to somebody who has nothing else: the row, its path in the file's Merkle tree,
the manifest with its signature, and the chain's links up to the head. It discloses no other segment.

Examples:
  cxvault prove p-v-1721647470000-1-1 --out receipt.json
  cxvault check-receipt receipt.json --allowed-signers allowed_signers")]
pub struct ProveArgs {
    /// The segment's id
    pub segment_id: String,
    /// The file to write; an existing one is never overwritten
    #[arg(long, value_name = "FILE", default_value = "receipt.json")]
    pub out: PathBuf,
    /// Prove this revision of the segment's row [default: the latest that has it]
    #[arg(long, value_name = "NUMBER")]
    pub revision: Option<u32>,
    #[command(flatten)]
    pub range: DayRangeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
It needs nothing but the receipt: no archive, no network, no settings. Without --allowed-signers it says who signed,
and it is up to you to know them.

Exit codes: 0 the receipt holds; 4 it does not; 2 it is no receipt.

Examples:
  cxvault check-receipt receipt.json
  cxvault check-receipt receipt.json --allowed-signers allowed_signers --expect-head 99999999:42:9f86d0...")]
pub struct CheckReceiptArgs {
    /// The receipt
    pub file: PathBuf,
    /// OpenSSH allowed_signers file: whose signatures count
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
    /// A head that the receipt's chain must hold, as SUB_ACCOUNT:SEQUENCE:SHA256; may be repeated
    #[arg(long, value_name = "HEAD")]
    pub expect_head: Vec<HeadRef>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault status
  cxvault status --from 2026-11-01 --to 2026-12-01 --by queue
  cxvault status --json | jq 'select(.state == \"gaps\")'")]
pub struct StatusArgs {
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// Also show the shares of present, empty and not found summaries by this
    #[arg(long, value_enum, value_name = "WHAT")]
    pub by: Option<GroupingArg>,
}

/// What shares are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GroupingArg {
    /// The agent group (queue) of the segment
    Queue,
    /// The participant: an agent's id
    Agent,
    /// The channel: class and type
    Channel,
    /// The segment's type
    Type,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --date it lists the archived days and their files; with it, the segments of that day.

Examples:
  cxvault ls
  cxvault ls --date 2026-11-20 --sub-account 99999999
  cxvault ls --date 2026-11-20 --json | jq -r .segment_id")]
pub struct LsArgs {
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// List the segments of this archive day
    #[arg(long, value_name = "DATE", value_parser = date, conflicts_with_all = ["from", "to"])]
    pub date: Option<Date>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
It finds a segment in years of days without reading them all: by Bloom filters and statistics of the files.

Examples:
  cxvault show p-v-1721647470000-1-1
  cxvault show 5f3c1d2e-dialog --json
  cxvault show p-v-1721647470000-1-1 --from 2024-07-01 --to 2024-08-01      faster: only these days")]
pub struct ShowArgs {
    /// A segment's, dialog's or interaction's id
    pub id: String,
    #[command(flatten)]
    pub range: DayRangeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Current summaries are searched, without regard to case. Every file of the range is read: give a range.

Examples:
  cxvault search refund --from 2026-11-01 --to 2026-12-01
  cxvault search 'follow-up call' --kind agent --json | jq -r .segment_id")]
pub struct SearchArgs {
    /// The text to look for
    pub text: String,
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// Only in this kind of summary
    #[arg(long, value_enum)]
    pub kind: Option<SummaryChoice>,
    /// Stop after this many
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub limit: u64,
}

/// A kind of summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SummaryChoice {
    /// What the agent wrote
    Agent,
    /// What the AI wrote
    Auto,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The folder gets the data, the manifests of the range as the audit trail, and SHA256SUMS over all of it. CSV cells that
a spreadsheet would take for a formula get a leading apostrophe; the column <kind>_sha256 is that of the original.

Examples:
  cxvault export --from 2026-11-01 --to 2026-12-01 --format csv --out november
  cxvault export --format jsonl --revisions all --out everything
  cxvault export --format jsonl --after 99999999=41 --out feed-42      what is new since manifest 41")]
pub struct ExportArgs {
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// The data's form
    #[arg(long, value_enum)]
    pub format: Format,
    /// The folder to make; it must not exist yet, or be empty
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// The current row of each segment, or every committed row
    #[arg(long, value_enum, default_value_t = Revisions::Current)]
    pub revisions: Revisions,
    /// Only rows committed after this manifest, as SUB_ACCOUNT=SEQUENCE; may be repeated
    #[arg(long, value_name = "SUB=SEQUENCE", value_parser = after, conflicts_with_all = ["from", "to"])]
    pub after: Vec<After>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Csv,
    Jsonl,
    Html,
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Revisions {
    Current,
    All,
}

#[derive(Debug, Args)]
#[command(after_help = "\
One HTML file that needs nothing else: open it in a browser, print it, mail it. It holds no summary, no name and no
phone number.

The page shows what a verification has found. `report` makes one itself, at --level (quick: no file is read, which for
years of days in a bucket still asks the store about each object; none: the records' own signatures and chain only).
For a thorough one, or one that others made, let `cxvault verify --json` write its findings into a file, and name that
with --verification: its heads must be in this archive's chains.

Exit codes: 0 the page is written; 4 it is written, and says that the archive was violated; 2 nothing is written.

Examples:
  cxvault report --from 2026-01-01 --to 2027-01-01 --out 2026.html
  cxvault report --sub-account 99999999 --level deep --out 99999999.html
  cxvault verify --level full --json > found.jsonl; cxvault report --verification found.jsonl --out report.html")]
pub struct ReportArgs {
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// The file to write; an existing one is never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How much is verified before, as for `verify`
    #[arg(long, value_enum, default_value_t = ReportLevel::Quick)]
    pub level: ReportLevel,
    /// Show the findings of this file instead, which `cxvault verify --json` has written
    #[arg(long, value_name = "FILE", conflicts_with_all = ["level", "expect_head"])]
    pub verification: Option<PathBuf>,
    /// A head that a chain must hold, as SUB_ACCOUNT:SEQUENCE:SHA256, or roster:SEQUENCE:SHA256 for all of them; may be
    /// repeated
    #[arg(long, value_name = "HEAD")]
    pub expect_head: Vec<HeadRef>,
    /// OpenSSH allowed_signers file: whose signatures count [env: CXVAULT_ALLOWED_SIGNERS_FILE]
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
}

/// How much `report` verifies by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportLevel {
    None,
    Quick,
    Full,
    Deep,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The folder holds all that an auditor needs for the period: Parquet, manifests, public keys, SHA256SUMS, a README.txt
that says how to check it by hand, and check.sh, which does so with jq, sha256sum, ssh-keygen and DuckDB.

Examples:
  cxvault evidence --from 2026-10-01 --to 2027-01-01 --out evidence-2026-q4
  sh evidence-2026-q4/check.sh")]
pub struct EvidenceArgs {
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// The folder to make; it must not exist yet, or be empty
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// OpenSSH allowed_signers file to put in [env: CXVAULT_ALLOWED_SIGNERS_FILE]
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_sequences_are_read_strictly() {
        assert_eq!(subset("3/30"), Ok(Subset { n: 3, of: 30 }));
        for text in ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/4"] {
            assert!(subset(text).is_err(), "{text}");
        }
        assert_eq!(
            after("1=0").unwrap(),
            After {
                sub_account: "1".into(),
                sequence: 0
            }
        );
        assert!(after("1=x").is_err() && after("1").is_err());
    }
}
