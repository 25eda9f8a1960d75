//! The table of all settings.
//!
//! Reading, `cxvault init`, `cxvault config`, the suggestions for misspelt names and `docs/settings.md` all come from this
//! table, so that none of them can miss a setting. A setting has one name in three spellings: `time_zone` in the settings
//! file, `CXVAULT_TIME_ZONE` in the environment, and for some settings a flag such as `--time-zone`. These names are part
//! of the interface: scripts rely on them.
//!
//! A new setting needs a line here, a field in [`Settings`](crate::config::Settings), and a sample in the tests.

/// How a value is written in the TOML file. In flags and variables every value is one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// A string in quotes.
    Text,
    /// A whole number without quotes.
    Integer,
    /// `true` or `false` without quotes.
    Boolean,
    /// An array of strings; in flags and variables its elements with commas between them.
    List,
    /// A table of strings; in flags and variables `key=value` with commas between the pairs.
    Table,
    /// The path of a file or folder. In the settings file a relative path counts from the folder of that file.
    Path,
    /// The path of a file that holds a secret. The secret itself can be in the environment, but never in a flag, which
    /// every process of the host can see, nor in the settings file, which tends to be shared.
    SecretFile {
        /// Name of the variable with the secret itself.
        env: &'static str,
        /// Name that a user would give the secret in the settings file, for the message that refuses it there.
        inline: &'static str,
    },
}

/// What a setting is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyScope {
    /// The whole program.
    Program,
    /// Every account. Above the first `[[account]]` table it is a default for all accounts.
    Account,
    /// One account only. Outside of an `[[account]]` table it is accepted only while there is one account.
    OneAccount,
}

/// The value of a setting that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// There is none.
    Nothing,
    /// This text, read like a text of the user.
    Value(&'static str),
    /// A value that depends on the host; the text says how it is found.
    Computed(&'static str),
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Heading under which the documents list the setting.
    pub section: &'static str,
    /// Name in the settings file.
    pub name: &'static str,
    /// Name of the environment variable.
    pub env: &'static str,
    /// The usual flag, for the documents; [`crate::cli`] declares all flags.
    pub flag: Option<&'static str>,
    /// How the value is written in the settings file.
    pub syntax: Syntax,
    /// Whether the setting is about the program or about an account.
    pub(crate) scope: KeyScope,
    /// The value where none is set.
    pub default: Fallback,
    /// A value as a user would write it, for documents and messages.
    pub example: &'static str,
    /// One sentence for users, with the unit. Messages about a wrong value repeat it.
    pub doc: &'static str,
    /// Whether the setting only concerns this host and says nothing about what is archived. Such settings are left out
    /// of the digest of the settings in manifests.
    pub local: bool,
}

impl Key {
    const fn new(
        section: &'static str,
        name: &'static str,
        env: &'static str,
        doc: &'static str,
    ) -> Self {
        Key {
            section,
            name,
            env,
            flag: None,
            syntax: Syntax::Text,
            scope: KeyScope::Program,
            default: Fallback::Nothing,
            example: "",
            doc,
            local: false,
        }
    }

    /// Returns the name of the value itself, where the setting names a file that holds the value.
    pub(crate) fn inline_name(&self) -> &'static str {
        match self.syntax {
            Syntax::SecretFile { inline, .. } => inline,
            _ => self.name,
        }
    }

    /// Returns the variable with the value itself, where the setting names a file that holds the value.
    pub(crate) fn inline_env(&self) -> &'static str {
        match self.syntax {
            Syntax::SecretFile { env, .. } => env,
            _ => self.env,
        }
    }

    const fn is(mut self, syntax: Syntax) -> Self {
        self.syntax = syntax;
        self
    }

    const fn of(mut self, scope: KeyScope) -> Self {
        self.scope = scope;
        self
    }

    const fn or(mut self, default: &'static str) -> Self {
        self.default = Fallback::Value(default);
        self.example = default;
        self
    }

    const fn or_computed(mut self, how: &'static str) -> Self {
        self.default = Fallback::Computed(how);
        self.example = how;
        self
    }

    const fn like(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn local(mut self) -> Self {
        self.local = true;
        self
    }
}

/// The variable that names the settings file. It is not in the table, since a settings file cannot name itself.
pub(crate) const CONFIG_ENV: &str = "CXVAULT_CONFIG";

/// Declares each setting as a static of its own, and [`ALL`] with references to all of them.
///
/// A line has the name in the file, the variable, the sentence for users, and builder calls of [`Key`] for what differs
/// from a text of the program without a default.
macro_rules! keys {
    ($($section:literal { $($ident:ident: $name:literal, $env:literal, $doc:literal $(. $method:ident($($arg:expr),*))*;)+ })+) => {
        $($(
            #[doc = $doc]
            pub static $ident: Key = Key::new($section, $name, $env, $doc)$(.$method($($arg),*))*;
        )+)+

        /// All settings, in the order in which the documents show them.
        pub static ALL: &[&Key] = &[$($(&$ident),+),+];
    };
}

use KeyScope::{Account, OneAccount};
use Syntax::{Boolean, Integer, List, Path, SecretFile, Table};

keys! {
    "Archive" {
        ARCHIVE: "archive", "CXVAULT_ARCHIVE",
            "Location of the archive: `s3://bucket/prefix`, or the path of a folder."
            .is(Path).or("./cxvault-archive").like("s3://my-bucket/ringcx").flag("--archive");
        STATE_DIR: "state_dir", "CXVAULT_STATE_DIR",
            "Folder for answers that are not committed yet, and for the request ledger; losing it costs time, never correctness."
            .is(Path).or_computed("~/.local/state/cxvault").flag("--state-dir").local();
        SIGNING_KEY_FILE: "signing_key_file", "CXVAULT_SIGNING_KEY_FILE",
            "File with the Ed25519 key that signs manifests and parts; `cxvault keygen` creates one."
            .is(Path).like("/etc/cxvault/signing.key").local();
        ALLOWED_SIGNERS_FILE: "allowed_signers_file", "CXVAULT_ALLOWED_SIGNERS_FILE",
            "OpenSSH allowed_signers file: the keys whose signatures are accepted, beside the signing key itself."
            .is(Path).like("/etc/cxvault/allowed_signers").local();
        SIGNER_IDENTITY: "signer_identity", "CXVAULT_SIGNER_IDENTITY",
            "Principal of the lines in allowed_signers that count, as in `ssh-keygen -Y verify -I`."
            .or("cxvault");
        PART_ROWS: "part_rows", "CXVAULT_PART_ROWS",
            "Largest number of segments in one Parquet part." .is(Integer).or("250000");
        PART_BYTES: "part_bytes", "CXVAULT_PART_BYTES",
            "Approximate largest size of one Parquet part before compression; at most 4GiB." .or("256MiB");
        OMIT_FIELDS: "omit_fields", "CXVAULT_OMIT_FIELDS",
            "Metadata fields, by their names in the API, that are removed from every segment before any of it is stored; manifests name them."
            .is(List).like("contactEndpointAddress,agentNotes");
    }
    "Account" {
        NAME: "name", "CXVAULT_ACCOUNT_NAME",
            "Name of the account in messages." .of(OneAccount).or_computed("default").like("main");
        CLIENT_ID: "client_id", "CXVAULT_CLIENT_ID",
            "Client id of the RingCentral app, which needs the JWT grant and the scope ReadAccounts."
            .of(OneAccount).like("AbCdEfGhIjKlMnOpQrStUv");
        CLIENT_SECRET_FILE: "client_secret_file", "CXVAULT_CLIENT_SECRET_FILE",
            "File with the client secret of the app; the secret itself can be in CXVAULT_CLIENT_SECRET."
            .is(SecretFile { env: "CXVAULT_CLIENT_SECRET", inline: "client_secret" }).of(OneAccount)
            .like("/etc/cxvault/client_secret").local();
        JWT_FILE: "jwt_file", "CXVAULT_JWT_FILE",
            "File with the JWT credential of the user; the credential itself can be in CXVAULT_JWT."
            .is(SecretFile { env: "CXVAULT_JWT", inline: "jwt" }).of(OneAccount)
            .like("/etc/cxvault/jwt").local();
        RINGCX_TOKEN_FILE: "ringcx_token_file", "CXVAULT_RINGCX_TOKEN_FILE",
            "File with a RingCX access token, in place of the three settings above; the token itself can be in CXVAULT_RINGCX_TOKEN. It expires after five minutes, so this is for trials."
            .is(SecretFile { env: "CXVAULT_RINGCX_TOKEN", inline: "ringcx_token" }).of(OneAccount)
            .like("/run/cxvault/token").local();
        RC_ACCOUNT_ID: "rc_account_id", "CXVAULT_RC_ACCOUNT_ID",
            "RingCentral account id; if it is not set, the API is asked for it." .of(OneAccount).like("1234567890");
        SUB_ACCOUNTS: "sub_accounts", "CXVAULT_SUB_ACCOUNTS",
            "Sub-accounts to archive; if it is not set, all that the API lists."
            .is(List).of(OneAccount).like("99999999").flag("--sub-account");
        TIME_ZONE: "time_zone", "CXVAULT_TIME_ZONE",
            "Time zone whose calendar days are archived; the first manifest of a sub-account fixes it permanently."
            .of(Account).or("UTC").flag("--time-zone");
        TIME_ZONES: "time_zones", "CXVAULT_TIME_ZONES",
            "Time zones of single sub-accounts that differ from time_zone."
            .is(Table).of(OneAccount).like("99999999=America/New_York");
        CHANNEL_CLASSES: "channel_classes", "CXVAULT_CHANNEL_CLASSES",
            "Channel classes whose summaries are fetched; other segments become rows marked SKIPPED."
            .is(List).of(Account).like("VOICE");
        SEGMENT_TYPES: "segment_types", "CXVAULT_SEGMENT_TYPES",
            "Segment types whose summaries are fetched; other segments become rows marked SKIPPED."
            .is(List).of(Account).like("AGENT");
    }
    "API" {
        PLATFORM_URL: "platform_url", "CXVAULT_PLATFORM_URL",
            "Base URL of the RingCentral platform, for OAuth." .or("https://platform.ringcentral.com");
        RINGCX_URL: "ringcx_url", "CXVAULT_RINGCX_URL",
            "Base URL of RingCX, for tokens and discovery." .or("https://ringcx.ringcentral.com");
        SUMMARIES_URL: "summaries_url", "CXVAULT_SUMMARIES_URL",
            "Base URL of the summaries API." .or("https://engage.ringcentral.com");
        SUMMARY_LIMITS: "summary_limits", "CXVAULT_SUMMARY_LIMITS",
            "Rate limits of summary requests, agent and AI summaries together; `off` for none." .or("120/60s");
        SUMMARY_LIMIT_SCOPE: "summary_limit_scope", "CXVAULT_SUMMARY_LIMIT_SCOPE",
            "Scope of summary_limits: `credential` or `sub-account`." .or("credential");
        DISCOVERY_LIMITS: "discovery_limits", "CXVAULT_DISCOVERY_LIMITS",
            "Rate limits of discovery requests, for each sub-account." .or("3/60s,9/15m");
        TOKEN_LIMITS: "token_limits", "CXVAULT_TOKEN_LIMITS",
            "Rate limits of token exchanges." .or("5/60s");
        QUOTA_SHARE: "quota_share", "CXVAULT_QUOTA_SHARE",
            "Share of all three limits that this machine may use, where several machines use the same credentials: `1/3` on each of three."
            .or("1").local();
        TOKEN_LIFE: "token_life", "CXVAULT_TOKEN_LIFE",
            "Lifetime of a RingCX token; it is renewed before its end." .or("5m");
        CONCURRENCY: "concurrency", "CXVAULT_CONCURRENCY",
            "Number of concurrent summary requests, 1 to 1024." .is(Integer).or("16");
        MAX_ATTEMPTS: "max_attempts", "CXVAULT_MAX_ATTEMPTS",
            "Attempts of one request before it counts as failed, 1 to 100." .is(Integer).or("6");
        REQUEST_TIMEOUT: "request_timeout", "CXVAULT_REQUEST_TIMEOUT",
            "Time-out of one request." .or("60s");
        MAX_SUMMARY_BYTES: "max_summary_bytes", "CXVAULT_MAX_SUMMARY_BYTES",
            "Largest summary; a longer one counts as failed. At most 256MiB." .or("4MiB");
    }
    "Days" {
        SETTLE: "settle", "CXVAULT_SETTLE",
            "Time between the end of a day, by the clock of the API, and its archiving; RingCentral requires at least 5m and recommends 15m." .or("15m");
        CATCH_UP: "catch_up", "CXVAULT_CATCH_UP",
            "Days back from yesterday in which a run without --date archives what is missing and completes what is unfinished." .or("14d");
        RECHECK_AFTER: "recheck_after", "CXVAULT_RECHECK_AFTER",
            "Ages of days (from their end) at which a run without --date fetches them again, for summaries that were added or changed later."
            .is(List).like("1d,3d,7d");
        SOURCE_RETENTION: "source_retention", "CXVAULT_SOURCE_RETENTION",
            "How long RingCX retains interactions of the account; an older day is never reported as complete." .like("90d");
        KNOWN_WARNINGS: "known_warnings", "CXVAULT_KNOWN_WARNINGS",
            "Warnings that are expected and do not make a run exit with 3 or 6, such as `low-volume`, `first-day-empty`, `summaries-stopped:GROUP` or `unlisted:SUB_ACCOUNT`."
            .is(List).like("low-volume");
    }
    "S3" {
        S3_ENDPOINT: "s3_endpoint", "CXVAULT_S3_ENDPOINT",
            "URL of an S3-compatible service, such as MinIO; if it is not set, Amazon S3." .like("https://minio.example.com:9000");
        S3_REGION: "s3_region", "CXVAULT_S3_REGION",
            "Region of the bucket; if it is not set, the AWS environment decides." .like("eu-central-1");
        S3_PATH_STYLE: "s3_path_style", "CXVAULT_S3_PATH_STYLE",
            "Put the name of the bucket into the path instead of the host name, as MinIO requires." .is(Boolean).or("false");
        S3_KMS_KEY_ID: "s3_kms_key_id", "CXVAULT_S3_KMS_KEY_ID",
            "KMS key that encrypts the objects (SSE-KMS); if it is not set, the default of the bucket." .like("alias/cxvault");
        OBJECT_LOCK: "object_lock", "CXVAULT_OBJECT_LOCK",
            "S3 Object Lock of every object: `governance:2555d`, `compliance:7y`, or `off`." .or("off");
        ALLOW_HTTP: "allow_http", "CXVAULT_ALLOW_HTTP",
            "Allow plain HTTP to other hosts, where it can be read in transit." .is(Boolean).or("false");
    }
    "Anchor" {
        ANCHOR: "anchor", "CXVAULT_ANCHOR",
            "Location where the head of each chain is stored a second time, after each commit: `s3://bucket/prefix`, or the path of a folder. Users who can write to the archive should not have access to it."
            .is(Path).like("s3://anchor-bucket/cxvault").local();
        ANCHOR_S3_ENDPOINT: "anchor_s3_endpoint", "CXVAULT_ANCHOR_S3_ENDPOINT",
            "URL of an S3-compatible service for the anchor; if it is not set, Amazon S3." .like("https://minio.example.com:9000").local();
        ANCHOR_S3_REGION: "anchor_s3_region", "CXVAULT_ANCHOR_S3_REGION",
            "Region of the anchor's bucket; if it is not set, the AWS environment decides." .like("eu-west-1").local();
        ANCHOR_S3_PATH_STYLE: "anchor_s3_path_style", "CXVAULT_ANCHOR_S3_PATH_STYLE",
            "Put the name of the anchor's bucket into the path instead of the host name." .is(Boolean).or("false").local();
        ANCHOR_ACCESS_KEY_ID: "anchor_access_key_id", "CXVAULT_ANCHOR_ACCESS_KEY_ID",
            "Access key id for the anchor; if it is not set, anchor_s3_profile, or else the standard AWS credential chain as for the archive."
            .like("AKIAIOSFODNN7EXAMPLE").local();
        ANCHOR_SECRET_ACCESS_KEY_FILE: "anchor_secret_access_key_file", "CXVAULT_ANCHOR_SECRET_ACCESS_KEY_FILE",
            "File with the secret access key for the anchor; the secret itself can be in CXVAULT_ANCHOR_SECRET_ACCESS_KEY."
            .is(SecretFile { env: "CXVAULT_ANCHOR_SECRET_ACCESS_KEY", inline: "anchor_secret_access_key" })
            .like("/etc/cxvault/anchor_secret_access_key").local();
        ANCHOR_S3_PROFILE: "anchor_s3_profile", "CXVAULT_ANCHOR_S3_PROFILE",
            "Profile of the AWS configuration files whose credentials are used for the anchor." .like("anchor").local();
        ANCHOR_OBJECT_LOCK: "anchor_object_lock", "CXVAULT_ANCHOR_OBJECT_LOCK",
            "S3 Object Lock of every anchor: `governance:2555d`, `compliance:7y`, or `off`." .or("off").local();
        ANCHOR_WEBHOOK_URL_FILE: "anchor_webhook_url_file", "CXVAULT_ANCHOR_WEBHOOK_URL_FILE",
            "File with the URL that receives each head as a JSON message; the URL itself can be in CXVAULT_ANCHOR_WEBHOOK_URL."
            .is(SecretFile { env: "CXVAULT_ANCHOR_WEBHOOK_URL", inline: "anchor_webhook_url" })
            .like("/etc/cxvault/anchor_webhook_url").local();
    }
    "Copy" {
        COPY_ENDPOINT: "copy_endpoint", "CXVAULT_COPY_ENDPOINT",
            "URL of the S3 service that `cxvault copy` writes to; if it is not set, that of the archive. For Amazon S3 it is https://s3.REGION.amazonaws.com."
            .like("https://s3.eu-west-1.amazonaws.com").flag("--to-endpoint").local();
        COPY_REGION: "copy_region", "CXVAULT_COPY_REGION",
            "Region of the copy's bucket; if it is not set, that of the archive." .like("eu-west-1").flag("--to-region").local();
        COPY_PATH_STYLE: "copy_path_style", "CXVAULT_COPY_PATH_STYLE",
            "Put the name of the copy's bucket into the path instead of the host name, as MinIO requires."
            .is(Boolean).or("false").flag("--to-path-style").local();
        COPY_KMS_KEY_ID: "copy_kms_key_id", "CXVAULT_COPY_KMS_KEY_ID",
            "KMS key that encrypts the copy's objects (SSE-KMS)."
            .like("alias/cxvault-copy").flag("--to-kms-key-id").local();
        COPY_PROFILE: "copy_profile", "CXVAULT_COPY_PROFILE",
            "Profile of the AWS configuration files whose credentials write the copy; without it and without the two settings below, the credentials of the archive."
            .like("cxvault-copy").flag("--to-profile").local();
        COPY_ACCESS_KEY_ID: "copy_access_key_id", "CXVAULT_COPY_ACCESS_KEY_ID",
            "Access key id that writes the copy, in place of a profile." .like("AKIAIOSFODNN7EXAMPLE").local();
        COPY_SECRET_ACCESS_KEY_FILE: "copy_secret_access_key_file", "CXVAULT_COPY_SECRET_ACCESS_KEY_FILE",
            "File with the secret access key that writes the copy; the key itself can be in CXVAULT_COPY_SECRET_ACCESS_KEY."
            .is(SecretFile { env: "CXVAULT_COPY_SECRET_ACCESS_KEY", inline: "copy_secret_access_key" })
            .like("/etc/cxvault/copy_secret_access_key").local();
    }
    "Logging" {
        LOG: "log", "CXVAULT_LOG",
            "Lowest level of log lines: off, error, warn, info, debug or trace; for one module as `cxvault::ringcx=debug`." .or("info").flag("-v").local();
        LOG_FORMAT: "log_format", "CXVAULT_LOG_FORMAT",
            "Format of log lines on stderr: `text` or `json`." .or("text").flag("--log-format").local();
    }
    "Telemetry" {
        METRICS_FILE: "metrics_file", "CXVAULT_METRICS_FILE",
            "File that receives the metrics of a run in the Prometheus text format; it is replaced at the end of each run."
            .is(Path).like("/var/lib/node_exporter/cxvault.prom").flag("--metrics-file").local();
        PUSHGATEWAY_URL: "pushgateway_url", "CXVAULT_PUSHGATEWAY_URL",
            "URL of a Prometheus Pushgateway that receives the same metrics; with a path `/metrics/job/...` for that group, otherwise for the group of this host."
            .like("https://pushgateway.example.com:9091").local();
        WEBHOOK_URL_FILE: "webhook_url_file", "CXVAULT_WEBHOOK_URL_FILE",
            "File with the URL that receives a JSON message, which Slack can show, when a run fails or leaves gaps; the URL itself can be in CXVAULT_WEBHOOK_URL."
            .is(SecretFile { env: "CXVAULT_WEBHOOK_URL", inline: "webhook_url" })
            .like("/etc/cxvault/webhook_url").local();
        HEARTBEAT_URL_FILE: "heartbeat_url_file", "CXVAULT_HEARTBEAT_URL_FILE",
            "File with the URL that is requested after each successful run, for a dead man's switch; the URL itself can be in CXVAULT_HEARTBEAT_URL."
            .is(SecretFile { env: "CXVAULT_HEARTBEAT_URL", inline: "heartbeat_url" })
            .like("/etc/cxvault/heartbeat_url").local();
    }
}

/// Names of settings that releases before 1.0 had, each with the present name. They are no aliases: an old name is an
/// error whose message says the new one.
const RENAMED: [(&str, &str); 1] = [("acknowledge", "known_warnings")];

/// Returns the present name of a setting that is no longer called `name`, if there is one.
pub(crate) fn renamed(name: &str) -> Option<&'static str> {
    RENAMED
        .iter()
        .find(|(old, _)| *old == name)
        .map(|(_, new)| *new)
}

/// Returns the setting that is called `name` in the settings file.
pub fn named(name: &str) -> Option<&'static Key> {
    ALL.iter().copied().find(|key| key.name == name)
}

/// Returns the names of all environment variables that are settings.
pub(crate) fn env_names() -> impl Iterator<Item = &'static str> {
    let secrets = ALL.iter().filter_map(|key| match key.syntax {
        SecretFile { env, .. } => Some(env),
        _ => None,
    });
    ALL.iter()
        .map(|key| key.env)
        .chain(secrets)
        .chain([CONFIG_ENV])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_client_has_the_defaults_of_the_table() {
        let default = |key: &Key| match key.default {
            Fallback::Value(text) => text,
            _ => panic!("{} has no default", key.name),
        };
        let seconds = |key: &Key| {
            let text = default(key);
            text.parse::<crate::config::DurationValue>().unwrap().0
        };
        let client = crate::ringcx::ClientSettings::default();
        assert_eq!(client.request_timeout, seconds(&REQUEST_TIMEOUT));
        assert_eq!(client.token_life, seconds(&TOKEN_LIFE));
        assert_eq!(client.max_attempts.to_string(), default(&MAX_ATTEMPTS));
        assert_eq!(client.platform_url, default(&PLATFORM_URL));
        assert_eq!(client.ringcx_url, default(&RINGCX_URL));
        assert_eq!(client.summaries_url, default(&SUMMARIES_URL));
        assert_eq!(client.summary_limits.to_string(), default(&SUMMARY_LIMITS));
        assert_eq!(
            client.discovery_limits.to_string(),
            default(&DISCOVERY_LIMITS)
        );
        assert_eq!(client.token_limits.to_string(), default(&TOKEN_LIMITS));
    }

    #[test]
    fn names_are_unique_and_of_one_form() {
        let unique: BTreeSet<_> = env_names().collect();
        assert_eq!(unique.len(), env_names().count());
        let names: BTreeSet<_> = ALL.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), ALL.len());
        for key in ALL.iter().filter(|key| key.name != "name") {
            assert_eq!(key.env, format!("CXVAULT_{}", key.name.to_uppercase()));
        }
        for key in ALL {
            assert!(
                !key.example.is_empty() && key.doc.ends_with('.'),
                "{}",
                key.name
            );
        }
    }
}
