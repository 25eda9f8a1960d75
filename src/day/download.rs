//! A stored object on the local disk, for as long as it is read.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::day::context::DayContext;
use crate::format::hash::Digest;
use crate::format::part::{PartError, PartReader};
use crate::outcome::{Failure, Result};
use crate::store::file::hash_file;

/// A stored object, copied into the scratch folder and hashed. The copy is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Download {
    /// Where the copy is.
    pub path: PathBuf,
    /// Length of the object in bytes.
    pub bytes: u64,
    /// SHA-256 of the copy, as it is read afterwards.
    pub sha256: Digest,
}

impl Download {
    /// Copies the object under `key` into the scratch folder; `None` where there is no such object.
    ///
    /// Only one download exists at a time: all use the same file name.
    pub async fn fetch(context: &DayContext<'_>, key: &str) -> Result<Option<Download>> {
        let path = context.scratch.join("download.parquet");
        if !context.archive.store.download(key, &path).await? {
            return Ok(None);
        }
        // Of the local file, not of the bytes on the way: what is hashed is what is read afterwards.
        let hashed = hash_file(&path).await?.ok_or_else(|| {
            Failure::later(format!("cannot read {}", path.display()))
                .remedy("Check the disk of the state folder; then run again.")
        })?;
        Ok(Some(Download {
            path,
            bytes: hashed.bytes,
            sha256: hashed.sha256,
        }))
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // The scratch folder is removed as a whole later on; a file that stays until then harms nothing.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens a local part for reading.
pub(super) fn open_part(path: &Path) -> Result<PartReader, PartError> {
    let file = File::open(path).map_err(|error| PartError::Parquet(error.into()))?;
    PartReader::open(file)
}
