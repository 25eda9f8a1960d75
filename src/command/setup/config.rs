//! `cxvault config`: shows the settings in force and the origin of each. Secrets are masked.
//!
//! A setting comes from a flag, from the environment, from the settings file or from its default, in this order of precedence.
//! The command reads all of them as every other command does, and writes nothing. It reads no secret file: the location of one is
//! shown, and a secret in a variable appears as a mask, in the text as well as in the event.
//!
//! The digest of the settings is the one that manifests record, so that an auditor can see which settings a day was archived
//! with.

use serde::Serialize;

use crate::command::Context;
use crate::config::{InForce, Loaded, Settings};
use crate::outcome::{Exit, Result};
use crate::render::{Event, Table};

/// The rate limits as this machine uses them: the share of the configured limits that `quota_share` leaves to it, as settings
/// are written (`120/60s`).
#[derive(Serialize)]
struct LimitsView {
    summaries: String,
    discovery: String,
    tokens: String,
}

impl LimitsView {
    fn of(settings: &Settings) -> LimitsView {
        LimitsView {
            summaries: settings.summary_limits.to_string(),
            discovery: settings.discovery_limits.to_string(),
            tokens: settings.token_limits.to_string(),
        }
    }
}

/// One setting in the event `settings`. An account's setting has the account's name; `value` is masked for a secret.
#[derive(Serialize)]
struct Setting<'a> {
    key: &'static str,
    account: Option<&'a str>,
    environment: &'static str,
    value: Option<&'a str>,
    origin: String,
}

impl<'a> From<&'a InForce> for Setting<'a> {
    fn from(setting: &'a InForce) -> Self {
        Setting {
            key: setting.key.name,
            account: setting.account.as_deref(),
            environment: setting.key.env,
            value: setting.value.as_deref(),
            origin: setting.origin.to_string(),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// None; the settings were read before.
pub fn run(loaded: &Loaded, context: &Context) -> Result<Exit> {
    let (file, file_from) = loaded
        .file
        .as_ref()
        .map(|(path, from)| (path.as_path(), *from))
        .unzip();
    let settings: Vec<Setting<'_>> = loaded.in_force.iter().map(Setting::from).collect();
    context.output.event(
        Event::new("settings")
            .with("file", file)
            .with("file_from", file_from)
            .with("settings_digest", loaded.settings.digest())
            .with("settings", settings)
            .with("limits", LimitsView::of(&loaded.settings)),
    );
    let several = loaded.settings.accounts.len() > 1;
    let mut table = Table::new("SETTING | VALUE | FROM");
    for setting in &loaded.in_force {
        let key = match &setting.account {
            Some(account) if several => format!("[{account}] {}", setting.key.name),
            _ => setting.key.name.to_owned(),
        };
        table.row([
            key,
            setting.value.clone().unwrap_or_default(),
            setting.origin.to_string(),
        ]);
    }
    context.output.print(match (file, file_from) {
        (Some(file), Some(from)) => format!("Settings file: {} ({from})\n", file.display()),
        _ => "Settings file: none; `cxvault init` writes one\n".to_owned(),
    });
    context.output.print(table);
    let share = loaded.settings.quota_share;
    if share.rest().is_some() {
        let LimitsView {
            summaries,
            discovery,
            tokens,
        } = LimitsView::of(&loaded.settings);
        context.output.print(format!(
            "\nThis machine uses {share} of the limits: summaries {summaries}, discovery {discovery}, tokens {tokens}"
        ));
    }
    for (name, meant) in loaded.settings.doubtful_fields() {
        context.output.print(format!(
            "omit_fields: RingCX documents no field `{name}`; was `{meant}` meant?"
        ));
    }
    Ok(Exit::Done)
}
