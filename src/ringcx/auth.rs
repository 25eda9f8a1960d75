//! RingCX tokens: got, renewed in time, once for everybody.
//!
//! A RingCX access token lives five minutes and nothing renews it by itself. Source of the flow: RingCX developer
//! documentation, "RingCentral Authentication". The chain, from cheap to dear: refresh (each refresh token serves
//! once), exchange of the RingCentral token (5 a minute), a new RingCentral token by the JWT grant.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::ringcx::error::{ApiError, ErrorCode};
use crate::ringcx::limiter::{LimiterContext, LimiterSettings, LimiterUsage, RateLimiter};
use crate::ringcx::limits::Limits;
use crate::ringcx::pace::Spacing;
use crate::ringcx::retry;
use crate::ringcx::retry::{Need, Request};
use crate::ringcx::transport::{AttemptError, Transport};
use crate::ringcx::{Credentials, scope};

const JWT_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_BODY_MAX: u64 = 1024 * 1024;
/// A RingCentral token is not used in its last minute: the exchange must still find it valid.
const LAST_MINUTE_MS: i64 = 60_000;
/// After an early renewal that failed, the old token serves on for this long before the next try.
const EARLY_AGAIN_MS: i64 = 5_000;

/// A RingCX access token, as the two kinds of endpoints want it.
pub(super) struct AccessToken {
    generation: u64,
    /// For summaries.
    pub cookie: HeaderValue,
    /// For everything else.
    pub bearer: HeaderValue,
    renew_at_ms: i64,
    expires_at_ms: i64,
    refreshed: bool,
}

/// Where tokens come from, and the one that serves now.
pub(super) struct Tokens {
    transport: Arc<Transport>,
    shared: Arc<LimiterContext>,
    credentials: Credentials,
    life_ms: i64,
    current: RwLock<Option<Arc<AccessToken>>>,
    /// Tokens up to this generation were refused.
    refused: AtomicU64,
    early_again_ms: AtomicI64,
    /// Counts the renewals that have ended, well or not.
    renewals: AtomicU64,
    held: Mutex<RenewalState>,
    platform: RateLimiter,
    exchange: RateLimiter,
    refresh: RateLimiter,
}

/// What renewals work with; whoever holds the lock is the one who renews.
#[derive(Default)]
struct RenewalState {
    ringcentral: Option<(SecretString, i64)>,
    refresh: Option<SecretString>,
    generation: u64,
    failure: Option<ApiError>,
}

impl Tokens {
    pub fn new(
        transport: Arc<Transport>,
        shared: Arc<LimiterContext>,
        credentials: Credentials,
        limits: Limits,
        life: Duration,
        max_attempts: u32,
    ) -> Result<Self, ApiError> {
        let lane = |kind: &str, host: &str, limits: Limits, max_attempts| {
            let scope = scope(kind, host, &credentials.fingerprint());
            let settings = LimiterSettings {
                scope,
                limits,
                spacing: Spacing::Burst,
                max_attempts,
                backoff_ms: 500,
            };
            RateLimiter::new(shared.clone(), settings)
        };
        let platform = lane(
            "platform",
            &transport.platform.host,
            Limits::default(),
            max_attempts,
        );
        let exchange = lane("tokens", &transport.ringcx.host, limits, max_attempts);
        // Once: an answer that got lost has spent the refresh token, and an exchange always works.
        let refresh = lane("refresh", &transport.ringcx.host, Limits::default(), 1);
        let ready = match &credentials {
            Credentials::Token(token) => {
                let token =
                    AccessToken::of(token, 1, i64::MAX, i64::MAX).ok_or_else(not_a_ready_token)?;
                Some(Arc::new(token))
            }
            Credentials::Jwt { .. } => None,
        };
        Ok(Tokens {
            transport,
            shared,
            credentials,
            life_ms: i64::try_from(life.as_millis()).unwrap_or(i64::MAX / 4),
            current: RwLock::new(ready),
            refused: AtomicU64::new(0),
            early_again_ms: AtomicI64::new(i64::MIN),
            renewals: AtomicU64::new(0),
            held: Mutex::new(RenewalState::default()),
            platform,
            exchange,
            refresh,
        })
    }

    /// A token that is good now. With [`Need::Early`] one caller renews it ahead of its end, while the others go
    /// on with the old one.
    pub async fn token(&self, need: Need) -> Result<Arc<AccessToken>, ApiError> {
        let now = self.shared.clock.now_ms();
        if let Some(token) = self.usable(now) {
            let renew = need == Need::Early
                && now >= token.renew_at_ms.max(self.early_again_ms.load(Relaxed));
            return match if renew {
                self.held.try_lock().ok()
            } else {
                None
            } {
                Some(mut held) => Ok(self.renew_early(&mut held, token).await),
                None => Ok(token),
            };
        }
        if let Credentials::Token(_) = self.credentials {
            return Err(ready_token_is_over());
        }
        let renewals = self.renewals.load(Relaxed);
        let mut held = self.held.lock().await;
        if let Some(token) = self.usable(self.shared.clock.now_ms()) {
            return Ok(token);
        }
        // A renewal failed while we stood in the queue: fifty workers must not all find out for themselves.
        match &held.failure {
            Some(failure) if self.renewals.load(Relaxed) != renewals => Err(failure.clone()),
            _ => self.renew(&mut held).await,
        }
    }

    /// `token` was answered with 401.
    pub fn refuse(&self, token: &AccessToken) -> Result<(), ApiError> {
        self.refused.fetch_max(token.generation, Relaxed);
        match self.credentials {
            Credentials::Token(_) => Err(ready_token_is_over()),
            Credentials::Jwt { .. } => Ok(()),
        }
    }

    /// The RingCentral access token, for the platform's own endpoints.
    pub async fn ringcentral(&self) -> Result<SecretString, ApiError> {
        let mut held = self.held.lock().await;
        let (token, _) = self.ringcentral_of(&mut held).await?;
        Ok(token)
    }

    /// The platform answered the RingCentral token with 401.
    pub async fn refuse_ringcentral(&self) {
        self.held.lock().await.ringcentral = None;
    }

    /// Of the exchanges, whose limit is the tightest.
    pub fn usage(&self) -> LimiterUsage {
        self.exchange.usage()
    }

    fn current(&self) -> Option<Arc<AccessToken>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn usable(&self, now: i64) -> Option<Arc<AccessToken>> {
        let refused = self.refused.load(Relaxed);
        self.current()
            .filter(|token| token.generation > refused && now < token.expires_at_ms)
    }

    /// Renews while the old token is still good, which therefore serves on if that fails.
    async fn renew_early(
        &self,
        held: &mut RenewalState,
        old: Arc<AccessToken>,
    ) -> Arc<AccessToken> {
        let now = self.shared.clock.now_ms();
        match self.usable(now) {
            Some(token) if now < token.renew_at_ms => return token,
            _ => {}
        }
        match self.renew(held).await {
            Ok(token) => token,
            Err(error) => {
                tracing::warn!(%error, "cannot renew the RingCX token ahead of its end");
                self.early_again_ms
                    .store(self.shared.clock.now_ms() + EARLY_AGAIN_MS, Relaxed);
                old
            }
        }
    }

    async fn renew(&self, held: &mut RenewalState) -> Result<Arc<AccessToken>, ApiError> {
        let result = self.next_token(held).await;
        held.failure = result.as_ref().err().cloned();
        self.renewals.fetch_add(1, Relaxed);
        result
    }

    async fn next_token(&self, held: &mut RenewalState) -> Result<Arc<AccessToken>, ApiError> {
        // A token that was refused although just refreshed: refreshing yet again would give its like.
        let distrusted = self
            .current()
            .is_some_and(|token| token.refreshed && token.generation <= self.refused.load(Relaxed));
        if let Some(refresh) = held.refresh.take().filter(|_| !distrusted) {
            match self.refreshed(&refresh).await {
                Ok((issued_ms, pair)) => return self.install(held, issued_ms, pair, true),
                Err(ApiError::Stopped) => return Err(ApiError::Stopped),
                Err(error) => {
                    tracing::debug!(%error, "cannot refresh the RingCX token; exchanging again")
                }
            }
        }
        let (ringcentral, reused) = self.ringcentral_of(held).await?;
        let exchanged = match self.exchanged(&ringcentral).await {
            Err(error) if reused && is_refusal(&error) => {
                held.ringcentral = None;
                let (ringcentral, _) = self.ringcentral_of(held).await?;
                self.exchanged(&ringcentral).await
            }
            other => other,
        };
        let (issued_ms, pair) = exchanged.map_err(|error| {
            held.ringcentral = None;
            if is_refusal(&error) {
                no_ringcx_user(&error)
            } else {
                error
            }
        })?;
        self.install(held, issued_ms, pair, false)
    }

    fn install(
        &self,
        held: &mut RenewalState,
        issued_ms: i64,
        pair: RingCxPair,
        refreshed: bool,
    ) -> Result<Arc<AccessToken>, ApiError> {
        held.generation += 1;
        held.refresh = pair.refresh_token;
        // Four fifths leave a minute for the renewal itself.
        let renew_at_ms = issued_ms.saturating_add(self.life_ms / 5 * 4);
        let expires_at_ms = issued_ms.saturating_add(self.life_ms);
        let unusable = || ApiError::Unavailable {
            what: "the RingCX token".into(),
            why: "RingCX gave a token that no header can carry".into(),
        };
        let token = AccessToken::of(
            &pair.access_token,
            held.generation,
            renew_at_ms,
            expires_at_ms,
        )
        .ok_or_else(unusable)?;
        let token = Arc::new(AccessToken { refreshed, ..token });
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    /// The RingCentral token, and whether it is an old one.
    async fn ringcentral_of(
        &self,
        held: &mut RenewalState,
    ) -> Result<(SecretString, bool), ApiError> {
        if let Some((token, until)) = &held.ringcentral
            && self.shared.clock.now_ms() < *until
        {
            return Ok((token.clone(), true));
        }
        let (issued_ms, answer) = self.granted().await?;
        let until = issued_ms + (answer.expires_in.saturating_mul(1_000) - LAST_MINUTE_MS).max(0);
        held.ringcentral = Some((answer.access_token.clone(), until));
        Ok((answer.access_token, false))
    }

    /// The JWT grant (RFC 7523), with the client's credentials as HTTP Basic.
    async fn granted(&self) -> Result<(i64, RingCentralAnswer), ApiError> {
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
        let client = &self.transport.client;
        let address = self.transport.platform.with(&["/restapi/oauth/token"]);
        let build = || {
            let form = [
                ("grant_type", JWT_GRANT),
                ("assertion", jwt.expose_secret()),
            ];
            client
                .post(&address)
                .basic_auth(client_id, Some(client_secret.expose_secret()))
                .form(&form)
        };
        let answer = self
            .ask(&self.platform, "the RingCentral token", &build)
            .await;
        answer.map_err(|error| {
            if is_refusal(&error) {
                bad_credentials(&error)
            } else {
                error
            }
        })
    }

    async fn exchanged(&self, ringcentral: &SecretString) -> Result<(i64, RingCxPair), ApiError> {
        let client = &self.transport.client;
        let address = self
            .transport
            .ringcx
            .with(&["/api/auth/login/rc/accesstoken?includeRefresh=true"]);
        let build = || {
            let form = [
                ("rcAccessToken", ringcentral.expose_secret()),
                ("rcTokenType", "Bearer"),
            ];
            client.post(&address).form(&form)
        };
        self.ask(&self.exchange, "the RingCX token", &build).await
    }

    async fn refreshed(&self, refresh: &SecretString) -> Result<(i64, RingCxPair), ApiError> {
        let client = &self.transport.client;
        let address = self.transport.ringcx.with(&["/api/auth/token/refresh"]);
        let build = || {
            client
                .post(&address)
                .form(&[("refresh_token", refresh.expose_secret())])
        };
        self.ask(&self.refresh, "the next RingCX token", &build)
            .await
    }

    async fn ask<T: DeserializeOwned + Send>(
        &self,
        lane: &RateLimiter,
        what: &'static str,
        build: &(dyn Fn() -> RequestBuilder + Sync),
    ) -> Result<(i64, T), ApiError> {
        let mut request = Ask {
            transport: &self.transport,
            what,
            build,
            answer: std::marker::PhantomData,
        };
        match retry::run(lane, &mut request).await {
            Ok((answer, _)) => Ok(answer),
            // Whoever waits for a token would take "this request gave up" for the fate of its own.
            Err(ApiError::GaveUp {
                class, attempts, ..
            }) => {
                let why = format!("no token after {attempts} requests, last {class}");
                Err(ApiError::Unavailable {
                    what: what.to_owned(),
                    why,
                })
            }
            Err(other) => Err(other),
        }
    }
}

impl AccessToken {
    /// `None` for a token that is empty or holds characters that no token has.
    fn of(
        secret: &SecretString,
        generation: u64,
        renew_at_ms: i64,
        expires_at_ms: i64,
    ) -> Option<Self> {
        let text = secret.expose_secret().trim();
        let plain =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'\\');
        let header = |prefix: &str| {
            // What a cookie cannot carry (RFC 6265 4.1.1) would send a part of the token, or two cookies.
            let usable = !text.is_empty() && text.bytes().all(plain);
            let mut value = usable
                .then(|| HeaderValue::from_str(&format!("{prefix}{text}")).ok())
                .flatten()?;
            value.set_sensitive(true);
            Some(value)
        };
        let (cookie, bearer) = (header("access_token=")?, header("Bearer ")?);
        Some(AccessToken {
            generation,
            cookie,
            bearer,
            renew_at_ms,
            expires_at_ms,
            refreshed: false,
        })
    }
}

/// What the JWT grant gives; more fields exist.
#[derive(Deserialize)]
struct RingCentralAnswer {
    access_token: SecretString,
    /// Seconds.
    #[serde(default = "an_hour")]
    expires_in: i64,
}

fn an_hour() -> i64 {
    3_600
}

/// What exchange and refresh give; more fields exist.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RingCxPair {
    access_token: SecretString,
    #[serde(default)]
    refresh_token: Option<SecretString>,
}

/// A request for a token: it carries its own credentials.
struct Ask<'a, T> {
    transport: &'a Transport,
    what: &'static str,
    build: &'a (dyn Fn() -> RequestBuilder + Sync),
    answer: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + Send> Request for Ask<'_, T> {
    /// With the time before it was asked for: a token's life begins at the server, before we see it.
    type Answer = (i64, T);

    async fn prepare(&self, _: Need) -> Result<(), ApiError> {
        Ok(())
    }

    async fn attempt(&mut self) -> Result<(i64, T), AttemptError> {
        let asked_ms = self.transport.clock.now_ms();
        let mut reply = self.transport.send((self.build)(), false).await?;
        let body = reply.body(TOKEN_BODY_MAX).await?;
        let answer = serde_json::from_slice(&body)
            .map_err(|_| AttemptError::passing("bad_answer", Some(200)))?;
        Ok((asked_ms, answer))
    }

    fn refused(&mut self, error_code: Option<ErrorCode>) -> Result<(), ApiError> {
        Err(ApiError::Rejected {
            what: self.what(),
            http_status: 401,
            error_code,
        })
    }

    fn denied(&self, error_code: Option<ErrorCode>) -> ApiError {
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

fn is_refusal(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::Rejected {
            http_status: 400 | 401 | 403,
            ..
        }
    )
}

fn bad_credentials(error: &ApiError) -> ApiError {
    ApiError::Denied {
        message: format!("RingCentral refuses the credentials: {error}"),
        remedy:
            "Check CXVAULT_CLIENT_ID, CXVAULT_CLIENT_SECRET and CXVAULT_JWT: they must belong to one app of \
                 this environment, with the JWT grant and the scope ReadAccounts, and not be expired."
                .into(),
    }
}

fn no_ringcx_user(error: &ApiError) -> ApiError {
    ApiError::Denied {
        message: format!("RingCX refuses the RingCentral token: {error}"),
        remedy:
            "Check that the user of CXVAULT_JWT is a RingCX user with WEM access, and that the app has the \
                 scope ReadAccounts."
                .into(),
    }
}

fn not_a_ready_token() -> ApiError {
    ApiError::Usage {
        message: "the RingCX token is empty or holds characters that no token has".into(),
        remedy: "Give the token alone in CXVAULT_RINGCX_TOKEN, without quotes or a prefix.".into(),
    }
}

fn ready_token_is_over() -> ApiError {
    ApiError::Denied {
        message: "RingCX refuses the token of CXVAULT_RINGCX_TOKEN; such a token lives 5 minutes".into(),
        remedy: "Give a fresh CXVAULT_RINGCX_TOKEN, or set CXVAULT_CLIENT_ID, CXVAULT_CLIENT_SECRET and \
                 CXVAULT_JWT, from which tokens are renewed by themselves."
            .into(),
    }
}
