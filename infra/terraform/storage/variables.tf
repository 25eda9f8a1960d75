variable "bucket" {
  description = "Name of the bucket. It holds one archive or several below different prefixes, and nothing else."
  type        = string
}

variable "s3_compatible" {
  description = <<-TEXT
    The bucket lies in an S3-compatible store such as MinIO, not in Amazon's. Versioning and Object Lock are set up all
    the same; what only Amazon has is left out: the bucket policy with its conditions (so nothing but the writer's own
    permissions forbids deleting and writing over), the public access block, ownership controls, encryption by KMS, and
    the lifecycle rule. Set the writer's permissions there by that store's own means.
  TEXT
  type        = bool
  default     = false
}

variable "writer_arns" {
  description = "Roles that may write. Empty: whoever has the permission in this account."
  type        = list(string)
  default     = []
}

variable "minimum_retention_days" {
  description = <<-TEXT
    A lock that ends sooner than this is refused, so that no mistake in the settings leaves a night unprotected. Keep it
    below the period of cxvault's `object_lock`; 0 allows any, and then `cxvault doctor` can try locks of a day.
  TEXT
  type        = number
  default     = 0
}

variable "maximum_retention_days" {
  description = "A lock that ends later than this is refused: COMPLIANCE for 700 years by a slip of the key is for ever."
  type        = number
  default     = 3700

  validation {
    condition     = var.maximum_retention_days > var.minimum_retention_days
    error_message = "The longest lock must be longer than the shortest."
  }
}

variable "default_retention" {
  description = <<-TEXT
    A lock that the bucket gives to objects that are put without one. cxvault asks for its own lock with each object
    (`object_lock`), so this only matters for what others put here.
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
    What lies under `segments/` of the archives at these prefixes ("" for the bucket's root) is deleted so many days after
    it was written: first hidden by a delete marker, then its version, then the marker. Never a manifest: audit records
    outlive data. Null keeps everything. Say more days than any lock lasts, longer ones by `cxvault retention extend`
    included: S3 removes no version that is locked or held, but hides it all the same. See ../../README.md, "After
    retention".
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
    error_message = "In another store than Amazon's set up the lifecycle rule by that store's own means."
  }
}

variable "kms" {
  description = "Encrypt with a KMS key of the archive's own. Otherwise with keys that S3 manages."
  type        = bool
  default     = true
}

variable "access_log_bucket" {
  description = "Bucket that receives S3's access log: who read what. It must be another one, without Object Lock."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}
