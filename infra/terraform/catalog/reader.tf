# What an auditor needs for SQL, beside reading the archive itself (the identity module's auditor).

data "aws_partition" "current" {}

resource "aws_iam_policy" "reader" {
  name        = "${var.workgroup}-athena-reader"
  description = "Queries in the workgroup ${var.workgroup} over the database ${var.database}"
  policy      = data.aws_iam_policy_document.reader.json
  tags        = var.tags
}

data "aws_iam_policy_document" "reader" {
  statement {
    sid = "Query"
    actions = [
      "athena:BatchGetNamedQuery",
      "athena:GetNamedQuery",
      "athena:GetQueryExecution",
      "athena:GetQueryResults",
      "athena:GetWorkGroup",
      "athena:ListNamedQueries",
      "athena:ListQueryExecutions",
      "athena:StartQueryExecution",
      "athena:StopQueryExecution",
    ]
    resources = [aws_athena_workgroup.audit.arn]
  }

  statement {
    sid     = "ReadTheCatalog"
    actions = ["glue:GetDatabase", "glue:GetPartition", "glue:GetPartitions", "glue:GetTable", "glue:GetTables"]
    resources = [
      replace(aws_glue_catalog_database.archive.arn, "/:database.*$/", ":catalog"),
      aws_glue_catalog_database.archive.arn,
      "${replace(aws_glue_catalog_database.archive.arn, ":database/", ":table/")}/*",
    ]
  }

  statement {
    sid       = "KeepResults"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${var.results_bucket}/${var.workgroup}/*"]
  }

  statement {
    sid       = "FindResults"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${var.results_bucket}"]
  }

  dynamic "statement" {
    for_each = var.results_kms_key_arn == null ? [] : [var.results_kms_key_arn]

    content {
      sid       = "EncryptResults"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}
