//! P: the storage provider, or the owner of the folder, who can put anything anywhere in the archive's place.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::vault::{DAY, Finished, SUB, Simulator, Vault, options};
use cxvault::simulator::SimulatorOptions;
use serde_json::Value;

fn archived() -> (Simulator, Vault) {
    let simulator = Simulator::start(SimulatorOptions {
        segments_per_day: 12,
        ..options()
    });
    let mut vault = Vault::new(&simulator);
    vault.set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    vault.run_day(DAY, &[]).expect(0);
    (simulator, vault)
}

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// The findings of a verification: code and object of each.
fn findings(done: &Finished) -> Vec<(String, String)> {
    let text = |event: &Value, member: &str| event[member].as_str().unwrap_or_default().to_owned();
    done.events()
        .iter()
        .filter(|event| event["event"] == "finding")
        .map(|event| (text(event, "code"), text(event, "object")))
        .collect()
}

/// The day's folder, and the first part in it.
fn day_folder(vault: &Vault) -> (std::path::PathBuf, std::path::PathBuf) {
    let folder = vault
        .archive()
        .join(format!("segments/v1/sub_account={SUB}/dt={DAY}"));
    let part = vault.files(&folder).remove(0);
    (folder, part)
}

/// What P can put into a folder beside an object: its name, how it is shown, and how it is made. `outside` is a folder with a
/// file beside the archive.
type Obstacle = (&'static str, fn(place: &Path, outside: &Path));
const OBSTACLES: [Obstacle; 7] = [
    ("r0001-p0007.parquet", |place, _| fifo(place)),
    ("fifo", |place, _| fifo(place)),
    ("dangling", |place, _| symlink("nowhere", place).unwrap()),
    ("loop", |place, _| symlink("loop", place).unwrap()),
    ("folder-link", |place, outside| {
        symlink(outside, place).unwrap()
    }),
    ("socket", |place, _| {
        drop(UnixListener::bind(place).unwrap())
    }),
    ("odd-\\xff/inside", |place, _| {
        // `place` shows the byte that is no UTF-8.
        let above = place.parent().unwrap().parent().unwrap();
        let odd = above.join(OsString::from_vec(b"odd-\xff".to_vec()));
        fs::create_dir(&odd).unwrap();
        fs::write(odd.join("inside"), "x").unwrap();
    }),
];

/// Each of them alone, since one that ends a command would hide the others.
#[test]
fn p_cannot_stop_or_blind_a_verification_with_links_and_special_files() {
    let (_simulator, vault) = archived();
    let (day, _) = day_folder(&vault);
    let outside = vault.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "s").unwrap();
    let before = names(&day);
    for (name, make) in OBSTACLES {
        make(&day.join(name), &outside);
        for level in ["quick", "deep"] {
            let done = vault.run(&["verify", "--level", level, "--json"]);
            let found = findings(&done);
            // What has a part's name may be called a leftover.
            let is_named = |(code, object): &(String, String)| {
                let is_foreign = code == "foreign-object" && done.exit() == 4;
                (is_foreign || name.starts_with("r0001-") && code == "leftover")
                    && object.ends_with(&format!("/{name}"))
            };
            assert!(found.iter().any(is_named), "{level} {name}: {found:?}");
            assert!(
                !found.iter().any(|(_, object)| object.contains("secret")),
                "a link was followed: {found:?}"
            );
            assert!(!done.stdout.contains('\u{fffd}'), "{done}");
        }
        // No other command waits for it or reads through it.
        for args in [&["ls"][..], &["search", "e", "--limit", "1"], &["status"]] {
            vault.run(args).expect(0);
        }
        for added in names(&day).difference(&before) {
            let path = day.join(added);
            match path.is_dir() && !path.is_symlink() {
                true => fs::remove_dir_all(&path).unwrap(),
                false => fs::remove_file(&path).unwrap(),
            }
        }
    }
    vault.run(&["verify", "--level", "deep"]).expect(0);
}

/// The names in a folder.
fn names(folder: &Path) -> BTreeSet<OsString> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn p_cannot_pass_off_a_link_or_a_fifo_for_a_part_or_a_record() {
    for make in [
        (|path: &Path, real: &Path| symlink(real, path).unwrap()) as fn(&Path, &Path),
        |path, _| fifo(path),
        |path, _| symlink("nowhere", path).unwrap(),
        |path, _| fs::create_dir(path).unwrap(),
    ] {
        let (_simulator, vault) = archived();
        let (_, part) = day_folder(&vault);
        let record = vault
            .archive()
            .join(format!("manifests/v1/sub_account={SUB}/0000000001.json"));
        for (name, object) in [("part", part), ("record", record)] {
            let aside = vault.folder.path().join(name);
            fs::rename(&object, &aside).unwrap();
            make(&object, &aside);
            for args in [
                &["verify", "--level", "deep", "--no-anchor"][..],
                &["search", "e", "--limit", "1"],
                &["export", "--format", "csv", "--out", "out"],
            ] {
                let done = vault.run(args);
                let _ = fs::remove_dir_all(vault.folder.path().join("out"));
                assert_eq!(done.exit(), 4, "{name} {args:?}: {done}");
            }
            match object.is_dir() && !object.is_symlink() {
                true => fs::remove_dir(&object).unwrap(),
                false => fs::remove_file(&object).unwrap(),
            }
            fs::rename(&aside, &object).unwrap();
        }
        vault.run(&["verify", "--level", "deep"]).expect(0);
    }
}

/// `tmp` is emptied of what crashed writers have left. As a link it would empty another folder.
#[test]
fn p_cannot_make_a_reader_delete_files_elsewhere() {
    let (_simulator, vault) = archived();
    let precious = vault.folder.path().join("precious");
    fs::create_dir(&precious).unwrap();
    let old = fs::File::create(precious.join("old")).unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
        .unwrap();
    let tmp = vault.archive().join("tmp");
    fs::remove_dir_all(&tmp).unwrap();
    symlink(&precious, &tmp).unwrap();
    vault.run(&["verify"]).expect(0);
    vault.run(&["status"]);
    assert!(precious.join("old").exists());
    // Nor does a writer write there.
    vault.run_day("2026-11-19", &[]).expect(4);
    assert_eq!(fs::read_dir(&precious).unwrap().count(), 1);
}

#[test]
fn p_cannot_lead_a_writer_out_of_the_archive() {
    let (_simulator, vault) = archived();
    let outside = vault.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let folder = vault
        .archive()
        .join(format!("segments/v1/sub_account={SUB}/dt=2026-11-19"));
    symlink(&outside, &folder).unwrap();
    vault.run_day("2026-11-19", &[]).expect(4);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(vault.manifests(SUB).len(), 1, "the day is not committed");
}

#[test]
fn what_a_file_manager_or_a_disk_leaves_beside_the_archive_is_a_notice() {
    let (_simulator, vault) = archived();
    fs::write(vault.archive().join(".DS_Store"), "x").unwrap();
    let lost = vault.archive().join("lost+found");
    fs::create_dir(&lost).unwrap();
    fs::write(lost.join("x"), "x").unwrap();
    fs::set_permissions(&lost, fs::Permissions::from_mode(0o000)).unwrap();
    let done = vault.run(&["verify", "--json"]).expect(0);
    let found = findings(&done);
    let beside = |object: &str| ("beside-archive".to_owned(), object.to_owned());
    assert!(found.contains(&beside(".DS_Store")), "{found:?}");
    assert!(found.contains(&beside("lost+found/")), "{found:?}");
    for args in [&["status"][..], &["ls"], &["search", "e", "--limit", "1"]] {
        vault.run(args).expect(0);
    }
    vault.run_day(DAY, &[]).expect(0);
    fs::set_permissions(&lost, fs::Permissions::from_mode(0o700)).unwrap();
}
