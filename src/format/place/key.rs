//! Keys of objects: relative to the archive's root, always with `/` between the folders.
//!
//! Numbers in keys are padded with zeros, so that the order of the names is mostly that of the numbers; only one spelling
//! of a number is valid. `schemas/FORMAT.md`, section "Layout", specifies all keys.

use jiff::civil::Date;

/// Key of the object that says which archive this is.
pub const ARCHIVE: &str = "archive.json";

/// Key of the object that makes an archive a copy: of which archive, and as of when.
pub const COPY: &str = "copy.json";

/// Folder of all parts. It holds nothing but Parquet, so that SQL engines can read all of it.
pub const SEGMENTS: &str = "segments/v1/";

/// Folder of the chains of all sub-accounts.
pub const MANIFESTS: &str = "manifests/v1/";

/// Folder of the roster: the chain that is about all sub-accounts.
pub const ROSTERS: &str = "roster/v1/";

/// Name of the roster's chain where other chains have the id of their sub-account: in heads, and in the state folder.
/// Therefore it is not a valid id of a sub-account.
pub const ROSTER: &str = "roster";

/// Folder of the chain of signers, which says which keys count; empty where they never changed.
pub const SIGNERS_FOLDER: &str = "signers/v1/";

/// Name of the chain of signers, like [`ROSTER`] no valid id of a sub-account.
pub const SIGNERS: &str = "signers";

/// Folder of the objects by which `cxvault doctor` tests a store, where it cannot remove them. They belong to no archive
/// day, and no proof uses them.
pub(crate) const DOCTOR: &str = "doctor/";

/// Folder of the anchors in their own location, outside of the archive. Their keys are relative to that location.
pub(crate) const ANCHORS: &str = "anchors/v1/";

/// Returns whether a text is valid as a sub-account's id: 1 to 64 of `A-Z a-z 0-9 _ -`, and neither [`ROSTER`] nor
/// [`SIGNERS`].
///
/// Ids become parts of keys, so that no id can name another folder.
pub(crate) fn is_sub_account(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&text.len()) && text.chars().all(plain) && !is_archive_chain(text)
}

/// Returns whether a chain is about the whole archive, and not about one sub-account.
pub(crate) fn is_archive_chain(name: &str) -> bool {
    name == ROSTER || name == SIGNERS
}

/// Returns the sub-account of a folder's name such as `sub_account=99999999`; `None` for other names.
pub(crate) fn parse_sub_account(folder: &str) -> Option<&str> {
    folder
        .strip_prefix("sub_account=")
        .filter(|id| is_sub_account(id))
}

/// Returns the folder of the days of one sub-account: `segments/v1/sub_account=S/`.
pub fn day_root(sub_account: &str) -> String {
    format!("{SEGMENTS}sub_account={sub_account}/")
}

/// Returns the folder of one archive day: `segments/v1/sub_account=S/dt=D/`.
pub fn day(sub_account: &str, date: Date) -> String {
    format!("{SEGMENTS}sub_account={sub_account}/dt={date}/")
}

/// Returns the common beginning of the keys of one revision's parts: `…/r0001-p`.
pub fn revision(sub_account: &str, date: Date, revision: u32) -> String {
    format!("{}r{revision:04}-p", day(sub_account, date))
}

/// Returns the key of one part: `segments/v1/sub_account=S/dt=D/r0001-p0000.parquet`.
pub fn part(sub_account: &str, date: Date, revision: u32, part: u32) -> String {
    let start = self::revision(sub_account, date, revision);
    format!("{start}{part:04}.parquet")
}

/// Returns the numbers of revision and part of a key under [`day`]; `None` for a name that is not a part's.
pub(crate) fn parse_part(key: &str) -> Option<(u32, u32)> {
    let name = key.rsplit('/').next()?.strip_suffix(".parquet")?;
    let (revision, part) = name.strip_prefix('r')?.split_once("-p")?;
    Some((parse_padded(revision, 4)?, parse_padded(part, 4)?))
}

/// Returns the name of a chain's folder: `sub_account=S`, `roster` or `signers`.
pub(crate) fn chain_name(name: &str) -> String {
    if is_archive_chain(name) {
        name.to_owned()
    } else {
        format!("sub_account={name}")
    }
}

/// Returns the folder of one chain: `manifests/v1/sub_account=S/`, `roster/v1/` or `signers/v1/`.
pub fn chain(name: &str) -> String {
    match name {
        ROSTER => ROSTERS.to_owned(),
        SIGNERS => SIGNERS_FOLDER.to_owned(),
        name => format!("{MANIFESTS}{}/", chain_name(name)),
    }
}

/// Returns the key of one record: `manifests/v1/sub_account=S/0000000042.json`, or `roster/v1/0000000042.json`.
pub fn manifest(chain: &str, sequence: u64) -> String {
    format!("{}{sequence:010}.json", self::chain(chain))
}

/// Returns the folder of the anchored chains of one archive: `anchors/v1/ARCHIVE/`. Returns `None` for an id that
/// cannot be part of a key.
pub(crate) fn anchored_chains(archive_id: &str) -> Option<String> {
    is_sub_account(archive_id).then(|| format!("{ANCHORS}{archive_id}/"))
}

/// Returns the key of one anchor; `chain` is a folder's name: `anchors/v1/ARCHIVE/sub_account=S/0000000042.json`.
pub fn anchor(archive_id: &str, chain: &str, sequence: u64) -> String {
    format!("{ANCHORS}{archive_id}/{chain}/{sequence:010}.json")
}

/// Returns the sequence number of a key under [`chain`]; `None` for a name that is not a record's.
pub(crate) fn parse_manifest(key: &str) -> Option<u64> {
    let name = key.rsplit('/').next()?.strip_suffix(".json")?;
    (name.len() == 10 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.parse().ok())?
}

/// Reads a number that is padded with zeros to `width` digits. A larger number has more digits, and no other spelling is
/// valid.
fn parse_padded(digits: &str, width: usize) -> Option<u32> {
    let number: u32 = digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())??;
    (format!("{number:0width$}") == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        let date = "2026-11-20".parse().unwrap();
        let key = part("99999999", date, 1, 0);
        assert_eq!(
            key,
            "segments/v1/sub_account=99999999/dt=2026-11-20/r0001-p0000.parquet"
        );
        assert_eq!(parse_part(&key), Some((1, 0)));
        assert_eq!(
            parse_part(&part("a", date, 12_345, 10_000)),
            Some((12_345, 10_000))
        );
        let key = manifest("99999999", 42);
        assert_eq!(key, "manifests/v1/sub_account=99999999/0000000042.json");
        assert_eq!(parse_manifest(&key), Some(42));
        let key = manifest(ROSTER, 42);
        assert_eq!(
            (key.as_str(), parse_manifest(&key)),
            ("roster/v1/0000000042.json", Some(42))
        );
    }

    #[test]
    fn other_spellings_are_refused() {
        for key in [
            "r1-p0.parquet",
            "r0001-p0000.json",
            "r+001-p0000.parquet",
            "r00001-p0000.parquet",
            "x",
        ] {
            assert_eq!(parse_part(key), None, "{key}");
        }
        for key in [
            "42.json",
            "00000000042.json",
            "000000004x.json",
            "0000000042.json.bak",
        ] {
            assert_eq!(parse_manifest(key), None, "{key}");
        }
        assert!(is_sub_account("99999999") && !is_sub_account("../etc") && !is_sub_account(""));
        for chain in [ROSTER, SIGNERS] {
            assert!(!is_sub_account(chain), "{chain}");
            assert_eq!(parse_sub_account(&format!("sub_account={chain}")), None);
        }
    }
}
