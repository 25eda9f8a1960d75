//! The auditor's commands on real archives: what they report is what the archive holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::bucket::Bucket;
use crate::support::minio::minio;
use crate::support::vault::{DAY, Finished, SUB, Simulator, Vault, options};
use serde_json::{Value, json};

const EVE: &str = "2026-11-19";

/// An archive of two signed days. Some summaries of the second day arrived only in the next run, as
/// revision 2.
struct Case {
    _simulator: Simulator,
    vault: Vault,
    signers: PathBuf,
}

fn simulator(permanent_500: f64) -> Simulator {
    let mut options = options();
    options.segments_per_day = 40;
    options.faults.strange_texts = 0.3;
    options.faults.duplicates = 0.1;
    options.faults.permanent_500 = permanent_500;
    Simulator::start(options)
}

fn sign(vault: &mut Vault) -> PathBuf {
    let key = vault.folder.path().join("key");
    let line = vault
        .run(&["keygen", key.to_str().unwrap(), "--quiet"])
        .expect(0)
        .stdout;
    vault.set("SIGNING_KEY_FILE", key.to_str().unwrap());
    let signers = vault.folder.path().join("allowed_signers");
    fs::write(&signers, line).unwrap();
    signers
}

fn case() -> Case {
    let failing = simulator(0.05);
    let mut vault = Vault::new(&failing);
    vault
        .set("KNOWN_WARNINGS", "low-volume")
        .set("MAX_ATTEMPTS", "1")
        .set("PART_ROWS", "15");
    let signers = sign(&mut vault);
    let healthy = simulator(0.0);
    vault.move_to(&healthy);
    vault.run_day(EVE, &[]).expect(0);
    vault.move_to(&failing);
    vault.run_day(DAY, &[]).expect(3);
    vault.move_to(&healthy);
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(vault.manifests(SUB).len(), 3);
    Case {
        _simulator: healthy,
        vault,
        signers,
    }
}

fn head(done: &Finished) -> String {
    done.events().last().unwrap()["heads"][0]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Returns the ids of a day's segments, and of the ones that revision 2 has again.
fn segments(vault: &Vault) -> Vec<Value> {
    vault
        .run(&["ls", "--date", DAY, "--json"])
        .expect(0)
        .events()
}

#[test]
fn an_intact_archive_holds_and_every_subset_of_it_is_verified() {
    let Case { vault, signers, .. } = case();
    let signers = signers.to_str().unwrap();
    for level in ["quick", "full", "deep"] {
        let done = vault
            .run(&[
                "verify",
                "--level",
                level,
                "--allowed-signers",
                signers,
                "--json",
            ])
            .expect(0);
        let total = done.events().last().unwrap().clone();
        assert_eq!(
            (
                &total["violations"],
                &total["days_complete"],
                &total["manifests"]
            ),
            (&json!(0), &json!(2), &json!(3))
        );
        assert_eq!(total["signed_manifests"], 3);
        let head = head(&done);
        vault
            .run(&["verify", "--level", level, "--expect-head", &head])
            .expect(0);
        let cut = head.replace(&format!("{SUB}:3:"), &format!("{SUB}:4:"));
        let done = vault
            .run(&["verify", "--level", level, "--expect-head", &cut])
            .expect(4);
        assert!(done.stdout.contains("head-missing"), "{done}");
    }
    let files = |args: &[&str]| {
        let done = vault.run(&[&["verify", "--json"], args].concat()).expect(0);
        done.events().last().unwrap()["files"].as_u64().unwrap()
    };
    let shares: u64 = (1..=5)
        .map(|n| files(&["--subset", &format!("{n}/5")]))
        .sum();
    assert_eq!(shares, files(&[]));
    // A requested date is a day, whatever the chain holds.
    let done = vault
        .run(&["verify", "--from", "2026-11-18", "--to", "2026-11-21"])
        .expect(3);
    assert!(
        done.stdout.contains("day-missing  99999999 2026-11-18"),
        "{done}"
    );
    let nowhere = vault.folder.path().join("nowhere");
    vault
        .run(&["verify", "--archive", nowhere.to_str().unwrap()])
        .expect(2);
    vault.run(&["verify", "--from", DAY, "--to", DAY]).expect(2);
}

#[test]
fn a_relocated_copy_holds_as_well_and_foreign_objects_do_not_hide() {
    let Case { vault, .. } = case();
    let copy = vault.folder.path().join("copy");
    let done = std::process::Command::new("cp")
        .arg("-r")
        .arg(vault.archive())
        .arg(&copy)
        .status()
        .unwrap();
    assert!(done.success());
    let copy_text = copy.to_str().unwrap();
    vault
        .run(&["verify", "--archive", copy_text, "--level", "deep"])
        .expect(0);
    for key in [
        "segments/v1/sub_account=99999999/notes.txt",
        "manifests/extra.json",
    ] {
        fs::write(copy.join(key), "x").unwrap();
        let done = vault
            .run(&["verify", "--archive", copy_text, "--json"])
            .expect(4);
        let found: Vec<Value> = done
            .events()
            .into_iter()
            .filter(|one| one["severity"] == "violation")
            .collect();
        assert_eq!(
            (found.len(), &found[0]["code"], &found[0]["object"]),
            (1, &json!("foreign-object"), &json!(key))
        );
        fs::remove_file(copy.join(key)).unwrap();
    }
}

#[test]
fn status_counts_what_the_manifests_and_the_rows_say() {
    let Case { vault, .. } = case();
    let events = vault
        .run(&["status", "--by", "queue", "--json"])
        .expect(0)
        .events();
    let of = |event: &str| {
        events
            .iter()
            .filter(|one| one["event"] == event)
            .cloned()
            .collect::<Vec<_>>()
    };
    let days = of("day-status");
    assert_eq!(
        days.iter()
            .map(|day| day["revisions"].clone())
            .collect::<Vec<_>>(),
        [json!(1), json!(2)]
    );
    let newest = vault.newest(SUB);
    assert_eq!(days[1]["counts"], newest["day"]);
    let sum = |events: &[Value]| {
        events
            .iter()
            .map(|one| one["counts"]["segments"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(sum(&of("share")), sum(&days));
    let shown = vault
        .run(&["status", "--from", "2026-11-18"])
        .expect(0)
        .stdout;
    assert!(
        shown.contains(".##") && shown.contains("1 missing"),
        "{shown}"
    );
}

#[test]
fn a_segment_is_shown_with_all_its_revisions_and_searched_by_its_text() {
    let Case { vault, .. } = case();
    let changed = segments(&vault)
        .into_iter()
        .find(|one| one["revision"] == 2)
        .unwrap();
    let id = changed["segment_id"].as_str().unwrap();
    let rows = vault.run(&["show", id, "--json"]).expect(0).events();
    let revisions: Vec<_> = rows
        .iter()
        .map(|row| row["row"]["revision"].as_u64().unwrap())
        .collect();
    assert_eq!(revisions, [1, 2]);
    assert!(
        rows.iter()
            .all(|row| row["file_hash_holds"] == true && row["summary_hashes_hold"] == true)
    );
    let dialog = rows[1]["row"]["dialog_id"].as_str().unwrap();
    assert!(vault.run(&["show", dialog]).expect(0).stdout.contains(id));
    vault.run(&["show", "no-such-id"]).expect(2);

    let text = rows[1]["row"]["agent_summary"]
        .as_str()
        .or(rows[1]["row"]["auto_summary"].as_str())
        .unwrap();
    let word = text
        .split_whitespace()
        .max_by_key(|word| word.len())
        .unwrap()
        .to_uppercase();
    let hits = vault.run(&["search", &word, "--json"]).expect(0).events();
    assert!(hits.iter().any(|hit| hit["segment_id"] == id), "{word}");
    assert_eq!(
        vault
            .run(&["search", "no such words", "--json"])
            .expect(0)
            .events()
            .len(),
        1
    );
    // Control characters of a summary never reach the terminal.
    let all = vault.run(&["ls", "--date", DAY]).expect(0).stdout
        + &vault.run(&["search", "e"]).expect(0).stdout;
    assert!(all.chars().all(|c| c == '\n' || !c.is_control()));
}

/// Returns the JSON pointers of all scalars in a JSON text.
fn scalars(value: &Value, at: String, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
            members
                .iter()
                .for_each(|(name, value)| scalars(value, format!("{at}/{}", escaped(name)), into));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(n, value)| scalars(value, format!("{at}/{n}"), into));
        }
        _ => into.push(at),
    }
}

fn altered(value: &Value) -> Value {
    match value {
        Value::Null => json!("x"),
        Value::Bool(value) => json!(!value),
        Value::Number(number) => json!(number.as_i64().unwrap() + 1),
        Value::String(text) => match text.chars().last() {
            Some('0') => json!(format!("{}1", &text[..text.len() - 1])),
            Some(last) => json!(format!("{}0", &text[..text.len() - last.len_utf8()])),
            None => json!("x"),
        },
        _ => unreachable!("only scalars"),
    }
}

#[test]
fn a_receipt_is_verified_alone_discloses_no_other_row_and_permits_no_change() {
    let Case { vault, signers, .. } = case();
    let segments = segments(&vault);
    let changed = segments.iter().find(|one| one["revision"] == 2).unwrap()["segment_id"]
        .as_str()
        .unwrap();
    let path = vault.folder.path().join("receipt.json");
    let file = path.to_str().unwrap();
    vault.run(&["prove", changed, "--out", file]).expect(0);
    vault.run(&["prove", changed, "--out", file]).expect(2);
    let text = fs::read_to_string(&path).unwrap();
    for other in segments
        .iter()
        .filter_map(|one| one["segment_id"].as_str())
        .filter(|id| *id != changed)
    {
        assert!(!text.contains(other), "{other} is disclosed");
    }
    let first = vault.folder.path().join("first.json");
    let first = first.to_str().unwrap();
    let done = vault
        .run(&[
            "prove",
            changed,
            "--revision",
            "1",
            "--out",
            first,
            "--json",
        ])
        .expect(0);
    assert_eq!(done.events()[0]["later_manifests_of_day"], json!([3]));
    fs::remove_dir_all(vault.archive()).unwrap();
    let signers = signers.to_str().unwrap();
    let head = serde_json::from_str::<Value>(&text).unwrap()["head"]
        .as_str()
        .unwrap()
        .to_owned();
    for receipt in [file, first] {
        vault.run(&["check-receipt", receipt]).expect(0);
        vault
            .run(&[
                "check-receipt",
                receipt,
                "--allowed-signers",
                signers,
                "--expect-head",
                &head,
            ])
            .expect(0);
    }
    vault
        .run(&[
            "check-receipt",
            file,
            "--expect-head",
            &head.replace(":3:", ":2:"),
        ])
        .expect(4);

    // The receipt with a later manifest in its chain.
    let receipt: Value = serde_json::from_str(&fs::read_to_string(first).unwrap()).unwrap();
    let mut places = Vec::new();
    scalars(&receipt, String::new(), &mut places);
    assert!(places.len() > 200, "{}", places.len());
    let allowed = cxvault::format::signature::AllowedSigners::default();
    let all_forged = tempfile::tempdir().unwrap();
    for (n, place) in places.into_iter().enumerate() {
        let mut forged = receipt.clone();
        let value = forged.pointer_mut(&place).unwrap();
        *value = altered(value);
        fs::write(
            all_forged.path().join(format!("{n:04}.json")),
            forged.to_string(),
        )
        .unwrap();
        // A document that is no longer a receipt is refused by the reader.
        let read = serde_json::from_value::<cxvault::format::record::receipt::Receipt>(forged);
        let held = read.is_ok_and(|receipt| receipt.check(&allowed, &[]).is_ok());
        assert!(!held, "{place} may be changed");
    }
    second_checker_agrees(&[file, first], all_forged.path());
}

/// A checker that was written from FORMAT.md alone, and the schema: both accept the receipts, and
/// no forgery passes the checker.
fn second_checker_agrees(receipts: &[&str], forged: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = fs::read(root.join("schemas/receipt.v1.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    for receipt in receipts {
        let receipt: Value = serde_json::from_str(&fs::read_to_string(receipt).unwrap()).unwrap();
        let errors: Vec<String> = schema
            .iter_errors(&receipt)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
        for member in receipt.as_object().unwrap().keys() {
            let mut without = receipt.clone();
            without.as_object_mut().unwrap().remove(member);
            assert!(!schema.is_valid(&without), "{member} may be missing");
            fs::write(
                forged.join(format!("without-{member}.json")),
                without.to_string(),
            )
            .unwrap();
        }
        let mut more = receipt;
        more["more"] = json!(1);
        assert!(!schema.is_valid(&more));
        fs::write(forged.join("more.json"), more.to_string()).unwrap();
    }
    let check = |paths: Vec<std::path::PathBuf>| {
        let script = root.join("tests/support/check_receipt.py");
        let done = Command::new("python3")
            .arg("-I")
            .arg(script)
            .args(paths)
            .output()
            .unwrap();
        String::from_utf8(done.stdout).unwrap() + &String::from_utf8_lossy(&done.stderr)
    };
    let genuine = check(receipts.iter().map(Into::into).collect());
    assert_eq!(
        genuine.matches(": holds: ").count(),
        receipts.len(),
        "{genuine}"
    );
    let forgeries: Vec<_> = fs::read_dir(forged)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let count = forgeries.len();
    let said = check(forgeries);
    assert_eq!(said.matches(": does not hold: ").count(), count, "{said}");
}

#[test]
fn a_bucket_is_read_like_a_folder() {
    let simulator = simulator(0.0);
    let bucket = Bucket::new(minio(), "auditing", true);
    let mut vault = Vault::new(&simulator);
    bucket.used_by(&mut vault, None);
    vault
        .set("KNOWN_WARNINGS", "low-volume")
        .set("OBJECT_LOCK", "governance:1d")
        .set("PART_ROWS", "15");
    let signers = sign(&mut vault);
    vault.run_day(DAY, &[]).expect(0);
    for level in ["quick", "full", "deep"] {
        let signers = signers.to_str().unwrap();
        let done = vault
            .run(&[
                "verify",
                "--level",
                level,
                "--allowed-signers",
                signers,
                "--json",
            ])
            .expect(0);
        assert_eq!(done.events().last().unwrap()["notices"], 1, "{done}");
    }
    let id = segments(&vault)[5]["segment_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let rows = vault.run(&["show", &id, "--json"]).expect(0).events();
    assert_eq!((rows.len(), &rows[0]["file_hash_holds"]), (1, &json!(true)));
    let receipt = vault.folder.path().join("r.json");
    vault
        .run(&["prove", &id, "--out", receipt.to_str().unwrap()])
        .expect(0);
    vault
        .run(&["check-receipt", receipt.to_str().unwrap()])
        .expect(0);
}
