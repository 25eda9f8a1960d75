//! Every shape of a roster record is valid against `schemas/roster.v1.schema.json`, and what the
//! schema refuses, the reader or the verifier refuses too.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cxvault::audit::verify::finding::{Finding, Severity};
use cxvault::audit::verify::{Level, VerifyOptions, VerifyProgress, verify};
use cxvault::format::record::archive::ArchiveRecord;
use cxvault::format::record::continuity::Continuity;
use cxvault::format::record::key_list::KeyList;
use cxvault::format::record::lock::LockMode;
use cxvault::format::record::manifest::{ObjectLock, Run};
use cxvault::format::record::position::ChainPosition;
use cxvault::format::record::roster::{
    Ended, Inventory, RosterEntry, RosterEnvelope, RosterRecord, SubAccountEntry, Takeover,
    Unlisted,
};
use cxvault::format::signature::AllowedSigners;
use cxvault::format::time::instant::Instant;
use cxvault::format::time::range::Days;
use cxvault::store::{Body, NewObject, Store};
use tokio_util::sync::CancellationToken;

use super::*;

use crate::support::memory::MemoryStore;
use crate::support::mutants::{Mutant, mutants};

const ARCHIVE_ID: &str = "00112233445566778899aabbccddeeff";

fn schema() -> jsonschema::Validator {
    let schema =
        serde_json::from_str(include_str!("../../../schemas/roster.v1.schema.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// Returns the record of the archive that the records are of.
fn about() -> ArchiveRecord {
    ArchiveRecord {
        archive_id: ARCHIVE_ID.into(),
        created_at: Instant::from_millis(1_795_226_000_000),
        format_version: 1,
        signers: KeyList::default(),
    }
}

/// Returns a first record with every optional member, of one sub-account, since several must be in
/// order.
fn full(listed: Option<bool>) -> RosterRecord {
    let member = SubAccountEntry {
        id: "a-Z_0".into(),
        listed,
        expected: true,
        outcome: Some(Ended::Gaps),
        head: None,
        unlisted: (listed != Some(true)).then_some(Unlisted {
            since: 1,
            acknowledged: false,
        }),
    };
    let entry = RosterEntry::Roster(Box::new(Inventory {
        command: "run".into(),
        exit: Ended::Denied,
        sub_accounts: vec![member],
    }));
    RosterRecord {
        format_version: 1,
        archive_id: ARCHIVE_ID.into(),
        archive_sha256: about().sha256().unwrap(),
        key: key::manifest(key::ROSTER, 1),
        sequence: 1,
        previous: None,
        position: ChainPosition::default(),
        continuity: Continuity::default(),
        run: Run {
            id: "20261121T031500Z-0a1b2c3d".into(),
            tool_version: "0.1.0".into(),
            libraries: "parquet 60.1".into(),
            tz_database: "2026f".into(),
            host: "host7".into(),
            settings_sha256: Digest::of(b"settings"),
            started_at: Instant::from_millis(1_795_226_400_000),
            finished_at: Instant::from_millis(1_795_226_500_000),
            clock_skew_ms: None,
        },
        place: "s3://acme-cx-archive/ringcx \u{fc}".into(),
        object_lock: Some(ObjectLock {
            mode: LockMode::Governance,
            retain_until: Instant::from_millis(1_995_226_400_000),
        }),
        heads_root: entry.heads_root().unwrap(),
        signers: None,
        takeover: None,
        entry,
    }
}

/// Returns such a record of the other kind.
fn taken(by: Option<&str>) -> RosterRecord {
    let takeover = Takeover {
        from: by.map(|_| "s3://acme-cx-archive/old".to_owned()),
        copy: by.map(|_| Digest::of(b"copy")),
        sub_accounts: Vec::new(),
        reason: "region lost".to_owned(),
        by: by.map(str::to_owned),
    };
    let entry = RosterEntry::Takeover(Box::new(takeover));
    RosterRecord {
        heads_root: entry.heads_root().unwrap(),
        entry,
        ..full(None)
    }
}

/// Returns the violations that `verify` finds in an archive that holds this record and nothing
/// else.
fn violations(runtime: &tokio::runtime::Runtime, record: &[u8]) -> Vec<Finding> {
    let store = Arc::new(MemoryStore::new());
    let about = about().to_bytes().unwrap();
    for (key, bytes) in [
        (key::ARCHIVE.to_owned(), about),
        (key::manifest(key::ROSTER, 1), record.to_vec()),
    ] {
        let (sha256, lock) = (Digest::of(&bytes), None);
        let body = Body::Bytes(Bytes::from(bytes));
        runtime
            .block_on(store.put_new(&NewObject {
                key,
                body,
                sha256,
                lock,
                legal_hold: false,
            }))
            .unwrap();
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
    let store: Arc<dyn Store> = store;
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
    found.retain(|finding: &Finding| finding.severity == Severity::Violation);
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
    let rosters = [Some(true), Some(false), None].map(full);
    for record in rosters
        .into_iter()
        .chain([taken(None), taken(Some("A. Operator"))])
    {
        let envelope = RosterEnvelope::seal(record, None).unwrap();
        let bytes = envelope.to_bytes().unwrap();
        assert_eq!(RosterEnvelope::from_bytes(&bytes).unwrap(), envelope);
        assert_eq!(violations(&runtime, &bytes), Vec::new(), "as it is");
        let valid = serde_json::to_value(&envelope).unwrap();
        assert!(schema.is_valid(&valid), "{valid}");
        for Mutant { what, value } in mutants(&valid) {
            let bytes = serde_json_canonicalizer::to_vec(&value).unwrap();
            match (
                RosterEnvelope::from_bytes(&bytes).is_ok(),
                schema.is_valid(&value),
            ) {
                (true, true) => {}
                (false, false) => by_reader += 1,
                (false, true) => {
                    wrong.push(format!("the schema allows, and the reader not: {what}"))
                }
                (true, false) if violations(&runtime, &bytes).is_empty() => {
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
        by_reader > 1_000 && by_verifier > 10,
        "{by_reader}, {by_verifier}"
    );
}

#[test]
fn entries_out_of_order_twice_or_of_the_rosters_name_are_refused() {
    let with = |ids: &[&str]| {
        let mut record = full(None);
        let RosterEntry::Roster(roll) = &mut record.entry else {
            panic!("it is a roster")
        };
        let model = roll.sub_accounts[0].clone();
        roll.sub_accounts = ids
            .iter()
            .map(|id| SubAccountEntry {
                id: (*id).to_owned(),
                ..model.clone()
            })
            .collect();
        let bytes = RosterEnvelope::seal(record, None)
            .unwrap()
            .to_bytes()
            .unwrap();
        RosterEnvelope::from_bytes(&bytes).is_ok()
    };
    assert!(with(&[]) && with(&["1", "2"]));
    assert!(!with(&["2", "1"]) && !with(&["1", "1"]) && !with(&["roster"]) && !with(&["../etc"]));
}
