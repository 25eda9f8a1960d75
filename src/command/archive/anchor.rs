//! The anchor of the commands: opens the place where heads are stored a second time, and reports at the end of a command
//! which heads could not be stored there.
//!
//! A head at a second place, under other credentials, is what shows that the end of a chain was cut off: the chain alone cannot,
//! because a shorter chain is a valid chain. The anchor is written after the commit of a record. A command that is killed between
//! the two leaves a head that is not anchored; the next command or run that opens the chain stores it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::chain::{AnchorStore, Anchoring, HeadNotifier, Mode, Writer, anchor};
use crate::clock::Clock;
use crate::command::Context;
use crate::command::s3_options::s3_options;
use crate::config::Settings;
use crate::format::place::location::Location;
use crate::format::record::Anchor;
use crate::outcome::{Exit, Result};
use crate::store;
use crate::store::{RetryPolicy, RetryingStore, Store};
use crate::telemetry::head::Heads;

/// Retries at the anchor. They are few, since the next run stores the missing heads.
const RETRIES: RetryPolicy = RetryPolicy {
    attempts: 3,
    first_wait: Duration::from_millis(500),
    longest_wait: Duration::from_secs(2),
    grace: Duration::from_secs(3),
};

/// Opens the place of the anchor, as a store without retries.
///
/// # Errors
/// If the location or its credentials cannot be used.
pub(crate) async fn open_bare(settings: &Settings, location: &Location) -> Result<Arc<dyn Store>> {
    let options = s3_options(settings, &settings.anchor.s3)?;
    Ok(store::open(location, options).await?)
}

/// Returns how heads are anchored, as the settings say.
///
/// A place that cannot be opened is reported when a head should have been stored there, and not now: a day is archived even if
/// the anchor is unavailable.
pub(crate) async fn anchoring(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    context: &Context,
) -> Anchoring {
    let keeper = match &settings.anchor.location {
        None => None,
        Some(location) => {
            let store = open_bare(settings, location).await.map(|store| {
                let store = RetryingStore::new(store, clock.clone(), context.cancel.clone());
                Arc::new(store.with_policy(RETRIES)) as Arc<dyn Store>
            });
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

/// Sends notices of heads to the webhook of the anchor, with the name of the archive and of this host.
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

/// Stores the heads that are not anchored yet, at the end of a command that appended records to these chains. Failures are
/// printed, and decide the exit code.
///
/// `sub_accounts` are those of the command; the roster is always included. A dry run has appended nothing, and stores nothing.
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
    let exit = Exit::worst(unanchored.iter().map(|head| head.exit));
    for head in unanchored {
        context.output.failure(&head.into());
    }
    exit
}
