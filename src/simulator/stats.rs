//! Counts of requests and answers, for tests and for `/__sim/stats`.
//!
//! Tests use them to count calls, not only to check results: how often a run requested a token, whether it requested
//! a summary twice, and whether it sent a token where it must not.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use crate::simulator::locked::locked;

/// Below this many segments a day, answered summaries are tracked unless the options say otherwise.
pub(super) const TRACKED_BELOW: u64 = 100_000;

/// An endpoint of the simulated API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Endpoint {
    JwtGrant,
    RcAccount,
    /// RingCentral token for RingCX token.
    Exchange,
    /// Refresh token for RingCX token.
    Refresh,
    SubAccounts,
    Discovery,
    Summaries,
    Transcripts,
    Recordings,
    /// A path that no endpoint serves.
    Unknown,
}

impl Endpoint {
    /// Returns the name under which requests are counted.
    pub(super) fn name(self) -> &'static str {
        match self {
            Endpoint::JwtGrant => "jwt_grant",
            Endpoint::RcAccount => "rc_account",
            Endpoint::Exchange => "exchange",
            Endpoint::Refresh => "refresh",
            Endpoint::SubAccounts => "sub_accounts",
            Endpoint::Discovery => "discovery",
            Endpoint::Summaries => "summaries",
            Endpoint::Transcripts => "transcripts",
            Endpoint::Recordings => "recordings",
            Endpoint::Unknown => "unknown",
        }
    }
}

/// How a request ended, with the HTTP status that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// The answer was sent completely.
    Answered(u16),
    /// The body ended early.
    CutShort(u16),
    /// The connection was closed without an answer.
    Dropped,
}

/// The counters of one simulator.
pub(super) struct Stats {
    counts: Mutex<RequestCounts>,
    /// Whether each answered summary is remembered, to count summaries that were answered twice.
    tracks: bool,
}

/// The counts since the start or the last reset.
#[derive(Default)]
struct RequestCounts {
    endings: BTreeMap<(Endpoint, Ending), u64>,
    /// By the name of the fault.
    faults: BTreeMap<&'static str, u64>,
    authorization_on_summaries: u64,
    /// Summaries that were sent completely, 404 included.
    summaries_answered: u64,
    summaries_answered_twice: u64,
    /// Hashes of the summaries that were sent completely; empty unless they are tracked.
    answered: HashSet<u64>,
}

impl Stats {
    /// Creates counters at zero; with `tracks` they need memory for every summary.
    pub(super) fn new(tracks: bool) -> Self {
        Stats {
            counts: Mutex::default(),
            tracks,
        }
    }

    /// Counts a request that has ended, and the fault that it suffered.
    pub(super) fn ended(&self, endpoint: Endpoint, ending: Ending, fault: Option<&'static str>) {
        let mut counts = locked(&self.counts);
        *counts.endings.entry((endpoint, ending)).or_default() += 1;
        if let Some(fault) = fault {
            *counts.faults.entry(fault).or_default() += 1;
        }
    }

    /// Counts a summary, identified by a hash, that was sent completely.
    pub(super) fn summary_answered(&self, summary: u64) {
        let mut counts = locked(&self.counts);
        counts.summaries_answered += 1;
        if self.tracks && !counts.answered.insert(summary) {
            counts.summaries_answered_twice += 1;
        }
    }

    /// Counts a summary request with an `Authorization` header, which the real endpoints refuse.
    pub(super) fn authorization_on_summaries(&self) {
        locked(&self.counts).authorization_on_summaries += 1;
    }

    /// Sets all counts to zero and forgets the tracked summaries.
    pub(super) fn reset(&self) {
        *locked(&self.counts) = RequestCounts::default();
    }

    /// Returns the counts as a JSON object. `summaries_answered_twice` is null unless summaries are tracked.
    pub(super) fn report(&self) -> Value {
        let counts = locked(&self.counts);
        // For each endpoint: the total, and the number of each ending.
        let mut requests = Map::new();
        for (&(endpoint, ending), &count) in &counts.endings {
            let of_endpoint = requests
                .entry(endpoint.name())
                .or_insert_with(|| json!({ "total": 0 }));
            let name = match ending {
                Ending::Answered(status) => &status.to_string(),
                Ending::CutShort(_) => "cut_short",
                Ending::Dropped => "dropped",
            };
            for name in [name, "total"] {
                of_endpoint[name] = json!(of_endpoint[name].as_u64().unwrap_or(0) + count);
            }
        }
        // Over all endpoints, including answers that were cut short.
        let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
        for (&(_, ending), &count) in &counts.endings {
            if let Ending::Answered(status) | Ending::CutShort(status) = ending {
                *statuses.entry(status.to_string()).or_default() += count;
            }
        }
        json!({
            "requests": requests,
            "statuses": statuses,
            "exchanges": counts.endings.get(&(Endpoint::Exchange, Ending::Answered(200))).unwrap_or(&0),
            "refreshes": counts.endings.get(&(Endpoint::Refresh, Ending::Answered(200))).unwrap_or(&0),
            "faults": counts.faults,
            "authorization_on_summaries": counts.authorization_on_summaries,
            "summaries_answered": counts.summaries_answered,
            "summaries_answered_twice": self.tracks.then_some(counts.summaries_answered_twice),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_that_goes_out_again_is_counted_when_tracked() {
        let (tracking, not) = (Stats::new(true), Stats::new(false));
        for stats in [&tracking, &not] {
            for summary in [1, 2, 1] {
                stats.summary_answered(summary);
            }
        }
        assert_eq!(tracking.report()["summaries_answered_twice"], json!(1));
        assert_eq!(not.report()["summaries_answered_twice"], Value::Null);
        tracking.reset();
        tracking.summary_answered(1);
        assert_eq!(tracking.report()["summaries_answered_twice"], json!(0));
    }

    #[test]
    fn requests_are_counted_by_endpoint_and_status() {
        let stats = Stats::new(true);
        stats.ended(Endpoint::Discovery, Ending::Answered(200), None);
        stats.ended(Endpoint::Discovery, Ending::Answered(500), Some("500"));
        stats.ended(Endpoint::Exchange, Ending::Answered(200), None);
        stats.ended(Endpoint::Summaries, Ending::Dropped, Some("reset"));
        let report = stats.report();
        assert_eq!(
            report["requests"]["discovery"],
            json!({ "total": 2, "200": 1, "500": 1 })
        );
        assert_eq!(
            report["requests"]["summaries"],
            json!({ "total": 1, "dropped": 1 })
        );
        assert_eq!(report["statuses"], json!({ "200": 2, "500": 1 }));
        assert_eq!(report["exchanges"], json!(1));
        assert_eq!(report["faults"], json!({ "500": 1, "reset": 1 }));
    }
}
