//! The chain of one sub-account, opened once and shared by all days of it that one process archives.

use crate::chain::days::Chain;
use crate::chain::writer::Writer;
use crate::outcome::Result;

/// The chain of one sub-account as this process knows it so far.
///
/// Opening a chain lists it, reads its head, and walks back to the head that this host remembers. A night needs the chain
/// for each day, for the days that are due, and for its anchors and metrics.
#[derive(Debug)]
pub struct SharedChain {
    sub_account: String,
}

impl SharedChain {
    /// Creates it without reading anything.
    pub fn new(sub_account: impl Into<String>) -> SharedChain {
        SharedChain {
            sub_account: sub_account.into(),
        }
    }

    /// Returns the chain as the store shows it now.
    ///
    /// # Errors
    /// Those of [`Chain::open`]: the store cannot be read, or the chain contradicts itself or what this host remembers.
    pub async fn current(&self, archive: &Writer) -> Result<Chain> {
        Chain::open(archive, &self.sub_account).await
    }
}
