//! Request limits in the notation of the settings (`3/60s,9/15m`, or `off`), and a machine's share of them.
//!
//! Where several machines use one account, each has a share: [`Limits::share`] computes limits for one machine such
//! that all of them together observe the account's limits, without talking to each other.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// At most `requests` in any sliding `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// At least 1.
    pub requests: u32,
    /// Longer than zero, in whole milliseconds.
    pub window: Duration,
}

/// Limits that all hold at the same time; an empty list means `off`.
///
/// ```
/// use cxvault::ringcx::limits::{Limits, QuotaShare};
///
/// let limits: Limits = "3/60s,9/15m".parse()?;
/// let third: QuotaShare = "1/3".parse()?;
/// assert_eq!(limits.share(third).to_string(), "1/60s,3/15m");
/// assert_eq!(limits.time_for(18).as_secs(), 1_800);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits(pub Vec<Limit>);

/// The error of a text that is not in the notation of limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a limit; write requests/window with ms, s or m, such as 120/60s, several with commas, or off"
)]
pub struct NotALimit(String);

impl Limits {
    /// Returns whether there is no limit.
    #[must_use]
    pub(crate) fn are_off(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the shortest time in which `requests` can be sent; zero without a limit.
    pub fn time_for(&self, requests: u64) -> Duration {
        let seconds = self
            .0
            .iter()
            .map(|limit| limit.window.as_secs_f64() * requests as f64 / f64::from(limit.requests));
        // A duration holds more than these 300,000 years, but not every float.
        Duration::from_secs_f64(seconds.fold(0.0, f64::max).min(1.0e13))
    }

    /// Returns the limits for one machine, such that all machines together observe these limits: the share of each
    /// limit's requests, rounded down; where that is less than one, one request in a longer window, rounded up.
    ///
    /// Where every machine's share is at least one request, no window of any limit ever holds more than it allows.
    /// Otherwise machines may send at the same moment, and the limit holds on average over the longer window.
    #[must_use]
    pub fn share(&self, share: QuotaShare) -> Limits {
        Limits(self.0.iter().map(|limit| limit.share(share)).collect())
    }

    /// Returns the share of the tightest limit that `requests` in `elapsed_ms` used, from 0 to 1; `None` without a
    /// limit. `limiters` scopes have the limits each. The time counts as one window at least.
    pub fn used(&self, requests: u64, limiters: u64, elapsed_ms: i64) -> Option<f64> {
        let allowed = self.0.iter().map(|limit| {
            let window_ms = limit.window.as_millis() as f64;
            f64::from(limit.requests) * (elapsed_ms as f64).max(window_ms) / window_ms
        });
        let allowed = allowed.reduce(f64::min)? * limiters.max(1) as f64;
        Some((requests as f64 / allowed).min(1.0))
    }
}

impl Limit {
    fn share(&self, share: QuotaShare) -> Limit {
        let (parts, of) = (u64::from(share.parts), u64::from(share.of));
        // No overflow: texts have at most 2^32 requests, 2^48 ms and a thousand parts.
        let granted = u64::from(self.requests) * parts;
        match u32::try_from(granted / of) {
            Ok(0) => {
                let window_ms = (self.window.as_millis() as u64 * of).div_ceil(granted);
                Limit {
                    requests: 1,
                    window: Duration::from_millis(window_ms),
                }
            }
            Ok(requests) => Limit { requests, ..*self },
            // Not possible: a share is at most 1.
            Err(_) => *self,
        }
    }
}

/// A machine's share of the limits: `1/3`, or `1` for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaShare {
    parts: u32,
    of: u32,
}

/// The largest number of parts: with more machines, each would wait for minutes to send one request.
const MOST_PARTS: u32 = 1_000;

/// The error of a text that is not in the notation of shares.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no share; write the parts that are this machine's, such as 1/3, at most all of 1000, or 1"
)]
pub struct NotAShare(String);

impl QuotaShare {
    /// Returns the share that is left for other machines, if any.
    pub fn rest(self) -> Option<QuotaShare> {
        (self.parts < self.of).then(|| QuotaShare {
            parts: self.of - self.parts,
            of: self.of,
        })
    }
}

impl FromStr for QuotaShare {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let (parts, of) = text.split_once('/').unwrap_or((text, "1"));
        match (parts.trim().parse::<u32>(), of.trim().parse::<u32>()) {
            (Ok(parts), Ok(of)) if (1..=of).contains(&parts) && of <= MOST_PARTS => {
                Ok(QuotaShare { parts, of })
            }
            _ => Err(NotAShare(crate::format::text::printable_start(text, 40))),
        }
    }
}

impl fmt::Display for QuotaShare {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.parts == self.of {
            out.write_str("1")
        } else {
            write!(out, "{}/{}", self.parts, self.of)
        }
    }
}

impl FromStr for Limits {
    type Err = NotALimit;

    fn from_str(text: &str) -> Result<Self, NotALimit> {
        if text.trim() == "off" {
            return Ok(Limits::default());
        }
        let limits = text
            .split(',')
            .map(|part| limit(part.trim()).ok_or_else(|| NotALimit(part.trim().into())));
        Ok(Limits(limits.collect::<Result<_, _>>()?))
    }
}

/// Parses a single limit such as `9/15m`.
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
        if self.are_off() {
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_slowest_limit_sets_the_time() {
        let limits: Limits = "3/60s,9/15m".parse().unwrap();
        assert_eq!(limits.time_for(9), Duration::from_secs(900));
        assert_eq!(
            "120/60s".parse::<Limits>().unwrap().time_for(172_800),
            Duration::from_secs(86_400)
        );
        assert_eq!(
            "off".parse::<Limits>().unwrap().time_for(u64::MAX),
            Duration::ZERO
        );
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

    fn shared(limits: &str, share: &str) -> String {
        limits
            .parse::<Limits>()
            .unwrap()
            .share(share.parse().unwrap())
            .to_string()
    }

    #[test]
    fn a_share_is_rounded_down_or_takes_longer() {
        assert_eq!(shared("120/60s", "1/3"), "40/60s");
        assert_eq!(shared("3/60s,9/15m", "1/3"), "1/60s,3/15m");
        assert_eq!(shared("3/60s,9/15m", "1/4"), "1/80s,2/15m");
        assert_eq!(shared("5/60s", "2/3"), "3/60s");
        assert_eq!(shared("3/60s", "1/1000"), "1/20000s");
        assert_eq!(shared("off", "1/3"), "off");
        for whole in ["1", "1/1", "7/7"] {
            assert_eq!(
                shared("4294967295/1ms,3/60s", whole),
                "4294967295/1ms,3/60s"
            );
            assert_eq!(whole.parse::<QuotaShare>().unwrap().rest(), None);
        }
        assert_eq!(
            shared("4294967295/4294967295m", "1/1000"),
            "4294967/4294967295m"
        );
        assert_eq!(
            "1/3"
                .parse::<QuotaShare>()
                .unwrap()
                .rest()
                .unwrap()
                .to_string(),
            "2/3"
        );
        for wrong in [
            "", "0", "2", "0/3", "4/3", "1/0", "1/1001", "-1/3", "1/3/3", "0.5", "1/3%",
        ] {
            let error = wrong.parse::<QuotaShare>().unwrap_err();
            assert!(
                error.to_string().contains("such as 1/3"),
                "{wrong}: {error}"
            );
        }
    }

    /// Returns the milliseconds at which a machine sends as soon as its limit allows: bursts, each as soon as the
    /// window lets it.
    fn greedy(limit: Limit, begun_ms: u64, until_ms: u64) -> impl Iterator<Item = u64> {
        let window_ms = limit.window.as_millis() as usize;
        let bursts = (begun_ms..until_ms).step_by(window_ms);
        bursts.flat_map(move |at| std::iter::repeat_n(at, limit.requests as usize))
    }

    /// The most instants in any half-open window of that length.
    fn most_within(sent: &[u64], window_ms: u64) -> usize {
        let within = |first: usize| {
            sent[first..]
                .iter()
                .take_while(|at| **at < sent[first] + window_ms)
                .count()
        };
        (0..sent.len()).map(within).max().unwrap_or(0)
    }

    proptest! {
        /// Machines whose equal shares sum to all of the limit, started at any time, each sending as soon as it may.
        #[test]
        fn machines_with_equal_shares_keep_the_whole(
            requests in 1_u32..16,
            window_ms in 20_u64..500,
            begun in prop::collection::vec(0_u64..2_000, 1..12),
        ) {
            let whole = Limit { requests, window: Duration::from_millis(window_ms) };
            let machines = begun.len() as u32;
            let mine = whole.share(QuotaShare { parts: 1, of: machines });
            let mine_ms = mine.window.as_millis() as u64;
            let mut sent: Vec<u64> = begun.iter().flat_map(|&at| greedy(mine, at, 8_000)).collect();
            sent.sort_unstable();
            if machines <= requests {
                prop_assert_eq!(mine_ms, window_ms);
                prop_assert!(most_within(&sent, window_ms) <= requests as usize);
            } else {
                // In that time the limit allows a request for each machine, or slightly more.
                prop_assert_eq!(mine.requests, 1);
                prop_assert!(most_within(&sent, mine_ms) <= machines as usize);
                prop_assert!(u64::from(machines) * window_ms <= u64::from(requests) * mine_ms);
                prop_assert!(u64::from(machines) * window_ms > u64::from(requests) * (mine_ms - 1), "no longer than needed");
            }
            // One more request for each machine would exceed the limit.
            prop_assert!(machines > requests || (mine.requests + 1) * machines > requests);
        }

        /// With shares that sum to all of a limit, it is not exceeded on average, nor in any of its windows where
        /// each share gives a request.
        #[test]
        fn shares_that_sum_to_the_whole_keep_it(
            requests in 1_u32..1_000,
            window_ms in 1_u64..1_000_000,
            parts in prop::collection::vec(1_u32..20, 1..12),
        ) {
            let whole = Limit { requests, window: Duration::from_millis(window_ms) };
            let of = parts.iter().sum();
            let shares: Vec<Limit> = parts.iter().map(|&parts| whole.share(QuotaShare { parts, of })).collect();
            // Requests in a time that is a multiple of every window, without rounding.
            let rates: f64 = shares.iter().map(|one| f64::from(one.requests) / one.window.as_millis() as f64).sum();
            prop_assert!(rates <= f64::from(requests) / window_ms as f64 * (1.0 + 1e-9));
            if shares.iter().all(|share| share.window == whole.window) {
                prop_assert!(shares.iter().map(|share| share.requests).sum::<u32>() <= requests);
            }
        }
    }

    #[test]
    fn nonsense_is_named() {
        for text in [
            "", "120", "0/60s", "120/0s", "120/60", "120/60h", "x/1s", "3/60s,",
        ] {
            let error = text.parse::<Limits>().unwrap_err();
            assert!(error.to_string().contains("120/60s"), "{text}: {error}");
        }
    }
}
