//! What every request to the simulator shares, and the request itself as the endpoints see it.
//!
//! The endpoint modules depend on this one; [`super::routes`] depends on the endpoints, and
//! [`super::server`] on the routes. Nothing here depends on any of them.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, StatusCode, Uri};

use crate::simulator::answer::Answer;
use crate::simulator::network::Network;
use crate::simulator::options::SimulatorOptions;
use crate::simulator::quota::Quota;
use crate::simulator::stats::{Stats, TRACKED_BELOW};
use crate::simulator::time::SimulatedTime;
use crate::simulator::tokens::SimulatedTokens;
use crate::simulator::world::World;

/// The state that all connections of one simulator share.
///
/// The world is immutable; tokens, counters and quotas each guard their own state with a lock.
pub(super) struct ServerState {
    pub(super) options: SimulatorOptions,
    pub(super) time: SimulatedTime,
    pub(super) world: Arc<World>,
    pub(super) tokens: SimulatedTokens,
    pub(super) stats: Stats,
    pub(super) network: Network,
    /// Counted for each sub-account.
    pub(super) discovery_quota: Quota,
    /// Counted for each login, over both kinds of summaries.
    pub(super) summary_quota: Quota,
    /// Exchanges of a RingCentral token for a RingCX token, counted for each login.
    pub(super) token_quota: Quota,
    /// Counted for each login.
    pub(super) transcript_quota: Quota,
    /// Counted for each login, with the limits of transcripts.
    pub(super) recording_quota: Quota,
}

impl ServerState {
    /// Builds the world and empty counters for `options`.
    pub(super) fn new(options: SimulatorOptions) -> Self {
        let world = World::new(&options);
        let tracks = options
            .track
            .unwrap_or(options.segments_per_day < TRACKED_BELOW);
        ServerState {
            time: SimulatedTime::new(options.now, options.time_scale),
            tokens: SimulatedTokens::new(&options, world.faults.fault_token_expiry),
            stats: Stats::new(tracks),
            network: Network::new(options.seed, &world.faults),
            discovery_quota: Quota::new(options.discovery_limits.clone()),
            summary_quota: Quota::new(options.summary_limits.clone()),
            token_quota: Quota::new(options.token_limits.clone()),
            transcript_quota: Quota::new(options.transcript_limits.clone()),
            recording_quota: Quota::new(options.transcript_limits.clone()),
            world: Arc::new(world),
            options,
        }
    }

    /// Counts a request of `key` against `quota`.
    ///
    /// # Errors
    /// The 429 answer when the quota is used up, with `Retry-After` if the options say so.
    pub(super) fn admit(
        &self,
        quota: &Quota,
        key: u64,
        call: &SimulatedCall,
    ) -> Result<(), Answer> {
        quota.admit(key, &self.time).map_err(|wait_us| {
            let seconds = (wait_us + 999_999) / 1_000_000;
            let retry_after = self
                .options
                .limits_say_retry_after
                .then(|| seconds.to_string());
            self.too_many_requests(call).retry_after(retry_after)
        })
    }

    /// Builds an error answer in RingCX's JSON form, dated in simulated time.
    pub(super) fn error(
        &self,
        status: StatusCode,
        code: &str,
        message: &str,
        call: &SimulatedCall,
    ) -> Answer {
        Answer::error(status, code, message, call.uri.path(), self.time.now_ms())
    }

    /// Builds a 404 with the given message.
    pub(super) fn not_found(&self, message: &str, call: &SimulatedCall) -> Answer {
        self.error(StatusCode::NOT_FOUND, "not.found", message, call)
    }

    /// Builds the 403 that no retry overcomes: the user lacks access to the account.
    pub(super) fn access_denied(&self, call: &SimulatedCall) -> Answer {
        let message = "You do not have permission to access this resource";
        let code = "access.denied.exception";
        self.error(StatusCode::FORBIDDEN, code, message, call)
    }

    /// Builds a 429 without `Retry-After`.
    pub(super) fn too_many_requests(&self, call: &SimulatedCall) -> Answer {
        let message = "Request rate limit exceeded";
        let status = StatusCode::TOO_MANY_REQUESTS;
        self.error(status, "too.many.requests", message, call)
    }

    /// Builds a 500 with the given message.
    pub(super) fn internal_error(&self, message: &str, call: &SimulatedCall) -> Answer {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        self.error(status, "internal.error", message, call)
    }
}

/// A request that was received completely.
pub(super) struct SimulatedCall {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// Empty for GET.
    pub(super) body: Bytes,
}

/// The parameters in the path of a transcript or a recording, still percent-encoded.
#[derive(Clone, Copy)]
pub(super) struct DialogPath<'a> {
    pub(super) rc_account: &'a str,
    pub(super) sub_account: &'a str,
    pub(super) dialog: &'a str,
    pub(super) segment: &'a str,
}
