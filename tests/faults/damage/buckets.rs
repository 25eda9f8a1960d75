//! What an intruder or an administrator can do only in a bucket with versions and Object Lock.

use aws_sdk_s3::types::ObjectLockMode;
use cxvault::audit::verify::finding::FindingCode::*;
use cxvault::format::place::key;
use serde_json::json;

use super::archives::{BETWEEN, EMPTY, FILLED, GAPS, LAST, OTHER, SUB, lock, manifest, parts};
use super::case::{Case, bucket_case, case};
use crate::support::bucket::Bucket;
use crate::support::damage::Pen;

pub fn cases() -> Vec<Case> {
    [markers(), versions(), locks()]
        .into_iter()
        .flatten()
        .collect()
}

fn on(name: &str, object: &str, deed: fn(&Bucket, &str)) -> Case {
    let at = object.to_owned();
    bucket_case(name, move |bucket| deed(bucket, &at))
}

fn markers() -> Vec<Case> {
    let marked = |name: &str, object: &str| {
        on(
            &format!("a delete marker over {name}"),
            object,
            |bucket, key| bucket.delete(key),
        )
        .finds(DeleteMarker, object)
    };
    let all_of = |sub: &'static str| {
        bucket_case(format!("delete markers over all of {sub}"), move |bucket| {
            let of = format!("sub_account={sub}/");
            bucket
                .contents()
                .keys()
                .filter(|key| key.contains(&of))
                .for_each(|key| bucket.delete(key));
        })
        .finds(DeleteMarker, key::manifest(sub, 1))
    };
    let leftover = parts(LAST)[0].replace("p0000", "p0099");
    vec![
        marked("the archive's record", key::ARCHIVE).beside(&[ArchiveRecord]),
        marked("the first manifest", &manifest(EMPTY)).beside(&[ManifestMissing]),
        marked("a middle manifest", &manifest(LAST)).beside(&[ManifestMissing]),
        marked("the head", &manifest(FILLED)).beside(&[DayIncomplete]),
        marked("a first part", &parts(GAPS)[0]).beside(&[FileMissing]),
        marked("a last part", &parts(FILLED).pop().unwrap()).beside(&[FileMissing]),
        all_of(OTHER),
        all_of(SUB),
        on(
            "a part put and deleted that no manifest lists",
            &leftover,
            |bucket, key| {
                bucket.overwrite(key, "any bytes");
                bucket.delete(key);
            },
        )
        .finds(DeleteMarker, &leftover),
    ]
}

fn versions() -> Vec<Case> {
    let again = |name: &str, object: &str| {
        on(
            &format!("{name} put again, the same bytes"),
            object,
            |bucket, key| bucket.overwrite(key, bucket.contents()[key].clone()),
        )
        .finds(OtherVersions, object)
        .beside(&[LockMissing, VersionDiffers])
    };
    let other = |name: &str, object: &str| {
        on(
            &format!("{name} put again, other bytes"),
            object,
            |bucket, key| bucket.overwrite(key, "any bytes"),
        )
        .finds(OtherVersions, object)
        .beside(&[LockMissing, VersionDiffers])
    };
    let part = parts(BETWEEN)[1].clone();
    let (older, newer) = (parts(GAPS)[0].clone(), parts(FILLED)[0].clone());
    let replayed = newer.clone();
    vec![
        again("the archive's record", key::ARCHIVE),
        again("a manifest", &manifest(LAST)),
        again("the head", &manifest(FILLED)),
        again("a part", &part),
        other("the archive's record", key::ARCHIVE).beside(&[ArchiveRecord]),
        other("the head", &manifest(FILLED)).beside(&[ForeignRecord, DayIncomplete]),
        other("a part", &part).beside(&[FileSize, PartUnreadable]),
        on("a part deleted and put again", &part, |bucket, key| {
            let bytes = bucket.contents()[key].clone();
            bucket.delete(key);
            bucket.overwrite(key, bytes);
        })
        .finds(DeleteMarker, &part)
        .finds(OtherVersions, &part)
        .beside(&[LockMissing, VersionDiffers]),
        on(
            "a part purged and put again as it was",
            &part,
            |bucket, key| {
                let bytes = bucket.contents()[key].clone();
                bucket.purge(key);
                bucket.store(&[(key.to_owned(), bytes)].into(), Some(lock()));
            },
        )
        .finds(VersionDiffers, &part),
        on(
            "a part purged and put again without lock and checksum",
            &part,
            |bucket, key| {
                let bytes = bucket.contents()[key].clone();
                bucket.purge(key);
                bucket.overwrite(key, bytes);
            },
        )
        .finds(VersionDiffers, &part)
        .finds(LockMissing, &part),
        bucket_case("a part's older revision put over it", move |bucket| {
            bucket.overwrite(&newer, bucket.contents()[&older].clone())
        })
        .finds(OtherVersions, replayed)
        .beside(&[
            LockMissing,
            VersionDiffers,
            FileSize,
            FileHash,
            StoreChecksum,
            PartStatement,
            MerkleRoot,
        ])
        .beside(&[RowContradicts, RowCounts]),
        // Then it cannot be distinguished from a copy, and the report says so.
        bucket_case(
            "every part of a sub-account purged and put again, unlocked",
            |bucket| {
                for (key, bytes) in bucket.contents() {
                    if key.starts_with(&key::day_root(OTHER)) {
                        bucket.purge(&key);
                        bucket.overwrite(&key, bytes);
                    }
                }
            },
        )
        .finds(RelocatedCopy, format!("sub_account={OTHER}")),
    ]
}

fn locks() -> Vec<Case> {
    let gone = |name: &str, object: &str| {
        on(
            &format!("the lock of {name} taken away"),
            object,
            |bucket, key| bucket.set_lock(key, None),
        )
        .finds(LockMissing, object)
    };
    let shorter = |name: &str, object: &str| {
        on(
            &format!("the lock of {name} shortened"),
            object,
            |bucket, key| {
                let (mode, until) = lock();
                bucket.set_lock(key, Some((mode, until - 7_200_000)))
            },
        )
        .finds(LockWeaker, object)
    };
    let part = parts(BETWEEN)[0].clone();
    vec![
        gone("a part", &part),
        gone("a manifest", &manifest(LAST)),
        gone("the head", &manifest(FILLED)),
        shorter("a part", &part),
        shorter("a manifest", &manifest(LAST)),
        case(
            "a manifest that promises COMPLIANCE over a GOVERNANCE lock",
            |a| {
                a.forge(SUB, BETWEEN, Pen::Own, |m| {
                    m["object_lock"]["mode"] = json!("COMPLIANCE")
                })
            },
        )
        .by_owner()
        .only(super::case::Where::Bucket)
        .finds(LockWeaker, &part)
        .finds(LockWeaker, manifest(BETWEEN)),
        case("a manifest that promises a longer lock", |a| {
            a.forge(SUB, BETWEEN, Pen::Own, |m| {
                m["object_lock"]["retain_until"] = json!("2999-01-01T00:00:00.000Z")
            })
        })
        .by_owner()
        .only(super::case::Where::Bucket)
        .finds(LockWeaker, &part),
        on("the lock of a part made stronger", &part, |bucket, key| {
            let (_, until) = lock();
            bucket.set_lock(key, Some((ObjectLockMode::Governance, until + 3_600_000)))
        }),
    ]
}
