//! What several integration tests need: a real MinIO, a Python with DuckDB, the binary beside a simulator, the truth.
//!
//! Each test binary takes what it needs (`mod support;`), so that no part is used by all. Where something cannot be
//! had, a test panics and says what to install: a skipped test would pass without having looked.
#![allow(dead_code)]
// The one place of the tests that reads the environment and waits for other programs.
#![allow(clippy::disallowed_methods)]

pub mod browser;
pub mod bucket;
pub mod damage;
pub mod host;
pub mod memory;
pub mod minio;
pub mod mutants;
pub mod protocol;
pub mod proxy;
pub mod python;
pub mod random;
pub mod receiver;
pub mod stepped;
pub mod telemetry;
pub mod truth;
pub mod vault;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The workspace's target folder.
pub fn target() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent()
        .expect("cargo's folder for tests lies in target")
        .to_owned()
}

/// Holds `target/<name>.lock` while `work` runs: test binaries, which may run side by side, make things once.
pub fn exclusively<T>(name: &str, work: impl FnOnce() -> T) -> T {
    fs::create_dir_all(target()).expect("target/ can be made");
    let lock = File::create(target().join(format!("{name}.lock")))
        .expect("a lock file can be made in target/");
    lock.lock().expect("a file in target/ can be locked");
    work()
}

/// Runs a command to its end; panics with what it printed, and `remedy`, when it fails.
pub fn must_run(command: &mut std::process::Command, remedy: &str) {
    match command.output() {
        Ok(done) if done.status.success() => {}
        Ok(done) => panic!(
            "{command:?} failed: {}\n{}{}\n{remedy}",
            done.status,
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        ),
        Err(error) => panic!("cannot run {command:?}: {error}\n{remedy}"),
    }
}
