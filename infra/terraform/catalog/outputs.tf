output "database" {
  description = "The Glue database."
  value       = aws_glue_catalog_database.archive.name
}

output "workgroup" {
  description = "The Athena workgroup."
  value       = aws_athena_workgroup.audit.name
}

output "reader_policy_arn" {
  description = "Permissions for queries, for the identity module's `auditor_policy_arns`."
  value       = aws_iam_policy.reader.arn
}
