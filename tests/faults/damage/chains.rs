//! Chains: cut off, forked, renumbered, signed with other keys or not at all.

use cxvault::audit::verify::finding::FindingCode;
use cxvault::audit::verify::finding::FindingCode::*;
use cxvault::format::hash::digest::Digest;
use cxvault::format::place::key;
use serde_json::{Value, json};

use super::archives::{BETWEEN, EMPTY, FILLED, GAPS, LAST, OTHER, SUB, date, manifest, parts};
use super::case::{Case, case};
use crate::support::damage::{Archive, Pen, STRANGER};

pub fn cases() -> Vec<Case> {
    [cut(), rewritten(), signatures(), envelopes()]
        .into_iter()
        .flatten()
        .collect()
}

/// What follows where the chain ends too early, since later objects are no records of it.
const AFTER_A_CUT: [FindingCode; 5] = [
    ForeignRecord,
    DayIncomplete,
    DayMissing,
    ManifestUnsigned,
    SignerNotAllowed,
];

fn day(n: u64) -> String {
    format!("{SUB} {}", date(n))
}

fn cut() -> Vec<Case> {
    let end = |a: &mut Archive| drop(a.remove(&manifest(FILLED)));
    let two = |a: &mut Archive| {
        for (n, revision) in [(FILLED, 2), (BETWEEN, 1)] {
            a.remove(&manifest(n));
            a.remove_all(&key::revision(SUB, date(n).parse().unwrap(), revision));
        }
    };
    let other = |a: &mut Archive| {
        a.remove(&key::manifest(OTHER, 1));
        a.remove_all(&key::day_root(OTHER));
    };
    vec![
        // From the chain alone it is only visible that the day lacks something.
        case("the chain's end cut off", end)
            .finds(DayIncomplete, day(GAPS))
            .finds(Leftover, &parts(FILLED)[0])
            .finds(NoExpectedHead, key::chain(SUB)),
        case("the chain's end cut off, a head known", end)
            .expecting(SUB, FILLED)
            .finds(HeadMissing, manifest(FILLED))
            .beside(&[DayIncomplete]),
        case("two manifests and their parts cut off", two)
            .finds(DayIncomplete, day(GAPS))
            .finds(DayMissing, day(BETWEEN))
            .finds(NoExpectedHead, key::chain(SUB)),
        case("two manifests and their parts cut off, a head known", two)
            .expecting(SUB, FILLED)
            .finds(HeadMissing, manifest(FILLED))
            .beside(&[DayIncomplete, DayMissing]),
        case("a whole sub-account removed, a head known", other)
            .expecting(OTHER, 1)
            .finds(HeadMissing, key::manifest(OTHER, 1)),
        case("a sub-account's chain removed, its parts left", |a| {
            drop(a.remove(&key::manifest(OTHER, 1)))
        })
        .finds(
            Leftover,
            key::part(OTHER, date(LAST).parse().unwrap(), 1, 0),
        ),
        case("all of a chain but its head removed", |a| {
            (EMPTY..FILLED).for_each(|n| drop(a.remove(&manifest(n))))
        })
        .finds(ManifestMissing, manifest(EMPTY))
        .beside(&[DiscoveryUnknown, RowCounts]),
    ]
}

/// Removes a manifest from the middle and moves the later ones up.
fn close_up(a: &mut Archive, gone: u64, coverage: impl Fn(&mut Value)) {
    let last = a.manifests(SUB);
    a.remove(&manifest(gone));
    for n in gone + 1..=last {
        let bytes = a.remove(&manifest(n));
        a.put(&manifest(n - 1), bytes);
        let before = (n > 2).then(|| a.bytes(&manifest(n - 2)));
        let position = a.position(SUB, n - 1);
        a.edit(SUB, n - 1, Pen::Own, |manifest| {
            place_at(manifest, &position);
            manifest["sequence"] = json!(n - 1);
            manifest["key"] = json!(key::manifest(SUB, n - 1));
            manifest["previous"] = match &before {
                Some(bytes) => {
                    json!({ "key": key::manifest(SUB, n - 2), "sha256": Digest::of(bytes).hex() })
                }
                None => Value::Null,
            };
            coverage(manifest);
        });
    }
}

/// Sets a manifest's place in the list of its chain's records.
fn place_at(manifest: &mut Value, position: &Value) {
    for (name, value) in position.as_object().unwrap() {
        manifest[name] = value.clone();
    }
}

/// Returns a manifest that reports no change of the day with the gaps, as the next one.
fn append(a: &mut Archive, pen: Pen, change: impl Fn(&mut Value)) {
    let next = FILLED + 1;
    let head = a.bytes(&manifest(FILLED));
    a.put(&manifest(next), head.clone());
    let position = a.position(SUB, next);
    a.edit(SUB, next, pen, |manifest| {
        place_at(manifest, &position);
        manifest["sequence"] = json!(next);
        manifest["key"] = json!(key::manifest(SUB, next));
        manifest["previous"] =
            json!({ "key": self::manifest(FILLED), "sha256": Digest::of(&head).hex() });
        manifest["revision"] = json!(3);
        manifest["files"] = json!([]);
        let statuses = [
            "PRESENT",
            "EMPTY",
            "NOT_FOUND",
            "BINARY",
            "FAILED",
            "SKIPPED",
            "NO_ID",
        ];
        for count in ["segments", "out_of_day", "vanished"] {
            manifest["rows"][count] = json!(0);
        }
        for (kind, status) in ["agent", "auto"]
            .into_iter()
            .flat_map(|kind| statuses.map(|s| (kind, s)))
        {
            manifest["rows"][kind][status] = json!(0);
        }
        change(manifest);
    });
}

fn rewritten() -> Vec<Case> {
    let host = |manifest: &mut Value| manifest["run"]["host"] = json!("elsewhere");
    vec![
        case("a manifest cut from the middle, the others moved up", |a| {
            close_up(a, BETWEEN, |_| {})
        })
        .unsigned()
        .finds(CoverageWrong, manifest(BETWEEN)),
        case("the same, and the account of days made to fit", |a| {
            close_up(a, BETWEEN, |manifest| {
                manifest["coverage"]["days"] = json!("ecmc")
            })
        })
        .unsigned()
        .finds(DayMissing, day(BETWEEN))
        .finds(Leftover, &parts(BETWEEN)[0]),
        case("the same, a head known", |a| {
            close_up(a, BETWEEN, |manifest| {
                manifest["coverage"]["days"] = json!("ecmc")
            })
        })
        .unsigned()
        .expecting(SUB, FILLED)
        .finds(HeadMissing, manifest(FILLED))
        .beside(&[DayMissing]),
        case("a day's first revision cut out, the others moved up", |a| {
            close_up(a, GAPS, |_| {})
        })
        .unsigned()
        .finds(RevisionOrder, manifest(BETWEEN))
        .beside(&[DiscoveryUnknown, CoverageWrong, ChainBroken, RowCounts]),
        case("a first revision committed once more", |a| {
            append(a, Pen::Own, |manifest| manifest["revision"] = json!(1))
        })
        .unsigned()
        .finds(RevisionOrder, manifest(FILLED + 1))
        .beside(&[DiscoveryUnknown, CountsWrong]),
        case("a revision left out", |a| {
            append(a, Pen::Own, |manifest| manifest["revision"] = json!(4))
        })
        .unsigned()
        .finds(RevisionOrder, manifest(FILLED + 1)),
        case("a fork: another signed manifest in the middle", move |a| {
            a.edit(SUB, BETWEEN, Pen::Own, host)
        })
        .finds(ChainBroken, manifest(FILLED))
        .beside(&[PositionWrong]),
        case("a fork: another signed head, a head known", move |a| {
            a.edit(SUB, FILLED, Pen::Own, host)
        })
        .expecting(SUB, FILLED)
        .finds(HeadDiffers, manifest(FILLED)),
        case(
            "the whole chain written anew by the key's holder, a head known",
            move |a| a.forge(SUB, EMPTY, Pen::Own, host),
        )
        .expecting(SUB, FILLED)
        .finds(HeadDiffers, manifest(FILLED)),
        case("a manifest of another archive by the same key", |a| {
            a.edit(SUB, FILLED, Pen::Own, |manifest| {
                manifest["archive_id"] = json!("f".repeat(32))
            })
        })
        .finds(ForeignRecord, manifest(FILLED))
        .beside(&[DayIncomplete]),
        case("a first manifest that names one before it", |a| {
            let link = json!({ "key": key::manifest(SUB, 9), "sha256": "0".repeat(64) });
            a.forge(SUB, EMPTY, Pen::Own, |manifest| {
                manifest["previous"] = link.clone()
            })
        })
        .unsigned()
        .finds(ChainBroken, manifest(EMPTY))
        .beside(&[PositionWrong]),
        case("a middle manifest that names none before it", |a| {
            a.forge(SUB, LAST, Pen::Own, |manifest| {
                manifest["previous"] = Value::Null
            })
        })
        .unsigned()
        .finds(ChainBroken, manifest(LAST))
        .beside(&[PositionWrong]),
        case(
            "a manifest that names the right hash and another key",
            |a| {
                a.forge(SUB, LAST, Pen::Own, |manifest| {
                    manifest["previous"]["key"] = json!(self::manifest(EMPTY))
                })
            },
        )
        .unsigned()
        .finds(ChainBroken, manifest(LAST))
        .beside(&[PositionWrong]),
    ]
}

fn signatures() -> Vec<Case> {
    let host = |manifest: &mut Value| manifest["run"]["host"] = json!("elsewhere");
    let strip = |a: &mut Archive| {
        for sub in [SUB, OTHER] {
            a.sign_chain(sub, Pen::Bare);
        }
    };
    vec![
        case(
            "a middle manifest rewritten without the key, the others made to follow",
            move |a| a.forge(SUB, LAST, Pen::Stale, host),
        )
        .finds(ForeignRecord, manifest(LAST))
        .beside(&AFTER_A_CUT),
        case("rewritten from the middle, unsigned from there", move |a| {
            a.forge(SUB, LAST, Pen::Bare, host)
        })
        .finds(ForeignRecord, manifest(LAST))
        .beside(&AFTER_A_CUT),
        case(
            "rewritten from the middle, signed by another key",
            move |a| a.forge(SUB, LAST, Pen::Stranger, host),
        )
        .finds(ForeignRecord, manifest(LAST))
        .beside(&AFTER_A_CUT),
        case("all of the chain signed by another key", |a| {
            a.sign_chain(SUB, Pen::Stranger)
        })
        .finds(SignerNotAllowed, manifest(EMPTY))
        .beside(&AFTER_A_CUT),
        case(
            "the whole chain signed by another key, without allowed signers",
            |a| a.sign_chain(SUB, Pen::Stranger),
        )
        .without_allowed_signers()
        .finds(SignerNotAllowed, manifest(EMPTY))
        .beside(&AFTER_A_CUT),
        case(
            "every signature taken away, although signers are known",
            strip,
        )
        .finds_one_of(&[ManifestUnsigned, SignerNotAllowed], manifest(EMPTY))
        .beside(&[PartSignature])
        .beside(&AFTER_A_CUT),
        case("every signature removed, without allowed signers", strip)
            .without_allowed_signers()
            .finds(ManifestUnsigned, manifest(EMPTY))
            .beside(&AFTER_A_CUT),
        case("the head's signature taken away", |a| {
            a.edit(SUB, FILLED, Pen::Bare, |_| {})
        })
        .finds(ForeignRecord, manifest(FILLED))
        .beside(&[DayIncomplete]),
        case("an unsigned manifest appended", |a| {
            append(a, Pen::Bare, |_| {})
        })
        .finds(ForeignRecord, manifest(FILLED + 1)),
        case("a manifest appended by another key", |a| {
            append(a, Pen::Stranger, |_| {})
        })
        .finds(ForeignRecord, manifest(FILLED + 1)),
        case("two manifests' signatures swapped", |a| {
            let [one, other] = [BETWEEN, FILLED].map(|n| a.envelope(SUB, n)["signature"].clone());
            a.edit_envelope(SUB, BETWEEN, |envelope| {
                envelope["signature"] = other.clone()
            });
            a.edit_envelope(SUB, FILLED, |envelope| envelope["signature"] = one.clone());
        })
        .finds(ForeignRecord, manifest(BETWEEN))
        .finds(ForeignRecord, manifest(FILLED))
        .beside(&AFTER_A_CUT),
        case("a part's signature in the head", |a| {
            let (_, signature) = crate::support::damage::footer(&a.bytes(&parts(FILLED)[0]));
            a.edit_envelope(SUB, FILLED, |envelope| {
                envelope["signature"]["value"] = json!(signature)
            })
        })
        .finds(ForeignRecord, manifest(FILLED))
        .beside(&[DayIncomplete]),
        case("another key's name beside the head's signature", |a| {
            let line = STRANGER.public_key().to_openssh_line();
            a.edit_envelope(SUB, FILLED, |envelope| {
                envelope["signature"]["public_key"] = json!(line)
            })
        })
        .finds(ForeignRecord, manifest(FILLED))
        .beside(&[DayIncomplete]),
    ]
}

/// The object of the head, which no later hash covers: what the signature does not cover must not
/// matter.
fn envelopes() -> Vec<Case> {
    let head = |name: &str, change: fn(&mut Value)| {
        case(format!("the head: {name}"), move |a| {
            a.edit_envelope(SUB, FILLED, change)
        })
        .finds(ForeignRecord, manifest(FILLED))
        .beside(&[DayIncomplete])
    };
    vec![
        head("a member more", |envelope| envelope["note"] = json!("x")),
        head("a member more in the manifest", |envelope| {
            envelope["manifest"]["note"] = json!("x")
        }),
        head("a member more in `run`", |envelope| {
            envelope["manifest"]["run"]["note"] = json!("x")
        }),
        head("a member more in `discovery`", |envelope| {
            envelope["manifest"]["discovery"]["note"] = json!("x")
        }),
        head("a member more in a file", |envelope| {
            envelope["manifest"]["files"][0]["note"] = json!("x")
        }),
        head("a member more in the signature", |envelope| {
            envelope["signature"]["note"] = json!("x")
        }),
        head("another signature format", |envelope| {
            envelope["signature"]["format"] = json!("pgp")
        }),
        head("another signature namespace", |envelope| {
            envelope["signature"]["namespace"] = json!("file")
        }),
        head("text after the signature", |envelope| {
            let value = format!("{}text\n", envelope["signature"]["value"].as_str().unwrap());
            envelope["signature"]["value"] = json!(value);
        }),
        head("a member missing", |envelope| {
            envelope["manifest"]
                .as_object_mut()
                .unwrap()
                .remove("warnings");
        }),
        head("an instant with another spelling", |envelope| {
            let at = envelope["manifest"]["run"]["started_at"]
                .as_str()
                .unwrap()
                .replace('Z', "+00:00");
            envelope["manifest"]["run"]["started_at"] = json!(at);
        }),
    ]
}
