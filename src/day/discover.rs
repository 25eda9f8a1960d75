//! Which segments ended on the day: requests every window without an answer, and journals the answers.
//!
//! A window's answer is staged while it arrives, and counts only once it is complete. A crash loses the window that was
//! arriving, and no other.

use std::collections::VecDeque;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::day::context::{DayContext, DayJob};
use crate::day::progress::DiscoveryState;
use crate::format::row::Omission;
use crate::format::time::day::rfc3339;
use crate::format::time::{LONGEST_WINDOW_MS, Window};
use crate::journal::{
    AnsweredWindow, DiscoveredSegment, Journal, JournalError, JournalHandle, PendingJob,
};
use crate::outcome::{Exit, Failure, Result};
use crate::ringcx::{ApiError, Discovered, RingCx, WindowAnswer};

/// Batches of objects on their way into the journal, each of at most half a megabyte.
const BATCHES_UNDER_WAY: usize = 8;

/// Requests every window of the day that the journal has no answer for, in order, and announces each.
///
/// # Errors
/// [`Exit::Later`] where the day has not settled yet by the API's clock, or a window is not answered.
pub(super) async fn discover(
    context: &DayContext<'_>,
    api: &RingCx,
    announce: &watch::Sender<DiscoveryState>,
    stop: &CancellationToken,
) -> Result<()> {
    let DayContext {
        archive,
        job,
        journal,
        meter,
        ..
    } = *context;
    let settle_ms = archive.policy.settle_ms;
    let tiles = job.window.tiles(LONGEST_WINDOW_MS);
    let answered = journal.call(|journal| journal.windows()).await?;
    let open: Vec<Window> = tiles
        .iter()
        .filter(|tile| answered.iter().all(|staged| staged.window != **tile))
        .copied()
        .collect();
    let show_progress = |windows: usize| {
        meter.set_windows(windows, tiles.len());
        announce.send_replace(DiscoveryState {
            windows,
            finished: windows == tiles.len(),
        });
    };
    // Windows that an earlier run has received need no request: they are reported as done at once.
    let mut done = tiles.len() - open.len();
    show_progress(done);
    if let Some(last) = open.last() {
        check_settled_now(api, settle_ms, *last).await?;
    }
    for window in open {
        let answer = tokio::select! {
            answer = request_window(job, api, journal, window) => answer?,
            // Fetching has failed. A window takes minutes to arrive, and what it has staged does not count yet.
            () = stop.cancelled() => return Err(Failure::interrupted()),
        };
        check_settled_then(window, &answer, settle_ms)?;
        let objects = answer.rows;
        let staged = staged_window(window, answer);
        let run_id = archive.run.id.clone();
        // From here on the window counts, also after a crash.
        let merged = journal
            .call(move |journal| journal.finish_window(&staged, &run_id))
            .await?;
        done += 1;
        meter.add_segments(merged.new);
        tracing::debug!(
            window = rfc3339(window.start_ms),
            objects,
            "window answered"
        );
        show_progress(done);
    }
    Ok(())
}

/// Returns the window as the journal records it. Its duplicates are counted when it is merged with the windows before.
fn staged_window(window: Window, answer: WindowAnswer) -> AnsweredWindow {
    AnsweredWindow {
        window,
        rows: answer.rows,
        bytes: answer.bytes,
        sha256: answer.sha256,
        server_date: answer.server_date,
        answered_at: answer.answered_at,
        attempts: answer.attempts,
        duplicates: 0,
    }
}

/// Checks that the day has settled by the API's clock: before that, answers still change.
async fn check_settled_now(api: &RingCx, settle_ms: i64, last: Window) -> Result<()> {
    let settled_ms = last.end_ms + settle_ms;
    if api.server_now().await? >= settled_ms {
        return Ok(());
    }
    let message = format!(
        "the day ends at {} and may be archived from {} on",
        rfc3339(last.end_ms),
        rfc3339(settled_ms)
    );
    Err(too_early(message))
}

/// Checks that a window had settled when it was answered, by the answer's own date.
fn check_settled_then(window: Window, answer: &WindowAnswer, settle_ms: i64) -> Result<()> {
    let settled_ms = window.end_ms + settle_ms;
    if answer.server_date.unwrap_or(answer.answered_at) >= settled_ms {
        return Ok(());
    }
    let message = format!(
        "the window that ends at {} was answered before {}",
        rfc3339(window.end_ms),
        rfc3339(settled_ms)
    );
    Err(too_early(message))
}

/// Returns the failure for a day that has not settled: RingCX may still add segments to it.
fn too_early(message: String) -> Failure {
    Failure::later(message).remedy("Run again after that time, by RingCX's clock.")
}

/// Requests one window, and streams its answer into the journal's staging table.
async fn request_window(
    job: &DayJob,
    api: &RingCx,
    journal: &JournalHandle,
    window: Window,
) -> Result<WindowAnswer> {
    let (objects, incoming) = mpsc::channel(4);
    // Owns the sender, so that the channel closes, and staging ends, when the request does.
    let request = async move {
        api.discover(&job.sub_account, window.start_ms, window.end_ms, &objects)
            .await
            .map_err(|error| not_answered(job, window, error))
    };
    let (answer, ()) = tokio::try_join!(request, stage(journal, window, incoming))?;
    Ok(answer)
}

/// Writes the objects of a window into the staging table as they arrive.
async fn stage(
    journal: &JournalHandle,
    window: Window,
    mut incoming: mpsc::Receiver<Discovered>,
) -> Result<()> {
    let prepare = move |journal: &mut Journal| {
        journal.discard_window(window)?;
        Ok::<_, JournalError>(journal.omission().clone())
    };
    let omission: Omission = journal.call(prepare).await?;
    // Jobs run in order, and nothing counts before the window is finished: the answer need not wait for the disk, only
    // for a bound on the memory of unfinished jobs.
    let mut under_way: VecDeque<PendingJob<(), JournalError>> = VecDeque::new();
    while let Some(discovered) = incoming.recv().await {
        under_way.push_back(match discovered {
            Discovered::Restart => journal.submit(move |journal| journal.discard_window(window))?,
            Discovered::Objects(objects) => {
                // Fields that the settings omit are cut here: they reach neither the journal nor the disk.
                let segments: Vec<DiscoveredSegment> = objects
                    .into_iter()
                    .map(|object| DiscoveredSegment::read(&omission.cut(object)))
                    .collect();
                journal.submit(move |journal| journal.stage_objects(window, &segments))?
            }
        });
        if under_way.len() > BATCHES_UNDER_WAY
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.done().await?;
        }
    }
    for job in under_way {
        job.done().await?;
    }
    Ok(())
}

/// Names the window in the failure of its request. Without all windows the day cannot be committed, not even with gaps.
fn not_answered(job: &DayJob, window: Window, error: ApiError) -> Failure {
    let failure = Failure::from(error);
    let exit = match failure.exit {
        Exit::Gaps => Exit::Later,
        exit => exit,
    };
    let message = format!(
        "sub-account {}: the discovery window {} to {} was not answered; {} is not archived: {}",
        job.sub_account,
        rfc3339(window.start_ms),
        rfc3339(window.end_ms),
        job.date,
        failure.message
    );
    Failure::new(exit, message).remedy(failure.remedy.unwrap_or_else(|| {
        "Run again later; the segments found so far are in the journal.".to_owned()
    }))
}
