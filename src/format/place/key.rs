//! Where each object lies: keys relative to the archive's root, always with `/`.

use jiff::civil::Date;

/// Created once; says which archive this is.
pub const ARCHIVE: &str = "archive.json";

/// At the root of a copy: of which archive it is one, and as of when.
pub const COPY: &str = "copy.json";

/// Under it lies nothing but Parquet, so that SQL engines can be pointed at it.
pub const SEGMENTS: &str = "segments/v1/";

pub const MANIFESTS: &str = "manifests/v1/";

/// Under it lies the chain that is about all sub-accounts.
pub const ROSTERS: &str = "roster/v1/";

/// That chain's name, where others have their sub-account's id: in heads, and in the state folder. So no sub-account
/// can be called so.
pub const ROSTER: &str = "roster";

/// Under it `cxvault doctor` leaves what it tried the store with, where that cannot be removed. It belongs to no archive
/// day, and nothing that is proven rests on it.
pub const DOCTOR: &str = "doctor/";

/// Under it lie heads, in a place outside of the archive; its keys are relative to that place.
pub const ANCHORS: &str = "anchors/v1/";

/// A sub-account's id as a part of a key: 1 to 64 of `A-Z a-z 0-9 _ -`, and not the roster's name.
pub fn is_sub_account(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&text.len()) && text.chars().all(plain) && text != ROSTER
}

/// The sub-account of a folder's name such as `sub_account=99999999`, if it is one of ours.
pub fn parse_sub_account(folder: &str) -> Option<&str> {
    folder
        .strip_prefix("sub_account=")
        .filter(|id| is_sub_account(id))
}

/// Under it lie the days of one sub-account: `segments/v1/sub_account=S/`.
pub fn day_root(sub_account: &str) -> String {
    format!("{SEGMENTS}sub_account={sub_account}/")
}

/// The folder of one archive day: `segments/v1/sub_account=S/dt=D/`.
pub fn day(sub_account: &str, date: Date) -> String {
    format!("{SEGMENTS}sub_account={sub_account}/dt={date}/")
}

/// What every part of one revision begins with: `…/r0001-p`.
pub fn revision(sub_account: &str, date: Date, revision: u32) -> String {
    format!("{}r{revision:04}-p", day(sub_account, date))
}

/// One part: `segments/v1/sub_account=S/dt=D/r0001-p0000.parquet`.
pub fn part(sub_account: &str, date: Date, revision: u32, part: u32) -> String {
    format!(
        "{}{part:04}.parquet",
        crate::format::place::key::revision(sub_account, date, revision)
    )
}

/// Revision and part number of a key under [`day`], if it is one of ours.
pub fn parse_part(key: &str) -> Option<(u32, u32)> {
    let name = key.rsplit('/').next()?.strip_suffix(".parquet")?;
    let (revision, part) = name.strip_prefix('r')?.split_once("-p")?;
    Some((parse_padded(revision, 4)?, parse_padded(part, 4)?))
}

/// What a chain is called where it lies beside others: `sub_account=S`, or `roster`.
pub fn chain_name(name: &str) -> String {
    if name == ROSTER {
        ROSTER.to_owned()
    } else {
        format!("sub_account={name}")
    }
}

/// The folder of one chain: `manifests/v1/sub_account=S/`, or that of the roster.
pub fn chain(name: &str) -> String {
    if name == ROSTER {
        ROSTERS.to_owned()
    } else {
        format!("{MANIFESTS}{}/", chain_name(name))
    }
}

/// One manifest: `manifests/v1/sub_account=S/0000000042.json`; of the roster `roster/v1/0000000042.json`.
pub fn manifest(chain: &str, sequence: u64) -> String {
    format!(
        "{}{sequence:010}.json",
        crate::format::place::key::chain(chain)
    )
}

/// The folder of the anchored chains of one archive: `anchors/v1/ARCHIVE/`; `None` for an id that cannot be part of a
/// key.
pub fn anchored_chains(archive_id: &str) -> Option<String> {
    is_sub_account(archive_id).then(|| format!("{ANCHORS}{archive_id}/"))
}

/// One head of one chain, kept elsewhere: `anchors/v1/ARCHIVE/sub_account=S/0000000042.json`.
pub fn anchor(archive_id: &str, chain: &str, sequence: u64) -> String {
    format!("{ANCHORS}{archive_id}/{chain}/{sequence:010}.json")
}

/// The sequence number of a key under [`chain`], if it is one of ours.
pub fn parse_manifest(key: &str) -> Option<u64> {
    let name = key.rsplit('/').next()?.strip_suffix(".json")?;
    (name.len() == 10 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.parse().ok())?
}

/// Numbers are padded to `width`; a larger one has more digits, and no other spelling is ours.
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
    fn other_spellings_are_not_ours() {
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
        assert!(!is_sub_account(ROSTER) && parse_sub_account("sub_account=roster").is_none());
    }
}
