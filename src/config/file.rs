//! The settings file: TOML, every key checked against the table, every value with the line it stands on.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::keys;
use crate::config::keys::{Key, KeyScope, Syntax};
use crate::config::suggest::nearest;
use crate::format::text::printable_start;
use crate::outcome::{Exit, Failure, Result};

/// A settings file, taken apart and not yet understood.
#[derive(Debug, Default)]
pub struct SettingsFile {
    pub path: PathBuf,
    pub top: Vec<FileEntry>,
    /// One element for each `[[account]]`.
    pub accounts: Vec<Vec<FileEntry>>,
}

/// One key with its value as text: arrays with commas between, tables as `key=value` with commas between.
#[derive(Debug)]
pub struct FileEntry {
    pub key: &'static Key,
    pub text: String,
    pub line: usize,
}

impl SettingsFile {
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("cannot read the settings file {}", path.display()),
            )
            .because(error)
            .remedy(
                "Name another with --config or CXVAULT_CONFIG, or make one with `cxvault init`.",
            )
        })?;
        Self::parse(path, &text)
    }

    /// Reads `text` as the content of `path`, which is only named in errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let source = FileText { path, text };
        // The error's own form quotes the line, which may hold a secret; so message and line number only.
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

struct FileText<'a> {
    path: &'a Path,
    text: &'a str,
}

impl FileText<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        self.text
            .bytes()
            .take(span.start)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1
    }

    fn failure(&self, line: usize, what: &str) -> Failure {
        Failure::new(
            Exit::Usage,
            format!("{}, line {line}: {what}", self.path.display()),
        )
    }

    fn accounts(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Vec<FileEntry>>> {
        let not_accounts = || {
            self.failure(
                self.line(&value.span()),
                "`account` is not an array of tables",
            )
            .remedy("Begin each account with a line `[[account]]`, with two brackets.")
        };
        let mut accounts = Vec::new();
        for account in value.get_ref().as_array().ok_or_else(not_accounts)? {
            let table = account.get_ref().as_table().ok_or_else(not_accounts)?;
            let entries = table
                .iter()
                .map(|(name, value)| self.entry(name.get_ref(), name.span(), value, true));
            accounts.push(entries.collect::<Result<_>>()?);
        }
        Ok(accounts)
    }

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
                .failure(line, &format!("`{name}` does not belong to an account"))
                .remedy("Move it to the top of the file, before the first [[account]]."));
        }
        let text = text_of(value.get_ref(), key.syntax).map_err(|what| {
            let remedy = format!("Write it like {}.", written(key, key.example));
            self.failure(line, &format!("`{name}` {what}"))
                .remedy(remedy)
        })?;
        Ok(FileEntry { key, text, line })
    }

    fn unknown(&self, line: usize, name: &str) -> Failure {
        let inline =
            |key: &&&Key| matches!(key.syntax, Syntax::SecretFile { inline, .. } if inline == name);
        if let Some(key) = keys::ALL.iter().find(inline)
            && let Syntax::SecretFile { env, .. } = key.syntax
        {
            return self.failure(line, &format!("`{name}` is a secret, and secrets do not belong here")).remedy(
                format!(
                    "Put it into a file of its own that only you can read, and write {} = \"PATH\" here; or set \
                     {env}. If others could read this file, replace the secret.",
                    key.name
                ),
            );
        }
        let known = keys::ALL.iter().map(|key| key.name).chain(["account"]);
        let shown = printable_start(name, 60);
        self.failure(line, &format!("`{shown}` is not a setting"))
            .remedy(match (keys::renamed(name), nearest(name, known)) {
                (Some(new), _) => format!("It is now called `{new}`: write that name."),
                (None, Some(meant)) => format!("Did you mean `{meant}`?"),
                (None, None) => {
                    "Take it out; `cxvault config` lists every setting there is.".into()
                }
            })
    }
}

/// One text for a TOML value, or what is wrong with it. Never repeats the value: it may be a misplaced secret.
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

/// A value inside an array or table; these are joined with `,` and `=`, so it must not hold any.
fn element(value: &DeValue<'_>) -> Result<String, &'static str> {
    let text = scalar(value)?;
    if text.contains([',', '=']) {
        Err("holds an element with a comma or an equals sign")
    } else {
        Ok(text)
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Float(_) => Err("is a number with a point; write it as a text in quotes"),
        DeValue::Datetime(_) => Err("is a date or time; write it as a text in quotes"),
        DeValue::Array(_) | DeValue::Table(_) => Err("holds arrays or tables inside"),
    }
}

/// `key = value` in TOML.
pub fn written(key: &Key, value: &str) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
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
