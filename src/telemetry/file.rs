//! The metrics file, which a collector such as node_exporter may read at any time.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::private;
use crate::telemetry::prometheus;

/// Largest file that is read, in bytes: reading a path such as /dev/zero has to end.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Replaces the file in one step: a collector never reads a part of it, nor misses it.
///
/// # Errors
/// The error of the file system; the earlier file is still there then.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // Its name does not end in `.prom`: node_exporter reads every file of its folder that does.
    let mut file = private::temporary_file(".cxvault-", folder)?;
    file.write_all(text.as_bytes())?;
    // The collector runs as another user.
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Returns when a run last succeeded, in UTC milliseconds, from the file of an earlier run. A run that fails has to pass it
/// on; otherwise no alert could say for how long nothing has been archived.
pub fn last_success_ms(path: &Path) -> Option<i64> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    io::Read::read_to_string(&mut io::Read::take(file, MAX_BYTES), &mut text).ok()?;
    prometheus::last_success_ms(&text)
}
