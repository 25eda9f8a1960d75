//! Several days of one sub-account under way at once: discovery of the next ones goes on while summaries of this one
//! are fetched, so that neither limit waits for the other.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::sync::{MutexGuard as Held, PoisonError};
use std::task::Poll;

use tokio::sync::{Mutex, MutexGuard, Notify};

/// In which order days ask. One day asks for windows at a time, and one hands out its summaries; both in the order in
/// which they took their places.
#[derive(Debug, Default)]
pub struct Pipeline {
    discovering: Mutex<()>,
    fetching: Mutex<()>,
    places: std::sync::Mutex<Places>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct Places {
    given: u64,
    waiting: BTreeSet<u64>,
}

/// A day's place in line. Dropped, it lets the next one pass.
#[derive(Debug)]
pub struct PipelineSlot<'a> {
    pipeline: &'a Pipeline,
    number: u64,
}

/// Held while a day asks for windows.
pub type Discovering<'a> = MutexGuard<'a, ()>;
/// Held while a day has summaries to hand out to fetchers; the last of them may still be under way after it.
pub type Fetching<'a> = MutexGuard<'a, ()>;

impl Pipeline {
    /// The next place in line.
    pub fn place(&self) -> PipelineSlot<'_> {
        let mut places = self.places();
        places.given += 1;
        let number = places.given;
        places.waiting.insert(number);
        PipelineSlot {
            pipeline: self,
            number,
        }
    }

    fn places(&self) -> Held<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> PipelineSlot<'a> {
    /// Where another place can be taken.
    pub fn pipeline(&self) -> &'a Pipeline {
        self.pipeline
    }

    /// Waits until this day may ask for windows. The future that comes with it waits until it may fetch.
    pub async fn enter(
        self,
    ) -> (
        Discovering<'a>,
        impl Future<Output = Fetching<'a>> + Send + use<'a>,
    ) {
        self.first_in_line().await;
        let pipeline = self.pipeline;
        let discovering = pipeline.discovering.lock().await;
        let mut fetching = Box::pin(pipeline.fetching.lock());
        // In line now, before the day that discovers next: with its first windows just asked, that one would hold up a
        // day that has everything.
        let at_once = poll_fn(|context| Poll::Ready(fetching.as_mut().poll(context))).await;
        let may_fetch = async move {
            match at_once {
                Poll::Ready(turn) => turn,
                Poll::Pending => fetching.await,
            }
        };
        (discovering, may_fetch)
    }

    async fn first_in_line(&self) {
        loop {
            let moved = self.pipeline.moved.notified();
            if self.pipeline.places().waiting.first() == Some(&self.number) {
                return;
            }
            moved.await;
        }
    }
}

impl Drop for PipelineSlot<'_> {
    fn drop(&mut self) {
        self.pipeline.places().waiting.remove(&self.number);
        self.pipeline.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn days_fetch_in_the_order_in_which_they_discovered() {
        let pipeline = Pipeline::default();
        let (first, may_fetch_first) = pipeline.place().enter().await;
        let mut may_fetch_first = Box::pin(may_fetch_first);
        drop(first);
        let (_second, may_fetch_second) = pipeline.place().enter().await;
        let mut may_fetch_second = Box::pin(may_fetch_second);
        // The second day asks first, and waits all the same.
        assert!(may_fetch_second.as_mut().now_or_never().is_none());
        let fetching = may_fetch_first.as_mut().await;
        assert!(may_fetch_second.as_mut().now_or_never().is_none());
        drop(fetching);
        drop(may_fetch_second.await);
    }

    #[tokio::test]
    async fn a_day_that_comes_late_to_its_place_finds_it() {
        let pipeline = Pipeline::default();
        let (first, second, third) = (pipeline.place(), pipeline.place(), pipeline.place());
        let mut third = Box::pin(third.enter());
        assert!(third.as_mut().now_or_never().is_none());
        let (discovering, _) = first.enter().await;
        drop(discovering);
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        drop(third.await);
    }

    #[tokio::test]
    async fn a_day_that_gives_up_lets_the_next_one_pass() {
        let pipeline = Pipeline::default();
        let (discovering, may_fetch) = pipeline.place().enter().await;
        drop((discovering, may_fetch));
        let (_discovering, may_fetch) = pipeline.place().enter().await;
        drop(may_fetch.await);
    }
}
