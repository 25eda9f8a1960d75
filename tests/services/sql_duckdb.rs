//! `schemas/duckdb.sql` in the real DuckDB: its views equal the simulator's truth, and its checks
//! find what was changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::support::bucket::Bucket;
use crate::support::host::{Host, TestClock};
use crate::support::memory::{Effect, MemoryStore, StoreFault, StoreOperation};
use crate::support::minio::minio;
use crate::support::protocol::{check, check_truth, expected};
use crate::support::python::{duckdb_python, duckdb_s3_python};
use crate::support::truth::{Archived, Truth, archived};
use crate::support::vault::{DAY, SUB, Simulator, Vault, options};
use cxvault::format::place::key;
use cxvault::format::record::archive::ArchiveRecord;
use cxvault::format::record::key_list::KeyList;
use cxvault::format::signature::SigningKey;
use cxvault::format::time::instant::Instant;
use cxvault::outcome::Exit;
use cxvault::simulator::SimulatorOptions;
use serde_json::{Value, json};

const EVE: &str = "2026-11-19";

/// Returns the rows of each query, run in one session. `archive` is the value of the variable that
/// a user sets.
#[track_caller]
fn ask(archive: &str, queries: &[&str]) -> Vec<Vec<Value>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/duckdb_views.py");
    let python = if archive.starts_with("s3://") {
        duckdb_s3_python()
    } else {
        duckdb_python()
    };
    let mut command = Command::new(python);
    command
        .args(["-I", script.to_str().unwrap(), archive])
        .envs(minio_env(archive));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut session = command.spawn().unwrap();
    session
        .stdin
        .take()
        .unwrap()
        .write_all(queries.join("\n;\n").as_bytes())
        .unwrap();
    let done = session.wait_with_output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let lines = String::from_utf8(done.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn minio_env(archive: &str) -> Vec<(String, String)> {
    if archive.starts_with("s3://") {
        minio().env()
    } else {
        Vec::new()
    }
}

fn one(archive: &str, query: &str) -> Value {
    let rows = ask(archive, &[query]).remove(0);
    assert_eq!(rows.len(), 1, "{query}");
    rows[0][0].clone()
}

fn path(folder: &Path) -> &str {
    folder.to_str().unwrap()
}

/// Returns `current_segments` in the shape of `read_archive.py`, which does not use the views.
fn current(archive: &str) -> Archived {
    let kind = |kind: &str| {
        format!(
            "json_object('status', {kind}_status, 'sha256', {kind}_sha256, 'http_status', {kind}_http_status,
                 'content_type', {kind}_content_type, 'fetched_at', epoch_ms({kind}_fetched_at),
                 'attempts', {kind}_attempts, 'error', {kind}_error,
                 'body_base64', coalesce(base64(encode({kind}_summary)), {kind}_binary))"
        )
    };
    let query = format!(
        "SELECT json_object('key', segment_key, 'segment_json', segment_json, 'other_answers_json', other_answers_json,
             'out_of_day', out_of_day, 'vanished', vanished, 'agent', {}, 'auto', {})
         FROM current_segments",
        kind("agent"),
        kind("auto")
    );
    let rows = ask(archive, &[&query]).remove(0);
    let parse = |row: &Value| serde_json::from_str::<Value>(row[0].as_str().unwrap()).unwrap();
    let found: Archived = rows
        .iter()
        .map(parse)
        .map(|row| (row["key"].as_str().unwrap().to_owned(), row))
        .collect();
    assert_eq!(found.len(), rows.len(), "a segment is current twice");
    found
}

/// Returns what `read_archive.py` reads, without the columns that the views lack.
fn without_revisions(mut rows: Archived) -> Archived {
    for row in rows.values_mut() {
        row.as_object_mut().unwrap().remove("revisions");
        for kind in ["agent", "auto"] {
            row[kind].as_object_mut().unwrap().remove("revision");
        }
    }
    rows
}

/// Asserts that the checks find nothing, and that they had something to check.
#[track_caller]
fn check_intact(archive: &str) {
    let found = ask(
        archive,
        &[
            "FROM findings",
            "SELECT files, \"rows\", hashes FROM verified",
        ],
    );
    assert_eq!(found[0], Vec::<Value>::new());
    assert!(
        found[1][0]
            .as_array()
            .unwrap()
            .iter()
            .all(|count| count.as_u64() > Some(0)),
        "{found:?}"
    );
}

/// An archive of a day with strange answers of every status, in several parts, whose gaps a second
/// revision has filled.
fn two_revisions(vault: &mut Vault) -> Simulator {
    let world = |permanent_500| {
        let mut options = SimulatorOptions {
            segments_per_day: 90,
            ..options()
        };
        let faults = &mut options.faults;
        (
            faults.strange_texts,
            faults.no_id,
            faults.no_end,
            faults.out_of_window,
        ) = (40.0, 5.0, 5.0, 8.0);
        (faults.duplicates, faults.permanent_500) = (15.0, permanent_500);
        Simulator::start(options)
    };
    let (broken, whole) = (world(3.0), world(0.0));
    vault.move_to(&broken);
    vault
        .set("MAX_ATTEMPTS", "1")
        .set("PART_ROWS", "25")
        .set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    vault.run_day(DAY, &[]).expect(3);
    vault.move_to(&whole);
    let filled = vault.run_day(DAY, &[]).expect(0);
    assert_eq!(filled.day()["archived"]["revision"], 2);
    whole
}

#[test]
fn current_segments_are_the_truth() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    let whole = two_revisions(&mut vault);
    let archive = vault.archive();
    let current = current(path(&archive));
    Truth::of_utc_day(&whole, SUB, DAY).check(&current);
    assert_eq!(current, without_revisions(archived(&vault, SUB, DAY)));
    check_intact(path(&archive));

    let statuses = ask(
        path(&archive),
        &[
            "SELECT DISTINCT status FROM current_answers ORDER BY 1",
            "SELECT DISTINCT status FROM recomputed ORDER BY 1",
        ],
    );
    let answers = [["BINARY"], ["EMPTY"], ["NOT_FOUND"], ["NO_ID"], ["PRESENT"]]
        .map(|status| json!(status))
        .to_vec();
    assert_eq!(statuses[0], answers, "the test looks at too little");
    assert!(statuses[1].contains(&json!(["FAILED"])), "{statuses:?}");
    // A folder whose name ends with a slash, and a single sub-account.
    assert_eq!(
        one(
            &format!("{}/", path(&archive)),
            "SELECT count(*) FROM files"
        ),
        json!(5)
    );
}

#[test]
fn on_s3_it_is_the_same() {
    let simulator = Simulator::start(options());
    let bucket = Bucket::new(minio(), "sql", true);
    let mut vault = Vault::new(&simulator);
    bucket.used_by(&mut vault, None);
    let whole = two_revisions(&mut vault);
    let location = bucket.location();
    Truth::of_utc_day(&whole, SUB, DAY).check(&current(&location));
    check_intact(&location);
    bucket.download(&vault.archive());
    let state = [
        "SELECT coverage::VARCHAR FROM coverage ORDER BY dt",
        "SELECT * FROM files ORDER BY key",
        "SELECT * FROM verified",
    ];
    assert_eq!(ask(&location, &state), ask(path(&vault.archive()), &state));

    // An intruder's PUT: a new version of a listed object, and an object that is not listed.
    let part = bucket
        .contents()
        .into_keys()
        .find(|key| key.ends_with("r0001-p0000.parquet"))
        .unwrap();
    let leftover = part.replace("p0000", "p0009");
    bucket.overwrite(&leftover, bucket.contents()[&part].clone());
    check_intact(&location);
    let copies = ask(
        &location,
        &[
            "FROM leftovers",
            "SELECT count(*) FROM all_rows",
            "SELECT count(*) FROM audited_rows",
        ],
    );
    assert_eq!(copies[0], [json!([leftover])]);
    assert_eq!(
        copies[1][0][0].as_u64().unwrap(),
        copies[2][0][0].as_u64().unwrap() + 25
    );
    let changed = change_rows(&vault, &part, r#"rows[3]["agent_sha256"] = "0" * 64"#);
    bucket.overwrite(&part, fs::read(changed).unwrap());
    let found = ask(
        &location,
        &["SELECT finding FROM findings ORDER BY finding"],
    )
    .remove(0);
    assert!(found.contains(&json!(["hash-differs"])), "{found:?}");
}

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// Writes the objects of a store into a folder.
fn lay_down(store: &MemoryStore, folder: &Path) {
    for (key, bytes) in store.contents() {
        let path = folder.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn days_later(days: i64) -> Simulator {
    let mut options = SimulatorOptions {
        segments_per_day: 12,
        ..options()
    };
    options.now = options
        .now
        .map(|now| now + jiff::SignedDuration::from_hours(24 * days));
    options.faults.late_population = 40.0;
    Simulator::start(options)
}

/// Two hosts at once: the observation of the earlier host is committed later, and its parts,
/// which another key has signed, remain as leftovers.
#[test]
fn an_older_observation_committed_later_is_not_current_and_leftovers_are_invisible() {
    let (soon, late) = (days_later(0), days_later(5));
    let (store, clock) = (Arc::new(MemoryStore::new()), TestClock::new());
    let keys = [(); 2].map(|()| SigningKey::generate().unwrap());
    let record = ArchiveRecord {
        archive_id: "two-hosts".to_owned(),
        created_at: Instant::from_millis(0),
        format_version: 1,
        signers: KeyList::of(keys.iter().map(SigningKey::public_key)),
    };
    store.overwrite("archive.json", record.to_bytes().unwrap());
    // Both keys count, and each host takes over only what its own key has signed.
    let [early_key, other_key] = keys;
    let mut early = Host::new("early", &soon.url, &clock);
    early.sign(early_key);
    store.fail(
        StoreFault::new(StoreOperation::PutNew, "manifests/", Effect::FailBefore).times(u32::MAX),
    );
    assert_eq!(
        now(early.run(store.clone(), DAY)).unwrap_err().exit,
        Exit::Later
    );
    store.repair();
    let mut other = Host::new("other", &late.url, &clock);
    other.sign(other_key);
    now(other.run(store.clone(), DAY)).unwrap();
    now(early.run(store.clone(), DAY)).unwrap();
    let checked = check(&store.contents(), SUB);
    let truth = expected(&late.truth(SUB, "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"));
    check_truth(&checked, DAY, &truth);
    assert!(
        checked.records(DAY).len() == 2 && !checked.unlisted.is_empty(),
        "the test looks at nothing"
    );

    let folder = tempfile::tempdir().unwrap();
    lay_down(&store, folder.path());
    let archive = path(folder.path());
    check_views(archive, &truth, &checked.unlisted);
    let bare = ask(
        archive,
        &[
            "SELECT count(*) FROM all_rows",
            "SELECT count(*) FROM audited_rows",
        ],
    );
    assert!(bare[0][0][0].as_u64() > bare[1][0][0].as_u64(), "{bare:?}");
    let older = "SELECT count(*) FROM current_segments JOIN audited_rows AS old USING (segment_key)
                 WHERE old.agent_fetched_at < current_segments.agent_fetched_at AND old.revision = 2";
    assert!(
        one(archive, older).as_u64() > Some(0),
        "the test looks at nothing"
    );

    // Not even a leftover that no Parquet reader can open is in the way.
    let garbage = key::part(SUB, DAY.parse().unwrap(), 1, 77);
    fs::write(folder.path().join(&garbage), "no parquet").unwrap();
    let leftovers = [checked.unlisted, vec![garbage]].concat();
    check_views(archive, &truth, &leftovers);
}

/// Asserts the current answers, the passing checks and the leftovers.
#[track_caller]
fn check_views(archive: &str, truth: &crate::support::protocol::Expected, leftovers: &[String]) {
    let queries = [
        "SELECT segment_key, kind, status, sha256 FROM current_answers",
        "FROM leftovers ORDER BY key",
    ];
    let found = ask(archive, &queries);
    let answers: BTreeSet<String> = found[0].iter().map(Value::to_string).collect();
    let answer = |((segment, kind), (status, sha256)): (&(String, _), &(_, Option<_>))| {
        let kind: &cxvault::format::row::observation::SummaryKind = kind;
        let status: &cxvault::format::row::observation::Status = status;
        let sha256 = sha256
            .as_ref()
            .map(cxvault::format::hash::digest::Digest::hex);
        json!([segment, kind.name(), status.name(), sha256]).to_string()
    };
    assert_eq!(answers, truth.iter().map(answer).collect());
    assert_eq!(found[0].len(), truth.len());
    let leftovers: Vec<Value> = leftovers.iter().map(|key| json!([key])).collect();
    assert_eq!(found[1], leftovers);
    check_intact(archive);
}

#[test]
fn adopted_parts_count_once() {
    let simulator = days_later(0);
    let (store, clock) = (Arc::new(MemoryStore::new()), TestClock::new());
    let host = Host::new("host", &simulator.url, &clock);
    // Its first part is stored; then the host dies and loses its disk.
    store.fail(
        StoreFault::new(StoreOperation::PutNew, "segments/", Effect::FailBefore)
            .skip(1)
            .times(u32::MAX),
    );
    assert_eq!(
        now(host.run(store.clone(), DAY)).unwrap_err().exit,
        Exit::Later
    );
    store.repair();
    host.lose_state();
    now(host.run(store.clone(), DAY)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    lay_down(&store, folder.path());
    let archive = path(folder.path());
    assert!(one(archive, "SELECT count(*) FROM files WHERE adopted").as_u64() > Some(0));
    let truth = expected(&simulator.truth(SUB, "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"));
    check_views(archive, &truth, &[]);
}

/// Repeats three hours later turn a segment of the evening into a segment of the next day as well.
#[test]
fn a_segment_of_two_days_is_current_once() {
    let mut options = SimulatorOptions {
        segments_per_day: 120,
        ..options()
    };
    options.faults.duplicates = 60.0;
    let simulator = Simulator::start(options);
    let mut vault = Vault::new(&simulator);
    vault
        .set("KNOWN_WARNINGS", "low-volume")
        .run_day(DAY, &[])
        .expect(0);
    vault.run_day(EVE, &[]).expect(0);
    let [first, second] = [DAY, EVE].map(|day| without_revisions(archived(&vault, SUB, day)));
    let archive = vault.archive();
    let found = current(path(&archive));
    let both: Vec<&String> = first
        .keys()
        .filter(|key| second.contains_key(*key))
        .collect();
    assert!(both.len() > 3, "the test looks at nothing");
    assert_eq!(found.len(), first.len() + second.len() - both.len());
    for (key, row) in &found {
        // The eve was archived after the day: its observations are later, and so is its metadata.
        assert_eq!(row, second.get(key).unwrap_or_else(|| &first[key]), "{key}");
    }
    check_intact(path(&archive));
}

#[test]
fn coverage_shows_the_state_of_each_day() {
    let mut broken = options();
    broken.faults.permanent_500 = 3.5;
    let (mut nothing, whole) = (options(), Simulator::start(options()));
    nothing.faults.empty = true;
    let (broken, nothing) = (Simulator::start(broken), Simulator::start(nothing));
    let mut vault = Vault::new(&whole);
    vault
        .set("MAX_ATTEMPTS", "1")
        .set("KNOWN_WARNINGS", "first-day-empty,low-volume");
    let mut counts = BTreeMap::new();
    for (date, simulator, exit) in [
        ("2026-11-16", &whole, 0),
        ("2026-11-18", &nothing, 0),
        (EVE, &broken, 3),
        (DAY, &broken, 3),
        (DAY, &whole, 0),
    ] {
        vault.move_to(simulator);
        vault.run_day(date, &[]).expect(exit);
        counts.insert(date, vault.newest(SUB)["day"].take());
    }
    let query = "SELECT dt, state, revisions, segments, agent_present, auto_failed FROM coverage ORDER BY dt";
    let row = |date: &str, state: &str, revisions: u64| {
        let day = &counts[date];
        json!([
            date,
            state,
            revisions,
            day["segments"],
            day["agent"]["PRESENT"],
            day["auto"]["FAILED"]
        ])
    };
    let expected = [
        row("2026-11-16", "complete", 1),
        json!(["2026-11-17", "missing", 0, null, null, null]),
        row("2026-11-18", "empty", 1),
        row(EVE, "gaps", 1),
        row(DAY, "complete", 2),
    ];
    let archive = vault.archive();
    assert_eq!(ask(path(&archive), &[query])[0], expected);
    assert!(
        counts[EVE]["auto"]["FAILED"].as_u64() > Some(0),
        "{counts:?}"
    );
    check_intact(path(&archive));

    // States that other records cause. Files of a day that was disposed of may be gone, and no view
    // reads them.
    let head = archive.join(key::manifest(SUB, 5));
    // The roster has recorded another head and would report it; this host has a record of the
    // roster.
    fs::remove_dir_all(archive.join("roster")).unwrap();
    fs::remove_dir_all(vault.state()).unwrap();
    let intact = fs::read_to_string(&head).unwrap();
    // State letters that follow from no record.
    for (letters, date) in [("cmeac", EVE), ("dmegc", "2026-11-16")] {
        let forged = intact.replacen("\"days\":\"cmegc\"", &format!("\"days\":\"{letters}\""), 1);
        fs::write(&head, forged).unwrap();
        let unexplained = [json!(["coverage-differs", format!("{SUB} {date}")])];
        assert_eq!(
            ask(path(&archive), &["SELECT finding, object FROM findings"])[0],
            unexplained
        );
    }
    fs::write(&head, intact).unwrap();
    check_disposal(&vault, &archive);
    let failed = &counts[EVE];
    let failed = json!([
        EVE,
        failed["agent"]["FAILED"],
        failed["auto"]["FAILED"],
        "RingCX answers 500"
    ]);
    vault
        .run(&[
            "acknowledge",
            "--from",
            EVE,
            "--to",
            DAY,
            "--reason",
            "RingCX answers 500",
        ])
        .expect(0);
    let query = "SELECT dt, agent_failed, auto_failed, reason FROM acknowledgements";
    assert_eq!(ask(path(&archive), &[query])[0], [failed]);
    assert_eq!(
        one(
            path(&archive),
            &format!("SELECT state FROM coverage WHERE dt = '{EVE}'")
        ),
        "acknowledged"
    );
    check_intact(path(&archive));
    // Without any file there is nothing to read, and the view says so.
    let empty = Vault::new(&nothing);
    empty.run_day(DAY, &[]).expect(3);
    assert!(said_by_empty(path(&empty.archive())).contains("no manifest under"));
}

/// The first day is disposed of while its files exist, and is read again after they were deleted.
fn check_disposal(vault: &Vault, archive: &Path) {
    let gone = "2026-11-16";
    let rows = "SELECT count(*) FROM audited_rows WHERE dt = '2026-11-16'";
    assert!(one(path(archive), rows).as_u64() > Some(0));
    let disposal = [
        "--from",
        gone,
        "--to",
        "2026-11-17",
        "--reason",
        "its time is over",
        "--by",
        "A. Auditor",
    ];
    vault
        .run(&[&["retention", "dispose"], &disposal[..]].concat())
        .expect(0);
    let folder = archive.join(key::day(SUB, gone.parse().unwrap()));
    let files = fs::read_dir(&folder).unwrap().count();
    for there in [true, false] {
        if !there {
            fs::remove_dir_all(&folder).unwrap();
        }
        check_intact(path(archive));
        let states = ask(path(archive), &["SELECT state FROM coverage ORDER BY dt"]).remove(0);
        let expected =
            ["disposed", "missing", "empty", "gaps", "complete"].map(|state| json!([state]));
        assert_eq!(states, expected);
        assert_eq!(one(path(archive), rows), 0);
        let query = "SELECT dt, files, lock_mode, reason, said_by, key FROM disposals";
        let record = key::manifest(SUB, 6);
        let expected = json!([gone, files, null, "its time is over", "A. Auditor", record]);
        assert_eq!(ask(path(archive), &[query])[0], [expected]);
        assert_eq!(
            ask(path(archive), &["FROM leftovers"])[0],
            Vec::<Value>::new(),
            "committed once"
        );
    }
}

fn said_by_empty(archive: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/duckdb_views.py");
    let mut command = Command::new(duckdb_python());
    let done = command
        .args(["-I", script.to_str().unwrap(), archive])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!done.status.success());
    String::from_utf8(done.stderr).unwrap()
}

/// Rewrites a part of the archive with another Parquet writer, after a line of Python has changed
/// its `rows`.
fn change_rows(vault: &Vault, key: &str, change: &str) -> PathBuf {
    let path = vault.archive().join(key);
    let script = format!(
        "import hashlib, sys, pyarrow, pyarrow.parquet as parquet
table = parquet.ParquetFile(sys.argv[1]).read()
rows = table.to_pylist()
present = [row for row in rows if row['agent_status'] == 'PRESENT']
binary = [row for row in rows if row['auto_status'] == 'BINARY']
{change}
parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), sys.argv[1])"
    );
    let done = Command::new(duckdb_python())
        .args(["-c", &script])
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    path
}

const HASHES: &str = "SELECT finding, kind, segment_key FROM hash_findings ORDER BY ALL";
const COUNTS: &str =
    "SELECT what, expected, found FROM count_findings WHERE finding = 'count-differs' ORDER BY ALL";

#[test]
fn hash_checks_find_exactly_the_changed_rows() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    two_revisions(&mut vault);
    let parts: Vec<String> = vault.manifests(SUB)[0]["manifest"]["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| text(&file["key"]))
        .collect();
    let folder = vault.archive();
    let archive = path(&folder);
    let victim = |part: &str, column: &str, status: &str| {
        let query = format!(
            "SELECT segment_key FROM audited_rows WHERE file_key = '{part}' AND {column} = '{status}'
             ORDER BY segment_end_time NULLS FIRST, segment_key"
        );
        text(
            &ask(archive, &[&query])[0]
                .first()
                .expect("one with this status")[0],
        )
    };
    let binary_part = text(&one(
        archive,
        "SELECT min(file_key) FROM audited_rows WHERE auto_status = 'BINARY' AND revision = 1",
    ));
    let [present, binary] = [
        victim(&parts[0], "agent_status", "PRESENT"),
        victim(&binary_part, "auto_status", "BINARY"),
    ];

    change_rows(&vault, &parts[0], "present[0]['agent_summary'] += ' '");
    assert_eq!(
        ask(archive, &[HASHES])[0],
        [json!(["hash-differs", "agent", present])]
    );
    change_rows(&vault, &binary_part, "binary[0]['auto_binary'] = 'AAAA'");
    let both = [
        json!(["hash-differs", "agent", present]),
        json!(["hash-differs", "auto", binary]),
    ];
    assert_eq!(ask(archive, &[HASHES])[0], both);
    change_rows(
        &vault,
        &binary_part,
        "binary[0]['auto_binary'] = 'no base64!'",
    );
    assert_eq!(ask(archive, &[HASHES])[0], both);
    change_rows(
        &vault,
        &parts[0],
        "present[0]['agent_summary'] = None; present[0]['agent_sha256'] = None",
    );
    let emptied = [
        json!(["hash-differs", "auto", binary]),
        json!(["status-contradicts-body", "agent", present]),
    ];
    assert_eq!(ask(archive, &[HASHES])[0], emptied);
    assert_eq!(ask(archive, &[COUNTS])[0], Vec::<Value>::new());
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn what_hashes_alone_do_not_show_is_found_too() {
    let simulator = Simulator::start(options());
    let mut vault = Vault::new(&simulator);
    two_revisions(&mut vault);
    let folder = vault.archive();
    let archive = path(&folder);
    let part = key::part(SUB, DAY.parse().unwrap(), 1, 1);
    let intact = fs::read(folder.join(&part)).unwrap();
    let restore = || fs::write(folder.join(&part), &intact).unwrap();

    // Text and hash are changed together: only the hash of the file shows it.
    let forge = "present[0]['agent_summary'] = 'x'; present[0]['agent_sha256'] = hashlib.sha256(b'x').hexdigest()";
    change_rows(&vault, &part, forge);
    let found = ask(archive, &[HASHES, "SELECT DISTINCT object FROM findings"]);
    assert_eq!((found[0].len(), &found[1][..]), (0, &[json!([part])][..]));
    restore();

    change_rows(
        &vault,
        &part,
        "rows = [row for row in rows if row is not present[0]]",
    );
    let counts = ask(archive, &[COUNTS]).remove(0);
    for what in [
        "file rows",
        "rows segments",
        "day segments",
        "rows agent.PRESENT",
        "day agent.PRESENT",
    ] {
        let one_less =
            |row: &&Value| row[0] == what && row[1].as_u64() == row[2].as_u64().map(|n| n + 1);
        assert_eq!(
            counts.iter().filter(one_less).count(),
            1,
            "{what}: {counts:?}"
        );
    }
    // A row after the repeat of another: the rows of the file are valid, the segments of the day
    // are not.
    change_rows(&vault, &part, "rows.append(present[1])");
    let repeats = "SELECT finding FROM count_findings WHERE finding = 'segment-repeats'";
    assert_eq!(ask(archive, &[repeats])[0].len(), 1);
    restore();
    check_intact(archive);
    check_chain(&folder);
}

/// Manifests that were changed, removed, copied or taken from another archive.
fn check_chain(folder: &Path) {
    let findings = || {
        let rows = ask(
            path(folder),
            &["SELECT DISTINCT finding FROM chain_findings ORDER BY finding"],
        )
        .remove(0);
        rows.iter().map(|row| text(&row[0])).collect::<Vec<_>>()
    };
    let chain = folder.join(key::chain(SUB));
    let [first, second] = ["0000000001.json", "0000000002.json"].map(|name| chain.join(name));
    let intact = fs::read_to_string(&first).unwrap();
    fs::write(
        &first,
        intact.replacen("\"complete\":false", "\"complete\":true", 1),
    )
    .unwrap();
    assert_eq!(findings(), ["previous-differs"]);
    fs::write(&first, &intact[..intact.len() - 1]).unwrap();
    assert_eq!(
        findings(),
        ["not-a-manifest", "previous-differs", "sequence-gap"]
    );
    fs::remove_file(&first).unwrap();
    assert_eq!(findings(), ["previous-differs", "sequence-gap"]);
    fs::write(&first, &intact).unwrap();
    fs::copy(&first, chain.join("0000000003.json")).unwrap();
    assert_eq!(findings(), ["not-a-manifest"]);
    fs::remove_file(chain.join("0000000003.json")).unwrap();
    let head = fs::read_to_string(&second).unwrap();
    fs::write(
        &second,
        head.replacen("\"days\":\"c\"", "\"days\":\"cm\"", 1),
    )
    .unwrap();
    assert_eq!(
        findings(),
        Vec::<String>::new(),
        "a missing day is no contradiction"
    );
    fs::write(
        &second,
        head.replacen("\"days\":\"c\"", "\"days\":\"e\"", 1),
    )
    .unwrap();
    assert_eq!(findings(), ["coverage-differs"]);
    fs::write(&second, &head).unwrap();
    let record = folder.join("archive.json");
    let archive = fs::read_to_string(&record).unwrap();
    fs::write(
        &record,
        archive.replacen("\"archive_id\":\"", "\"archive_id\":\"0", 1),
    )
    .unwrap();
    assert_eq!(findings(), ["archive-differs"]);
    fs::write(&record, archive).unwrap();
    assert_eq!(findings(), Vec::<String>::new());
    check_roster(folder, &second);
}

/// What only the roster shows: the end of a chain that was cut off or rewritten, and a roster that
/// was changed itself.
fn check_roster(folder: &Path, head: &Path) {
    let ask_roster = |query: &str| {
        let rows = ask(path(folder), &[query]).remove(0);
        rows.iter().map(|row| text(&row[0])).collect::<Vec<_>>()
    };
    let findings = || ask_roster("SELECT DISTINCT finding FROM roster_findings ORDER BY finding");
    assert_eq!(findings(), Vec::<String>::new());
    let outcomes = ask_roster(
        "SELECT outcome FROM rosters WHERE expected AND listed IS NULL ORDER BY sequence",
    );
    assert_eq!(outcomes, ["gaps", "done"]);
    let intact = fs::read(head).unwrap();
    fs::remove_file(head).unwrap();
    assert_eq!(findings(), ["roster-head"]);
    fs::write(
        head,
        String::from_utf8(intact.clone()).unwrap().replacen(
            "\"complete\":true",
            "\"complete\":false",
            1,
        ),
    )
    .unwrap();
    assert_eq!(findings(), ["roster-head"]);
    fs::write(head, intact).unwrap();
    let first = folder.join(key::manifest(key::ROSTER, 1));
    let record = fs::read_to_string(&first).unwrap();
    fs::write(
        &first,
        record.replacen("\"exit\":\"gaps\"", "\"exit\":\"done\"", 1),
    )
    .unwrap();
    assert_eq!(findings(), ["roster-previous-differs"]);
    fs::remove_file(&first).unwrap();
    assert_eq!(findings(), ["roster-gap", "roster-previous-differs"]);
    fs::write(&first, record).unwrap();
    assert_eq!(findings(), Vec::<String>::new());
}
