variable "name" {
  description = "The metrics' namespace, and the beginning of the alarms' names."
  type        = string
  default     = "cxvault"
}

variable "log_group" {
  description = "CloudWatch log group that holds the standard output of `cxvault run --json`."
  type        = string
}

variable "event" {
  description = "Where in a log line the event lies: `$`, or `$.log_processed` where Fluent Bit wraps it."
  type        = string
  default     = "$"
}

variable "silence_hours" {
  description = "Alarm when no run has ended well for so long: a night, and the time the next one takes."
  type        = number
  default     = 26

  validation {
    condition     = var.silence_hours >= 1 && var.silence_hours <= 168
    error_message = "CloudWatch looks back seven days at most."
  }
}

variable "notify" {
  description = "SNS topics that are told."
  type        = list(string)
}

variable "tags" {
  description = "Tags of all resources of this module."
  type        = map(string)
  default     = {}
}
