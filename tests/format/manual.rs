//! What the parser generates: the reference in the repository is up to date, the manual page is
//! valid, and shells accept the completions.

use std::io::Write as _;
use std::process::{Command, Stdio};

use cxvault::command::setup::manual::reference_text;

#[test]
fn the_reference_is_the_parsers_own() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/CLI.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == reference_text(),
        "renew it: cargo run -- reference > schemas/CLI.md"
    );
    for command in [
        "cxvault run",
        "cxvault hold add",
        "cxvault retention extend",
        "cxvault verify",
    ] {
        assert!(written.contains(&format!("# {command}\n")), "no {command}");
    }
    assert!(!written.contains("  \n"), "trailing blanks");
}

fn output(args: &[&str]) -> String {
    let done = Command::new(assert_cmd::cargo::cargo_bin!("cxvault"))
        .args(args)
        .env_clear()
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn bash_takes_its_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = output(&["completions", shell]);
        assert!(
            script.contains("backfill") && script.contains("allowed-signers"),
            "{shell}"
        );
    }
    let mut bash = Command::new("bash");
    let mut child = bash.args(["-n"]).stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(output(&["completions", "bash"]).as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    let wrong = Command::new(assert_cmd::cargo::cargo_bin!("cxvault"))
        .args(["completions", "cmd"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn the_manual_has_every_command() {
    let manual = output(&["man"]);
    for name in [
        "cxvault",
        "backfill",
        "recheck",
        "verify",
        "Exit codes",
        "doctor",
    ] {
        assert!(manual.contains(name), "no {name}");
    }
    assert!(
        manual.starts_with(".ie") || manual.contains(".TH"),
        "it is roff"
    );
}
