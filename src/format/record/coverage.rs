//! What a chain covers: one letter for each day.
//!
//! Every manifest repeats the coverage, so that the newest one alone answers which days are archived. `schemas/FORMAT.md`
//! lists the letters; the list is closed.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// The state of one archive day, according to its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DayState {
    /// Every wanted summary has an answer.
    Complete,
    /// Complete, and without any segment.
    Empty,
    /// Committed, but some answers are missing.
    Gaps,
    /// Committed with gaps that the operator has acknowledged, with a reason.
    Acknowledged,
    /// Not committed.
    Missing,
    /// Disposed of after its retention.
    Disposed,
}

impl DayState {
    /// Every state.
    pub const ALL: [DayState; 6] = [
        DayState::Complete,
        DayState::Empty,
        DayState::Gaps,
        DayState::Acknowledged,
        DayState::Missing,
        DayState::Disposed,
    ];

    /// Returns the letter of the state in a coverage.
    pub fn letter(self) -> char {
        match self {
            DayState::Complete => 'c',
            DayState::Empty => 'e',
            DayState::Gaps => 'g',
            DayState::Acknowledged => 'a',
            DayState::Missing => 'm',
            DayState::Disposed => 'd',
        }
    }

    /// Returns the state with that letter.
    fn of_letter(letter: char) -> Option<DayState> {
        DayState::ALL
            .into_iter()
            .find(|state| state.letter() == letter)
    }

    /// Returns whether nothing remains to be fetched.
    pub(crate) fn is_sealed(self) -> bool {
        !matches!(self, DayState::Gaps | DayState::Missing)
    }
}

/// The states of the days from `first_day` on. Days before it, and after the last letter, are missing.
///
/// # Examples
///
/// ```
/// use cxvault::format::record::coverage::{Coverage, DayState};
/// use jiff::civil::date;
///
/// let mut coverage = Coverage::default();
/// coverage.set(date(2026, 11, 20), DayState::Complete);
/// coverage.set(date(2026, 11, 22), DayState::Gaps);
/// assert_eq!(coverage.days, "cmg");
/// assert_eq!(coverage.state(date(2026, 11, 21)), DayState::Missing);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// The day of the first letter; `None` only before the first record.
    pub first_day: Option<Date>,
    /// One letter for each day.
    pub days: String,
}

impl Coverage {
    /// Returns the state of a day.
    pub fn state(&self, date: Date) -> DayState {
        let letter = self
            .index(date)
            .and_then(|index| self.days.as_bytes().get(index));
        letter
            .and_then(|&letter| DayState::of_letter(letter.into()))
            .unwrap_or(DayState::Missing)
    }

    /// Returns whether there is a first day, and a known letter for it and each day after it.
    pub(crate) fn is_well_formed(&self) -> bool {
        let all_known = self
            .days
            .chars()
            .all(|letter| DayState::of_letter(letter).is_some());
        self.first_day.is_some() && !self.days.is_empty() && all_known
    }

    /// Returns the day of the last letter.
    pub(crate) fn last_day(&self) -> Option<Date> {
        let last = i64::try_from(self.days.len()).ok()?.checked_sub(1)?;
        self.first_day?
            .checked_add(jiff::Span::new().days(last))
            .ok()
    }

    /// Sets the state of one day. Days between it and the days that are known become missing.
    pub fn set(&mut self, date: Date, state: DayState) {
        let Some(first) = self.first_day else {
            self.first_day = Some(date);
            self.days = state.letter().to_string();
            return;
        };
        if date < first {
            let gap = days_between(date, first);
            self.days
                .insert_str(0, &DayState::Missing.letter().to_string().repeat(gap));
            self.first_day = Some(date);
        }
        let Some(index) = self.index(date) else {
            return;
        };
        while self.days.len() <= index {
            self.days.push(DayState::Missing.letter());
        }
        self.days
            .replace_range(index..=index, &state.letter().to_string());
    }

    /// Returns the index of a day's letter, which may lie beyond the last one.
    fn index(&self, date: Date) -> Option<usize> {
        let first = self.first_day?;
        (date >= first).then(|| days_between(first, date))
    }
}

/// Returns the number of days from one date to a later one.
fn days_between(from: Date, to: Date) -> usize {
    let days = to.since(from).map(|span| span.get_days()).unwrap_or(0);
    usize::try_from(days).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn letters_are_unique_and_read_back() {
        for state in DayState::ALL {
            assert_eq!(DayState::of_letter(state.letter()), Some(state));
        }
        assert_eq!(DayState::of_letter('x'), None);
    }

    #[test]
    fn only_a_first_day_with_known_letters_is_well_formed() {
        let first = Some(jiff::civil::date(2026, 11, 20));
        let cases = [
            (first, "cegamd", true),
            (first, "", false),
            (first, "cx", false),
            (first, "cé", false),
            (None, "c", false),
            (None, "", false),
        ];
        for (first_day, days, well_formed) in cases {
            let days = days.to_owned();
            let coverage = Coverage { first_day, days };
            assert_eq!(coverage.is_well_formed(), well_formed, "{coverage:?}");
        }
    }

    proptest! {
        #[test]
        fn every_day_has_the_state_that_was_set_last(marks in prop::collection::vec((0i32..4_000, 0usize..6), 0..40)) {
            let date = |offset: i32| jiff::civil::date(2020, 2, 28).checked_add(jiff::Span::new().days(offset)).unwrap();
            let mut coverage = Coverage::default();
            let mut said = std::collections::BTreeMap::new();
            for (offset, state) in marks {
                coverage.set(date(offset), DayState::ALL[state]);
                said.insert(offset, DayState::ALL[state]);
            }
            for offset in 0..4_000 {
                let expected = said.get(&offset).copied().unwrap_or(DayState::Missing);
                prop_assert_eq!(coverage.state(date(offset)), expected);
            }
            prop_assert_eq!(coverage.last_day(), said.keys().last().map(|&last| date(last)));
        }
    }
}
