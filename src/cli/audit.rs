//! Flags of the auditor's commands. They read the archive, and need read access only.

use std::path::PathBuf;

use clap::Args;
use jiff::civil::Date;

use crate::audit::current::RowSelection;
use crate::audit::export::Format;
use crate::audit::shares::Grouping;
use crate::audit::verify::Level;
use crate::cli::values::{After, DayRangeArgs, Subset, after, choice, date, subset};
use crate::format::place::location::Location;
use crate::format::record::HeadRef;
use crate::format::row::SummaryKind;
use crate::format::signature::IDENTITY;

/// Flags of `cxvault verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Levels:
  quick  chains, signatures, counts, windows, and what the store reports about
         each object (length, checksum, lock)
  full   also the SHA-256 of every file, which is read and hashed
  deep   also every row: hashes of summaries, counts, order, uniqueness, Merkle
         roots, times

From inside the archive, a chain whose newest records were deleted looks
complete. The roster reveals this for the chains of the sub-accounts, but not
for its own end. To detect that, give the head of the roster that a run has
printed with --expect-head, or the place where runs anchor all heads with
--anchor (or the setting anchor, whose credentials are used; --no-anchor
ignores it). Without --allowed-signers or the setting, signatures are checked,
but not whether the keys are trusted.

Exit codes: 0 everything was verified; 3 only gaps were found (days missing or
incomplete); 4 the archive's integrity is violated; 2 there is nothing to
verify; 5 the store could not be read.

Examples:
  cxvault verify --archive ./cxvault-demo
  cxvault verify --level deep --from 2026-11-01 --to 2026-12-01
  cxvault verify --allowed-signers signers --expect-head roster:42:9f86d0...
  cxvault verify --anchor s3://anchor-bucket/cxvault
  cxvault verify --subset 3/30      share 3 of 30: 30 nights read every file")]
pub struct VerifyArgs {
    /// Days to verify.
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// How much to read
    #[arg(
        long,
        value_name = "LEVEL",
        value_parser = choice(&Level::ALL, Level::name, no_help),
        default_value = Level::Full.name(),
    )]
    pub level: Level,
    /// Verify only the n-th of t shares of the objects, given as n/t; every chain is
    /// read completely
    #[arg(long, value_name = "N/T", value_parser = subset)]
    pub subset: Option<Subset>,
    /// Head that a chain must contain, as SUB_ACCOUNT:SEQUENCE:SHA256, or
    /// roster:SEQUENCE:SHA256 for all chains; may be repeated
    #[arg(long, value_name = "HEAD")]
    pub expect_head: Vec<HeadRef>,
    /// Place of the anchored heads: s3://bucket/prefix, or a folder
    /// [env: CXVAULT_ANCHOR]
    #[arg(long, value_name = "LOCATION", conflicts_with = "no_anchor")]
    pub anchor: Option<Location>,
    /// Ignore the anchor of the settings
    #[arg(long)]
    pub no_anchor: bool,
    /// OpenSSH allowed_signers file with the keys to accept
    /// [env: CXVAULT_ALLOWED_SIGNERS_FILE]
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
}

/// For choices that the command's own help explains.
fn no_help<T>(_: T) -> &'static str {
    ""
}

/// Flags of `cxvault prove`.
#[derive(Debug, Args)]
#[command(after_help = "\
A receipt proves the row of one segment to a reader without access to the
archive. It contains the row, its path in the file's Merkle tree, the manifest,
and the chain's links up to the head. It discloses no other segment.

Examples:
  cxvault prove p-v-1721647470000-1-1 --out receipt.json
  cxvault check-receipt receipt.json --allowed-signers allowed_signers")]
pub struct ProveArgs {
    /// Id of the segment
    pub segment_id: String,
    /// File to write; an existing file is never overwritten
    #[arg(long, value_name = "FILE", default_value = "receipt.json")]
    pub out: PathBuf,
    /// Revision whose row to prove [default: the latest that has a row of the
    /// segment]
    #[arg(long, value_name = "NUMBER")]
    pub revision: Option<u32>,
    /// Days to search.
    #[command(flatten)]
    pub range: DayRangeArgs,
}

/// Flags of `cxvault check-receipt`.
#[derive(Debug, Args)]
#[command(after_help = "\
The check needs only the receipt: no archive, no network, no settings. Without
--allowed-signers it prints the signing keys, and you decide whether to trust
them.

Exit codes: 0 the receipt is valid; 4 it is not valid; 2 the file is not a
receipt.

Examples:
  cxvault check-receipt receipt.json
  cxvault check-receipt receipt.json --allowed-signers allowed_signers
  cxvault check-receipt receipt.json --expect-head 99999999:42:9f86d0...")]
pub struct CheckReceiptArgs {
    /// File with the receipt
    pub file: PathBuf,
    /// OpenSSH allowed_signers file with the keys to accept
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
    /// Principal of the lines in that file that count
    #[arg(long, value_name = "NAME", default_value = IDENTITY)]
    pub signer_identity: String,
    /// Head that the receipt's chain must contain, as
    /// SUB_ACCOUNT:SEQUENCE:SHA256; may be repeated
    #[arg(long, value_name = "HEAD")]
    pub expect_head: Vec<HeadRef>,
}

/// Flags of `cxvault status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault status
  cxvault status --from 2026-11-01 --to 2026-12-01 --by queue
  cxvault status --json | jq 'select(.state == \"gaps\")'")]
pub struct StatusArgs {
    /// Days to show.
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// Also show the shares of present, empty and not found summaries, grouped
    #[arg(
        long,
        value_name = "GROUPING",
        value_parser = choice(&Grouping::ALL, Grouping::name, grouping_help),
    )]
    pub by: Option<Grouping>,
}

fn grouping_help(grouping: Grouping) -> &'static str {
    match grouping {
        Grouping::AgentGroup => "The segment's agent group (queue)",
        Grouping::Agent => "The segment's participant: an agent's id",
        Grouping::Channel => "The channel's class and type",
        Grouping::SegmentType => "The segment's type",
    }
}

/// Flags of `cxvault ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --date, the command lists the archived days and their files; with it,
the segments of that day.

Examples:
  cxvault ls
  cxvault ls --date 2026-11-20 --sub-account 99999999
  cxvault ls --date 2026-11-20 --json | jq -r .segment_id")]
pub struct LsArgs {
    /// Days to list.
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// List the segments of this archive day
    #[arg(long, value_name = "DATE", value_parser = date, conflicts_with_all = ["from", "to"])]
    pub date: Option<Date>,
}

/// Flags of `cxvault show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Bloom filters and statistics in the files make it possible to find a segment
without reading every file of the range.

Examples:
  cxvault show p-v-1721647470000-1-1
  cxvault show 5f3c1d2e-dialog --json
  cxvault show p-v-1721647470000-1-1 --from 2024-07-01 --to 2024-08-01")]
pub struct ShowArgs {
    /// Id of a segment, a dialog or an interaction
    pub id: String,
    /// Days to search.
    #[command(flatten)]
    pub range: DayRangeArgs,
}

/// Flags of `cxvault search`.
#[derive(Debug, Args)]
#[command(after_help = "\
The search covers current summaries and ignores case. It reads every file of the
range, so give a range.

Examples:
  cxvault search refund --from 2026-11-01 --to 2026-12-01
  cxvault search 'follow-up call' --kind agent --json | jq -r .segment_id")]
pub struct SearchArgs {
    /// Text to search for
    pub text: String,
    /// Days to search.
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// Search only summaries of this kind
    #[arg(
        long,
        value_name = "KIND",
        value_parser = choice(&SummaryKind::BOTH, SummaryKind::name, kind_help),
    )]
    pub kind: Option<SummaryKind>,
    /// Stop after this number of matches
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub limit: u64,
}

fn kind_help(kind: SummaryKind) -> &'static str {
    match kind {
        SummaryKind::Agent => "Summaries that agents wrote",
        SummaryKind::Auto => "Summaries that the AI wrote",
    }
}

/// Flags of `cxvault export`.
#[derive(Debug, Args)]
#[command(after_help = "\
The folder receives the data, the manifests of the range as the audit trail, and
SHA256SUMS for all files. CSV cells that a spreadsheet would take for a formula
are preceded by an apostrophe; the column <kind>_sha256 is the hash of the
original text.

Examples:
  cxvault export --from 2026-11-01 --to 2026-12-01 --format csv --out november
  cxvault export --format jsonl --revisions all --out everything
  cxvault export --format jsonl --after 99999999=41 --out new-after-41")]
pub struct ExportArgs {
    /// Days to export.
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// Format of the data
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = choice(&Format::ALL, Format::name, no_help),
    )]
    pub format: Format,
    /// Folder to create; it must not exist yet, or be empty
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Rows to export: the current row of each segment, or every committed row
    #[arg(
        long,
        value_name = "REVISIONS",
        value_parser = choice(&RowSelection::ALL, RowSelection::name, no_help),
        default_value = RowSelection::Current.name(),
    )]
    pub revisions: RowSelection,
    /// Export only rows that were committed after this manifest, as
    /// SUB_ACCOUNT=SEQUENCE; may be repeated
    #[arg(long, value_name = "SUB=SEQUENCE", value_parser = after, conflicts_with_all = ["from", "to"])]
    pub after: Vec<After>,
}

/// Level of the verification that `cxvault report` does itself, or none.
///
/// An alias, because clap takes a field of the type `Option<Level>` for an optional flag.
pub type ReportLevel = Option<Level>;

const REPORT_LEVELS: [ReportLevel; 4] = [
    None,
    Some(Level::Quick),
    Some(Level::Full),
    Some(Level::Deep),
];

fn report_level_name(level: ReportLevel) -> &'static str {
    level.map_or("none", Level::name)
}

/// Flags of `cxvault report`.
#[derive(Debug, Args)]
#[command(after_help = "\
The report is one self-contained HTML file: open it in a browser, print it, send
it by mail. It contains no summary, no name and no phone number.

The page shows the findings of a verification. By default cxvault report
verifies the archive itself, at --level: quick reads no file, but queries the
store for each object, which takes some time for a large archive; none only
checks signatures and chains. For a more thorough verification, or for a
verification by another person, write the findings into a file with cxvault
verify --json, and name it with --verification. Its heads must be in this
archive's chains.

Exit codes: 0 the page is written; 4 the page is written, and says that the
archive's integrity is violated; 2 nothing is written.

Examples:
  cxvault report --from 2026-01-01 --to 2027-01-01 --out 2026.html
  cxvault report --sub-account 99999999 --level deep --out 99999999.html
  cxvault verify --json > found.jsonl
  cxvault report --verification found.jsonl --out report.html")]
pub struct ReportArgs {
    /// Days to report.
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// File to write; an existing file is never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How much to verify first: none, or a level of cxvault verify
    #[arg(
        long,
        value_name = "LEVEL",
        value_parser = choice(&REPORT_LEVELS, report_level_name, no_help),
        default_value = Level::Quick.name(),
    )]
    pub level: ReportLevel,
    /// Show the findings in this file, which cxvault verify --json has written,
    /// instead of verifying
    #[arg(long, value_name = "FILE", conflicts_with_all = ["level", "expect_head"])]
    pub verification: Option<PathBuf>,
    /// Head that a chain must contain, as SUB_ACCOUNT:SEQUENCE:SHA256, or
    /// roster:SEQUENCE:SHA256 for all chains; may be repeated
    #[arg(long, value_name = "HEAD")]
    pub expect_head: Vec<HeadRef>,
    /// OpenSSH allowed_signers file with the keys to accept
    /// [env: CXVAULT_ALLOWED_SIGNERS_FILE]
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
}

/// Flags of `cxvault evidence`.
#[derive(Debug, Args)]
#[command(after_help = "\
The folder receives everything that an auditor needs for the period: Parquet
files, manifests, public keys, SHA256SUMS, a README.txt that explains how to
check it by hand, and check.sh, which does so with jq, sha256sum, ssh-keygen
and DuckDB.

Examples:
  cxvault evidence --from 2026-10-01 --to 2027-01-01 --out evidence-2026-q4
  sh evidence-2026-q4/check.sh")]
pub struct EvidenceArgs {
    /// Days of the period.
    #[command(flatten)]
    pub range: DayRangeArgs,
    /// Folder to create; it must not exist yet, or be empty
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// OpenSSH allowed_signers file to include [env: CXVAULT_ALLOWED_SIGNERS_FILE]
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
}
