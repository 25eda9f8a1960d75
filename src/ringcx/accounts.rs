//! Which accounts the credentials reach.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret;
use serde::{Deserialize, Deserializer};

use crate::ringcx::auth::{Token, Tokens};
use crate::ringcx::error::{ApiError, ErrorCode};
use crate::ringcx::retry::{Need, Request};
use crate::ringcx::summary::denied;
use crate::ringcx::transport::{Transport, Trouble};

const ACCOUNTS_BODY_MAX: u64 = 16 * 1024 * 1024;

/// A RingCX sub-account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubAccount {
    #[serde(deserialize_with = "text_or_number")]
    pub account_id: String,
    #[serde(default)]
    pub account_name: Option<String>,
}

/// Which token a question needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Badge {
    RingCx,
    RingCentral,
}

/// A GET for a small JSON document.
pub(super) struct Question<'a> {
    pub transport: &'a Transport,
    pub tokens: &'a Tokens,
    pub badge: Badge,
    pub what: &'static str,
    pub address: String,
    pub token: Option<Arc<Token>>,
    pub ringcentral_refused: bool,
}

impl Question<'_> {
    async fn bearer(&mut self) -> Result<HeaderValue, ApiError> {
        if self.badge == Badge::RingCx {
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

impl Request for Question<'_> {
    type Answer = Bytes;

    async fn prepare(&self, need: Need) -> Result<(), ApiError> {
        match self.badge {
            Badge::RingCx => self.tokens.token(need).await.map(drop),
            Badge::RingCentral => Ok(()),
        }
    }

    async fn attempt(&mut self) -> Result<Bytes, Trouble> {
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
            .map_err(|_| Trouble::passing("bad_answer", Some(200)))?;
        Ok(body)
    }

    fn refused(&mut self, _: Option<ErrorCode>) -> Result<(), ApiError> {
        self.ringcentral_refused = self.badge == Badge::RingCentral;
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
pub(super) struct Account {
    #[serde(deserialize_with = "text_or_number")]
    pub id: String,
}
