//! The requests that return tokens, their answers, and what their refusal means for the operator.

use std::marker::PhantomData;

use reqwest::RequestBuilder;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ringcx::attempt::AttemptError;
use crate::ringcx::error::{ApiError, ErrorCode};
use crate::ringcx::retry::{Renewal, Request};
use crate::ringcx::transport::Transport;

const TOKEN_BODY_MAX: u64 = 1024 * 1024;

/// The answer of the JWT grant; other fields are ignored.
#[derive(Deserialize)]
pub(super) struct RingCentralAnswer {
    pub access_token: SecretString,
    /// Seconds.
    #[serde(default = "an_hour")]
    pub expires_in: i64,
}

/// The documented life of a RingCentral token, in seconds.
fn an_hour() -> i64 {
    3_600
}

/// The answer of exchange and refresh; other fields are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RingCxPair {
    pub access_token: SecretString,
    #[serde(default)]
    pub refresh_token: Option<SecretString>,
}

/// A request for a token of type `T`: it carries its own credentials, so it needs no token itself.
pub(super) struct TokenRequest<'a, T> {
    transport: &'a Transport,
    what: &'static str,
    build: &'a (dyn Fn() -> RequestBuilder + Sync),
    answer: PhantomData<fn() -> T>,
}

impl<'a, T> TokenRequest<'a, T> {
    /// `build` makes the HTTP request of each attempt; `what` names the token in errors.
    pub fn new(
        transport: &'a Transport,
        what: &'static str,
        build: &'a (dyn Fn() -> RequestBuilder + Sync),
    ) -> Self {
        TokenRequest {
            transport,
            what,
            build,
            answer: PhantomData,
        }
    }
}

impl<T: DeserializeOwned + Send> Request for TokenRequest<'_, T> {
    /// With the time before it was requested: a token's life begins at the server, before the answer arrives.
    type Answer = (i64, T);

    async fn prepare(&self, _: Renewal) -> Result<(), ApiError> {
        Ok(())
    }

    async fn attempt(&mut self) -> Result<(i64, T), AttemptError> {
        let requested_ms = self.transport.clock.now_ms();
        let mut reply = self.transport.send((self.build)(), false).await?;
        let body = reply.body(TOKEN_BODY_MAX).await?;
        let answer = serde_json::from_slice(&body)
            .map_err(|_| AttemptError::transient("bad_answer", Some(200)))?;
        Ok((requested_ms, answer))
    }

    fn on_unauthorized(&mut self, error_code: Option<ErrorCode>) -> Result<(), ApiError> {
        Err(ApiError::Rejected {
            what: self.what(),
            http_status: 401,
            error_code,
        })
    }

    fn forbidden(&self, error_code: Option<ErrorCode>) -> ApiError {
        ApiError::Rejected {
            what: self.what(),
            http_status: 403,
            error_code,
        }
    }

    fn what(&self) -> String {
        self.what.into()
    }
}

/// Returns whether a token request was refused, so that repeating it cannot help.
pub(super) fn is_refusal(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::Rejected {
            http_status: 400 | 401 | 403,
            ..
        }
    )
}

/// Builds the error for a refused JWT grant.
pub(super) fn refused_credentials(error: &ApiError) -> ApiError {
    ApiError::Denied {
        message: format!("RingCentral refuses the credentials: {error}"),
        remedy: "Check CXVAULT_CLIENT_ID, CXVAULT_CLIENT_SECRET and CXVAULT_JWT: they must belong to one app of \
                 this environment, with the JWT grant and the scope ReadAccounts, and not be expired."
            .into(),
    }
}

/// Builds the error for a refused exchange of a new RingCentral token.
pub(super) fn unknown_ringcx_user(error: &ApiError) -> ApiError {
    ApiError::Denied {
        message: format!("RingCX refuses the RingCentral token: {error}"),
        remedy: "Check that the user of CXVAULT_JWT is a RingCX user with WEM access, and that the app has the \
                 scope ReadAccounts."
            .into(),
    }
}

/// Builds the error for a ready token that no header can carry.
pub(super) fn unusable_ready_token() -> ApiError {
    ApiError::Usage {
        message: "the RingCX token is empty or holds characters that no token has".into(),
        remedy: "Give the token alone in CXVAULT_RINGCX_TOKEN, without quotes or a prefix.".into(),
    }
}

/// Builds the error for a ready token that was refused.
pub(super) fn ready_token_expired() -> ApiError {
    ApiError::Denied {
        message: "RingCX refuses the token of CXVAULT_RINGCX_TOKEN; such a token lives 5 minutes"
            .into(),
        remedy:
            "Give a new CXVAULT_RINGCX_TOKEN, or set CXVAULT_CLIENT_ID, CXVAULT_CLIENT_SECRET and \
                 CXVAULT_JWT, from which tokens are renewed automatically."
                .into(),
    }
}
