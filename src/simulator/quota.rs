//! Request limits, enforced exactly.
//!
//! The time of every accepted request is stored as long as its window lasts, so a limit holds for every sliding
//! window, not only for fixed minutes. This is stricter than a token bucket, and never kinder than the real API.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::ringcx::limits::Limits;
use crate::simulator::locked::locked;
use crate::simulator::time::SimulatedTime;

/// Limits that hold for each key (login or sub-account) separately. A refused request does not count.
pub(super) struct Quota {
    limits: Limits,
    state: Mutex<QuotaState>,
}

/// What requests change.
#[derive(Default)]
struct QuotaState {
    /// For each key and each limit, the times of the accepted requests in UTC microseconds.
    logs: HashMap<u64, Vec<VecDeque<i64>>>,
    counts: QuotaCounts,
}

/// The counts since the start or the last reset, over all keys.
#[derive(Default)]
struct QuotaCounts {
    accepted: u64,
    /// Requests answered with 429.
    refused: u64,
    /// Time of the first accepted request, in UTC microseconds.
    first_us: Option<i64>,
    /// Time of the last accepted request.
    last_us: Option<i64>,
    /// For each limit, the largest number of requests in any window.
    fullest: Vec<usize>,
}

impl Quota {
    /// Creates a quota without requests; empty limits admit everything.
    pub(super) fn new(limits: Limits) -> Self {
        Quota {
            limits,
            state: Mutex::default(),
        }
    }

    /// Counts a request of `key` at the simulated present.
    ///
    /// # Errors
    /// The microseconds after which it would be accepted; the request is not counted then.
    pub(super) fn admit(&self, key: u64, time: &SimulatedTime) -> Result<(), i64> {
        let mut state = locked(&self.state);
        // Read under the lock, so that the log is in order.
        let now_us = time.now_us();
        let QuotaState { logs, counts } = &mut *state;
        let limits = &self.limits.0;
        if !limits.is_empty() {
            let logs = logs
                .entry(key)
                .or_insert_with(|| vec![VecDeque::new(); limits.len()]);
            let mut wait_us = 0;
            for (limit, log) in limits.iter().zip(logs.iter_mut()) {
                let window_us = limit.window.as_micros() as i64;
                while log.front().is_some_and(|&at| now_us - at >= window_us) {
                    log.pop_front();
                }
                if log.len() >= limit.requests as usize {
                    wait_us = wait_us.max(log.front().map_or(0, |at| at + window_us - now_us));
                }
            }
            if wait_us > 0 {
                counts.refused += 1;
                return Err(wait_us);
            }
            counts.fullest.resize(limits.len(), 0);
            for (log, fullest) in logs.iter_mut().zip(&mut counts.fullest) {
                log.push_back(now_us);
                *fullest = log.len().max(*fullest);
            }
        }
        counts.accepted += 1;
        counts.first_us.get_or_insert(now_us);
        counts.last_us = Some(now_us);
        Ok(())
    }

    /// Resets the counts for the report; the windows are not reset.
    pub(super) fn reset_counts(&self) {
        locked(&self.state).counts = QuotaCounts::default();
    }

    /// Returns the counts as they appear under `limits` in `/__sim/stats`. A `share` of 1.0 means that a window
    /// was full.
    pub(super) fn report(&self) -> Value {
        let state = locked(&self.state);
        let counts = &state.counts;
        let windows = self.limits.0.iter().enumerate().map(|(n, limit)| {
            let most = counts.fullest.get(n).copied().unwrap_or(0);
            let share = most as f64 / f64::from(limit.requests);
            json!({ "limit": Limits(vec![*limit]).to_string(), "most_in_a_window": most, "share": share })
        });
        json!({
            "limits": self.limits.to_string(), "accepted": counts.accepted, "refused": counts.refused,
            "first_ms": counts.first_us.map(|us| us / 1_000), "last_ms": counts.last_us.map(|us| us / 1_000),
            "windows": windows.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Time that practically stands still until advanced.
    fn still() -> SimulatedTime {
        SimulatedTime::new(Some(jiff::Timestamp::UNIX_EPOCH), 1e-9)
    }

    #[test]
    fn the_request_above_the_limit_is_refused_until_the_window_has_passed() {
        let (quota, time) = (Quota::new("3/60s".parse().unwrap()), still());
        for _ in 0..3 {
            assert_eq!(quota.admit(1, &time), Ok(()));
            time.advance(Duration::from_secs(10));
        }
        assert_eq!(quota.admit(1, &time), Err(30_000_000));
        assert_eq!(
            quota.admit(2, &time),
            Ok(()),
            "another key has its own window"
        );
        time.advance(Duration::from_millis(29_999));
        assert!(quota.admit(1, &time).is_err());
        time.advance(Duration::from_millis(1));
        assert_eq!(
            quota.admit(1, &time),
            Ok(()),
            "refused requests do not count"
        );
        assert_eq!(
            quota.admit(1, &time),
            Err(10_000_000),
            "only the first one has left the window"
        );
        let report = quota.report();
        assert_eq!(
            (&report["accepted"], &report["refused"]),
            (&json!(5), &json!(3))
        );
        assert_eq!(report["windows"][0]["share"], json!(1.0));
    }

    #[test]
    fn all_limits_hold_at_once() {
        let (quota, time) = (Quota::new("3/60s,9/15m".parse().unwrap()), still());
        let mut accepted = 0;
        for _ in 0..14 {
            accepted += (0..4).filter(|_| quota.admit(1, &time).is_ok()).count();
            time.advance(Duration::from_secs(60));
        }
        assert_eq!(accepted, 9);
        time.advance(Duration::from_secs(60));
        assert_eq!(quota.admit(1, &time), Ok(()));
    }

    #[test]
    fn no_limit_admits_everything() {
        let (quota, time) = (Quota::new(Limits::default()), still());
        assert!((0..1_000).all(|_| quota.admit(1, &time).is_ok()));
    }
}
