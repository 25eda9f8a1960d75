//! The metrics file, which a collector such as node_exporter may read at any time.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::private;
use crate::telemetry::prometheus;

/// Largest file that is read, in bytes.
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
///
/// The folder is shared with the collector, and often with other programs that report to it. So a link is not followed, and
/// a FIFO of one of them, which nobody writes to, does not keep the run waiting.
pub fn last_success_ms(path: &Path) -> Option<i64> {
    let mut text = String::new();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    io::Read::read_to_string(&mut io::Read::take(file, MAX_BYTES), &mut text).ok()?;
    prometheus::last_success_ms(&text)
}
