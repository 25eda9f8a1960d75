//! The roster: what each run records about all sub-accounts, what it detects, and what detects
//! changes of the roster itself.

mod detection;
mod faults;
mod runs;
mod shapes;
mod takeover;
mod unlisted;

use std::path::PathBuf;

use crate::support::vault::{Finished, SUB, Simulator, Vault, options};
use cxvault::format::hash::digest::Digest;
use cxvault::format::place::key;
use cxvault::format::record::envelope::RecordBody;
use cxvault::format::record::manifest::Envelope;
use serde_json::Value;

pub const EVE: &str = "2026-11-19";
pub const OTHER: &str = "88888888";

/// Returns a simulator whose RingCX lists these sub-accounts.
fn listing(sub_accounts: &[&str]) -> Simulator {
    let mut options = options();
    options.segments_per_day = 12;
    options.sub_accounts = sub_accounts.iter().map(|id| (*id).to_owned()).collect();
    Simulator::start(options)
}

/// Returns a user with a signing key who archives every listed sub-account.
fn signing(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    vault
        .unset("SUB_ACCOUNTS")
        .set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    let key = vault.folder.path().join("signing-key");
    let line = vault
        .run(&["keygen", "--quiet", key.to_str().unwrap()])
        .expect(0)
        .stdout;
    let signers = vault.folder.path().join("allowed_signers");
    std::fs::write(&signers, line).unwrap();
    vault.set("SIGNING_KEY_FILE", key.to_str().unwrap());
    vault.set("ALLOWED_SIGNERS_FILE", signers.to_str().unwrap());
    vault
}

fn path(vault: &Vault, sequence: u64) -> PathBuf {
    vault.archive().join(key::manifest(key::ROSTER, sequence))
}

/// Returns all records in order, with their envelopes; each must be valid against the schema.
fn records(vault: &Vault) -> Vec<Value> {
    let schema: Value =
        serde_json::from_str(include_str!("../../../schemas/roster.v1.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let read = |sequence| {
        let record: Value =
            serde_json::from_slice(&std::fs::read(path(vault, sequence)).ok()?).unwrap();
        schema
            .validate(&record)
            .unwrap_or_else(|error| panic!("{error}: {record}"));
        Some(record)
    };
    (1..).map_while(read).collect()
}

/// Returns the newest record, without its envelope.
fn newest(vault: &Vault) -> Value {
    records(vault).pop().expect("a record")["manifest"].take()
}

/// Returns the entry of one sub-account in a record.
#[track_caller]
fn entry(record: &Value, id: &str) -> Value {
    let entries = record["sub_accounts"].as_array().unwrap();
    entries
        .iter()
        .find(|entry| entry["id"] == id)
        .unwrap_or_else(|| panic!("nothing of {id}: {record}"))
        .clone()
}

/// Returns `roster:SEQUENCE:SHA256` of the newest record as it is stored.
fn head(vault: &Vault) -> String {
    let newest = records(vault).len() as u64;
    format!(
        "roster:{newest}:{}",
        Digest::of(&std::fs::read(path(vault, newest)).unwrap())
    )
}

/// Returns the newest manifest of a chain as a roster's entry names it.
fn chain_head(vault: &Vault, id: &str) -> Value {
    let newest = vault.manifests(id).len() as u64;
    let bytes = std::fs::read(vault.archive().join(key::manifest(id, newest))).unwrap();
    let record = Envelope::from_bytes(&bytes).unwrap().manifest;
    serde_json::to_value(record.head(Digest::of(&bytes))).unwrap()
}

/// Returns code and object of each finding.
fn findings(verified: &Finished) -> Vec<(String, String)> {
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let events = verified
        .events()
        .into_iter()
        .filter(|event| event["event"] == "finding");
    events
        .map(|event| (text(&event, "code"), text(&event, "object")))
        .collect()
}
