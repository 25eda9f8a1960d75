//! `cxvault run`: one day of every sub-account, and the days that earlier nights have missed.
//!
//! It is made to be started by a timer, and to be killed at any moment. Everything that it skips or leaves unfinished is
//! found by the next run, which needs no flag for it.

use crate::cli::operate::RunArgs;
use crate::command::Context;
use crate::command::night::notify::run_and_notify;
use crate::command::night::worklist::NightCommand;
use crate::command::night::{plan, summary};
use crate::config::Settings;
use crate::outcome::{Exit, Result};

/// Archives the day that `--date` names; or yesterday, the missed days before it, and the rechecks that are due.
///
/// # Errors
/// A failure of the command as a whole. Days that fail are in its exit code, and end no other sub-account.
pub(crate) async fn run(args: &RunArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    let command = NightCommand::nightly(args.date);
    if args.dry_run {
        return plan::show(&command, None, settings, context).await;
    }
    run_and_notify(command.name, Ok(command), settings, context, |outcome| {
        summary::print_run(outcome, &context.output);
    })
    .await
}
