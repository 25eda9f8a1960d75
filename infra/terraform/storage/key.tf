# Destroying or disabling the key destroys the archive, even if it is locked: no lock of S3 covers the key. So the deletion
# takes 30 days, and the key's own policy denies both to every principal of the account, administrators and the root user
# included, but for the break-glass roles. To do it nevertheless, this policy must be changed first, which CloudTrail
# records. Other permissions come from IAM, such as those of the identity module.

data "aws_caller_identity" "current" {
  count = var.account_id == null ? 1 : 0
}

locals {
  account_id = coalesce(var.account_id, one(data.aws_caller_identity.current[*].account_id))
}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:A key policy that does not give its account all permissions cannot be changed again
  #checkov:skip=CKV_AWS_111:A key policy that does not give its account all permissions cannot be changed again
  #checkov:skip=CKV_AWS_356:In a key policy, the resource * is this key
  statement {
    sid       = "PermissionsComeFromIam"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.current.partition}:iam::${local.account_id}:root"]
    }
  }

  statement {
    sid       = "KeepTheKey"
    effect    = "Deny"
    actions   = ["kms:DeleteImportedKeyMaterial", "kms:DisableKey", "kms:ScheduleKeyDeletion"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    dynamic "condition" {
      for_each = length(var.key_break_glass_arns) > 0 ? [var.key_break_glass_arns] : []

      content {
        test     = "ArnNotEquals"
        variable = "aws:PrincipalArn"
        values   = condition.value
      }
    }
  }
}

resource "aws_kms_key" "archive" {
  count                   = local.kms ? 1 : 0
  description             = "Encrypts the archive in ${var.bucket}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
  tags                    = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "archive" {
  count         = local.kms ? 1 : 0
  name          = "alias/${var.bucket}"
  target_key_id = aws_kms_key.archive[0].key_id
}
