//! A snapshot of the environment. No other module of the program reads variables, except the AWS SDK and the HTTP client.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::config::keys;
use crate::config::suggest::nearest;
use crate::outcome::{Failure, Result};

/// Beginning of the names of all variables that are settings.
const PREFIX: &str = "CXVAULT_";
/// Beginning of names that test suites pass to child processes; they are ignored.
const TEST_PREFIX: &str = "CXVAULT_TEST_";
/// The variables with the folders of the user's files (XDG Base Directory Specification).
const FOLDERS: [&str; 3] = ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"];
/// The variables that number several processes of one backfill. The engine that starts the processes gives each a value of
/// its own, so they are not settings.
const SHARDS: [&str; 4] = [
    "CXVAULT_SHARDS",
    "JOB_COMPLETION_INDEX",
    "AWS_BATCH_JOB_ARRAY_INDEX",
    "AWS_BATCH_JOB_ARRAY_SIZE",
];

/// Beginning of the variables of the OpenTelemetry specification.
const OTEL: &str = "OTEL_";

/// The variables that this program uses. Some of them are secrets, so `Debug` shows the names only.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// `Exit::Usage` if a variable of this program has a value that is not UTF-8.
    pub fn of_process() -> Result<Self> {
        let mut all = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| relevant(name)) else {
                continue;
            };
            let Some(value) = value.to_str() else {
                return Err(Failure::usage(format!("{name} is not UTF-8"))
                    .remedy("Set it to a text in UTF-8, or unset it."));
            };
            all.insert(name.to_owned(), value.to_owned());
        }
        Ok(Environment(all))
    }

    /// Makes an environment of these variables, for `cxvault demo` and for tests.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        Environment(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    /// Returns the value of a variable. An empty variable counts as not set, since that is how compose files and CI systems
    /// pass on a variable without a value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Returns `$XDG_CONFIG_HOME/cxvault`, or `~/.config/cxvault`; `None` without a home.
    pub(crate) fn config_folder(&self) -> Option<PathBuf> {
        self.folder("XDG_CONFIG_HOME", ".config")
    }

    /// Returns `$XDG_STATE_HOME/cxvault`, or `~/.local/state/cxvault`; `None` without a home.
    pub(crate) fn state_folder(&self) -> Option<PathBuf> {
        self.folder("XDG_STATE_HOME", ".local/state")
    }

    fn folder(&self, xdg: &str, below_home: &str) -> Option<PathBuf> {
        // The specification says to ignore relative paths.
        let base = self
            .get(xdg)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let base = base.or_else(|| Some(PathBuf::from(self.get("HOME")?).join(below_home)))?;
        Some(base.join("cxvault"))
    }

    /// Returns `path` with a leading `~/` replaced by the home folder. In files and variables no shell does that.
    pub fn expand(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), self.get("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => PathBuf::from(path),
        }
    }

    /// Refuses variables whose names begin with `CXVAULT_` and are not settings: a misspelt setting would silently have no
    /// effect.
    ///
    /// # Errors
    /// `Exit::Usage`, with the name that was probably meant.
    pub(crate) fn refuse_unknown(&self) -> Result<()> {
        let Some(unknown) = self.0.keys().find(|name| {
            name.starts_with(PREFIX)
                && !name.starts_with(TEST_PREFIX)
                && !keys::env_names().chain(SHARDS).any(|known| known == *name)
        }) else {
            return Ok(());
        };
        // Without the common beginning, which would make all names look alike.
        let bare = &unknown[PREFIX.len()..];
        let candidates = keys::env_names().filter_map(|name| name.strip_prefix(PREFIX));
        let failure = Failure::usage(format!("{unknown} is not a setting"));
        let renamed = keys::renamed(&bare.to_ascii_lowercase());
        Err(failure.remedy(match (renamed, nearest(bare, candidates)) {
            (Some(new), _) => format!(
                "It is now called {PREFIX}{}: set that variable and unset this one.",
                new.to_ascii_uppercase()
            ),
            (None, Some(meant)) => format!("Did you mean {PREFIX}{meant}? If not, unset it."),
            (None, None) => "Unset it; `cxvault config` lists all settings.".into(),
        }))
    }
}

/// Returns whether this program uses a variable of this name.
fn relevant(name: &str) -> bool {
    [PREFIX, OTEL].iter().any(|prefix| name.starts_with(prefix))
        || FOLDERS.contains(&name)
        || SHARDS.contains(&name)
}

impl fmt::Debug for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_values() {
        let env = Environment::from_pairs([("CXVAULT_JWT", "hunter2")]);
        assert_eq!(format!("{env:?}"), r#"{"CXVAULT_JWT"}"#);
    }

    #[test]
    fn folders_follow_the_platform() {
        let env = Environment::from_pairs([
            ("HOME", "/h"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_CONFIG_HOME", "rel"),
        ]);
        assert_eq!(env.state_folder(), Some("/s/cxvault".into()));
        assert_eq!(env.config_folder(), Some("/h/.config/cxvault".into()));
        assert_eq!(env.expand("~/x"), PathBuf::from("/h/x"));
        assert_eq!(Environment::default().state_folder(), None);
    }
}
