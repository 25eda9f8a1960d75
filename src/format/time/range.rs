//! A range of archive days, as every command takes it: half-open, like the days themselves.

use jiff::civil::Date;

/// The days from `from` up to, and not including, `to`; without one of them there is no bound on that side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Days {
    pub from: Option<Date>,
    pub to: Option<Date>,
}

impl Days {
    pub fn contains(&self, date: Date) -> bool {
        self.from.is_none_or(|from| date >= from) && self.to.is_none_or(|to| date < to)
    }

    /// No day can be in it.
    pub fn is_empty(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if from >= to)
    }

    /// The days of this range that lie from `first` to `last`, both included, in order.
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

/// `2026-11-01..2026-12-01`, with nothing where there is no bound.
impl std::fmt::Display for Days {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |date: Option<Date>| date.map(|date| date.to_string()).unwrap_or_default();
        write!(out, "{}..{}", text(self.from), text(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_leaves_its_end_out() {
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
