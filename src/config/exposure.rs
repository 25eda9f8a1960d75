//! Whether other users of this host can read or change a file that a setting names, or the settings file itself.
//!
//! | file | others can read it | others can change it |
//! |---|---|---|
//! | a secret, the signing key | warned of | refused |
//! | the allowed signers | public | refused: they decide which records count |
//! | the settings file | it holds no secret | refused for all users, warned of for the group: it says where secrets are sent |
//!
//! A file can be changed by those who may write to it, and replaced by those who may write to one of its folders, unless that
//! is sticky (as `/tmp`, and the folders in which Kubernetes mounts secrets). Who may read through the group counts only
//! where this user owns the file and so does not need the group: a secret that root gives to a service is `0640`, and is
//! read through the group. Only regular files have modes that mean this; a pipe or a device is taken as it is.
//!
//! A warning does not end a command, because the secret may be the only one there is, and the operator decides how soon it
//! is exchanged. A file that others can change ends it: it may be theirs already.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::outcome::{Failure, Result};

/// What a file holds, which decides who may read and change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// A password, a token, a private key.
    Secret,
    /// Public, but decisive: the keys whose signatures count.
    Trust,
    /// The settings, which have no secret in them.
    Settings,
}

/// A file that other users can read or change, though the command goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposedFile {
    /// What is wrong with which file: a clause without a full stop.
    pub message: String,
    /// What to do: sentences.
    pub remedy: String,
}

/// Bits of a mode.
const GROUP_READS: u32 = 0o040;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Judges the file at `path` by its properties; `named` is how messages call it.
///
/// # Errors
/// `Exit::Usage` where others can change it, with its mode and the `chmod` that ends that.
pub(crate) fn judge(
    about: &Metadata,
    path: &Path,
    named: &str,
    content: Content,
) -> Result<Option<ExposedFile>> {
    if !about.is_file() {
        return Ok(None);
    }
    refuse_writable(about, path, named, content)?;
    refuse_replaceable(path, named)?;
    Ok(readable(about, path, named, content))
}

/// Refuses a file that others can write to.
fn refuse_writable(about: &Metadata, path: &Path, named: &str, content: Content) -> Result<()> {
    let forbidden = match content {
        Content::Settings => OTHERS_WRITE,
        Content::Secret | Content::Trust => OTHERS_WRITE | GROUP_WRITES,
    };
    let mode = about.mode() & 0o7777;
    if mode & forbidden == 0 {
        return Ok(());
    }
    let message = format!("other users can change {named} (mode {mode:04o})");
    Err(Failure::usage(message).remedy(format!(
        "Check that it is still yours, then: chmod {} {}",
        suitable(content),
        path.display()
    )))
}

/// Refuses a file in a folder in which every user can replace it, or the folder above it, and so on up to the root. Links are
/// resolved: what counts are the folders of the file that is read, and those of the link.
fn refuse_replaceable(path: &Path, named: &str) -> Result<()> {
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folders = path.ancestors().skip(1).chain(resolved.ancestors().skip(1));
    for folder in folders {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        let Ok(about) = folder.metadata() else {
            continue;
        };
        let mode = about.mode() & 0o7777;
        if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
            let message = format!(
                "other users can replace {named}: they can write to the folder {} (mode {mode:04o})",
                folder.display()
            );
            return Err(Failure::usage(message).remedy(format!(
                "Check that it is still yours, then: chmod o-w {}",
                folder.display()
            )));
        }
    }
    Ok(())
}

/// Returns what a file that others can read, or the group can change, is warned of with.
fn readable(about: &Metadata, path: &Path, named: &str, content: Content) -> Option<ExposedFile> {
    let mode = about.mode() & 0o7777;
    let is_owner = about.uid() == rustix::process::geteuid().as_raw();
    let group = if is_owner { GROUP_READS } else { 0 };
    let what = match content {
        Content::Secret if mode & (OTHERS_READ | group) != 0 => "read",
        Content::Settings if mode & GROUP_WRITES != 0 => "change",
        _ => return None,
    };
    Some(ExposedFile {
        message: format!("other users can {what} {named} (mode {mode:04o})"),
        remedy: format!(
            "Run: chmod {} {}{}",
            suitable(content),
            path.display(),
            match content {
                Content::Secret => ", and exchange the secret if others use this host.",
                _ => "",
            }
        ),
    })
}

/// Returns the mode that a message proposes.
fn suitable(content: Content) -> &'static str {
    match content {
        Content::Secret => "600",
        Content::Trust => "644",
        Content::Settings => "go-w",
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::outcome::Exit;

    /// Judges a file with this mode in a folder with that mode.
    fn of(mode: u32, folder_mode: u32, content: Content) -> Result<Option<ExposedFile>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(folder_mode)).unwrap();
        let about = fs::metadata(&path).unwrap();
        let judged = judge(&about, &path, "the secret file x", content);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        judged
    }

    #[test]
    fn what_others_can_read_is_warned_of_and_what_they_can_change_is_refused() {
        use Content::{Secret, Settings, Trust};
        for (mode, content, expected) in [
            (0o600, Secret, "fine"),
            (0o400, Secret, "fine"),
            (0o640, Secret, "warned"),
            (0o604, Secret, "warned"),
            (0o644, Secret, "warned"),
            (0o660, Secret, "refused"),
            (0o602, Secret, "refused"),
            (0o666, Secret, "refused"),
            (0o644, Trust, "fine"),
            (0o664, Trust, "refused"),
            (0o646, Trust, "refused"),
            (0o644, Settings, "fine"),
            (0o664, Settings, "warned"),
            (0o666, Settings, "refused"),
        ] {
            let judged = of(mode, 0o700, content);
            let found = match &judged {
                Ok(None) => "fine",
                Ok(Some(_)) => "warned",
                Err(_) => "refused",
            };
            assert_eq!(found, expected, "{mode:o} {content:?}");
            let text = match judged {
                Ok(None) => continue,
                Ok(Some(exposed)) => exposed.message + &exposed.remedy,
                Err(failure) => {
                    assert_eq!(failure.exit, Exit::Usage);
                    failure.to_string()
                }
            };
            let mode = format!("mode {mode:04o}");
            assert!(text.contains(&mode) && text.contains("chmod "), "{text}");
        }
    }

    #[test]
    fn a_folder_in_which_others_can_replace_the_file_is_refused_unless_it_is_sticky() {
        assert!(of(0o600, 0o777, Content::Secret).is_err());
        assert!(of(0o644, 0o777, Content::Settings).is_err());
        assert_eq!(of(0o600, 0o1777, Content::Secret).unwrap(), None);
        assert_eq!(of(0o600, 0o755, Content::Secret).unwrap(), None);
    }

    #[test]
    fn the_folders_above_count_as_well_and_so_do_those_of_a_link() {
        let root = tempfile::tempdir().unwrap();
        let [open, closed] = ["open", "closed"].map(|name| root.path().join(name));
        for folder in [open.join("inner"), closed.clone()] {
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
            fs::write(folder.join("file"), "x").unwrap();
            fs::set_permissions(folder.join("file"), Permissions::from_mode(0o600)).unwrap();
        }
        std::os::unix::fs::symlink(closed.join("file"), open.join("to-closed")).unwrap();
        std::os::unix::fs::symlink(open.join("inner/file"), closed.join("to-open")).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        for (path, is_refused) in [
            (open.join("inner/file"), true),
            (open.join("to-closed"), true),
            (closed.join("to-open"), true),
            (closed.join("file"), false),
        ] {
            let about = fs::metadata(&path).unwrap();
            let judged = judge(&about, &path, "x", Content::Secret);
            assert_eq!(judged.is_err(), is_refused, "{}", path.display());
        }
    }
}
