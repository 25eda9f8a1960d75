//! Which segments ended on the day: asks every window that has no answer yet, and journals what comes.

use std::collections::VecDeque;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::chain::archive::Archive;
use crate::day::run::{DayJob, DayMeter};
use crate::format::time::day::{LONGEST_WINDOW_MS, Window, rfc3339};
use crate::journal::{
    AnsweredWindow, DiscoveredSegment, Journal, JournalError, JournalHandle, PendingJob,
};
use crate::outcome::{Exit, Failure, Result};
use crate::ringcx::{Discovered, RingCx, WindowAnswer};

/// What the fetcher is told: how many windows are merged, and whether that is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Announcement {
    pub windows: usize,
    pub finished: bool,
}

/// Asks every window of the day that the journal has no answer for, in order, and announces each.
pub async fn discover(
    archive: &Archive,
    job: &DayJob,
    api: &RingCx,
    journal: &JournalHandle,
    meter: &DayMeter,
    announce: &watch::Sender<Announcement>,
    stop: &CancellationToken,
) -> Result<()> {
    let tiles = job.window.tiles(LONGEST_WINDOW_MS);
    let answered = journal.call(|journal| journal.windows()).await?;
    let open: Vec<Window> = tiles
        .iter()
        .filter(|tile| answered.iter().all(|done| done.window != **tile))
        .copied()
        .collect();
    let mut done = tiles.len() - open.len();
    meter.discovery(done, tiles.len());
    announce.send_replace(Announcement {
        windows: done,
        finished: open.is_empty(),
    });
    if let Some(last) = open.last() {
        refuse_too_early(api, archive.policy.settle_ms, *last).await?;
    }
    for window in open {
        let answer = tokio::select! {
            answer = ask(job, api, journal, window) => answer?,
            // Fetching has failed: a window takes minutes to come, and what it staged is worth nothing yet.
            () = stop.cancelled() => return Err(Failure::interrupted()),
        };
        settled(window, &answer, archive.policy.settle_ms)?;
        let staged = AnsweredWindow {
            window,
            rows: answer.rows,
            bytes: answer.bytes,
            sha256: answer.sha256,
            server_date: answer.server_date,
            answered_at: answer.answered_at,
            attempts: answer.attempts,
            duplicates: 0,
        };
        let run_id = archive.run.id.clone();
        let merged = journal
            .call(move |journal| journal.finish_window(&staged, &run_id))
            .await?;
        done += 1;
        meter.discovery(done, tiles.len());
        meter.found(merged.new);
        tracing::debug!(
            window = rfc3339(window.start_ms),
            objects = answer.rows,
            "window answered"
        );
        announce.send_replace(Announcement {
            windows: done,
            finished: done == tiles.len(),
        });
    }
    Ok(())
}

/// "Now" is the API's clock: a day that is still settling would give answers that change.
async fn refuse_too_early(api: &RingCx, settle_ms: i64, last: Window) -> Result<()> {
    let from = last.end_ms + settle_ms;
    if api.server_now().await? >= from {
        return Ok(());
    }
    let message = format!(
        "the day ends at {} and may be archived from {} on",
        rfc3339(last.end_ms),
        rfc3339(from)
    );
    Err(Failure::new(Exit::Later, message).remedy("Run again then, by RingCX's clock."))
}

fn settled(window: Window, answer: &WindowAnswer, settle_ms: i64) -> Result<()> {
    let dated = answer.server_date.unwrap_or(answer.answered_at);
    if dated >= window.end_ms + settle_ms {
        return Ok(());
    }
    let from = rfc3339(window.end_ms + settle_ms);
    let message = format!(
        "the window that ends at {} was answered before {from}",
        rfc3339(window.end_ms)
    );
    Err(Failure::new(Exit::Later, message).remedy("Run again then, by RingCX's clock."))
}

/// Batches of objects on their way into the journal, each of at most half a megabyte.
const UNDER_WAY: usize = 8;

/// Streams one window's answer into the journal's staging table.
async fn ask(
    job: &DayJob,
    api: &RingCx,
    journal: &JournalHandle,
    window: Window,
) -> Result<WindowAnswer> {
    let (objects, mut incoming) = mpsc::channel(4);
    let stage = async {
        let prepare = move |journal: &mut Journal| {
            journal.discard_window(window)?;
            Ok::<_, JournalError>(journal.omission().clone())
        };
        let omission = journal.call(prepare).await?;
        // Jobs are done in order, and nothing counts before the window is finished: the answer need not wait for
        // the disk, only for the memory that is under way.
        let mut under_way: VecDeque<PendingJob<(), JournalError>> = VecDeque::new();
        while let Some(discovered) = incoming.recv().await {
            under_way.push_back(match discovered {
                Discovered::Restart => {
                    journal.submit(move |journal| journal.discard_window(window))?
                }
                Discovered::Objects(objects) => {
                    // Nothing of what is left out goes any further.
                    let objects = objects.into_iter().map(|object| omission.cut(object));
                    let objects: Vec<DiscoveredSegment> = objects
                        .map(|object| DiscoveredSegment::read(&object))
                        .collect();
                    journal.submit(move |journal| journal.stage_objects(window, &objects))?
                }
            });
            if under_way.len() > UNDER_WAY
                && let Some(oldest) = under_way.pop_front()
            {
                oldest.done().await?;
            }
        }
        for begun in under_way {
            begun.done().await?;
        }
        Ok::<_, Failure>(())
    };
    let ask = async move {
        let answer = api
            .discover(&job.sub_account, window.start_ms, window.end_ms, &objects)
            .await;
        answer.map_err(|error| {
            let failure = Failure::from(error);
            Failure::new(
                if failure.exit == Exit::Gaps { Exit::Later } else { failure.exit },
                format!(
                    "sub-account {}: the discovery window {} to {} was not answered; {} is not archived: {}",
                    job.sub_account,
                    rfc3339(window.start_ms),
                    rfc3339(window.end_ms),
                    job.date,
                    failure.message
                ),
            )
            .remedy(
                failure
                    .remedy
                    .unwrap_or_else(|| "Run again later; what was found so far is kept.".to_owned()),
            )
        })
    };
    let (answer, ()) = tokio::try_join!(ask, stage)?;
    Ok(answer)
}
