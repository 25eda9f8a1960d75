//! Copies: complete, growing, interrupted at every request, with new locks, and refused where the
//! archive or the copy is damaged.

mod complete;
mod killed;
mod locks;
mod refused;
mod takeover;

use std::path::Path;

use crate::support::bucket::Bucket;
use crate::support::minio::Minio;
use crate::support::protocol::Contents;
use crate::support::vault::{DAY, Finished, SUB, Simulator, Vault, options};
use serde_json::Value;

pub const EVE: &str = "2026-11-19";
pub const NEXT: &str = "2026-11-21";
pub const OTHER: &str = "88888888";
pub const MARK: &str = "copy.json";

fn simulator() -> Simulator {
    let mut options = options();
    options.segments_per_day = 24;
    options.sub_accounts = vec![SUB.into(), OTHER.into()];
    Simulator::start(options)
}

/// Returns a user who archives days in several parts.
fn owner(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    vault
        .set("KNOWN_WARNINGS", "first-day-empty,low-volume")
        .set("PART_ROWS", "8");
    vault
}

/// An archive of two days in a folder.
fn two_days(simulator: &Simulator) -> Vault {
    let vault = owner(simulator);
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    vault
}

/// Lets a user store copies in a server's buckets, reached at `endpoint` or directly, with separate
/// credentials.
fn may_copy_to(vault: &mut Vault, minio: &Minio, endpoint: Option<&str>) {
    for (name, value) in minio.env() {
        match name.as_str() {
            "AWS_ACCESS_KEY_ID" => drop(vault.set("COPY_ACCESS_KEY_ID", &value)),
            "AWS_SECRET_ACCESS_KEY" => drop(vault.set("COPY_SECRET_ACCESS_KEY", &value)),
            "AWS_REGION" => drop(vault.set("COPY_REGION", &value)),
            _ => {}
        }
    }
    vault
        .set("COPY_ENDPOINT", endpoint.unwrap_or(&minio.endpoint()))
        .set("COPY_PATH_STYLE", "true");
}

fn copy(vault: &Vault, to: &str, more: &[&str]) -> Finished {
    vault.run(&[&["copy", "--json", "--to", to], more].concat())
}

/// Returns the last event of a copy.
#[track_caller]
fn copied(finished: &Finished) -> Value {
    let last = finished
        .events()
        .pop()
        .unwrap_or_else(|| panic!("no event: {finished}"));
    assert_eq!(
        (&last["event"], &last["exit"]),
        (&"copy".into(), &finished.exit().into()),
        "{finished}"
    );
    last
}

/// Returns every object of an archive in a folder.
fn objects_in(vault: &Vault, folder: &Path) -> Contents {
    let key = |path: &Path| {
        path.strip_prefix(folder)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let files = vault
        .files(folder)
        .into_iter()
        .filter(|path| !path.starts_with(folder.join("tmp")));
    files
        .map(|path| (key(&path), std::fs::read(&path).unwrap().into()))
        .collect()
}

fn without_mark(mut contents: Contents) -> Contents {
    assert!(contents.remove(MARK).is_some(), "a copy bears its mark");
    contents
}

fn count_of(contents: &Contents, prefix: &str) -> u64 {
    contents
        .keys()
        .filter(|key| key.starts_with(prefix))
        .count() as u64
}

fn parts(contents: &Contents) -> Vec<String> {
    contents
        .keys()
        .filter(|key| key.ends_with(".parquet"))
        .cloned()
        .collect()
}

fn manifest(sub: &str, sequence: u64) -> String {
    cxvault::format::place::key::manifest(sub, sequence)
}

/// Verifies with the heads that the reader knows.
#[track_caller]
fn verified(vault: &Vault, at: &str, heads: &Value) {
    let heads = heads
        .as_array()
        .unwrap()
        .iter()
        .map(|head| head.as_str().unwrap());
    let heads: Vec<&str> = heads.flat_map(|head| ["--expect-head", head]).collect();
    let args = [
        &["verify", "--json", "--level", "deep", "--archive", at],
        &heads[..],
    ]
    .concat();
    let finished = vault.run(&args).expect(0);
    let totals = finished.events().pop().unwrap();
    assert_eq!(
        (&totals["violations"], &totals["gaps"]),
        (&0.into(), &0.into()),
        "{finished}"
    );
}

/// Reads the copy as a user of it does.
fn reader_of(simulator: &Simulator, bucket: &Bucket) -> Vault {
    let mut vault = Vault::new(simulator);
    bucket.used_by(&mut vault, None);
    vault
}
