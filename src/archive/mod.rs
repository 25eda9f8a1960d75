//! The archive format, without any input or output: no tokio, no network, no file system, no clock.
//!
//! What is written here is specified in `schemas/FORMAT.md`; where the two differ, one of them has a bug.

pub mod act;
pub mod anchor;
pub mod change;
pub mod copy;
pub mod coverage;
pub mod day;
pub mod digest;
pub mod envelope;
pub mod finding;
mod json;
pub mod key;
pub mod lock;
pub mod lookup;
pub mod manifest;
pub mod merkle;
pub mod observation;
pub mod omit;
pub mod orders;
pub mod part;
pub mod range;
pub mod receipt;
pub mod recheck;
pub mod record;
pub mod roster;
pub mod row;
pub mod rows;
pub mod schema;
pub mod segment;
pub mod signature;
pub mod table;
pub mod tally;
pub mod warning;
pub mod wire_time;
