"""Reads a sub-account's chain and rows as schemas/FORMAT.md describes them, without any code of the writer.

    read_archive.py ARCHIVE SUB_ACCOUNT DATE

prints one JSON line for each segment of the day, as it is current. What contradicts the format ends it with an error.
"""

import base64
import datetime
import hashlib
import json
import pathlib
import re
import sys

import duckdb
import pyarrow.parquet

ANSWERS = {"PRESENT", "EMPTY", "NOT_FOUND", "BINARY"}
STATUSES = ANSWERS | {"FAILED", "SKIPPED", "NO_ID"}
KINDS = ("agent", "auto")


def must(condition, *what):
    if not condition:
        sys.exit("against the format: " + " ".join(map(str, what)))


def canonical(value):
    """RFC 8785 for what manifests may hold: ASCII names, integers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def chain(root, sub):
    folder = root / "manifests" / "v1" / f"sub_account={sub}"
    names = sorted(path.name for path in folder.iterdir())
    must(names == [f"{n:010}.json" for n in range(1, len(names) + 1)], "numbers", names)
    previous, record = None, json.loads((root / "archive.json").read_bytes())
    for sequence, name in enumerate(names, 1):
        data = (folder / name).read_bytes()
        envelope = json.loads(data)
        manifest = envelope["manifest"]
        must(canonical(envelope) == data, name, "is not canonical")
        key = f"manifests/v1/sub_account={sub}/{name}"
        must(manifest["key"] == key and manifest["sequence"] == sequence, key, "names another place")
        must(manifest["archive_id"] == record["archive_id"], key, "is of another archive")
        must(manifest["previous"] == previous, key, "does not follow its predecessor")
        previous = {"key": key, "sha256": sha256(data)}
        yield manifest


def merkle(leaves):
    """RFC 6962, bottom up."""
    if not leaves:
        return sha256(b"")
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2])]
        level = pairs + (level[-1:] if len(level) % 2 else [])
    return level[0].hex()


def millis(value):
    if isinstance(value, datetime.datetime):
        return round((value - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)).total_seconds() * 1000)
    return value


def check_file(path, file):
    data = path.read_bytes()
    must(len(data) == file["bytes"] and sha256(data) == file["sha256"], path, "has other bytes")
    rows = [
        {column: millis(value) for column, value in row.items() if value is not None}
        for row in pyarrow.parquet.ParquetFile(path).read().to_pylist()
    ]
    must(len(rows) == file["rows"], path, "has other rows")
    must(merkle([canonical(row) for row in rows]) == file["merkle_root"], path, "has another Merkle root")
    ends = [row["segment_end_time"] for row in rows if "segment_end_time" in row]
    places = [(row.get("segment_end_time", -(2**63)), key_of(row).encode()) for row in rows]
    must(places == sorted(set(places)), path, "is not sorted")
    return ends


def key_of(row):
    return row.get("segment_id") or "sha256:" + sha256(row["segment_json"].encode())


def rows_of(root, files):
    """Read with DuckDB, as an auditor would."""
    if not files:
        return []
    paths = [str(root / file["key"]) for file in files]
    reader = duckdb.connect()
    reader.execute("SET TimeZone = 'UTC'")
    # Instants as integers, so that no client's zone can move them.
    columns = reader.execute("DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [paths]).fetchall()
    shown = [f"epoch_ms({name}) AS {name}" if "TIMESTAMP" in kind else name for name, kind, *_ in columns]
    found = reader.execute(f"SELECT {', '.join(shown)} FROM read_parquet(?, hive_partitioning = false)", [paths])
    names = [column[0] for column in found.description]
    return [dict(zip(names, values)) for values in found.fetchall()]


def body_of(row, kind):
    """Returns the bytes of the body of a 200; None where there was none."""
    status, text, binary = (row[f"{kind}_{column}"] for column in ("status", "summary", "binary"))
    must(status in STATUSES, "status", status)
    must((text is not None) == (status in ("PRESENT", "EMPTY")), key_of(row), kind, status, "summary")
    must((binary is not None) == (status == "BINARY"), key_of(row), kind, status, "binary")
    must(not text if status == "EMPTY" else text != "", key_of(row), kind, status, "empty")
    body = text.encode() if text is not None else base64.b64decode(binary, validate=True) if binary else None
    must(row[f"{kind}_sha256"] == (None if body is None else sha256(body)), key_of(row), kind, "sha256")
    # A 200 whose body exceeds the limit counts as failed.
    must(body is None or row[f"{kind}_http_status"] == 200, key_of(row), kind, "http_status")
    must((row[f"{kind}_fetched_at"] is not None) == (status in ANSWERS), key_of(row), kind, "fetched_at")
    must((row[f"{kind}_error"] is not None) == (status == "FAILED"), key_of(row), kind, "error")
    must((row[f"{kind}_attempts"] == 0) == (status in ("SKIPPED", "NO_ID")), key_of(row), kind, "attempts")
    return body


def observation(row, kind):
    body = body_of(row, kind)
    columns = ("status", "sha256", "http_status", "content_type", "fetched_at", "attempts", "error")
    found = {column: row[f"{kind}_{column}"] for column in columns}
    found["body_base64"] = None if body is None else base64.b64encode(body).decode()
    found["revision"] = row["revision"]
    return found


def later(current, found):
    """The answer that was fetched last; only where there is none, the observation of the latest revision."""
    answered = [one["status"] in ANSWERS for one in (current, found)]
    if answered == [True, True]:
        return found if found["fetched_at"] > current["fetched_at"] else current
    return current if answered == [True, False] else found


def tally(statuses):
    counts = {status: 0 for status in STATUSES}
    for status in statuses:
        counts[status] += 1
    return counts


def check_tally(said, rows, what):
    must(said["segments"] == len(rows), what, "segments", said["segments"], len(rows))
    must(said["out_of_day"] == sum(row["out_of_day"] for row in rows), what, "out_of_day")
    for kind in KINDS:
        must(said[kind] == tally(row[kind]["status"] for row in rows), what, kind)


def main(root, sub, date):
    root, current, listed, revision = pathlib.Path(root), {}, set(), 0
    for manifest in chain(root, sub):
        if manifest["kind"] != "day" or manifest["date"] != date:
            continue
        revision += 1
        must(manifest["revision"] == revision, manifest["key"], "is not revision", revision)
        for file in manifest["files"]:
            place = rf"segments/v1/sub_account={sub}/dt={date}/r{revision:04}-p\d{{4,}}\.parquet"
            must(re.fullmatch(place, file["key"]) and file["key"] not in listed, "the key", file["key"])
            listed.add(file["key"])
            ends = check_file(root / file["key"], file)
            said = [file["min_segment_end"], file["max_segment_end"]]
            must(len(ends) > 0 or said == [None, None], file["key"], "ends")
        seen = []
        for row in rows_of(root, manifest["files"]):
            must(row["revision"] == revision, "a row of revision", row["revision"], "in", revision)
            key = key_of(row)
            found = {kind: observation(row, kind) for kind in KINDS}
            found |= {column: row[column] for column in ("segment_json", "other_answers_json", "out_of_day", "vanished")}
            found |= {"key": key, "revisions": [revision]}
            seen.append(found)
            if before := current.get(key):
                found = found | {kind: later(before[kind], found[kind]) for kind in KINDS}
                found["revisions"] = before["revisions"] + [revision]
            current[key] = found
        must(len({row["key"] for row in seen}) == len(seen), "revision", revision, "repeats a key")
        check_tally(manifest["rows"], seen, f"rows of {manifest['key']}")
        check_tally(manifest["day"], list(current.values()), f"day of {manifest['key']}")
    stored = {str(path.relative_to(root)) for path in root.glob(f"segments/v1/sub_account={sub}/dt={date}/*")}
    must(stored == listed, "objects that no manifest lists, or that are missing:", stored ^ listed)
    for row in current.values():
        print(json.dumps(row))


main(*sys.argv[1:])
