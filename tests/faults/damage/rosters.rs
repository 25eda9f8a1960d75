//! What a roster detects that a chain without heads from elsewhere cannot, and damage to the roster
//! itself.

use cxvault::audit::verify::finding::FindingCode::*;
use cxvault::format::place::key;
use serde_json::{Value, json};

use super::archives::{BETWEEN, FILLED, LAST, OTHER, SUB, date, manifest};
use super::case::{Case, case};
use crate::support::damage::{Archive, Pen, Spot};

/// Each of five runs has written a record; the third also knows [`OTHER`].
const RECORDS: u64 = 5;

fn record(sequence: u64) -> String {
    key::manifest(key::ROSTER, sequence)
}

pub fn cases() -> Vec<Case> {
    let cases = [chains(), cut(), forged(), strangers()]
        .into_iter()
        .flatten();
    cases.map(Case::rostered).collect()
}

/// Returns the entry of one sub-account in a record.
fn entry<'a>(record: &'a mut Value, id: &str) -> &'a mut Value {
    let entries = record["sub_accounts"].as_array_mut().unwrap();
    entries
        .iter_mut()
        .find(|entry| entry["id"] == id)
        .expect("the sub-account's entry")
}

fn chains() -> Vec<Case> {
    let end = |a: &mut Archive| {
        a.remove(&manifest(FILLED));
        a.remove_all(&key::revision(SUB, date(FILLED).parse().unwrap(), 2));
    };
    let two = |a: &mut Archive| {
        for (n, revision) in [(FILLED, 2), (BETWEEN, 1)] {
            a.remove(&manifest(n));
            a.remove_all(&key::revision(SUB, date(n).parse().unwrap(), revision));
        }
    };
    let whole = |a: &mut Archive| {
        a.remove(&key::manifest(OTHER, 1));
        a.remove_all(&key::day_root(OTHER));
    };
    vec![
        case("the end of a chain cut off", end)
            .finds(RosterHead, manifest(FILLED))
            .beside(&[DayIncomplete]),
        case("two records at the end cut off", two)
            .finds(RosterHead, manifest(FILLED))
            .beside(&[DayIncomplete, DayMissing]),
        case("a whole sub-account removed", whole).finds(RosterHead, key::manifest(OTHER, 1)),
        case("the head of a chain rewritten by who has the key", |a| {
            a.forge(SUB, FILLED, Pen::Own, |m| {
                m["run"]["host"] = json!("another")
            })
        })
        .finds(RosterHead, manifest(FILLED)),
        case(
            "a chain rewritten from its middle by who has the key",
            |a| a.forge(SUB, LAST, Pen::Own, |m| m["run"]["host"] = json!("another")),
        )
        .finds(RosterHead, manifest(LAST)),
        case("all manifests and the archive's record removed", |a| {
            a.remove(key::ARCHIVE);
            a.remove_all(key::MANIFESTS);
            a.remove_all(key::SEGMENTS);
        })
        .finds(ArchiveRecord, key::ARCHIVE)
        .finds(RosterHead, manifest(FILLED)),
    ]
}

fn cut() -> Vec<Case> {
    vec![
        case("the roster's head removed", |a| {
            drop(a.remove(&record(RECORDS)))
        })
        .expecting(key::ROSTER, RECORDS)
        .finds(HeadMissing, record(RECORDS)),
        case("all of the roster removed", |a| a.remove_all(key::ROSTERS))
            .expecting(key::ROSTER, RECORDS)
            .finds(HeadMissing, record(RECORDS)),
        case("the first record removed", |a| drop(a.remove(&record(1))))
            .finds(ManifestMissing, record(1)),
        case("a middle record removed", |a| drop(a.remove(&record(3))))
            .finds(ManifestMissing, record(3)),
        case("two records exchanged", |a| a.swap(&record(2), &record(3)))
            .finds(ManifestMisplaced, record(2))
            .finds(ManifestMisplaced, record(3))
            .beside(&[ChainBroken, RosterWrong]),
        case("a record copied behind the head", |a| {
            a.copy(&record(RECORDS), &record(RECORDS + 1))
        })
        .finds(ForeignRecord, record(RECORDS + 1)),
    ]
}

fn forged() -> Vec<Case> {
    let by = |pen: Pen| {
        move |a: &mut Archive| a.forge(key::ROSTER, 2, pen, |r| r["place"] = json!("elsewhere"))
    };
    let own = |n: u64, change: fn(&mut Value)| {
        move |a: &mut Archive| a.forge(key::ROSTER, n, Pen::Own, change)
    };
    vec![
        case("a flipped bit", |a| a.flip(&record(2), Spot::Middle))
            .finds_one_of(&[ManifestUnreadable, SignatureInvalid], record(2))
            .beside(&[ChainBroken]),
        case("changed under the old signature", by(Pen::Stale)).finds(ForeignRecord, record(2)),
        case("changed by a stranger", by(Pen::Stranger)).finds(ForeignRecord, record(2)),
        case("changed without a signature", by(Pen::Bare)).finds(ForeignRecord, record(2)),
        case(
            "of another archive",
            own(RECORDS, |r| r["archive_id"] = json!("f".repeat(32))),
        )
        .finds(ForeignRecord, record(RECORDS)),
        case("one changed, and not those after it", |a| {
            a.edit(key::ROSTER, 2, Pen::Own, |r| {
                r["place"] = json!("elsewhere")
            })
        })
        .finds(ChainBroken, record(3))
        .beside(&[PositionWrong]),
        case(
            "a sub-account forgotten",
            own(4, |r| {
                r["sub_accounts"]
                    .as_array_mut()
                    .unwrap()
                    .retain(|one| one["id"] != OTHER);
            }),
        )
        .finds(RosterWrong, record(4)),
        case(
            "a head that goes back",
            own(RECORDS, |r| entry(r, SUB)["head"]["sequence"] = json!(3)),
        )
        .finds(RosterWrong, record(RECORDS)),
        case(
            "a head that was never seen",
            own(RECORDS, |r| {
                entry(r, SUB)["head"]["sha256"] = json!("0".repeat(64));
            }),
        )
        .finds(RosterHead, manifest(FILLED)),
        case(
            "a head beyond the chain's end",
            own(RECORDS, |r| entry(r, SUB)["head"]["sequence"] = json!(9)),
        )
        .finds(RosterHead, manifest(9)),
        case(
            "one that is not listed and not missed",
            own(4, |r| entry(r, OTHER)["listed"] = json!(false)),
        )
        .finds(RosterWrong, record(4)),
        case(
            "a takeover that never was",
            own(RECORDS, |r| {
                r["takeover"] = json!({ "key": record(2), "sha256": "0".repeat(64) })
            }),
        )
        .finds(RosterWrong, record(RECORDS)),
        case(
            "one that is missed",
            own(RECORDS, |r| {
                let other = entry(r, OTHER);
                other["listed"] = json!(false);
                other["unlisted"] = json!({ "since": 5, "acknowledged": false });
            }),
        )
        .finds(SubAccountUnlisted, format!("sub_account={OTHER}")),
    ]
}

fn strangers() -> Vec<Case> {
    let put = |key: &'static str| move |a: &mut Archive| a.put(key, "any bytes");
    let chain = "manifests/v1/sub_account=roster/0000000001.json";
    vec![
        case("an object among the records", put("roster/v1/note"))
            .finds(ForeignObject, "roster/v1/note"),
        case("an object beside them", put("roster/note")).finds(ForeignObject, "roster/note"),
        case("another version's folder", put("roster/v2/0000000001.json"))
            .finds(ForeignObject, "roster/v2/0000000001.json"),
        case("a sub-account of the roster's name", put(chain)).finds(ForeignObject, chain),
    ]
}
