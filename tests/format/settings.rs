//! Settings as users write them: which source wins, what is refused with which message, and that
//! secrets stay secret.

use std::fs;
use std::path::PathBuf;

use cxvault::config::keys;
use cxvault::config::keys::{Fallback, Syntax};
use cxvault::config::{
    CredentialSettings, Environment, Flags, InForce, Loaded, LogFormat, Origin, Settings, document,
};
use cxvault::format::place::location::Location;
use cxvault::outcome::{Exit, Failure};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

/// A home folder, and a settings file in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Home(TempDir::new().unwrap())
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn env(&self, pairs: &[(&str, &str)]) -> Environment {
        let home = [("HOME", self.0.path().to_str().unwrap())];
        Environment::from_pairs(home.into_iter().chain(pairs.iter().copied()))
    }

    /// Loads the settings with `toml` in the settings file.
    fn load(&self, toml: &str, env: &[(&str, &str)]) -> Result<Loaded, Failure> {
        self.load_with(toml, env, &Flags::default())
    }

    fn load_with(
        &self,
        toml: &str,
        env: &[(&str, &str)],
        flags: &Flags,
    ) -> Result<Loaded, Failure> {
        self.file(".config/cxvault/config.toml", toml);
        Settings::load(flags, &self.env(env))
    }
}

fn settings(toml: &str, env: &[(&str, &str)]) -> Settings {
    Home::new()
        .load(toml, env)
        .unwrap_or_else(|failure| panic!("{failure}"))
        .settings
}

/// Loads settings that must be refused, and returns the whole message.
fn refused(toml: &str, env: &[(&str, &str)]) -> String {
    let failure = Home::new().load(toml, env).expect_err(toml);
    assert_eq!(failure.exit, Exit::Usage, "{failure}");
    assert!(failure.remedy.is_some(), "no remedy: {failure}");
    failure.to_string()
}

fn in_force<'a>(loaded: &'a Loaded, key: &str) -> &'a InForce {
    loaded
        .in_force
        .iter()
        .find(|one| one.key.name == key)
        .unwrap()
}

/// For every key that is not a secret: a value for the file (as TOML), and another for the
/// environment.
const SAMPLES: [(&str, &str, &str); 56] = [
    ("archive", "'s3://bucket/a'", "s3://bucket/b"),
    ("state_dir", "'/state/a'", "/state/b"),
    ("signing_key_file", "'/keys/a'", "/keys/b"),
    ("allowed_signers_file", "'/keys/c'", "/keys/d"),
    ("signer_identity", "'archive@a'", "archive@b"),
    ("part_rows", "1000", "2000"),
    ("part_bytes", "'1MiB'", "2MiB"),
    (
        "omit_fields",
        "['agentNotes']",
        "contactEndpointAddress,agentNotes",
    ),
    ("name", "'north'", "south"),
    ("client_id", "'id-a'", "id-b"),
    ("rc_account_id", "'111'", "222"),
    ("sub_accounts", "['1', '2']", "1,3"),
    ("time_zone", "'US/Eastern'", "Europe/Berlin"),
    ("time_zones", "{ 1 = 'US/Pacific' }", "1=Asia/Tokyo"),
    ("channel_classes", "['VOICE']", "DIGITAL"),
    ("segment_types", "['AGENT', 'BOT']", "IVR"),
    ("platform_url", "'https://a.example'", "https://b.example"),
    ("ringcx_url", "'https://a.example'", "https://b.example"),
    ("summaries_url", "'https://a.example'", "https://b.example"),
    ("summary_limits", "'240/60s'", "off"),
    ("summary_limit_scope", "'sub-account'", "credential"),
    ("discovery_limits", "'off'", "1/60s,2/15m"),
    ("token_limits", "'off'", "1/60s"),
    ("quota_share", "'1/2'", "1/3"),
    ("token_life", "'4m'", "3m"),
    ("concurrency", "1", "1024"),
    ("max_attempts", "3", "4"),
    ("request_timeout", "'10s'", "20s"),
    ("max_summary_bytes", "'1MiB'", "2MiB"),
    ("settle", "'20m'", "30m"),
    ("catch_up", "'3d'", "4d"),
    ("recheck_after", "['1d', '7d']", "3d"),
    ("source_retention", "'30d'", "90d"),
    (
        "known_warnings",
        "['low-volume']",
        "first-day-empty,summaries-stopped:Sales",
    ),
    (
        "s3_endpoint",
        "'http://127.0.0.1:9000'",
        "https://minio.example",
    ),
    ("s3_region", "'eu-central-1'", "us-east-1"),
    ("s3_path_style", "true", "false"),
    ("s3_kms_key_id", "'alias/a'", "alias/b"),
    ("object_lock", "'compliance:7y'", "governance:2555d"),
    ("allow_http", "true", "false"),
    ("anchor", "'s3://anchor/a'", "s3://anchor/b"),
    (
        "anchor_s3_endpoint",
        "'http://127.0.0.1:9000'",
        "https://minio.example",
    ),
    ("anchor_s3_region", "'eu-central-1'", "us-east-1"),
    ("anchor_s3_path_style", "true", "false"),
    ("anchor_access_key_id", "'id-a'", "id-b"),
    ("anchor_s3_profile", "'away'", "far-away"),
    ("anchor_object_lock", "'compliance:7y'", "governance:2555d"),
    (
        "copy_endpoint",
        "'http://127.0.0.1:9000'",
        "https://minio.example",
    ),
    ("copy_region", "'eu-central-1'", "us-east-1"),
    ("copy_path_style", "true", "false"),
    ("copy_kms_key_id", "'alias/a'", "alias/b"),
    ("copy_profile", "'a'", "b"),
    ("copy_access_key_id", "'AKIA'", "AKIB"),
    ("log", "'debug'", "warn,cxvault::ringcx=trace"),
    ("metrics_file", "'/metrics/a.prom'", "/metrics/b.prom"),
    (
        "pushgateway_url",
        "'https://a.example'",
        "https://b.example",
    ),
];

#[test]
fn every_key_obeys_environment_over_file_over_default() {
    let plain = |key: &&&keys::Key| {
        !matches!(key.syntax, Syntax::SecretFile { .. }) && key.name != "log_format"
    };
    let all: Vec<_> = keys::ALL.iter().filter(plain).map(|key| key.name).collect();
    assert_eq!(
        SAMPLES.map(|(name, ..)| name).to_vec(),
        all,
        "a key has no sample"
    );
    for (name, toml, other) in SAMPLES {
        let key = keys::named(name).unwrap();
        // Settings that the samples of other keys need: a lock needs S3, and a key id needs its
        // secret, which is refused alone.
        let base = if name == "object_lock" {
            "archive = 's3://bucket/p'\n"
        } else {
            ""
        };
        let pair = match name {
            "anchor_access_key_id" => "anchor_secret_access_key_file = '~/secret'\n",
            _ => "",
        };
        let home = Home::new();
        home.file("secret", "s");
        let by_default = home.load(base, &[]).unwrap();
        let expected = match key.default {
            Fallback::Value(value) => Some(value),
            Fallback::Computed(_) | Fallback::Nothing => None,
        };
        if let Some(expected) = expected {
            assert_eq!(
                in_force(&by_default, name).value.as_deref(),
                Some(expected),
                "{name}"
            );
        }
        let by_file = home
            .load(&format!("{base}{pair}{name} = {toml}"), &[])
            .unwrap();
        let from_file = in_force(&by_file, name);
        assert!(
            matches!(from_file.origin, Origin::File { .. }),
            "{name}: {from_file:?}"
        );
        assert_ne!(from_file.value, in_force(&by_default, name).value, "{name}");
        let by_env = home
            .load(&format!("{base}{pair}{name} = {toml}"), &[(key.env, other)])
            .unwrap();
        let from_env = in_force(&by_env, name);
        assert_eq!(from_env.value.as_deref(), Some(other));
        assert_eq!(from_env.origin, Origin::Environment(key.env));
    }
}

#[test]
fn flags_win_in_every_combination() {
    let home = Home::new();
    for layers in 0..8 {
        let [flag, env, file] = [1, 2, 4].map(|bit| layers & bit != 0);
        let mut flags = Flags::default();
        if flag {
            flags.set(&keys::ARCHIVE, "--archive", "s3://bucket/flag");
            flags.set(&keys::SUB_ACCOUNTS, "--sub-account", "1");
            flags.set(&keys::LOG_FORMAT, "--log-format", "json");
        }
        let env_pairs: &[_] = match env {
            true => &[
                ("CXVAULT_ARCHIVE", "s3://bucket/env"),
                ("CXVAULT_SUB_ACCOUNTS", "2"),
                ("CXVAULT_LOG_FORMAT", "text"),
            ],
            false => &[],
        };
        let toml = if file {
            "archive = 's3://bucket/file'\nsub_accounts = ['3']\nlog_format = 'json'"
        } else {
            ""
        };
        let settings = home.load_with(toml, env_pairs, &flags).unwrap().settings;
        let (archive, sub_accounts, format): (_, &[&str], _) = match (flag, env, file) {
            (true, ..) => ("s3://bucket/flag", &["1"], LogFormat::Json),
            (_, true, _) => ("s3://bucket/env", &["2"], LogFormat::Text),
            (_, _, true) => ("s3://bucket/file", &["3"], LogFormat::Json),
            _ => ("./cxvault-archive", &[], LogFormat::Text),
        };
        assert_eq!(settings.archive.to_string(), archive);
        assert_eq!(settings.accounts[0].sub_accounts, sub_accounts);
        assert_eq!(settings.logging.format, format);
    }
}

#[test]
fn the_settings_file_is_named_by_flag_then_environment_then_place() {
    let home = Home::new();
    home.file(".config/cxvault/config.toml", "concurrency = 1");
    let by_env = home.file("env.toml", "concurrency = 2");
    let by_flag = home.file("flag.toml", "concurrency = 3");
    let load = |env: &[(&str, &str)], flags: &Flags| {
        let loaded = Settings::load(flags, &home.env(env)).unwrap();
        (loaded.settings.concurrency, loaded.file.unwrap().1)
    };
    assert_eq!(load(&[], &Flags::default()), (1, "the usual path"));
    assert_eq!(
        load(&[("CXVAULT_CONFIG", &by_env)], &Flags::default()),
        (2, "CXVAULT_CONFIG")
    );
    let mut flags = Flags::default();
    flags.config = Some(PathBuf::from(by_flag));
    assert_eq!(
        load(&[("CXVAULT_CONFIG", &by_env)], &flags),
        (3, "--config")
    );

    let failure = Settings::load(
        &Flags::default(),
        &home.env(&[("CXVAULT_CONFIG", "/no/such")]),
    )
    .unwrap_err();
    assert!(failure.to_string().contains("/no/such"), "{failure}");
}

#[test]
fn paths_in_the_file_count_from_its_folder() {
    let home = Home::new();
    let folder = home.0.path().join(".config/cxvault");
    let loaded = home
        .load(
            "archive = './a'\nstate_dir = '~/s'\nsigning_key_file = 'keys/k'",
            &[],
        )
        .unwrap();
    assert_eq!(loaded.settings.archive, Location::Folder(folder.join("a")));
    assert_eq!(loaded.settings.state_dir, home.0.path().join("s"));
    assert_eq!(
        loaded.settings.signing_key_file,
        Some(folder.join("keys/k"))
    );
    let loaded = home.load("", &[("CXVAULT_ARCHIVE", "./a")]).unwrap();
    assert_eq!(loaded.settings.archive.to_string(), "./a");
    assert_eq!(
        loaded.settings.state_dir,
        home.0.path().join(".local/state/cxvault")
    );
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    assert_eq!(
        settings("concurrency = 3", &[("CXVAULT_CONCURRENCY", "")]).concurrency,
        3
    );
}

#[test]
fn bad_files_are_refused_in_clear_words() {
    let cases = [
        ("archive = ", &["line 1", "not TOML"][..]),
        (
            "\n\ntime_zon = 'UTC'",
            &["line 3", "`time_zon` is not a setting", "`time_zone`"],
        ),
        (
            "bucket = 'x'",
            &["`bucket` is not a setting", "cxvault config"],
        ),
        (
            "time_zone = 'US/Estern'",
            &["line 1", "`time_zone`", "`US/Eastern`"],
        ),
        ("concurrency = 0", &["`0`", "between 1 and 1024"]),
        (
            "concurrency = [1]",
            &["`concurrency`", "not an array", "concurrency = 16"],
        ),
        ("settle = 15", &["`15` is not a duration", "15m"]),
        ("settle = 1.5", &["in quotes"]),
        ("request_timeout = '0s'", &["longer than zero"]),
        ("catch_up = '24h'", &["days", "14d"]),
        ("part_bytes = '256MB'", &["`256MB`", "MiB"]),
        ("part_bytes = '5GiB'", &["between 1KiB and 4GiB"]),
        (
            "summary_limits = '120'",
            &["`120` is not a limit", "120/60s"],
        ),
        ("summary_limit_scope = 'both'", &["credential, sub-account"]),
        ("sub_accounts = ['a/b']", &["`a/b` is not an id"]),
        ("sub_accounts = ['1,2']", &["element with a comma"]),
        ("channel_classes = ['VOCE']", &["did you mean `VOICE`?"]),
        ("object_lock = 'goverance:1d'", &["is not an object lock"]),
        (
            "object_lock = 'governance:2555d'",
            &["a folder, which has no Object Lock"],
        ),
        (
            "archive = 'gs://bucket'",
            &["only S3 and folders are supported"],
        ),
        (
            "ringcx_url = 'http://ringcx.example'",
            &["ringcx_url is plain HTTP", "CXVAULT_ALLOW_HTTP"],
        ),
        (
            "s3_endpoint = 'http://minio.example:9000'",
            &["s3_endpoint is plain HTTP"],
        ),
        (
            "known_warnings = ['low-volumes']",
            &["did you mean `low-volume`?"],
        ),
        (
            "acknowledge = ['low-volume']",
            &[
                "line 1",
                "`acknowledge` is not a setting",
                "`known_warnings`",
            ],
        ),
        ("log = 'debg'", &["`debg` is not a log level"]),
        ("[account]\nname = 'a'", &["line 1", "two brackets"]),
        (
            "[[account]]\nsettle = '1m'",
            &["line 2", "`settle` is not a setting of an account"],
        ),
        ("[[account]]\nnme = 'a'", &["line 2", "`name`"]),
        (
            "client_id = 'a'\n[[account]]\nname = 'a'",
            &["line 1", "outside of [[account]]"],
        ),
        (
            "[[account]]\nname = 'a'\n[[account]]\nname = 'a'",
            &["two accounts are called `a`"],
        ),
        (
            "[[account]]\nsub_accounts=['1']\n[[account]]\nsub_accounts=['1']",
            &["`1` belongs to two accounts"],
        ),
        (
            "sub_accounts = ['1']\ntime_zones = { 2 = 'UTC' }",
            &["`2` is none of the account's sub_accounts"],
        ),
        (
            "anchor = 'gs://bucket'",
            &["line 1", "only S3 and folders are supported"],
        ),
        (
            "anchor = './a'\nanchor_object_lock = 'compliance:7y'",
            &["a folder, which has no Object Lock"],
        ),
        (
            "archive = 's3://bucket'\nanchor = 's3://bucket/x'",
            &["the anchor s3://bucket/x is inside of the archive s3://bucket"],
        ),
        (
            "anchor_s3_endpoint = 'http://minio.example:9000'",
            &["anchor_s3_endpoint is plain HTTP"],
        ),
        (
            "anchor_access_key_id = 'a'",
            &[
                "anchor_access_key_id is set",
                "CXVAULT_ANCHOR_SECRET_ACCESS_KEY",
            ],
        ),
        (
            "time_zones = { 2 = 'UTCC' }",
            &["`UTCC` is not a time zone"],
        ),
    ];
    for (toml, expected) in cases {
        let message = refused(toml, &[]);
        for part in expected {
            assert!(
                message.contains(part),
                "{toml}\nsays:   {message}\nlacks:  {part}"
            );
        }
    }
}

#[test]
fn bad_variables_are_refused_by_their_name() {
    let cases = [
        (
            &[("CXVAULT_SUBACCOUNTS", "1")][..],
            &["CXVAULT_SUBACCOUNTS", "CXVAULT_SUB_ACCOUNTS"][..],
        ),
        (&[("CXVAULT_FOO", "1")], &["CXVAULT_FOO is not a setting"]),
        (
            &[("CXVAULT_ACKNOWLEDGE", "low-volume")],
            &[
                "CXVAULT_ACKNOWLEDGE",
                "set that variable",
                "CXVAULT_KNOWN_WARNINGS",
            ],
        ),
        (
            &[("CXVAULT_TIME_ZONE", "Berlin/Europe")],
            &["CXVAULT_TIME_ZONE: ", "is not a time zone"],
        ),
        (
            &[("CXVAULT_S3_PATH_STYLE", "yes")],
            &["CXVAULT_S3_PATH_STYLE", "true nor false"],
        ),
        (
            &[("CXVAULT_TIME_ZONES", "1")],
            &["CXVAULT_TIME_ZONES", "SUB_ACCOUNT=ZONE"],
        ),
        (
            &[("CXVAULT_JWT", "a"), ("CXVAULT_JWT_FILE", "/x")],
            &["CXVAULT_JWT and CXVAULT_JWT_FILE are both set"],
        ),
        (
            &[("CXVAULT_RINGCX_TOKEN", "a"), ("CXVAULT_JWT", "b")],
            &["two kinds of credentials"],
        ),
        (
            &[("CXVAULT_OBJECT_LOCK", "compliance:7y")],
            &["has no Object Lock", "CXVAULT_OBJECT_LOCK=off"],
        ),
    ];
    for (env, expected) in cases {
        let message = refused("", env);
        for part in expected {
            assert!(
                message.contains(part),
                "{env:?}\nsays:   {message}\nlacks:  {part}"
            );
        }
    }
    settings("", &[("CXVAULT_TEST_MINIO", "1")]);
}

#[test]
fn a_missing_home_names_the_variable_that_helps() {
    let failure = Settings::load(&Flags::default(), &Environment::default()).unwrap_err();
    assert!(
        failure.to_string().contains("CXVAULT_STATE_DIR"),
        "{failure}"
    );
}

fn jwt_of(settings: &Settings) -> [String; 3] {
    match settings.accounts[0].credentials().unwrap() {
        CredentialSettings::Jwt {
            client_id,
            client_secret,
            jwt,
        } => [
            client_id.clone(),
            client_secret.expose_secret().into(),
            jwt.expose_secret().into(),
        ],
        CredentialSettings::Token(_) => panic!("a token"),
    }
}

#[test]
fn secrets_come_from_variables_or_files() {
    let home = Home::new();
    let file = home.file("jwt", "from-file\r\n");
    let toml = "client_id = 'id'\njwt_file = '~/jwt'";
    let both = home
        .load(toml, &[("CXVAULT_CLIENT_SECRET", "inline")])
        .unwrap();
    assert_eq!(jwt_of(&both.settings), ["id", "inline", "from-file"]);
    let env = [
        ("CXVAULT_CLIENT_SECRET_FILE", file.as_str()),
        ("CXVAULT_JWT", "inline"),
    ];
    assert_eq!(
        jwt_of(&home.load(toml, &env).unwrap().settings),
        ["id", "from-file", "inline"]
    );
}

#[test]
fn a_token_from_a_higher_layer_wins_over_an_app() {
    let home = Home::new();
    home.file("s", "secret");
    let app = "client_id = 'id'\nclient_secret_file = '~/s'\njwt_file = '~/s'";
    let loaded = home.load(app, &[("CXVAULT_RINGCX_TOKEN", "t")]).unwrap();
    assert_eq!(
        loaded.settings.accounts[0].credentials().unwrap().kind(),
        "token"
    );
    let env = [
        ("CXVAULT_CLIENT_ID", "i"),
        ("CXVAULT_CLIENT_SECRET", "s"),
        ("CXVAULT_JWT", "j"),
    ];
    let loaded = home.load("ringcx_token_file = '~/s'", &env).unwrap();
    assert_eq!(
        loaded.settings.accounts[0].credentials().unwrap().kind(),
        "jwt"
    );
}

#[test]
fn missing_credentials_are_an_error_only_for_commands_that_need_them() {
    let none = settings("", &[]).accounts[0].credentials().unwrap_err();
    assert_eq!(none.exit, Exit::Usage);
    let text = none.to_string();
    for name in [
        "CXVAULT_RINGCX_TOKEN",
        "CXVAULT_CLIENT_ID",
        "CXVAULT_CLIENT_SECRET",
        "CXVAULT_JWT",
        "cxvault demo",
    ] {
        assert!(text.contains(name), "{text}");
    }
    let part =
        settings("", &[("CXVAULT_CLIENT_ID", "id"), ("CXVAULT_JWT", "j")]).accounts[0].clone();
    assert!(
        part.credentials()
            .unwrap_err()
            .to_string()
            .contains("lack the client secret")
    );
}

#[test]
fn secret_files_that_are_of_no_use_are_named() {
    let home = Home::new();
    let empty = home.file("empty", "\n");
    let lines = home.file("lines", "hunter2\nhunter2\n");
    let long = home.file("long", &"hunter2".repeat(10_000));
    let cases = [
        ("/no/such/file", "cannot read"),
        (&empty, "is empty"),
        (&lines, "line breaks"),
        (&long, "too long"),
    ];
    for (path, expected) in cases {
        let text = home
            .load("", &[("CXVAULT_JWT_FILE", path)])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains(path) && text.contains(expected) && !text.contains("hunter2"),
            "{text}"
        );
    }
}

#[test]
fn secrets_in_the_file_are_refused_and_not_repeated() {
    for (toml, file_key, env) in [
        (
            "client_secret = 'hunter2'",
            "client_secret_file",
            "CXVAULT_CLIENT_SECRET",
        ),
        ("[[account]]\njwt = 'hunter2'", "jwt_file", "CXVAULT_JWT"),
        (
            "ringcx_token = 'hunter2'",
            "ringcx_token_file",
            "CXVAULT_RINGCX_TOKEN",
        ),
        (
            "anchor_secret_access_key = 'hunter2'",
            "anchor_secret_access_key_file",
            "CXVAULT_ANCHOR_SECRET_ACCESS_KEY",
        ),
    ] {
        let text = refused(toml, &[]);
        assert!(
            text.contains(file_key) && text.contains(env) && !text.contains("hunter2"),
            "{text}"
        );
    }
    // A syntax error must not quote the line either.
    assert!(!refused("jwt = 'hunter2", &[]).contains("hunter2"));
    assert!(!refused("jwt = hunter2", &[]).contains("hunter2"));
}

#[test]
fn no_debug_output_shows_a_secret() {
    let home = Home::new();
    home.file("s", "hunter2");
    let toml = "client_id = 'id'\nclient_secret_file = '~/s'";
    let env = [("CXVAULT_JWT", "hunter2")];
    let loaded = home.load(toml, &env).unwrap();
    assert_eq!(jwt_of(&loaded.settings)[1], "hunter2");
    let text = format!("{loaded:?} {:?}", home.env(&env));
    assert!(!text.contains("hunter2"), "{text}");
    let token = home
        .load("", &[("CXVAULT_RINGCX_TOKEN", "hunter2")])
        .unwrap();
    assert!(!format!("{token:?}").contains("hunter2"));
    assert_eq!(
        in_force(&token, "ringcx_token_file").value.as_deref(),
        Some("********")
    );
}

const TWO: &str = "
time_zone = 'Europe/Berlin'
[[account]]
name = 'north'
client_id = 'n'
sub_accounts = ['1', '2']
time_zone = 'US/Eastern'
[account.time_zones]
2 = 'US/Pacific'
[[account]]
name = 'south'
sub_accounts = [3]
segment_types = ['agent']
";

#[test]
fn accounts_have_their_own_settings_and_share_defaults() {
    let settings = settings(TWO, &[]);
    let [north, south] = settings.accounts.as_slice() else {
        panic!("{settings:?}")
    };
    assert_eq!(
        (north.zone_of("1"), north.zone_of("2")),
        ("US/Eastern", "US/Pacific")
    );
    assert_eq!(
        (south.zone_of("3"), south.segment_types.as_slice()),
        ("Europe/Berlin", &["AGENT".to_owned()][..])
    );
    assert!(south.channel_classes.is_empty());
}

#[test]
fn with_several_accounts_the_environment_cannot_mean_one() {
    let text = refused(TWO, &[("CXVAULT_CLIENT_ID", "x")]);
    assert!(
        text.contains("CXVAULT_CLIENT_ID is a setting of one account") && text.contains("has 2"),
        "{text}"
    );
    assert!(
        refused(TWO, &[("CXVAULT_JWT", "x")]).contains("CXVAULT_JWT is a setting of one account")
    );
    let settings = settings(TWO, &[("CXVAULT_TIME_ZONE", "UTC")]);
    assert_eq!(
        settings
            .accounts
            .iter()
            .map(|one| one.time_zone.as_str())
            .collect::<Vec<_>>(),
        ["UTC", "UTC"]
    );
}

#[test]
fn with_one_account_table_the_environment_adds_to_it() {
    let settings = settings(
        "[[account]]\nclient_id = 'id'",
        &[("CXVAULT_CLIENT_SECRET", "s"), ("CXVAULT_JWT", "j")],
    );
    assert_eq!(jwt_of(&settings), ["id", "s", "j"]);
}

#[test]
fn with_several_accounts_the_flag_chooses_among_them() {
    let home = Home::new();
    let mut flags = Flags::default();
    flags.set(&keys::SUB_ACCOUNTS, "--sub-account", "2");
    let settings = home.load_with(TWO, &[], &flags).unwrap().settings;
    let chosen: Vec<_> = settings
        .accounts
        .iter()
        .map(|one| (one.name.as_str(), one.sub_accounts.clone()))
        .collect();
    assert_eq!(chosen, [("north", vec!["2".to_owned()])]);
    flags.set(&keys::SUB_ACCOUNTS, "--sub-account", "9");
    let failure = home.load_with(TWO, &[], &flags).unwrap_err();
    assert!(
        failure.to_string().contains("no account has `9` among"),
        "{failure}"
    );
}

#[test]
fn fields_that_the_archive_needs_are_refused_by_name() {
    for (name, why) in cxvault::format::row::omit::NEEDED {
        let text = refused(&format!("omit_fields = ['agentNotes', '{name}']"), &[]);
        assert!(
            text.contains(&format!("`{name}` cannot be left out: {why}")),
            "{text}"
        );
    }
    assert!(
        refused("", &[("CXVAULT_OMIT_FIELDS", "agent\nNotes")]).contains("no control characters")
    );
    let settings = settings(
        "omit_fields = ['contactEndpointAddress', 'agentnotes', 'aFieldOf2031']",
        &[],
    );
    assert_eq!(
        settings.omit_fields.to_string(),
        "aFieldOf2031, agentnotes, contactEndpointAddress"
    );
    assert_eq!(settings.doubtful_fields(), [("agentnotes", "agentNotes")]);
    assert!(self::settings("", &[]).omit_fields.is_empty());
}

#[test]
fn a_share_of_the_quota_scales_every_limit() {
    let home = Home::new();
    let loaded = home
        .load(
            "summary_limits = '100/60s'",
            &[("CXVAULT_QUOTA_SHARE", "1/4")],
        )
        .unwrap();
    let limits = |settings: &Settings| {
        [
            &settings.summary_limits,
            &settings.discovery_limits,
            &settings.token_limits,
        ]
        .map(ToString::to_string)
    };
    assert_eq!(limits(&loaded.settings), ["25/60s", "1/80s,2/15m", "1/60s"]);
    // The value beside its origin is what the user wrote.
    assert_eq!(
        in_force(&loaded, "summary_limits").value.as_deref(),
        Some("100/60s")
    );
    assert_eq!(
        in_force(&loaded, "quota_share").value.as_deref(),
        Some("1/4")
    );
    let whole = home
        .load("summary_limits = '100/60s'", &[])
        .unwrap()
        .settings;
    assert_eq!(limits(&whole), ["100/60s", "3/60s,9/15m", "5/60s"]);
    assert_eq!(
        loaded.settings.digest(),
        whole.digest(),
        "it says nothing about what is archived"
    );
    assert!(refused("quota_share = '4/3'", &[]).contains("`4/3` is no share"));
}

#[test]
fn the_digest_is_about_what_is_archived() {
    let base = settings("", &[]).digest();
    assert_eq!(base.len(), 64);
    let same = [("CXVAULT_LOG", "debug"), ("CXVAULT_STATE_DIR", "/other")];
    assert_eq!(
        settings("", &same).digest(),
        base,
        "logging and local folders do not matter"
    );
    assert_eq!(
        settings("concurrency = 16\nsettle = '900s'", &[]).digest(),
        base,
        "only the spelling differs"
    );
    assert_ne!(settings("settle = '16m'", &[]).digest(), base);
    assert_ne!(settings("segment_types = ['AGENT']", &[]).digest(), base);
    assert_ne!(settings("omit_fields = ['agentNotes']", &[]).digest(), base);
    let with = |secret| settings("", &[("CXVAULT_RINGCX_TOKEN", secret)]).digest();
    assert_eq!(
        with("a"),
        with("b"),
        "a digest over a secret could be used to guess it"
    );
}

#[test]
fn the_commented_file_with_its_comments_taken_away_is_valid() {
    let home = Home::new();
    home.file("secret", "s");
    home.file("url", "https://hooks.example/abc");
    let examples: String = document::commented_file()
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| rest.contains(" = "))
                .unwrap_or(line)
                .to_owned()
                + "\n"
        })
        // The examples of secrets name files that do not exist here, a token is used instead of an
        // app, and a folder has no locks.
        .map(|line| {
            let secrets = [
                "client_secret",
                "jwt",
                "copy_secret_access_key",
                "anchor_secret_access_key",
            ]
            .map(|name| format!("/etc/cxvault/{name}"));
            let line = secrets.iter().fold(line, |line, secret| {
                line.replace(secret.as_str(), "~/secret")
            });
            let urls = [
                "/etc/cxvault/webhook_url",
                "/etc/cxvault/heartbeat_url",
                "/etc/cxvault/anchor_webhook_url",
            ];
            urls.iter()
                .fold(line, |line, url| line.replace(url, "~/url"))
        })
        .filter(|line| !line.starts_with("ringcx_token_file"))
        .collect();
    let loaded = home
        .load(&examples, &[])
        .unwrap_or_else(|failure| panic!("{failure}\n{examples}"));
    let set = |one: &&InForce| matches!(one.origin, Origin::File { .. });
    assert_eq!(
        loaded.in_force.iter().filter(set).count(),
        keys::ALL.len() - 1,
        "{examples}"
    );
    let defaults = home.load("", &[]).unwrap();
    for one in &loaded.in_force {
        if let (Fallback::Value(default), true) = (one.key.default, one.key.name != "archive") {
            assert_eq!(one.value.as_deref(), Some(default));
        }
    }
    assert_eq!(
        in_force(&loaded, "state_dir").value,
        in_force(&defaults, "state_dir").value
    );
}

#[test]
fn a_signing_key_is_read_and_trusted() {
    use cxvault::format::signature::{MANIFEST, SigningKey};
    let home = Home::new();
    let key = SigningKey::generate().unwrap();
    let other = SigningKey::generate().unwrap();
    home.file("key", &key.to_openssh_pem("c").unwrap());
    home.file(
        "allowed",
        &other.public_key().allowed_signers_line("cxvault"),
    );
    let toml = "signing_key_file = '~/key'\nallowed_signers_file = '~/allowed'";
    let settings = home.load(toml, &[]).unwrap().settings;
    assert_eq!(
        settings.signing_key().unwrap().unwrap().public_key(),
        key.public_key()
    );
    let allowed = settings.allowed_signers().unwrap();
    assert!(
        allowed.contains(&key.public_key(), MANIFEST)
            && allowed.contains(&other.public_key(), MANIFEST)
    );

    let missing = home
        .load("signing_key_file = '/no/such'", &[])
        .unwrap()
        .settings
        .signing_key()
        .unwrap_err();
    assert!(
        missing.to_string().contains("/no/such")
            && missing.to_string().contains("CXVAULT_SIGNING_KEY_FILE")
    );
}
