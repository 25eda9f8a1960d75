//! Which part of a backfill is whose, when several processes divide it.

use jiff::civil::Date;

/// The n-th of several processes; `index` counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    pub index: usize,
    pub of: usize,
}

/// Which days of a sub-account one process archives: every `of`-th, from the `index`-th on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayShare {
    index: usize,
    of: usize,
}

impl DayShare {
    pub const WHOLE: DayShare = DayShare { index: 0, of: 1 };

    /// By the date alone, so that another range divides alike.
    pub fn takes(&self, date: Date) -> bool {
        let epoch = Date::constant(2000, 1, 1);
        let days = date
            .since(epoch)
            .map_or(0, |span| i64::from(span.get_days()));
        usize::try_from(days.rem_euclid(self.of.max(1) as i64)) == Ok(self.index)
    }
}

impl Shard {
    /// This process's share of the sub-account at `place` among `sub_accounts`; `None` when others have all of it. Whole
    /// sub-accounts first: limits count for each of them, or for its credential. Where there are more processes than
    /// sub-accounts, those that have one together divide its days.
    pub fn share(&self, place: usize, sub_accounts: usize) -> Option<DayShare> {
        let Shard { index, of } = *self;
        if of <= sub_accounts {
            return (place % of == index).then_some(DayShare::WHOLE);
        }
        if index % sub_accounts != place {
            return None;
        }
        let together = (of - place).div_ceil(sub_accounts);
        Some(DayShare {
            index: index / sub_accounts,
            of: together,
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_day_of_every_sub_account_is_exactly_one_shards(of in 1..40usize, sub_accounts in 1..40usize) {
            let first: Date = "2026-10-20".parse().unwrap();
            for place in 0..sub_accounts {
                for date in first.series(1.day()).take(50) {
                    let takers = (0..of).filter(|&index| {
                        let share = Shard { index, of }.share(place, sub_accounts);
                        share.is_some_and(|share| share.takes(date))
                    });
                    prop_assert_eq!(takers.count(), 1);
                }
            }
        }

        #[test]
        fn no_shard_has_much_more_than_another(of in 1..40usize, sub_accounts in 1..40usize) {
            let first: Date = "2026-10-20".parse().unwrap();
            let days: Vec<Date> = first.series(1.day()).take(120).collect();
            let work = |index| -> usize {
                let shares = (0..sub_accounts).filter_map(|place| Shard { index, of }.share(place, sub_accounts));
                shares.map(|share| days.iter().filter(|date| share.takes(**date)).count()).sum()
            };
            let work: Vec<usize> = (0..of).map(work).collect();
            let (least, most) = (work.iter().min().unwrap(), work.iter().max().unwrap());
            // Sub-accounts are not cut where there are enough of them.
            prop_assert!(*most <= 2 * least + 120, "{least} to {most}");
        }
    }
}
