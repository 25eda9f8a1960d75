//! Settings: read in one place, typed, and handed down as small values.
//!
//! Flag > environment > file > default. Every key, with its names and its meaning, is a line of [`keys`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::format::hash::digest::Digest;
use crate::format::place::location::Location;
use crate::format::record::lock::Retention;
use crate::format::row::metadata;
use crate::format::row::omit::Omission;
use crate::format::signature::{AllowedSigners, SigningKey};
use crate::outcome::{Exit, Failure, Result};
use crate::ringcx::limits::{Limits, QuotaShare};
use crate::telemetry::Receivers;

mod account;
mod anchor;
pub mod document;
mod environment;
mod file;
pub mod keys;
mod layers;
mod name;
mod s3;
mod secret;
mod suggest;
mod telemetry;
mod value;

pub use account::{Account, CredentialSettings};
pub use anchor::AnchorSettings;
pub use environment::Environment;
pub use layers::{Flags, InForce, Origin};
pub use name::BaseUrl;
pub use s3::S3Access;
pub use value::{ByteSize, DayCount, DurationValue, LimitScope, LockPolicy, LogFormat};

use file::SettingsFile;
use layers::{AccountScope, Layers};
use name::{Field, LogFilter, PathText, WarningCode};
use value::{Count, List, PositiveSpan, SizeWithin, Switch};

/// Everything that can be set, checked. The documentation of each field is its line in [`keys`].
#[derive(Debug, Clone)]
pub struct Settings {
    pub archive: Location,
    pub state_dir: PathBuf,
    pub signing_key_file: Option<PathBuf>,
    pub allowed_signers_file: Option<PathBuf>,
    pub part_rows: u64,
    pub part_bytes: ByteSize,
    /// What is left out of every segment's object.
    pub omit_fields: Omission,
    /// At least one.
    pub accounts: Vec<Account>,
    pub platform_url: BaseUrl,
    pub ringcx_url: BaseUrl,
    pub summaries_url: BaseUrl,
    /// As this machine keeps them: its share.
    pub summary_limits: Limits,
    pub summary_limit_scope: LimitScope,
    /// As this machine keeps them.
    pub discovery_limits: Limits,
    /// As this machine keeps them.
    pub token_limits: Limits,
    pub quota_share: QuotaShare,
    pub token_life: DurationValue,
    pub concurrency: u32,
    pub max_attempts: u32,
    pub request_timeout: DurationValue,
    pub max_summary_bytes: ByteSize,
    pub settle: DurationValue,
    pub catch_up: DayCount,
    /// Ages at which archived days are looked at again.
    pub recheck_after: Vec<DayCount>,
    pub source_retention: Option<DayCount>,
    /// Codes of warnings, some with what they are about after a colon.
    pub known_warnings: Vec<String>,
    /// How the archive's S3 is reached.
    pub s3: S3Access,
    /// `None` is off.
    pub object_lock: Option<Retention>,
    pub allow_http: bool,
    pub anchor: AnchorSettings,
    /// How the S3 is reached that `cxvault copy` writes to.
    pub copy: S3Access,
    pub logging: Logging,
    pub telemetry: Receivers,
    digest: Digest,
}

/// What is written to stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    pub format: LogFormat,
    /// Levels, for all or by module; `tracing_subscriber::filter::Targets` reads it.
    pub filter: String,
}

/// Settings, and where each came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub settings: Settings,
    /// The settings file that was read, if any, and what named it.
    pub file: Option<(PathBuf, &'static str)>,
    /// In the order of the table; account keys once for each account.
    pub in_force: Vec<InForce>,
}

impl Settings {
    /// Reads everything.
    ///
    /// # Errors
    /// [`Exit::Usage`], naming the flag, variable or line that is wrong, with what would be right.
    pub fn load(flags: &Flags, env: &Environment) -> Result<Loaded> {
        env.refuse_unknown()?;
        let location = file_location(flags, env);
        let file = match &location {
            Some((path, _)) => SettingsFile::read(path)?,
            None => SettingsFile::default(),
        };
        let mut layers = Layers {
            flags,
            env,
            file: &file,
            in_force: Vec::new(),
            account: None,
        };
        let settings = take(&mut layers)?;
        let in_force = layers.in_force;
        let settings = Settings {
            digest: digest(&settings, &in_force)?,
            ..settings
        };
        Ok(Loaded {
            settings,
            file: location,
            in_force,
        })
    }

    /// As much of who is told how a run ends as wrong settings let one read.
    pub fn load_telemetry(flags: &Flags, env: &Environment) -> Receivers {
        let file = file_location(flags, env).and_then(|(path, _)| SettingsFile::read(&path).ok());
        let file = file.unwrap_or_default();
        let mut layers = Layers {
            flags,
            env,
            file: &file,
            in_force: Vec::new(),
            account: None,
        };
        let receivers = telemetry::take(&mut layers).unwrap_or_default();
        let allow_http = layers
            .take_or_default::<Switch>(&keys::ALLOW_HTTP)
            .is_ok_and(|switch| switch.0);
        let harmless = allow_http || telemetry::refuse_exposed(&receivers).is_ok();
        if harmless {
            receivers
        } else {
            Receivers::default()
        }
    }

    /// Where a settings file would be read from, if one was there; `None` without a home folder.
    pub fn file_to_write(flags: &Flags, env: &Environment) -> Option<PathBuf> {
        file_location(flags, env)
            .map(|(path, _)| path)
            .or_else(|| usual_file(env))
    }

    /// SHA-256 in hexadecimal over the values that say what is archived and how: a manifest's
    /// `settings_digest`. Secrets, local paths and logging are left out. It is over the RFC 8785 form of an
    /// object `{"key": "value"}`, account keys as `account.NAME.key`, unset ones absent.
    pub fn digest(&self) -> String {
        self.digest.hex()
    }

    /// With the limits that this machine keeps: everything that counts on them counts on these.
    fn within_share(self) -> Settings {
        let share = self.quota_share;
        Settings {
            summary_limits: self.summary_limits.share(share),
            discovery_limits: self.discovery_limits.share(share),
            token_limits: self.token_limits.share(share),
            ..self
        }
    }

    /// Names in `omit_fields` that RingCX does not document, each with the one that was probably meant. They may be new
    /// fields of the vendor's: so it is said, and not refused.
    pub fn doubtful_fields(&self) -> Vec<(&str, &'static str)> {
        let unknown = self
            .omit_fields
            .names()
            .filter(|name| !metadata::NAMES.contains(name));
        unknown
            .filter_map(|name| Some((name, suggest::nearest(name, metadata::NAMES)?)))
            .collect()
    }

    /// The key that signs manifests, if one is configured.
    pub fn signing_key(&self) -> Result<Option<SigningKey>> {
        let Some(path) = &self.signing_key_file else {
            return Ok(None);
        };
        let text = secrecy::zeroize::Zeroizing::new(read(path, &keys::SIGNING_KEY_FILE)?);
        SigningKey::from_openssh_pem(&text)
            .map(Some)
            .map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    format!("cannot use the signing key {}: {error}", path.display()),
                )
            })
    }

    /// Whose signatures count to a reader: the allowed signers file's keys. A reader needs no signing key.
    pub fn trusted_signers(&self) -> Result<AllowedSigners> {
        let Some(path) = &self.allowed_signers_file else {
            return Ok(AllowedSigners::default());
        };
        let text = read(path, &keys::ALLOWED_SIGNERS_FILE)?;
        AllowedSigners::parse(&text)
            .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))
    }

    /// Whose signatures count to a writer: the allowed signers file's keys, and the signing key's own.
    pub fn allowed_signers(&self) -> Result<AllowedSigners> {
        let mut allowed = self.trusted_signers()?;
        if let Some(key) = self.signing_key()? {
            allowed.allow(key.public_key());
        }
        Ok(allowed)
    }
}

impl Logging {
    /// For commands that need no other settings: from flags and the environment only.
    pub fn load(flags: &Flags, env: &Environment) -> Result<Self> {
        let file = SettingsFile::default();
        Self::take(&mut Layers {
            flags,
            env,
            file: &file,
            in_force: Vec::new(),
            account: None,
        })
    }

    fn take(layers: &mut Layers<'_>) -> Result<Self> {
        let filter = layers.take_or_default::<LogFilter>(&keys::LOG)?.0;
        Ok(Logging {
            filter,
            format: layers.take_or_default(&keys::LOG_FORMAT)?,
        })
    }
}

fn read(path: &Path, key: &keys::Key) -> Result<String> {
    fs::read_to_string(path).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read {}", path.display()))
            .because(error)
            .remedy(format!(
                "Correct `{}` ({}), or let this user read the file.",
                key.name, key.env
            ))
    })
}

/// Which file holds the settings, and what says so: the flag, the variable, or the platform's place for it.
/// Not a file in the working directory: a job would change with where it is started.
fn file_location(flags: &Flags, env: &Environment) -> Option<(PathBuf, &'static str)> {
    if let Some(path) = &flags.config {
        return Some((path.clone(), "--config"));
    }
    if let Some(path) = env.get(keys::CONFIG_ENV) {
        return Some((env.expand(path), keys::CONFIG_ENV));
    }
    let path = usual_file(env).filter(|path| path.exists())?;
    Some((path, "the usual place"))
}

/// Where the settings file is when nothing names one: `~/.config/cxvault/config.toml` by default.
pub fn usual_file(env: &Environment) -> Option<PathBuf> {
    env.config_folder().map(|folder| folder.join("config.toml"))
}

fn take(layers: &mut Layers<'_>) -> Result<Settings> {
    let path = |path: PathText| PathBuf::from(path.0);
    let settings = Settings {
        archive: layers.take_or_default(&keys::ARCHIVE)?,
        state_dir: state_dir(layers)?,
        signing_key_file: optional::<PathText>(layers, &keys::SIGNING_KEY_FILE)?.map(path),
        allowed_signers_file: optional::<PathText>(layers, &keys::ALLOWED_SIGNERS_FILE)?.map(path),
        part_rows: layers
            .take_or_default::<Count<1, 10_000_000>>(&keys::PART_ROWS)?
            .0,
        // One PutObject takes at most 5 GiB (Amazon S3 quotas), and a part may end a little late.
        part_bytes: layers
            .take_or_default::<SizeWithin<1024, { 4 << 30 }>>(&keys::PART_BYTES)?
            .0,
        omit_fields: optional::<List<Field>>(layers, &keys::OMIT_FIELDS)?
            .map(|list| list.0.into_iter().map(|field| field.0).collect())
            .unwrap_or_default(),
        accounts: account::take_all(layers)?,
        platform_url: layers.take_or_default(&keys::PLATFORM_URL)?,
        ringcx_url: layers.take_or_default(&keys::RINGCX_URL)?,
        summaries_url: layers.take_or_default(&keys::SUMMARIES_URL)?,
        summary_limits: layers.take_or_default(&keys::SUMMARY_LIMITS)?,
        summary_limit_scope: layers.take_or_default(&keys::SUMMARY_LIMIT_SCOPE)?,
        discovery_limits: layers.take_or_default(&keys::DISCOVERY_LIMITS)?,
        token_limits: layers.take_or_default(&keys::TOKEN_LIMITS)?,
        quota_share: layers.take_or_default(&keys::QUOTA_SHARE)?,
        token_life: layers.take_or_default::<PositiveSpan>(&keys::TOKEN_LIFE)?.0,
        concurrency: layers
            .take_or_default::<Count<1, 1024>>(&keys::CONCURRENCY)?
            .0 as u32,
        max_attempts: layers
            .take_or_default::<Count<1, 100>>(&keys::MAX_ATTEMPTS)?
            .0 as u32,
        request_timeout: layers
            .take_or_default::<PositiveSpan>(&keys::REQUEST_TIMEOUT)?
            .0,
        max_summary_bytes: layers
            .take_or_default::<SizeWithin<1, { 256 << 20 }>>(&keys::MAX_SUMMARY_BYTES)?
            .0,
        settle: layers.take_or_default(&keys::SETTLE)?,
        catch_up: layers.take_or_default(&keys::CATCH_UP)?,
        recheck_after: optional::<List<DayCount>>(layers, &keys::RECHECK_AFTER)?
            .map(|list| list.0)
            .unwrap_or_default(),
        source_retention: optional(layers, &keys::SOURCE_RETENTION)?,
        known_warnings: optional::<List<WarningCode>>(layers, &keys::KNOWN_WARNINGS)?
            .map(|list| list.0.into_iter().map(|code| code.0).collect())
            .unwrap_or_default(),
        s3: s3::take(layers, &s3::ARCHIVE)?,
        object_lock: layers.take_or_default::<LockPolicy>(&keys::OBJECT_LOCK)?.0,
        allow_http: layers.take_or_default::<Switch>(&keys::ALLOW_HTTP)?.0,
        anchor: anchor::take(layers)?,
        copy: s3::take(layers, &s3::COPY)?,
        logging: Logging::take(layers)?,
        telemetry: telemetry::take(layers)?,
        digest: Digest([0; 32]), // over what has just been taken, so it follows
    };
    refuse_contradictions(&settings)?;
    Ok(settings.within_share())
}

fn optional<T>(layers: &mut Layers<'_>, key: &'static keys::Key) -> Result<Option<T>>
where
    T: std::str::FromStr<Err: std::fmt::Display> + std::fmt::Display,
{
    layers.take(key, AccountScope::Program)
}

fn state_dir(layers: &mut Layers<'_>) -> Result<PathBuf> {
    let key = &keys::STATE_DIR;
    if layers.find(key, AccountScope::Program).is_some() {
        return Ok(PathBuf::from(
            layers
                .take::<PathText>(key, AccountScope::Program)?
                .map(|path| path.0)
                .unwrap_or_default(),
        ));
    }
    let folder = layers.env.state_folder().ok_or_else(|| {
        Failure::new(Exit::Usage, "there is no home folder to keep the state in")
            .remedy("Name a folder with --state-dir or CXVAULT_STATE_DIR, or set HOME.")
    })?;
    layers.note(
        key,
        Some(folder.to_string_lossy().into_owned()),
        Origin::Default,
    );
    Ok(folder)
}

fn refuse_contradictions(settings: &Settings) -> Result<()> {
    if settings.object_lock.is_some() && !settings.archive.is_s3() {
        let message = format!(
            "object_lock is set, but the archive {} is a folder, which cannot lock",
            settings.archive
        );
        return Err(Failure::new(Exit::Usage, message)
            .remedy("Set CXVAULT_OBJECT_LOCK=off, or keep the archive in s3://bucket/prefix."));
    }
    anchor::refuse_contradictions(&settings.anchor, &settings.archive, settings.allow_http)?;
    let urls = [
        (&keys::PLATFORM_URL, Some(&settings.platform_url)),
        (&keys::RINGCX_URL, Some(&settings.ringcx_url)),
        (&keys::SUMMARIES_URL, Some(&settings.summaries_url)),
        (&keys::S3_ENDPOINT, settings.s3.endpoint.as_ref()),
        (&keys::COPY_ENDPOINT, settings.copy.endpoint.as_ref()),
    ];
    let exposed = |url: Option<&BaseUrl>| url.is_some_and(BaseUrl::is_exposed);
    match urls
        .into_iter()
        .find(|(_, url)| exposed(*url) && !settings.allow_http)
    {
        Some((key, _)) => Err(plain_http(key.name)),
        None if settings.allow_http => Ok(()),
        None => telemetry::refuse_exposed(&settings.telemetry),
    }
}

fn plain_http(name: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{name} is plain HTTP, which anybody on the way can read"),
    )
    .remedy("Use https://, or set CXVAULT_ALLOW_HTTP=true if the network is yours.")
}

fn digest(settings: &Settings, in_force: &[InForce]) -> Result<Digest> {
    let mut values: BTreeMap<String, &str> = BTreeMap::new();
    for one in in_force.iter().filter(|one| !one.key.local) {
        let name = match &one.account {
            Some(account) => format!("account.{account}.{}", one.key.name),
            None => one.key.name.to_owned(),
        };
        values.extend(one.value.as_deref().map(|value| (name, value)));
    }
    for account in &settings.accounts {
        let kind = account.credentials.as_ref().map(CredentialSettings::kind);
        values.extend(kind.map(|kind| (format!("account.{}.credentials", account.name), kind)));
    }
    let text = serde_json_canonicalizer::to_vec(&values);
    let unexpected =
        |error| Failure::new(Exit::Unexpected, "cannot digest the settings").because(error);
    text.map(|text| Digest::of(&text)).map_err(unexpected)
}
