//! What the user asked for: one module a command.

use tokio_util::sync::CancellationToken;

use crate::cli::Command;
use crate::config::{Environment, Flags, Loaded, Settings};
use crate::outcome::{Exit, Result};
use crate::render::Output;

pub mod archive;
pub mod inspect;
pub mod night;
pub mod setup;
pub mod wiring;

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
        Command::Run(args) => night::run::run(args, &loaded()?.settings, context).await,
        Command::Backfill(args) => night::backfill::run(args, &loaded()?.settings, context).await,
        Command::Plan(args) => night::plan::run(args, &loaded()?.settings, context).await,
        Command::Doctor(args) => setup::doctor::run(args, &loaded()?, context).await,
        Command::Recheck(args) => night::recheck::run(args, &loaded()?.settings, context).await,
        Command::Verify(args) => inspect::verify::run(args, &loaded()?.settings, context).await,
        Command::Status(args) => inspect::status::run(args, &loaded()?.settings, context).await,
        Command::Ls(args) => inspect::ls::run(args, &loaded()?.settings, context).await,
        Command::Show(args) => inspect::show::run(args, &loaded()?.settings, context).await,
        Command::Search(args) => inspect::search::run(args, &loaded()?.settings, context).await,
        Command::Export(args) => inspect::export::run(args, &loaded()?.settings, context).await,
        Command::Report(args) => inspect::report::run(args, &loaded()?.settings, context).await,
        Command::Evidence(args) => inspect::evidence::run(args, &loaded()?.settings, context).await,
        Command::Prove(args) => inspect::prove::run(args, &loaded()?.settings, context).await,
        Command::CheckReceipt(args) => inspect::check_receipt::run(args, context),
        Command::Acknowledge(args) => {
            archive::acknowledge::run(args, &loaded()?.settings, context).await
        }
        Command::Hold(args) => archive::hold::run(args, &loaded()?.settings, context).await,
        Command::Retention(args) => {
            archive::retention::run(args, &loaded()?.settings, context).await
        }
        Command::Copy(args) => archive::copy::run(args, &loaded()?.settings, context).await,
        Command::Takeover(args) => archive::takeover::run(args, &loaded()?.settings, context).await,
        Command::Demo(args) => setup::demo::run(args, context).await,
        Command::Simulate(args) => setup::simulate::run(args, context)
            .await
            .map(|()| Exit::Done),
        Command::Init(args) => setup::init::run(args, context),
        Command::Config(_) => setup::config::run(&loaded()?, context),
        Command::Keygen(args) => setup::keygen::run(args, context),
        Command::Completions(args) => setup::manual::completions(args),
        Command::Man(_) => setup::manual::man(),
        Command::Reference(_) => setup::manual::reference(),
    }
}
