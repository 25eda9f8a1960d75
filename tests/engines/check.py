"""Reads archives of cxvault with the engines that auditors use: Trino (Athena's engine), Spark, pandas, DuckDB.

    check.py WORK CXVAULT MINIO TRINO_HOME

Called by `run`, which gets these and cleans up. Ends with an error at the first thing that is not as it must be.
"""

import pathlib
import signal
import sys
import time

import trino.dbapi
import trino.exceptions

import archives
import athena
import libraries
import services

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
import duckdb_views

BUCKET, DAMAGED, METASTORE = "intact", "damaged", "metastore"
BEGAN = time.monotonic()


def say(what):
    print(f"{time.monotonic() - BEGAN:6.1f} s  {what}", flush=True)


def must(condition, *what):
    if not condition:
        raise SystemExit("not as it must be: " + " ".join(map(str, what)))


def same(what, found, expected):
    """Compares rows in any order; there must be some."""
    found, expected = sorted(map(repr, found)), sorted(map(repr, expected))
    must(expected, what, "compares nothing")
    if found != expected:
        unlike = next((pair for pair in zip(found, expected) if pair[0] != pair[1]), ("", ""))
        shown = "\n".join(row[:3000] for row in unlike)
        must(False, f"{what}: {len(found)} rows for {len(expected)}, the first one unlike\n{shown}")


class Trino:
    def __init__(self, port, schema):
        session = {"host": "127.0.0.1", "port": port, "user": "auditor", "catalog": "archive", "schema": schema}
        self.connection = trino.dbapi.connect(**session, timezone="America/New_York")

    def ask(self, query):
        cursor = self.connection.cursor()
        return [list(row) for row in cursor.execute(query).fetchall()]

    def columns(self, view):
        return [(name, kind) for name, kind, *_ in self.ask(f"DESCRIBE {view}")]

    def rows(self, view, columns):
        """Instants as milliseconds, so that no client's zone can move them."""
        kinds = dict(self.columns(view))
        instant = "date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', {0})"
        return self.ask(f"SELECT {shown(columns, kinds, instant)} FROM {view}")

    def open(self, place):
        """Runs every statement of athena.sql, with the tables in Trino's syntax."""
        self.ask(f"CREATE SCHEMA {self.connection.schema}")
        for statement in athena.statements(place, archives.SUBS, archives.FIRST_DAY):
            tree = athena.parsed(statement)
            self.ask(athena.trino_table(tree) if athena.is_table(tree) else statement)


def shown(columns, kinds, instant):
    return ", ".join(instant.format(name) if "timestamp" in kinds[name].lower() else name for name in columns)


def duckdb_rows(session, view, columns):
    kinds = {name: kind for name, kind, *_ in session.execute(f"DESCRIBE {view}").fetchall()}
    found = session.execute(f"SELECT {shown(columns, kinds, 'epoch_ms({0})')} FROM {view}").fetchall()
    return [list(row) for row in found]


# `path` is where Athena found a row, and the JSON of a manifest is text there.
VIEWS = {
    "manifests": {"json"}, "coverage": set(), "files": set(), "audited_rows": {"path"}, "leftovers": set(),
    "current_segments": {"path"}, "current_answers": set(), "recomputed": set(), "verified": set(),
    "committed_files": set(), "disposals": set(), "acknowledgements": set(),
}


def check_intact(ours, theirs, leftover):
    for view, but in VIEWS.items():
        columns = [name for name, _ in ours.columns(view) if name not in but]
        same(view, ours.rows(view, columns), duckdb_rows(theirs, view, columns))
    must(ours.ask("SELECT * FROM leftovers") == [[leftover]], "leftovers")
    bare, audited = (ours.ask(f"SELECT count(*) FROM {view}")[0][0] for view in ("all_rows", "audited_rows"))
    must(bare > audited, "the leftover's rows are not to be seen in a bare scan")
    findings = ours.ask("SELECT * FROM findings")
    must(findings == [], findings[:5])
    states = {state for (state,) in ours.ask("SELECT state FROM coverage")}
    must(states == {"complete", "empty", "gaps", "acknowledged", "missing", "disposed"}, states)
    left = [ours.ask(f"SELECT count(*) FROM {view} WHERE dt = '{archives.day(6)}'")[0][0] for view in
            ("committed_files", "files", "audited_rows")]
    must(left[0] > 0 and left[1:] == [0, 0], "files and rows of a day that was disposed of", left)
    repeats = "SELECT count(*) FROM (SELECT segment_key FROM audited_rows GROUP BY 1 HAVING count(DISTINCT dt) > 1)"
    must(ours.ask(repeats)[0][0] > 0, "no segment of two days: the test looks at too little")
    statuses = {status for (status,) in ours.ask("SELECT DISTINCT status FROM recomputed")}
    must({"PRESENT", "EMPTY", "NOT_FOUND", "BINARY", "FAILED", "NO_ID"} <= statuses, statuses)
    counted = ours.ask("SELECT * FROM verified")[0]
    names = ("chains", "manifests", "files", "bytes", "rows", "hashes")
    say("Trino: " + ", ".join(f"{count} {name}" for count, name in zip(counted, names)) + ": all hold")


def check_damaged(ours, theirs):
    # Only DuckDB checks whole files and the roster.
    both = theirs.execute(
        "SELECT finding, object, what FROM findings"
        " WHERE (finding NOT LIKE 'file-%' OR finding = 'file-of-another-day') AND finding NOT LIKE 'roster-%'"
    ).fetchall()
    found = ours.ask("SELECT finding, object, what FROM findings")
    same("findings", [list(row) for row in found], [list(row) for row in both])
    kinds = {finding for finding, *_ in found}
    wanted = {"hash-differs", "count-differs", "segment-repeats", "previous-differs"}
    must(kinds == wanted, kinds)
    hashes = ours.ask("SELECT count(*) FROM hash_findings")[0][0]
    must(hashes == 2, hashes, "changed texts found, not 2")
    files = theirs.execute("SELECT count(*) FROM file_findings").fetchone()[0]
    must(files == 4, files, "changed files found, not 4")
    heads = theirs.execute("SELECT count(*) FROM roster_findings WHERE finding = 'roster-head'").fetchone()[0]
    must(heads == 1, heads, "manifests found that are not those that the roster has seen, not 1")
    say(f"Trino and DuckDB: the same {len(found)} findings in the damaged copy")


def check_garbage(ours, s3, local):
    """An object that is not Parquet stops the queries of its day until it is excluded by its path."""
    folder = sorted(local.glob("segments/v1/*/*"))[0].relative_to(local)
    garbage = f"{BUCKET}/{archives.PREFIX}/{folder}/r0001-p0077.parquet"
    with s3.files().open_output_stream(garbage) as out:
        out.write(b"no parquet")
    day = dict(part.split("=") for part in folder.parts[2:])
    where = f"sub_account = '{day['sub_account']}' AND dt = '{day['dt']}'"
    try:
        ours.ask(f"SELECT count(agent_sha256) FROM audited_rows WHERE {where}")
        stopped = False
    except trino.exceptions.TrinoQueryError:
        stopped = True
    must(stopped, "an object that is no Parquet does not stop its day any more: say so in FORMAT.md")
    others = ours.ask(f"SELECT count(agent_sha256) FROM audited_rows WHERE NOT ({where})")[0][0]
    passed = ours.ask(f"SELECT count(agent_sha256) FROM audited_rows WHERE {where} AND path <> 's3://{garbage}'")[0][0]
    must(others > 0 and passed > 0, "nothing is read beside what is no Parquet")
    say("Trino: an object that is no Parquet can be passed over")


def main(work, cxvault, minio, trino_home):
    work, local, damaged = pathlib.Path(work), pathlib.Path(work) / "local", pathlib.Path(work) / "damaged"
    with services.minio(minio, work) as s3:
        s3.files().create_dir(BUCKET)
        s3.files().create_dir(METASTORE)
        archives.write(cxvault, work, s3, BUCKET)
        archives.download(s3, BUCKET, local)
        leftover = archives.leave_a_leftover(s3, BUCKET, local)
        archives.damage(local, damaged)
        archives.upload(s3, damaged, DAMAGED)
        say("two archives are in MinIO")
        with services.trino(pathlib.Path(trino_home), work, s3, METASTORE) as port:
            say("Trino has started")
            intact, changed = Trino(port, "intact"), Trino(port, "damaged")
            intact.open(f"{BUCKET}/{archives.PREFIX}")
            changed.open(f"{DAMAGED}/{archives.PREFIX}")
            say("athena.sql: every statement is Athena's by its grammar, and runs")
            check_intact(intact, duckdb_views.views(str(local)), leftover)
            check_damaged(changed, duckdb_views.views(str(damaged)))
            check_garbage(intact, s3, local)
    libraries.check(work, local, duckdb_views.views(str(local)), must, say)


# Unlike the default action of SIGTERM this ends the servers.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
main(*sys.argv[1:])
