//! What leaves the archive: exports that hold the same as the archive, and evidence packs that can
//! be verified without cxvault.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::bucket::Bucket;
use crate::support::minio::minio;
use crate::support::python::path_with_duckdb;
use crate::support::vault::{DAY, SUB, Simulator, Vault, options};
use serde_json::Value;

const EVE: &str = "2026-11-19";

fn simulator(permanent_500: f64) -> Simulator {
    let mut options = options();
    options.segments_per_day = 30;
    options.faults.strange_texts = 0.5;
    options.faults.duplicates = 0.1;
    options.faults.permanent_500 = permanent_500;
    Simulator::start(options)
}

/// Two signed days, the second with gaps that a second revision has filled, and an allowed_signers
/// file.
fn vault() -> (Vault, String) {
    let (healthy, failing) = (simulator(0.0), simulator(0.05));
    let mut vault = Vault::new(&failing);
    vault
        .set("KNOWN_WARNINGS", "low-volume")
        .set("MAX_ATTEMPTS", "1")
        .set("PART_ROWS", "12");
    let signers = sign(&mut vault);
    vault.move_to(&healthy);
    vault.run_day(EVE, &[]).expect(0);
    vault.move_to(&failing);
    vault.run_day(DAY, &[]).expect(3);
    vault.move_to(&healthy);
    vault.run_day(DAY, &[]).expect(0);
    (vault, signers)
}

fn sign(vault: &mut Vault) -> String {
    let key = vault.folder.path().join("key");
    let line = vault
        .run(&["keygen", key.to_str().unwrap(), "--quiet"])
        .expect(0)
        .stdout;
    vault.set("SIGNING_KEY_FILE", key.to_str().unwrap());
    let signers = vault.folder.path().join("allowed_signers");
    fs::write(&signers, line).unwrap();
    signers.to_str().unwrap().to_owned()
}

fn sh(folder: &Path, script: &str) -> (bool, String) {
    let mut shell = Command::new("sh");
    // A machine without cxvault.
    shell
        .env_clear()
        .env("PATH", path_with_duckdb())
        .env("HOME", folder)
        .current_dir(folder);
    let done = shell.args(["-euc", script]).output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    (done.status.success(), said)
}

fn check(pack: &Path) -> (bool, String) {
    sh(Path::new("/"), &format!("sh '{}/check.sh'", pack.display()))
}

fn rows(vault: &Vault, more: &[&str], out: &str) -> Vec<Value> {
    let folder = vault.folder.path().join(out);
    let args = [
        &[
            "export",
            "--format",
            "jsonl",
            "--out",
            folder.to_str().unwrap(),
        ],
        more,
    ]
    .concat();
    vault.run(&args).expect(0);
    let sums = sh(&folder, "sha256sum --quiet -c SHA256SUMS");
    assert!(sums.0, "{}", sums.1);
    let data = folder.join(format!("data/{SUB}/2026-11.jsonl"));
    let text = fs::read_to_string(data).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_format_says_the_same_as_the_archive() {
    let (vault, _) = vault();
    let current = rows(&vault, &[], "current");
    let all = rows(&vault, &["--revisions", "all"], "all");
    let newest = vault.newest(SUB);
    let of_day =
        |rows: &[Value], date: &str| rows.iter().filter(|row| row["dt"] == date).count() as u64;
    assert_eq!(
        of_day(&current, DAY),
        newest["day"]["segments"].as_u64().unwrap()
    );
    assert_eq!(
        of_day(&all, DAY),
        of_day(&current, DAY) + newest["rows"]["segments"].as_u64().unwrap()
    );
    assert!(
        current
            .iter()
            .all(|row| row["agent_status"] != "FAILED" && row["auto_status"] != "FAILED")
    );
    let folder = |name: &str| vault.folder.path().join(name);
    for format in ["csv", "parquet", "html"] {
        vault
            .run(&[
                "export",
                "--format",
                format,
                "--out",
                folder(format).to_str().unwrap(),
            ])
            .expect(0);
        vault
            .run(&[
                "export",
                "--format",
                format,
                "--out",
                folder(format).to_str().unwrap(),
            ])
            .expect(2);
    }
    let script = format!(
        "python3 - <<'END'
import csv, json, duckdb
lines = [json.loads(line) for line in open('current/data/{SUB}/2026-11.jsonl', encoding='utf-8')]
key = lambda row: (row['dt'], row['segment_id'] or '', row['segment_json'])
table = list(csv.DictReader(open('csv/data/{SUB}/2026-11.csv', encoding='utf-8-sig', newline='')))
assert len(table) == len(lines) > 50
def text(value):
    if value is None: return ''
    if isinstance(value, bool): return 'true' if value else 'false'
    return str(value)
for line, row in zip(sorted(lines, key=key), sorted(table, key=lambda row: (row['dt'], row['segment_id'], row['segment_json']))):
    for name, value in line.items():
        shown, found = text(value), row[name]
        if isinstance(value, str) and value[:1] in ('=', '+', '-', '@', '\\t', '\\r', '\\n') and value[:1]:
            assert found == \"'\" + shown, name
        else:
            assert found == shown, (name, found, shown)
found = duckdb.sql(\"SELECT dt, segment_json, agent_summary, auto_sha256 FROM 'parquet/data/{SUB}/2026-11.parquet'\").fetchall()
said = [(row['dt'], row['segment_json'], row['agent_summary'], row['auto_sha256']) for row in lines]
order = lambda row: tuple(value or '' for value in row)
assert sorted(found, key=order) == sorted(said, key=order)
END"
    );
    let compared = sh(vault.folder.path(), &script);
    assert!(compared.0, "{}", compared.1);
    let page = fs::read_to_string(folder("html").join(format!("data/{SUB}/{DAY}.html"))).unwrap();
    assert_eq!(
        page.matches("<tr><td>").count() as u64,
        of_day(&current, DAY)
    );
    assert!(
        !page.contains("<script") && !page.contains("http"),
        "nothing comes from outside"
    );
}

#[test]
fn feeds_of_what_is_new_add_up_to_everything() {
    let (vault, _) = vault();
    let all = rows(&vault, &["--revisions", "all"], "all").len();
    let after = |sequence: u64| {
        let after = format!("{SUB}={sequence}");
        rows(
            &vault,
            &["--revisions", "all", "--after", &after],
            &format!("after-{sequence}"),
        )
        .len()
    };
    let manifests = vault.manifests(SUB);
    let of = |n: usize| {
        manifests[n]["manifest"]["rows"]["segments"]
            .as_u64()
            .unwrap() as usize
    };
    assert_eq!(
        (after(0), after(1), after(2), after(3)),
        (all, of(1) + of(2), of(2), 0)
    );
}

/// Makes the check sums agree with the damage, so that only the layer below can detect it.
const RESUM: &str = "find . -type f ! -path ./SHA256SUMS | sed 's|^./||' | sort | xargs -d '\\n' sha256sum > SHA256SUMS";

/// Rewrites one Parquet file with `change` applied to its table, and what its manifest says about
/// its bytes.
fn rewritten(change: &str) -> String {
    format!(
        "chmod -R u+w . && python3 - <<'END'
import glob, pyarrow.parquet as pq, pyarrow as pa, pyarrow.compute as pc
path = sorted(glob.glob('segments/v1/*/*/*.parquet'))[0]
table = pq.read_table(path, partitioning=None)
{change}
pq.write_table(table, path)
END
"
    )
}

fn set_column(name: &str, value: &str) -> String {
    rewritten(&format!(
        "values = table.column('{name}').to_pylist()
values[0] = {value}
table = table.set_column(table.schema.get_field_index('{name}'), table.schema.field('{name}'), pa.array(values, table.schema.field('{name}').type))"
    ))
}

/// Changes one manifest by a jq expression, in canonical form, together with the chain after it and
/// heads.txt: what an attacker without the key can do.
fn manifest(number: u32, change: &str) -> String {
    format!(
        "chmod -R u+w . && cd manifests/v1/sub_account={SUB} && f=000000000{number}.json && jq -jcS '{change}' $f > n && mv n $f
before=$(sha256sum < $f | cut -d' ' -f1); n={number}
while [ -f $(printf '%010d.json' $((n+1))) ]; do n=$((n+1)); f=$(printf '%010d.json' $n)
jq -jcS --arg b $before '.manifest.previous.sha256 = $b' $f > n && mv n $f; before=$(sha256sum < $f | cut -d' ' -f1); done
{{ echo {SUB}:$n:$before; grep ^roster: ../../../heads.txt; }} > n; mv n ../../../heads.txt; cd ../../..
"
    )
}

/// The manifests name the new bytes of the file.
fn relisted() -> String {
    "f=$(ls segments/v1/*/*/*.parquet | head -1); s=$(sha256sum < $f | cut -d' ' -f1)\n".to_owned()
        + &manifest(1, "(.manifest.files[0].sha256) = \"'$s'\"")
}

#[test]
fn a_pack_checks_itself_without_our_binary_and_finds_each_damage() {
    let (vault, signers) = vault();
    let pack = vault.folder.path().join("pack");
    let out = pack.to_str().unwrap().to_owned();
    vault
        .run(&["evidence", "--out", &out, "--allowed-signers", &signers])
        .expect(0);
    vault.run(&["evidence", "--out", &out]).expect(2);
    let (holds, said) = check(&pack);
    assert!(
        holds
            && said.contains("ALL CHECKS PASSED, by keys that came with this folder")
            && !said.contains("error"),
        "{said}"
    );
    let chain =
        format!("manifests/v1/sub_account={SUB}/ has 3 records without a gap, 3 of them signed");
    assert!(said.contains(&chain), "{said}");
    assert!(
        said.contains("roster/v1/ has 3 records without a gap, 3 of them signed"),
        "{said}"
    );
    assert!(
        said.contains("ok    roster: each chain contains every head that the roster names of it"),
        "{said}"
    );

    let m = format!("manifests/v1/sub_account={SUB}");
    let part = "$(ls segments/v1/*/*/*.parquet | head -1)";
    let unsigned = format!(
        "chmod -R u+w . && {{ {}}}\n",
        manifest(1, ".manifest.day.segments += 0")
    );
    let cases: Vec<(&str, String, bool, &str)> = vec![
        (
            "a byte of a part",
            format!("chmod u+w {part}; printf x | dd of={part} bs=1 seek=3000 conv=notrunc"),
            false,
            "sums:",
        ),
        (
            "a byte, sums adapted",
            format!("chmod u+w {part}; printf x | dd of={part} bs=1 seek=3000 conv=notrunc"),
            true,
            "files:",
        ),
        ("a part removed", format!("rm -f {part}"), true, "files:"),
        (
            "a part added",
            format!("cp {part} segments/v1/sub_account={SUB}/dt={DAY}/r0001-p0099.parquet"),
            true,
            "files:",
        ),
        ("a file added", "echo x > note".into(), false, "sums:"),
        ("a manifest removed from the middle", format!("rm -f {m}/0000000002.json"), true, "chain:"),
        ("the end cut off", format!("rm -f {m}/0000000003.json"), true, "chain: the head"),
        (
            "the end cut off, and the head adapted",
            format!(
                "chmod -R u+w . && rm -f {m}/0000000003.json && {{ echo {SUB}:2:$(sha256sum < {m}/0000000002.json | cut -d' ' -f1); \
                 grep ^roster: heads.txt; }} > n; mv n heads.txt"
            ),
            true,
            "roster: ",
        ),
        (
            "the roster's end cut off",
            "rm -f roster/v1/0000000003.json".into(),
            true,
            "chain: the head of roster/v1/",
        ),
        ("all of the roster removed", "rm -rf roster".into(), true, "chain: roster/v1/0000000001.json is missing"),
        (
            "a record of the roster changed",
            "chmod -R u+w . && jq -jcS '.manifest.place = \"x\"' roster/v1/0000000001.json > n && mv n roster/v1/0000000001.json"
                .into(),
            true,
            "signature: the signature of roster/v1/0000000001.json",
        ),
        (
            "a manifest re-serialised",
            format!("chmod u+w {m}/*; jq . {m}/0000000002.json > n; mv n {m}/0000000002.json"),
            true,
            "canonical",
        ),
        (
            "another previous",
            manifest(3, ".manifest.previous.sha256 = (\"0\" * 64)"),
            true,
            "does not name the manifest before it",
        ),
        ("another key", manifest(1, ".manifest.key = \"x\""), true, "not at the path that it names"),
        ("another number", manifest(2, ".manifest.sequence = 7"), true, "does not have the number 2"),
        ("another archive", manifest(2, ".manifest.archive_id = \"x\""), true, "another archive"),
        ("a count", manifest(1, ".manifest.rows.agent.PRESENT += 1"), true, "counts:"),
        ("a window left out", manifest(1, "del(.manifest.discovery.windows[3])"), true, "windows:"),
        (
            "asked too early",
            manifest(1, ".manifest.discovery.windows[0].server_date = \"2026-11-19T00:00:00.000Z\""),
            true,
            "windows:",
        ),
        (
            "a consistent change without the key",
            unsigned + &manifest(2, ".manifest.run.host = \"x\""),
            true,
            "signature:",
        ),
        ("a signature left out", manifest(3, ".signature = null"), true, "is not signed"),
        (
            "a signature exchanged",
            format!(
                "chmod u+w {m}/*; s=$(jq .signature {m}/0000000001.json); jq -jcS --argjson s \"$s\" '.signature = $s' {m}/0000000003.json > n; mv n {m}/0000000003.json"
            ),
            true,
            "signature:",
        ),
        (
            "a text",
            set_column(
                "agent_summary",
                "'forged' if values[0] is not None else values[0]; values = ['forged' if v else v for v in values]",
            ) + &relisted(),
            true,
            "rows: each summary",
        ),
        (
            "a hash",
            set_column("auto_sha256", "values[0]; values = ['0' * 64 if v else v for v in values]")
                + &relisted(),
            true,
            "rows: each summary",
        ),
        (
            "a status",
            set_column("agent_status", "'NOT_FOUND' if values[0] != 'NOT_FOUND' else 'PRESENT'")
                + &relisted(),
            true,
            "rows:",
        ),
        ("a row removed", rewritten("table = table.slice(1)") + &relisted(), true, "rows: there are as many rows"),
        (
            "a row repeated",
            rewritten("table = pa.concat_tables([table.slice(0, 1), table])") + &relisted(),
            true,
            "rows: no segment",
        ),
    ];
    for (name, damage, resum, finding) in cases {
        let copy = vault.folder.path().join("damaged");
        let made = sh(
            vault.folder.path(),
            &format!(
                "rm -rf damaged && cp -r pack damaged && cd damaged\n{damage}\n{}",
                if resum { RESUM } else { "" }
            ),
        );
        assert!(made.0, "{name}: {}", made.1);
        let (holds, said) = check(&copy);
        let found = said
            .lines()
            .any(|line| line.starts_with("FAIL") && line.contains(finding));
        assert!(
            !holds && found,
            "{name}: expected a failure with `{finding}`\n{said}"
        );
    }
}

#[test]
fn evidence_of_an_unsigned_bucket_and_of_a_part_of_its_days() {
    let simulator = simulator(0.0);
    let bucket = Bucket::new(minio(), "evidence", true);
    let mut vault = Vault::new(&simulator);
    bucket.used_by(&mut vault, None);
    vault.set("KNOWN_WARNINGS", "low-volume");
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    let pack: PathBuf = vault.folder.path().join("pack");
    vault
        .run(&["evidence", "--from", DAY, "--out", pack.to_str().unwrap()])
        .expect(0);
    let (holds, said) = check(&pack);
    assert!(
        holds && said.contains("ALL CHECKS PASSED, but nothing is signed"),
        "{said}"
    );
    assert!(
        !pack
            .join(format!("segments/v1/sub_account={SUB}/dt={EVE}"))
            .exists()
    );
    assert_eq!(
        fs::read_dir(pack.join(format!("manifests/v1/sub_account={SUB}")))
            .unwrap()
            .count(),
        2
    );
}
