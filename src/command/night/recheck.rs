//! `cxvault recheck`: observes archived days again, and commits what has changed.
//!
//! Nothing that is committed changes. A recheck adds a revision with the differences, and its record proves that the day
//! was observed again even where there are none.

use crate::cli::operate::RecheckArgs;
use crate::command::Context;
use crate::command::night::notify::run_and_notify;
use crate::command::night::worklist::{NightCommand, Worklist};
use crate::command::night::{plan, summary};
use crate::config::Settings;
use crate::day::context::RecheckRequest;
use crate::outcome::{Exit, Result};

/// Rechecks the archived days of a range.
///
/// # Errors
/// [`Exit::Usage`] for an empty range; otherwise as [`crate::command::night::run::run`].
pub(crate) async fn run(
    args: &RecheckArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let command = command(args);
    if args.dry_run {
        return plan::show(&command?, None, settings, context).await;
    }
    run_and_notify("recheck", command, settings, context, |outcome| {
        summary::print_recheck(args.range.from, args.range.to, outcome, &context.output);
    })
    .await
}

/// Returns the command that the arguments ask for.
///
/// # Errors
/// [`Exit::Usage`] for a range without a day.
fn command(args: &RecheckArgs) -> Result<NightCommand> {
    Ok(NightCommand {
        name: "recheck",
        worklist: Worklist::Recheck {
            range: args.range.days()?,
            order: args.order,
            request: RecheckRequest {
                scope: args.only.clone(),
                accept_vanished: args.accept_vanished,
            },
        },
        shard: None,
    })
}
