//! Dates, windows and instants: what an archive day is, and how records write times.
//!
//! Records hold an [`Instant`](instant::Instant). Rows, the journal and waiting use plain UTC milliseconds since the epoch, in
//! variables whose names end in `_ms` or `_at`.

pub mod day;
pub mod instant;
pub mod range;
pub mod window;

pub(crate) use day::{DayError, Zone};
pub(crate) use instant::Instant;
pub(crate) use range::Days;
pub(crate) use window::{LONGEST_WINDOW_MS, Window};
