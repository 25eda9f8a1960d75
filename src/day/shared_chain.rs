//! The chain of one sub-account, opened once and shared by all days of it that one process archives.

use tokio::sync::Mutex;

use crate::chain::{Chain, Writer};
use crate::outcome::Result;

/// The chain of one sub-account as this process has read it so far.
///
/// A night needs the chain for each day, for the days that are due, and for its metrics. Opening it anew for each of them
/// would read its head, and the records before it, again and again. Here each use gets a copy, which costs the requests
/// for what is new since the last use, and the records that a use has read are kept for the next one.
#[derive(Debug)]
pub struct SharedChain {
    sub_account: String,
    known: Mutex<Option<Chain>>,
}

impl SharedChain {
    /// Creates it without reading anything.
    pub fn new(sub_account: impl Into<String>) -> SharedChain {
        SharedChain {
            sub_account: sub_account.into(),
            known: Mutex::new(None),
        }
    }

    /// Returns the chain as the store shows it now: opened by the first call, brought up to date by later ones.
    ///
    /// # Errors
    /// Those of [`Chain::open`]: the store cannot be read, or the chain contradicts itself or what this host remembers.
    pub(crate) async fn current(&self, archive: &Writer) -> Result<Chain> {
        let mut known = self.known.lock().await;
        if let Some(chain) = &mut *known {
            // After an error the chain is as it was before, and the next use tries again.
            chain.refresh(archive).await?;
            return Ok(chain.clone());
        }
        let chain = Chain::open(archive, &self.sub_account).await?;
        *known = Some(chain.clone());
        Ok(chain)
    }

    /// Keeps what a use has read of the chain, unless more of it is known already.
    pub(crate) async fn keep(&self, chain: &Chain) {
        let mut known = self.known.lock().await;
        if known
            .as_ref()
            .is_none_or(|known| extent(known) < extent(chain))
        {
            *known = Some(chain.clone());
        }
    }
}

/// Returns how much of a chain was read: its head first, then the number of records before it.
fn extent(chain: &Chain) -> (u64, usize) {
    (chain.next_sequence(), chain.records().count())
}
