# Destroying the key destroys the archive, even if it is locked, so the deletion takes 30 days. AWS's default key policy
# applies: permissions come from IAM, such as those of the identity module.

resource "aws_kms_key" "archive" {
  #checkov:skip=CKV2_AWS_64:AWS's default policy is intended: permissions come from IAM
  count                   = local.kms ? 1 : 0
  description             = "Encrypts the archive in ${var.bucket}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
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
