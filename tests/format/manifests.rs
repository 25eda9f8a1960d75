//! Every shape of manifest that the code can write is valid against
//! `schemas/manifest.v1.schema.json`, and what the schema refuses, the code refuses too: most of it
//! when it reads a manifest, the rest when it verifies a chain.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cxvault::audit::verify::finding::{Finding, Severity};
use cxvault::audit::verify::{Level, VerifyOptions, VerifyProgress, verify};
use cxvault::format::hash::digest::Digest;
use cxvault::format::place::key;
use cxvault::format::record::archive::ArchiveRecord;
use cxvault::format::record::continuity::Continuity;
use cxvault::format::record::coverage::{Coverage, DayState};
use cxvault::format::record::envelope::RecordBody;
use cxvault::format::record::key_list::KeyList;
use cxvault::format::record::lock::{Lock, LockMode};
use cxvault::format::record::manifest::{
    DayRecord, Discovery, Envelope, Incomplete, Leftover, Link, Manifest, ObjectLock, Recheck,
    Record, Why,
};
use cxvault::format::record::position::ChainPosition;
use cxvault::format::record::warning::{Warning, WarningCode};
use cxvault::format::row::omit::Omission;
use cxvault::format::row::recheck::Changes;
use cxvault::format::row::tally::GroupShare;
use cxvault::format::signature::{AllowedSigners, SigningKey};
use cxvault::format::time::instant::Instant;
use cxvault::format::time::range::Days;
use cxvault::store::{Body, NewObject, Store};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::memory::MemoryStore;
use crate::support::mutants::{Mutant, mutants};

const SUB: &str = "99999999";
/// Number 13 disposes of its day, whose files do not exist.
const DISPOSED: &str = "segments/v1/sub_account=99999999/dt=2026-11-22/r0001-p0000.parquet";
/// The golden records that are changed: days, a recheck, and one of each other kind.
const TRIED: [u64; 9] = [1, 2, 3, 8, 9, 10, 11, 12, 13];

fn golden(key: &str) -> Vec<u8> {
    fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden/v1/archive")
            .join(key),
    )
    .unwrap()
}

fn schema() -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/manifest.v1.schema.json");
    jsonschema::validator_for(&serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).unwrap()
}

fn signing_key() -> SigningKey {
    SigningKey::from_openssh_pem(&String::from_utf8(golden("../test-only.key")).unwrap()).unwrap()
}

/// Returns the golden archive's `archive.json` as that of an archive that is not signed.
fn unsigned_archive() -> Vec<u8> {
    let mut record = ArchiveRecord::read(&golden(key::ARCHIVE)).unwrap();
    record.signers = KeyList::default();
    record.to_bytes().unwrap()
}

/// Returns the golden chain up to a number, unsigned.
fn unsigned(upto: u64) -> Vec<Manifest> {
    let signed_archive = Digest::of(&golden(key::ARCHIVE)).hex();
    let mut hashes = vec![(signed_archive, Digest::of(&unsigned_archive()).hex())];
    let mut position = ChainPosition::default();
    let manifests = (1..=upto).map(|n| {
        let signed = golden(&key::manifest(SUB, n));
        let mut text = String::from_utf8(signed.clone()).unwrap();
        // Every object that it names is another one without its signature.
        hashes
            .iter()
            .for_each(|(before, now)| text = text.replace(before, now));
        let mut manifest: Manifest = serde_json::from_value(
            serde_json::from_str::<Value>(&text).unwrap()["manifest"].take(),
        )
        .unwrap();
        // And so are the trees over them.
        manifest.position = position.clone();
        manifest.continuity = Continuity::default();
        let bytes = manifest.clone().seal(None).unwrap().to_bytes().unwrap();
        hashes.push((Digest::of(&signed).hex(), Digest::of(&bytes).hex()));
        position = manifest.next_position(Digest::of(&bytes));
        manifest
    });
    manifests.collect()
}

fn day(manifest: &mut Manifest) -> &mut DayRecord {
    let Record::Day(day) = &mut manifest.record else {
        panic!("it is a day")
    };
    day
}

/// Returns a manifest with every optional member.
fn full() -> Manifest {
    let mut manifest = unsigned(1).pop().unwrap();
    let day = day(&mut manifest);
    let warning = |code: WarningCode, agent_group: Option<&str>| Warning {
        code: code.into(),
        agent_group: agent_group.map(str::to_owned),
        found: 0,
        usual: 40,
        acknowledged: false,
    };
    day.warnings = vec![
        warning(WarningCode::LowVolume, None),
        warning(WarningCode::SummariesStopped, Some("4101")),
        warning(WarningCode::SummariesStopped, Some("")),
    ];
    day.incomplete_because = vec![
        Incomplete::SummariesFailed.into(),
        Incomplete::WantedSummariesSkipped.into(),
        Incomplete::BeyondSourceRetention.into(),
    ];
    day.files[0].version_id =
        Some("3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo".into());
    day.files[0].adopted = true;
    // One name each, since a schema cannot require that names are sorted.
    day.files[0].omitted_fields = Some(std::iter::once("agentNotes".to_owned()).collect());
    day.omitted_fields = std::iter::once("aFieldOf2031".to_owned()).collect();
    day.leftovers = vec![Leftover {
        key: "segments/v1/sub_account=99999999/dt=2026-11-20/caf\u{e9} %0A.parquet".into(),
        sha256: Digest::of(b""),
        why: "not-committed".into(),
    }];
    day.source_retention_days = Some(u32::MAX);
    manifest
}

type Change = Box<dyn Fn(&mut Manifest)>;

fn of_day(name: &str, change: impl Fn(&mut DayRecord) + 'static) -> (String, Change) {
    (
        name.to_owned(),
        Box::new(move |manifest| change(day(manifest))),
    )
}

/// Returns one manifest for each variant of each member. A new variant of an enum must be added
/// here to compile.
fn variants() -> Vec<(String, Change)> {
    let mut all: Vec<(String, Change)> = Vec::new();
    for why in [Why::Nightly, Why::Backfill, Why::GapFill, Why::Recheck] {
        match why {
            Why::Nightly | Why::Backfill | Why::GapFill | Why::Recheck => {}
        }
        all.push(of_day(&format!("{why:?}"), move |day| day.why = why.into()));
    }
    for mode in [LockMode::Governance, LockMode::Compliance] {
        match mode {
            LockMode::Governance | LockMode::Compliance => {}
        }
        let lock = ObjectLock {
            mode,
            retain_until: Instant::from_millis(4_102_444_800_000),
        };
        all.push(of_day(&format!("{mode:?}"), move |day| {
            day.object_lock = Some(lock.clone())
        }));
    }
    for reason in [
        Incomplete::SummariesFailed,
        Incomplete::WantedSummariesSkipped,
        Incomplete::BeyondSourceRetention,
    ] {
        match reason {
            Incomplete::SummariesFailed
            | Incomplete::WantedSummariesSkipped
            | Incomplete::BeyondSourceRetention => {}
        }
        all.push(of_day(reason.name(), move |day| {
            day.incomplete_because = vec![reason.into()]
        }));
    }
    for code in [
        WarningCode::FirstDayEmpty,
        WarningCode::LowVolume,
        WarningCode::SummariesStopped,
    ] {
        match code {
            WarningCode::FirstDayEmpty | WarningCode::LowVolume | WarningCode::SummariesStopped => {
            }
        }
        let warning = Warning {
            code: code.into(),
            agent_group: None,
            found: 1,
            usual: 9,
            acknowledged: true,
        };
        all.push(of_day(code.name(), move |day| {
            day.warnings = vec![warning.clone()]
        }));
    }
    for state in DayState::ALL {
        match state {
            DayState::Complete | DayState::Empty | DayState::Gaps => {}
            DayState::Acknowledged | DayState::Missing | DayState::Disposed => {}
        }
        let change = move |manifest: &mut Manifest| {
            let mut coverage = Coverage::default();
            coverage.set("2024-02-29".parse().unwrap(), state);
            coverage.set("2024-03-02".parse().unwrap(), DayState::Complete);
            manifest.coverage = coverage;
        };
        all.push((format!("coverage {state:?}"), Box::new(change)));
    }
    all.extend(values());
    all
}

/// Returns manifests with values at the ends of their ranges.
fn values() -> Vec<(String, Change)> {
    let link = Link {
        key: key::manifest(SUB, 9_999_999_999),
        sha256: Digest::of(b"x"),
    };
    // The ends of the calendar, and of the years that have four digits.
    let instants = [
        -377_705_023_201_000,
        -62_167_219_200_001,
        -62_167_219_200_000,
        0,
        253_402_207_200_000,
    ];
    let mut all = vec![
        of_day("no lock", |day| day.object_lock = None),
        of_day("nothing asked", move |day| {
            day.discovery = Discovery::Manifest(link.clone())
        }),
        of_day("no files", |day| day.files.clear()),
        of_day("no segment has an end", |day| {
            (day.files[0].min_segment_end, day.files[0].max_segment_end) = (None, None);
        }),
        of_day("retention unknown", |day| day.source_retention_days = None),
        of_day("a late revision", |day| day.revision = u32::MAX),
        of_day("groups and failures", |day| {
            for group in ["", "4101", "a/b ~", "?", "\"\\"] {
                let share = GroupShare {
                    segments: 1,
                    agent_present: 0,
                    auto_present: (1 << 53) - 1,
                };
                day.agent_groups.insert(group.into(), share);
                day.failures.insert(format!("http_{group}"), 1);
            }
        }),
        of_day("a recheck", |day| {
            let changes = Changes {
                new_segments: 1,
                vanished_segments: 2,
                ..Changes::default()
            };
            day.recheck = Some(Recheck {
                statuses: "all".parse().unwrap(),
                looked_at: 10,
                changes,
            });
        }),
        of_day("fields that are left out", |day| {
            day.omitted_fields = ["Gr\u{f6}\u{df}e", "agentNotes"]
                .map(str::to_owned)
                .into_iter()
                .collect();
        }),
        of_day("an adopted file with all fields", |day| {
            for file in &mut day.files {
                (file.adopted, file.omitted_fields) = (true, Some(Omission::default()));
            }
        }),
        of_day("no groups, no failures", |day| {
            day.agent_groups.clear();
            day.failures.clear();
        }),
    ];
    for instant in instants {
        all.push(of_day(&format!("segment ends at {instant}"), move |day| {
            day.files[0].min_segment_end = Some(Instant::from_millis(instant));
        }));
    }
    let manifest =
        |name: &str, change: fn(&mut Manifest)| (name.to_owned(), Box::new(change) as Change);
    all.extend([
        manifest("the API was not asked", |manifest| {
            manifest.run.clock_skew_ms = None
        }),
        manifest("a clock ahead", |manifest| {
            manifest.run.clock_skew_ms = Some(1 - (1 << 53))
        }),
        manifest("a host by another script", |manifest| {
            manifest.run.host = "\u{e4}\u{5e9}\u{2028}\u{1F600}".into()
        }),
        manifest("another sub-account", |manifest| {
            manifest.sub_account = "a-Z_0".repeat(12);
            manifest.key = key::manifest(&manifest.sub_account, manifest.sequence);
        }),
    ]);
    all
}

#[test]
fn every_shape_that_the_code_writes_is_one_of_the_schema_and_reads_back() {
    let schema = schema();
    let bases = [unsigned(1), unsigned(2), unsigned(3), vec![full()]];
    let key = signing_key();
    let mut seen = 0;
    for base in bases.iter().map(|chain| chain.last().unwrap()) {
        let same: (String, Change) = ("as it is".into(), Box::new(|_| {}));
        for (name, change) in std::iter::once(same).chain(variants()) {
            let mut manifest = base.clone();
            if day(&mut manifest).files.is_empty() && name.contains("segment") {
                // An empty day has no file whose ends could be changed.
                continue;
            }
            change(&mut manifest);
            for signer in [None, Some(&key)] {
                let envelope = manifest.clone().seal(signer).unwrap();
                let bytes = envelope.to_bytes().unwrap();
                let value: Value = serde_json::from_slice(&bytes).unwrap();
                let errors: Vec<String> = schema
                    .iter_errors(&value)
                    .map(|error| error.to_string())
                    .collect();
                assert!(errors.is_empty(), "{name}: {errors:?}");
                assert_eq!(Envelope::from_bytes(&bytes).unwrap(), envelope, "{name}");
                assert_eq!(envelope.signer().unwrap().is_some(), signer.is_some());
                seen += 1;
            }
        }
    }
    assert!(seen > 200, "{seen}");
}

/// Returns what `verify` finds in an archive whose only chain ends with `last`.
fn findings(runtime: &tokio::runtime::Runtime, chain: &[Manifest], last: &[u8]) -> Vec<Finding> {
    let store = Arc::new(MemoryStore::new());
    // Locked as long as any record could require.
    let lock = Some(Lock {
        mode: LockMode::Compliance,
        until_ms: 253_402_207_200_000,
    });
    let put = |key: String, bytes: Vec<u8>| {
        let sha256 = Digest::of(&bytes);
        let object = NewObject {
            key,
            body: Body::Bytes(Bytes::from(bytes)),
            sha256,
            lock,
            legal_hold: true,
        };
        runtime.block_on(store.put_new(&object)).unwrap();
    };
    put(key::ARCHIVE.into(), unsigned_archive());
    for (n, manifest) in chain.iter().enumerate() {
        let own = || manifest.clone().seal(None).unwrap().to_bytes().unwrap();
        put(
            manifest.key.clone(),
            if n + 1 < chain.len() {
                own()
            } else {
                last.to_vec()
            },
        );
        let files = manifest.day().into_iter().flat_map(|day| &day.files);
        files
            .filter(|file| file.key != DISPOSED)
            .for_each(|file| put(file.key.clone(), golden(&file.key)));
    }
    let options = VerifyOptions {
        days: Days::default(),
        sub_accounts: Vec::new(),
        level: Level::Quick,
        subset: None,
        heads: Vec::new(),
        anchors: None,
        allowed: AllowedSigners::default(),
    };
    let found = Mutex::new(Vec::new());
    let tell = |finding| found.lock().unwrap().push(finding);
    let store: Arc<dyn Store> = store.clone();
    runtime
        .block_on(verify(
            store,
            &options,
            CancellationToken::new(),
            &VerifyProgress::default(),
            &tell,
        ))
        .unwrap();
    let mut found = found.into_inner().unwrap();
    found.retain(|finding| finding.severity == Severity::Violation && finding.object != DISPOSED);
    found
}

#[test]
fn what_the_schema_refuses_the_code_refuses_too_and_the_other_way_round() {
    let schema = schema();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (mut by_reader, mut by_verifier, mut wrong) = (0, 0, Vec::new());
    for chain in TRIED.map(unsigned).into_iter().chain([vec![full()]]) {
        let envelope = chain.last().unwrap().clone().seal(None).unwrap();
        let valid = serde_json::to_value(&envelope).unwrap();
        for Mutant { what, value } in mutants(&valid) {
            let bytes = serde_json_canonicalizer::to_vec(&value).unwrap();
            let (read, allowed) = (Envelope::from_bytes(&bytes), schema.is_valid(&value));
            match (read.is_ok(), allowed) {
                (true, true) => {}
                (false, false) => by_reader += 1,
                (false, true) => {
                    wrong.push(format!("the schema allows, and the reader not: {what}"))
                }
                (true, false) if findings(&runtime, &chain, &bytes).is_empty() => {
                    wrong.push(format!("the schema refuses, and nothing else does: {what}"));
                }
                (true, false) => by_verifier += 1,
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        by_reader + by_verifier,
        wrong.join("\n")
    );
    assert!(
        by_reader > 5_000 && by_verifier > 20,
        "{by_reader}, {by_verifier}"
    );
}

/// The comparison is valid only if an unchanged chain holds.
#[test]
fn the_chains_that_are_changed_above_hold_as_they_are() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for upto in 1..=17 {
        let chain = unsigned(upto);
        let last = chain
            .last()
            .unwrap()
            .clone()
            .seal(None)
            .unwrap()
            .to_bytes()
            .unwrap();
        assert_eq!(
            findings(&runtime, &chain, &last),
            Vec::new(),
            "up to {upto}"
        );
    }
}

#[test]
fn a_changed_signature_is_refused_by_both() {
    let schema = schema();
    let envelope = unsigned(1)
        .pop()
        .unwrap()
        .seal(Some(&signing_key()))
        .unwrap();
    let valid = serde_json::to_value(&envelope).unwrap();
    let mut refused = 0;
    for Mutant { what, value } in mutants(&valid["signature"]) {
        let mut whole = valid.clone();
        whole["signature"] = value;
        // As if it were unsigned.
        if whole["signature"].is_null() {
            continue;
        }
        let bytes = serde_json_canonicalizer::to_vec(&whole).unwrap();
        let holds = Envelope::from_bytes(&bytes)
            .and_then(|envelope| envelope.signer())
            .is_ok();
        assert!(!holds, "{what}: the signature holds");
        assert!(!schema.is_valid(&whole), "{what}: allowed by the schema");
        refused += 1;
    }
    assert!(refused > 100, "{refused}");
}

/// Dates that do not exist: a pattern cannot exclude them, the reader must.
#[test]
fn another_version_is_reported_as_such_whatever_the_content() {
    let text = String::from_utf8(golden(&key::manifest(SUB, 1))).unwrap();
    let later = text.replace("\"format_version\":1", "\"format_version\":2");
    for record in [
        later.replace("\"kind\":\"day\"", "\"kind\":\"dream\""),
        later,
    ] {
        let error = Envelope::from_bytes(record.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}

#[test]
fn dates_that_do_not_exist_are_refused() {
    let valid = serde_json::to_value(unsigned(1).pop().unwrap().seal(None).unwrap()).unwrap();
    for (place, wrong) in [
        ("/manifest/date", json!("2026-02-31")),
        ("/manifest/coverage/first_day", json!("2025-02-29")),
        (
            "/manifest/run/started_at",
            json!("2026-06-31T00:00:00.000Z"),
        ),
        ("/manifest/window/end", json!("2026-11-20T23:59:60.000Z")),
    ] {
        let mut value = valid.clone();
        *value.pointer_mut(place).unwrap() = wrong;
        let bytes = serde_json_canonicalizer::to_vec(&value).unwrap();
        assert!(Envelope::from_bytes(&bytes).is_err(), "{place}");
    }
}
