//! The archive format, without any input or output: no tokio, no network, no file system, no clock.
//!
//! What is written here is specified in `schemas/FORMAT.md`; where the two differ, one of them has a bug.

pub mod digest;
pub mod lock;
pub mod observation;
pub mod signature;
