//! Settings: read in one place, checked, and handed down as small values.
//!
//! A flag takes precedence over the environment, the environment over the settings file, and the file over the default.
//! Every setting, with its names and its meaning, is a line of [`keys`].
//!
//! The parts, from the texts to the values: [`environment`] is a snapshot of the variables, [`file`](SettingsFile) the
//! settings file with the line of each value, [`layers`] finds the text that counts, [`value`], [`name`] and the types of
//! the format read it, and [`Settings::load`] takes all of them and refuses values that contradict each other. Unknown
//! names are errors everywhere, since a misspelt setting would silently have no effect.
//!
//! No other module reads the environment, and no command reads a setting by its name: each gets the fields that it needs.
//!
//! # Examples
//! ```
//! use cxvault::config::{Environment, Flags, Settings};
//!
//! let variables = [
//!     ("HOME", "/home/operator"),
//!     ("CXVAULT_ARCHIVE", "s3://my-bucket/ringcx"),
//!     ("CXVAULT_TIME_ZONE", "America/New_York"),
//! ];
//! let loaded = Settings::load(&Flags::default(), &Environment::from_pairs(variables))?;
//! assert!(loaded.settings.archive.is_s3());
//! assert_eq!(loaded.settings.accounts[0].time_zone, "America/New_York");
//! # Ok::<(), cxvault::outcome::Failure>(())
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::format::hash::Digest;
use crate::format::place::location::Location;
use crate::format::record::Retention;
use crate::format::row::{Omission, metadata};
use crate::format::signature::{AllowedSigners, SigningKey};
use crate::outcome::{Failure, Result};
use crate::ringcx::limits::{Limits, QuotaShare};
use crate::telemetry::Receivers;

mod account;
mod anchor;
pub mod document;
mod environment;
mod exposure;
mod file;
pub mod keys;
mod layers;
mod name;
mod s3;
mod secret;
mod suggest;
mod telemetry;
mod value;

pub(crate) use account::Account;
pub use account::CredentialSettings;
pub(crate) use anchor::AnchorSettings;
pub use environment::Environment;
pub use exposure::ExposedFile;
pub use layers::{Flags, InForce, Origin};
pub use name::BaseUrl;
pub(crate) use s3::S3Access;
pub(crate) use value::{ByteSize, DayCount, DurationValue, LockPolicy};
pub use value::{LimitScope, LogFormat};

use exposure::Content;
use file::SettingsFile;
use layers::{AccountScope, Layers};
use name::{Field, LogFilter, PathText, WarningCode};
use value::{Count, List, PositiveSpan, SizeWithin, Switch};

/// All settings, read and checked. The line of each setting in [`keys`] describes it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Root of the archive.
    pub archive: Location,
    /// Folder of the journals and of the request ledger.
    pub state_dir: PathBuf,
    /// File with the key that signs manifests and parts.
    pub signing_key_file: Option<PathBuf>,
    /// File with the keys whose signatures are accepted.
    pub allowed_signers_file: Option<PathBuf>,
    /// The principal of those lines of that file that count.
    pub signer_identity: String,
    /// Largest number of segments in one part.
    pub part_rows: u64,
    /// Approximate largest size of one part before compression, in bytes.
    pub(crate) part_bytes: ByteSize,
    /// Metadata fields that are removed from every segment.
    pub omit_fields: Omission,
    /// The accounts, at least one.
    pub accounts: Vec<Account>,
    /// Base URL of the RingCentral platform.
    pub platform_url: BaseUrl,
    /// Base URL of RingCX.
    pub ringcx_url: BaseUrl,
    /// Base URL of the summaries API.
    pub summaries_url: BaseUrl,
    /// Rate limits of summary requests: this machine's share of them.
    pub summary_limits: Limits,
    /// Whether the summary limits count for a credential or for each sub-account.
    pub summary_limit_scope: LimitScope,
    /// Rate limits of discovery requests: this machine's share of them.
    pub discovery_limits: Limits,
    /// Rate limits of token exchanges: this machine's share of them.
    pub token_limits: Limits,
    /// Share of the limits that this machine uses.
    pub quota_share: QuotaShare,
    /// Lifetime of a RingCX token.
    pub(crate) token_life: DurationValue,
    /// Number of concurrent summary requests, 1 to 1,024.
    pub concurrency: u32,
    /// Attempts of one request, 1 to 100.
    pub max_attempts: u32,
    /// Time-out of one request.
    pub(crate) request_timeout: DurationValue,
    /// Largest summary, in bytes.
    pub(crate) max_summary_bytes: ByteSize,
    /// Time between the end of a day and its archiving.
    pub(crate) settle: DurationValue,
    /// Days back in which a run completes what is missing.
    pub(crate) catch_up: DayCount,
    /// Ages at which archived days are fetched again.
    pub(crate) recheck_after: Vec<DayCount>,
    /// How long RingCX retains interactions.
    pub(crate) source_retention: Option<DayCount>,
    /// Codes of expected warnings, some with what they are about after a colon.
    pub known_warnings: Vec<String>,
    /// How the archive's S3 is reached.
    pub(crate) s3: S3Access,
    /// Object Lock of every object; `None` is off.
    pub object_lock: Option<Retention>,
    /// Whether plain HTTP to other hosts is allowed.
    pub allow_http: bool,
    /// Where and how heads are stored a second time.
    pub(crate) anchor: AnchorSettings,
    /// How the S3 is reached that `cxvault copy` writes to.
    pub(crate) copy: S3Access,
    /// What is logged.
    pub logging: Logging,
    /// Where the result of a run is reported.
    pub(crate) telemetry: Receivers,
    /// Digest of what is archived and how; see [`Settings::digest`].
    digest: Digest,
}

/// What is logged to stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Text for people, or JSON for programs.
    pub format: LogFormat,
    /// Levels, for all modules or for single ones, as `tracing_subscriber::filter::Targets` reads them.
    pub filter: String,
}

/// The settings, and the origin of each.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The checked settings.
    pub settings: Settings,
    /// The settings file that was read, if any, and what named it.
    pub file: Option<(PathBuf, &'static str)>,
    /// All settings in the order of the table; those of accounts once for each account.
    pub in_force: Vec<InForce>,
    /// The files with secrets that other users can read, and the settings file if its group can change it.
    pub exposed: Vec<ExposedFile>,
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// `Exit::Usage`, naming the flag, variable or line that is wrong, with what would be right.
    pub fn load(flags: &Flags, env: &Environment) -> Result<Loaded> {
        env.refuse_unknown()?;
        let location = file_location(flags, env);
        let file = match &location {
            Some((path, _)) => SettingsFile::read(path)?,
            None => SettingsFile::default(),
        };
        let mut layers = Layers::new(flags, env, &file);
        let settings = take(&mut layers)?;
        let (in_force, mut exposed) = (layers.in_force, layers.exposed);
        exposed.extend(file.exposed.clone());
        exposed.extend(exposed_key(&settings));
        let settings = Settings {
            digest: digest(&settings, &in_force)?,
            ..settings
        };
        Ok(Loaded {
            settings,
            file: location,
            in_force,
            exposed,
        })
    }

    /// Returns the receivers of telemetry, as far as they can be read.
    ///
    /// For the case that [`Settings::load`] fails: a night that does not start because of a wrong setting must be reported
    /// too. What cannot be read, or would send a secret in clear text, is left out.
    pub(crate) fn load_telemetry(flags: &Flags, env: &Environment) -> Receivers {
        let file = file_location(flags, env).and_then(|(path, _)| SettingsFile::read(&path).ok());
        let file = file.unwrap_or_default();
        let mut layers = Layers::new(flags, env, &file);
        let receivers = telemetry::take(&mut layers).unwrap_or_default();
        let allow_http = layers
            .take_or_default::<Switch>(&keys::ALLOW_HTTP)
            .is_ok_and(|switch| switch.0);
        if allow_http || telemetry::refuse_exposed(&receivers).is_ok() {
            receivers
        } else {
            Receivers::default()
        }
    }

    /// Returns where `cxvault init` creates a settings file; `None` without a home folder.
    pub(crate) fn file_to_write(flags: &Flags, env: &Environment) -> Option<PathBuf> {
        file_location(flags, env)
            .map(|(path, _)| path)
            .or_else(|| usual_file(env))
    }

    /// Returns the SHA-256, in hexadecimal, of the settings that say what is archived and how: `settings_sha256` of the
    /// run in a manifest.
    ///
    /// It is the hash of the RFC 8785 form of an object `{"key": "value"}`. Settings of accounts are in it as
    /// `account.NAME.key`; unset settings are absent, as are secrets, local paths and logging.
    pub fn digest(&self) -> String {
        self.digest.hex()
    }

    /// Reduces the rate limits to the share of this machine. All code that plans or paces requests uses these limits.
    fn within_share(self) -> Settings {
        let share = self.quota_share;
        Settings {
            summary_limits: self.summary_limits.share(share),
            discovery_limits: self.discovery_limits.share(share),
            token_limits: self.token_limits.share(share),
            ..self
        }
    }

    /// Returns the names in `omit_fields` that RingCX does not document, each with the documented name that was probably
    /// meant. RingCX may have added a field of such a name, so this is worth a warning and not an error.
    pub fn doubtful_fields(&self) -> Vec<(&str, &'static str)> {
        let unknown = self
            .omit_fields
            .names()
            .filter(|name| !metadata::NAMES.contains(name));
        unknown
            .filter_map(|name| Some((name, suggest::nearest(name, metadata::NAMES)?)))
            .collect()
    }

    /// Returns the key that signs manifests, if one is configured.
    ///
    /// # Errors
    /// `Exit::Usage` if the file cannot be read, if other users can change it, or if it does not hold an Ed25519 key.
    pub fn signing_key(&self) -> Result<Option<SigningKey>> {
        let Some(path) = &self.signing_key_file else {
            return Ok(None);
        };
        let text = read(path, &keys::SIGNING_KEY_FILE, Content::Secret)?;
        let text = secrecy::zeroize::Zeroizing::new(text);
        SigningKey::from_openssh_pem(&text)
            .map(Some)
            .map_err(|error| {
                Failure::usage(format!(
                    "cannot use the signing key {}: {error}",
                    path.display()
                ))
            })
    }

    /// Returns the keys whose signatures a reader accepts: those of the allowed signers file. A reader needs no signing key.
    ///
    /// # Errors
    /// `Exit::Usage` if the file cannot be read, if other users can change it, or if a line is not understood.
    pub(crate) fn trusted_signers(&self) -> Result<AllowedSigners> {
        let Some(path) = &self.allowed_signers_file else {
            return Ok(AllowedSigners::default());
        };
        let text = read(path, &keys::ALLOWED_SIGNERS_FILE, Content::Trust)?;
        AllowedSigners::parse_for(&text, &self.signer_identity)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    }

    /// Returns the keys whose signatures a writer accepts: those of the allowed signers file, and its own.
    ///
    /// # Errors
    /// `Exit::Usage`, as [`Settings::signing_key`] and [`Settings::trusted_signers`].
    pub fn allowed_signers(&self) -> Result<AllowedSigners> {
        let mut allowed = self.trusted_signers()?;
        if let Some(key) = self.signing_key()? {
            allowed.allow(key.public_key());
        }
        Ok(allowed)
    }
}

impl Logging {
    /// Reads what commands need that use no other settings, from flags and the environment only.
    pub fn load(flags: &Flags, env: &Environment) -> Result<Self> {
        let file = SettingsFile::default();
        Self::take(&mut Layers::new(flags, env, &file))
    }

    fn take(layers: &mut Layers<'_>) -> Result<Self> {
        let filter = layers.take_or_default::<LogFilter>(&keys::LOG)?.0;
        Ok(Logging {
            filter,
            format: layers.take_or_default(&keys::LOG_FORMAT)?,
        })
    }
}

/// Reads a file that the setting `key` names.
///
/// # Errors
/// `Exit::Usage` if it cannot be read, or if other users can change it.
fn read(path: &Path, key: &keys::Key, content: Content) -> Result<String> {
    let unreadable = |error| {
        Failure::usage(format!("cannot read {}", path.display()))
            .because(error)
            .remedy(format!(
                "Correct `{}` ({}), or let this user read the file.",
                key.name, key.env
            ))
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    exposure::judge(&about, path, &named(path, key), content)?;
    std::io::read_to_string(file).map_err(unreadable)
}

/// Returns how messages call the file that the setting `key` names.
fn named(path: &Path, key: &keys::Key) -> String {
    format!("the file {} (`{}`)", path.display(), key.name)
}

/// Returns the warning about the signing key, where other users can read it. What makes it unusable is the failure of the
/// commands that sign with it: readers do without it.
fn exposed_key(settings: &Settings) -> Option<ExposedFile> {
    let path = settings.signing_key_file.as_ref()?;
    // It is not opened: reading a pipe would empty it.
    let about = fs::metadata(path).ok()?;
    let named = named(path, &keys::SIGNING_KEY_FILE);
    exposure::judge(&about, path, &named, Content::Secret)
        .ok()
        .flatten()
}

/// Returns the path of the settings file and what names it: the flag, the variable, or the usual path if a file is there.
///
/// The working directory is not searched, since the result of a job would depend on where it is started.
fn file_location(flags: &Flags, env: &Environment) -> Option<(PathBuf, &'static str)> {
    if let Some(path) = &flags.config {
        return Some((path.clone(), "--config"));
    }
    if let Some(path) = env.get(keys::CONFIG_ENV) {
        return Some((env.expand(path), keys::CONFIG_ENV));
    }
    let path = usual_file(env).filter(|path| path.exists())?;
    Some((path, "the usual path"))
}

/// Returns the path of the settings file if no flag and no variable names one: by default
/// `~/.config/cxvault/config.toml`.
pub(crate) fn usual_file(env: &Environment) -> Option<PathBuf> {
    env.config_folder().map(|folder| folder.join("config.toml"))
}

/// Takes all settings from the layers and checks them.
fn take(layers: &mut Layers<'_>) -> Result<Settings> {
    let settings = Settings {
        archive: layers.take_or_default(&keys::ARCHIVE)?,
        state_dir: state_dir(layers)?,
        signing_key_file: optional_path(layers, &keys::SIGNING_KEY_FILE)?,
        allowed_signers_file: optional_path(layers, &keys::ALLOWED_SIGNERS_FILE)?,
        signer_identity: layers.take_or_default(&keys::SIGNER_IDENTITY)?,
        part_rows: layers
            .take_or_default::<Count<1, 10_000_000>>(&keys::PART_ROWS)?
            .0,
        // One PutObject takes at most 5 GiB (Amazon S3 quotas), and a part may be a little larger than its limit.
        part_bytes: layers
            .take_or_default::<SizeWithin<1024, { 4 << 30 }>>(&keys::PART_BYTES)?
            .0,
        omit_fields: list::<Field>(layers, &keys::OMIT_FIELDS)?
            .into_iter()
            .map(|field| field.0)
            .collect(),
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
        recheck_after: list(layers, &keys::RECHECK_AFTER)?,
        source_retention: optional(layers, &keys::SOURCE_RETENTION)?,
        known_warnings: list::<WarningCode>(layers, &keys::KNOWN_WARNINGS)?
            .into_iter()
            .map(|code| code.0)
            .collect(),
        s3: s3::take(layers, &s3::ARCHIVE)?,
        object_lock: layers.take_or_default::<LockPolicy>(&keys::OBJECT_LOCK)?.0,
        allow_http: layers.take_or_default::<Switch>(&keys::ALLOW_HTTP)?.0,
        anchor: anchor::take(layers)?,
        copy: s3::take(layers, &s3::COPY)?,
        logging: Logging::take(layers)?,
        telemetry: telemetry::take(layers)?,
        digest: Digest([0; 32]), // `Settings::load` computes it from what is taken here
    };
    refuse_contradictions(&settings)?;
    Ok(settings.within_share())
}

/// Takes a list, which is empty where it is not set.
fn list<T>(layers: &mut Layers<'_>, key: &'static keys::Key) -> Result<Vec<T>>
where
    T: std::str::FromStr<Err = value::Invalid> + std::fmt::Display + PartialEq,
{
    Ok(optional::<List<T>>(layers, key)?.unwrap_or_default().0)
}

fn optional_path(layers: &mut Layers<'_>, key: &'static keys::Key) -> Result<Option<PathBuf>> {
    Ok(optional::<PathText>(layers, key)?.map(|path| PathBuf::from(path.0)))
}

/// Takes a setting of the program that need not be set.
fn optional<T>(layers: &mut Layers<'_>, key: &'static keys::Key) -> Result<Option<T>>
where
    T: std::str::FromStr<Err: std::fmt::Display> + std::fmt::Display,
{
    layers.take(key, AccountScope::Program)
}

/// Takes the state folder, which by default is the usual folder of the platform.
fn state_dir(layers: &mut Layers<'_>) -> Result<PathBuf> {
    let key = &keys::STATE_DIR;
    if layers.find(key, AccountScope::Program).is_some() {
        return Ok(PathBuf::from(layers.take_or_default::<PathText>(key)?.0));
    }
    let folder = layers.env.state_folder().ok_or_else(|| {
        Failure::usage("there is no home folder for the state folder")
            .remedy("Set --state-dir or CXVAULT_STATE_DIR to a folder, or set HOME.")
    })?;
    layers.note(
        key,
        Some(folder.to_string_lossy().into_owned()),
        Origin::Default,
    );
    Ok(folder)
}

/// Refuses settings that are valid alone and contradict each other.
fn refuse_contradictions(settings: &Settings) -> Result<()> {
    if settings.object_lock.is_some() && !settings.archive.is_s3() {
        let message = format!(
            "object_lock is set, but the archive {} is a folder, which has no Object Lock",
            settings.archive
        );
        return Err(Failure::usage(message)
            .remedy("Set CXVAULT_OBJECT_LOCK=off, or use an archive in S3: s3://bucket/prefix."));
    }
    anchor::refuse_contradictions(&settings.anchor, &settings.archive, settings.allow_http)?;
    let urls = [
        (&keys::PLATFORM_URL, Some(&settings.platform_url)),
        (&keys::RINGCX_URL, Some(&settings.ringcx_url)),
        (&keys::SUMMARIES_URL, Some(&settings.summaries_url)),
        (&keys::S3_ENDPOINT, settings.s3.endpoint.as_ref()),
        (&keys::COPY_ENDPOINT, settings.copy.endpoint.as_ref()),
    ];
    if settings.allow_http {
        return Ok(());
    }
    match urls
        .into_iter()
        .find(|(_, url)| url.is_some_and(BaseUrl::is_exposed))
    {
        Some((key, _)) => Err(plain_http(key.name)),
        None => telemetry::refuse_exposed(&settings.telemetry),
    }
}

/// The failure for an address whose requests would leave this host in clear text.
fn plain_http(name: &str) -> Failure {
    Failure::usage(format!(
        "{name} is plain HTTP to another host, which can be read in transit"
    ))
    .remedy("Use https://, or set CXVAULT_ALLOW_HTTP=true if the network is trusted.")
}

/// Computes [`Settings::digest`].
fn digest(settings: &Settings, in_force: &[InForce]) -> Result<Digest> {
    let mut values: BTreeMap<String, &str> = BTreeMap::new();
    for setting in in_force.iter().filter(|setting| !setting.key.local) {
        let name = match &setting.account {
            Some(account) => format!("account.{account}.{}", setting.key.name),
            None => setting.key.name.to_owned(),
        };
        values.extend(setting.value.as_deref().map(|value| (name, value)));
    }
    for account in &settings.accounts {
        let kind = account.credentials.as_ref().map(CredentialSettings::kind);
        values.extend(kind.map(|kind| (format!("account.{}.credentials", account.name), kind)));
    }
    serde_json_canonicalizer::to_vec(&values)
        .map(|text| Digest::of(&text))
        .map_err(|error| {
            Failure::unexpected("cannot compute the digest of the settings").because(error)
        })
}
