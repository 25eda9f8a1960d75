//! How the simulator locks the state that requests change.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, also after a panic of another request.
///
/// The runtime catches a panic of one connection's task, and the other connections must still be answered. Tables and counters
/// are consistent between any two statements, so that such a panic leaves nothing half changed.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
