//! Which segments ended in a window: one request whose answer is streamed through.

use std::sync::Arc;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::format::hash::digest::{Digest, Hasher};
use crate::ringcx::auth::{AccessToken, Tokens};
use crate::ringcx::error::{ApiError, ErrorCode};
use crate::ringcx::retry::{Need, Request};
use crate::ringcx::split::{SplitError, Splitter};
use crate::ringcx::summary::denied;
use crate::ringcx::transport::{AttemptError, Transport};

/// The longest window that one request may ask for, in seconds (RingCX, "interaction-metadata").
pub const LONGEST_WINDOW_S: i64 = 10_800;
const BATCH: usize = 256;
/// A batch of large objects is sent earlier: what lies in the channel is memory, too.
const BATCH_BYTES: usize = 512 * 1024;

/// What a window's answer gives, while it arrives. `Debug` shows no object: they hold phone numbers and notes.
#[derive(Clone, PartialEq, Eq)]
pub enum Discovered {
    /// The answer broke off and is asked for again: forget what this window gave so far.
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

/// A window's answer as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowAnswer {
    /// Of the body after content decoding.
    pub sha256: Digest,
    /// Of that body.
    pub bytes: u64,
    /// Objects in the answer, duplicates included.
    pub rows: u64,
    /// The answer's `Date`: UTC milliseconds.
    pub server_date: Option<i64>,
    /// When the last byte arrived, by this host's clock: UTC milliseconds.
    pub answered_at: i64,
    /// Requests sent for it, those answered with 401 and 429 included.
    pub attempts: u32,
}

/// The request's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DiscoveryBody {
    /// Despite its name the beginning: the API searches forward from here.
    segment_end_time: String,
    /// Seconds.
    time_interval: i64,
    /// Windows are instants. In a zone with daylight-saving time an hour of autumn would have two meanings and
    /// an hour of spring none, and segments would be lost or asked for twice.
    time_zone: &'static str,
}

impl DiscoveryBody {
    /// The half-open window from `start_ms` to `end_ms`, UTC milliseconds on whole seconds.
    pub fn new(start_ms: i64, end_ms: i64) -> Result<Self, ApiError> {
        let length_ms = end_ms.saturating_sub(start_ms);
        let whole = start_ms.rem_euclid(1_000) == 0 && length_ms.rem_euclid(1_000) == 0;
        let seconds = length_ms.div_euclid(1_000);
        let start = Timestamp::from_millisecond(start_ms).ok();
        match start {
            Some(start) if whole && (1..=LONGEST_WINDOW_S).contains(&seconds) => {
                Ok(DiscoveryBody {
                    segment_end_time: start.strftime("%Y-%m-%d %H:%M:%S").to_string(),
                    time_interval: seconds,
                    time_zone: "UTC",
                })
            }
            _ => Err(ApiError::Usage {
                message: format!(
                    "{start_ms} to {end_ms} is no window that RingCX can be asked for"
                ),
                remedy: format!(
                    "Ask for 1 to {LONGEST_WINDOW_S} whole seconds, from a whole second on."
                ),
            }),
        }
    }
}

pub(super) struct DiscoveryRequest<'a> {
    pub transport: &'a Transport,
    pub tokens: &'a Tokens,
    pub sub_account: &'a str,
    pub address: String,
    pub window: DiscoveryBody,
    pub max_object_bytes: usize,
    pub out: &'a mpsc::Sender<Discovered>,
    /// An earlier attempt has given objects to the receiver.
    pub given: bool,
    pub token: Option<Arc<AccessToken>>,
}

/// Objects that wait to be given on together.
#[derive(Default)]
struct ObjectBatch {
    objects: Vec<String>,
    bytes: usize,
}

impl DiscoveryRequest<'_> {
    async fn give(&self, what: Discovered) -> Result<(), AttemptError> {
        // A receiver that is gone has stopped for reasons of its own.
        self.out
            .send(what)
            .await
            .map_err(|_| AttemptError::End(ApiError::Stopped))
    }

    async fn give_batch(&mut self, batch: &mut ObjectBatch) -> Result<(), AttemptError> {
        let ObjectBatch { objects, .. } = std::mem::take(batch);
        if objects.is_empty() {
            return Ok(());
        }
        self.given = true;
        self.give(Discovered::Objects(objects)).await
    }
}

impl Request for DiscoveryRequest<'_> {
    /// Its `attempts` are for the caller to fill in.
    type Answer = WindowAnswer;

    async fn prepare(&self, need: Need) -> Result<(), ApiError> {
        self.tokens.token(need).await.map(drop)
    }

    async fn attempt(&mut self) -> Result<WindowAnswer, AttemptError> {
        let token = self.tokens.token(Need::Now).await?;
        let request = self
            .transport
            .client
            .post(&self.address)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(AUTHORIZATION, token.bearer.clone())
            .json(&self.window);
        self.token = Some(token);
        let mut reply = self.transport.send(request, false).await?;
        if std::mem::take(&mut self.given) {
            self.give(Discovered::Restart).await?;
        }
        let (mut hasher, mut bytes) = (Hasher::new(), 0);
        let mut splitter = Splitter::new(self.max_object_bytes);
        let mut batch = ObjectBatch::default();
        while let Some(piece) = reply.piece().await? {
            hasher.update(&piece);
            bytes += piece.len() as u64;
            let each = |object: String| {
                batch.bytes += object.len();
                batch.objects.push(object);
            };
            splitter.push(&piece, each).map_err(unusable)?;
            if batch.objects.len() >= BATCH || batch.bytes >= BATCH_BYTES {
                self.give_batch(&mut batch).await?;
            }
        }
        let rows = splitter.finish().map_err(unusable)?;
        self.give_batch(&mut batch).await?;
        let answered_at = self.transport.clock.now_ms();
        let (sha256, server_date) = (hasher.finish(), reply.server_date);
        Ok(WindowAnswer {
            sha256,
            bytes,
            rows,
            server_date,
            answered_at,
            attempts: 0,
        })
    }

    fn refused(&mut self, _: Option<ErrorCode>) -> Result<(), ApiError> {
        self.token
            .as_ref()
            .map_or(Ok(()), |token| self.tokens.refuse(token))
    }

    fn denied(&self, error_code: Option<ErrorCode>) -> ApiError {
        denied(&self.what(), error_code)
    }

    fn what(&self) -> String {
        format!("interaction metadata of sub-account {}", self.sub_account)
    }
}

fn unusable(error: SplitError) -> AttemptError {
    match error {
        // Perhaps cut short by a proxy: the next answer may be whole.
        SplitError::NotAnArrayOfObjects => AttemptError::passing("bad_answer", Some(200)),
        SplitError::TooLarge => AttemptError::Hopeless {
            class: "too_large",
            http_status: Some(200),
        },
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
