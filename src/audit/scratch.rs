//! Temporary space for parts while they are read.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::format::hash::Digest;
use crate::outcome::{Failure, Result};
use crate::private;

/// A temporary folder for copies of parts of remote stores, which only this user may enter. It is removed when this value is dropped.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// # Errors
    /// `Exit::Later` where the folder cannot be created.
    pub fn new() -> Result<Scratch> {
        let made = private::temporary_folder("cxvault-", None);
        made.map(Scratch).map_err(|error| {
            Failure::later("cannot create a temporary folder")
                .because(error)
                .remedy("Free some space, or set TMPDIR to a folder that this user can write to.")
        })
    }

    /// Returns a path in the folder that no other key gets. Nothing of the key is part of it: a key is a text of the archive,
    /// and may be absolute or climb out of the folder.
    pub fn path(&self, key: &str) -> PathBuf {
        self.0.path().join(Digest::of(key.as_bytes()).hex())
    }
}
