variable "bucket" {
  description = "Name of the bucket. It holds one archive or several below different prefixes, and nothing else."
  type        = string
}

variable "s3_compatible" {
  description = <<-TEXT
    The bucket is in an S3-compatible store such as MinIO, not in AWS. Versioning and Object Lock are set up as usual;
    what only AWS has is left out: the bucket policy with its conditions (so only the writer's own permissions forbid
    deleting and overwriting), the public access block, ownership controls, encryption by KMS, and the lifecycle rule.
    Set the writer's permissions by that store's own means.
  TEXT
  type        = bool
  default     = false
}

variable "writer_arns" {
  description = "Roles that may write. Empty: every principal of this account that has the permission."
  type        = list(string)
  default     = []
}

variable "minimum_retention_days" {
  description = <<-TEXT
    An object without a lock, or with a lock that ends sooner than this, is refused, so that no mistake in the settings
    leaves a night unprotected. Keep it below the period of cxvault's `object_lock`; 0 allows any. The objects below
    `doctor/`, with which `cxvault doctor` tries the store, are excepted.
  TEXT
  type        = number
  default     = 0
}

variable "maximum_retention_days" {
  description = "A lock that ends later than this is refused: a mistyped COMPLIANCE lock of 700 years cannot be undone."
  type        = number
  default     = 3700

  validation {
    condition     = var.maximum_retention_days > var.minimum_retention_days
    error_message = "The longest lock must be longer than the shortest."
  }
}

variable "default_retention" {
  description = <<-TEXT
    A lock that the bucket gives to objects that are put without one. cxvault sends its own lock with each object
    (`object_lock`), so this only affects objects that other programs put here, where `minimum_retention_days` allows
    them at all.
  TEXT
  type = object({
    mode = string
    days = number
  })
  default = null

  validation {
    condition     = var.default_retention == null || contains(["GOVERNANCE", "COMPLIANCE"], try(var.default_retention.mode, ""))
    error_message = "The mode of an Object Lock is GOVERNANCE or COMPLIANCE."
  }
}

variable "expire_segments" {
  description = <<-TEXT
    Objects under `segments/` of the archives at these prefixes ("" for the bucket's root) are deleted this many days
    after they were written: first hidden by a delete marker, then the version, then the marker. Manifests are never
    deleted: audit records outlive data. Null keeps everything. Use more days than any lock lasts, including locks
    extended by `cxvault retention extend`: S3 removes no version that is locked or held, but still hides it. See
    ../../README.md, "After retention".
  TEXT
  type = object({
    days     = number
    prefixes = list(string)
  })
  default = null

  validation {
    condition     = var.expire_segments == null || try(var.expire_segments.days > var.minimum_retention_days, false)
    error_message = "What expires must be older than the shortest lock."
  }

  validation {
    condition     = var.expire_segments == null || !var.s3_compatible
    error_message = "For a store other than AWS, set up the lifecycle rule by that store's own means."
  }
}

variable "kms" {
  description = "Encrypt with a KMS key of the archive's own. Otherwise with keys that S3 manages."
  type        = bool
  default     = true
}

variable "key_break_glass_arns" {
  description = <<-TEXT
    Roles that may disable the key or schedule its deletion, for an emergency; not the writer, and no role in daily use.
    Empty: no principal may, until the key's policy is changed.
  TEXT
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for one in var.key_break_glass_arns : !strcontains(one, "*")])
    error_message = "Name each break-glass role in full, without wildcards."
  }
}

variable "account_id" {
  description = "Account that owns the key; null for that of the provider's credentials."
  type        = string
  default     = null
}

variable "access_log_bucket" {
  description = "Bucket that receives S3's access log: who read what. It must be another one, without Object Lock."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of all resources of this module."
  type        = map(string)
  default     = {}
}
