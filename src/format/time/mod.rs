//! Dates, windows and instants: what an archive day is, and how records write times.
//!
//! An instant is a number of UTC milliseconds since the epoch, in variables whose names end in `_ms` or `_at`.

pub mod day;
pub mod range;
pub mod window;
pub mod wire;
