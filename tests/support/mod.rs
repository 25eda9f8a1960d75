//! Shared helpers of the integration tests: a real MinIO, Python with DuckDB, the program with a
//! simulator, and the simulator's truth. Each test binary includes this module and uses a part of
//! it. Where a tool is missing, a test panics and says what to install: a test that is skipped
//! would pass without having checked anything.
#![allow(dead_code)]
// The only module of the tests that reads the environment and waits for other programs.
#![allow(clippy::disallowed_methods)]

pub mod browser;
pub mod bucket;
pub mod damage;
pub mod events;
pub mod host;
pub mod memory;
pub mod minio;
pub mod moto;
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

/// Returns the target folder of the workspace.
pub fn target() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent()
        .expect("cargo's folder for tests lies in target")
        .to_owned()
}

/// Holds `target/<name>.lock` while `work` runs, so that test processes that run side by side make
/// a shared file once.
pub fn exclusively<T>(name: &str, work: impl FnOnce() -> T) -> T {
    fs::create_dir_all(target()).expect("target/ can be made");
    let lock = File::create(target().join(format!("{name}.lock")))
        .expect("a lock file can be made in target/");
    lock.lock().expect("a file in target/ can be locked");
    work()
}

/// Runs a command to its end; panics with its output and `remedy` when it fails.
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
