//! Which part of a backfill this process does, when several processes divide it.
//!
//! The division needs no coordination: every process lists the same sub-accounts in the same order, and takes its share by
//! its number. With three processes and two sub-accounts:
//!
//! ```text
//! shard   sub-account A    sub-account B
//! 1/3     every 2nd day    -
//! 2/3     -                all days
//! 3/3     every 2nd day    -
//! ```
//!
//! Two processes that visit the same day by mistake lose time and nothing else: the chain accepts one of them.

use std::fmt;

use jiff::civil::Date;

use crate::cli::values::Subset;
use crate::config::Environment;
use crate::outcome::{Failure, Result};

/// Variables by which engines number the processes of one job, and the variables with the number of processes: those of
/// Kubernetes (Indexed Job; the count is for the operator to set), and those of AWS Batch (array jobs).
const JOB_VARIABLES: [(&str, &str); 2] = [
    ("JOB_COMPLETION_INDEX", "CXVAULT_SHARDS"),
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
];

/// The number of this process among several that divide the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Counted from 0.
    pub index: usize,
    /// Number of processes.
    pub of: usize,
}

/// Shown as `--shard` takes it, counted from 1: `2/5`.
impl fmt::Display for Shard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.index + 1, self.of)
    }
}

/// Which days of a sub-account one process archives: every `of`-th, from the `index`-th on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DayShare {
    index: usize,
    of: usize,
}

impl DayShare {
    /// All days of the sub-account.
    pub(crate) const WHOLE: DayShare = DayShare { index: 0, of: 1 };

    /// Returns whether the share includes a day. It depends on the date alone, so that a day belongs to the same process in
    /// every range.
    pub fn includes(&self, date: Date) -> bool {
        let epoch = Date::constant(2000, 1, 1);
        let days = date
            .since(epoch)
            .map_or(0, |span| i64::from(span.get_days()));
        usize::try_from(days.rem_euclid(self.of.max(1) as i64)) == Ok(self.index)
    }
}

impl Shard {
    /// Returns the shard that `--shard` names, or that the engine which runs the processes has set in the environment.
    ///
    /// # Errors
    /// `Exit::Usage` where a variable of the engine is not a number, or the number of processes is not set.
    pub fn select(given: Option<Subset>, environment: &Environment) -> Result<Option<Shard>> {
        if let Some(given) = given {
            return Ok(Some(Shard {
                index: given.n as usize - 1,
                of: given.of as usize,
            }));
        }
        for (index_name, count_name) in JOB_VARIABLES {
            let Some(index) = number(environment, index_name)? else {
                continue;
            };
            let count = number(environment, count_name)?;
            let of = count.filter(|&of| index < of).ok_or_else(|| {
                let message = format!(
                    "{index_name} is {index}, but {count_name} is not a number of processes above it"
                );
                Failure::usage(message).remedy(format!(
                    "Set {count_name} to the number of completions, or use --shard N/T."
                ))
            })?;
            return Ok(Some(Shard { index, of }));
        }
        Ok(None)
    }

    /// Returns this process's share of the sub-account at `position` among `sub_accounts`; `None` where other processes do
    /// all of it.
    ///
    /// Sub-accounts are not divided where there are enough of them: rate limits count for each sub-account, or for its
    /// credential. Where there are more processes than sub-accounts, several processes divide the days of one.
    pub fn share(&self, position: usize, sub_accounts: usize) -> Option<DayShare> {
        let Shard { index, of } = *self;
        if of <= sub_accounts {
            return (position % of == index).then_some(DayShare::WHOLE);
        }
        if index % sub_accounts != position {
            return None;
        }
        Some(DayShare {
            index: index / sub_accounts,
            of: (of - position).div_ceil(sub_accounts),
        })
    }
}

fn number(environment: &Environment, name: &str) -> Result<Option<usize>> {
    let Some(text) = environment.get(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        Failure::usage(format!("{name} is not a number")).remedy("Use --shard N/T instead.")
    })
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_day_of_every_sub_account_is_in_exactly_one_shard(of in 1..40usize, sub_accounts in 1..40usize) {
            let first: Date = "2026-10-20".parse().unwrap();
            for position in 0..sub_accounts {
                for date in first.series(1.day()).take(50) {
                    let shards = (0..of).filter(|&index| {
                        let share = Shard { index, of }.share(position, sub_accounts);
                        share.is_some_and(|share| share.includes(date))
                    });
                    prop_assert_eq!(shards.count(), 1);
                }
            }
        }

        #[test]
        fn no_shard_has_much_more_than_another(of in 1..40usize, sub_accounts in 1..40usize) {
            let first: Date = "2026-10-20".parse().unwrap();
            let days: Vec<Date> = first.series(1.day()).take(120).collect();
            let work = |index| -> usize {
                let shares = (0..sub_accounts).filter_map(|position| Shard { index, of }.share(position, sub_accounts));
                shares.map(|share| days.iter().filter(|date| share.includes(**date)).count()).sum()
            };
            let work: Vec<usize> = (0..of).map(work).collect();
            let (least, most) = (work.iter().min().unwrap(), work.iter().max().unwrap());
            // Sub-accounts are not cut where there are enough of them.
            prop_assert!(*most <= 2 * least + 120, "{least} to {most}");
        }
    }
}
