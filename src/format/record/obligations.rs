//! Holds and locks that a chain's records require of objects, also of objects that are committed later.
//!
//! A hold record adds a claim of a case on a range of days, or removes it; a retention record names days and the locks
//! of their objects. Records of a chain are pushed in their order; the questions below are answered as of the newest.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::format::record::lock::Lock;
use crate::format::record::manifest::Record;
use crate::format::record::notes::{DateSpan, Extension, Hold, HoldAct};

/// The hold and retention records of one chain, oldest first, with their numbers in the chain.
///
/// # Examples
///
/// ```
/// use cxvault::format::record::manifest::Record;
/// use cxvault::format::record::notes::{DateSpan, Hold, HoldAct};
/// use cxvault::format::record::obligations::Obligations;
/// use jiff::civil::date;
///
/// let mut obligations = Obligations::default();
/// let hold = Hold {
///     act: HoldAct::Add,
///     case: "12 O 34/26".to_owned(),
///     range: DateSpan { from: date(2026, 11, 1), to: date(2026, 12, 1) },
///     reason: "court order".to_owned(),
///     by: None,
///     enforced: true,
/// };
/// obligations.push(7, &Record::Hold(Box::new(hold)));
/// assert!(obligations.holds_objects(date(2026, 11, 30)));
/// assert!(!obligations.holds_objects(date(2026, 12, 1)));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obligations {
    holds: Vec<(u64, Hold)>,
    extensions: Vec<(u64, Extension)>,
}

impl Obligations {
    /// Adds the next record of the chain. Records of other kinds require nothing and are ignored.
    pub fn push(&mut self, sequence: u64, record: &Record) {
        match record {
            Record::Hold(hold) => self.holds.push((sequence, (**hold).clone())),
            Record::Retention(extension) => self.extensions.push((sequence, (**extension).clone())),
            Record::Day(_)
            | Record::Acknowledgement(_)
            | Record::Disposal(_)
            | Record::Later(_) => {}
        }
    }

    /// Returns the obligations of records after number `sequence` alone.
    pub fn after(&self, sequence: u64) -> Obligations {
        let mut later = self.clone();
        later.holds.retain(|(number, _)| *number > sequence);
        later.extensions.retain(|(number, _)| *number > sequence);
        later
    }

    /// Returns the hold records with their numbers in the chain.
    pub fn holds(&self) -> &[(u64, Hold)] {
        &self.holds
    }

    /// Returns the cases that hold `date`, each with whether its record says that the store enforces it.
    pub(crate) fn cases_on(&self, date: Date) -> BTreeMap<&str, bool> {
        let mut open = BTreeMap::new();
        for (_, hold) in &self.holds {
            match hold.act {
                _ if !hold.range.contains(date) => {}
                HoldAct::Add => drop(open.insert(hold.case.as_str(), hold.enforced)),
                HoldAct::Remove => drop(open.remove(hold.case.as_str())),
            }
        }
        open
    }

    /// Returns whether the objects of `date` must carry a legal hold.
    pub fn holds_objects(&self, date: Date) -> bool {
        self.cases_on(date).values().any(|enforced| *enforced)
    }

    /// Returns whether a case of this name was ever opened.
    pub fn knows(&self, case: &str) -> bool {
        self.holds.iter().any(|(_, hold)| hold.case == case)
    }

    /// Returns the ranges that a case holds, in order; none when it is closed. `enforced` restricts them to those that
    /// the store enforces (`Some(true)`), or does not (`Some(false)`).
    pub(crate) fn open_ranges(&self, case: &str, enforced: Option<bool>) -> Vec<DateSpan> {
        let of_case = self.holds.iter().filter(|(_, hold)| hold.case == case);
        let bounds: BTreeSet<Date> = of_case
            .flat_map(|(_, hold)| [hold.range.from, hold.range.to])
            .collect();
        let bounds: Vec<Date> = bounds.into_iter().collect();
        let mut open: Vec<DateSpan> = Vec::new();
        for pair in bounds.windows(2) {
            let [from, to] = *pair else { continue };
            // The days between two neighbouring bounds are all held, or none is.
            let held = self.cases_on(from).get(case).copied();
            if held.is_none_or(|held| enforced.is_some_and(|wanted| wanted != held)) {
                continue;
            }
            match open.last_mut() {
                Some(last) if last.to == from => last.to = to,
                _ => open.push(DateSpan { from, to }),
            }
        }
        open
    }

    /// Returns whether a case holds every day of `range` already, with the same enforcement.
    pub fn covers(&self, case: &str, range: DateSpan, enforced: bool) -> bool {
        self.open_ranges(case, Some(enforced))
            .iter()
            .any(|open| open.from <= range.from && range.to <= open.to)
    }

    /// Returns whether a case holds any day of `range`.
    pub(crate) fn touches(&self, case: &str, range: DateSpan) -> bool {
        self.open_ranges(case, None)
            .iter()
            .any(|open| open.from < range.to && range.from < open.to)
    }

    /// Returns the names of the cases, in order.
    pub fn cases(&self) -> BTreeSet<&str> {
        self.holds
            .iter()
            .map(|(_, hold)| hold.case.as_str())
            .collect()
    }

    /// Returns the lock that the objects of `date` must have, at least, because of extensions.
    pub(crate) fn lock_on(&self, date: Date) -> Option<Lock> {
        let days = self
            .extensions
            .iter()
            .flat_map(|(_, extension)| &extension.days);
        let of_date = days.filter(|day| day.date == date).map(|day| day.lock());
        of_date.reduce(Lock::stronger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::lock::LockMode;
    use crate::format::record::notes::ExtendedDay;
    use crate::format::time::Instant;
    use proptest::prelude::*;

    fn date(offset: i32) -> Date {
        jiff::civil::date(2026, 2, 1)
            .checked_add(jiff::Span::new().days(offset))
            .unwrap()
    }

    fn hold(act: HoldAct, case: &str, from: i32, to: i32, enforced: bool) -> Record {
        let range = DateSpan {
            from: date(from),
            to: date(to),
        };
        let (case, reason) = (case.to_owned(), "test".to_owned());
        Record::Hold(Box::new(Hold {
            act,
            case,
            range,
            reason,
            by: None,
            enforced,
        }))
    }

    fn obligations(records: impl IntoIterator<Item = Record>) -> Obligations {
        let mut all = Obligations::default();
        records
            .into_iter()
            .zip(1..)
            .for_each(|(record, sequence)| all.push(sequence, &record));
        all
    }

    #[test]
    fn a_released_range_stays_held_by_the_other_case() {
        let orders = obligations([
            hold(HoldAct::Add, "A", 0, 10, true),
            hold(HoldAct::Add, "B", 5, 15, true),
            hold(HoldAct::Remove, "A", 3, 8, true),
        ]);
        let held: Vec<bool> = (0..16).map(|day| orders.holds_objects(date(day))).collect();
        let expected: Vec<bool> = (0..16)
            .map(|day| !(3..5).contains(&day) && day < 15)
            .collect();
        assert_eq!(held, expected);
        let spans = |case| {
            let open = orders.open_ranges(case, None).into_iter();
            open.map(|span| span.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            spans("A"),
            ["2026-02-01..2026-02-04", "2026-02-09..2026-02-11"]
        );
        assert_eq!(spans("B"), ["2026-02-06..2026-02-16"]);
        assert!(spans("C").is_empty() && !orders.knows("C") && orders.knows("A"));
    }

    #[test]
    fn a_hold_that_the_store_does_not_enforce_covers_no_enforced_one() {
        let orders = obligations([hold(HoldAct::Add, "A", 0, 10, false)]);
        let range = DateSpan {
            from: date(2),
            to: date(4),
        };
        assert!(orders.covers("A", range, false) && !orders.covers("A", range, true));
        assert!(
            !orders.holds_objects(date(3))
                && orders.touches("A", range)
                && !orders.open_ranges("A", None).is_empty()
        );
    }

    #[test]
    fn several_extensions_require_their_strongest_lock() {
        let extension = |mode, retain_until| {
            let days = vec![ExtendedDay {
                date: date(0),
                mode,
                retain_until: Instant::from_millis(retain_until),
            }];
            let range = DateSpan {
                from: date(0),
                to: date(1),
            };
            Record::Retention(Box::new(Extension {
                range,
                days,
                reason: None,
                by: None,
            }))
        };
        let orders = obligations([
            extension(LockMode::Compliance, 5_000),
            extension(LockMode::Governance, 9_000),
        ]);
        assert_eq!(
            orders.lock_on(date(0)),
            Some(Lock {
                mode: LockMode::Compliance,
                until_ms: 9_000
            })
        );
        assert_eq!(orders.lock_on(date(1)), None);
    }

    proptest! {
        /// The open ranges contain exactly the days that the case holds.
        #[test]
        fn open_ranges_are_the_held_days(acts in prop::collection::vec((any::<bool>(), 0i32..20, 1i32..10), 0..12)) {
            let records = acts.into_iter().map(|(add, from, length)| {
                hold(if add { HoldAct::Add } else { HoldAct::Remove }, "A", from, from + length, true)
            });
            let orders = obligations(records);
            let open = orders.open_ranges("A", None);
            prop_assert!(open.windows(2).all(|pair| pair[0].to < pair[1].from));
            for day in -1..32 {
                let in_range = open.iter().any(|span| span.contains(date(day)));
                prop_assert_eq!(in_range, orders.cases_on(date(day)).contains_key("A"));
            }
        }
    }
}
