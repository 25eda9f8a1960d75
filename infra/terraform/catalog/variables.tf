variable "bucket" {
  description = "The bucket of the archive."
  type        = string
}

variable "prefix" {
  description = "Prefix of the archive in the bucket, without leading and trailing slashes; empty for the bucket's root."
  type        = string
  default     = ""

  validation {
    condition     = trim(var.prefix, "/*") == var.prefix
    error_message = "The prefix has a slash or a star at its end: it is ringcx, not ringcx/."
  }
}

variable "sub_accounts" {
  description = "The sub-accounts that queries include. Add new ones here."
  type        = list(string)

  validation {
    condition     = length(var.sub_accounts) > 0 && alltrue([for one in var.sub_accounts : can(regex("^[A-Za-z0-9_-]+$", one))])
    error_message = "At least one sub-account is needed: a projected partition without values has no rows."
  }
}

variable "first_day" {
  description = "The first archived day or an earlier one, as 2026-11-20."
  type        = string

  validation {
    condition     = can(formatdate("YYYY-MM-DD", "${var.first_day}T00:00:00Z"))
    error_message = "The first day is a date such as 2026-11-20."
  }
}

variable "database" {
  description = "Name of the Glue database."
  type        = string
  default     = "cxvault"
}

variable "workgroup" {
  description = "Name of the Athena workgroup."
  type        = string
  default     = "cxvault"
}

variable "results_bucket" {
  description = "Bucket for Athena's results, which contain people's words; not the archive's bucket, where Athena cannot write."
  type        = string

  validation {
    condition     = var.results_bucket != var.bucket
    error_message = "Results belong into another bucket: in the archive's everything stays for years, and only create-only PUTs are taken."
  }
}

variable "results_kms_key_arn" {
  description = "KMS key that encrypts the results; null for keys that S3 manages."
  type        = string
  default     = null
}

variable "bytes_scanned_limit" {
  description = "A query that would read more than this is cancelled, because of its cost. A deep check reads the whole archive."
  type        = number
  default     = 1099511627776
}

variable "tags" {
  description = "Tags of all resources of this module."
  type        = map(string)
  default     = {}
}
