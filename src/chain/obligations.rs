//! The legal holds and longer retention of one sub-account's chain, read from its head backwards.
//!
//! Each record of a hold or of longer retention names the one before it by its hash, and every other record names the
//! newest of them. So the records in between, of years as a rule, need not be read.

use crate::chain::archive::{Archive, violated};
use crate::chain::read;
use crate::chain::record;
use crate::chain::record::StoredRecord;
use crate::format::place::key;
use crate::format::record::{Hold, Manifest, Obligations, Record, Run};
use crate::outcome::Result;

/// What is in force, and which records ordered it.
#[derive(Debug, Clone, Default)]
pub(crate) struct StandingObligations {
    /// The holds and the longer retention in force.
    pub orders: Obligations,
    /// The hold records, oldest first: key, the run that committed it, and what it says.
    pub holds: Vec<(String, Run, Hold)>,
}

/// Reads the obligations of a sub-account as of the head of its chain.
///
/// # Errors
/// Those of [`read_back`].
pub(crate) async fn read(archive: &Archive, sub_account: &str) -> Result<StandingObligations> {
    let head = read::head(archive, sub_account).await?;
    read_back(archive, &head, |_| None).await
}

/// Reads the hold and retention records that `newest` names, and those that they name. Records that `known` returns are
/// not fetched again.
///
/// # Errors
/// [`Exit::Integrity`](crate::outcome::Exit::Integrity) where a record is not the one that is named.
pub(crate) async fn read_back<'a>(
    archive: &Archive,
    newest: &StoredRecord,
    known: impl Fn(u64) -> Option<&'a StoredRecord>,
) -> Result<StandingObligations> {
    let chain = newest.envelope.manifest.sub_account.as_str();
    let mut next = newest.envelope.manifest.orders_for_next(newest.sha256);
    let mut newest_first: Vec<Manifest> = Vec::new();
    while let Some(link) = next {
        let read = key::parse_manifest(&link.key).and_then(&known).cloned();
        let read = match read.filter(|read| read.link() == link) {
            Some(read) => read,
            None => record::fetch_linked(archive, chain, &link).await?,
        };
        let manifest = read.envelope.manifest;
        if manifest.orders_for_next(read.sha256).as_ref() != Some(&link) {
            let key = &link.key;
            let problem = format!("{key} is not the hold or retention record that is named");
            return Err(violated(problem));
        }
        next = manifest.orders.clone();
        newest_first.push(manifest);
    }
    let mut standing = StandingObligations::default();
    for manifest in newest_first.into_iter().rev() {
        standing.orders.push(manifest.sequence, &manifest.record);
        if let Record::Hold(hold) = manifest.record {
            standing.holds.push((manifest.key, manifest.run, *hold));
        }
    }
    Ok(standing)
}
