//! One summary of one segment.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{ACCEPT, COOKIE, HeaderValue};

use crate::ringcx::auth::{AccessToken, Tokens};
use crate::ringcx::error::{ApiError, ErrorCode};
use crate::ringcx::retry::{Need, Request};
use crate::ringcx::transport::{AttemptError, Transport};

/// The API's answer for one summary. `Debug` shows no text of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SummaryAnswer {
    /// 200, or 404 for "segment not found or summary not available".
    pub http_status: u16,
    /// What HTTP delivered after content decoding; always empty for 404, whose body may quote people.
    pub body: Bytes,
    pub content_type: Option<String>,
    /// When the last byte arrived, by this host's clock: UTC milliseconds.
    pub fetched_at: i64,
    /// The answer's `Date`: UTC milliseconds.
    pub server_date: Option<i64>,
    /// Requests sent for it, those answered with 401 and 429 included.
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

pub(super) struct SummaryRequest<'a> {
    pub transport: &'a Transport,
    pub tokens: &'a Tokens,
    pub sub_account: &'a str,
    pub address: Url,
    pub max_body_bytes: u64,
    /// The token of the last attempt.
    pub token: Option<Arc<AccessToken>>,
}

impl Request for SummaryRequest<'_> {
    /// Its `attempts` are for the caller to fill in.
    type Answer = SummaryAnswer;

    async fn prepare(&self, need: Need) -> Result<(), ApiError> {
        self.tokens.token(need).await.map(drop)
    }

    async fn attempt(&mut self) -> Result<SummaryAnswer, AttemptError> {
        let token = self.tokens.token(Need::Now).await?;
        // The two summary endpoints take the token in a cookie only, and want no Authorization header (vendor's
        // article "RingCX Summaries API"). The header's name goes out in lower case, as they want it.
        let request = self
            .transport
            .client
            .get(self.address.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(COOKIE, token.cookie.clone());
        self.token = Some(token);
        let mut reply = self.transport.send(request, true).await?;
        let body = match reply.http_status {
            200 => reply.body(self.max_body_bytes).await?,
            _ => {
                reply.beginning().await;
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

    fn refused(&mut self, _: Option<ErrorCode>) -> Result<(), ApiError> {
        self.token
            .as_ref()
            .map_or(Ok(()), |token| self.tokens.refuse(token))
    }

    fn denied(&self, error_code: Option<ErrorCode>) -> ApiError {
        denied(&self.what(), error_code)
    }

    fn what(&self) -> String {
        format!("summaries of sub-account {}", self.sub_account)
    }

    fn rejection_is_of_this_one(&self) -> bool {
        true
    }
}

/// The error for a sub-account that the user may not read.
pub(super) fn denied(what: &str, error_code: Option<ErrorCode>) -> ApiError {
    let code = error_code
        .map(|code| format!(" ({code})"))
        .unwrap_or_default();
    ApiError::Denied {
        message: format!("RingCX denies access to the {what}{code}"),
        remedy:
            "Give the API user access to this sub-account (if it exists) and the WEM permission in RingCX \
                 Admin, or take the sub-account out of CXVAULT_SUB_ACCOUNTS."
                .into(),
    }
}
