//! What an archive holds at records' places that is no record, as far as this process has seen it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Objects that were found beyond the heads of chains, by their keys, with the reason why they are no records. Each is
/// logged once.
#[derive(Default)]
pub(crate) struct ForeignLog(Mutex<BTreeMap<String, String>>);

impl fmt::Debug for ForeignLog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.keys()).finish()
    }
}

/// Objects that are logged one by one; of the others only the number is.
const MOST_LOGGED: usize = 20;

impl ForeignLog {
    /// Adds an object.
    pub fn add(&self, key: &str, why: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.contains_key(key) {
            return;
        }
        match all.len() {
            logged if logged < MOST_LOGGED => tracing::warn!(
                key,
                "an object that is no record lies beyond the head of its chain, and is ignored: {why}"
            ),
            MOST_LOGGED => tracing::warn!("more such objects are not logged one by one"),
            _ => {}
        }
        all.insert(key.to_owned(), why);
    }

    /// Returns the keys of the objects.
    pub fn keys(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.keys().cloned().collect()
    }
}
