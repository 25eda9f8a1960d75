//! Step 3: parts into the store, one after another, never replacing an object.
//!
//! A crash before the first part leaves nothing in the store; after the n-th it leaves n parts of an uncommitted revision.
//! The next run stores them again (same bytes, so the store answers "exists") or adopts them.

use crate::chain::protection::stored;
use crate::chain::{Chain, Protection};
use crate::day::context::DayContext;
use crate::day::encode::EncodedPart;
use crate::day::prior::PriorState;
use crate::format::record::{File, Lock, ObjectLock};
use crate::outcome::{Failure, Result};
use crate::store::{Body, NewObject, PutOutcome};

/// How the parts of a revision were stored.
#[derive(Debug)]
pub(super) enum Published {
    /// All parts are stored.
    All(PublishedParts),
    /// Another process has stored a part under the same name: its rows must be read before this revision goes on.
    Taken,
}

/// The stored parts of a revision, adopted ones first.
#[derive(Debug)]
pub(super) struct PublishedParts {
    /// The files as the record of the revision lists them.
    pub files: Vec<File>,
    /// The lock that each of them has at least, as read back from the store; `None` where one of them has none.
    pub lock: Option<ObjectLock>,
}

/// Returns the lock and the legal hold of this revision's objects.
///
/// The lock by the settings is frozen in the journal the first time, so that a run after a crash stores its objects with
/// the same lock. Holds and longer retention that the chain records are added.
pub(super) async fn required_protection(
    context: &DayContext<'_>,
    chain: &mut Chain,
    prior: &PriorState,
) -> Result<Protection> {
    let lock = frozen_lock(context, prior).await?;
    Protection::of(context.archive, chain, context.job.date, lock).await
}

/// Returns the lock by the settings, from the journal where an earlier run has frozen it; `None` where locks are off.
async fn frozen_lock(context: &DayContext<'_>, prior: &PriorState) -> Result<Option<Lock>> {
    let Some(fresh) = context.archive.fresh_lock()? else {
        return Ok(None);
    };
    let name = format!("lock of revision {}", prior.revision());
    context
        .journal
        .call(move |journal| {
            let frozen = journal
                .meta(&name)?
                .and_then(|text| serde_json::from_str::<Lock>(&text).ok());
            // Settings that were changed since to another mode win.
            if let Some(frozen) = frozen.filter(|frozen| frozen.mode == fresh.mode) {
                return Ok(Some(frozen));
            }
            let text = serde_json::to_string(&fresh).map_err(|error| {
                Failure::unexpected("cannot write the lock to the journal").because(error)
            })?;
            journal.set_meta(&name, &text)?;
            Ok(Some(fresh))
        })
        .await
}

/// Stores each part only when the part before it is known to be stored.
///
/// # Errors
/// Those of the store. Parts stored before the error stay; the next run finds them.
pub(super) async fn publish(
    context: &DayContext<'_>,
    prior: &PriorState,
    parts: &[EncodedPart],
    protection: Protection,
) -> Result<Published> {
    let archive = context.archive;
    let (mut files, mut locks) = (Vec::new(), Vec::new());
    // An adopted part has the lock of the run that stored it, and may lack a hold that was recorded since.
    for adopted in &prior.adopted {
        let stat = protection.give(archive, &adopted.file.key).await?;
        locks.push(stat.lock);
        files.push(adopted.file.clone());
    }
    for part in parts {
        let object = NewObject {
            key: part.key.clone(),
            body: Body::File(part.path.clone()),
            sha256: part.sha256,
            lock: protection.lock,
            legal_hold: protection.hold,
        };
        // Create-only: the store answers "exists" where the name is taken, and changes nothing.
        let put = archive.store.put_new(&object).await?;
        // Read back, since the record claims the lock that the store reports, not the one that was requested.
        let mut stat = stored(archive, &part.key).await?;
        if put == PutOutcome::Exists {
            if stat.sha256 != Some(part.sha256) {
                return Ok(Published::Taken);
            }
            // Stored by an earlier run, and perhaps with another lock and hold.
            stat = protection.give(archive, &part.key).await?;
        }
        locks.push(stat.lock);
        files.push(File::of(
            &part.key,
            part.bytes,
            part.sha256,
            &part.written,
            stat.version_id,
        ));
    }
    Ok(Published::All(PublishedParts {
        files,
        lock: weakest(&locks),
    }))
}

/// Returns the lock that every object has at least, which is what the manifest may claim; `None` where an object has none.
fn weakest(locks: &[Option<Lock>]) -> Option<ObjectLock> {
    let locks: Option<Vec<Lock>> = locks.iter().copied().collect();
    locks?
        .into_iter()
        .reduce(Lock::weaker)
        .map(ObjectLock::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::lock::LockMode;
    use crate::format::record::lock::LockMode::{Compliance, Governance};

    #[test]
    fn a_manifest_claims_no_more_than_its_weakest_part_has() {
        let lock = |mode: LockMode, until_ms| Some(Lock { mode, until_ms });
        let claimed = |mode: LockMode, until_ms| lock(mode, until_ms).map(ObjectLock::from);
        for (locks, claim) in [
            (
                vec![lock(Compliance, 9), lock(Compliance, 5)],
                claimed(Compliance, 5),
            ),
            (
                vec![lock(Compliance, 5), lock(Governance, 9)],
                claimed(Governance, 5),
            ),
            (vec![lock(Compliance, 5), None], None),
            (vec![], None),
        ] {
            assert_eq!(weakest(&locks), claim, "{locks:?}");
        }
    }
}
