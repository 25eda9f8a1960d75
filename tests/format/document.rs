//! What `schemas/FORMAT.md` specifies for manifests and parts, checked with independent tools.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use cxvault::format::part::{PartContext, PartReader, PartWriter, Statement};
use cxvault::format::record::archive::ArchiveRecord;
use cxvault::format::record::copy::CopyRecord;
use cxvault::format::record::manifest::{Envelope, ManifestError, Record};
use cxvault::format::row::Row;
use cxvault::format::signature::SigningKey;
use serde_json::{Value, json};

use crate::support::mutants::{Mutant, mutants};

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/v1")
        .join(path)
}

fn manifest_path(sequence: u32) -> PathBuf {
    golden(&format!(
        "archive/manifests/v1/sub_account=99999999/{sequence:010}.json"
    ))
}

fn envelope(sequence: u32) -> Envelope {
    Envelope::from_bytes(&fs::read(manifest_path(sequence)).unwrap()).unwrap()
}

fn schema(name: &str) -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemas")
        .join(name);
    jsonschema::validator_for(&serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).unwrap()
}

/// Returns every place in a JSON value as a JSON pointer.
fn places(value: &Value, at: String, into: &mut Vec<String>) {
    into.push(at.clone());
    match value {
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(name, value)| places(value, format!("{at}/{name}"), into));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(n, value)| places(value, format!("{at}/{n}"), into));
        }
        _ => {}
    }
}

/// Members that may be absent; FORMAT.md says what their absence means.
const OPTIONAL: [&str; 7] = [
    "agent_group",
    "omitted_fields",
    "orders",
    "recheck",
    "signed_from",
    "takeover",
    "unlisted",
];

/// Returns the names of the objects in a folder of the golden data, in order.
fn objects(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(golden(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Asserts that the object is valid and that nearly every change of its shape is not. Returns the
/// names of the optional members that it has.
fn judge(schema: &jsonschema::Validator, valid: &Value, is_record: bool) -> Vec<String> {
    let error = schema
        .iter_errors(valid)
        .next()
        .map(|error| error.to_string());
    assert!(error.is_none(), "{error:?} in {valid}");
    let (mut all, mut optional) = (Vec::new(), Vec::new());
    places(valid, String::new(), &mut all);
    for place in all.iter().filter(|place| !place.is_empty()) {
        let (parent, name) = place.rsplit_once('/').unwrap();
        let mut wrong = valid.clone();
        *wrong.pointer_mut(place).unwrap() = json!([["of another type"]]);
        assert!(!schema.is_valid(&wrong), "{place} may be anything");
        // Agent groups and failure classes are names that the data defines.
        let free = ["/agent_groups", "/failures"]
            .iter()
            .any(|end| parent.ends_with(end));
        let mut missing = valid.clone();
        let Some(Value::Object(members)) = missing.pointer_mut(parent).filter(|_| !free) else {
            continue;
        };
        members.remove(name);
        let may_be_absent = schema.is_valid(&missing);
        assert_eq!(
            may_be_absent,
            OPTIONAL.contains(&name),
            "{place} may be missing"
        );
        if may_be_absent {
            optional.push(name.to_owned());
        }
        let mut more = valid.clone();
        more.pointer_mut(parent).unwrap()["another"] = json!(1);
        // A later program may add members to a record, and to nothing beside it: that would not be signed.
        let extends = is_record && (parent == "/manifest" || parent.starts_with("/manifest/"));
        assert_eq!(schema.is_valid(&more), extends, "other members of {parent}");
    }
    optional
}

#[test]
fn golden_records_are_valid_and_nearly_every_change_of_shape_is_not() {
    let mut optional = Vec::new();
    let mut seen = 0;
    for (name, folder) in [
        (
            "manifest.v1.schema.json",
            "archive/manifests/v1/sub_account=99999999",
        ),
        (
            "manifest.v1.schema.json",
            "archive/manifests/v1/sub_account=ny_1-A",
        ),
        ("roster.v1.schema.json", "archive/roster/v1"),
        (
            "anchor.v1.schema.json",
            "anchor/anchors/v1/00112233445566778899aabbccddeeff/roster",
        ),
        (
            "anchor.v1.schema.json",
            "anchor/anchors/v1/00112233445566778899aabbccddeeff/sub_account=99999999",
        ),
    ] {
        let schema = schema(name);
        for path in objects(folder) {
            optional.extend(judge(
                &schema,
                &serde_json::from_slice(&fs::read(path).unwrap()).unwrap(),
                !name.starts_with("anchor"),
            ));
            seen += 1;
        }
    }
    optional.sort();
    optional.dedup();
    assert_eq!(
        (seen, optional),
        (17 + 1 + 6 + 3 + 3, OPTIONAL.map(str::to_owned).to_vec())
    );
}

/// The schemas of documents that are not records of a chain, and the reader of each.
#[test]
fn golden_objects_beside_the_chains_are_valid_and_their_readers_judge_as_the_schemas() {
    type Reader = fn(&[u8]) -> bool;
    let mut statement = PartReader::open(Bytes::from(part()))
        .unwrap()
        .statement()
        .clone();
    // A single name, since a schema cannot require that names are sorted.
    statement.omitted_fields = std::iter::once("agentNotes".to_owned()).collect();
    let read = |name: &str| fs::read(golden("archive").join(name)).unwrap();
    let objects: [(&str, Vec<u8>, Reader); 3] = [
        ("archive.v1.schema.json", read("archive.json"), |bytes| {
            ArchiveRecord::read(bytes).is_ok()
        }),
        ("copy.v1.schema.json", read("copy.json"), |bytes| {
            CopyRecord::from_bytes(bytes).is_some()
        }),
        (
            "part.v1.schema.json",
            statement.canonical().unwrap().into_bytes(),
            |bytes| {
                serde_json::from_slice::<Statement>(bytes).is_ok_and(|statement| {
                    statement.format_version == 1
                        && statement.canonical().unwrap().as_bytes() == bytes
                })
            },
        ),
    ];
    for (name, bytes, reads) in objects {
        let schema = schema(name);
        let valid: Value = serde_json::from_slice(&bytes).unwrap();
        judge(&schema, &valid, false);
        for Mutant { what, value } in mutants(&valid) {
            // No count is that large, and readers need not accept exactly these limits.
            if what.ends_with(&(1_u64 << 53).to_string()) {
                continue;
            }
            let bytes = serde_json_canonicalizer::to_vec(&value).unwrap();
            assert_eq!(reads(&bytes), schema.is_valid(&value), "{name}: {what}");
        }
    }
}

fn run(program: &str, package: &str, args: &[&str], input: &[u8]) -> (bool, Vec<u8>) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed: install {package} ({error})"));
    // The program may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    (output.status.success(), output.stdout)
}

#[test]
fn jq_prints_the_bytes_that_are_signed() {
    let mut envelope = envelope(1);
    for host in [
        "",
        "\u{e4}\u{1F600}\u{5e9}\u{2028}\u{ffff}",
        "\"quoted\\ </script>",
        "\u{a0}\u{ad}",
        "e\u{301}",
    ] {
        envelope.manifest.run.host = host.to_owned();
        for number in [
            0,
            -1,
            (1 << 53) - 1,
            1 - (1 << 53),
            100_000_000_000_000_000 / 100,
        ] {
            envelope.manifest.run.clock_skew_ms = Some(number);
            let bytes = envelope.to_bytes().unwrap();
            let (done, printed) = run("jq", "jq", &["-jcS", ".manifest"], &bytes);
            assert!(done);
            assert_eq!(
                String::from_utf8(printed),
                String::from_utf8(envelope.canonical().unwrap())
            );
        }
    }
}

#[test]
fn what_jq_would_print_otherwise_is_refused() {
    for host in ["\u{7f}", "\n", "\u{0}", "\u{1b}[31m", "\u{85}"] {
        let mut envelope = envelope(1);
        envelope.manifest.run.host = host.to_owned();
        let refused = matches!(envelope.canonical(), Err(ManifestError::Unprintable));
        assert!(refused, "{host:?}");
    }
    let mut envelope = envelope(1);
    envelope.manifest.run.clock_skew_ms = Some(1 << 53);
    assert!(matches!(
        envelope.canonical(),
        Err(ManifestError::Unprintable)
    ));
}

#[test]
fn other_spellings_of_a_manifest_are_refused() {
    let bytes = fs::read(manifest_path(2)).unwrap();
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let pretty = serde_json::to_vec_pretty(&value).unwrap();
    assert!(matches!(
        Envelope::from_bytes(&pretty),
        Err(ManifestError::NotCanonical)
    ));
    let mut newline = bytes.clone();
    newline.push(b'\n');
    assert!(matches!(
        Envelope::from_bytes(&newline),
        Err(ManifestError::NotCanonical)
    ));
    for end in 0..bytes.len() {
        assert!(Envelope::from_bytes(&bytes[..end]).is_err(), "cut at {end}");
    }
}

/// Returns the commands of FORMAT.md's chapter "Signatures", as they are printed there.
#[test]
fn the_commands_for_checking_by_hand_work_and_notice_a_changed_byte() {
    let document =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/FORMAT.md"))
            .unwrap();
    let commands = document
        .split("By hand:\n\n```sh\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let key = SigningKey::from_openssh_pem(&fs::read_to_string(golden("test-only.key")).unwrap())
        .unwrap();
    let original = fs::read_to_string(manifest_path(1)).unwrap();
    for (text, holds) in [
        (original.clone(), true),
        (
            original.replace("\"host\":\"host7\"", "\"host\":\"host8\""),
            false,
        ),
        (
            original.replace("\"complete\":false", "\"complete\":true"),
            false,
        ),
    ] {
        assert_eq!(text == original, holds, "the change must change something");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("0000000001.json"), text).unwrap();
        let allowed = key.public_key().allowed_signers_line("cxvault") + "\n";
        fs::write(folder.path().join("allowed_signers"), allowed).unwrap();
        let shell = Command::new("sh")
            .args(["-euc", commands])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&shell.stderr).into_owned();
        assert!(
            !said.contains("not found"),
            "install jq and openssh-client: {said}"
        );
        assert_eq!(shell.status.success(), holds, "{said}");
    }
}

fn part() -> Vec<u8> {
    fs::read(golden(
        "archive/segments/v1/sub_account=99999999/dt=2026-11-20/r0001-p0000.parquet",
    ))
    .unwrap()
}

fn rows(bytes: Vec<u8>) -> Option<Vec<Row>> {
    let mut part = PartReader::open(Bytes::from(bytes)).ok()?;
    part.signer().ok()?;
    let mut rows = Vec::new();
    while let Some(row) = part.next_row().ok()? {
        rows.push(row);
    }
    Some(rows)
}

#[test]
fn long_texts_end_a_row_group_early_and_are_read_back_unchanged() {
    let text = "x\u{1F600}".repeat(13_000);
    let Record::Day(day) = envelope(1).manifest.record else {
        panic!("a day is first")
    };
    let (archive_id, omitted_fields) = ("0".repeat(32), day.omitted_fields);
    let place = PartContext {
        archive_id,
        window: day.window,
        zone: day.zone,
        omitted_fields,
    };
    let model = rows(part()).unwrap().pop().unwrap();
    let mut writer = PartWriter::new(Vec::new()).unwrap();
    for _ in 0..600 {
        let mut row = model.clone();
        row.agent.summary = Some(text.clone());
        writer.push(row).unwrap();
    }
    let (bytes, written) = writer
        .finish("segments/v1/x.parquet", &place, None)
        .unwrap();
    assert_eq!(written.rows, 600);
    let file =
        parquet::file::reader::SerializedFileReader::new(Bytes::from(bytes.clone())).unwrap();
    let groups = parquet::file::reader::FileReader::metadata(&file).num_row_groups();
    assert!(groups > 1, "38 MB of text stand in one row group");
    let back = rows(bytes).unwrap();
    assert!(
        back.len() == 600
            && back
                .iter()
                .all(|row| row.agent.summary.as_deref() == Some(text.as_str()))
    );
}
