//! Everything that asks the API: discovery and fetching side by side, until both are done or one has failed.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::chain::days::Chain;
use crate::day::discover::{Announcement, discover};
use crate::day::fetch::fetch;
use crate::day::pipeline::PipelineSlot;
use crate::day::prior::PriorState;
use crate::day::run::{ApiSource, DayContext, DayMeter};
use crate::format::record::coverage::DayState;
use crate::format::time::day::LONGEST_WINDOW_MS;
use crate::outcome::{Failure, Result};

/// The API's clock at the end of the observation.
#[derive(Debug, Clone, Copy)]
pub struct ApiTime {
    /// UTC milliseconds; this host's clock where the API was not asked.
    pub now_ms: i64,
    /// The API's clock minus this host's, where the API was asked.
    pub skew_ms: Option<i64>,
}

/// Asks the API for what the journal and the store do not have.
pub(super) async fn observe(
    desk: &DayContext<'_>,
    source: &impl ApiSource,
    (meter, place): (&DayMeter, PipelineSlot<'_>),
    chain: &Chain,
    basis: &PriorState,
) -> Result<ApiTime> {
    let DayContext {
        archive,
        job,
        journal,
        ..
    } = *desk;
    let asks_windows = basis.revisions.is_empty() || desk.recheck.is_some();
    let state = chain.coverage().state(job.date);
    let gaps = state == DayState::Gaps || (state == DayState::Acknowledged && job.insist);
    if !asks_windows && gaps {
        let filters = job.filters.clone();
        let reopened = journal
            .call(move |journal| journal.reopen_gaps(|segment| filters.want_segment(segment)))
            .await?;
        meter.found(reopened);
    }
    let before = journal.call(|journal| journal.progress()).await?;
    let open = journal.call(|journal| journal.pending(0, 1)).await?;
    let windows = job.window.tiles(LONGEST_WINDOW_MS).len();
    if open.is_empty() && (!asks_windows || before.windows as usize == windows) {
        return Ok(ApiTime {
            now_ms: archive.clock.now_ms(),
            skew_ms: None,
        });
    }
    if asks_windows {
        meter.resumed(before.segments, before.answered);
    }
    let api = source.api().await?;
    let halt = Arc::new(FirstFailure::new(&archive.stop));
    let (announce, announced) = watch::channel(Announcement::default());
    let (discovering, may_fetch) = tokio::select! {
        turns = place.enter() => turns,
        () = archive.stop.cancelled() => return Err(Failure::interrupted()),
    };
    let discovering = async {
        let _turn = discovering;
        if !asks_windows {
            // The windows of revision 1 hold; only summaries are looked at again.
            announce.send_replace(Announcement {
                windows: 0,
                finished: true,
            });
        } else if let Err(failure) =
            discover(archive, job, &api, journal, meter, &announce, &halt.token).await
        {
            halt.fail(failure);
        }
    };
    let fetching = async {
        let turn = tokio::select! {
            turn = may_fetch => turn,
            () = halt.token.cancelled() => return,
        };
        fetch(archive, job, &api, journal, meter, announced, turn, &halt).await;
    };
    // Both are let end: what is in flight is journalled even when the other one fails.
    tokio::join!(discovering, fetching);
    if let Some(failure) = Arc::into_inner(halt).and_then(FirstFailure::into_cause) {
        return Err(failure);
    }
    if archive.stop.is_cancelled() {
        return Err(Failure::interrupted());
    }
    Ok(ApiTime {
        now_ms: api.server_now().await?,
        skew_ms: api.clock_skew_ms(),
    })
}

/// Ends everything that observes a day when one of them fails, and keeps the failure that came first: the others
/// fail because of it.
#[derive(Debug)]
pub struct FirstFailure {
    pub token: CancellationToken,
    cause: OnceLock<Failure>,
}

impl FirstFailure {
    fn new(parent: &CancellationToken) -> FirstFailure {
        FirstFailure {
            token: parent.child_token(),
            cause: OnceLock::new(),
        }
    }

    pub fn fail(&self, failure: Failure) {
        let _ = self.cause.set(failure);
        self.token.cancel();
    }

    fn into_cause(self) -> Option<Failure> {
        self.cause.into_inner()
    }
}
