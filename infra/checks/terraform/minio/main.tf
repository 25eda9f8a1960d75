# The storage module, applied to a MinIO server by infra/check: the bucket in which the writer is then tried.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "endpoint" {
  description = "The server's URL."
  type        = string
}

variable "bucket" {
  description = "The bucket to create."
  type        = string
}

provider "aws" {
  region                      = "us-east-1"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true

  endpoints {
    s3 = var.endpoint
  }
}

module "storage" {
  source        = "../../../terraform/storage"
  bucket        = var.bucket
  s3_compatible = true
  account_id    = "111122223333"

  default_retention = {
    mode = "GOVERNANCE"
    days = 1
  }
}

output "bucket" {
  description = "Known when versioning is enabled."
  value       = module.storage.bucket
}
