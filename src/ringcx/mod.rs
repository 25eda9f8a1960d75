//! The client for RingCX's API, and the only user of `reqwest` besides telemetry.
//!
//! # Three hosts
//! The RingCentral platform issues OAuth tokens; RingCX exchanges them for its own tokens, lists sub-accounts and
//! answers discovery; a third host serves summaries. Each is a setting; see [`ClientSettings`].
//!
//! # The way of a request
//! 1. Its token is renewed if that is due ([`auth`]).
//! 2. The rate limiter of its scope lets it leave ([`limiter`]): a scope is a kind of request at a host, for a
//!    sub-account or a credential, as RingCX counts its limits.
//! 3. It is sent once, and its answer is read ([`transport`], [`reply`], [`split`]).
//! 4. What follows a failure is decided in one place ([`retry`]): renew the token, pause the scope, back off, or give up.
//!
//! ```text
//! client                                   RingCx, the API as the program sees it
//! summary   discovery   accounts   token_request     one request each: address, headers, reading the answer
//! retry                                    the loop around them
//! auth      access_token                   the life cycle of tokens
//! limiter                                  waiting for a grant, pauses, the retry budget, counters
//! ledger    pace   limits                  when the next request may leave, across restarts and processes
//! transport reply   split   base_url   attempt       one HTTP exchange; a JSON array split while it arrives
//! error                                    results, by what the operator does next
//! ```
//!
//! # Why a rate limiter of its own
//! The limits belong to the customer's account, not to a process: the nightly run and a backfill on one machine share
//! them, and a run that restarts must not send again what it sent a minute ago. So grants are rows of a machine-wide
//! SQLite file, the [`Ledger`], written in the transaction that grants a request. Limiter crates count in memory.
//! Second, the server counts requests as they arrive, and delays on the way make them arrive closer together than they
//! left; [`pace`] therefore keeps a margin of less than 1 % of the limit. Third, all waiting uses the injected
//! [`Clock`](crate::clock::Clock), so that tests of an hour's pause take no time.
//!
//! # 429
//! The scope pauses for all processes on the machine: as long as `Retry-After` says, otherwise with doubling pauses. The
//! pace is cut by 30 %, and recovers by 10 % of the limit with every window. Other programs of the customer use the same
//! limits, so a 429 is expected, and is not counted as a failed attempt.
//!
//! # What a crash leaves
//! A crash between grant and request leaves a grant that was not used: one request of quota is lost. A crash after the
//! request was sent leaves an answer that is requested again. Tokens are only in memory.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::format::hash::Digest;

mod access_token;
mod accounts;
mod attempt;
mod auth;
mod base_url;
mod client;
mod discovery;
mod error;
mod ledger;
mod limiter;
pub mod limits;
mod pace;
mod reply;
mod retry;
mod split;
mod summary;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod token_request;
mod transport;

pub use client::{RingCx, Usage};
pub(crate) use discovery::{Discovered, WindowAnswer};
pub use error::ApiError;
pub use ledger::Ledger;
pub(crate) use limiter::LimiterUsage;
pub use limits::Limit;
pub use limits::Limits;
pub(crate) use summary::SummaryAnswer;

/// How to reach the API, and how hard to try. The default has RingCentral's hosts and published limits.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The RingCentral platform (OAuth).
    pub platform_url: String,
    /// RingCX (token exchange, discovery).
    pub ringcx_url: String,
    /// The host of the two summary endpoints.
    pub summaries_url: String,
    /// Requested from the platform when absent, which takes JWT credentials.
    pub rc_account_id: Option<String>,
    /// Limits of both kinds of summaries together, for each credential.
    pub summary_limits: Limits,
    /// Whether the summary limits count for each sub-account separately.
    pub summaries_per_sub_account: bool,
    /// Limits of discovery, for each sub-account.
    pub discovery_limits: Limits,
    /// Limits of exchanges for a RingCX token, for each credential.
    pub token_limits: Limits,
    /// Life of a RingCX access token.
    pub token_life: Duration,
    /// A larger summary fails, and only that summary.
    pub max_body_bytes: u64,
    /// A larger object in a discovery answer fails its window.
    pub max_object_bytes: u64,
    /// The longest time until a connection is established.
    pub connect_timeout: Duration,
    /// The longest time between two reads; a summary as a whole may take four times as long.
    pub request_timeout: Duration,
    /// Failed attempts after which a request is given up.
    pub max_attempts: u32,
    /// Whether plain HTTP is allowed to hosts that the network can observe.
    pub allow_http: bool,
}

impl Default for ClientSettings {
    fn default() -> Self {
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

/// Builds limits from pairs of requests and seconds.
fn limits(windows: &[(u32, u64)]) -> Limits {
    let limits = windows.iter().map(|&(requests, seconds)| Limit {
        requests,
        window: Duration::from_secs(seconds),
    });
    Limits(limits.collect())
}

/// The identity with which the API is used. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A RingCentral app with a JWT credential, from which tokens are obtained and renewed.
    Jwt {
        client_id: String,
        client_secret: SecretString,
        jwt: SecretString,
    },
    /// A RingCX access token that was obtained elsewhere. Nothing renews it.
    Token(SecretString),
}

impl Credentials {
    /// Returns a name that distinguishes credentials without revealing them: 16 hexadecimal digits of a SHA-256.
    fn fingerprint(&self) -> String {
        let secret = match self {
            Credentials::Jwt { client_id, .. } => client_id,
            Credentials::Token(token) => token.expose_secret(),
        };
        let mut hex = Digest::of(secret.as_bytes()).hex();
        hex.truncate(16);
        hex
    }
}

/// Returns the name of a limit in the ledger; `owner` is the account or credential that it counts for.
fn scope_name(kind: &str, host: &str, owner: &str) -> String {
    format!("{kind} {host} {owner}")
}
