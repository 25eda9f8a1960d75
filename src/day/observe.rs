//! Step 1: every request to the API, with discovery and fetching side by side.
//!
//! Everything received goes into the journal. A crash during this step costs the requests in flight and the answers on
//! their way to the disk; the next run continues with what is missing.

use std::sync::Arc;

use tokio::sync::watch;

use crate::chain::Chain;
use crate::day::context::{ApiSource, DayContext};
use crate::day::discover::discover;
use crate::day::fetch::fetch;
use crate::day::first_failure::FirstFailure;
use crate::day::pipeline::PipelineSlot;
use crate::day::prior::PriorState;
use crate::day::progress::DiscoveryState;
use crate::format::record::DayState;
use crate::format::time::LONGEST_WINDOW_MS;
use crate::journal::VanishedCounts;
use crate::outcome::{Failure, Result};
use crate::ringcx::RingCx;

/// The time at the end of the observation.
#[derive(Debug, Clone, Copy)]
pub(super) struct ApiTime {
    /// UTC milliseconds by the API's clock, or by this host's clock where no request was sent.
    pub now_ms: i64,
    /// The API's clock minus this host's clock in milliseconds; `None` where no request was sent.
    pub skew_ms: Option<i64>,
}

/// Requests what neither the journal nor the store has: windows for a first revision or a recheck, and the summaries that
/// have no answer yet.
///
/// # Errors
/// The failure that came first, whichever part of the observation it ended. What was received before it is in the
/// journal.
pub(super) async fn observe(
    context: &DayContext<'_>,
    source: &impl ApiSource,
    slot: PipelineSlot<'_>,
    chain: &Chain,
    prior: &PriorState,
) -> Result<ApiTime> {
    let DayContext {
        archive,
        job,
        journal,
        meter,
        ..
    } = *context;
    let discovers = prior.revisions.is_empty() || context.recheck.is_some();
    let state = chain.coverage().state(job.date);
    let has_gaps = state == DayState::Gaps || (state == DayState::Acknowledged && job.insist);
    if !discovers && has_gaps {
        let filters = job.filters.clone();
        let reopened = journal
            .call(move |journal| journal.reopen_gaps(|segment| filters.admit_segment(segment)))
            .await?;
        meter.add_segments(reopened);
    }
    let before = journal.call(|journal| journal.progress()).await?;
    // One pending segment is enough to know that requests are needed.
    let pending = journal.call(|journal| journal.pending(0, 1)).await?;
    let windows = job.window.tiles(LONGEST_WINDOW_MS).len();
    if pending.is_empty() && (!discovers || before.windows as usize == windows) {
        return Ok(ApiTime {
            now_ms: archive.clock.now_ms(),
            skew_ms: None,
        });
    }
    // A first revision or a recheck may continue what an earlier run has received.
    if discovers {
        meter.add_resumed(before.segments, before.answered);
    }
    // Only now: a day that needs no request needs no credentials.
    let api = source.api().await?;
    send_requests(context, &api, slot, discovers).await?;
    Ok(ApiTime {
        now_ms: api.server_now().await?,
        skew_ms: api.clock_skew_ms(),
    })
}

/// Runs discovery and fetching until both are done, or one has failed.
async fn send_requests(
    context: &DayContext<'_>,
    api: &Arc<RingCx>,
    slot: PipelineSlot<'_>,
    discovers: bool,
) -> Result<()> {
    let run_stop = &context.archive.stop;
    let failures = Arc::new(FirstFailure::new(run_stop));
    // The fetchers follow discovery through this channel; only the newest state matters.
    let (announce, discovered) = watch::channel(DiscoveryState::default());
    let (discovery_turn, fetch_turn) = tokio::select! {
        turns = slot.enter() => turns,
        () = run_stop.cancelled() => return Err(Failure::interrupted()),
    };
    let discovery = async {
        // Held until the last window: then the next day may discover.
        let _turn = discovery_turn;
        if !discovers {
            // The windows of revision 1 stay valid; only summaries are requested again.
            announce.send_replace(DiscoveryState {
                windows: 0,
                finished: true,
            });
        } else if let Err(failure) = discover(context, api, &announce, &failures.stop).await {
            failures.report(failure);
        }
    };
    let fetching = async {
        let turn = tokio::select! {
            turn = fetch_turn => turn,
            () = failures.stop.cancelled() => return,
        };
        fetch(context, api, discovered, turn, &failures).await;
    };
    // Neither is dropped early: what is in flight reaches the journal even when the other one fails.
    tokio::join!(discovery, fetching);
    match Arc::into_inner(failures).and_then(FirstFailure::into_cause) {
        Some(failure) => Err(failure),
        None if run_stop.is_cancelled() => Err(Failure::interrupted()),
        None => Ok(()),
    }
}

/// So few segments can vanish one by one.
const FEW_VANISHED: u64 = 10;

/// Marks the segments that a recheck's discovery no longer lists.
///
/// # Errors
/// `Exit::Denied` where these are most of the day, unless the operator has accepted it: a user that has lost a permission
/// receives an empty list. The journal's recheck ends then, so that the next run starts a new one.
pub(super) async fn mark_vanished(context: &DayContext<'_>) -> Result<()> {
    if context.recheck.is_none() {
        return Ok(());
    }
    let (job, journal) = (context.job, context.journal);
    let VanishedCounts { newly, compared } =
        journal.call(|journal| journal.mark_vanished()).await?;
    let accepted = job
        .recheck
        .as_ref()
        .is_some_and(|recheck| recheck.accept_vanished);
    if newly < FEW_VANISHED || newly * 2 <= compared || accepted {
        return Ok(());
    }
    journal.call(|journal| journal.discard_recheck()).await?;
    let message = format!(
        "RingCX no longer lists {newly} of the {compared} segments of {} {}; nothing was committed",
        job.sub_account, job.date
    );
    Err(Failure::denied(message).remedy(
        "Check that the user still has WEM access, and that RingCX still retains that day; if the segments are really \
         gone, use --accept-vanished to record it.",
    ))
}
