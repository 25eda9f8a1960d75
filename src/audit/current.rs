//! The rows of one archive day, over all of its revisions.
//!
//! Revision 1 has a row for each segment of the day; later revisions have rows for those that changed. So memory holds the
//! rows of the later revisions, while those of revision 1 are streamed.

use std::collections::BTreeMap;

use crate::audit::blocking;
use crate::audit::part::LocalPart;
use crate::audit::scratch::Scratch;
use crate::chain::archive::violated;
use crate::chain::{Archive, CommittedRevision};
use crate::format::named_enum;
use crate::format::row::{Row, change};
use crate::outcome::Result;

named_enum! {
    /// Which rows of a day are read.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum RowSelection in ALL {
        /// The current row of each segment (FORMAT.md, "Current").
        Current = "current",
        /// Every row of every revision, as it was committed.
        Every = "all",
    }
}

/// Calls `each` with the selected rows of one day, on a thread that may block.
///
/// `revisions` are those of the day, oldest first.
///
/// # Errors
/// [`Exit::Integrity`](crate::outcome::Exit::Integrity) when a part is missing or damaged, and the errors of `each`.
pub(crate) async fn rows<F>(
    source: &Archive,
    scratch: &Scratch,
    revisions: &[CommittedRevision],
    which: RowSelection,
    each: F,
) -> Result<()>
where
    F: FnMut(Row) -> Result<()> + Send + 'static,
{
    let mut later = BTreeMap::new();
    let mut each = each;
    if which == RowSelection::Current {
        for revision in revisions
            .iter()
            .filter(|revision| revision.record.revision > 1)
        {
            for file in &revision.record.files {
                let part = LocalPart::get(source, scratch, file).await?;
                later = blocking(move || collect(&part, later)).await?;
            }
        }
    }
    let streamed = revisions
        .iter()
        .filter(|revision| which == RowSelection::Every || revision.record.revision == 1);
    for file in streamed.flat_map(|revision| &revision.record.files) {
        let part = LocalPart::get(source, scratch, file).await?;
        (each, later) = blocking(move || {
            for_each_row(&part, |mut row| {
                if let Some(newer) = later.remove(&row.segment.key()) {
                    change::absorb(&mut row, newer);
                }
                each(row)
            })?;
            Ok((each, later))
        })
        .await?;
    }
    // Segments that only later revisions have.
    blocking(move || later.into_values().try_for_each(&mut each)).await
}

/// Calls `each` with every row of one part, in order. At the end the rows' Merkle root was checked against the statement.
///
/// # Errors
/// [`Exit::Integrity`](crate::outcome::Exit::Integrity) when the part is damaged, and the errors of `each`.
pub(crate) fn for_each_row(
    part: &LocalPart,
    mut each: impl FnMut(Row) -> Result<()>,
) -> Result<()> {
    let mut reader = part.open()?;
    loop {
        match reader.next_row() {
            Ok(Some(row)) => each(row)?,
            Ok(None) => return Ok(()),
            Err(error) => return Err(violated(format!("{} is damaged: {error}", part.key))),
        }
    }
}

/// Adds the rows of a later revision's part: each segment's newest row absorbs the older ones.
fn collect(part: &LocalPart, mut later: BTreeMap<String, Row>) -> Result<BTreeMap<String, Row>> {
    for_each_row(part, |row| {
        match later.get_mut(&row.segment.key()) {
            Some(earlier) => change::absorb(earlier, row),
            None => {
                later.insert(row.segment.key(), row);
            }
        }
        Ok(())
    })?;
    Ok(later)
}
