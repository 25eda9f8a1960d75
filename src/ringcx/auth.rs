//! The life cycle of RingCX tokens: obtained, renewed in time, and renewed once for all workers.
//!
//! A RingCX access token lives five minutes, and the API never renews it by itself. Source of the flow: RingCX
//! developer documentation, "RingCentral Authentication". From cheap to expensive:
//!
//! 1. refresh: a refresh token returns a new pair, and can be spent once;
//! 2. exchange: a RingCentral token returns a pair, at most 5 times a minute;
//! 3. JWT grant (RFC 7523): the credential returns a RingCentral token, which lives an hour.
//!
//! A renewal tries them in this order. It begins after four fifths of a token's life, before the token expires: one
//! worker renews while the others continue with the old token. When a token has expired or was refused with 401,
//! all workers wait for one renewal, and share its error if it fails.
//!
//! Nothing is stored: a new process starts with the JWT grant.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::ringcx::access_token::AccessToken;
use crate::ringcx::error::ApiError;
use crate::ringcx::limiter::{LimiterContext, LimiterSettings, LimiterUsage, RateLimiter};
use crate::ringcx::limits::Limits;
use crate::ringcx::pace::Spacing;
use crate::ringcx::retry::Renewal;
use crate::ringcx::token_request::{
    RingCentralAnswer, RingCxPair, TokenRequest, is_refusal, ready_token_expired,
    refused_credentials, unknown_ringcx_user, unusable_ready_token,
};
use crate::ringcx::transport::Transport;
use crate::ringcx::{Credentials, retry, scope_name};

const JWT_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A RingCentral token is not used in its last minute: it must still be valid when the exchange arrives.
const LAST_MINUTE_MS: i64 = 60_000;
/// After an early renewal that failed, the old token stays in use for this long before the next try.
const EARLY_RETRY_MS: i64 = 5_000;

/// The tokens of one credential.
pub(super) struct Tokens {
    transport: Arc<Transport>,
    context: Arc<LimiterContext>,
    credentials: Credentials,
    life_ms: i64,
    current: RwLock<Option<Arc<AccessToken>>>,
    /// Tokens up to this generation were refused with 401.
    refused: AtomicU64,
    /// UTC milliseconds before which no early renewal is tried.
    early_retry_ms: AtomicI64,
    /// Number of renewals that have ended, successful or not.
    renewals: AtomicU64,
    renewal: Mutex<RenewalState>,
    platform: RateLimiter,
    exchange: RateLimiter,
    refresh: RateLimiter,
}

/// What renewals work with. The worker that holds its lock is the one that renews.
#[derive(Default)]
struct RenewalState {
    /// The RingCentral token, and the UTC milliseconds until which it is used.
    ringcentral: Option<(SecretString, i64)>,
    refresh: Option<SecretString>,
    generation: u64,
    /// The error of the last renewal.
    failure: Option<ApiError>,
}

impl Tokens {
    /// Prepares the tokens of `credentials`; sends nothing yet.
    ///
    /// # Errors
    /// [`ApiError::Usage`] for a ready token that no header can carry.
    pub fn new(
        transport: Arc<Transport>,
        context: Arc<LimiterContext>,
        credentials: Credentials,
        limits: Limits,
        life: Duration,
        max_attempts: u32,
    ) -> Result<Self, ApiError> {
        let (platform_host, ringcx_host) = (&transport.platform.host, &transport.ringcx.host);
        let [platform, exchange, refresh] = [
            ("platform", platform_host, Limits::default(), max_attempts),
            ("tokens", ringcx_host, limits, max_attempts),
            // One attempt: where the answer was lost, the refresh token is spent; an exchange works in any case.
            ("refresh", ringcx_host, Limits::default(), 1),
        ]
        .map(|(kind, host, limits, max_attempts)| {
            let settings = LimiterSettings {
                scope: scope_name(kind, host, &credentials.fingerprint()),
                limits,
                spacing: Spacing::Burst,
                max_attempts,
                backoff_ms: 500,
            };
            RateLimiter::new(context.clone(), settings)
        });
        let current = match &credentials {
            Credentials::Token(token) => {
                let token = AccessToken::new(token, 1, i64::MAX, i64::MAX);
                Some(Arc::new(token.ok_or_else(unusable_ready_token)?))
            }
            Credentials::Jwt { .. } => None,
        };
        Ok(Tokens {
            transport,
            context,
            credentials,
            life_ms: i64::try_from(life.as_millis()).unwrap_or(i64::MAX / 4),
            current: RwLock::new(current),
            refused: AtomicU64::new(0),
            early_retry_ms: AtomicI64::new(i64::MIN),
            renewals: AtomicU64::new(0),
            renewal: Mutex::new(RenewalState::default()),
            platform,
            exchange,
            refresh,
        })
    }

    /// Returns a token that is valid now. With [`Renewal::Early`], one caller renews it before it expires, while the
    /// others continue with the old token.
    ///
    /// # Errors
    /// [`ApiError::Denied`], [`ApiError::Unavailable`], [`ApiError::Stopped`] or [`ApiError::Ledger`].
    pub async fn token(&self, renewal: Renewal) -> Result<Arc<AccessToken>, ApiError> {
        let now_ms = self.context.clock.now_ms();
        if let Some(token) = self.usable(now_ms) {
            let due_ms = token.renew_at_ms.max(self.early_retry_ms.load(Relaxed));
            if renewal == Renewal::Early
                && now_ms >= due_ms
                && let Ok(mut state) = self.renewal.try_lock()
            {
                return Ok(self.renew_early(&mut state, token).await);
            }
            return Ok(token);
        }
        if let Credentials::Token(_) = self.credentials {
            return Err(ready_token_expired());
        }
        let renewals = self.renewals.load(Relaxed);
        let mut state = self.renewal.lock().await;
        if let Some(token) = self.usable(self.context.clock.now_ms()) {
            return Ok(token);
        }
        // A renewal failed while this worker waited for the lock: fifty workers must not repeat it one by one.
        match &state.failure {
            Some(failure) if self.renewals.load(Relaxed) != renewals => Err(failure.clone()),
            _ => self.renew(&mut state).await,
        }
    }

    /// Records that `token` was answered with 401; the next call of [`Tokens::token`] renews it.
    ///
    /// # Errors
    /// [`ApiError::Denied`] for a ready token, which nothing renews.
    pub fn refuse(&self, token: &AccessToken) -> Result<(), ApiError> {
        self.refused.fetch_max(token.generation, Relaxed);
        match self.credentials {
            Credentials::Token(_) => Err(ready_token_expired()),
            Credentials::Jwt { .. } => Ok(()),
        }
    }

    /// Returns the RingCentral token, for the platform's own endpoints.
    ///
    /// # Errors
    /// As [`Tokens::token`]; [`ApiError::Usage`] for a ready token.
    pub(crate) async fn ringcentral(&self) -> Result<SecretString, ApiError> {
        let mut state = self.renewal.lock().await;
        let (token, _) = self.ringcentral_token(&mut state).await?;
        Ok(token)
    }

    /// Records that the platform answered the RingCentral token with 401.
    pub(crate) async fn refuse_ringcentral(&self) {
        self.renewal.lock().await.ringcentral = None;
    }

    /// Returns the counters of the exchanges, whose limit is the tightest.
    pub fn usage(&self) -> LimiterUsage {
        self.exchange.usage()
    }

    fn current(&self) -> Option<Arc<AccessToken>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn usable(&self, now_ms: i64) -> Option<Arc<AccessToken>> {
        let refused = self.refused.load(Relaxed);
        self.current()
            .filter(|token| token.generation > refused && now_ms < token.expires_at_ms)
    }

    /// Renews while the old token is still valid; where that fails, the old token is returned.
    async fn renew_early(
        &self,
        state: &mut RenewalState,
        old: Arc<AccessToken>,
    ) -> Arc<AccessToken> {
        let now_ms = self.context.clock.now_ms();
        if let Some(token) = self.usable(now_ms)
            && now_ms < token.renew_at_ms
        {
            return token;
        }
        self.renew(state).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot renew the RingCX token before it expires");
            let retry_ms = self.context.clock.now_ms() + EARLY_RETRY_MS;
            self.early_retry_ms.store(retry_ms, Relaxed);
            old
        })
    }

    async fn renew(&self, state: &mut RenewalState) -> Result<Arc<AccessToken>, ApiError> {
        let result = self.next_token(state).await;
        state.failure = result.as_ref().err().cloned();
        self.renewals.fetch_add(1, Relaxed);
        result
    }

    async fn next_token(&self, state: &mut RenewalState) -> Result<Arc<AccessToken>, ApiError> {
        // A token that was refused right after a refresh: another refresh would return its like.
        let distrusted = self
            .current()
            .is_some_and(|token| token.refreshed && token.generation <= self.refused.load(Relaxed));
        if let Some(refresh) = state.refresh.take().filter(|_| !distrusted) {
            match self.refresh(&refresh).await {
                Ok(answer) => return self.install(state, answer, true),
                Err(ApiError::Stopped) => return Err(ApiError::Stopped),
                Err(error) => {
                    tracing::debug!(%error, "cannot refresh the RingCX token; exchanging again")
                }
            }
        }
        let (ringcentral, reused) = self.ringcentral_token(state).await?;
        let mut exchanged = self.exchange(&ringcentral).await;
        if reused && exchanged.as_ref().is_err_and(is_refusal) {
            state.ringcentral = None;
            let (ringcentral, _) = self.ringcentral_token(state).await?;
            exchanged = self.exchange(&ringcentral).await;
        }
        let answer = exchanged.map_err(|error| {
            state.ringcentral = None;
            match is_refusal(&error) {
                true => unknown_ringcx_user(&error),
                false => error,
            }
        })?;
        self.install(state, answer, false)
    }

    /// Makes an issued pair the current token. `issued` has the UTC milliseconds at which it was requested.
    fn install(
        &self,
        state: &mut RenewalState,
        issued: (i64, RingCxPair),
        refreshed: bool,
    ) -> Result<Arc<AccessToken>, ApiError> {
        let (issued_ms, pair) = issued;
        state.generation += 1;
        state.refresh = pair.refresh_token;
        // Four fifths leave a minute for the renewal itself.
        let renew_at_ms = issued_ms.saturating_add(self.life_ms / 5 * 4);
        let expires_at_ms = issued_ms.saturating_add(self.life_ms);
        let (secret, generation) = (&pair.access_token, state.generation);
        let token = AccessToken::new(secret, generation, renew_at_ms, expires_at_ms);
        let token = token.ok_or_else(|| ApiError::Unavailable {
            what: "the RingCX token".into(),
            why: "RingCX returned a token that no header can carry".into(),
        })?;
        let token = Arc::new(AccessToken { refreshed, ..token });
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    /// Returns the RingCentral token, and whether it was in use before.
    async fn ringcentral_token(
        &self,
        state: &mut RenewalState,
    ) -> Result<(SecretString, bool), ApiError> {
        if let Some((token, until_ms)) = &state.ringcentral
            && self.context.clock.now_ms() < *until_ms
        {
            return Ok((token.clone(), true));
        }
        let (issued_ms, answer) = self.jwt_grant().await?;
        let life_ms = answer.expires_in.saturating_mul(1_000);
        let until_ms = issued_ms + (life_ms - LAST_MINUTE_MS).max(0);
        state.ringcentral = Some((answer.access_token.clone(), until_ms));
        Ok((answer.access_token, false))
    }

    /// Requests a RingCentral token with the JWT grant (RFC 7523); the client authenticates with HTTP Basic.
    async fn jwt_grant(&self) -> Result<(i64, RingCentralAnswer), ApiError> {
        let Credentials::Jwt {
            client_id,
            client_secret,
            jwt,
        } = &self.credentials
        else {
            return Err(ApiError::Usage {
                message: "a ready RingCX token cannot be used at the RingCentral platform".into(),
                remedy: "Set CXVAULT_RC_ACCOUNT_ID, or use JWT credentials.".into(),
            });
        };
        let address = self.transport.platform.join(&["/restapi/oauth/token"]);
        let form = [
            ("grant_type", JWT_GRANT),
            ("assertion", jwt.expose_secret()),
        ];
        self.request(&self.platform, "the RingCentral token", &|| {
            let post = self.transport.client.post(&address);
            post.basic_auth(client_id, Some(client_secret.expose_secret()))
                .form(&form)
        })
        .await
        .map_err(|error| match is_refusal(&error) {
            true => refused_credentials(&error),
            false => error,
        })
    }

    async fn exchange(&self, ringcentral: &SecretString) -> Result<(i64, RingCxPair), ApiError> {
        const PATH: &str = "/api/auth/login/rc/accesstoken?includeRefresh=true";
        let address = self.transport.ringcx.join(&[PATH]);
        let form = [
            ("rcAccessToken", ringcentral.expose_secret()),
            ("rcTokenType", "Bearer"),
        ];
        self.request(&self.exchange, "the RingCX token", &|| {
            self.transport.client.post(&address).form(&form)
        })
        .await
    }

    async fn refresh(&self, refresh: &SecretString) -> Result<(i64, RingCxPair), ApiError> {
        let address = self.transport.ringcx.join(&["/api/auth/token/refresh"]);
        let form = [("refresh_token", refresh.expose_secret())];
        self.request(&self.refresh, "the next RingCX token", &|| {
            self.transport.client.post(&address).form(&form)
        })
        .await
    }

    /// Sends a token request; returns the answer and the UTC milliseconds at which it was requested.
    async fn request<T: DeserializeOwned + Send>(
        &self,
        limiter: &RateLimiter,
        what: &'static str,
        build: &(dyn Fn() -> RequestBuilder + Sync),
    ) -> Result<(i64, T), ApiError> {
        let mut request = TokenRequest::new(&self.transport, what, build);
        match retry::run(limiter, &mut request).await {
            Ok((answer, _)) => Ok(answer),
            // The worker that waits for a token would take "this request gave up" for the result of its own.
            Err(ApiError::GaveUp {
                class, attempts, ..
            }) => Err(ApiError::Unavailable {
                what: what.to_owned(),
                why: format!("no token after {attempts} requests, last {class}"),
            }),
            Err(other) => Err(other),
        }
    }
}

/// The RingCX token of one request. It remembers the token of the last attempt, so that a 401 refuses this token and not a
/// token that another request has renewed meanwhile.
pub(super) struct RequestToken<'a> {
    tokens: &'a Tokens,
    last: Option<Arc<AccessToken>>,
}

impl<'a> RequestToken<'a> {
    /// Prepares a request that has not been sent yet.
    pub fn new(tokens: &'a Tokens) -> Self {
        RequestToken { tokens, last: None }
    }

    /// Renews the token before the request is granted, since renewing can take long.
    ///
    /// # Errors
    /// As [`Tokens::token`].
    pub async fn renew(&self, renewal: Renewal) -> Result<(), ApiError> {
        self.tokens.token(renewal).await.map(drop)
    }

    /// Returns the token for the next attempt.
    ///
    /// # Errors
    /// As [`Tokens::token`].
    pub async fn current(&mut self) -> Result<&AccessToken, ApiError> {
        let token = self.tokens.token(Renewal::IfExpired).await?;
        Ok(self.last.insert(token))
    }

    /// Reacts to a 401: no further request uses the token of the last attempt.
    ///
    /// # Errors
    /// As [`Tokens::refuse`].
    pub fn refuse(&self) -> Result<(), ApiError> {
        match &self.last {
            Some(token) => self.tokens.refuse(token),
            None => Ok(()),
        }
    }
}
