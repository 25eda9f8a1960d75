use crate::format::hash::Digest;
use crate::format::record::TreeHead;
use crate::format::row::{Observation, Omission, Row, Status, SummaryKind, change};
use crate::format::time::Window;
use crate::journal::day_journal::JournalProgress;
use crate::journal::windows::MergeCounts;
use crate::journal::*;
use crate::outcome::{Exit, Failure};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures_util::FutureExt as _;
use proptest::prelude::*;

const DAY: Window = Window {
    start_ms: 0,
    end_ms: 86_400_000,
};
const MORNING: Window = Window {
    start_ms: 0,
    end_ms: 10_800_000,
};
const NOON: Window = Window {
    start_ms: 10_800_000,
    end_ms: 21_600_000,
};

fn identity() -> DayIdentity {
    DayIdentity {
        archive_id: "a".into(),
        sub_account: "1".into(),
        date: "1970-01-01".parse().unwrap(),
        zone: "UTC".into(),
        window: DAY,
    }
}

fn journal(folder: &Path) -> Journal {
    Journal::open(&folder.join("journal.sqlite"), identity()).unwrap()
}

fn answer(window: Window, rows: u64, at: i64) -> AnsweredWindow {
    AnsweredWindow {
        window,
        rows,
        bytes: 2,
        sha256: Digest::of(b"[]"),
        server_date: Some(at),
        answered_at: at + 5,
        attempts: 1,
        duplicates: 0,
    }
}

fn object(id: &str, end: &str, more: &str) -> String {
    format!(r#"{{"segmentId":"{id}","segmentEndTimeMs":"1970-01-01T{end}:00.000Z"{more}}}"#)
}

fn found(objects: &[String]) -> Vec<DiscoveredSegment> {
    objects
        .iter()
        .map(|object| DiscoveredSegment::read(object))
        .collect()
}

fn discover(journal: &mut Journal, window: Window, objects: &[String], at: i64) -> MergeCounts {
    journal.stage_objects(window, &found(objects)).unwrap();
    journal
        .finish_window(
            &answer(window, objects.len() as u64, at),
            &format!("run-{at}"),
        )
        .unwrap()
}

fn observation(status: Status, text: &str, at: i64, by: &str) -> Observation {
    let body = matches!(status, Status::Present | Status::Empty);
    Observation {
        status,
        summary: body.then(|| text.to_owned()),
        binary: None,
        sha256: body.then(|| Digest::of(text.as_bytes())),
        http_status: None,
        content_type: None,
        fetched_at: status.is_answer().then_some(at),
        server_date: None,
        attempts: 1,
        error: (status == Status::Failed).then(|| "http_500".into()),
        observed_by: by.into(),
    }
}

fn observe_all(journal: &Journal, observed: &Observation) {
    for pending in journal.pending(0, 1_000).unwrap() {
        for kind in pending.missing {
            journal
                .record_observation(pending.seq, kind, observed)
                .unwrap();
        }
    }
}

fn changes(journal: &Journal, revision: u32) -> (Vec<Row>, RevisionTotals) {
    let mut rows = Vec::new();
    let push = |row| -> Result<()> {
        rows.push(row);
        Ok(())
    };
    let totals = journal.changes(revision, push).unwrap();
    (rows, totals)
}

#[test]
fn an_unfinished_window_leaves_no_segment_and_a_restarted_one_only_its_last_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    journal
        .stage_objects(
            MORNING,
            &found(&[object("a", "01:00", ""), object("b", "01:00", "")]),
        )
        .unwrap();
    assert_eq!(journal.progress().unwrap(), JournalProgress::default());
    journal.discard_window(MORNING).unwrap();
    let merged = discover(&mut journal, MORNING, &[object("c", "02:00", "")], 9);
    assert_eq!(
        merged,
        MergeCounts {
            new: 1,
            duplicates: 0
        }
    );
    let keys: Vec<String> = journal
        .pending(0, 9)
        .unwrap()
        .into_iter()
        .filter_map(|open| open.segment_id)
        .collect();
    assert_eq!(keys, ["c"]);
    assert_eq!(journal.windows().unwrap(), [answer(MORNING, 1, 9)]);
}

#[test]
fn of_differing_duplicates_the_last_is_the_row_and_the_others_are_retained_verbatim() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    let versions = ["", r#", "n" : 1"#, r#","n":2"#].map(|more| object("a", "02:00", more));
    let morning = [
        versions[0].clone(),
        versions[0].clone(),
        versions[1].clone(),
        r#"{"no":"id"}"#.to_owned(),
    ];
    assert_eq!(
        discover(&mut journal, MORNING, &morning, 1),
        MergeCounts {
            new: 2,
            duplicates: 2
        }
    );
    assert_eq!(
        discover(&mut journal, NOON, &[versions[2].clone()], 2),
        MergeCounts {
            new: 0,
            duplicates: 1
        }
    );
    observe_all(&journal, &observation(Status::Empty, "", 3, "me"));
    let (rows, totals) = changes(&journal, 1);
    // A segment without an end comes first, and is out of the day.
    assert!(rows[0].segment.metadata.segment_id.is_none() && rows[0].out_of_day);
    assert_eq!(rows[1].segment.raw, versions[2]);
    assert_eq!(
        rows[1].other_answers,
        Some(format!("[{},{}]", versions[0], versions[1]))
    );
    assert_eq!(
        (rows[1].discovered_at, rows[1].discovered_by.as_str()),
        (2, "run-2")
    );
    assert!(totals.rows == totals.day && totals.rows.balances() && totals.rows.out_of_day == 1);
}

#[test]
fn rows_are_sorted_by_end_then_key_and_failures_are_pending_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    let objects =
        [("b", "02:00"), ("a", "02:00"), ("c", "01:00")].map(|(id, end)| object(id, end, ""));
    discover(&mut journal, MORNING, &objects, 1);
    observe_all(&journal, &observation(Status::Failed, "", 2, "me"));
    let open = journal.pending(0, 9).unwrap();
    assert!(open.len() == 3 && open.iter().all(|open| open.missing == SummaryKind::BOTH));
    journal
        .record_observation(
            open[0].seq,
            SummaryKind::Agent,
            &observation(Status::Present, "x", 3, "me"),
        )
        .unwrap();
    assert_eq!(
        journal.pending(0, 9).unwrap()[0].missing,
        [SummaryKind::Auto]
    );
    let (rows, totals) = changes(&journal, 1);
    assert_eq!(
        rows.iter().map(|row| row.segment.key()).collect::<Vec<_>>(),
        ["c", "a", "b"]
    );
    assert_eq!(
        (
            totals.failures["http_500"],
            totals.day.failed(),
            totals.day.agent.present
        ),
        (5, 5, 1)
    );
}

#[test]
fn what_is_committed_or_adopted_is_neither_asked_nor_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    discover(
        &mut journal,
        MORNING,
        &[object("a", "01:00", ""), object("b", "01:00", "")],
        1,
    );
    observe_all(&journal, &observation(Status::Present, "x", 2, "me"));
    let (rows, _) = changes(&journal, 1);
    journal.add_known_row(rows[0].clone(), true).unwrap();
    let (left, totals) = changes(&journal, 1);
    assert_eq!(
        left.iter().map(|row| row.segment.key()).collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!(
        (
            totals.rows.segments,
            totals.day.segments,
            journal.count_adopted_only().unwrap()
        ),
        (1, 2, 0)
    );
    journal.clear_known_rows().unwrap();
    rows.into_iter()
        .for_each(|row| journal.add_known_row(row, false).unwrap());
    assert_eq!(changes(&journal, 2).0, []);
    assert_eq!(journal.pending(0, 9).unwrap(), []);
}

#[test]
fn gaps_are_reopened_with_the_answers_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    discover(
        &mut journal,
        MORNING,
        &[object("a", "01:00", ""), object("b", "01:00", "")],
        1,
    );
    observe_all(&journal, &observation(Status::Present, "x", 2, "me"));
    let (mut rows, _) = changes(&journal, 1);
    rows[0].auto = observation(Status::Failed, "", 2, "me");
    rows[1].agent = observation(Status::Skipped, "", 2, "me");
    let other = tempfile::tempdir().unwrap();
    let mut fresh = self::journal(other.path());
    rows.into_iter()
        .for_each(|row| fresh.add_known_row(row, false).unwrap());
    assert_eq!(
        fresh.reopen_gaps(|_| false).unwrap(),
        1,
        "skipped, and not wanted"
    );
    let open = fresh.pending(0, 9).unwrap();
    assert_eq!(
        (open.len(), &open[0].missing),
        (1, &vec![SummaryKind::Auto])
    );
    fresh
        .record_observation(
            open[0].seq,
            SummaryKind::Auto,
            &observation(Status::Present, "late", 9, "you"),
        )
        .unwrap();
    let (changed, totals) = changes(&fresh, 2);
    assert_eq!(
        (
            changed.len(),
            changed[0].agent.fetched_at,
            changed[0].auto.fetched_at
        ),
        (1, Some(2), Some(9))
    );
    assert_eq!((totals.day.segments, totals.day.failed()), (2, 0));
}

fn omission(names: &[&str]) -> Omission {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Whether the journal's files hold these bytes.
fn on_disk(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

#[test]
fn fields_omitted_later_are_removed_from_what_was_stored_before() {
    const PHONE: &str = "+1 555 0100";
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    let phone = |n: u32| format!(r#","phone":"{PHONE} {n}""#);
    let a = object("a", "01:00", &phone(1));
    // The same except for the phone, and another that differs in more.
    let nameless = [2, 3].map(|n| format!(r#"{{"phone":"{PHONE} {n}","n":0}}"#));
    let again = object("a", "01:00", &format!(r#"{},"n":1"#, phone(4)));
    let morning = [a, nameless[0].clone(), nameless[1].clone(), again];
    assert_eq!(
        discover(&mut journal, MORNING, &morning, 1),
        MergeCounts {
            new: 3,
            duplicates: 1
        }
    );
    observe_all(&journal, &observation(Status::Present, "x", 2, "me"));
    // A window that was never finished, and is requested again.
    journal
        .stage_objects(NOON, &found(&[object("b", "04:00", &phone(5))]))
        .unwrap();
    journal.discard_window(NOON).unwrap();
    assert!(on_disk(folder.path(), PHONE));

    journal.omit_fields(&omission(&["phone"])).unwrap();
    journal.purge_omitted_bytes().unwrap();
    assert!(!on_disk(folder.path(), PHONE) && on_disk(folder.path(), "01:00:00"));
    let (rows, totals) = changes(&journal, 1);
    let kept: Vec<&str> = rows.iter().map(|row| row.segment.raw.as_str()).collect();
    assert_eq!(kept, [r#"{"n":0}"#, &object("a", "01:00", r#","n":1"#)]);
    assert_eq!(
        rows[1].other_answers,
        Some(format!("[{}]", object("a", "01:00", "")))
    );
    assert!(
        rows.iter().all(|row| row.agent.status == Status::Present),
        "nothing fetched is lost"
    );
    // As if the window had been answered so.
    assert_eq!(
        (
            journal.windows().unwrap()[0].duplicates,
            totals.rows.segments
        ),
        (2, 2)
    );

    // Under other settings it stays so, and more is removed.
    drop(journal);
    let mut journal = self::journal(folder.path());
    journal.omit_fields(&omission(&["n"])).unwrap();
    assert_eq!(*journal.omission(), omission(&["n", "phone"]));
    assert_eq!(changes(&journal, 1).0[0].segment.raw, "{}");
    drop(journal);
    assert_eq!(
        *self::journal(folder.path()).omission(),
        omission(&["n", "phone"])
    );
}

#[test]
fn committed_rows_are_compared_without_omitted_fields() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    let objects = |more: &str| {
        let (a, b) = (object("a", "01:00", more), object("b", "01:00", more));
        [
            a,
            b,
            format!(r#"{{"no":"id"{more}}}"#),
            format!(r#"{{"no":"id at all"{more}}}"#),
        ]
    };
    discover(&mut journal, MORNING, &objects(r#","phone":"1","n":1"#), 1);
    observe_all(&journal, &observation(Status::Empty, "", 2, "me"));
    let (committed, _) = changes(&journal, 1);

    let later = tempfile::tempdir().unwrap();
    let mut journal = self::journal(later.path());
    journal
        .start_recheck(Some(&"all".parse().unwrap()))
        .unwrap();
    journal.omit_fields(&omission(&["phone"])).unwrap();
    committed
        .iter()
        .for_each(|row| journal.add_known_row(row.clone(), false).unwrap());
    assert!(
        !journal
            .known_row("a")
            .unwrap()
            .unwrap()
            .0
            .segment
            .raw
            .contains("phone")
    );
    // Another phone is not a change, another n is. A segment without an id has vanished, which cannot be recorded.
    let mut found = objects(r#","n":1"#).to_vec();
    found[1] = found[1].replace(r#""n":1"#, r#""n":2"#);
    found.pop();
    discover(&mut journal, MORNING, &found, 50);
    observe_all(&journal, &observation(Status::Empty, "", 51, "me"));
    let vanished = journal.mark_vanished().unwrap();
    assert_eq!((vanished.newly, vanished.compared), (0, 2));
    let (rows, totals) = changes(&journal, 2);
    assert_eq!(
        rows.iter()
            .map(|row| row.segment.raw.clone())
            .collect::<Vec<_>>(),
        found[1..2]
    );
    assert_eq!(
        (totals.changes.changed_metadata, totals.changes.new_segments),
        (1, 0)
    );
    assert_eq!(totals.day.segments, 4);
}

#[test]
fn a_day_is_locked_private_and_bound_to_its_settings() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path(), "archive");
    let day = state.day("1", "1970-01-01".parse().unwrap()).unwrap();
    let lock = day.lock().unwrap();
    let refused = Failure::from(day.lock().unwrap_err());
    assert_eq!(refused.exit, Exit::Locked);
    drop(lock);
    day.lock().unwrap();
    drop(Journal::open(&day.database(), identity()).unwrap());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let database = day.database();
    let folder = database.parent().unwrap();
    assert_eq!((mode(folder), mode(&database)), (0o700, 0o600));
    let elsewhere = DayIdentity {
        zone: "Asia/Tokyo".into(),
        ..identity()
    };
    let error = Failure::from(Journal::open(&day.database(), elsewhere).err().unwrap());
    assert_eq!(error.exit, Exit::Usage);
    assert!(
        error.message.contains("UTC") && error.message.contains("Asia/Tokyo"),
        "{error}"
    );
    // The log alone would do: what it holds was never copied into the database.
    std::fs::remove_file(day.database().with_extension("sqlite-wal")).unwrap();
    std::fs::write(day.database(), "no database ".repeat(1_000)).unwrap();
    let error = Failure::from(Journal::open(&day.database(), identity()).err().unwrap());
    assert!(
        error
            .remedy
            .is_some_and(|remedy| remedy.contains("Move that folder away"))
    );
    day.delete_journal().unwrap();
    assert!(!day.has_journal());
}

#[test]
fn the_remembered_head_never_goes_back() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path(), "archive");
    let head = |sequence| Head {
        sequence,
        sha256: Digest::of(&[sequence as u8]),
        tree: TreeHead {
            size: sequence,
            root: Digest::of(&[sequence as u8]),
        },
    };
    assert_eq!(state.remembered_head("1").unwrap(), None);
    for (sequence, remembered) in [(1, 1), (3, 3), (2, 3), (4, 4)] {
        state.remember_head("1", &head(sequence)).unwrap();
        assert_eq!(state.remembered_head("1").unwrap(), Some(head(remembered)));
    }
}

/// What was acknowledged is there after SIGKILL: this very test, started again as the process that dies.
#[test]
fn what_is_acknowledged_survives_a_kill() {
    const CHILD: &str = "CXVAULT_TEST_JOURNAL";
    #[allow(clippy::disallowed_methods)]
    if let Some(path) = std::env::var_os(CHILD) {
        record_without_end(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "journal::tests::what_is_acknowledged_survives_a_kill",
            "--nocapture",
        ])
        .env(CHILD, &path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut said =
        lines.filter_map(|line| line.unwrap().strip_prefix("durable ")?.parse::<u64>().ok());
    let seen = said.find(|&n| n >= 40).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let last = said.last().unwrap_or(seen);
    let journal = Journal::open(&path, identity()).unwrap();
    assert!(
        journal.progress().unwrap().answered >= last,
        "{last} were acknowledged"
    );
}

fn record_without_end(path: &Path) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (handle, _thread) = JournalHandle::start(Journal::open(path, identity()).unwrap(), 1);
        for seq in 1.. {
            let observation = observation(Status::Present, "x", seq, "child");
            handle
                .record(NewObservation {
                    seq,
                    kind: SummaryKind::Agent,
                    observation,
                })
                .await
                .unwrap();
            handle.call(|_| Ok::<_, JournalError>(())).await.unwrap();
            println!("durable {seq}");
        }
    });
    unreachable!("the numbers do not end")
}

fn some_observation(seq: i64) -> NewObservation {
    NewObservation {
        seq,
        kind: SummaryKind::Agent,
        observation: observation(Status::Present, "x", seq, "me"),
    }
}

#[tokio::test]
async fn no_more_observations_are_on_the_way_than_there_are_permits() {
    let folder = tempfile::tempdir().unwrap();
    let (handle, _thread) = JournalHandle::start(journal(folder.path()), 2);
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let slow_disk = handle
        .submit(move |_| Ok::<_, JournalError>(held.recv().is_err()))
        .unwrap();
    for seq in 1..=2 {
        handle.record(some_observation(seq)).await.unwrap();
    }
    let mut third = Box::pin(handle.record(some_observation(3)));
    assert!(third.as_mut().now_or_never().is_none());
    drop(let_go);
    third.await.unwrap();
    assert!(slow_disk.done().await.unwrap());
    assert_eq!(
        handle
            .call(|journal| journal.progress())
            .await
            .unwrap()
            .answered,
        3
    );
}

#[tokio::test]
async fn waiting_for_a_permit_ends_when_the_journal_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (handle, thread) = JournalHandle::start(journal(folder.path()), 1);
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let broken_disk = move |journal: &mut Journal| {
        let _ = held.recv();
        journal.database.batch("ROLLBACK")
    };
    let _lost = handle.submit(broken_disk).unwrap();
    handle.record(some_observation(1)).await.unwrap();
    let mut second = Box::pin(handle.record(some_observation(2)));
    assert!(second.as_mut().now_or_never().is_none());
    drop(let_go);
    assert!(matches!(second.await, Err(JournalError::Ended)));
    assert!(matches!(
        thread.join().unwrap(),
        Err(JournalError::Database { .. })
    ));
}

fn any_status() -> impl Strategy<Value = Status> {
    prop::sample::select(vec![
        Status::Present,
        Status::Empty,
        Status::NotFound,
        Status::Failed,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Two hosts observe the same segments with different results, and commit one after the other.
    #[test]
    fn in_any_order_of_commits_nothing_is_lost_and_nothing_is_committed_twice(
        results in prop::collection::vec((any_status(), any_status()), 1..6),
        other_results in prop::collection::vec((any_status(), any_status()), 6),
        first_is_later in any::<bool>(),
    ) {
        let objects: Vec<String> = (0..results.len()).map(|n| object(&format!("s{n}"), "01:00", "")).collect();
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let times = if first_is_later { [9, 2] } else { [2, 9] };
        let mut hosts = Vec::new();
        for (host, (folder, results)) in folders.iter().zip([&results, &other_results]).enumerate() {
            let mut journal = journal(folder.path());
            discover(&mut journal, MORNING, &objects, 1);
            for (open, (agent, auto)) in journal.pending(0, 99).unwrap().iter().zip(results) {
                for (kind, status) in [(SummaryKind::Agent, *agent), (SummaryKind::Auto, *auto)] {
                    let observed = observation(status, &format!("{host}"), times[host], &format!("host{host}"));
                    journal.record_observation(open.seq, kind, &observed).unwrap();
                }
            }
            hosts.push(journal);
        }
        let mut committed: Vec<Row> = Vec::new();
        for round in 1..=3 {
            for host in &hosts {
                host.clear_known_rows().unwrap();
                committed.iter().for_each(|row| host.add_known_row(row.clone(), false).unwrap());
                let (rows, totals) = changes(host, round);
                prop_assert!(round < 2 || rows.is_empty(), "nothing is left for a second round");
                prop_assert!(totals.rows.balances() && totals.day.balances());
                prop_assert_eq!(totals.day.segments, results.len() as u64);
                committed.extend(rows);
            }
        }
        for (n, (mine, theirs)) in results.iter().zip(&other_results).enumerate() {
            let mut of_segment = committed.iter().filter(|row| row.segment.key() == format!("s{n}"));
            let mut now = of_segment.next().unwrap().clone();
            of_segment.for_each(|row| change::absorb(&mut now, row.clone()));
            for (kind, statuses) in [(SummaryKind::Agent, [mine.0, theirs.0]), (SummaryKind::Auto, [mine.1, theirs.1])] {
                let answered = statuses.iter().any(|status| status.is_answer());
                prop_assert_eq!(now.observation(kind).status.is_answer(), answered);
                let last = (0..2).filter(|&host| statuses[host].is_answer()).max_by_key(|&host| times[host]);
                if let Some(last) = last {
                    prop_assert_eq!(now.observation(kind).status, statuses[last]);
                }
            }
        }
    }
}
