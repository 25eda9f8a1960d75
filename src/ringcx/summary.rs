//! The request for one summary of one segment.

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{ACCEPT, COOKIE, HeaderValue};

use crate::ringcx::attempt::AttemptError;
use crate::ringcx::auth::RequestToken;
use crate::ringcx::error::{ApiError, ErrorCode};
use crate::ringcx::retry::{Renewal, Request};
use crate::ringcx::transport::Transport;

/// The API's answer for one summary. `Debug` does not show its text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SummaryAnswer {
    /// 200, or 404 for "segment not found or summary not available".
    pub http_status: u16,
    /// The body after content decoding; always empty for 404, whose body may quote people.
    pub body: Bytes,
    /// At most 255 characters.
    pub content_type: Option<String>,
    /// When the last byte arrived, by this host's clock, in UTC milliseconds.
    pub fetched_at: i64,
    /// The answer's `Date` in UTC milliseconds.
    pub server_date: Option<i64>,
    /// Requests sent for it, including those answered with 401 and 429.
    pub attempts: u32,
}

impl std::fmt::Debug for SummaryAnswer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SummaryAnswer")
            .field("http_status", &self.http_status)
            .field("bytes", &self.body.len())
            .field("content_type", &self.content_type)
            .field("fetched_at", &self.fetched_at)
            .field("server_date", &self.server_date)
            .field("attempts", &self.attempts)
            .finish()
    }
}

/// A GET for a summary.
pub(super) struct SummaryRequest<'a> {
    pub transport: &'a Transport,
    pub sub_account: &'a str,
    pub address: Url,
    pub max_body_bytes: u64,
    pub token: RequestToken<'a>,
}

impl Request for SummaryRequest<'_> {
    /// Its `attempts` are filled in by the caller.
    type Answer = SummaryAnswer;

    async fn prepare(&self, renewal: Renewal) -> Result<(), ApiError> {
        self.token.renew(renewal).await
    }

    async fn attempt(&mut self) -> Result<SummaryAnswer, AttemptError> {
        let token = self.token.current().await?;
        // The summary endpoints accept the token in a cookie only, without an Authorization header, and require the
        // header's name in lower case (vendor's article "RingCX Summaries API").
        let request = self
            .transport
            .client
            .get(self.address.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(COOKIE, token.cookie.clone());
        let mut reply = self.transport.send(request, true).await?;
        let body = match reply.http_status {
            200 => reply.body(self.max_body_bytes).await?,
            _ => {
                reply.error_body().await;
                Bytes::new()
            }
        };
        Ok(SummaryAnswer {
            http_status: reply.http_status,
            body,
            content_type: reply.content_type(),
            fetched_at: self.transport.clock.now_ms(),
            server_date: reply.server_date,
            attempts: 0,
        })
    }

    fn on_unauthorized(&mut self, _: Option<ErrorCode>) -> Result<(), ApiError> {
        self.token.refuse()
    }

    fn what(&self) -> String {
        format!("summaries of sub-account {}", self.sub_account)
    }

    fn rejection_is_local(&self) -> bool {
        true
    }
}
