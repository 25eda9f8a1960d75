//! What open holds and longer retention ask of a day's objects: of those there are, and of those about to be put.

use jiff::civil::Date;

use crate::chain::days::Chain;
use crate::chain::protection::Protection;
use crate::chain::takeover;
use crate::chain::writer::Writer;
use crate::format::record::lock::Lock;
use crate::outcome::Result;

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
}
