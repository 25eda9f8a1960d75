//! The rows of one archive day, over all of its revisions.

use std::collections::BTreeMap;

use crate::audit::blocking;
use crate::audit::part::LocalPart;
use crate::audit::scratch::Scratch;
use crate::chain::archive::{Archive, violated};
use crate::chain::timeline::CommittedRevision;
use crate::format::row::Row;
use crate::format::row::change;
use crate::outcome::Result;

/// RowSelection rows of a day are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSelection {
    /// The current row of each segment (FORMAT.md, "Current").
    Current,
    /// Every row of every revision, as it was committed.
    Every,
}

impl RowSelection {
    /// Both selections.
    pub const ALL: [RowSelection; 2] = [RowSelection::Current, RowSelection::Every];

    /// Returns the name, as flags and events spell it.
    pub fn name(self) -> &'static str {
        match self {
            RowSelection::Current => "current",
            RowSelection::Every => "all",
        }
    }
}

/// Hands over the wanted rows of one day, on a thread that may block. Memory holds the rows that later revisions
/// changed, never the whole day.
///
/// `revisions` are those of the day, oldest first.
///
/// # Errors
/// [`Exit::Integrity`](crate::outcome::Exit::Integrity) when a part is missing or damaged, and the errors of `each`.
pub async fn rows<F>(
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

/// Every row of one part, in its order; at the end its Merkle root has been checked against its statement.
pub fn for_each_row(part: &LocalPart, mut each: impl FnMut(Row) -> Result<()>) -> Result<()> {
    let mut reader = part.open()?;
    loop {
        match reader.next_row() {
            Ok(Some(row)) => each(row)?,
            Ok(None) => return Ok(()),
            Err(error) => return Err(violated(format!("{} is damaged: {error}", part.key))),
        }
    }
}

/// What later revisions say, each segment's newest row absorbing the older ones.
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
