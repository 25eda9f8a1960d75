variable "name" {
  description = "The roles are NAME-writer, NAME-auditor and NAME-custodian."
  type        = string
  default     = "cxvault"
}

variable "bucket_arn" {
  description = "Output `bucket_arn` of the storage module."
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

variable "kms_key_arn" {
  description = "Output `kms_key_arn` of the storage module; null without a key."
  type        = string
  default     = null
}

variable "oidc_provider_arn" {
  description = "IAM's OIDC provider of the Kubernetes cluster, arn:aws:iam::ACCOUNT:oidc-provider/ISSUER."
  type        = string
}

variable "service_accounts" {
  description = "Kubernetes service accounts that may assume the writer role, as NAMESPACE:NAME."
  type        = list(string)
  default     = ["cxvault:cxvault"]

  validation {
    condition     = length(var.service_accounts) > 0 && alltrue([for one in var.service_accounts : can(regex("^[a-z0-9-]+:[a-z0-9.-]+$", one))])
    error_message = "A service account is NAMESPACE:NAME, without wildcards: any other account of the cluster could write as well."
  }
}

variable "auditor_arns" {
  description = "Roles or users that may assume the auditor role. Empty: the role is not created."
  type        = list(string)
  default     = []
}

variable "auditor_policy_arns" {
  description = "Further policies of the auditor, such as output `reader_policy_arn` of the catalog module."
  type        = map(string)
  default     = {}
}

variable "custodian_arns" {
  description = "Roles or users that may assume the custodian role, which sets and lifts legal holds. Empty: it is not created."
  type        = list(string)
  default     = []
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles, where the account requires one."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of all resources of this module."
  type        = map(string)
  default     = {}
}
