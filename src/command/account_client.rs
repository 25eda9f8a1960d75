//! The clients for RingCX, one for each account, and what they share on this machine.
//!
//! Both the clients and the request ledger are made when the first request is due: a night whose days are all archived
//! needs neither credentials nor a ledger.

use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::command::Context;
use crate::config::{Account, CredentialSettings, LimitScope, Settings};
use crate::day::context::ApiSource;
use crate::outcome::{Failure, Result};
use crate::private;
use crate::ringcx::{ClientSettings, Credentials, Ledger, RingCx, Usage};

/// The client of one account, made when its first request is due.
pub(crate) struct AccountClient<'a> {
    /// For the addresses and rate limits, which all accounts share.
    settings: &'a Settings,
    /// The account as the settings describe it.
    pub account: &'a Account,
    clock: Arc<dyn Clock>,
    ledger: &'a LazyLedger<'a>,
    stop: CancellationToken,
    client: OnceCell<Arc<RingCx>>,
}

/// Whose requests leave first, where processes on one machine share a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// The nightly run, whose days must be archived in the morning.
    First,
    /// Commands that take days anyway, and use what the night leaves.
    Spare,
}

/// The request ledger of this machine, opened by the first client that is made.
pub(crate) struct LazyLedger<'a> {
    /// For the state folder, in which the ledger is.
    settings: &'a Settings,
    urgency: Urgency,
    clock: Arc<dyn Clock>,
    ledger: OnceCell<Arc<Ledger>>,
}

impl<'a> LazyLedger<'a> {
    /// Creates it without opening the ledger.
    pub fn new(settings: &'a Settings, clock: Arc<dyn Clock>, urgency: Urgency) -> Self {
        LazyLedger {
            settings,
            urgency,
            clock,
            ledger: OnceCell::new(),
        }
    }

    /// Returns the ledger, which the first call opens.
    async fn get(&self) -> Result<Arc<Ledger>> {
        self.ledger
            .get_or_try_init(async || self.open())
            .await
            .cloned()
    }

    /// Opens the ledger. It is beside the archives' folders, not in one of them: the rate limits are those of the API,
    /// whichever archive the answers go to.
    fn open(&self) -> Result<Arc<Ledger>> {
        let folder = &self.settings.state_dir;
        private::create_folders(folder).map_err(|error| {
            let message = format!("cannot create the state folder {}", folder.display());
            Failure::usage(message)
                .because(error)
                .remedy("Make it writable for this user, or name another with --state-dir.")
        })?;
        let ledger = Ledger::open(&folder.join("ledger.sqlite"), self.clock.clone())?;
        Ok(Arc::new(match self.urgency {
            Urgency::First => ledger,
            Urgency::Spare => ledger.yielding(),
        }))
    }
}

impl<'a> AccountClient<'a> {
    /// Creates it without making the client.
    pub fn new(
        settings: &'a Settings,
        account: &'a Account,
        clock: Arc<dyn Clock>,
        ledger: &'a LazyLedger<'a>,
        context: &Context,
    ) -> Self {
        AccountClient {
            settings,
            account,
            clock,
            ledger,
            stop: context.cancel.clone(),
            client: OnceCell::new(),
        }
    }

    /// Returns the requests sent so far; `None` where no client was made.
    pub fn usage(&self) -> Option<Usage> {
        self.client.get().map(|client| client.usage())
    }

    /// Makes the client.
    ///
    /// # Errors
    /// `Exit::Usage` where the credentials are missing, or a URL cannot be used.
    async fn make(&self) -> Result<Arc<RingCx>> {
        let credentials = match self.account.credentials()? {
            CredentialSettings::Jwt {
                client_id,
                client_secret,
                jwt,
            } => Credentials::Jwt {
                client_id: client_id.clone(),
                client_secret: client_secret.clone(),
                jwt: jwt.clone(),
            },
            CredentialSettings::Token(token) => Credentials::Token(token.clone()),
        };
        let client = RingCx::new(
            self.client_settings(),
            credentials,
            self.clock.clone(),
            self.ledger.get().await?,
            self.stop.clone(),
        )?;
        Ok(Arc::new(client))
    }

    /// Returns the client's settings. Values without a setting of their own keep the client's defaults.
    fn client_settings(&self) -> ClientSettings {
        let settings = self.settings;
        ClientSettings {
            platform_url: settings.platform_url.to_string(),
            ringcx_url: settings.ringcx_url.to_string(),
            summaries_url: settings.summaries_url.to_string(),
            rc_account_id: self.account.rc_account_id.clone(),
            summary_limits: settings.summary_limits.clone(),
            summaries_per_sub_account: settings.summary_limit_scope == LimitScope::SubAccount,
            discovery_limits: settings.discovery_limits.clone(),
            token_limits: settings.token_limits.clone(),
            token_life: settings.token_life.0,
            max_body_bytes: settings.max_summary_bytes.0,
            request_timeout: settings.request_timeout.0,
            max_attempts: settings.max_attempts,
            allow_http: settings.allow_http,
            ..ClientSettings::default()
        }
    }
}

impl ApiSource for AccountClient<'_> {
    async fn api(&self) -> Result<Arc<RingCx>> {
        self.client.get_or_try_init(|| self.make()).await.cloned()
    }
}
