"""Queries an archive through schemas/duckdb.sql, as an auditor does in DuckDB's shell.

    duckdb_views.py ARCHIVE < QUERIES

ARCHIVE is a folder or `s3://...`; queries are read from standard input, separated by lines of a single `;`. Prints a
JSON line for each of them: an array of rows, each an array. For S3 the environment has AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY and CXVAULT_S3_ENDPOINT, and the package duckdb-extension-httpfs stands in for `INSTALL httpfs`,
which fetches the same file from DuckDB's own site.
"""

import json
import os
import pathlib
import sys

import duckdb

VIEWS = pathlib.Path(__file__).parent.parent.parent / "schemas" / "duckdb.sql"


def reach_s3(session):
    import duckdb_extension_httpfs

    package = pathlib.Path(duckdb_extension_httpfs.__file__).parent
    (extension,) = package.glob(f"extensions/v{duckdb.__version__}/httpfs.duckdb_extension")
    session.execute(f"LOAD '{extension}'")
    endpoint = os.environ["CXVAULT_S3_ENDPOINT"].removeprefix("http://")
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    session.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{secret}', ENDPOINT '{endpoint}', URL_STYLE 'path', USE_SSL false)"
    )


def views(archive):
    """A session in which `archive` is open."""
    session = duckdb.connect()
    if archive.startswith("s3://"):
        reach_s3(session)
    session.execute("SET VARIABLE archive = ?", [archive])
    session.execute(VIEWS.read_text())
    return session


def main(archive):
    session = views(archive)
    for query in sys.stdin.read().split("\n;\n"):
        print(json.dumps(session.execute(query).fetchall(), default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
