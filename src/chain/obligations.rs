//! The holds and extensions of one chain, read from its head backwards.

use crate::chain::archive::Archive;
use crate::chain::archive::violated;
use crate::chain::timeline::{read_head, read_one};
use crate::format::place::key;
use crate::format::record::manifest::{Record, Run};
use crate::format::record::notes::Hold;
use crate::format::record::obligations::Obligations;
use crate::outcome::Result;

/// What is in force, and who ordered it.
#[derive(Debug, Clone, Default)]
pub struct StandingObligations {
    pub orders: Obligations,
    /// The hold records with the run that committed each, oldest first.
    pub holds: Vec<(String, Run, Hold)>,
}

/// Reads the records that the head names, and those that they name, each by its hash.
///
/// # Errors
/// [`crate::outcome::Exit::Integrity`] where one of them is not the one that is named.
pub async fn read(source: &Archive, sub_account: &str) -> Result<StandingObligations> {
    let head = read_head(source, sub_account).await?;
    let mut next = head.envelope.manifest.orders_for_next(head.sha256);
    let mut newest_first = Vec::new();
    while let Some(link) = next {
        source.check_stop()?;
        let sequence = key::parse_manifest(&link.key).unwrap_or_default();
        let stored = read_one(source, sub_account, sequence).await?;
        let manifest = stored.envelope.manifest;
        let ours = manifest.key == link.key && stored.sha256 == link.sha256;
        if !ours || manifest.orders_for_next(stored.sha256).as_ref() != Some(&link) {
            return Err(violated(format!(
                "{} is not the hold or retention record that is named",
                link.key
            )));
        }
        next = manifest.orders.clone();
        newest_first.push(manifest);
    }
    let mut standing = StandingObligations::default();
    for manifest in newest_first.into_iter().rev() {
        standing.orders.take(manifest.sequence, &manifest.record);
        if let Record::Hold(hold) = manifest.record {
            standing.holds.push((manifest.key, manifest.run, *hold));
        }
    }
    Ok(standing)
}
