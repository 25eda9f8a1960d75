//! The checks of this host: settings, files with secrets, state folder and signing key.
//!
//! They read the settings that are in force and the files that these name. The only thing that they write is a temporary file in
//! the state folder, which is deleted at once; a doctor that is killed in between leaves an empty file there, which no command
//! reads.

use std::os::unix::fs::PermissionsExt as _;

use crate::command::setup::doctor::DoctorCheck;
use crate::config::{Loaded, Settings};
use crate::outcome::Exit;
use crate::private;
use crate::render::count;

/// Reports which settings were read.
///
/// This check cannot fail: wrong settings end the command before any check, with the name of the setting.
pub fn settings(loaded: &Loaded) -> DoctorCheck {
    let from = match &loaded.file {
        Some((path, _)) => format!("read from {} and the environment", path.display()),
        None => "read from the environment; there is no settings file".to_owned(),
    };
    let accounts = count(loaded.settings.accounts.len() as u64, "account");
    DoctorCheck::ok(
        "settings",
        format!("{from}; {accounts}, archive {}", loaded.settings.archive),
    )
}

/// Reports which files with secrets other users can read. Files that they can change have ended the command before, or are
/// failures of the checks that use them.
pub fn secret_files(loaded: &Loaded) -> Vec<DoctorCheck> {
    let name = "secret files";
    if loaded.exposed.is_empty() {
        let found = "no other user can read or change the files that the settings name";
        return vec![DoctorCheck::ok(name, found)];
    }
    loaded
        .exposed
        .iter()
        .map(|exposed| DoctorCheck::warning(name, exposed.message.clone(), exposed.remedy.clone()))
        .collect()
}

/// Checks the names of omitted fields: a misspelt name would silently omit nothing. `None` if no field is omitted.
pub fn omitted_fields(settings: &Settings) -> Option<DoctorCheck> {
    let name = "omitted fields";
    if settings.omit_fields.is_empty() {
        return None;
    }
    let doubtful = settings.doubtful_fields();
    let meant: Vec<String> = doubtful
        .iter()
        .map(|(name, meant)| format!("`{name}` (was `{meant}` meant?)"))
        .collect();
    Some(match meant.is_empty() {
        true => DoctorCheck::ok(name, format!("of every segment: {}", settings.omit_fields)),
        false => DoctorCheck::warning(
            name,
            format!("RingCX documents no field {}", meant.join(", ")),
            "Correct omit_fields (CXVAULT_OMIT_FIELDS); what is archived until then has the field.",
        ),
    })
}

/// Reports the share of the rate limits that other machines may use. `None` if this machine uses all.
pub fn quota_share(settings: &Settings) -> Option<DoctorCheck> {
    let share = settings.quota_share;
    let left = share.rest()?;
    let limits = format!(
        "{share} of RingCX's limits: summaries {}, discovery {}, tokens {}; {left} is left for other machines",
        settings.summary_limits, settings.discovery_limits, settings.token_limits
    );
    Some(DoctorCheck::ok("quota share", limits))
}

/// Checks the state folder by creating it and a file in it.
///
/// A folder that other users can write to is a warning: the remembered heads are in it, and they are what shows that a chain was
/// cut off.
pub(crate) fn state_folder(settings: &Settings) -> DoctorCheck {
    let (name, folder) = ("state folder", &settings.state_dir);
    let tried =
        private::create_folders(folder).and_then(|()| private::temporary_file(".doctor-", folder));
    if let Err(error) = tried {
        let found = format!("cannot write to {}: {error}", folder.display());
        return DoctorCheck::failed(
            name,
            Exit::Usage,
            found,
            "Make it writable for this user, or set another folder with --state-dir.",
        );
    }
    let mode =
        std::fs::metadata(folder).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    let shown = format!("{} (mode {mode:03o})", folder.display());
    if mode & 0o002 == 0 {
        return DoctorCheck::ok(name, shown);
    }
    DoctorCheck::warning(
        name,
        shown,
        "Other users can write there: chmod o-w, or set another folder with --state-dir.",
    )
}

/// Checks that there is a signing key and that it can be read. Only its fingerprint is shown (`SHA256:...`, as `ssh-keygen -l`
/// prints it).
pub fn signing_key(settings: &Settings) -> DoctorCheck {
    let name = "signing key";
    match settings.signing_key() {
        Ok(Some(key)) => DoctorCheck::ok(name, key.public_key().fingerprint()),
        Ok(None) => DoctorCheck::warning(
            name,
            "none: users who can write to the store could replace a whole chain unnoticed",
            "Create one with `cxvault keygen FILE`, and set CXVAULT_SIGNING_KEY_FILE.",
        ),
        Err(failure) => DoctorCheck::of_failure(name, failure),
    }
}
