//! Commands that send requests to RingCX: the nightly run, backfills, rechecks, and the plan of each.
//!
//! `run`, `backfill` and `recheck` differ in the days that they visit, and in little else. Each is a [`worklist`], which
//! goes down the same way, entering every module once:
//!
//! ```text
//! run | backfill | recheck   arguments -> NightCommand; what is printed at the end
//! notify                     runs the command, prints its end, and notifies the receivers of the settings
//! sub_accounts               opens the archive, lists the sub-accounts, and loops over them, several at a time
//! days                       the days of one sub-account, in the order of the worklist
//! one_day                    one day with its progress display -> DayReport
//! crate::day::run            the steps of the day
//! ```
//!
//! `plan` (and `--dry-run`) computes the same worklists and visits nothing. [`job`] holds what the loop hands down,
//! [`day_report`] what comes back up; [`summary`] prints it, [`inventory`] records it in the archive.

pub mod backfill;
pub mod notify;
pub mod plan;
pub mod recheck;
pub mod run;
pub mod sub_accounts;
pub mod summary;
pub mod worklist;

mod day_report;
mod days;
mod inventory;
mod job;
mod one_day;
mod shard;
