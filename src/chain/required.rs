//! What open holds and longer retention ask of a day's objects: of those there are, and of those about to be put.

use jiff::civil::Date;

use crate::chain::archive::violated;
use crate::chain::days::Chain;
use crate::chain::takeover;
use crate::chain::writer::Writer;
use crate::format::record::lock::Lock;
use crate::outcome::Result;
use crate::store::Stat;

/// The lock and the hold that an object must have, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protection {
    pub lock: Option<Lock>,
    pub hold: bool,
}

impl Protection {
    /// That of the objects of `date`, whose own lock would be `lock`, by the orders of the chain as it was opened.
    pub async fn of(
        archive: &Writer,
        chain: &mut Chain,
        date: Date,
        lock: Option<Lock>,
    ) -> Result<Protection> {
        let mut orders = chain.orders(archive).await?;
        let ordered = orders.lock_on(date).is_some() || orders.holds_objects(date);
        if ordered && archive.store.keeps_locks().await? == Some(false) {
            // What was ordered where the archive lay before was done there, and cannot be here.
            orders = orders.after(takeover::taken_up_to(archive, &chain.name).await?);
        }
        let lock = match (lock, orders.lock_on(date)) {
            (Some(lock), Some(ordered)) => Some(lock.stronger(ordered)),
            (lock, ordered) => lock.or(ordered),
        };
        Ok(Protection {
            lock,
            hold: orders.holds_objects(date),
        })
    }

    /// Gives a stored object what it lacks; returns what the store says of it then.
    pub async fn give(self, archive: &Writer, key: &str) -> Result<Stat> {
        let stat = stored(archive, key).await?;
        let lock = self
            .lock
            .filter(|lock| stat.lock.is_none_or(|now| now.stronger(*lock) != now));
        let hold = self.hold && !stat.legal_hold;
        if let Some(lock) = lock {
            archive.store.raise_lock(key, lock).await?;
        }
        if hold && !archive.store.set_legal_hold(key, true).await? {
            return Err(violated(format!(
                "{} keeps no legal holds, but kept one when a hold was recorded",
                archive.store.root()
            )));
        }
        if lock.is_none() && !hold {
            Ok(stat)
        } else {
            stored(archive, key).await
        }
    }
}

/// What the store says of an object that must be there.
pub async fn stored(archive: &Writer, key: &str) -> Result<Stat> {
    let stat = archive.store.stat(key).await?;
    stat.ok_or_else(|| violated(format!("{key} was stored, and is gone")))
}
