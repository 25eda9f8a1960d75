//! A stand-in for RingCX: behind `cxvault demo` and `cxvault simulate`, and what the tests talk to.
//!
//! One port serves the three hosts of the real thing; the paths do not collide. It knows every endpoint that
//! cxvault uses, is as strict as the vendor's documentation, keeps the documented limits exactly, and can be told
//! to fail. Its segments and summaries are functions of the seed, so it can be asked at `/__sim/truth` what an
//! archive of it must hold, and at `/__sim/stats` what was asked of it; `/__sim/reset-stats` forgets the counts and
//! `/__sim/advance?by=2d` lets its time jump. That time is its own: see [`SimulatorOptions::now`] and
//! [`SimulatorOptions::time_scale`].

mod answer;
mod dice;
mod discovery;
mod inspect;
mod line;
mod login;
mod metadata;
mod options;
mod quota;
mod request;
mod server;
mod stats;
mod summaries;
mod texts;
mod time;
mod tokens;
mod transcripts;
mod world;

pub use options::{Credential, Faults, SimulatorOptions};
pub use server::{RunningServer, serve, start};

#[cfg(test)]
mod tests;
