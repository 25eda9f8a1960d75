# Every module with values that are known in advance, so that infra/check can read the plan without an account.

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
}

locals {
  account = "arn:aws:iam::111122223333"
}

module "storage" {
  source                 = "../../../terraform/storage"
  bucket                 = "archive"
  writer_arns            = ["${local.account}:role/cxvault-writer", "${local.account}:role/cxvault-custodian"]
  minimum_retention_days = 2500
  account_id             = "111122223333"
  key_break_glass_arns   = ["${local.account}:role/break-glass"]
}

# A bucket whose data expires.
module "storage_expiring" {
  source                 = "../../../terraform/storage"
  bucket                 = "expiring"
  minimum_retention_days = 2500
  account_id             = "111122223333"

  expire_segments = {
    days     = 2587
    prefixes = ["ringcx", ""]
  }
}

module "identity" {
  source            = "../../../terraform/identity"
  bucket_arn        = "arn:aws:s3:::archive"
  prefix            = "ringcx"
  oidc_provider_arn = "${local.account}:oidc-provider/oidc.example.com/id/CLUSTER"
  auditor_arns      = ["${local.account}:role/audit"]
  custodian_arns    = ["${local.account}:role/legal"]
}

# With a key there are two additional permissions.
module "identity_with_key" {
  source            = "../../../terraform/identity"
  name              = "with-key"
  bucket_arn        = "arn:aws:s3:::archive"
  kms_key_arn       = "arn:aws:kms:eu-central-1:111122223333:key/archive"
  oidc_provider_arn = "${local.account}:oidc-provider/oidc.example.com/id/CLUSTER"
  auditor_arns      = ["${local.account}:role/audit"]
}

module "catalog" {
  source         = "../../../terraform/catalog"
  bucket         = "archive"
  prefix         = "ringcx"
  sub_accounts   = ["99999999", "88888888"]
  first_day      = "2026-11-20"
  results_bucket = "results"
}

module "alarms" {
  source    = "../../../terraform/alarms"
  log_group = "runs"
  notify    = ["arn:aws:sns:eu-central-1:111122223333:on-call"]
}
