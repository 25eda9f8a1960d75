//! Finds the rows of one segment, dialog or interaction in years of days.
//!
//! A file cannot contain an id if its Bloom filters say so; only the other files are read further. An answer "not found" relies on the filters, which are not hashed; `verify` at level
//! `full` hashes all files.

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use crate::audit::blocking;
use crate::audit::remote::RemoteFile;
use crate::chain::archive::violated;
use crate::chain::{Archive, CommittedRevision, Timeline};
use crate::format::part::lookup::rows_with_id;
use crate::format::record::File;
use crate::format::row::{Row, SummaryKind};
use crate::outcome::Result;

/// Files that are searched concurrently.
const AT_ONCE: usize = 16;

/// A row, and where it was found.
#[derive(Debug, Clone)]
pub(crate) struct FoundRow {
    pub sub_account: String,
    pub date: Date,
    pub revision: CommittedRevision,
    pub file: File,
    pub row: Row,
    /// Whether both summaries have the hashes that were recorded when they were fetched.
    pub hashes_hold: bool,
    /// Whether the whole file has the hash that its manifest names.
    pub file_holds: bool,
}

/// Returns every row of which `id` is the segment's, dialog's or interaction's id, oldest revision first. Of files that cannot
/// contain it, only footer and Bloom filters are read; a file that contains it is hashed completely.
///
/// # Errors
/// [`crate::outcome::Exit::Integrity`] when a file is missing or cannot be read.
pub(crate) async fn find(source: &Archive, timeline: &Timeline, id: &str) -> Result<Vec<FoundRow>> {
    let files = timeline.revisions.iter().flat_map(|revision| {
        revision
            .record
            .files
            .iter()
            .map(move |file| (revision, file))
    });
    let found: Vec<Vec<FoundRow>> = stream::iter(files)
        .map(|(revision, file)| search_file(source, &timeline.sub_account, revision, file, id))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

/// Returns the rows of one file that have the id.
async fn search_file(
    source: &Archive,
    sub_account: &str,
    revision: &CommittedRevision,
    file: &File,
    id: &str,
) -> Result<Vec<FoundRow>> {
    source.check_stop()?;
    let remote = RemoteFile::new(source.store.clone(), &file.key, file.bytes);
    let (key, wanted) = (file.key.clone(), id.to_owned());
    let rows = blocking(move || {
        rows_with_id(remote, &wanted)
            .map_err(|error| violated(format!("{key} cannot be read: {error}")))
    })
    .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let hashed = source.store.hash(&file.key).await?;
    let file_holds = hashed.is_some_and(|hashed| hashed.sha256 == file.sha256);
    let found = rows.into_iter().map(|row| FoundRow {
        sub_account: sub_account.to_owned(),
        date: revision.record.date,
        revision: revision.clone(),
        file: file.clone(),
        hashes_hold: SummaryKind::BOTH
            .iter()
            .all(|&kind| row.observation(kind).hash_holds()),
        file_holds,
        row,
    });
    Ok(found.collect())
}
