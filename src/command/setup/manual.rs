//! `cxvault completions`, `cxvault man` and `cxvault reference`: the documents that are generated from the declarations of the
//! command line.
//!
//! All three write to stdout alone and read nothing but the declarations in [`crate::cli`], so that a manual cannot differ from
//! the program that printed it.

use std::io::{self, Write as _};

use clap::{Arg, Command, CommandFactory as _};

use crate::cli::Cli;
use crate::cli::setup::CompletionsArgs;
use crate::outcome::{Exit, Failure, Result};

/// Prints a script for the completion of a shell.
///
/// # Errors
/// [`Exit::Unexpected`] if stdout cannot be written.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cxvault", &mut script);
    print(&script)
}

/// Prints the manual: the page of cxvault, and then a page for each command.
///
/// # Errors
/// [`Exit::Unexpected`] if stdout cannot be written.
pub fn man() -> Result<Exit> {
    let mut pages = Vec::new();
    let mut root = Cli::command();
    root.build();
    let shown = root
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    for command in std::iter::once(&root).chain(shown) {
        clap_mangen::Man::new(command.clone())
            .render(&mut pages)
            .map_err(|error| Failure::unexpected("cannot generate the manual").because(error))?;
    }
    print(&pages)
}

/// Prints the content of `schemas/CLI.md`.
///
/// # Errors
/// [`Exit::Unexpected`] if stdout cannot be written.
pub fn reference() -> Result<Exit> {
    print(reference_text().as_bytes())
}

/// Returns all commands with their flags, as Markdown. It is generated from the same declarations as `--help`.
pub fn reference_text() -> String {
    let mut root = Cli::command().term_width(80);
    root.build();
    let mut text = String::from(
        "# Command line\n\nMade by `cxvault reference > schemas/CLI.md`; a test compares. Exit codes are in \
         docs/operators.md, settings in docs/settings.md.\n",
    );
    text.push_str("\n## Flags of every command\n");
    let global = root.get_arguments().filter(|arg| arg.is_global_set());
    describe_all(global, &mut text);
    for command in root
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        chapter(command, "cxvault", 2, &mut text);
    }
    text
}

/// Writes the chapter of a command and of its subcommands.
fn chapter(command: &Command, parent: &str, depth: usize, text: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    text.push_str(&format!("\n{} {name}\n\n{about}.\n", "#".repeat(depth)));
    let own = command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version"));
    describe_all(own, text);
    if let Some(after) = command.get_after_help() {
        text.push_str(&format!(
            "\n```text\n{}\n```\n",
            after.to_string().trim_end()
        ));
    }
    for below in command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
    {
        chapter(below, &name, depth + 1, text);
    }
}

/// Writes the list of some flags, if there are any.
fn describe_all<'a>(args: impl Iterator<Item = &'a Arg>, text: &mut String) {
    let before = text.len();
    args.for_each(|arg| describe(arg, text));
    if text.len() > before {
        text.push('\n');
    }
}

/// Writes a flag with its value, its help text and its default.
fn describe(arg: &Arg, text: &mut String) {
    let value = arg
        .get_value_names()
        .into_iter()
        .flatten()
        .map(|name| format!(" <{name}>"))
        .collect::<String>();
    let takes = arg.get_action().takes_values();
    let shown = match (arg.get_long(), arg.get_short()) {
        (Some(long), Some(short)) => format!("--{long}, -{short}"),
        (Some(long), None) => format!("--{long}"),
        (None, _) => String::new(),
    };
    let shown = format!("{shown}{}", if takes { value.as_str() } else { "" });
    let help = arg
        .get_help()
        .map(|help| help.to_string().replace('\n', " "))
        .unwrap_or_default();
    let default: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    let default = match default.is_empty() || !takes {
        true => String::new(),
        false => format!(" (default: {})", default.join(",")),
    };
    text.push_str(&format!("\n- `{}`: {help}{default}", shown.trim()));
}

/// Writes to stdout. A reader that closes the pipe early is no error.
fn print(bytes: &[u8]) -> Result<Exit> {
    match io::stdout()
        .write_all(bytes)
        .and_then(|()| io::stdout().flush())
    {
        // The reader, such as a pager, has ended.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(error) => Err(Failure::unexpected("cannot write to stdout").because(error)),
        Ok(()) => Ok(Exit::Done),
    }
}
