//! Simulated time, and the forms in which the simulator reads and writes times and durations.
//!
//! The simulator is the only part of the program besides [`crate::clock`] that reads the machine's clock: it plays
//! the part of another host, whose clock cxvault must not share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use jiff::Timestamp;

use crate::simulator::locked::locked;

pub(super) const SECOND_MS: i64 = 1_000;
pub(super) const MINUTE_MS: i64 = 60 * SECOND_MS;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// A clock with a start and a speed of its own.
pub(super) struct SimulatedTime {
    begin_us: i64,
    began: Instant,
    scale: f64,
    /// The sum of what `/__sim/advance` added.
    jumped_us: AtomicI64,
    /// The last second (since the epoch) for which a `Date` header was built, and that header.
    date: Mutex<(i64, HeaderValue)>,
}

impl SimulatedTime {
    /// Starts the clock at `begin` (default: the real time); it runs `scale` times as fast as real time.
    pub(super) fn new(begin: Option<Timestamp>, scale: f64) -> Self {
        SimulatedTime {
            begin_us: begin.unwrap_or_else(real_now).as_microsecond(),
            began: Instant::now(),
            scale,
            jumped_us: AtomicI64::new(0),
            date: Mutex::new((i64::MIN, HeaderValue::from_static(""))),
        }
    }

    /// Returns UTC microseconds since the epoch: milliseconds are too coarse to order requests in scaled time.
    pub(super) fn now_us(&self) -> i64 {
        let elapsed = self.began.elapsed().as_micros() as f64 * self.scale;
        self.begin_us
            .saturating_add(elapsed as i64)
            .saturating_add(self.jumped_us.load(Ordering::Relaxed))
    }

    /// Returns UTC milliseconds since the epoch.
    pub(super) fn now_ms(&self) -> i64 {
        self.now_us().div_euclid(1_000)
    }

    /// Lets the clock jump ahead.
    pub(super) fn advance(&self, by: Duration) {
        self.jumped_us
            .fetch_add(by.as_micros() as i64, Ordering::Relaxed);
    }

    /// Returns the simulated present as a `Date` header (RFC 9110, IMF-fixdate).
    pub(super) fn date(&self) -> HeaderValue {
        let second = self.now_ms().div_euclid(SECOND_MS);
        let mut last = locked(&self.date);
        if last.0 != second {
            let date = HeaderValue::try_from(http_date(second * SECOND_MS));
            *last = (second, date.unwrap_or(HeaderValue::from_static("")));
        }
        last.1.clone()
    }
}

/// Reads the machine's clock, once per simulator.
#[allow(clippy::disallowed_methods)]
fn real_now() -> Timestamp {
    Timestamp::now()
}

/// Waits in real time: latency is what the client experiences, whatever the simulated clock shows.
#[allow(clippy::disallowed_methods)]
pub(super) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Converts UTC milliseconds; what no timestamp can hold becomes the epoch.
pub(super) fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Formats UTC milliseconds as an HTTP date (RFC 9110, 5.6.7).
pub(super) fn http_date(ms: i64) -> String {
    timestamp(ms)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// Parses a duration as the flags write it: a whole number with `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// The message for the command line.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms: u64 = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("write a whole number with ms, s, m, h or d, such as 2d".into()),
    };
    let number: u32 = digits
        .parse()
        .map_err(|_| "write a whole number with a unit, such as 2d".to_owned())?;
    Ok(Duration::from_millis(u64::from(number) * unit_ms))
}

/// Converts to milliseconds; what does not fit becomes a quarter of the range, so that sums cannot overflow.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_begins_where_told_and_jumps() {
        let begin: Timestamp = "2026-11-20T06:00:00Z".parse().unwrap();
        let time = SimulatedTime::new(Some(begin), 1.0);
        assert!(time.now_ms() >= begin.as_millisecond());
        time.advance(Duration::from_secs(86_400));
        assert!(time.now_ms() >= begin.as_millisecond() + DAY_MS);
        assert!(
            time.date()
                .to_str()
                .unwrap()
                .starts_with("Sat, 21 Nov 2026 06:")
        );
    }

    #[test]
    fn a_minute_passes_in_a_moment_when_time_is_scaled() {
        let begin: Timestamp = "2026-11-20T06:00:00Z".parse().unwrap();
        let time = SimulatedTime::new(Some(begin), 1e9);
        while time.now_ms() < begin.as_millisecond() + MINUTE_MS {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn durations_need_their_unit() {
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("2").is_err() && duration("d").is_err() && duration("2 weeks").is_err());
    }
}
