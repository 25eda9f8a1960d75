//! Verification: nothing is missing and nothing was changed, or what exactly was.
//!
//! ```text
//! archive      archive.json, and objects at places where none belongs
//! keys         which signatures count; signers reads the chain that changes the keys
//! roster       the records about all chains; roster_chain reads them
//! chain        every record of a sub-account in order: links, record, notes   (pure)
//! heads        a chain against heads that are known from a second source
//! calendar     every date of the range against the chain                      (pure)
//! sub_account  one sub-account from its chain to its rows
//! objects      the objects in the store against the chain
//! rows         the rows of the files against the manifests                    (reads local files only)
//! verifier     what all of these share: the store, the options, the totals
//! claim        what the verdict may say, and what it was read from                (pure)
//! days         what a chain says of its days, for the checks after it
//! finding      the codes, and the findings
//! ```
//!
//! The verifier trusts neither the store nor the manifests: it reads the chain first, then lists the store and the
//! calendar itself. It uses only the store and the format, never `crate::chain`, because code that is shared with the
//! writer would repeat the writer's mistakes. It writes nothing. It has one chain and a few row groups in memory.
//!
//! What is found is reported, not returned: findings of an archive with millions of objects may not fit into memory. An
//! error means that the store could not be read, so that nothing can be said about the archive.

mod archive;
mod calendar;
mod chain;
mod claim;
mod days;
pub mod finding;
mod heads;
mod keys;
mod links;
mod notes;
mod objects;
mod record;
mod roster;
mod roster_chain;
mod rows;
mod signers;
mod sub_account;
#[cfg(test)]
mod testing;
mod verifier;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use crate::audit::verify::finding::Finding;
use crate::audit::verify::verifier::Verifier;
use crate::format::place::key;
use crate::outcome::{Failure, Result};
use crate::store::Store;

pub use verifier::{Level, VerifyOptions, VerifyProgress, VerifyTotals};

/// Verifies an archive. Each finding is passed to `report` as soon as it is known, from several threads.
///
/// # Examples
/// ```no_run
/// use std::sync::Arc;
///
/// use cxvault::audit::verify::{Level, VerifyOptions, VerifyProgress, verify};
/// # use cxvault::format::{signature::AllowedSigners, time::range::Days};
/// # async fn example(store: Arc<dyn cxvault::store::Store>) -> cxvault::outcome::Result<()> {
///
/// let options = VerifyOptions {
///     days: Days::default(),
///     sub_accounts: Vec::new(),
///     level: Level::Full,
///     subset: None,
///     heads: Vec::new(),
///     anchors: None,
///     allowed: AllowedSigners::default(),
/// };
/// let progress = VerifyProgress::default();
/// let totals = verify(store, &options, Default::default(), &progress, &|finding| {
///     println!("{}: {}", finding.object, finding.meaning);
/// })
/// .await?;
/// println!("{} violations", totals.violations);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the store cannot be read, or `stop` is cancelled: then it is not known whether the archive is intact. Findings are
/// not errors; [`VerifyTotals::exit`] tells the exit code.
pub async fn verify(
    store: Arc<dyn Store>,
    options: &VerifyOptions,
    stop: CancellationToken,
    meter: &VerifyProgress,
    report: &(dyn Fn(Finding) + Send + Sync),
) -> Result<VerifyTotals> {
    require_included(options)?;
    let mut verifier = Verifier::new(store, options, stop, meter, report);
    verifier.archive().await?;
    verifier.anchored().await?;
    verifier.signers().await?;
    verifier.roster().await?;
    let sub_accounts = sub_accounts(&verifier).await?;
    meter
        .sub_accounts
        .store(sub_accounts.len() as u64, Ordering::Relaxed);
    for sub_account in &sub_accounts {
        verifier.sub_account(sub_account).await?;
        meter.sub_accounts_done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(verifier.into_totals())
}

/// Refuses an expected head whose chain the options leave out: it would not be compared with anything, and the verdict
/// would sound as if it had been. The roster is always read.
fn require_included(options: &VerifyOptions) -> Result<()> {
    let included = &options.sub_accounts;
    let left_out = options.heads.iter().find(|head| {
        !included.is_empty() && head.chain != key::ROSTER && !included.contains(&head.chain)
    });
    let Some(head) = left_out else {
        return Ok(());
    };
    let chain = &head.chain;
    Err(Failure::usage(format!(
        "--expect-head names the sub-account {chain}, which --sub-account leaves out"
    ))
    .remedy(format!("Add --sub-account {chain}, or remove the head.")))
}

/// Returns the sub-accounts that have manifests or data, and those that only an option, an anchor or the roster names:
/// a chain that was removed as a whole is found this way. Sub-accounts that the options do not include are left out.
async fn sub_accounts(verifier: &Verifier<'_>) -> Result<Vec<String>> {
    let mut folders = Vec::new();
    for root in [key::MANIFESTS, key::SEGMENTS] {
        folders.extend(verifier.store.children(root).await?.folders);
    }
    if let Some(anchors) = &verifier.options.anchors {
        folders.extend(anchors.chains(&verifier.archive_id).await?);
    }
    let stored = folders
        .iter()
        .filter_map(|folder| key::parse_sub_account(folder))
        .map(str::to_owned);
    let expected = verifier
        .options
        .heads
        .iter()
        .map(|head| &head.chain)
        .filter(|chain| !key::is_archive_chain(chain))
        .cloned();
    let named = verifier.keys.chains();
    let named = named
        .filter(|chain| !key::is_archive_chain(chain))
        .map(str::to_owned);
    let included = &verifier.options.sub_accounts;
    let all: BTreeSet<String> = stored
        .chain(expected)
        .chain(verifier.rostered.heads.keys().cloned())
        .chain(named)
        .chain(included.iter().cloned())
        .filter(|name| included.is_empty() || included.contains(name))
        .collect();
    Ok(all.into_iter().collect())
}
