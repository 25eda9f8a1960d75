//! The first minutes of a new user: the demo, and every command that it suggests.

use std::process::Command;

use crate::support::python::path_with_duckdb;
use tempfile::TempDir;

/// Runs the demo in `folder`, as a user with the given environment.
fn demo(folder: &TempDir, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cxvault"));
    command
        .arg("demo")
        .env_clear()
        .env("HOME", folder.path())
        .current_dir(folder.path());
    let done = command.envs(environment.iter().copied()).output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8(done.stdout).unwrap(),
        String::from_utf8(done.stderr).unwrap(),
    );
    assert_eq!(done.status.code(), Some(0), "{stdout}{stderr}");
    stdout
}

#[test]
fn the_demo_archives_a_day_and_its_next_steps_work_as_printed() {
    let folder = TempDir::new().unwrap();
    // The user's real configuration must neither be changed nor interfere.
    let real = [
        ("CXVAULT_ARCHIVE", "./real"),
        ("CXVAULT_TIME_ZONE", "Asia/Tokyo"),
        ("CXVAULT_RINGCX_TOKEN", "x"),
    ];
    let said = demo(&folder, &real);
    assert!(
        said.contains("complete") && said.contains("head 99999999:1:"),
        "{said}"
    );
    let steps = said.split_once("What to try next:").expect("next steps").1;
    let commands: Vec<&str> = steps
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    assert!(commands.len() >= 6, "{said}");

    let path = path_with_duckdb();
    let mut answers = String::new();
    for command in commands {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .env_clear()
            .env("HOME", folder.path())
            .env("PATH", &path);
        let done = shell
            .envs(real[..2].iter().copied())
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        assert!(done.status.success(), "{command}\n{said}");
        answers.push_str(&said);
    }
    for answer in [
        "confirmed",
        "HOLDS",
        "1 day complete",
        "\"revision\": 1",
        "r0001-p0000.parquet: OK",
        "PRESENT",
        "differing",
        "cxvault.toml",
    ] {
        assert!(answers.contains(answer), "no {answer} in {answers}");
    }
    assert!(
        !folder.path().join("real").exists(),
        "the demo has touched the real archive"
    );

    // The demo runs again over its archive: nothing is fetched again, and it is no error.
    assert!(demo(&folder, &[]).contains("confirmed"));
}

/// Returns the `$` lines of the commands in docs/auditors.md, as one shell session.
fn auditors_session() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/auditors.md");
    let document = std::fs::read_to_string(path).unwrap();
    let commands = document.split("\n## Commands\n").nth(1).unwrap();
    let block = commands.split("```console\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let lines = block
        .lines()
        .map(|line| line.strip_prefix("$ ").expect("a command"));
    format!("set -e\n{}", lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_commands_of_the_auditors_document_work_on_the_demo_archive() {
    let folder = TempDir::new().unwrap();
    demo(&folder, &[]);
    let bin = assert_cmd::cargo::cargo_bin!("cxvault").parent().unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &auditors_session()])
        .env_clear()
        .env("HOME", folder.path())
        .current_dir(folder.path());
    let done = shell
        .env("PATH", format!("{}:{}", bin.display(), path_with_duckdb()))
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(done.status.success(), "{said}");
    for answer in [
        "HOLDS",
        "1 day complete",
        "refund",
        "receipt.json",
        "SHA256SUMS",
    ] {
        assert!(said.contains(answer), "no {answer} in {said}");
    }
    for file in [
        "receipt.json",
        "report.html",
        "export/SHA256SUMS",
        "evidence/README.txt",
    ] {
        assert!(folder.path().join(file).exists(), "no {file}: {said}");
    }
}
