//! What the user asked for: one module a command.

use tokio_util::sync::CancellationToken;

use crate::cli::Command;
use crate::config::{Environment, Flags, Loaded, Settings};
use crate::outcome::{Exit, Result};
use crate::render::Output;

mod anchor;
pub mod audit;
mod backfill;
mod config;
mod copy;
mod days;
pub mod demo;
mod doctor;
mod init;
mod keygen;
pub mod manual;
mod plan;
mod recheck;
mod records;
mod report;
mod roster;
pub mod run;
mod shard;
pub mod simulate;
pub mod watched;
pub mod wiring;
mod work;

/// What every command is given.
pub struct Context {
    pub output: Output,
    pub flags: Flags,
    pub environment: Environment,
    /// Named by `--sub-account`; none means all.
    pub sub_accounts: Vec<String>,
    /// Cancelled by the first SIGTERM or Ctrl-C: take no more work, keep what is in flight, end with
    /// [`Exit::Later`].
    pub cancel: CancellationToken,
}

/// Whether a command works with settings, so that wrong ones are its error.
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

/// Does what the user asked for. `loaded` are the settings, for commands that [`needs_settings`].
pub async fn dispatch(
    command: &Command,
    context: &Context,
    loaded: Option<&Loaded>,
) -> Result<Exit> {
    let load = || Settings::load(&context.flags, &context.environment);
    let loaded = || loaded.cloned().map_or_else(load, Ok);
    match command {
        Command::Run(args) => run::run(args, &loaded()?.settings, context).await,
        Command::Backfill(args) => backfill::run(args, &loaded()?.settings, context).await,
        Command::Plan(args) => plan::run(args, &loaded()?.settings, context).await,
        Command::Doctor(args) => doctor::run(args, &loaded()?, context).await,
        Command::Recheck(args) => recheck::run(args, &loaded()?.settings, context).await,
        Command::Verify(args) => audit::verify::run(args, &loaded()?.settings, context).await,
        Command::Status(args) => audit::status::run(args, &loaded()?.settings, context).await,
        Command::Ls(args) => audit::ls::run(args, &loaded()?.settings, context).await,
        Command::Show(args) => audit::show::run(args, &loaded()?.settings, context).await,
        Command::Search(args) => audit::search::run(args, &loaded()?.settings, context).await,
        Command::Export(args) => audit::export::run(args, &loaded()?.settings, context).await,
        Command::Report(args) => audit::report::run(args, &loaded()?.settings, context).await,
        Command::Evidence(args) => audit::evidence::run(args, &loaded()?.settings, context).await,
        Command::Prove(args) => audit::prove::run(args, &loaded()?.settings, context).await,
        Command::CheckReceipt(args) => audit::check_receipt::run(args, context),
        Command::Acknowledge(args) => {
            records::acknowledge::run(args, &loaded()?.settings, context).await
        }
        Command::Hold(args) => records::hold::run(args, &loaded()?.settings, context).await,
        Command::Retention(args) => {
            records::retention::run(args, &loaded()?.settings, context).await
        }
        Command::Copy(args) => copy::run(args, &loaded()?.settings, context).await,
        Command::Takeover(args) => records::takeover::run(args, &loaded()?.settings, context).await,
        Command::Demo(args) => demo::run(args, context).await,
        Command::Simulate(args) => simulate::run(args, context).await.map(|()| Exit::Done),
        Command::Init(args) => init::run(args, context),
        Command::Config(_) => config::run(&loaded()?, context),
        Command::Keygen(args) => keygen::run(args, context),
        Command::Completions(args) => manual::completions(args),
        Command::Man(_) => manual::man(),
        Command::Reference(_) => manual::reference(),
    }
}
