//! Fields of manifests, changed by an attacker who makes the whole chain follow: the record itself
//! must show it.

use cxvault::audit::verify::finding::FindingCode;
use cxvault::audit::verify::finding::FindingCode::*;
use cxvault::format::place::key;
use serde_json::{Value, json};

use super::archives::{BETWEEN, FILLED, GAPS, LAST, OTHER, SUB, date, manifest, parts};
use super::case::Level::{Deep, Full};
use super::case::Where::{Bucket, Folder};
use super::case::{Case, case};
use crate::support::damage::Pen;

pub fn cases() -> Vec<Case> {
    [identity(), counts(), days(), windows(), files(), times()]
        .into_iter()
        .flatten()
        .collect()
}

/// Changes one manifest, and its successors so that they follow; the parts may report the same
/// again.
fn field(
    name: &str,
    n: u64,
    code: FindingCode,
    change: impl Fn(&mut Value) + Send + Sync + 'static,
) -> Case {
    case(format!("a manifest's {name}"), move |a| {
        a.forge(SUB, n, Pen::Own, &change)
    })
    .unsigned()
    .finds(code, manifest(n))
    .beside(if code == CountsWrong {
        &[RowCounts]
    } else {
        &[]
    })
}

fn add(value: &mut Value, number: i64) {
    *value = json!(value.as_i64().unwrap() + number);
}

/// Moves an instant such as `2026-11-20T00:00:00.000Z`.
fn shift(value: &mut Value, seconds: i64) {
    let at: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
    *value = json!(format!(
        "{:.3}",
        at + jiff::SignedDuration::from_secs(seconds)
    ));
}

fn identity() -> Vec<Case> {
    vec![
        field("archive id", BETWEEN, ManifestMisplaced, |m| {
            m["archive_id"] = json!("0".repeat(32))
        }),
        field("own key", BETWEEN, ManifestMisplaced, |m| {
            m["key"] = json!(manifest(LAST))
        }),
        field("sequence", BETWEEN, ManifestMisplaced, |m| {
            add(&mut m["sequence"], 1)
        })
        .beside(&[PositionWrong]),
        field("sub-account", BETWEEN, ManifestMisplaced, |m| {
            m["sub_account"] = json!(OTHER)
        })
        .beside(&[FileMisplaced, PositionWrong]),
        field("format version", BETWEEN, ManifestUnreadable, |m| {
            m["format_version"] = json!(2)
        })
        .beside(&[ChainBroken]),
        // A later program's kind leaves the coverage as it was.
        field("kind", BETWEEN, CoverageWrong, |m| {
            m["kind"] = json!("weather")
        }),
        field(
            "numbers: one beyond 2^53",
            BETWEEN,
            ManifestUnreadable,
            |m| m["rows"]["segments"] = json!(1_u64 << 60),
        )
        .beside(&[ChainBroken]),
        field(
            "texts: a control character",
            BETWEEN,
            ManifestUnreadable,
            |m| m["run"]["host"] = json!("a\u{7f}b"),
        ),
    ]
}

fn counts() -> Vec<Case> {
    let both = |m: &mut Value, change: &dyn Fn(&mut Value)| {
        change(&mut m["rows"]);
        change(&mut m["day"]);
    };
    vec![
        field("rows: segments", BETWEEN, CountsWrong, |m| {
            add(&mut m["rows"]["segments"], 1)
        }),
        field("day: segments", FILLED, CountsWrong, |m| {
            add(&mut m["day"]["segments"], -1)
        }),
        field("rows: a status", BETWEEN, CountsWrong, |m| {
            add(&mut m["rows"]["agent"]["PRESENT"], -1)
        }),
        field("day: a status", FILLED, CountsWrong, |m| {
            add(&mut m["day"]["auto"]["EMPTY"], 1)
        }),
        field("failures", GAPS, CountsWrong, |m| {
            m["failures"]
                .as_object_mut()
                .unwrap()
                .values_mut()
                .for_each(|count| add(count, 1))
        }),
        field("agent groups: one left out", BETWEEN, CountsWrong, |m| {
            m["agent_groups"]
                .as_object_mut()
                .unwrap()
                .remove("4101")
                .unwrap();
        }),
        field("agent groups: a share", BETWEEN, CountsWrong, |m| {
            add(&mut m["agent_groups"]["4101"]["auto_present"], -1)
        }),
        field("discovery: objects", BETWEEN, CountsWrong, |m| {
            add(&mut m["discovery"]["objects"], 1)
        }),
        field("discovery: duplicates", BETWEEN, CountsWrong, |m| {
            add(&mut m["discovery"]["duplicates"], 1)
        }),
        field("discovery: rows of a window", BETWEEN, CountsWrong, |m| {
            add(&mut m["discovery"]["windows"][3]["objects"], 1)
        }),
        field("gaps: called complete", GAPS, CountsWrong, |m| {
            m["complete"] = json!(true);
            m["incomplete_because"] = json!([]);
        })
        .beside(&[CoverageWrong]),
        field("gaps: without a reason", GAPS, CountsWrong, |m| {
            m["incomplete_because"] = json!([])
        }),
        // Changes that balance each other are visible only in the rows.
        field(
            "rows: an EMPTY counted as NOT_FOUND",
            BETWEEN,
            RowCounts,
            move |m| {
                both(m, &|tally| {
                    add(&mut tally["agent"]["EMPTY"], -1);
                    add(&mut tally["agent"]["NOT_FOUND"], 1);
                })
            },
        )
        .at(Deep),
        field("rows: a vanished segment", BETWEEN, RowCounts, move |m| {
            both(m, &|tally| add(&mut tally["vanished"], 1))
        })
        .at(Deep),
        field("failures: by another class", GAPS, RowCounts, |m| {
            let total: u64 = m["failures"]
                .as_object()
                .unwrap()
                .values()
                .map(|count| count.as_u64().unwrap())
                .sum();
            m["failures"] = json!({ "http_418": total })
        })
        .at(Deep),
        field("agent groups: a segment moved", BETWEEN, RowCounts, |m| {
            add(&mut m["agent_groups"]["4101"]["segments"], -1);
            add(&mut m["agent_groups"]["4102"]["segments"], 1);
        })
        .at(Deep),
    ]
}

fn days() -> Vec<Case> {
    vec![
        field("coverage: gaps called complete", GAPS, CoverageWrong, |m| {
            m["coverage"]["days"] = json!("ec")
        })
        .beside(&[CoverageWrong]),
        field("coverage: an earlier first day", LAST, CoverageWrong, |m| {
            m["coverage"]["first_day"] = json!("2020-01-01")
        }),
        field("coverage: a day left out", FILLED, CoverageWrong, |m| {
            m["coverage"]["days"] = json!("ecc")
        }),
        field("coverage: days to come", FILLED, CoverageWrong, |m| {
            m["coverage"]["days"] = json!("eccccc")
        }),
        field("revision", BETWEEN, RevisionOrder, |m| {
            m["revision"] = json!(2)
        })
        .beside(&[FileMisplaced]),
        field("date", BETWEEN, DayWindowWrong, |m| {
            m["date"] = json!("2020-01-01")
        })
        .beside(&[FileMisplaced, CoverageWrong, PartStatement, RowContradicts]),
        field("zone", BETWEEN, DayWindowWrong, |m| {
            m["zone"] = json!("UTC")
        })
        .beside(&[PartStatement]),
        field("zone: none that exists", BETWEEN, DayWindowWrong, |m| {
            m["zone"] = json!("Mars/Base")
        })
        .beside(&[PartStatement]),
        field("window, an hour later", BETWEEN, DayWindowWrong, |m| {
            shift(&mut m["window"]["start"], 3_600);
            shift(&mut m["window"]["end"], 3_600);
        })
        .beside(&[
            WindowsIncomplete,
            PartStatement,
            RowContradicts,
            RowCounts,
            RowTimes,
        ]),
        field(
            "window, shortened with its last discovery window",
            BETWEEN,
            DayWindowWrong,
            |m| {
                shift(&mut m["window"]["end"], -3_600);
                shift(&mut m["discovery"]["windows"][7]["end"], -3_600);
            },
        )
        .beside(&[PartStatement, RowContradicts, RowCounts]),
        field(
            "discovery: a manifest of another day",
            FILLED,
            DiscoveryUnknown,
            |m| m["discovery"]["key"] = json!(manifest(LAST)),
        ),
        field(
            "discovery: a manifest with another hash",
            FILLED,
            DiscoveryUnknown,
            |m| m["discovery"]["sha256"] = json!("0".repeat(64)),
        ),
        field(
            "discovery: a first revision without windows",
            BETWEEN,
            DiscoveryUnknown,
            |m| {
                m["discovery"] =
                    json!({ "from": "manifest", "key": manifest(GAPS), "sha256": "0".repeat(64) })
            },
        ),
    ]
}

fn windows() -> Vec<Case> {
    fn of(m: &mut Value) -> &mut Vec<Value> {
        m["discovery"]["windows"].as_array_mut().unwrap()
    }
    /// Keeps the counts, so that only the tiling is wrong.
    fn drop_window(m: &mut Value, n: usize, to: usize) {
        let objects = of(m)[n]["objects"].as_i64().unwrap();
        add(&mut of(m)[to]["objects"], objects);
        of(m).remove(n);
    }
    let tiling = |name: &str, change: fn(&mut Value)| {
        field(
            &format!("discovery windows: {name}"),
            BETWEEN,
            WindowsIncomplete,
            change,
        )
    };
    let early = |name: &str, change: fn(&mut Value)| {
        field(
            &format!("discovery windows: {name}"),
            BETWEEN,
            WindowTooEarly,
            change,
        )
    };
    vec![
        tiling("the first missing", |m| drop_window(m, 0, 1)),
        tiling("one in the middle missing", |m| drop_window(m, 4, 5)),
        tiling("the last missing", |m| drop_window(m, 7, 0)),
        tiling("two exchanged", |m| of(m).swap(2, 3)),
        tiling("one twice", |m| {
            let again = of(m)[2].clone();
            of(m).insert(2, again);
            of(m)[2]["objects"] = json!(0);
        }),
        tiling("a second between two", |m| shift(&mut of(m)[2]["end"], -1)),
        tiling("one longer than RingCX answers", |m| {
            let end = of(m)[3]["end"].clone();
            of(m)[2]["end"] = end;
            drop_window(m, 3, 2);
        }),
        tiling("none", |m| {
            m["discovery"]["windows"] = json!([]);
            m["discovery"]["objects"] = json!(0);
            m["discovery"]["adopted_only"] = m["rows"]["segments"].clone();
        }),
        early("answered before its end", |m| {
            let end = of(m)[7]["end"].clone();
            of(m)[7]["server_date"] = end;
            shift(&mut of(m)[7]["server_date"], -1);
        }),
        early("answered before its end, by this host's clock only", |m| {
            let start = of(m)[7]["start"].clone();
            of(m)[7]["server_date"] = Value::Null;
            of(m)[7]["answered_at"] = start;
        }),
    ]
}

fn files() -> Vec<Case> {
    let part = parts(BETWEEN)[0].clone();
    let file = |name: &str, code: FindingCode, change: fn(&mut Value)| {
        field(&format!("file: {name}"), BETWEEN, code, move |m| {
            change(&mut m["files"][0])
        })
    };
    let of_part = |name: &str, code: FindingCode, change: fn(&mut Value)| {
        case(format!("a manifest's file: {name}"), move |a| {
            a.forge(SUB, BETWEEN, Pen::Own, |m| change(&mut m["files"][0]))
        })
        .unsigned()
        .finds(code, &part)
    };
    let other_hash = |file: &mut Value| file["sha256"] = json!("0".repeat(64));
    vec![
        file("rows", CountsWrong, |file| add(&mut file["rows"], 1))
            .beside(&[PartStatement, MerkleRoot]),
        file("key, of another day", FileMisplaced, |file| {
            file["key"] = json!(parts(LAST)[0])
        })
        .beside(FOREIGN_FILE),
        file("key, of another sub-account", FileMisplaced, |file| {
            file["key"] = json!(key::part(OTHER, date(LAST).parse().unwrap(), 1, 0))
        })
        .beside(FOREIGN_FILE),
        file("key, of another revision", FileMisplaced, |file| {
            file["key"] = json!(parts(FILLED)[0])
        })
        .beside(FOREIGN_FILE),
        file("key, not a part's", FileMisplaced, |file| {
            file["key"] = json!("archive.json")
        })
        .beside(FOREIGN_FILE),
        file("key, outside the archive", FileMisplaced, |file| {
            file["key"] = json!("../../etc/passwd")
        })
        .beside(FOREIGN_FILE),
        file("schema", PartStatement, |file| {
            file["schema_sha256"] = json!("0".repeat(64))
        }),
        field("files: one twice", BETWEEN, FileMisplaced, |m| {
            m["files"][1] = m["files"][0].clone()
        })
        .beside(&[CountsWrong, SegmentRepeated, RowCounts]),
        field("files: one left out", BETWEEN, CountsWrong, |m| {
            m["files"].as_array_mut().unwrap().remove(0);
        })
        .beside(&[RowCounts]),
        of_part("length", FileSize, |file| add(&mut file["bytes"], 1)),
        of_part("hash", FileHash, other_hash).at(Full).only(Folder),
        of_part(
            "hash, held against the store's own",
            StoreChecksum,
            other_hash,
        )
        .only(Bucket)
        .beside(&[FileHash]),
        field(
            "file: key, of one that is not there",
            BETWEEN,
            FileMissing,
            |m| m["files"][0]["key"] = json!(missing_part()),
        )
        .of(missing_part()),
        of_part("Merkle root", PartStatement, |file| {
            file["merkle_root"] = json!("0".repeat(64))
        })
        .at(Deep)
        .beside(&[MerkleRoot]),
        of_part("earliest segment end", RowCounts, |file| {
            shift(&mut file["min_segment_end"], 1)
        })
        .at(Deep),
        of_part("latest segment end", RowCounts, |file| {
            shift(&mut file["max_segment_end"], 1)
        })
        .at(Deep),
    ]
}

/// Returns a name that a part of the day could have, and none has.
fn missing_part() -> String {
    parts(BETWEEN)[0].replace("p0000", "p0098")
}

/// What follows where a manifest lists the file of another one.
const FOREIGN_FILE: &[FindingCode] = &[
    FileMissing,
    FileSize,
    FileHash,
    StoreChecksum,
    VersionDiffers,
    PartStatement,
    MerkleRoot,
    CountsWrong,
    RowContradicts,
    RowCounts,
];

fn times() -> Vec<Case> {
    vec![
        field(
            "times: finished before it started",
            BETWEEN,
            TimesWrong,
            |m| {
                let start = m["run"]["started_at"].clone();
                m["run"]["finished_at"] = start;
                shift(&mut m["run"]["finished_at"], -1);
            },
        ),
        field(
            "times: finished before its windows were answered",
            BETWEEN,
            TimesWrong,
            |m| {
                let answered = m["discovery"]["windows"][0]["answered_at"].clone();
                m["run"]["started_at"] = answered.clone();
                m["run"]["finished_at"] = answered;
                shift(&mut m["run"]["started_at"], -40 * 3_600);
                shift(&mut m["run"]["finished_at"], -30 * 3_600);
            },
        )
        .beside(&[RowTimes]),
        field("times: years before its day", BETWEEN, TimesWrong, |m| {
            m["run"]["started_at"] = json!("2020-01-01T00:00:00.000Z");
            m["run"]["finished_at"] = json!("2020-01-01T00:01:00.000Z");
        })
        .beside(&[RowTimes]),
    ]
}
