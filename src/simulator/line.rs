//! Faults of the line: what happens to an answer between the API and the client.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::simulator::dice::{hash, hits, unit};
use crate::simulator::options::Faults;
use crate::simulator::time::{SECOND_MS, http_date};
use crate::simulator::world::SegmentText;

/// After this many faults in a row a request gets through: retries that are bounded at all succeed.
const MOST_IN_A_ROW: u32 = 3;
/// Requests that were given up stay in the table; above this many it starts anew.
const MANY: usize = 100_000;

/// One thing that goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NetworkFault {
    TooMany { retry_after: Option<String> },
    ServerError,
    Dropped,
    CutShort,
}

impl NetworkFault {
    pub(super) fn name(&self) -> &'static str {
        match self {
            NetworkFault::TooMany { retry_after: None } => "429",
            NetworkFault::TooMany {
                retry_after: Some(_),
            } => "429_retry_after",
            NetworkFault::ServerError => "500",
            NetworkFault::Dropped => "reset",
            NetworkFault::CutShort => "short_body",
        }
    }
}

pub(super) struct Line {
    seed: u64,
    /// Shares of the faults, in the order of [`Line::fault`].
    shares: [f64; 5],
    discovery_500: f64,
    latency_ms: u64,
    requests: AtomicU64,
    /// Faults in a row, of the requests that are in trouble now.
    in_trouble: Mutex<HashMap<u64, u32>>,
}

impl Line {
    pub(super) fn new(seed: u64, faults: &Faults) -> Self {
        Line {
            seed,
            shares: [
                faults.fault_429,
                faults.fault_429_retry_after,
                faults.fault_500,
                faults.fault_reset,
                faults.fault_short_body,
            ],
            discovery_500: faults.discovery_500,
            latency_ms: faults.fault_latency_ms,
            requests: AtomicU64::new(0),
            in_trouble: Mutex::default(),
        }
    }

    /// How long the answer waits, if at all.
    pub(super) fn latency(&self) -> Option<Duration> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let share = unit(hash(&[self.seed, SegmentText::Line as u64, 1, request]));
        (self.latency_ms > 0)
            .then(|| Duration::from_micros((share * self.latency_ms as f64 * 1_000.0) as u64))
    }

    /// What goes wrong with the request that `key` stands for; it depends on how often that went wrong before.
    pub(super) fn fault(&self, key: u64, now_ms: i64) -> Option<NetworkFault> {
        if self.shares.iter().all(|&share| share == 0.0) {
            return None;
        }
        let mut in_trouble = self
            .in_trouble
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let before = in_trouble.get(&key).copied().unwrap_or(0);
        let roll = hash(&[
            self.seed,
            SegmentText::Line as u64,
            2,
            key,
            u64::from(before),
        ]);
        let fault = self.choose(roll, now_ms).filter(|_| before < MOST_IN_A_ROW);
        match fault {
            None => in_trouble.remove(&key),
            Some(_) => {
                if in_trouble.len() >= MANY {
                    in_trouble.clear();
                }
                in_trouble.insert(key, before + 1)
            }
        };
        fault
    }

    /// Whether a discovery request fails, however often it is repeated.
    pub(super) fn discovery_fails(&self) -> bool {
        let request = self.requests.load(Ordering::Relaxed);
        hits(
            hash(&[self.seed, SegmentText::Line as u64, 3, request]),
            self.discovery_500,
        )
    }

    fn choose(&self, roll: u64, now_ms: i64) -> Option<NetworkFault> {
        let mut left = unit(roll) * 100.0;
        let which = self.shares.iter().position(|share| {
            left -= share;
            left < 0.0
        })?;
        let retry_after = match roll & 1 {
            0 => "1".to_owned(),
            _ => http_date(now_ms + 2 * SECOND_MS),
        };
        Some(match which {
            0 => NetworkFault::TooMany { retry_after: None },
            1 => NetworkFault::TooMany {
                retry_after: Some(retry_after),
            },
            2 => NetworkFault::ServerError,
            3 => NetworkFault::Dropped,
            _ => NetworkFault::CutShort,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_their_shares_and_retries_get_over_them() {
        let faults = Faults {
            fault_500: 30.0,
            fault_reset: 30.0,
            ..Faults::default()
        };
        let line = Line::new(1, &faults);
        let first: Vec<_> = (0..1_000).map(|key| line.fault(key, 0)).collect();
        let of = |fault: NetworkFault| first.iter().flatten().filter(|one| **one == fault).count();
        assert!(
            (250..350).contains(&of(NetworkFault::ServerError))
                && (250..350).contains(&of(NetworkFault::Dropped))
        );
        for key in (0..1_000).filter(|&key| first[key as usize].is_some()) {
            assert!(
                (1..=MOST_IN_A_ROW).any(|_| line.fault(key, 0).is_none()),
                "{key}"
            );
        }
        let again = Line::new(1, &faults);
        assert_eq!(
            first,
            (0..1_000)
                .map(|key| again.fault(key, 0))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn retry_after_has_both_its_forms() {
        let line = Line::new(
            1,
            &Faults {
                fault_429_retry_after: 100.0,
                ..Faults::default()
            },
        );
        let said: Vec<_> = (0..50).filter_map(|key| line.fault(key, 0)).collect();
        let form = |text: &str| NetworkFault::TooMany {
            retry_after: Some(text.into()),
        };
        assert!(said.contains(&form("1")));
        assert!(said.contains(&form("Thu, 01 Jan 1970 00:00:02 GMT")));
    }
}
