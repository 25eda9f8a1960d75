//! A run as gauges: names, labels and meaning are those of `infra/prometheus/metrics.prom`, which a test compares.

use crate::format::record::warning::WarningCode;
use crate::format::row::observation::{Status, SummaryKind};
use crate::telemetry::ended::{ChainState, LimitUse, RunEnd, SubAccountEnd};

/// All values of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricFamily {
    pub name: &'static str,
    pub help: &'static str,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

pub const LAST_SUCCESS: &str = "cxvault_last_success_timestamp_seconds";

fn sample(labels: &[(&'static str, &str)], value: f64) -> Sample {
    let labels = labels
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    Sample { labels, value }
}

fn plain(value: f64) -> Vec<Sample> {
    vec![sample(&[], value)]
}

/// Every family that has a value.
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

/// The samples of every sub-account, one sub-account after the other.
fn of_each(ended: &RunEnd, samples: impl Fn(&str, &SubAccountEnd) -> Vec<Sample>) -> Vec<Sample> {
    ended
        .sub_accounts
        .iter()
        .flat_map(|(id, sub_account)| samples(id, sub_account))
        .collect()
}

fn of_days(ended: &RunEnd) -> [MetricFamily; 3] {
    let days = |id: &str, one: &SubAccountEnd| {
        let outcomes = [
            ("complete", one.days.complete),
            ("incomplete", one.days.incomplete),
            ("empty", one.days.empty),
            ("failed", one.days.failed),
        ];
        let of =
            |(outcome, days)| sample(&[("sub_account", id), ("outcome", outcome)], days as f64);
        outcomes.map(of).to_vec()
    };
    let segments = |id: &str, one: &SubAccountEnd| {
        vec![sample(&[("sub_account", id)], one.counts.segments as f64)]
    };
    let summaries = |id: &str, one: &SubAccountEnd| {
        let each = SummaryKind::BOTH
            .into_iter()
            .flat_map(|kind| Status::ALL.map(|status| (kind, status)));
        let of = |(kind, status): (SummaryKind, Status)| {
            let labels = [
                ("sub_account", id),
                ("kind", kind.name()),
                ("status", status.name()),
            ];
            sample(&labels, one.counts.statuses(kind).get(status) as f64)
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

fn of_archive(ended: &RunEnd) -> [MetricFamily; 4] {
    let bytes =
        |id: &str, one: &SubAccountEnd| vec![sample(&[("sub_account", id)], one.bytes as f64)];
    let warnings = |id: &str, one: &SubAccountEnd| {
        let of = |code: WarningCode| {
            let count = one.warnings.get(&code).copied().unwrap_or(0);
            sample(&[("sub_account", id), ("code", code.name())], count as f64)
        };
        WarningCode::ALL.map(of).to_vec()
    };
    let chain = |value: &dyn Fn(ChainState) -> f64| {
        let of = |id: &str, one: &SubAccountEnd| {
            one.chain
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
