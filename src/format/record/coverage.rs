//! What a chain covers: one character a day, so that reading its head alone tells what is sealed.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// The state of one archive day, as far as its chain tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DayState {
    /// Every wanted summary has an answer.
    Complete,
    /// Complete, and without any segment.
    Empty,
    /// Committed, but some answers are missing.
    Gaps,
    /// Gaps that somebody has acknowledged with a reason.
    Acknowledged,
    /// Not committed.
    Missing,
    /// Disposed of after its retention.
    Disposed,
}

impl DayState {
    pub const ALL: [DayState; 6] = [
        DayState::Complete,
        DayState::Empty,
        DayState::Gaps,
        DayState::Acknowledged,
        DayState::Missing,
        DayState::Disposed,
    ];

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

    /// Nothing remains to be fetched.
    pub fn is_sealed(self) -> bool {
        !matches!(self, DayState::Gaps | DayState::Missing)
    }
}

/// The days from `first_day` on; before it and after the last letter every day is missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    pub first_day: Option<Date>,
    pub days: String,
}

impl Coverage {
    pub fn state(&self, date: Date) -> DayState {
        let letter = self
            .index(date)
            .and_then(|index| self.days.as_bytes().get(index).copied());
        let known = DayState::ALL
            .into_iter()
            .find(|state| Some(state.letter()) == letter.map(char::from));
        known.unwrap_or(DayState::Missing)
    }

    /// A first day, and a known letter for it and each day after it.
    pub fn is_well_formed(&self) -> bool {
        let known = |letter| DayState::ALL.iter().any(|state| state.letter() == letter);
        self.first_day.is_some() && !self.days.is_empty() && self.days.chars().all(known)
    }

    pub fn last_day(&self) -> Option<Date> {
        let last = i64::try_from(self.days.len()).ok()?.checked_sub(1)?;
        self.first_day?
            .checked_add(jiff::Span::new().days(last))
            .ok()
    }

    /// Marks one day; days between it and the others become missing.
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

    fn index(&self, date: Date) -> Option<usize> {
        let first = self.first_day?;
        (date >= first).then(|| days_between(first, date))
    }
}

fn days_between(from: Date, to: Date) -> usize {
    let days = to.since(from).map(|span| span.get_days()).unwrap_or(0);
    usize::try_from(days).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_day_keeps_what_was_last_said_of_it(marks in prop::collection::vec((0i32..4_000, 0usize..6), 0..40)) {
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
