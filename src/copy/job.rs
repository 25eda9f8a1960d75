//! What is to be copied, from where to where, and what came of it.

use std::sync::Arc;

use serde::Serialize;

use crate::chain::archive::Archive;
use crate::clock::Clock;
use crate::format::record::lock::Retention;
use crate::store::Store;

/// Objects that are asked about or on their way at once. Each file on its way from a remote source lies in the
/// temporary folder meanwhile.
pub(super) const AT_ONCE: usize = 16;

/// What is to be copied, and how.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// None named means all.
    pub sub_accounts: Vec<String>,
    pub locks: CopyLocks,
    /// Read and hash what lies there already, instead of believing its store's length and checksum.
    pub check: bool,
    /// Look, and put nothing.
    pub dry_run: bool,
}

/// Which locks the copy gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyLocks {
    /// Those that the chains ask for; what is put now gets this policy's as well, the stronger of both.
    Applied(Option<Retention>),
    /// None, whatever the chains ask for.
    LeftOut,
}

/// From where to where.
pub struct Job {
    pub source: Archive,
    pub to: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub options: CopyOptions,
}

/// What came of it; with a dry run, what would have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Chains that are whole there.
    pub sub_accounts: u64,
    /// Manifests, files and records of the archive-wide chain that were put.
    pub manifests: u64,
    pub files: u64,
    pub rosters: u64,
    /// Bytes of all that was put.
    pub bytes: u64,
    /// Objects that lay there already, and are the right ones.
    pub there: u64,
    /// Files of disposed days, which are not copied.
    pub disposed: u64,
    /// Objects of the source that no manifest lists, which are not copied.
    pub unlisted: u64,
    /// Objects that were put with a lock, or whose lock was raised.
    pub locked: u64,
    /// Objects that were put under a legal hold, or got one.
    pub held: u64,
    /// Objects that the chain wants locked or held, and that are neither there.
    pub unlocked: u64,
    /// Objects under a legal hold there that no open case asks for any more.
    pub held_beyond: u64,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256` of each chain that is whole there, and of the archive-wide one.
    pub heads: Vec<String>,
}
