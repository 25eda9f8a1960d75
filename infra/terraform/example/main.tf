# Everything for one archive. Copy it, replace the names, and store its state where the writer has no access.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = "eu-central-1"

  default_tags {
    tags = { purpose = "ringcx-archive" }
  }
}

module "storage" {
  source                 = "../storage"
  bucket                 = "acme-cx-archive"
  writer_arns            = compact([module.identity.writer_role_arn, module.identity.custodian_role_arn])
  minimum_retention_days = 2500 # object_lock = "compliance:7y"
  default_retention      = { mode = "COMPLIANCE", days = 2500 }
  account_id             = "111122223333"
  key_break_glass_arns   = ["arn:aws:iam::111122223333:role/break-glass"]
  access_log_bucket      = "acme-access-logs"
}

module "identity" {
  source              = "../identity"
  bucket_arn          = module.storage.bucket_arn
  prefix              = "ringcx"
  kms_key_arn         = module.storage.kms_key_arn
  oidc_provider_arn   = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
  service_accounts    = ["cxvault:cxvault"]
  auditor_arns        = ["arn:aws:iam::444455556666:role/audit"]
  auditor_policy_arns = { athena = module.catalog.reader_policy_arn }
  custodian_arns      = ["arn:aws:iam::111122223333:role/legal"]
}

module "catalog" {
  source         = "../catalog"
  bucket         = module.storage.bucket
  prefix         = "ringcx"
  sub_accounts   = ["99999999"]
  first_day      = "2026-11-20"
  results_bucket = "acme-athena-results"
}

module "alarms" {
  source    = "../alarms"
  log_group = "/aws/containerinsights/main/application"
  event     = "$.log_processed"
  notify    = ["arn:aws:sns:eu-central-1:111122223333:on-call"]
}

output "archive" {
  description = "cxvault's setting `archive`."
  value       = "s3://${module.storage.bucket}/ringcx"
}

output "kms_key" {
  description = "cxvault's setting `s3_kms_key_id`."
  value       = module.storage.kms_key_arn
}

output "writer_role" {
  description = "For the service account's annotation eks.amazonaws.com/role-arn."
  value       = module.identity.writer_role_arn
}
