//! What is to be copied, from which archive to which location, and the result.

use std::sync::Arc;

use serde::Serialize;

use crate::chain::Archive;
use crate::clock::Clock;
use crate::format::record::Retention;
use crate::store::Store;

/// Objects that are examined or copied concurrently. Each file of a remote source is in the temporary folder while it is
/// copied.
pub(super) const AT_ONCE: usize = 16;

/// The options of a copy.
#[derive(Debug, Clone)]
pub(crate) struct CopyOptions {
    /// The sub-accounts to copy; an empty list means all.
    pub sub_accounts: Vec<String>,
    /// Which locks the objects of the copy get.
    pub locks: CopyLocks,
    /// Read and hash the objects that the copy has already, instead of trusting the length and checksum of its store.
    pub check: bool,
    /// Only report what would be copied.
    pub dry_run: bool,
}

/// Which locks the objects of a copy get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyLocks {
    /// The locks that the chains require. Objects that are stored now get the stronger of that and of this policy.
    Applied(Option<Retention>),
    /// No locks and no holds, although the chains require them.
    LeftOut,
}

/// The source and the destination of a copy.
pub(crate) struct Job {
    pub source: Archive,
    pub to: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub options: CopyOptions,
}

/// The result of a copy; in a dry run what it would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Number of sub-accounts whose chains are complete in the copy.
    pub sub_accounts: u64,
    /// Number of manifests that were stored.
    pub manifests: u64,
    /// Number of files that were stored.
    pub files: u64,
    /// Number of records of the roster that were stored.
    pub rosters: u64,
    /// Size of everything that was stored, in bytes.
    pub bytes: u64,
    /// Number of objects that the copy had already, with the right content.
    pub there: u64,
    /// Number of files of disposed days, which are not copied.
    pub disposed: u64,
    /// Number of objects of the source that no manifest lists, which are not copied.
    pub unlisted: u64,
    /// Number of objects that were stored with a lock, or whose lock was extended.
    pub locked: u64,
    /// Number of objects that were stored under a legal hold, or got one.
    pub held: u64,
    /// Number of objects that the chain requires to be locked or held, and that are neither in the copy.
    pub unlocked: u64,
    /// Number of objects of the copy under a legal hold that no open case requires any longer.
    pub held_beyond: u64,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256` of each chain that is complete in the copy, and of the roster.
    pub heads: Vec<String>,
}
