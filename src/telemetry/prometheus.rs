//! The metrics in the text exposition format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write as _;

use crate::telemetry::metrics::{LAST_SUCCESS, MetricFamily, Sample};

/// Returns the metrics as text. All are gauges: each run replaces the values of the run before it.
pub fn text(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for MetricFamily {
        name,
        help,
        samples,
    } in families
    {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for sample in samples {
            let _ = writeln!(text, "{name}{} {}", labels(sample), sample.value);
        }
    }
    text
}

/// Returns the labels of a value in braces; nothing if there are none.
fn labels(sample: &Sample) -> String {
    if sample.labels.is_empty() {
        return String::new();
    }
    let pairs = sample.labels.iter().map(|(name, value)| {
        let escaped = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("{name}=\"{escaped}\"")
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

/// Returns when a run last succeeded, in UTC milliseconds, from an earlier text of this module.
pub fn last_success_ms(text: &str) -> Option<i64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(LAST_SUCCESS)?.strip_prefix(' '))?;
    let seconds: f64 = value.trim().parse().ok()?;
    (seconds.is_finite() && seconds > 0.0).then_some((seconds * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_says_of_the_last_success_is_read_back() {
        let of = |value: f64| {
            let samples = vec![Sample {
                labels: Vec::new(),
                value,
            }];
            last_success_ms(&text(&[MetricFamily {
                name: LAST_SUCCESS,
                help: "When.",
                samples,
            }]))
        };
        assert_eq!(of(1_795_506_000.0), Some(1_795_506_000_000));
        assert_eq!(of(1_795_506_000.123), Some(1_795_506_000_123));
        for nothing in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(of(nothing), None);
        }
        for nothing in [
            "",
            "cxvault_last_success_timestamp_seconds",
            "cxvault_last_success_timestamp_seconds x",
        ] {
            assert_eq!(last_success_ms(nothing), None);
        }
    }

    #[test]
    fn a_label_cannot_end_its_own_quotes() {
        let sample = Sample {
            labels: vec![("a", "x\"} 1\n\\".to_owned())],
            value: 1.0,
        };
        let family = MetricFamily {
            name: "n",
            help: "h",
            samples: vec![sample],
        };
        assert!(text(&[family]).ends_with("n{a=\"x\\\"} 1\\n\\\\\"} 1\n"));
    }
}
