# The tables of schemas/athena.sql in Glue, and its views as saved queries.
#
# Everything is read from that file, so that no column and no property can differ from what is tested there against a
# real engine. Partitions are projected: no crawler is needed, and a day can be queried as soon as it is committed.

locals {
  sql  = file("${path.module}/../../../schemas/athena.sql")
  root = var.prefix == "" ? var.bucket : "${var.bucket}/${var.prefix}"

  # CREATE EXTERNAL TABLE name ( columns ) PARTITIONED BY ( keys ) format LOCATION 'place' TBLPROPERTIES ( properties );
  tables = {
    for found in regexall("(?s)CREATE EXTERNAL TABLE IF NOT EXISTS (\\w+) \\(\n(.*?)\n\\)\nPARTITIONED BY \\((.*?)\\)\n(.*?)\nLOCATION '(.*?)'\nTBLPROPERTIES \\(\n(.*?)\n\\);", local.sql) :
    found[0] => {
      columns  = regexall("(\\w+) (\\w+)", found[1])
      keys     = regexall("(\\w+) (\\w+)", found[2])
      format   = strcontains(found[3], "STORED AS PARQUET") ? "parquet" : "text"
      location = replace(found[4], "BUCKET/PREFIX", local.root)
      properties = {
        for property in regexall("'(.*?)' = '(.*?)'", found[5]) : property[0] => replace(replace(replace(
          property[1],
          "BUCKET/PREFIX", local.root),
          "SUB_ACCOUNTS", join(",", var.sub_accounts)),
          "FIRST_DAY", var.first_day
        )
      }
    }
  }

  # Each view reads those before it; hence the numbers.
  views = {
    for number, found in regexall("(?s)(CREATE OR REPLACE VIEW (\\w+) AS\n.*?;)\n", local.sql) :
    format("%02d %s", number + 1, found[1]) => found[0]
  }

  formats = {
    parquet = {
      input      = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
      output     = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
      serde      = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
      parameters = { "serialization.format" = "1" }
    }
    # No manifest contains a control character, so a line is one field.
    text = {
      input      = "org.apache.hadoop.mapred.TextInputFormat"
      output     = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
      serde      = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
      parameters = { "field.delim" = "\u0001", "serialization.format" = "\u0001" }
    }
  }
}

resource "aws_glue_catalog_database" "archive" {
  name        = var.database
  description = "The archive at s3://${local.root}"
  tags        = var.tags
}

resource "aws_glue_catalog_table" "archive" {
  for_each      = local.tables
  name          = each.key
  database_name = aws_glue_catalog_database.archive.name
  table_type    = "EXTERNAL_TABLE"
  parameters    = merge(each.value.properties, { EXTERNAL = "TRUE" })

  dynamic "partition_keys" {
    for_each = each.value.keys

    content {
      name = partition_keys.value[0]
      type = partition_keys.value[1]
    }
  }

  storage_descriptor {
    location      = each.value.location
    input_format  = local.formats[each.value.format].input
    output_format = local.formats[each.value.format].output

    ser_de_info {
      serialization_library = local.formats[each.value.format].serde
      parameters            = local.formats[each.value.format].parameters
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name = columns.value[0]
        type = columns.value[1]
      }
    }
  }
}

# Only an administrator of the catalog can create views: run these once, in their order.
resource "aws_athena_named_query" "views" {
  for_each    = local.views
  name        = "cxvault ${each.key}"
  description = "Creates a view of schemas/athena.sql"
  workgroup   = aws_athena_workgroup.audit.name
  database    = aws_glue_catalog_database.archive.name
  query       = each.value
}

resource "aws_athena_workgroup" "audit" {
  name        = var.workgroup
  description = "Queries over the archive at s3://${local.root}"
  tags        = var.tags

  configuration {
    # Otherwise a client could choose another place and encryption for results, which contain people's words.
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.bytes_scanned_limit

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location = "s3://${var.results_bucket}/${var.workgroup}/"

      encryption_configuration {
        encryption_option = var.results_kms_key_arn == null ? "SSE_S3" : "SSE_KMS"
        kms_key_arn       = var.results_kms_key_arn
      }
    }
  }
}
