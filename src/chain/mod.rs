//! Everything that reads or writes a chain of records.

pub mod anchor;
pub mod append;
pub mod archive;
pub mod days;
pub mod notes;
pub mod read;
pub mod required;
pub mod roster;
pub mod takeover;
