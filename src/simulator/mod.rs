//! The RingCX simulator: what `cxvault simulate` serves, what `cxvault demo` archives, and the API of the tests.
//!
//! One port serves the three hosts of the real API (platform, RingCX, summaries); their paths do not collide.
//! The simulator implements every endpoint that cxvault uses, plus transcripts and recordings. It checks requests
//! as strictly as the vendor's documentation allows, enforces the documented limits exactly, and injects the
//! faults that its options ask for.
//!
//! # What it serves
//! | request | answer |
//! |---|---|
//! | `POST /restapi/oauth/token` | RingCentral token (JWT grant) |
//! | `GET /restapi/v1.0/account/~` | RingCentral account id |
//! | `POST /api/auth/login/rc/accesstoken`, `POST /api/auth/token/refresh` | RingCX token pair |
//! | `GET /voice/api/v1/admin/accounts` | sub-accounts |
//! | `POST .../interaction-metadata` | discovery (v1), streamed |
//! | `GET .../segments/{id}/agent`, `.../auto` | summaries |
//! | `GET .../transcripts/...`, `.../recordings/...` | transcripts and recordings |
//! | `GET /__sim/stats`, `POST /__sim/reset-stats` | request counts since the start or the last reset |
//! | `GET /__sim/truth?sub=..&from=..&to=..` | what an archive of that time must hold, as JSON lines |
//! | `POST /__sim/advance?by=2d` | lets simulated time jump ahead |
//!
//! # Determinism
//! Segments, summaries and faults are functions of the seed, never of a random source: the same options give the
//! same bytes in every run, and a day of a million segments takes no memory. Time is simulated as well: see
//! [`SimulatorOptions::now`] and [`SimulatorOptions::time_scale`].
//!
//! # Examples
//! ```
//! use cxvault::simulator::{Faults, SimulatorOptions, start};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let options = SimulatorOptions {
//!     segments_per_day: 50,
//!     faults: Faults { fault_500: 5.0, ..Faults::default() },
//!     ..SimulatorOptions::default()
//! };
//! let running = start(options, "127.0.0.1:0".parse().unwrap()).await?;
//! assert!(running.url.starts_with("http://127.0.0.1:"));
//! running.stop().await;
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Modules
//! ```text
//! server     connections; draws and applies faults; counts endings
//! routes     path -> endpoint -> answer
//! login  discovery  summaries  transcripts  inspect     the endpoints
//! state      what all requests share, and the request itself
//! world  metadata  texts     which segments exist, their JSON, their summaries
//! tokens  quota  network  stats  time     state that requests change
//! answer  request  dice  locked  options     building blocks
//! ```

mod answer;
mod dice;
mod discovery;
mod inspect;
mod locked;
mod login;
mod metadata;
mod network;
mod options;
mod quota;
mod request;
mod routes;
mod server;
mod state;
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
