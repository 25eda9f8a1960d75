//! Reports of real archives, written by the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::invented::shown;
use super::{card, square};
use crate::support::browser::Browser;
use crate::support::bucket::Bucket;
use crate::support::minio::minio;
use crate::support::vault::{DAY, SUB, Simulator, Vault, options};

fn simulator(segments_per_day: u32, permanent_500: f64) -> Simulator {
    let mut options = options();
    options.segments_per_day = segments_per_day as _;
    options.faults.permanent_500 = permanent_500;
    Simulator::start(options)
}

/// Returns an archive with days that are complete, empty, missing, with gaps, and complete after a
/// second revision.
struct Case {
    vault: Vault,
    signers: PathBuf,
}

fn case() -> Case {
    let (healthy, quiet, failing) = (simulator(40, 0.0), simulator(0, 0.0), simulator(40, 30.0));
    let mut vault = Vault::new(&healthy);
    vault
        .set("KNOWN_WARNINGS", "low-volume")
        .set("MAX_ATTEMPTS", "1")
        .set("PART_ROWS", "15");
    let key = vault.folder.path().join("key");
    let line = vault
        .run(&["keygen", key.to_str().unwrap(), "--quiet"])
        .expect(0)
        .stdout;
    vault.set("SIGNING_KEY_FILE", key.to_str().unwrap());
    let signers = vault.folder.path().join("allowed_signers");
    fs::write(&signers, line).unwrap();
    for (date, api, exit) in [
        ("2026-11-16", &healthy, 0),
        ("2026-11-17", &quiet, 0),
        ("2026-11-19", &failing, 3),
        (DAY, &failing, 3),
        (DAY, &healthy, 0),
    ] {
        vault.move_to(api);
        vault.run_day(date, &[]).expect(exit);
    }
    Case { vault, signers }
}

impl Case {
    /// Creates a new report.
    fn report(&self, name: &str, args: &[&str], exit: i32) -> PathBuf {
        let page = shown(name);
        let _ = fs::remove_file(&page);
        let bounds = [
            "report",
            "--from",
            "2026-11-16",
            "--to",
            "2026-11-21",
            "--out",
        ];
        self.vault
            .run(&[&bounds[..], &[page.to_str().unwrap()], args].concat())
            .expect(exit);
        page
    }

    /// Returns the newest manifest of each archived day.
    fn days(&self) -> BTreeMap<String, Value> {
        let manifests = self
            .vault
            .manifests(SUB)
            .into_iter()
            .map(|mut envelope| envelope["manifest"].take());
        manifests
            .map(|manifest| (manifest["date"].as_str().unwrap().to_owned(), manifest))
            .collect()
    }
}

#[test]
fn every_day_is_shown_as_it_is_archived() {
    let case = case();
    let signers = case.signers.to_str().unwrap();
    let page = case.report("five-days.html", &["--allowed-signers", signers], 0);
    let mut browser = Browser::start();
    browser.open_report(&page);
    let days = case.days();
    let states = [
        ("2026-11-16", "complete"),
        ("2026-11-17", "empty"),
        ("2026-11-18", "missing"),
        ("2026-11-19", "gaps"),
        (DAY, "complete"),
    ];
    assert_eq!(
        browser.eval("document.querySelectorAll('#days [data-cell]').length"),
        5
    );
    for (date, state) in states {
        browser.point_at(&square(0, date));
        let card = card(&mut browser).expect("a card");
        let line = card
            .text
            .lines()
            .filter(|line| !line.is_empty())
            .nth(1)
            .unwrap();
        let line = line.trim_start_matches(['○', '!', '×']).trim();
        assert!(line.starts_with(state), "{date}: {}", card.text);
        let Some(manifest) = days.get(date) else {
            assert!(
                state == "missing" && card.text.contains("Never archived"),
                "{}",
                card.text
            );
            continue;
        };
        let (tally, revision) = (&manifest["day"], &manifest["revision"]);
        assert!(
            card.text
                .contains(&format!("{} segment", tally["segments"])),
            "{}",
            card.text
        );
        assert!(
            card.text.contains(&format!("{revision} revision")),
            "{}",
            card.text
        );
        if tally["segments"] == 0 {
            continue;
        }
        for (kind, shown) in [("agent", "By the agent"), ("auto", "By the AI")] {
            let is = [
                ("present", "PRESENT"),
                ("empty", "EMPTY"),
                ("not found", "NOT_FOUND"),
                ("no answer", "FAILED"),
            ];
            for (name, status) in is {
                assert_eq!(
                    card.counts[shown][name],
                    count(&tally[kind], status),
                    "{date} {kind} {name}"
                );
            }
        }
    }
    assert_eq!(
        (
            &days[DAY]["revision"],
            days["2026-11-19"]["complete"].as_bool()
        ),
        (&json!(2), Some(false))
    );
    assert_eq!(browser.misbehaviour(), Vec::<String>::new());
    browser.point_at(&square(0, DAY));
    browser.screenshot(&shown("five-days.png"));
}

/// Returns the count of a status, however the manifest writes its name.
fn count(statuses: &Value, status: &str) -> Value {
    let lower = status.to_lowercase();
    [status, &lower]
        .iter()
        .map(|name| statuses[*name].clone())
        .find(|value| !value.is_null())
        .unwrap()
}

#[test]
fn sums_heads_signers_and_findings_are_the_archives_own() {
    let case = case();
    let page = case.report("five-days-full.html", &["--level", "full"], 0);
    let mut browser = Browser::start();
    browser.open_report(&page);
    let status = case
        .vault
        .run(&[
            "status",
            "--json",
            "--from",
            "2026-11-16",
            "--to",
            "2026-11-21",
        ])
        .expect(0);
    let events = status.events();
    let sums = events.last().unwrap();
    let mut figure = |name: &str| {
        let read = format!(
            "[...document.querySelectorAll('.figures div')].find((one) => one.querySelector('dt').textContent === '{name}').querySelector('dd').textContent"
        );
        browser.text(&read)
    };
    for (name, key) in [
        ("days complete", "days_complete"),
        ("days empty", "days_empty"),
        ("days with gaps", "days_with_gaps"),
        ("days missing", "days_missing"),
    ] {
        assert_eq!(figure(name), sums[key].to_string(), "{name}");
    }
    assert_eq!(
        (figure("segments"), figure("revisions")),
        (sums["counts"]["segments"].to_string(), "5".into())
    );
    let chain = events
        .iter()
        .find(|event| event["event"] == "chain")
        .unwrap();
    let text = browser.text("document.getElementById('chains').innerText");
    assert!(
        text.contains(chain["head"].as_str().unwrap()) && text.contains("SHA256:"),
        "{text}"
    );
    assert!(
        text.contains("none: a user with permission to delete can delete these objects"),
        "{text}"
    );
    let text = browser.text("document.getElementById('verification').innerText");
    for words in [
        "This verification was performed when the page was created",
        "SHA-256 of every file",
        "It covers every head",
        "day-missing",
        "day-incomplete",
        "no-expected-head",
    ] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    let text = browser.text("document.getElementById('attention').innerText");
    for words in [
        "18 Nov 2026",
        "19 Nov 2026",
        "cxvault run --date 2026-11-18",
        "http_500",
    ] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    assert!(
        browser
            .text("document.getElementById('summary').innerText")
            .starts_with("Not complete")
    );
    assert_eq!(browser.misbehaviour(), Vec::<String>::new());
}

#[test]
fn a_violated_archive_exits_4_and_the_page_says_so_first() {
    let case = case();
    let newest = case
        .vault
        .files(&case.vault.archive().join("segments"))
        .pop()
        .unwrap();
    let name = newest.file_name().unwrap().to_string_lossy().into_owned();
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();
    // The quick level does not read the file.
    case.report("damaged-quick.html", &[], 0);
    let page = case.report("damaged.html", &["--level", "full"], 4);
    // And an object whose name attacks the page that lists it.
    let evil = "</script><img src=x onerror=document.title='pwned'>";
    fs::write(case.vault.archive().join(evil.replace('/', "|")), "x").unwrap();
    let mut browser = Browser::start();
    browser.open_report(&page);
    assert!(
        browser
            .text("document.getElementById('summary').innerText")
            .starts_with("Integrity violated")
    );
    let verification = browser.text("document.getElementById('verification').innerText");
    assert!(
        verification.contains("file-hash-differs") && verification.contains(&name),
        "{verification}"
    );

    let manifest = case
        .vault
        .archive()
        .join(format!("manifests/v1/sub_account={SUB}/0000000002.json"));
    fs::write(&manifest, "{}").unwrap();
    let page = case.report("damaged-chain.html", &["--level", "none"], 4);
    browser.open_report(&page);
    let attention = browser.text("document.getElementById('attention').innerText");
    assert!(
        attention.contains(SUB) && attention.contains("failed verification"),
        "{attention}"
    );
    assert!(
        browser
            .text("document.getElementById('summary').innerText")
            .starts_with("Integrity violated")
    );
    let page = case.report("damaged-foreign.html", &[], 4);
    browser.open_report(&page);
    let verification = browser.text("document.getElementById('verification').innerText");
    assert!(
        verification.contains(&evil.replace('/', "|")) && verification.contains("beside-archive"),
        "{verification}"
    );
    assert_eq!(browser.eval("document.querySelectorAll('img').length"), 0);
    assert!(browser.text("document.title").starts_with("Archive report"));
    assert_eq!(browser.misbehaviour(), Vec::<String>::new());
}

#[test]
fn an_earlier_verification_is_shown_if_it_is_of_this_archive() {
    let case = case();
    let found = case.vault.folder.path().join("found.jsonl");
    let done = case
        .vault
        .run(&[
            "verify",
            "--level",
            "deep",
            "--json",
            "--from",
            "2026-11-16",
            "--to",
            "2026-11-21",
        ])
        .expect(3);
    fs::write(&found, &done.stdout).unwrap();
    let found = found.to_str().unwrap();
    let page = case.report("five-days-file.html", &["--verification", found], 0);
    let mut browser = Browser::start();
    browser.open_report(&page);
    let text = browser.text("document.getElementById('verification').innerText");
    for words in [
        "Read from found.jsonl",
        "every row",
        "It covers every head",
        "day-missing",
    ] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    // The chain has grown since.
    let healthy = simulator(40, 0.0);
    let mut vault = case.vault;
    vault.move_to(&healthy);
    vault.run_day("2026-11-19", &[]).expect(0);
    let case = Case { vault, ..case };
    let page = case.report("five-days-later.html", &["--verification", found], 0);
    browser.open_report(&page);
    let text = browser.text("document.getElementById('verification').innerText");
    assert!(text.contains("does not cover the head"), "{text}");

    let out = case.vault.folder.path().join("out.html");
    let out = out.to_str().unwrap();
    let other = done
        .stdout
        .replace(&format!("{SUB}:5:"), &format!("{SUB}:4:"));
    for (text, words) in [
        (other.as_str(), "is not in this archive's chain"),
        ("nonsense", "line 1 is not a JSON object"),
    ] {
        fs::write(found, text).unwrap();
        let refused = case
            .vault
            .run(&["report", "--out", out, "--verification", found])
            .expect(2);
        assert!(refused.stderr.contains(words), "{refused}");
    }
    assert!(
        !fs::exists(out).unwrap(),
        "a refused report leaves nothing behind"
    );
    case.vault
        .run(&[
            "report",
            "--out",
            out,
            "--verification",
            found,
            "--level",
            "full",
        ])
        .expect(2);
}

#[test]
fn nothing_is_overwritten_and_json_reports_it() {
    let case = case();
    let out = case.vault.folder.path().join("report.html");
    let args = ["report", "--out", out.to_str().unwrap(), "--json"];
    let done = case.vault.run(&args).expect(0);
    let event = done.events().pop().unwrap();
    assert_eq!(
        (&event["event"], &event["standing"], &event["exit"]),
        (&json!("report"), &json!("open"), &json!(0))
    );
    let page = fs::read(&out).unwrap();
    assert_eq!(event["bytes"], page.len());
    let again = case.vault.run(&args).expect(2);
    assert!(
        again.stdout.contains("already exists and was not changed"),
        "{again}"
    );
    assert_eq!(fs::read(&out).unwrap(), page);
    let done = case
        .vault
        .run(&["report", "--out", "no/such/folder/report.html"])
        .expect(2);
    assert!(done.stderr.contains("a folder that exists"), "{done}");
    case.vault
        .run(&["report", "--out", "r.html", "--sub-account", "12345"])
        .expect(2);
    case.vault
        .run(&["report", "--out", "r.html", "--from", DAY, "--to", DAY])
        .expect(2);
    assert!(!case.vault.folder.path().join("r.html").exists());

    // A chain that stopped growing is intact up to its end. The page must say that it is not up to
    // date, unless the machine's clock is behind the chain.
    let behind = String::from_utf8(page).unwrap().contains("not up to date");
    assert_eq!(behind, crate::support::vault::days_ago(2).as_str() > DAY);
}

#[test]
fn locks_of_a_bucket_are_shown() {
    let simulator = simulator(20, 0.0);
    let bucket = Bucket::new(minio(), "report", true);
    let mut vault = Vault::new(&simulator);
    bucket.used_by(&mut vault, None);
    vault
        .set("KNOWN_WARNINGS", "low-volume")
        .set("OBJECT_LOCK", "governance:2d");
    vault.run_day(DAY, &[]).expect(0);
    let page = shown("bucket.html");
    let _ = fs::remove_file(&page);
    vault
        .run(&["report", "--out", page.to_str().unwrap()])
        .expect(0);
    let mut browser = Browser::start();
    browser.open_report(&page);
    let lock =
        browser.text("document.querySelector('#chains tbody tr').lastElementChild.innerText");
    let until: jiff::Timestamp = vault_lock(&vault, &bucket).parse().unwrap();
    let until = until.strftime("%-d %b %Y").to_string();
    assert_eq!(lock, format!("GOVERNANCE until {until}"));
}

/// Returns the end of the lock according to the archive's first manifest.
fn vault_lock(vault: &Vault, bucket: &Bucket<'_>) -> String {
    let out = vault.folder.path().join("evidence");
    vault
        .run(&["evidence", "--out", out.to_str().unwrap()])
        .expect(0);
    let manifest = vault
        .files(&out)
        .into_iter()
        .find(|path| path.ends_with("0000000001.json"));
    let manifest = manifest.unwrap_or_else(|| panic!("no manifest of {}", bucket.location()));
    let envelope: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    envelope["manifest"]["object_lock"]["retain_until"]
        .as_str()
        .unwrap()
        .to_owned()
}
