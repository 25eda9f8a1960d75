"""Archives for the engines, written by our binary: an intact one, and a changed copy of it."""

import datetime
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import pyarrow
import pyarrow.fs
import pyarrow.parquet

from services import simulator

SUBS = ["88888888", "99999999"]
PREFIX = "the/archive"
FAULTS = [
    "--segments-per-day=150", "--strange-texts=30", "--no-id=4", "--no-end=4", "--duplicates=15", "--out-of-window=5",
    f"--sub-accounts={','.join(SUBS)}", "--now=2026-11-21T06:00:00Z",
]
# Fixed days give the same archive in every run. They lie before the end of the partition projection, which is today.
LAST_DAY = datetime.date(2026, 11, 20)


def day(days_back):
    """The UTC date that lies `days_back` days before LAST_DAY."""
    return str(LAST_DAY - datetime.timedelta(days_back))


FIRST_DAY = day(9)


def write(cxvault, work, s3, bucket):
    """Writes days with every state, gaps that were filled and segments of two days. The files of the day that was
    disposed of still exist: readers of rows must leave them out because of the chain alone."""
    settings = os.environ | {
        "HOME": str(work), "CXVAULT_ARCHIVE": f"s3://{bucket}/{PREFIX}", "CXVAULT_STATE_DIR": str(work / "state"),
        "CXVAULT_SUB_ACCOUNTS": ",".join(SUBS), "CXVAULT_S3_ENDPOINT": s3.endpoint, "CXVAULT_S3_PATH_STYLE": "true",
        "AWS_ACCESS_KEY_ID": s3.key, "AWS_SECRET_ACCESS_KEY": s3.secret, "AWS_REGION": s3.region,
        "CXVAULT_MAX_ATTEMPTS": "1", "CXVAULT_PART_ROWS": "60", "CXVAULT_KNOWN_WARNINGS": "first-day-empty,low-volume",
        "CXVAULT_SUMMARY_LIMITS": "off", "CXVAULT_DISCOVERY_LIMITS": "off", "CXVAULT_TOKEN_LIMITS": "off",
        "CXVAULT_SIGNING_KEY_FILE": str(work / "signing.key"),
    }
    subprocess.run([cxvault, "keygen", work / "signing.key"], env=settings, check=True, capture_output=True)

    def run(simulated, days, exit_code):
        for days_back in days:
            command = [cxvault, "run", "--quiet", "--date", day(days_back)]
            done = subprocess.run(command, env=settings | simulated, capture_output=True, text=True)
            if done.returncode != exit_code:
                raise SystemExit(f"{command} exited {done.returncode}, not {exit_code}:\n{done.stdout}{done.stderr}")

    with simulator(cxvault, work, *FAULTS, "--permanent-500=2") as broken:
        run(broken, [9, 8, 6, 4], 3)
    with simulator(cxvault, work, *FAULTS) as whole:
        run(whole, [8, 3, 6], 0)
    with simulator(cxvault, work, *FAULTS, "--empty") as nothing:
        run(nothing, [5], 0)
    for sub in SUBS:
        for days_back, *command in [(6, "retention", "dispose"), (9, "acknowledge")]:
            range_ = ["--from", day(days_back), "--to", day(days_back - 1), "--sub-account", sub]
            command = [cxvault, *command, *range_, "--reason", "a test"]
            subprocess.run(command, env=settings, check=True, capture_output=True)


def leave_a_leftover(s3, bucket, local):
    """Copies a part to a number that no manifest lists, as a killed run leaves one."""
    part = sorted(local.glob("segments/v1/*/*/r0001-p0000.parquet"))[0].relative_to(local)
    leftover = part.with_name("r0001-p0009.parquet")
    s3.files().copy_file(f"{bucket}/{PREFIX}/{part}", f"{bucket}/{PREFIX}/{leftover}")
    shutil.copyfile(local / part, local / leftover)
    return str(leftover)


def download(s3, bucket, local):
    pyarrow.fs.copy_files(f"{bucket}/{PREFIX}", str(local), source_filesystem=s3.files())


def upload(s3, local, bucket):
    s3.files().create_dir(bucket)
    pyarrow.fs.copy_files(str(local), f"{bucket}/{PREFIX}", destination_filesystem=s3.files())


def rewrite(path, change):
    """Rewrites a part with another Parquet writer and with other rows."""
    table = pyarrow.parquet.ParquetFile(path).read()
    rows = table.to_pylist()
    change(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), path)


def damage(intact, damaged):
    """Changes a text, a binary text and a status, removes a row, repeats one, and changes the host in a manifest."""
    shutil.copytree(intact, damaged)
    folders = sorted(pathlib.Path(damaged).glob("segments/v1/*/*"))
    with_binary = [part for folder in folders[:-1] for part in folder.glob("r*.parquet") if binaries(part)]

    def change_text(rows):
        next(row for row in rows if row["agent_status"] == "PRESENT")["agent_summary"] += "."

    def change_binary(rows):
        next(row for row in rows if row["auto_status"] == "BINARY")["auto_binary"] = "no base64!"

    def change_status(rows):
        empty = next(row for row in rows if row["auto_status"] == "EMPTY")
        empty["auto_status"], empty["auto_summary"] = "PRESENT", "x"
        empty["auto_sha256"] = hashlib.sha256(b"x").hexdigest()

    def change_rows(rows):
        rows[1] = rows[0]

    rewrite(folders[-1] / "r0001-p0000.parquet", change_text)
    rewrite(with_binary[0], change_binary)
    rewrite(folders[-1] / "r0001-p0001.parquet", change_status)
    rewrite(folders[-2] / "r0001-p0000.parquet", change_rows)
    manifest = sorted(pathlib.Path(damaged).glob(f"manifests/v1/sub_account={SUBS[0]}/*.json"))[1]
    envelope = json.loads(manifest.read_bytes())
    envelope["manifest"]["run"]["host"] = "elsewhere"
    manifest.write_text(json.dumps(envelope, separators=(",", ":"), sort_keys=True))


def binaries(part):
    statuses = pyarrow.parquet.ParquetFile(part).read(columns=["auto_status"]).column(0).to_pylist()
    return "BINARY" in statuses
