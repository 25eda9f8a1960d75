//! The walk through of docs/operators.md, followed command by command: a real bucket with Object Lock, the simulator, and
//! the binary on PATH.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::bucket::Bucket;
use crate::support::minio::minio;
use crate::support::vault::{SUB, Simulator, Vault, options_of_today};

/// Returns the `$` lines of the chapter's console blocks.
fn commands() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators.md");
    let operators = fs::read_to_string(path).unwrap();
    let chapter = operators
        .split("\n## A walk through\n")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let blocks = chapter
        .split("```console\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let lines = blocks
        .flat_map(str::lines)
        .map(|line| line.strip_prefix("$ ").expect("a command"));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_operators_chapter_can_be_followed() {
    let mut world = options_of_today();
    world.segments_per_day = 40;
    // Slow enough that the kill arrives while days are open.
    world.faults.fault_latency_ms = 5;
    let simulator = Simulator::start(world);
    let mut vault = Vault::new(&simulator);
    let bucket = Bucket::new(minio(), "operator", true);
    bucket.used_by(&mut vault, None);
    vault
        .set("OBJECT_LOCK", "compliance:1d")
        .set("SIGNING_KEY_FILE", "signing.key")
        .set("METRICS_FILE", "cxvault.prom")
        .set("SOURCE_RETENTION", "3650d")
        .set(
            "KNOWN_WARNINGS",
            "first-day-empty,low-volume,summaries-stopped:4101",
        );
    let commands = commands();
    assert!(commands.len() >= 12, "{commands:?}");
    for command in &commands {
        let done = shell(&vault, command);
        assert_eq!(done.code, 0, "$ {command}\n{}", done.said);
        match command.as_str() {
            command if command.starts_with("cxvault status") => {
                assert!(done.said.contains("31"), "{}", done.said)
            }
            "cxvault hold list" => assert!(done.said.contains("2026-0815"), "{}", done.said),
            command if command.starts_with("grep") => {
                assert!(done.said.contains("cxvault_exit_code 0"), "{}", done.said)
            }
            command if command.starts_with("cxvault verify") => {
                assert!(done.said.contains("HOLDS"), "{}", done.said)
            }
            _ => {}
        }
    }
    // All of October is archived: a revision 1 of each day.
    let first = |shown: &&crate::support::bucket::Shown| {
        shown.key.contains("/dt=2026-10-") && shown.key.contains("r0001-p0000")
    };
    assert_eq!(bucket.versions().iter().filter(first).count(), 31, "{SUB}");
}

struct Done {
    code: i32,
    said: String,
}

/// Runs a line in the user's shell and folder, where `cxvault` is on PATH.
fn shell(vault: &Vault, line: &str) -> Done {
    let template = vault.command(&[]);
    let bin = Path::new(env!("CARGO_BIN_EXE_cxvault")).parent().unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", line])
        .env_clear()
        .current_dir(vault.folder.path());
    for (name, value) in template.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell.env(
        "PATH",
        format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()),
    );
    let done = shell.output().unwrap();
    let said = [done.stdout, done.stderr]
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .concat();
    Done {
        code: done.status.code().unwrap_or(-1),
        said,
    }
}
