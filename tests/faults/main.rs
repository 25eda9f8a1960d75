//! What can go wrong: damaged objects, crashes at each step, failing stores, and writers that compete.

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod crash_points;
mod damage;
mod fault_table;
mod foreign_objects;
mod long_chains;
mod protocol_model;
mod store_retries;
mod store_s3_answers;
mod two_writers;
