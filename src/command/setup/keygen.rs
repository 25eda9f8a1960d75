//! `cxvault keygen`: creates an Ed25519 key that signs manifests and parts, in the format of OpenSSH.
//!
//! The private key is written into one new file, which only its owner can read; the public key, its fingerprint and the line for
//! an allowed_signers file (ssh-keygen(1), "ALLOWED SIGNERS") are printed. The key has no passphrase, because the nightly run has
//! no terminal to read one from: the permissions of the file protect it.
//!
//! A command that is killed may leave an incomplete file, which the next command refuses to overwrite; delete it and run again.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::cli::setup::KeygenArgs;
use crate::command::Context;
use crate::config::keys;
use crate::format::signature::SigningKey;
use crate::outcome::{Exit, Failure, Result};
use crate::private;
use crate::render::Event;

/// Principal in the line for an allowed_signers file. It says what the key is for.
const PRINCIPAL: &str = "cxvault";

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] if the file exists or cannot be created.
pub(crate) fn run(args: &KeygenArgs, context: &Context) -> Result<Exit> {
    let (key, pem) = SigningKey::generate()
        .and_then(|key| key.to_openssh_pem(&args.comment).map(|pem| (key, pem)))
        .map_err(|error| Failure::unexpected("cannot create a key").because(error))?;
    write_secret(&args.file, pem.as_bytes())?;

    let public = key.public_key();
    let (line, fingerprint) = (public.to_openssh_line(), public.fingerprint());
    let allowed = public.allowed_signers_line(PRINCIPAL);
    // The event has no part of the private key.
    context.output.event(
        Event::new("key")
            .with("file", &args.file)
            .with("public_key", &line)
            .with("fingerprint", &fingerprint)
            .with("allowed_signers_line", &allowed),
    );
    let file = args.file.display();
    context.output.print_info(format_args!(
        "Private key: {file}\nPublic key:  {line}\nFingerprint: {fingerprint}\n\nTo sign with it: {}={file}\nTo verify with \
         it, add this line to an allowed_signers file:",
        keys::SIGNING_KEY_FILE.env
    ));
    context.output.print(allowed);
    Ok(Exit::Done)
}

/// Creates a file that only its owner can read. It never overwrites a file, since signatures of a lost key could not be made
/// again.
fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = private::create_new(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("{} exists, and was not changed", path.display()))
                .remedy("Name another file, or use the key in this file.")
        }
        _ => Failure::usage(format!("cannot create {}", path.display()))
            .because(error)
            .remedy("Name a file in an existing folder that this user may write to."),
    })?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| {
            // A part of a key is useless. If it cannot be removed either, the failure of the disk is reported below.
            let _ = fs::remove_file(path);
            Failure::unexpected(format!("cannot write {}", path.display()))
                .because(error)
                .remedy("Check the free space of the disk.")
        })
}
