//! Keys: the names of objects relative to the root of a store.
//!
//! An archive can be copied from a bucket to a folder and back, also to a folder of Windows or of a network file system. So the
//! key of a new object must mean the same everywhere. For objects that other programs have put beside the archive, only what
//! would lead out of the folder is refused: an audit must be able to list and to name them.

use crate::store::Result;
use crate::store::error::{StoreError, StoreErrorKind};

/// Name of the folder with incomplete files beside the objects in a local folder. No store accepts keys below it, so that an
/// archive can be copied from every store to every other store.
pub(super) const TEMPORARY: &str = "tmp";

/// Longest key that is accepted, in bytes. S3 accepts 1,024 bytes, the prefix of the store included.
const LONGEST: usize = 900;

/// Refuses the key of a new object if some store, tool or file system would read it differently than it is written.
///
/// # Errors
/// [`StoreErrorKind::Unusable`] for everything but relative paths of printable ASCII without `..`, empty parts, a first part
/// `tmp`, and characters that Windows forbids in names of files.
pub fn check_new(key: &str) -> Result<()> {
    let plain = key
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\\\"<>|*?:".contains(&byte));
    let reserved = key.split('/').next() == Some(TEMPORARY);
    if key.len() <= LONGEST && plain && !reserved && !has_odd_part(key) {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::Unusable, "not a key that an archive can have:", format!("{key:?}"))
        .remedy(
            "Keys are relative paths of printable ASCII, without `..`, empty parts or a first part `tmp`.",
        ))
}

/// Refuses keys that would name a file outside of the root if they were joined to the path of a folder.
pub(super) fn check_inside(key: &str) -> Result<()> {
    if !key.contains('\0') && !has_odd_part(key) {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::Unusable,
        "not a key of an object in a folder:",
        format!("{key:?}"),
    ))
}

/// Returns whether a part of the key is empty, `.` or `..`.
fn has_odd_part(key: &str) -> bool {
    key.split('/').any(|part| matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_layout_pass() {
        for key in [
            "archive.json",
            "segments/v1/sub_account=9/dt=2026-11-20/r0001-p0000.parquet",
            "a/tmp/b",
        ] {
            assert!(check_new(key).is_ok(), "{key}");
        }
    }

    #[test]
    fn odd_keys_are_refused_by_name() {
        let long = "k".repeat(LONGEST + 1);
        for key in [
            "", "/", "/a", "a/", "a//b", ".", "a/../b", "..", "tmp/a", "tmp", "é", "a b", "a\\b",
            "a\nb", &long,
        ] {
            let error = check_new(key).expect_err(key);
            assert_eq!(error.kind, StoreErrorKind::Unusable);
        }
        for key in ["../a", "a/..", "/etc/passwd", "a\0b", ""] {
            assert!(check_inside(key).is_err(), "{key}");
        }
        assert!(check_inside("another program's ünödd file").is_ok());
    }
}
