//! Where heads are kept a second time: from settings to the parts that work, and what a command says of it at its end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::chain::anchor;
use crate::chain::anchoring::{AnchorStore, Anchoring, HeadNotifier};
use crate::chain::append::Mode;
use crate::chain::writer::Writer;
use crate::clock::Clock;
use crate::command::Context;
use crate::command::s3_options::s3_options;
use crate::config::Settings;
use crate::format::place::location::Location;
use crate::format::record::anchor::Anchor;
use crate::outcome::{Exit, Result};
use crate::store;
use crate::store::{RetryPolicy, RetryingStore, Store};
use crate::telemetry::head::Heads;

/// A night does not wait long for its anchor, since the next one makes up for it.
const PATIENCE: RetryPolicy = RetryPolicy {
    attempts: 3,
    first_wait: Duration::from_millis(500),
    longest_wait: Duration::from_secs(2),
    grace: Duration::from_secs(3),
};

/// Opens the place of anchors, as a store without retries.
pub async fn open_bare(settings: &Settings, location: &Location) -> Result<Arc<dyn Store>> {
    let options = s3_options(settings, &settings.anchor.s3)?;
    Ok(store::open(location, options).await?)
}

/// Who keeps heads, as the settings say. That it cannot be opened is told when a head should have been kept: the archive
/// does not wait for its anchor.
pub async fn anchoring(settings: &Settings, clock: Arc<dyn Clock>, context: &Context) -> Anchoring {
    let keeper = match &settings.anchor.location {
        None => None,
        Some(location) => {
            let retrying = |store| -> Arc<dyn Store> {
                let store = RetryingStore::new(store, clock.clone(), context.cancel.clone());
                Arc::new(store.with_policy(PATIENCE))
            };
            let store = open_bare(settings, location).await.map(retrying);
            Some(AnchorStore {
                store,
                lock: settings.anchor.object_lock,
            })
        }
    };
    let herald = settings
        .anchor
        .webhook
        .clone()
        .map(|url| -> Arc<dyn HeadNotifier> {
            let host = gethostname::gethostname().to_string_lossy().into_owned();
            let heads = Heads {
                url,
                archive: settings.archive.to_string(),
                host,
            };
            Arc::new(Webhook {
                heads,
                clock: clock.clone(),
            })
        });
    Anchoring::new(keeper, herald)
}

struct Webhook {
    heads: Heads,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl HeadNotifier for Webhook {
    async fn notify(&self, anchor: &Anchor, once: bool) -> Result<(), String> {
        self.heads.send(anchor, &self.clock, once).await
    }
}

/// At the end of a command that put records into these chains: what is not anchored is said, and counts.
pub async fn settle(
    archive: &Writer,
    sub_accounts: &[String],
    mode: Mode,
    context: &Context,
) -> Exit {
    if mode == Mode::DryRun {
        return Exit::Done;
    }
    let heads = anchor::heads(archive, sub_accounts.iter().map(String::as_str)).await;
    let unanchored = anchor::settle(archive, heads).await;
    let exit = Exit::worst(unanchored.iter().map(|one| one.exit));
    unanchored
        .into_iter()
        .for_each(|one| context.output.failure(&one.into()));
    exit
}
