//! `cxvault acknowledge`: records that the gaps of days are known and will stay.
//!
//! An acknowledged day still has its gaps, and every report still shows them. But it no longer makes a run exit with 3.
//!
//! The command reads the chain of each named sub-account, finds the days of the range whose newest revision has gaps, and
//! appends one signed record to the chain that lists them with the reason. No file and no lock is changed. The record names the
//! revision of each day: if a later run commits another revision with other gaps, the day is open again.
//!
//! A command that is killed has written the record of some sub-accounts, and none of the others. Run again, it finds its own
//! record by range and reason and appends no second one.

use crate::chain::notes::acknowledge::acknowledge;
use crate::chain::{Acknowledged, Mode};
use crate::cli::records::AcknowledgeArgs;
use crate::command::Context;
use crate::command::archive::{self, anchor, head_of, print_record, would_be};
use crate::config::Settings;
use crate::format::record::AcknowledgedDay;
use crate::outcome::{Exit, Result};
use crate::render::{Event, count};

/// Runs the command.
///
/// The first sub-account that cannot be acknowledged ends the command: an acknowledgement cannot be withdrawn, so the operator
/// should see the reason before more of them are written.
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
    let archive = archive::open(settings, mode, context).await?;
    let sub_accounts = archive::named_sub_accounts(&archive, context).await?;
    for sub_account in &sub_accounts {
        let by = args.record.by.as_deref();
        let ended =
            acknowledge(&archive, sub_account, range, &args.record.reason, by, mode).await?;
        print_result(sub_account, &ended, mode, context);
    }
    Ok(anchor::settle(&archive, &sub_accounts, mode, context).await)
}

/// Prints what was recorded for a sub-account, and writes the event.
///
/// The member `days` is empty if all days of the range were acknowledged before. Only the number of failed summaries and the
/// classes of their failures are shown, never a text.
fn print_result(sub_account: &str, ended: &Acknowledged, mode: Mode, context: &Context) {
    let (days, head): (&[AcknowledgedDay], _) = match ended {
        Acknowledged::Now { head, note } => (&note.days, head_of(Some(head), sub_account)),
        Acknowledged::Proposed { note } => (&note.days, None),
        Acknowledged::Before { .. } => (&[], None),
    };
    let would_be = would_be(mode);
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
        lines.push(format!(
            "{sub_account} {}: {would_be}acknowledged; {failed} ({})",
            day.date,
            because.join(", ")
        ));
    }
    let event = Event::new("acknowledged")
        .with("sub_account", sub_account)
        .with("days", days);
    print_record(event, lines, head, mode, context);
}
