//! A folder to hand on: an evidence pack, an export. It is complete or does not exist, and has the SHA-256 of every file.
//!
//! The files are written into a hidden temporary folder beside the target, which gets the target's name in the last step.
//! A crash before that leaves the temporary folder (`.cxvault-...`), which can be deleted.
//!
//! All of it is for the user alone who asked for it, also after it has its name: a pack leaves the archive's protection
//! behind, and whom to give it to is a decision of that user.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::chain::Archive;
use crate::chain::archive::violated;
use crate::format::hash::Digest;
use crate::format::text::printable;
use crate::outcome::{Failure, Result};
use crate::private;
use crate::store::file::hash_file;
use crate::store::key;

/// Name of the file with the hashes, in the form that `sha256sum -c` reads.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// A folder that is being written. Its files are removed if it is dropped before [`Pack::finish`].
pub(crate) struct Pack {
    target: PathBuf,
    folder: TempDir,
    sums: BTreeMap<String, Digest>,
}

/// What a folder that is complete consists of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FinishedPack {
    /// Number of files, that of the hashes included.
    pub files: u64,
    /// SHA-256 of the file with the hashes, which stands for the whole folder.
    pub digest: Digest,
}

impl Pack {
    /// Begins a folder that will get the name `target`.
    ///
    /// # Errors
    /// `Exit::Usage` if `target` is not an empty folder, or cannot be created.
    pub(crate) fn begin(target: &Path) -> Result<Pack> {
        Self::begin_beside(target).map_err(|error| {
            Failure::usage(format!("cannot create the folder {}", target.display()))
                .because(error)
                .remedy("Name a folder with --out that does not exist, or is empty.")
        })
    }

    fn begin_beside(target: &Path) -> io::Result<Pack> {
        let target = std::path::absolute(target)?;
        match fs::read_dir(&target) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(io::ErrorKind::DirectoryNotEmpty.into());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let parent = target.parent().unwrap_or(&target);
        private::create_folders(parent)?;
        // Beside the target, so that one rename gives it its name; only the owner may read it, since it contains summaries.
        let folder = private::temporary_folder(".cxvault-", Some(parent))?;
        Ok(Pack {
            target,
            folder,
            sums: BTreeMap::new(),
        })
    }

    /// Returns the path for a new file of this name, and creates its folders.
    ///
    /// Names may come from an archive. The readers of records have checked them already; this is the second wall, because
    /// a file of the user would be overwritten: a name that is absolute, climbs with `..`, or was used before is refused.
    ///
    /// # Errors
    /// `Exit::Integrity` for such a name; otherwise as [`unwritable`].
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        if key::check_new(name).is_err() || self.sums.contains_key(name) {
            return Err(violated(format!(
                "{} cannot be the name of a new file in this folder",
                printable(name)
            )));
        }
        let path = self.folder.path().join(name);
        if let Some(parent) = path.parent() {
            private::create_folders(parent).map_err(|error| unwritable(&path, error))?;
        }
        Ok(path)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// As [`unwritable`].
    pub(crate) fn add_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name)?;
        private::create_new(&path)
            .and_then(|mut file| file.write_all(bytes))
            .map_err(|error| unwritable(&path, error))?;
        self.sums.insert(name.to_owned(), Digest::of(bytes));
        Ok(())
    }

    /// Copies an object of the archive byte for byte.
    ///
    /// # Errors
    /// `Exit::Integrity` if the object is missing, or its SHA-256 is not `expected`; as [`unwritable`] otherwise.
    pub(crate) async fn add_object(
        &mut self,
        source: &Archive,
        key: &str,
        name: &str,
        expected: Option<Digest>,
    ) -> Result<()> {
        source.check_stop()?;
        let path = self.path(name)?;
        if !source.store.download(key, &path).await? {
            return Err(violated(format!("{key} is missing")));
        }
        let sha256 = self.add_written(name).await?;
        match expected {
            Some(expected) if expected != sha256 => Err(violated(format!(
                "{key} has other bytes than its manifest names"
            ))),
            _ => Ok(()),
        }
    }

    /// Adds a file that the caller wrote to [`Pack::path`], and returns its SHA-256.
    ///
    /// # Errors
    /// As [`unwritable`].
    pub(crate) async fn add_written(&mut self, name: &str) -> Result<Digest> {
        let path = self.path(name)?;
        let hashed = hash_file(&path).await?;
        let hashed = hashed.ok_or_else(|| unwritable(&path, io::ErrorKind::NotFound.into()))?;
        self.sums.insert(name.to_owned(), hashed.sha256);
        Ok(hashed.sha256)
    }

    /// Writes the hashes and gives the folder its name.
    ///
    /// # Errors
    /// As [`unwritable`].
    pub fn finish(self) -> Result<FinishedPack> {
        let path = self.folder.path().join(SUMS);
        let digest = self
            .write_sums(&path)
            .map_err(|error| unwritable(&path, error))?;
        fs::rename(self.folder.path(), &self.target)
            .map_err(|error| unwritable(&self.target, error))?;
        // The folder has its name now, so its temporary name must not be removed on drop.
        drop(self.folder.keep());
        Ok(FinishedPack {
            files: self.sums.len() as u64 + 1,
            digest,
        })
    }

    /// Writes the hashes of all files, and returns the hash of this list.
    fn write_sums(&self, path: &Path) -> io::Result<Digest> {
        let lines: Vec<String> = self
            .sums
            .iter()
            .map(|(name, sha256)| format!("{sha256}  {name}\n"))
            .collect();
        let text = lines.concat();
        let mut file = private::create_new(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(Digest::of(text.as_bytes()))
    }
}

/// Returns the failure of a local file that cannot be written: `Exit::Later`, as its usual reason is a full disk.
pub(crate) fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::later(format!("cannot write {}", path.display()))
        .because(error)
        .remedy("Free some space, or name another folder with --out; then run again.")
}
