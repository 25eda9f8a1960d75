//! The settings file: TOML, with every name checked against the table of settings.
//!
//! Each value becomes one text together with its line, so that all layers look alike and messages can name the line. The
//! text is only read as a value by [`Layers::take`](crate::config::layers::Layers::take).
//!
//! Unknown names are errors, also where they look harmless: a misspelt `channel_classes` would archive more than was agreed, and a
//! misspelt `object_lock` would leave every object unprotected, both without any sign.
//!
//! No message repeats a value: it may be a secret that was written to the wrong place.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::exposure::{self, ExposedFile};
use crate::config::keys;
use crate::config::keys::{Key, KeyScope, Syntax};
use crate::config::suggest::nearest;
use crate::format::text::printable_start;
use crate::outcome::{Failure, Result};

/// The entries of a settings file. Their names are checked, their values are not.
#[derive(Debug, Default)]
pub(crate) struct SettingsFile {
    /// Path of the file, for messages; empty without a file.
    pub path: PathBuf,
    /// The entries above the first `[[account]]` line.
    pub top: Vec<FileEntry>,
    /// The entries of each `[[account]]` table.
    pub accounts: Vec<Vec<FileEntry>>,
    /// Whether the group of the file can change it.
    pub exposed: Option<ExposedFile>,
}

/// One setting with its value as text: arrays with commas between the elements, tables as `key=value` with commas between
/// the pairs.
#[derive(Debug)]
pub(crate) struct FileEntry {
    /// The setting.
    pub key: &'static Key,
    /// The value.
    pub text: String,
    /// Line of the name, counted from 1.
    pub line: usize,
}

impl SettingsFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// `Exit::Usage` if it cannot be read, if every user can change it, if it is not TOML, or if it has a name that is not a
    /// setting.
    pub fn read(path: &Path) -> Result<Self> {
        let named = format!("the settings file {}", path.display());
        let unreadable = |error| {
            Failure::usage(format!("cannot read {named}"))
                .because(error)
                .remedy(
                    "Name another file with --config or CXVAULT_CONFIG, or create one with `cxvault init`.",
                )
        };
        let file = File::open(path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        let exposed = exposure::judge(&about, path, &named, exposure::Content::Settings)?;
        let text = std::io::read_to_string(file).map_err(unreadable)?;
        Ok(SettingsFile {
            exposed,
            ..Self::parse(path, &text)?
        })
    }

    /// Reads `text` as the content of the file `path`, which is only named in messages.
    ///
    /// # Errors
    /// Those of [`SettingsFile::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let source = FileText { path, text };
        // The parser's own text quotes the line, which may hold a secret: so only its message and the line number.
        let table = DeTable::parse(text).map_err(|error| {
            let line = source.line(&error.span().unwrap_or_default());
            source
                .failure(line, &format!("not TOML: {}", error.message()))
                .remedy("Correct the line.")
        })?;
        let mut file = SettingsFile {
            path: path.into(),
            ..SettingsFile::default()
        };
        for (name, value) in table.get_ref() {
            if name.get_ref() == "account" {
                file.accounts = source.accounts(value)?;
            } else {
                file.top
                    .push(source.entry(name.get_ref(), name.span(), value, false)?);
            }
        }
        Ok(file)
    }
}

/// The text of a settings file while it is read.
struct FileText<'a> {
    path: &'a Path,
    text: &'a str,
}

impl FileText<'_> {
    /// Returns the line in which `span` begins, counted from 1.
    fn line(&self, span: &Range<usize>) -> usize {
        self.text
            .bytes()
            .take(span.start)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1
    }

    fn failure(&self, line: usize, what: &str) -> Failure {
        Failure::usage(format!("{}, line {line}: {what}", self.path.display()))
    }

    /// Reads the `[[account]]` tables.
    fn accounts(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Vec<FileEntry>>> {
        let tables: Option<Vec<_>> = value.get_ref().as_array().and_then(|array| {
            array
                .iter()
                .map(|table| table.get_ref().as_table())
                .collect()
        });
        let Some(tables) = tables else {
            let line = self.line(&value.span());
            return Err(self
                .failure(line, "`account` is not an array of tables")
                .remedy(
                    "Begin each account with a line `[[account]]`, with two brackets on each side.",
                ));
        };
        let mut accounts = Vec::new();
        for table in tables {
            let entries = table
                .iter()
                .map(|(name, value)| self.entry(name.get_ref(), name.span(), value, true));
            accounts.push(entries.collect::<Result<_>>()?);
        }
        Ok(accounts)
    }

    /// Reads one name with its value.
    fn entry(
        &self,
        name: &str,
        span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
        in_account: bool,
    ) -> Result<FileEntry> {
        let line = self.line(&span);
        let key = keys::named(name).ok_or_else(|| self.unknown(line, name))?;
        if in_account && key.scope == KeyScope::Program {
            return Err(self
                .failure(line, &format!("`{name}` is not a setting of an account"))
                .remedy("Move it to the top of the file, before the first [[account]]."));
        }
        let text = text_of(value.get_ref(), key.syntax).map_err(|what| {
            let remedy = format!("Write it like {}.", written(key, key.example));
            self.failure(line, &format!("`{name}` {what}"))
                .remedy(remedy)
        })?;
        Ok(FileEntry { key, text, line })
    }

    /// Returns the failure for a name that is not a setting: it may be a secret, an old name, or a misspelling.
    fn unknown(&self, line: usize, name: &str) -> Failure {
        let secret = keys::ALL
            .iter()
            .find(|key| key.inline_name() == name && key.name != name);
        if let Some(key) = secret {
            let message = format!("`{name}` is a secret, and secrets do not belong into this file");
            return self.failure(line, &message).remedy(format!(
                "Write it to a file of its own that only this user can read, and set {} = \"PATH\" here; or set {}. \
                 If other users could read this file, replace the secret.",
                key.name,
                key.inline_env()
            ));
        }
        let known = keys::ALL.iter().map(|key| key.name).chain(["account"]);
        let shown = printable_start(name, 60);
        self.failure(line, &format!("`{shown}` is not a setting"))
            .remedy(match (keys::renamed(name), nearest(name, known)) {
                (Some(new), _) => format!("It is now called `{new}`: write that name."),
                (None, Some(meant)) => format!("Did you mean `{meant}`?"),
                (None, None) => "Remove it; `cxvault config` lists all settings.".into(),
            })
    }
}

/// Returns a TOML value as one text, or what is wrong with it.
fn text_of(value: &DeValue<'_>, syntax: Syntax) -> Result<String, &'static str> {
    match (value, syntax) {
        (DeValue::Array(array), Syntax::List) => {
            let parts = array.iter().map(|part| element(part.get_ref()));
            Ok(parts.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        (DeValue::Table(table), Syntax::Table) => {
            let pairs = table
                .iter()
                .map(|(name, value)| pair(name.get_ref(), value.get_ref()));
            Ok(pairs.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        (_, Syntax::Table) => Err("is not a table"),
        (DeValue::Array(_), _) => Err("takes one value, not an array"),
        (DeValue::Table(_), _) => Err("takes one value, not a table"),
        (value, _) => scalar(value),
    }
}

fn pair(name: &str, value: &DeValue<'_>) -> Result<String, &'static str> {
    let name = element(&DeValue::String(name.into()))?;
    Ok(format!("{name}={}", element(value)?))
}

/// Returns a value inside an array or table. It must not have a `,` or a `=`, with which these are joined.
fn element(value: &DeValue<'_>) -> Result<String, &'static str> {
    let text = scalar(value)?;
    if text.contains([',', '=']) {
        Err("has an element with a comma or an equals sign")
    } else {
        Ok(text)
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Float(_) => Err("is a number with a point; write it in quotes"),
        DeValue::Datetime(_) => Err("is a date or time; write it in quotes"),
        DeValue::Array(_) | DeValue::Table(_) => Err("has arrays or tables inside"),
    }
}

/// Returns the line `key = value` in TOML.
pub fn written(key: &Key, value: &str) -> String {
    let value = match key.syntax {
        Syntax::Integer | Syntax::Boolean => value.to_owned(),
        Syntax::List => format!(
            "[{}]",
            value.split(',').map(quoted).collect::<Vec<_>>().join(", ")
        ),
        Syntax::Table => {
            let pairs = value.split(',').filter_map(|pair| pair.split_once('='));
            let pairs: Vec<_> = pairs
                .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Syntax::Text | Syntax::Path | Syntax::SecretFile { .. } => quoted(value),
    };
    format!("{} = {value}", key.name)
}

/// Returns `text` as a basic string of TOML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "([a-z_]{1,12}|[=\\[\\]{}'\",.\n 0-9]){0,40}") {
            let _ = SettingsFile::parse(Path::new("x.toml"), &text);
        }

        #[test]
        fn what_is_written_is_read(value in "[ -~&&[^,=]]{1,20}") {
            let entry = |key| SettingsFile::parse(Path::new("x.toml"), &written(key, &value)).unwrap().top.remove(0);
            prop_assert_eq!(&entry(&keys::S3_REGION).text, &value);
            prop_assert_eq!(&entry(&keys::KNOWN_WARNINGS).text, &value);
        }
    }
}
