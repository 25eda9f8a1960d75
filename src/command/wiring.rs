//! From settings to the parts that work: the store, the archive, a client for each account.

use std::sync::Arc;

use aws_lc_rs::rand;
use tokio::sync::OnceCell;

use crate::chain::anchor::Anchoring;
use crate::chain::append::Mode;
use crate::chain::archive;
use crate::chain::archive::Archive;
use crate::chain::writer;
use crate::chain::writer::{Policy, RunFacts, Signers, Writer};
use crate::clock::{Clock, SystemClock};
use crate::command::Context;
use crate::command::archive::anchor;
use crate::config::{Account, CredentialSettings, LimitScope, S3Access, Settings};
use crate::day::context::ApiSource;
use crate::format::place::location::Location;
use crate::format::record::archive::ArchiveRecord;
use crate::format::row::schema::FORMAT_VERSION;
use crate::journal::StateDir;
use crate::outcome::{Exit, Failure, Result};
use crate::ringcx::{ClientSettings, Credentials, Ledger, RingCx, Usage};
use crate::store;
use crate::store::{RetryingStore, S3Options, Store};

/// Opens the archive's store as the settings say, with its retries around it.
pub async fn open_store(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    context: &Context,
) -> Result<Arc<dyn Store>> {
    let options = s3_options(settings, &settings.s3)?;
    let store = store::open(&settings.archive, options).await?;
    Ok(Arc::new(RetryingStore::new(
        store,
        clock,
        context.cancel.clone(),
    )))
}

/// Returns the store's options for the S3 of one place.
pub fn s3_options(settings: &Settings, access: &S3Access) -> Result<S3Options> {
    Ok(S3Options {
        endpoint: access.endpoint.as_ref().map(ToString::to_string),
        region: access.region.clone(),
        path_style: access.path_style,
        kms_key_id: access.kms_key_id.clone(),
        allow_http: settings.allow_http,
        profile: access.profile.clone(),
        credentials: access.credentials()?,
    })
}

/// Opens the place of a copy, with its retries around it.
pub async fn open_copy(
    to: &Location,
    settings: &Settings,
    clock: Arc<dyn Clock>,
    context: &Context,
) -> Result<Arc<dyn Store>> {
    let store = store::open(to, copy_options(settings)?).await?;
    Ok(Arc::new(RetryingStore::new(
        store,
        clock,
        context.cancel.clone(),
    )))
}

/// Returns how the S3 of a copy is reached: as the archive's, apart from what is set for the copy. With an endpoint of its
/// own the copy has nothing in common with the archive's service.
fn copy_options(settings: &Settings) -> Result<S3Options> {
    let options = s3_options(settings, &settings.copy)?;
    if options.profile.is_some() && options.credentials.is_some() {
        // Which credentials write must not depend on an order of precedence.
        return Err(Failure::new(Exit::Usage, "a profile and an access key are both set for the copy").remedy(
            "Unset CXVAULT_COPY_PROFILE (--to-profile), or CXVAULT_COPY_ACCESS_KEY_ID and its secret.",
        ));
    }
    if options.endpoint.is_some() {
        return Ok(options);
    }
    let archive = s3_options(settings, &settings.s3)?;
    Ok(S3Options {
        endpoint: archive.endpoint,
        region: options.region.or(archive.region),
        path_style: options.path_style || archive.path_style,
        ..options
    })
}

/// Opens the archive for writing, and creates it where there is none.
pub async fn open_archive(settings: &Settings, context: &Context) -> Result<Writer> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let signers = signers(settings)?;
    let store = open_store(settings, clock.clone(), context).await?;
    let started_at = clock.now_ms();
    if archive::record(&*store).await?.is_none() {
        // Without credentials nothing can be archived: then no archive should be created either.
        settings
            .accounts
            .iter()
            .try_for_each(|account| account.credentials().map(drop))?;
    }
    let new_id = random_id()?;
    let record = writer::open_or_create(&*store, &new_id, started_at, settings.object_lock).await?;
    let archive = reading(settings, context, store, record)?;
    for_writing(settings, context, archive, signers, clock).await
}

/// Opens an archive for a record command; with [`Mode::DryRun`] nothing of it is written, nor are anchors used.
///
/// # Errors
/// [`Exit::Usage`] where there is no archive: a record command creates none.
pub async fn open_existing(settings: &Settings, mode: Mode, context: &Context) -> Result<Writer> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let signers = signers(settings)?;
    let store = open_store(settings, clock.clone(), context).await?;
    let record = archive::record(&*store)
        .await?
        .ok_or_else(|| archive::none_at(&store.root()))?;
    let archive = reading(settings, context, store, record)?;
    match mode {
        Mode::Act => for_writing(settings, context, archive, signers, clock).await,
        Mode::DryRun => assemble(settings, archive, signers, clock),
    }
}

/// Opens the archive for a plan; where there is none yet, none is created.
pub async fn look_at_archive(settings: &Settings, context: &Context) -> Result<Writer> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let signers = signers(settings)?;
    let store = open_store(settings, clock.clone(), context).await?;
    let record = archive::record(&*store).await?.unwrap_or(ArchiveRecord {
        archive_id: "not-founded-yet".to_owned(),
        created_at: clock.now_ms(),
        format_version: FORMAT_VERSION,
    });
    let archive = reading(settings, context, store, record)?;
    assemble(settings, archive, signers, clock)
}

fn signers(settings: &Settings) -> Result<Signers> {
    Ok(Signers {
        key: settings.signing_key()?,
        allowed: settings.allowed_signers()?,
    })
}

fn reading(
    settings: &Settings,
    context: &Context,
    store: Arc<dyn Store>,
    record: ArchiveRecord,
) -> Result<Archive> {
    let mut allowed = settings.trusted_signers()?;
    if !allowed.is_empty() {
        allowed = settings.allowed_signers()?;
    }
    Ok(Archive {
        store,
        record,
        allowed,
        stop: context.cancel.clone(),
    })
}

async fn for_writing(
    settings: &Settings,
    context: &Context,
    archive: Archive,
    signers: Signers,
    clock: Arc<dyn Clock>,
) -> Result<Writer> {
    for (name, meant) in settings.doubtful_fields() {
        tracing::warn!(
            name,
            "omit_fields: RingCX documents no such field; was `{meant}` meant?"
        );
    }
    let anchoring = anchor::anchoring(settings, clock.clone(), context).await;
    let writer = Writer {
        anchoring,
        ..assemble(settings, archive, signers, clock)?
    };
    tracing::info!(
        archive = writer.store.root(),
        archive_id = writer.id(),
        run = writer.run.id,
        format = FORMAT_VERSION,
        "archive opened"
    );
    Ok(writer)
}

fn assemble(
    settings: &Settings,
    archive: Archive,
    signers: Signers,
    clock: Arc<dyn Clock>,
) -> Result<Writer> {
    let started_at = clock.now_ms();
    let policy = Policy {
        settle_ms: millis(settings.settle.0),
        part_rows: settings.part_rows,
        part_bytes: settings.part_bytes.0,
        lock: settings.object_lock,
        source_retention_days: settings.source_retention.map(|days| days.0),
        acknowledge: settings.known_warnings.clone(),
        omitted_fields: settings.omit_fields.clone(),
        concurrency: settings.concurrency as usize,
        // Where requests are rationed, losing an answer costs more than waiting for the disk; where they are free, it is
        // the other way round.
        answers_under_way: if settings.summary_limits.are_off() {
            4
        } else {
            1
        },
    };
    let settings_sha256 = settings.digest().parse().map_err(|error| {
        Failure::new(Exit::Unexpected, "the settings have no digest").because(error)
    })?;
    let run = RunFacts {
        id: format!("{}-{}", compact_time(started_at), &random_id()?[..8]),
        started_at,
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        settings_sha256,
    };
    Ok(Writer {
        state: StateDir::open(&settings.state_dir, archive.id()),
        archive,
        clock,
        signers: Arc::new(signers),
        policy,
        run,
        // Whoever only looks commits nothing.
        anchoring: Anchoring::default(),
    })
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// `20261120T031500Z`, so that run ids sort by time.
fn compact_time(now_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(now_ms)
        .map(|now| now.strftime("%Y%m%dT%H%M%SZ").to_string())
        .unwrap_or_default()
}

/// 32 random hexadecimal digits.
fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes)
        .map_err(|_| Failure::new(Exit::Unexpected, "this host gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// One account's client, made when something must be asked: a sealed day needs no credentials.
pub struct AccountClient<'a> {
    settings: &'a Settings,
    pub account: &'a Account,
    clock: Arc<dyn Clock>,
    ledger: &'a LazyLedger<'a>,
    stop: tokio_util::sync::CancellationToken,
    client: OnceCell<Arc<RingCx>>,
}

/// Whose requests leave first, where processes on one machine share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// The nightly run: what it asks for must be there in the morning.
    First,
    /// What takes days anyway, and uses what is left.
    Spare,
}

/// The request ledger of this machine, opened by whoever asks first.
pub struct LazyLedger<'a> {
    settings: &'a Settings,
    urgency: Urgency,
    clock: Arc<dyn Clock>,
    ledger: OnceCell<Arc<Ledger>>,
}

impl<'a> LazyLedger<'a> {
    pub fn new(settings: &'a Settings, clock: Arc<dyn Clock>, urgency: Urgency) -> Self {
        LazyLedger {
            settings,
            urgency,
            clock,
            ledger: OnceCell::new(),
        }
    }

    async fn get(&self) -> Result<Arc<Ledger>> {
        // Beside the archives' folders: the limits are the API's, whichever archive the answers go to.
        let open = || async {
            let folder = &self.settings.state_dir;
            std::fs::create_dir_all(folder).map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    format!("cannot make the state folder {}", folder.display()),
                )
                .because(error)
                .remedy("Make it writable for this user, or name another with --state-dir.")
            })?;
            let ledger = Ledger::open(&folder.join("ledger.sqlite"), self.clock.clone())?;
            let yields = self.urgency == Urgency::Spare;
            Ok::<_, Failure>(Arc::new(if yields { ledger.yielding() } else { ledger }))
        };
        self.ledger.get_or_try_init(open).await.cloned()
    }
}

impl<'a> AccountClient<'a> {
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

    /// What was sent so far; `None` when nothing had to be asked.
    pub fn usage(&self) -> Option<Usage> {
        self.client.get().map(|client| client.usage())
    }

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
        let make = || async {
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
            let ledger = self.ledger.get().await?;
            let client = RingCx::new(
                self.client_settings(),
                credentials,
                self.clock.clone(),
                ledger,
                self.stop.clone(),
            );
            Ok::<_, Failure>(Arc::new(client?))
        };
        self.client.get_or_try_init(make).await.cloned()
    }
}
