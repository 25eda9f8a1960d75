//! Makes a receipt for one segment's row.
//!
//! A receipt proves one row without the archive: the row and its Merkle path to the root of its file, every record of the chain
//! from the one that commits the file up to the head, and the numbers of later records about the same day. A reader with
//! the head from a second source needs nothing else. The path fixes the row in its file, the manifest fixes the file, and each later
//! record fixes the one before it.
//!
//! Later records are named because they may have a newer row of the same segment: the receipt proves what was committed, and
//! does not say that it is current.

use crate::audit::blocking;
use crate::audit::current::for_each_row;
use crate::audit::find::FoundRow;
use crate::audit::part::LocalPart;
use crate::audit::scratch::Scratch;
use crate::chain::archive::violated;
use crate::chain::{Archive, ChainWalk, Timeline};
use crate::format::hash::merkle;
use crate::format::part::EncodedRow;
use crate::format::record::{RECEIPT_VERSION, Receipt};
use crate::format::signature::AllowedSigners;
use crate::outcome::{Failure, Result};

/// Returns the receipt of a row that was found, up to the head of `timeline`. The receipt has been checked.
///
/// # Errors
/// `Exit::Integrity` when the file or a manifest is damaged, or the receipt does not hold.
pub(crate) async fn prove(
    source: &Archive,
    timeline: &Timeline,
    found: &FoundRow,
) -> Result<Receipt> {
    let scratch = Scratch::new()?;
    let part = LocalPart::get(source, &scratch, &found.file).await?;
    let key = found.row.segment.key();
    let (leaves, place) = blocking(move || {
        let (mut leaves, mut place) = (Vec::new(), None);
        for_each_row(&part, |row| {
            let is_it = row.segment.key() == key;
            let encoded = EncodedRow::from(row);
            leaves.push(encoded.leaf_hash());
            if is_it {
                place = Some((leaves.len() - 1, encoded.members()));
            }
            Ok(())
        })?;
        Ok((leaves, place))
    })
    .await?;
    let proof =
        place.and_then(|(index, row)| Some((index, row, merkle::audit_path(&leaves, index)?)));
    let (index, row, path) =
        proof.ok_or_else(|| violated(format!("{} no longer holds the segment", found.file.key)))?;
    let first = found.revision.sequence;
    let mut walk = ChainWalk::forwards(source, &timeline.sub_account, first, timeline.head.0);
    let mut chain = Vec::new();
    while let Some(stored) = walk.next().await? {
        chain.push(stored.envelope);
    }
    let later_of_day = timeline.revisions.iter().filter(|revision| {
        revision.record.date == found.date
            && (first + 1..=timeline.head.0).contains(&revision.sequence)
    });
    let mut later_manifests: Vec<u64> = later_of_day.map(|revision| revision.sequence).collect();
    later_manifests.sort_unstable();
    let receipt = Receipt {
        receipt_version: RECEIPT_VERSION,
        sub_account: timeline.sub_account.clone(),
        date: found.date,
        revision: found.revision.record.revision,
        row,
        file: found.file.key.clone(),
        leaf_index: index as u64,
        path,
        chain,
        head: timeline.head_ref().to_string(),
        later_manifests_of_day: later_manifests,
    };
    receipt
        .check(&AllowedSigners::default(), &[])
        .map_err(|error| {
            Failure::integrity("the archive gives no receipt that holds")
                .because(error)
                .remedy("Run `cxvault verify` for all findings.")
        })?;
    Ok(receipt)
}
