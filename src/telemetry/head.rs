//! The notice of a new head, as JSON that a chat can show and a program can store.
//!
//! A head that is stored outside of the archive is the proof that the end of the chain was not cut off.

use std::sync::Arc;

use secrecy::SecretString;
use serde::Serialize;

use crate::clock::Clock;
use crate::format::record::{Anchor, TreeHead};
use crate::format::time::Instant;
use crate::telemetry::send::{Message, send};

/// The receiver of the notices, and what they say about the sender.
#[derive(Debug, Clone)]
pub struct Heads {
    /// URL of the receiver. It is itself the secret.
    pub url: SecretString,
    /// Location of the archive.
    pub archive: String,
    /// Name of this host.
    pub host: String,
}

#[derive(Serialize)]
struct HeadNotice<'a> {
    /// The text that Slack, Mattermost and other chats show.
    text: String,
    archive: &'a str,
    archive_id: &'a str,
    chain: &'a str,
    /// `CHAIN:SEQUENCE:SHA256`, as `verify --expect-head` takes it.
    head: &'a str,
    sequence: u64,
    sha256: String,
    tree: &'a TreeHead,
    key: &'a str,
    committed_at: Instant,
    host: &'a str,
}

impl Heads {
    /// Sends the notice of a head. With `hurry` there is one attempt only.
    ///
    /// # Errors
    /// Why the last attempt failed, without the address.
    pub async fn send(
        &self,
        anchor: &Anchor,
        clock: &Arc<dyn Clock>,
        hurry: bool,
    ) -> Result<(), String> {
        let head = anchor.head().to_string();
        let notice = HeadNotice {
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
            tree: &anchor.tree,
            key: &anchor.key,
            committed_at: anchor.committed_at,
            host: &self.host,
        };
        let body = serde_json::to_vec(&notice).map_err(|error| error.to_string())?;
        let message = Message::post("CXVAULT_ANCHOR_WEBHOOK_URL", self.url.clone(), body);
        send(&message, &**clock, hurry).await
    }
}
