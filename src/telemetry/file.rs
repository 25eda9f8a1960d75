//! The metrics as a file, for a collector that reads it whenever it likes.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::telemetry::prometheus;

/// Nobody's metrics are longer, and a path like /dev/zero ends.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Replaces the file whole: a collector must never read half of it, nor find none.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // Not `.prom`: node_exporter reads whatever ends so in its folder.
    let mut file = tempfile::Builder::new()
        .prefix(".cxvault-")
        .suffix(".tmp")
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    // The collector is another user.
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// When a run last succeeded, as the file of an earlier one says. A run that fails must hand it on, or nobody could tell
/// for how long nothing has been archived.
pub fn last_success_ms(path: &Path) -> Option<i64> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    io::Read::read_to_string(&mut io::Read::take(file, MAX_BYTES), &mut text).ok()?;
    prometheus::last_success_ms(&text)
}
