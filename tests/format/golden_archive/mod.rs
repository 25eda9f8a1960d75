//! An archive of format version 1, stored as test data: it must remain readable and hold, and the
//! same observations must give the same bytes. Version 1 is frozen: no file of `tests/golden/v1` is
//! ever changed, removed or added. `archive` is an archive with every kind of record, which was
//! copied and taken over; `anchor` is the place where some of its heads were anchored;
//! `receipt.json` proves one of its rows.

mod continuation;
mod history;
mod make;
mod rows;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::python::duckdb_python;
use bytes::Bytes;
use cxvault::audit::anchors::Anchors;
use cxvault::audit::verify::finding::{Finding, Severity};
use cxvault::audit::verify::{Level, VerifyOptions, VerifyProgress, VerifyTotals, verify};
use cxvault::format::hash::digest::Digest;
use cxvault::format::hash::merkle;
use cxvault::format::part::{EncodedRow, PartReader};
use cxvault::format::place::key;
use cxvault::format::record::copy::CopyRecord;
use cxvault::format::record::coverage::DayState;
use cxvault::format::record::manifest::{Envelope, Incomplete, Manifest, Record, Why};
use cxvault::format::record::notes::HoldAct;
use cxvault::format::record::receipt;
use cxvault::format::record::receipt::{Receipt, ReceiptError};
use cxvault::format::record::roster::RosterEnvelope;
use cxvault::format::row::Row;
use cxvault::format::row::observation::{Status, SummaryKind};
use cxvault::format::signature::{AllowedSigners, SigningKey};
use cxvault::format::time::range::Days;
use cxvault::outcome::Exit;
use cxvault::store::Store;
use cxvault::store::folder::FolderStore;
use history::{OTHER, SUB_ACCOUNT};
use make::Golden;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/v1")
        .join(path)
}

fn read(path: &str) -> Vec<u8> {
    fs::read(golden(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The key of this test alone.
fn signing_key() -> SigningKey {
    SigningKey::from_openssh_pem(&String::from_utf8(read("test-only.key")).unwrap()).unwrap()
}

fn allowed() -> AllowedSigners {
    let mut allowed = AllowedSigners::default();
    allowed.allow(signing_key().public_key());
    allowed
}

/// Returns the line of an `allowed_signers` file.
fn allowed_line() -> String {
    signing_key().public_key().allowed_signers_line("cxvault") + "\n"
}

/// Returns every stored file, as the code writes it today, by its path.
fn made() -> (Golden, BTreeMap<String, Vec<u8>>) {
    let golden = history::make(signing_key());
    let under = |folder: &'static str| {
        move |(key, bytes): (&String, &Vec<u8>)| (format!("{folder}/{key}"), bytes.clone())
    };
    let mut all: BTreeMap<_, _> = golden.objects.iter().map(under("archive")).collect();
    all.extend(golden.anchors.iter().map(under("anchor")));
    all.insert(
        "receipt.json".to_owned(),
        receipt(&golden).to_text().unwrap().into_bytes(),
    );
    (golden, all)
}

/// Returns a receipt of a row whose revision is followed by a later one.
fn receipt(golden: &Golden) -> Receipt {
    let file = key::part(SUB_ACCOUNT, "2026-11-24".parse().unwrap(), 1, 0);
    let encoded: Vec<EncodedRow> = golden.rows[&file]
        .iter()
        .map(|row| row.clone().into())
        .collect();
    let leaves: Vec<Digest> = encoded.iter().map(|row| row.leaf_hash()).collect();
    let manifest = |sequence| &golden.objects[&key::manifest(SUB_ACCOUNT, sequence)];
    Receipt {
        receipt_version: receipt::RECEIPT_VERSION,
        sub_account: SUB_ACCOUNT.to_owned(),
        date: "2026-11-24".parse().unwrap(),
        revision: 1,
        row: encoded[1].members(),
        file,
        leaf_index: 1,
        path: merkle::audit_path(&leaves, 1).unwrap(),
        chain: (6..=17)
            .map(|sequence| Envelope::from_bytes(manifest(sequence)).unwrap())
            .collect(),
        head: format!("{SUB_ACCOUNT}:17:{}", Digest::of(manifest(17))),
        later_manifests_of_day: vec![16],
    }
}

/// Returns the paths of all files below a folder.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into)
        } else {
            into.push(path)
        }
    }
}

#[test]
fn the_same_observations_still_give_the_same_bytes() {
    let (_, made) = made();
    let mut differing: Vec<&str> = made
        .iter()
        .filter(|(path, bytes)| fs::read(golden(path)).ok().as_ref() != Some(*bytes))
        .map(|(path, _)| path.as_str())
        .collect();
    let mut kept = Vec::new();
    files(&golden(""), &mut kept);
    let kept: Vec<&str> = kept
        .iter()
        .map(|path| path.strip_prefix(golden("")).unwrap().to_str().unwrap())
        .collect();
    differing.extend(
        kept.into_iter()
            .filter(|path| *path != "test-only.key" && !made.contains_key(*path)),
    );
    if differing.is_empty() {
        return;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden-v1");
    for (path, bytes) in &made {
        fs::create_dir_all(target.join(path).parent().unwrap()).unwrap();
        fs::write(target.join(path), bytes).unwrap();
    }
    panic!(
        "format version 1 is frozen, and the same observations no longer give the same bytes. That breaks the format: \
         archives are continued for years, and two hosts, or a run that was killed and the next one, must write the same. \
         Undo the change, or make it part of a new format version (FORMAT.md, \"What frozen means\"), with a golden archive \
         of its own. If only a library's release writes the same rows in other bytes, which the format allows, pin that \
         library, or have this test compare what is frozen. Never touch these files. They differ, or are too many or too \
         few: {differing:#?}; what the code makes now is in {}",
        target.display()
    );
}

/// Returns what `verify` finds at its deepest level.
fn verified(archive: &Path) -> (VerifyTotals, Vec<Finding>) {
    let store: Arc<dyn Store> = Arc::new(FolderStore::open(archive).unwrap());
    let anchor: Arc<dyn Store> = Arc::new(FolderStore::open(&golden("anchor")).unwrap());
    let options = VerifyOptions {
        days: Days::default(),
        sub_accounts: Vec::new(),
        level: Level::Deep,
        subset: None,
        heads: Vec::new(),
        anchors: Some(Anchors::new(anchor)),
        allowed: allowed(),
    };
    let found = Mutex::new(Vec::new());
    let tell = |finding| found.lock().unwrap().push(finding);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (stop, meter) = (CancellationToken::new(), VerifyProgress::default());
    let totals = runtime
        .block_on(verify(store, &options, stop, &meter, &tell))
        .unwrap();
    (totals, found.into_inner().unwrap())
}

#[test]
fn the_golden_archive_still_holds() {
    let (totals, found) = verified(&golden("archive"));
    let mut codes: Vec<String> = found
        .iter()
        .map(|finding| format!("{} {}", finding.code.name(), finding.object))
        .collect();
    codes.sort();
    let leftover = key::part(SUB_ACCOUNT, "2026-11-23".parse().unwrap(), 1, 1);
    let expected = [
        "day-acknowledged 99999999 2026-11-24".to_owned(),
        "day-incomplete 99999999 2026-11-26".to_owned(),
        "day-missing 99999999 2026-11-25".to_owned(),
        "expired 99999999 2026-11-22".to_owned(),
        "hold-not-enforced sub_account=99999999".to_owned(),
        "hold-not-enforced sub_account=99999999".to_owned(),
        format!("leftover {leftover}"),
        "sub-account-acknowledged sub_account=88888888".to_owned(),
        "sub-account-unlisted sub_account=77777777".to_owned(),
        format!("taken-over {}", key::manifest(key::ROSTER, 5)),
    ];
    assert_eq!(codes, expected);
    assert_eq!(totals.exit(), Exit::Gaps);
    assert_eq!(
        (
            totals.sub_accounts,
            totals.manifests,
            totals.signed_manifests,
            totals.rosters
        ),
        (2, 18, 18, 6)
    );
    assert_eq!((totals.files, totals.rows), (10, 22));
}

#[test]
fn a_changed_byte_of_any_object_is_found() {
    let mut paths = Vec::new();
    files(&golden("archive"), &mut paths);
    // The mark is for writers, which find that it is not the one that was taken over.
    paths.retain(|path| !path.ends_with(key::COPY));
    let mut unnoticed = Vec::new();
    for path in paths {
        let place = path
            .strip_prefix(golden("archive"))
            .unwrap()
            .to_str()
            .unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_to(copy.path());
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(copy.path().join(place), bytes).unwrap();
        let (_, found) = verified(copy.path());
        if found
            .iter()
            .all(|finding| finding.severity != Severity::Violation)
        {
            unnoticed.push(place.to_owned());
        }
    }
    // Nothing is specified for the leftover.
    assert_eq!(
        unnoticed,
        [key::part(SUB_ACCOUNT, "2026-11-23".parse().unwrap(), 1, 1)]
    );
}

fn copy_to(folder: &Path) {
    let mut paths = Vec::new();
    files(&golden("archive"), &mut paths);
    for path in paths {
        let to = folder.join(path.strip_prefix(golden("archive")).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}

fn manifests(sub_account: &str) -> impl Iterator<Item = Envelope> {
    let paths = (1..).map(move |n| golden("archive").join(key::manifest(sub_account, n)));
    paths
        .map_while(|path| fs::read(path).ok())
        .map(|bytes| Envelope::from_bytes(&bytes).unwrap())
}

#[test]
fn its_rows_read_back_as_they_were_observed() {
    let (made, _) = made();
    let (mut files, mut read_rows) = (0, 0);
    for day in [SUB_ACCOUNT, OTHER].into_iter().flat_map(manifests) {
        for file in day
            .manifest
            .day()
            .into_iter()
            .flat_map(|day| day.files.clone())
        {
            let Some(expected) = made.rows.get(&file.key) else {
                continue;
            };
            let bytes = read(&format!("archive/{}", file.key));
            let mut part = PartReader::open(Bytes::from(bytes)).unwrap();
            assert_eq!(part.signer().unwrap(), Some(signing_key().public_key()));
            let mut found: Vec<Row> = Vec::new();
            while let Some(row) = part.next_row().unwrap() {
                found.push(row);
            }
            assert_eq!(found, *expected, "{}", file.key);
            files += 1;
            read_rows += found.len();
        }
    }
    assert_eq!((files, read_rows), (10, 22));
}

/// Additions to the format that the golden archive lacks make this test fail.
#[test]
fn it_has_everything_that_version_1_knows() {
    let all: Vec<Envelope> = manifests(SUB_ACCOUNT).chain(manifests(OTHER)).collect();
    let days: Vec<_> = all
        .iter()
        .filter_map(|envelope| envelope.manifest.day())
        .collect();
    let head = &all[16].manifest.coverage;
    assert_eq!(head.days, "cedcamgc");
    for state in DayState::ALL {
        assert!(head.days.contains(state.letter()), "{state:?}");
    }
    let kind = |envelope: &Envelope| match &envelope.manifest.record {
        Record::Day(_) => "day",
        Record::Acknowledgement(_) => "acknowledgement",
        Record::Hold(hold) if hold.act == HoldAct::Add => "hold",
        Record::Hold(_) => "hold removed",
        Record::Retention(_) => "retention",
        Record::Disposal(_) => "disposal",
        Record::Later(_) => panic!("a kind that version 1 does not know"),
    };
    let kinds: Vec<&str> = all[5..15].iter().map(kind).collect();
    let expected = [
        "day",
        "day",
        "acknowledgement",
        "hold",
        "day",
        "hold removed",
        "retention",
        "disposal",
        "day",
        "hold",
    ];
    assert_eq!(kinds, expected);
    for why in [Why::Nightly, Why::Backfill, Why::GapFill, Why::Recheck] {
        assert!(days.iter().any(|day| day.why == why), "{why:?}");
    }
    for because in [
        Incomplete::SummariesFailed,
        Incomplete::WantedSummariesSkipped,
        Incomplete::BeyondSourceRetention,
    ] {
        assert!(
            days.iter()
                .any(|day| day.incomplete_because.contains(&because.into())),
            "{because:?}"
        );
    }
    for status in Status::ALL {
        let counted = |kind| {
            days.iter()
                .any(|day| day.rows.statuses(kind).get(status) > 0)
        };
        assert!(SummaryKind::BOTH.into_iter().all(counted), "{status}");
    }
    let files: Vec<_> = days.iter().flat_map(|day| &day.files).collect();
    assert!(
        files
            .iter()
            .any(|file| file.adopted && file.version_id.is_some())
    );
    assert!(
        files.iter().any(|file| file.omitted_fields.is_some())
            && days.iter().any(|day| !day.omitted_fields.is_empty())
    );
}

/// Every column has a value in some row.
#[test]
fn no_column_is_null_in_all_rows() {
    let rows = made().0.rows;
    let mut filled = std::collections::BTreeSet::new();
    for row in rows.into_values().flatten() {
        filled.extend(
            EncodedRow::from(row)
                .members()
                .into_iter()
                .map(|(name, _)| name),
        );
    }
    let missing: Vec<&str> = cxvault::format::row::schema::COLUMNS
        .iter()
        .map(|column| column.name)
        .filter(|name| !filled.contains(*name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn its_receipt_still_proves_the_row() {
    let text = String::from_utf8(read("receipt.json")).unwrap();
    let receipt: Receipt = serde_json::from_str(&text).unwrap();
    let proven = receipt.check(&allowed(), &[]).unwrap();
    assert_eq!(
        (proven.segment.as_str(), proven.manifests),
        ("p-v-41", (6, 17))
    );
    let changed = text.replace("Came at once.", "Came at last.");
    let changed: Receipt = serde_json::from_str(&changed).unwrap();
    assert!(changed.check(&allowed(), &[]).is_err());
    let schema: Value =
        serde_json::from_str(include_str!("../../../schemas/receipt.v1.schema.json")).unwrap();
    assert!(
        jsonschema::validator_for(&schema)
            .unwrap()
            .is_valid(&serde_json::from_str(&text).unwrap())
    );
}

/// Asserts what the steps of FORMAT.md require beyond signatures and hashes.
#[test]
fn a_receipt_of_what_version_1_does_not_know_is_refused() {
    let receipt: Receipt = serde_json::from_slice(&read("receipt.json")).unwrap();
    let unsigned = |change: fn(&mut Manifest)| {
        let mut manifest = receipt.chain[0].manifest.clone();
        change(&mut manifest);
        let only = manifest.seal(None).unwrap();
        let head = format!("{SUB_ACCOUNT}:6:{}", Digest::of(&only.to_bytes().unwrap()));
        let receipt = Receipt {
            chain: vec![only],
            head,
            later_manifests_of_day: Vec::new(),
            ..receipt.clone()
        };
        receipt
            .check(&AllowedSigners::default(), &[])
            .map(|proven| proven.manifests)
    };
    assert_eq!(unsigned(|_| {}), Ok((6, 6)));
    let later = unsigned(|manifest| manifest.format_version = 2);
    assert!(matches!(later, Err(ReceiptError::Broken(_))), "{later:?}");
    let twice = unsigned(|manifest| {
        let Record::Day(day) = &mut manifest.record else {
            panic!("it commits a file")
        };
        day.files.push(day.files[0].clone());
    });
    assert_eq!(twice, Err(ReceiptError::NotInFile));
}

#[test]
fn its_roster_and_its_mark_are_still_read() {
    let mut previous = None;
    for sequence in 1..=6 {
        let bytes = read(&format!("archive/{}", key::manifest(key::ROSTER, sequence)));
        let envelope = RosterEnvelope::from_bytes(&bytes).unwrap();
        envelope.require_signer(&allowed()).unwrap();
        assert_eq!(
            envelope.manifest.previous.as_ref().map(|link| link.sha256),
            previous
        );
        assert_eq!(envelope.manifest.takeover.is_some(), sequence == 6);
        previous = Some(Digest::of(&bytes));
        if let Some(takeover) = envelope.manifest.as_takeover() {
            let mark = read("archive/copy.json");
            assert_eq!(takeover.copy, Some(Digest::of(&mark)));
            assert_eq!(
                CopyRecord::from_bytes(&mark).unwrap().sub_accounts,
                takeover.sub_accounts
            );
        }
    }
}

/// Returns what a script prints for an archive.
fn asked(script: &str, archive: &Path, queries: &str) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/support")
        .join(script);
    let mut command = Command::new(duckdb_python());
    command
        .arg(script)
        .arg(archive)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(queries.as_bytes())
        .unwrap();
    let done = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if done.status.success() {
        Ok(text(done.stdout))
    } else {
        Err(text(done.stderr))
    }
}

#[test]
fn the_views_find_nothing_wrong_with_it() {
    let queries = "FROM findings\n;\nFROM verified";
    let said = asked("duckdb_views.py", &golden("archive"), queries).unwrap();
    assert_eq!(said.lines().next(), Some("[]"), "{said}");
    assert_eq!(
        said.lines().nth(1),
        Some("[[2, 18, 10, 125040, 22, 26]]"),
        "{said}"
    );
}

/// Recomputes hashes, counts and sizes with DuckDB and with PyArrow; the error names what differs.
fn compared(archive: &Path) -> Result<String, String> {
    asked("compare_parts.py", archive, "")
}

#[test]
fn other_readers_find_what_the_manifests_say() {
    let said = compared(&golden("archive")).unwrap();
    let values: u32 = said.split(' ').next().unwrap().parse().unwrap();
    assert!(values > 500, "{said}");

    let manifest = key::manifest(SUB_ACCOUNT, 1);
    let original = String::from_utf8(read(&format!("archive/{manifest}"))).unwrap();
    let file = original.split("\"files\":[").nth(1).unwrap();
    let merkle_root = file.split("\"merkle_root\":\"").nth(1).unwrap()[..64].to_owned();
    for (changed, to, finding) in [
        ("\"PRESENT\":1", "\"PRESENT\":2", "PRESENT"),
        ("\"vanished\":0", "\"vanished\":1", "vanished"),
        ("\"rows\":5", "\"rows\":6", "rows of"),
        ("\"http_500\":2", "\"http_500\":3", "failures"),
        (".999Z\",\"merkle", ".998Z\",\"merkle", "ends of"),
        (&merkle_root, &"0".repeat(64), "Merkle root"),
    ] {
        let copy = tempfile::tempdir().unwrap();
        copy_to(copy.path());
        assert!(
            original.contains(changed),
            "{changed} is not there to be changed"
        );
        fs::write(copy.path().join(&manifest), original.replace(changed, to)).unwrap();
        let found = compared(copy.path()).expect_err(finding);
        assert!(found.contains(finding), "{found}");
    }
}
