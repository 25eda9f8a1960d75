output "alarms" {
  description = "Names of the alarms."
  value       = concat([aws_cloudwatch_metric_alarm.silence.alarm_name], [for one in aws_cloudwatch_metric_alarm.failures : one.alarm_name])
}
