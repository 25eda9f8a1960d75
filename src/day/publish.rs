//! Parts into the store, one after the other, never replacing anything (protocol step 3).

use crate::chain::archive::Archive;
use crate::chain::required::{Protection, stored};
use crate::day::encode::EncodedPart;
use crate::day::prior::PriorState;
use crate::format::record::lock::Lock;
use crate::format::record::manifest::{File, ObjectLock};
use crate::outcome::Result;
use crate::store::{Body, NewObject, PutOutcome};

/// How the parts of a revision ended.
#[derive(Debug)]
pub enum Published {
    /// All are stored; with their lock as read back.
    All {
        files: Vec<File>,
        lock: Option<ObjectLock>,
    },
    /// Somebody else put a part under one of our names first: their rows must be weighed before ours go on.
    Taken,
}

/// Puts each part only when the one before is known to be stored.
///
/// A crash before the first leaves nothing in the store; after the n-th it leaves n parts of an uncommitted
/// revision, which the next run puts again (same bytes, "exists") or adopts.
pub async fn publish(
    archive: &Archive,
    basis: &PriorState,
    parts: &[EncodedPart],
    duty: Protection,
) -> Result<Published> {
    let mut files = Vec::new();
    let mut locks = Vec::new();
    for adopted in &basis.adopted {
        let stat = duty.give(archive, &adopted.file.key).await?;
        locks.push(stat.lock);
        files.push(adopted.file.clone());
    }
    for part in parts {
        let object = NewObject {
            key: part.key.clone(),
            body: Body::File(part.path.clone()),
            sha256: part.sha256,
            lock: duty.lock,
            legal_hold: duty.hold,
        };
        let put = archive.store.put_new(&object).await?;
        let mut stat = stored(archive, &part.key).await?;
        if put == PutOutcome::Exists {
            if stat.sha256 != Some(part.sha256) {
                return Ok(Published::Taken);
            }
            // Ours, from an attempt that died: its lock and hold may be that attempt's.
            stat = duty.give(archive, &part.key).await?;
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
    Ok(Published::All {
        files,
        lock: common(&locks),
    })
}

/// The lock that every object has at least: what the manifest may claim of them. None where one of them has none.
fn common(locks: &[Option<Lock>]) -> Option<ObjectLock> {
    let locks: Option<Vec<Lock>> = locks.iter().copied().collect();
    let lock = locks?.into_iter().reduce(Lock::weaker)?;
    Some(ObjectLock {
        mode: lock.mode,
        retain_until: lock.until_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::lock::LockMode;
    use crate::format::record::lock::LockMode::{Compliance, Governance};

    #[test]
    fn a_manifest_claims_no_more_than_its_weakest_part_has() {
        let lock = |mode: LockMode, until_ms| Some(Lock { mode, until_ms });
        let claimed = |mode: LockMode, retain_until| Some(ObjectLock { mode, retain_until });
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
            assert_eq!(common(&locks), claim, "{locks:?}");
        }
    }
}
