//! What a chain says of its days, for the checks that come after the chain: the objects, the files and the rows.

use crate::format::hash::Digest;
use crate::format::record::{DayRecord, File, Link, Lock};
use crate::format::time::{Instant, Window};

/// One committed revision.
#[derive(Debug, Clone)]
pub(crate) struct RevisionCheck {
    /// Key of the manifest.
    pub manifest_key: String,
    /// SHA-256 of the manifest's object.
    pub manifest_sha256: Digest,
    /// Whether the manifest has a signature.
    pub signed: bool,
    /// When it was committed, by the writer's clock.
    pub finished_at: Instant,
    /// The record without its discovery windows, which are checked when it is read.
    pub record: DayRecord,
    /// The lock that its objects must have. When the whole chain is read, it includes what later records require.
    pub lock: Option<Lock>,
    /// Whether its objects must have a legal hold.
    pub held: bool,
    /// Whether it was committed at another place, before the archive was taken over.
    pub elsewhere: bool,
    /// Whether its files may have been deleted because the day was disposed of later.
    pub may_be_gone: bool,
}

/// What the chain says of one archive day.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommittedDay {
    /// The revisions in order.
    pub revisions: Vec<RevisionCheck>,
    /// The manifests that contain discovery windows of the day.
    pub windows_by: Vec<Link>,
    /// The record that disposed of the day, and when it was committed.
    pub disposed: Option<(Link, Instant)>,
}

impl RevisionCheck {
    /// Returns the link by which other records name the manifest.
    pub fn link(&self) -> Link {
        Link {
            key: self.manifest_key.clone(),
            sha256: self.manifest_sha256,
        }
    }
}

impl CommittedDay {
    /// Returns the files of all revisions.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.revisions
            .iter()
            .flat_map(|revision| &revision.record.files)
    }

    /// Returns the record of the newest revision.
    pub fn newest(&self) -> Option<&DayRecord> {
        self.revisions.last().map(|revision| &revision.record)
    }

    /// Returns the interval of the day in UTC milliseconds.
    pub fn window(&self) -> Option<Window> {
        self.newest().map(|record| record.window)
    }
}
