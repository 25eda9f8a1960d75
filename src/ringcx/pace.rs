//! When the next request may leave: the pure arithmetic of the rate limits, without clock and without storage.
//!
//! # Why a margin
//! The server counts requests as they arrive, in a sliding window; the client only knows when they leave. A delay of
//! an earlier request (a late wake-up, a new connection) makes the following requests arrive closer to it than they
//! left, so every limit is observed with a margin. It costs less than 1 % of the quota.
//!
//! # How the next time is computed
//! The next request leaves at the latest of these times:
//! - now, and the end of a pause;
//! - for each window, the time of the `requests`-th last grant plus the window and its margin;
//! - with [`Spacing::Even`], the place after the last one in an even schedule. The schedule continues from its own last
//!   place, not from when that request really left, so that late wake-ups lose no quota; an idle scope moves it along,
//!   so that no burst follows.
//!
//! All times are microseconds: at 120 requests in a (scaled) second, rounding to milliseconds alone would cost more
//! than 1 %.

use crate::ringcx::limits::{Limit, Limits};

/// How the requests of a window are distributed over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spacing {
    /// At equal distances, just below the limit: for a scope that is always busy. An idle scope gathers no credit, so
    /// it never sends a burst.
    Even,
    /// As soon as every window has room: for a scope with few requests, which an even schedule would only delay.
    Burst,
}

/// Extension of the distance `window / requests` of even requests, in per mille. With 6, 99.4 % of the quota is used,
/// and under 120/60s a request may travel 360 ms longer than a request of a minute before.
const EVEN_MARGIN: i64 = 6;
/// The part of that margin that remains when late requests return to their schedule: it is for the network.
const EVEN_WINDOW_MARGIN: i64 = 3;
/// Margin of burst windows in per mille. Beyond 100 s it does not grow, since network delays do not.
const BURST_MARGIN: i64 = 10;
const BURST_MARGIN_MAX_US: i64 = 1_000_000;

/// Limits and a spacing, converted to times.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    windows: Vec<LimitWindow>,
    /// Between two places of the even schedule; 0 for bursts.
    interval_us: i64,
    /// How far the schedule may lag behind the clock before it is moved along, which loses quota.
    catch_up_us: i64,
    shortest_us: i64,
}

/// At most `requests` grants in any `span_us`, which includes the margin.
#[derive(Debug, Clone, Copy)]
struct LimitWindow {
    requests: u32,
    span_us: i64,
}

/// The earlier grants, as far as they matter for the next one. Times are UTC microseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct GrantHistory {
    /// The last grant's place in the even schedule.
    pub schedule_us: Option<i64>,
    /// For each window in order, the time of the `requests`-th last grant.
    pub gates_us: Vec<Option<i64>>,
    /// The end of the pause that the server asked for.
    pub not_before_us: i64,
}

/// The time of the next request, and its place in the even schedule, in UTC microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub at_us: i64,
    pub schedule_us: i64,
}

impl Pace {
    /// `rate` is the share of the limits to use, above 0 and at most 1; it is below 1 for a while after a 429.
    pub fn new(limits: &Limits, spacing: Spacing, rate: f64) -> Self {
        let mut pace = Pace {
            windows: Vec::with_capacity(limits.0.len()),
            interval_us: 0,
            catch_up_us: 0,
            shortest_us: limits.0.iter().map(window_us).min().unwrap_or(0),
        };
        for limit in &limits.0 {
            let (requests, window_us) = (limit.requests.max(1), window_us(limit));
            let margin_us = match spacing {
                Spacing::Even => per_mille(window_us, EVEN_WINDOW_MARGIN),
                Spacing::Burst => per_mille(window_us, BURST_MARGIN).min(BURST_MARGIN_MAX_US),
            };
            pace.windows.push(LimitWindow {
                requests,
                span_us: stretch(window_us + margin_us, rate),
            });
            if spacing == Spacing::Even {
                let extended_us = window_us + per_mille(window_us, EVEN_MARGIN);
                let interval_us = stretch(div_up(extended_us, i64::from(requests)), rate);
                pace.interval_us = pace.interval_us.max(interval_us);
                pace.catch_up_us = per_mille(pace.shortest_us, EVEN_MARGIN);
            }
        }
        pace
    }

    /// Returns the `requests` of each window, for [`GrantHistory::gates_us`].
    pub(crate) fn depths(&self) -> impl Iterator<Item = u32> + '_ {
        self.windows.iter().map(|window| window.requests)
    }

    /// Returns the shortest window as configured: the pace recovers in units of it.
    pub(crate) fn shortest_us(&self) -> i64 {
        self.shortest_us
    }

    /// Returns the earliest time for the next request, `now_us` or later; see the module.
    pub fn next(&self, now_us: i64, history: &GrantHistory) -> Slot {
        let scheduled_us = history.schedule_us.map_or(now_us, |last_us| {
            (last_us + self.interval_us).max(now_us - self.catch_up_us)
        });
        let gates = self.windows.iter().zip(&history.gates_us);
        let at_us = gates
            .filter_map(|(window, gate)| gate.map(|gate_us| gate_us + window.span_us))
            .chain([now_us, scheduled_us, history.not_before_us])
            .max()
            .unwrap_or(now_us);
        Slot {
            at_us,
            schedule_us: scheduled_us.max(at_us - self.catch_up_us),
        }
    }
}

fn window_us(limit: &Limit) -> i64 {
    i64::try_from(limit.window.as_micros()).unwrap_or(i64::MAX / 64)
}

/// Returns a time at a reduced rate.
fn stretch(us: i64, rate: f64) -> i64 {
    (us as f64 / rate.clamp(SLOWEST, 1.0)).ceil() as i64
}

fn per_mille(us: i64, parts: i64) -> i64 {
    div_up(us * parts, 1_000)
}

fn div_up(us: i64, by: i64) -> i64 {
    (us + by - 1).div_euclid(by)
}

/// The smallest share of the limits that is used, however many 429s there are.
const SLOWEST: f64 = 0.1;
/// The factor of each 429.
const SLOW_DOWN: f64 = 0.7;
/// The share of the limits that is regained with each window.
const RECOVERY: f64 = 0.1;

/// The share of the limits that is used: it is cut by each 429, and recovers with time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Throttle {
    /// The share right after the last cut.
    pub rate: f64,
    /// The time of the last cut in UTC microseconds.
    pub since_us: i64,
}

impl Default for Throttle {
    fn default() -> Self {
        Throttle {
            rate: 1.0,
            since_us: i64::MIN / 2,
        }
    }
}

impl Throttle {
    /// Returns the rate at `now_us`: it grows by [`RECOVERY`] with every window since the last cut.
    pub(crate) fn rate_at(&self, now_us: i64, window_us: i64) -> f64 {
        let windows = (now_us - self.since_us).max(0) as f64 / window_us.max(1) as f64;
        (self.rate + RECOVERY * windows).clamp(SLOWEST, 1.0)
    }

    /// Cuts the rate for a 429 to a request that left at `sent_us`. Requests that left before the last cut do not count:
    /// a dozen of them in flight would otherwise reduce the pace to its minimum.
    pub fn cut(self, sent_us: i64, now_us: i64, window_us: i64) -> Throttle {
        if sent_us <= self.since_us && self.since_us <= now_us {
            return self;
        }
        Throttle {
            rate: (self.rate_at(now_us, window_us) * SLOW_DOWN).max(SLOWEST),
            since_us: now_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The ledger in memory. Times are ascending.
    #[derive(Default)]
    struct FakeLedger {
        times: Vec<i64>,
        schedule: Option<i64>,
    }

    impl FakeLedger {
        /// Grants the next request at `now_us`, or returns when to try again.
        fn take(&mut self, pace: &Pace, now_us: i64) -> Result<(), i64> {
            let from_end = |n: u32| {
                self.times
                    .len()
                    .checked_sub(n as usize)
                    .map(|index| self.times[index])
            };
            let gates_us = pace.depths().map(from_end).collect();
            let slot = pace.next(
                now_us,
                &GrantHistory {
                    schedule_us: self.schedule,
                    gates_us,
                    not_before_us: 0,
                },
            );
            if slot.at_us > now_us {
                return Err(slot.at_us);
            }
            self.times.push(now_us);
            self.schedule = Some(slot.schedule_us);
            Ok(())
        }

        /// Returns when a caller that tries at `now_us`, and wakes `late` each time, is granted a request.
        fn wait(&mut self, pace: &Pace, mut now_us: i64, late: i64) -> i64 {
            while let Err(until) = self.take(pace, now_us) {
                now_us = until + late;
            }
            now_us
        }
    }

    /// Fails when any window of the server, counting arrivals, holds more than its limit.
    fn assert_kept(limits: &Limits, mut arrivals: Vec<i64>) {
        arrivals.sort_unstable();
        for limit in &limits.0 {
            let (requests, window) = (limit.requests as usize, limit.window.as_micros() as i64);
            for pair in arrivals.windows(requests + 1) {
                let spread = pair[requests] - pair[0];
                assert!(
                    spread >= window,
                    "{} requests within {spread} us",
                    requests + 1
                );
            }
        }
    }

    fn limits() -> impl Strategy<Value = Limits> {
        let texts = [
            "120/60s",
            "3/60s,9/15m",
            "5/60s",
            "120/1s",
            "10/250ms",
            "4/1s,30/20s",
            "20/2s,50/1m",
        ];
        proptest::sample::select(texts.to_vec()).prop_map(|text| text.parse().unwrap())
    }

    fn spacing() -> impl Strategy<Value = Spacing> {
        prop_oneof![Just(Spacing::Even), Just(Spacing::Burst)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Several processes with one ledger, each idle now and then, waking late, with a network that delays.
        #[test]
        fn no_sliding_window_ever_exceeds_a_limit(
            limits in limits(),
            spacing in spacing(),
            // Thousandths of the shortest window: idle before asking, late wake-ups, delay on the way.
            steps in prop::collection::vec((prop_oneof![3 => Just(0i64), 1 => 0..3_000i64], 0..9i64, 0..=3i64), 50..400),
            processes in 1..=3usize,
        ) {
            let pace = Pace::new(&limits, spacing, 1.0);
            let unit = pace.shortest_us() / 1_000;
            let mut ledger = FakeLedger::default();
            // When each process tries next, and its step then.
            let mut steps = steps.into_iter();
            let mut next = || steps.next();
            let mut queue: Vec<_> = (0..processes).filter_map(|_| next()).map(|step| (0, step)).collect();
            let mut arrivals = Vec::new();
            while let Some(first) = (0..queue.len()).min_by_key(|&at| queue[at].0) {
                let (now, (_, late, delay)) = queue[first];
                match ledger.take(&pace, now) {
                    Err(until) => queue[first].0 = until + late * unit,
                    Ok(()) => {
                        arrivals.push(now + delay * unit);
                        match next() {
                            Some(step) => queue[first] = (now + step.0 * unit, step),
                            None => drop(queue.swap_remove(first)),
                        }
                    }
                }
            }
            assert_kept(&limits, arrivals);
        }

        /// A caller that always tries again at once, waking a little late each time.
        #[test]
        fn a_busy_scope_uses_99_percent_of_its_limit(limits in limits(), spacing in spacing(), late in 0..=5i64) {
            let pace = Pace::new(&limits, spacing, 1.0);
            let mut ledger = FakeLedger::default();
            // Bursts have no schedule to catch up with; what they lose by waking late is lost.
            let late = if spacing == Spacing::Even { late * pace.shortest_us() / 1_000 } else { 0 };
            // The slowest limit, over long enough for the first window's burst not to count.
            let scarce = limits.0.iter().max_by_key(|limit| limit.window / limit.requests).unwrap();
            let total = scarce.requests as usize * 30;
            let mut now = 0;
            let mut times = Vec::new();
            for _ in 0..=total {
                now = ledger.wait(&pace, now, late);
                times.push(now);
            }
            let elapsed = (times[total] - times[0]) as f64;
            let used = total as f64 / (scarce.requests as f64 * elapsed / scarce.window.as_micros() as f64);
            prop_assert!(used >= 0.99, "only {used} of {limits}");
        }
    }

    #[test]
    fn the_published_limits_come_out_as_expected() {
        let even = Pace::new(&"120/60s".parse().unwrap(), Spacing::Even, 1.0);
        assert_eq!(even.interval_us, 503_000);
        let burst = Pace::new(&"3/60s,9/15m".parse().unwrap(), Spacing::Burst, 1.0);
        let mut ledger = FakeLedger::default();
        let mut now = 0;
        let mut next = || {
            now = ledger.wait(&burst, now, 0);
            now as f64 / 1e6
        };
        let seconds: Vec<_> = (0..10).map(|_| next()).collect();
        assert_eq!(
            seconds,
            [0.0, 0.0, 0.0, 60.6, 60.6, 60.6, 121.2, 121.2, 121.2, 901.0]
        );
    }

    #[test]
    fn idleness_earns_no_burst() {
        let pace = Pace::new(&"120/60s".parse().unwrap(), Spacing::Even, 1.0);
        let mut ledger = FakeLedger::default();
        ledger.take(&pace, 0).unwrap();
        let hour = 3_600_000_000;
        let times: Vec<_> = (0..4).map(|_| ledger.wait(&pace, hour, 0) - hour).collect();
        // The catch-up of 360 ms shortens one distance, once.
        assert_eq!(times, [0, 143_000, 646_000, 1_149_000]);
    }

    #[test]
    fn the_pace_is_cut_once_a_round_and_recovers() {
        let minute = 60_000_000;
        let cut = Throttle::default().cut(10, 20, minute);
        assert_eq!(cut.rate, 0.7);
        assert_eq!(
            cut.cut(15, 25, minute),
            cut,
            "a request that left before the cut"
        );
        assert!(cut.cut(21, 25, minute).rate < 0.5);
        assert!((cut.rate_at(20 + minute, minute) - 0.8).abs() < 1e-9);
        assert_eq!(cut.rate_at(20 + 4 * minute, minute), 1.0);
        let floor = (0..50).fold(cut, |throttle, n| {
            throttle.cut(30 + 2 * n, 31 + 2 * n, minute)
        });
        assert_eq!(floor.rate, SLOWEST);
        let slow = Pace::new(&"120/60s".parse().unwrap(), Spacing::Even, 0.5);
        assert_eq!(slow.interval_us, 1_006_000);
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_freeze_the_recovery() {
        let cut = Throttle {
            rate: 0.5,
            since_us: 1_000,
        };
        assert_eq!(cut.rate_at(0, 60), 0.5);
        assert!(
            cut.cut(0, 10, 60).rate < 0.5,
            "a cut in the future must not hide this one"
        );
    }
}
