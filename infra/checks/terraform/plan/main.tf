# Every module with values that are known beforehand: so infra/check can read the plan without an account.

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
  region                      = "eu-central-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

variable "bucket" {
  description = "The bucket's name."
  type        = string
  default     = "archive"
}

variable "prefix" {
  description = "Where the archive lies in it."
  type        = string
  default     = "ringcx"
}

locals {
  account = "arn:aws:iam::111122223333"
}

module "storage" {
  source                 = "../../../terraform/storage"
  bucket                 = var.bucket
  writer_arns            = ["${local.account}:role/cxvault-writer", "${local.account}:role/cxvault-custodian"]
  minimum_retention_days = 2500
}

module "identity" {
  source            = "../../../terraform/identity"
  bucket_arn        = "arn:aws:s3:::${var.bucket}"
  prefix            = var.prefix
  oidc_provider_arn = "${local.account}:oidc-provider/oidc.example.com/id/CLUSTER"
  auditor_arns      = ["${local.account}:role/audit"]
  custodian_arns    = ["${local.account}:role/legal"]
}

# With a key there are two more permissions.
module "identity_with_key" {
  source            = "../../../terraform/identity"
  name              = "with-key"
  bucket_arn        = "arn:aws:s3:::${var.bucket}"
  kms_key_arn       = "arn:aws:kms:eu-central-1:111122223333:key/archive"
  oidc_provider_arn = "${local.account}:oidc-provider/oidc.example.com/id/CLUSTER"
  auditor_arns      = ["${local.account}:role/audit"]
}

module "catalog" {
  source         = "../../../terraform/catalog"
  bucket         = var.bucket
  prefix         = var.prefix
  sub_accounts   = ["99999999", "88888888"]
  first_day      = "2026-11-20"
  results_bucket = "results"
}

module "alarms" {
  source    = "../../../terraform/alarms"
  log_group = "runs"
  notify    = ["arn:aws:sns:eu-central-1:111122223333:on-call"]
}
