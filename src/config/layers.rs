//! Which value counts: flag > environment > file > default. And where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::config::environment::Environment;
use crate::config::file::{FileEntry, SettingsFile};
use crate::config::keys;
use crate::config::keys::{Fallback, Key, KeyScope, Syntax};
use crate::format::place::location::Location;
use crate::outcome::{Exit, Failure, Result};

/// Settings from the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The settings file.
    pub config: Option<PathBuf>,
    /// By key name: the flag as the user knows it, and its value.
    values: BTreeMap<&'static str, (&'static str, String)>,
}

impl Flags {
    /// Sets `key` as if `flag` had been given.
    pub fn set(&mut self, key: &'static Key, flag: &'static str, value: impl Into<String>) {
        self.values.insert(key.name, (flag, value.into()));
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    File {
        path: PathBuf,
        line: usize,
    },
    Default,
    /// Neither set nor with a default.
    Unset,
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

/// One setting as `cxvault config` shows it; never a secret.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Which account it is for, when it is not for the whole program.
    pub account: Option<String>,
    pub key: &'static Key,
    /// The canonical text; for a secret's file its path, and for a secret a mask; `None` when unset.
    pub value: Option<String>,
    pub origin: Origin,
}

/// An account's place among the settings.
#[derive(Debug, Clone, Copy)]
pub(super) enum AccountScope<'a> {
    Program,
    /// The only account, without an `[[account]]` table.
    Shorthand,
    /// This `[[account]]` table, whether there are others, and whether flags count for it.
    Table {
        entries: &'a [FileEntry],
        alone: bool,
    },
}

/// The sources, and what has been taken from them.
pub(super) struct Layers<'a> {
    pub flags: &'a Flags,
    pub env: &'a Environment,
    pub file: &'a SettingsFile,
    pub in_force: Vec<InForce>,
    /// Name of the account whose keys are being taken.
    pub account: Option<String>,
}

/// A text that somebody wrote, and where.
#[derive(Debug, Clone)]
pub(super) struct RawValue {
    pub text: String,
    pub origin: Origin,
}

impl RawValue {
    /// A failure about this value; `what` must not repeat a secret.
    pub fn failure(&self, key: &Key, what: &str) -> Failure {
        let named = match &self.origin {
            Origin::File { .. } | Origin::Default => format!("{}: `{}`", self.origin, key.name),
            _ => self.origin.to_string(),
        };
        Failure::new(Exit::Usage, format!("{named}: {what}"))
            .remedy(format!("{} For example: {}", key.doc, key.example))
    }
}

impl<'a> Layers<'a> {
    /// The text of `key` from the highest layer that has it.
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

    /// Paths in the file count from its folder, so that a job's working directory does not matter.
    fn path_text(&self, key: &Key, text: &str, folder: &Path) -> String {
        let is_path = matches!(key.syntax, Syntax::Path | Syntax::SecretFile { .. });
        if !is_path || text.is_empty() || Location::is_url(text) {
            return text.to_owned();
        }
        let path = self.env.expand(text);
        if path.is_absolute() || folder.as_os_str().is_empty() {
            return path.to_string_lossy().into_owned();
        }
        folder
            .join(path.strip_prefix(".").unwrap_or(&path))
            .to_string_lossy()
            .into_owned()
    }

    /// The value of `key`, and a note of where it came from; `None` when it has none.
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
        let value: T = found
            .text
            .parse()
            .map_err(|what: T::Err| found.failure(key, &what.to_string()))?;
        self.note(key, Some(value.to_string()), found.origin);
        Ok(Some(value))
    }

    /// Like [`Layers::take`], for a key of the program that has a default.
    pub fn take_or_default<T>(&mut self, key: &'static Key) -> Result<T>
    where
        T: FromStr<Err: fmt::Display> + fmt::Display,
    {
        let missing = || {
            Failure::new(
                Exit::Unexpected,
                format!("setting `{}` has no default", key.name),
            )
        };
        self.take(key, AccountScope::Program)?.ok_or_else(missing)
    }

    pub fn note(&mut self, key: &'static Key, value: Option<String>, origin: Origin) {
        self.in_force.push(InForce {
            account: self.account.clone(),
            key,
            value,
            origin,
        });
    }

    /// With several accounts, what says which one a value is for: neither the environment nor the file's top can.
    pub fn refuse_ambiguous(&self) -> Result<()> {
        let one_account = || {
            keys::ALL
                .iter()
                .filter(|key| key.scope == KeyScope::OneAccount)
        };
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
                "{origin}: `{}` is for one account, but stands outside of [[account]]",
                stray.key.name
            );
            return Err(Failure::new(Exit::Usage, message)
                .remedy("Move it below the [[account]] that it is for."));
        }
        if self.file.accounts.len() < 2 {
            return Ok(());
        }
        let names = one_account().flat_map(|key| match key.syntax {
            Syntax::SecretFile { env, .. } => vec![key.env, env],
            _ => vec![key.env],
        });
        match names.into_iter().find(|name| self.env.get(name).is_some()) {
            None => Ok(()),
            Some(name) => {
                let message = format!(
                    "{name} is for one account, but {} has {}",
                    self.file.path.display(),
                    self.file.accounts.len()
                );
                Err(Failure::new(Exit::Usage, message).remedy(
                    "Unset it, and write the value below its [[account]] (secrets as a file).",
                ))
            }
        }
    }
}
