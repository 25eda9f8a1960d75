//! A folder for somebody else: complete or not there, with SHA-256 sums of everything in it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::chain::archive::Archive;
use crate::chain::archive::violated;
use crate::format::hash::digest::Digest;
use crate::outcome::{Exit, Failure, Result};
use crate::store::file::hash_file;

/// The file with the sums, as `sha256sum -c` reads it.
pub const SUMS: &str = "SHA256SUMS";

/// A folder under way. Dropped before [`Pack::finish`], it leaves nothing behind.
pub struct Pack {
    target: PathBuf,
    folder: TempDir,
    sums: BTreeMap<String, Digest>,
}

impl Pack {
    /// # Errors
    /// [`Exit::Usage`] when `target` holds something already, or cannot be made.
    pub fn begin(target: &Path) -> Result<Pack> {
        let unusable = |error| {
            Failure::new(
                Exit::Usage,
                format!("cannot make the folder {}", target.display()),
            )
            .because(error)
            .remedy("Name another one with --out; it must not exist yet, or be empty.")
        };
        let target = std::path::absolute(target).map_err(unusable)?;
        match fs::read_dir(&target) {
            Ok(mut found) => {
                if found.next().is_some() {
                    return Err(unusable(std::io::ErrorKind::DirectoryNotEmpty.into()));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unusable(error)),
        }
        let parent = target.parent().unwrap_or(&target);
        fs::create_dir_all(parent).map_err(unusable)?;
        // Beside the target, so that it can be given its name in one step; private, since it holds people's words.
        let folder = tempfile::Builder::new()
            .prefix(".cxvault-")
            .tempdir_in(parent)
            .map_err(unusable)?;
        Ok(Pack {
            target,
            folder,
            sums: BTreeMap::new(),
        })
    }

    /// Where a file of this name is to be written; its folders are made.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| unwritable(&path, error))?;
        }
        Ok(path)
    }

    pub fn add_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name)?;
        fs::write(&path, bytes).map_err(|error| unwritable(&path, error))?;
        self.sums.insert(name.to_owned(), Digest::of(bytes));
        Ok(())
    }

    /// Copies an object of the archive, byte for byte; with `expected` only if that is its hash.
    pub async fn add_object(
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

    /// Takes in a file that was written to [`Pack::path`].
    pub async fn add_written(&mut self, name: &str) -> Result<Digest> {
        let path = self.path(name)?;
        let hashed = hash_file(&path).await?;
        let hashed =
            hashed.ok_or_else(|| unwritable(&path, std::io::ErrorKind::NotFound.into()))?;
        self.sums.insert(name.to_owned(), hashed.sha256);
        Ok(hashed.sha256)
    }

    /// Writes the sums, and gives the folder its name. Returns how many files it holds.
    pub fn finish(self) -> Result<u64> {
        let Pack {
            target,
            folder,
            sums,
        } = self;
        let path = folder.path().join(SUMS);
        let write = || {
            let mut file = fs::File::create(&path)?;
            for (name, sha256) in &sums {
                writeln!(file, "{sha256}  {name}")?;
            }
            file.sync_all()
        };
        write().map_err(|error| unwritable(&path, error))?;
        fs::rename(folder.path(), &target).map_err(|error| unwritable(&target, error))?;
        // It has its name now, and nothing is left to be removed.
        drop(folder.keep());
        Ok(sums.len() as u64 + 1)
    }
}

/// A local file that cannot be written.
pub fn unwritable(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(Exit::Later, format!("cannot write {}", path.display()))
        .because(error)
        .remedy("Free some space, or name another folder with --out; then run again.")
}
