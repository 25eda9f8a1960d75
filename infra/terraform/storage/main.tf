# A bucket in which an archive can only grow.

locals {
  aws = !var.s3_compatible
  kms = local.aws && var.kms

  # Prefixes of data, never of audit records.
  expiring = {
    for prefix in try(var.expire_segments.prefixes, []) :
    (prefix == "" ? "root" : prefix) => "${prefix == "" ? "" : "${trim(prefix, "/")}/"}segments/"
  }
}

resource "aws_s3_bucket" "archive" {
  #checkov:skip=CKV_AWS_144:S3 replication copies neither a chain's place nor its order; `cxvault copy` makes a checked copy
  #checkov:skip=CKV2_AWS_62:Nothing waits for single objects: a run reports what it has committed
  bucket              = var.bucket
  object_lock_enabled = true
  tags                = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "archive" {
  bucket = aws_s3_bucket.archive.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "archive" {
  count  = var.default_retention == null ? 0 : 1
  bucket = aws_s3_bucket.archive.id

  rule {
    default_retention {
      mode = var.default_retention.mode
      days = var.default_retention.days
    }
  }

  depends_on = [aws_s3_bucket_versioning.archive]
}

resource "aws_s3_bucket_public_access_block" "archive" {
  count                   = local.aws ? 1 : 0
  bucket                  = aws_s3_bucket.archive.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# Access by policies only: no object can have an owner or an ACL of its own.
resource "aws_s3_bucket_ownership_controls" "archive" {
  count  = local.aws ? 1 : 0
  bucket = aws_s3_bucket.archive.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "archive" {
  count  = local.aws ? 1 : 0
  bucket = aws_s3_bucket.archive.id

  rule {
    # One data key for many objects: without it each of a year's reads is a request to KMS.
    bucket_key_enabled = local.kms

    apply_server_side_encryption_by_default {
      sse_algorithm     = local.kms ? "aws:kms" : "AES256"
      kms_master_key_id = one(aws_kms_key.archive[*].arn)
    }
  }
}

# The policy forbids multi-part uploads; uploads that were begun before it was set are removed. No policy forbids what a
# lifecycle rule removes: S3 itself does it, and does not touch what is locked or held.
resource "aws_s3_bucket_lifecycle_configuration" "archive" {
  count  = local.aws ? 1 : 0
  bucket = aws_s3_bucket.archive.id

  rule {
    id     = "clear-unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = local.expiring

    content {
      id     = "expire-segments-${rule.key}"
      status = "Enabled"

      filter {
        prefix = rule.value
      }

      expiration {
        days = var.expire_segments.days
      }

      noncurrent_version_expiration {
        noncurrent_days = 1
      }
    }
  }

  # A separate rule: S3 rejects both expirations in one.
  dynamic "rule" {
    for_each = local.expiring

    content {
      id     = "clear-delete-markers-${rule.key}"
      status = "Enabled"

      filter {
        prefix = rule.value
      }

      expiration {
        expired_object_delete_marker = true
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.archive]
}

resource "aws_s3_bucket_logging" "archive" {
  count         = local.aws && var.access_log_bucket != null ? 1 : 0
  bucket        = aws_s3_bucket.archive.id
  target_bucket = var.access_log_bucket
  target_prefix = "${var.bucket}/"
}
