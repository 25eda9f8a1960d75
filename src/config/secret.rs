//! Secrets: read from the environment or from files of their own, never from flags or the settings file.
//!
//! A secret is a [`SecretString`] from here on: `Debug` does not show it, and its memory is cleared when it is dropped. No
//! message has a secret or the content of a file with one.
//!
//! Flags are excluded because every user of a host can list the arguments of its processes, and the settings file because it is
//! the file that people copy into tickets and repositories. Container platforms mount secrets as files, which is the way that the
//! documents recommend; the environment is the way of CI systems.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use crate::config::exposure;
use crate::config::keys::{Key, Syntax};
use crate::config::layers::{AccountScope, Layers, Origin, RawValue};
use crate::outcome::{Failure, Result};

/// The text that `cxvault config` shows in place of a secret.
pub(crate) const MASK: &str = "********";
/// Largest file with a secret, in bytes. No token is longer, and reading a path such as /dev/zero has to end.
const MAX_BYTES: u64 = 64 * 1024;

/// Takes the secret of which `key` names the file, or which is in the environment itself; `None` if it is not set.
///
/// Returns its origin too: of two kinds of credentials those from the stronger layer count.
///
/// # Errors
/// `Exit::Usage` if both are set, or if the secret cannot be read, is empty, or has characters that a header of HTTP cannot
/// carry.
pub(super) fn take<'a>(
    layers: &mut Layers<'a>,
    key: &'static Key,
    place: AccountScope<'a>,
) -> Result<Option<(SecretString, Origin)>> {
    let Syntax::SecretFile { env, .. } = key.syntax else {
        return Ok(None);
    };
    let file = layers.find(key, place);
    if let Some(inline) = layers.env.get(env) {
        if layers.env.get(key.env).is_some() {
            return Err(
                Failure::usage(format!("{env} and {} are both set", key.env))
                    .remedy("Unset one of them."),
            );
        }
        let origin = Origin::Environment(env);
        let secret = checked(inline, &origin.to_string())?;
        layers.note(key, Some(MASK.into()), origin.clone());
        return Ok(Some((secret, origin)));
    }
    let Some(found) = file else {
        layers.note(key, None, Origin::Unset);
        return Ok(None);
    };
    let secret = read(layers, key, &found)?;
    layers.note(
        key,
        Some(format!("{} ({MASK})", found.text)),
        found.origin.clone(),
    );
    Ok(Some((secret, found.origin)))
}

/// Reads the secret from a file, and notes where other users can read it too.
fn read(layers: &mut Layers<'_>, key: &Key, found: &RawValue) -> Result<SecretString> {
    // Only the error of the file system: no part of the content may get into a message.
    let named = format!("the secret file {} (from {})", found.text, found.origin);
    let unreadable = |error| {
        Failure::usage(format!("cannot read {named}"))
            .because(error)
            .remedy(format!(
                "Correct `{}`, or let this user read the file.",
                key.name
            ))
    };
    let file = File::open(&found.text).map_err(unreadable)?;
    let (about, path) = (file.metadata().map_err(unreadable)?, Path::new(&found.text));
    let exposed = exposure::judge(&about, path, &named, exposure::Content::Secret)?;
    layers.exposed.extend(exposed);
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(found.failure(key, &format!("{} is too long for a secret", found.text)));
    }
    checked(&text, &named)
}

/// Returns a secret without the newline that editors and `echo` append.
fn checked(text: &str, named: &str) -> Result<SecretString> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Failure::usage(format!("{named} is empty")).remedy("Write the secret to it."));
    }
    // A header of HTTP cannot carry these: the setting is refused here instead of by every request.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage(format!(
            "{named} has blanks, line breaks or characters outside of ASCII"
        ))
        .remedy("Write only the secret to it, on one line."));
    }
    Ok(SecretString::from(text))
}
