output "bucket" {
  description = "The bucket's name; cxvault's `archive` is s3://BUCKET/PREFIX."
  value       = aws_s3_bucket.archive.id

  # Objects that are written before versioning is enabled are unversioned.
  depends_on = [aws_s3_bucket_versioning.archive, aws_s3_bucket_policy.archive]
}

output "bucket_arn" {
  description = "The bucket's ARN, for the identity module."
  value       = local.bucket_arn
}

output "kms_key_arn" {
  description = "The key's ARN, for the identity module and for cxvault's `s3_kms_key_id`; null without one."
  value       = one(aws_kms_key.archive[*].arn)
}
