//! Stops everything that observes a day when one part of it fails.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use crate::outcome::Failure;

/// Cancels all tasks that observe a day on the first failure, and stores that failure: later ones are its consequences.
#[derive(Debug)]
pub(super) struct FirstFailure {
    /// Cancelled by the first failure, or when the run is asked to stop.
    pub stop: CancellationToken,
    cause: OnceLock<Failure>,
}

impl FirstFailure {
    /// Creates it below `run_stop`: stopping the run stops the tasks as well, without a failure.
    pub fn new(run_stop: &CancellationToken) -> FirstFailure {
        FirstFailure {
            stop: run_stop.child_token(),
            cause: OnceLock::new(),
        }
    }

    /// Records `failure` unless there is one already, and stops the tasks.
    pub fn report(&self, failure: Failure) {
        // An error of `set` says that an earlier failure is recorded, which is the one to return.
        let _ = self.cause.set(failure);
        self.stop.cancel();
    }

    /// Returns the failure that came first; `None` where no task has failed.
    pub(crate) fn into_cause(self) -> Option<Failure> {
        self.cause.into_inner()
    }
}
