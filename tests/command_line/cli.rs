//! The command line as a user meets it: help, errors, exit codes, and the commands that need no archive.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A user without settings, and with an empty home folder.
struct User {
    home: TempDir,
}

/// Exit code and output of a command.
struct Ended {
    exit: i32,
    stdout: String,
    stderr: String,
}

impl User {
    fn new() -> Self {
        User {
            home: TempDir::new().unwrap(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cxvault"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home.path())
            .current_dir(self.home.path());
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, &[])
    }

    fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ended {
        let output = self
            .command(args)
            .envs(env.iter().copied())
            .output()
            .unwrap();
        Ended {
            exit: output.status.code().expect("ended by a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

impl Ended {
    /// The one JSON line on stdout.
    fn json(&self) -> serde_json::Value {
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let user = User::new();
    let help = user.run(&["--help"]);
    assert_eq!(help.exit, 0);
    let commands: Vec<&str> = help
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    let expected = "run backfill plan doctor recheck verify status ls show search export report evidence prove check-receipt \
                    acknowledge hold retention copy takeover signers demo simulate init config keygen completions man reference";
    assert_eq!(commands.join(" "), expected);
    for command in commands {
        let help = user.run(&[command, "--help"]);
        assert_eq!(help.exit, 0, "{}", help.stderr);
        let example = format!("Examples:\n  cxvault {command}");
        assert!(help.stdout.contains(&example), "{}", help.stdout);
    }
}

#[test]
fn help_lists_the_exit_codes() {
    let help = User::new().run(&["--help"]).stdout;
    for code in [
        "0  done",
        "3  committed, but with gaps",
        "11  another process",
    ] {
        assert!(help.contains(code), "{help}");
    }
}

#[test]
fn wrong_usage_exits_2() {
    let user = User::new();
    for args in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &[],
        &["run", "--date", "2026-02-30"],
        &["keygen"],
    ] {
        let ended = user.run(args);
        assert_eq!(ended.exit, 2, "{args:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty());
    }
    assert!(
        user.run(&["run", "--date", "2026-02-30"])
            .stderr
            .contains("YYYY-MM-DD")
    );
}

/// Typing errors, and the suggestion that corrects them.
#[test]
fn mistyped_commands_are_answered_with_what_was_meant() {
    let user = User::new();
    for (args, help) in [
        (&["rum"][..], "'run'"),
        (&["run", "--dat", "2026-11-20"], "'--date'"),
        (
            &["run", "--date", "20.11.2026"],
            "write it as YYYY-MM-DD, such as 2026-11-20",
        ),
        (&["run", "--date", "yesterday"], "YYYY-MM-DD"),
        (&["run", "--date="], "YYYY-MM-DD"),
        (&["run", "2026-11-20"], "Usage: cxvault run"),
        (&["run", "--sub-acount", "1"], "'--sub-account'"),
        (&["run", "--sub-account", "../../etc"], "letters, digits"),
        (&["run", "--time-zone", "US/Estern"], "US/Eastern"),
        (&["run", "--time-zone", "CEST"], "is not a time zone"),
        (&["run", "--archive", "s3://"], "no bucket name"),
        (
            &["run", "--archive", "S3://bucket/x"],
            "write s3://bucket/prefix",
        ),
        (
            &["run", "--archive", "https://bucket.s3.amazonaws.com"],
            "write s3://bucket/prefix",
        ),
        (&["run", "--config", "nope.toml"], "cxvault init"),
        (&["run", "--log-format", "xml"], "text, json"),
        (&["run", "-v", "-q"], "cannot be used with"),
        (&["simulate", "--all-fault"], "'--all-faults'"),
        (&["simulate", "--segments", "5"], "'--segments-per-day'"),
        (
            &["simulate", "--fault-500", "200"],
            "a percentage from 0 to 100",
        ),
        (&["simulate", "--now", "now"], "--now"),
        (&["simulate", "--listen", "8700"], "--listen"),
        (&["simulate", "--summary-limits", "120"], "120/60s"),
        (&["demo", "./folder"], "Usage: cxvault demo"),
        (&["demo", "--seed", "7"], "unexpected argument"),
    ] {
        let ended = user.run(args);
        assert_eq!(ended.exit, 2, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(help), "{args:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{args:?}: {}", ended.stdout);
    }
    assert!(
        fs::read_dir(user.home.path()).unwrap().next().is_none(),
        "a mistake leaves nothing behind"
    );
}

#[test]
fn help_of_the_commands_says_what_they_do_and_where_to_look() {
    let user = User::new();
    for (command, words) in [
        (
            "run",
            &[
                "--date <DATE>",
                "catch_up",
                "Running it again is safe",
                "17 4 * * *",
                "CXVAULT_ARCHIVE",
            ][..],
        ),
        ("demo", &["--dir <FOLDER>", "./cxvault-demo"]),
        (
            "simulate",
            &[
                "--all-faults",
                "--permanent-500 <PERCENT>",
                "/__sim/truth",
                "--time-scale",
            ],
        ),
    ] {
        let help = user.run(&[command, "--help"]);
        for word in words {
            let text: Vec<&str> = help.stdout.split_whitespace().collect();
            assert!(
                text.join(" ").contains(word),
                "no {word} in {}",
                help.stdout
            );
        }
        assert_eq!(user.run(&["help", command]).stdout, help.stdout);
        assert!(user.run(&[command, "-h"]).stdout.contains("Usage: cxvault"));
    }
}

#[test]
fn places_that_cannot_be_used_are_named_with_a_remedy() {
    let user = User::new();
    fs::write(user.path("file"), "mine").unwrap();
    let token = [
        ("CXVAULT_RINGCX_TOKEN", "hunter2"),
        ("CXVAULT_RC_ACCOUNT_ID", "1"),
        ("CXVAULT_SUB_ACCOUNTS", "1"),
    ];
    for (args, named, remedy) in [
        (
            &["run", "--archive", "file"][..],
            "cannot open the archive",
            "Correct the archive's location",
        ),
        (
            &["run", "--archive", "file/below"],
            "cannot open the archive",
            "Correct the archive's location",
        ),
        (
            &["demo", "--dir", "file"],
            "cannot open the archive",
            "Correct the archive's location",
        ),
        (
            &["run", "--archive", "a", "--state-dir", "file/below"],
            "state folder",
            "--state-dir",
        ),
    ] {
        let ended = user.run_with(args, &token);
        assert_eq!(ended.exit, 2, "{args:?}: {}", ended.stderr);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(
            said.contains(named) && said.contains(remedy) && !said.contains("hunter2"),
            "{args:?}: {said}"
        );
    }
    assert_eq!(fs::read_to_string(user.path("file")).unwrap(), "mine");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = user.run(&[
        "simulate",
        "--listen",
        &taken.local_addr().unwrap().to_string(),
    ]);
    assert_eq!(ended.exit, 2, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("port 0 is a free port"),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_unknown_variable_is_an_error_with_a_suggestion() {
    let ended = User::new().run_with(&["config"], &[("CXVAULT_ARCHVE", "x")]);
    assert_eq!(ended.exit, 2);
    assert_eq!(
        ended.stderr,
        "error: CXVAULT_ARCHVE is not a setting\n  Did you mean CXVAULT_ARCHIVE? If not, unset it.\n"
    );
}

#[test]
fn an_error_is_one_json_line_with_json() {
    let ended = User::new().run_with(&["config", "--json"], &[("CXVAULT_TIME_ZONE", "US/Estern")]);
    let event = ended.json();
    assert_eq!(
        (ended.exit, &event["event"], &event["exit"]),
        (2, &"error".into(), &2.into())
    );
    assert!(
        event["message"].as_str().unwrap().contains("US/Eastern"),
        "{event}"
    );
    assert!(event["remedy"].is_string(), "{event}");
    assert!(ended.stderr.is_empty(), "{}", ended.stderr);
}

#[test]
fn config_shows_where_each_value_comes_from_and_no_secret() {
    let user = User::new();
    fs::write(user.path("jwt"), "hunter2").unwrap();
    fs::write(
        user.path("c.toml"),
        "client_id = 'app'\njwt_file = 'jwt'\nsettle = '20m'\n",
    )
    .unwrap();
    let args = ["--config", "c.toml", "--archive", "s3://bucket/p", "config"];
    let env = [
        ("CXVAULT_CLIENT_SECRET", "hunter3"),
        ("CXVAULT_CONCURRENCY", "8"),
    ];
    let ended = user.run_with(&args, &env);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let line = |key: &str| {
        let found = ended
            .stdout
            .lines()
            .find(|line| line.split_whitespace().next() == Some(key));
        found
            .unwrap_or_else(|| panic!("no {key} in {}", ended.stdout))
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    assert_eq!(line("archive"), ["archive", "s3://bucket/p", "--archive"]);
    assert_eq!(
        line("concurrency"),
        ["concurrency", "8", "CXVAULT_CONCURRENCY"]
    );
    assert_eq!(line("settle"), ["settle", "20m", "c.toml,", "line", "3"]);
    assert_eq!(line("catch_up"), ["catch_up", "14d", "default"]);
    assert_eq!(
        line("client_secret_file"),
        ["client_secret_file", "********", "CXVAULT_CLIENT_SECRET"]
    );
    assert_eq!(
        line("jwt_file"),
        ["jwt_file", "jwt", "(********)", "c.toml,", "line", "2"]
    );

    let json = user.run_with(&[&args[..], &["--json"]].concat(), &env);
    let event = json.json();
    assert_eq!(event["file"], "c.toml");
    let concurrency = event["settings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["key"] == "concurrency")
        .unwrap();
    assert_eq!(
        (&concurrency["value"], &concurrency["origin"]),
        (&"8".into(), &"CXVAULT_CONCURRENCY".into())
    );

    let loud = user.run_with(&[&args[..], &["-vv"]].concat(), &env);
    for text in [
        &ended.stdout,
        &ended.stderr,
        &json.stdout,
        &json.stderr,
        &loud.stdout,
        &loud.stderr,
    ] {
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[test]
fn init_writes_a_file_that_config_reads_and_never_overwrites_it() {
    let user = User::new();
    let ended = user.run(&["init"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let path = user.path(".config/cxvault/config.toml");
    assert!(
        ended.stdout.contains(path.to_str().unwrap()),
        "{}",
        ended.stdout
    );
    let config = user.run(&["config"]);
    assert_eq!(config.exit, 0, "{}", config.stderr);
    assert!(
        config.stdout.contains(path.to_str().unwrap()),
        "{}",
        config.stdout
    );

    fs::write(&path, "# mine").unwrap();
    let again = user.run(&["init"]);
    assert_eq!(again.exit, 2);
    assert!(
        again.stderr.contains("exists, and was not changed"),
        "{}",
        again.stderr
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "# mine");

    assert_eq!(
        user.run(&["init", "here.toml", "--json"]).json()["file"],
        "here.toml"
    );
    assert!(user.path("here.toml").exists());
}

#[test]
fn keygen_makes_a_key_that_only_its_owner_can_read() {
    let user = User::new();
    let ended = user.run(&["keygen", "signing.key", "--comment", "night"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let path = user.path("signing.key");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let theirs = Command::new("ssh-keygen")
        .args(["-y", "-f"])
        .arg(&path)
        .output();
    let theirs = theirs.expect("this test needs ssh-keygen: install the package openssh-client");
    let line = String::from_utf8(theirs.stdout).unwrap();
    let public = line
        .trim_end()
        .strip_suffix(" night")
        .unwrap_or_else(|| panic!("{line}"));
    assert!(ended.stdout.contains(public), "{}", ended.stdout);
    let allowed = format!("cxvault namespaces=\"cxvault-manifest,cxvault-part\" {public}");
    assert_eq!(ended.stdout.lines().last(), Some(allowed.as_str()));
    assert!(!ended.stdout.contains("PRIVATE KEY"));

    let before = fs::read(&path).unwrap();
    let again = user.run(&["keygen", "signing.key"]);
    assert_eq!(again.exit, 2);
    assert!(
        again.stderr.contains("signing.key exists"),
        "{}",
        again.stderr
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn keygen_can_be_appended_to_an_allowed_signers_file() {
    let user = User::new();
    let quiet = user.run(&["keygen", "a.key", "--quiet"]).stdout;
    assert_eq!(quiet.lines().count(), 1, "{quiet}");
    assert!(quiet.starts_with("cxvault namespaces="), "{quiet}");
    let event = user.run(&["keygen", "b.key", "--json"]).json();
    assert!(
        event["fingerprint"]
            .as_str()
            .unwrap()
            .starts_with("SHA256:"),
        "{event}"
    );
    assert_eq!(user.run(&["keygen", "no/such/folder/key"]).exit, 2);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let user = User::new();
    let mut command = user.command(&["config"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
