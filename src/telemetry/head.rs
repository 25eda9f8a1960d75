//! A new head, as JSON that a chat shows and a program keeps.

use std::sync::Arc;

use secrecy::SecretString;
use serde::Serialize;

use crate::clock::Clock;
use crate::format::record::anchor::Anchor;
use crate::format::time::day::rfc3339;
use crate::telemetry::send::{Message, Patience, send};

/// Who is told of heads, and by whom.
#[derive(Debug, Clone)]
pub struct Heads {
    /// The URL itself is the secret.
    pub url: SecretString,
    /// Where the archive is.
    pub archive: String,
    pub host: String,
}

#[derive(Serialize)]
struct HeadNotice<'a> {
    /// What Slack, Mattermost and others show.
    text: String,
    archive: &'a str,
    archive_id: &'a str,
    chain: &'a str,
    /// `SUB_ACCOUNT:SEQUENCE:SHA256`, as `verify --expect-head` takes it.
    head: &'a str,
    sequence: u64,
    sha256: String,
    key: &'a str,
    committed_at: String,
    host: &'a str,
}

impl Heads {
    /// Tells it until an answer is good, or says why none was: without the address. With `hurry` it is tried once only.
    pub async fn tell(
        &self,
        anchor: &Anchor,
        clock: &Arc<dyn Clock>,
        hurry: bool,
    ) -> Result<(), String> {
        let patience = if hurry {
            Patience::HURRIED
        } else {
            Patience::USUAL
        };
        let message = Message::post(
            "CXVAULT_ANCHOR_WEBHOOK_URL",
            self.url.clone(),
            self.body(anchor),
        );
        send(&message, &**clock, patience).await
    }

    fn body(&self, anchor: &Anchor) -> Vec<u8> {
        let head = anchor.head().to_string();
        let body = HeadNotice {
            text: super::webhook::escaped(&format!(
                "cxvault on {}: head {head} of {}",
                self.host, self.archive
            )),
            archive: &self.archive,
            archive_id: &anchor.archive_id,
            chain: &anchor.chain,
            head: &head,
            sequence: anchor.sequence,
            sha256: anchor.sha256.hex(),
            key: &anchor.key,
            committed_at: rfc3339(anchor.committed_at),
            host: &self.host,
        };
        // Texts and numbers always become JSON.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}
