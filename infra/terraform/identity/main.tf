# The roles: a writer that can add but never remove, an auditor that can read, and a custodian of legal holds.

locals {
  issuer  = regex("oidc-provider/(.+)$", var.oidc_provider_arn)[0]
  objects = var.prefix == "" ? "${var.bucket_arn}/*" : "${var.bucket_arn}/${var.prefix}/*"
}

resource "aws_iam_role" "writer" {
  name                 = "${var.name}-writer"
  description          = "cxvault's nightly run and backfills: adds to the archive, removes nothing"
  assume_role_policy   = data.aws_iam_policy_document.web_identity.json
  permissions_boundary = var.permissions_boundary_arn
  # A nightly run can last longer; the SDK renews the session from the pod's token before it ends.
  max_session_duration = 43200
  tags                 = var.tags
}

resource "aws_iam_role_policy" "writer" {
  name   = "archive"
  role   = aws_iam_role.writer.id
  policy = data.aws_iam_policy_document.writer.json
}

resource "aws_iam_role" "auditor" {
  count                = length(var.auditor_arns) > 0 ? 1 : 0
  name                 = "${var.name}-auditor"
  description          = "Reads and verifies the archive, changes nothing"
  assume_role_policy   = data.aws_iam_policy_document.auditors[0].json
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

resource "aws_iam_role_policy" "auditor" {
  count  = length(var.auditor_arns) > 0 ? 1 : 0
  name   = "archive"
  role   = aws_iam_role.auditor[0].id
  policy = data.aws_iam_policy_document.reader.json
}

resource "aws_iam_role_policy_attachment" "auditor" {
  for_each   = length(var.auditor_arns) > 0 ? var.auditor_policy_arns : {}
  role       = aws_iam_role.auditor[0].name
  policy_arn = each.value
}

resource "aws_iam_role" "custodian" {
  count                = length(var.custodian_arns) > 0 ? 1 : 0
  name                 = "${var.name}-custodian"
  description          = "Sets and lifts legal holds with cxvault hold"
  assume_role_policy   = data.aws_iam_policy_document.custodians[0].json
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

resource "aws_iam_role_policy" "custodian" {
  count  = length(var.custodian_arns) > 0 ? 1 : 0
  name   = "archive"
  role   = aws_iam_role.custodian[0].id
  policy = data.aws_iam_policy_document.custodian.json
}
