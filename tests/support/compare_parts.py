"""Recomputes what manifests say about their parts, with DuckDB and with PyArrow, without any code of the writer.

    compare_parts.py ARCHIVE

prints how many values were compared, or ends with the ones that differ.
"""

import base64
import collections
import hashlib
import json
import pathlib
import sys

import duckdb
import pyarrow
import pyarrow.parquet

STATUSES = ("PRESENT", "EMPTY", "NOT_FOUND", "BINARY", "FAILED", "SKIPPED", "NO_ID")
KINDS = ("agent", "auto")
COLUMNS = pathlib.Path(__file__).parents[2] / "schemas" / "segments.v1.txt"
compared, differing = 0, []


def same(what, said, found):
    global compared
    compared += 1
    if said != found:
        differing.append(f"{what}: the manifest says {said!r}, found {found!r}")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def merkle(rows):
    """RFC 6962's root over the leaves that the format document defines, bottom up."""
    leaves = [{name: value for name, value in row.items() if value is not None} for row in rows]
    texts = [json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False) for leaf in leaves]
    level = [hashlib.sha256(b"\0" + text.encode()).digest() for text in texts]
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2])]
        level = pairs + (level[-1:] if len(level) % 2 else [])
    return level[0].hex()


def instant(millis):
    """As manifests write it."""
    if millis is None:
        return None
    return duckdb.execute("SELECT strftime(make_timestamp_ms(?), '%Y-%m-%dT%H:%M:%S.%gZ')", [millis]).fetchone()[0]


class Arrow:
    """Columns by PyArrow, everything else in Python."""

    name = "PyArrow"

    def __init__(self, path):
        file = pyarrow.parquet.ParquetFile(path)
        self.count = file.metadata.num_rows
        table = file.read()
        self.columns = [(field.name, str(field.type), field.nullable) for field in table.schema]
        instants = [field.name for field in table.schema if pyarrow.types.is_timestamp(field.type)]
        for name in instants:
            at = table.schema.get_field_index(name)
            table = table.set_column(at, name, table.column(name).cast(pyarrow.int64()))
        self.rows = table.to_pylist()

    def wrong_hashes(self, kind):
        wrong = 0
        for row in self.rows:
            text, binary = row[f"{kind}_summary"], row[f"{kind}_binary"]
            body = text.encode() if text is not None else base64.b64decode(binary) if binary is not None else None
            wrong += row[f"{kind}_sha256"] != (None if body is None else sha256(body))
        return wrong

    def statuses(self, kind):
        return collections.Counter(row[f"{kind}_status"] for row in self.rows)

    def number(self, column):
        return sum(row[column] for row in self.rows)

    def ends(self):
        ends = [row["segment_end_time"] for row in self.rows if row["segment_end_time"] is not None]
        return (min(ends), max(ends)) if ends else (None, None)

    def failures(self):
        return collections.Counter(row[f"{kind}_error"] for kind in KINDS for row in self.rows if row[f"{kind}_error"])

    def keys(self):
        return len({row["segment_id"] or "sha256:" + sha256(row["segment_json"].encode()) for row in self.rows})


class Duck:
    """Everything in SQL."""

    name = "DuckDB"

    def __init__(self, path):
        self.sql = duckdb.connect()
        self.sql.execute(f"CREATE VIEW part AS FROM read_parquet('{path}', hive_partitioning = false)")
        self.count = self.one(f"SELECT num_rows FROM parquet_file_metadata('{path}')")
        kinds = {"VARCHAR": "string", "BIGINT": "int64", "BOOLEAN": "bool", "TIMESTAMP WITH TIME ZONE": "timestamp[ms, tz=UTC]"}
        described = self.sql.execute("DESCRIBE part").fetchall()
        needed = f"SELECT name, repetition_type = 'OPTIONAL' FROM parquet_schema('{path}') WHERE type IS NOT NULL"
        optional = dict(self.sql.execute(needed).fetchall())
        self.columns = [(name, kinds[kind], optional[name]) for name, kind, *_ in described]

    def one(self, query):
        return self.sql.execute(query).fetchone()[0]

    def wrong_hashes(self, kind):
        body = f"coalesce(sha256({kind}_summary), sha256(from_base64({kind}_binary)))"
        return self.one(f"SELECT count(*) FROM part WHERE {body} IS DISTINCT FROM {kind}_sha256")

    def statuses(self, kind):
        return dict(self.sql.execute(f"SELECT {kind}_status, count(*) FROM part GROUP BY ALL").fetchall())

    def number(self, column):
        return self.one(f"SELECT count(*) FILTER ({column}) FROM part")

    def ends(self):
        return self.sql.execute("SELECT min(epoch_ms(segment_end_time)), max(epoch_ms(segment_end_time)) FROM part").fetchone()

    def failures(self):
        both = " UNION ALL ".join(f"SELECT {kind}_error AS class FROM part" for kind in KINDS)
        return dict(self.sql.execute(f"SELECT class, count(*) FROM ({both}) WHERE class IS NOT NULL GROUP BY ALL").fetchall())

    def keys(self):
        return self.one("SELECT count(DISTINCT coalesce(nullif(segment_id, ''), 'sha256:' || sha256(segment_json))) FROM part")


def promised_columns():
    kinds = {"string": "string", "int64": "int64", "boolean": "bool", "timestamp[ms, UTC]": "timestamp[ms, tz=UTC]"}
    for line in COLUMNS.read_text().splitlines():
        name, rest = line.split(maxsplit=1)
        kind, null = rest.rsplit(maxsplit=1)
        yield name, kinds[kind.strip()], null == "nullable"


def compare(manifest, files, readers):
    """One reader's findings against one manifest."""
    name = f"{manifest['key']}, by {readers[0].name if readers else 'no reader'}"
    counts = manifest["rows"]
    for file, part in zip(files, readers):
        same(f"{name}: rows of {file['key']}", file["rows"], part.count)
        same(f"{name}: ends of {file['key']}", (file["min_segment_end"], file["max_segment_end"]), tuple(map(instant, part.ends())))
        if isinstance(part, Arrow):
            same(f"{name}: Merkle root of {file['key']}", file["merkle_root"], merkle(part.rows))
        same(f"{name}: columns", list(promised_columns()), part.columns)
    total = lambda of: sum(map(of, readers))
    same(f"{name}: segments", counts["segments"], total(lambda part: part.count))
    same(f"{name}: different segments", counts["segments"], total(lambda part: part.keys()))
    for column in ("out_of_day", "vanished"):
        same(f"{name}: {column}", counts[column], total(lambda part: part.number(column)))
    for kind in KINDS:
        same(f"{name}: {kind} hashes that differ", 0, total(lambda part: part.wrong_hashes(kind)))
        for status in STATUSES:
            same(f"{name}: {kind} {status}", counts[kind][status], total(lambda part: part.statuses(kind).get(status, 0)))
    failures = collections.Counter()
    for part in readers:
        failures.update(part.failures())
    same(f"{name}: failures", manifest["failures"], dict(failures))


def main(archive):
    root = pathlib.Path(archive)
    records = [json.loads(path.read_bytes())["manifest"] for path in sorted(root.glob("manifests/v1/*/*.json"))]
    gone = {(record["sub_account"], day["date"]) for record in records if record["kind"] == "disposal" for day in record["days"]}
    days = [record for record in records if record["kind"] == "day"]
    for manifest in (day for day in days if (day["sub_account"], day["date"]) not in gone):
        files = manifest["files"]
        for file in files:
            data = (root / file["key"]).read_bytes()
            same(f"{file['key']}: bytes", file["bytes"], len(data))
            same(f"{file['key']}: SHA-256", file["sha256"], sha256(data))
            same(f"{file['key']}: columns", file["schema_sha256"], sha256(COLUMNS.read_bytes()))
        for reader in (Arrow, Duck):
            compare(manifest, files, [reader(root / file["key"]) for file in files])
    if differing:
        sys.exit("\n".join(differing))
    print(compared, "values compared")


main(*sys.argv[1:])
