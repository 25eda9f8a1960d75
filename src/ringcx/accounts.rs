//! Small JSON documents about accounts: the sub-accounts that a credential can access, and the RingCentral account.

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret;
use serde::{Deserialize, Deserializer};

use crate::ringcx::access_token::sensitive_header;
use crate::ringcx::attempt::AttemptError;
use crate::ringcx::auth::{RequestToken, Tokens};
use crate::ringcx::error::{ApiError, ErrorCode};
use crate::ringcx::retry::{Renewal, Request};
use crate::ringcx::transport::Transport;

const ACCOUNTS_BODY_MAX: u64 = 16 * 1024 * 1024;

/// A RingCX sub-account, as `GET /voice/api/v1/admin/accounts` lists it; other fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedSubAccount {
    /// The id, such as `21630001`.
    #[serde(deserialize_with = "text_or_number")]
    pub account_id: String,
    /// The name in RingCX Admin.
    #[serde(default)]
    pub account_name: Option<String>,
}

/// The token that an account query needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountAuth {
    RingCx,
    RingCentral,
}

/// A GET for a small JSON document.
pub(super) struct AccountQuery<'a> {
    pub transport: &'a Transport,
    pub tokens: &'a Tokens,
    pub auth: AccountAuth,
    pub what: &'static str,
    pub address: String,
    /// The RingCX token.
    pub token: RequestToken<'a>,
    /// Whether the RingCentral token of the last attempt was refused.
    pub ringcentral_refused: bool,
}

impl AccountQuery<'_> {
    async fn bearer(&mut self) -> Result<HeaderValue, ApiError> {
        if self.auth == AccountAuth::RingCx {
            return Ok(self.token.current().await?.bearer.clone());
        }
        if std::mem::take(&mut self.ringcentral_refused) {
            self.tokens.refuse_ringcentral().await;
        }
        let token = self.tokens.ringcentral().await?;
        sensitive_header(&format!("Bearer {}", token.expose_secret())).ok_or_else(|| {
            ApiError::Unavailable {
                what: self.what.into(),
                why: "RingCentral returned a token that no header can carry".into(),
            }
        })
    }
}

impl Request for AccountQuery<'_> {
    type Answer = Bytes;

    async fn prepare(&self, renewal: Renewal) -> Result<(), ApiError> {
        match self.auth {
            AccountAuth::RingCx => self.token.renew(renewal).await,
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
        let mut reply = self.transport.send(request, false).await?;
        let body = reply.body(ACCOUNTS_BODY_MAX).await?;
        // Checked here, so that a request whose answer is not JSON is repeated.
        serde_json::from_slice::<serde::de::IgnoredAny>(&body)
            .map_err(|_| AttemptError::transient("bad_answer", Some(200)))?;
        Ok(body)
    }

    fn on_unauthorized(&mut self, _: Option<ErrorCode>) -> Result<(), ApiError> {
        self.ringcentral_refused = self.auth == AccountAuth::RingCentral;
        self.token.refuse()
    }

    fn what(&self) -> String {
        self.what.into()
    }
}

/// Reads an id, which some pages of the documentation show as a string and others as a number.
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

/// The RingCentral account; other fields are ignored.
#[derive(Deserialize)]
pub(super) struct RingCentralAccount {
    #[serde(deserialize_with = "text_or_number")]
    pub id: String,
}
