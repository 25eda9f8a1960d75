//! `cxvault init`: writes a commented settings file. It never overwrites one.
//!
//! The file has every setting with its meaning and its default, commented out, so that it changes nothing until a line is
//! edited. It is generated from the table of settings ([`document::commented_file`]).
//!
//! The file is the one of the argument, of `--config`, or the usual one of this user. It contains no secret and no credential:
//! those are read from the environment, or from files that settings name. Only its owner can read and write it: it says where
//! secrets are sent. A command that is killed may leave a part of the file,
//! in which every line is a comment.

use std::io::{self, Write as _};
use std::path::Path;

use crate::cli::setup::InitArgs;
use crate::command::Context;
use crate::config::{Settings, document, usual_file};
use crate::outcome::{Exit, Failure, Result};
use crate::private;
use crate::render::Event;

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] if the file exists or cannot be written.
pub(crate) fn run(args: &InitArgs, context: &Context) -> Result<Exit> {
    let named = args
        .file
        .clone()
        .or_else(|| Settings::file_to_write(&context.flags, &context.environment));
    let path = named.ok_or_else(|| {
        Failure::usage("there is no home folder for the settings file")
            .remedy("Name a file: cxvault init FILE.")
    })?;
    write(&path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("{} exists, and was not changed", path.display()))
                .remedy("Edit it, or name another file: cxvault init FILE.")
        }
        _ => Failure::usage(format!("cannot write {}", path.display()))
            .because(error)
            .remedy("Name a file in a folder that this user may write to: cxvault init FILE."),
    })?;
    context
        .output
        .event(Event::new("settings-file").with("file", &path));
    let file = path.display();
    let by_itself = usual_file(&context.environment).is_some_and(|usual| usual == path);
    let flag = if by_itself {
        String::new()
    } else {
        format!("--config {file} ")
    };
    context.output.print_info(format_args!(
        "Wrote {file}. Edit it, then:\n  cxvault {flag}config    shows the settings in force\n  cxvault {flag}run       \
         archives yesterday"
    ));
    Ok(Exit::Done)
}

/// Creates the file and its folder.
///
/// # Errors
/// `AlreadyExists` for a file that is there, whatever it contains; otherwise the errors of the file system.
fn write(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        private::create_folders(folder)?;
    }
    let mut file = private::create_new(path)?;
    file.write_all(document::commented_file().as_bytes())?;
    file.sync_all()
}
