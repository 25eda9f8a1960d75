//! The request for the segments that ended in a window, whose answer is streamed.

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::format::hash::{Digest, Hasher};
use crate::ringcx::attempt::AttemptError;
use crate::ringcx::auth::RequestToken;
use crate::ringcx::error::{ApiError, ErrorCode};
use crate::ringcx::retry::{Renewal, Request};
use crate::ringcx::split::{SplitError, Splitter};
use crate::ringcx::transport::Transport;

/// The longest window that one request may cover, in seconds (RingCX documentation, "interaction-metadata").
pub(crate) const LONGEST_WINDOW_S: i64 = 10_800;
/// Objects in a batch.
const BATCH: usize = 256;
/// A batch of large objects is sent earlier: batches in the channel occupy memory as well.
const BATCH_BYTES: usize = 512 * 1024;

/// A part of a window's answer, while it arrives. `Debug` shows no object: objects hold phone numbers and notes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Discovered {
    /// The answer broke off and is requested again: what this window returned so far is void.
    Restart,
    /// Texts of JSON objects, byte for byte, in the answer's order.
    Objects(Vec<String>),
}

impl std::fmt::Debug for Discovered {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Discovered::Restart => out.write_str("Restart"),
            Discovered::Objects(objects) => write!(out, "Objects({} of them)", objects.len()),
        }
    }
}

/// The facts about a window's complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WindowAnswer {
    /// SHA-256 of the body after content decoding.
    pub sha256: Digest,
    /// Length of that body.
    pub bytes: u64,
    /// Objects in the answer, including duplicates.
    pub rows: u64,
    /// The answer's `Date` in UTC milliseconds.
    pub server_date: Option<i64>,
    /// When the last byte arrived, by this host's clock, in UTC milliseconds.
    pub answered_at: i64,
    /// Requests sent for it, including those answered with 401 and 429.
    pub attempts: u32,
}

/// The request's JSON body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DiscoveryBody {
    /// Despite its name the start of the window: the API searches forward from here.
    segment_end_time: String,
    /// Length of the window in seconds.
    time_interval: i64,
    /// Always UTC, since windows are instants: in a zone with daylight-saving time, an hour of autumn would have two
    /// meanings and an hour of spring none, and segments would be lost or requested twice.
    time_zone: &'static str,
}

impl DiscoveryBody {
    /// Describes the half-open window from `start_ms` to `end_ms`, in UTC milliseconds.
    ///
    /// # Errors
    /// [`ApiError::Usage`] unless both are whole seconds, 1 to [`LONGEST_WINDOW_S`] seconds apart.
    pub fn new(start_ms: i64, end_ms: i64) -> Result<Self, ApiError> {
        let length_ms = end_ms.saturating_sub(start_ms);
        let seconds = length_ms.div_euclid(1_000);
        let valid = start_ms.rem_euclid(1_000) == 0
            && length_ms.rem_euclid(1_000) == 0
            && (1..=LONGEST_WINDOW_S).contains(&seconds);
        let start = Timestamp::from_millisecond(start_ms)
            .ok()
            .filter(|_| valid)
            .ok_or_else(|| ApiError::Usage {
                message: format!("{start_ms} to {end_ms} is not a window that RingCX accepts"),
                remedy: format!(
                    "Request 1 to {LONGEST_WINDOW_S} whole seconds, from a whole second on."
                ),
            })?;
        Ok(DiscoveryBody {
            segment_end_time: start.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            time_interval: seconds,
            time_zone: "UTC",
        })
    }
}

/// A POST for a window.
pub(super) struct DiscoveryRequest<'a> {
    pub transport: &'a Transport,
    pub sub_account: &'a str,
    pub address: String,
    pub window: DiscoveryBody,
    pub max_object_bytes: usize,
    pub out: &'a mpsc::Sender<Discovered>,
    /// Whether an earlier attempt has sent objects to the receiver.
    pub sent_objects: bool,
    pub token: RequestToken<'a>,
}

/// Objects that are sent to the receiver together.
#[derive(Default)]
struct ObjectBatch {
    objects: Vec<String>,
    bytes: usize,
}

impl DiscoveryRequest<'_> {
    async fn send(&self, part: Discovered) -> Result<(), AttemptError> {
        // A receiver that is gone has ended for reasons of its own, which it reports itself.
        self.out
            .send(part)
            .await
            .map_err(|_| AttemptError::End(ApiError::Stopped))
    }

    async fn send_batch(&mut self, batch: &mut ObjectBatch) -> Result<(), AttemptError> {
        let objects = std::mem::take(batch).objects;
        if objects.is_empty() {
            return Ok(());
        }
        self.sent_objects = true;
        self.send(Discovered::Objects(objects)).await
    }
}

impl Request for DiscoveryRequest<'_> {
    /// Its `attempts` are filled in by the caller.
    type Answer = WindowAnswer;

    async fn prepare(&self, renewal: Renewal) -> Result<(), ApiError> {
        self.token.renew(renewal).await
    }

    async fn attempt(&mut self) -> Result<WindowAnswer, AttemptError> {
        let token = self.token.current().await?;
        let request = self
            .transport
            .client
            .post(&self.address)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(AUTHORIZATION, token.bearer.clone())
            .json(&self.window);
        let mut reply = self.transport.send(request, false).await?;
        if std::mem::take(&mut self.sent_objects) {
            self.send(Discovered::Restart).await?;
        }
        let (mut hasher, mut bytes) = (Hasher::new(), 0);
        let mut splitter = Splitter::new(self.max_object_bytes);
        let mut batch = ObjectBatch::default();
        while let Some(chunk) = reply.chunk().await? {
            hasher.update(&chunk);
            bytes += chunk.len() as u64;
            splitter
                .push(&chunk, |object| {
                    batch.bytes += object.len();
                    batch.objects.push(object);
                })
                .map_err(unusable)?;
            if batch.objects.len() >= BATCH || batch.bytes >= BATCH_BYTES {
                self.send_batch(&mut batch).await?;
            }
        }
        let rows = splitter.finish().map_err(unusable)?;
        self.send_batch(&mut batch).await?;
        Ok(WindowAnswer {
            sha256: hasher.finish(),
            bytes,
            rows,
            server_date: reply.server_date,
            answered_at: self.transport.clock.now_ms(),
            attempts: 0,
        })
    }

    fn on_unauthorized(&mut self, _: Option<ErrorCode>) -> Result<(), ApiError> {
        self.token.refuse()
    }

    fn what(&self) -> String {
        format!("interaction metadata of sub-account {}", self.sub_account)
    }
}

fn unusable(error: SplitError) -> AttemptError {
    match error {
        // Perhaps a proxy cut it short: the next answer may be complete.
        SplitError::NotAnArrayOfObjects => AttemptError::transient("bad_answer", Some(200)),
        SplitError::TooLarge => AttemptError::too_large(200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_asked_for_in_utc() {
        let start_ms = 1_792_886_400_000; // 2026-10-25T00:00:00Z, an autumn night in Europe
        let window = DiscoveryBody::new(start_ms, start_ms + 10_800_000).unwrap();
        assert_eq!(
            serde_json::to_string(&window).unwrap(),
            r#"{"segmentEndTime":"2026-10-25 00:00:00","timeInterval":10800,"timeZone":"UTC"}"#
        );
    }

    #[test]
    fn windows_that_the_api_would_misread_are_refused() {
        let wrong = [
            (0, 0),
            (0, 10_801_000),
            (5_000, 4_000),
            (1, 1_001),
            (0, 1_500),
            (i64::MIN, i64::MAX),
        ];
        for (start_ms, end_ms) in wrong {
            assert!(
                matches!(
                    DiscoveryBody::new(start_ms, end_ms),
                    Err(ApiError::Usage { .. })
                ),
                "{start_ms}"
            );
        }
        assert_eq!(DiscoveryBody::new(-1_000, 0).unwrap().time_interval, 1);
    }
}
