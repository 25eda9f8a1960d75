//! What the user asked for: one module for each command, one folder for each group of commands.
//!
//! ```text
//! night     commands that send requests to RingCX: run, backfill, recheck, and their plan
//! archive   commands that append records to an archive, and copies
//! inspect   commands that only read an archive
//! setup     commands around an archive: settings, keys, the doctor, the demo
//! ```
//!
//! A command takes its parsed arguments, the settings and a [`Context`], and returns an exit code or a failure. [`wiring`]
//! and [`account_client`] turn settings into the parts that the commands use.

use tokio_util::sync::CancellationToken;

use crate::cli::Command;
use crate::config::{Environment, Flags, Loaded};
use crate::outcome::{Exit, Failure, Result};
use crate::render::Output;

pub mod account_client;
pub mod archive;
pub mod inspect;
pub mod night;
pub mod s3_options;
pub mod setup;
pub mod wiring;

/// What every command gets beside its arguments and the settings.
pub struct Context {
    /// Where the command prints its results.
    pub output: Output,
    /// The flags that override settings.
    pub flags: Flags,
    /// The environment variables of the process, read once.
    pub environment: Environment,
    /// The sub-accounts that `--sub-account` names; empty means all.
    pub sub_accounts: Vec<String>,
    /// Cancelled by the first SIGTERM or Ctrl-C. A command then takes no more work, finishes what is in flight, and ends
    /// with [`Exit::Later`].
    pub cancel: CancellationToken,
}

/// Returns whether a command uses settings, so that wrong settings are its failure.
pub fn needs_settings(command: &Command) -> bool {
    !matches!(
        command,
        Command::Demo(_)
            | Command::Simulate(_)
            | Command::Init(_)
            | Command::Keygen(_)
            | Command::CheckReceipt(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Reference(_)
    )
}

/// Runs the command. `loaded` holds the settings of a command that [`needs_settings`].
///
/// # Errors
/// The failure of the command, with the exit code of the process and a remedy.
pub async fn dispatch(
    command: &Command,
    context: &Context,
    loaded: Option<&Loaded>,
) -> Result<Exit> {
    let Some(loaded) = loaded else {
        return dispatch_without_settings(command, context).await;
    };
    let settings = &loaded.settings;
    match command {
        Command::Run(args) => night::run::run(args, settings, context).await,
        Command::Backfill(args) => night::backfill::run(args, settings, context).await,
        Command::Plan(args) => night::plan::run(args, settings, context).await,
        Command::Recheck(args) => night::recheck::run(args, settings, context).await,
        Command::Verify(args) => inspect::verify::run(args, settings, context).await,
        Command::Status(args) => inspect::status::run(args, settings, context).await,
        Command::Ls(args) => inspect::ls::run(args, settings, context).await,
        Command::Show(args) => inspect::show::run(args, settings, context).await,
        Command::Search(args) => inspect::search::run(args, settings, context).await,
        Command::Export(args) => inspect::export::run(args, settings, context).await,
        Command::Report(args) => inspect::report::run(args, settings, context).await,
        Command::Evidence(args) => inspect::evidence::run(args, settings, context).await,
        Command::Prove(args) => inspect::prove::run(args, settings, context).await,
        Command::Acknowledge(args) => archive::acknowledge::run(args, settings, context).await,
        Command::Hold(args) => archive::hold::run(args, settings, context).await,
        Command::Retention(args) => archive::retention::run(args, settings, context).await,
        Command::Copy(args) => archive::copy::run(args, settings, context).await,
        Command::Signers(args) => archive::signers::run(args, settings, context).await,
        Command::Takeover(args) => archive::takeover::run(args, settings, context).await,
        Command::Doctor(args) => setup::doctor::run(args, loaded, context).await,
        Command::Config(_) => setup::config::run(loaded, context),
        _ => dispatch_without_settings(command, context).await,
    }
}

/// Runs one of the commands that [`needs_settings`] excepts.
async fn dispatch_without_settings(command: &Command, context: &Context) -> Result<Exit> {
    match command {
        Command::CheckReceipt(args) => inspect::check_receipt::run(args, context),
        Command::Demo(args) => setup::demo::run(args, context).await,
        Command::Simulate(args) => setup::simulate::run(args, context)
            .await
            .map(|()| Exit::Done),
        Command::Init(args) => setup::init::run(args, context),
        Command::Keygen(args) => setup::keygen::run(args, context),
        Command::Completions(args) => setup::manual::completions(args),
        Command::Man(_) => setup::manual::man(),
        Command::Reference(_) => setup::manual::reference(),
        _ => Err(Failure::unforeseen()),
    }
}
