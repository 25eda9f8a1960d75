//! The lock and the legal hold of one object: what it must have, and what the store says that it has.

use crate::chain::archive::{Archive, violated};
use crate::format::record::Lock;
use crate::outcome::Result;
use crate::store::Stat;

/// The lock and the legal hold that an object must have at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Protection {
    /// The weakest lock that suffices; `None` where none is required.
    pub lock: Option<Lock>,
    /// Whether a legal hold is required.
    pub hold: bool,
}

impl Protection {
    /// Returns what an object lacks of this protection, by what the store reports of it. A longer or stronger lock lacks
    /// nothing.
    pub fn lacked_by(self, stat: &Stat) -> Protection {
        Protection {
            lock: self
                .lock
                .filter(|lock| !stat.lock.is_some_and(|now| now.covers(*lock))),
            hold: self.hold && !stat.legal_hold,
        }
    }

    /// Gives a stored object what it lacks, and returns what the store says of it then.
    ///
    /// # Errors
    /// [`Exit::Integrity`](crate::outcome::Exit::Integrity) where the object is gone, or the store no longer keeps holds.
    pub async fn give(self, archive: &Archive, key: &str) -> Result<Stat> {
        let stat = stored(archive, key).await?;
        let lacked = self.lacked_by(&stat);
        if lacked == Protection::default() {
            return Ok(stat);
        }
        if let Some(lock) = lacked.lock {
            archive.store.raise_lock(key, lock).await?;
        }
        if lacked.hold && !archive.store.set_legal_hold(key, true).await? {
            return Err(violated(format!(
                "{} keeps no legal holds, but kept one when a hold was recorded",
                archive.store.root()
            )));
        }
        stored(archive, key).await
    }
}

/// Returns what the store says of an object that must be there.
///
/// # Errors
/// [`Exit::Integrity`](crate::outcome::Exit::Integrity) where the object is gone.
pub async fn stored(archive: &Archive, key: &str) -> Result<Stat> {
    let stat = archive.store.stat(key).await?;
    stat.ok_or_else(|| violated(format!("{key} was stored, and is gone")))
}
