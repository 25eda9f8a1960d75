//! Anchors: heads that are stored a second time, in a bucket of another server with other
//! credentials, in a folder or by a webhook, and what they detect that nothing inside an archive
//! can.

mod detection;
mod places;
mod records;
mod webhook;

use std::path::PathBuf;
use std::sync::LazyLock;

use crate::support::bucket::Bucket;
use crate::support::minio::Minio;
use crate::support::vault::{Finished, SUB, Simulator, Vault, options};
use serde_json::Value;

pub const EVE: &str = "2026-11-19";
pub const NEXT: &str = "2026-11-21";

/// Returns a second server for anchors, whose credentials differ from the archive's.
fn elsewhere() -> &'static Minio {
    static SERVER: LazyLock<Minio> = LazyLock::new(Minio::start);
    &SERVER
}

fn simulator() -> Simulator {
    let mut options = options();
    options.segments_per_day = 12;
    Simulator::start(options)
}

/// Returns a user who has acknowledged the warnings that are usual on a first day.
fn user(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    vault
}

/// Returns the anchor's folder of a user who has one.
fn folder(vault: &mut Vault) -> PathBuf {
    let folder = vault.folder.path().join("anchor");
    vault.set("ANCHOR", folder.to_str().unwrap());
    folder
}

/// Returns the access key id and the secret of a server.
fn keys(minio: &Minio) -> (String, String) {
    let env = minio.env();
    let value = |name: &str| env.iter().find(|(one, _)| one == name).unwrap().1.clone();
    (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"))
}

/// Sets the user's anchor to a bucket of that server.
fn anchored_in(bucket: &Bucket, vault: &mut Vault) {
    let (id, secret) = keys(bucket.minio);
    vault
        .set("ANCHOR", &bucket.location())
        .set("ANCHOR_S3_ENDPOINT", &bucket.minio.endpoint());
    vault
        .set("ANCHOR_S3_PATH_STYLE", "true")
        .set("ANCHOR_S3_REGION", "us-east-1");
    vault
        .set("ANCHOR_ACCESS_KEY_ID", &id)
        .set("ANCHOR_SECRET_ACCESS_KEY", &secret);
}

fn archive_id(vault: &Vault) -> String {
    let record = std::fs::read(vault.archive().join("archive.json")).unwrap();
    serde_json::from_slice::<Value>(&record).unwrap()["archive_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Returns the key of one anchor of the sub-account.
fn place(archive_id: &str, sequence: u64) -> String {
    format!("anchors/v1/{archive_id}/sub_account={SUB}/{sequence:010}.json")
}

/// Returns the key of one anchor of the roster.
fn roster_place(archive_id: &str, sequence: u64) -> String {
    format!("anchors/v1/{archive_id}/roster/{sequence:010}.json")
}

/// Returns one record of the roster.
fn roster(vault: &Vault, sequence: u64) -> PathBuf {
    vault
        .archive()
        .join(format!("roster/v1/{sequence:010}.json"))
}

/// Returns the number of records of the roster.
fn rosters(vault: &Vault) -> u64 {
    (1..)
        .take_while(|sequence| roster(vault, *sequence).exists())
        .count() as u64
}

/// Returns the findings of a verification that have this code.
#[track_caller]
fn found(verified: &Finished, code: &str) -> Vec<Value> {
    verified
        .events()
        .into_iter()
        .filter(|event| event["code"] == code)
        .collect()
}

/// Changes a file of a folder store, which is read-only.
fn overwrite(path: &std::path::Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}
