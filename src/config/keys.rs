//! Every setting there is, in one table. Reading, `cxvault init`, `cxvault config`, suggestions and the README's
//! table all come from it, so that none of them can forget a key.

/// How a value is written in the TOML file; everywhere else it is one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    Text,
    Integer,
    Boolean,
    /// An array of texts; elsewhere with commas between.
    List,
    /// A table of texts; elsewhere `key=value` with commas between.
    Table,
    /// A file or folder; a relative one in the settings file counts from that file's folder.
    Path,
    /// The path of a file that holds a secret; the secret itself can be in the environment.
    SecretFile {
        /// The variable with the secret itself.
        env: &'static str,
        /// What the secret would be called in the file, where it must not be.
        inline: &'static str,
    },
}

/// Whom a key is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyScope {
    /// The whole program.
    Program,
    /// Every account; on top of the file, a default for all of them.
    Account,
    /// One account and no other: on top of the file, or in the environment, only while there is just one.
    OneAccount,
}

/// What holds when a key is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    Nothing,
    Value(&'static str),
    /// Found out on the machine; the text says how.
    Computed(&'static str),
}

/// One setting. Its names are promises: people script against them.
#[derive(Debug)]
pub struct Key {
    /// Heading under which documents list it.
    pub section: &'static str,
    /// In the file.
    pub name: &'static str,
    pub env: &'static str,
    /// The usual flag, for documents; [`crate::cli`] has them all.
    pub flag: Option<&'static str>,
    pub syntax: Syntax,
    pub scope: KeyScope,
    pub default: Fallback,
    /// A value as one would write it.
    pub example: &'static str,
    /// One sentence for users, with the unit.
    pub doc: &'static str,
    /// Whether it is a matter of this host and says nothing about what is archived, so that it is left out of
    /// the settings digest.
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

    /// What the value itself is called, where the key is about a file with it.
    pub fn inline_name(&self) -> &'static str {
        match self.syntax {
            Syntax::SecretFile { inline, .. } => inline,
            _ => self.name,
        }
    }

    /// The variable with the value itself, where the key is about a file with it.
    pub fn inline_env(&self) -> &'static str {
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

/// The variable that names the settings file. No key: a file cannot name itself.
pub const CONFIG_ENV: &str = "CXVAULT_CONFIG";

/// Declares the keys and the table of them all.
macro_rules! keys {
    ($($section:literal { $($ident:ident: $name:literal, $env:literal, $doc:literal $(. $method:ident($($arg:expr),*))*;)+ })+) => {
        $($(
            #[doc = $doc]
            pub static $ident: Key = Key::new($section, $name, $env, $doc)$(.$method($($arg),*))*;
        )+)+

        /// Every key, in the order in which documents show them.
        pub static ALL: &[&Key] = &[$($(&$ident),+),+];
    };
}

use KeyScope::{Account, OneAccount};
use Syntax::{Boolean, Integer, List, Path, SecretFile, Table};

keys! {
    "Archive" {
        ARCHIVE: "archive", "CXVAULT_ARCHIVE",
            "Where the archive is kept: `s3://bucket/prefix`, or a folder."
            .is(Path).or("./cxvault-archive").like("s3://my-bucket/ringcx").flag("--archive");
        STATE_DIR: "state_dir", "CXVAULT_STATE_DIR",
            "Folder for what is observed and not yet committed, and for the request ledger; losing it costs time, never correctness."
            .is(Path).or_computed("~/.local/state/cxvault").flag("--state-dir").local();
        SIGNING_KEY_FILE: "signing_key_file", "CXVAULT_SIGNING_KEY_FILE",
            "Ed25519 key that signs manifests and parts; make one with `cxvault keygen`."
            .is(Path).like("/etc/cxvault/signing.key").local();
        ALLOWED_SIGNERS_FILE: "allowed_signers_file", "CXVAULT_ALLOWED_SIGNERS_FILE",
            "OpenSSH allowed_signers file: whose signatures count, beside the signing key's own."
            .is(Path).like("/etc/cxvault/allowed_signers").local();
        PART_ROWS: "part_rows", "CXVAULT_PART_ROWS",
            "A Parquet part ends at this many segments." .is(Integer).or("250000");
        PART_BYTES: "part_bytes", "CXVAULT_PART_BYTES",
            "A Parquet part ends at about this size, before compression; at most 4GiB." .or("256MiB");
        OMIT_FIELDS: "omit_fields", "CXVAULT_OMIT_FIELDS",
            "Metadata fields, by the API's names, that are left out of every segment before anything is kept of it; manifests name them."
            .is(List).like("contactEndpointAddress,agentNotes");
    }
    "Account" {
        NAME: "name", "CXVAULT_ACCOUNT_NAME",
            "What messages call the account." .of(OneAccount).or_computed("default").like("main");
        CLIENT_ID: "client_id", "CXVAULT_CLIENT_ID",
            "Client id of the RingCentral app with JWT grant and scope ReadAccounts."
            .of(OneAccount).like("AbCdEfGhIjKlMnOpQrStUv");
        CLIENT_SECRET_FILE: "client_secret_file", "CXVAULT_CLIENT_SECRET_FILE",
            "File with the app's client secret; the secret itself can be in CXVAULT_CLIENT_SECRET."
            .is(SecretFile { env: "CXVAULT_CLIENT_SECRET", inline: "client_secret" }).of(OneAccount)
            .like("/etc/cxvault/client_secret").local();
        JWT_FILE: "jwt_file", "CXVAULT_JWT_FILE",
            "File with the user's JWT credential; the credential itself can be in CXVAULT_JWT."
            .is(SecretFile { env: "CXVAULT_JWT", inline: "jwt" }).of(OneAccount)
            .like("/etc/cxvault/jwt").local();
        RINGCX_TOKEN_FILE: "ringcx_token_file", "CXVAULT_RINGCX_TOKEN_FILE",
            "File with a ready RingCX access token, in place of the three above; the token itself can be in CXVAULT_RINGCX_TOKEN. It lives five minutes, so this is for trials."
            .is(SecretFile { env: "CXVAULT_RINGCX_TOKEN", inline: "ringcx_token" }).of(OneAccount)
            .like("/run/cxvault/token").local();
        RC_ACCOUNT_ID: "rc_account_id", "CXVAULT_RC_ACCOUNT_ID",
            "RingCentral account id; without it the API is asked." .of(OneAccount).like("1234567890");
        SUB_ACCOUNTS: "sub_accounts", "CXVAULT_SUB_ACCOUNTS",
            "Sub-accounts to archive; without it all that the API lists."
            .is(List).of(OneAccount).like("99999999").flag("--sub-account");
        TIME_ZONE: "time_zone", "CXVAULT_TIME_ZONE",
            "Zone whose calendar days are archived; a sub-account's first manifest fixes it for good."
            .of(Account).or("UTC").flag("--time-zone");
        TIME_ZONES: "time_zones", "CXVAULT_TIME_ZONES",
            "Zones of single sub-accounts, which differ from time_zone."
            .is(Table).of(OneAccount).like("99999999=America/New_York");
        CHANNEL_CLASSES: "channel_classes", "CXVAULT_CHANNEL_CLASSES",
            "Fetch summaries of these channel classes only; other segments become rows marked SKIPPED."
            .is(List).of(Account).like("VOICE");
        SEGMENT_TYPES: "segment_types", "CXVAULT_SEGMENT_TYPES",
            "Fetch summaries of these segment types only; other segments become rows marked SKIPPED."
            .is(List).of(Account).like("AGENT");
    }
    "API" {
        PLATFORM_URL: "platform_url", "CXVAULT_PLATFORM_URL",
            "RingCentral platform, for OAuth." .or("https://platform.ringcentral.com");
        RINGCX_URL: "ringcx_url", "CXVAULT_RINGCX_URL",
            "RingCX, for tokens and discovery." .or("https://ringcx.ringcentral.com");
        SUMMARIES_URL: "summaries_url", "CXVAULT_SUMMARIES_URL",
            "Summaries." .or("https://engage.ringcentral.com");
        SUMMARY_LIMITS: "summary_limits", "CXVAULT_SUMMARY_LIMITS",
            "Summary requests per window, agent's and AI's together; `off` for none." .or("120/60s");
        SUMMARY_LIMIT_SCOPE: "summary_limit_scope", "CXVAULT_SUMMARY_LIMIT_SCOPE",
            "What summary_limits count over: `credential` or `sub-account`." .or("credential");
        DISCOVERY_LIMITS: "discovery_limits", "CXVAULT_DISCOVERY_LIMITS",
            "Discovery requests per window, for each sub-account." .or("3/60s,9/15m");
        TOKEN_LIMITS: "token_limits", "CXVAULT_TOKEN_LIMITS",
            "Token exchanges per window." .or("5/60s");
        QUOTA_SHARE: "quota_share", "CXVAULT_QUOTA_SHARE",
            "This machine's share of all three limits, where several machines ask with the same credentials: `1/3` on each of three."
            .or("1").local();
        TOKEN_LIFE: "token_life", "CXVAULT_TOKEN_LIFE",
            "How long a RingCX token lives; it is renewed before." .or("5m");
        CONCURRENCY: "concurrency", "CXVAULT_CONCURRENCY",
            "Summary requests in flight at once, 1 to 1024." .is(Integer).or("16");
        MAX_ATTEMPTS: "max_attempts", "CXVAULT_MAX_ATTEMPTS",
            "Tries of one request before it counts as failed, 1 to 100." .is(Integer).or("6");
        REQUEST_TIMEOUT: "request_timeout", "CXVAULT_REQUEST_TIMEOUT",
            "One request may take this long." .or("60s");
        MAX_SUMMARY_BYTES: "max_summary_bytes", "CXVAULT_MAX_SUMMARY_BYTES",
            "A longer summary is a failure; at most 256MiB." .or("4MiB");
    }
    "Days" {
        SETTLE: "settle", "CXVAULT_SETTLE",
            "A day is archived this long after its end, by the API's clock; the vendor asks for at least 5m and advises 15m." .or("15m");
        CATCH_UP: "catch_up", "CXVAULT_CATCH_UP",
            "Without --date, unsealed and unfinished days this far back are made up for." .or("14d");
        RECHECK_AFTER: "recheck_after", "CXVAULT_RECHECK_AFTER",
            "Ages of days (from their end) at which a run without --date looks at them again, for summaries that came or changed later."
            .is(List).like("1d,3d,7d");
        SOURCE_RETENTION: "source_retention", "CXVAULT_SOURCE_RETENTION",
            "How far back the account keeps interactions; an older day is never called complete." .like("90d");
        KNOWN_WARNINGS: "known_warnings", "CXVAULT_KNOWN_WARNINGS",
            "Warnings that are known and shall not make a run exit 3 or 6, such as `low-volume`, `first-day-empty`, `summaries-stopped:GROUP`, `unlisted:SUB_ACCOUNT`."
            .is(List).like("low-volume");
    }
    "S3" {
        S3_ENDPOINT: "s3_endpoint", "CXVAULT_S3_ENDPOINT",
            "S3 service other than Amazon's, such as MinIO." .like("https://minio.example.com:9000");
        S3_REGION: "s3_region", "CXVAULT_S3_REGION",
            "Region; without it the AWS environment decides." .like("eu-central-1");
        S3_PATH_STYLE: "s3_path_style", "CXVAULT_S3_PATH_STYLE",
            "Put the bucket into the path instead of the host name, as MinIO wants it." .is(Boolean).or("false");
        S3_KMS_KEY_ID: "s3_kms_key_id", "CXVAULT_S3_KMS_KEY_ID",
            "KMS key that encrypts the objects (SSE-KMS)." .like("alias/cxvault");
        OBJECT_LOCK: "object_lock", "CXVAULT_OBJECT_LOCK",
            "Object Lock of every object: `governance:2555d`, `compliance:7y`, or `off`; S3 only." .or("off");
        ALLOW_HTTP: "allow_http", "CXVAULT_ALLOW_HTTP",
            "Allow plain HTTP to other machines, where anybody on the way can read it." .is(Boolean).or("false");
    }
    "Anchor" {
        ANCHOR: "anchor", "CXVAULT_ANCHOR",
            "Where the head of each chain is kept a second time, after each commit: `s3://bucket/prefix`, or a folder; out of reach of whoever can write to the archive."
            .is(Path).like("s3://anchor-bucket/cxvault").local();
        ANCHOR_S3_ENDPOINT: "anchor_s3_endpoint", "CXVAULT_ANCHOR_S3_ENDPOINT",
            "The anchor's S3 service, if other than Amazon's." .like("https://minio.example.com:9000").local();
        ANCHOR_S3_REGION: "anchor_s3_region", "CXVAULT_ANCHOR_S3_REGION",
            "The anchor's region; without it the AWS environment decides." .like("eu-west-1").local();
        ANCHOR_S3_PATH_STYLE: "anchor_s3_path_style", "CXVAULT_ANCHOR_S3_PATH_STYLE",
            "Put the anchor's bucket into the path instead of the host name." .is(Boolean).or("false").local();
        ANCHOR_ACCESS_KEY_ID: "anchor_access_key_id", "CXVAULT_ANCHOR_ACCESS_KEY_ID",
            "Access key of the anchor; without it anchor_s3_profile, else the standard AWS chain as for the archive."
            .like("AKIAIOSFODNN7EXAMPLE").local();
        ANCHOR_SECRET_ACCESS_KEY_FILE: "anchor_secret_access_key_file", "CXVAULT_ANCHOR_SECRET_ACCESS_KEY_FILE",
            "File with that key's secret; the secret itself can be in CXVAULT_ANCHOR_SECRET_ACCESS_KEY."
            .is(SecretFile { env: "CXVAULT_ANCHOR_SECRET_ACCESS_KEY", inline: "anchor_secret_access_key" })
            .like("/etc/cxvault/anchor_secret_access_key").local();
        ANCHOR_S3_PROFILE: "anchor_s3_profile", "CXVAULT_ANCHOR_S3_PROFILE",
            "Profile of the AWS configuration files with which the anchor is reached." .like("anchor").local();
        ANCHOR_OBJECT_LOCK: "anchor_object_lock", "CXVAULT_ANCHOR_OBJECT_LOCK",
            "Object Lock of every anchor: `governance:2555d`, `compliance:7y`, or `off`; S3 only." .or("off").local();
        ANCHOR_WEBHOOK_URL_FILE: "anchor_webhook_url_file", "CXVAULT_ANCHOR_WEBHOOK_URL_FILE",
            "File with the URL that gets each head as a JSON message; the URL itself can be in CXVAULT_ANCHOR_WEBHOOK_URL."
            .is(SecretFile { env: "CXVAULT_ANCHOR_WEBHOOK_URL", inline: "anchor_webhook_url" })
            .like("/etc/cxvault/anchor_webhook_url").local();
    }
    "Copy" {
        COPY_ENDPOINT: "copy_endpoint", "CXVAULT_COPY_ENDPOINT",
            "S3 service that `cxvault copy` writes to, where it is not the archive's own; Amazon's is https://s3.REGION.amazonaws.com."
            .like("https://s3.eu-west-1.amazonaws.com").flag("--to-endpoint").local();
        COPY_REGION: "copy_region", "CXVAULT_COPY_REGION",
            "Region of the copy, where it is not the archive's own." .like("eu-west-1").flag("--to-region").local();
        COPY_PATH_STYLE: "copy_path_style", "CXVAULT_COPY_PATH_STYLE",
            "Put the copy's bucket into the path instead of the host name, as MinIO wants it."
            .is(Boolean).or("false").flag("--to-path-style").local();
        COPY_KMS_KEY_ID: "copy_kms_key_id", "CXVAULT_COPY_KMS_KEY_ID",
            "KMS key that encrypts the copy's objects (SSE-KMS)."
            .like("alias/cxvault-copy").flag("--to-kms-key-id").local();
        COPY_PROFILE: "copy_profile", "CXVAULT_COPY_PROFILE",
            "AWS profile whose credentials write the copy; without it and the two below, the archive's own."
            .like("cxvault-copy").flag("--to-profile").local();
        COPY_ACCESS_KEY_ID: "copy_access_key_id", "CXVAULT_COPY_ACCESS_KEY_ID",
            "Access key id that writes the copy, in place of a profile." .like("AKIAIOSFODNN7EXAMPLE").local();
        COPY_SECRET_ACCESS_KEY_FILE: "copy_secret_access_key_file", "CXVAULT_COPY_SECRET_ACCESS_KEY_FILE",
            "File with its secret access key; the key itself can be in CXVAULT_COPY_SECRET_ACCESS_KEY."
            .is(SecretFile { env: "CXVAULT_COPY_SECRET_ACCESS_KEY", inline: "copy_secret_access_key" })
            .like("/etc/cxvault/copy_secret_access_key").local();
    }
    "Logging" {
        LOG: "log", "CXVAULT_LOG",
            "Least level of log lines: off, error, warn, info, debug or trace; for one module as `cxvault::ringcx=debug`." .or("info").flag("-v").local();
        LOG_FORMAT: "log_format", "CXVAULT_LOG_FORMAT",
            "Form of log lines on stderr: `text` or `json`." .or("text").flag("--log-format").local();
    }
    "Telemetry" {
        METRICS_FILE: "metrics_file", "CXVAULT_METRICS_FILE",
            "File for what a run did, in Prometheus's text format; replaced at its end."
            .is(Path).like("/var/lib/node_exporter/cxvault.prom").flag("--metrics-file").local();
        PUSHGATEWAY_URL: "pushgateway_url", "CXVAULT_PUSHGATEWAY_URL",
            "Prometheus push gateway that gets the same; with a path `/metrics/job/...` that group, otherwise this host's."
            .like("https://pushgateway.example.com:9091").local();
        WEBHOOK_URL_FILE: "webhook_url_file", "CXVAULT_WEBHOOK_URL_FILE",
            "File with the URL that gets a JSON message, which fits Slack, when a run fails or leaves gaps; the URL itself can be in CXVAULT_WEBHOOK_URL."
            .is(SecretFile { env: "CXVAULT_WEBHOOK_URL", inline: "webhook_url" })
            .like("/etc/cxvault/webhook_url").local();
        HEARTBEAT_URL_FILE: "heartbeat_url_file", "CXVAULT_HEARTBEAT_URL_FILE",
            "File with the URL that a good run asks for, as dead man's switches want it; the URL itself can be in CXVAULT_HEARTBEAT_URL."
            .is(SecretFile { env: "CXVAULT_HEARTBEAT_URL", inline: "heartbeat_url" })
            .like("/etc/cxvault/heartbeat_url").local();
    }
}

/// Names of settings that releases before 1.0 had, each with the present name. They are no aliases: an old name is an
/// error whose message says the new one.
const RENAMED: [(&str, &str); 1] = [("acknowledge", "known_warnings")];

/// Returns the present name of a setting that is no longer called `name`, if there is one.
pub fn renamed(name: &str) -> Option<&'static str> {
    RENAMED
        .iter()
        .find(|(old, _)| *old == name)
        .map(|(_, new)| *new)
}

/// The key of that name in the file.
pub fn named(name: &str) -> Option<&'static Key> {
    ALL.iter().copied().find(|key| key.name == name)
}

/// Every environment name with a meaning here.
pub fn env_names() -> impl Iterator<Item = &'static str> {
    let secret = |key: &&Key| match key.syntax {
        SecretFile { env, .. } => Some(env),
        _ => None,
    };
    ALL.iter()
        .map(|key| key.env)
        .chain(ALL.iter().filter_map(secret))
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
