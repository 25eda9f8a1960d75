//! The roster in a line, for commands that show what is archived.

use serde::Serialize;

use crate::chain::archive::Archive;
use crate::chain::inventory;
use crate::format::time::day::rfc3339;
use crate::outcome::Result;
use crate::render::{Output, grouped};

/// Says where the roster stands, and which sub-accounts RingCX no longer lists; nothing where there is no roster.
pub async fn tell(source: &Archive, output: &Output) -> Result<()> {
    #[derive(Serialize)]
    struct UnlistedEvent<'a> {
        event: &'static str,
        head: &'a str,
        committed_at: String,
        sub_accounts: usize,
        unlisted: Vec<&'a str>,
        unlisted_acknowledged: Vec<&'a str>,
    }
    let Some(newest) = inventory::read(source).await? else {
        return Ok(());
    };
    let committed_at = rfc3339(newest.committed_at);
    let of = |acknowledged| {
        newest
            .missing()
            .filter(move |one| one.acknowledged == acknowledged)
    };
    let mut lines = vec![format!(
        "roster    sub-accounts: {}, last commit {committed_at}",
        grouped(newest.roll.sub_accounts.len() as u64)
    )];
    lines.extend(of(false).map(|one| {
        format!(
            "  {} is no longer listed by RingCX since {}; nothing is archived of it",
            one.id, one.since
        )
    }));
    lines.extend(
        of(true).map(|one| format!("  {} is no longer listed by RingCX (acknowledged)", one.id)),
    );
    lines.push(format!("  head {}\n", newest.head));
    output.event(&UnlistedEvent {
        event: "roster",
        head: &newest.head,
        committed_at,
        sub_accounts: newest.roll.sub_accounts.len(),
        unlisted: of(false).map(|one| one.id).collect(),
        unlisted_acknowledged: of(true).map(|one| one.id).collect(),
    });
    output.print(lines.join("\n"));
    Ok(())
}
