//! The layers of settings: flags, environment, settings file and defaults, the strongest first.
//!
//! [`Layers::find`] returns the text of a setting from the strongest layer that has it, [`Layers::take`] also reads the text
//! and notes its origin. `cxvault config` shows these notes, and the digest of the settings is computed from them, so that
//! every setting has to be taken through here exactly once.
//!
//! For a setting of an account the file has two places: the `[[account]]` table, and the top of the file as a default for all
//! accounts. The environment still comes before both, since it is how a container is configured without changing a file. Flags
//! and variables that name one account (its credentials, its sub-accounts) hold only while there is no doubt which account is
//! meant; otherwise [`Layers::refuse_ambiguous`] ends the program.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::config::environment::Environment;
use crate::config::exposure::ExposedFile;
use crate::config::file::{FileEntry, SettingsFile};
use crate::config::keys;
use crate::config::keys::{Fallback, Key, KeyScope, Syntax};
use crate::format::place::location::Location;
use crate::outcome::{Failure, Result};

/// The settings among the flags of the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// Path of the settings file, from `--config`.
    pub config: Option<PathBuf>,
    /// By the name of the setting: the flag as the user wrote it, and its value.
    values: BTreeMap<&'static str, (&'static str, String)>,
}

impl Flags {
    /// Sets `key` as if `flag` had been given.
    pub fn set(&mut self, key: &'static Key, flag: &'static str, value: impl Into<String>) {
        self.values.insert(key.name, (flag, value.into()));
    }
}

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The flag of this name.
    Flag(&'static str),
    /// The environment variable of this name.
    Environment(&'static str),
    /// The settings file.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Line of the value, counted from 1.
        line: usize,
    },
    /// The default of the table.
    Default,
    /// The setting has no value.
    Unset,
}

impl Origin {
    /// Returns whether the value came from an environment variable.
    pub(super) fn is_environment(&self) -> bool {
        matches!(self, Origin::Environment(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => out.write_str(flag),
            Origin::Environment(name) => out.write_str(name),
            Origin::File { path, line } => write!(out, "{}, line {line}", path.display()),
            Origin::Default => out.write_str("default"),
            Origin::Unset => out.write_str("not set"),
        }
    }
}

/// One setting as `cxvault config` shows it. It never has a secret.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Name of the account that the value is for; `None` for settings of the program.
    pub account: Option<String>,
    /// The setting.
    pub key: &'static Key,
    /// The canonical text; the path for a file with a secret, and a mask for a secret. `None` if it is not set.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
}

/// What a setting is taken for: the program, or an account.
#[derive(Debug, Clone, Copy)]
pub(super) enum AccountScope<'a> {
    /// The program.
    Program,
    /// The only account, without an `[[account]]` table.
    Shorthand,
    /// The account of an `[[account]]` table.
    Table {
        /// The entries of the table.
        entries: &'a [FileEntry],
        /// Whether it is the only table. Only then do flags about one account apply to it.
        alone: bool,
    },
}

/// The sources, and the settings that were taken from them so far.
pub(super) struct Layers<'a> {
    pub flags: &'a Flags,
    pub env: &'a Environment,
    pub file: &'a SettingsFile,
    /// The settings that were taken, in this order.
    pub in_force: Vec<InForce>,
    /// Name of the account whose settings are being taken.
    pub account: Option<String>,
    /// Files with secrets that other users can read.
    pub exposed: Vec<ExposedFile>,
}

/// The text of a value and its origin.
#[derive(Debug, Clone)]
pub(super) struct RawValue {
    pub text: String,
    pub origin: Origin,
}

impl RawValue {
    /// Reads the text as a value of the setting `key`.
    ///
    /// # Errors
    /// [`Exit::Usage`] if the text is not such a value, with the origin of the text.
    pub fn read<T: FromStr<Err: fmt::Display>>(&self, key: &Key) -> Result<T> {
        self.text
            .parse()
            .map_err(|what: T::Err| self.failure(key, &what.to_string()))
    }

    /// Returns a failure about this value, with the meaning of the setting and an example. `what` must not repeat a
    /// secret.
    pub fn failure(&self, key: &Key, what: &str) -> Failure {
        let named = match &self.origin {
            Origin::File { .. } | Origin::Default => format!("{}: `{}`", self.origin, key.name),
            _ => self.origin.to_string(),
        };
        Failure::usage(format!("{named}: {what}"))
            .remedy(format!("{} For example: {}", key.doc, key.example))
    }
}

impl<'a> Layers<'a> {
    /// Returns the sources before any setting has been taken from them.
    pub fn new(flags: &'a Flags, env: &'a Environment, file: &'a SettingsFile) -> Self {
        Layers {
            flags,
            env,
            file,
            in_force: Vec::new(),
            exposed: Vec::new(),
            account: None,
        }
    }

    /// Returns the text of `key` from the strongest layer that has one. Defaults are not considered.
    pub fn find(&self, key: &'static Key, place: AccountScope<'a>) -> Option<RawValue> {
        let (flags_count, in_table) = match place {
            AccountScope::Table { entries, alone } => {
                (alone || key.scope != KeyScope::OneAccount, entries)
            }
            AccountScope::Program | AccountScope::Shorthand => (true, &[][..]),
        };
        if let Some((flag, text)) = self.flags.values.get(key.name).filter(|_| flags_count) {
            return Some(RawValue {
                text: text.clone(),
                origin: Origin::Flag(flag),
            });
        }
        if let Some(text) = self.env.get(key.env) {
            let text = self.path_text(key, text, Path::new(""));
            return Some(RawValue {
                text,
                origin: Origin::Environment(key.env),
            });
        }
        let entry = in_table
            .iter()
            .chain(&self.file.top)
            .find(|entry| entry.key.name == key.name)?;
        let folder = self.file.path.parent().unwrap_or(Path::new(""));
        let origin = Origin::File {
            path: self.file.path.clone(),
            line: entry.line,
        };
        Some(RawValue {
            text: self.path_text(key, &entry.text, folder),
            origin,
        })
    }

    /// Returns a path as it counts from `folder`: relative paths in the settings file count from the folder of that file, so
    /// that the working directory of a job does not matter.
    fn path_text(&self, key: &Key, text: &str, folder: &Path) -> String {
        let is_path = matches!(key.syntax, Syntax::Path | Syntax::SecretFile { .. });
        if !is_path || text.is_empty() || Location::is_url(text) {
            return text.to_owned();
        }
        let mut path = self.env.expand(text);
        if !path.is_absolute() && !folder.as_os_str().is_empty() {
            path = folder.join(path.strip_prefix(".").unwrap_or(&path));
        }
        path.to_string_lossy().into_owned()
    }

    /// Takes the value of `key` and notes its origin; `None` if it has none.
    ///
    /// # Errors
    /// `Exit::Usage` if the text is not such a value, with the origin of the text.
    pub fn take<T>(&mut self, key: &'static Key, place: AccountScope<'a>) -> Result<Option<T>>
    where
        T: FromStr<Err: fmt::Display> + fmt::Display,
    {
        let default = match key.default {
            Fallback::Value(text) => Some(RawValue {
                text: text.to_owned(),
                origin: Origin::Default,
            }),
            Fallback::Computed(_) | Fallback::Nothing => None,
        };
        let Some(found) = self.find(key, place).or(default) else {
            self.note(key, None, Origin::Unset);
            return Ok(None);
        };
        let value: T = found.read(key)?;
        self.note(key, Some(value.to_string()), found.origin);
        Ok(Some(value))
    }

    /// Like [`Layers::take`], for a setting of the program that has a default.
    pub(crate) fn take_or_default<T>(&mut self, key: &'static Key) -> Result<T>
    where
        T: FromStr<Err: fmt::Display> + fmt::Display,
    {
        self.take(key, AccountScope::Program)?
            .ok_or_else(|| Failure::unexpected(format!("setting `{}` has no default", key.name)))
    }

    /// Notes a value that is in force.
    pub fn note(&mut self, key: &'static Key, value: Option<String>, origin: Origin) {
        self.in_force.push(InForce {
            account: self.account.clone(),
            key,
            value,
            origin,
        });
    }

    /// Refuses settings of one account where it is not clear which account they are for: above an `[[account]]` table, or in
    /// the environment while there are several tables.
    pub(crate) fn refuse_ambiguous(&self) -> Result<()> {
        if let Some(stray) = self
            .file
            .top
            .iter()
            .find(|entry| entry.key.scope == KeyScope::OneAccount)
            && !self.file.accounts.is_empty()
        {
            let origin = Origin::File {
                path: self.file.path.clone(),
                line: stray.line,
            };
            let message = format!(
                "{origin}: `{}` is a setting of one account, but is outside of [[account]]",
                stray.key.name
            );
            return Err(Failure::usage(message)
                .remedy("Move it below the [[account]] line of its account."));
        }
        if self.file.accounts.len() < 2 {
            return Ok(());
        }
        let names = keys::ALL
            .iter()
            .filter(|key| key.scope == KeyScope::OneAccount)
            .flat_map(|key| [key.env, key.inline_env()]);
        match names.into_iter().find(|name| self.env.get(name).is_some()) {
            None => Ok(()),
            Some(name) => {
                let message = format!(
                    "{name} is a setting of one account, but {} has {} accounts",
                    self.file.path.display(),
                    self.file.accounts.len()
                );
                Err(Failure::usage(message).remedy(
                    "Unset it, and write the value below the [[account]] line of its account (a secret as the path of a file).",
                ))
            }
        }
    }
}
