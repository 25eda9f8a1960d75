//! Object Lock: how long an object may not be deleted or overwritten.

use serde::{Deserialize, Serialize};

/// S3's two Object Lock modes: GOVERNANCE can be lifted by a privileged user, COMPLIANCE by nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LockMode {
    Governance,
    Compliance,
}

/// The retention of one object version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub mode: LockMode,
    /// UTC milliseconds since the epoch; whole seconds, since S3 keeps no finer time.
    pub until_ms: i64,
}
