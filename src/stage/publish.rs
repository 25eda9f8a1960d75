//! Parts into the store, one after the other, never replacing anything (protocol step 3).

use super::archive::Archive;
use super::basis::Basis;
use super::encode::Encoded;
use super::orders::{Duty, stored};
use crate::archive::lock::Lock;
use crate::archive::manifest::{File, ObjectLock};
use crate::archive::schema;
use crate::outcome::Result;
use crate::store::{Body, NewObject, Put};

/// How the parts of a revision ended.
#[derive(Debug)]
pub enum Published {
    /// All are stored; with their lock as read back.
    All { files: Vec<File>, lock: Option<ObjectLock> },
    /// Somebody else put a part under one of our names first: their rows must be weighed before ours go on.
    Taken,
}

/// Puts each part only when the one before is known to be stored.
///
/// A crash before the first leaves nothing in the store; after the n-th it leaves n parts of an uncommitted
/// revision, which the next run puts again (same bytes, "exists") or adopts.
pub async fn publish(archive: &Archive, basis: &Basis, parts: &[Encoded], duty: Duty) -> Result<Published> {
    let mut files = Vec::new();
    let mut read_back = None;
    for adopted in &basis.adopted {
        let stat = duty.give(archive, &adopted.file.key).await?;
        earliest(&mut read_back, stat.lock);
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
        if put == Put::Exists {
            if stat.sha256 != Some(part.sha256) {
                return Ok(Published::Taken);
            }
            // Ours, from an attempt that died: its lock and hold may be that attempt's.
            stat = duty.give(archive, &part.key).await?;
        }
        earliest(&mut read_back, stat.lock);
        files.push(file(part, stat.version_id));
    }
    Ok(Published::All { files, lock: read_back })
}

/// The weakest lock of all objects is what the manifest may claim.
fn earliest(claimed: &mut Option<ObjectLock>, found: Option<Lock>) {
    let Some(found) = found else { return };
    let found = ObjectLock { mode: found.mode, retain_until: found.until_ms };
    match claimed {
        Some(claimed) if claimed.retain_until <= found.retain_until => {}
        _ => *claimed = Some(found),
    }
}

fn file(part: &Encoded, version_id: Option<String>) -> File {
    File {
        key: part.key.clone(),
        bytes: part.bytes,
        rows: part.written.rows,
        sha256: part.sha256,
        merkle_root: part.written.merkle_root,
        schema_sha256: schema::fingerprint(),
        min_segment_end: part.written.segment_ends.map(|(min, _)| min),
        max_segment_end: part.written.segment_ends.map(|(_, max)| max),
        version_id,
        adopted: false,
        omitted_fields: None,
    }
}
