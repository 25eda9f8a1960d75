# Alarms from the JSON lines of the runs: the last one of each says how it ended. Where Prometheus is at hand,
# infra/prometheus has more of them.

locals {
  exit = "${var.event}.exit"
  # What each metric counts, by cxvault's exit codes. 5 and 11 mean "again later": only their staying is an alarm.
  metrics = {
    Archived  = "{ (${var.event}.event = \"summary\") && ((${local.exit} = 0) || (${local.exit} = 3)) }"
    Gaps      = "{ (${var.event}.event = \"summary\") && (${local.exit} = 3) }"
    Violated  = "{ ${local.exit} = 4 }"
    CannotRun = "{ (${local.exit} = 1) || (${local.exit} = 2) || (${local.exit} = 6) }"
  }
  failures = {
    Violated = {
      severity = "critical"
      text     = "The archive contradicts itself, or what its host remembers (exit 4). Stop the nightly run, write nothing more, run `cxvault verify`, and find out who changed it: CloudTrail has the bucket's history."
    }
    CannotRun = {
      severity = "critical"
      text     = "A run ended with wrong settings (2), without access (6) or unexpectedly (1). The last line of its log says what is to be corrected; days are made up for afterwards, 14 days back."
    }
    Gaps = {
      severity = "warning"
      text     = "A day was committed with gaps or warnings (exit 3). The next run fills what it can; `cxvault status` names what is missing. What stays is acknowledged by name."
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "runs" {
  for_each       = local.metrics
  name           = "${var.name}-${each.key}"
  log_group_name = var.log_group
  pattern        = each.value

  metric_transformation {
    namespace = var.name
    name      = each.key
    value     = "1"
    unit      = "Count"
  }
}

# A job that does not run at all says nothing: silence is what this one hears.
resource "aws_cloudwatch_metric_alarm" "silence" {
  alarm_name          = "${var.name}-silence"
  alarm_description   = "critical: no run has archived anything for ${var.silence_hours} hours. Does the job start? Its log's last line says why it ended; exit 5 means that RingCX or the store was not to be reached. Three missed nights repair themselves; beyond 14 days use `cxvault backfill`."
  namespace           = var.name
  metric_name         = "Archived"
  statistic           = "Sum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 3600
  evaluation_periods  = var.silence_hours
  datapoints_to_alarm = var.silence_hours
  treat_missing_data  = "breaching"
  alarm_actions       = var.notify
  ok_actions          = var.notify
  tags                = var.tags

  depends_on = [aws_cloudwatch_log_metric_filter.runs]
}

resource "aws_cloudwatch_metric_alarm" "failures" {
  for_each            = local.failures
  alarm_name          = "${var.name}-${lower(each.key)}"
  alarm_description   = "${each.value.severity}: ${each.value.text}"
  namespace           = var.name
  metric_name         = each.key
  statistic           = "Sum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.notify
  tags                = var.tags

  depends_on = [aws_cloudwatch_log_metric_filter.runs]
}
