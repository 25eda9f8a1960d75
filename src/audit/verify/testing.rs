//! The chain of the golden archive, for the tests of the parts that read nothing.

use std::path::Path;
use std::sync::Arc;

use jiff::civil::Date;

use crate::audit::verify::chain::ChainCheck;
use crate::audit::verify::finding::{FindingCode, Findings};
use crate::audit::verify::links::{ArchiveIdentity, ReadRecord, RecordCheck};
use crate::format::record::{DayRecord, Envelope, Manifest, Record};

pub const ARCHIVE_ID: &str = "00112233445566778899aabbccddeeff";
pub const SUB_ACCOUNT: &str = "99999999";

/// Returns the identity of the golden archive; its `archive.json` is not compared.
pub fn identity() -> ArchiveIdentity<'static> {
    ArchiveIdentity {
        id: ARCHIVE_ID,
        sha256: None,
    }
}

/// Returns the objects of the chain, from its first record on.
pub fn objects() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/v1/archive/manifests/v1")
        .join(format!("sub_account={SUB_ACCOUNT}"));
    (1..)
        .map_while(|number| std::fs::read(folder.join(format!("{number:010}.json"))).ok())
        .collect()
}

/// Returns the record with this number.
pub fn manifest(number: usize) -> Manifest {
    Envelope::from_bytes(&objects()[number - 1])
        .unwrap()
        .manifest
}

/// Returns the day's record with this number, and its manifest.
pub fn day(number: usize) -> (Manifest, DayRecord) {
    let manifest = manifest(number);
    let Record::Day(record) = &manifest.record else {
        panic!("record {number} is not about a day");
    };
    let record = (**record).clone();
    (manifest, record)
}

/// Returns a check that has seen all records before this number, without a finding.
pub fn before(number: usize) -> ChainCheck {
    let mut check = ChainCheck::new(identity(), SUB_ACCOUNT, Arc::default());
    for (n, bytes) in objects().iter().take(number - 1).enumerate() {
        assert_eq!(check.next(n as u64 + 1, ReadRecord::read(bytes)), []);
    }
    check
}

/// Returns the codes of what a check adds.
pub fn codes(check: impl FnOnce(&mut Findings<'_>)) -> Vec<FindingCode> {
    let mut found = Findings::new("key");
    check(&mut found);
    found.found.iter().map(|finding| finding.code).collect()
}

/// Returns a date of November 2026.
pub(crate) fn november(day: i8) -> Date {
    jiff::civil::date(2026, 11, day)
}
