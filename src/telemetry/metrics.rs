//! The facts of a run as gauges. Names, labels and help texts are those of `infra/prometheus/metrics.prom`; a test compares
//! them. Alerts and dashboards rely on the names, so they do not change.

use crate::format::record::WarningCode;
use crate::format::row::{Status, SummaryKind};
use crate::telemetry::ended::{ChainState, LimitUse, RunEnd, SubAccountEnd};

/// A metric and all its values.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricFamily {
    /// Name of the metric.
    pub name: &'static str,
    /// One sentence about its meaning.
    pub help: &'static str,
    /// Its values.
    pub samples: Vec<Sample>,
}

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Names and values of its labels.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// Name of the metric that later runs read back from the metrics file.
pub(crate) const LAST_SUCCESS: &str = "cxvault_last_success_timestamp_seconds";

fn sample(labels: &[(&'static str, &str)], value: f64) -> Sample {
    let labels = labels
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    Sample { labels, value }
}

/// Returns one value without labels.
fn plain(value: f64) -> Vec<Sample> {
    vec![sample(&[], value)]
}

/// Returns all metrics that have a value.
pub fn families(ended: &RunEnd) -> Vec<MetricFamily> {
    let family = |name, help, samples| MetricFamily {
        name,
        help,
        samples,
    };
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let mut families = vec![
        family(
            "cxvault_last_run_timestamp_seconds",
            "When the last run ended, in seconds since 1970.",
            plain(seconds(ended.ended_ms)),
        ),
        family(
            LAST_SUCCESS,
            "When a run last ended with exit code 0 or 3.",
            ended
                .last_success_ms
                .map(|ms| plain(seconds(ms)))
                .unwrap_or_default(),
        ),
        family(
            "cxvault_run_duration_seconds",
            "How long the last run took.",
            plain(seconds(ended.ended_ms - ended.started_ms)),
        ),
        family(
            "cxvault_exit_code",
            "Exit code of the last run.",
            plain(f64::from(ended.exit.code())),
        ),
    ];
    families.extend(of_days(ended));
    families.extend(of_requests(&ended.limits));
    families.extend(of_archive(ended));
    families.retain(|family| !family.samples.is_empty());
    families
}

/// Returns the values of all sub-accounts, one sub-account after the other.
fn of_each(ended: &RunEnd, samples: impl Fn(&str, &SubAccountEnd) -> Vec<Sample>) -> Vec<Sample> {
    ended
        .sub_accounts
        .iter()
        .flat_map(|(id, sub_account)| samples(id, sub_account))
        .collect()
}

/// Returns the metrics of the days of this run.
fn of_days(ended: &RunEnd) -> [MetricFamily; 3] {
    let days = |id: &str, end: &SubAccountEnd| {
        let outcomes = [
            ("complete", end.days.complete),
            ("incomplete", end.days.incomplete),
            ("empty", end.days.empty),
            ("failed", end.days.failed),
        ];
        let of =
            |(outcome, days)| sample(&[("sub_account", id), ("outcome", outcome)], days as f64);
        outcomes.map(of).to_vec()
    };
    let segments = |id: &str, end: &SubAccountEnd| {
        vec![sample(&[("sub_account", id)], end.counts.segments as f64)]
    };
    let summaries = |id: &str, end: &SubAccountEnd| {
        let each = SummaryKind::BOTH
            .into_iter()
            .flat_map(|kind| Status::ALL.map(|status| (kind, status)));
        let of = |(kind, status): (SummaryKind, Status)| {
            let labels = [
                ("sub_account", id),
                ("kind", kind.name()),
                ("status", status.name()),
            ];
            sample(&labels, end.counts.statuses(kind).get(status) as f64)
        };
        each.map(of).collect()
    };
    [
        MetricFamily {
            name: "cxvault_days",
            help: "Days that the last run looked at, by what became of them; failed ones were not committed.",
            samples: of_each(ended, days),
        },
        MetricFamily {
            name: "cxvault_segments",
            help: "Segments of those days.",
            samples: of_each(ended, segments),
        },
        MetricFamily {
            name: "cxvault_summaries",
            help: "Summaries of those segments, by kind and status.",
            samples: of_each(ended, summaries),
        },
    ]
}

/// Returns the metrics of the requests of this run.
fn of_requests(limits: &[LimitUse]) -> [MetricFamily; 4] {
    let by_limit = |value: fn(&LimitUse) -> Option<f64>| {
        let one =
            |limit: &LimitUse| value(limit).map(|value| sample(&[("limit", limit.limit)], value));
        limits.iter().filter_map(one).collect()
    };
    let sum = |value: fn(&LimitUse) -> u64| plain(limits.iter().map(value).sum::<u64>() as f64);
    [
        MetricFamily {
            name: "cxvault_requests",
            help: "Requests that the last run sent, by the limit they count against.",
            samples: by_limit(|limit| Some(limit.requests as f64)),
        },
        MetricFamily {
            name: "cxvault_requests_throttled",
            help: "Requests that were answered with 429.",
            samples: sum(|limit| limit.throttled),
        },
        MetricFamily {
            name: "cxvault_retries",
            help: "Requests that were sent again.",
            samples: sum(|limit| limit.retries),
        },
        MetricFamily {
            name: "cxvault_quota_used_ratio",
            help: "Share of each limit that the last run used, 0 to 1.",
            samples: by_limit(|limit| limit.used),
        },
    ]
}

/// Returns the metrics of the chains.
fn of_archive(ended: &RunEnd) -> [MetricFamily; 4] {
    let bytes =
        |id: &str, end: &SubAccountEnd| vec![sample(&[("sub_account", id)], end.bytes as f64)];
    let warnings = |id: &str, end: &SubAccountEnd| {
        let of = |code: WarningCode| {
            let count = end.warnings.get(&code).copied().unwrap_or(0);
            sample(&[("sub_account", id), ("code", code.name())], count as f64)
        };
        WarningCode::ALL.map(of).to_vec()
    };
    let chain = |value: &dyn Fn(ChainState) -> f64| {
        let of = |id: &str, end: &SubAccountEnd| {
            end.chain
                .map(|chain| sample(&[("sub_account", id)], value(chain)))
                .into_iter()
                .collect()
        };
        of_each(ended, of)
    };
    let age = |chain: ChainState| {
        chain
            .oldest_unsealed_ms
            .map_or(0.0, |end| (ended.ended_ms - end).max(0) as f64 / 1000.0)
    };
    [
        MetricFamily {
            name: "cxvault_bytes_written",
            help: "Bytes of the Parquet files that the last run committed.",
            samples: of_each(ended, bytes),
        },
        MetricFamily {
            name: "cxvault_warnings",
            help: "Warnings of the last run that are not acknowledged, by their code.",
            samples: of_each(ended, warnings),
        },
        MetricFamily {
            name: "cxvault_oldest_unsealed_day_age_seconds",
            help: "Time since the end of the oldest day, of the chain's first and all after it, that is missing or has gaps; 0 without one.",
            samples: chain(&age),
        },
        MetricFamily {
            name: "cxvault_chain_sequence",
            help: "Sequence number of the chain's newest manifest.",
            samples: chain(&|chain| chain.sequence as f64),
        },
    ]
}
