//! Records all sub-accounts at the end of a command, in the archive's roster (`schemas/FORMAT.md`, the roster).
//!
//! A sub-account to which the user has lost access is missing from RingCX's list, and nothing else shows it: no day fails,
//! and no gap appears. The roster therefore remembers every sub-account that was ever expected, and the run that no longer
//! finds one ends with [`Exit::Denied`] until the operator acknowledges it in `known_warnings`.
//!
//! The roster also names the head of every chain. Its own head covers all of them, so that one line of text, printed or
//! anchored, fixes the whole archive.

use std::collections::BTreeMap;

use crate::chain::roster::{commit, ended};
use crate::chain::{Roster, Writer};
use crate::command::night::day_report::DayReport;
use crate::command::night::job::SubAccountJob;
use crate::format::place::key;
use crate::format::record::{AccountListing, HeadRef, Inventory, UNLISTED};
use crate::outcome::{Exit, Failure, Result};

/// Reports sub-accounts that are no longer listed, and commits the roster of this command. Returns its
/// head.
///
/// `anchors_exit` is the worst exit code of the anchors. A failure here is added to `days` like that of any day. A crash
/// before the commit loses this record and nothing else: the next run's record says as much.
pub(crate) async fn record_inventory(
    archive: &Writer,
    roster: &mut Roster,
    command: &str,
    mut listing: AccountListing,
    jobs: &[SubAccountJob<'_>],
    days: &mut Vec<DayReport>,
    anchors_exit: Exit,
) -> Option<HeadRef> {
    let committed: Result<_> = async {
        let before = roster.roll(archive).await?;
        days.extend(unlisted(&listing, before.as_ref()));
        add_outcomes(archive, &mut listing, jobs, days)?;
        let exit = Exit::worst(days.iter().map(|day| day.exit).chain([anchors_exit]));
        // After a violation nothing more is written until it is understood; the roster before still holds.
        if exit == Exit::Integrity {
            return Ok(None);
        }
        commit(archive, roster, command, exit, listing).await
    }
    .await;
    match committed {
        Ok(head) => head.map(|head| head.of_chain(key::ROSTER)),
        Err(failure) => {
            days.push(DayReport::failed(key::ROSTER, None, &failure));
            None
        }
    }
}

/// Reports expected sub-accounts that the API no longer lists. Lost access looks like a sub-account that never existed: it
/// has no days, and no errors either.
fn unlisted(listing: &AccountListing, before: Option<&Inventory>) -> Vec<DayReport> {
    let missing = listing.missing(before).into_iter();
    missing.map(|id| unlisted_report(&id)).collect()
}

/// Returns the report about one such sub-account. It denies the run its success until the operator has acknowledged it.
fn unlisted_report(id: &str) -> DayReport {
    let message = format!(
        "RingCX no longer lists sub-account {id}, and none of its days can be archived any more"
    );
    let failure = Failure::denied(message).remedy(format!(
        "Give the user access to it again in RingCX Admin; or, if the sub-account was closed, name {UNLISTED}:{id} in \
         CXVAULT_KNOWN_WARNINGS."
    ));
    DayReport {
        outcome: "unlisted",
        ..DayReport::failed(id, None, &failure)
    }
}

/// Adds the worst exit code of each sub-account, and the head that this host remembers of its chain.
fn add_outcomes(
    archive: &Writer,
    listing: &mut AccountListing,
    jobs: &[SubAccountJob<'_>],
    days: &[DayReport],
) -> Result<()> {
    // A sub-account without a day to visit is done.
    let mut exits: BTreeMap<&str, Exit> = jobs
        .iter()
        .map(|job| (job.sub_account.as_str(), Exit::Done))
        .collect();
    for day in days {
        let id = &day.sub_account;
        // Also of a sub-account whose work could not begin; reports of accounts and of the roster are left out.
        if listing.named.contains(id) || listing.listed.contains(id) {
            // The worst of its days counts, as it does for the exit code of the command.
            let exit = exits.entry(id).or_insert(Exit::Done);
            *exit = Exit::worst([*exit, day.exit]);
        }
    }
    for (id, exit) in exits {
        listing.outcomes.insert(id.to_owned(), ended(exit));
        if let Some(head) = archive.state.remembered_head(id)? {
            listing.heads.insert(id.to_owned(), head);
        }
    }
    Ok(())
}
