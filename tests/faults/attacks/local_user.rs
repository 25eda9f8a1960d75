//! L: another user of the host, who can read and write what the modes of files allow.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::bucket::Bucket;
use crate::support::minio::minio;
use crate::support::proxy::{Act, Proxy, holds};
use crate::support::vault::{DAY, SUB, Simulator, Vault, options};
use axum::http::Method;
use cxvault::simulator::SimulatorOptions;

fn simulator() -> Simulator {
    Simulator::start(SimulatorOptions {
        segments_per_day: 12,
        ..options()
    })
}

/// Returns a user whose key signs, and an archived day.
fn signed_day() -> (Simulator, Vault) {
    let simulator = simulator();
    let mut vault = Vault::new(&simulator);
    vault.run(&["keygen", "signing.key"]).expect(0);
    vault.set("SIGNING_KEY_FILE", "signing.key");
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    vault.run_day(DAY, &[]).expect(0);
    (simulator, vault)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Everything below a folder, the folder included.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(all_below(&path)),
            false => found.push(path),
        }
    }
    found
}

/// The program with a umask that forbids nothing.
fn without_umask(vault: &Vault, args: &[&str]) -> Command {
    let plain = vault.command(args);
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask 0; exec \"$@\"", "sh"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(plain.get_current_dir().unwrap())
        .env_clear();
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap());
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run_without_umask(vault: &Vault, args: &[&str]) {
    let done = without_umask(vault, args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {done:?}");
}

#[track_caller]
fn assert_private(path: &Path) {
    let expected = if path.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(mode(path), expected, "{}: {:o}", path.display(), mode(path));
}

#[test]
fn l_cannot_read_what_leaves_the_archive_under_any_umask() {
    let (_simulator, vault) = signed_day();
    let shown = vault
        .run(&["search", "e", "--json", "--limit", "1"])
        .expect(0)
        .events();
    let id = shown[0]["segment_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(!id.is_empty(), "{shown:?}");
    for args in [
        &["export", "--format", "csv", "--out", "out/csv"][..],
        &["export", "--format", "parquet", "--out", "out/parquet"],
        &["evidence", "--out", "out/evidence"],
        &["report", "--out", "out/report.html"],
        &["prove", &id, "--out", "out/receipt.json"],
        &["init", "out/config.toml"],
        &["keygen", "out/other.key"],
    ] {
        run_without_umask(&vault, args);
    }
    let found = all_below(&vault.folder.path().join("out"));
    assert!(found.len() > 15, "{found:?}");
    found.iter().for_each(|path| assert_private(path));
}

#[test]
fn l_cannot_read_the_journal_the_scratch_folder_or_a_new_folder_archive() {
    let simulator = simulator();
    let mut vault = Vault::new(&simulator);
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    run_without_umask(&vault, &["run", "--date", DAY]);
    for path in all_below(&vault.state()) {
        assert_private(&path);
    }
    assert_eq!(mode(&vault.archive()), 0o700, "its objects are behind it");
}

/// What a command has on the disk is read while a request to the store is held.
#[test]
fn l_cannot_read_the_copies_that_a_command_makes_while_it_works() {
    let simulator = simulator();
    let bucket = Bucket::new(minio(), "local-user", false);
    let mut vault = Vault::new(&simulator);
    let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
    bucket.used_by(&mut vault, Some(&proxy.url));
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    let tmp = vault.folder.path().join("tmp");
    fs::create_dir(&tmp).unwrap();
    vault.set_foreign("TMPDIR", tmp.to_str().unwrap());
    let (arrival, held) = holds();
    for (method, args) in [
        (Method::PUT, &["run", "--date", DAY][..]),
        (Method::GET, &["search", "e", "--limit", "1"]),
        (Method::GET, &["evidence", "--out", "out/evidence"]),
    ] {
        proxy.once(method, ".parquet", 0, Act::HoldAfter(arrival()));
        let command = without_umask(&vault, args).spawn().unwrap();
        let request = held.next();
        let [state, copies, packs] = [vault.state(), tmp.clone(), vault.folder.path().join("out")]
            .map(|folder| match folder.exists() {
                true => all_below(&folder),
                false => Vec::new(),
            });
        for path in state.iter().chain(&copies[1..]).chain(&packs) {
            assert_private(path);
        }
        match args[0] {
            "run" => assert!(
                state.iter().any(|path| path.ends_with("journal.sqlite")),
                "{state:?}"
            ),
            "search" => assert!(copies.len() > 1, "{copies:?}"),
            _ => assert!(packs.len() > 1, "{packs:?}"),
        }
        request.release();
        let done = command.wait_with_output().unwrap();
        assert!(done.status.success(), "{args:?}: {done:?}");
    }
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0, "copies are left");
}

/// Every setting that names a file with a secret, and how the file is called in messages.
const SECRETS: [&str; 5] = [
    "CLIENT_SECRET_FILE",
    "JWT_FILE",
    "WEBHOOK_URL_FILE",
    "HEARTBEAT_URL_FILE",
    "SIGNING_KEY_FILE",
];

/// Returns a user whose secrets are in files that only this user can read.
fn with_secret_files(simulator: &Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    vault.unset("CLIENT_SECRET").unset("JWT");
    // A server that answers something, so that nothing is sent again and again.
    let hook = format!("{}/hook", simulator.url);
    for (name, text) in [
        ("CLIENT_SECRET_FILE", "demo-secret"),
        ("JWT_FILE", "demo-jwt"),
        ("WEBHOOK_URL_FILE", &hook),
        ("HEARTBEAT_URL_FILE", &hook),
    ] {
        let path = vault.folder.path().join(name);
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        vault.set(name, path.to_str().unwrap());
    }
    vault.run(&["keygen", "SIGNING_KEY_FILE"]).expect(0);
    vault.set("SIGNING_KEY_FILE", "SIGNING_KEY_FILE");
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    vault
}

#[test]
fn l_is_noticed_where_a_secret_or_a_key_can_be_read() {
    let simulator = simulator();
    let vault = with_secret_files(&simulator);
    let fine = vault.run(&["doctor", "--store-only"]).expect(0);
    assert!(!fine.stderr.contains("other users"), "{fine}");
    for name in SECRETS {
        let path = vault.folder.path().join(name);
        set_mode(&path, 0o644);
        let done = vault.run(&["plan", "--from", DAY, "--to", "2026-11-21"]);
        assert!(
            done.stderr.contains("other users can read")
                && done.stderr.contains(name)
                && done.stderr.contains("0644")
                && done.stderr.contains("chmod 600"),
            "{name}: {done}"
        );
        let doctor = vault.run(&["doctor", "--store-only"]).expect(3);
        assert!(
            doctor.stdout.contains("other users can read") && doctor.stdout.contains("chmod 600"),
            "{name}: {doctor}"
        );
        set_mode(&path, 0o600);
    }
}

#[test]
fn l_cannot_have_a_secret_or_a_key_used_that_l_can_change() {
    let simulator = simulator();
    let vault = with_secret_files(&simulator);
    for name in SECRETS {
        let path = vault.folder.path().join(name);
        for bits in [0o620, 0o602] {
            set_mode(&path, bits);
            for args in [&["run", "--date", DAY][..], &["doctor", "--store-only"]] {
                let refused = vault.run(args).expect(2);
                let said = format!("{}{}", refused.stdout, refused.stderr);
                assert!(
                    said.contains("other users can change")
                        && said.contains(name)
                        && said.contains(&format!("{bits:04o}"))
                        && said.contains("chmod 600"),
                    "{name}: {refused}"
                );
            }
        }
        set_mode(&path, 0o600);
    }
    assert!(vault.manifests(SUB).is_empty(), "nothing was archived");
    // A secret in a folder in which L can exchange it.
    let open = vault.folder.path().join("open");
    fs::create_dir(&open).unwrap();
    let secret = open.join("jwt");
    fs::write(&secret, "demo-jwt").unwrap();
    set_mode(&secret, 0o600);
    set_mode(&open, 0o777);
    let mut vault = vault;
    vault.set("JWT_FILE", secret.to_str().unwrap());
    let refused = vault.run(&["run", "--date", DAY]).expect(2);
    assert!(refused.stderr.contains("can replace"), "{refused}");
}

#[test]
fn l_cannot_change_the_settings_or_the_allowed_signers_unnoticed() {
    let (_simulator, mut vault) = signed_day();
    let settings = vault.folder.path().join("config.toml");
    fs::write(&settings, "catch_up = '1d'\n").unwrap();
    let flags = ["--config", "config.toml", "verify"];
    for (bits, exit, said) in [
        (0o644, 0, None),
        (0o664, 0, Some("chmod go-w")),
        (0o646, 2, Some("chmod go-w")),
    ] {
        set_mode(&settings, bits);
        let done = vault.run(&flags).expect(exit);
        assert_eq!(
            done.stderr.contains("other users can change"),
            said.is_some(),
            "{done}"
        );
        assert!(said.is_none_or(|said| done.stderr.contains(said)), "{done}");
    }
    set_mode(&settings, 0o600);
    let public = vault.folder.path().join("allowed");
    let line = vault
        .run(&["keygen", "third.key", "--quiet"])
        .expect(0)
        .stdout;
    fs::write(&public, line).unwrap();
    set_mode(&public, 0o666);
    vault.set("ALLOWED_SIGNERS_FILE", public.to_str().unwrap());
    let refused = vault.run(&["verify"]).expect(2);
    assert!(
        refused.stderr.contains("other users can change") && refused.stderr.contains("allowed"),
        "{refused}"
    );
}

/// The folder of the metrics file is shared with a collector, and may be open to others who report to it.
#[test]
fn l_cannot_stop_a_run_or_lead_it_elsewhere_by_the_metrics_file() {
    let simulator = simulator();
    let mut vault = Vault::new(&simulator);
    vault.set("JWT", "one that RingCX does not accept");
    let metrics = vault.folder.path().join("cxvault.prom");
    vault.set("METRICS_FILE", metrics.to_str().unwrap());
    let target = vault.folder.path().join("target");
    fs::write(&target, "mine").unwrap();
    // Only a run that fails reads the file of the one before it.
    for make in [
        (|path, _| {
            let made = Command::new("mkfifo").arg(path).status().unwrap();
            assert!(made.success());
        }) as fn(&Path, &Path),
        |path, target| symlink(target, path).unwrap(),
        |path, _| symlink("/dev/zero", path).unwrap(),
    ] {
        make(&metrics, &target);
        let done = vault.run(&["run", "--date", DAY]);
        assert_ne!(done.exit(), 0, "{done}");
        let about = fs::symlink_metadata(&metrics).unwrap();
        assert!(about.is_file(), "{done}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        fs::remove_file(&metrics).unwrap();
    }
}
