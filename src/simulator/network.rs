//! Faults of the network and of gateways: what happens to an answer between the API and the client.
//!
//! Faults are drawn from a hash of the seed, the request and how often it failed before, so they do not depend on
//! the order in which concurrent requests arrive.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::simulator::dice::{hash, hits, unit};
use crate::simulator::locked::locked;
use crate::simulator::options::Faults;
use crate::simulator::time::{SECOND_MS, http_date};
use crate::simulator::world::Decision;

/// After this many faults in a row a request succeeds, so that a client with 4 attempts gets every answer.
const MOST_IN_A_ROW: u32 = 3;
/// Requests that the client gave up stay in the table; above this many entries it is emptied.
const MANY: usize = 100_000;

/// A fault of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NetworkFault {
    /// 429, whatever the limits.
    TooMany { retry_after: Option<String> },
    /// 500.
    ServerError,
    /// The connection is closed without an answer.
    Dropped,
    /// The body ends before the announced length.
    CutShort,
}

impl NetworkFault {
    /// Returns the name under which `/__sim/stats` counts the fault.
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

/// The network between the simulator and its clients.
pub(super) struct Network {
    seed: u64,
    /// Percentages of the faults, in the order of [`Network::choose`].
    shares: [f64; 5],
    /// Percentage of the discovery requests that are answered 500.
    discovery_500: f64,
    /// The longest delay of an answer, in real milliseconds.
    latency_ms: u64,
    /// Number of requests so far: delays and discovery's faults differ from request to request.
    requests: AtomicU64,
    /// For each request that failed last time, the number of faults in a row.
    failing: Mutex<HashMap<u64, u32>>,
}

impl Network {
    /// Prepares the faults that the options ask for.
    pub(super) fn new(seed: u64, faults: &Faults) -> Self {
        Network {
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
            failing: Mutex::default(),
        }
    }

    /// Returns the real time that the next answer is delayed, if any.
    pub(super) fn latency(&self) -> Option<Duration> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let share = unit(hash(&[
            self.seed,
            Decision::NetworkFault as u64,
            1,
            request,
        ]));
        (self.latency_ms > 0)
            .then(|| Duration::from_micros((share * self.latency_ms as f64 * 1_000.0) as u64))
    }

    /// Returns the fault of the request with the hash `key`, if it has one this time.
    pub(super) fn fault(&self, key: u64, now_ms: i64) -> Option<NetworkFault> {
        if self.shares.iter().all(|&share| share == 0.0) {
            return None;
        }
        let mut failing = locked(&self.failing);
        let before = failing.get(&key).copied().unwrap_or(0);
        let roll = hash(&[
            self.seed,
            Decision::NetworkFault as u64,
            2,
            key,
            u64::from(before),
        ]);
        let fault = self.choose(roll, now_ms).filter(|_| before < MOST_IN_A_ROW);
        match fault {
            None => failing.remove(&key),
            Some(_) => {
                if failing.len() >= MANY {
                    failing.clear();
                }
                failing.insert(key, before + 1)
            }
        };
        fault
    }

    /// Returns whether the current discovery request fails with the share `--discovery-500`, which retries do not
    /// overcome at 100 %.
    pub(super) fn discovery_fails(&self) -> bool {
        let request = self.requests.load(Ordering::Relaxed);
        hits(
            hash(&[self.seed, Decision::NetworkFault as u64, 3, request]),
            self.discovery_500,
        )
    }

    /// Returns the fault that `roll` falls on: the shares divide the range of hashes, and most of it is no fault.
    fn choose(&self, roll: u64, now_ms: i64) -> Option<NetworkFault> {
        let mut left = unit(roll) * 100.0;
        let index = self.shares.iter().position(|share| {
            left -= share;
            left < 0.0
        })?;
        // Seconds or a date: RFC 9110, 10.2.3 allows both.
        let retry_after = match (index, roll & 1) {
            (0, _) => None,
            (_, 0) => Some("1".to_owned()),
            _ => Some(http_date(now_ms + 2 * SECOND_MS)),
        };
        Some(match index {
            0 | 1 => NetworkFault::TooMany { retry_after },
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
        let network = Network::new(1, &faults);
        let first: Vec<_> = (0..1_000).map(|key| network.fault(key, 0)).collect();
        let count = |fault: NetworkFault| {
            first
                .iter()
                .flatten()
                .filter(|drawn| **drawn == fault)
                .count()
        };
        assert!(
            (250..350).contains(&count(NetworkFault::ServerError))
                && (250..350).contains(&count(NetworkFault::Dropped))
        );
        for key in (0..1_000).filter(|&key| first[key as usize].is_some()) {
            assert!(
                (1..=MOST_IN_A_ROW).any(|_| network.fault(key, 0).is_none()),
                "{key}"
            );
        }
        let again = Network::new(1, &faults);
        assert_eq!(
            first,
            (0..1_000)
                .map(|key| again.fault(key, 0))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn retry_after_has_both_its_forms() {
        let network = Network::new(
            1,
            &Faults {
                fault_429_retry_after: 100.0,
                ..Faults::default()
            },
        );
        let drawn: Vec<_> = (0..50).filter_map(|key| network.fault(key, 0)).collect();
        let form = |text: &str| NetworkFault::TooMany {
            retry_after: Some(text.into()),
        };
        assert!(drawn.contains(&form("1")));
        assert!(drawn.contains(&form("Thu, 01 Jan 1970 00:00:02 GMT")));
    }
}
