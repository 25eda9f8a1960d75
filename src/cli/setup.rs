//! Flags of the commands for installing and trying out: settings, keys, the demo, the manual.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::simulator;

/// Flags of `cxvault demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
The demo needs no credentials and no network. It archives one day of
synthetic interactions and prints commands to try on the result.

Examples:
  cxvault demo
  cxvault demo --dir /tmp/demo")]
pub struct DemoArgs {
    /// Folder in which to create the demo's archive
    #[arg(long, value_name = "FOLDER", default_value = "./cxvault-demo")]
    pub dir: PathBuf,
}

/// Flags of `cxvault simulate`.
#[derive(Debug, Args)]
#[command(after_help = "\
The server answers for all three RingCX hosts on one port, enforces the
documented rate limits, and prints the settings with which cxvault run uses it.
GET /__sim/stats returns what was requested, GET /__sim/truth what a complete
archive must contain.

Examples:
  cxvault simulate
  cxvault simulate --listen 127.0.0.1:0 --time-scale 60 --segments-per-day 5000
  cxvault simulate --all-faults --permanent-500 1")]
pub struct SimulateArgs {
    /// Address and port to listen on; port 0 selects a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8700")]
    pub listen: SocketAddr,

    /// What the simulated RingCX contains, and which faults it has.
    #[command(flatten)]
    pub options: simulator::SimulatorOptions,
}

/// Arguments of `cxvault completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault completions bash > /etc/bash_completion.d/cxvault
  cxvault completions zsh > ~/.zfunc/_cxvault
  cxvault completions fish > ~/.config/fish/completions/cxvault.fish")]
pub struct CompletionsArgs {
    /// Shell to write the script for
    pub shell: clap_complete::Shell,
}

/// `cxvault man` takes no flags of its own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault man | man -l -
  cxvault man > /usr/local/share/man/man1/cxvault.1")]
pub struct ManArgs {}

/// `cxvault reference` takes no flags of its own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cxvault reference > schemas/CLI.md")]
pub struct ReferenceArgs {}

/// Arguments of `cxvault init`.
#[derive(Debug, Args)]
#[command(after_help = "\
An existing file is never overwritten. Without FILE, the path is that of
--config or CXVAULT_CONFIG, or else ~/.config/cxvault/config.toml.

Examples:
  cxvault init
  cxvault init ./cxvault.toml")]
pub struct InitArgs {
    /// File to write
    pub file: Option<PathBuf>,
}

/// `cxvault config` takes no flags of its own.
#[derive(Debug, Args)]
#[command(after_help = "\
Secrets are masked.

Examples:
  cxvault config
  cxvault config --json | jq '.settings[] | select(.origin != \"default\")'")]
pub struct ConfigArgs {}

/// Arguments of `cxvault keygen`.
#[derive(Debug, Args)]
#[command(after_help = "\
An existing file is never overwritten. Every user who can read the file can
sign records in your name. Keep a copy in a safe place.

Examples:
  cxvault keygen /etc/cxvault/signing.key
  cxvault keygen signing.key --comment 'cxvault at host7'
  cxvault keygen signing.key --quiet >> allowed_signers")]
pub struct KeygenArgs {
    /// File to write the private key to; only its owner can read it
    pub file: PathBuf,
    /// Comment in the file
    #[arg(long, default_value = "cxvault")]
    pub comment: String,
}
