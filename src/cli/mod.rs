//! The command line: commands, flags and their help texts.
//!
//! Names of commands and flags are promises, because people script against them. Help texts fit a terminal of 80
//! columns, and every example can be copied into a shell. `cxvault reference` prints all of them as
//! `schemas/CLI.md`, and a test compares the two.
//!
//! ```text
//! mod       the commands, and the flags of every command
//! operate   run, backfill, plan, doctor, recheck
//! audit     verify, status, ls, show, search, export, report, evidence, prove, check-receipt
//! records   acknowledge, hold, retention, takeover
//! copy      copy
//! setup     demo, simulate, init, config, keygen, completions, man, reference
//! values    what several of them share: dates, ranges, shares, choices
//! ```
//!
//! Values that are a domain type of `audit` or `format` are parsed into that very type.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Flags, keys};

pub mod audit;
pub mod copy;
pub mod operate;
pub mod records;
pub mod setup;
pub mod signers;
pub mod values;

use audit::{
    CheckReceiptArgs, EvidenceArgs, ExportArgs, LsArgs, ProveArgs, ReportArgs, SearchArgs,
    ShowArgs, StatusArgs, VerifyArgs,
};
use copy::CopyArgs;
use operate::{BackfillArgs, DoctorArgs, PlanArgs, RecheckArgs, RunArgs};
use records::{AcknowledgeArgs, HoldArgs, RetentionArgs, TakeoverArgs};
use setup::{
    CompletionsArgs, ConfigArgs, DemoArgs, InitArgs, KeygenArgs, ManArgs, ReferenceArgs,
    SimulateArgs,
};
use signers::SignersArgs;
use values::not_empty;

/// Archives RingCX interaction summaries as Parquet with a signed audit trail.
#[derive(Debug, Parser)]
#[command(name = "cxvault", version, after_help = HELP, max_term_width = 80)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command with its own flags.
    #[command(subcommand)]
    pub command: Command,
}

const HELP: &str = "\
Examples:
  cxvault demo                      try it: no credentials needed
  cxvault init                      write a commented settings file
  cxvault config                    show the settings and their origin
  cxvault run                       archive yesterday and earlier open days
  cxvault run --date 2026-11-20     archive one day
  cxvault backfill --from 2026-01-01 --to 2026-11-01
  cxvault status                    show archived and missing days
  cxvault verify                    check that nothing is missing or changed

Exit codes:
   0  done
   1  unexpected error: please report it
   2  wrong usage or settings
   3  committed, but with gaps or warnings
   4  the archive's integrity is violated
   5  try again later, or interrupted
   6  access denied
  11  another process works on this day of this archive
The first Ctrl-C (SIGTERM) stops in an orderly way with code 5; the second ends
the process at once with code 130 (143).

Flags take precedence over environment variables (CXVAULT_...), which take
precedence over the settings file, and the file over defaults.";

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Settings file [env: CXVAULT_CONFIG]
    /// [default: ~/.config/cxvault/config.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,

    /// Location of the archive: s3://bucket/prefix, or a folder
    /// [env: CXVAULT_ARCHIVE]
    #[arg(
        long,
        global = true,
        value_name = "LOCATION",
        help_heading = "Settings"
    )]
    pub archive: Option<String>,

    /// Folder for observations that are not committed yet [env: CXVAULT_STATE_DIR]
    #[arg(long, global = true, value_name = "FOLDER", help_heading = "Settings")]
    pub state_dir: Option<String>,

    /// Use only this sub-account; may be repeated [env: CXVAULT_SUB_ACCOUNTS]
    #[arg(long, global = true, value_name = "ID", value_parser = not_empty, help_heading = "Settings")]
    pub sub_account: Vec<String>,

    /// Time zone whose calendar days are archived [env: CXVAULT_TIME_ZONE]
    #[arg(long, global = true, value_name = "ZONE", help_heading = "Settings")]
    pub time_zone: Option<String>,

    /// Write JSON to stdout: one object per line for each event
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,

    /// Write neither progress nor tables, and log only warnings and errors
    #[arg(
        long,
        short,
        global = true,
        help_heading = "Output",
        conflicts_with = "verbose"
    )]
    pub quiet: bool,

    /// Log more: -v for debug, -vv for trace [env: CXVAULT_LOG]
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,

    /// Format of log lines on stderr: text or json [env: CXVAULT_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Output")]
    pub log_format: Option<String>,

    /// File to write Prometheus metrics to at the end of a run, backfill or recheck
    /// [env: CXVAULT_METRICS_FILE]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Output")]
    pub metrics_file: Option<String>,
}

impl Cli {
    /// Returns the flags that are settings.
    ///
    /// The demo logs only warnings unless `-v` is given: its readers are people who try the program.
    pub fn flags(&self) -> Flags {
        let mut flags = self.global.flags();
        if matches!(self.command, Command::Demo(_)) && self.global.verbose == 0 {
            flags.set(&keys::LOG, "demo", "warn");
        }
        if let Command::Copy(args) = &self.command {
            args.add_to(&mut flags);
        }
        flags
    }
}

impl Global {
    /// Returns the ids of `--sub-account`; each use of the flag may give a list with commas.
    pub fn sub_accounts(&self) -> Vec<String> {
        let ids = self.sub_account.iter().flat_map(|list| list.split(','));
        ids.map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty())
            .collect()
    }

    /// Returns the global flags that are settings.
    pub fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        flags.config.clone_from(&self.config);
        let texts = [
            (&keys::ARCHIVE, "--archive", &self.archive),
            (&keys::STATE_DIR, "--state-dir", &self.state_dir),
            (&keys::TIME_ZONE, "--time-zone", &self.time_zone),
            (&keys::LOG_FORMAT, "--log-format", &self.log_format),
            (&keys::METRICS_FILE, "--metrics-file", &self.metrics_file),
        ];
        for (key, flag, value) in texts {
            if let Some(value) = value {
                flags.set(key, flag, value);
            }
        }
        if !self.sub_account.is_empty() {
            flags.set(
                &keys::SUB_ACCOUNTS,
                "--sub-account",
                self.sub_account.join(","),
            );
        }
        match (self.quiet, self.verbose) {
            (true, _) => flags.set(&keys::LOG, "--quiet", "warn"),
            (_, 0) => {}
            (_, 1) => flags.set(&keys::LOG, "-v", "debug"),
            (_, _) => flags.set(&keys::LOG, "-vv", "trace"),
        }
        flags
    }
}

/// The commands, in the order of `cxvault --help`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Archive one day of every configured sub-account
    Run(RunArgs),
    /// Archive a range of past days
    Backfill(BackfillArgs),
    /// Show what a run or backfill would do and how long it would take
    Plan(PlanArgs),
    /// Check everything that a nightly run needs, with remedies
    Doctor(DoctorArgs),
    /// Request archived days again, and commit what has changed
    Recheck(RecheckArgs),
    /// Check that nothing in the archive is missing or changed
    Verify(Box<VerifyArgs>),
    /// Show which days are archived, and what they contain
    Status(StatusArgs),
    /// List archived days and their files, or the segments of a day
    Ls(LsArgs),
    /// Show all that is archived of a segment, dialog or interaction
    Show(ShowArgs),
    /// Find summaries that contain a text
    Search(SearchArgs),
    /// Write a range of days as CSV, JSON lines, HTML or Parquet
    Export(ExportArgs),
    /// Write a page for compliance officers: days, trends, findings
    Report(Box<ReportArgs>),
    /// Write a folder with everything an auditor needs for a period
    Evidence(EvidenceArgs),
    /// Write a receipt that proves the row of one segment
    Prove(ProveArgs),
    /// Check a receipt, offline
    CheckReceipt(CheckReceiptArgs),
    /// Accept gaps that will remain, and record this in the chain
    Acknowledge(AcknowledgeArgs),
    /// Place or release legal holds, and show them
    Hold(HoldArgs),
    /// Show or extend the locks of days, and dispose of expired days
    Retention(RetentionArgs),
    /// Copy the archive into another bucket or folder
    Copy(Box<CopyArgs>),
    /// Continue a copy in place of the original archive
    Takeover(TakeoverArgs),
    /// Show and change the keys whose signatures count
    Signers(SignersArgs),
    /// Archive a synthetic day from a simulated RingCX
    Demo(DemoArgs),
    /// Run the simulated RingCX on its own
    Simulate(Box<SimulateArgs>),
    /// Write a commented settings file
    Init(InitArgs),
    /// Show the effective settings, and the origin of each value
    Config(ConfigArgs),
    /// Create an Ed25519 key that signs manifests
    Keygen(KeygenArgs),
    /// Write a completion script for a shell
    Completions(CompletionsArgs),
    /// Write the manual page, for man
    Man(ManArgs),
    /// Write the reference of all commands, as Markdown
    Reference(ReferenceArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn check_width(command: &mut clap::Command, path: &str) {
        let help = command
            .clone()
            .term_width(80)
            .render_long_help()
            .to_string();
        // clap does not wrap the usage line, which people do not copy.
        for line in help.lines().filter(|line| !line.starts_with("Usage:")) {
            assert!(line.chars().count() <= 80, "{path}: {line}");
        }
        for below in command.get_subcommands_mut() {
            let path = format!("{path} {}", below.get_name());
            check_width(below, &path);
        }
    }

    #[test]
    fn help_texts_fit_80_columns() {
        let mut command = Cli::command();
        command.build();
        check_width(&mut command, "cxvault");
    }

    /// Documents say which flag sets a key; the parser has to agree.
    #[test]
    fn every_flag_in_the_table_is_one() {
        let command = Cli::command();
        for flag in keys::ALL.iter().filter_map(|key| key.flag) {
            let matches = |arg: &clap::Arg| {
                let short = arg.get_short().map(|short| format!("-{short}"));
                let long = arg.get_long().map(|long| format!("--{long}"));
                short.as_deref() == Some(flag) || long.as_deref() == Some(flag)
            };
            let below = command
                .get_subcommands()
                .flat_map(|below| below.get_arguments());
            assert!(command.get_arguments().chain(below).any(matches), "{flag}");
        }
    }
}
