# Which principals may assume each role. No role has a long-lived key.

data "aws_iam_policy_document" "web_identity" {
  statement {
    sid     = "ServiceAccounts"
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = [for one in var.service_accounts : "system:serviceaccount:${one}"]
    }
  }
}

data "aws_iam_policy_document" "auditors" {
  count = length(var.auditor_arns) > 0 ? 1 : 0

  statement {
    sid     = "Auditors"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = var.auditor_arns
    }
  }
}

data "aws_iam_policy_document" "custodians" {
  count = length(var.custodian_arns) > 0 ? 1 : 0

  statement {
    sid     = "Custodians"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = var.custodian_arns
    }
  }
}
