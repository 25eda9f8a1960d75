//! cxvault archives the outcome of every RingCX interaction, and proves it.
//!
//! The data goes one way, and each module below may use only what stands under it:
//!
//! ```text
//! main     parse, log, dispatch, outcome -> exit code
//! cli      config   render   logging   the command line, settings, tables and progress, log lines
//! command  what the user asked for: run, verify, status, demo, ...
//! stage    one day: discover -> fetch -> encode -> publish -> commit
//! copy     an archive into another place (reads as `audit` does; neither the API nor a journal)
//! audit    the auditor's side: verify, prove, read, export (uses `store` and what is under it, nothing else)
//! ringcx   journal  store              the API, what was seen, where it is kept (none sees another)
//! telemetry                            how a run ended, told to whoever watches
//! clock    outcome                     time, and what the operator does next
//! archive                              PURE: days, rows, hashes, manifests, signatures
//! ```
//!
//! `simulator` is the RingCX stand-in behind `cxvault demo` and the tests; of ours it uses only the limits' notation
//! and digests. `tests/format/layers.rs` checks these directions by reading the `use crate::` lines.

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
pub mod render;
pub mod ringcx;
pub mod simulator;
pub mod store;
pub mod telemetry;
