//! Warnings of days that look suspicious.
//!
//! The most likely failure in operation is no error at all, but an answer that looks like a quiet day: a user who has lost
//! a permission gets an empty list. So each day is compared with others before it is committed.

use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};

use crate::format::named_enum;
use crate::format::record::carried::present;
use crate::format::record::open::OpenValue;
use crate::format::row::Groups;

/// What makes a committed day suspicious. Commands end with 3 until the operator acknowledges it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What is suspicious.
    pub code: OpenValue<WarningCode>,
    /// The agent group, for `summaries-stopped`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "present"
    )]
    pub agent_group: Option<String>,
    /// Number of segments; for `summaries-stopped` the AI summaries of the group's segments.
    pub found: u64,
    /// The number that other days suggest.
    pub usual: u64,
    /// Whether the setting `known_warnings` names the warning.
    pub acknowledged: bool,
}

named_enum! {
    /// Kinds of warnings, with their names in manifests and in the setting `known_warnings`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum WarningCode in ALL {
        /// The first archived day of a sub-account has no segment at all.
        FirstDayEmpty = "first-day-empty",
        /// Far fewer segments than the median of the same weekday.
        LowVolume = "low-volume",
        /// An agent group had AI summaries on earlier days, and has none on this one.
        SummariesStopped = "summaries-stopped",
    }
}

impl OpenValue<WarningCode> {
    /// Returns the name of the code, as the record has it.
    pub fn name(&self) -> &str {
        match self {
            OpenValue::Known(code) => code.name(),
            OpenValue::Later(name) => name,
        }
    }
}

impl Warning {
    /// Returns a warning about a whole day that is not acknowledged.
    fn new(code: WarningCode, found: u64, usual: u64) -> Self {
        Warning {
            code: code.into(),
            agent_group: None,
            found,
            usual,
            acknowledged: false,
        }
    }

    /// As the setting `known_warnings` names it: `low-volume`, or `summaries-stopped:GROUP`.
    pub fn name(&self) -> String {
        match &self.agent_group {
            Some(group) => format!("{}:{group}", self.code.name()),
            None => self.code.name().to_owned(),
        }
    }

    /// Returns what the warning means and what to do, with the vendor's remedy.
    pub(crate) fn explain(&self) -> String {
        let (found, usual) = (self.found, self.usual);
        let Some(code) = self.code.known() else {
            return "this program does not know the warning: a later program has recorded it"
                .to_owned();
        };
        match code {
            WarningCode::FirstDayEmpty => "the first archived day has no segment: check in RingCentral that the user \
                 has WEM access (without it discovery answers an empty list), and that the sub-account is the right one"
                .to_owned(),
            WarningCode::LowVolume => format!(
                "{found} segments, where {usual} are usual on this weekday: check that the user still has WEM access \
                 (without it discovery answers an empty list)"
            ),
            WarningCode::SummariesStopped => format!(
                "agent group {} has {found} AI summaries, where {usual} are usual on as many segments: in RingCX \
                 Admin, Routing, Queues & Skills, select the queue and Enable AI Summaries",
                self.agent_group.as_deref().filter(|group| !group.is_empty()).unwrap_or("(none)")
            ),
        }
    }
}

/// Another day, as its manifest describes it.
#[derive(Debug, Clone)]
pub(crate) struct PastDay {
    /// The archive day.
    pub date: Date,
    /// Number of its segments.
    pub segments: u64,
    /// Its counts by agent group.
    pub groups: Groups,
}

/// A day with less than this share of the usual volume is suspicious.
const LOW_VOLUME_PERCENT: u64 = 20;
/// Fewer segments than this are too small a sample.
const LEAST_SAMPLE: u64 = 20;

/// Compares a day with the days before it, and its volume also with the days after it: a backfill proceeds backwards, and
/// a source that has deleted a day answers as for a quiet one. `first` says that the chain has no earlier day.
pub(crate) fn judge(
    date: Date,
    segments: u64,
    groups: &Groups,
    past: &[PastDay],
    first: bool,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if first && segments == 0 {
        warnings.push(Warning::new(WarningCode::FirstDayEmpty, 0, 0));
    }
    let volumes = past.iter().map(|day| (day.date.weekday(), day.segments));
    if let Some(usual) = usual_volume(date.weekday(), volumes)
        && usual >= LEAST_SAMPLE
        && segments * 100 < usual * LOW_VOLUME_PERCENT
    {
        warnings.push(Warning::new(WarningCode::LowVolume, segments, usual));
    }
    for (group, share) in groups {
        if share.segments < LEAST_SAMPLE || share.auto_present > 0 {
            continue;
        }
        let (mut present, mut all) = (0, 0);
        let earlier = past.iter().filter(|day| day.date < date);
        for share in earlier.filter_map(|day| day.groups.get(group)) {
            present += share.auto_present;
            all += share.segments;
        }
        // A group that hardly ever had a summary has not stopped having them.
        if all >= LEAST_SAMPLE && present * 100 >= all * LOW_VOLUME_PERCENT {
            let usual = share.segments.saturating_mul(present) / all;
            warnings.push(Warning {
                agent_group: Some(group.clone()),
                ..Warning::new(WarningCode::SummariesStopped, 0, usual)
            });
        }
    }
    warnings
}

/// Returns the usual volume of a weekday: the lower median of the days on it, in any measure. A single such day suffices.
pub(crate) fn usual_volume<V: Ord>(
    weekday: Weekday,
    days: impl IntoIterator<Item = (Weekday, V)>,
) -> Option<V> {
    let same_weekday = days.into_iter().filter(|day| day.0 == weekday);
    lower_median(same_weekday.map(|(_, volume)| volume))
}

/// Returns the median; of an even number of values the lower one of the two in the middle.
pub(crate) fn lower_median<V: Ord>(values: impl IntoIterator<Item = V>) -> Option<V> {
    let mut values: Vec<V> = values.into_iter().collect();
    values.sort_unstable();
    let middle = values.len().checked_sub(1)? / 2;
    values.into_iter().nth(middle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::row::tally::GroupShare;

    fn share(segments: u64, auto_present: u64) -> Groups {
        Groups::from([(
            "g1".to_owned(),
            GroupShare {
                segments,
                agent_present: 0,
                auto_present,
            },
        )])
    }

    fn weeks(volumes: &[u64], groups: &Groups) -> Vec<PastDay> {
        let day = |n: usize| {
            jiff::civil::date(2026, 11, 20).checked_sub(jiff::Span::new().weeks(n as i64 + 1))
        };
        let past = |(n, &segments): (usize, &u64)| PastDay {
            date: day(n).unwrap(),
            segments,
            groups: groups.clone(),
        };
        volumes.iter().enumerate().map(past).collect()
    }

    fn names(segments: u64, groups: &Groups, past: &[PastDay], first: bool) -> Vec<String> {
        let date = jiff::civil::date(2026, 11, 20);
        judge(date, segments, groups, past, first)
            .iter()
            .map(Warning::name)
            .collect()
    }

    #[test]
    fn a_day_far_under_its_weekday_is_named_and_a_quiet_weekday_is_not() {
        let none = Groups::new();
        assert_eq!(
            names(0, &none, &weeks(&[400, 380, 420], &none), false),
            ["low-volume"]
        );
        assert_eq!(
            names(300, &none, &weeks(&[400, 380, 420], &none), false),
            Vec::<String>::new()
        );
        assert_eq!(
            names(0, &none, &weeks(&[0, 3, 0], &none), false),
            Vec::<String>::new()
        );
        assert_eq!(names(0, &none, &[], true), ["first-day-empty"]);
    }

    #[test]
    fn a_group_whose_summaries_stop_is_named() {
        let past = weeks(&[100, 100], &share(50, 40));
        let warnings = judge(
            jiff::civil::date(2026, 11, 20),
            100,
            &share(60, 0),
            &past,
            false,
        );
        let stopped = [("summaries-stopped:g1".to_owned(), 0, 48)];
        assert_eq!(
            warnings
                .iter()
                .map(|one| (one.name(), one.found, one.usual))
                .collect::<Vec<_>>(),
            stopped
        );
        assert_eq!(
            names(100, &share(50, 1), &past, false),
            Vec::<String>::new()
        );
        let never = weeks(&[100, 100], &share(50, 0));
        assert_eq!(
            names(100, &share(50, 0), &never, false),
            Vec::<String>::new()
        );
    }
}
