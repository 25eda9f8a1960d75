//! What a run says of all sub-accounts at its end, and leaves in the roster.

use std::collections::BTreeMap;

use crate::chain::roster::{Roster, commit, ended};
use crate::chain::writer::Writer;
use crate::command::night::sub_accounts::SubAccountJob;
use crate::command::night::summary::DayReport;
use crate::format::place::key;
use crate::format::record::roster;
use crate::format::record::roster::{AccountListing, Inventory};
use crate::outcome::{Exit, Failure, Result};

/// Reports who is no longer listed, and commits the roster of this run; its head, as an auditor may be given it.
///
/// `troubles` is how the run fared beside its days. What goes wrong here is a trouble of the run like any other: it is
/// added to `days`.
pub async fn leave(
    archive: &Writer,
    roster: &mut Roster,
    command: &str,
    mut seen: AccountListing,
    targets: &[SubAccountJob<'_>],
    days: &mut Vec<DayReport>,
    troubles: Exit,
) -> Option<String> {
    let committed: Result<_> = async {
        let before = roster.roll(archive).await?;
        days.extend(missing(&seen, before.as_ref()));
        attend(archive, &mut seen, targets, days)?;
        let exit = Exit::worst(days.iter().map(|day| day.exit).chain([troubles]));
        // Nothing is written any more before somebody knows what has happened; the roster before still says what was.
        if exit == Exit::Integrity {
            return Ok(None);
        }
        commit(archive, roster, command, exit, seen).await
    }
    .await;
    match committed {
        Ok(head) => head.map(|head| head.of_chain(key::ROSTER).to_string()),
        Err(failure) => {
            days.push(DayReport::failed(key::ROSTER, None, &failure));
            None
        }
    }
}

/// Access that was lost looks like a sub-account that never was: it has no days, and no errors either.
fn missing(seen: &AccountListing, before: Option<&Inventory>) -> Vec<DayReport> {
    let report = |id: String| {
        let message = format!(
            "RingCX no longer lists sub-account {id}, and nothing is archived of it any more"
        );
        let failure = Failure::new(Exit::Denied, message).remedy(format!(
            "Give the user access to it again in RingCX Admin; or, if the sub-account was closed, name {}:{id} in \
             CXVAULT_KNOWN_WARNINGS.",
            roster::UNLISTED
        ));
        DayReport {
            outcome: "unlisted",
            ..DayReport::failed(&id, None, &failure)
        }
    };
    seen.missing(before).into_iter().map(report).collect()
}

/// How each sub-account fared that was to be worked on, and where its chain stands by this host's notes.
fn attend(
    archive: &Writer,
    seen: &mut AccountListing,
    targets: &[SubAccountJob<'_>],
    days: &[DayReport],
) -> Result<()> {
    let mut worked: BTreeMap<&str, Exit> = BTreeMap::new();
    worked.extend(
        targets
            .iter()
            .map(|target| (target.sub_account.as_str(), Exit::Done)),
    );
    // Also of one that could not even be begun with.
    let is_one = |day: &&DayReport| {
        seen.named.contains(&day.sub_account) || seen.listed.contains(&day.sub_account)
    };
    for day in days.iter().filter(is_one) {
        let exit = worked.entry(&day.sub_account).or_insert(Exit::Done);
        *exit = Exit::worst([*exit, day.exit]);
    }
    for (id, exit) in worked {
        seen.outcomes.insert(id.to_owned(), ended(exit));
        if let Some(head) = archive.state.remembered_head(id)? {
            seen.heads.insert(id.to_owned(), head);
        }
    }
    Ok(())
}
