//! What this host itself has.

use std::os::unix::fs::PermissionsExt as _;

use crate::command::setup::doctor::DoctorCheck;
use crate::config::{Loaded, Settings};
use crate::outcome::Exit;

pub fn settings(loaded: &Loaded) -> DoctorCheck {
    let from = match &loaded.file {
        Some((path, _)) => format!("read from {} and the environment", path.display()),
        None => "read from the environment; there is no settings file".to_owned(),
    };
    let accounts = loaded.settings.accounts.len();
    DoctorCheck::ok(
        "settings",
        format!(
            "{from}; {accounts} accounts, archive {}",
            loaded.settings.archive
        ),
    )
}

/// Where fields are left out: a misspelt name would leave nothing out, and nobody would notice.
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
            "Correct omit_fields (CXVAULT_OMIT_FIELDS); what is archived until then holds the field.",
        ),
    })
}

/// Where machines share the quota: what is left for the others.
pub fn quota_share(settings: &Settings) -> Option<DoctorCheck> {
    let share = settings.quota_share;
    let left = share.rest()?;
    let limits = format!(
        "{share} of RingCX's limits: summaries {}, discovery {}, tokens {}; {left} is left for other machines",
        settings.summary_limits, settings.discovery_limits, settings.token_limits
    );
    Some(DoctorCheck::ok("quota share", limits))
}

/// Made, written and removed by doing.
pub fn state_folder(settings: &Settings) -> DoctorCheck {
    let (name, folder) = ("state folder", &settings.state_dir);
    let tried =
        std::fs::create_dir_all(folder).and_then(|()| tempfile::NamedTempFile::new_in(folder));
    if let Err(error) = tried {
        let found = format!("cannot write to {}: {error}", folder.display());
        return DoctorCheck::failed(
            name,
            Exit::Usage,
            found,
            "Make it writable for this user, or name another with --state-dir.",
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
        "Others can write there: chmod o-w, or name another folder with --state-dir.",
    )
}

pub fn signing_key(settings: &Settings) -> DoctorCheck {
    let name = "signing key";
    match settings.signing_key() {
        Ok(Some(key)) => DoctorCheck::ok(name, key.public_key().fingerprint()),
        Ok(None) => DoctorCheck::warning(
            name,
            "none: whoever can write to the store could rewrite a whole chain unseen",
            "Make one with `cxvault keygen FILE`, and set CXVAULT_SIGNING_KEY_FILE.",
        ),
        Err(failure) => DoctorCheck::of_failure(name, failure),
    }
}
