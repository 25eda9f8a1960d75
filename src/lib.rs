//! cxvault archives the outcome of every RingCX interaction as Parquet files, with records that prove what was archived.
//!
//! An archive is a tree of objects in an S3 bucket or a folder. Every night a run archives one day of each sub-account:
//! it discovers the day's segments through the RingCX API, fetches the two summaries of each segment, writes them into
//! Parquet parts, and commits the day with a manifest: a canonical JSON record that names every part by its SHA-256 and
//! the manifest before it. The manifests of one sub-account form a chain; the roster is a chain about all sub-accounts.
//! `schemas/FORMAT.md` specifies the archive, and `docs/` describes the program for operators, auditors and integrators.
//!
//! # Layers
//!
//! A module uses only modules that are below it in this picture. `tests/format/layers.rs` checks the directions by
//! reading the `use crate::` lines.
//!
//! ```text
//! main                                    parses, logs, dispatches, turns the outcome into an exit code
//! command                                 what the user requested, one file per command:
//!   night                                   run, backfill, recheck, plan: send requests to RingCX
//!   inspect                                 verify, status, show, search, export, report, ...: only read
//!   archive                                 acknowledge, hold, retention, copy, signers, ...: add records
//!   setup                                   init, config, keygen, doctor, demo, simulate, manual
//! cli  config  render  logging            the command line, the settings, tables and progress, log lines
//! day          copy                       the pipeline of one archive day | a copy of an archive in another place
//! ringcx       audit                      the RingCX API                  | reading, proving, exporting, verifying
//! chain                                   reads and writes chains of records: open, append (the commit point)
//! store        journal      telemetry     objects | observations that are not committed yet | metrics, webhooks
//! clock  private  outcome                 time | files for this user alone | exit codes, failures with a remedy
//! format                                  PURE: time, rows, parts, records, keys, signatures, hashes
//! simulator                               the simulated RingCX of `cxvault demo` and the tests
//! ```
//!
//! - `day` is the only user of `ringcx` besides `command` (and the notation of limits in `config` and `simulator`).
//! - `audit::verify` uses `store` and `format` alone, never `chain`: a verifier that shared the writer's code would
//!   share its mistakes.
//! - `simulator` is the RingCX stand-in behind `cxvault demo` and the tests. It uses only the notation of limits.
//!
//! # Crashes
//!
//! A process may be killed at any instruction. Objects are created once, never changed, and a day exists only when its
//! manifest does: what a killed run has left is either confirmed by the next run as its own, or named as a leftover.
//! [`day`] and [`chain`] state at each step what a crash there leaves.

pub mod audit;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod copy;
pub mod day;
pub mod format;
pub mod journal;
pub mod logging;
pub mod outcome;
mod private;
pub mod render;
pub mod ringcx;
pub mod simulator;
pub mod store;
pub mod telemetry;
