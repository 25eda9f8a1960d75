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

/// A function that computes the values of a metric from the facts of a run.
type Samples = fn(&RunEnd) -> Vec<Sample>;

/// Name and help text of each metric, and how its values are computed from the facts of a run. The metrics file lists them
/// in this order.
const METRICS: [(&str, &str, Samples); 15] = [
    (
        "cxvault_last_run_timestamp_seconds",
        "When the last run ended, in seconds since 1970.",
        |ended| plain(seconds(ended.ended_ms)),
    ),
    (
        LAST_SUCCESS,
        "When a run last ended with exit code 0 or 3.",
        |ended| {
            ended
                .last_success_ms
                .map(seconds)
                .map_or_else(Vec::new, plain)
        },
    ),
    (
        "cxvault_run_duration_seconds",
        "How long the last run took.",
        |ended| plain(seconds(ended.ended_ms - ended.started_ms)),
    ),
    ("cxvault_exit_code", "Exit code of the last run.", |ended| {
        plain(f64::from(ended.exit.code()))
    }),
    (
        "cxvault_days",
        "Days that the last run looked at, by what became of them; failed ones were not committed.",
        |ended| by_sub_account(ended, days),
    ),
    ("cxvault_segments", "Segments of those days.", |ended| {
        total(ended, |end| end.counts.segments)
    }),
    (
        "cxvault_summaries",
        "Summaries of those segments, by kind and status.",
        |ended| by_sub_account(ended, summaries),
    ),
    (
        "cxvault_requests",
        "Requests that the last run sent, by the limit they count against.",
        |ended| by_limit(ended, |limit| Some(limit.requests as f64)),
    ),
    (
        "cxvault_requests_throttled",
        "Requests that were answered with 429.",
        |ended| sum(ended, |limit| limit.throttled),
    ),
    (
        "cxvault_retries",
        "Requests that were sent again.",
        |ended| sum(ended, |limit| limit.retries),
    ),
    (
        "cxvault_quota_used_ratio",
        "Share of each limit that the last run used, 0 to 1.",
        |ended| by_limit(ended, |limit| limit.used),
    ),
    (
        "cxvault_bytes_written",
        "Bytes of the Parquet files that the last run committed.",
        |ended| total(ended, |end| end.bytes),
    ),
    (
        "cxvault_warnings",
        "Warnings of the last run that are not acknowledged, by their code.",
        |ended| by_sub_account(ended, warnings),
    ),
    (
        "cxvault_oldest_unsealed_day_age_seconds",
        "Time since the end of the oldest day, of the chain's first and all after it, that is missing or has gaps; 0 without one.",
        |ended| by_chain(ended, |chain| unsealed_age_s(chain, ended.ended_ms)),
    ),
    (
        "cxvault_chain_sequence",
        "Sequence number of the chain's newest manifest.",
        |ended| by_chain(ended, |chain| chain.sequence as f64),
    ),
];

/// Returns all metrics that have a value.
pub fn families(ended: &RunEnd) -> Vec<MetricFamily> {
    METRICS
        .iter()
        .map(|(name, help, samples)| MetricFamily {
            name,
            help,
            samples: samples(ended),
        })
        .filter(|family| !family.samples.is_empty())
        .collect()
}

/// Returns a length or an instant in milliseconds as seconds, the unit of time in Prometheus.
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Returns one value without labels.
fn plain(value: f64) -> Vec<Sample> {
    vec![Sample {
        labels: Vec::new(),
        value,
    }]
}

/// Returns one number for all limits together.
fn sum(ended: &RunEnd, value: fn(&LimitUse) -> u64) -> Vec<Sample> {
    plain(ended.limits.iter().map(value).sum::<u64>() as f64)
}

/// Returns a value for each limit that has one.
fn by_limit(ended: &RunEnd, value: fn(&LimitUse) -> Option<f64>) -> Vec<Sample> {
    ended
        .limits
        .iter()
        .filter_map(|limit| {
            Some(Sample {
                labels: vec![("limit", limit.limit.to_owned())],
                value: value(limit)?,
            })
        })
        .collect()
}

/// The value of a sub-account, with the names and values of the labels that it has besides the sub-account.
type Labelled = (Vec<(&'static str, &'static str)>, f64);

/// Returns the values of all sub-accounts, one sub-account after the other.
fn by_sub_account(ended: &RunEnd, values: impl Fn(&SubAccountEnd) -> Vec<Labelled>) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (id, end) in &ended.sub_accounts {
        for (more, value) in values(end) {
            let mut labels = vec![("sub_account", id.clone())];
            labels.extend(more.into_iter().map(|(name, text)| (name, text.to_owned())));
            samples.push(Sample { labels, value });
        }
    }
    samples
}

/// Returns one value for each sub-account.
fn total(ended: &RunEnd, value: fn(&SubAccountEnd) -> u64) -> Vec<Sample> {
    by_sub_account(ended, |end| vec![(Vec::new(), value(end) as f64)])
}

/// Returns a value for each sub-account whose chain could be read.
fn by_chain(ended: &RunEnd, value: impl Fn(ChainState) -> f64) -> Vec<Sample> {
    by_sub_account(ended, |end| {
        let chain = end.chain.into_iter();
        chain.map(|chain| (Vec::new(), value(chain))).collect()
    })
}

/// Returns the number of days with each outcome.
fn days(end: &SubAccountEnd) -> Vec<Labelled> {
    let outcomes = [
        ("complete", end.days.complete),
        ("incomplete", end.days.incomplete),
        ("empty", end.days.empty),
        ("failed", end.days.failed),
    ];
    outcomes
        .map(|(outcome, days)| (vec![("outcome", outcome)], days as f64))
        .to_vec()
}

/// Returns the number of summaries of each kind and status.
fn summaries(end: &SubAccountEnd) -> Vec<Labelled> {
    let mut counts = Vec::new();
    for kind in SummaryKind::BOTH {
        for status in Status::ALL {
            let labels = vec![("kind", kind.name()), ("status", status.name())];
            counts.push((labels, end.counts.statuses(kind).get(status) as f64));
        }
    }
    counts
}

/// Returns the number of warnings with each code.
fn warnings(end: &SubAccountEnd) -> Vec<Labelled> {
    let codes = WarningCode::ALL.into_iter();
    codes
        .map(|code| {
            let count = end.warnings.get(&code).copied().unwrap_or(0);
            (vec![("code", code.name())], count as f64)
        })
        .collect()
}

/// Returns the time from the end of the oldest day that is missing or has gaps to `now_ms`; 0 without such a day.
fn unsealed_age_s(chain: ChainState, now_ms: i64) -> f64 {
    let age_ms = chain.oldest_unsealed_ms.map_or(0, |end_ms| now_ms - end_ms);
    seconds(age_ms.max(0))
}
