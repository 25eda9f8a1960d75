//! Records of the chain that are not days: acknowledged gaps, legal holds, longer retention and
//! disposal, in a folder and in a real bucket with Object Lock.

mod acknowledgements;
mod disposal;
mod dry_runs;
mod forgeries;
mod holds;
mod readers;
mod retention;

use crate::support::bucket::Bucket;
use crate::support::vault::{DAY, Finished, SUB, Simulator, Vault, options};
use serde_json::Value;

pub const EVE: &str = "2026-11-19";
pub const NEXT: &str = "2026-11-21";

/// Returns a simulator that answers some summaries of every day with errors only.
fn broken() -> Simulator {
    let mut options = options();
    options.segments_per_day = 40;
    options.faults.permanent_500 = 15.0;
    Simulator::start(options)
}

fn intact() -> Simulator {
    let mut options = options();
    options.segments_per_day = 12;
    Simulator::start(options)
}

/// Returns a user with a signing key who has acknowledged the warnings that are usual on a first
/// day.
fn signing(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    vault
        .set("KNOWN_WARNINGS", "first-day-empty,low-volume")
        .set("MAX_ATTEMPTS", "1");
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

/// Returns the newest manifest of the sub-account in a bucket, without its envelope.
fn head_in(bucket: &Bucket) -> Value {
    let contents = bucket.contents();
    let (_, bytes) = contents
        .range("manifests/".to_owned().."manifests0".to_owned())
        .next_back()
        .unwrap();
    serde_json::from_slice::<Value>(bytes).unwrap()["manifest"].take()
}

/// Returns the codes of a verification's findings, except for the notices about missing keys and
/// heads.
fn codes(verified: &Finished) -> Vec<String> {
    let findings = verified
        .events()
        .into_iter()
        .filter(|event| event["event"] == "finding");
    let mut codes: Vec<String> = findings
        .map(|event| event["code"].as_str().unwrap().to_owned())
        .filter(|code| code != "no-expected-head")
        .collect();
    codes.sort();
    codes.dedup();
    codes
}

/// Asserts that every manifest is valid against the schema, its signature included.
fn check_schema(vault: &Vault) {
    let schema: Value =
        serde_json::from_str(include_str!("../../../schemas/manifest.v1.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for manifest in vault.manifests(SUB) {
        schema
            .validate(&manifest)
            .unwrap_or_else(|error| panic!("{error}: {manifest}"));
        assert!(manifest["signature"].is_object(), "{manifest}");
    }
}

/// Returns the kinds of the chain's records, in order.
fn kinds(vault: &Vault) -> Vec<String> {
    let kind = |manifest: Value| manifest["manifest"]["kind"].as_str().unwrap().to_owned();
    vault.manifests(SUB).into_iter().map(kind).collect()
}
