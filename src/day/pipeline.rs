//! Which of several days of one sub-account may send requests.
//!
//! Discovery of the next day goes on while the summaries of this day are fetched, so that neither of the two rate limits
//! waits for the other. One day at a time discovers and one fetches, both in the order in which the days took their slots.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::sync::{MutexGuard as StdMutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::{Mutex, MutexGuard, Notify};

/// The order in which days of one sub-account send their requests.
///
/// # Examples
/// ```
/// use cxvault::day::pipeline::Pipeline;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let pipeline = Pipeline::default();
/// let (discovery_turn, fetch_turn) = pipeline.slot().enter().await;
/// // Every window of the day has been requested: the next day may discover.
/// drop(discovery_turn);
/// let next_day = pipeline.slot().enter().await;
/// // This day still goes first with its summaries.
/// drop(fetch_turn.await);
/// # drop(next_day);
/// # });
/// ```
#[derive(Debug, Default)]
pub struct Pipeline {
    discovery: Mutex<()>,
    fetching: Mutex<()>,
    slots: std::sync::Mutex<SlotQueue>,
    slot_left: Notify,
}

#[derive(Debug, Default)]
struct SlotQueue {
    /// Number of slots taken so far.
    taken: u64,
    /// Slots of days that have not entered yet, and have not given up.
    waiting: BTreeSet<u64>,
}

/// A day's position in the queue. Dropping it lets the next day pass.
#[derive(Debug)]
pub struct PipelineSlot<'a> {
    pipeline: &'a Pipeline,
    number: u64,
}

/// Held while a day requests windows.
pub(crate) type DiscoveryTurn<'a> = MutexGuard<'a, ()>;
/// Held while a day has summaries to hand out to fetchers; requests of the last ones may still be in flight after it.
pub(crate) type FetchTurn<'a> = MutexGuard<'a, ()>;

impl Pipeline {
    /// Takes the next position in the queue.
    pub fn slot(&self) -> PipelineSlot<'_> {
        let mut slots = self.slots();
        slots.taken += 1;
        let number = slots.taken;
        slots.waiting.insert(number);
        PipelineSlot {
            pipeline: self,
            number,
        }
    }

    fn slots(&self) -> StdMutexGuard<'_, SlotQueue> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> PipelineSlot<'a> {
    /// Returns the pipeline, from which a day takes another slot when it has to be observed twice.
    pub fn pipeline(&self) -> &'a Pipeline {
        self.pipeline
    }

    /// Waits until this day may request windows. The returned future waits until it may fetch summaries.
    pub async fn enter(
        self,
    ) -> (
        DiscoveryTurn<'a>,
        impl Future<Output = FetchTurn<'a>> + Send + use<'a>,
    ) {
        self.wait_until_first().await;
        let pipeline = self.pipeline;
        let discovery_turn = pipeline.discovery.lock().await;
        let mut fetching = Box::pin(pipeline.fetching.lock());
        // The lock queues this day when it is polled first. It is polled here, before the next day can discover: that day
        // would otherwise queue first, with its windows just requested, and hold up a day that has all of its windows.
        let polled = poll_fn(|context| Poll::Ready(fetching.as_mut().poll(context))).await;
        let fetch_turn = async move {
            match polled {
                Poll::Ready(turn) => turn,
                Poll::Pending => fetching.await,
            }
        };
        (discovery_turn, fetch_turn)
    }

    async fn wait_until_first(&self) {
        loop {
            // Created before the queue is read, so that no change in between is missed.
            let slot_left = self.pipeline.slot_left.notified();
            if self.pipeline.slots().waiting.first() == Some(&self.number) {
                return;
            }
            slot_left.await;
        }
    }
}

impl Drop for PipelineSlot<'_> {
    fn drop(&mut self) {
        self.pipeline.slots().waiting.remove(&self.number);
        self.pipeline.slot_left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn days_fetch_in_the_order_in_which_they_discovered() {
        let pipeline = Pipeline::default();
        let (first, may_fetch_first) = pipeline.slot().enter().await;
        let mut may_fetch_first = Box::pin(may_fetch_first);
        drop(first);
        let (_second, may_fetch_second) = pipeline.slot().enter().await;
        let mut may_fetch_second = Box::pin(may_fetch_second);
        // The second day polls first, and waits all the same.
        assert!(may_fetch_second.as_mut().now_or_never().is_none());
        let fetching = may_fetch_first.as_mut().await;
        assert!(may_fetch_second.as_mut().now_or_never().is_none());
        drop(fetching);
        drop(may_fetch_second.await);
    }

    #[tokio::test]
    async fn a_day_that_enters_late_keeps_its_position() {
        let pipeline = Pipeline::default();
        let (first, second, third) = (pipeline.slot(), pipeline.slot(), pipeline.slot());
        let mut third = Box::pin(third.enter());
        assert!(third.as_mut().now_or_never().is_none());
        let (discovering, _) = first.enter().await;
        drop(discovering);
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        drop(third.await);
    }

    #[tokio::test]
    async fn a_day_that_drops_its_turns_lets_the_next_one_pass() {
        let pipeline = Pipeline::default();
        let (discovering, may_fetch) = pipeline.slot().enter().await;
        drop((discovering, may_fetch));
        let (_discovering, may_fetch) = pipeline.slot().enter().await;
        drop(may_fetch.await);
    }
}
