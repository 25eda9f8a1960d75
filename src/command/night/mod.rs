//! Commands that ask RingCX: the nightly run, backfills, rechecks, and the plan of any of them.

pub mod backfill;
pub mod days;
pub mod inventory;
pub mod notify;
pub mod plan;
pub mod recheck;
pub mod run;
pub mod shard;
pub mod sub_accounts;
pub mod summary;
