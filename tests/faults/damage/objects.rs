//! Whole objects and their bytes: each kind of object, at the first, middle and last place of its
//! chain or day.

use cxvault::audit::verify::finding::FindingCode;
use cxvault::audit::verify::finding::FindingCode::*;
use cxvault::format::place::key;
use cxvault::format::record::copy::CopyRecord;
use serde_json::json;

use super::archives::{BETWEEN, EMPTY, FILLED, GAPS, LAST, OTHER, SUB, date, manifest, parts};
use super::case::Level::Full;
use super::case::Where::{Bucket, Folder};
use super::case::{Case, case};
use crate::support::damage::{Archive, Pen, Spot};

/// The findings that are possible for a part with arbitrary bytes.
const DAMAGED: &[FindingCode] = &[
    PartUnreadable,
    MerkleRoot,
    SummaryHash,
    RowContradicts,
    PartStatement,
    PartSignature,
    VersionDiffers,
];

/// What follows in addition where the part is valid, but another one.
const EXCHANGED: &[FindingCode] = &[RowCounts, SegmentRepeated, StoreChecksum];

/// What follows where a manifest cannot be read: its successor names an unreadable object, and what
/// it listed is unknown.
const UNREADABLE: &[FindingCode] = &[ChainBroken, DiscoveryUnknown, DayIncomplete];

pub fn cases() -> Vec<Case> {
    let mut cases = records();
    for (place, n) in [("first", EMPTY), ("middle", LAST), ("head", FILLED)] {
        cases.extend(manifests(place, n));
    }
    let [first, middle, last] = some_parts();
    for (place, part) in [("first", first), ("middle", middle), ("last", last)] {
        cases.extend(bytes_of_part(place, &part));
        cases.extend(names_of_part(place, &part));
    }
    cases.extend(exchanged());
    cases.extend(foreign());
    cases
}

fn some_parts() -> [String; 3] {
    [
        parts(GAPS)[0].clone(),
        parts(BETWEEN)[1].clone(),
        parts(FILLED).pop().unwrap(),
    ]
}

fn records() -> Vec<Case> {
    let record = |name: &str, deed: fn(&mut Archive)| {
        case(format!("archive.json: {name}"), deed).finds(ArchiveRecord, key::ARCHIVE)
    };
    fn edit(archive: &mut Archive, change: fn(&mut serde_json::Value)) {
        let mut record = serde_json::from_slice(&archive.bytes(key::ARCHIVE)).unwrap();
        change(&mut record);
        archive.put(
            key::ARCHIVE,
            serde_json_canonicalizer::to_vec(&record).unwrap(),
        );
    }
    vec![
        record("its first byte", |a| a.flip(key::ARCHIVE, Spot::Start)),
        record("its last byte", |a| a.flip(key::ARCHIVE, Spot::End)),
        record("cut in half", |a| a.truncate(key::ARCHIVE, |all| all / 2)),
        record("emptied", |a| a.truncate(key::ARCHIVE, |_| 0)),
        record("a newline appended", |a| a.append(key::ARCHIVE, b"\n")),
        record("deleted", |a| drop(a.remove(key::ARCHIVE))),
        record("a manifest in its place", |a| {
            a.copy(&manifest(EMPTY), key::ARCHIVE)
        }),
        record("a member more", |a| {
            edit(a, |record| record["note"] = json!("x"))
        }),
        record("of another format", |a| {
            edit(a, |record| record["format_version"] = json!(2))
        }),
        record("made after its manifests", |a| {
            edit(a, |record| {
                record["created_at"] = json!("2999-01-01T00:00:00.000Z")
            })
        }),
        // Either the record belongs to another archive, or everything else does.
        case("archive.json: another id", |a| {
            edit(a, |record| record["archive_id"] = json!("f".repeat(32)))
        })
        .finds(ManifestMisplaced, manifest(EMPTY))
        .beside(&[
            ArchiveRecord,
            PartStatement,
            ManifestUnsigned,
            ForeignRecord,
        ])
        .beside(&[ForeignObject, DayMissing]),
    ]
}

fn manifests(place: &str, n: u64) -> Vec<Case> {
    let key = manifest(n);
    // Behind the head nothing says that a record belongs there.
    let is_head = n == FILLED;
    let unreadable = |name: &str, deed: fn(&mut Archive, &str)| {
        let at = key.clone();
        let code = match is_head && name != "a newline appended" {
            true => ForeignRecord,
            false => ManifestUnreadable,
        };
        case(format!("{place} manifest: {name}"), move |a| deed(a, &at))
            .finds(code, &key)
            .beside(UNREADABLE)
    };
    let mut cases = vec![
        unreadable("its first byte", |a, key| a.flip(key, Spot::Start)),
        unreadable("its last byte", |a, key| a.flip(key, Spot::End)),
        unreadable("cut in half", |a, key| a.truncate(key, |all| all / 2)),
        unreadable("emptied", |a, key| a.truncate(key, |_| 0)),
        unreadable("a newline appended", |a, key| a.append(key, b"\n")),
        unreadable("a part in its place", |a, key| {
            a.copy(&parts(BETWEEN)[0], key)
        }),
        case(
            format!("{place} manifest: a digit in its middle"),
            move |a| {
                a.edit(SUB, n, Pen::Stale, |manifest| {
                    flip_digit(&mut manifest["run"]["settings_sha256"])
                })
            },
        )
        .finds(
            if is_head {
                ForeignRecord
            } else {
                SignatureInvalid
            },
            &key,
        )
        .beside(&[ChainBroken, DayIncomplete]),
    ];
    if n != FILLED {
        let at = key.clone();
        let deleted = case(format!("{place} manifest: deleted"), move |a| {
            drop(a.remove(&at))
        });
        cases.push(deleted.finds(ManifestMissing, &key));
    }
    if n == LAST {
        // A single object must not exhaust the memory, nor hide other damage.
        let deed = |a: &mut Archive| a.put(&manifest(LAST), vec![b' '; (64 << 20) + 1]);
        let grown = case("middle manifest: grown beyond any manifest", deed);
        cases.push(
            grown
                .finds(ManifestUnreadable, &key)
                .beside(UNREADABLE)
                .only(Folder),
        );
    }
    cases
}

pub fn flip_digit(text: &mut serde_json::Value) {
    let old = text.as_str().unwrap();
    let first = if old.starts_with('0') { "1" } else { "0" };
    *text = json!(format!("{first}{}", &old[1..]));
}

fn bytes_of_part(place: &str, part: &str) -> Vec<Case> {
    let with = |name: &str, deed: fn(&mut Archive, &str)| {
        let at = part.to_owned();
        case(format!("{place} part: {name}"), move |a| deed(a, &at))
    };
    // A folder has no checksums of its own; a bucket reports them without reading.
    let same_length = |name: &str, deed: fn(&mut Archive, &str)| {
        let found = with(name, deed)
            .at(Full)
            .finds_one_of(&[FileHash, StoreChecksum], part);
        found.in_bucket_at_quick().beside(DAMAGED)
    };
    let other_length = |name: &str, deed: fn(&mut Archive, &str)| {
        with(name, deed)
            .finds(FileSize, part)
            .beside(DAMAGED)
            .beside(&[StoreChecksum])
    };
    vec![
        same_length("its first byte", |a, key| a.flip(key, Spot::Start)),
        same_length("a byte in its middle", |a, key| a.flip(key, Spot::Middle)),
        same_length("its last byte", |a, key| a.flip(key, Spot::End)),
        other_length("cut in half", |a, key| a.truncate(key, |all| all / 2)),
        other_length("its last byte cut off", |a, key| {
            a.truncate(key, |all| all - 1)
        }),
        other_length("emptied", |a, key| a.truncate(key, |_| 0)),
        other_length("a byte appended", |a, key| a.append(key, b"\0")),
        other_length("a manifest in its place", |a, key| {
            a.copy(&manifest(EMPTY), key)
        }),
        with("deleted", |a, key| drop(a.remove(key))).finds(FileMissing, part),
        with("written anew with the same rows", |a, key| {
            a.reshape(key, |batch| batch)
        })
        .at(Full)
        .or_sooner()
        .finds_one_of(&[FileSize, FileHash, StoreChecksum], part)
        .beside(&[VersionDiffers]),
    ]
}

fn names_of_part(place: &str, part: &str) -> Vec<Case> {
    let folder = part.rsplit_once('/').unwrap().0;
    let copied = |what: &str, to: String| {
        let (from, at) = (part.to_owned(), to.clone());
        case(format!("{place} part: copied {what}"), move |a| {
            a.copy(&from, &at)
        })
        .finds(ForeignObject, to)
    };
    let elsewhere = part.replace(&format!("={SUB}"), &format!("={OTHER}"));
    vec![
        // Only the footer shows whether a file with such a name is what an interrupted run left.
        copied("to another number", format!("{folder}/r0001-p0099.parquet")).at(Full),
        copied(
            "to another revision",
            format!("{folder}/r0009-p0000.parquet"),
        )
        .at(Full),
        copied(
            "to a day that is no day of the chain",
            part.replace("dt=", "dt=1"),
        ),
        copied(
            "to an empty day",
            key::part(SUB, date(EMPTY).parse().unwrap(), 1, 0),
        )
        .at(Full),
        copied(
            "to a later day",
            key::part(SUB, "2999-12-31".parse().unwrap(), 1, 0),
        )
        .at(Full),
        copied(
            "to another sub-account's day",
            elsewhere.replace(".parquet", "9.parquet"),
        ),
        copied("as a backup", format!("{part}.bak")),
        copied(
            "among the manifests",
            format!("{}r0001-p0000.parquet", key::chain(SUB)),
        ),
    ]
}

fn exchanged() -> Vec<Case> {
    let of_other = key::part(OTHER, date(LAST).parse().unwrap(), 1, 0);
    let [
        (one, other),
        (first, second),
        (gaps, filled),
        (ours, theirs),
    ] = [
        (parts(BETWEEN)[0].clone(), parts(BETWEEN)[1].clone()),
        (parts(BETWEEN)[0].clone(), parts(LAST)[0].clone()),
        (parts(GAPS)[0].clone(), parts(FILLED)[0].clone()),
        (parts(LAST)[0].clone(), of_other),
    ];
    let differs = |case: Case, parts: &[&String]| {
        let mut case = case.at(Full).or_sooner().beside(DAMAGED).beside(EXCHANGED);
        for part in parts {
            case = case.finds_one_of(&[FileSize, FileHash, StoreChecksum], *part);
        }
        case
    };
    let swap = |name: &str, one: &String, other: &String| {
        let (from, to) = (one.clone(), other.clone());
        differs(case(name, move |a| a.swap(&from, &to)), &[one, other])
    };
    let copy = |name: &str, from: &String, to: &String| {
        let (source, target) = (from.clone(), to.clone());
        differs(case(name, move |a| a.copy(&source, &target)), &[to])
    };
    let swap_manifests = |name: &str, one: u64, other: u64| {
        case(name, move |a| a.swap(&manifest(one), &manifest(other)))
            .finds(ManifestMisplaced, manifest(one))
            .finds_one_of(&[ManifestMisplaced, ForeignRecord], manifest(other))
            .beside(&[
                DayIncomplete,
                ChainBroken,
                CoverageWrong,
                RevisionOrder,
                DiscoveryUnknown,
                RowCounts,
            ])
    };
    vec![
        swap("two parts of a day swapped", &one, &other),
        swap("parts of two days swapped", &first, &second),
        swap("parts of two sub-accounts swapped", &ours, &theirs),
        copy(
            "a part replaced with that of an older revision",
            &gaps,
            &filled,
        ),
        copy("a part replaced with another of its day", &other, &one),
        swap_manifests("two manifests swapped", LAST, BETWEEN),
        swap_manifests("the first manifest and the head swapped", EMPTY, FILLED),
        case("the head replaced with an older manifest", |a| {
            a.copy(&manifest(BETWEEN), &manifest(FILLED))
        })
        .finds(ForeignRecord, manifest(FILLED))
        .beside(&[DayIncomplete]),
        case("a manifest copied to the next number", |a| {
            a.copy(&manifest(FILLED), &manifest(FILLED + 1))
        })
        .finds(ForeignRecord, manifest(FILLED + 1)),
        case("another sub-account's manifest at the next number", |a| {
            a.copy(&key::manifest(OTHER, 1), &manifest(FILLED + 1))
        })
        .finds(ForeignRecord, manifest(FILLED + 1)),
    ]
}

fn foreign() -> Vec<Case> {
    let day = key::day(SUB, date(LAST).parse().unwrap());
    let added = |name: &str, at: &str| {
        let object = at.to_owned();
        case(format!("an object added {name}"), move |a| {
            a.put(&object, "any bytes")
        })
        .finds(ForeignObject, at)
    };
    // Beside the archive's own folders: a notice.
    let beside = |name: &str, at: &str| {
        let object = at.to_owned();
        case(format!("an object added {name}"), move |a| {
            a.put(&object, "any bytes")
        })
        .finds(BesideArchive, at)
    };
    let unlisted = format!("{day}r0001-p0099.parquet");
    let forged = |name: &str, pen: Pen| {
        let (from, to) = (parts(LAST)[0].clone(), unlisted.clone());
        let deed = move |a: &mut Archive| {
            a.copy(&from, &to);
            a.restate(&to, pen, |statement| statement.key = to.clone());
        };
        case(format!("an unlisted part {name}"), deed)
            .at(Full)
            .finds(ForeignObject, &unlisted)
    };
    let marked = |name: &str, id: fn(&str) -> String| {
        case(name, move |a| {
            let record: serde_json::Value = serde_json::from_slice(&a.bytes(key::ARCHIVE)).unwrap();
            let mark = CopyRecord {
                archive_id: id(record["archive_id"].as_str().unwrap()),
                copied_at: cxvault::format::time::instant::Instant::from_millis(0),
                from: "s3://bucket/prefix".to_owned(),
                format_version: 1,
                roster: None,
                sub_accounts: Vec::new(),
                tool_version: "0.1.0".to_owned(),
            };
            a.put(key::COPY, mark.to_bytes().unwrap());
        })
    };
    vec![
        beside("at the root", "evil.txt"),
        beside(
            "at the root, with a name for terminals",
            "a\u{1b}[2Jb \u{fc}.txt",
        ),
        added("under segments/", "segments/notes.csv"),
        added("under segments/v1/", "segments/v1/notes.csv"),
        added(
            "beside the days",
            &format!("{}notes.csv", key::day_root(SUB)),
        ),
        added("in a day", &format!("{day}notes.csv")),
        added("below a day", &format!("{day}more/r0001-p0000.parquet")),
        added("under manifests/", "manifests/notes.txt"),
        added("under manifests/v1/", "manifests/v1/notes.txt"),
        added("in a chain", &format!("{}notes.txt", key::chain(SUB))),
        added("in a chain, under number 0", &key::manifest(SUB, 0)),
        added(
            "in a chain, under a short number",
            &format!("{}6.json", key::chain(SUB)),
        ),
        added("of an unknown version", "segments/v2/x.parquet"),
        beside("in a folder of its own", "more/x.parquet"),
        added(
            "in a sub-account without a name",
            "manifests/v1/sub_account=/0000000001.json",
        ),
        added("under a part's name", &unlisted).at(Full),
        beside("in the folder for half-written files", "tmp/x").only(Bucket),
        added("in place of a copy's mark", key::COPY),
        marked("the mark of a copy of another archive", |_| {
            "another".to_owned()
        })
        .finds(ForeignObject, key::COPY),
        marked("the mark of a copy of this archive", |id| id.to_owned()),
        forged("with a signature of another key", Pen::Stranger),
        forged("without a signature", Pen::Bare),
    ]
}
