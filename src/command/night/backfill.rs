//! `cxvault backfill`: a range of days, of which several are under way at once.
//!
//! It yields to a nightly run on the same machine, takes days for a long range, and can be interrupted and repeated: days
//! that are sealed cost no request. Several processes can divide a range with `--shard`.

use crate::cli::operate::BackfillArgs;
use crate::command::Context;
use crate::command::night::notify::run_and_notify;
use crate::command::night::shard::Shard;
use crate::command::night::worklist::{NightCommand, Worklist};
use crate::command::night::{plan, summary};
use crate::config::Settings;
use crate::outcome::{Exit, Result};

/// Archives the days of a range that are not sealed, or this process's share of them.
///
/// # Errors
/// [`Exit::Usage`] for an empty range or shard; otherwise as [`crate::command::night::run::run`].
pub(crate) async fn run(
    args: &BackfillArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let command = command(args, context);
    if args.dry_run {
        return plan::show(&command?, None, settings, context).await;
    }
    if let Ok(NightCommand {
        shard: Some(shard), ..
    }) = &command
    {
        tracing::info!(
            shard = shard.to_string(),
            "this process archives its share only"
        );
    }
    run_and_notify("backfill", command, settings, context, |outcome| {
        summary::print_backfill(args.range.from, args.range.to, outcome, &context.output);
    })
    .await
}

/// Returns the command that the arguments ask for.
///
/// # Errors
/// [`Exit::Usage`] for a range without a day, or a shard that does not exist.
fn command(args: &BackfillArgs, context: &Context) -> Result<NightCommand> {
    Ok(NightCommand {
        name: "backfill",
        worklist: Worklist::Backfill {
            range: args.range.days()?,
            order: args.order,
        },
        shard: Shard::select(args.shard, &context.environment)?,
    })
}
