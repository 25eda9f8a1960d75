//! Request limits as the settings write them: `3/60s,9/15m`, or `off`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// At most `requests` in any `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub requests: u32,
    pub window: Duration,
}

/// Limits that hold at once; none means `off`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits(pub Vec<Limit>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a limit; write requests/window with ms, s or m, such as 120/60s, several with commas, or off"
)]
pub struct NotALimit(String);

impl Limits {
    /// How long so many requests take at least. Nothing without a limit.
    pub fn time_for(&self, requests: u64) -> Duration {
        let seconds =
            |limit: &Limit| limit.window.as_secs_f64() * requests as f64 / f64::from(limit.requests);
        let longest = self.0.iter().map(seconds).fold(0.0, f64::max);
        // Beyond half a million years nobody asks.
        Duration::from_secs_f64(longest.min(1.0e13))
    }
}

impl FromStr for Limits {
    type Err = NotALimit;

    fn from_str(text: &str) -> Result<Self, NotALimit> {
        if text.trim() == "off" {
            return Ok(Limits::default());
        }
        let limits =
            text.split(',').map(|part| limit(part.trim()).ok_or_else(|| NotALimit(part.trim().into())));
        Ok(Limits(limits.collect::<Result<_, _>>()?))
    }
}

impl Limits {
    /// The share of the tightest limit that `requests` over so many `lanes` used in that time, 0 to 1, counted over one
    /// window at least; `None` without a limit.
    pub fn used(&self, requests: u64, lanes: u64, elapsed_ms: i64) -> Option<f64> {
        let allowed = |limit: &Limit| {
            let window_ms = limit.window.as_millis() as f64;
            f64::from(limit.requests) * (elapsed_ms as f64).max(window_ms) / window_ms
        };
        let allowed = self.0.iter().map(allowed).reduce(f64::min)? * lanes.max(1) as f64;
        Some((requests as f64 / allowed).min(1.0))
    }
}

fn limit(text: &str) -> Option<Limit> {
    let (requests, window) = text.split_once('/')?;
    let digits = window.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &window[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    let window = Duration::from_millis(digits.parse::<u32>().ok().map(u64::from)? * unit_ms);
    let requests = requests.parse().ok().filter(|&requests| requests > 0)?;
    (!window.is_zero()).then_some(Limit { requests, window })
}

impl fmt::Display for Limits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return out.write_str("off");
        }
        for (n, limit) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let ms = limit.window.as_millis();
            match ms {
                ms if ms % 60_000 == 0 && ms > 60_000 => {
                    write!(out, "{comma}{}/{}m", limit.requests, ms / 60_000)?
                }
                ms if ms % 1_000 == 0 => write!(out, "{comma}{}/{}s", limit.requests, ms / 1_000)?,
                ms => write!(out, "{comma}{}/{ms}ms", limit.requests)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_limit_sets_the_time() {
        let limits: Limits = "3/60s,9/15m".parse().unwrap();
        assert_eq!(limits.time_for(9), Duration::from_secs(900));
        assert_eq!("120/60s".parse::<Limits>().unwrap().time_for(172_800), Duration::from_secs(86_400));
        assert_eq!("off".parse::<Limits>().unwrap().time_for(u64::MAX), Duration::ZERO);
        limits.time_for(u64::MAX);
    }

    #[test]
    fn limits_read_and_write_the_same_text() {
        for text in ["120/60s", "3/60s,9/15m", "5/60s", "2/250ms", "off"] {
            assert_eq!(text.parse::<Limits>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_used_is_measured_by_the_tightest_limit() {
        let limits: Limits = "3/60s,9/15m".parse().unwrap();
        assert_eq!(limits.used(3, 1, 1_000), Some(1.0));
        assert_eq!(limits.used(9, 1, 1_800_000), Some(0.5));
        assert_eq!(limits.used(9, 2, 1_800_000), Some(0.25));
        assert_eq!(limits.used(0, 0, 0), Some(0.0));
        assert_eq!("off".parse::<Limits>().unwrap().used(7, 1, 1_000), None);
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["", "120", "0/60s", "120/0s", "120/60", "120/60h", "x/1s", "3/60s,"] {
            let error = text.parse::<Limits>().unwrap_err();
            assert!(error.to_string().contains("120/60s"), "{text}: {error}");
        }
    }
}
