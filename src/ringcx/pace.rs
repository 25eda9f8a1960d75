//! When the next request may leave: the pure arithmetic of the pacer, without clock and without storage.
//!
//! The server counts requests as they arrive in a window that slides; we know only when they leave. Whatever
//! delays one request more than another of a window earlier (a late wake-up, a new connection) looks to the
//! server like a tighter spacing, so every limit is kept with a margin. All times here are microseconds:
//! at 120 requests in a (scaled) second, rounding to milliseconds alone would cost more than a percent.

use crate::ringcx::limits::{Limit, Limits};

/// How the requests of a window are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// One after the other at equal distances, just under the limit: for a lane that is always busy.
    /// It never gathers credit while idle, so it never bursts.
    Even,
    /// As soon as every window has room: for a lane with few requests, where waiting first would be a loss.
    Burst,
}

/// Distance of even requests beyond `window / requests`, in per mille. 6 leaves 99.4 % of the quota, and a
/// request may reach the server 360 ms later than one of a minute before without breaking 120/60s.
const EVEN_MARGIN: i64 = 6;
/// What is left of that margin when requests that left late return to their schedule: the network's share.
const EVEN_WINDOW_MARGIN: i64 = 3;
/// Margin of burst windows in per mille; past 100 s it need not grow, since network delays don't.
const BURST_MARGIN: i64 = 10;
const BURST_MARGIN_MAX_US: i64 = 1_000_000;

/// Limits and a spacing, worked out into times.
#[derive(Debug, Clone)]
pub struct Pace {
    windows: Vec<LimitWindow>,
    /// Between the schedule's times; 0 for bursts.
    interval_us: i64,
    /// How far the schedule may lag behind the clock before it is moved on, losing quota.
    catch_up_us: i64,
    shortest_us: i64,
}

/// At most `requests` in any `span_us`, the margin included.
#[derive(Debug, Clone, Copy)]
struct LimitWindow {
    requests: u32,
    span_us: i64,
}

/// What earlier grants leave to consider.
#[derive(Debug, Clone, Default)]
pub struct GrantHistory {
    /// The last grant's place in the even schedule.
    pub schedule_us: Option<i64>,
    /// For each window in order, when the `requests`-th grant from the end was given.
    pub gates_us: Vec<Option<i64>>,
    /// Nothing before this time: the server asked for a pause.
    pub not_before_us: i64,
}

/// A request may leave at `at_us`, which takes the place `schedule_us` in the even schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub at_us: i64,
    pub schedule_us: i64,
}

impl Pace {
    /// `rate` is the share of the limits to use, above 0 and at most 1; below 1 after the server said 429.
    pub fn new(limits: &Limits, spacing: Spacing, rate: f64) -> Self {
        let stretch = |us: i64| (us as f64 / rate.clamp(SLOWEST, 1.0)).ceil() as i64;
        let micros =
            |limit: &Limit| i64::try_from(limit.window.as_micros()).unwrap_or(i64::MAX / 64);
        let shortest_us = limits.0.iter().map(micros).min().unwrap_or(0);
        let windows = limits.0.iter().map(|limit| {
            let window = micros(limit);
            let margin = match spacing {
                Spacing::Even => per_mille(window, EVEN_WINDOW_MARGIN),
                Spacing::Burst => per_mille(window, BURST_MARGIN).min(BURST_MARGIN_MAX_US),
            };
            LimitWindow {
                requests: limit.requests.max(1),
                span_us: stretch(window + margin),
            }
        });
        let even = |limit: &Limit| {
            let window = micros(limit);
            stretch(div_up(
                window + per_mille(window, EVEN_MARGIN),
                i64::from(limit.requests.max(1)),
            ))
        };
        let (interval_us, catch_up_us) = match spacing {
            Spacing::Even => (
                limits.0.iter().map(even).max().unwrap_or(0),
                per_mille(shortest_us, EVEN_MARGIN),
            ),
            Spacing::Burst => (0, 0),
        };
        Pace {
            windows: windows.collect(),
            interval_us,
            catch_up_us,
            shortest_us,
        }
    }

    /// The `requests` of each window, for [`GrantHistory::gates_us`].
    pub fn depths(&self) -> impl Iterator<Item = u32> + '_ {
        self.windows.iter().map(|window| window.requests)
    }

    /// The shortest window as configured: the pace recovers in units of it.
    pub fn shortest_us(&self) -> i64 {
        self.shortest_us
    }

    /// The earliest time for the next request, `now_us` or later.
    pub fn next(&self, now_us: i64, past: &GrantHistory) -> Slot {
        // The schedule goes on from its own last time, not from when that request really left: otherwise
        // every late wake-up would be lost quota. Being idle moves it along, so that no burst follows.
        let scheduled = past.schedule_us.map_or(now_us, |last| {
            (last + self.interval_us).max(now_us - self.catch_up_us)
        });
        let gates = self.windows.iter().zip(&past.gates_us);
        let gates = gates.filter_map(|(window, gate)| gate.map(|at| at + window.span_us));
        let floors = [now_us, scheduled, past.not_before_us];
        let at_us = floors.into_iter().chain(gates).max().unwrap_or(now_us);
        Slot {
            at_us,
            schedule_us: scheduled.max(at_us - self.catch_up_us),
        }
    }
}

fn per_mille(us: i64, parts: i64) -> i64 {
    div_up(us * parts, 1_000)
}

fn div_up(us: i64, by: i64) -> i64 {
    (us + by - 1).div_euclid(by)
}

const SLOWEST: f64 = 0.1;
const SLOW_DOWN: f64 = 0.7;
const RECOVERY: f64 = 0.1;

/// The share of the limits that is used: cut at each 429, recovering by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttle {
    pub rate: f64,
    /// When it was last cut.
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
    /// The rate now: a tenth more with every window that has passed since the last cut.
    pub fn rate_at(&self, now_us: i64, window_us: i64) -> f64 {
        let windows = (now_us - self.since_us).max(0) as f64 / window_us.max(1) as f64;
        (self.rate + RECOVERY * windows).clamp(SLOWEST, 1.0)
    }

    /// Cuts the rate for a 429 to a request that left at `sent_us`. Requests that left before the last cut
    /// tell nothing new: a dozen of them in flight would otherwise bring the pace down to nothing.
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

    /// The ledger's part of the work, in memory. Times are ascending.
    #[derive(Default)]
    struct Book {
        times: Vec<i64>,
        schedule: Option<i64>,
    }

    impl Book {
        /// Takes the next request at `now_us`, or says when to ask again.
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

        /// When a caller that wakes `late` leaves who begins to ask at `now_us`.
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

        /// Several processes over one book, each idle now and then, waking late, with a network that delays.
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
            let mut book = Book::default();
            // When each process looks next, and what it does then.
            let mut steps = steps.into_iter();
            let mut next = || steps.next();
            let mut queue: Vec<_> = (0..processes).filter_map(|_| next()).map(|step| (0, step)).collect();
            let mut arrivals = Vec::new();
            while let Some(first) = (0..queue.len()).min_by_key(|&at| queue[at].0) {
                let (now, (_, late, delay)) = queue[first];
                match book.take(&pace, now) {
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

        /// A caller that always asks again at once, waking a little late each time.
        #[test]
        fn a_busy_caller_uses_99_percent(limits in limits(), spacing in spacing(), late in 0..=5i64) {
            let pace = Pace::new(&limits, spacing, 1.0);
            let mut book = Book::default();
            // Bursts have no schedule to catch up with; what they lose by waking late is lost.
            let late = if spacing == Spacing::Even { late * pace.shortest_us() / 1_000 } else { 0 };
            // The slowest limit, over long enough for the first window's burst not to count.
            let scarce = limits.0.iter().max_by_key(|limit| limit.window / limit.requests).unwrap();
            let total = scarce.requests as usize * 30;
            let mut now = 0;
            let mut times = Vec::new();
            for _ in 0..=total {
                now = book.wait(&pace, now, late);
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
        let mut book = Book::default();
        let mut now = 0;
        let mut next = || {
            now = book.wait(&burst, now, 0);
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
        let mut book = Book::default();
        book.take(&pace, 0).unwrap();
        let hour = 3_600_000_000;
        let times: Vec<_> = (0..4).map(|_| book.wait(&pace, hour, 0) - hour).collect();
        // The catch-up of 360 ms shortens one distance, once.
        assert_eq!(times, [0, 143_000, 646_000, 1_149_000]);
    }

    #[test]
    fn the_pace_is_cut_once_a_round_and_recovers() {
        let minute = 60_000_000;
        let cut = Throttle::default().cut(10, 20, minute);
        assert_eq!(cut.rate, 0.7);
        assert_eq!(cut.cut(15, 25, minute), cut, "a request of before the cut");
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
            "a cut of the future must not swallow this one"
        );
    }
}
