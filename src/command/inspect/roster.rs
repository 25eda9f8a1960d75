//! The lines about the roster and the signers, for commands that show what is archived.
//!
//! The roster is the chain of the whole archive: its newest record lists every sub-account with its head, so that a
//! sub-account that RingCX no longer lists, or whose chain was cut off, is noticed. An archive whose first night has not ended
//! yet has no roster.

use crate::chain::{Archive, inventory};
use crate::outcome::Result;
use crate::render::{Event, Output, count, grouped};

/// Prints the line and the event `signers` of a signed archive: how many keys count, and the newest change of them.
fn print_signers(source: &Archive, output: &Output) {
    let rules = source.rules();
    if !rules.is_signed() {
        return;
    }
    let keys = rules.current();
    output.event(
        Event::new("signers")
            .with("archive", source.store.root())
            .with("signed", true)
            .with("keys", keys)
            .with("own", Option::<String>::None),
    );
    let changed = match rules.newest() {
        Some(link) => format!(", by {}", link.key),
        None => String::new(),
    };
    output.print(format!(
        "signers   {} {}{changed}\n",
        count(keys.len() as u64, "key"),
        if keys.len() == 1 { "counts" } else { "count" },
    ));
}

/// Prints the line and the event `roster`: the head of the roster and the sub-accounts that RingCX no longer lists; nothing
/// if there is no roster.
///
/// # Errors
/// [`crate::outcome::Exit::Integrity`] for a roster that is damaged; the store's errors.
pub(crate) async fn print_roster(source: &Archive, output: &Output) -> Result<()> {
    print_signers(source, output);
    let Some(newest) = inventory::read(source).await? else {
        return Ok(());
    };
    let committed_at = newest.committed_at;
    let (acknowledged, open): (Vec<_>, Vec<_>) =
        newest.missing().partition(|unlisted| unlisted.acknowledged);
    let mut lines = vec![format!(
        "roster    sub-accounts: {}, last commit {committed_at}",
        grouped(newest.roll.sub_accounts.len() as u64)
    )];
    lines.extend(open.iter().map(|unlisted| {
        format!(
            "  {} is no longer listed by RingCX since {}; nothing is archived of it",
            unlisted.id, unlisted.since
        )
    }));
    lines.extend(acknowledged.iter().map(|unlisted| {
        format!(
            "  {} is no longer listed by RingCX (acknowledged)",
            unlisted.id
        )
    }));
    lines.push(format!("  head {}\n", newest.head));
    let [open, acknowledged] =
        [open, acknowledged].map(|all| all.iter().map(|unlisted| unlisted.id).collect::<Vec<_>>());
    output.event(
        Event::new("roster")
            .with("head", &newest.head)
            .with("committed_at", committed_at)
            .with("sub_accounts", newest.roll.sub_accounts.len())
            .with("unlisted", open)
            .with("unlisted_acknowledged", acknowledged),
    );
    output.print(lines.join("\n"));
    Ok(())
}
