//! [`RingCx`]: the API as the stages see it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::format::row::observation::SummaryKind;
use crate::ringcx::accounts::{AccountAuth, AccountQuery, ListedSubAccount, RingCentralAccount};
use crate::ringcx::auth::Tokens;
use crate::ringcx::discovery::{Discovered, DiscoveryBody, DiscoveryRequest, WindowAnswer};
use crate::ringcx::error::ApiError;
use crate::ringcx::ledger::Ledger;
use crate::ringcx::limiter::{LimiterContext, LimiterSettings, LimiterUsage, Random, RateLimiter};
use crate::ringcx::limits::Limits;
use crate::ringcx::pace::Spacing;
use crate::ringcx::summary::{SummaryAnswer, SummaryRequest};
use crate::ringcx::transport::{BaseUrl, Transport, path_segment};
use crate::ringcx::{ClientSettings, Credentials, retry, scope};

/// Patience with a discovery window is larger: giving one up stops its day.
const SUMMARY_BACKOFF_MS: i64 = 500;
const DISCOVERY_BACKOFF_MS: i64 = 2_000;

type Lanes = Mutex<HashMap<String, Arc<RateLimiter>>>;

/// The RingCX API with one credential. Share it in an [`Arc`]; every method may run any number of times at once.
pub struct RingCx {
    settings: ClientSettings,
    credential: String,
    transport: Arc<Transport>,
    shared: Arc<LimiterContext>,
    tokens: Tokens,
    /// One for the credential, or by sub-account, as the limit counts.
    summaries: Lanes,
    /// By sub-account, as the limit counts.
    discovery: Lanes,
    admin: RateLimiter,
    rc_account_id: OnceCell<String>,
}

/// Counters of what was sent, for progress and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    pub summaries: LimiterUsage,
    /// Like `summaries`: all lanes together, with the slowest pace and the longest pause of them.
    pub discovery: LimiterUsage,
    /// Exchanges of a RingCentral token for a RingCX token.
    pub tokens: LimiterUsage,
}

impl Usage {
    /// That of both clients.
    pub fn and(self, other: Usage) -> Usage {
        Usage {
            summaries: self.summaries.and(other.summaries),
            discovery: self.discovery.and(other.discovery),
            tokens: self.tokens.and(other.tokens),
        }
    }
}

impl RingCx {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// [`ApiError::Usage`] for settings that cannot work.
    pub fn new(
        settings: ClientSettings,
        credentials: Credentials,
        clock: Arc<dyn Clock>,
        ledger: Arc<Ledger>,
        stop: CancellationToken,
    ) -> Result<Self, ApiError> {
        let base = |name, text: &str| BaseUrl::parse(name, text, settings.allow_http);
        let bases = [
            base("CXVAULT_PLATFORM_URL", &settings.platform_url)?,
            base("CXVAULT_RINGCX_URL", &settings.ringcx_url)?,
            base("CXVAULT_SUMMARIES_URL", &settings.summaries_url)?,
        ];
        let (connect, request) = (settings.connect_timeout, settings.request_timeout);
        let transport = Arc::new(Transport::new(bases, clock.clone(), connect, request)?);
        // Two processes that start in the same millisecond should not retry in step.
        let random =
            Random::new(clock.now_ms().unsigned_abs() ^ (u64::from(std::process::id()) << 40));
        let shared = Arc::new(LimiterContext {
            clock,
            ledger,
            stop,
            random,
        });
        let credential = credentials.fingerprint();
        let tokens = Tokens::new(
            transport.clone(),
            shared.clone(),
            credentials,
            settings.token_limits.clone(),
            settings.token_life,
            settings.max_attempts,
        )?;
        let lane = |scope, limits, spacing| {
            let (max_attempts, backoff_ms) = (settings.max_attempts, SUMMARY_BACKOFF_MS);
            RateLimiter::new(
                shared.clone(),
                LimiterSettings {
                    scope,
                    limits,
                    spacing,
                    max_attempts,
                    backoff_ms,
                },
            )
        };
        let admin_scope = scope("admin", &transport.ringcx.host, &credential);
        let admin = lane(admin_scope, Limits::default(), Spacing::Burst);
        let (summaries, discovery) = (Mutex::default(), Mutex::default());
        let rc_account_id = OnceCell::new_with(settings.rc_account_id.clone());
        Ok(RingCx {
            settings,
            credential,
            transport,
            shared,
            tokens,
            summaries,
            discovery,
            admin,
            rc_account_id,
        })
    }

    /// The sub-accounts that the credential reaches, in the API's order.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub async fn sub_accounts(&self) -> Result<Vec<ListedSubAccount>, ApiError> {
        let address = self
            .transport
            .ringcx
            .with(&["/voice/api/v1/admin/accounts"]);
        self.ask("list of sub-accounts", address, AccountAuth::RingCx)
            .await
    }

    /// The RingCentral account id: configured, or asked for once.
    ///
    /// # Errors
    /// Any [`ApiError`]; [`ApiError::Usage`] with a ready token, which RingCentral's platform does not know.
    pub async fn rc_account_id(&self) -> Result<String, ApiError> {
        let ask = || async {
            let address = self.transport.platform.with(&["/restapi/v1.0/account/~"]);
            let account: RingCentralAccount = self
                .ask("RingCentral account id", address, AccountAuth::RingCentral)
                .await?;
            Ok(account.id)
        };
        self.rc_account_id.get_or_try_init(ask).await.cloned()
    }

    /// The API's own clock in UTC milliseconds, up to a second behind it and never ahead by more than our clock
    /// has drifted since the last answer. Asks for the sub-accounts when there was no answer yet.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub async fn server_now(&self) -> Result<i64, ApiError> {
        if self.clock_skew_ms().is_none() {
            self.sub_accounts().await?;
        }
        let no_date = || ApiError::Unavailable {
            what: "its own clock".into(),
            why: "its answers carry no Date, without which nobody can tell whether a day is over"
                .into(),
        };
        Ok(self.shared.clock.now_ms() + self.clock_skew_ms().ok_or_else(no_date)?)
    }

    /// The API's clock minus ours in milliseconds, by the last answer's `Date`.
    pub fn clock_skew_ms(&self) -> Option<i64> {
        self.transport.skew_ms()
    }

    /// Which segments ended from `start_ms` up to `end_ms` (UTC milliseconds, whole seconds, 1 to 10,800 of them).
    /// Objects go to `out` as they arrive, so the receiver must keep receiving meanwhile; what it got counts only
    /// when this returns `Ok`.
    ///
    /// # Errors
    /// Any [`ApiError`]; [`ApiError::Stopped`] also when the receiver is gone.
    pub async fn discover(
        &self,
        sub_account: &str,
        start_ms: i64,
        end_ms: i64,
        out: &mpsc::Sender<Discovered>,
    ) -> Result<WindowAnswer, ApiError> {
        let window = DiscoveryBody::new(start_ms, end_ms)?;
        let account = self.rc_account_id().await?;
        let account = path_segment(&account).ok_or_else(|| bad_id("CXVAULT_RC_ACCOUNT_ID"))?;
        let mut request = DiscoveryRequest {
            transport: &self.transport,
            tokens: &self.tokens,
            sub_account,
            address: self.transport.ringcx.with(&[
                "/voice/api/cx/integration/v1/accounts/",
                &account,
                "/sub-accounts/",
                &path_segment(sub_account).ok_or_else(|| bad_id("CXVAULT_SUB_ACCOUNTS"))?,
                "/interaction-metadata",
            ]),
            window,
            max_object_bytes: usize::try_from(self.settings.max_object_bytes).unwrap_or(usize::MAX),
            out,
            given: false,
            token: None,
        };
        let (answer, attempts) =
            retry::run(&self.discovery_lane(sub_account), &mut request).await?;
        Ok(WindowAnswer { attempts, ..answer })
    }

    /// One summary of one segment.
    ///
    /// # Errors
    /// Any [`ApiError`]; [`ApiError::GaveUp`] concerns this summary only, with class `unaskable_id` and 0 attempts
    /// for an id that no URL can carry (`.` and `..`).
    pub async fn summary(
        &self,
        sub_account: &str,
        segment_id: &str,
        kind: SummaryKind,
    ) -> Result<SummaryAnswer, ApiError> {
        let account = path_segment(sub_account).ok_or_else(|| bad_id("CXVAULT_SUB_ACCOUNTS"))?;
        let unaskable = || ApiError::GaveUp {
            class: "unaskable_id",
            http_status: None,
            attempts: 0,
        };
        let segment = path_segment(segment_id).ok_or_else(unaskable)?;
        let path = [
            "/voice/api/v1/summary/accounts/",
            &account,
            "/segments/",
            &segment,
            "/",
            kind.name(),
        ];
        let mut request = SummaryRequest {
            transport: &self.transport,
            tokens: &self.tokens,
            sub_account,
            address: self.transport.summaries.with_path(&path),
            max_body_bytes: self.settings.max_body_bytes,
            token: None,
        };
        let (answer, attempts) = retry::run(&self.summary_lane(sub_account), &mut request).await?;
        Ok(SummaryAnswer { attempts, ..answer })
    }

    /// Counters so far, and the pace.
    pub fn usage(&self) -> Usage {
        // As fast as can be, before there is a lane.
        let start = LimiterUsage {
            pace: 1.0,
            ..LimiterUsage::default()
        };
        let all = |lanes: &Lanes| {
            let lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes
                .values()
                .fold(start, |sum, lane| sum.and(lane.usage()))
        };
        Usage {
            summaries: all(&self.summaries),
            discovery: all(&self.discovery),
            tokens: self.tokens.usage(),
        }
    }

    fn summary_lane(&self, sub_account: &str) -> Arc<RateLimiter> {
        let own = self.settings.summaries_per_sub_account;
        let whose = if own {
            format!("{} {sub_account}", self.credential)
        } else {
            self.credential.clone()
        };
        let mut lanes = self
            .summaries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&whose) {
            return lane.clone();
        }
        let settings = LimiterSettings {
            scope: scope("summaries", &self.transport.summaries.host, &whose),
            limits: self.settings.summary_limits.clone(),
            spacing: Spacing::Even,
            max_attempts: self.settings.max_attempts,
            backoff_ms: SUMMARY_BACKOFF_MS,
        };
        let lane = Arc::new(RateLimiter::new(self.shared.clone(), settings));
        lanes.insert(whose, lane.clone());
        lane
    }

    fn discovery_lane(&self, sub_account: &str) -> Arc<RateLimiter> {
        let mut lanes = self
            .discovery
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let settings = LimiterSettings {
                scope: scope("discovery", &self.transport.ringcx.host, sub_account),
                limits: self.settings.discovery_limits.clone(),
                spacing: Spacing::Burst,
                max_attempts: self.settings.max_attempts,
                backoff_ms: DISCOVERY_BACKOFF_MS,
            };
            Arc::new(RateLimiter::new(self.shared.clone(), settings))
        };
        lanes
            .entry(sub_account.to_owned())
            .or_insert_with(new)
            .clone()
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        what: &'static str,
        address: String,
        badge: AccountAuth,
    ) -> Result<T, ApiError> {
        let (transport, tokens) = (&*self.transport, &self.tokens);
        let (token, ringcentral_refused) = (None, false);
        let mut question = AccountQuery {
            transport,
            tokens,
            badge,
            what,
            address,
            token,
            ringcentral_refused,
        };
        let (body, attempts) = retry::run(&self.admin, &mut question).await?;
        let unlike = |_| ApiError::GaveUp {
            class: "bad_answer",
            http_status: Some(200),
            attempts,
        };
        serde_json::from_slice(&body).map_err(unlike)
    }
}

impl std::fmt::Debug for RingCx {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RingCx")
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

fn bad_id(setting: &str) -> ApiError {
    ApiError::Usage {
        message: format!("{setting} holds an id that cannot be part of an address"),
        remedy: format!("Correct {setting}; ids are numbers such as 21630001."),
    }
}
