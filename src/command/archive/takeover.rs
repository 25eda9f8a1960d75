//! `cxvault takeover`: makes a copy the archive to which days are archived from now on.
//!
//! It is for the case that the original is lost or given up. The takeover is a signed record in the roster, with the location
//! and the head of the original: an auditor sees where the chain continues, and a run that still archives to the original would
//! make two chains that diverge from this record on.
//!
//! The command reads the mark `copy.json`, compares the chains of the copy with the heads in it, and commits the record to the
//! roster. That commit is the only object that it writes: it is there or not, so a command that is killed leaves either a copy or
//! an archive, and the same command reports which. Locks are those of the copied objects; legal holds are set again by
//! `cxvault hold add`, because a copy may be at a service without holds.

use crate::chain::takeover::take_over;
use crate::chain::{Mode, TakenOver};
use crate::cli::records::TakeoverArgs;
use crate::command::archive::anchor;
use crate::command::{Context, wiring};
use crate::config::Settings;
use crate::format::place::key;
use crate::format::record::Takeover;
use crate::outcome::{Exit, Result};
use crate::render::{Event, grouped, printable};

/// Runs the command.
///
/// # Errors
/// If this is not a copy that can be taken over, for example because its original is still written to.
pub(crate) async fn run(
    args: &TakeoverArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Exit> {
    let archive = wiring::open_existing(settings, Mode::Act, context).await?;
    // The archive is opened for writing in a dry run as well: only then are the anchors checked.
    let mode = Mode::of(args.record.dry_run);
    let place = archive.store.root();
    let ended = take_over(
        &archive,
        &args.record.reason,
        args.record.by.as_deref(),
        mode,
    )
    .await?;
    let (takeover, head) = match &ended {
        TakenOver::Before => (None, None),
        TakenOver::Planned(takeover) => (Some(takeover), None),
        TakenOver::Now { head, takeover } => {
            (Some(takeover), Some(head.of_chain(key::ROSTER).to_string()))
        }
    };
    let sub_accounts = takeover.map_or(0, |takeover| takeover.sub_accounts.len());
    let head = head.as_deref();
    context.output.event(
        Event::new("takeover")
            .with("place", &place)
            .with("from", takeover.and_then(|takeover| takeover.from.as_ref()))
            .with("copy", takeover.and_then(|takeover| takeover.copy))
            .with("sub_accounts", sub_accounts)
            .with("head", head),
    );
    context
        .output
        .print_info(summary(&place, &ended, takeover, head));
    Ok(anchor::settle(&archive, &[], mode, context).await)
}

/// Returns the summary for people: the result, where the copy comes from, and what is left to do.
fn summary(
    place: &str,
    ended: &TakenOver,
    takeover: Option<&Takeover>,
    head: Option<&str>,
) -> String {
    let result = match ended {
        TakenOver::Before => "it was taken over before; there is nothing to do",
        TakenOver::Planned(_) => "it would replace the original archive; nothing was committed",
        TakenOver::Now { .. } => {
            "from now on it continues as the archive; do not write to the original any more"
        }
    };
    let mut lines = vec![format!("{place}: {result}")];
    if let Some(takeover) = takeover {
        let from = printable(takeover.from.as_deref().unwrap_or("another location"));
        lines.push(format!(
            "taken over from {from}; sub-accounts: {}",
            grouped(takeover.sub_accounts.len() as u64)
        ));
    }
    if head.is_some() {
        lines.push(
            "Open legal holds are not set here yet: repeat `cxvault hold add` for each of them."
                .to_owned(),
        );
    }
    lines.extend(head.map(|head| format!("head {head}")));
    lines.join("\n")
}
