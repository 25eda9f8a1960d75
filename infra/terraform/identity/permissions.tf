# The permissions of each role. None of them may delete; the writer's denials also apply if another policy is attached
# to its role.

data "aws_iam_policy_document" "reader" {
  # Without a condition on the prefix: S3 answers a read of a missing object with 403 instead of 404 where listing is
  # allowed below a prefix only, and the writer often checks whether an object exists.
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = [var.bucket_arn]
  }

  # The bucket's settings that `cxvault doctor` and an auditor read.
  statement {
    sid       = "LookAtTheBucket"
    actions   = ["s3:GetBucketLocation", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning"]
    resources = [var.bucket_arn]
  }

  # Without the last two, S3 leaves the locks out of its answers, and each object looks unprotected.
  statement {
    sid       = "Read"
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention", "s3:GetObjectLegalHold"]
    resources = [local.objects]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "Decrypt"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }
}

data "aws_iam_policy_document" "adder" {
  source_policy_documents = [data.aws_iam_policy_document.reader.json]

  # A PUT with a lock needs the second one; raising the lock of an adopted part, too.
  statement {
    sid       = "Add"
    actions   = ["s3:PutObject", "s3:PutObjectRetention"]
    resources = [local.objects]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "Encrypt"
      actions   = ["kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }

  statement {
    sid    = "RemoveAndReplicateNothing"
    effect = "Deny"
    actions = [
      "s3:BypassGovernanceRetention",
      "s3:DeleteBucket",
      "s3:DeleteBucketPolicy",
      "s3:DeleteObject",
      "s3:DeleteObjectVersion",
      "s3:PutBucketObjectLockConfiguration",
      "s3:PutBucketPolicy",
      "s3:PutBucketVersioning",
      "s3:PutLifecycleConfiguration",
      "s3:PutReplicationConfiguration",
    ]
    resources = [var.bucket_arn, "${var.bucket_arn}/*"]
  }

  # Actions that only AWS knows: a MinIO server refuses a policy that names them.
  statement {
    sid    = "PublishNothing"
    effect = "Deny"
    actions = [
      "s3:PutBucketAcl",
      "s3:PutBucketOwnershipControls",
      "s3:PutBucketPublicAccessBlock",
      "s3:PutObjectAcl",
      "s3:PutObjectVersionAcl",
    ]
    resources = [var.bucket_arn, "${var.bucket_arn}/*"]
  }
}

data "aws_iam_policy_document" "writer" {
  source_policy_documents = [data.aws_iam_policy_document.adder.json]

  # A commit under an open legal hold sets it on its objects. Only the custodian can lift a hold: everything but setting it
  # is denied, also where another policy is attached to the role, and where the request does not say which of the two it is.
  statement {
    sid       = "LiftNoHold"
    effect    = "Deny"
    actions   = ["s3:PutObjectLegalHold"]
    resources = ["${var.bucket_arn}/*"]

    condition {
      test     = "StringNotEquals"
      variable = "s3:object-lock-legal-hold"
      values   = ["ON"]
    }
  }

  statement {
    sid       = "Hold"
    actions   = ["s3:PutObjectLegalHold"]
    resources = [local.objects]

    condition {
      test     = "StringEquals"
      variable = "s3:object-lock-legal-hold"
      values   = ["ON"]
    }
  }
}

data "aws_iam_policy_document" "custodian" {
  source_policy_documents = [data.aws_iam_policy_document.adder.json]

  statement {
    sid       = "HoldAndRelease"
    actions   = ["s3:PutObjectLegalHold"]
    resources = [local.objects]
  }
}
