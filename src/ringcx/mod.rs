//! The RingCX API, and the only user of `reqwest`.
//!
//! Every request goes the same way: its token is made ready, its lane gives it a turn within the limits, it is
//! sent and read once, and what came of that decides what happens next:
//!
//! ```text
//! client    RingCx: what the stages call
//! summary   discovery   accounts      one request each: address, headers, reading the answer
//! retry                               the loop around them; the only place that sends anything again
//! auth                                tokens, renewed once for everybody
//! lane                                turns, pauses, the retry budget, counters
//! ledger    pace   limits             when the next request may leave, across restarts and processes
//! transport split                     one HTTP exchange; a JSON array cut up while it arrives
//! error                               outcomes, by what happens next
//! ```

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::format::hash::digest::Digest;

mod accounts;
mod auth;
mod client;
mod discovery;
pub mod error;
pub mod ledger;
mod limiter;
pub mod limits;
mod pace;
mod retry;
mod split;
mod summary;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transport;

pub use accounts::ListedSubAccount;
pub use client::{RingCx, Usage};
pub use discovery::{Discovered, LONGEST_WINDOW_S, WindowAnswer};
pub use error::ApiError;
pub use ledger::Ledger;
pub use limiter::LimiterUsage;
pub use limits::{Limit, Limits};
pub use summary::SummaryAnswer;

/// How to reach the API, and how hard to try. The default is RingCentral's own.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The RingCentral platform (OAuth).
    pub platform_url: String,
    /// RingCX (token exchange, discovery).
    pub ringcx_url: String,
    pub summaries_url: String,
    /// Asked for when absent, which takes JWT credentials.
    pub rc_account_id: Option<String>,
    /// Over both kinds together, per credential.
    pub summary_limits: Limits,
    /// The summary limits count for each sub-account by itself.
    pub summaries_per_sub_account: bool,
    /// Per sub-account.
    pub discovery_limits: Limits,
    /// Exchanges for a RingCX token, per credential.
    pub token_limits: Limits,
    /// Of a RingCX access token.
    pub token_life: Duration,
    /// A larger summary is a failure of this summary.
    pub max_body_bytes: u64,
    /// A larger object in a discovery answer is a failure of its window.
    pub max_object_bytes: u64,
    pub connect_timeout: Duration,
    /// The longest silence; a summary as a whole may take four times as long.
    pub request_timeout: Duration,
    /// Requests for one answer before giving up.
    pub max_attempts: u32,
    /// Allows plain HTTP to hosts other than loopback.
    pub allow_http: bool,
}

impl Default for ClientSettings {
    fn default() -> Self {
        // The limits that RingCentral publishes.
        let limits = |windows: &[(u32, u64)]| {
            let limit = |&(requests, seconds)| Limit {
                requests,
                window: Duration::from_secs(seconds),
            };
            Limits(windows.iter().map(limit).collect())
        };
        ClientSettings {
            platform_url: "https://platform.ringcentral.com".into(),
            ringcx_url: "https://ringcx.ringcentral.com".into(),
            summaries_url: "https://engage.ringcentral.com".into(),
            rc_account_id: None,
            summary_limits: limits(&[(120, 60)]),
            summaries_per_sub_account: false,
            discovery_limits: limits(&[(3, 60), (9, 900)]),
            token_limits: limits(&[(5, 60)]),
            token_life: Duration::from_secs(300),
            max_body_bytes: 4 * 1024 * 1024,
            max_object_bytes: 16 * 1024 * 1024,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            max_attempts: 6,
            allow_http: false,
        }
    }
}

/// Who asks. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A RingCentral app with a JWT credential, from which tokens are made and renewed.
    Jwt {
        client_id: String,
        client_secret: SecretString,
        jwt: SecretString,
    },
    /// A RingCX access token made elsewhere. Nothing renews it.
    Token(SecretString),
}

impl Credentials {
    /// Tells credentials apart without telling them: the beginning of a SHA-256, in hexadecimal.
    fn fingerprint(&self) -> String {
        let secret = match self {
            Credentials::Jwt { client_id, .. } => client_id,
            Credentials::Token(token) => token.expose_secret(),
        };
        Digest::of(secret.as_bytes())
            .hex()
            .chars()
            .take(16)
            .collect()
    }
}

/// A limit's name in the ledger.
fn scope(kind: &str, host: &str, whose: &str) -> String {
    format!("{kind} {host} {whose}")
}
