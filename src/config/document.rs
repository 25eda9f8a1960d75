//! What the table of keys says to people: the commented file of `cxvault init`, and the README's table.

use crate::config::file::written;
use crate::config::keys;
use crate::config::keys::{Fallback, Key, KeyScope, Syntax};

/// A settings file in which every key stands with its meaning and its default, commented out.
pub fn commented_file() -> String {
    let mut text = String::from(
        "# Settings of cxvault. Each line that begins with `#` and a key shows the default, or an example where\n\
         # there is none: take the `# ` away to set it. Flags and environment variables win over this file;\n\
         # `cxvault config` shows what is in force and where it came from. Relative paths count from this file's\n\
         # folder. Secrets do not belong here: they have files of their own.\n",
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
    text += "\n# --- Accounts: one [[account]] for each; environment variables do for a single one ---\n";
    text += "\n[[account]]\n";
    for key in keys::ALL
        .iter()
        .filter(|key| key.scope != KeyScope::Program)
    {
        text += &entry(key);
    }
    text
}

fn entry(key: &Key) -> String {
    let example = match key.default {
        Fallback::Value(value) if value != key.example => format!(" Default: {value}; an example:"),
        Fallback::Computed(value) if value != key.example => {
            format!(" Default: {value}; an example:")
        }
        Fallback::Value(_) | Fallback::Computed(_) => String::new(),
        Fallback::Nothing => " No default; an example:".into(),
    };
    format!(
        "\n{}# {}\n",
        wrapped(&format!("{} ({}){example}", key.doc, key.env)),
        written(key, key.example)
    )
}

/// `text` as comment lines of a fair width. Two `#`, so that taking away `# ` never makes prose a setting.
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

/// The README's table of settings, in Markdown.
pub fn settings_table_markdown() -> String {
    let mut text = String::from(
        "| key in the file | environment | flag | default | meaning |\n|---|---|---|---|---|\n",
    );
    for key in keys::ALL {
        let code = |text: &str| format!("`{text}`");
        let flag = key.flag.map(code).unwrap_or_default();
        let default = match key.default {
            Fallback::Nothing => String::new(),
            Fallback::Value(value) | Fallback::Computed(value) => code(value),
        };
        let mut env = code(key.env);
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
