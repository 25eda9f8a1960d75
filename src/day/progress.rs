//! Counters of a day under way: for the progress display, and between discovery and fetching.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::format::row::Status;

/// How far discovery is. The fetchers wait for it, since more segments may follow until it has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DiscoveryState {
    /// Windows whose segments are in the journal.
    pub windows: usize,
    /// Whether these are all windows of the day.
    pub finished: bool,
}

/// Counts the progress of one day. Clones share the counters.
///
/// # Examples
/// ```
/// use cxvault::day::progress::{DayMeter, MeterReading};
///
/// let meter = DayMeter::default();
/// assert_eq!(meter.read(), MeterReading::default());
/// ```
#[derive(Debug, Clone, Default)]
pub struct DayMeter(Arc<Mutex<MeterReading>>);

/// The counters of a [`DayMeter`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeterReading {
    /// Discovery windows answered and merged.
    pub windows_done: u64,
    /// Discovery windows of the day; 0 until discovery begins.
    pub windows: u64,
    /// Segments discovered, or known from an earlier run.
    pub segments: u64,
    /// Summaries that need no further request, failures included; two for each segment.
    pub summaries: u64,
    /// Summaries that failed after all retries.
    pub failed: u64,
}

impl DayMeter {
    /// Returns the present counters.
    pub fn read(&self) -> MeterReading {
        *self.counters()
    }

    fn counters(&self) -> MutexGuard<'_, MeterReading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the number of answered windows, and of all windows of the day.
    pub(super) fn set_windows(&self, done: usize, total: usize) {
        let mut counters = self.counters();
        counters.windows_done = done as u64;
        counters.windows = total as u64;
    }

    /// Adds newly discovered segments.
    pub(super) fn add_segments(&self, segments: u64) {
        self.counters().segments += segments;
    }

    /// Adds what an earlier run has left in the journal.
    pub(super) fn add_resumed(&self, segments: u64, summaries: u64) {
        let mut counters = self.counters();
        counters.segments += segments;
        counters.summaries += summaries;
    }

    /// Adds a summary that needs no further request.
    pub(super) fn add_summary(&self, status: Status) {
        let mut counters = self.counters();
        counters.summaries += 1;
        counters.failed += u64::from(status == Status::Failed);
    }
}
