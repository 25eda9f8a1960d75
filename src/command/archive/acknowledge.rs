//! `cxvault acknowledge`: records that the gaps of days are known and will stay.
//!
//! An acknowledged day still has its gaps, and every report still shows them. But it no longer makes a run exit with 3.

use serde::Serialize;

use crate::chain::notes::acknowledge::acknowledge;
use crate::chain::{Acknowledged, Mode};
use crate::cli::records::AcknowledgeArgs;
use crate::command::Context;
use crate::command::archive::anchor;
use crate::config::Settings;
use crate::format::record::AcknowledgedDay;
use crate::outcome::{Exit, Result};
use crate::render::count;

/// Runs the command.
///
/// # Errors
/// If a range, a sub-account or the archive cannot be used, or if a day has no gaps to acknowledge.
pub(crate) async fn run(
    args: &AcknowledgeArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let range = args.range.span()?;
    let mode = Mode::of(args.record.dry_run);
    let archive = crate::command::archive::open(settings, mode, context).await?;
    let sub_accounts = crate::command::archive::named_sub_accounts(&archive, context).await?;
    for sub_account in &sub_accounts {
        let by = args.record.by.as_deref();
        let ended =
            acknowledge(&archive, sub_account, range, &args.record.reason, by, mode).await?;
        print_result(sub_account, &ended, mode, context);
    }
    Ok(anchor::settle(&archive, &sub_accounts, mode, context).await)
}

/// The event about an acknowledgement in one sub-account; `schemas/EVENTS.md` documents it.
#[derive(Serialize)]
struct AcknowledgementEvent<'a> {
    event: &'static str,
    sub_account: &'a str,
    /// The days of the record; empty if all of them were acknowledged before.
    days: &'a [AcknowledgedDay],
    head: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

/// Prints what was recorded for a sub-account, and writes the event.
fn print_result(sub_account: &str, ended: &Acknowledged, mode: Mode, context: &Context) {
    let (days, head): (&[AcknowledgedDay], _) = match ended {
        Acknowledged::Now { head, note } => {
            (&note.days, Some(head.of_chain(sub_account).to_string()))
        }
        Acknowledged::Proposed { note } => (&note.days, None),
        Acknowledged::Before { .. } => (&[], None),
    };
    let dry_run = mode == Mode::DryRun;
    let done = if dry_run {
        "would be acknowledged"
    } else {
        "acknowledged"
    };
    let mut lines = Vec::new();
    if let Acknowledged::Before { manifest } = ended {
        lines.push(format!(
            "{sub_account}: was acknowledged before, by {manifest}"
        ));
    }
    for day in days {
        let failed = count(day.agent_failed + day.auto_failed, "failed summary");
        let because: Vec<&str> = day
            .incomplete_because
            .iter()
            .map(|reason| reason.name())
            .collect();
        let because = because.join(", ");
        lines.push(format!(
            "{sub_account} {}: {done}; {failed} ({because})",
            day.date
        ));
    }
    lines.extend(head.iter().map(|head| format!("head {head}")));
    context.output.print_info(lines.join("\n"));
    context.output.event(&AcknowledgementEvent {
        event: "acknowledged",
        sub_account,
        days,
        head,
        dry_run,
    });
}
