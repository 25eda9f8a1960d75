//! Which process wrote a record, when, and with what.

use serde::{Deserialize, Serialize};

use crate::format::hash::Digest;
use crate::format::time::Instant;

/// The run that committed a record: the process, its host, its program and its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Id of the run, unique in the archive. Rows name it as the run that observed them.
    pub id: String,
    /// Version of this program.
    pub tool_version: String,
    /// Versions of the libraries that the bytes depend on.
    pub libraries: String,
    /// Version of the time zone database, such as `2026b`.
    pub tz_database: String,
    /// Name of the host.
    pub host: String,
    /// SHA-256 over the settings in force, without secrets.
    pub settings_sha256: Digest,
    /// Start of the run, by the host's clock.
    pub started_at: Instant,
    /// When the record was written, by the host's clock.
    pub finished_at: Instant,
    /// The API's clock minus the host's, in milliseconds; null when the API was not requested.
    pub clock_skew_ms: Option<i64>,
}
