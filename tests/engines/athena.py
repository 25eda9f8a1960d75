"""The statements of schemas/athena.sql with their placeholders filled in, and its tables in Trino's syntax."""

import pathlib

import sqlglot
from sqlglot import expressions

SCHEMAS = pathlib.Path(__file__).parent.parent.parent / "schemas"
TRINO_TYPES = {"TEXT": "varchar", "TIMESTAMP": "timestamp(3)", "BIGINT": "bigint", "BOOLEAN": "boolean"}


def statements(place, sub_accounts, first_day):
    text = (SCHEMAS / "athena.sql").read_text()
    for blank, value in [("BUCKET/PREFIX", place), ("SUB_ACCOUNTS", ",".join(sub_accounts)), ("FIRST_DAY", first_day)]:
        assert blank in text, blank
        text = text.replace(blank, value)
    found = [one.strip() for one in text.split(";\n")]
    assert found.pop() == "", "there is text after the last statement"
    return found


def parsed(statement):
    """Parses a statement with the grammar of Athena: Hive's for DDL, Trino's for everything else."""
    tree = sqlglot.parse_one(statement, dialect="athena")
    # A statement that the parser cannot read becomes a Command.
    assert isinstance(tree, expressions.Create), statement
    assert not list(tree.find_all(expressions.Command)), statement
    return tree


def is_table(tree):
    return tree.args["kind"] == "TABLE"


def name(tree):
    return tree.find(expressions.Table).name


def properties(tree):
    found = tree.find_all(expressions.Property)
    return {one.name: one.args["value"].name for one in found if type(one) is expressions.Property}


def columns(tree):
    """Returns name and type of the data columns, and of the partition keys."""
    keys = tree.find(expressions.PartitionedByProperty)
    pairs = lambda schema: [(one.name, TRINO_TYPES[one.kind.this.name]) for one in schema.expressions]
    return pairs(tree.this), pairs(keys.this)


def trino_table(tree):
    """Returns the CREATE TABLE of the same table for Trino, whose DDL has other properties for the projection."""
    data, keys = columns(tree)
    options = properties(tree)
    assert options["projection.enabled"] == "true"
    declared = [f"{column} {kind}" for column, kind in data]
    for key, kind in keys:
        declared.append(f"{key} {kind} WITH ({projection(options, key)})")
    location = tree.find(expressions.LocationProperty).this.name
    file_format = tree.find(expressions.FileFormatProperty).this.name
    partitioned = ", ".join(f"'{key}'" for key, _ in keys)
    return (
        f"CREATE TABLE {name(tree)} ({', '.join(declared)}) WITH (external_location = '{location}', "
        f"format = '{file_format}', partitioned_by = ARRAY[{partitioned}], partition_projection_enabled = true, "
        f"partition_projection_location_template = '{options['storage.location.template']}')"
    )


def projection(options, key):
    values = lambda option: ", ".join(f"'{value}'" for value in options[f"projection.{key}.{option}"].split(","))
    match options[f"projection.{key}.type"]:
        case "enum":
            return f"partition_projection_type = 'ENUM', partition_projection_values = ARRAY[{values('values')}]"
        case "date":
            return (
                f"partition_projection_type = 'DATE', partition_projection_range = ARRAY[{values('range')}], "
                f"partition_projection_format = {values('format')}, "
                f"partition_projection_interval = {options[f'projection.{key}.interval']}, "
                f"partition_projection_interval_unit = {values('interval.unit')}"
            )
