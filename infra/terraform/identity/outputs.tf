output "writer_role_arn" {
  description = "For the annotation eks.amazonaws.com/role-arn of the service account, and for the storage module's `writer_arns`."
  value       = aws_iam_role.writer.arn
}

output "custodian_role_arn" {
  description = "For the storage module's `writer_arns`: a hold is recorded in the chain. Null without one."
  value       = one(aws_iam_role.custodian[*].arn)
}

output "auditor_role_arn" {
  description = "The auditor's role; null without one."
  value       = one(aws_iam_role.auditor[*].arn)
}

output "writer_policy" {
  description = "The writer's permissions as JSON, for a role that is created elsewhere."
  value       = data.aws_iam_policy_document.writer.json
}

output "auditor_policy" {
  description = "The auditor's permissions as JSON, for a role that is created elsewhere."
  value       = data.aws_iam_policy_document.reader.json
}
