//! The protection that open holds and longer retention require of a day's objects, stored and new ones alike.

use jiff::civil::Date;

use crate::chain::days::Chain;
use crate::chain::protection::Protection;
use crate::chain::takeover;
use crate::chain::writer::Writer;
use crate::format::record::Lock;
use crate::outcome::Result;

impl Protection {
    /// Returns the protection of the objects of `date`, whose own lock would be `lock`, as of the head of `chain`.
    ///
    /// # Errors
    /// [`Exit::Integrity`](crate::outcome::Exit::Integrity) where a record that is named is not there.
    pub async fn of(
        archive: &Writer,
        chain: &mut Chain,
        date: Date,
        lock: Option<Lock>,
    ) -> Result<Protection> {
        let mut orders = chain.orders(archive).await?;
        let ordered = orders.lock_on(date).is_some() || orders.holds_objects(date);
        if ordered && archive.store.keeps_locks().await? == Some(false) {
            // Orders from before a takeover were enforced at the previous location, and cannot be at this one.
            orders = orders.after(takeover::taken_up_to(archive, &chain.name).await?);
        }
        Ok(Protection {
            lock: Lock::strongest([lock, orders.lock_on(date)]),
            hold: orders.holds_objects(date),
        })
    }
}
