//! Dates, windows and instants: what an archive day is, and how records write times.

pub mod day;
pub mod range;
pub mod wire;
