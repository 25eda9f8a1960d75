//! Which accounts the credentials reach.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret;
use serde::{Deserialize, Deserializer};

use crate::ringcx::auth::{AccessToken, Tokens};
use crate::ringcx::error::{ApiError, ErrorCode};
use crate::ringcx::retry::{Need, Request};
use crate::ringcx::summary::denied;
use crate::ringcx::transport::{AttemptError, Transport};

const ACCOUNTS_BODY_MAX: u64 = 16 * 1024 * 1024;

/// A RingCX sub-account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedSubAccount {
    #[serde(deserialize_with = "text_or_number")]
    pub account_id: String,
    #[serde(default)]
    pub account_name: Option<String>,
}

/// Which token a question needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountAuth {
    RingCx,
    RingCentral,
}

/// A GET for a small JSON document.
pub(super) struct AccountQuery<'a> {
    pub transport: &'a Transport,
    pub tokens: &'a Tokens,
    pub badge: AccountAuth,
    pub what: &'static str,
    pub address: String,
    pub token: Option<Arc<AccessToken>>,
    pub ringcentral_refused: bool,
}

impl AccountQuery<'_> {
    async fn bearer(&mut self) -> Result<HeaderValue, ApiError> {
        if self.badge == AccountAuth::RingCx {
            let token = self.tokens.token(Need::Now).await?;
            let bearer = token.bearer.clone();
            self.token = Some(token);
            return Ok(bearer);
        }
        if std::mem::take(&mut self.ringcentral_refused) {
            self.tokens.refuse_ringcentral().await;
        }
        let token = self.tokens.ringcentral().await?;
        let unusable = |_| ApiError::Unavailable {
            what: self.what.into(),
            why: "RingCentral gave a token that no header can carry".into(),
        };
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(unusable)?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }
}

impl Request for AccountQuery<'_> {
    type Answer = Bytes;

    async fn prepare(&self, need: Need) -> Result<(), ApiError> {
        match self.badge {
            AccountAuth::RingCx => self.tokens.token(need).await.map(drop),
            AccountAuth::RingCentral => Ok(()),
        }
    }

    async fn attempt(&mut self) -> Result<Bytes, AttemptError> {
        let bearer = self.bearer().await?;
        let request = self
            .transport
            .client
            .get(&self.address)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(AUTHORIZATION, bearer);
        let body = self
            .transport
            .send(request, false)
            .await?
            .body(ACCOUNTS_BODY_MAX)
            .await?;
        // Checked here, so that an answer that is no JSON at all is asked for again.
        serde_json::from_slice::<serde::de::IgnoredAny>(&body)
            .map_err(|_| AttemptError::passing("bad_answer", Some(200)))?;
        Ok(body)
    }

    fn refused(&mut self, _: Option<ErrorCode>) -> Result<(), ApiError> {
        self.ringcentral_refused = self.badge == AccountAuth::RingCentral;
        self.token
            .as_ref()
            .map_or(Ok(()), |token| self.tokens.refuse(token))
    }

    fn denied(&self, error_code: Option<ErrorCode>) -> ApiError {
        denied(self.what, error_code)
    }

    fn what(&self) -> String {
        self.what.into()
    }
}

/// Ids are documented as strings here and as numbers there.
fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(u64),
    }
    Ok(match Id::deserialize(from)? {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    })
}

/// The RingCentral account, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct RingCentralAccount {
    #[serde(deserialize_with = "text_or_number")]
    pub id: String,
}
