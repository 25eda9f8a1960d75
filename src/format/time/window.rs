//! A half-open interval of instants.

use serde::{Deserialize, Serialize};

/// The longest window that the discovery API accepts, in milliseconds: 10,800 seconds (RingCX Reports API).
pub const LONGEST_WINDOW_MS: i64 = 3 * 60 * 60 * 1000;

/// A half-open interval `[start_ms, end_ms)` of UTC milliseconds since the epoch.
///
/// Serialised with these two members, as in the statement of a part. Records write it with [`interval`].
///
/// # Examples
///
/// ```
/// use cxvault::format::time::window::Window;
///
/// let hours = |hours: i64| hours * 3_600_000;
/// let window = Window { start_ms: 0, end_ms: hours(7) };
/// let tiles = window.tiles(hours(3));
/// assert_eq!(tiles.len(), 3);
/// assert_eq!(tiles[2], Window { start_ms: hours(6), end_ms: hours(7) });
/// assert!(window.contains(0) && !window.contains(hours(7)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    /// First instant of the window.
    pub start_ms: i64,
    /// First instant after the window.
    pub end_ms: i64,
}

impl Window {
    /// Returns whether the instant is in the window.
    pub fn contains(&self, instant_ms: i64) -> bool {
        (self.start_ms..self.end_ms).contains(&instant_ms)
    }

    /// Returns the length of the window in milliseconds.
    pub fn length_ms(&self) -> i64 {
        self.end_ms - self.start_ms
    }

    /// Returns consecutive windows of at most `longest_ms` that cover this one exactly.
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

/// The form of a window in records: `{"start": …, "end": …}` with RFC 3339 instants. For `#[serde(with = …)]`.
pub mod interval {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Window;
    use crate::format::time::instant::Instant;

    #[derive(Serialize, Deserialize)]
    struct Interval {
        start: Instant,
        end: Instant,
    }

    /// Writes a window as an object with the members `start` and `end`.
    pub(crate) fn serialize<S: Serializer>(window: &Window, to: S) -> Result<S::Ok, S::Error> {
        Interval {
            start: Instant::from_millis(window.start_ms),
            end: Instant::from_millis(window.end_ms),
        }
        .serialize(to)
    }

    /// Reads a window; the form of its instants is strict.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Window, D::Error> {
        let interval = Interval::deserialize(from)?;
        Ok(Window {
            start_ms: interval.start.as_millis(),
            end_ms: interval.end.as_millis(),
        })
    }
}
