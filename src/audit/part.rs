//! A stored part as a local file.

use std::path::PathBuf;

use crate::audit::scratch::Scratch;
use crate::chain::Archive;
use crate::chain::archive::violated;
use crate::format::part::PartReader;
use crate::format::record::manifest;
use crate::outcome::{Failure, Result};
use crate::store::file::{hash_file, open_regular};

/// A part whose bytes are those that a manifest names: the archive's own file where the archive is a folder, otherwise a
/// copy that is removed when this is dropped.
pub(crate) struct LocalPart {
    pub key: String,
    pub path: PathBuf,
    copied: bool,
}

impl LocalPart {
    /// Copies the part where necessary, and hashes it.
    ///
    /// # Errors
    /// [`Exit::Integrity`](crate::outcome::Exit::Integrity) when the part is missing, or has other bytes.
    pub async fn get(
        source: &Archive,
        scratch: &Scratch,
        file: &manifest::File,
    ) -> Result<LocalPart> {
        source.check_stop()?;
        let (path, copied) = match source.store.in_place(&file.key) {
            Some(path) => (path, false),
            None => (scratch.path(&file.key), true),
        };
        let part = LocalPart {
            key: file.key.clone(),
            path,
            copied,
        };
        let hashed = match part.copied {
            // By the store, which follows no link on the way to the file.
            false => source.store.hash(&file.key).await?,
            true if source.store.download(&file.key, &part.path).await? => {
                hash_file(&part.path).await?
            }
            true => None,
        };
        match hashed {
            Some(hashed) if hashed.sha256 == file.sha256 => Ok(part),
            Some(_) => Err(violated(format!(
                "{} has other bytes than its manifest names",
                file.key
            ))),
            None => Err(violated(format!("{} is missing", file.key))),
        }
    }

    /// Opens the part for reading.
    ///
    /// # Errors
    /// [`Exit::Integrity`](crate::outcome::Exit::Integrity) when it is not a part that this program can read.
    pub fn open(&self) -> Result<PartReader> {
        let file = open_regular(&self.path).map_err(|error| self.damaged(error))?;
        PartReader::open(file).map_err(|error| self.damaged(error))
    }
}

impl LocalPart {
    fn damaged(&self, error: impl std::fmt::Display) -> Failure {
        violated(format!("{} is damaged: {error}", self.key))
    }
}

impl Drop for LocalPart {
    fn drop(&mut self) {
        if self.copied {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
