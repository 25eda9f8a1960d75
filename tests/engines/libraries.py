"""The examples of FORMAT.md for pyarrow, pandas and Spark, and Athena's DDL in Spark, which uses Hive's DDL too."""

import os
import re
import shutil

import pandas
import pyspark.sql

import archives
import athena


def documented():
    """Returns the Python blocks of the section, in order."""
    section = (athena.SCHEMAS / "FORMAT.md").read_text().split("\n## Reading with SQL\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def spark_session(work):
    # Not the Java of Trino, which lacks a module that Spark starts with.
    java = os.path.realpath(shutil.which("java"))
    os.environ["JAVA_HOME"] = java.removesuffix("/bin/java")
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    settings = {
        "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g", "spark.sql.session.timeZone": "America/New_York",
        "spark.sql.warehouse.dir": f"{work}/warehouse", "spark.log.level": "ERROR",
        "spark.driver.extraJavaOptions": f"-Dderby.system.home={work}/derby -Djava.io.tmpdir={work}",
        # `${sub_account}` in a table's properties is Athena's to fill in.
        "spark.sql.variable.substitute": "false",
    }
    builder = pyspark.sql.SparkSession.builder.master("local[2]").enableHiveSupport()
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def check(work, local, duckdb, must, say):
    """`duckdb` is a session with the views, the leftover among the files of `local`."""
    counts = "SELECT count(*), count(agent_sha256), min(epoch_ms(discovered_at)) FROM {}"
    audited, bare = (duckdb.execute(counts.format(view)).fetchone() for view in ("audited_rows", "all_rows"))
    must(bare[0] > audited[0] > 0, bare, audited)
    spark = spark_session(work)
    try:
        known = {"archive": str(local), "pandas": pandas, "spark": spark}
        blocks = documented()
        must(len(blocks) == 3, "FORMAT.md shows", len(blocks), "ways")
        for block in blocks:
            exec(block, known)
        check_frame("pyarrow", known["rows"].to_pandas(), audited, must)
        check_frame("pandas", known["frame"], bare, must)
        table = known["table"]
        keys = {name: kind for name, kind in table.dtypes if name in ("sub_account", "dt")}
        must(keys == {"sub_account": "string", "dt": "string"}, "Spark", keys)
        found = table.selectExpr("count(*)", "count(agent_sha256)", "min(unix_millis(discovered_at))").collect()[0]
        must(tuple(found) == bare, "Spark", tuple(found), "for", bare)
        say(f"pyarrow, pandas and Spark open it as FORMAT.md says: {audited[0]} committed rows, {bare[0]} in all")
        check_ddl(spark, local, bare, must)
        say("Spark: Athena's DDL is Hive's, and its table holds every row and hash")
    finally:
        spark.stop()


def check_frame(what, frame, expected, must):
    first = round(frame["discovered_at"].min().timestamp() * 1000)
    found = (len(frame), int(frame["agent_sha256"].count()), first)
    must(found == expected, what, found, "for", expected)
    must(sorted(set(frame["sub_account"])) == archives.SUBS, what, "sub_account")
    must(all(isinstance(day, str) for day in set(frame["dt"])), what, "dt")


def check_ddl(spark, local, expected, must):
    """Checks Athena's DDL in Spark, which has no projection and finds the partitions itself."""
    place = athena.statements("BUCKET/PREFIX", archives.SUBS, archives.FIRST_DAY)
    for statement in place:
        if athena.is_table(athena.parsed(statement)):
            spark.sql(statement.replace("s3://BUCKET/PREFIX", f"file://{local}"))
    for table in ("all_rows", "manifest_objects"):
        spark.sql(f"MSCK REPAIR TABLE {table}")
    found = spark.sql(
        "SELECT count(*), count(agent_sha256), min(unix_millis(discovered_at)),"
        " count_if(sha2(agent_summary, 256) <> agent_sha256 OR sha2(auto_summary, 256) <> auto_sha256) FROM all_rows"
    ).collect()[0]
    must(tuple(found) == (*expected, 0), "Athena's table in Spark:", tuple(found), "for", expected)
    manifests = len(list(local.glob("manifests/v1/*/*.json")))
    lines = spark.sql("SELECT count(*), count(get_json_object(line, '$.manifest.sequence')) FROM manifest_objects")
    must(tuple(lines.collect()[0]) == (manifests, manifests), "lines of manifests")
