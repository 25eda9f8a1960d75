//! `cxvault takeover`: a copy becomes the archive that goes on.

use serde::Serialize;

use crate::chain::append::Mode;
use crate::chain::takeover::{TakenOver, take_over};
use crate::cli::records::TakeoverArgs;
use crate::command::archive::anchor;
use crate::command::{Context, wiring};
use crate::config::Settings;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::outcome::{Exit, Result};
use crate::render::{grouped, printable};

pub async fn run(args: &TakeoverArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    #[derive(Serialize)]
    struct TakeoverEvent<'a> {
        event: &'static str,
        place: &'a str,
        from: Option<&'a str>,
        copy: Option<Digest>,
        sub_accounts: usize,
        head: Option<&'a str>,
    }
    let archive = wiring::open_existing(settings, Mode::Act, context).await?;
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
    let from = takeover.and_then(|takeover| takeover.from.as_deref());
    let sub_accounts = takeover.map_or(0, |takeover| takeover.sub_accounts.len());
    let copy = takeover.and_then(|takeover| takeover.copy);
    let head = head.as_deref();
    context.output.event(&TakeoverEvent {
        event: "takeover",
        place: &place,
        from,
        copy,
        sub_accounts,
        head,
    });
    let what = match &ended {
        TakenOver::Before => {
            "it is the archive that goes on already, and there is nothing to take over"
        }
        TakenOver::Planned(_) => "it would go on as the archive; nothing was committed",
        TakenOver::Now { .. } => {
            "from now on it goes on as the archive; write to the other one no more"
        }
    };
    let mut lines = vec![format!("{place}: {what}")];
    if let Some(takeover) = takeover {
        let from = printable(takeover.from.as_deref().unwrap_or("another place"));
        lines.push(format!(
            "taken over from {from}; sub-accounts: {}",
            grouped(sub_accounts as u64)
        ));
    }
    if head.is_some() {
        lines.push(
            "Open legal holds must be set here, too: repeat `cxvault hold add` for each."
                .to_owned(),
        );
    }
    lines.extend(head.map(|head| format!("head {head}")));
    context.output.print_info(lines.join("\n"));
    Ok(anchor::settle(&archive, &[], mode, context).await)
}
