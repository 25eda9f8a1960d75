//! The command line. Its names are promises: people script against them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::civil::Date;

use crate::config::{Flags, keys};
use crate::simulator;

pub mod audit;
pub mod copy;
pub mod operate;
pub mod records;

use copy::CopyArgs;
use operate::{BackfillArgs, DoctorArgs, PlanArgs, RecheckArgs};
use records::{AcknowledgeArgs, HoldArgs, RetentionArgs, TakeoverArgs};

use audit::{
    CheckReceiptArgs, EvidenceArgs, ExportArgs, LsArgs, ProveArgs, ReportArgs, SearchArgs,
    ShowArgs, StatusArgs, VerifyArgs,
};

/// Archives the outcome of every RingCX interaction as immutable Parquet, with proof.
#[derive(Debug, Parser)]
#[command(name = "cxvault", version, after_help = HELP, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const HELP: &str = "\
Examples:
  cxvault demo                      see it work: no credentials needed
  cxvault init                      write a commented settings file
  cxvault config                    show what is in force, and where each value comes from
  cxvault run                       archive yesterday, and make up for missed days
  cxvault run --date 2026-11-20     archive one day
  cxvault backfill --from 2026-01-01 --to 2026-11-01
  cxvault status                    which days are archived, which are missing
  cxvault verify                    prove that nothing is missing or changed

Exit codes:
  0  done                                     4  the archive's integrity is violated
  1  unexpected: please report it             5  try again later, or interrupted
  2  wrong usage or settings                  6  access denied
  3  committed, but with gaps or warnings    11  another process is at work on this
The first Ctrl-C (SIGTERM) stops in an orderly way with 5; the second aborts with 130 (143).

Flags win over environment variables (CXVAULT_...), these over the settings file, it over defaults.";

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Settings file [env: CXVAULT_CONFIG] [default: ~/.config/cxvault/config.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,

    /// Where the archive is: s3://bucket/prefix, or a folder [env: CXVAULT_ARCHIVE]
    #[arg(
        long,
        global = true,
        value_name = "LOCATION",
        help_heading = "Settings"
    )]
    pub archive: Option<String>,

    /// Folder for what is observed and not yet committed [env: CXVAULT_STATE_DIR]
    #[arg(long, global = true, value_name = "FOLDER", help_heading = "Settings")]
    pub state_dir: Option<String>,

    /// Only this sub-account; may be repeated [env: CXVAULT_SUB_ACCOUNTS]
    #[arg(long, global = true, value_name = "ID", value_parser = given, help_heading = "Settings")]
    pub sub_account: Vec<String>,

    /// Zone whose calendar days are archived [env: CXVAULT_TIME_ZONE]
    #[arg(long, global = true, value_name = "ZONE", help_heading = "Settings")]
    pub time_zone: Option<String>,

    /// Write JSON to stdout: one object a line for each event
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,

    /// Write no progress and no tables, and only warnings to the log
    #[arg(
        long,
        short,
        global = true,
        help_heading = "Output",
        conflicts_with = "verbose"
    )]
    pub quiet: bool,

    /// Log more: -v debug, -vv trace [env: CXVAULT_LOG]
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,

    /// Form of log lines on stderr: text or json [env: CXVAULT_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Output")]
    pub log_format: Option<String>,

    /// Write metrics of a run or backfill here at its end, for Prometheus [env: CXVAULT_METRICS_FILE]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Output")]
    pub metrics_file: Option<String>,
}

impl Cli {
    /// The settings among the flags. The demo is for people: its log is quiet unless they ask.
    pub fn flags(&self) -> Flags {
        let mut flags = self.global.flags();
        if matches!(self.command, Command::Demo(_)) && self.global.verbose == 0 {
            flags.set(&keys::LOG, "demo", "warn");
        }
        if let Command::Copy(args) = &self.command {
            args.set(&mut flags);
        }
        flags
    }
}

impl Global {
    /// The sub-accounts of `--sub-account`, which takes a list with commas as well.
    pub fn sub_accounts(&self) -> Vec<String> {
        let ids = self.sub_account.iter().flat_map(|list| list.split(','));
        ids.map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty())
            .collect()
    }

    /// The settings among the flags.
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

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Archive a day of every configured sub-account
    Run(RunArgs),
    /// Archive a range of days, such as the months before cxvault was there
    Backfill(BackfillArgs),
    /// Show what a run or a backfill would do and how long it takes, and touch nothing
    Plan(PlanArgs),
    /// Try everything that a night needs, and say what to do about what is missing
    Doctor(DoctorArgs),
    /// Look again at archived days, and commit what has changed
    Recheck(RecheckArgs),
    /// Check that nothing in the archive is missing or changed
    Verify(Box<VerifyArgs>),
    /// Show which days are archived, and what they hold
    Status(StatusArgs),
    /// List archived days and their files, or the segments of a day
    Ls(LsArgs),
    /// Show everything that is archived of a segment, dialog or interaction
    Show(ShowArgs),
    /// Find summaries that hold a text
    Search(SearchArgs),
    /// Write a range of days as CSV, JSON lines, HTML or Parquet
    Export(ExportArgs),
    /// Write a page for compliance officers: days, trends, findings
    Report(Box<ReportArgs>),
    /// Pack what an auditor needs to check a period by hand
    Evidence(EvidenceArgs),
    /// Write a receipt that proves one segment's row
    Prove(ProveArgs),
    /// Check such a receipt, offline
    CheckReceipt(CheckReceiptArgs),
    /// Take note, in the chain, of gaps that will stay
    Acknowledge(AcknowledgeArgs),
    /// Hold days for a legal case, and show what is held
    Hold(HoldArgs),
    /// Show how long days are locked, and lock them for longer
    Retention(RetentionArgs),
    /// Copy the archive into another bucket or folder, and bring such a copy up to date
    Copy(Box<CopyArgs>),
    /// Continue a copy of an archive as the archive
    Takeover(TakeoverArgs),
    /// Archive a made-up day from a simulated RingCX, to see how everything works
    Demo(DemoArgs),
    /// Run the simulated RingCX by itself
    Simulate(Box<SimulateArgs>),
    /// Write a commented settings file
    Init(InitArgs),
    /// Show the settings in force, and where each came from
    Config(ConfigArgs),
    /// Make an Ed25519 key that signs manifests
    Keygen(KeygenArgs),
    /// Write a shell's completion script
    Completions(CompletionsArgs),
    /// Write the manual, for man
    Man(ManArgs),
    /// Write the reference of all commands, as Markdown
    Reference(ReferenceArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --date it archives yesterday in each sub-account's time zone, and then every day since the \
chain's first that is unsealed, has gaps, or was left unfinished by a run that was killed, as far back \
as the setting catch_up says. It can be run as often as you like: a complete day is only confirmed.

Examples:
  cxvault run
  cxvault run --date 2026-11-20 --sub-account 99999999
  cxvault run --archive s3://my-bucket/ringcx --json
  17 4 * * * cxvault run --quiet          as a cron line")]
pub struct RunArgs {
    /// The archive day, as YYYY-MM-DD, in each sub-account's time zone
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub date: Option<Date>,
    /// Only show what would be done, as cxvault plan does
    #[arg(long)]
    pub dry_run: bool,
}

/// An empty value is an unset shell variable, and must not mean "all".
fn given(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("it is empty; leave the flag out for all sub-accounts".into())
    } else {
        Ok(text.into())
    }
}

/// Only `YYYY-MM-DD`: other forms of ISO 8601 look too much like something else.
fn date(text: &str) -> Result<Date, String> {
    let plain = text.len() == 10 && text.is_ascii();
    let date = text
        .parse::<Date>()
        .ok()
        .filter(|date| plain && date.to_string() == text);
    date.ok_or_else(|| "not a calendar date; write it as YYYY-MM-DD, such as 2026-11-20".into())
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault demo
  cxvault demo --dir /tmp/demo")]
pub struct DemoArgs {
    /// Folder for the archive that the demo makes
    #[arg(long, value_name = "FOLDER", default_value = "./cxvault-demo")]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
It answers on one port for all three hosts, keeps the documented limits, and prints the lines that make cxvault run
talk to it. What was asked is told at /__sim/stats, what an archive must hold at /__sim/truth.

Examples:
  cxvault simulate
  cxvault simulate --listen 127.0.0.1:0 --time-scale 60 --segments-per-day 5000
  cxvault simulate --all-faults --permanent-500 1")]
pub struct SimulateArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8700")]
    pub listen: SocketAddr,

    #[command(flatten)]
    pub options: simulator::SimulatorOptions,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault completions bash > /etc/bash_completion.d/cxvault
  cxvault completions zsh > ~/.zfunc/_cxvault
  cxvault completions fish > ~/.config/fish/completions/cxvault.fish")]
pub struct CompletionsArgs {
    /// Which shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault man | man -l -
  cxvault man > /usr/local/share/man/man1/cxvault.1")]
pub struct ManArgs {}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault reference > schemas/CLI.md")]
pub struct ReferenceArgs {}

#[derive(Debug, Args)]
#[command(after_help = "\
An existing file is never overwritten. Without FILE it is written where --config or CXVAULT_CONFIG \
says, otherwise to ~/.config/cxvault/config.toml.

Examples:
  cxvault init
  cxvault init ./cxvault.toml")]
pub struct InitArgs {
    /// The file to write
    pub file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Secrets are masked.

Examples:
  cxvault config
  cxvault config --json | jq '.settings[] | select(.origin != \"default\")'")]
pub struct ConfigArgs {}

#[derive(Debug, Args)]
#[command(after_help = "\
An existing file is never overwritten. Whoever has the file can sign in your name: keep a copy in a \
safe place.

Examples:
  cxvault keygen /etc/cxvault/signing.key
  cxvault keygen signing.key --comment 'cxvault at host7'
  cxvault keygen signing.key --quiet >> allowed_signers")]
pub struct KeygenArgs {
    /// The private key's file; only its owner can read it
    pub file: PathBuf,
    /// Comment inside the file
    #[arg(long, default_value = "cxvault")]
    pub comment: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_calendar_dates() {
        assert_eq!(date("2026-11-20").unwrap().to_string(), "2026-11-20");
        for text in [
            "2026-02-30",
            "20261120",
            "2026-11-20T00:00",
            "2026-W47-5",
            "yesterday",
            "",
            "2026-1-1",
        ] {
            assert!(date(text).is_err(), "{text}");
        }
    }

    /// Documents say which flag sets a key; the parser has to agree.
    #[test]
    fn every_flag_in_the_table_is_one() {
        use clap::CommandFactory as _;
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
