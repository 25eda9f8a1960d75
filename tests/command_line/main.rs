//! The `cxvault` program against the simulator of RingCX and an archive in a local folder.

#[path = "../support/mod.rs"]
mod support;

mod archive_day;
mod archive_days;
mod backfill;
mod cli;
mod demo;
mod events;
mod omitted;
mod plan;
mod recheck;
mod signals;
mod telemetry;
