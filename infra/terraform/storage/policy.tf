# What is denied to every principal, whatever other policies allow. To do it nevertheless, this policy must be changed
# first, which CloudTrail records.

data "aws_iam_policy_document" "archive" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = local.bucket_and_objects

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid       = "NoOldTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = local.bucket_and_objects

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "s3:TlsVersion"
      values   = ["1.2"]
    }
  }

  # `If-None-Match` is what makes a PUT create-only. The requests of a multi-part upload but the last cannot carry it,
  # so there is no such upload here: its checksum would not be that of the content.
  statement {
    sid       = "CreateOnly"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = local.objects

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["true"]
    }
  }

  # Object Lock protects versions; a delete marker would still hide an object from every plain reader.
  statement {
    sid       = "NoDelete"
    effect    = "Deny"
    actions   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = local.objects

    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }

  # In GOVERNANCE mode this permission allows to shorten, lift or ignore a lock. In COMPLIANCE mode no principal can.
  # The price: a GOVERNANCE lock cannot become COMPLIANCE, which S3 treats as leaving GOVERNANCE.
  statement {
    sid       = "NoShorterLock"
    effect    = "Deny"
    actions   = ["s3:BypassGovernanceRetention"]
    resources = local.objects

    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }

  # Without it, a writer whose settings lost `object_lock` would leave a night unprotected, and the default retention
  # would hide that.
  dynamic "statement" {
    for_each = var.minimum_retention_days > 0 ? [var.minimum_retention_days] : []

    content {
      sid           = "NoUnlockedObject"
      effect        = "Deny"
      actions       = ["s3:PutObject"]
      not_resources = local.probes

      principals {
        type        = "*"
        identifiers = ["*"]
      }

      condition {
        test     = "Null"
        variable = "s3:object-lock-mode"
        values   = ["true"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.minimum_retention_days > 0 ? [var.minimum_retention_days] : []

    content {
      sid           = "NoBriefLock"
      effect        = "Deny"
      actions       = ["s3:PutObject", "s3:PutObjectRetention"]
      not_resources = local.probes

      principals {
        type        = "*"
        identifiers = ["*"]
      }

      condition {
        test     = "NumericLessThan"
        variable = "s3:object-lock-remaining-retention-days"
        values   = [statement.value]
      }
    }
  }

  statement {
    sid       = "NoEndlessLock"
    effect    = "Deny"
    actions   = ["s3:PutObject", "s3:PutObjectRetention"]
    resources = local.objects

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "NumericGreaterThan"
      variable = "s3:object-lock-remaining-retention-days"
      values   = [var.maximum_retention_days]
    }
  }

  dynamic "statement" {
    for_each = length(var.writer_arns) > 0 ? [var.writer_arns] : []

    content {
      sid       = "OnlyTheWriter"
      effect    = "Deny"
      actions   = ["s3:PutObject", "s3:PutObjectRetention", "s3:PutObjectLegalHold"]
      resources = local.objects

      principals {
        type        = "*"
        identifiers = ["*"]
      }

      condition {
        test     = "ArnNotEquals"
        variable = "aws:PrincipalArn"
        values   = statement.value
      }
    }
  }
}

locals {
  # By name, not by the resource, so that the policy can be read and checked before the bucket exists.
  bucket_arn         = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket}"
  objects            = ["${local.bucket_arn}/*"]
  bucket_and_objects = [local.bucket_arn, "${local.bucket_arn}/*"]
  # What `cxvault doctor` tries a store with: locks of two minutes, and a damaged upload without a lock. No object of an
  # archive has such a key, whatever the archive's prefix.
  probes = ["${local.bucket_arn}/doctor/*", "${local.bucket_arn}/*/doctor/*"]
}

data "aws_partition" "current" {}

resource "aws_s3_bucket_policy" "archive" {
  count  = local.aws ? 1 : 0
  bucket = aws_s3_bucket.archive.id
  policy = data.aws_iam_policy_document.archive.json

  # Two changes of access at once are refused.
  depends_on = [aws_s3_bucket_public_access_block.archive]
}
