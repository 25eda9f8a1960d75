//! What a part says of itself in its footer.

use serde::{Deserialize, Serialize};

use crate::format::hash::Digest;
use crate::format::row::Omission;
use crate::format::time::Window;

/// Key of the footer's metadata that holds the part's [`Statement`] as canonical JSON.
pub const STATEMENT_KEY: &str = "cxvault.part";
/// Key of the footer's metadata that holds the SSHSIG signature over the statement's bytes, where a key is configured.
pub const SIGNATURE_KEY: &str = "cxvault.signature";

/// What a part says of itself in its footer, so that it can be judged without a manifest.
///
/// `schemas/part.v1.schema.json` describes its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Id of the archive.
    pub archive_id: String,
    /// Version of the format; 1.
    pub format_version: u32,
    /// The part's own key: the same bytes under another key are not a part.
    pub key: String,
    /// RFC 6962 root over the rows' leaves.
    pub merkle_root: Digest,
    /// Fields that no row of this part holds, because the settings leave them out.
    #[serde(default, skip_serializing_if = "Omission::is_empty")]
    pub omitted_fields: Omission,
    /// Number of rows.
    pub rows: u64,
    /// The instants of the archive day.
    pub window: Window,
    /// IANA name of the day's time zone.
    pub zone: String,
}

impl Statement {
    /// Reads a statement. Returns `None` also for a text in another form than the canonical one: the signed bytes would
    /// not be the stored ones.
    pub(super) fn read(text: &str) -> Option<Statement> {
        let statement: Statement = serde_json::from_str(text).ok()?;
        (statement.canonical().ok()? == text).then_some(statement)
    }

    /// Returns RFC 8785's form: the text that is stored and signed.
    ///
    /// # Errors
    /// Where a value has no form in JSON, which strings and integers always have.
    pub fn canonical(&self) -> serde_json::Result<String> {
        serde_json_canonicalizer::to_string(self)
    }
}
