//! The table of settings as documents: the commented settings file of `cxvault init`, and the table in `docs/settings.md`.
//!
//! Tests compare `docs/settings.md` with [`settings_table_markdown`], and read the commented file with its comments taken
//! away, so that neither can disagree with the program.

use crate::config::file::written;
use crate::config::keys;
use crate::config::keys::{Fallback, Key, KeyScope, Syntax};

/// Returns a settings file that has every setting with its meaning and its default, commented out.
pub fn commented_file() -> String {
    let mut text = String::from(
        "# Settings of cxvault. Each line that begins with `#` and a name shows the default, or an example where\n\
         # there is none: remove the `# ` to set it. Flags and environment variables override this file;\n\
         # `cxvault config` shows every value and its origin. Relative paths count from the folder of this file.\n\
         # Secrets do not belong here: they have files of their own.\n",
    );
    let mut section = "";
    for key in keys::ALL
        .iter()
        .filter(|key| key.scope == KeyScope::Program)
    {
        if key.section != section {
            section = key.section;
            text += &format!(
                "\n# {} {section} {}\n",
                "-".repeat(3),
                "-".repeat(100 - section.len())
            );
        }
        text += &entry(key);
    }
    text += "\n# --- Accounts: one [[account]] table for each; a single account can be set by environment variables ---\n";
    text += "\n[[account]]\n";
    for key in keys::ALL
        .iter()
        .filter(|key| key.scope != KeyScope::Program)
    {
        text += &entry(key);
    }
    text
}

/// Returns the lines of one setting: its meaning as prose, and the setting itself commented out.
fn entry(key: &Key) -> String {
    let example = match key.default {
        Fallback::Nothing => " No default; an example:".into(),
        Fallback::Value(value) | Fallback::Computed(value) if value != key.example => {
            format!(" Default: {value}; an example:")
        }
        // The line below shows the default itself.
        Fallback::Value(_) | Fallback::Computed(_) => String::new(),
    };
    format!(
        "\n{}# {}\n",
        wrapped(&format!("{} ({}){example}", key.doc, key.env)),
        written(key, key.example)
    )
}

/// Returns `text` as comment lines of at most 104 characters. They begin with two `#`, so that prose never becomes a
/// setting when `# ` is removed from a line.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("##");
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > 104 {
            lines += &line;
            lines.push('\n');
            line = String::from("##");
        }
        line.push(' ');
        line += word;
    }
    lines + &line + "\n"
}

/// Returns a text as a code span of Markdown.
fn code_span(text: &str) -> String {
    format!("`{text}`")
}

/// Returns the table of `docs/settings.md`, in Markdown: one row for each setting.
pub fn settings_table_markdown() -> String {
    let mut text = String::from(
        "| key in the file | environment | flag | default | meaning |\n|---|---|---|---|---|\n",
    );
    for key in keys::ALL {
        let flag = key.flag.map(code_span).unwrap_or_default();
        let default = match key.default {
            Fallback::Nothing => String::new(),
            Fallback::Value(value) | Fallback::Computed(value) => code_span(value),
        };
        let mut env = code_span(key.env);
        if let Syntax::SecretFile { env: inline, .. } = key.syntax {
            env += &format!(", or `{inline}`");
        }
        text += &format!(
            "| `{}` | {env} | {flag} | {default} | {} |\n",
            key.name, key.doc
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_key_and_variable() {
        let table = settings_table_markdown();
        for name in keys::env_names().filter(|name| *name != keys::CONFIG_ENV) {
            assert!(table.contains(&format!("`{name}`")), "{name}");
        }
        assert_eq!(table.lines().count(), keys::ALL.len() + 2);
        assert!(
            table.lines().all(|line| line.matches('|').count() == 6),
            "a `|` inside a cell"
        );
    }

    #[test]
    fn the_commented_file_sets_nothing() {
        let text = commented_file();
        let settings = |line: &&str| !line.is_empty() && !line.starts_with('#');
        assert_eq!(
            text.lines().filter(settings).collect::<Vec<_>>(),
            ["[[account]]"]
        );
        assert!(text.lines().all(|line| line.len() <= 110));
    }
}
