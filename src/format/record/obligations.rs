//! Standing orders: what the holds and extensions of a chain ask of objects, also of those that are committed later.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::format::record::lock::Lock;
use crate::format::record::manifest::Record;
use crate::format::record::notes::{DateSpan, Extension, Hold, HoldAct};

/// The hold and retention records of one chain, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obligations {
    holds: Vec<(u64, Hold)>,
    extensions: Vec<(u64, Extension)>,
}

impl Obligations {
    /// Takes the next record of the chain; of kinds that order nothing there is nothing to take.
    pub fn take(&mut self, sequence: u64, record: &Record) {
        match record {
            Record::Hold(hold) => self.holds.push((sequence, (**hold).clone())),
            Record::Retention(extension) => self.extensions.push((sequence, (**extension).clone())),
            Record::Day(_) | Record::Acknowledgement(_) | Record::Disposal(_) => {}
        }
    }

    /// Those of records after number `sequence`.
    pub fn after(&self, sequence: u64) -> Obligations {
        let mut later = self.clone();
        later.holds.retain(|(at, _)| *at > sequence);
        later.extensions.retain(|(at, _)| *at > sequence);
        later
    }

    /// The hold records, with their numbers in the chain.
    pub fn holds(&self) -> &[(u64, Hold)] {
        &self.holds
    }

    /// The cases that hold `date`, each with whether its record says that the store enforces it.
    pub fn cases_on(&self, date: Date) -> BTreeMap<&str, bool> {
        let mut open = BTreeMap::new();
        for (_, hold) in self
            .holds
            .iter()
            .filter(|(_, hold)| hold.range.contains(date))
        {
            match hold.act {
                HoldAct::Add => drop(open.insert(hold.case.as_str(), hold.enforced)),
                HoldAct::Remove => drop(open.remove(hold.case.as_str())),
            }
        }
        open
    }

    /// Whether the objects of `date` must carry a legal hold.
    pub fn holds_objects(&self, date: Date) -> bool {
        self.cases_on(date).values().any(|enforced| *enforced)
    }

    /// Whether a case of this name was ever opened.
    pub fn knows(&self, case: &str) -> bool {
        self.holds.iter().any(|(_, hold)| hold.case == case)
    }

    /// The ranges that a case holds, in order; none when it is closed. `enforced` picks those of one kind.
    pub fn open_ranges(&self, case: &str, enforced: Option<bool>) -> Vec<DateSpan> {
        let of_case = self.holds.iter().filter(|(_, hold)| hold.case == case);
        let bounds: BTreeSet<Date> = of_case
            .flat_map(|(_, hold)| [hold.range.from, hold.range.to])
            .collect();
        let bounds: Vec<Date> = bounds.into_iter().collect();
        let mut open: Vec<DateSpan> = Vec::new();
        for pair in bounds.windows(2) {
            let [from, to] = *pair else { continue };
            // Between two bounds nothing changes.
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

    /// Whether a case holds every day of `range` already, and as well as the store can.
    pub fn covers(&self, case: &str, range: DateSpan, enforced: bool) -> bool {
        self.open_ranges(case, Some(enforced))
            .iter()
            .any(|open| open.from <= range.from && range.to <= open.to)
    }

    /// Whether a case holds any day of `range`.
    pub fn touches(&self, case: &str, range: DateSpan) -> bool {
        self.open_ranges(case, None)
            .iter()
            .any(|open| open.from < range.to && range.from < open.to)
    }

    /// The case names, in order.
    pub fn cases(&self) -> BTreeSet<&str> {
        self.holds
            .iter()
            .map(|(_, hold)| hold.case.as_str())
            .collect()
    }

    /// The lock that extensions ask for the objects of `date`, at least.
    pub fn lock_on(&self, date: Date) -> Option<Lock> {
        let days = self
            .extensions
            .iter()
            .flat_map(|(_, extension)| &extension.days);
        let of_date = days.filter(|day| day.date == date).map(|day| day.lock());
        of_date.reduce(Lock::stronger)
    }

    /// Where something is ordered for ever: whether any hold is open, on whatever day.
    pub fn any_open(&self) -> bool {
        self.cases()
            .into_iter()
            .any(|case| !self.open_ranges(case, None).is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::lock::LockMode;
    use crate::format::record::notes::ExtendedDay;
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

    fn orders(records: impl IntoIterator<Item = Record>) -> Obligations {
        let mut orders = Obligations::default();
        records
            .into_iter()
            .zip(1..)
            .for_each(|(record, sequence)| orders.take(sequence, &record));
        orders
    }

    #[test]
    fn what_one_case_gives_up_another_still_holds() {
        let orders = orders([
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
    fn a_case_opened_where_nothing_enforced_it_is_not_covered_where_something_does() {
        let orders = orders([hold(HoldAct::Add, "A", 0, 10, false)]);
        let range = DateSpan {
            from: date(2),
            to: date(4),
        };
        assert!(orders.covers("A", range, false) && !orders.covers("A", range, true));
        assert!(!orders.holds_objects(date(3)) && orders.touches("A", range) && orders.any_open());
    }

    #[test]
    fn of_several_extensions_the_stronger_counts() {
        let extension = |mode, retain_until| {
            let days = vec![ExtendedDay {
                date: date(0),
                mode,
                retain_until,
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
        let orders = orders([
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
        /// Ranges say the same as asking day by day.
        #[test]
        fn ranges_hold_the_days_that_are_held(acts in prop::collection::vec((any::<bool>(), 0i32..20, 1i32..10), 0..12)) {
            let records = acts.into_iter().map(|(add, from, length)| {
                hold(if add { HoldAct::Add } else { HoldAct::Remove }, "A", from, from + length, true)
            });
            let orders = orders(records);
            let open = orders.open_ranges("A", None);
            prop_assert!(open.windows(2).all(|pair| pair[0].to < pair[1].from));
            for day in -1..32 {
                let in_range = open.iter().any(|span| span.contains(date(day)));
                prop_assert_eq!(in_range, orders.cases_on(date(day)).contains_key("A"));
            }
        }
    }
}
