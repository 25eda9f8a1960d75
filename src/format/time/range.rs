//! A range of archive days as commands take it: half-open, like the days themselves.

use jiff::civil::Date;

/// The days from `from` up to, and not including, `to`. A side without a date has no bound.
///
/// # Examples
///
/// ```
/// use cxvault::format::time::range::Days;
/// use jiff::civil::date;
///
/// let days = Days { from: Some(date(2026, 11, 1)), to: None };
/// assert!(days.contains(date(2030, 1, 1)) && !days.contains(date(2026, 10, 31)));
/// assert_eq!(days.to_string(), "2026-11-01..");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Days {
    /// The first day.
    pub from: Option<Date>,
    /// The day after the last one.
    pub to: Option<Date>,
}

impl Days {
    /// Returns whether `date` is in the range.
    pub fn contains(&self, date: Date) -> bool {
        self.from.is_none_or(|from| date >= from) && self.to.is_none_or(|to| date < to)
    }

    /// Returns whether no day can be in the range.
    pub fn is_empty(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if from >= to)
    }

    /// Returns the days of this range from `first` to `last`, both included, in order.
    pub fn within(&self, first: Date, last: Date) -> impl Iterator<Item = Date> + use<> {
        let end = self
            .to
            .and_then(|to| to.yesterday().ok())
            .map_or(last, |end| end.min(last));
        let start = self.from.map_or(first, |from| from.max(first));
        std::iter::successors(Some(start), |date| date.tomorrow().ok())
            .take_while(move |date| *date <= end)
    }
}

impl std::fmt::Display for Days {
    /// Writes `2026-11-01..2026-12-01`, and nothing on a side without a bound.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [from, to] = [self.from, self.to].map(|bound| bound.map(|date| date.to_string()));
        write!(
            out,
            "{}..{}",
            from.unwrap_or_default(),
            to.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_excludes_its_end() {
        let date = |text: &str| text.parse::<Date>().unwrap();
        let november = Days {
            from: Some(date("2026-11-01")),
            to: Some(date("2026-12-01")),
        };
        assert!(november.contains(date("2026-11-30")) && !november.contains(date("2026-12-01")));
        let within: Vec<Date> = november
            .within(date("2026-11-29"), date("2026-12-05"))
            .collect();
        assert_eq!(within, [date("2026-11-29"), date("2026-11-30")]);
        assert_eq!(
            Days::default()
                .within(date("2026-11-29"), date("2026-11-29"))
                .count(),
            1
        );
        assert_eq!(
            november
                .within(date("2027-01-01"), date("2027-02-01"))
                .count(),
            0
        );
        assert!(
            Days {
                to: november.from,
                ..november
            }
            .is_empty()
                && !november.is_empty()
        );
        assert_eq!(november.to_string(), "2026-11-01..2026-12-01");
    }
}
