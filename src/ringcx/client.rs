//! [`RingCx`]: the API as the rest of the program sees it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::format::row::SummaryKind;
use crate::ringcx::accounts::{AccountAuth, AccountQuery, ListedSubAccount, RingCentralAccount};
use crate::ringcx::auth::{RequestToken, Tokens};
use crate::ringcx::base_url::{BaseUrl, path_segment};
use crate::ringcx::discovery::{Discovered, DiscoveryBody, DiscoveryRequest, WindowAnswer};
use crate::ringcx::error::ApiError;
use crate::ringcx::ledger::Ledger;
use crate::ringcx::limiter::{LimiterContext, LimiterSettings, LimiterUsage, Random, RateLimiter};
use crate::ringcx::limits::Limits;
use crate::ringcx::pace::Spacing;
use crate::ringcx::summary::{SummaryAnswer, SummaryRequest};
use crate::ringcx::transport::Transport;
use crate::ringcx::{ClientSettings, Credentials, retry, scope_name};

/// The longest first backoff of summaries and account queries.
const SUMMARY_BACKOFF_MS: i64 = 500;
/// Longer, since giving up a window ends its day.
const DISCOVERY_BACKOFF_MS: i64 = 2_000;

/// Limiters by the account or credential that their limit counts for.
type Limiters = Mutex<HashMap<String, Arc<RateLimiter>>>;

/// The RingCX API with one credential. Share it in an [`Arc`]: all methods can run concurrently.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use cxvault::clock::SystemClock;
/// use cxvault::ringcx::{ClientSettings, Credentials, Ledger, RingCx};
/// use tokio_util::sync::CancellationToken;
///
/// let clock = Arc::new(SystemClock);
/// let ledger = Arc::new(Ledger::in_memory(clock.clone())?);
/// let credentials = Credentials::Token("demo-token".to_owned().into());
/// let settings = ClientSettings {
///     rc_account_id: Some("809646016".into()),
///     ..ClientSettings::default()
/// };
/// // No request is sent before the first call.
/// let api = Arc::new(RingCx::new(settings, credentials, clock, ledger, CancellationToken::new())?);
/// # Ok::<(), cxvault::ringcx::ApiError>(())
/// ```
pub struct RingCx {
    settings: ClientSettings,
    /// The credential's fingerprint.
    credential: String,
    transport: Arc<Transport>,
    context: Arc<LimiterContext>,
    tokens: Tokens,
    /// For the credential, or for each sub-account, as the settings say.
    summaries: Limiters,
    /// For each sub-account.
    discovery: Limiters,
    admin: RateLimiter,
    rc_account_id: OnceCell<String>,
}

/// The counters of a client, for progress and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// All limiters together, with the slowest pace and the longest pause.
    pub(crate) summaries: LimiterUsage,
    /// All limiters together, with the slowest pace and the longest pause.
    pub(crate) discovery: LimiterUsage,
    /// Exchanges of a RingCentral token for a RingCX token.
    pub(crate) tokens: LimiterUsage,
}

impl Usage {
    /// Adds up the counters of two clients.
    pub fn and(self, other: Usage) -> Usage {
        Usage {
            summaries: self.summaries.and(other.summaries),
            discovery: self.discovery.and(other.discovery),
            tokens: self.tokens.and(other.tokens),
        }
    }
}

impl RingCx {
    /// Creates a client; sends nothing yet. Requests end with [`ApiError::Stopped`] once `stop` is cancelled.
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
        let bases = [
            ("CXVAULT_PLATFORM_URL", &settings.platform_url),
            ("CXVAULT_RINGCX_URL", &settings.ringcx_url),
            ("CXVAULT_SUMMARIES_URL", &settings.summaries_url),
        ];
        let [platform, ringcx, summaries] =
            bases.map(|(name, text)| BaseUrl::parse(name, text, settings.allow_http));
        let bases = [platform?, ringcx?, summaries?];
        let (connect, request) = (settings.connect_timeout, settings.request_timeout);
        let transport = Arc::new(Transport::new(bases, clock.clone(), connect, request)?);
        // Two processes that start in the same millisecond should not retry in step.
        let seed = clock.now_ms().unsigned_abs() ^ (u64::from(std::process::id()) << 40);
        let context = Arc::new(LimiterContext {
            clock,
            ledger,
            stop,
            random: Random::new(seed),
        });
        let credential = credentials.fingerprint();
        let tokens = Tokens::new(
            transport.clone(),
            context.clone(),
            credentials,
            settings.token_limits.clone(),
            settings.token_life,
            settings.max_attempts,
        )?;
        let admin = LimiterSettings {
            scope: scope_name("admin", &transport.ringcx.host, &credential),
            limits: Limits::default(),
            spacing: Spacing::Burst,
            max_attempts: settings.max_attempts,
            backoff_ms: SUMMARY_BACKOFF_MS,
        };
        Ok(RingCx {
            rc_account_id: OnceCell::new_with(settings.rc_account_id.clone()),
            admin: RateLimiter::new(context.clone(), admin),
            settings,
            credential,
            transport,
            context,
            tokens,
            summaries: Limiters::default(),
            discovery: Limiters::default(),
        })
    }

    /// Returns the sub-accounts that the credential can access, in the API's order.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub(crate) async fn sub_accounts(&self) -> Result<Vec<ListedSubAccount>, ApiError> {
        let address = self
            .transport
            .ringcx
            .join(&["/voice/api/v1/admin/accounts"]);
        self.query("list of sub-accounts", address, AccountAuth::RingCx)
            .await
    }

    /// Returns the RingCentral account id: from the settings, or requested once.
    ///
    /// # Errors
    /// Any [`ApiError`]; [`ApiError::Usage`] with a ready token, which RingCentral's platform does not accept.
    pub async fn rc_account_id(&self) -> Result<String, ApiError> {
        let id = self.rc_account_id.get_or_try_init(|| async {
            let address = self.transport.platform.join(&["/restapi/v1.0/account/~"]);
            let account: RingCentralAccount = self
                .query("RingCentral account id", address, AccountAuth::RingCentral)
                .await?;
            Ok(account.id)
        });
        id.await.cloned()
    }

    /// Returns the API's clock in UTC milliseconds: up to a second behind it, and ahead of it by at most what this
    /// host's clock has drifted since the last answer. Requests the sub-accounts when there was no answer yet.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub(crate) async fn server_now(&self) -> Result<i64, ApiError> {
        if self.clock_skew_ms().is_none() {
            self.sub_accounts().await?;
        }
        let skew_ms = self.clock_skew_ms().ok_or_else(|| ApiError::Unavailable {
            what: "its own clock".into(),
            why: "its answers carry no Date, without which it is not certain that a day is over"
                .into(),
        })?;
        Ok(self.context.clock.now_ms() + skew_ms)
    }

    /// Returns the API's clock minus this host's in milliseconds, by the last answer's `Date`.
    pub fn clock_skew_ms(&self) -> Option<i64> {
        self.transport.skew_ms()
    }

    /// Requests the segments that ended from `start_ms` up to `end_ms` (UTC milliseconds, whole seconds, 1 to 10,800
    /// of them).
    ///
    /// Objects are sent to `out` as they arrive, so the receiver must keep receiving meanwhile; what it received is
    /// valid only when this returns `Ok`.
    ///
    /// # Errors
    /// Any [`ApiError`]; [`ApiError::Stopped`] also when the receiver is gone.
    pub(crate) async fn discover(
        &self,
        sub_account: &str,
        start_ms: i64,
        end_ms: i64,
        out: &mpsc::Sender<Discovered>,
    ) -> Result<WindowAnswer, ApiError> {
        let window = DiscoveryBody::new(start_ms, end_ms)?;
        let account = self.rc_account_id().await?;
        let account = path_segment(&account).ok_or_else(|| invalid_id("CXVAULT_RC_ACCOUNT_ID"))?;
        let path = [
            "/voice/api/cx/integration/v1/accounts/",
            &account,
            "/sub-accounts/",
            &path_segment(sub_account).ok_or_else(|| invalid_id("CXVAULT_SUB_ACCOUNTS"))?,
            "/interaction-metadata",
        ];
        let mut request = DiscoveryRequest {
            transport: &self.transport,
            sub_account,
            address: self.transport.ringcx.join(&path),
            window,
            max_object_bytes: usize::try_from(self.settings.max_object_bytes).unwrap_or(usize::MAX),
            out,
            sent_objects: false,
            token: RequestToken::new(&self.tokens),
        };
        let limiter = self.discovery_limiter(sub_account);
        let (answer, attempts) = retry::run(&limiter, &mut request).await?;
        Ok(WindowAnswer { attempts, ..answer })
    }

    /// Requests one summary of one segment.
    ///
    /// # Errors
    /// Any [`ApiError`]. [`ApiError::GaveUp`] concerns this summary only; its class is `unaskable_id`, with 0 attempts,
    /// for an id that no URL can carry (`.` and `..`).
    pub(crate) async fn summary(
        &self,
        sub_account: &str,
        segment_id: &str,
        kind: SummaryKind,
    ) -> Result<SummaryAnswer, ApiError> {
        let account =
            path_segment(sub_account).ok_or_else(|| invalid_id("CXVAULT_SUB_ACCOUNTS"))?;
        let segment = path_segment(segment_id).ok_or(ApiError::GaveUp {
            class: "unaskable_id",
            http_status: None,
            attempts: 0,
        })?;
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
            sub_account,
            address: self.transport.summaries.join_path(&path),
            max_body_bytes: self.settings.max_body_bytes,
            token: RequestToken::new(&self.tokens),
        };
        let limiter = self.summary_limiter(sub_account);
        let (answer, attempts) = retry::run(&limiter, &mut request).await?;
        Ok(SummaryAnswer { attempts, ..answer })
    }

    /// Returns the counters so far, and the pace.
    pub fn usage(&self) -> Usage {
        Usage {
            summaries: total_usage(&self.summaries),
            discovery: total_usage(&self.discovery),
            tokens: self.tokens.usage(),
        }
    }

    fn summary_limiter(&self, sub_account: &str) -> Arc<RateLimiter> {
        let owner = match self.settings.summaries_per_sub_account {
            true => &format!("{} {sub_account}", self.credential),
            false => &self.credential,
        };
        self.limiter(&self.summaries, owner, || LimiterSettings {
            scope: scope_name("summaries", &self.transport.summaries.host, owner),
            limits: self.settings.summary_limits.clone(),
            spacing: Spacing::Even,
            max_attempts: self.settings.max_attempts,
            backoff_ms: SUMMARY_BACKOFF_MS,
        })
    }

    fn discovery_limiter(&self, sub_account: &str) -> Arc<RateLimiter> {
        self.limiter(&self.discovery, sub_account, || LimiterSettings {
            scope: scope_name("discovery", &self.transport.ringcx.host, sub_account),
            limits: self.settings.discovery_limits.clone(),
            spacing: Spacing::Burst,
            max_attempts: self.settings.max_attempts,
            backoff_ms: DISCOVERY_BACKOFF_MS,
        })
    }

    /// Returns the limiter of `owner`, created when it is first needed. Every summary passes here, so an existing
    /// limiter costs no allocation.
    fn limiter(
        &self,
        limiters: &Limiters,
        owner: &str,
        settings: impl FnOnce() -> LimiterSettings,
    ) -> Arc<RateLimiter> {
        let mut limiters = limiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limiter) = limiters.get(owner) {
            return limiter.clone();
        }
        let limiter = Arc::new(RateLimiter::new(self.context.clone(), settings()));
        limiters.insert(owner.to_owned(), limiter.clone());
        limiter
    }

    async fn query<T: DeserializeOwned>(
        &self,
        what: &'static str,
        address: String,
        auth: AccountAuth,
    ) -> Result<T, ApiError> {
        let mut query = AccountQuery {
            transport: &self.transport,
            tokens: &self.tokens,
            token: RequestToken::new(&self.tokens),
            auth,
            what,
            address,
            ringcentral_refused: false,
        };
        let (body, attempts) = retry::run(&self.admin, &mut query).await?;
        serde_json::from_slice(&body).map_err(|_| ApiError::GaveUp {
            class: "bad_answer",
            http_status: Some(200),
            attempts,
        })
    }
}

impl std::fmt::Debug for RingCx {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RingCx")
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

fn total_usage(limiters: &Limiters) -> LimiterUsage {
    // Before there is a limiter, the pace is the full one.
    let start = LimiterUsage {
        pace: 1.0,
        ..LimiterUsage::default()
    };
    let limiters = limiters.lock().unwrap_or_else(PoisonError::into_inner);
    limiters
        .values()
        .fold(start, |sum, limiter| sum.and(limiter.usage()))
}

fn invalid_id(setting: &str) -> ApiError {
    ApiError::Usage {
        message: format!("{setting} holds an id that cannot be part of an address"),
        remedy: format!("Correct {setting}; ids are numbers such as 21630001."),
    }
}
